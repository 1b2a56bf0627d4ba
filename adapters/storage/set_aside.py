"""Move a damaged audit out of the way without losing any of it."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from adapters.storage.faults import translated
from adapters.storage.lock import WriterLock

SIDE_FILES = ("", "-wal", "-shm")
WITH_SEGMENTS = (*SIDE_FILES, ".segments")
"""Segments stay with the record whose chain they are: a new one would otherwise take them for its own."""


def set_aside(path: Path) -> Path:
    """Rename the audit and what belongs to it to ``NAME.damaged-N`` and return the new name.

    Raises:
        AuditLockedError: a guard still writes it.
        AuditError: it cannot be renamed.
    """
    with translated(path):
        lock = WriterLock(path)
        try:
            aside = free_name(path, "damaged")
            # The -wal goes first: a main file without its log is an older state, a log without its main
            # file would be played into the next database of that name.
            for suffix in reversed(WITH_SEGMENTS):
                source = path.with_name(path.name + suffix)
                if source.exists():
                    source.rename(aside.with_name(aside.name + suffix))
        finally:
            lock.release()
    return aside


def free_name(path: Path, why: str) -> Path:
    """The first ``NAME.WHY-N`` of which nothing is there yet."""
    names = (path.with_name(f"{path.name}.{why}-{number}") for number in count(1))
    return next(
        name for name in names if not any(name.with_name(name.name + side).exists() for side in WITH_SEGMENTS)
    )


def set_orphans_aside(path: Path) -> Path | None:
    """Rename segments whose database is gone to ``NAME.orphaned-N.segments``; return that, if there were any.

    Raises:
        OSError: they cannot be renamed.
    """
    folder = path.with_name(path.name + ".segments")
    if not folder.is_dir() or (path.exists() and path.stat().st_size):
        return None
    aside = free_name(path, "orphaned")
    return folder.rename(aside.with_name(aside.name + ".segments"))
