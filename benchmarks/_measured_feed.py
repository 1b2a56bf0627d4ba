"""Features of our books after every update: what the benchmarks ask of the feed, as a program of one's own might."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters.clock import SystemClock
from adapters.exchanges import MarketFeed, VenueSettings
from adapters.exchanges.ccxt_session import Markets
from adapters.exchanges.modules import module_of
from adapters.exchanges.venue import MarketConnection, MarketSink
from benchmarks._load_client import BANDS_BPS, NOTIONALS_USD
from guard.events import BookStatus
from guard.market.book import Book, Side
from guard.market.live import LiveBook
from guard.market.matrix import COLUMNS, FeatureMatrix, measure_into

_SIDES = ("bids", "asks")
_BANDS = {side: [COLUMNS.index(f"{side}_depth_usd_{bps:g}_bps") for bps in BANDS_BPS] for side in _SIDES}
_COSTS = {
    side: [COLUMNS.index(f"{side}_slippage_bps_{usd:g}_usd") for usd in NOTIONALS_USD] for side in _SIDES
}
_VISIBLE = {side: COLUMNS.index(f"{side}_visible_bps") for side in _SIDES}


class MeasuredFeed(MarketFeed):
    """The market feed of the daemon, which after every update works out all that a sample holds of the book.

    That is 17 distances and 4 notionals a side with a fit and an imbalance; what is shed of it is shed by nobody.
    """

    def __init__(self, settings: VenueSettings, note: Callable[[int], None]) -> None:
        clock, markets = SystemClock(), Markets()

        async def connect(sink: MarketSink) -> MarketConnection:
            return await module_of(settings.id).connect_market(settings, sink, clock, markets)

        super().__init__(settings, clock=clock, connect=connect)
        self._note = note
        self._measured: dict[int, tuple[LiveBook, tuple[Book], FeatureMatrix]] = {}

    @property
    def is_observed(self) -> bool:
        return True

    def on_attention(self, index: int) -> None:
        found = self._measured.get(index)
        if found is None:
            live = self._by_index[index].live
            found = self._measured[index] = live, (live.book,), FeatureMatrix.of(1)
        live, books, row = found
        measure_into(row, books)
        self._note(live.last_id)
        if live.needs_attention:
            super().on_attention(index)


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
