"""Says how the record fares, for people who look after it: space, quota, chain, and who writes it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from adapters.storage.chain import WAL_BYTES_MAX, check_tail
from adapters.storage.connection import absolute
from adapters.storage.faults import translated
from adapters.storage.lock import lock_path
from adapters.storage.schema import SCHEMA_VERSION, read_span
from adapters.storage.segments import segments_of
from adapters.storage.settings import MB, AuditSettings, SamplesSettings
from adapters.storage.usage import Usage, segments_folder, usage_of
from guard.errors import AuditError

SQLITE_MIN = (3, 37, 0)
"""STRICT tables are as old as that."""
BUSY_S = 2.0


class CheckResult(StrEnum):
    """How one check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StorageCheck:
    """One thing looked at; ``remedy`` says what to do and is empty where all is well."""

    name: str
    result: CheckResult
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class StorageHealth:
    """Everything that was looked at."""

    checks: tuple[StorageCheck, ...]

    @property
    def result(self) -> CheckResult:
        """The worst of all."""
        found = {check.result for check in self.checks}
        return next(
            (each for each in (CheckResult.FAILED, CheckResult.WARNING) if each in found), CheckResult.OK
        )


def inspect_storage(settings: AuditSettings, samples: SamplesSettings | None = None) -> StorageHealth:
    """Look at the record and change nothing; a daemon may be writing it. Never raises for what it finds."""
    path = absolute(settings.path)
    usage = usage_of(path, samples or SamplesSettings())
    return StorageHealth(
        (
            _sqlite(),
            _folder(path),
            _space(path, settings),
            _quota(usage, settings),
            _writer(path),
            _log(path),
            _chain(path),
            _segments(path),
        )
    )


def _sqlite() -> StorageCheck:
    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        needed = ".".join(map(str, SQLITE_MIN))
        return StorageCheck(
            "sqlite",
            CheckResult.FAILED,
            f"{found} is too old",
            f"run a Python that is linked with SQLite {needed} or newer",
        )
    return StorageCheck("sqlite", CheckResult.OK, found)


def _folder(path: Path) -> StorageCheck:
    folder = next(each for each in path.parents if each.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        return _failed(
            "folder", f"{folder} cannot be written", "give the guard's user write access, or set audit.path"
        )
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return _failed(
            "folder", f"{path} cannot be written", "give the file to the guard's user, or set audit.path"
        )
    if folder != path.parent:
        return StorageCheck("folder", CheckResult.OK, f"{path.parent} will be made")
    return StorageCheck("folder", CheckResult.OK, f"{folder} can be written")


def _space(path: Path, settings: AuditSettings) -> StorageCheck:
    folder = next(each for each in path.parents if each.exists())
    disk = os.statvfs(folder)
    free_mb = disk.f_bavail * disk.f_frsize / MB
    detail = f"{free_mb:.0f} MB free on the disk of {folder}"
    if free_mb < 1:
        return _failed("space", detail, "free some now: nothing can be recorded")
    if free_mb < settings.free_mb_min:
        return StorageCheck(
            "space",
            CheckResult.WARNING,
            f"{detail}, less than audit.free_mb_min ({settings.free_mb_min:g})",
            "free some: no samples are kept until then",
        )
    return StorageCheck("space", CheckResult.OK, detail)


def _quota(usage: Usage, settings: AuditSettings) -> StorageCheck:
    used_mb = usage.total_bytes / MB
    detail = f"{used_mb:.1f} MB of {settings.quota_mb:g} used: {usage.words}"
    if used_mb > settings.quota_mb:
        return StorageCheck(
            "quota",
            CheckResult.WARNING,
            detail,
            "raise audit.quota_mb, or lower keep_days, keep_days_min or samples.keep_mb",
        )
    return StorageCheck("quota", CheckResult.OK, detail)


def _writer(path: Path) -> StorageCheck:
    holder = lock_holder(path)
    if holder is None:
        return StorageCheck("writer", CheckResult.OK, "no guard writes it")
    return StorageCheck("writer", CheckResult.OK, f"process {holder} writes it")


def _log(path: Path) -> StorageCheck:
    log = path.with_name(path.name + "-wal")
    size = log.stat().st_size if log.exists() else 0
    detail = f"{size / MB:.1f} MB in the log beside it"
    if size > 2 * WAL_BYTES_MAX:
        return StorageCheck(
            "log",
            CheckResult.WARNING,
            detail,
            "end what holds an old state open: a reader, or a sqlite3 shell inside a transaction",
        )
    return StorageCheck("log", CheckResult.OK, detail)


def _chain(path: Path) -> StorageCheck:
    if not path.exists():
        return StorageCheck("chain", CheckResult.OK, "no record yet: it begins with the first start")
    if not path.stat().st_size:
        return StorageCheck("chain", CheckResult.OK, "an empty file: it begins with the first start")
    try:
        with _reading(path) as database:
            version = int(database.execute("PRAGMA user_version").fetchone()[0])
            if not 1 <= version <= SCHEMA_VERSION:
                return _failed(
                    "chain",
                    f"schema {version}, this perpguard knows 1 to {SCHEMA_VERSION}",
                    "use the perpguard that wrote it, or set another audit.path",
                )
            number, last_hash = check_tail(path, database)
    except AuditError as error:
        return _failed("chain", error.detail, "run `perpguard audit verify`, and keep the file")
    return StorageCheck("chain", CheckResult.OK, f"{number} records, the last as written ({last_hash[:12]})")


def _segments(path: Path) -> StorageCheck:
    """Whether the files are there, by their names; ``audit verify`` reads them."""
    found = segments_of(path)
    if not path.exists() or not path.stat().st_size:
        return StorageCheck("segments", CheckResult.OK, "none yet")
    try:
        with _reading(path) as database:
            span = read_span(database)
    except AuditError as error:
        return _failed("segments", error.detail, "run `perpguard audit verify`, and keep the file")
    expected = span.retired_number + 1
    for segment in found:
        if segment.first == expected:
            expected = segment.last + 1
    if expected <= span.base_number:
        return _failed(
            "segments",
            f"records {expected} to {span.base_number} are in no file",
            f"put the segment back from a backup into {segments_folder(path)}",
        )
    return StorageCheck("segments", CheckResult.OK, f"{len(found)}, none missing")


def lock_holder(path: Path) -> str | None:
    """The process that writes the record at ``path``, ``None`` if nobody does."""
    place = lock_path(path)
    try:
        file = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return os.read(file, 32).decode(errors="replace").strip() or "unknown"
    finally:
        os.close(file)
    return None


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with translated(path):
        database = sqlite3.connect(path.as_uri() + "?mode=ro", uri=True, isolation_level=None, timeout=BUSY_S)
        with contextlib.closing(database):
            database.execute("PRAGMA query_only = ON")
            yield database


def _failed(name: str, detail: str, remedy: str) -> StorageCheck:
    return StorageCheck(name, CheckResult.FAILED, detail, remedy)
