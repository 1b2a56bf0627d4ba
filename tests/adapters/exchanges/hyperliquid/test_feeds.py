"""The feeds over the real ccxt.pro, reading Hyperliquid from a venue on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from adapters.clock import SystemClock
from adapters.exchanges import AccountCredentials, VenueSettings
from adapters.exchanges.ccxt_session import Markets
from adapters.exchanges.hyperliquid import CAPABILITIES, connect_market
from adapters.exchanges.hyperliquid.market import HyperliquidMarket
from adapters.simulation import LoopbackVenue
from adapters.simulation.bilingual import Bilingual
from adapters.simulation.hyperliquid import HyperliquidDialect, address_of
from adapters.simulation.streams import Connection
from guard.events import (
    AccountSnapshot,
    BookStatus,
    LiquidationSeen,
    MarginMode,
    MarketFeatures,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamFault,
    StreamFaultKind,
)
from guard.market.book import Book, Side
from guard.market.liquidity import depth_usd
from guard.units import MarketId
from tests.adapters.exchanges.hyperliquid.sinks import QuietSink
from tests.adapters.simulation.hyperliquid.clients import ALICE, CODE, SYMBOL, TRADED, trader
from tests.support.eventually import eventually
from tests.support.exchange_feeds import Events, feeds_for, running
from tests.support.hand_market import HandMarket

BTC = MarketId(f"hyperliquid:{SYMBOL}")


@pytest.fixture
def market() -> HandMarket:
    return HandMarket()


@pytest.fixture
async def venue(market: HandMarket) -> AsyncIterator[LoopbackVenue]:
    async with LoopbackVenue(market, accounts=[ALICE], dialect="hyperliquid") as started:
        yield started


def settings(venue: LoopbackVenue, address: str | None = None, **changes: Any) -> VenueSettings:
    values: dict[str, Any] = {
        "id": "hyperliquid",
        "symbols": [SYMBOL],
        "urls": venue.ccxt_urls(),
        "rate_limit": False,
        "sample_ms": 50,
        "account_poll_s": 0.5,
        "orders_poll_s": 60.0,
        "retry_s_max": 0.5,
        "accounts": {"main": AccountCredentials(wallet_address=address)} if address else {},
    }
    return VenueSettings(**{**values, **changes})


def is_whole(features: MarketFeatures) -> bool:
    return features.status is BookStatus.OK and features.bids is not None


async def test_a_book_is_the_venues_and_reaches_as_far_as_its_coarse_ones(venue: LoopbackVenue) -> None:
    feed, _ = feeds_for(settings(venue))
    async with running([feed]) as events:
        book = venue.market(CODE).book

        def is_the_venues(seen: MarketFeatures) -> bool:
            return is_whole(seen) and (seen.bid, seen.ask) == (
                book.bids.best_price(),
                book.asks.best_price(),
            )

        await events.until(MarketFeatures, is_the_venues)
        # 20 levels of this market are 100 bps; three figures of 60,000 are 16.7 bps each.
        deep = await events.until(
            MarketFeatures, lambda seen: is_whole(seen) and bool(seen.bids and seen.bids.visible_bps > 200.0)
        )

        assert deep.bids is not None
        near = [level for level in book.bids.top(1000) if float(level[0]) >= 59_400.0]
        seen = depth_usd(deep.bids, 100.0)
        # A step is counted at its far end: at most one of 17 bps is missing, and the noise of a moment differs.
        assert seen.value == pytest.approx(sum(float(at) * float(size) for at, size in near), rel=0.2)
        assert not seen.extrapolated


async def test_every_level_is_the_venues(market: HandMarket) -> None:
    """On a market that stands still: the best 20 levels one by one, and behind them the sums of the coarse books."""
    books: dict[Side, dict[float, float]] = {}

    def keep(name: MarketId, number: int, book: Book) -> None:
        del name, number
        books.update(
            {side: dict(zip(*map(np.ndarray.tolist, book.side(side)), strict=True)) for side in Side}
        )

    async with LoopbackVenue(market, dialect="hyperliquid", hold=True) as venue:
        feed, _ = feeds_for(settings(venue), keep)
        own = venue.market(CODE).book
        async with running([feed]):
            await eventually(lambda: len(books.get(Side.BID, {})) > 25, what="a book with coarse levels")

    for side, levels, sign in ((Side.BID, own.bids, 1.0), (Side.ASK, own.asks, -1.0)):
        resting = [(float(price), float(size)) for price, size in levels.top(1000)]
        seen = list(books[side].items())
        assert seen[:20] == resting[:20]
        end = seen[-1][0]
        assert sum(size for _, size in seen) == pytest.approx(
            sum(size for price, size in resting if sign * price >= sign * end)
        )


async def test_price_oracle_funding_and_open_interest_come_without_asking(venue: LoopbackVenue) -> None:
    feed, _ = feeds_for(settings(venue))
    async with running([feed]) as events:
        mark = await events.until(MarkPriceSeen)
        interest = await events.until(OpenInterestSeen, lambda seen: seen.open_interest_usd is not None)

    assert (mark.market, mark.mark_price, mark.index_price) == (BTC, 60_000.0, 60_000.0)
    assert mark.funding_rate == pytest.approx(0.0001 / 8)
    assert mark.next_funding_at is not None
    assert 0 < mark.next_funding_at - mark.received_at <= 3_600_000_000_000
    assert (interest.open_interest, interest.open_interest_usd) == (80_000.0, 80_000.0 * 60_000.0)


async def test_trades_from_before_the_subscription_are_no_flow(venue: LoopbackVenue) -> None:
    await eventually(lambda: len(venue.market(CODE).trades) >= 3, what="trades before anyone listens")
    feed, _ = feeds_for(settings(venue))
    async with running([feed]) as events:
        await eventually(lambda: sum(seen.buy_usd + seen.sell_usd for seen in events.of(MarketFeatures)) > 0)
        first = next(seen for seen in events.of(MarketFeatures) if seen.buy_usd or seen.sell_usd)

    assert first.buy_usd + first.sell_usd == pytest.approx(600.0), "one trade of 0.01 BTC at a time"


async def test_no_liquidation_is_expected_or_made_up(venue: LoopbackVenue, market: HandMarket) -> None:
    feed, _ = feeds_for(settings(venue))
    async with running([feed]) as events, trader(venue) as bot:
        await events.until(MarketFeatures, is_whole)
        await bot.set_leverage(100, TRADED)
        await bot.create_order(TRADED, "market", "buy", 3.0)
        market.fall(700.0)
        await eventually(lambda: bool(venue.account_state("alice").liquidations))
        await events.until(MarkPriceSeen, lambda seen: seen.mark_price < 59_000.0)

        assert events.of(LiquidationSeen) == []
        assert events.of(StreamFault, lambda fault: fault.stream is Stream.LIQUIDATIONS) == []


@pytest.mark.parametrize("how", ["cut", "silence", "corruption"])
async def test_what_was_lost_comes_back(venue: LoopbackVenue, how: str) -> None:
    feed, _ = feeds_for(settings(venue, silence_s_max=1.2))
    async with running([feed]) as events:
        await events.until(MarketFeatures, is_whole)
        events.forget()
        match how:
            case "cut":
                venue.drop_connections()
            case "silence":
                venue.go_silent()
            case "corruption":
                venue.corrupt_next_frame(CODE)
        kind = StreamFaultKind.MALFORMED if how == "corruption" else StreamFaultKind.DISCONNECTED
        lost = await events.until(
            StreamFault, lambda fault: fault.stream is Stream.BOOK and fault.fault is kind
        )
        venue.go_silent(False)

        await events.until(
            MarketFeatures, lambda seen: is_whole(seen) and seen.received_at > lost.received_at
        )
        await events.until(MarkPriceSeen, lambda seen: seen.received_at > lost.received_at)


@pytest.mark.parametrize("kind", ["l2Book", "activeAssetCtx"])
async def test_a_subscription_that_the_venue_forgot_is_asked_for_again(
    venue: LoopbackVenue, kind: str
) -> None:
    """The socket lives and the others go on: nothing but this one tells."""
    feed, _ = feeds_for(settings(venue, silence_s_max=1.0))
    async with running([feed]) as events:
        await events.until(MarketFeatures, is_whole)
        await events.until(MarkPriceSeen)
        before = told(venue)
        forget(venue, kind)
        assert told(venue) == before - 1
        await eventually(lambda: told(venue) == before, what="what was forgotten to be asked for again")
        assert events.faults(StreamFaultKind.DISCONNECTED) == []


def told(venue: LoopbackVenue) -> int:
    """How much the venue tells of at full precision."""
    dialect = spoken(venue)
    return sum("nSigFigs" not in each for c in venue.connections for each in dialect.subscriptions(c))


def forget(venue: LoopbackVenue, kind: str) -> None:
    dialect = spoken(venue)
    for connection in venue.connections:
        subscribed = dialect._subscribed[connection]
        for name, each in list(subscribed.items()):
            if each["type"] == kind and "nSigFigs" not in each:
                del subscribed[name]


async def test_books_and_trades_that_come_late_or_twice_change_nothing(venue: LoopbackVenue) -> None:
    connection = HyperliquidMarket(settings(venue), sink := QuietSink(), SystemClock(), Markets())

    def book(at_ms: int) -> dict[str, Any]:
        levels = [[{"px": "99", "sz": "1", "n": 1}], [{"px": "101", "sz": "1", "n": 1}]]
        return {"channel": "l2Book", "data": {"coin": "BTC", "time": at_ms, "levels": levels}}

    def trade(number: int) -> dict[str, Any]:
        row = {"coin": "BTC", "side": "A", "px": "100", "sz": "1", "time": 1, "hash": "0x", "tid": number}
        return {"channel": "trades", "data": [row]}

    try:
        await connection.load([SYMBOL])
        for at_ms in (100_000, 100_500, 100_000, 101_000, 1_000):
            connection.take("ws://x", book(at_ms))
        for number in (7, 7, 8):
            connection.take("ws://x", trade(number))
    finally:
        await connection.close()

    # The last one is of a venue whose clock was set back by more than a minute.
    assert sink.books == [100_000, 100_500, 101_000, 1_000]
    assert sink.trades == 2


async def test_a_coarse_socket_may_be_lost_without_losing_the_book(venue: LoopbackVenue) -> None:
    feed, _ = feeds_for(settings(venue))

    def reaches(bps: float) -> Any:
        return lambda seen: is_whole(seen) and bool(seen.bids and seen.bids.visible_bps > bps)

    async with running([feed]) as events:
        await events.until(MarketFeatures, reaches(200.0))
        assert len(venue.connections) == 3
        events.forget()
        for connection in coarse_sockets(venue):
            connection.abort()

        await events.until(MarketFeatures, lambda seen: is_whole(seen) and not reaches(150.0)(seen))
        events.forget()
        await events.until(MarketFeatures, reaches(200.0))
        assert events.faults(StreamFaultKind.DISCONNECTED) == []


def coarse_sockets(venue: LoopbackVenue) -> list[Connection]:
    """The sockets that carry nothing but coarse books."""
    dialect = spoken(venue)
    return [
        connection
        for connection in venue.connections
        if all("nSigFigs" in each for each in dialect.subscriptions(connection))
    ]


def spoken(venue: LoopbackVenue) -> HyperliquidDialect:
    bilingual = venue._dialect
    assert isinstance(bilingual, Bilingual)
    assert isinstance(bilingual.spoken, HyperliquidDialect)
    return bilingual.spoken


# Accounts


async def account_like(events: Events, size: float, **more: Any) -> AccountSnapshot:
    def matches(seen: AccountSnapshot) -> bool:
        sizes = [position.size for position in seen.positions]
        return sizes == ([size] if size else []) and all(
            getattr(seen, name) == value for name, value in more.items()
        )

    return await events.until(AccountSnapshot, matches)


async def test_an_account_is_read_by_its_address_alone(venue: LoopbackVenue) -> None:
    _, (feed,) = feeds_for(settings(venue, address_of(ALICE)))
    async with running([feed]) as events, trader(venue) as bot:
        await account_like(events, 0.0)
        await bot.create_order(TRADED, "market", "buy", 1.0)
        await account_like(events, 1.0)
        seen = await events.until(
            AccountSnapshot,
            lambda seen: bool(seen.positions and seen.maintenance_usd),
        )
        own = venue.account_state("alice")

        position = seen.positions[0]
        assert (position.market, position.leverage, position.margin_mode) == (BTC, 20.0, MarginMode.CROSS)
        assert position.entry_price == pytest.approx(float(own.positions[0].entry_price))
        assert position.liquidation_price == pytest.approx(
            float(own.positions[0].liquidation_price), rel=1e-6
        )
        assert seen.equity_usd == pytest.approx(float(own.equity_usdt), abs=0.01)
        assert seen.wallet_usd == pytest.approx(float(own.wallet_usdt), abs=0.01)
        assert seen.maintenance_usd == pytest.approx(240.0, rel=0.01)


async def test_a_fill_is_told_by_the_stream_before_anybody_asks(venue: LoopbackVenue) -> None:
    slow = settings(venue, address_of(ALICE), account_poll_s=60.0)
    _, (feed,) = feeds_for(slow)
    async with running([feed]) as events, trader(venue) as bot:
        await account_like(events, 0.0)
        await bot.load_markets()
        await bot.create_order(TRADED, "market", "sell", 0.5)

        await account_like(events, -0.5)
        await bot.create_order(TRADED, "market", "buy", 0.5)
        events.forget()
        await account_like(events, 0.0)


async def test_orders_and_triggers_are_asked_for_when_the_stream_tells_of_any(venue: LoopbackVenue) -> None:
    _, (feed,) = feeds_for(settings(venue, address_of(ALICE)))
    async with running([feed]) as events, trader(venue) as bot:
        await events.until(AccountSnapshot, lambda seen: seen.orders == ())
        await bot.create_order(TRADED, "market", "buy", 0.1)
        stop = {"stopLossPrice": 58_000, "reduceOnly": True}
        order = await bot.create_order(TRADED, "market", "sell", 0.1, None, stop)

        def is_shown(seen: AccountSnapshot) -> bool:
            return bool(seen.orders)

        found = await events.until(AccountSnapshot, is_shown)
        assert found.orders is not None
        shown = found.orders[0]
        assert (shown.market, shown.size, shown.stop_price, shown.price) == (BTC, -0.1, 58_000.0, None)
        assert shown.reduce_only
        # That REST knew of it first is no loss: the account is never unknown.
        await events.until(AccountSnapshot, lambda seen: seen.received_at > found.received_at + 1_500_000_000)
        assert events.of(StreamFault) == []
        await bot.cancel_order(order["id"], TRADED, {"trigger": True})
        events.forget()
        await events.until(AccountSnapshot, lambda seen: seen.orders == ())


async def test_an_account_that_was_cut_off_is_read_again(venue: LoopbackVenue) -> None:
    _, (feed,) = feeds_for(settings(venue, address_of(ALICE)))
    async with running([feed]) as events:
        await account_like(events, 0.0)
        await eventually(lambda: bool(venue.connections))
        events.forget()
        venue.drop_connections()

        await events.until(StreamFault, lambda fault: fault.fault is StreamFaultKind.DISCONNECTED)
        await events.until(StreamFault, lambda fault: fault.fault is StreamFaultKind.RECONNECTED)


async def test_the_busiest_markets_are_known_by_their_turnover(market: HandMarket) -> None:
    market.symbols = ("BTCUSDT", "ETHUSDT")
    async with LoopbackVenue(market, dialect="hyperliquid") as venue:
        await eventually(lambda: bool(venue.market("ETHUSDT").candles))
        connection = await connect_market(settings(venue), QuietSink(), SystemClock(), Markets())
        try:
            listed = await connection.list_perpetuals()
        finally:
            await connection.close()

    assert [(each.symbol, each.quote, each.settle, each.active) for each in listed] == [
        ("BTC/USDC:USDC", "USDC", "USDC", True),
        ("ETH/USDC:USDC", "USDC", "USDC", True),
    ]
    assert all((each.volume_usd or 0.0) > 0.0 for each in listed)


def test_what_the_venue_cannot_give_is_said() -> None:
    notes = " ".join(CAPABILITIES.notes)

    assert Stream.LIQUIDATIONS in CAPABILITIES.ways
    assert "liquidations of others are not told" in notes
    assert "HIP-3" in notes


async def test_requests_are_counted_as_the_venue_counts_them(venue: LoopbackVenue) -> None:
    connection = HyperliquidMarket(settings(venue), QuietSink(), SystemClock(), Markets())
    client = connection._client
    config = client.api["public"]["post"]["info"]

    def cost(kind: str) -> float:
        return float(client.calculate_rate_limiter_cost(["public"], "POST", "info", {"type": kind}, config))

    try:
        kinds = ("l2Book", "clearinghouseState", "frontendOpenOrders", "metaAndAssetCtxs", "userRole")
        assert [cost(kind) for kind in kinds] == [2, 2, 20, 20, 60]
        assert client.rateLimit == 100  # milliseconds a unit: 600 of the venue's 1,200 a minute
    finally:
        await connection.close()


async def test_a_refused_subscription_costs_the_other_markets_nothing(venue: LoopbackVenue) -> None:
    sink = QuietSink()
    connection = HyperliquidMarket(settings(venue), sink, SystemClock(), Markets())
    try:
        await connection.load([SYMBOL])
        refusal = 'Invalid subscription: {"type":"l2Book","coin":"BTC"}'

        assert connection.take("ws://x", {"channel": "error", "data": refusal})
        assert sink.malformed == [(SYMBOL, Stream.BOOK)]
        # ccxt knows what to make of these: nothing, and giving up all that waits.
        for other in ("Already subscribed: " + refusal, "Error parsing JSON"):
            assert not connection.take("ws://x", {"channel": "error", "data": other})
    finally:
        await connection.close()
