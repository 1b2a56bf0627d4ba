"""What of public data is asked instead of streamed: open interest, and funding where no stream tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from adapters.exchanges.activity import Ledger
from adapters.exchanges.market_books import WatchedMarket
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import Capabilities, MarketConnection, MarkFrame, Way
from guard.errors import VenueError
from guard.events import Stream, StreamFaultKind
from guard.ports import Clock, Importance
from guard.units import NS_PER_S, MarketId, Nanoseconds

OPEN_INTEREST_PAUSE_S = 0.25
"""Between two requests, so that any number of markets takes 240 of Binance's 2,400 request weight a minute: of the
venues that are read in depth it alone tells open interest of one market a request, at a weight of 1. Bybit, OKX and
Hyperliquid stream it."""

NEAR_SHARE = 0.5
"""Of the requests at most so many are for markets that somebody holds or trades, while others wait."""

FUNDING_PAUSE_S = 0.1
"""Between two requests for funding, which are rare: the streams tell it."""

SayInterest = Callable[[WatchedMarket, float, Nanoseconds | None], None]
SayMark = Callable[[WatchedMarket, MarkFrame], None]

log = structlog.get_logger()


def interest_pause_s(settings: VenueSettings, capabilities: Capabilities, markets: int) -> float:
    """Seconds between two requests for open interest, so that a round of all markets takes its period."""
    return max(OPEN_INTEREST_PAUSE_S, _period_s(settings, capabilities) / max(markets, 1))


def interest_round_s(settings: VenueSettings, capabilities: Capabilities, *, near: int, far: int) -> float:
    """Seconds between two answers about the market that is asked least often.

    Args:
        settings: the venue.
        capabilities: what it gives.
        near: how many markets somebody holds or trades.
        far: how many others there are.
    """
    rate = 1.0 / interest_pause_s(settings, capabilities, near + far)
    if not near or not far:
        return max(near, far) / rate
    near_rate = min(near / _period_s(settings, capabilities), NEAR_SHARE * rate)
    return max(near / near_rate, far / (rate - near_rate))


def _period_s(settings: VenueSettings, capabilities: Capabilities) -> float:
    slowest_s = capabilities.periods_ms.get(Stream.OPEN_INTEREST, 0) / 1_000.0
    return max(settings.open_interest_poll_s, slowest_s)


class Polls:
    """Asks for the markets that are watched at the time, one after the other; ``importance`` says who cares."""

    def __init__(
        self,
        settings: VenueSettings,
        markets: Mapping[str, WatchedMarket],
        *,
        clock: Clock,
        ledger: Ledger,
        say_interest: SayInterest,
        say_mark: SayMark,
        importance: Callable[[MarketId], Importance] = lambda market: Importance.FAR,  # noqa: ARG005 (all alike)
    ) -> None:
        self._settings = settings
        self._markets = markets
        self._clock = clock
        self._ledger = ledger
        self._say_interest = say_interest
        self._say_mark = say_mark
        self._importance = importance
        self._asked_at: dict[str, Nanoseconds] = {}
        """When open interest of each market was asked last."""
        self._was_near = False
        """Whether the last request was for a market that somebody holds or trades."""

    def start(self, tasks: asyncio.TaskGroup, connection: MarketConnection, name: str) -> None:
        """Begin to ask for what the venue gives in this way."""
        capabilities = connection.capabilities
        if capabilities.way(Stream.OPEN_INTEREST) is Way.POLLED:
            tasks.create_task(self._poll_open_interest(connection), name=f"{name} open interest")
        if capabilities.way(Stream.MARK_PRICE) is not Way.ABSENT:
            tasks.create_task(self._poll_funding(connection), name=f"{name} funding")

    async def _poll_open_interest(self, connection: MarketConnection) -> None:
        while True:
            capabilities = connection.capabilities
            if not self._markets or capabilities.way(Stream.OPEN_INTEREST) is not Way.POLLED:
                await self._pause_s(self._settings.open_interest_poll_s)
                continue
            market = self._next_asked(int(_period_s(self._settings, capabilities) * NS_PER_S))
            try:
                size, exchange_at = await connection.fetch_open_interest(market.symbol)
            except VenueError as error:
                self._ledger.lost(market.id, Stream.OPEN_INTEREST, StreamFaultKind.DISCONNECTED, error.detail)
            else:
                self._say_interest(market, size, exchange_at)
            await self._pause_s(interest_pause_s(self._settings, capabilities, len(self._markets)))

    def _next_asked(self, period_ns: Nanoseconds) -> WatchedMarket:
        """Return who is asked about now: of each kind, the one whose answer is oldest.

        A market that somebody holds or trades goes first when its period is over, but no two of them in a row
        while others wait: however many they are, the others get their turn.
        """
        now, asked_at = self._clock.now(), self._asked_at
        for symbol in asked_at.keys() - self._markets.keys():
            del asked_at[symbol]
        oldest: dict[bool, WatchedMarket] = {}
        for market in self._markets.values():
            is_near = self._importance(market.id) is not Importance.FAR
            found = oldest.get(is_near)
            if found is None or asked_at.get(market.symbol, 0) < asked_at.get(found.symbol, 0):
                oldest[is_near] = market
        near = oldest.get(True)
        is_due = near is not None and now - asked_at.get(near.symbol, 0) >= period_ns
        self._was_near = False not in oldest or (is_due and not self._was_near)
        market = oldest[self._was_near]
        asked_at[market.symbol] = now
        return market

    async def _poll_funding(self, connection: MarketConnection) -> None:
        """Ask for mark price and funding where the stream has not told them for so long."""
        poll_ns = int(self._settings.funding_poll_s * NS_PER_S)
        while True:
            await self._pause_s(self._settings.funding_poll_s)
            markets = list(self._markets.values())
            for market in sorted(markets, key=lambda market: self._importance(market.id)):
                is_left = self._markets.get(market.symbol) is not market
                if is_left or self._clock.now() - market.funded_at < poll_ns:
                    continue
                try:
                    mark = await connection.fetch_mark(market.symbol)
                except VenueError as error:
                    log.warning(
                        "funding cannot be asked, trying again", market=market.id, detail=error.detail
                    )
                else:
                    self._say_mark(market, mark)
                await self._pause_s(FUNDING_PAUSE_S)

    async def _pause_s(self, pause_s: float) -> None:
        await self._clock.sleep_until(self._clock.now() + int(pause_s * NS_PER_S))
