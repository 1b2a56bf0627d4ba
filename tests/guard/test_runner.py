"""The loop: claim, decide, record, act, beat, and what happens when a part of it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from msgspec import structs

from guard import feeding
from guard.audit import CommandTraced, SessionClosed, SessionOpened, TraceEnd
from guard.engine import Engine
from guard.errors import FencedError
from guard.events import AnyEvent, MarketsSampled, MarkPriceSeen, Tick
from guard.findings import Reason
from guard.hops import Hop
from guard.policy import Policy
from guard.ports import Claim, Emit
from guard.runner import FAR_SIGNALS_MAX, Identity, Runner, World
from guard.units import market_id
from perpguard_sdk.messages import (
    AckStatus,
    Entries,
    GuardState,
    GuardStatus,
    Instruction,
    InstructionKind,
    Mode,
    Posture,
    Signal,
)
from tests.support.builders import (
    ALPHA,
    BETA,
    MARKET,
    SYMBOL,
    SaysWhatItIsTold,
    acked,
    at,
    born,
    features,
    finding,
    new_state,
    posture,
    reported,
)
from tests.support.eventually import eventually
from tests.support.fakes import FakeAudit, FakeClock, FakeFeed, FakeFence, FakeMemory, FakeSink

IDENTITY = Identity(
    guard="guard-1", session="s1", mode=Mode.PAPER, software_version="0.1.0", settings_digest="d"
)


@dataclass
class Stage:
    policies: Sequence[Policy] = ()
    bots: tuple[str, ...] = (ALPHA,)
    clock: FakeClock = field(default_factory=lambda: FakeClock(at(0.0)))
    sink: FakeSink = field(default_factory=FakeSink)
    audit: FakeAudit = field(default_factory=FakeAudit)
    fence: FakeFence = field(default_factory=FakeFence)
    memory: FakeMemory = field(default_factory=FakeMemory)
    feed: FakeFeed = field(default_factory=FakeFeed)
    runner: Runner = field(init=False)
    ticks: int = 0

    def __post_init__(self) -> None:
        engine = Engine(new_state(*map(type(ALPHA), self.bots)), self.policies)
        world = World(
            clock=self.clock,
            feeds=(self.feed,),
            commands=self.sink,
            status=self.sink,
            fence=self.fence,
            audit=self.audit,
            memory=self.memory,
        )
        self.runner = Runner(engine, IDENTITY, world)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.runner.run())
        try:
            await eventually(lambda: self.runner.engine.state.epoch > 0 and self.feed.emit is not None)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def tick(self, count: int = 1, every_ms: float = 250.0) -> None:
        """Let time pass, and wait until the engine has taken note and the heartbeat had its turn."""
        for _ in range(count):
            self.clock.advance(every_ms)
            self.feed.put(Tick(received_at=self.clock.now()))
            await eventually(lambda: self.runner.engine.state.now >= self.clock.now())
            for _ in range(5):
                await asyncio.sleep(0)

    async def take_in(self, *events: AnyEvent) -> None:
        self.feed.put(*events)
        await eventually(lambda: len(self.runner.inbox) == 0)


async def test_it_claims_an_epoch_then_starts_then_publishes_the_first_posture_of_each_bot() -> None:
    stage = Stage(bots=(ALPHA, BETA), memory=FakeMemory(epoch=6))
    async with stage.running():
        await eventually(lambda: len(stage.sink.postures) == 2)

    assert stage.fence.claims == [7]
    assert {(one.bot, one.epoch, one.version) for one in stage.sink.postures} == {(ALPHA, 7, 1), (BETA, 7, 1)}
    opened, step, *_ = stage.audit.records
    assert isinstance(opened, SessionOpened)
    assert opened.epoch == 7
    assert stage.audit.steps[0] == step


async def test_nothing_is_said_before_the_epoch_is_claimed() -> None:
    stage = Stage(policies=[SaysWhatItIsTold([finding(entries=Entries.HALTED)])])
    waiting = asyncio.Event()

    class SlowFence(FakeFence):
        async def claim(self, stored_epoch: int) -> Claim:
            await waiting.wait()
            return await super().claim(stored_epoch)

    stage.runner.world = World(
        **{name: getattr(stage.runner.world, name) for name in World.__slots__ if name != "fence"},
        fence=SlowFence(),
    )
    task = asyncio.create_task(stage.runner.run())
    await eventually(lambda: stage.feed.emit is not None)
    await stage.take_in(born(0.1), reported(0.2))
    await stage.tick(8)
    assert stage.sink.published == []

    waiting.set()
    await eventually(lambda: stage.sink.postures)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert stage.sink.postures[0].entries == {SYMBOL: Entries.HALTED}


async def test_the_newer_of_stored_and_retained_posture_is_the_floor() -> None:
    stored = posture(ALPHA, version=9, epoch=3)
    retained = posture(ALPHA, version=12, epoch=3)
    stage = Stage(memory=FakeMemory(postures={ALPHA: stored}), fence=FakeFence(floors=(retained,)))
    async with stage.running():
        await eventually(lambda: stage.sink.postures)

    assert stage.runner.engine.state.floors == {ALPHA: retained}
    assert stage.sink.postures[0].version == 13


async def test_what_humans_told_a_former_guard_holds_after_a_restart() -> None:
    told = Instruction(
        id="halt-1",
        kind=InstructionKind.HALT,
        author="ada",
        reason="odd fills",
        ts=1,
        expires_at=2**43,
        bot="nobody",
    )
    over = structs.replace(told, id="halt-0", expires_at=2)
    stage = Stage(memory=FakeMemory(instructions=(told, over)))
    async with stage.running():
        await eventually(lambda: stage.sink.postures)

    assert list(stage.runner.engine.state.instructions.told.values()) == [told]


async def test_a_memory_that_cannot_be_read_does_not_stop_it() -> None:
    stage = Stage(memory=FakeMemory(broken=True))
    async with stage.running():
        await eventually(lambda: stage.sink.postures)

    assert stage.fence.claims == [1]


async def test_a_heartbeat_follows_a_processed_tick_about_once_a_second() -> None:
    stage = Stage()
    async with stage.running():
        await stage.tick(41)
        beats = [beat.decided_at for beat in stage.sink.heartbeats]

    gaps = {later - earlier for earlier, later in pairwise(beats)}
    assert len(beats) == 11
    assert gaps == {1_000}
    assert [beat.seq for beat in stage.sink.heartbeats] == list(range(1, 12))


async def test_a_heartbeat_names_the_bots_session_and_the_posture_that_rules() -> None:
    stage = Stage()
    async with stage.running():
        await stage.take_in(born(0.0, session="life-2"))
        await stage.tick(5)

    beat = stage.sink.heartbeats[-1]
    assert (beat.bot_session, beat.epoch, beat.session, beat.posture_version) == ("life-2", 1, "s1", 1)


async def test_an_engine_that_is_stuck_falls_silent() -> None:
    """Time passes, the loop's other tasks live, but no Tick is processed."""
    stage = Stage()
    async with stage.running():
        await stage.tick(5)
        before = len(stage.sink.heartbeats)
        for _ in range(40):
            stage.clock.advance(250.0)
            await asyncio.sleep(0)

    assert before >= 1
    assert len(stage.sink.heartbeats) == before


