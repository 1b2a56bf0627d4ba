"""A table of an event file back to events, column by column: 17-point curves are no work for one value at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.history.event_kinds import ATTRIBUTES, TAGS, decode_body
from adapters.history.event_schema import COLUMNS, depth_columns, slippage_columns
from guard.columns import Kind
from guard.events import (
    AnyEvent,
    BookSide,
    BookStatus,
    LiquidationSeen,
    MarketFeatures,
    MarketsSampled,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamActivity,
    Tick,
)

Rows = NDArray[np.intp]

KINDS = {tag: kind for kind, tag in TAGS.items()}
_KIND_OF = {column.name: column.kind for column in COLUMNS}
SLICE = 1_024
_STATUS = {each.value: each for each in BookStatus}
_STREAM = {each.value: each for each in Stream}


class UnreadableError(ValueError):
    """A row does not say what its type demands; ``row`` counts from 0 within the table."""

    def __init__(self, detail: str, row: int | None = None) -> None:
        super().__init__(detail)
        self.row = row


def decode(table: Any) -> Iterator[AnyEvent]:
    """Yield the events of a pyarrow.Table, those made of others with their parts.

    A slice of rows at a time is made into events: so many stay in the processor's cache, and the collector of
    garbage finds few of them. Whole row groups at once took twice as long.

    Raises:
        UnreadableError: it was not made by ``encode``.
    """
    columns = Columns(table)
    events = _rows(columns)
    counts = columns.values("parts", None)
    if not any(count is not None for count in counts):
        yield from events
        return
    row = 0
    for event in events:
        count = counts[row]
        if count is None:
            yield event
            row += 1
        else:
            yield _with_parts(event, tuple(islice(events, count)), count, row)
            row += 1 + count


def times_of_events(table: Any) -> tuple[Rows, NDArray[np.int64]]:
    """Rows of events that are no part of another, and when each was received."""
    columns = Columns(table, ("received_at", "parts"))
    whole = np.ones(table.num_rows, dtype=bool)
    counts = columns.raw("parts")
    there = columns.there("parts")
    if there is not None:
        for row in np.flatnonzero(there).tolist():
            whole[row + 1 : row + 1 + int(counts[row])] = False
    rows = np.flatnonzero(whole)
    return rows, columns.raw("received_at")[rows]


def _rows(columns: Columns) -> Iterator[Any]:
    """Yield each row's event, parts too."""
    names = columns.names("type")
    types = columns.raw("type")
    known = columns.there("body")
    bodies = np.ones(len(types), dtype=bool) if known is None else known
    for begin in range(0, len(types), SLICE):
        end = min(begin + SLICE, len(types))
        events: list[Any] = [None] * (end - begin)
        plain = np.where(bodies[begin:end], -1, types[begin:end])
        whole = np.flatnonzero(plain < 0)
        if whole.size:
            _put(
                events,
                whole,
                _of_bodies(columns, whole + begin, [names[number] for number in types[whole + begin]]),
            )
        for number in np.unique(plain).tolist():
            if number >= 0:
                rows = np.flatnonzero(plain == number)
                _put(events, rows, _of_columns(columns, rows + begin, names[number]))
        yield from events


def _of_columns(columns: Columns, rows: Rows, tag: str) -> list[Any]:
    decode_kind = _DECODERS.get(KINDS.get(tag, type(None)))
    if decode_kind is None:
        raise UnreadableError(f"no event of type {tag!r} can stand in columns", int(rows[0]))
    return decode_kind(columns, rows)


def _put(events: list[Any], rows: Rows, found: list[Any]) -> None:
    if rows.size == len(events):
        events[:] = found
    else:
        for row, event in zip(rows.tolist(), found, strict=True):
            events[row] = event


def _of_bodies(columns: Columns, rows: Rows, tags: list[str]) -> list[Any]:
    events = []
    for body, tag, row in zip(columns.texts("body", rows), tags, rows.tolist(), strict=True):
        try:
            event = decode_body(body)
        except ValueError as error:
            raise UnreadableError(f"body is no event: {error}", row) from error
        if TAGS[type(event)] != tag:
            raise UnreadableError(f"type is {tag!r} and body a {TAGS[type(event)]!r}", row)
        events.append(event)
    return events


def _with_parts(event: Any, parts: tuple[Any, ...], count: int, row: int) -> AnyEvent:
    if (
        type(event) is not MarketsSampled
        or len(parts) != count
        or any(type(part) is not MarketFeatures for part in parts)
    ):
        raise UnreadableError(f"{count} parts are announced of a {TAGS[type(event)]}, and do not follow", row)
    return MarketsSampled(
        received_at=event.received_at, exchange_at=event.exchange_at, samples=parts, left_out=event.left_out
    )


