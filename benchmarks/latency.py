"""From a venue's frame to a command in a bot's hands, hop by hop, through the real daemon on loopback.

A made-up market whose makers leave and come back a few times a second makes the guard pause and resume
one bot. Venue, ccxt.pro, daemon, audit and embedded broker are the real ones; the bot is the SDK's
client. Beside it, in the same run: a bare aiomqtt publish-to-receive on the same broker, and a bare
commit of one record to an audit of its own.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec

from adapters.clock import SystemClock
from adapters.simulation import wire
from adapters.simulation.source import Frame, FrameKind, OpeningBook, SymbolSpec
from adapters.simulation.venue import LoopbackVenue
from adapters.storage.audit import SqliteAudit
from adapters.storage.reader import SqliteAuditReader
from benchmarks._frame import Better, Options, Result, main, quantile
from guard.app import App
from guard.audit import Sent, Step
from guard.configuration import Settings
from guard.events import MarketFeatures, Tick
from perpguard_sdk.client import BotClient
from perpguard_sdk.client_settings import BotClientSettings
from perpguard_sdk.executor import BotView
from perpguard_sdk.limits import Limits
from perpguard_sdk.messages import Command, Effect, Mode, Verb, VerbCapability

SYMBOL = "BTC/USDT:USDT"
COMMANDS = 200
COMMANDS_FULL = 600
WARM_UP_S = 9.0
STEP_MS = 50
STEPS_A_PHASE = 6
"""Makers stay away, and then stay, for 0.3 s each."""

LEVELS = 300
PRICE = 60_000.0
SAMPLE_MS = 20
HOPS = (
    "frame to bot",
    "frame to sample",
    "decide",
    "audit durable",
    "publish to bot",
    "bot verifies and persists",
)
TIME_LIMIT_S = 600.0


class _Identified(msgspec.Struct):
    id: str


class _Signed(msgspec.Struct):
    body: _Identified


class FlickeringMarket:
    """A steady price whose book loses nine tenths of its depth, and gets it back, over and over."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    @property
    def specs(self) -> Sequence[SymbolSpec]:
        return (SymbolSpec(symbol="BTCUSDT", base="BTC", tick=Decimal("0.1"), step=Decimal("0.001")),)

    def opening(self, symbol: str) -> OpeningBook:
        del symbol
        return OpeningBook(1, 0, _levels(-1, 1.0), _levels(1, 1.0))

    def taken(self, symbol: str, side: str, size: Decimal, price: Decimal) -> None:
        """Nobody trades here."""

    def frames(self, start_at_ns: int) -> Iterator[Frame]:
        last = 1
        warm_steps = int(WARM_UP_S * 1000 / STEP_MS)
        for step in range(self._steps + warm_steps):
            at_ns = start_at_ns + (step + 1) * STEP_MS * 1_000_000
            phase = (step - warm_steps) // STEPS_A_PHASE
            thin = step >= warm_steps and phase % 2 == 0
            yield _depth(at_ns, last, 0.1 if thin else 1.0 + 0.01 * (step % 5))
            last += 1
            if step % 20 == 0:
                yield _mark(at_ns)
                yield _trade(at_ns, step)


@dataclass(slots=True)
class Bot:
    """Notes when it is told to execute each command; does nothing else."""

    told_ns: dict[str, int] = field(default_factory=dict)

    async def execute(self, command: Command) -> Effect:
        self.told_ns[command.id] = time.time_ns()
        return Effect()

    async def view(self) -> BotView:
        return BotView(positions=(), orders=())

    async def limits_changed(self, limits: Limits) -> None:
        del limits


def measure(options: Options) -> list[Result]:
    wanted = COMMANDS if options.quick else COMMANDS_FULL
    return asyncio.run(_measure(wanted))


async def _measure(wanted: int) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        hops = await _through_the_daemon(Path(folder), wanted)
        commits_us = await _bare_commits(Path(folder) / "bare.sqlite3", wanted)
    bare_us = hops.pop("bare publish")
    results = []
    for case, samples in hops.items():
        baselines = {}
        if case == "publish to bot":
            baselines = {f"bare aiomqtt {name}": value for name, value in _two(bare_us).items()}
        if case == "audit durable":
            baselines = {f"bare commit {name}": value for name, value in _two(commits_us).items()}
        if case == "frame to bot":
            both = [publish + commit for publish, commit in zip(bare_us, commits_us, strict=False)]
            baselines = {f"bare publish + commit {name}": value for name, value in _two(both).items()}
        target = 50_000.0 if case == "frame to bot" else None
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            value = quantile(samples, share)
            spread = _bootstrap(samples, share)
            results.append(
                Result(
                    name="latency",
                    case=f"{case}, {name}, n={len(samples)}",
                    value=value,
                    unit="us",
                    low=spread[0],
                    high=spread[1],
                    better=Better.LOWER,
                    target=target if name == "p99" else None,
                    met=None if target is None or name != "p99" else value <= target,
                    baselines={key: each for key, each in baselines.items() if key.endswith(name)},
                )
            )
    return results


