"""A venue without any stream: everything is asked, in rounds within its limits, and judged by their length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.exchanges import MarketFeed, venue_feeds
from adapters.exchanges.ccxt_client import tapped_class
from adapters.simulation import LoopbackVenue, generated_source
from guard.events import (
    BookStatus,
    MarketFeatures,
    MarketsWatched,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamFault,
)
from guard.units import MarketId
from tests.support.eventually import eventually
from tests.support.exchange_feeds import running, secret_is_its_name, settings_for, venue_best

VENUE = "digifinex"
"""A venue of which ccxt has REST alone; here its class speaks to the venue on loopback."""

ABSENT = ("watchOrderBook", "watchOrderBookForSymbols", "watchTrades", "watchMarkPrice", "watchMarkPrices")


@pytest.fixture
def without_streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import ccxt.pro

    class WithoutStreams(ccxt.pro.binanceusdm):  # type: ignore[misc]  # ccxt is untyped
        def describe(self) -> Any:
            has = dict.fromkeys((*ABSENT, "watchLiquidations"), False)
            return self.deep_extend(super().describe(), {"id": VENUE, "has": has})

    WithoutStreams.__name__ = VENUE
    monkeypatch.setattr(ccxt.pro, VENUE, WithoutStreams, raising=False)
    tapped_class.cache_clear()
    yield
    tapped_class.cache_clear()


@pytest.mark.usefixtures("without_streams")
async def test_books_and_marks_are_polled_and_the_rest_is_absent() -> None:
    async with LoopbackVenue(generated_source("calm", seed=1, duration_s=600.0)) as venue:
        settings = settings_for(venue.ccxt_urls(), id=VENUE)
        feed, *_ = venue_feeds(settings, clock=SystemClock(), resolve_secret=secret_is_its_name)
        assert isinstance(feed, MarketFeed)
        async with running([feed]) as events:
            watched = await events.until(MarketsWatched)
            await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.OK)
            mark = await events.until(MarkPriceSeen)
            await events.until(OpenInterestSeen)

            def right() -> bool:
                samples = events.of(MarketFeatures)
                return (samples[-1].bid, samples[-1].ask) == venue_best(venue)

            await eventually(right, within_s=10.0, what=events.tail())

    assert watched.markets == (MarketId(f"{VENUE}:BTC/USDT:USDT"),)
    assert set(watched.absent) == {Stream.TRADES, Stream.LIQUIDATIONS}
    assert watched.periods_ms[Stream.BOOK] == 1_000
    assert mark.funding_rate is not None
    assert events.of(StreamFault) == []
