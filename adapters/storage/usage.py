"""How many bytes the record, its segments and the samples take on the disk."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from adapters.storage.settings import MB, SamplesSettings

ASIDE = ("damaged", "replaced", "orphaned", "before-restore", "schema")
"""What is kept aside is called PATH.WHY-N."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes on the disk.

    Attributes:
        live_bytes: the database that is written and the log beside it.
        segment_bytes: closed segments.
        sample_bytes: samples.
        aside_bytes: what was kept aside: damaged, replaced, of an older schema; never removed by us.
    """

    live_bytes: int
    segment_bytes: int
    sample_bytes: int
    aside_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.live_bytes + self.segment_bytes + self.sample_bytes + self.aside_bytes

    @property
    def words(self) -> str:
        return (
            f"decisions {self.live_bytes / MB:.1f}, their segments {self.segment_bytes / MB:.1f}, "
            f"samples {self.sample_bytes / MB:.1f}, kept aside {self.aside_bytes / MB:.1f} MB"
        )


def usage_of(path: Path, samples: SamplesSettings) -> Usage:
    """Measure what lies at ``path`` and beside it. Raises OSError."""
    live = sum(size_of(path.with_name(path.name + suffix)) for suffix in ("", "-wal", "-shm"))
    return Usage(
        live, folder_bytes(segments_folder(path)), folder_bytes(samples.folder(path)), _aside_bytes(path)
    )


def segments_folder(path: Path) -> Path:
    """Where the read-only segments of the record at ``path`` lie."""
    return path.with_name(path.name + ".segments")


def _aside_bytes(path: Path) -> int:
    if not path.parent.is_dir():
        return 0
    found = (each for why in ASIDE for each in path.parent.glob(f"{path.name}.{why}-*"))
    return sum(folder_bytes(each) if each.is_dir() else size_of(each) for each in found)


def folder_bytes(folder: Path) -> int:
    """All files right in ``folder``; 0 if there is none."""
    return sum(size_of(each) for each in folder.iterdir()) if folder.is_dir() else 0


def size_of(path: Path) -> int:
    """0 where there is nothing, or no more: files may be removed while they are counted."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