async def test_a_status_topic_that_hangs_does_not_stop_the_heartbeat() -> None:
    stage = Stage()

    class HangingStatus(FakeSink):
        async def publish_state(self, state: GuardState) -> None:
            await asyncio.Event().wait()

    stage.runner.world = World(
        **{name: getattr(stage.runner.world, name) for name in World.__slots__ if name != "status"},
        status=HangingStatus(),
    )
    async with stage.running():
        await stage.tick(20)

    assert len(stage.sink.heartbeats) >= 4


async def test_a_policy_that_raises_becomes_a_finding_and_the_others_run() -> None:
    broken = SaysWhatItIsTold(name="broken", error=ZeroDivisionError("by zero"))
    pause = SaysWhatItIsTold([finding(entries=Entries.HALTED)])
    stage = Stage(policies=[broken, pause])
    async with stage.running():
        await stage.take_in(born(0.0), reported(0.1))
        await eventually(lambda: any(one.entries for one in stage.sink.postures))
        await stage.tick(5)
        await eventually(lambda: stage.sink.states)
        state = stage.sink.states[-1]

    assert stage.sink.postures[-1].entries == {SYMBOL: Entries.HALTED}
    assert state.state is GuardStatus.DEGRADED
    assert any("policy_raised" in problem and "by zero" in problem for problem in state.problems)
    assert Reason.POLICY_RAISED in {one.reason for one in stage.runner.engine.findings}


async def test_a_fenced_guard_ends() -> None:
    stage = Stage(fence=FakeFence(fenced=True))

    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(stage.runner.run(), 5.0)

    assert raised.group_contains(FencedError)
    assert stage.sink.published == []


async def test_it_claims_once_more_when_a_bot_obeys_a_higher_epoch() -> None:
    stage = Stage()
    async with stage.running():
        await stage.take_in(born(0.0), reported(0.1, epoch=41, version=90))
        await eventually(lambda: stage.runner.engine.state.epoch == 42)
        await eventually(lambda: any(one.epoch == 42 for one in stage.sink.postures))
        await stage.take_in(*(reported(0.2 + n / 100, epoch=41, version=90) for n in range(50)))
        await stage.tick(8)

    assert stage.fence.claims == [1, 42]
    assert stage.sink.postures[-1].version > 90


async def test_a_bot_that_obeys_another_guard_fences_this_one() -> None:
    stage = Stage()
    task = asyncio.create_task(stage.runner.run())
    await eventually(lambda: stage.runner.engine.state.epoch > 0 and stage.feed.emit is not None)
    stage.fence.fenced = True
    stage.feed.put(reported(0.1, epoch=41))

    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(task, 5.0)

    assert raised.group_contains(FencedError)


