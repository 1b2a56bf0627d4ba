"""Closed segments of the record: read-only files that are written whole, checked, and named by what they hold."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from adapters.storage.files import settle
from adapters.storage.schema import (
    INDEX_TABLES,
    SCHEMA_VERSION,
    TABLES,
    Span,
    encode_posture,
    read_span,
    write_span,
)
from adapters.storage.usage import segments_folder
from adapters.storage.verify import (
    BrokenError,
    Progress,
    check_file,
    judged,
    one_state,
    verify_file,
)
from guard.audit import SegmentOpened, decode_record
from guard.errors import AuditCorruptError, AuditError
from guard.ports import Verdict

COPY_RECORDS = 2000
"""Copied at once: 10 ms in SQLite, which lets the other threads run, and no old state is held for longer."""
BUSY_S = 5.0
_NAME = re.compile(r"^(\d{10})-(\d{10})\.sqlite3$")

Reached = Callable[[str], None]
"""Told of each step, so that a test can stop there; does nothing otherwise."""


def nobody(step: str) -> None:
    """Nobody waits for a step."""


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A closed segment: the numbers of its first and its last record."""

    first: int
    last: int
    path: Path

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size


def segments_of(path: Path) -> list[Segment]:
    """The segments beside the record at ``path``, oldest first, by their names."""
    folder = segments_folder(path)
    if not folder.is_dir():
        return []
    matches = ((_NAME.match(each.name), each) for each in folder.iterdir())
    return sorted(Segment(int(found[1]), int(found[2]), each) for found, each in matches if found)


def is_segment(path: Path) -> bool:
    """Whether a file is called as a closed segment is."""
    return _NAME.match(path.name) is not None


def segment_path(path: Path, first: int, last: int) -> Path:
    """What the segment with these records is called."""
    return segments_folder(path) / f"{first:010}-{last:010}.sqlite3"


def write_segment(path: Path, reached: Reached = nobody) -> Segment | None:
    """Copy the records of the last closed segment out of the database at ``path``, unless that was done.

    The database is only read, a little at a time. The file has its name only when it is whole, on the
    disk, and was verified as a chain of its own.

    Raises:
        AuditCorruptError: what was copied does not verify; the database keeps the records.
        sqlite3.Error, OSError: for the caller to translate; nothing of it is left.
    """
    with contextlib.closing(_reading(path)) as database:
        span = read_span(database)
        if not span.closed_number:
            return None
        (body,) = database.execute(
            "SELECT body FROM records WHERE number = ?", (span.opened_number,)
        ).fetchone()
        first = _first_of_closed(database, span)
    opened = decode_record(body)
    assert isinstance(opened, SegmentOpened), "span names the record that begins the segment"
    whole = segment_path(path, first, span.closed_number)
    segment = Segment(first, span.closed_number, whole)
    if span.base_number >= span.closed_number:
        return segment
    if whole.exists():
        _check_is_ours(whole, opened)
        return segment
    whole.parent.mkdir(mode=0o700, exist_ok=True)
    partial = whole.with_name(whole.name + ".partial")
    for leftover in whole.parent.glob("*.partial*"):
        leftover.unlink()
    try:
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        reached("partial made")
        with contextlib.closing(sqlite3.connect(partial.as_uri(), uri=True, isolation_level=None)) as copy:
            _fill(copy, path, segment, opened, reached)
            _check_copy(path, copy, whole)
        reached("partial verified")
        partial.chmod(0o400)
        settle(partial, whole)
    except BaseException:
        partial.unlink(missing_ok=True)  # above all on a full disk
        raise
    reached("segment named")
    return segment


def _check_copy(path: Path, copy: sqlite3.Connection, whole: Path) -> None:
    verdict = verify_file(copy)
    if not verdict.ok:
        raise AuditCorruptError(str(path), f"its segment {whole.name} does not verify: {verdict.detail}")


def _check_is_ours(whole: Path, opened: SegmentOpened) -> None:
    """Before anything is removed: a file of this name may be of another record."""
    with contextlib.closing(_reading(whole)) as file:
        row = file.execute("SELECT last_hash FROM meta").fetchone()
        verdict = verify_file(file)
    if row is None or str(row[0]) != opened.former_hash or not verdict.ok:
        raise AuditCorruptError(
            str(whole),
            "is not the segment of this record, though it is called so: move it away, and it is written anew",
        )


def _first_of_closed(database: sqlite3.Connection, span: Span) -> int:
    """The first record of the last closed segment, as its closing record says."""
    row = database.execute("SELECT body FROM records WHERE number = ?", (span.closed_number,)).fetchone()
    if row is None:
        return span.base_number + 1
    closed = decode_record(row[0])
    first = getattr(closed, "first_number", None)
    assert isinstance(first, int), "the last record of a segment closes it"
    return first


