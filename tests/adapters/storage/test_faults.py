"""Disks that are really full, databases that are really locked and files that are really damaged."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.storage import AuditSettings, SqliteAudit, SqliteAuditReader, open_audit, set_aside
from adapters.storage.housekeeping import Housekeeping
from adapters.storage.keeper import AuditKeeper
from adapters.storage.rotation import finish, rotate
from adapters.storage.samples import SampleRecorder, sealed_files
from adapters.storage.segments import segments_of
from adapters.storage.settings import SamplesSettings
from guard.audit import AuditGap, SamplesRetired
from guard.errors import AuditCorruptError, AuditError, AuditFullError, AuditLockedError
from guard.events import AnyEvent
from tests.adapters.storage.test_samples import features
from tests.support.audit_records import seconds, session, tick, whole_story
from tests.support.fakes import FakeClock

ROOT = Path(__file__).parents[3]


class StandingClock:
    def now(self) -> int:
        return seconds(500)

    async def sleep_until(self, at: int) -> None:
        raise NotImplementedError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 512 KiB of its own, so that it can be filled without harm."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("a disk to fill needs root to mount it; the test with a page limit covers the rest")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=512k", "none", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mount is not permitted here: {done.stderr.decode()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


async def test_a_full_disk_is_said_and_survived(small_disk: Path) -> None:
    path = small_disk / "audit.sqlite3"
    async with await SqliteAudit.open(path) as audit:
        await audit.append(whole_story(), durable=True)
        ballast = fill(small_disk)
        head = audit.head
        for _ in range(3):
            with pytest.raises(AuditFullError, match=r"audit\.sqlite3.*no space.*free some"):
                await audit.append([tick(seconds(each)) for each in range(2000)], durable=True)
        assert head == audit.head
        ballast.unlink()
        await audit.append([tick(seconds(70))], durable=True)
        assert head[0] + 1 == audit.head[0]
        assert (await audit.verify()).ok
    async with await SqliteAudit.open(path) as audit:
        assert head[0] + 1 == audit.head[0]


async def test_an_audit_cannot_begin_on_a_full_disk(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(AuditFullError):
        await SqliteAudit.open(small_disk / "audit.sqlite3")


async def test_a_page_limit_is_a_full_disk_too(tmp_path: Path) -> None:
    async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
        await audit._connection.call(lambda database: database.execute("PRAGMA max_page_count = 30"))
        with pytest.raises(AuditFullError):
            await audit.append([tick(seconds(each)) for each in range(5000)], durable=True)
        assert audit.head[0] == 0
        await audit.append([session()], durable=True)
        assert (await audit.verify()).ok


async def test_a_database_that_a_shell_holds_is_said_and_survived(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    async with await SqliteAudit.open(path, busy_ms=50) as audit:
        await audit.append([session()], durable=True)
        shell = sqlite3.connect(path, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(AuditLockedError, match="sqlite3 shell"):
            await audit.append([tick(seconds(1))], durable=True)
        assert audit.head[0] == 1
        shell.execute("ROLLBACK")
        shell.close()
        await audit.append([tick(seconds(2))], durable=True)
        assert (await audit.verify()).ok


WRITER_PROGRAM = """
import asyncio, sys
from adapters.storage import SqliteAudit

