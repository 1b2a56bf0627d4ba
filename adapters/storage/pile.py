"""The record as one: the database that is written and, for what is not in it any more, its segments."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from adapters.storage.schema import read_span
from adapters.storage.segments import open_segment, segments_of
from guard.audit import AnyRecord, decode_record

Rows = list[tuple[Any, ...]]


class Pile:
    """Looks into the database first and then into segments, newest first; used in a connection's thread.

    The caller holds one state of the database open: what is not in that lies in segments that are there
    already, because a record is removed only once its segment has its name. Segments that retention
    removed are skipped.

    Raises (each method):
        AuditError: a segment cannot be opened.
        sqlite3.Error: for the caller to translate.
    """

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self._database = database
        self.span = read_span(database)
        # All of them hold numbers up to base_number; a newer one is in the database as well.
        found = segments_of(path) if self.span.base_number else []
        self._segments = [each for each in found if each.first <= self.span.base_number]
        self._open: dict[int, sqlite3.Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._open.values():
            each.close()

    def newest(self, sql: str, parameters: tuple[object, ...], count: int | None = None) -> Rows:
        """The rows of ``sql``, newest file first, until there are ``count``.

        ``sql`` has ``{span}`` where the condition on numbers belongs, and ``{left}`` for how many are wanted.
        """

        def ask(database: sqlite3.Connection, span: str) -> Rows:
            left = -1 if count is None else count - len(rows)
            return database.execute(sql.format(span=span, left=left), parameters).fetchall()

        rows: Rows = []
        rows += ask(self._database, "number > 0")
        for index in range(len(self._segments) - 1, -1, -1):
            if count is not None and len(rows) >= count:
                break
            rows += ask(self._file(index), f"number <= {self.span.base_number}")
        return rows

    def page(self, after: int, count: int) -> Rows:
        """Number, body and hash of up to ``count`` records behind ``after``; fewer at the end of a file."""
        sql = (
            "SELECT number, body, hash FROM records WHERE number > ? AND number <= ? ORDER BY number LIMIT ?"
        )
        base = self.span.base_number
        if after < base:
            for index, segment in enumerate(self._segments):
                if segment.last > after:
                    rows = self._file(index).execute(sql, (after, base, count)).fetchall()
                    if rows:
                        return rows
        return self._database.execute(sql, (max(after, base), 2**62, count)).fetchall()

    def rows(self, numbers: list[int]) -> Rows:
        """Number, body and hash of these records, in this order; those that are gone are left out."""
        sql = "SELECT number, body, hash FROM records WHERE number = ?"
        found: Rows = []
        for number in numbers:
            if number > self.span.base_number:
                found += self._database.execute(sql, (number,)).fetchall()
                continue
            for index, segment in enumerate(self._segments):
                if segment.first <= number <= segment.last:
                    found += self._file(index).execute(sql, (number,)).fetchall()
        return found

    def about_samples(self) -> list[AnyRecord]:
        """The records of files of samples, in order."""
        rows = self.newest(
            "SELECT body FROM records WHERE kind IN ('samples_sealed', 'samples_retired') AND {span} "
            "ORDER BY number DESC",
            (),
        )
        return [decode_record(body) for (body,) in reversed(rows)]

    def _file(self, index: int) -> sqlite3.Connection:
        if index not in self._open:
            self._open[index] = open_segment(self._segments[index].path)
        return self._open[index]
