"""A lock file beside the audit, so that only one guard writes it; the system frees it when we die."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from guard.errors import AuditLockedError


class WriterLock:
    """Held from construction until ``release``.

    Raises:
        AuditLockedError: another process (or another writer of this one) holds it.
        OSError: the lock file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._file, 32).decode(errors="replace").strip()
            os.close(self._file)
            raise AuditLockedError(
                str(path),
                f"another guard writes it (process {holder or 'unknown'}): stop that one, or give this guard "
                "another audit.path",
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Free it; the file stays, because removing it would let two lockers in. Twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")
