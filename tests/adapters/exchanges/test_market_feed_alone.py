"""What the market feed does over minutes, with a clock turned by hand and a connection that is told."""

from __future__ import annotations

import itertools

import pytest

from adapters.exchanges.market_feed import FullPace, MarketFeed
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import TradeFrame
from guard.errors import MalformedFrameError, VenueError
from guard.events import (
    BookStatus,
    MarketFeatures,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamActivity,
    StreamFault,
    StreamFaultKind,
)
from guard.ports import Importance
from guard.units import NS_PER_MS, MarketId, Nanoseconds, market_id, symbol_of
from tests.adapters.exchanges.fakes import VENUE, FakeMarket, diff, snapshot
from tests.support.exchange_feeds import Events, running
from tests.support.hand_clock import HandClock

SYMBOL = "BTC/USDT:USDT"
BTC = MarketId("binanceusdm:BTC/USDT:USDT")


def a_feed(connection: FakeMarket, clock: HandClock, *symbols: str) -> MarketFeed:
    settings = VenueSettings(id=VENUE, symbols=list(symbols or (SYMBOL,)))
    return MarketFeed(settings, clock=clock, connect=connection.connect)


def statuses(events: Events) -> list[BookStatus]:
    return [features.status for features in events.of(MarketFeatures)]


async def test_a_book_is_believed_once_its_snapshot_has_met_the_stream() -> None:
    clock, connection = HandClock(), FakeMarket()
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.1)
        feed.on_depth(SYMBOL, diff(8, 12, bids=[["99.995", "2.0"]]))
        await clock.advance(0.5)

    assert statuses(events)[0] is BookStatus.OK
    assert events.of(MarketFeatures)[-1].bid == 99.995
    assert connection.closed


async def test_nothing_is_said_of_a_market_before_its_first_whole_book_and_its_trades_are_not_added_up() -> (
    None
):
    clock, connection = HandClock(), FakeMarket()
    connection.snapshots = [VenueError(VENUE, "busy")] * 6 + [snapshot(10)]
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.05)
        for _ in range(4):
            feed.on_trade(SYMBOL, TradeFrame(1_000.0, None))
            await clock.advance(0.5)
        before = len(events.of(MarketFeatures))
        await clock.advance(60.0)

    assert before == 0
    assert statuses(events)[0] is BookStatus.OK
    assert events.of(MarketFeatures)[0].buy_usd == 0.0


async def test_a_snapshot_that_is_too_old_is_fetched_again() -> None:
    clock, connection = HandClock(), FakeMarket()
    connection.snapshots = [VenueError(VENUE, "busy"), snapshot(10), snapshot(25)]
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.05)
        feed.on_depth(SYMBOL, diff(20, 30))
        await clock.advance(2.0)

    assert connection.snapshots_taken == 3
    assert statuses(events)[-1] is BookStatus.OK
    assert feed.counters[BTC].applied == 1


async def test_a_diff_with_a_level_that_cannot_be_read_loses_the_book_and_says_so() -> None:
    clock, connection = HandClock(), FakeMarket()
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.1)
        feed.on_depth(SYMBOL, diff(8, 12))
        connection.snapshots = [snapshot(20)]
        with pytest.raises(MalformedFrameError):
            feed.on_depth(SYMBOL, diff(12, 14, bids=[["NaN", "1.0"]]))
        gapped = statuses(events)[-1]
        await clock.advance(1.0)

    assert gapped is BookStatus.GAPPED
    assert statuses(events)[-1] is BookStatus.OK
    assert [fault.fault for fault in events.of(StreamFault)] == [
        StreamFaultKind.SEQUENCE_GAP,
        StreamFaultKind.RECONNECTED,
    ]


async def test_a_snapshot_of_before_the_connection_was_lost_is_thrown_away() -> None:
    clock, connection = HandClock(), FakeMarket()
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.1)
        connection.lose(Stream.BOOK)
        await clock.advance(0.01, step_s=0.01)
        assert statuses(events)[-1] is BookStatus.UNSYNCED
        feed.on_depth(SYMBOL, diff(40, 50))
        connection.snapshots = [snapshot(45)]
        await clock.advance(3.0)

    assert statuses(events)[-1] is BookStatus.OK
    assert [fault.fault for fault in events.of(StreamFault)] == [
        StreamFaultKind.DISCONNECTED,
        StreamFaultKind.RECONNECTED,
    ]


