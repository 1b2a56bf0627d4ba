"""SQLite's and the system's errors to ours, each saying which file, what, and what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guard.errors import AuditCorruptError, AuditError, AuditFullError, AuditLockedError

FREE_BYTES_MIN = 64 * 1024
"""A failed write with less than this free is a full disk, whatever SQLite calls it."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise AuditError instead of sqlite3's errors and OSError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _from_sqlite(path, error) from error
    except OSError as error:
        raise _from_system(path, error) from error


def corrupt(path: Path, what: str) -> AuditCorruptError:
    """Say that the audit is damaged."""
    return AuditCorruptError(
        str(path),
        f"damaged: {what}. Keep the file, it is evidence; move it aside (with its -wal and -shm) "
        "so that a new one can begin",
    )


def _from_sqlite(path: Path, error: sqlite3.Error) -> AuditError:  # noqa: PLR0911 (one sort of failure a line)
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _is_full(path)):
        return _full(path)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return AuditLockedError(
            str(path),
            "another program holds the database (a second guard, or an open sqlite3 shell with a "
            "transaction): end it, or give this guard another audit.path",
        )
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return corrupt(path, f"SQLite says {error} ({name})")
    if str(error).startswith(("no such table", "no such column")):
        return corrupt(path, f"a part of it is gone ({error})")
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
        return AuditError(
            str(path), f"cannot be written ({error}): give the guard's user write access to it and its folder"
        )
    if name.startswith("SQLITE_CANTOPEN"):
        return AuditError(
            str(path),
            f"cannot be opened ({error}): check that it exists and its permissions, and its folder's",
        )
    return AuditError(str(path), f"SQLite failed: {error} ({name or type(error).__name__}): check the disk")


def _from_system(path: Path, error: OSError) -> AuditError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _full(path)
    return AuditError(str(path), f"{error.strerror or error}: correct audit.path or the permissions there")


def _full(path: Path) -> AuditFullError:
    return AuditFullError(
        str(path), f"no space is left on the disk of {path.parent}: free some; nothing of this was written"
    )


def _is_full(path: Path) -> bool:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < FREE_BYTES_MIN
