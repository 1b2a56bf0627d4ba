"""The market feed over the real ccxt.pro, reading Bybit from a venue on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from adapters.exchanges.bybit import connect_market
from adapters.exchanges.ccxt_session import Markets
from adapters.simulation import Fault, FaultKind, LoopbackVenue, generated_source
from guard.errors import VenueError
from guard.events import (
    BookStatus,
    LiquidationSeen,
    MarketFeatures,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamActivity,
    StreamFault,
    StreamFaultKind,
)
from guard.market.book import Book, Side
from guard.units import MarketId
from tests.adapters.exchanges.bybit.payloads import fixture
from tests.adapters.exchanges.bybit.stage import BTC, ETH, is_ok, settings, until_fault, until_ok
from tests.adapters.exchanges.hyperliquid.sinks import QuietSink
from tests.adapters.simulation.bybit.clients import CODE, OTHER, OTHER_CODE, SYMBOL
from tests.support.eventually import eventually
from tests.support.exchange_feeds import feeds_for, running
from tests.support.hand_clock import HandClock
from tests.support.hand_market import HandMarket


def levels_of(book: Book) -> list[list[tuple[float, float]]]:
    return [
        [(float(price), float(size)) for price, size in zip(*book.side(side), strict=True)]
        for side in (Side.BID, Side.ASK)
    ]


async def test_books_are_the_venues_level_for_level_after_thousands_of_diffs() -> None:
    source = generated_source("fall", seed=3, symbols=(CODE, OTHER_CODE), duration_s=110.0)
    books: dict[str, tuple[int, Book]] = {}

    def observe(name: MarketId, number: int, book: Book) -> None:
        books[name] = (number, book)

    async with LoopbackVenue(source, dialect="bybit", speed=0, hold=True) as venue:
        feed, _ = feeds_for(settings(venue, SYMBOL, OTHER), observer=observe)
        async with running([feed]) as events:
            for name in (BTC, ETH):
                await until_ok(events, name)
            venue.begin()
            await venue.finished()
            for name, code in ((BTC, CODE), (ETH, OTHER_CODE)):
                own = venue.market(code).book
                expected = [
                    [(float(price), float(size)) for price, size in side.top(1000)]
                    for side in (own.bids, own.asks)
                ]
                await eventually(
                    lambda name=name, expected=expected: levels_of(books[name][1]) == expected,  # type: ignore[misc]
                    within_s=10.0,
                )
                assert feed.counters[name].applied > 1_050
                assert feed.counters[name].gaps == 0
        assert events.of(StreamFault) == []


async def test_everything_that_a_market_says_becomes_an_event(venue: LoopbackVenue) -> None:
    feed, _ = feeds_for(settings(venue, open_interest_poll_s=3_600.0))
    async with running([feed]) as events:
        await events.until(MarketFeatures, lambda seen: is_ok(seen) and seen.buy_usd + seen.sell_usd > 0)
        mark = await events.until(MarkPriceSeen)
        interest = await events.until(OpenInterestSeen, lambda seen: seen.open_interest_usd is not None)
        for stream in (Stream.BOOK, Stream.TRADES, Stream.MARK_PRICE, Stream.OPEN_INTEREST):
            await events.until(StreamActivity, lambda seen, stream=stream: seen.stream is stream)  # type: ignore[misc]

    assert (mark.market, mark.mark_price, mark.index_price) == (BTC, 60_000.0, 60_000.0)
    assert mark.funding_rate == 0.0001
    assert mark.next_funding_at is not None
    assert interest.open_interest == 80_000.0
    assert events.of(StreamFault) == []


async def test_a_lost_update_begins_the_book_of_that_market_alone_again(venue: LoopbackVenue) -> None:
    whole: list[MarketId] = []
    feed, _ = feeds_for(settings(venue, SYMBOL, OTHER))
    async with running([feed]) as events:
        for name in (BTC, ETH):
            await until_ok(events, name)
        (books,) = [c for c in venue.connections if f"orderbook.1000.{CODE}" in c.names]
        events.forget()
        venue.skip_update(CODE)
        gap = await until_fault(events, StreamFaultKind.SEQUENCE_GAP)
        gapped = await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.GAPPED)
        await until_fault(events, StreamFaultKind.RECONNECTED)
        await until_ok(events, BTC)
        whole = [fault.subject for fault in events.of(StreamFault)]  # type: ignore[misc]

        # No other socket was opened for them; those of trades and prices may still be opening meanwhile.
        assert [c for c in venue.connections if any(n.startswith("orderbook.") for n in c.names)] == [books]
        # The one topic was left and taken again, so it is the last now; the other was not touched.
        assert list(books.names) == [f"orderbook.1000.{OTHER_CODE}", f"orderbook.1000.{CODE}"]

    assert "update" in gap.detail
    assert (gapped.market, gapped.bid, gapped.bids) == (BTC, None, None)
    assert (feed.counters[BTC].gaps, feed.counters[ETH].gaps) == (1, 0)
    assert set(whole) == {BTC}
    assert all(is_ok(seen) for seen in events.of(MarketFeatures, lambda seen: seen.market == ETH))


async def test_a_frame_that_cannot_be_read_stops_nothing(venue: LoopbackVenue) -> None:
    feed, _ = feeds_for(settings(venue))
    async with running([feed]) as events:
        await until_ok(events, BTC)
        venue.corrupt_next_frame(CODE)
        malformed = await until_fault(events, StreamFaultKind.MALFORMED)
        await until_fault(events, StreamFaultKind.SEQUENCE_GAP)
        await until_fault(events, StreamFaultKind.RECONNECTED)

    assert "frame begins" in malformed.detail
    assert events.faults(StreamFaultKind.DISCONNECTED) == []


async def test_cut_connections_are_told_and_everything_is_subscribed_again(venue: LoopbackVenue) -> None:
    streams = (
        Stream.BOOK,
        Stream.TRADES,
        Stream.MARK_PRICE,
        Stream.LIQUIDATIONS,
        Stream.OPEN_INTEREST,
    )
    feed, _ = feeds_for(settings(venue))
    async with running([feed]) as events:
        await until_ok(events, BTC)
        await events.until(OpenInterestSeen)
        venue.drop_connections()
        for stream in streams:
            await until_fault(events, StreamFaultKind.DISCONNECTED, stream)
            await until_fault(events, StreamFaultKind.RECONNECTED, stream)
        events.forget()
        await until_ok(events, BTC)
        await events.until(MarkPriceSeen)


async def test_a_silent_socket_is_opened_again_and_a_quiet_market_is_not(venue: LoopbackVenue) -> None:
    # A second of slack for the pongs of a busy machine: a ping goes out every half of it.
    feed, _ = feeds_for(settings(venue, silence_s_max=2.0))
    async with running([feed]) as events:
        await until_ok(events, BTC)
        await events.until(MarkPriceSeen)
        venue.go_silent(pongs=True)
        # Pongs come: only tickers owe data whatever happens.
        lost = await until_fault(events, StreamFaultKind.DISCONNECTED, Stream.MARK_PRICE)
        venue.go_silent(silent=False)
        await until_fault(events, StreamFaultKind.RECONNECTED, Stream.MARK_PRICE)

    assert "nothing came for" in lost.detail
    assert not [
        fault for fault in events.faults(StreamFaultKind.DISCONNECTED) if fault.stream is Stream.LIQUIDATIONS
    ]


@pytest.mark.parametrize(("side", "fall_bps", "sign"), [("buy", 600.0, 1.0), ("sell", -600.0, -1.0)])
async def test_a_liquidation_has_the_sign_of_the_position(
    venue: LoopbackVenue, market: HandMarket, trader: Any, side: str, fall_bps: float, sign: float
) -> None:
    await trader.set_leverage(50, SYMBOL)
    await trader.create_order(SYMBOL, "market", side, 3.0)
    feed, _ = feeds_for(settings(venue))
    async with running([feed]) as events:
        await events.until(StreamActivity, lambda seen: seen.stream is Stream.MARK_PRICE)
        market.fall(fall_bps)
        seen = await events.until(LiquidationSeen)

    (own,) = venue.account_state("main").liquidations
    assert seen.size == sign * float(own.size)
    assert seen.notional_usd == pytest.approx(abs(seen.size) * seen.price)
    assert seen.price == pytest.approx(60_000.0 * (1.0 - sign * 0.055), rel=0.01)  # the bankruptcy price


async def test_an_unknown_symbol_is_refused_and_the_others_go_on(venue: LoopbackVenue) -> None:
    feed, _ = feeds_for(settings(venue, SYMBOL, "BTC/USD:BTC"))
    async with running([feed]) as events:
        refused = await until_fault(events, StreamFaultKind.REFUSED, subject="bybit:BTC/USD:BTC")
        await until_ok(events, BTC)

    assert "did you mean BTC/USDT:USDT" in refused.detail


class Hearing(QuietSink):
    """Keeps what was subscribed to."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribed: list[tuple[Stream, tuple[str, ...]]] = []

    def on_subscribed(self, stream: Stream, symbols: Sequence[str]) -> None:
        self.subscribed.append((stream, tuple(symbols)))


