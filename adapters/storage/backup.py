"""Copies the record to a folder and back: of a running guard, whole, verified, and with one name at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import msgspec

from adapters.storage.chain import Chain
from adapters.storage.connection import absolute
from adapters.storage.faults import translated
from adapters.storage.files import settle, sha256_of, sync_folder
from adapters.storage.lock import WriterLock
from adapters.storage.pile import Pile
from adapters.storage.samples import sealed_files
from adapters.storage.schema import read_span
from adapters.storage.segments import segments_of, verify_series
from adapters.storage.set_aside import SIDE_FILES
from adapters.storage.usage import segments_folder
from adapters.storage.verify_samples import sealed_of
from guard.audit import RecordRestored, SamplesRetired
from guard.errors import AuditCorruptError, AuditError
from guard.ports import Verdict
from guard.units import Nanoseconds

FORMAT = 1
DATABASE = "audit.sqlite3"
SAMPLES = "samples"
SETTINGS = "settings.toml"
MANIFEST = "manifest.json"
STEP_PAGES = 256
STEP_PAUSE_S = 0.002
"""1 MB at a time, with a breath in between: a guard beside it keeps the disk."""
TRIES_MAX = 3
"""A segment may be retired while it is copied; then it is begun anew."""
BUSY_S = 5.0


class BackupFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a backup; ``name`` is its path in it."""

    name: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. ``records`` is the number of the last record, ``last_hash`` its hash."""

    format: int
    made_at: Nanoseconds
    software_version: str
    source: str
    records: int
    last_hash: str
    epoch: int
    files: tuple[BackupFile, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back; ``aside`` is where the record that was there before is kept, if there was one."""

    records: int
    epoch: int
    aside: Path | None


