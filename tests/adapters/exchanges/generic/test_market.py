"""Any venue over ccxt's unified API: the venue on loopback, read as if there were no parsers for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.exchanges import AccountFeed, MarketFeed, VenueSettings, generic
from adapters.exchanges.ccxt_session import Credentials, Markets
from adapters.exchanges.generic.market import OWN_BOOKS
from adapters.exchanges.generic.native_book import ExoticUseError, NativeSide
from adapters.exchanges.venue import AccountConnection, AccountSink, MarketConnection, MarketSink
from adapters.simulation import LoopbackVenue, generated_source
from guard.events import (
    AccountSnapshot,
    BookStatus,
    LiquidationSeen,
    MarketFeatures,
    MarketsWatched,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamFault,
    StreamFaultKind,
)
from guard.units import AccountId, MarketId
from tests.support.eventually import eventually
from tests.support.exchange_feeds import ACCOUNT, Events, feeds_for, running, settings_for, venue_best

BTC = MarketId("binanceusdm:BTC/USDT:USDT")
SYMBOL = "BTC/USDT:USDT"


@pytest.fixture
async def venue() -> AsyncIterator[LoopbackVenue]:
    source = generated_source("calm", seed=1, symbols=("BTCUSDT", "ETHUSDT"), duration_s=600.0)
    async with LoopbackVenue(source, accounts=[ACCOUNT]) as started:
        yield started


def generic_market(settings: VenueSettings) -> MarketFeed:
    clock = SystemClock()

    async def connect(sink: MarketSink) -> MarketConnection:
        return await generic.connect_market(settings, sink, clock, Markets())

    return MarketFeed(settings, clock=clock, connect=connect)


def generic_account(settings: VenueSettings) -> AccountFeed:
    clock = SystemClock()
    credentials = Credentials(ACCOUNT.api_key, ACCOUNT.api_secret)

    async def connect(sink: AccountSink) -> AccountConnection:
        return await generic.connect_account(settings, "main", credentials, sink, clock, Markets())

    return AccountFeed(settings, "main", clock=clock, connect=connect)


def last_book(events: Events) -> MarketFeatures | None:
    samples = events.of(MarketFeatures, lambda seen: seen.market == BTC)
    return samples[-1] if samples and samples[-1].status is BookStatus.OK else None


async def test_everything_but_what_is_uncertain_becomes_an_event(venue: LoopbackVenue) -> None:
    feed = generic_market(settings_for(venue.ccxt_urls()))
    async with running([feed]) as events:
        watched = await events.until(MarketsWatched)
        await events.until(MarketFeatures, lambda seen: seen.buy_usd + seen.sell_usd > 0)
        mark = await events.until(MarkPriceSeen)
        interest = await events.until(OpenInterestSeen)

    assert watched.markets == (BTC,)
    assert watched.absent == ()
    assert mark.mark_price > 0
    assert interest.open_interest > 0
    assert events.of(StreamFault) == []


async def test_its_books_are_those_that_binances_own_parsers_make(venue: LoopbackVenue) -> None:
    settings = settings_for(venue.ccxt_urls())
    theirs, (ours, _) = generic_market(settings), feeds_for(settings)
    async with running([theirs]) as generic_events, running([ours]) as own_events:
        await generic_events.until(MarketFeatures, lambda seen: seen.status is BookStatus.OK)
        await own_events.until(MarketFeatures, lambda seen: seen.status is BookStatus.OK)
        venue.go_silent()  # nothing moves any more: both must end where the venue stands

        def agree() -> bool:
            theirs, ours = last_book(generic_events), last_book(own_events)
            return (
                theirs is not None
                and ours is not None
                and (theirs.bid, theirs.ask) == (ours.bid, ours.ask)
                and theirs.bids is not None
                and ours.bids is not None
                and theirs.bids.curve_usd[:6] == pytest.approx(ours.bids.curve_usd[:6])
            )

        await eventually(agree, within_s=5.0, what=generic_events.tail())


async def test_handlers_that_take_a_side_for_a_list_get_lists(
    venue: LoopbackVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands for a venue whose handlers do what no native book does: it is said once, and books come all the same."""

    def refuse(side: NativeSide, deltas: object) -> None:
        raise ExoticUseError(f"{side} is no list: {deltas!r:.20}")

    monkeypatch.setattr(NativeSide, "store_all", refuse)
    made: list[MarketConnection] = []

    async def connect(sink: MarketSink) -> MarketConnection:
        made.append(await generic.connect_market(settings, sink, SystemClock(), Markets()))
        return made[0]

    settings = settings_for(venue.ccxt_urls())
    feed = MarketFeed(settings, clock=SystemClock(), connect=connect)
    async with running([feed]) as events:
        await eventually(lambda: made and OWN_BOOKS in made[0].capabilities.notes, within_s=20.0)

        def right() -> bool:
            last = last_book(events)
            return last is not None and (last.bid, last.ask) == venue_best(venue)

        await eventually(right, within_s=10.0)