async def main():
    await SqliteAudit.open(sys.argv[1])
    print("open", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


APPENDING_PROGRAM = """
import asyncio, itertools, sys
from adapters.storage import SqliteAudit
from tests.support.audit_records import seconds, tick

async def main():
    async with await SqliteAudit.open(sys.argv[1]) as audit:
        for number in itertools.count(1):
            await audit.append([tick(seconds(number)) for _ in range(3)], durable=True)
            print(audit.head[0], flush=True)

asyncio.run(main())
"""


async def test_what_was_said_to_be_kept_is_there_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    kept = 0
    for _ in range(3):
        kept = await asyncio.to_thread(append_and_kill, path)
        async with await SqliteAudit.open(path) as audit:
            assert audit.head[0] >= kept
            assert audit.head[0] % 3 == 0, "half an append was kept"
            assert (await audit.verify()).ok
    assert kept >= 3 * 3 * 19


def append_and_kill(path: Path) -> int:
    """Let another process append 20 times and more, kill it in the middle, return what it said is kept."""
    command = [sys.executable, "-c", APPENDING_PROGRAM, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(20)]
        process.kill()
        said += process.stdout.readlines()
    # The last line may be cut by the kill; the ones before it are whole.
    return max(int(line) for line in said[:-1])


async def test_an_audit_on_a_read_only_disk_can_be_verified(small_disk: Path) -> None:
    path = small_disk / "audit.sqlite3"
    async with await SqliteAudit.open(path) as audit:
        await audit.append(whole_story(), durable=True)
    await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,ro", str(small_disk)], check=True)
    async with await SqliteAuditReader.open(path) as reader:
        assert (await reader.verify()).ok
    with pytest.raises(AuditError, match=r"audit\.sqlite3.*(Read-only|cannot be written)"):
        await SqliteAudit.open(path)


@pytest.fixture
def other_guard(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", WRITER_PROGRAM, str(tmp_path / "audit.sqlite3")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield process
        process.kill()


async def test_a_guard_in_another_process_is_named_and_its_death_frees_the_file(
    tmp_path: Path, other_guard: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "audit.sqlite3"
    with pytest.raises(AuditLockedError, match=f"process {other_guard.pid}"):
        await SqliteAudit.open(path)
    with pytest.raises(AuditLockedError):
        set_aside(path)
    other_guard.kill()
    other_guard.wait()
    async with await SqliteAudit.open(path) as audit:
        await audit.append([session()], durable=True)


async def test_what_is_not_a_database_is_kept_as_evidence(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    path.write_bytes(b"this was an audit once" * 500)
    for opener in (SqliteAudit.open, SqliteAuditReader.open):
        with pytest.raises(AuditCorruptError, match="Keep the file, it is evidence"):
            await opener(path)
    audit, aside = await open_audit(path, StandingClock())
    async with audit:
        assert aside == tmp_path / "audit.sqlite3.damaged-1"
        assert aside.read_bytes().startswith(b"this was an audit once")
        first = [each.record async for each in audit.records()]
        assert isinstance(first[0], AuditGap)
        assert str(aside) in first[0].why


async def test_a_sound_audit_is_not_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    audit, aside = await open_audit(path, StandingClock())
    await audit.close()
    assert aside is None
    assert set_aside(path) == tmp_path / "audit.sqlite3.damaged-1"
    path.write_bytes(b"")
    assert set_aside(path) == tmp_path / "audit.sqlite3.damaged-2"


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "trades.sqlite3"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE trades (id)")
    other.close()
    with pytest.raises(AuditError, match="database of something else"):
        await SqliteAudit.open(path)
    with pytest.raises(AuditError, match="not an audit"):
        await SqliteAuditReader.open(path)


async def test_a_newer_audit_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite3"
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(AuditError, match="newer perpguard"):
        await SqliteAudit.open(path)


async def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AuditError, match=r"file/audit\.sqlite3.*correct audit\.path"):
        await SqliteAudit.open(tmp_path / "file" / "audit.sqlite3")
    with pytest.raises(AuditError, match=r"cannot be opened|Is a directory"):
        await SqliteAudit.open(tmp_path)


async def test_a_disk_too_full_for_a_segment_loses_nothing_and_the_rotation_ends_later(
    small_disk: Path,
) -> None:
    path = small_disk / "audit.sqlite3"
    async with await SqliteAudit.open(path) as audit:
        await audit.append([tick(seconds(each)) for each in range(60)], durable=True)
        ballast = fill(small_disk)
        ballast.write_bytes(b"x" * max(0, ballast.stat().st_size - 40_000))
        with pytest.raises(AuditFullError):
            await rotate(audit, seconds(400))
        ballast.unlink()
        await audit.append([tick(seconds(401))], durable=True)
        assert (await audit.verify()).ok
        await finish(audit)
        assert audit.span.base_number == audit.span.closed_number == 61
        assert (await audit.verify()).ok
        assert len(segments_of(path)) == 1


async def test_on_a_disk_without_room_for_a_line_samples_make_room(small_disk: Path) -> None:
    """Housekeeping of a daemon whose disk was filled by somebody else, while a rotation was due."""
    path = small_disk / "audit.sqlite3"
    clock = FakeClock(seconds(0))
    settings = AuditSettings(path=path, free_mb_min=0.05, rotate_mb=0.01)
    kept = SamplesSettings(file_mb=0.001)
    samples = SampleRecorder(kept, path, clock)
    async with AuditKeeper(path, clock) as keeper:
        await keeper.append([tick(seconds(each)) for each in range(60)], durable=True)
        chance = random.Random(1)
        for each in range(400):
            samples.record(features(seconds(each), depth_usd=chance.uniform(1e5, 1e6)))
        await samples.flush()
        await samples.seal_and_retire(keeper, clock.now())
        assert len(sealed_files(samples.folder)) == 1
        fill(small_disk)
        with pytest.raises(AuditFullError):
            await keeper.append([tick(seconds(each)) for each in range(2000)], durable=True)
        housekeeping = Housekeeping(keeper, samples, settings, kept, clock)
        events: list[AnyEvent] = []
        await housekeeping.turn(events.append)
        assert sealed_files(samples.folder) == []
        await keeper.append([tick(seconds(70))], durable=True)
    async with await SqliteAuditReader.open(path) as reader:
        assert (await reader.verify()).ok
        records = [each.record async for each in reader.records()]
    assert any(isinstance(record, SamplesRetired) for record in records)
    assert tick(seconds(70)) in records
