"""Books that the stream itself begins, or brings whole every time: believed, lost and mended one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.exchanges.binance.capabilities import CAPABILITIES
from adapters.exchanges.market_feed import MarketFeed
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import DepthSnapshot, DepthSource
from guard.errors import MalformedFrameError
from guard.events import BookStatus, MarketFeatures, OpenInterestSeen, Stream, StreamFault, StreamFaultKind
from guard.units import symbol_of
from tests.adapters.exchanges.fakes import VENUE, FakeMarket, diff, snapshot
from tests.support.exchange_feeds import Events, running
from tests.support.hand_clock import HandClock

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def a_venue(source: DepthSource) -> FakeMarket:
    connection = FakeMarket(BTC, ETH)
    connection.gives = replace(CAPABILITIES, depth_source=source)
    return connection


def a_feed(connection: FakeMarket, clock: HandClock) -> MarketFeed:
    settings = VenueSettings(id=VENUE, symbols=[BTC, ETH])
    return MarketFeed(settings, clock=clock, connect=connection.connect)


def status(events: Events, symbol: str) -> BookStatus:
    return events.of(MarketFeatures, lambda seen: symbol_of(seen.market) == symbol)[-1].status


async def test_a_stream_that_begins_with_the_whole_book_needs_no_snapshot_over_rest() -> None:
    clock, connection = HandClock(), a_venue(DepthSource.STREAM)
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.1)
        feed.on_depth(BTC, diff(9, 10))  # of before the book: of no use
        feed.on_book(BTC, snapshot(10))
        feed.on_depth(BTC, diff(10, 11, bids=[["99.995", "2.0"]]))
        await clock.advance(1.0)

    assert status(events, BTC) is BookStatus.OK
    assert events.of(MarketFeatures)[-1].bid == 99.995
    assert (connection.snapshots_taken, connection.renewed) == (0, [])
    assert events.of(StreamFault) == []


async def test_a_gap_renews_that_one_book_and_leaves_the_others_alone() -> None:
    clock, connection = HandClock(), a_venue(DepthSource.STREAM)
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.1)
        for symbol in (BTC, ETH):
            feed.on_book(symbol, snapshot(10))
        feed.on_depth(BTC, diff(11, 12))
        gapped = status(events, BTC)
        await clock.advance(0.5)
        renewed = list(connection.renewed)
        feed.on_book(BTC, snapshot(20))
        feed.on_depth(BTC, diff(20, 21))
        await clock.advance(1.0)

    assert gapped is BookStatus.GAPPED
    assert renewed == [BTC]
    assert (status(events, BTC), status(events, ETH)) == (BookStatus.OK, BookStatus.OK)
    assert {symbol_of(fault.subject) for fault in events.of(StreamFault)} == {BTC}  # type: ignore[arg-type]
    assert [fault.fault for fault in events.of(StreamFault)] == [
        StreamFaultKind.SEQUENCE_GAP,
        StreamFaultKind.RECONNECTED,
    ]


async def test_a_book_that_does_not_come_is_asked_for_again() -> None:
    clock, connection = HandClock(), a_venue(DepthSource.STREAM)
    feed = a_feed(connection, clock)
    async with running([feed]):
        await clock.advance(0.1)
        feed.on_book(ETH, snapshot(10))
        await clock.advance(4.0, step_s=0.5)
        early = list(connection.renewed)
        await clock.advance(14.0, step_s=0.5)
        late = list(connection.renewed)
        feed.on_book(BTC, snapshot(10))
        await clock.advance(20.0, step_s=0.5)

    assert early == []
    assert late
    assert set(connection.renewed) == {BTC}
    assert connection.renewed == late  # it has come


@pytest.mark.parametrize("source", [DepthSource.STREAM, DepthSource.WHOLE])
async def test_a_whole_book_that_cannot_be_read_loses_the_book_until_the_next(source: DepthSource) -> None:
    clock, connection = HandClock(), a_venue(source)
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.1)
        feed.on_book(BTC, snapshot(10))
        with pytest.raises(MalformedFrameError):
            feed.on_book(BTC, DepthSnapshot(last_id=11, bids=[["NaN", "1"]], asks=[["101", "1"]]))
        lost = status(events, BTC)
        feed.on_book(BTC, snapshot(12))
        await clock.advance(0.5)

    assert lost is BookStatus.GAPPED
    assert status(events, BTC) is BookStatus.OK


async def test_whole_books_replace_one_another_and_what_lies_behind_them_is_not_taken_for_seen() -> None:
    clock, connection = HandClock(), a_venue(DepthSource.WHOLE)
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(0.1)
        for number in range(700):
            feed.on_book(BTC, snapshot(number, mid=100.0 + 0.0001 * number, levels=5))
            await clock.advance(0.1, step_s=0.1)
        features = events.of(MarketFeatures, lambda seen: seen.bids is not None)[-1]

    assert features.bids is not None
    # Five levels of a basis point each, for more than a minute: churn teaches nothing of the sixth.
    assert 4.0 < features.bids.visible_bps < 7.0
    assert connection.renewed == []
    assert connection.snapshots_taken == 0


async def test_a_quiet_stream_of_whole_books_is_held_against_rest_by_its_prices() -> None:
    clock, connection = HandClock(), a_venue(DepthSource.WHOLE)
    feed = a_feed(connection, clock)
    async with running([feed]):
        await clock.advance(0.1)
        feed.on_book(BTC, snapshot(10))
        connection.snapshots = [snapshot(0)]  # numbered in another way, and the same book
        await clock.advance(40.0, step_s=0.5)
        quiet = list(connection.reopened)
        connection.snapshots = [snapshot(0, mid=101.0)]
        await clock.advance(40.0, step_s=0.5)

    assert quiet == []
    assert connection.reopened


async def test_open_interest_that_is_streamed_is_not_polled() -> None:
    clock, connection = HandClock(), a_venue(DepthSource.WHOLE)
    ways = {**CAPABILITIES.ways, Stream.OPEN_INTEREST: CAPABILITIES.way(Stream.BOOK)}
    connection.gives = replace(connection.gives, ways=ways)
    connection.interest = 5.0
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(40.0, step_s=0.5)
        polled = len(events.of(OpenInterestSeen))
        feed.on_open_interest(ETH, 3.0, None)

    assert polled == 0
    assert [seen.open_interest for seen in events.of(OpenInterestSeen)] == [3.0]
    assert Stream.OPEN_INTEREST in connection.watched
