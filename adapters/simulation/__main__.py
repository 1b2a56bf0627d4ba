"""Run the loopback venue as a process: one JSON line with its port and ccxt URLs when it is ready.

With ``--laboratory`` it shows a market of the laboratory, in which accounts trade with everybody else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

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
from adapters.simulation.settings import LoopbackSettings
from guard.errors import MalformedFrameError

if TYPE_CHECKING:
    from adapters.simulation.laboratory.parameters import Episode
    from adapters.simulation.laboratory.venues import LaboratoryVenues

DURATION_S = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0, or 2 where an argument cannot be used."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        plan = None if options.faults is None else options.faults.read_bytes()
        if options.record is not None:
            frames = write_recording(_source(options), options.record)
            _say({"event": "recorded", "frames": frames, "path": str(options.record)})
            return 0
        shown = _shown(options)
    except (ValueError, MalformedFrameError, OSError) as error:
        parser.error(str(error))
    try:
        asyncio.run(_run(shown, options, plan))
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}")
    return 0


async def _run(
    shown: LoopbackVenue | LaboratoryVenues, options: argparse.Namespace, plan: bytes | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with shown:
        if options.hold:
            # A line on standard input begins the market, so that clients can connect first.
            loop.add_reader(sys.stdin.fileno(), lambda: _begin(shown))
        if isinstance(shown, LoopbackVenue):
            if plan is not None:
                shown.misbehave_as(plan)
            _say({"event": "ready", **_address(shown)})
        else:
            _say({"event": "ready", "venues": {name: _address(each) for name, each in shown.venues.items()}})
        async with asyncio.TaskGroup() as group:
            announcing = group.create_task(_announce_end(shown), name="venue-announce-end")
            await stop.wait()
            announcing.cancel()


def _address(venue: LoopbackVenue) -> dict[str, object]:
    return {
        "dialect": venue.dialect_name,
        "port": venue.port,
        "symbols": venue.symbols(),
        "urls": venue.ccxt_urls(),
        "trading_urls": venue.trading_urls(),
        "control": venue.control_url(),
    }


def _shown(options: argparse.Namespace) -> LoopbackVenue | LaboratoryVenues:
    """What is run, not started.

    Raises:
        ValueError: an argument cannot be used.
        MalformedFrameError: a recording cannot.
    """
    if options.laboratory is None:
        return _venue(_source(options), options, None)
    # The laboratory takes a while to import: only where it is asked for.
    from adapters.simulation.laboratory.source import laboratory_source  # noqa: PLC0415
    from adapters.simulation.laboratory.venues import LaboratoryVenues, laboratory_settings  # noqa: PLC0415

    episode = _episode(options)
    if not options.all_venues:
        source = laboratory_source(episode, _venue_id(options))
        return _venue(source, options, laboratory_settings(episode))
    accounts = {each.venue: options.account for each in episode.venues}
    return LaboratoryVenues(episode, accounts=accounts, speed=options.speed, hold=options.hold)


def _venue(
    source: MarketSource, options: argparse.Namespace, settings: LoopbackSettings | None
) -> LoopbackVenue:
    return LoopbackVenue(
        source,
        settings=settings,
        accounts=options.account,
        host=options.host,
        port=options.port,
        speed=options.speed,
        hold=options.hold,
        dialect=options.dialect,
    )


def _begin(shown: LoopbackVenue | LaboratoryVenues) -> None:
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    shown.begin()


async def _announce_end(shown: LoopbackVenue | LaboratoryVenues) -> None:
    await shown.finished()
    _say({"event": "finished"})


def _source(options: argparse.Namespace) -> MarketSource:
    if options.replay is not None:
        return recorded_source(options.replay)
    if options.laboratory is not None:
        from adapters.simulation.laboratory.source import laboratory_source  # noqa: PLC0415 - see _shown

        return laboratory_source(_episode(options), _venue_id(options))
    symbols = options.symbols or "BTCUSDT"
    return generated_source(
        options.scenario,
        seed=options.seed,
        symbols=symbol_names(options.count) if options.count else symbols.split(","),
        busy=options.busy,
        duration_s=DURATION_S if options.duration is None else options.duration,
        fall_ratio=options.fall,
    )


def _episode(options: argparse.Namespace) -> Episode:
    from adapters.simulation.worlds.drawing import draw_episode  # noqa: PLC0415 - see _shown

    return draw_episode(
        options.world,
        options.laboratory,
        options.seed,
        symbols=options.symbols.split(",") if options.symbols else None,
        duration_s=options.duration,
    )


def _venue_id(options: argparse.Namespace) -> str:
    """The laboratory's venue that is shown: that of the language, and where there is none, Binance."""
    return (DialectName.BYBIT if options.dialect == DialectName.BYBIT else DialectName.BINANCE).ccxt_id


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m adapters.simulation", description=__doc__)
    parser.add_argument("--scenario", choices=[s.value for s in Scenario], default="calm", help="the course")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds make equal markets")
    parser.add_argument(
        "--symbols", help="Binance's names, joined by commas; BTCUSDT, or all of a laboratory's"
    )
    parser.add_argument("--count", type=int, metavar="N", help="so many symbols of made-up names instead")
    parser.add_argument(
        "--busy", type=int, metavar="N", help="only so many move ten times a second, others once"
    )
    parser.add_argument(
        "--duration",
        type=float,
        metavar="S",
        help="market seconds; 60, or as the laboratory's scenario has it",
    )
    parser.add_argument("--fall", type=float, default=0.10, metavar="RATIO", help="size of the fall")
    parser.add_argument(
        "--laboratory", metavar="SCENARIO", help="a market of the laboratory: minute, fall, october-2025 ..."
    )
    parser.add_argument(
        "--world", default="volatility", metavar="W", help="how the laboratory's traders behave"
    )
    parser.add_argument(
        "--all-venues",
        action="store_true",
        help="of the laboratory, each in its own language on a free port; no --faults then",
    )
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
