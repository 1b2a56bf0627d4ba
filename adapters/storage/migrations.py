"""Brings a record of an older schema forward: backed up first, all steps in one transaction, never back.

Closed segments are never changed: readers know every schema since 2, which was the first with segments.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from adapters.storage.files import settle
from adapters.storage.schema import SCHEMA_VERSION, Span, write_span
from guard.errors import AuditError

Step = Callable[[sqlite3.Connection], None]


def _to_2(database: sqlite3.Connection) -> None:
    """Rotation: which part of the chain is in the file, and indexes by which old records are removed."""
    for statement in (
        "CREATE INDEX record_posture_number ON record_posture (number)",
        "CREATE INDEX record_finding_number ON record_finding (number)",
        (
            "CREATE TABLE span (one INTEGER PRIMARY KEY CHECK (one = 1), segment INTEGER NOT NULL, "
            "opened_number INTEGER NOT NULL, base_number INTEGER NOT NULL, base_hash TEXT NOT NULL, "
            "retired_number INTEGER NOT NULL, retired_hash TEXT NOT NULL) STRICT"
        ),
    ):
        database.execute(statement)
    write_span(database, Span())


def _to_3(database: sqlite3.Connection) -> None:
    """The tables are as they were; there is a kind of record, ``command_traced``, that older readers do not know."""
    del database


STEPS: Mapping[int, Step] = {2: _to_2, 3: _to_3}
"""What leads to each version from the one before it."""


def migrate(
    path: Path,
    database: sqlite3.Connection,
    *,
    steps: Mapping[int, Step] = STEPS,
    to_version: int = SCHEMA_VERSION,
) -> Path | None:
    """Bring the record forward; it stays as it was if anything fails.

    Returns:
        Where the old one is kept, ``None`` if nothing was to be done.

    Raises:
        AuditError: a newer perpguard wrote it.
        sqlite3.Error, OSError: for the caller to translate.
    """
    version = version_of(database)
    if version > to_version:
        raise AuditError(
            str(path),
            f"a newer perpguard wrote it (schema {version}, this one knows {to_version}): run that "
            "one, or give this guard another audit.path",
        )
    if version == to_version:
        return None
    kept = _back_up(path, database, version)
    database.execute("BEGIN IMMEDIATE")
    try:
        for each in range(version + 1, to_version + 1):
            steps[each](database)
        database.execute("UPDATE meta SET schema_version = ?", (to_version,))
        database.execute(f"PRAGMA user_version = {to_version}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return kept


def version_of(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _back_up(path: Path, database: sqlite3.Connection, version: int) -> Path:
    """A copy as it is before; one that an interrupted migration left is made anew."""
    kept = path.with_name(f"{path.name}.schema-{version}")
    partial = kept.with_name(kept.name + ".partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as copy:
            database.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        settle(partial, kept)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return kept
