"""Builds books and samples of made-up markets for tests of whatever reads them."""

from __future__ import annotations

import functools

import msgspec
import numpy as np

from guard.events import MarketFeatures
from guard.market.book import Book, Floats, new_book
from guard.market.sampler import features_from
from guard.units import NS_PER_S, MarketId

MARKET = MarketId("loopback:BTC/USDT:USDT")
S = NS_PER_S


def even_levels(
    mid: float, *, size: float = 1.0, levels: int = 300, step_bps: float = 1.0
) -> tuple[Floats, Floats]:
    """Bids and asks of equal sizes, one each ``step_bps`` from mid."""
    away = (np.arange(levels) + 1.0) * step_bps / 10_000.0
    sizes = np.full(levels, size)
    return np.column_stack([mid * (1.0 - away), sizes]), np.column_stack([mid * (1.0 + away), sizes])


def even_book(mid: float = 100.0, *, size: float = 100.0, levels: int = 300, step_bps: float = 1.0) -> Book:
    book = new_book()
    book.load(*even_levels(mid, size=size, levels=levels, step_bps=step_bps))
    return book


def even_features(
    at: int,
    mid: float = 100.0,
    *,
    bid_size: float = 100.0,
    ask_size: float = 100.0,
    levels: int = 300,
    step_bps: float = 1.0,
    buy_usd: float = 0.0,
    sell_usd: float = 0.0,
    market: MarketId = MARKET,
) -> MarketFeatures:
    """A sample at ``at`` of an evenly filled book, updated just then."""
    return msgspec.structs.replace(
        _sampled(mid, bid_size, ask_size, levels, step_bps),
        received_at=at,
        book_at=at,
        buy_usd=buy_usd,
        sell_usd=sell_usd,
        market=market,
    )


@functools.lru_cache(maxsize=4096)
def _sampled(mid: float, bid_size: float, ask_size: float, levels: int, step_bps: float) -> MarketFeatures:
    """Sample one book, once: hundreds of tests let it stand for a minute, and a sample costs 0.3 ms."""
    bids, asks = even_levels(mid, levels=levels, step_bps=step_bps)
    book = new_book()
    book.load(bids * [1.0, bid_size], asks * [1.0, ask_size])
    return features_from(book, market=MARKET, received_at=0, book_at=0, updates=1)