async def _through_the_daemon(folder: Path, wanted: int) -> dict[str, list[float]]:
    key = secrets.token_bytes(32)
    (folder / "key").write_bytes(key)
    (folder / "key").chmod(0o600)
    steps = (wanted + wanted // 10) * STEPS_A_PHASE  # each phase brings a command; a few come with a Tick
    venue = LoopbackVenue(FlickeringMarket(steps), hold=True)
    bot = Bot()
    delivered_ns: dict[str, int] = {}
    async with AsyncExitStack() as stack:
        await venue.start()
        stack.push_async_callback(venue.stop)
        app = App(_settings(folder, venue))
        await app.start()
        try:
            assert app.broker is not None
            client = BotClient(_client_settings(folder, app, key), bot)
            running = asyncio.create_task(client.run(), name="bot")
            while not (app.runner.engine.state.epoch and not client.state.safe_mode):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            tap = asyncio.create_task(_tap(app, delivered_ns), name="tap")
            venue.begin()
            await asyncio.wait_for(venue.finished(), TIME_LIMIT_S)
            bare = await _bare_publishes(app, wanted)
            for task in (running, tap):
                task.cancel()
            await asyncio.gather(running, tap, return_exceptions=True)
        finally:
            await app.stop("measured")
    hops = await _hops(folder / "audit.sqlite3", delivered_ns, bot.told_ns)
    hops["bare publish"] = bare
    return hops


async def _tap(app: App, delivered_ns: dict[str, int]) -> None:
    """Note when each command comes out of the broker, as a bot's client would get it."""
    async with aiomqtt.Client(**_place(app)) as client:
        await client.subscribe("perpguard/v1/home/shadow/command/#", qos=1)
        async for message in client.messages:
            now = time.time_ns()
            signed = msgspec.json.decode(bytes(message.payload), type=_Signed)
            delivered_ns.setdefault(signed.body.id, now)


async def _hops(path: Path, delivered_ns: dict[str, int], told_ns: dict[str, int]) -> dict[str, list[float]]:
    """Join what the audit says of each command's stations with when the bot had it."""
    hops: dict[str, list[float]] = {name: [] for name in HOPS}
    caused_by_book: set[str] = set()
    async with await SqliteAuditReader.open(path) as reader:
        async for stored in reader.records():
            match stored.record:
                case Step(event=MarketFeatures(), commands=commands):
                    caused_by_book.update(publish.command.id for publish in commands if publish.attempt == 1)
                case Step(event=Tick()):
                    pass
                case Sent(subject=subject, hops_us=us, at=sent_at) if subject in caused_by_book:
                    arrived, told = delivered_ns.get(subject), told_ns.get(subject)
                    if arrived is None or told is None or "durable" not in us or "sample" not in us:
                        continue
                    published_at = sent_at - us["publish"] * 1e3
                    caused_by_book.discard(subject)
                    hops["frame to sample"].append(us["sample"])
                    hops["decide"].append(us["decide"])
                    hops["audit durable"].append(us["durable"])
                    hops["bot verifies and persists"].append((told - arrived) / 1e3)
                    hops["publish to bot"].append((arrived - published_at) / 1e3)
                    hops["frame to bot"].append((arrived - sent_at) / 1e3 + us["total"] + us["sample"])
    if len(hops["frame to bot"]) < COMMANDS:
        raise SystemExit(f"only {len(hops['frame to bot'])} commands were measured, {COMMANDS} are needed")
    return hops


async def _bare_publishes(app: App, count: int) -> list[float]:
    """QoS 1 publish to receive with nothing of ours around it, two clients on the same broker."""
    waited_us = []
    async with aiomqtt.Client(**_place(app)) as receiver, aiomqtt.Client(**_place(app)) as sender:
        await receiver.subscribe("perpguard-benchmark/bare", qos=1)
        incoming = receiver.messages
        payload = bytes(700)  # a signed pause with its evidence is about so long
        for _ in range(count):
            started = time.perf_counter_ns()
            await sender.publish("perpguard-benchmark/bare", payload, qos=1)
            await anext(incoming)
            waited_us.append((time.perf_counter_ns() - started) / 1e3)
            await asyncio.sleep(0.002)
    return waited_us


def _place(app: App) -> dict[str, Any]:
    broker = app.broker
    assert broker is not None
    return {
        "hostname": broker.host,
        "port": broker.port,
        "username": broker.username,
        "password": broker.password,
    }


async def _bare_commits(path: Path, count: int) -> list[float]:
    """One Tick's step in a durable transaction of its own, nothing else going on."""
    waited_us = []
    clock = SystemClock()
    async with await SqliteAudit.open(path) as audit:
        for _ in range(count):
            now = clock.now()
            step = Step(at=now, event=Tick(received_at=now))
            started = time.perf_counter_ns()
            await audit.append([step], durable=True)
            waited_us.append((time.perf_counter_ns() - started) / 1e3)
    return waited_us


def _settings(folder: Path, venue: LoopbackVenue) -> Settings:
    return Settings.model_validate(
        {
            "broker": {"data_dir": str(folder / "broker"), "claim_quiet_s": 1.0},
            "audit": {"path": str(folder / "audit.sqlite3")},
            "bots": [
                {"name": "bot", "key_file": str(folder / "key"), "venue": "binanceusdm", "account": "main"},
            ],
            "venues": [
                {
                    "id": "binanceusdm",
                    "symbols": [SYMBOL],
                    "urls": venue.ccxt_urls(),
                    "sample_ms": SAMPLE_MS,
                    "rate_limit": False,
                }
            ],
            "baseline": {"warm_up_s": 5.0, "half_life_s": 600.0, "recover_ms": 1000},
            "policies": {"pause_entries": {"confirm_s": 0.0, "collapse_s": 600.0}},
            "arbiter": {"hold_down_s": 0.0, "step_s": 0.0},
            "dispatch": {"settle_ms": 0},
        }
    )


def _client_settings(folder: Path, app: App, key: bytes) -> BotClientSettings:
    assert app.broker is not None
    return BotClientSettings(
        bot="bot",
        key=key,
        site="home",
        host=app.broker.host,
        port=app.broker.port,
        username="bot",
        password=app.broker.bot_password("bot"),
        protocol="3.1.1",
        mode=Mode.PAPER,
        venue="binanceusdm",
        account="main",
        symbols=(SYMBOL,),
        verbs={verb: VerbCapability(deadline_ms=1000) for verb in Verb},
        state_path=folder / "bot.json",
        rearm_ms=1000,
    )


def _levels(sign: int, ratio: float) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"{PRICE + sign * (0.5 + index * 5.0):.1f}", f"{2.0 * ratio:.3f}") for index in range(LEVELS)
    )