def _fill(
    copy: sqlite3.Connection, path: Path, segment: Segment, opened: SegmentOpened, reached: Reached
) -> None:
    copy.execute("PRAGMA synchronous = OFF")  # It has its name only after it was synced as a whole.
    copy.execute("PRAGMA journal_mode = OFF")
    copy.executescript(TABLES)
    copy.execute("ATTACH ? AS live", (path.as_uri() + "?mode=ro",))
    at = segment.first
    while at <= segment.last:
        until = min(at + COPY_RECORDS - 1, segment.last)
        for table in ("records", *INDEX_TABLES):
            copy.execute(
                f"INSERT INTO main.{table} SELECT * FROM live.{table} WHERE number BETWEEN ? AND ?",  # noqa: S608
                (at, until),
            )
        at = until + 1
        reached("page copied")
    # The database at ``path`` may hold less than the whole segment only after this file has its name.
    base = copy.execute("SELECT hash FROM live.records WHERE number = ?", (segment.first - 1,)).fetchone()
    span = copy.execute("SELECT base_number, base_hash FROM live.span").fetchone()
    base_hash = str(base[0]) if base is not None else str(span[1])
    copy.execute(
        "INSERT INTO main.meta VALUES (1, ?, ?, ?)", (SCHEMA_VERSION, segment.last, opened.former_hash)
    )
    copy.execute("INSERT INTO main.epoch VALUES (1, ?)", (opened.epoch,))
    copy.executemany(
        "INSERT INTO main.posture VALUES (?, ?)",
        [(each.bot, encode_posture(each)) for each in opened.postures],
    )
    write_span(
        copy,
        Span(
            segment=opened.segment - 1,
            opened_number=segment.first if segment.first > 1 else 0,
            base_number=segment.first - 1,
            base_hash=base_hash,
            retired_number=opened.retired_number,
            retired_hash=opened.retired_hash,
        ),
    )
    copy.execute("DETACH live")
    copy.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def verify_series(path: Path, database: sqlite3.Connection) -> Verdict:
    """Check the whole record: every segment that was not retired, and the database that is written.

    Raises:
        sqlite3.Error: the database could not be read at all.
    """
    progress = Progress()
    with one_state(database):
        span = read_span(database)
        if span.retired_number:
            progress = Progress(
                span.retired_number,
                span.retired_hash,
                knows_memory=False,
                span=Span(retired_number=span.retired_number, retired_hash=span.retired_hash),
            )
        return judged(progress, lambda: _check_series(path, database, span, progress))


def _check_series(path: Path, database: sqlite3.Connection, live: Span, progress: Progress) -> None:
    for segment in segments_of(path):
        if segment.last <= live.retired_number or segment.first > live.closed_number:
            continue
        with named(segment.path), contextlib.closing(_reading(segment.path)) as file:
            span = read_span(file)
            if (span.base_number, span.base_hash) != (progress.number, progress.hash):
                raise BrokenError(
                    progress.number + 1,
                    f"{_gap_words(progress.number, span.base_number)} nowhere"
                    if span.base_number > progress.number
                    else f"it does not follow from record {progress.number}: it is of another record, "
                    "or was put in place of the right one",
                )
            check_file(file, progress)
    if live.base_number > progress.number:
        raise BrokenError(
            progress.number + 1,
            f"{_gap_words(progress.number, live.base_number)} nowhere: a segment was removed, "
            f"and no record says that it was retired. Put it back into {segments_folder(path)}",
        )
    check_file(database, progress)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Say of a finding in which segment it is."""
    try:
        yield
    except BrokenError as broken:
        raise BrokenError(broken.number, f"segment {path.name}: {broken.detail}") from broken
    except sqlite3.Error as error:
        raise BrokenError(
            int(path.name[:10]), f"segment {path.name}: it is damaged and cannot be read: {error}"
        ) from error


def _gap_words(before: int, after: int) -> str:
    first, last = before + 1, after
    return f"record {first} is" if first == last else f"records {first} to {last} are"


def open_segment(path: Path) -> sqlite3.Connection:
    """Open a closed segment for reading, as it lies. Raises AuditError or sqlite3.Error."""
    try:
        return _reading(path)
    except sqlite3.Error as error:
        raise AuditError(str(path), f"a segment cannot be opened: {error}") from error


def _reading(path: Path) -> sqlite3.Connection:
    """Segments never change, so they are read without locks, also on a read-only disk."""
    mode = "immutable=1" if is_segment(path) else "mode=ro"
    return sqlite3.connect(
        f"{path.as_uri()}?{mode}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_S,
        check_same_thread=False,
    )
