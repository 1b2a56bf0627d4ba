"""What happened in a market between two refreshes, as estimators are given it."""

from __future__ import annotations

import msgspec
import pytest

from guard.events import (
    AnyEvent,
    LiquidationSeen,
    LongShortRatioSeen,
    MarketFeatures,
    MarketsSampled,
    MarketsWatched,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamFault,
    StreamFaultKind,
)
from guard.market.view import MarketView
from guard.outlook.gatherer import Gatherer, book_reading
from guard.readings import LiquidationFeed, Reading
from guard.units import NS_PER_S as S
from guard.units import MarketId
from tests.support.market import MARKET, even_features


class Heard:
    """A gatherer and the view of one market, given the same events."""

    def __init__(self) -> None:
        self.gatherer, self.view = Gatherer(), MarketView(MARKET)

    def hear(self, *events: AnyEvent) -> None:
        for event in events:
            self.gatherer.apply(event)
            self.view.apply(event)

    def read(self, at_s: float) -> Reading:
        return self.gatherer.take(MARKET, round(at_s * S), self.view)


def sample(at_s: float, *, buy_usd: float = 0.0, sell_usd: float = 0.0) -> MarketFeatures:
    at = round(at_s * S)
    return msgspec.structs.replace(
        even_features(at), book_at=at, buy_usd=buy_usd, sell_usd=sell_usd, updates=1
    )


def mark(at_s: float, price: float) -> MarkPriceSeen:
    return MarkPriceSeen(received_at=round(at_s * S), market=MARKET, mark_price=price, funding_rate=1e-4)


def interest(at_s: float, base: float) -> OpenInterestSeen:
    return OpenInterestSeen(received_at=round(at_s * S), market=MARKET, open_interest=base)


def liquidation(at_s: float, size: float, usd: float) -> LiquidationSeen:
    return LiquidationSeen(
        received_at=round(at_s * S), market=MARKET, size=size, price=100.0, notional_usd=usd
    )


def test_what_happened_is_told_once() -> None:
    heard = Heard()
    heard.hear(
        sample(1, buy_usd=5.0, sell_usd=7.0),
        MarketsSampled(received_at=2 * S, samples=(sample(2, buy_usd=1.0),)),
        liquidation(3, 2.0, 200.0),
        liquidation(3, -1.0, 100.0),
        mark(1, 99.0),
        mark(2, 101.0),
        mark(3, 100.0),
        interest(3, 50.0),
    )
    first, second = heard.read(5), heard.read(10)
    assert (first.elapsed_s, second.elapsed_s) == (0.0, 5.0)
    assert (first.buy_usd, first.sell_usd) == (6.0, 7.0)
    assert (first.liquidated_longs_usd, first.liquidated_shorts_usd, first.liquidations) == (200.0, 100.0, 2)
    assert (first.mark_low, first.mark_price, first.mark_high) == (99.0, 100.0, 101.0)
    assert (second.buy_usd, second.sell_usd, second.liquidations) == (0.0, 0.0, 0)
    assert (second.mark_low, second.mark_price, second.mark_high) == (100.0, 100.0, 100.0)
    assert (second.open_interest, second.open_interest_at) == (50.0, 3 * S)


def test_a_book_is_read_when_it_may_be_believed_and_never_else() -> None:
    heard = Heard()
    heard.hear(sample(1))
    assert heard.read(1).book is None
    for second in range(2, 20):
        heard.hear(sample(second))
    book = heard.read(19).book
    assert book is not None
    assert book.bid < book.ask
    assert book.bid_normal_usd is None, "nobody knows yet what is normal"
    for second in range(20, 200):
        heard.hear(sample(second))
    warm = heard.read(199).book
    assert warm is not None
    assert warm.bid_normal_usd == pytest.approx(warm.bid_curve_usd[12], rel=0.02)
    assert warm.spread_normal_bps == pytest.approx(warm.spread_bps, rel=0.05)
    assert heard.read(260).book is None, "a minute of silence"