async def test_a_market_that_is_gone_takes_no_other_with_it_and_is_asked_for_again(
    venue: LoopbackVenue,
) -> None:
    """The venue refuses a request whole if it cannot give one topic of it."""
    sink, clock = Hearing(), HandClock()
    connection = await connect_market(settings(venue), sink, clock, Markets())
    try:
        await connection.load([SYMBOL, OTHER])
        venue.misbehave(Fault(kind=FaultKind.DELIST, symbols=(OTHER_CODE,)))
        with pytest.raises(VenueError, match=f"orderbook.1000.{OTHER_CODE}"):
            await connection.watch(Stream.BOOK, [SYMBOL, OTHER])
        watching = asyncio.create_task(connection.watch(Stream.BOOK, [SYMBOL, OTHER]))
        await eventually(lambda: sink.subscribed == [(Stream.BOOK, (SYMBOL,))])

        await clock.advance(61.0)  # asked again, and refused again: nothing happens to the other
        venue.behave()
        await clock.advance(61.0)
        await eventually(lambda: sink.subscribed[1:] == [(Stream.BOOK, (OTHER,))])
        assert not watching.done()
        (socket,) = venue.connections
        assert list(socket.names) == [f"orderbook.1000.{CODE}", f"orderbook.1000.{OTHER_CODE}"]
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    finally:
        await connection.close()