class Columns:
    """Columns of a table as Python's own values, for chosen rows."""

    def __init__(self, table: Any, chosen: Iterable[str] = _KIND_OF) -> None:
        self._arrays = {name: _whole(table[name]) for name in chosen}
        self._raw = {name: _numbers(array, _KIND_OF[name]) for name, array in self._arrays.items()}
        self._there: dict[str, NDArray[np.bool_] | None] = {
            name: array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
            for name, array in self._arrays.items()
        }

    def raw(self, name: str) -> NDArray[Any]:
        """The numbers as stored, of a name its number; anything where there is none."""
        return self._raw[name]

    def there(self, name: str) -> NDArray[np.bool_] | None:
        """Where there is a value; ``None`` for everywhere."""
        return self._there[name]

    def names(self, name: str) -> list[str]:
        """The different values of a column of names, by their number."""
        found: list[str] = self._arrays[name].dictionary.to_pylist()
        return found

    def texts(self, name: str, rows: Rows) -> list[str]:
        """The values of a column of texts at rows where there is one."""
        begin = int(rows[0])
        part = self._arrays[name].slice(begin, int(rows[-1]) + 1 - begin).to_pylist()
        return [part[row] for row in (rows - begin).tolist()]

    def values(self, name: str, rows: Rows | None, known: dict[str, Any] | None = None) -> list[Any]:
        """The values at rows, ``None`` where there is none; names as what ``known`` says they are."""
        raw, there = self._raw[name], self._there[name]
        missing = None if there is None else ~(there if rows is None else there[rows])
        if missing is not None and missing.all():
            return [None] * missing.size
        values: list[Any] = (raw if rows is None else raw[rows]).tolist()
        if _KIND_OF[name] is Kind.NAME:
            names = self.names(name)
            chosen: list[Any] = names if known is None else [known.get(each) for each in names]
            values = [chosen[number] for number in values]
        if missing is not None and missing.any():
            for at in np.flatnonzero(missing).tolist():
                values[at] = None
        return values

    def required(self, name: str, rows: Rows, known: dict[str, Any] | None = None) -> list[Any]:
        """As ``values``. Raises UnreadableError where there is none."""
        values = self.values(name, rows, known)
        if (known is not None or self._there[name] is not None) and None in values:
            raise UnreadableError(f"{name} is missing or of no known value", int(rows[values.index(None)]))
        return values


