"""What an order is filled at follows from the book of now."""

from __future__ import annotations

import numpy as np
import pytest

from guard.events import BookStatus, MarketFeatures
from guard.market.liquidity import side_features
from guard.paper.fills import limit_fill, market_fill
from guard.units import MarketId

SIZES = np.array([10.0, 10.0, 100.0, 1_000.0])
BOOK = MarketFeatures(
    received_at=1,
    market=MarketId("bybit:BTC/USDT:USDT"),
    status=BookStatus.OK,
    bid=99.9,
    ask=100.1,
    bids=side_features(np.array([99.9, 99.5, 99.0, 98.0]), SIZES, 100.0),
    asks=side_features(np.array([100.1, 100.5, 101.0, 102.0]), SIZES, 100.0),
)


def test_a_small_order_pays_half_the_spread() -> None:
    bought, sold = market_fill(BOOK, 1.0), market_fill(BOOK, -1.0)
    assert bought is not None
    assert sold is not None
    assert bought.price == pytest.approx(100.1)
    assert sold.price == pytest.approx(99.9)
    assert (bought.size, sold.size) == (1.0, -1.0)


def test_a_large_order_pays_more_and_says_where_it_is_guessed() -> None:
    sold, beyond = market_fill(BOOK, -100.0), market_fill(BOOK, -10_000.0)
    assert sold is not None
    assert beyond is not None
    assert beyond.price < sold.price < 99.5
    assert (sold.extrapolated, beyond.extrapolated) == (False, True)


def test_a_limit_takes_what_rests_within_it_and_no_worse_price() -> None:
    sold = limit_fill(BOOK, -500.0, 99.0)
    assert sold is not None
    assert -120.1 < sold.size < -100.0
    assert sold.price >= 99.0
    nothing = limit_fill(BOOK, 5.0, 99.0)
    assert nothing is not None
    assert nothing.size == 0.0


def test_nothing_is_filled_without_a_book() -> None:
    gone = MarketFeatures(received_at=1, market=BOOK.market, status=BookStatus.UNSYNCED)
    assert market_fill(gone, 1.0) is None
    assert limit_fill(gone, 1.0, 100.0) is None
