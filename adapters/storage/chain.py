"""The end of the chain and the transaction that lengthens it. Runs in the connection's thread."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from adapters.storage.faults import corrupt
from adapters.storage.schema import (
    SCHEMA_VERSION,
    TABLES,
    Row,
    commands_of,
    encode_posture,
    epoch_of,
    postures_of,
    reasons_of,
    rows_after,
)
from guard.audit import GENESIS_HASH, AnyRecord, chain_hash
from guard.errors import AuditError

TAIL_RECORDS = 1000
"""How many of the last records are recomputed at every open, about 10 ms; ``verify`` recomputes all."""
WAL_BYTES_MAX = 64 * 1024 * 1024
"""To what the log is cut after it has grown, as when a reader held an old state for long."""


class Chain:
    """Knows the number and hash of the last record; one lives in each writing connection's thread.

    Appends cannot overtake each other there. A failed append leaves number and hash as they were.

    Raises:
        AuditCorruptError: the last records are not what was written.
        AuditError: the file is something else's, or a newer perpguard's.
        sqlite3.Error: for the caller to translate.
    """

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self.path = path
        self.number = 0
        self.hash = GENESIS_HASH
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        self._durable = True
        self._create(database)
        self._check_tail(database)

    def append(self, database: sqlite3.Connection, records: list[AnyRecord], *, durable: bool) -> None:
        """Write all of ``records`` in one transaction or none; ``durable`` waits for the disk."""
        rows = list(rows_after(self.number, self.hash, records))
        if durable != self._durable:
            # In WAL mode NORMAL commits without waiting for the disk; the next FULL commit syncs them too.
            database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        database.execute("BEGIN IMMEDIATE")
        try:
            _write(database, rows)
            database.execute("COMMIT")
        except BaseException:
            # SQLite rolls some failures back by itself; a second rollback would be an error of its own.
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        self.number, self.hash = rows[-1].number, rows[-1].hash

    def _create(self, database: sqlite3.Connection) -> None:
        version = int(database.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise AuditError(
                str(self.path),
                f"a newer perpguard wrote it (schema {version}, this one knows {SCHEMA_VERSION}): run that "
                "one, or give this guard another audit.path",
            )
        if version == SCHEMA_VERSION:
            return
        if database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise AuditError(
                str(self.path), "is a database of something else: give this guard another audit.path"
            )
        database.executescript(
            f"BEGIN IMMEDIATE;{TABLES}"  # noqa: S608 (constants only)
            f"INSERT INTO meta VALUES (1, {SCHEMA_VERSION}, 0, '{GENESIS_HASH}');"
            "INSERT INTO epoch VALUES (1, 0);"
            f"PRAGMA user_version = {SCHEMA_VERSION};COMMIT;"
        )

    def _check_tail(self, database: sqlite3.Connection) -> None:
        meta = database.execute("SELECT records, last_hash FROM meta").fetchone()
        if meta is None:
            raise corrupt(self.path, "its count of records is gone")
        count, last_hash = meta
        rows = database.execute(
            "SELECT number, body, hash FROM records ORDER BY number DESC LIMIT ?", (TAIL_RECORDS + 1,)
        ).fetchall()[::-1]
        if (rows[-1][0] if rows else 0) != count:
            raise corrupt(
                self.path, f"{count} records were written, the last one there is {rows[-1][0] if rows else 0}"
            )
        number, previous = (0, GENESIS_HASH) if len(rows) <= TAIL_RECORDS else (rows[0][0], rows[0][2])
        for found, body, stored_hash in rows if len(rows) <= TAIL_RECORDS else rows[1:]:
            number += 1
            previous = chain_hash(previous, str(body).encode())
            if found != number or previous != stored_hash:
                raise corrupt(self.path, f"record {number} is not what was written")
        if previous != last_hash:
            raise corrupt(self.path, f"record {number} is not the last that was written")
        self.number, self.hash = count, last_hash


def _write(database: sqlite3.Connection, rows: list[Row]) -> None:
    database.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?)", (row.columns for row in rows))
    postures: dict[str, str] = {}
    epoch = 0
    for row in rows:
        for command_id in commands_of(row.record):
            database.execute("INSERT INTO record_command VALUES (?, ?)", (command_id, row.number))
        for reason in reasons_of(row.record):
            database.execute("INSERT INTO record_finding VALUES (?, ?)", (reason, row.number))
        for bot, posture in postures_of(row.record).items():
            database.execute("INSERT INTO record_posture VALUES (?, ?)", (bot, row.number))
            postures[bot] = encode_posture(posture)
        epoch = max(epoch, epoch_of(row.record))
    database.executemany("INSERT OR REPLACE INTO posture VALUES (?, ?)", postures.items())
    if epoch:
        database.execute("UPDATE epoch SET epoch = max(epoch, ?)", (epoch,))
    database.execute("UPDATE meta SET records = ?, last_hash = ?", (rows[-1].number, rows[-1].hash))
