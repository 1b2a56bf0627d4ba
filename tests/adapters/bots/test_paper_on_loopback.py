"""The paper bot as it will run: real ccxt on the loopback venue, a real mosquitto, a process to kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.bots.paper import PaperBot
from adapters.bots.settings import PaperBotSettings
from adapters.simulation import LoopbackSettings, LoopbackVenue, VenueAccountSpec, generated_source
from perpguard_sdk.messages import AckStatus, Entries, Mode, Pause, StopRule, WidenStops
from tests.adapters.simulation.steady import SteadySource
from tests.sdk.bench import KEY, Guard
from tests.sdk.wire_guard import GuardOnTheWire
from tests.support.brokers import Broker
from tests.support.eventually import eventually

SYMBOL = "BTC/USDT:USDT"
ALPHA = VenueAccountSpec("alpha", "key-alpha", "secret-alpha", 10_000.0)
BETA = VenueAccountSpec("beta", "key-beta", "secret-beta", 10_000.0)
STRATEGY = {
    "leverage": 10,
    "slice_usd": 12_000,
    "slices_max": 4,
    "dip_bps": 60,
    "stop_bps": 400,
    "reentry_s": 2,
}


def settings(
    tmp_path: Path, venue: LoopbackVenue, broker: Broker | None = None, **changes: Any
) -> dict[str, Any]:
    name = str(changes.get("name", "alpha"))
    (tmp_path / "bot.key").write_bytes(KEY + b"\n")
    (tmp_path / f"{name}.api_key").write_text(f"key-{name}")
    (tmp_path / f"{name}.api_secret").write_text(f"secret-{name}")
    return {
        "name": name,
        "key_file": str(tmp_path / "bot.key"),
        "broker": {"host": broker.host, "port": broker.port} if broker else {},
        "mode": "paper",
        "account": name,
        "venue_urls": venue.ccxt_urls(),
        "api_key_file": str(tmp_path / f"{name}.api_key"),
        "api_secret_file": str(tmp_path / f"{name}.api_secret"),
        "symbol": SYMBOL,
        "strategy": STRATEGY,
        "guarded": broker is not None,
        "state_dir": str(tmp_path / f"{name}-state"),
        "dead_man_ms": 1_500,
        "rearm_ms": 600,
        "report_ms": 300,
    } | changes


@contextlib.asynccontextmanager
async def running(*runners: PaperBot | GuardOnTheWire) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(runner.run()) for runner in runners]
    try:
        yield
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result


def steady_venue(*accounts: VenueAccountSpec) -> LoopbackVenue:
    """A minute that stands still, ten marks a second."""
    return LoopbackVenue(SteadySource((60_000.0,) * 600, size=50.0), accounts=accounts or (ALPHA,))


def size_of(venue: LoopbackVenue, name: str = "alpha") -> float:
    return float(sum(position.amount for position in venue.account_state(name).positions))


def stops_of(venue: LoopbackVenue, name: str = "alpha") -> list[float]:
    orders = venue.account_state(name).open_orders
    return [float(order.trigger_price) for order in orders if order.trigger_price]


def journal(path: Path, what: str) -> list[dict[str, Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in map(json.loads, lines) if line["what"] == what]


@contextlib.asynccontextmanager
async def armed_bot(
    tmp_path: Path, broker: Broker, **changes: Any
) -> AsyncIterator[tuple[LoopbackVenue, GuardOnTheWire, PaperBot]]:
    """A guarded bot that has opened its position, with the guard and the venue around it."""
    guard = GuardOnTheWire(broker, Guard(mode=Mode.PAPER))
    async with steady_venue() as venue:
        bot = PaperBot(PaperBotSettings.model_validate(settings(tmp_path, venue, broker, **changes)))
        async with running(guard, bot):
            await eventually(lambda: guard.bot_session != "", within_s=20)
            await guard.posture()
            await eventually(lambda: bot.is_ready, within_s=20)
            await eventually(lambda: size_of(venue) == 0.4 and len(stops_of(venue)) == 1, within_s=20)
            yield venue, guard, bot


async def test_it_trades_on_the_venue_through_real_ccxt(tmp_path: Path) -> None:
    async with steady_venue() as venue:
        bot = PaperBot(PaperBotSettings.model_validate(settings(tmp_path, venue)))
        async with running(bot):
            await eventually(lambda: size_of(venue) == 0.4, within_s=20)
            await eventually(lambda: len(stops_of(venue)) == 1)
            assert bot.is_ready
        state = venue.account_state("alpha")
        assert state.positions[0].leverage == 10
        assert stops_of(venue)[0] == pytest.approx(60_000 * 0.96, rel=1e-3)
        assert len(journal(bot.journal_path, "entry")) == 2


async def test_it_obeys_and_the_venue_shows_it(tmp_path: Path, mosquitto_broker: Broker) -> None:
    async with armed_bot(tmp_path, mosquitto_broker) as (venue, guard, bot):
        cut = await guard.command(max_size=0.25, max_leverage=3.0)
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(cut))
        assert size_of(venue) == 0.25
        assert venue.account_state("alpha").positions[0].leverage == 3
        widen = await guard.command(kind=WidenStops, max_size=0.1, stop=StopRule(stop_price=54_000.0))
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(widen))
        assert (size_of(venue), stops_of(venue)) == (0.1, [54_000.0])
        pause = await guard.command(kind=Pause, entries=Entries.HALTED)
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(pause))
        assert not bot.limits.may_enter(SYMBOL)
        await eventually(
            lambda: guard.reported is not None and [p.size for p in guard.reported.positions] == [0.1]
        )
        assert stops_of(venue) == [54_000.0]
        assert [line["command_id"] for line in journal(bot.journal_path, "command")] == [cut, widen, pause]


async def test_a_silent_guard_stops_entries_and_leaves_position_and_stop(
    tmp_path: Path, mosquitto_broker: Broker
) -> None:
    async with armed_bot(tmp_path, mosquitto_broker) as (venue, guard, bot):
        guard.beating = False
        await eventually(lambda: not bot.is_ready)
        assert (size_of(venue), len(stops_of(venue))) == (0.4, 1)
        assert not bot.limits.may_enter(SYMBOL)


async def test_ack_only_answers_applied_and_the_venue_shows_nothing(
    tmp_path: Path, mosquitto_broker: Broker
) -> None:
    async with armed_bot(tmp_path, mosquitto_broker, fault="ack_only") as (venue, guard, bot):
        cut = await guard.command(max_size=0.1)
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(cut))
        assert size_of(venue) == 0.4
        assert journal(bot.journal_path, "command") == []


async def test_mute_obeys_and_never_acknowledges(tmp_path: Path, mosquitto_broker: Broker) -> None:
    async with armed_bot(tmp_path, mosquitto_broker, fault="mute") as (venue, guard, _):
        await guard.command(max_size=0.1)
        await eventually(lambda: size_of(venue) == 0.1)
        assert guard.acks == []


async def test_two_bots_on_one_falling_market_end_equal(tmp_path: Path) -> None:
    source = generated_source("fall", seed=3, duration_s=14.0, calm_share=0.3, fall_ratio=0.06)
    loopback = LoopbackSettings(refill_ms=0, match_every_ms=500)
    async with LoopbackVenue(source, accounts=(ALPHA, BETA), hold=True, settings=loopback) as venue:
        made = [settings(tmp_path, venue, name=name) for name in ("alpha", "beta")]
        bots = [PaperBot(PaperBotSettings.model_validate(each)) for each in made]
        async with running(*bots):
            await eventually(lambda: all(bot.is_ready for bot in bots), within_s=20)
            venue.begin()
            await venue.finished()
        alpha, beta = venue.account_state("alpha"), venue.account_state("beta")
        assert alpha.fills > 3
        assert (alpha.equity_usdt, alpha.fills) == (beta.equity_usdt, beta.fills)


async def start_process(file: Path) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "adapters.bots.paper", "--settings", str(file),
        stdout=asyncio.subprocess.DEVNULL, cwd=Path(__file__).parents[3],
    )  # fmt: skip


async def test_a_killed_process_comes_back_and_executes_nothing_twice(
    tmp_path: Path, mosquitto_broker: Broker
) -> None:
    guard = GuardOnTheWire(mosquitto_broker, Guard(mode=Mode.PAPER))
    file, log = tmp_path / "bot.json", tmp_path / "alpha-state" / "alpha.journal.jsonl"
    async with steady_venue() as venue, running(guard):
        file.write_text(json.dumps(settings(tmp_path, venue, mosquitto_broker)))
        process = await start_process(file)
        try:
            await eventually(lambda: guard.bot_session != "", within_s=30)
            await guard.posture()
            await eventually(lambda: size_of(venue) == 0.4, within_s=30)
            cut = await guard.command(life_ms=60_000, max_size=0.2)
            await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(cut), within_s=10)
            sent = guard.tape[-1] if "/command/" in guard.tape[-1][0] else None
            sent = sent or next(each for each in reversed(guard.tape) if "/command/" in each[0])
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            before, guard.acks = guard.bot_session, []
            process = await start_process(file)
            await eventually(lambda: guard.bot_session != before, within_s=30)
            await guard.say(sent)
            await eventually(lambda: guard.statuses_of(cut) == [AckStatus.APPLIED], within_s=10)
            assert [line["command_id"] for line in journal(log, "command")] == [cut]
            assert size_of(venue) == 0.2
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 10) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
