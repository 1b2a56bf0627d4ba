"""A backup is whole, verified and restorable; what is there is never lost by putting one back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.mqtt.fence import EpochFence
from adapters.storage import SqliteAudit
from adapters.storage.backup import Manifest, Restored, back_up, restore
from adapters.storage.rotation import retire_old, rotate
from adapters.storage.segments import segments_of
from adapters.storage.settings import AuditSettings
from guard.audit import RecordRestored
from guard.errors import AuditCorruptError, AuditError, AuditLockedError
from guard.units import NS_PER_S
from perpguard_sdk.messages import Entries
from tests.adapters.storage.test_rotation import DAY_S, records_of, three_segments, verdict, writing
from tests.adapters.storage.test_samples import Bench, judged, problems
from tests.support.audit_records import posture, seconds, session, tick
from tests.support.fakes import FakeClock

NOW = seconds(7 * DAY_S)


async def backed_up(path: Path, to: Path, samples: Path | None = None) -> Manifest:
    return await asyncio.to_thread(
        back_up, path, to, made_at=NOW, software_version="0.1.0", settings_text="# settings", samples=samples
    )


async def put_back(source: Path, path: Path, *, force: bool = False) -> Restored:
    samples = path.with_name(path.name + ".samples")
    return await asyncio.to_thread(restore, source, path, now=NOW, force=force, samples=samples)


async def test_a_backup_of_a_record_that_is_written_is_whole_and_comes_back(tmp_path: Path) -> None:
    path, new = tmp_path / "audit.sqlite3", tmp_path / "new" / "audit.sqlite3"
    await three_segments(path)
    async with await SqliteAudit.open(path) as audit, writing(audit):
        manifest = await backed_up(path, tmp_path / "backup")
    assert manifest.epoch == 3
    assert len([file for file in manifest.files if ".segments/" in file.name]) == 2
    done = await put_back(tmp_path / "backup", new)
    assert done == Restored(manifest.records + 1, 3, None)
    *before, last = await records_of(new)
    assert before == (await records_of(path))[: manifest.records]
    assert last == RecordRestored(
        at=NOW,
        source=str(tmp_path / "backup"),
        made_at=NOW,
        records=manifest.records,
        last_hash=manifest.last_hash,
        epoch=3,
    )
    assert (await verdict(new)).ok
    async with await SqliteAudit.open(new) as audit:
        await audit.append([tick(NOW)], durable=True)
        await rotate(audit, NOW)
        assert (await audit.verify()).ok


async def test_retired_segments_are_not_missed_and_samples_go_along(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    path = bench.audit_path
    await three_segments(path)
    async with await SqliteAudit.open(path) as audit:
        await retire_old(audit, AuditSettings(keep_days=1, keep_days_min=0), seconds(DAY_S + 60))
        await bench.keep(judged(0, 8))
        await bench.recorder.seal_and_retire(audit, seconds(2 * DAY_S))
    await backed_up(path, tmp_path / "backup", bench.recorder.folder)
    other = Bench(tmp_path / "other")
    await put_back(tmp_path / "backup", other.audit_path)
    assert (await verdict(other.audit_path)).ok
    assert other.read == judged(0, 8)
    assert await problems(other) == []


async def test_samples_that_do_not_come_back_are_not_missed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with await SqliteAudit.open(bench.audit_path) as audit:
        await bench.keep(judged(0, 8))
        await bench.recorder.seal_and_retire(audit, seconds(2 * DAY_S))
    await backed_up(bench.audit_path, tmp_path / "backup")
    other = Bench(tmp_path / "other")
    await put_back(tmp_path / "backup", other.audit_path)
    assert await problems(other) == []
    assert (await verdict(other.audit_path)).ok
    assert "not there after a restore" in str((await records_of(other.audit_path))[-1])


async def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    await three_segments(path)
    await backed_up(path, tmp_path / "backup")
    with pytest.raises(AuditError, match="is there already"):
        await backed_up(path, tmp_path / "backup")
    with pytest.raises(AuditError, match=r"there is a record already.*--force"):
        await put_back(tmp_path / "backup", path)
    async with await SqliteAudit.open(path):
        with pytest.raises(AuditLockedError, match="another guard writes it"):
            await put_back(tmp_path / "backup", path, force=True)
    assert len(await records_of(path)) == 15


async def test_a_record_that_is_there_is_kept_aside_and_its_epochs_stay_taken(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    await three_segments(path)
    await backed_up(path, tmp_path / "backup")
    async with await SqliteAudit.open(path) as audit:
        await audit.append([session(epoch=7, at=seconds(500))], durable=True)
    done = await put_back(tmp_path / "backup", path, force=True)
    assert done.epoch == 7
    assert done.aside == tmp_path / "audit.sqlite3.before-restore-1"
    assert len(await records_of(done.aside)) == 16
    assert (await verdict(done.aside)).ok
    async with await SqliteAudit.open(path) as audit:
        assert await audit.last_epoch() == 7
        assert (await audit.verify()).ok


async def test_a_restored_guard_claims_above_what_the_broker_still_knows(tmp_path: Path) -> None:
    """On a new machine only the retained postures tell that epoch 9 was taken since the backup."""
    path, new = tmp_path / "audit.sqlite3", tmp_path / "new.sqlite3"
    await three_segments(path)
    await backed_up(path, tmp_path / "backup")
    await put_back(tmp_path / "backup", new)
    async with await SqliteAudit.open(new) as audit:
        stored = await audit.last_epoch()
    assert stored == 3
    fence = EpochFence(sessions={"restored"}, quiet_ns=0, wait_ns=60 * NS_PER_S)
    fence.listen(seconds(0))
    fence.note_posture(posture(40, Entries.REDUCE_ONLY, epoch=9), is_floor=True)
    claim = await fence.claim(stored, FakeClock(seconds(10)))
    assert claim.epoch == 10
    assert [each.version for each in claim.floors] == [40]


def _edit(backup: Path) -> None:
    place = backup / "audit.sqlite3"
    place.write_bytes(place.read_bytes().replace(b"depth_thin", b"depth_thik"))


def _edit_with_its_hash(backup: Path) -> None:
    """As somebody does who knows of the manifest: only the chain shows it."""
    from adapters.storage.files import sha256_of

    _edit(backup)
    manifest = json.loads((backup / "manifest.json").read_text())
    for file in manifest["files"]:
        file["sha256"] = sha256_of(backup / file["name"])
    (backup / "manifest.json").write_text(json.dumps(manifest))


def _lose_a_segment(backup: Path) -> None:
    next((backup / "audit.sqlite3.segments").iterdir()).unlink()


def _name_a_file_outside(backup: Path) -> None:
    text = (backup / "manifest.json").read_text()
    (backup / "manifest.json").write_text(text.replace("settings.toml", "../settings.toml"))


def _no_manifest(backup: Path) -> None:
    (backup / "manifest.json").unlink()


def _newer(backup: Path) -> None:
    text = (backup / "manifest.json").read_text()
    (backup / "manifest.json").write_text(text.replace('"format": 1', '"format": 2'))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_edit, "audit.sqlite3 is not as it was backed up"),
        (_edit_with_its_hash, "does not verify"),
        (_lose_a_segment, "is missing"),
        (_name_a_file_outside, "outside of it"),
        (_no_manifest, "is no backup"),
        (_newer, "a newer perpguard"),
    ],
)
async def test_a_backup_that_is_not_as_it_was_made_is_refused_and_nothing_is_touched(
    tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    path, new = tmp_path / "audit.sqlite3", tmp_path / "new" / "audit.sqlite3"
    await three_segments(path)
    await backed_up(path, tmp_path / "backup")
    harm(tmp_path / "backup")
    with pytest.raises(AuditError, match=said):
        await put_back(tmp_path / "backup", new)
    assert not new.exists()
    before = await records_of(path)
    with pytest.raises(AuditError, match=said):
        await put_back(tmp_path / "backup", path, force=True)
    assert await records_of(path) == before


async def test_a_record_that_does_not_verify_is_not_backed_up(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    await three_segments(path)
    segments_of(path)[0].path.unlink()
    with pytest.raises(AuditCorruptError, match="does not verify"):
        await backed_up(path, tmp_path / "backup")
    assert left(tmp_path, "backup*") == []


async def test_what_is_no_record_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"nothing\.sqlite3: is not there"):
        await backed_up(tmp_path / "nothing.sqlite3", tmp_path / "backup")
    (tmp_path / "garbage.sqlite3").write_bytes(b"garbage " * 100)
    with pytest.raises(AuditCorruptError, match=r"garbage\.sqlite3: damaged"):
        await backed_up(tmp_path / "garbage.sqlite3", tmp_path / "backup")
    assert left(tmp_path, "backup*") == []


async def test_a_restore_that_fails_late_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    await three_segments(path)
    await backed_up(path, tmp_path / "backup")

    def fail() -> None:
        raise OSError("the disk went away")

    with pytest.raises(AuditError, match="the disk went away"):
        await asyncio.to_thread(restore, tmp_path / "backup", path, now=NOW, force=True, before_switch=fail)
    assert len(await records_of(path)) == 15
    assert left(tmp_path, "*.restoring*") == []


def left(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))