def _whole(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _numbers(array: Any, kind: Kind) -> NDArray[Any]:
    """What the array's buffer holds, without a copy; texts have no numbers."""
    if kind is Kind.TEXT:
        return np.zeros(0)
    array, stored = (
        (array.indices, np.dtype(np.int32))
        if kind is Kind.NAME
        else (array, np.dtype(np.int64 if kind is Kind.INTEGER else np.float64))
    )
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.zeros(len(array), dtype=stored)
    return np.frombuffer(buffer, dtype=stored)[array.offset : array.offset + len(array)]


def _ticks(columns: Columns, rows: Rows) -> list[Tick]:
    return [Tick(received_at=at, exchange_at=told) for at, told in _times(columns, rows)]


def _times(columns: Columns, rows: Rows) -> Iterator[tuple[int, int | None]]:
    return zip(columns.required("received_at", rows), columns.values("exchange_at", rows), strict=True)


def _features(columns: Columns, rows: Rows) -> list[MarketFeatures]:
    return [
        MarketFeatures(
            received_at=received_at,
            exchange_at=exchange_at,
            market=market,
            status=status,
            book_at=book_at,
            bid=bid,
            ask=ask,
            bids=bids,
            asks=asks,
            imbalance=imbalance,
            buy_usd=buy_usd,
            sell_usd=sell_usd,
            updates=updates,
            gaps=gaps,
        )
        for (
            (received_at, exchange_at),
            market,
            status,
            book_at,
            bid,
            ask,
            bids,
            asks,
            imbalance,
            buy_usd,
            sell_usd,
            updates,
            gaps,
        ) in zip(
            _times(columns, rows),
            columns.required("market", rows),
            columns.required("status", rows, _STATUS),
            *(columns.values(name, rows) for name in ("book_at", "bid", "ask")),
            _sides(columns, rows, "bid"),
            _sides(columns, rows, "ask"),
            columns.values("imbalance", rows),
            *(columns.required(name, rows) for name in ("buy_usd", "sell_usd", "updates", "gaps")),
            strict=True,
        )
    ]


def _sides(columns: Columns, rows: Rows, prefix: str) -> list[BookSide | None]:
    known = columns.there(f"{prefix}_visible_bps")
    there = np.ones(rows.size, dtype=bool) if known is None else known[rows]
    chosen = rows[there]
    sides: list[BookSide | None] = [
        BookSide(
            curve_usd=curve_usd,
            visible_bps=visible_bps,
            visible_usd=visible_usd,
            slippage_bps=slippage_bps,
            slope_usd=slope_usd,
            slope_kappa=slope_kappa,
        )
        for curve_usd, visible_bps, visible_usd, slippage_bps, slope_usd, slope_kappa in zip(
            zip(*(columns.required(name, chosen) for name in depth_columns(prefix)), strict=True),
            columns.required(f"{prefix}_visible_bps", chosen),
            columns.required(f"{prefix}_visible_usd", chosen),
            zip(*(columns.values(name, chosen) for name in slippage_columns(prefix)), strict=True),
            columns.values(f"{prefix}_slope_usd", chosen),
            columns.values(f"{prefix}_slope_kappa", chosen),
            strict=True,
        )
    ]
    if there.all():
        return sides
    found = iter(sides)
    return [next(found) if is_there else None for is_there in there.tolist()]


def _marks(columns: Columns, rows: Rows) -> list[MarkPriceSeen]:
    return [
        MarkPriceSeen(
            received_at=received_at,
            exchange_at=exchange_at,
            market=market,
            mark_price=mark_price,
            index_price=index_price,
            funding_rate=funding_rate,
            next_funding_at=next_funding_at,
        )
        for (received_at, exchange_at), market, mark_price, index_price, funding_rate, next_funding_at in zip(
            _times(columns, rows),
            columns.required("market", rows),
            columns.required("mark_price", rows),
            *(columns.values(name, rows) for name in ("index_price", "funding_rate", "next_funding_at")),
            strict=True,
        )
    ]


def _interests(columns: Columns, rows: Rows) -> list[OpenInterestSeen]:
    return [
        OpenInterestSeen(
            received_at=received_at,
            exchange_at=exchange_at,
            market=market,
            open_interest=open_interest,
            open_interest_usd=open_interest_usd,
        )
        for (received_at, exchange_at), market, open_interest, open_interest_usd in zip(
            _times(columns, rows),
            columns.required("market", rows),
            columns.required("open_interest", rows),
            columns.values("open_interest_usd", rows),
            strict=True,
        )
    ]


def _liquidations(columns: Columns, rows: Rows) -> list[LiquidationSeen]:
    return [
        LiquidationSeen(
            received_at=received_at,
            exchange_at=exchange_at,
            market=market,
            size=size,
            price=price,
            notional_usd=notional_usd,
        )
        for (received_at, exchange_at), market, size, price, notional_usd in zip(
            _times(columns, rows),
            *(
                columns.required(name, rows)
                for name in ("market", "liquidation_size", "liquidation_price", "liquidation_usd")
            ),
            strict=True,
        )
    ]


def _activities(columns: Columns, rows: Rows) -> list[StreamActivity]:
    return [
        StreamActivity(
            received_at=received_at,
            exchange_at=exchange_at,
            subject=subject,
            stream=stream,
            updates=updates,
            last_at=last_at,
            gap_ns_max=gap_ns_max,
        )
        for (received_at, exchange_at), subject, stream, updates, last_at, gap_ns_max in zip(
            _times(columns, rows),
            columns.required("market", rows),
            columns.required("stream", rows, _STREAM),
            *(columns.required(name, rows) for name in ("updates", "last_at", "gap_ns_max")),
            strict=True,
        )
    ]


def _samplings(columns: Columns, rows: Rows) -> list[MarketsSampled]:
    return [
        MarketsSampled(received_at=received_at, exchange_at=exchange_at, samples=(), left_out=left_out)
        for (received_at, exchange_at), left_out in zip(
            _times(columns, rows), columns.required("left_out", rows), strict=True
        )
    ]


_DECODERS: dict[type, Callable[[Columns, Rows], list[Any]]] = {
    Tick: _ticks,
    MarketFeatures: _features,
    MarketsSampled: _samplings,
    MarkPriceSeen: _marks,
    OpenInterestSeen: _interests,
    LiquidationSeen: _liquidations,
    StreamActivity: _activities,
}
assert _DECODERS.keys() == ATTRIBUTES.keys(), "what has columns can be read from them"
