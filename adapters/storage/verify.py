"""Recomputes a whole audit, the chain and every table that follows from it, in the connection's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from adapters.storage.schema import (
    commands_of,
    encode_posture,
    epoch_of,
    kind_of,
    postures_of,
    reasons_of,
)
from guard.audit import GENESIS_HASH, chain_hash, decode_record
from guard.ports import Verdict

INDEX_TABLES = {"record_command": "command_id", "record_finding": "reason", "record_posture": "bot"}


class _BrokenError(Exception):
    def __init__(self, number: int, detail: str) -> None:
        super().__init__(detail)
        self.number = number
        self.detail = detail


@dataclass(slots=True)
class _Progress:
    number: int = 0
    hash: str = GENESIS_HASH
    epoch: int = 0
    postures: dict[str, str] = field(default_factory=dict)


def verify_chain(database: sqlite3.Connection) -> Verdict:
    """Check every record of one consistent state; the verdict names the first that is not as written.

    The chain has no secret in it: who can write the file can also compute a whole new chain. The last
    hash, noted elsewhere (``audit verify`` and the log print it), shows that too.

    Raises:
        sqlite3.Error: the database could not be read at all.
    """
    progress = _Progress()
    database.execute("BEGIN")
    try:
        count, last_hash = database.execute("SELECT records, last_hash FROM meta").fetchone() or (0, "")
        indexes = {name: _Index(database, name, column) for name, column in INDEX_TABLES.items()}
        _check_records(database, progress, indexes)
        _check_end(progress, count, last_hash)
        for index in indexes.values():
            index.check_end()
        _check_memory(database, progress)
    except _BrokenError as broken:
        return Verdict(progress.number, broken.number, broken.detail)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        at = progress.number + 1
        return Verdict(progress.number, at, f"the file itself is damaged at or after record {at}: {error}")
    finally:
        database.execute("ROLLBACK")
    return Verdict(
        progress.number, None, f"all {progress.number} records are as written; last hash {progress.hash}"
    )


def _check_records(database: sqlite3.Connection, progress: _Progress, indexes: dict[str, _Index]) -> None:
    rows = database.execute("SELECT number, at, kind, body, hash FROM records ORDER BY number")
    for number, at, kind, body, stored_hash in rows:
        expected = progress.number + 1
        if number != expected:
            missing = (
                f"record {expected}" if number == expected + 1 else f"records {expected} to {number - 1}"
            )
            raise _BrokenError(expected, f"{missing} removed: record {number} comes next")
        computed = chain_hash(progress.hash, str(body).encode())
        if computed != stored_hash:
            raise _BrokenError(
                number,
                f"record {number} does not follow from the one before it: it was changed, moved or inserted, "
                "or the one before it was",
            )
        try:
            record = decode_record(body)
        except msgspec.DecodeError as error:
            raise _BrokenError(number, f"record {number} cannot be read: {error}") from error
        if (record.at, kind_of(record)) != (at, kind):
            raise _BrokenError(number, f"time or kind beside record {number} differ from what is in it")
        indexes["record_command"].check(number, commands_of(record))
        indexes["record_finding"].check(number, reasons_of(record))
        indexes["record_posture"].check(number, set(postures_of(record)))
        progress.number, progress.hash = number, computed
        progress.epoch = max(progress.epoch, epoch_of(record))
        progress.postures |= {bot: encode_posture(each) for bot, each in postures_of(record).items()}


class _Index:
    """Walks one index table beside the records."""

    def __init__(self, database: sqlite3.Connection, table: str, column: str) -> None:
        self.table = table
        # Both names come from the constant above.
        self.rows: Iterator[tuple[int, str]] = iter(
            database.execute(f"SELECT number, {column} FROM {table} ORDER BY number")  # noqa: S608
        )
        self.next: tuple[int, str] | None = next(self.rows, None)

    def check(self, number: int, expected: set[str]) -> None:
        found: set[str] = set()
        while self.next is not None and self.next[0] <= number:
            found.add(self.next[1])
            self.next = next(self.rows, None)
        if found != expected:
            raise _BrokenError(number, f"the table {self.table} does not agree with record {number}")

    def check_end(self) -> None:
        if self.next is not None:
            raise _BrokenError(
                self.next[0], f"the table {self.table} names record {self.next[0]}, which is not there"
            )


def _check_end(progress: _Progress, count: int, last_hash: str) -> None:
    if progress.number < count:
        raise _BrokenError(
            progress.number + 1, f"records {progress.number + 1} to {count} were removed from the end"
        )
    if progress.number > count:
        raise _BrokenError(count + 1, f"records from {count + 1} on were added by something else")
    if progress.hash != last_hash:
        raise _BrokenError(max(count, 1), f"record {count} is not the last that was written")


def _check_memory(database: sqlite3.Connection, progress: _Progress) -> None:
    epoch = database.execute("SELECT max(epoch) FROM epoch").fetchone()[0] or 0
    postures = dict(database.execute("SELECT bot, body FROM posture").fetchall())
    if (epoch, postures) != (progress.epoch, progress.postures):
        raise _BrokenError(
            max(progress.number, 1), "the remembered epoch or postures differ from what the records say"
        )