def _depth(at_ns: int, last: int, ratio: float) -> Frame:
    at_ms = at_ns // 1_000_000

    def side(sign: int) -> str:
        return ",".join(f'["{price}","{size}"]' for price, size in _levels(sign, ratio))

    payload = (
        f'{{"e":"depthUpdate","E":{at_ms},"T":{at_ms},"s":"BTCUSDT","U":{last + 1},"u":{last + 1},"pu":{last},'
        f'"b":[{side(-1)}],"a":[{side(1)}]}}'
    )
    return Frame(at_ns, "BTCUSDT", FrameKind.DEPTH, payload.encode())


def _mark(at_ns: int) -> Frame:
    at_ms = at_ns // 1_000_000
    payload = (
        f'{{"e":"markPriceUpdate","E":{at_ms},"s":"BTCUSDT","p":"{PRICE:.2f}","i":"{PRICE:.2f}","P":"{PRICE:.2f}",'
        f'"r":"0.0001","T":{at_ms + 3_600_000}}}'
    )
    return Frame(at_ns, "BTCUSDT", FrameKind.MARK_PRICE, payload.encode())


def _trade(at_ns: int, number: int) -> Frame:
    payload = wire.trade(
        "BTCUSDT", at_ns // 1_000_000, number, f"{PRICE:.1f}", "0.010", buyer_is_maker=number % 40 == 0
    )
    return Frame(at_ns, "BTCUSDT", FrameKind.TRADE, payload)


def _two(samples: Sequence[float]) -> dict[str, float]:
    return {"p50": quantile(samples, 0.5), "p99": quantile(samples, 0.99)}


def _bootstrap(samples: Sequence[float], share: float) -> tuple[float, float]:
    """Tenth and ninetieth percentile of the quantile over blocks of the run, so that a noisy stretch shows."""
    size = max(len(samples) // 8, 20)
    blocks = [
        quantile(samples[start : start + size], share) for start in range(0, len(samples) - size + 1, size)
    ]
    return quantile(blocks, 0.1), quantile(blocks, 0.9)


if __name__ == "__main__":
    sys.exit(main("latency", measure))