async def test_trades_and_liquidations_that_come_twice_count_once(venue: LoopbackVenue) -> None:
    class Counting(QuietSink):
        trades, liquidations = 0, 0

        def on_trade(self, symbol: str, trade: Any) -> None:
            self.trades += trade.exchange_at < 1_700_000_000 * 10**9  # those of the documents are of 2022

        def on_liquidation(self, symbol: str, liquidation: Any) -> None:
            self.liquidations += 1

    sink = Counting()
    connection = await connect_market(settings(venue), sink, HandClock(), Markets())
    try:
        await connection.load([SYMBOL])
        watching = [
            asyncio.create_task(connection.watch(stream, [SYMBOL]))
            for stream in (Stream.TRADES, Stream.LIQUIDATIONS)
        ]
        await eventually(lambda: any(f"allLiquidation.{CODE}" in each.names for each in venue.connections))
        trades, liquidations = fixture("public_trade"), fixture("all_liquidation")
        trades["topic"], liquidations["topic"] = f"publicTrade.{CODE}", f"allLiquidation.{CODE}"
        liquidations["data"].append(liquidations["data"][0])  # another one just like it
        for _ in range(2):
            for topic, frame in ((trades["topic"], trades), (liquidations["topic"], liquidations)):
                (socket,) = (each for each in venue.connections if topic in each.names)
                socket.push(json.dumps(frame).encode())
        await eventually(lambda: sink.liquidations == 3)
        await eventually(lambda: sink.trades == 2)
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    finally:
        await connection.close()

    assert (sink.trades, sink.liquidations) == (2, 3)
    assert sink.malformed == []