async def test_a_book_that_ccxt_lost_is_told_and_comes_back(venue: LoopbackVenue) -> None:
    feed = generic_market(settings_for(venue.ccxt_urls()))
    async with running([feed]) as events:
        await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.OK)
        venue.drop_connections()
        await events.until(StreamFault, lambda fault: fault.fault is StreamFaultKind.DISCONNECTED)
        await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.UNSYNCED)
        await events.until(
            StreamFault,
            lambda fault: (fault.fault, fault.stream) == (StreamFaultKind.RECONNECTED, Stream.BOOK),
        )

        def right() -> bool:
            book = last_book(events)
            return book is not None and (book.bid, book.ask) == venue_best(venue)

        await eventually(right, what=events.tail())


async def test_a_frame_that_ccxt_cannot_read_has_the_books_sent_anew(venue: LoopbackVenue) -> None:
    feed = generic_market(settings_for(venue.ccxt_urls()))
    async with running([feed]) as events:
        await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.OK)
        venue.corrupt_next_frame("BTCUSDT")
        await events.until(StreamFault, lambda fault: fault.fault is StreamFaultKind.MALFORMED)
        await events.until(StreamFault, lambda fault: fault.fault is StreamFaultKind.RECONNECTED)

        def right() -> bool:
            book = last_book(events)
            return book is not None and (book.bid, book.ask) == venue_best(venue)

        await eventually(right, what=events.tail())


async def test_liquidations_are_told_where_it_is_known_whose_side_the_venue_tells() -> None:
    source = generated_source("fall", seed=3, duration_s=20.0, calm_share=0.1)
    async with LoopbackVenue(source, speed=4.0) as venue:
        feed = generic_market(settings_for(venue.ccxt_urls()))
        async with running([feed]) as events:
            seen = await events.until(LiquidationSeen, within_s=20.0)

    assert seen.size > 0  # the market fell: longs were closed
    assert seen.notional_usd == pytest.approx(seen.size * seen.price)


async def test_an_account_is_read_over_rest_when_its_stream_says_so(venue: LoopbackVenue) -> None:
    from ccxt.pro import binanceusdm

    config: dict[str, Any] = {"apiKey": ACCOUNT.api_key, "secret": ACCOUNT.api_secret}
    trader = binanceusdm({**config, "urls": venue.ccxt_urls(), "enableRateLimit": False})
    trader.timeout_on_exit = 0
    feed = generic_account(settings_for(venue.ccxt_urls(), account=True))
    try:
        async with running([feed]) as events:
            await events.until(AccountSnapshot, lambda seen: seen.orders is not None)
            await trader.create_order(SYMBOL, "market", "buy", 0.05)
            held = await events.until(AccountSnapshot, lambda seen: bool(seen.positions))
    finally:
        await trader.close()

    (position,) = held.positions
    assert held.account == AccountId("binanceusdm:main")
    assert (position.market, position.size) == (BTC, 0.05)
    assert position.entry_price is not None
    assert held.wallet_usd is not None
    # REST is the only source: a position that it brings is news, and not a loss of the stream.
    assert events.of(StreamFault) == []


@pytest.mark.parametrize(
    ("dialect", "symbol"), [("bybit", "BTC/USDT:USDT"), ("hyperliquid", "BTC/USDC:USDC")]
)
async def test_other_venues_are_read_by_what_ccxt_makes_of_them(dialect: str, symbol: str) -> None:
    source = generated_source("calm", seed=1, duration_s=600.0)
    async with LoopbackVenue(source, dialect=dialect) as venue:
        settings = settings_for(venue.ccxt_urls(), symbol, id=dialect)
        feed = generic_market(settings)
        async with running([feed]) as events:
            await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.OK)
            mark = await events.until(MarkPriceSeen)
            await events.until(MarketFeatures, lambda seen: seen.buy_usd + seen.sell_usd > 0)

            def right() -> bool:
                samples = events.of(MarketFeatures)
                return (samples[-1].bid, samples[-1].ask) == venue_best(venue)

            await eventually(right, within_s=15.0, what=events.tail())
            watched = events.of(MarketsWatched)[-1]

    assert mark.mark_price > 0
    assert watched.markets == (MarketId(f"{dialect}:{symbol}"),)
    # ccxt polls marks of both, and has liquidations of Bybit alone.
    assert watched.periods_ms[Stream.MARK_PRICE] == 3_000
    assert (Stream.LIQUIDATIONS in watched.absent) is (dialect == "hyperliquid")
    assert events.of(StreamFault) == []
