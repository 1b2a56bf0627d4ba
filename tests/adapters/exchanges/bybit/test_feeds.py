"""The feeds over the real ccxt.pro, reading Bybit from a venue on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from adapters.exchanges import AccountCredentials, VenueSettings
from adapters.exchanges.bybit import connect_market
from adapters.exchanges.ccxt_session import Markets
from adapters.simulation import Fault, FaultKind, LoopbackVenue, generated_source
from guard.errors import VenueError
from guard.events import (
    AccountSnapshot,
    BookStatus,
    LiquidationSeen,
    MarginMode,
    MarketFeatures,
    MarkPriceSeen,
    OpenInterestSeen,
    Position,
    Stream,
    StreamActivity,
    StreamFault,
    StreamFaultKind,
)
from guard.market.book import Book, Side
from guard.units import AccountId, MarketId
from tests.adapters.exchanges.bybit.payloads import fixture
from tests.adapters.exchanges.hyperliquid.sinks import QuietSink
from tests.adapters.simulation.bybit.clients import CODE, OTHER, OTHER_CODE, SYMBOL, client
from tests.adapters.simulation.clients import client as binance_client
from tests.support.eventually import eventually
from tests.support.exchange_feeds import ACCOUNT, Events, feeds_for, running, settings_for
from tests.support.hand_clock import HandClock
from tests.support.hand_market import HandMarket

BTC, ETH = MarketId(f"bybit:{SYMBOL}"), MarketId(f"bybit:{OTHER}")
MAIN = AccountId("bybit:main")


@pytest.fixture
def market() -> HandMarket:
    return HandMarket(symbols=(CODE, OTHER_CODE))


@pytest.fixture
async def venue(market: HandMarket) -> AsyncIterator[LoopbackVenue]:
    async with LoopbackVenue(market, accounts=[ACCOUNT], dialect="bybit") as started:
        yield started


@pytest.fixture
async def trader(venue: LoopbackVenue) -> AsyncIterator[Any]:
    """The trader's own client, which places orders in Bybit's words; the guard's only reads."""
    async with client(venue, ACCOUNT) as exchange:
        await exchange.load_markets()
        yield exchange


def settings(venue: LoopbackVenue, *symbols: str, account: bool = False, **changes: Any) -> VenueSettings:
    changes = {"id": "bybit", **changes}
    if account:
        changes["accounts"] = {
            "main": AccountCredentials(
                api_key_env=ACCOUNT.api_key, api_secret_env=ACCOUNT.api_secret, trade_keys_allowed=True
            )
        }
    return settings_for(venue.ccxt_urls(), *symbols, **changes)


def is_ok(features: MarketFeatures) -> bool:
    return features.status is BookStatus.OK


async def until_ok(events: Events, market: MarketId) -> None:
    await events.until(MarketFeatures, lambda seen: seen.market == market and is_ok(seen))


async def until_fault(
    events: Events, kind: StreamFaultKind, stream: Stream = Stream.BOOK, subject: str = BTC
) -> StreamFault:
    return await events.until(
        StreamFault, lambda fault: (fault.fault, fault.stream, fault.subject) == (kind, stream, subject)
    )


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
        sockets = len(venue.connections)
        (books,) = [c for c in venue.connections if f"orderbook.1000.{CODE}" in c.names]
        events.forget()
        venue.skip_update(CODE)
        gap = await until_fault(events, StreamFaultKind.SEQUENCE_GAP)
        gapped = await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.GAPPED)
        await until_fault(events, StreamFaultKind.RECONNECTED)
        await until_ok(events, BTC)
        whole = [fault.subject for fault in events.of(StreamFault)]  # type: ignore[misc]

        assert books in venue.connections
        assert len(venue.connections) == sockets
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
    feed, _ = feeds_for(settings(venue, silence_s_max=1.0))
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


# -- the account ----------------------------------------------------------------------------------


