"""What measuring the way of commands needs: market, bot and daemon as processes of their own, bare figures, hops.

Run as ``python -m benchmarks._latency_parts venue|daemon|bot``: each reads JSON lines and writes JSON lines. What is
measured in one process with its measurer is measured wrong: a bot that syncs its file holds up everybody's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec

from adapters.clock import SystemClock
from adapters.log import LogSettings, configure_logging
from adapters.simulation import wire
from adapters.simulation.source import Frame, FrameKind, OpeningBook, SymbolSpec
from adapters.simulation.venue import LoopbackVenue
from adapters.storage.audit import SqliteAudit
from adapters.storage.reader import SqliteAuditReader
from guard.app import App
from guard.audit import CommandTraced, Step
from guard.configuration import Settings
from guard.events import MarketFeatures, MarketsSampled, Tick
from guard.hops import Hop
from perpguard_sdk.client import BotClient
from perpguard_sdk.client_settings import BotClientSettings
from perpguard_sdk.executor import BotView
from perpguard_sdk.limits import Limits
from perpguard_sdk.messages import Command, Effect, Mode, Verb, VerbCapability

SYMBOL = "BTC/USDT:USDT"
WARM_UP_S = 9.0
STEP_MS = 50
STEPS_A_PHASE = 6
"""Makers stay away, and then stay, for 0.3 s each."""

LEVELS = 300
PRICE = 60_000.0
COMMAND_BYTES = 700
"""A signed pause with its evidence is about so long."""

READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a broker is, and as whom to speak to it."""

    hostname: str
    port: int
    username: str
    password: str

    def client(self) -> aiomqtt.Client:
        """A bare client, not connected yet."""
        return aiomqtt.Client(
            self.hostname, self.port, username=self.username, password=self.password, timeout=10.0
        )


class _Identified(msgspec.Struct):
    id: str


class _Signed(msgspec.Struct):
    body: _Identified


async def note_deliveries(place: Place, delivered_ns: dict[str, int], *, topic: str) -> None:
    """Note until cancelled when each command comes out of the broker, as a bot's client would get it."""
    async with place.client() as client:
        await client.subscribe(topic, qos=1)
        async for message in client.messages:
            now = time.time_ns()
            signed = msgspec.json.decode(bytes(message.payload), type=_Signed)
            delivered_ns.setdefault(signed.body.id, now)


async def bare_publishes(place: Place, waited_us: list[float], pause_s: float) -> None:
    """Publish and receive (QoS 1) until cancelled, with nothing of ours around it: two clients, one broker."""
    async with place.client() as receiver, place.client() as sender:
        await receiver.subscribe("perpguard-benchmark/bare", qos=1)
        incoming = receiver.messages
        while True:
            await asyncio.sleep(pause_s)
            started = time.perf_counter_ns()
            await sender.publish("perpguard-benchmark/bare", bytes(COMMAND_BYTES), qos=1)
            await anext(incoming)
            waited_us.append((time.perf_counter_ns() - started) / 1e3)


async def bare_commits(path: Path, waited_us: list[float], pause_s: float) -> None:
    """Commit one record in a durable transaction of its own, on the same disk, until cancelled."""
    clock = SystemClock()
    async with await SqliteAudit.open(path) as audit:
        while True:
            await asyncio.sleep(pause_s)
            now = clock.now()
            step = Step(at=now, event=Tick(received_at=now))
            started = time.perf_counter_ns()
            await audit.append([step], durable=True)
            waited_us.append((time.perf_counter_ns() - started) / 1e3)


@dataclass(slots=True)
class Way:
    """One command as the daemon's record and the other ends have it; times in Unix nanoseconds."""

    traced: CommandTraced
    verb: Verb
    event_at: int
    """When the event that caused it arrived: for a sample, when the book was sampled."""
    delivered_at: int | None = None
    told_at: int | None = None

    @property
    def published_at(self) -> int:
        """When it was free to be published: decided, and on the disk."""
        hops = self.traced.hops_ns
        return self.event_at + sum(
            hops.get(hop, 0) for hop in (Hop.FEATURES, Hop.CAUSE, Hop.DECIDE, Hop.DURABLE)
        )


async def ways_of(
    path: Path, delivered_ns: dict[str, int], told_ns: dict[str, int], *, by_sample: bool = True
) -> list[Way]:
    """Join the record of each command's first attempt with when it came out of the broker and to the bot.

    Args:
        path: the audit.
        delivered_ns: by command, when it came out of the broker.
        told_ns: by command, when the bot was told to execute it.
        by_sample: leave out what something else than a sample of its market caused.
    """
    caused_at: dict[str, tuple[Verb, int]] = {}
    ways = []
    async with await SqliteAuditReader.open(path) as reader:
        async for stored in reader.records():
            match stored.record:
                case Step(event=event, commands=commands):
                    for publish in commands:
                        if publish.attempt == 1:
                            command = publish.command
                            caused_at[command.id] = command.verb, _arrived_at(event, command)
                case CommandTraced(command_id=name, attempt=1) as traced:
                    if by_sample and Hop.FEATURES not in traced.hops_ns:
                        continue
                    ways.append(Way(traced, *caused_at[name], delivered_ns.get(name), told_ns.get(name)))
                case _:
                    pass
    return ways


