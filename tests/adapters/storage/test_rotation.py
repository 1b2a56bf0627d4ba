"""The record is cut into segments: the chain goes on, nothing is lost at any step, and what is missing shows."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from adapters.storage import AuditSettings, SqliteAudit, SqliteAuditReader, open_audit
from adapters.storage.rotation import finish, is_due, retire_old, rotate
from adapters.storage.segments import segments_of
from guard.audit import AnyRecord, AuditGap, SegmentClosed, SegmentOpened, SegmentRetired
from guard.errors import AuditCorruptError
from guard.ports import Verdict
from tests.support.audit_records import PAUSE_ID, pause_step, seconds, session, tick, whole_story
from tests.support.fakes import FakeClock

DAY_S = 86_400


async def verdict(path: Path) -> Verdict:
    async with await SqliteAuditReader.open(path) as reader:
        return await reader.verify()


async def records_of(path: Path) -> list[AnyRecord]:
    async with await SqliteAuditReader.open(path) as reader:
        return [each.record async for each in reader.records()]


def ours(records: list[AnyRecord]) -> list[AnyRecord]:
    return [each for each in records if not isinstance(each, SegmentClosed | SegmentOpened | SegmentRetired)]


@asynccontextmanager
async def writing(audit: SqliteAudit) -> AsyncIterator[list[float]]:
    """A daemon that decides all the time; yields how long each of its durable appends took, in ms."""
    waited_ms: list[float] = []

    async def write() -> None:
        while True:
            since_s = time.perf_counter()
            await audit.append([tick(seconds(30_000 + len(waited_ms)))], durable=True)
            waited_ms.append((time.perf_counter() - since_s) * 1000)
            await asyncio.sleep(0.002)

    task = asyncio.create_task(write(), name="writer")
    try:
        yield waited_ms
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def three_segments(path: Path) -> list[AnyRecord]:
    """Two closed segments and one that is written; returns what was appended."""
    first = whole_story()
    second: list[AnyRecord] = [session(epoch=3, at=seconds(60)), tick(seconds(61))]
    third: list[AnyRecord] = [pause_step("01J9PAUSE0002", at=seconds(99), epoch=3), tick(seconds(100))]
    async with await SqliteAudit.open(path) as audit:
        for index, batch in enumerate((first, second, third)):
            await audit.append(batch, durable=True)
            if index < 2:
                await rotate(audit, seconds(50 + 20 * index))
    return [*first, *second, *third]


async def test_the_chain_goes_on_over_segments(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    given = await three_segments(path)
    found = await records_of(path)
    assert ours(found) == given
    numbers = [(each.first, each.last) for each in segments_of(path)]
    assert numbers == [(1, 8), (9, 12)]
    said = await verdict(path)
    assert said.ok, said.detail
    assert said.records == len(found) == len(given) + 4
    for segment in segments_of(path):
        alone = await verdict(segment.path)
        assert alone.ok, alone.detail
        assert segment.path.stat().st_mode & 0o777 == 0o400


async def test_what_is_remembered_carries_over_and_the_database_holds_only_its_own_segment(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.sqlite3"
    await three_segments(path)
    async with await SqliteAudit.open(path) as audit:
        assert await audit.last_epoch() == 3
        assert {bot: each.epoch for bot, each in (await audit.last_postures()).items()} == {"alpha": 3}
        assert audit.span.base_number == 12
        fill = await audit.fill()
        assert fill.records == 3


async def test_stories_and_lists_are_read_across_segments(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    await three_segments(path)
    async with await SqliteAuditReader.open(path) as reader:
        assert [each.number for each in await reader.story(PAUSE_ID)] == [1, 2, 3, 4, 5, 6, 7]
        assert await reader.find_command("last") == "01J9PAUSE0002"
        assert 10 in [each.number for each in await reader.story("last")], "its session is in segment 2"
        assert [each.number for each in await reader.last_records(9)] == list(range(7, 16))
        assert [each.number async for each in reader.records(from_number=7)] == list(range(7, 16))


async def test_age_or_size_make_a_rotation_due_and_an_empty_segment_is_never_cut(tmp_path: Path) -> None:
    settings = AuditSettings(rotate_mb=0.2, rotate_days=1)
    async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
        assert not await is_due(audit, settings, seconds(10 * DAY_S))
        await audit.append([tick(seconds(0)), tick(seconds(1))], durable=True)
        assert not await is_due(audit, settings, seconds(100))
        assert await is_due(audit, settings, seconds(DAY_S + 1))
        await rotate(audit, seconds(DAY_S + 1))
        assert not await is_due(audit, settings, seconds(10 * DAY_S))
        await audit.append([tick(seconds(each)) for each in range(1500)], durable=True)
        assert await is_due(audit, settings, seconds(DAY_S + 2))


async def test_the_file_shrinks_after_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    async with await SqliteAudit.open(path) as audit:
        await audit.append([tick(seconds(each)) for each in range(3000)], durable=True)
        before = (await audit.fill()).used_bytes
        await rotate(audit, seconds(5000))
        assert (await audit.fill()).used_bytes < before / 5
    assert path.stat().st_size < before / 5, "closing folds the log into the file"


async def test_retired_segments_are_no_broken_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    given = await three_segments(path)
    settings = AuditSettings(keep_days=10, keep_days_min=0)
    async with await SqliteAudit.open(path) as audit:
        await retire_old(audit, settings, seconds(50 + 10 * DAY_S + 1))
        assert [(each.first, each.last) for each in segments_of(path)] == [(9, 12)]
    said = await verdict(path)
    assert said.ok, said.detail
    assert "those up to 8 were removed by retention" in said.detail
    assert ours(await records_of(path)) == given[7:]
    async with await SqliteAudit.open(path) as audit:
        await rotate(audit, seconds(20 * DAY_S))
        await retire_old(audit, settings, seconds(40 * DAY_S))
        assert segments_of(path) == []
        assert await audit.last_epoch() == 3
    said = await verdict(path)
    assert said.ok, said.detail
    async with await SqliteAudit.open(path) as audit:
        assert (await audit.last_postures())["alpha"].version == 2  # type: ignore[index]


async def test_space_takes_the_oldest_segments_but_none_that_is_too_young(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    await three_segments(path)
    async with await SqliteAudit.open(path) as audit:
        young = AuditSettings(keep_mb=0.01, keep_days_min=1)
        await retire_old(audit, young, seconds(1000))
        assert len(segments_of(path)) == 2
        await retire_old(audit, young, seconds(DAY_S + 60))
        assert [each.first for each in segments_of(path)] == [9]


async def test_whatever_step_is_the_last_nothing_is_lost(tmp_path: Path) -> None:
    """At every step the folder is copied, as kill -9 would leave it, and then opened as after a crash."""
    path = tmp_path / "live" / "audit.sqlite3"
    left: dict[str, Path] = {}

    def reached(step: str) -> None:
        name = f"{len(left):02} {step}"
        left[name] = tmp_path / name
        shutil.copytree(path.parent, left[name])

    async with await SqliteAudit.open(path) as audit:
        await audit.append([*whole_story(), *(tick(seconds(20 + each)) for each in range(120))], durable=True)
        await rotate(audit, seconds(200), reached)
        await audit.append([tick(seconds(300 + each)) for each in range(60)], durable=True)
        kept = ours(await records_of(path))
        await rotate(audit, seconds(400), reached)
        settings = AuditSettings(keep_days=1, keep_days_min=0)
        await retire_old(audit, settings, seconds(10 * DAY_S), reached)
    steps = {name[3:] for name in left}
    assert {"cut", "partial made", "page copied", "segment named", "pruned a little"} <= steps
    assert {"retirement recorded", "retired segment removed", "partial verified"} <= steps

    for name, folder in left.items():
        place = folder / path.name
        said = await verdict(place)
        assert said.ok, f"{name}: {said.detail}"
        retired = "retire" in name
        before = ours(await records_of(place))
        assert retired or before == kept[: len(before)], name
        async with await SqliteAudit.open(place) as audit:
            await finish(audit)
            await audit.append([tick(seconds(999))], durable=True)
            assert audit.span.base_number == audit.span.closed_number, name
            assert await audit.last_epoch() == 1, name
            assert (await audit.last_postures())["alpha"].version == 2, name  # type: ignore[index]
        said = await verdict(place)
        assert said.ok, f"{name}: {said.detail}"
        assert ours(await records_of(place)) == [*before, tick(seconds(999))], name


def _drop(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.chmod(0o600)
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("DELETE FROM records WHERE number = (SELECT max(number) FROM records)")
    database.close()


def _edit(path: Path) -> None:
    path.chmod(0o600)
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("UPDATE records SET body = replace(body, 'tick', 'tock') WHERE body LIKE '%tick%'")
    database.close()


def _swap(path: Path) -> None:
    other = next(each for each in path.parent.iterdir() if each != path)
    kept = path.read_bytes()
    path.unlink()
    path.write_bytes(other.read_bytes())
    other.unlink()
    other.write_bytes(kept)


def _garbage(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"no database at all" * 300)


@pytest.mark.parametrize("harm", [_drop, _truncate, _edit, _swap, _garbage])
@pytest.mark.parametrize("which", [0, 1])
async def test_a_segment_that_is_not_as_written_is_found(
    tmp_path: Path, harm: Callable[[Path], None], which: int
) -> None:
    path = tmp_path / "audit.sqlite3"
    await three_segments(path)
    segments = segments_of(path)
    harm(segments[which].path)
    said = await verdict(path)
    assert not said.ok
    assert said.broken_at is not None
    first = segments[0 if harm is _swap else which].first
    assert first <= said.broken_at <= segments[which].last
    assert ".sqlite3" in said.detail or "a segment was removed" in said.detail


async def test_a_retirement_that_nobody_recorded_is_found(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    await three_segments(path)
    segments_of(path)[0].path.unlink()
    with sqlite3.connect(path, isolation_level=None) as database:
        (last_hash,) = database.execute("SELECT base_hash FROM span").fetchone()
        database.execute("UPDATE span SET retired_number = 12, retired_hash = ?", (last_hash,))
    database.close()
    said = await verdict(path)
    assert not said.ok
    assert "segments" in said.detail


async def test_appends_do_not_wait_for_a_rotation(tmp_path: Path) -> None:
    """What the daemon writes meanwhile, durably, each a transaction; the bound is for a busy machine."""
    async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
        for start in range(0, 10_000, 500):
            await audit.append([tick(seconds(start + each)) for each in range(500)], durable=False)
        async with writing(audit) as waited_ms:
            await rotate(audit, seconds(20_000))
        assert len(waited_ms) > 20
        assert sorted(waited_ms)[len(waited_ms) // 2] < 20
        assert (await audit.verify()).ok


async def test_a_file_of_another_record_in_the_place_of_a_segment_costs_no_records(tmp_path: Path) -> None:
    path, other = tmp_path / "audit.sqlite3", tmp_path / "other.sqlite3"
    async with await SqliteAudit.open(other) as audit:
        await audit.append([tick(seconds(each)) for each in range(7)], durable=True)
        await rotate(audit, seconds(50))
    async with await SqliteAudit.open(path) as audit:
        await audit.append(whole_story(), durable=True)
        shutil.copytree(segments_of(other)[0].path.parent, tmp_path / "audit.sqlite3.segments")
        with pytest.raises(AuditCorruptError, match="is not the segment of this record"):
            await rotate(audit, seconds(50))
        assert ours(await records_of(path)) == whole_story()
        segments_of(path)[0].path.unlink()
        await finish(audit)
        assert (await audit.verify()).ok
        assert audit.span.base_number == 8


async def test_a_damaged_record_takes_its_segments_along(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    await three_segments(path)
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("DELETE FROM records WHERE number = 14")
    database.close()
    audit, aside = await open_audit(path, FakeClock(seconds(500)))
    async with audit:
        assert aside is not None
        assert [each.first for each in segments_of(aside)] == [1, 9]
        assert segments_of(path) == []
        await rotate(audit, seconds(600))
        assert (await audit.verify()).ok


async def test_segments_whose_database_is_gone_are_kept_and_not_taken_for_a_new_record(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.sqlite3"
    await three_segments(path)
    path.unlink()
    audit, _ = await open_audit(path, FakeClock(seconds(500)))
    async with audit:
        assert audit.orphaned == tmp_path / "audit.sqlite3.orphaned-1.segments"
        assert [each.first for each in segments_of(tmp_path / "audit.sqlite3.orphaned-1")] == [1, 9]
        (gap,) = [each.record async for each in audit.records()]
        assert isinstance(gap, AuditGap)
        assert str(audit.orphaned) in gap.why


async def test_a_reader_sees_every_record_once_while_they_move(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    async with await SqliteAudit.open(path) as audit, AsyncExitStack() as stack:
        await audit.append([tick(seconds(each)) for each in range(1500)], durable=True)
        reader = await stack.enter_async_context(await SqliteAuditReader.open(path))
        rotating = asyncio.create_task(rotate(audit, seconds(2000)), name="rotation")
        passes, reads = 0, 0
        while not rotating.done() or not passes:
            passes += rotating.done()
            numbers = [each.number async for each in reader.records()]
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) in {1500, 1502}
            assert (await reader.verify()).ok
            reads += 1
        await rotating
        assert reads > 2
