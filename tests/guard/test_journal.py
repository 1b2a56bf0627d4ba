"""Records keep their order, survive a disk that refuses, and gaps are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from guard import journal as journal_module
from guard.audit import AuditGap, SessionClosed
from guard.events import AnyEvent, LinkChanged, LinkKind
from guard.journal import Journal
from tests.support.eventually import eventually
from tests.support.fakes import FakeAudit, FakeClock


def record(number: int) -> SessionClosed:
    return SessionClosed(at=number, session=f"s{number}", why="test")


@dataclass
class Bench:
    audit: FakeAudit = field(default_factory=FakeAudit)
    clock: FakeClock = field(default_factory=FakeClock)
    events: list[AnyEvent] = field(default_factory=list)
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self.audit, self.clock, self.events.append)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.journal.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def links(self) -> list[bool]:
        changes = [event for event in self.events if isinstance(event, LinkChanged)]
        assert all(event.link is LinkKind.AUDIT for event in changes)
        return [event.up for event in changes]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(journal_module, "RETRY_S", 0.01)
    monkeypatch.setattr(journal_module, "HANG_S", 0.05)
    return Bench()


async def test_records_keep_their_order_whoever_waits(bench: Bench) -> None:
    async with bench.running():
        futures = [bench.journal.put(record(number)) for number in range(1_200)]
        await asyncio.wait_for(asyncio.gather(*futures), 5.0)

    assert bench.audit.records == [record(number) for number in range(1_200)]
    assert bench.events == []


async def test_a_full_disk_keeps_the_records_and_tries_again(bench: Bench) -> None:
    bench.audit.full = True
    async with bench.running():
        written = [bench.journal.put(record(number)) for number in range(3)]
        await eventually(lambda: bench.audit.refused >= 3)
        assert not any(future.done() for future in written)
        bench.audit.full = False
        await asyncio.wait_for(asyncio.gather(*written), 5.0)

    assert bench.audit.records == [record(0), record(1), record(2)]


async def test_the_link_goes_down_once_and_comes_up_once(bench: Bench) -> None:
    bench.audit.full = True
    async with bench.running():
        first = bench.journal.put(record(0))
        await eventually(lambda: bench.audit.refused >= 4)
        bench.audit.full = False
        await first
        await eventually(lambda: bench.links == [False, True])


async def test_a_disk_that_does_not_answer_counts_as_down(bench: Bench) -> None:
    bench.audit.hang()
    async with bench.running():
        first = bench.journal.put(record(0))
        await eventually(lambda: bench.links == [False])
        bench.audit.answer()
        await asyncio.wait_for(first, 5.0)
        await eventually(lambda: bench.links == [False, True])


async def test_waiting_for_a_record_ends_after_its_time(bench: Bench) -> None:
    bench.audit.hang()
    async with bench.running():
        written = bench.journal.put(record(0))
        assert not await bench.journal.wait(written, 0.01)
        bench.audit.answer()
        assert await bench.journal.wait(written, 5.0)


async def test_what_was_sent_ahead_of_its_record_is_told_as_a_gap(bench: Bench) -> None:
    async with bench.running():
        bench.clock.at = 100
        bench.journal.note_sent_ahead()
        bench.clock.at = 200
        await bench.journal.put(record(0))
        await bench.journal.put(record(1))

    gap, *rest = bench.audit.records
    assert isinstance(gap, AuditGap)
    assert (gap.at, gap.from_at, gap.records_lost) == (200, 100, 0)
    assert "1 message(s)" in gap.why
    assert rest == [record(0), record(1)]


async def test_what_is_sent_ahead_while_a_gap_is_written_is_told_in_the_next(bench: Bench) -> None:
    async with bench.running():
        bench.journal.note_sent_ahead()
        bench.audit.hang()
        first = bench.journal.put(record(0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bench.journal.note_sent_ahead()
        bench.journal.note_sent_ahead()
        bench.audit.answer()
        await first
        await bench.journal.put(record(1))

    gaps = [one.why.split()[0] for one in bench.audit.records if isinstance(one, AuditGap)]
    assert gaps == ["1", "2"]


async def test_records_without_room_are_counted_as_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PENDING_MAX", 10)
    futures = [bench.journal.put(record(number)) for number in range(13)]
    async with bench.running():
        await asyncio.wait_for(futures[-1], 5.0)

    assert [future.cancelled() for future in futures] == [True] * 3 + [False] * 10
    gap, *rest = bench.audit.records
    assert isinstance(gap, AuditGap)
    assert gap.records_lost == 3
    assert rest == [record(number) for number in range(3, 13)]


async def test_a_batch_on_its_way_is_not_among_the_unwritten_when_it_arrives(bench: Bench) -> None:
    bench.audit.hang()
    task = asyncio.create_task(bench.journal.run())
    bench.journal.put(record(0))
    await eventually(lambda: bench.links == [False])
    task.cancel()
    await asyncio.sleep(0)
    bench.audit.answer()
    await asyncio.gather(task, return_exceptions=True)

    assert bench.audit.records == [record(0)]
    assert bench.journal.unwritten() == []


async def test_a_gap_that_was_not_written_is_among_the_unwritten(bench: Bench) -> None:
    """Stopped in order after something went out ahead of its record: the last attempt names that too."""
    bench.journal.put(record(1))
    bench.journal.note_sent_ahead()

    gap, kept = bench.journal.unwritten()
    assert isinstance(gap, AuditGap)
    assert kept == record(1)


async def test_what_is_in_no_hurry_goes_with_the_next_record(bench: Bench) -> None:
    async with bench.running():
        bench.journal.put_later(record(1))
        await bench.journal.put(record(0))

    assert bench.audit.records == [record(0), record(1)]
    assert bench.journal.waiting == 0


async def test_what_is_in_no_hurry_goes_by_itself_after_its_time_or_when_there_is_much(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LATER_S", 0.01)
    async with bench.running():
        bench.journal.put_later(record(0))
        assert bench.journal.waiting == 1
        await eventually(lambda: bench.audit.records == [record(0)])
        monkeypatch.setattr(journal_module, "LATER_S", 600.0)
        monkeypatch.setattr(journal_module, "LATER_MAX", 2)
        bench.journal.put_later(record(1))
        bench.journal.put_later(record(2))
        await eventually(lambda: len(bench.audit.records) == 3)


async def test_what_is_in_no_hurry_is_kept_for_the_last_attempt(bench: Bench) -> None:
    bench.journal.put_later(record(1))
    bench.journal.put(record(0))
    assert bench.journal.unwritten() == [record(0), record(1)]


async def test_a_record_says_when_it_was_on_the_disk(bench: Bench) -> None:
    bench.clock.at = 1_234
    async with bench.running():
        assert await bench.journal.put(record(0)) == 1_234


async def test_who_waits_for_a_record_that_is_lost_is_told_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PENDING_MAX", 1)
    waiting = asyncio.create_task(bench.journal.wait(bench.journal.put(record(0)), 60.0))
    await asyncio.sleep(0)
    bench.journal.put(record(1))
    assert not await asyncio.wait_for(waiting, 5.0)
