"""Record before acting: what may overtake the disk, and what never does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec import structs

from adapters.clock import SystemClock
from guard.audit import AuditGap, Sent, Step
from guard.commands import PublishCommand, PublishPosture
from guard.events import AnyEvent, CommandSent
from guard.journal import Journal
from guard.outbox import Outbox
from perpguard_sdk.messages import Command, Entries, Pause, Posture, Resume
from tests.support.builders import ALPHA, SYMBOL, at, features, new_state, posture, tick
from tests.support.eventually import eventually
from tests.support.fakes import FakeAudit, FakeSink

HALTED = {SYMBOL: Entries.HALTED}
PAUSED = {SYMBOL: Entries.REDUCE_ONLY}


@dataclass
class Bench:
    audit: FakeAudit = field(default_factory=FakeAudit)
    sink: FakeSink = field(default_factory=FakeSink)
    clock: SystemClock = field(default_factory=SystemClock)
    events: list[AnyEvent] = field(default_factory=list)
    journal: Journal = field(init=False)
    outbox: Outbox = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self.audit, self.clock, self.events.append)
        self.outbox = Outbox(self.journal, self.sink, self.clock, self.events.append)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.journal.run()), asyncio.create_task(self.outbox.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def put(self, *postures: PublishPosture, commands: Sequence[Command] = (), seconds: float = 0.0) -> Step:
        step = Step(
            at=at(seconds),
            event=tick(seconds),
            postures=postures,
            commands=tuple(PublishCommand(command=command, attempt=1) for command in commands),
        )
        self.outbox.put(step, self.clock.now())
        return step

    @property
    def sent_versions(self) -> list[int]:
        return [posture.version for posture in self.sink.postures]


def tightened(version: int, **restrictions: Any) -> PublishPosture:
    return PublishPosture(
        posture=posture(version=version, entries=PAUSED, **restrictions), tightens=True, changed=True
    )


def loosened(version: int, **restrictions: Any) -> PublishPosture:
    return PublishPosture(posture=posture(version=version, **restrictions), tightens=False, changed=True)


def refreshed(version: int, **restrictions: Any) -> PublishPosture:
    return PublishPosture(posture=posture(version=version, **restrictions), tightens=False, changed=False)


def command(kind: type[Pause | Resume], number: int = 1) -> Command:
    return kind(
        id=f"c{number}",
        bot=ALPHA,
        epoch=3,
        seq=number,
        ts=0,
        expires_at=1,
        posture_version=8,
        symbol=SYMBOL,
        reason="depth_thin",
        dry_run=True,
        entries=Entries.REDUCE_ONLY,
    )


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_step_is_on_the_disk_before_anything_of_it_is_sent(bench: Bench) -> None:
    async with bench.running():
        step = bench.put(tightened(8), commands=[command(Pause)])
        await eventually(lambda: len(bench.sink.published) == 2)
        await eventually(lambda: len(bench.audit.sent) == 2)

    assert bench.audit.records[0] == step
    assert all(isinstance(record, Sent) for record in bench.audit.records[1:])


async def test_a_tightening_goes_first_as_the_command_and_a_resume_last(bench: Bench) -> None:
    async with bench.running():
        bench.put(tightened(8), commands=[command(Resume, 1), command(Pause, 2)])
        await eventually(lambda: len(bench.sink.published) == 3)

    assert [type(message).__name__ for message in bench.sink.published] == ["Pause", "Posture", "Resume"]


async def test_a_tightening_goes_out_after_50_ms_when_the_disk_hangs_and_the_gap_is_told(
    bench: Bench,
) -> None:
    bench.audit.hang()
    async with bench.running():
        began = bench.clock.now()
        bench.put(tightened(8), commands=[command(Pause)])
        await eventually(lambda: len(bench.sink.published) == 2)
        waited_ms = (bench.clock.now() - began) / 1e6
        bench.audit.answer()
        await eventually(lambda: any(isinstance(record, AuditGap) for record in bench.audit.records))

    assert 45.0 <= waited_ms < 400.0


async def test_many_tightenings_behind_a_disk_that_hangs_wait_together_and_not_in_turn(bench: Bench) -> None:
    bench.audit.hang()
    async with bench.running():
        began = bench.clock.now()
        for version in range(8, 28):
            bench.put(tightened(version))
        await eventually(lambda: len(bench.sink.published) == 20)
        waited_ms = (bench.clock.now() - began) / 1e6

    assert waited_ms < 500.0, "twenty times 50 ms would be a second"


async def test_a_loosening_waits_for_the_disk_and_holds_nothing_up(bench: Bench) -> None:
    async with bench.running():
        bench.put(tightened(7))
        await eventually(lambda: bench.sent_versions == [7])
        bench.audit.hang()
        bench.put(loosened(8), commands=[command(Resume)])
        bench.put(tightened(9), commands=[command(Pause, 2)])
        await eventually(lambda: len(bench.sink.published) == 3)
        assert [type(message).__name__ for message in bench.sink.published[1:]] == ["Pause", "Posture"]
        bench.audit.answer()
        await eventually(lambda: len(bench.sink.published) == 5)

    assert isinstance(bench.sink.published[-1], Resume)
    assert bench.sent_versions == [7, 9, 9], "the loosening of version 8 is history"


async def test_the_first_posture_of_an_epoch_waits_for_the_disk_and_so_do_those_behind_it(
    bench: Bench,
) -> None:
    """The bot may remember a tighter one of a guard of which nobody else knows; a command only tightens."""
    bench.audit.hang()
    async with bench.running():
        bench.put(loosened(1))
        bench.put(tightened(2), commands=[command(Pause)])
        bench.put(refreshed(2))
        bench.put(commands=[command(Pause, 2)])  # behind all the others
        await eventually(lambda: len(bench.sink.published) == 2)
        assert bench.sent_versions == []
        bench.audit.answer()
        await eventually(lambda: bench.sent_versions == [2])
        bench.audit.hang()
        bench.put(PublishPosture(posture=posture(version=3, epoch=9), tightens=False, changed=True))
        bench.put(commands=[command(Pause, 3)])
        await eventually(lambda: len(bench.sink.published) == 4)

    assert bench.sent_versions == [2], "what was sent in the last epoch says nothing of the next"


async def test_a_refresh_does_not_leak_a_loosening_that_is_held_back(bench: Bench) -> None:
    async with bench.running():
        bench.put(tightened(8))
        await eventually(lambda: bench.sent_versions == [8])
        bench.audit.hang()
        bench.put(loosened(9))
        bench.put(refreshed(9))
        await eventually(lambda: len(bench.sink.postures) == 2)
        assert bench.sink.postures[-1].entries == PAUSED
        bench.audit.answer()
        await eventually(lambda: len(bench.sink.postures) == 3)

    last: Posture = bench.sink.postures[-1]
    assert (last.version, last.entries) == (9, {})
    assert last.ts > bench.sink.postures[1].ts, "a bot takes only what is newer"


async def test_a_tightening_of_something_else_does_not_leak_it_either(bench: Bench) -> None:
    other = {"ETH/USDT:USDT": 1.0}
    async with bench.running():
        bench.put(tightened(8))
        await eventually(lambda: bench.sent_versions == [8])
        bench.audit.hang()
        bench.put(loosened(9))
        bench.put(PublishPosture(posture=posture(version=10, max_size=other), tightens=True, changed=True))
        await eventually(lambda: bench.sent_versions == [8, 10])
        ahead = bench.sink.postures[-1]
        bench.audit.answer()
        await eventually(lambda: len(bench.sink.postures) == 3)

    assert (ahead.entries, ahead.max_size) == (PAUSED, other)
    assert (bench.sink.postures[-1].entries, bench.sink.postures[-1].max_size) == ({}, other)


async def test_a_loosening_is_not_carried_out_by_an_older_one_that_is_written(bench: Bench) -> None:
    """While the later one waits its 50 ms with a command, the earlier one's record comes onto the disk."""
    async with bench.running():
        bench.put(tightened(8))
        await eventually(lambda: bench.sent_versions == [8])
        bench.audit.hang()
        bench.put(PublishPosture(posture=posture(version=9, entries=HALTED), tightens=False, changed=True))
        await asyncio.sleep(0)  # the journal takes the batch that holds this one alone
        await asyncio.sleep(0)
        bench.put(loosened(10), commands=[command(Pause)])
        await asyncio.sleep(0)
        bench.audit.answer_once()
        await eventually(lambda: len(bench.sink.commands) == 1)
        assert all(each.entries for each in bench.sink.postures)
        bench.audit.answer()
        await eventually(lambda: bench.sink.postures[-1].entries == {})