async def test_each_attempt_of_a_feed_is_a_task_that_nobody_has_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Grouped(FakeFeed):
        marks: tuple[int, ...] = ()

        async def run(self, emit: Emit) -> None:
            task = asyncio.current_task()
            assert task is not None
            self.marks += (task.cancelling(),)
            if len(self.marks) == 1:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._fail())
            await super().run(emit)

        async def _fail(self) -> None:
            raise RuntimeError("a part of a feed with a fault")

    monkeypatch.setattr(feeding, "FEED_RETRY_S", 0.0)
    feed = Grouped()
    async with Stage(feed=feed).running():
        assert feed.marks == (0, 0)


async def test_a_feed_that_fails_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "FEED_RETRY_S", 0.01)
    stage = Stage(feed=FakeFeed(failures=3))
    async with stage.running():
        await stage.tick(5)

    assert stage.feed.started == 4
    assert stage.sink.heartbeats


async def test_a_broker_that_comes_back_gets_the_posture_again_by_its_refresh() -> None:
    stage = Stage()
    stage.sink.down = True
    async with stage.running():
        await stage.tick(8)
        assert stage.sink.published == []
        stage.sink.down = False
        await stage.tick(48)
        await eventually(lambda: stage.sink.postures)

    first: Posture = stage.sink.postures[0]
    assert first.version == 1
    assert first.expires_at > first.ts


async def test_at_its_end_it_writes_what_is_left_and_that_it_ended() -> None:
    stage = Stage()
    async with stage.running():
        await stage.tick(5)
    stage.audit.records.clear()
    stage.runner.journal.put(SessionClosed(at=1, session="left over", why="test"))

    await stage.runner.close("SIGTERM")

    left, closed = stage.audit.records
    assert isinstance(left, SessionClosed)
    assert isinstance(closed, SessionClosed)
    assert (left.session, closed.session, closed.why) == ("left over", "s1", "SIGTERM")


async def test_the_way_of_a_command_is_in_the_record_once_the_bot_has_answered() -> None:
    stage = Stage(policies=[SaysWhatItIsTold([finding(entries=Entries.HALTED)])])
    async with stage.running():
        await stage.take_in(born(0.5), reported(0.5), features(0.5))
        await eventually(lambda: len(stage.sink.commands) == 1)
        stage.clock.advance(100.0)
        await stage.take_in(acked(0.6, stage.sink.commands[0], AckStatus.RECEIVED))
        await stage.tick()
        await eventually(lambda: any(isinstance(each, CommandTraced) for each in stage.audit.records))

    (traced,) = [each for each in stage.audit.records if isinstance(each, CommandTraced)]
    assert (traced.command_id, traced.end) == (stage.sink.commands[0].id, TraceEnd.ANSWERED)
    assert list(traced.hops_ns)[-4:] == [Hop.DECIDE, Hop.DURABLE, Hop.PUBLISH, Hop.BOT]


async def test_the_way_of_a_command_that_is_under_way_is_recorded_when_the_guard_stops() -> None:
    stage = Stage(policies=[SaysWhatItIsTold([finding(entries=Entries.HALTED)])])
    async with stage.running():
        await stage.take_in(born(0.5), reported(0.5), features(0.5))
        await eventually(lambda: len(stage.audit.sent) >= 1)
    await stage.runner.close("asked to")

    *_, traced, closed = stage.audit.records
    assert isinstance(traced, CommandTraced)
    assert traced.end is TraceEnd.STOPPED
    assert isinstance(closed, SessionClosed)


def signals(stage: Stage) -> list[Signal]:
    return [message for message in stage.sink.published if isinstance(message, Signal)]


async def test_markets_that_nobody_trades_are_shown_a_few_at_a_time_and_each_in_its_turn() -> None:
    stage = Stage()
    far = [market_id("loopback", f"FAR{number}/USDT:USDT") for number in range(2 * FAR_SIGNALS_MAX)]
    beats: list[list[str]] = []
    async with stage.running():
        now = stage.clock.now()
        samples = tuple(structs.replace(features(0.0, market=market), received_at=now) for market in far)
        await stage.take_in(MarketsSampled(received_at=now, samples=samples))
        stage.runner.inbox.prefer({MARKET}, frozenset())
        for _ in range(2):
            stage.sink.published.clear()
            await stage.tick(4)
            await eventually(lambda: len(signals(stage)) > FAR_SIGNALS_MAX)
            beats.append([signal.symbol for signal in signals(stage)])

    shown = [symbol for beat in beats for symbol in beat]
    assert [len(beat) for beat in beats] == [FAR_SIGNALS_MAX + 1] * 2, "and the one that is held every time"
    assert len(set(shown)) == 2 * FAR_SIGNALS_MAX + 1


async def test_many_prices_are_taken_in_one_turn_and_a_tick_ends_it() -> None:
    stage = Stage()
    async with stage.running():
        now = stage.clock.now()
        markets = [market_id("loopback", f"M{number}/USDT:USDT") for number in range(300)]
        stage.feed.put(*(MarkPriceSeen(received_at=now, market=market, mark_price=1.0) for market in markets))
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(stage.runner.inbox) == 0
        assert {stage.runner.engine.state.markets[market].mark_price for market in markets} == {1.0}
