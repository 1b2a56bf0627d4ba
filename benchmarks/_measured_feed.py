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
from guard.market.matrix import COLUMNS, FeatureMatrix, keep_current, measure_into

_SIDES = ("bids", "asks")
_BANDS = {side: [COLUMNS.index(f"{side}_depth_usd_{bps:g}_bps") for bps in BANDS_BPS] for side in _SIDES}
_COSTS = {
    side: [COLUMNS.index(f"{side}_slippage_bps_{usd:g}_usd") for usd in NOTIONALS_USD] for side in _SIDES
}
_VISIBLE = {side: COLUMNS.index(f"{side}_visible_bps") for side in _SIDES}


class MeasuredFeed(MarketFeed):
    """The market feed of the daemon, which keeps all features of every market current after each update.

    That is 17 distances and 4 notionals a side with a fit and an imbalance, in one array of all markets. Besides it
    samples as it is shipped. While ``timing``, it is told of every update, which costs a call of Python each.
    """

    def __init__(self, settings: VenueSettings, note: Callable[[int], None]) -> None:
        clock, markets = SystemClock(), Markets()

        async def connect(sink: MarketSink) -> MarketConnection:
            return await module_of(settings.id).connect_market(settings, sink, clock, markets)

        super().__init__(settings, clock=clock, connect=connect)
        self._note = note
        self._timing = False
        self._matrix = FeatureMatrix.of(len(settings.symbols))
        self._rows = {symbol: row for row, symbol in enumerate(settings.symbols)}

    def live(self, symbol: str) -> tuple[int, LiveBook] | None:
        found = super().live(symbol)
        if found is not None:
            keep_current(self._matrix, self._rows[symbol], found[1])
        return found

    def row(self, symbol: str) -> FeatureMatrix:
        """What is held of one market now."""
        row = slice(self._rows[symbol], self._rows[symbol] + 1)
        return FeatureMatrix(self._matrix.values[row], self._matrix.known[row])

    def time(self, *, on: bool) -> None:
        """Have every update told, or not."""
        self._timing = on
        if self._reader is not None:
            self._reader.observed = on

    @property
    def is_observed(self) -> bool:
        return self._timing

    def on_attention(self, index: int) -> None:
        live = self._by_index[index].live
        if self._timing:
            self._note(live.last_id)
        if live.needs_attention:
            super().on_attention(index)


def book_of(market: Any) -> Book | None:
    """The book of a watched market, once it stands."""
    book: Book = market.sampler.book
    return book if book.status() is BookStatus.OK else None


def told(market: Any, count: int, row: FeatureMatrix | None = None) -> dict[str, Any]:
    """What is held against the server's own books: levels, and the features that were kept, or those of now."""
    book = book_of(market)
    assert book is not None
    sides = [
        [list(level) for level in zip(*(each[:count].tolist() for each in book.side(side)), strict=True)]
        for side in (Side.BID, Side.ASK)
    ]
    if row is None:
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