async def test_a_refresh_alone_is_neither_recorded_nor_delayed(bench: Bench) -> None:
    bench.audit.hang()
    async with bench.running():
        bench.put(refreshed(8))
        await eventually(lambda: bench.sent_versions == [8])

    assert bench.audit.records == []


async def test_a_broker_that_is_away_is_told_to_the_engine_and_recorded(bench: Bench) -> None:
    bench.sink.down = True
    async with bench.running():
        bench.put(tightened(8), commands=[command(Pause)])
        await eventually(lambda: len(bench.audit.sent) == 2)

    sent = [event for event in bench.events if isinstance(event, CommandSent)]
    assert [(event.command_id, event.ok) for event in sent] == [("c1", False)]
    assert "away" in sent[0].detail
    assert [record.ok for record in bench.audit.sent] == [False, False]


async def test_records_are_written_while_the_broker_hangs(bench: Bench) -> None:
    bench.sink.hangs = True
    async with bench.running():
        steps = [bench.put(tightened(version)) for version in (8, 9, 10)]
        await eventually(lambda: bench.audit.steps == steps)


async def test_commands_to_many_bots_wait_for_the_broker_together_and_not_in_turn(bench: Bench) -> None:
    answers = asyncio.Event()

    class SlowSink(FakeSink):
        async def publish_command(self, command: Command) -> None:
            await super().publish_command(command)
            await answers.wait()

    bench.outbox.sink = sink = SlowSink()
    async with bench.running():
        bench.put(tightened(8), commands=[command(Pause, number) for number in range(10)])
        await eventually(lambda: len(sink.commands) == 10)
        assert sink.postures == [], "the fast edge first"
        answers.set()
        await eventually(lambda: len(sink.postures) == 1)

    assert [each.id for each in sink.commands] == [f"c{number}" for number in range(10)]


async def test_a_command_that_is_followed_tells_its_hops_from_its_market_on(bench: Bench) -> None:
    sample = structs.replace(features(1.0), book_at=at(0.9))
    step = Step(at=at(1.0), event=sample, commands=(PublishCommand(command=command(Pause), attempt=1),))
    begun = bench.clock.now()
    bench.outbox.traces.after(step, new_state(ALPHA), begun, begun + 1_000)
    async with bench.running():
        bench.outbox.put(step, begun + 1_000)
        await eventually(lambda: len(bench.audit.sent) == 1)

    (sent,) = bench.audit.sent
    assert list(sent.hops_us) == ["sample", "features", "decide", "durable", "publish", "total"]
    assert (sent.hops_us["sample"], sent.hops_us["decide"]) == (100_000.0, 1.0)


async def test_the_hops_of_a_command_are_measured(bench: Bench) -> None:
    async with bench.running():
        bench.put(tightened(8), commands=[command(Pause)])
        await eventually(lambda: len(bench.audit.sent) == 2)

    hops = next(record.hops_us for record in bench.audit.sent if record.subject == "c1")
    assert set(hops) == {"decide", "durable", "publish", "total"}
