"""Event files: everything an engine can be fed, in Parquet, written as it comes and read back exactly as it was.

Equal events give equal bytes, with the same version of pyarrow. ``docs/reference/event-files.md`` tells the columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from adapters.history.event_decoding import UnreadableError, decode, times_of_events
from adapters.history.event_encoding import UnstorableError, encode
from adapters.history.event_kinds import parts_of
from adapters.history.event_schema import (
    COLUMNS,
    HEADER_KEY,
    SPAN_KEY,
    VERSION,
    EventFileHeader,
    EventFileSpan,
    EventOrder,
)
from guard.columns import Kind
from guard.errors import FileUnusableError
from guard.events import AnyEvent, MarketFeatures
from guard.extras import need
from guard.tables import ROWS_MAX, ParquetFile, close_or_discard
from guard.units import MarketId, Nanoseconds

MAGIC = b"PAR1"


class EventWriter:
    """Writes one event file; a context manager that leaves a whole file, or none if anything raises within it.

    Memory is bounded by one row group. What is killed leaves ``NAME.unfinished``, which is nobody's event file.

    Args:
        path: replaced if it is there.
        header: what the file says of itself.
        rows_max: of one row group, all that is held in memory: 10 MB of samples.

    Raises:
        ExtraMissingError: pyarrow is not installed.
        FileUnusableError: it cannot be written there.
    """

    def __init__(self, path: Path, header: EventFileHeader, *, rows_max: int = ROWS_MAX) -> None:
        self.path = path
        self.header = header
        self.span = EventFileSpan()
        self._rows_max = rows_max
        self._rows = 0
        self._waiting: list[AnyEvent] = []
        self._file = ParquetFile(
            path, COLUMNS, {HEADER_KEY: msgspec.json.encode(header, order="deterministic")}
        )

    def write(self, event: AnyEvent) -> None:
        """Take the next event.

        Raises:
            FileUnusableError: it came before the last one in time, its time is no int, it cannot be stored, or the
                disk is full.
        """
        at, last_at = event.received_at, self.span.last_at
        if type(at) is not int:
            raise FileUnusableError(
                str(self.path),
                f"event {self.span.events + 1} was received at {at!r}: whole nanoseconds since 1970 are wanted, an int",
            )
        if self.header.order is EventOrder.BY_TIME and last_at is not None and at < last_at:
            raise FileUnusableError(
                str(self.path),
                f"event {self.span.events + 1} was received {last_at - at} ns before the one before it",
            )
        first_at = at if self.span.first_at is None else self.span.first_at
        self.span = EventFileSpan(events=self.span.events + 1, first_at=first_at, last_at=at)
        self._waiting.append(event)
        parts = parts_of(event)
        self._rows += 1 + (0 if parts is None else len(parts))
        if self._rows >= self._rows_max:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a row group. Raises FileUnusableError."""
        if not self._waiting:
            return
        try:
            table = encode(self._waiting, self._file.schema)
        except UnstorableError as error:
            raise FileUnusableError(str(self.path), str(error)) from error
        self._file.write(table)
        self._waiting, self._rows = [], 0

    def close(self) -> None:
        """Make the file whole and give it its name. Raises FileUnusableError."""
        self.flush()
        self._file.close({SPAN_KEY: msgspec.json.encode(self.span)})

    def discard(self) -> None:
        """Leave nothing behind. Raises FileUnusableError."""
        self._file.discard()

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, or discard if something was raised."""
        close_or_discard(self, kind)


class EventFile:
    """An event file that is read.

    Raises:
        ExtraMissingError: pyarrow is not installed.
        FileUnusableError: it is not there, no Parquet, cut off, of another version, or without a column.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _opened(path)
        metadata = self._file.schema_arrow.metadata or {}
        told = {**metadata, **(self._file.metadata.metadata or {})}
        self.header = self._header(told.get(HEADER_KEY))
        self._check_columns()
        self.span = msgspec.json.decode(told.get(SPAN_KEY, b"{}"), type=EventFileSpan)

    @property
    def rows(self) -> int:
        """Rows, parts of events counted by themselves."""
        count: int = self._file.metadata.num_rows
        return count

    @cached_property
    def markets(self) -> tuple[MarketId, ...]:
        """Every market that a sample tells of, in order of name; reads two columns of the file."""
        found: set[str] = set()
        for number in range(self._file.num_row_groups):
            table = self._group(number, ["type", "market"])
            kinds = need("pyarrow.compute", extra="lab").equal(
                table["type"].cast("string"), str(MarketFeatures.__struct_config__.tag)
            )
            found.update(table["market"].filter(kinds).unique().to_pylist())
        return tuple(MarketId(name) for name in sorted(found - {None}))

    def events(self) -> Iterator[AnyEvent]:
        """Yield every event in order.

        Raises:
            FileUnusableError: a row group is damaged, a row does not say what it must, or time goes backwards;
                with the row, counted from 1.
        """
        row, last_at = 0, None
        for number in range(self._file.num_row_groups):
            table = self._group(number)
            if self.header.order is EventOrder.BY_TIME:
                last_at = self._in_order(table, last_at, row)
            try:
                yield from decode(table)
            except UnreadableError as error:
                at = None if error.row is None else row + error.row + 1
                raise FileUnusableError(str(self.path), str(error), at) from error
            row += table.num_rows

    def _in_order(self, table: Any, last_at: Nanoseconds | None, row: int) -> Nanoseconds:
        """Check that time does not go back; return when the last event was received."""
        rows, times = times_of_events(table)
        known = times if last_at is None else np.concatenate([[last_at], times])
        back = np.flatnonzero(np.diff(known) < 0)
        if back.size:
            at = int(back[0]) + (last_at is None)
            raise FileUnusableError(
                str(self.path),
                f"received {known[back[0]] - known[back[0] + 1]} ns before the event before it: sort it by received_at",
                row + int(rows[at]) + 1,
            )
        return int(times[-1])

    def _group(self, number: int, columns: list[str] | None = None) -> Any:
        try:
            return self._file.read_row_group(
                number, columns=columns or [column.name for column in COLUMNS], use_threads=False
            )
        except (OSError, ValueError) as error:
            raise FileUnusableError(
                str(self.path), f"row group {number + 1} is damaged ({error}): make the file anew"
            ) from error

    def _header(self, told: bytes | None) -> EventFileHeader:
        if told is None:
            raise FileUnusableError(str(self.path), "a Parquet file, but not one of events of perpguard")
        try:
            version = msgspec.json.decode(told, type=dict).get("version", VERSION)
            if version != VERSION:
                raise FileUnusableError(
                    str(self.path),
                    f"an event file of version {version}, this program reads {VERSION}: make it anew, or use "
                    "the program that made it",
                )
            return msgspec.json.decode(told, type=EventFileHeader)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise FileUnusableError(
                str(self.path), f"what it says of itself cannot be read: {error}"
            ) from error

    def _check_columns(self) -> None:
        found = {each.name: each.type for each in self._file.schema_arrow}
        for column in COLUMNS:
            if column.name not in found:
                raise FileUnusableError(
                    str(self.path), f"column {column.name} is missing: make the file anew"
                )
            expected = column.arrow().type
            if found[column.name] != expected:
                detail = f"column {column.name} is {found[column.name]}, not {expected}: make the file anew"
                raise FileUnusableError(str(self.path), detail)


def read_events(path: Path) -> Iterator[AnyEvent]:
    """Yield every event of an event file. Raises as ``EventFile`` and its ``events``."""
    yield from EventFile(path).events()


def _opened(path: Path) -> Any:
    parquet = need("pyarrow.parquet", extra="lab")
    names = [column.name for column in COLUMNS if column.kind is Kind.NAME]
    try:
        with path.open("rb") as file:
            begins_well = file.read(len(MAGIC)) == MAGIC
        there = set(
            parquet.read_schema(path).names
        )  # reading what is not there as a dictionary is a KeyError
        names = [name for name in names if name in there]
        return parquet.ParquetFile(path, read_dictionary=names, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise FileUnusableError(str(path), "there is no such file") from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise FileUnusableError(str(path), error.strerror or str(error)) from error
        if begins_well:
            raise FileUnusableError(str(path), "cut off, or damaged at its end: make it anew") from error
        raise FileUnusableError(str(path), "not a Parquet file") from error
