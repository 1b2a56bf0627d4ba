"""A made-up market as events, a sample and a mark price a second: calm, then its bids go, then they come back."""

from __future__ import annotations

from collections.abc import Iterator

from guard.events import (
    AnyEvent,
    LiquidationSeen,
    MarketsWatched,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamActivity,
    StreamsActive,
)
from guard.units import NS_PER_S, MarketId, Nanoseconds
from tests.support.builders import T0
from tests.support.market import even_features

BTC, ETH = MarketId("binanceusdm:BTC/USDT:USDT"), MarketId("binanceusdm:ETH/USDT:USDT")


def made_up_events(
    seconds: int = 600,
    *,
    thin: range = range(300, 360),
    markets: tuple[MarketId, ...] = (BTC, ETH),
    begin: Nanoseconds = T0,
) -> Iterator[AnyEvent]:
    """Of the first market the bids lose 95 % while it is ``thin``, longs are liquidated, and price falls 3 %."""
    periods = {Stream.BOOK: 1_000, Stream.MARK_PRICE: 1_000, Stream.OPEN_INTEREST: 10_000}
    absent = (Stream.TRADES, Stream.LIQUIDATIONS, Stream.ACCOUNT)
    yield MarketsWatched(
        received_at=begin, venue="binanceusdm", markets=markets, periods_ms=periods, absent=absent
    )
    for second in range(1, seconds + 1):
        at = begin + second * NS_PER_S
        for market in markets:
            is_thin = second in thin and market == markets[0]
            mid = 100.0 * (0.97 if second >= thin.start and market == markets[0] else 1.0)
            yield even_features(
                at,
                mid,
                bid_size=(5.0 if is_thin else 100.0) + second % 3,
                ask_size=100.0 + second % 5,
                market=market,
            )
            yield MarkPriceSeen(received_at=at, market=market, mark_price=mid, funding_rate=1e-4)
            if second % 10 == 0:
                yield OpenInterestSeen(
                    received_at=at, market=market, open_interest=5e4, open_interest_usd=5e4 * mid
                )
            if is_thin and second % 5 == 0:
                size = -10.0 if second % 15 == 0 else 20.0
                yield LiquidationSeen(
                    received_at=at, market=market, size=size, price=mid, notional_usd=abs(size) * mid
                )
        yield StreamsActive(received_at=at, activities=tuple(_activity(at, market) for market in markets))


def _activity(at: Nanoseconds, market: MarketId) -> StreamActivity:
    return StreamActivity(
        received_at=at, subject=market, stream=Stream.BOOK, updates=10, last_at=at, gap_ns_max=100_000_000
    )
