"""Features of our books after every update: what the benchmarks ask of the feed, as a program of one's own might."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks._load_client import BANDS_BPS, NOTIONALS_USD
from guard.events import BookStatus
from guard.market.book import Book, Side
from guard.market.matrix import COLUMNS, FeatureMatrix, measure_into
from guard.units import MarketId

_SIDES = ("bids", "asks")
_BANDS = {side: [COLUMNS.index(f"{side}_depth_usd_{bps:g}_bps") for bps in BANDS_BPS] for side in _SIDES}
_COSTS = {
    side: [COLUMNS.index(f"{side}_slippage_bps_{usd:g}_usd") for usd in NOTIONALS_USD] for side in _SIDES
}
_VISIBLE = {side: COLUMNS.index(f"{side}_visible_bps") for side in _SIDES}


class EveryUpdate:
    """An observer of a MarketFeed (see there): works out all that a sample holds, for 17 distances and 4 notionals."""

    def __init__(self, note: Callable[[int], None]) -> None:
        self._note = note
        self._rows: dict[str, FeatureMatrix] = {}

    def observe(self, market: MarketId, last_id: int, book: Book) -> None:
        row = self._rows.get(market)
        if row is None:
            row = self._rows[market] = FeatureMatrix.of(1)
        measure_into(row, (book,))
        self._note(last_id)


def book_of(market: Any) -> Book | None:
    """The book of a watched market, once it stands."""
    book: Book = market.sampler.book
    return book if book.status() is BookStatus.OK else None


def told(market: Any, count: int) -> dict[str, Any]:
    """What is held against the server's own books: levels, and the features of now."""
    book = book_of(market)
    assert book is not None
    sides = [
        [list(level) for level in zip(*(each[:count].tolist() for each in book.side(side)), strict=True)]
        for side in (Side.BID, Side.ASK)
    ]
    row = FeatureMatrix.of(1)
    measure_into(row, (book,))
    return {"bids": sides[0], "asks": sides[1], "features": chosen(row)}


def chosen(row: FeatureMatrix) -> list[float | None]:
    """The seventeen; ``None`` where more was asked than is visible."""
    values, known = row.values[0].tolist(), row.known[0].tolist()
    bid, ask = values[0], values[1]
    found: list[float | None] = [(ask - bid) / ((bid + ask) / 2.0) * 1e4]
    for side in _SIDES:
        visible_bps = values[_VISIBLE[side]]
        bands = zip(BANDS_BPS, _BANDS[side], strict=True)
        found += [values[at] if known[at] and bps <= visible_bps else None for bps, at in bands]
        found += [values[at] if known[at] else None for at in _COSTS[side]]
    return found
