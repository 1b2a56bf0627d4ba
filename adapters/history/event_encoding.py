"""Events to a table of columns: one row an event, and one for each part of those made of others."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.history.event_kinds import (
    ATTRIBUTES,
    SIDE,
    TAGS,
    decode_body,
    encode_body,
    has_columns,
    parts_of,
)
from adapters.history.event_schema import COLUMNS, depth_columns, slippage_columns
from guard.columns import Column, Kind
from guard.events import AnyEvent, BookSide, MarketFeatures
from guard.extras import need

Rows = NDArray[np.intp]


class UnstorableError(ValueError):
    """An event holds what a file cannot: NaN, infinity in a kind that is kept as JSON, an integer beyond 64 bits."""


def encode(events: Sequence[AnyEvent], schema: Any) -> Any:
    """Make a pyarrow.Table of events, in their order.

    Raises:
        UnstorableError: what it would give back would not be what was put in.
    """
    rows = _Rows(events)
    table = _Table(len(rows.events))
    for kind, members in rows.by_kind.items():
        table.fill_kind(kind, np.array(members, dtype=np.intp), [rows.events[row] for row in members])
    every = np.arange(len(rows.events))
    table.fill("type", every, rows.tags)
    table.fill("received_at", every, [event.received_at for event in rows.events])
    table.fill("exchange_at", every, [event.exchange_at for event in rows.events])
    table.fill("parts", np.array([*rows.parts], dtype=np.intp), [*rows.parts.values()])
    table.fill("body", np.array([*rows.bodies], dtype=np.intp), [*rows.bodies.values()])
    return table.arrow(schema)


class _Rows:
    """Events with their parts behind them, and which rows each kind has."""

    def __init__(self, events: Sequence[AnyEvent]) -> None:
        self.events: list[AnyEvent] = []
        self.tags: list[str] = []
        self.parts: dict[int, int] = {}
        self.bodies: dict[int, str] = {}
        self.by_kind: dict[type, list[int]] = {}
        for event in events:
            self._add(event)

    def _add(self, event: AnyEvent) -> None:
        row = len(self.events)
        self.events.append(event)
        self.tags.append(TAGS[type(event)])
        if not has_columns(event):
            self.bodies[row] = _body(event)
            return
        self.by_kind.setdefault(type(event), []).append(row)
        parts = parts_of(event)
        if parts is not None:
            self.parts[row] = len(parts)
            for part in parts:
                self._add(part)


def _body(event: AnyEvent) -> str:
    body = encode_body(event)
    # JSON has no infinity and no NaN: they become null. A null that was None reads back as it was.
    if b"null" in body:
        try:
            same = decode_body(body) == event
        except ValueError:
            same = False
        if not same:
            raise UnstorableError(f"{TAGS[type(event)]} holds a number that is not finite: {event}")
    return body.decode()


class _Table:
    """Columns that are filled kind by kind; what is not filled is null."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._columns = {column.name: _filling(column, rows) for column in COLUMNS}

    def fill(self, name: str, rows: Rows, values: Sequence[Any]) -> None:
        self._columns[name].fill(rows, values)

    def fill_kind(self, kind: type, rows: Rows, events: list[AnyEvent]) -> None:
        for column, attribute in ATTRIBUTES[kind]:
            self.fill(column, rows, list(map(attrgetter(attribute), events)))
        if kind is MarketFeatures:
            for prefix, get in (("bid", attrgetter("bids")), ("ask", attrgetter("asks"))):
                sides = list(map(get, events))
                there = np.array([side is not None for side in sides], dtype=bool)
                self._fill_sides(prefix, rows[there], [side for side in sides if side is not None])

    def _fill_sides(self, prefix: str, rows: Rows, sides: list[BookSide]) -> None:
        for attribute in SIDE:
            self.fill(f"{prefix}_{attribute}", rows, list(map(attrgetter(attribute), sides)))
        curves = zip(*(side.curve_usd for side in sides), strict=True)
        slippages = zip(*(side.slippage_bps for side in sides), strict=True)
        if sides:
            for name, values in zip(depth_columns(prefix), curves, strict=True):
                self.fill(name, rows, values)
            for name, values in zip(slippage_columns(prefix), slippages, strict=True):
                self.fill(name, rows, values)

    def arrow(self, schema: Any) -> Any:
        arrays = [column.arrow() for column in self._columns.values()]
        return need("pyarrow", extra="lab").Table.from_arrays(arrays, schema=schema)


class _Numbers:
    def __init__(self, column: Column, rows: int) -> None:
        self._column = column
        self._values = np.zeros(rows)
        self._known = np.zeros(rows, dtype=bool)

    def fill(self, rows: Rows, values: Sequence[Any]) -> None:
        filled = np.array(values, dtype=np.float64)
        missing = np.isnan(filled)
        if missing.any() and missing.sum() != values.count(None):
            raise UnstorableError(f"NaN in {self._column.name}: a value that is missing must be None")
        self._values[rows] = filled
        self._known[rows] = ~missing

    def arrow(self) -> Any:
        return need("pyarrow", extra="lab").array(self._values, mask=~self._known)


class _Integers:
    def __init__(self, column: Column, rows: int) -> None:
        self._column = column
        self._values = np.zeros(rows, dtype=np.int64)
        self._known = np.zeros(rows, dtype=bool)

    def fill(self, rows: Rows, values: Sequence[Any]) -> None:
        known = np.array([value is not None for value in values], dtype=bool)
        try:
            self._values[rows] = [0 if value is None else value for value in values]
        except OverflowError as error:
            raise UnstorableError(f"an integer in {self._column.name} is too large") from error
        self._known[rows] = known

    def arrow(self) -> Any:
        return need("pyarrow", extra="lab").array(self._values, mask=~self._known)


class _Names:
    def __init__(self, rows: int) -> None:
        self._numbers: dict[str, int] = {}
        self._values = np.full(rows, -1, dtype=np.int32)

    def fill(self, rows: Rows, values: Sequence[Any]) -> None:
        numbers = self._numbers
        self._values[rows] = [numbers.setdefault(value, len(numbers)) for value in values]

    def arrow(self) -> Any:
        arrow = need("pyarrow", extra="lab")
        indices = arrow.array(self._values, mask=self._values < 0)
        names = arrow.array([str(name) for name in self._numbers], type=arrow.string())
        return arrow.DictionaryArray.from_arrays(indices, names)


class _Texts:
    def __init__(self, rows: int) -> None:
        self._values: list[str | None] = [None] * rows

    def fill(self, rows: Rows, values: Sequence[Any]) -> None:
        for row, value in zip(rows.tolist(), values, strict=True):
            self._values[row] = value

    def arrow(self) -> Any:
        arrow = need("pyarrow", extra="lab")
        return arrow.array(self._values, type=arrow.string())


def _filling(column: Column, rows: int) -> _Numbers | _Integers | _Names | _Texts:
    match column.kind:
        case Kind.NUMBER:
            return _Numbers(column, rows)
        case Kind.INTEGER:
            return _Integers(column, rows)
        case Kind.NAME:
            return _Names(rows)
        case _:
            return _Texts(rows)
