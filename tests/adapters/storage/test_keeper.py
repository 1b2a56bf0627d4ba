"""What happens to the record while it is written: taken away, replaced, rotated, short of space."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.storage import AuditSettings, SqliteAudit, SqliteAuditReader
from adapters.storage.housekeeping import Housekeeping
from adapters.storage.keeper import AuditKeeper
from adapters.storage.samples import SampleRecorder, sealed_files
from adapters.storage.segments import segments_of
from adapters.storage.settings import MB, SamplesSettings
from guard.audit import AnyRecord, AuditGap, SegmentRetired
from guard.errors import AuditError
from guard.events import AnyEvent, LinkChanged, LinkKind
from tests.adapters.storage.test_rotation import verdict
from tests.adapters.storage.test_samples import judged
from tests.support.audit_records import seconds, session, tick, whole_story
from tests.support.fakes import FakeClock

DAY_S = 86_400


@asynccontextmanager
async def keeping(path: Path) -> AsyncIterator[AuditKeeper]:
    async with AuditKeeper(path, FakeClock(seconds(500))) as keeper:
        await keeper.append(whole_story(), durable=True)
        yield keeper


async def read(path: Path) -> list[AnyRecord]:
    async with await SqliteAuditReader.open(path) as reader:
        return [each.record async for each in reader.records()]


async def test_a_record_that_is_removed_while_it_is_written_is_put_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "var" / "audit.sqlite3"
    async with keeping(path) as keeper:
        shutil.rmtree(path.parent)
        await keeper.append([tick(seconds(501))], durable=True)
        assert await keeper.last_epoch() == 1
        assert (await keeper.last_postures()).keys() == {"alpha"}
        *before, gap, last = await read(path)
    assert before == whole_story()
    assert isinstance(gap, AuditGap)
    assert "removed while it was written" in gap.why
    assert last == tick(seconds(501))
    assert (await verdict(path)).ok


async def test_only_the_database_removed_leaves_no_log_of_it_to_be_played_into_the_new_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.sqlite3"
    async with keeping(path) as keeper:
        path.unlink()
        await keeper.append([tick(seconds(501))], durable=True)
        await keeper.append([tick(seconds(502))], durable=True)
        assert len(await read(path)) == len(whole_story()) + 3
    assert (await verdict(path)).ok


async def test_a_record_that_is_replaced_is_put_back_and_what_replaced_it_is_kept(tmp_path: Path) -> None:
    path, other = tmp_path / "audit.sqlite3", tmp_path / "other.sqlite3"
    async with await SqliteAudit.open(other) as audit:
        await audit.append([session(epoch=9)], durable=True)
    async with keeping(path) as keeper:
        other.rename(path)
        await keeper.append([tick(seconds(501))], durable=True)
        *before, gap, _ = await read(path)
        assert before == whole_story()
        aside = tmp_path / "audit.sqlite3.replaced-1"
        assert isinstance(gap, AuditGap)
        assert str(aside) in gap.why
        assert await read(aside) == [session(epoch=9)]


async def test_while_it_cannot_be_put_back_nothing_is_said_to_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "var" / "audit.sqlite3"
    async with keeping(path) as keeper:
        shutil.rmtree(path.parent)
        path.parent.write_text("in the way")
        with pytest.raises(AuditError):
            await keeper.append([tick(seconds(501))], durable=True)
        path.parent.unlink()
        await keeper.append([tick(seconds(501))], durable=True)
        assert len(await read(path)) == len(whole_story()) + 2


class House:
    """Storage with a disk of a size of our choosing."""

    def __init__(self, folder: Path, keeper: AuditKeeper, **settings: Any) -> None:
        self.path = folder / "audit.sqlite3"
        self.clock = FakeClock(seconds(0))
        self.free_mb = 1000.0
        self.events: list[AnyEvent] = []
        audit = AuditSettings(path=self.path, **settings)
        samples = SamplesSettings(file_mb=0.001)
        self.samples = SampleRecorder(samples, self.path, self.clock)
        self.keeping = Housekeeping(
            keeper, self.samples, audit, samples, self.clock, free_bytes=lambda _: int(self.free_mb * MB)
        )

    async def turn(self, *, after_s: float = 20.0) -> None:
        self.clock.advance(after_s * 1000)
        await self.keeping.turn(self.events.append)

    async def sample(self, at_s: float) -> None:
        for event in judged(at_s, 40):
            self.samples.record(event)
        await self.samples.flush()

    @property
    def links(self) -> list[bool]:
        changes = [event for event in self.events if isinstance(event, LinkChanged)]
        assert all(event.link is LinkKind.DISK for event in changes)
        return [event.up for event in changes]


async def test_the_record_is_rotated_when_it_is_due_and_old_segments_go(tmp_path: Path) -> None:
    async with keeping(tmp_path / "audit.sqlite3") as keeper:
        house = House(tmp_path, keeper, rotate_days=1, keep_days=3, keep_days_min=0)
        await house.turn()
        assert segments_of(house.path) == []
        await house.turn(after_s=DAY_S)
        assert [(each.first, each.last) for each in segments_of(house.path)] == [(1, 8)]
        await keeper.append([tick(seconds(DAY_S + 60))], durable=True)
        await house.turn(after_s=4 * DAY_S)
        assert [(each.first, each.last) for each in segments_of(house.path)] == [(9, 11)]
        assert any(isinstance(record, SegmentRetired) for record in await read(house.path))
        assert (await verdict(house.path)).ok
        assert house.links == []


async def test_a_disk_that_is_nearly_full_stops_samples_and_is_said_once(tmp_path: Path) -> None:
    async with keeping(tmp_path / "audit.sqlite3") as keeper:
        house = House(tmp_path, keeper, free_mb_min=100)
        await house.sample(0)
        await house.turn()
        await house.turn()
        assert len(sealed_files(house.samples.folder)) == 1
        house.free_mb = 99.0
        await house.turn()
        await house.turn()
        assert sealed_files(house.samples.folder) == [], "they go first"
        assert house.links == [False]
        await house.sample(100)
        assert house.samples.stats.dropped == 42
        await keeper.append([tick(seconds(100))], durable=True)
        house.free_mb = 105.0
        await house.turn()
        assert house.links == [False, True]
        await house.sample(200)
        assert house.samples.stats.dropped == 84, "not before there is a little more"
        house.free_mb = 111.0
        await house.turn()
        await house.sample(300)
        assert house.samples.stats.dropped == 84


async def test_above_the_quota_samples_go_before_segments_and_young_segments_stay(tmp_path: Path) -> None:
    async with keeping(tmp_path / "audit.sqlite3") as keeper:
        house = House(tmp_path, keeper, rotate_days=1, quota_mb=0.01, keep_days_min=10)
        await house.sample(0)
        await house.turn()
        await house.turn(after_s=2 * DAY_S)
        assert house.links == [False]
        assert sealed_files(house.samples.folder) == []
        assert len(segments_of(house.path)) == 1
        await keeper.append([tick(seconds(3 * DAY_S))], durable=True)
        await house.turn(after_s=11 * DAY_S)
        assert [each.first for each in segments_of(house.path)] == [11], "the first is old enough now"
        assert (await verdict(house.path)).ok


async def test_what_fails_is_tried_again_and_the_loop_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    async with keeping(path) as keeper:
        house = House(tmp_path, keeper, rotate_days=1)
        (tmp_path / "audit.sqlite3.segments").write_text("in the way")
        await house.turn(after_s=2 * DAY_S)
        await keeper.append([tick(seconds(3))], durable=True)
        (tmp_path / "audit.sqlite3.segments").unlink()
        await house.turn()
        assert [(each.first, each.last) for each in segments_of(path)] == [(1, 8)]
        assert (await verdict(path)).ok
