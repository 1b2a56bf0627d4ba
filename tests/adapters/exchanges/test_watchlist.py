"""Which markets are watched, over days: the busiest, those that are held, those that come, go and halt."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from adapters.exchanges.market_feed import MarketFeed
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import Capabilities, DepthSource, ListedMarket, Way
from guard.errors import VenueError
from guard.events import (
    BookStatus,
    MarketFeatures,
    MarketsWatched,
    Stream,
    StreamFault,
    StreamFaultKind,
)
from guard.units import MarketId, symbol_of
from tests.adapters.exchanges.fakes import VENUE, FakeMarket, diff
from tests.support.exchange_feeds import Events, running
from tests.support.hand_clock import HandClock

A, B, C, D = (f"{coin}/USDT:USDT" for coin in ("AAA", "BBB", "CCC", "DDD"))
HOUR_S = 3_600.0


def listed(symbol: str, volume_usd: float | None = 1.0, *, active: bool = True) -> ListedMarket:
    return ListedMarket(symbol, "USDT", "USDT", active=active, volume_usd=volume_usd)


def a_venue(*markets: ListedMarket) -> FakeMarket:
    connection = FakeMarket(*(market.symbol for market in markets))
    connection.perpetuals = list(markets)
    return connection


def relist(connection: FakeMarket, *markets: ListedMarket) -> None:
    connection.perpetuals = list(markets)
    connection.listed = tuple(market.symbol for market in markets)


class Held:
    """Stands for what the accounts and bots say."""

    def __init__(self) -> None:
        self.symbols: set[str] = set()

    def __call__(self) -> Collection[str]:
        return self.symbols


def a_feed(connection: FakeMarket, clock: HandClock, held: Held | None = None, **changes: Any) -> MarketFeed:
    settings = VenueSettings(**{"id": VENUE, "top": 2, **changes})
    return MarketFeed(settings, clock=clock, connect=connection.connect, held=held or Held())


def watched(events: Events) -> list[Sequence[str]]:
    return [[symbol_of(market) for market in event.markets] for event in events.of(MarketsWatched)]


async def test_the_busiest_are_watched_and_what_is_named_is_always_among_them() -> None:
    clock = HandClock()
    connection = a_venue(listed(A, 5.0), listed(B, 9.0), listed(C, 7.0), listed(D, None))
    async with running([a_feed(connection, clock, symbols=[D])]) as events:
        await clock.advance(1.0)

    assert watched(events) == [[D, B, C]]
    assert all(set(symbols) == {D, B, C} for symbols in connection.watched.values())


async def test_they_are_chosen_anew_at_their_hour_and_the_rest_of_the_day_they_stay() -> None:
    clock = HandClock()
    connection = a_venue(listed(A, 5.0), listed(B, 9.0), listed(C, 7.0))
    async with running([a_feed(connection, clock)]) as events:
        await clock.advance(1.0)
        relist(connection, listed(A, 50.0), listed(B, 9.0), listed(C, 7.0))
        early = []
        for _ in range(25):
            await clock.advance(HOUR_S, step_s=HOUR_S / 4)
            early.append(len(watched(events)))

    assert early[0] == 1
    assert watched(events) == [[B, C], [B, A]]


async def test_what_is_held_is_watched_within_seconds_and_stays_when_it_is_busy_no_more() -> None:
    clock, held = HandClock(), Held()
    connection = a_venue(listed(A, 5.0), listed(B, 9.0), listed(C, 7.0))
    async with running([a_feed(connection, clock, held)]) as events:
        await clock.advance(1.0)
        held.symbols = {A, B}
        await clock.advance(6.0)
        relist(connection, listed(A, 5.0), listed(B, 0.1), listed(C, 7.0), listed(D, 8.0))
        await clock.advance(25 * HOUR_S, step_s=HOUR_S / 4)
        before = watched(events)
        held.symbols = set()
        await clock.advance(25 * HOUR_S, step_s=HOUR_S / 4)

    assert [set(symbols) for symbols in before] == [{B, C}, {A, B, C}, {A, B, C, D}]
    assert set(watched(events)[-1]) == {C, D}


async def test_a_delisted_market_is_left_unknown_if_it_is_held_and_comes_back_if_it_is_listed_again() -> None:
    clock, held = HandClock(), Held()
    held.symbols = {A}
    connection = a_venue(listed(A, 5.0), listed(B, 9.0), listed(C, 7.0))
    feed = a_feed(connection, clock, held)
    async with running([feed]) as events:
        await clock.advance(1.0)
        feed.on_depth(A, diff(8, 12))
        relist(connection, listed(B, 9.0), listed(C, 7.0))
        await clock.advance(HOUR_S + 10.0, step_s=5.0)
        last = events.of(MarketFeatures, lambda seen: symbol_of(seen.market) == A)[-1]
        gone = watched(events)[-1]
        feed.on_depth(A, diff(12, 13))  # what still comes of it is ignored
        relist(connection, listed(A, 5.0), listed(B, 9.0), listed(C, 7.0))
        await clock.advance(HOUR_S, step_s=5.0)

    refused = events.of(StreamFault, lambda fault: fault.fault is StreamFaultKind.REFUSED)
    assert "lists it no more" in refused[0].detail
    assert last.status is BookStatus.UNSYNCED
    assert gone == [B, C]
    assert watched(events)[-1] == [B, C, A]


async def test_a_halted_market_is_not_believed_until_it_is_traded_again() -> None:
    clock = HandClock()
    connection = a_venue(listed(A, 5.0), listed(B, 9.0))
    feed = a_feed(connection, clock, symbols=[A, B], top=0)
    async with running([feed]) as events:
        await clock.advance(1.0)
        feed.on_depth(A, diff(8, 12))
        relist(connection, listed(A, 5.0, active=False), listed(B, 9.0))
        await clock.advance(HOUR_S + 10.0, step_s=5.0)
        feed.on_depth(A, diff(12, 13))
        await clock.advance(1.0)
        halted = events.of(MarketFeatures, lambda seen: symbol_of(seen.market) == A)[-1]
        relist(connection, listed(A, 5.0), listed(B, 9.0))
        await clock.advance(HOUR_S + 10.0, step_s=5.0)
        traded = events.of(MarketFeatures, lambda seen: symbol_of(seen.market) == A)[-1]

    assert halted.status is BookStatus.UNSYNCED
    assert traded.status is BookStatus.OK
    assert "halted" in events.faults(StreamFaultKind.REFUSED)[0].detail
    assert watched(events) == [[A, B]]  # it is still to be watched


async def test_an_unknown_symbol_is_looked_for_again_ever_more_slowly() -> None:
    clock = HandClock()
    connection = a_venue(listed(B, 9.0))
    async with running([a_feed(connection, clock, symbols=[A, B], top=0)]) as events:
        await clock.advance(1.0)
        refused = len(events.faults(StreamFaultKind.REFUSED))
        await clock.advance(600.0, step_s=5.0)
        asked = connection.listings
        relist(connection, listed(A, 5.0), listed(B, 9.0))
        await clock.advance(1_200.0, step_s=5.0)

    assert refused == len(events.faults(StreamFaultKind.REFUSED)) == 1
    assert 2 <= asked <= 4  # after 1, 2 and 4 minutes
    assert watched(events) == [[A, B], [A, B]]
    assert A in {symbol for symbols in connection.watched.values() for symbol in symbols}


async def test_a_venue_that_cannot_be_listed_keeps_what_is_watched() -> None:
    clock = HandClock()
    connection = a_venue(listed(A, 5.0), listed(B, 9.0))
    async with running([a_feed(connection, clock)]) as events:
        await clock.advance(1.0)
        connection.perpetuals = VenueError(VENUE, "busy")
        await clock.advance(HOUR_S - 2.0, step_s=HOUR_S / 4)
        connection.listings = 0
        await clock.advance(60.0, step_s=0.5)

    assert watched(events) == [[B, A]]
    assert 3 <= connection.listings <= 8  # tried again, and not every second


async def test_a_venue_that_does_not_answer_at_first_is_waited_for() -> None:
    clock = HandClock()
    connection = a_venue(listed(A, 5.0), listed(B, 9.0))
    perpetuals, connection.perpetuals = connection.perpetuals, VenueError(VENUE, "away")
    async with running([a_feed(connection, clock, symbols=[A])]) as events:
        await clock.advance(30.0, step_s=0.5)
        away = list(events.all)
        connection.perpetuals = perpetuals
        await clock.advance(30.0, step_s=0.5)

    (lost,) = [event for event in away if isinstance(event, StreamFault)]
    assert (lost.fault, symbol_of(lost.subject)) == (StreamFaultKind.DISCONNECTED, A)  # type: ignore[arg-type]
    assert watched(events) == [[A, B]]


async def test_turnovers_that_were_not_told_at_first_are_waited_for() -> None:
    clock, connection = HandClock(), a_venue(listed(A, None), listed(B, None))
    async with running([a_feed(connection, clock)]) as events:
        await clock.advance(1.0)
        relist(connection, listed(A, 5.0), listed(B, 9.0))
        await clock.advance(HOUR_S + 10.0, step_s=HOUR_S / 4)

    assert watched(events) == [[], [B, A]]


async def test_what_a_venue_cannot_give_is_said_and_not_asked_for() -> None:
    clock, connection = HandClock(), a_venue(listed(A))
    connection.gives = Capabilities(
        ways={Stream.BOOK: Way.POLLED, Stream.MARK_PRICE: Way.POLLED},
        depth_source=DepthSource.WHOLE,
        periods_ms={Stream.BOOK: 4_000},
    )
    async with running([a_feed(connection, clock)]) as events:
        await clock.advance(40.0, step_s=0.5)
        connection.gives = Capabilities(ways={Stream.BOOK: Way.POLLED}, depth_source=DepthSource.WHOLE)
        await clock.advance(10.0, step_s=0.5)

    first, last = events.of(MarketsWatched)
    assert first.absent == (Stream.TRADES, Stream.OPEN_INTEREST, Stream.LIQUIDATIONS)
    assert first.periods_ms == {Stream.BOOK: 4_000}
    assert Stream.MARK_PRICE in last.absent  # it turned out that it gives less
    assert set(connection.watched) == {Stream.BOOK, Stream.MARK_PRICE}


async def test_many_small_changes_end_in_few_subscriptions() -> None:
    clock, held = HandClock(), Held()
    names = [f"N{number}/USDT:USDT" for number in range(12)]
    connection = a_venue(listed(A, 5.0), listed(B, 9.0), *(listed(name, 0.1) for name in names))
    async with running([a_feed(connection, clock, held)]) as events:
        await clock.advance(1.0)
        for name in names:
            held.symbols = {*held.symbols, name}
            await clock.advance(6.0)
        batches = len(connection.watching(Stream.TRADES))
        await clock.advance(HOUR_S + 10.0, step_s=5.0)
        regrouped = connection.watching(Stream.TRADES)

    assert batches == 13
    assert [len(symbols) for symbols in regrouped] == [14]
    assert any("fewer batches" in fault.detail for fault in events.faults(StreamFaultKind.DISCONNECTED))


async def test_what_is_too_much_for_a_venue_is_left_out_from_the_end_and_never_what_is_held_before_what_is_busy() -> (
    None
):
    clock, held = HandClock(), Held()
    connection = a_venue(listed(A, 4.0), listed(B, 3.0), listed(C, 2.0), listed(D, 1.0))
    connection.gives = replace(connection.gives, markets_max=2)
    async with running([a_feed(connection, clock, held, symbols=[C], top=3)]) as events:
        await clock.advance(2.0)
        held.symbols = {D}
        await clock.advance(2.0)
        faults = events.of(StreamFault, lambda fault: fault.fault is StreamFaultKind.REFUSED)
        held.symbols = {B, D}
        await clock.advance(2.0)
        late = events.of(StreamFault, lambda fault: fault.fault is StreamFaultKind.REFUSED)

    assert watched(events)[:2] == [[C, A], [C, D]]
    assert faults == []
    assert [symbol_of(MarketId(fault.subject)) for fault in late] == [D], "somebody holds it, so it is said"
