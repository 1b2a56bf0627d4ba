"""The end of the chain and the transactions that lengthen or cut it. Runs in the connection's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from adapters.storage.faults import corrupt
from adapters.storage.migrations import migrate, version_of
from adapters.storage.schema import (
    INDEX_TABLES,
    SCHEMA_VERSION,
    TABLES,
    Row,
    Span,
    commands_of,
    decode_posture,
    encode_posture,
    epoch_of,
    postures_of,
    read_span,
    reasons_of,
    remembered_of,
    rows_after,
    write_span,
)
from guard.audit import GENESIS_HASH, AnyRecord, SegmentClosed, SegmentOpened, chain_hash
from guard.errors import AuditError
from guard.units import Nanoseconds

TAIL_RECORDS = 1000
"""How many of the last records are recomputed at every open, about 10 ms; ``verify`` recomputes all."""
WAL_BYTES_MAX = 64 * 1024 * 1024
"""To what the log is cut after it has grown, as when a reader held an old state for long."""


class Chain:
    """Knows the number and hash of the last record; one lives in each writing connection's thread.

    Appends cannot overtake each other there. A failed append leaves number and hash as they were.

    Attributes:
        number: of the last record; its hash is ``hash``.
        span: which part of the chain is in the file.
        migrated: where the file of an older schema is kept, if this open brought it forward.

    Raises:
        AuditCorruptError: the last records are not what was written.
        AuditError: the file is something else's, or a newer perpguard's.
        sqlite3.Error: for the caller to translate.
    """

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self.path = path
        create = not version_of(database)
        if create:
            # Only before the first table is made; it lets the file shrink again after a rotation.
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        self._durable = True
        if create:
            _create(path, database)
        self.migrated = migrate(path, database)
        self.number, self.hash = check_tail(path, database)
        self.span = read_span(database)

    def append(self, database: sqlite3.Connection, records: list[AnyRecord], *, durable: bool) -> None:
        """Write all of ``records`` in one transaction or none; ``durable`` waits for the disk."""
        rows = list(rows_after(self.number, self.hash, records))
        span = self.span
        for row in rows:
            span = span.after(row.number, row.record)
        self._transact(database, lambda: _write(database, rows, span, self.span), durable=durable)
        self.number, self.hash, self.span = rows[-1].number, rows[-1].hash, span

    def cut(self, database: sqlite3.Connection, at: Nanoseconds) -> None:
        """End the segment that is written and begin the next, in one durable append."""
        first_number = max(self.span.opened_number, 1)
        first_at = database.execute("SELECT at FROM records WHERE number = ?", (first_number,)).fetchone()
        postures = database.execute("SELECT body FROM posture ORDER BY bot").fetchall()
        closed = SegmentClosed(
            at=at,
            segment=self.span.segment,
            first_number=first_number,
            last_number=self.number,
            last_hash=self.hash,
            first_at=int(first_at[0]) if first_at else at,
        )
        row = next(rows_after(self.number, self.hash, [closed]))
        opened = SegmentOpened(
            at=at,
            segment=self.span.segment + 1,
            former_number=row.number,
            former_hash=row.hash,
            epoch=int(database.execute("SELECT max(epoch) FROM epoch").fetchone()[0] or 0),
            postures=tuple(decode_posture(body) for (body,) in postures),
            retired_number=self.span.retired_number,
            retired_hash=self.span.retired_hash,
        )
        self.append(database, [closed, opened], durable=True)

    def prune(self, database: sqlite3.Connection, records_max: int) -> bool:
        """Remove the oldest records, which lie in a segment; return whether there are more to remove."""
        until = min(self.span.base_number + records_max, self.span.closed_number)
        if until <= self.span.base_number:
            return False
        (base_hash,) = database.execute("SELECT hash FROM records WHERE number = ?", (until,)).fetchone()
        span = replace(self.span, base_number=until, base_hash=base_hash)

        def remove() -> None:
            for table in (*INDEX_TABLES, "records"):
                database.execute(f"DELETE FROM {table} WHERE number <= ?", (until,))  # noqa: S608
            write_span(database, span)

        # What is removed is in a segment on the disk: losing the removal is harmless.
        self._transact(database, remove, durable=False)
        self.span = span
        return until < span.closed_number

    def shrink(self, database: sqlite3.Connection, pages_max: int) -> bool:
        """Give free pages back to the disk; return whether there are more."""
        free = int(database.execute("PRAGMA freelist_count").fetchone()[0])
        if not free or not int(database.execute("PRAGMA auto_vacuum").fetchone()[0]):
            return False

        def give_back() -> None:
            # A page for each statement: Python steps a statement without rows once, whatever number it names.
            for _ in range(min(pages_max, free)):
                database.execute("PRAGMA incremental_vacuum(1)")

        self._transact(database, give_back, durable=False)
        return free > pages_max

    def _transact(self, database: sqlite3.Connection, work: Callable[[], None], *, durable: bool) -> None:
        if durable != self._durable:
            # In WAL mode NORMAL commits without waiting for the disk; the next FULL commit syncs them too.
            database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        database.execute("BEGIN IMMEDIATE")
        try:
            work()
            database.execute("COMMIT")
        except BaseException:
            # SQLite rolls some failures back by itself; a second rollback would be an error of its own.
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise


def check_tail(path: Path, database: sqlite3.Connection) -> tuple[int, str]:
    """Recompute the last records; return the number and hash of the last one.

    Raises:
        AuditCorruptError: they are not what was written.
    """
    meta = database.execute("SELECT records, last_hash FROM meta").fetchone()
    if meta is None:
        raise corrupt(path, "its count of records is gone")
    count, last_hash = meta
    span = read_span(database)
    rows = database.execute(
        "SELECT number, body, hash FROM records ORDER BY number DESC LIMIT ?", (TAIL_RECORDS + 1,)
    ).fetchall()[::-1]
    last = rows[-1][0] if rows else span.base_number
    if last != count:
        raise corrupt(path, f"{count} records were written, the last one there is {last}")
    number, previous = span.base_number, span.base_hash
    if len(rows) > TAIL_RECORDS:
        (number, _, previous), *rows = rows
    for found, body, stored_hash in rows:
        number += 1
        previous = chain_hash(previous, str(body).encode())
        if found != number or previous != stored_hash:
            raise corrupt(path, f"record {number} is not what was written")
    if previous != last_hash:
        raise corrupt(path, f"record {number} is not the last that was written")
    return int(count), str(last_hash)


def _create(path: Path, database: sqlite3.Connection) -> None:
    if database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise AuditError(str(path), "is a database of something else: give this guard another audit.path")
    database.executescript(
        f"BEGIN IMMEDIATE;{TABLES}"  # noqa: S608 (constants only)
        f"INSERT INTO meta VALUES (1, {SCHEMA_VERSION}, 0, '{GENESIS_HASH}');"
        "INSERT INTO epoch VALUES (1, 0);"
        f"INSERT INTO span VALUES (1, 1, 0, 0, '{GENESIS_HASH}', 0, '{GENESIS_HASH}');"
        f"PRAGMA user_version = {SCHEMA_VERSION};COMMIT;"
    )


def _write(database: sqlite3.Connection, rows: list[Row], span: Span, former: Span) -> None:
    database.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?)", (row.columns for row in rows))
    postures: dict[str, str] = {}
    epoch = 0
    for row in rows:
        for command_id in commands_of(row.record):
            database.execute("INSERT INTO record_command VALUES (?, ?)", (command_id, row.number))
        for reason in reasons_of(row.record):
            database.execute("INSERT INTO record_finding VALUES (?, ?)", (reason, row.number))
        for bot in postures_of(row.record):
            database.execute("INSERT INTO record_posture VALUES (?, ?)", (bot, row.number))
        postures |= {bot: encode_posture(each) for bot, each in remembered_of(row.record).items()}
        epoch = max(epoch, epoch_of(row.record))
    database.executemany("INSERT OR REPLACE INTO posture VALUES (?, ?)", postures.items())
    if epoch:
        database.execute("UPDATE epoch SET epoch = max(epoch, ?)", (epoch,))
    if span != former:
        write_span(database, span)
    database.execute("UPDATE meta SET records = ?, last_hash = ?", (rows[-1].number, rows[-1].hash))
