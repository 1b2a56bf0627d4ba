"""What guards see of the laboratory: as the live feeds would tell it, of a book that a test fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from adapters.simulation.laboratory.book import BUY, SELL
from adapters.simulation.laboratory.collateral import Collateral
from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.grid import Grid
from adapters.simulation.laboratory.liquidation_engine import Liquidated
from adapters.simulation.laboratory.observed import ObservedVenue, Told, market_of
from adapters.simulation.laboratory.observed_market import ObservedMarket
from adapters.simulation.laboratory.owners import MAKERS, NOISE
from adapters.simulation.laboratory.parameters import LiquidationFeed, SymbolParameters, VenueParameters
from adapters.simulation.laboratory.touch import touch_lots
from adapters.simulation.laboratory.truth import ClosedBy
from guard.events import (
    AnyEvent,
    AssetPricesSeen,
    BookStatus,
    LiquidationSeen,
    MarketFeatures,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamsActive,
)
from guard.market.book import new_book
from guard.market.sampler import MarketSampler
from guard.units import NS_PER_MS, MarketId
from tests.adapters.simulation.laboratory.episodes import ALT, BINANCE, BYBIT, START_AT_NS, small_episode

MARKET = market_of("binanceusdm", "ALTUSDT")
MID = 10_000


def filled_exchange(levels: int = 50, lots: int = 1_000) -> Exchange:
    """A book about tick 10,000, an order at each tick."""
    exchange = Exchange(Grid(ALT))
    for away in range(1, levels + 1):
        exchange.place(MAKERS, BUY, MID - away, lots)
        exchange.place(MAKERS, SELL, MID + away, lots)
    return exchange


@dataclass
class HandBook:
    """One book of a venue, whose truth a test sets."""

    market: MarketId = MARKET
    symbol: SymbolParameters = ALT
    exchange: Exchange = field(default_factory=filled_exchange)
    is_out: bool = False
    closed: Sequence[Liquidated] = ()

    def told(self) -> Told:
        return Told(
            mark_price=2.0,
            index_price=2.001,
            funding_rate=0.0001,
            next_funding_at=START_AT_NS,
            open_interest=500.0,
        )


def observed(book: HandBook, venue: VenueParameters = BINANCE, **changed: Any) -> ObservedVenue:
    episode = small_episode(**changed)
    return ObservedVenue(episode, venue, [book], Collateral(episode))


def run(venue: ObservedVenue, until_ms: int, first_ms: int = 100) -> list[AnyEvent]:
    events: list[AnyEvent] = []
    for now_ms in range(first_ms, until_ms + 1, 100):
        events += venue.step(now_ms, events[-1].received_at if events else 0)
    return events


def liquidated(now_ms: int, lots: int, closed_by: ClosedBy = ClosedBy.BOOK) -> Liquidated:
    return Liquidated(now_ms, 1, lots, 9_990.5, 9_900.0, 10.0, closed_by)


def test_a_sample_measures_what_a_live_client_would() -> None:
    exchange = filled_exchange(levels=1_200)
    seen = ObservedMarket(MARKET, ALT, exchange, 1_000)
    sample = seen.step(0, START_AT_NS, START_AT_NS + 5)
    client = MarketSampler(MARKET, new_book(where=MARKET))
    levels = [
        [[round(tick * 0.0002, 4), 1_000.0] for tick in ticks]
        for ticks in (range(MID - 1, MID - 1_001, -1), range(MID + 1, MID + 1_001))
    ]
    client.on_snapshot(levels[0], levels[1], START_AT_NS + 5, START_AT_NS)
    assert sample == client.sample(START_AT_NS + 5)
    assert sample is not None
    assert sample.bids is not None
    # 1,000 ticks of a hundredth of a per cent: what lies behind them is not claimed to be seen.
    assert sample.bids.visible_bps == pytest.approx(1_000.0)
    assert (sample.bid, sample.ask) == (1.9998, 2.0002)


def test_flow_is_what_takers_took_since_the_sample_before() -> None:
    exchange = filled_exchange()
    seen = ObservedMarket(MARKET, ALT, exchange, 1_000)
    assert seen.step(0, START_AT_NS, START_AT_NS) is not None
    exchange.take(NOISE, BUY, 500)
    exchange.take(NOISE, SELL, 200)
    assert seen.step(100, START_AT_NS, START_AT_NS) is None
    sample = seen.step(1_000, START_AT_NS, START_AT_NS)
    assert sample is not None
    assert sample.buy_usd == pytest.approx(500 * 2.0002)
    assert sample.sell_usd == pytest.approx(200 * 1.9998)
    assert sample.updates == 1
    exchange.place(MAKERS, BUY, 9_000, 1)
    later = seen.step(2_000, START_AT_NS, START_AT_NS)
    assert later is not None
    assert later.buy_usd == later.sell_usd == 0.0


def test_a_book_that_does_not_change_is_heard_of_once_a_second() -> None:
    seen = ObservedMarket(MARKET, ALT, filled_exchange(), 300)
    samples = [seen.step(now_ms, START_AT_NS, START_AT_NS + now_ms) for now_ms in range(0, 10_000, 100)]
    assert [at * 100 for at, sample in enumerate(samples) if sample is not None] == list(
        range(0, 10_000, 1_000)
    )
    assert all(sample.updates == 1 for sample in samples if sample is not None)
    assert seen.heard[Stream.BOOK].updates == 10


def test_a_book_turns_when_a_live_one_does() -> None:
    """Random changes, each told to a live client too: both want a sample at the same steps."""
    random = np.random.default_rng(5)
    exchange = filled_exchange(levels=60, lots=400)
    seen = ObservedMarket(MARKET, ALT, exchange, 10**9)
    client = MarketSampler(MARKET, new_book(where=MARKET))
    turns = 0
    for step in range(600):
        for _ in range(int(random.integers(0, 4))):
            side = int(random.choice([BUY, SELL]))
            if random.random() < 0.5:
                tick = MID - side * int(random.integers(1, 60))
                exchange.place(MAKERS, side, tick, int(random.integers(1, 3_000)), True)
            else:
                exchange.take(NOISE, side, int(random.integers(1, 6_000)))
        levels = [
            [
                [int(tick) * 2 / 10_000, float(lots)]
                for tick, lots in zip(*exchange.book.gather(side, 1_000), strict=True)
            ]
            for side in (BUY, SELL)
        ]
        client.on_snapshot(levels[0], levels[1], START_AT_NS, START_AT_NS)
        expected = step == 0 or client.live.needs_attention
        sample = seen.step(step * 100, START_AT_NS, START_AT_NS)
        assert (sample is not None) == expected, step
        if sample is not None:
            client.sample(START_AT_NS)
            turns += 1
    assert 20 < turns < 500


@pytest.mark.parametrize("side", [BUY, SELL])
def test_what_counts_for_a_turn_is_the_best_twenty_prices(side: int) -> None:
    exchange = filled_exchange(levels=20, lots=10)
    far = exchange.place(MAKERS, side, MID - side * 21, 1_000)
    seen = ObservedMarket(MARKET, ALT, exchange, 10**9)
    assert seen.step(0, START_AT_NS, START_AT_NS) is not None
    exchange.cancel(far)
    assert seen.step(100, START_AT_NS, START_AT_NS) is None
    for order in exchange.book.orders_of(MAKERS):
        if exchange.book.side_of(order) == side:
            exchange.shrink(order, 5)
    assert seen.step(200, START_AT_NS, START_AT_NS) is None
    exchange.place(MAKERS, side, MID - side * 21, 1_000)
    exchange.take(NOISE, -side, 1)
    assert seen.step(300, START_AT_NS, START_AT_NS) is not None


def test_a_side_that_is_empty_is_said_at_once_and_so_is_its_return() -> None:
    exchange = filled_exchange(levels=5)
    seen = ObservedMarket(MARKET, ALT, exchange, 1_000)
    seen.step(0, START_AT_NS, START_AT_NS)
    exchange.take(NOISE, SELL, 10**6)
    empty = seen.step(100, START_AT_NS, START_AT_NS)
    assert empty is not None
    assert (empty.status, empty.bid, empty.bids) == (BookStatus.EMPTY, None, None)
    assert seen.step(200, START_AT_NS, START_AT_NS) is None
    exchange.place(MAKERS, BUY, 9_000, 10)
    back = seen.step(300, START_AT_NS, START_AT_NS)
    assert back is not None
    assert back.status is BookStatus.OK


def test_what_rests_on_the_best_prices_is_counted() -> None:
    book = filled_exchange(levels=30, lots=7).book
    assert touch_lots(book, BUY, 20) == touch_lots(book, SELL, 20) == 140
    assert touch_lots(book, BUY, 100) == 210
    assert touch_lots(Exchange(Grid(ALT)).book, SELL, 20) == 0


def test_marks_come_each_second_and_open_interest_each_ten_with_their_activity() -> None:
    venue = observed(HandBook())
    events = run(venue, 20_000)
    counts = {
        kind: sum(isinstance(event, kind) for event in events) for kind in (MarkPriceSeen, OpenInterestSeen)
    }
    assert counts == {MarkPriceSeen: 20, OpenInterestSeen: 2}
    interest = next(event for event in events if isinstance(event, OpenInterestSeen))
    assert interest.open_interest_usd == interest.open_interest * 2.0
    active = [each for event in events if isinstance(event, StreamsActive) for each in event.activities]
    marks = [each for each in active if each.stream is Stream.MARK_PRICE]
    assert sum(each.updates for each in marks) == 20
    assert all(abs(each.gap_ns_max - 1_000 * NS_PER_MS) < 40 * NS_PER_MS for each in marks[1:])
    prices = [event for event in events if isinstance(event, AssetPricesSeen)]
    assert [(event.venue, event.prices[0].asset) for event in prices] == [("binance", "USDE")] * 4
    assert venue.watched().periods_ms == {Stream.MARK_PRICE: 1_000, Stream.OPEN_INTEREST: 10_000}


def test_messages_arrive_after_they_were_sent_and_in_order() -> None:
    events = run(observed(HandBook()), 30_000)
    times = [event.received_at for event in events]
    assert times == sorted(times)
    lags = [
        event.received_at - event.exchange_at
        for event in events
        if isinstance(event, MarkPriceSeen) and event.exchange_at is not None
    ]
    assert 15 * NS_PER_MS <= min(lags) < max(lags) < 100 * NS_PER_MS


def test_a_throttled_venue_tells_the_latest_order_of_a_second_that_its_book_filled() -> None:
    book = HandBook()
    venue = observed(book)
    seen: list[LiquidationSeen] = []
    for now_ms in range(100, 3_001, 100):
        book.closed = ()
        if now_ms in (300, 400):
            book.closed = (liquidated(now_ms, now_ms), liquidated(now_ms, 1_000 + now_ms))
        if now_ms in (900, 1_500):
            book.closed = (
                liquidated(now_ms, 7, ClosedBy.INSURANCE),
                liquidated(now_ms, 8, ClosedBy.DELEVERAGE),
            )
        seen += [event for event in venue.step(now_ms, 0) if isinstance(event, LiquidationSeen)]
    assert [(event.size, event.exchange_at) for event in seen] == [(1_400.0, START_AT_NS + 400 * NS_PER_MS)]
    assert seen[0].price == pytest.approx(1.9981)
    assert seen[0].notional_usd == pytest.approx(1_400.0 * 1.9981)


def test_a_complete_venue_tells_all_at_the_bankruptcy_price() -> None:
    book = HandBook()
    venue = observed(book, replace(BYBIT, liquidation_feed=LiquidationFeed.COMPLETE))
    seen: dict[int, list[float]] = {}
    for now_ms in range(100, 2_001, 100):
        book.closed = ()
        if now_ms in (300, 400, 600):
            book.closed = (liquidated(now_ms, now_ms), liquidated(now_ms, -now_ms, ClosedBy.DELEVERAGE))
        told = [event for event in venue.step(now_ms, 0) if isinstance(event, LiquidationSeen)]
        if told:
            seen[now_ms] = [event.size for event in told]
            assert {event.price for event in told} == {1.98}
    assert seen == {500: [300.0, -300.0, 400.0, -400.0], 1_000: [600.0, -600.0]}


def test_a_venue_that_is_out_says_nothing_and_nothing_of_that_time_later() -> None:
    book = HandBook()
    venue = observed(book)
    assert run(venue, 2_000)
    book.is_out = True
    book.closed = (liquidated(2_100, 5),)
    assert run(venue, 8_000, 2_100) == []
    book.is_out, book.closed = False, ()
    back = run(venue, 9_000, 8_100)
    assert back
    assert not any(isinstance(event, LiquidationSeen) for event in back)
    assert all(event.received_at > START_AT_NS + 8_000 * NS_PER_MS for event in back)


def test_samples_of_a_changing_book_come_as_often_as_said() -> None:
    book = HandBook()
    venue = observed(book, sample_ms=500)
    events: list[AnyEvent] = []
    for now_ms in range(100, 5_001, 100):
        book.exchange.place(MAKERS, BUY, 9_990 - now_ms // 100, 1)
        events += venue.step(now_ms, 0)
    samples = [event for event in events if isinstance(event, MarketFeatures)]
    assert len(samples) == 10
    assert [sample.updates for sample in samples] == [1] + [5] * 9