def back_up(
    path: Path,
    destination: Path,
    *,
    made_at: Nanoseconds,
    software_version: str,
    settings_text: str | None = None,
    samples: Path | None = None,
) -> Manifest:
    """Copy the record at ``path``, which a guard may be writing, into the new folder ``destination``.

    Args:
        path: the database.
        destination: must not exist; it has its name only when all of it is there and verified.
        made_at: now.
        software_version: of this program.
        settings_text: goes with it; the caller has taken out what is secret.
        samples: the folder of samples, if its complete files are wanted too.

    Raises:
        AuditCorruptError: the copy does not verify, and so does not the record.
        AuditError: anything else; nothing is left behind.
    """
    path, destination = absolute(path), absolute(destination)
    if destination.exists():
        raise AuditError(str(destination), "is there already: name a folder that is not there yet")
    if not path.exists():
        raise AuditError(str(path), "is not there: nothing was recorded yet, or audit.path is another")
    partial = destination.with_name(destination.name + ".partial")
    with translated(destination), _gone_if_it_fails(partial):
        _fresh_folder(partial)
        epoch = _copy_record(path, partial)
        if samples is not None and samples.is_dir():
            for file in sealed_files(samples):
                _copy(file, partial / SAMPLES / file.name)
        if settings_text is not None:
            (partial / SETTINGS).write_text(settings_text)
        verdict = _verify(partial / DATABASE)
        if not verdict.ok:
            raise AuditCorruptError(str(path), f"does not verify, so it was not backed up: {verdict.detail}")
        manifest = Manifest(
            format=FORMAT,
            made_at=made_at,
            software_version=software_version,
            source=str(path),
            records=verdict.records,
            last_hash=_last_hash(partial / DATABASE),
            epoch=epoch,
            files=tuple(_entries(partial)),
        )
        (partial / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        _sync(partial)
        partial.rename(destination)
        sync_folder(destination.parent)
    return manifest


def read_manifest(source: Path) -> Manifest:
    """Read what a backup says of itself and hold every file against it.

    Raises:
        AuditCorruptError: a file is missing, or not as it was backed up.
        AuditError: it is no backup, or one of a newer perpguard.
    """
    source = absolute(source)
    place = source / MANIFEST
    with translated(source):
        if not place.is_file():
            raise AuditError(str(source), f"is no backup: it has no {MANIFEST}")
        try:
            manifest = msgspec.json.decode(place.read_bytes(), type=Manifest)
        except msgspec.MsgspecError as error:
            raise AuditCorruptError(str(place), f"cannot be read: {error}") from error
        if manifest.format > FORMAT:
            raise AuditError(str(source), "a newer perpguard made this backup: restore it with that one")
        for file in manifest.files:
            _check_file(source, file)
    return manifest


def restore(
    source: Path,
    path: Path,
    *,
    now: Nanoseconds,
    force: bool = False,
    samples: Path | None = None,
    before_switch: Callable[[], None] = lambda: None,
) -> Restored:
    """Put a backup back as the record at ``path``, once all of it is verified.

    The record begins its new life by saying that it was restored and which epochs are taken: the highest
    of the backup and of the record that is there now. (Epochs that only bots and the broker know are
    found when a guard claims its own.)

    Args:
        source: a folder that ``back_up`` made.
        path: where the record is to be.
        now: our clock.
        force: keep a record that is there aside instead of refusing.
        samples: where samples are to be, if the backup has any.
        before_switch: called when all is copied and nothing was renamed yet; for tests.

    Raises:
        AuditLockedError: a guard runs on that record.
        AuditCorruptError: the backup is not as it was made.
        AuditError: there is a record already, or anything else; what was there is as it was.
    """
    source, path = absolute(source), absolute(path)
    manifest = read_manifest(source)
    with translated(source):
        verdict = _verify(source / DATABASE)
    if not verdict.ok:
        raise AuditCorruptError(str(source), f"does not verify: {verdict.detail}")
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(path)
        try:
            return _put_back(source, path, manifest, now, force, samples, before_switch)
        finally:
            lock.release()


def _put_back(
    source: Path,
    path: Path,
    manifest: Manifest,
    now: Nanoseconds,
    force: bool,
    samples: Path | None,
    before_switch: Callable[[], None],
) -> Restored:
    places = _places(path, samples if (source / SAMPLES).is_dir() else None)
    there = [place for place in places if place.exists()]
    if there and not force:
        raise AuditError(
            str(path),
            f"there is a record already ({', '.join(each.name for each in there)}): --force keeps it aside "
            "and puts the backup in its place",
        )
    epoch = max(manifest.epoch, _epoch_of(path))
    coming = path.with_name(path.name + ".restoring")
    with _gone_if_it_fails(coming):
        _fresh_folder(coming)
        for file in manifest.files:
            _copy(source / file.name, coming / file.name)
        (coming / DATABASE).chmod(0o600)
        sampled = coming / SAMPLES if (source / SAMPLES).is_dir() else samples
        records = _say_restored(coming / DATABASE, source, manifest, epoch, now, sampled)
        before_switch()
        aside = _move_aside(path, there) if there else None
        # Segments first: the record is there only once its database is.
        if (coming / segments_folder(Path(DATABASE))).is_dir():
            (coming / segments_folder(Path(DATABASE))).rename(segments_folder(path))
        if samples is not None and (coming / SAMPLES).is_dir():
            samples.parent.mkdir(parents=True, exist_ok=True)
            (coming / SAMPLES).rename(samples)
        settle(coming / DATABASE, path)
        shutil.rmtree(coming)
    return Restored(records, epoch, aside)


def _say_restored(
    place: Path, source: Path, manifest: Manifest, epoch: int, now: Nanoseconds, samples: Path | None
) -> int:
    """Append what the record says of its restoring, and of files of samples that did not come back with it."""
    with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as database:
        chain = Chain(place, database)
        with Pile(place, database) as pile:
            sealed = sealed_of(pile.about_samples())
        missing = [each for each in sealed if samples is None or not (samples / each.file).exists()]
        record = RecordRestored(
            at=now,
            source=str(source),
            made_at=manifest.made_at,
            records=manifest.records,
            last_hash=manifest.last_hash,
            epoch=epoch,
        )
        gone = [
            SamplesRetired(at=now, file=each.file, sha256=each.sha256, why="not there after a restore")
            for each in missing
        ]
        chain.append(database, [record, *gone], durable=True)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return chain.number


def _places(path: Path, samples: Path | None) -> list[Path]:
    """Everything that is part of a record at ``path``."""
    found = [path.with_name(path.name + side) for side in SIDE_FILES]
    return [*found, segments_folder(path), *([samples] if samples is not None else [])]


def _move_aside(path: Path, there: list[Path]) -> Path:
    names = (path.with_name(f"{path.name}.before-restore-{number}") for number in count(1))
    aside = next(name for name in names if not any(name.parent.glob(name.name + "*")))
    # The log before its database, as in set_aside.
    for place in reversed(there):
        suffix = place.name.removeprefix(path.name) if place.name.startswith(path.name) else f".{place.name}"
        place.rename(aside.with_name(aside.name + suffix))
    return aside


def _epoch_of(path: Path) -> int:
    """The highest epoch of the record that is there; 0 if it has none or cannot be read."""
    if not path.exists():
        return 0
    try:
        with _reading(path) as database:
            return int(database.execute("SELECT max(epoch) FROM epoch").fetchone()[0] or 0)
    except sqlite3.Error:
        return 0


def _copy_record(path: Path, folder: Path) -> int:
    """Copy the database as it is at one moment, and the segments that belong to that."""
    for attempt in range(1, TRIES_MAX + 1):
        with translated(path), _reading(path) as database:
            # An open state: else every write of the guard would make the copy begin again.
            database.execute("BEGIN")
            span = read_span(database)
            epoch = int(database.execute("SELECT max(epoch) FROM epoch").fetchone()[0] or 0)
            with translated(folder):
                _copy_database(database, folder / DATABASE)
        try:
            for segment in segments_of(path):
                if span.retired_number < segment.first and segment.last <= span.closed_number:
                    _copy(segment.path, segments_folder(folder / DATABASE) / segment.path.name)
        except FileNotFoundError:
            if attempt == TRIES_MAX:
                raise
            shutil.rmtree(segments_folder(folder / DATABASE), ignore_errors=True)
            (folder / DATABASE).unlink()
        else:
            return epoch
    raise AssertionError("the last attempt raises")


def _copy_database(database: sqlite3.Connection, place: Path) -> None:
    os.close(os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as copy:
        database.backup(copy, pages=STEP_PAGES, progress=lambda *_: time.sleep(STEP_PAUSE_S))
        copy.execute("PRAGMA journal_mode = DELETE")


def _verify(place: Path) -> Verdict:
    with _reading(place) as database:
        return verify_series(place, database)


def _last_hash(place: Path) -> str:
    with _reading(place) as database:
        return str(database.execute("SELECT last_hash FROM meta").fetchone()[0])


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    uri = path.as_uri() + "?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)) as database:
        yield database


def _check_file(source: Path, file: BackupFile) -> None:
    place = source / file.name
    if Path(file.name).is_absolute() or ".." in Path(file.name).parts:
        raise AuditCorruptError(str(source), f"its manifest names a file outside of it: {file.name}")
    if not place.is_file():
        raise AuditCorruptError(str(source), f"{file.name} is missing")
    if place.stat().st_size != file.size_bytes or sha256_of(place) != file.sha256:
        raise AuditCorruptError(str(source), f"{file.name} is not as it was backed up")


def _entries(folder: Path) -> Iterator[BackupFile]:
    for place in sorted(folder.rglob("*")):
        if place.is_file():
            yield BackupFile(
                name=place.relative_to(folder).as_posix(),
                size_bytes=place.stat().st_size,
                sha256=sha256_of(place),
            )


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(source, place)
    place.chmod(source.stat().st_mode & 0o600)


def _sync(folder: Path) -> None:
    for place in folder.rglob("*"):
        if place.is_file():
            with place.open("rb") as file:
                os.fsync(file.fileno())
        else:
            sync_folder(place)
    sync_folder(folder)


def _fresh_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)


@contextlib.contextmanager
def _gone_if_it_fails(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