def _arrived_at(event: Any, command: Command) -> int:
    if isinstance(event, MarketsSampled):
        samples: Sequence[MarketFeatures] = event.samples
        return next(
            (each.received_at for each in samples if each.market.endswith(f":{command.symbol}")),
            event.received_at,
        )
    return int(event.received_at)


def hops_us(ways: Sequence[Way]) -> dict[str, list[float]]:
    """Each hop of all commands in microseconds, by its name; and ``event to bot``, ``frame to bot`` and the like.

    A resume follows its posture, which the broker has by then: it is ``resume, event to bot``.
    """
    found: dict[str, list[float]] = {}
    for way in ways:
        for hop, took_ns in way.traced.hops_ns.items():
            found.setdefault(str(hop), []).append(took_ns / 1e3)
        if way.delivered_at is None:
            continue
        which = "resume, " if way.verb is Verb.RESUME else ""
        found.setdefault(f"{which}publish to bot", []).append((way.delivered_at - way.published_at) / 1e3)
        found.setdefault(f"{which}event to bot", []).append((way.delivered_at - way.event_at) / 1e3)
        sampling_ns = way.traced.hops_ns.get(Hop.SAMPLE)
        if sampling_ns is not None:
            whole_ns = way.delivered_at - way.event_at + sampling_ns
            found.setdefault(f"{which}frame to bot", []).append(whole_ns / 1e3)
        if way.told_at is not None:
            found.setdefault("bot verifies and persists", []).append((way.told_at - way.delivered_at) / 1e3)
    return found


def delivered(ways: Sequence[Way]) -> list[Way]:
    """Those whose first attempt went the whole way to the bot; whether it answered before it was judged or not."""
    return [way for way in ways if way.delivered_at is not None and Hop.PUBLISH in way.traced.hops_ns]


# Processes


@dataclass(slots=True)
class Child:
    """A process of this module: lines of JSON in and out."""

    process: asyncio.subprocess.Process

    async def told(self, timeout_s: float = READY_S) -> Any:
        """The next line that it says."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), timeout_s)
        if not line:
            raise SystemExit(f"a process of the benchmark ended with {await self.process.wait()}")
        return json.loads(line)

    def tell(self, message: Any) -> None:
        """Say one line to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")


@contextlib.asynccontextmanager
async def child(role: str, first: Any, log: Path) -> AsyncIterator[Child]:
    """Run one role beside us; it ends when the context does."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks._latency_parts",
            role,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            limit=2**24,
        )
        running = Child(process)
        try:
            running.tell(first)
            yield running
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 15.0)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=2**24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _say(message: Any) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


async def _venue() -> None:
    """Say the URLs, begin at the next line, say when the market is over, end with the input."""
    lines = await _lines()
    venue = LoopbackVenue(FlickeringMarket(json.loads(await lines.readline())), hold=True)
    async with venue:
        _say(venue.ccxt_urls())
        await lines.readline()
        venue.begin()
        await venue.finished()
        _say("finished")
        await lines.read()


async def _daemon() -> None:
    """Run the daemon by the settings of the first line; say where its broker is; end in order with the input."""
    lines = await _lines()
    configure_logging(LogSettings())
    app = App(Settings.model_validate(json.loads(await lines.readline())))
    await app.start()
    try:
        broker = app.broker
        assert broker is not None
        _say(
            {
                "place": [broker.host, broker.port, broker.username, broker.password],
                "bots": {bot.name: broker.bot_password(bot.name) for bot in app.settings.bots},
            }
        )
        await lines.read()
    finally:
        await app.stop("measured")


async def _bot() -> None:
    """Run a bot; say when the guard has armed it; with the input's end say when each command was told."""
    lines = await _lines()
    given = json.loads(await lines.readline())
    bot = Bot()
    client = BotClient(
        BotClientSettings(
            **given,
            key=Path(given["state_path"]).with_name("key").read_bytes(),
            mode=Mode.PAPER,
            verbs={verb: VerbCapability(deadline_ms=1000) for verb in Verb},
            rearm_ms=1000,
        ),
        bot,
    )
    running = asyncio.create_task(client.run(), name="bot")
    while client.state.safe_mode:  # noqa: ASYNC110 (the client has no event for it)
        await asyncio.sleep(0.05)
    _say("armed")
    await lines.readline()
    _say(bot.told_ns)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


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


if __name__ == "__main__":
    asyncio.run({"venue": _venue, "daemon": _daemon, "bot": _bot}[sys.argv[1]]())
