"""Readings as columns and back: one row a reading, NaN for what is missing, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guard.readings import BookReading, LiquidationFeed, Reading
from guard.units import MarketId

Arrays = NDArray[Any]

TIMES = frozenset(("at", "open_interest_at"))
"""Integers, -1 for none."""

CURVES = frozenset(("bid_curve_usd", "ask_curve_usd"))
FEEDS = tuple(LiquidationFeed)
BOOK = "book."

READING_FIELDS = tuple(each for each in fields(Reading) if each.name not in {"market", "book"})
BOOK_FIELDS = fields(BookReading)


def columns_of(readings: Sequence[Reading]) -> dict[str, Arrays]:
    """Make columns of a market's readings; curves become float32, whose seven digits are more than books have."""
    found: dict[str, Arrays] = {}
    for each in READING_FIELDS:
        values = [getattr(reading, each.name) for reading in readings]
        if each.name in TIMES:
            found[each.name] = np.array([-1 if value is None else value for value in values], np.int64)
        elif each.name == "feed":
            found[each.name] = np.array([FEEDS.index(value) for value in values], np.int8)
        else:
            found[each.name] = _floats(values)
    books = [reading.book for reading in readings]
    empty = (float("nan"),) * _width(books)
    for each in BOOK_FIELDS:
        values = [None if book is None else getattr(book, each.name) for book in books]
        if each.name in CURVES:
            found[BOOK + each.name] = np.array([value or empty for value in values], np.float32)
        else:
            found[BOOK + each.name] = _floats(values)
    return found


def readings_of(market: MarketId, columns: Mapping[str, Arrays]) -> Iterator[Reading]:
    """Give the readings that columns were made of; columns that are missing take their defaults."""
    outer = _lists(columns, "", [each.name for each in READING_FIELDS])
    inner = _lists(columns, BOOK, [each.name for each in BOOK_FIELDS])
    names, book_names = tuple(outer), tuple(inner)
    bid_at = book_names.index("bid")
    for row, book_row in zip(
        zip(*outer.values(), strict=True), zip(*inner.values(), strict=True), strict=True
    ):
        book = (
            None if book_row[bid_at] is None else BookReading(**dict(zip(book_names, book_row, strict=True)))
        )
        yield Reading(market=market, book=book, **dict(zip(names, row, strict=True)))


def _lists(columns: Mapping[str, Arrays], prefix: str, names: Sequence[str]) -> dict[str, list[Any]]:
    """Columns as lists of what the fields hold."""
    found: dict[str, list[Any]] = {}
    for name in names:
        column = columns.get(prefix + name)
        if column is None:
            continue
        if name in TIMES:
            found[name] = [None if value < 0 else value for value in column.tolist()]
        elif name == "feed":
            found[name] = [FEEDS[value] for value in column.tolist()]
        elif name == "liquidations":
            found[name] = [int(value) for value in column.tolist()]
        elif name in CURVES:
            found[name] = [tuple(value) for value in column.tolist()]
        elif _is_optional(prefix, name):
            found[name] = [None if value != value else value for value in column.tolist()]  # noqa: PLR0124 - NaN
        else:
            found[name] = column.tolist()
    return found


def _is_optional(prefix: str, name: str) -> bool:
    """Whether a field may be missing; the bid stands for the whole book."""
    if prefix:
        return name == "bid" or _DEFAULTS_BOOK[name] is None
    return _DEFAULTS[name] is None


_DEFAULTS = {each.name: None if each.default is None else MISSING for each in READING_FIELDS}
_DEFAULTS_BOOK = {each.name: None if each.default is None else MISSING for each in BOOK_FIELDS}


def _floats(values: Sequence[float | None]) -> Arrays:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _width(books: Sequence[BookReading | None]) -> int:
    """Points of a curve; 1 where no book was ever known."""
    return next((len(book.bid_curve_usd) for book in books if book is not None), 1)