def test_five_seconds_between_samples_are_enough_where_nothing_else_is_told() -> None:
    heard = Heard()
    for number in range(60):
        heard.hear(sample(number * 5.04))
    assert book_reading(heard.view, round(59 * 5.04 * S)) is not None
    assert heard.view.is_warm(round(59 * 5.04 * S))


def test_a_mark_or_an_interest_that_is_old_is_not_known() -> None:
    heard = Heard()
    heard.hear(mark(1, 100.0), interest(1, 50.0))
    assert heard.read(10).mark_price == 100.0
    assert heard.read(60).mark_price is None
    assert heard.read(60).mark_low is None
    assert heard.read(120).open_interest == 50.0
    assert heard.read(600).open_interest is None


def test_a_slow_poll_is_understood_after_two_answers() -> None:
    heard = Heard()
    heard.hear(interest(0, 50.0), interest(300, 51.0))
    assert heard.read(1_200).open_interest == 51.0
    assert heard.read(5_000).open_interest is None


def test_a_stream_that_is_cut_off_counts_for_nothing_at_once() -> None:
    heard = Heard()
    heard.hear(mark(1, 100.0), mark(2, 100.0), mark(3, 100.0))
    assert heard.read(3.5).mark_price == 100.0
    heard.hear(
        StreamFault(
            received_at=4 * S, subject=MARKET, stream=Stream.MARK_PRICE, fault=StreamFaultKind.DISCONNECTED
        )
    )
    assert heard.read(4).mark_price is None


@pytest.mark.parametrize(
    ("venue", "feed"),
    [
        ("binanceusdm", LiquidationFeed.THROTTLED),
        ("binancecoinm", LiquidationFeed.THROTTLED),
        ("bybit", LiquidationFeed.COMPLETE),
        ("hyperliquid", LiquidationFeed.COMPLETE),
        ("okx", LiquidationFeed.THROTTLED),
        ("nobody", LiquidationFeed.THROTTLED),
    ],
)
def test_how_much_a_venue_tells_of_liquidations(venue: str, feed: LiquidationFeed) -> None:
    market = MarketId(f"{venue}:BTC/USDT:USDT")
    gatherer = Gatherer()
    gatherer.apply(MarketsWatched(received_at=1, venue=venue, markets=(market,)))
    assert gatherer.feed(market) is feed
    gatherer.apply(
        MarketsWatched(received_at=1, venue=venue, markets=(market,), absent=(Stream.LIQUIDATIONS,))
    )
    assert gatherer.feed(market) is LiquidationFeed.ABSENT


def test_silence_of_a_venue_that_nobody_watches_says_nothing() -> None:
    """Somebody's file may hold no liquidations at all: that is not a market without any."""
    market = MarketId("binanceusdm:BTC/USDT:USDT")
    gatherer = Gatherer()
    assert gatherer.feed(market) is LiquidationFeed.ABSENT
    gatherer.apply(LiquidationSeen(received_at=1, market=market, size=1.0, price=100.0, notional_usd=100.0))
    assert gatherer.feed(market) is LiquidationFeed.THROTTLED


def test_odd_numbers_are_left_out() -> None:
    heard = Heard()
    nan, infinite = float("nan"), float("inf")
    heard.hear(mark(1, 100.0))
    heard.hear(mark(2, nan), mark(2, -1.0), mark(2, infinite), interest(2, nan), liquidation(2, 1.0, nan))
    heard.gatherer.apply(sample(2, buy_usd=nan, sell_usd=infinite))
    heard.hear(LongShortRatioSeen(received_at=2 * S, market=MARKET, longs_share=nan))
    reading = heard.read(3)
    assert (reading.mark_low, reading.mark_price, reading.mark_high) == (100.0, 100.0, 100.0)
    assert (reading.open_interest, reading.longs_share) == (None, None)
    assert (reading.buy_usd, reading.sell_usd, reading.liquidations) == (0.0, 0.0, 0)