async def test_a_book_whose_price_has_left_its_snapshot_gets_a_wider_one_and_stays_live() -> None:
    clock, connection = HandClock(), FakeMarket()
    connection.snapshots = [snapshot(10, levels=20)]  # 20 bps a side
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(31.0)
        falls = [[f"{100 - 0.01 * (number + 1):.2f}", "0"] for number in range(18)]
        feed.on_depth(SYMBOL, diff(8, 12, bids=falls, asks=[["99.90", "1.0"]]))
        connection.snapshots = [snapshot(14, mid=99.85)]
        taken = connection.snapshots_taken
        await clock.advance(0.3)
        feed.on_depth(SYMBOL, diff(12, 20, bids=[["99.80", "3.0"]]))
        await clock.advance(10.0)

    assert connection.snapshots_taken > taken
    assert set(statuses(events)) == {BookStatus.OK}
    assert events.of(StreamFault) == []
    assert feed.counters[BTC].applied == 2


async def test_a_silent_book_that_rest_is_ahead_of_is_subscribed_again() -> None:
    clock, connection = HandClock(), FakeMarket()
    feed = a_feed(connection, clock)
    async with running([feed]):
        await clock.advance(0.1)
        feed.on_depth(SYMBOL, diff(8, 12))
        connection.snapshots = [snapshot(12)]
        await clock.advance(95.0, step_s=0.5)
        quiet = list(connection.reopened)
        connection.snapshots = [snapshot(99)]
        await clock.advance(35.0, step_s=0.5)

    assert quiet == []  # nothing happened at the venue either
    assert connection.reopened


async def test_books_that_are_all_silent_are_looked_after_sooner_and_left_alone_if_nothing_happens() -> None:
    clock, connection = HandClock(), FakeMarket()
    feed = a_feed(connection, clock)
    async with running([feed]):
        await clock.advance(0.1)
        feed.on_depth(SYMBOL, diff(8, 12))
        connection.snapshots = [snapshot(12)]
        await clock.advance(40.0, step_s=0.5)
        quiet = list(connection.reopened)
        connection.snapshots = [snapshot(99)]
        await clock.advance(17.0, step_s=0.5)

    assert quiet == []
    assert connection.reopened


async def test_open_interest_that_cannot_be_asked_is_said_once_and_so_is_its_return() -> None:
    clock, connection = HandClock(), FakeMarket()
    connection.interest = VenueError(VENUE, "busy")
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(40.0, step_s=0.5)
        connection.interest = 7.0
        await clock.advance(20.0, step_s=0.5)

    faults = events.of(StreamFault, lambda fault: fault.stream is Stream.OPEN_INTEREST)
    assert [fault.fault for fault in faults] == [StreamFaultKind.DISCONNECTED, StreamFaultKind.RECONNECTED]
    assert events.of(OpenInterestSeen)[0].open_interest == 7.0


async def test_funding_is_asked_over_rest_only_where_the_stream_is_silent_of_it() -> None:
    clock, connection = HandClock(), FakeMarket()
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        for _ in range(65):
            feed.on_mark(SYMBOL, connection.mark)
            await clock.advance(1.0, step_s=0.5)
        told = connection.marks_asked
        await clock.advance(130.0, step_s=0.5)

    assert told == 0
    assert connection.marks_asked >= 1
    assert events.of(MarkPriceSeen)[-1].funding_rate == 0.0001


async def test_trades_are_summed_by_their_taker_until_the_next_sample() -> None:
    clock, connection = HandClock(), FakeMarket()
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.1)
        events.forget()
        feed.on_trade(SYMBOL, TradeFrame(notional_usd=500.0, exchange_at=None))
        feed.on_trade(SYMBOL, TradeFrame(notional_usd=-200.0, exchange_at=None))
        await clock.advance(0.6)

    assert sum(features.buy_usd for features in events.of(MarketFeatures)) == 500.0
    assert sum(features.sell_usd for features in events.of(MarketFeatures)) == 200.0
    assert len(events.of(MarketFeatures)) == 1  # what does not change is not said again