def is_flat(snapshot: AccountSnapshot) -> bool:
    return not snapshot.positions


def the_position(snapshot: AccountSnapshot) -> Position:
    (position,) = snapshot.positions
    return position


def is_whole(snapshot: AccountSnapshot) -> bool:
    """Whether the stream, REST and the tiers have told what they know."""
    return (
        bool(snapshot.positions)
        and snapshot.maintenance_usd != 0.0
        and None not in (the_position(snapshot).liquidation_price, the_position(snapshot).maintenance_ratio)
    )


async def test_a_position_is_told_with_all_that_liquidation_needs(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await trader.set_leverage(10, SYMBOL)
        await trader.create_order(SYMBOL, "market", "sell", 0.5)
        await events.until(AccountSnapshot, is_whole)
        snapshot, state = events.of(AccountSnapshot)[-1], venue.account_state("main")

    position, own = the_position(snapshot), state.positions[0]
    assert (position.market, position.size, position.leverage) == (BTC, -0.5, 10.0)
    assert (position.margin_mode, position.margin_usd) == (MarginMode.CROSS, None)
    assert position.liquidation_price == pytest.approx(float(own.liquidation_price), rel=1e-9)
    assert position.entry_price == pytest.approx(float(own.entry_price), rel=1e-9)
    assert position.maintenance_ratio == 0.004
    assert snapshot.equity_usd == pytest.approx(float(state.equity_usdt), rel=1e-6)
    assert snapshot.wallet_usd == pytest.approx(float(state.wallet_usdt), rel=1e-9)
    assert snapshot.maintenance_usd == pytest.approx(0.5 * 60_000 * 0.004, rel=1e-3)
    assert events.faults(StreamFaultKind.RECONCILED) == []


async def test_the_margin_of_an_isolated_position_is_told(venue: LoopbackVenue, trader: Any) -> None:
    await trader.set_margin_mode("isolated")
    await trader.create_order(SYMBOL, "market", "buy", 0.1)
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        snapshot = await events.until(AccountSnapshot, is_whole)

    position = the_position(snapshot)
    assert position.margin_mode is MarginMode.ISOLATED
    assert position.margin_usd == pytest.approx(0.1 * 60_000 / 20, rel=1e-3)
    assert snapshot.maintenance_usd is None
    assert position.liquidation_price == pytest.approx(
        float(venue.account_state("main").positions[0].liquidation_price)
    )


async def test_a_fill_is_told_by_the_stream_before_rest_is_asked(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings(venue, account=True, account_poll_s=60.0))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await eventually(
            lambda: any("position" in connection.names for connection in venue.connections), within_s=10.0
        )
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        first = await events.until(AccountSnapshot, lambda seen: not is_flat(seen))

    assert the_position(first).size == 0.1
    assert first.exchange_at is not None  # by the stream
    assert the_position(first).leverage == 20.0


async def test_stops_and_orders_come_and_go(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings(venue, account=True, orders_poll_s=60.0))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        stop = await trader.create_order(
            SYMBOL,
            "market",
            "sell",
            0.1,
            None,
            {"triggerPrice": 50_000.0, "triggerDirection": "descending", "reduceOnly": True},
        )
        await trader.create_order(SYMBOL, "limit", "buy", 0.02, 40_000.0)
        both = await events.until(AccountSnapshot, lambda seen: len(seen.orders or ()) == 2)
        await trader.cancel_order(stop["id"], SYMBOL)
        one = await events.until(
            AccountSnapshot, lambda seen: len(seen.orders or ()) == 1 and seen.received_at > both.received_at
        )

    assert both.orders is not None
    orders = {order.stop_price: order for order in both.orders}
    assert (orders[50_000.0].size, orders[50_000.0].reduce_only) == (-0.1, True)
    assert (orders[None].price, orders[None].size) == (40_000.0, 0.02)
    assert one.orders is not None
    assert one.orders[0].price == 40_000.0
    assert events.faults(StreamFaultKind.RECONCILED) == []


async def test_a_stop_that_closes_the_whole_position_is_as_large_as_it(venue: LoopbackVenue) -> None:
    """The trader trades in Binance's words, as bots do on every loopback venue; the guard reads Bybit's."""
    async with binance_client(venue, ACCOUNT, urls=venue.trading_urls()) as exchange:
        await exchange.create_order(SYMBOL, "market", "buy", 0.1)
        await exchange.create_order(
            SYMBOL, "market", "sell", None, None, {"stopPrice": 50_000.0, "closePosition": True}
        )
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        seen = await events.until(AccountSnapshot, lambda seen: bool(seen.orders) and not is_flat(seen))

    assert seen.orders is not None
    (order,) = seen.orders
    assert (order.stop_price, order.reduce_only, order.size) == (50_000.0, True, -0.1)


async def test_what_the_stream_lost_is_taken_from_rest_and_told(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await eventually(
            lambda: any("position" in connection.names for connection in venue.connections), within_s=10.0
        )
        venue.go_silent()
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        reconciled = await until_fault(events, StreamFaultKind.RECONCILED, Stream.ACCOUNT, MAIN)
        venue.go_silent(silent=False)
        await until_fault(events, StreamFaultKind.RECONNECTED, Stream.ACCOUNT, MAIN)

    assert "position BTC/USDT:USDT: stream 0, REST 0.1" in reconciled.detail


async def test_a_refused_key_is_told_without_itself_and_tried_again(venue: LoopbackVenue) -> None:
    venue.refuse_keys()
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        refused = await until_fault(events, StreamFaultKind.REFUSED, Stream.ACCOUNT, MAIN)
        venue.refuse_keys(refuse=False)
        await until_fault(events, StreamFaultKind.RECONNECTED, Stream.ACCOUNT, MAIN)
        await events.until(AccountSnapshot)

    assert "make a new read-only key" in refused.detail
    assert ACCOUNT.api_secret not in refused.detail
    assert ACCOUNT.api_key not in refused.detail


async def test_a_clock_that_was_moved_is_measured_again(venue: LoopbackVenue) -> None:
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        await events.until(AccountSnapshot)
        venue.misbehave(Fault(kind=FaultKind.CLOCK_SKEW, offset_s=30.0))
        lost = await until_fault(events, StreamFaultKind.DISCONNECTED, Stream.ACCOUNT, MAIN)
        await until_fault(events, StreamFaultKind.RECONNECTED, Stream.ACCOUNT, MAIN)

    assert "10002" in lost.detail


async def test_a_login_goes_by_the_venues_clock(venue: LoopbackVenue) -> None:
    venue.misbehave(Fault(kind=FaultKind.CLOCK_SKEW, offset_s=60.0))
    _, [feed] = feeds_for(settings(venue, account=True))
    async with running([feed]) as events:
        await events.until(AccountSnapshot)
        await eventually(lambda: any("position" in each.names for each in venue.connections), within_s=10.0)

    assert events.of(StreamFault) == []


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


async def test_cut_connections_lose_nothing(venue: LoopbackVenue, trader: Any) -> None:
    _, [feed] = feeds_for(settings(venue, account=True, account_poll_s=60.0))
    async with running([feed]) as events:
        await events.until(AccountSnapshot, is_flat)
        await eventually(lambda: any(c.account for c in venue.connections), within_s=10.0)
        venue.drop_connections()
        await trader.create_order(SYMBOL, "market", "buy", 0.1)
        await until_fault(events, StreamFaultKind.DISCONNECTED, Stream.ACCOUNT, MAIN)
        seen = await events.until(AccountSnapshot, lambda seen: not is_flat(seen))
        await until_fault(events, StreamFaultKind.RECONNECTED, Stream.ACCOUNT, MAIN)

    assert the_position(seen).size == 0.1