def test_a_ratio_holds_for_an_hour() -> None:
    heard = Heard()
    heard.hear(LongShortRatioSeen(received_at=S, market=MARKET, longs_share=0.7))
    assert heard.read(60).longs_share == 0.7
    assert heard.read(4_000).longs_share is None


def test_where_no_mark_price_is_ever_told_the_middle_of_the_book_stands_for_it() -> None:
    heard = Heard()
    for second in range(1, 20):
        heard.hear(even_features(second * S, 100.0 + second))
    reading = heard.read(19)
    assert (reading.mark_low, reading.mark_price, reading.mark_high) == pytest.approx((101.0, 119.0, 119.0))
    heard.hear(mark(19.5, 118.0))
    reading = heard.read(24)
    assert (reading.mark_low, reading.mark_price, reading.mark_high) == (118.0, 118.0, 118.0)


def alive(heard: Heard, until_s: int) -> None:
    for second in range(until_s):
        heard.hear(sample(second))


def test_a_mark_of_another_tick_is_left_out_and_one_that_stays_is_believed() -> None:
    heard = Heard()
    heard.hear(mark(1, 100.0), mark(2, 1.0), mark(3, 99.0))
    reading = heard.read(5)
    assert (reading.mark_price, reading.mark_low, reading.mark_high) == (99.0, 99.0, 100.0)
    heard.hear(mark(6, 40.0), mark(7, 39.0))
    assert heard.read(10).mark_price == 99.0
    heard.hear(mark(11, 38.0))
    reading = heard.read(15)
    assert (reading.mark_price, reading.mark_low) == (38.0, 38.0)


def test_after_silence_a_mark_may_be_anywhere() -> None:
    heard = Heard()
    heard.hear(mark(1, 100.0), mark(400, 30.0))
    assert heard.read(401).mark_price == 30.0


@pytest.mark.parametrize("wrong", [0.0, 5.0, 50_000.0])
def test_an_open_interest_in_another_unit_is_left_out(wrong: float) -> None:
    heard = Heard()
    heard.hear(interest(1, 500.0), interest(11, wrong), interest(21, 499.0))
    assert heard.read(22).open_interest == 499.0
    heard.hear(*(interest(at, 5_000.0) for at in (31, 41, 51)))
    assert heard.read(52).open_interest == 5_000.0


def test_more_than_all_there_is_was_not_liquidated() -> None:
    heard = Heard()
    heard.hear(interest(1, 500.0), liquidation(2, 501.0, 5e4), liquidation(3, -2.0, 200.0))
    reading = heard.read(5)
    assert (reading.liquidations, reading.liquidated_longs_usd, reading.liquidated_shorts_usd) == (
        1,
        0.0,
        200.0,
    )


def test_a_book_at_another_tick_is_unknown_until_it_stays() -> None:
    heard = Heard()
    alive(heard, 20)
    first = heard.read(20)
    assert first.book is not None
    seen = []
    for refresh in range(3):
        for second in range(5):
            now = round((20 + 5 * refresh + second) * S)
            event = sample(now / S)
            heard.hear(
                msgspec.structs.replace(event, bid=100 * (event.bid or 0.0), ask=100 * (event.ask or 0.0))
            )
        seen.append(heard.read(25 + 5 * refresh).book)
    assert [book and book.mid for book in seen] == [None, None, pytest.approx(100 * first.book.mid)]


def test_a_middle_that_leaps_between_two_refreshes_is_no_low_where_no_mark_is_told() -> None:
    """Else one wrong book sweeps a whole map, though no refresh saw it."""
    heard = Heard()
    alive(heard, 20)
    middle = heard.read(20).mark_price
    assert middle is not None
    event = sample(21)
    heard.hear(
        msgspec.structs.replace(event, bid=0.01 * (event.bid or 0.0), ask=0.01 * (event.ask or 0.0)),
        sample(22),
        sample(23),
        sample(24),
    )
    reading = heard.read(25)
    assert reading.mark_low == pytest.approx(middle)
    assert reading.mark_high == pytest.approx(middle)