async def test_a_stream_says_once_a_second_what_it_delivered() -> None:
    clock, connection = HandClock(), FakeMarket()
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.1)
        for last in (12, 13, 14):
            feed.on_depth(SYMBOL, diff(last - 1 if last > 12 else 8, last))
            await clock.advance(0.2)
        await clock.advance(3.0)

    (activity,) = events.of(StreamActivity, lambda seen: seen.stream is Stream.BOOK)
    assert activity.updates == 3
    assert activity.gap_ns_max == 200_000_000
    assert activity.last_at < activity.received_at


async def test_a_flood_of_frames_that_cannot_be_read_is_said_once_a_second() -> None:
    clock, connection = HandClock(), FakeMarket("BTC/USDT:USDT", "ETH/USDT:USDT")
    feed = a_feed(connection, clock, "BTC/USDT:USDT", "ETH/USDT:USDT")
    async with running([feed]) as events:
        await clock.advance(0.1)
        for _ in range(50):
            feed.on_malformed(SYMBOL, Stream.TRADES, "not JSON")
        await clock.advance(1.0)
        feed.on_malformed(SYMBOL, Stream.TRADES, "not JSON")
        feed.on_malformed(None, None, "not JSON")

    malformed = events.faults(StreamFaultKind.MALFORMED)
    trades = [fault for fault in malformed if fault.stream is Stream.TRADES]
    assert len(trades) == 2
    assert trades[1].detail.startswith("50 frames could not be read")
    # A frame that names no market may have been of any.
    assert {fault.subject for fault in malformed if fault.stream is Stream.BOOK} == {
        "binanceusdm:BTC/USDT:USDT",
        "binanceusdm:ETH/USDT:USDT",
    }


class HandPace(FullPace):
    """Nobody needs any market but those named; the rest is sampled in a period that is set by hand."""

    def __init__(self, *held: str) -> None:
        self.held = {market_id(VENUE, symbol) for symbol in held}
        self.far_ns = 1_000 * NS_PER_MS
        self.far: list[int] = []
        self.taken = 0

    def importance(self, market: MarketId) -> Importance:
        return Importance.VITAL if market in self.held else Importance.FAR

    def watch(self, venue: str, far: int) -> None:
        self.far.append(far)

    def took(self, samples: int, duration_ns: Nanoseconds) -> None:
        self.taken += samples

    def period_ns(self, importance: Importance, base_ns: Nanoseconds) -> Nanoseconds:
        return self.far_ns if importance is Importance.FAR else base_ns


async def test_a_market_of_no_one_is_sampled_less_often_while_that_is_asked_and_loses_no_flow() -> None:
    clock, connection, pace = HandClock(), FakeMarket(), HandPace()
    settings = VenueSettings(id=VENUE, symbols=[SYMBOL])
    feed = MarketFeed(settings, clock=clock, connect=connection.connect, pace=pace)
    async with running([feed]) as events:
        await clock.advance(0.1)
        events.all.clear()
        for _ in range(40):
            feed.on_trade(SYMBOL, TradeFrame(100.0, None))
            await clock.advance(0.25)
        taken = len(events.of(MarketFeatures))
        pace.far_ns = 250 * NS_PER_MS
        await clock.advance(0.3)

    assert 8 <= taken <= 12
    assert sum(features.buy_usd for features in events.of(MarketFeatures)) == pytest.approx(4_000.0)
    assert pace.far[-1] == 1
    assert pace.taken == len(events.of(MarketFeatures))


