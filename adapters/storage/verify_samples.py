"""Holds files of samples against the hashes that the audit recorded when they were complete."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from adapters.storage.files import sha256_of
from guard.audit import AnyRecord, SamplesRetired, SamplesSealed


def verify_samples(records: Iterable[AnyRecord], folder: Path) -> list[str]:
    """Say which files are not as they were sealed, or gone without a record; empty if all are. Raises OSError."""
    found = (_problem(record, folder / record.file) for record in sealed_of(records))
    return [problem for problem in found if problem]


def sealed_of(records: Iterable[AnyRecord]) -> list[SamplesSealed]:
    """The files that should be there."""
    sealed: dict[str, SamplesSealed] = {}
    for record in records:
        match record:
            case SamplesSealed(file=file):
                sealed[file] = record
            case SamplesRetired(file=file):
                sealed.pop(file, None)
            case _:
                pass
    return list(sealed.values())


def _problem(record: SamplesSealed, path: Path) -> str:
    if not path.exists():
        return f"{path} is not there, and no record says that it was removed"
    if path.stat().st_size != record.size_bytes or sha256_of(path) != record.sha256:
        return f"{path} is not as it was sealed"
    return ""
