"""The features of many markets as one array, a row each, for whatever works on all of them at once. No I/O, no clock.

Columns are named by ``COLUMNS``; a value that is not there is 0 and not ``known``. A row's features become an
event's sides by ``sides_at``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guard.events import CURVE_BPS, NOTIONALS_USD, BookSide, BookStatus
from guard.market.book import Book, Floats, Side
from guard.market.implementation import compiled
from guard.market.live import LiveBook
from guard.market.sampler import measured

SIDE_COLUMNS = (
    "visible_bps",
    "visible_usd",
    "slope_usd",
    "slope_kappa",
    *(f"slippage_bps_{usd:g}_usd" for usd in NOTIONALS_USD),
    *(f"depth_usd_{bps:g}_bps" for bps in CURVE_BPS),
)
COLUMNS = (
    "bid",
    "ask",
    "imbalance",
    *(f"bids_{name}" for name in SIDE_COLUMNS),
    *(f"asks_{name}" for name in SIDE_COLUMNS),
)
"""Prices quote per base, depths and notionals USD, distances and costs basis points of mid."""

Ends = tuple[float | None, float | None]
"""Prices up to which bids and asks are complete; ``None`` for what the book says itself."""

_COSTS_AT = SIDE_COLUMNS.index("slope_kappa") + 1
_CURVE_AT = _COSTS_AT + len(NOTIONALS_USD)
_SIDES_AT = COLUMNS.index("imbalance") + 1


@dataclass(frozen=True, slots=True)
class FeatureMatrix:
    """Features of ``rows`` markets.

    Attributes:
        values: float64, (rows, columns), 0 where nothing is known.
        known: bool, of the same shape. A row of a book that is not OK knows nothing.
    """

    values: NDArray[np.float64]
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: int) -> FeatureMatrix:
        """All unknown."""
        return cls(np.zeros((rows, len(COLUMNS))), np.zeros((rows, len(COLUMNS)), np.bool_))

    def column(self, name: str) -> Floats:
        """One feature of all markets."""
        return self.values[:, COLUMNS.index(name)]


def measure_into(matrix: FeatureMatrix, books: Sequence[Book], ends: Sequence[Ends] | None = None) -> None:
    """Measure each book into the row of its place; ValueError if there are not as many books as rows.

    >>> from guard.market.book import new_book
    >>> book, empty, matrix = new_book(), new_book(), FeatureMatrix.of(2)
    >>> book.load([[99.0, 5.0]], [[101.0, 15.0]])
    >>> measure_into(matrix, [book, empty])
    >>> matrix.column("bid").tolist(), matrix.column("asks_depth_usd_100_bps").tolist()
    ([99.0, 0.0], [1515.0, 0.0])
    >>> matrix.known[:, 0].tolist()
    [True, False]
    """
    if len(books) != len(matrix.values) or (ends is not None and len(ends) != len(books)):
        raise ValueError(f"{len(books)} books do not fit into {len(matrix.values)} rows")
    module = compiled()
    if module is not None and module.measure_books(books, ends, matrix.values, matrix.known):
        return
    for row, book in enumerate(books):
        _measure_row(matrix, row, book, (None, None) if ends is None else ends[row])


def keep_current(matrix: FeatureMatrix, row: int, live: LiveBook) -> None:
    """Have a row tell the features of a live book after every update, not only when somebody samples it.

    Costs half a microsecond to some three an update where books are compiled (the more of them, the less of each is in
    the cache), some two hundred where not. The sides end where the book itself says.

    >>> from guard.market.book import new_book
    >>> from guard.market.live import new_live_book
    >>> matrix, live = FeatureMatrix.of(3), new_live_book(new_book())
    >>> keep_current(matrix, 1, live)
    >>> live.book.load([[99.0, 5.0]], [[101.0, 15.0]])
    >>> live.applied(1, 1)
    >>> matrix.column("bid").tolist()
    [0.0, 99.0, 0.0]
    """
    values, known = matrix.values[row], matrix.known[row]
    live.keep_row(values, known, lambda: _measure_row(matrix, row, live.book, (None, None)))


def sides_at(matrix: FeatureMatrix, row: int) -> tuple[BookSide, BookSide, float] | None:
    """A row as an event's bids, asks and imbalance; ``None`` where the book was not OK."""
    if not matrix.known[row, 0]:
        return None
    values, known = matrix.values[row].tolist(), matrix.known[row].tolist()
    told = [value if is_known else None for value, is_known in zip(values, known, strict=True)]
    bids, asks = (_side_of(told, _SIDES_AT + which * len(SIDE_COLUMNS)) for which in (0, 1))
    return bids, asks, values[_SIDES_AT - 1]


def _measure_row(matrix: FeatureMatrix, row: int, book: Book, ends: Ends) -> None:
    values, known = matrix.values[row], matrix.known[row]
    values[:], known[:] = 0.0, False
    bid, ask = book.best_bid(), book.best_ask()
    if book.status() is not BookStatus.OK or bid is None or ask is None:
        return
    bids, asks, balance = measured(book, {Side.BID: ends[0], Side.ASK: ends[1]})
    told = [bid[0], ask[0], balance, *_numbers_of(bids), *_numbers_of(asks)]
    for at, value in enumerate(told):
        if value is not None:
            values[at], known[at] = value, True


def _numbers_of(side: BookSide) -> list[float | None]:
    """In the order of ``SIDE_COLUMNS``."""
    law = [side.visible_bps, side.visible_usd, side.slope_usd, side.slope_kappa]
    return [*law, *side.slippage_bps, *side.curve_usd]


def _side_of(told: list[float | None], start: int) -> BookSide:
    law, costs, curve = (
        told[start : start + _COSTS_AT],
        told[start + _COSTS_AT : start + _CURVE_AT],
        told[start + _CURVE_AT : start + len(SIDE_COLUMNS)],
    )
    return BookSide(
        curve_usd=tuple(value or 0.0 for value in curve),
        visible_bps=law[0] or 0.0,
        visible_usd=law[1] or 0.0,
        slippage_bps=tuple(costs),
        slope_usd=law[2],
        slope_kappa=law[3],
    )