async def test_far_markets_are_spread_over_the_rounds_and_held_ones_are_in_time() -> None:
    symbols = [f"M{number}/USDT:USDT" for number in range(40)]
    clock, connection = HandClock(), FakeMarket(*symbols)
    pace = HandPace(symbols[-1])
    settings = VenueSettings(id=VENUE, symbols=symbols)
    feed = MarketFeed(settings, clock=clock, connect=connection.connect, pace=pace)
    rounds: list[list[str]] = []
    async with running([feed]) as events:
        await clock.advance(0.1)
        for _ in range(60):  # 3 s in rounds of 50 ms
            for symbol in symbols:
                feed.on_trade(symbol, TradeFrame(100.0, None))
            events.all.clear()
            await clock.advance(0.05)
            rounds.append([symbol_of(features.market) for features in events.of(MarketFeatures)])

    settled = rounds[20:]  # from the second second on
    assert max(map(len, settled)) <= 4  # 39 in 20 rounds, and the held one
    for symbol in symbols[:-1]:
        assert 1 <= sum(symbol in each for each in settled) <= 3  # once a second, in two seconds
    held = [number for number, each in enumerate(settled) if symbols[-1] in each]
    assert {after - before for before, after in itertools.pairwise(held)} == {5}
    assert all(each[0] == symbols[-1] for each in settled if symbols[-1] in each)


async def test_a_book_that_turns_right_after_a_sample_is_sampled_again_before_its_next_update() -> None:
    clock, connection = HandClock(), FakeMarket()
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.1)
        feed.on_depth(SYMBOL, diff(8, 12, bids=[["99.995", "2.0"]]))
        await clock.advance(0.5)
        # Turned, and said at once; then it turns further within the same 10 ms, and nothing comes any more.
        feed.on_depth(
            SYMBOL, diff(12, 13, asks=[[f"{100.01 + 0.01 * number:.2f}", "0.3"] for number in range(20)])
        )
        said = len(events.of(MarketFeatures))
        feed.on_depth(
            SYMBOL, diff(13, 14, asks=[[f"{100.01 + 0.01 * number:.2f}", "0.1"] for number in range(20)])
        )
        at_once = len(events.of(MarketFeatures)) - said
        await clock.advance(0.009, step_s=0.001)
        too_early = len(events.of(MarketFeatures)) - said
        await clock.advance(0.003, step_s=0.001)
        in_time = len(events.of(MarketFeatures)) - said

    assert (at_once, too_early, in_time) == (0, 0, 1)


async def test_a_book_that_has_come_back_before_it_may_be_said_is_not_said() -> None:
    clock, connection = HandClock(), FakeMarket()
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.1)
        feed.on_depth(SYMBOL, diff(8, 12, bids=[["99.995", "2.0"]]))
        await clock.advance(0.5)
        for last, size in ((13, "0.3"), (14, "0.1")):
            levels = [[f"{100.01 + 0.01 * number:.2f}", size] for number in range(20)]
            feed.on_depth(SYMBOL, diff(last - 1, last, asks=levels))
        feed.on_depth(
            SYMBOL, diff(14, 15, asks=[[f"{100.01 + 0.01 * number:.2f}", "0.3"] for number in range(20)])
        )
        said = len(events.of(MarketFeatures))
        await clock.advance(0.02, step_s=0.001)

    assert len(events.of(MarketFeatures)) == said  # it has come back: there is nothing to say


async def test_rounds_that_come_late_take_as_many_as_are_due_by_then() -> None:
    symbols = [f"M{number}/USDT:USDT" for number in range(40)]
    clock, connection, pace = HandClock(), FakeMarket(*symbols), HandPace()
    feed = MarketFeed(
        VenueSettings(id=VENUE, symbols=symbols), clock=clock, connect=connection.connect, pace=pace
    )
    async with running([feed]) as events:
        await clock.advance(0.1)
        await clock.advance(2.0)
        for _ in range(10):  # of 100 ms each, where 50 were meant
            for symbol in symbols:
                feed.on_trade(symbol, TradeFrame(100.0, None))
            await clock.advance(0.1, step_s=0.1)
        events.all.clear()
        for _ in range(10):
            for symbol in symbols:
                feed.on_trade(symbol, TradeFrame(100.0, None))
            await clock.advance(0.1, step_s=0.1)

    assert {symbol_of(features.market) for features in events.of(MarketFeatures)} == set(symbols)
