"""A guard that was killed cannot say what it left open: the next one does."""

from __future__ import annotations

from pathlib import Path

from adapters.storage import SqliteAuditReader
from adapters.storage.keeper import AuditKeeper
from adapters.storage.unfinished import unfinished
from guard.audit import AnyRecord, AuditGap, SessionClosed
from tests.support.audit_records import PAUSE_ID, outcome_step, pause_step, seconds, session, whole_story
from tests.support.fakes import FakeClock

CLOSED = SessionClosed(at=seconds(90), session="s1", why="asked to stop")
OPEN: list[AnyRecord] = [session(), pause_step(at=seconds(10))]


def test_an_orderly_end_with_nothing_open_needs_no_words() -> None:
    assert unfinished([*whole_story(), CLOSED], seconds(100)) is None


def test_a_guard_that_was_killed_is_named_and_so_are_its_open_commands() -> None:
    gap = unfinished(OPEN, seconds(100))
    assert gap is not None
    assert (gap.at, gap.from_at, gap.records_lost) == (seconds(100), seconds(10), 0)
    assert gap.commands == (PAUSE_ID,)
    assert "session s1" in gap.why


def test_commands_left_open_by_an_orderly_end_are_named_too() -> None:
    gap = unfinished([*OPEN, CLOSED], seconds(100))
    assert gap is not None
    assert gap.commands == (PAUSE_ID,)
    assert "in order" in gap.why


def test_a_kill_with_nothing_open_is_still_a_kill() -> None:
    gap = unfinished(whole_story(), seconds(100))
    assert gap is not None
    assert gap.commands == ()


def test_what_was_named_once_is_not_named_again() -> None:
    gap = unfinished(OPEN, seconds(100))
    assert gap is not None
    assert unfinished([*OPEN, gap], seconds(200)) is None


def test_an_outcome_that_came_ends_a_command() -> None:
    assert unfinished([*OPEN, outcome_step(at=seconds(20)), CLOSED], seconds(100)) is None


async def test_the_keeper_says_it_once_and_the_command_leads_to_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    clock = FakeClock(seconds(100))
    async with AuditKeeper(path, clock) as keeper:
        await keeper.append(OPEN, durable=True)
    for _ in range(2):
        async with AuditKeeper(path, clock):
            pass
    async with await SqliteAuditReader.open(path) as reader:
        records = [each.record async for each in reader.records()]
        found = [each.record async for each in reader.records(command_id=PAUSE_ID)]
        assert (await reader.verify()).ok
    assert len(records) == 3
    assert isinstance(records[-1], AuditGap)
    assert found == records[1:]
