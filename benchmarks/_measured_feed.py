"""Features of our books after every update: what the benchmarks ask of the feed, as a program of one's own might."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks._load_client import BANDS_BPS, NOTIONALS_USD
from guard.events import CURVE_BPS, BookStatus, MarketFeatures
from guard.events import NOTIONALS_USD as ALL_NOTIONALS_USD
from guard.market.book import Book, Side
from guard.market.sampler import features_from
from guard.units import MarketId

_BANDS = [CURVE_BPS.index(band) for band in BANDS_BPS]
_NOTIONALS = [ALL_NOTIONALS_USD.index(notional) for notional in NOTIONALS_USD]


class features_on_every_update:  # noqa: N801 - reads as what it does
    """An observer of a MarketFeed (see there), and the same for samples."""

    def __init__(self, note: Callable[[int], None]) -> None:
        self._note = note
        self.latest: dict[str, MarketFeatures] = {}

    def observe(self, market: MarketId, last_id: int, book: Book) -> None:
        """Work out everything that a sample holds: 17 distances and 4 notionals a side, a fit, an imbalance."""
        self.latest[market] = features_from(book, market=market, received_at=last_id)
        self._note(last_id)

    def sampled(self, event: Any) -> None:
        if isinstance(event, MarketFeatures):
            self.latest[event.market] = event

    def book_of(self, market: Any) -> Book | None:
        """The book of a watched market, once it stands."""
        book: Book = market.sampler.book
        return book if book.status() is BookStatus.OK else None

    def told(self, market: Any, count: int) -> dict[str, Any]:
        """What is held against the server's own books: levels, and the features of now."""
        book = self.book_of(market)
        assert book is not None
        sides = [
            [list(level) for level in zip(*(each[:count].tolist() for each in book.side(side)), strict=True)]
            for side in (Side.BID, Side.ASK)
        ]
        now = features_from(book, market=market.id, received_at=0)
        return {"bids": sides[0], "asks": sides[1], "features": chosen(now)}


def chosen(features: MarketFeatures) -> list[float | None]:
    """The seventeen of a sample; ``None`` where more was asked than is visible."""
    assert features.bid is not None
    assert features.ask is not None
    mid = (features.bid + features.ask) / 2.0
    told: list[float | None] = [(features.ask - features.bid) / mid * 1e4]
    for side in (features.bids, features.asks):
        assert side is not None
        told += [side.curve_usd[at] if CURVE_BPS[at] <= side.visible_bps else None for at in _BANDS]
        told += [side.slippage_bps[at] for at in _NOTIONALS]
    return told
