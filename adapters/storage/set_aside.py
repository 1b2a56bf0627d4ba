"""Move a damaged audit out of the way without losing any of it."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from adapters.storage.faults import translated
from adapters.storage.lock import WriterLock

SIDE_FILES = ("", "-wal", "-shm")


def set_aside(path: Path) -> Path:
    """Rename the audit and what belongs to it to ``NAME.damaged-N`` and return the new name.

    Raises:
        AuditLockedError: a guard still writes it.
        AuditError: it cannot be renamed.
    """
    with translated(path):
        lock = WriterLock(path)
        try:
            aside = _free_name(path)
            # The -wal goes first: a main file without its log is an older state, a log without its main
            # file would be played into the next database of that name.
            for suffix in reversed(SIDE_FILES):
                source = path.with_name(path.name + suffix)
                if source.exists():
                    source.rename(aside.with_name(aside.name + suffix))
        finally:
            lock.release()
    return aside


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in count(1))
    return next(
        name for name in names if not any(name.with_name(name.name + side).exists() for side in SIDE_FILES)
    )
