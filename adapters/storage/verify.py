"""Recomputes a whole audit, the chain and every table that follows from it, in the connection's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import msgspec

from adapters.storage.schema import (
    INDEX_TABLES,
    Span,
    commands_of,
    decode_posture,
    encode_posture,
    epoch_of,
    kind_of,
    postures_of,
    read_span,
    reasons_of,
)
from guard.audit import (
    GENESIS_HASH,
    AnyRecord,
    SegmentClosed,
    SegmentOpened,
    SegmentRetired,
    chain_hash,
    decode_record,
)
from guard.ports import Verdict


class BrokenError(Exception):
    """The first record that is not as it was written."""

    def __init__(self, number: int, detail: str) -> None:
        super().__init__(detail)
        self.number = number
        self.detail = detail


@dataclass(slots=True)
class Progress:
    """How far the chain was recomputed, and what the records said so far.

    ``knows_memory`` is false in a file whose beginning went to a segment, until its own segment begins.
    """

    number: int = 0
    hash: str = GENESIS_HASH
    epoch: int = 0
    postures: dict[str, str] = field(default_factory=dict)
    span: Span = field(default_factory=Span)
    knows_memory: bool = True


def verify_file(database: sqlite3.Connection) -> Verdict:
    """Check every record of one file by itself; the verdict names the first that is not as written.

    The chain has no secret in it: who can write the file can also compute a whole new chain. The last
    hash, noted elsewhere (``audit verify`` and the log print it), shows that too.

    Raises:
        sqlite3.Error: the database could not be read at all.
    """
    progress = Progress()
    with one_state(database):
        base = read_span(database)
        if base.base_number:
            progress = Progress(base.base_number, base.base_hash, knows_memory=False)
        return judged(progress, lambda: check_file(database, progress))


@contextmanager
def one_state(database: sqlite3.Connection) -> Iterator[None]:
    """Read one consistent state, whatever is written meanwhile."""
    database.execute("BEGIN")
    try:
        yield
    finally:
        database.execute("ROLLBACK")


def judged(progress: Progress, check: Callable[[], None]) -> Verdict:
    """What came of a check, in the words of a verdict."""
    try:
        check()
    except BrokenError as broken:
        return Verdict(progress.number, broken.number, broken.detail)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        at = progress.number + 1
        return Verdict(progress.number, at, f"the file itself is damaged at or after record {at}: {error}")
    gone = progress.span.retired_number
    kept = f"records {gone + 1} to {progress.number}" if gone else f"all {progress.number} records"
    retired = f" (those up to {gone} were removed by retention)" if gone else ""
    return Verdict(progress.number, None, f"{kept} are as written{retired}; last hash {progress.hash}")


def check_file(database: sqlite3.Connection, progress: Progress) -> None:
    """Recompute one file from where ``progress`` stands, which it moves on.

    Raises:
        BrokenError: something is not as written.
        sqlite3.Error: the file cannot be read.
    """
    count, last_hash = database.execute("SELECT records, last_hash FROM meta").fetchone() or (0, "")
    span = read_span(database)
    indexes = {name: _Index(database, name, column) for name, column in INDEX_TABLES.items()}
    _check_records(database, progress, indexes, span)
    _check_end(progress, count, last_hash)
    for index in indexes.values():
        index.check_end()
    _check_memory(database, progress, span)


def _check_records(
    database: sqlite3.Connection, progress: Progress, indexes: dict[str, _Index], span: Span
) -> None:
    rows = database.execute("SELECT number, at, kind, body, hash FROM records ORDER BY number")
    before, previous = span.base_number, span.base_hash
    if before > progress.number:
        raise BrokenError(progress.number + 1, f"{_missing(progress.number + 1, before)} nowhere")
    if before == progress.number and previous != progress.hash:
        raise BrokenError(before + 1, f"the file does not begin after record {before} as it was written")
    for number, at, kind, body, stored_hash in rows:
        expected = before + 1
        if number != expected:
            raise BrokenError(
                expected, f"{_missing(expected, number - 1)} removed: record {number} comes next"
            )
        previous = chain_hash(previous, str(body).encode())
        if previous != stored_hash:
            raise BrokenError(
                number,
                f"record {number} does not follow from the one before it: it was changed, moved or inserted, "
                "or the one before it was",
            )
        before = number
        if number == progress.number and previous != progress.hash:
            raise BrokenError(number, f"record {number} differs from the one in the segment")
        record = _decoded(number, body)
        if (record.at, kind_of(record)) != (at, kind):
            raise BrokenError(number, f"time or kind beside record {number} differ from what is in it")
        indexes["record_command"].check(number, commands_of(record))
        indexes["record_finding"].check(number, reasons_of(record))
        indexes["record_posture"].check(number, set(postures_of(record)))
        if number > progress.number:
            _follow(progress, number, previous, record)


def _decoded(number: int, body: str) -> AnyRecord:
    try:
        return decode_record(body)
    except msgspec.DecodeError as error:
        raise BrokenError(number, f"record {number} cannot be read: {error}") from error


def _missing(first: int, last: int) -> str:
    return f"record {first}" if first >= last else f"records {first} to {last}"


def _follow(progress: Progress, number: int, new_hash: str, record: AnyRecord) -> None:
    """Move on by one record; what it says of the chain itself must be so."""
    match record:
        case SegmentOpened():
            _check_opening(progress, number, record)
            progress.epoch, progress.knows_memory = record.epoch, True
            progress.postures = {each.bot: encode_posture(each) for each in record.postures}
        case SegmentClosed():
            if (record.last_number, record.last_hash) != (progress.number, progress.hash):
                raise BrokenError(number, f"record {number} closes a segment with another end than this")
            if progress.knows_memory and record.first_number != max(progress.span.opened_number, 1):
                raise BrokenError(
                    number, f"record {number} closes a segment with another beginning than this"
                )
        case SegmentRetired() if progress.knows_memory:
            if record.first_number != progress.span.retired_number + 1:
                raise BrokenError(number, f"record {number} retires records that are not the oldest")
        case _:
            pass
    progress.number, progress.hash = number, new_hash
    progress.span = progress.span.after(number, record)
    progress.epoch = max(progress.epoch, epoch_of(record))
    progress.postures |= {bot: encode_posture(each) for bot, each in postures_of(record).items()}


def _check_opening(progress: Progress, number: int, record: SegmentOpened) -> None:
    if (record.former_number, record.former_hash) != (progress.number, progress.hash):
        raise BrokenError(number, f"record {number} begins a segment after another one than this")
    if not progress.knows_memory:
        return
    former = progress.span
    said = (record.segment, record.retired_number, record.retired_hash)
    if said != (former.segment + 1, former.retired_number, former.retired_hash):
        raise BrokenError(number, f"record {number} begins another segment than the next")
    carried = {each.bot: encode_posture(each) for each in record.postures}
    if (record.epoch, carried) != (progress.epoch, progress.postures):
        raise BrokenError(number, f"record {number} carries over another epoch or other postures")


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
            raise BrokenError(number, f"the table {self.table} does not agree with record {number}")

    def check_end(self) -> None:
        if self.next is not None:
            raise BrokenError(
                self.next[0], f"the table {self.table} names record {self.next[0]}, which is not there"
            )


def _check_end(progress: Progress, count: int, last_hash: str) -> None:
    if progress.number < count:
        raise BrokenError(
            progress.number + 1, f"records {progress.number + 1} to {count} were removed from the end"
        )
    if progress.number > count:
        raise BrokenError(count + 1, f"records from {count + 1} on were added by something else")
    if progress.hash != last_hash:
        raise BrokenError(max(count, 1), f"record {count} is not the last that was written")


def _check_memory(database: sqlite3.Connection, progress: Progress, span: Span) -> None:
    at = max(progress.number, 1)
    if not progress.knows_memory:
        raise BrokenError(at, "the record that begins this segment is not there")
    epoch = database.execute("SELECT max(epoch) FROM epoch").fetchone()[0] or 0
    stored = database.execute("SELECT bot, body FROM posture").fetchall()
    try:
        # By what they say: one that was stored before postures had a field that they have now says it with its default.
        postures = {bot: encode_posture(decode_posture(body)) for bot, body in stored}
    except msgspec.DecodeError as error:
        raise BrokenError(at, f"a remembered posture cannot be read: {error}") from error
    if (epoch, postures) != (progress.epoch, progress.postures):
        raise BrokenError(at, "the remembered epoch or postures differ from what the records say")
    if replace(progress.span, base_number=span.base_number, base_hash=span.base_hash) != span:
        raise BrokenError(at, "what is remembered of segments differs from what the records say")
