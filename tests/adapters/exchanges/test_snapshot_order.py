"""Whose book is fetched first: who depends on it now, then broken before narrow, then as markets are watched."""

from __future__ import annotations

import asyncio

from adapters.exchanges.market_books import SETBACK_FAILURES, WORKERS
from adapters.exchanges.market_feed import FullPace, MarketFeed
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import DepthSnapshot
from guard.errors import VenueError
from guard.ports import Importance
from guard.units import MarketId, symbol_of
from tests.adapters.exchanges.fakes import VENUE, FakeMarket, snapshot
from tests.support.exchange_feeds import running
from tests.support.hand_clock import HandClock

SYMBOLS = [f"M{number:02d}/USDT:USDT" for number in range(WORKERS + 12)]


class SlowMarket(FakeMarket):
    """Answers one request after the other, each when it is let; ``dead`` are answered with an error at once."""

    def __init__(self, *listed: str) -> None:
        super().__init__(*listed)
        self.asked: list[str] = []
        self.dead: set[str] = set()
        self.turn = asyncio.Semaphore(0)

    async def fetch_depth(self, symbol: str) -> DepthSnapshot:
        self.asked.append(symbol)
        if symbol in self.dead:
            raise VenueError(VENUE, "no answer")
        await self.turn.acquire()
        return snapshot(10)


class Holdings(FullPace):
    """What is held and traded, as it is known at the time."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.traded: set[str] = set()

    def importance(self, market: MarketId) -> Importance:
        symbol = symbol_of(market)
        if symbol in self.held:
            return Importance.VITAL
        return Importance.TRADED if symbol in self.traded else Importance.FAR


def a_feed(connection: SlowMarket, clock: HandClock, pace: Holdings) -> MarketFeed:
    settings = VenueSettings(id=VENUE, symbols=SYMBOLS)
    return MarketFeed(settings, clock=clock, connect=connection.connect, pace=pace)


async def test_what_is_found_to_be_held_meanwhile_goes_before_what_bots_trade_and_both_before_the_rest() -> (
    None
):
    clock, connection, pace = HandClock(), SlowMarket(*SYMBOLS), Holdings()
    async with running([a_feed(connection, clock, pace)]):
        await clock.advance(0.1)
        assert connection.asked == SYMBOLS[:WORKERS], "as they are watched, while nothing is known"

        pace.traded = {SYMBOLS[-2], SYMBOLS[-3]}
        pace.held = {SYMBOLS[-1]}
        for _ in range(4):
            connection.turn.release()
        await clock.advance(0.1)

        assert connection.asked[WORKERS:] == [SYMBOLS[-1], SYMBOLS[-3], SYMBOLS[-2], SYMBOLS[WORKERS]]


async def test_markets_that_fail_again_and_again_keep_nobody_waiting_for_ever() -> None:
    clock, connection, pace = HandClock(), SlowMarket(*SYMBOLS), Holdings()
    pace.held = connection.dead = set(SYMBOLS[:WORKERS])
    for _ in SYMBOLS:
        connection.turn.release()
    async with running([a_feed(connection, clock, pace)]):
        await clock.advance(60.0)

    assert set(SYMBOLS[WORKERS:]) <= set(connection.asked)
    assert connection.asked.count(SYMBOLS[0]) > SETBACK_FAILURES, "and they are still tried"
