"""Run the loopback venue as a process: one JSON line with its port and ccxt URLs when it is ready."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from adapters.simulation import (
    LoopbackVenue,
    MarketSource,
    VenueAccountSpec,
    generated_source,
    recorded_source,
    write_recording,
)
from adapters.simulation.dialects import DialectName
from adapters.simulation.generated import symbol_names
from adapters.simulation.scenarios import Scenario
from guard.errors import MalformedFrameError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0, or 2 where an argument cannot be used."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        source = _source(options)
        plan = None if options.faults is None else options.faults.read_bytes()
    except (ValueError, MalformedFrameError, OSError) as error:
        parser.error(str(error))
    if options.record is not None:
        frames = write_recording(source, options.record)
        _say({"event": "recorded", "frames": frames, "path": str(options.record)})
        return 0
    try:
        asyncio.run(_run(_venue(source, options), options, plan))
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}")
    return 0


async def _run(venue: LoopbackVenue, options: argparse.Namespace, plan: bytes | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with venue:
        if options.hold:
            # A line on standard input begins the market, so that clients can connect first.
            loop.add_reader(sys.stdin.fileno(), lambda: _begin(venue))
        if plan is not None:
            venue.misbehave_as(plan)
        _say(
            {
                "event": "ready",
                "dialect": venue.dialect_name,
                "port": venue.port,
                "symbols": venue.symbols(),
                "urls": venue.ccxt_urls(),
                "trading_urls": venue.trading_urls(),
                "control": venue.control_url(),
            }
        )
        async with asyncio.TaskGroup() as group:
            announcing = group.create_task(_announce_end(venue), name="venue-announce-end")
            await stop.wait()
            announcing.cancel()


def _venue(source: MarketSource, options: argparse.Namespace) -> LoopbackVenue:
    return LoopbackVenue(
        source,
        accounts=options.account,
        host=options.host,
        port=options.port,
        speed=options.speed,
        hold=options.hold,
        dialect=options.dialect,
    )


def _begin(venue: LoopbackVenue) -> None:
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    venue.begin()


async def _announce_end(venue: LoopbackVenue) -> None:
    await venue.finished()
    _say({"event": "finished"})


def _source(options: argparse.Namespace) -> MarketSource:
    if options.replay is not None:
        return recorded_source(options.replay)
    return generated_source(
        options.scenario,
        seed=options.seed,
        symbols=symbol_names(options.count) if options.count else options.symbols.split(","),
        busy=options.busy,
        duration_s=options.duration,
        fall_ratio=options.fall,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m adapters.simulation", description=__doc__)
    parser.add_argument("--scenario", choices=[s.value for s in Scenario], default="calm", help="the course")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds make equal markets")
    parser.add_argument("--symbols", default="BTCUSDT", help="Binance's names, joined by commas")
    parser.add_argument("--count", type=int, metavar="N", help="so many symbols of made-up names instead")
    parser.add_argument(
        "--busy", type=int, metavar="N", help="only so many move ten times a second, others once"
    )
    parser.add_argument("--duration", type=float, default=60.0, metavar="S", help="market seconds")
    parser.add_argument("--fall", type=float, default=0.10, metavar="RATIO", help="size of the fall")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play a recording instead")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the market to a file and end")
    parser.add_argument(
        "--dialect",
        choices=[name.value for name in DialectName],
        default=DialectName.BINANCE.value,
        help="whose API to speak",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--speed", type=float, default=1.0, help="market seconds a second; 0: no pacing")
    parser.add_argument("--hold", action="store_true", help="begin at a line on standard input")
    parser.add_argument(
        "--faults", type=Path, metavar="FILE", help="misbehave from the start: a plan of faults in JSON"
    )
    parser.add_argument(
        "--account",
        type=_account,
        action="append",
        default=[],
        metavar="NAME:KEY:SECRET:WALLET[:ASSET=QUANTITY,...]",
        help="repeatable; with assets beside its USDT it is in multi-assets mode",
    )
    return parser


def _account(text: str) -> VenueAccountSpec:
    parts = text.split(":")
    if len(parts) not in (4, 5) or not all(parts):
        raise argparse.ArgumentTypeError(
            "must read NAME:KEY:SECRET:WALLET or NAME:KEY:SECRET:WALLET:ASSET=QUANTITY,..."
        )
    name, key, secret, wallet = parts[:4]
    held = [each.partition("=") for each in parts[4].split(",")] if len(parts) == 5 else []
    collateral = {asset: _number(name, f"the quantity of {asset}", quantity) for asset, _, quantity in held}
    return VenueAccountSpec(name, key, secret, _number(name, "the wallet", wallet), collateral=collateral)


def _number(account: str, what: str, text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise argparse.ArgumentTypeError(f"account {account}: {what} is not a number") from error


def _say(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201 - the process's answer to whoever started it


if __name__ == "__main__":
    sys.exit(main())
