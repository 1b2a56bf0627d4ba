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
from guard.ports import Clock
from guard.units import NS_PER_S, Nanoseconds

OPEN_INTEREST_PAUSE_S = 0.25
"""Between two requests, so that 200 markets take 240 of Binance's 2,400 request weight a minute."""

SayInterest = Callable[[WatchedMarket, float, Nanoseconds | None], None]
SayMark = Callable[[WatchedMarket, MarkFrame], None]

log = structlog.get_logger()


def interest_pause_s(settings: VenueSettings, capabilities: Capabilities, markets: int) -> float:
    """Seconds between two requests for open interest, so that a round of all markets takes its period."""
    round_s = max(
        settings.open_interest_poll_s, capabilities.periods_ms.get(Stream.OPEN_INTEREST, 0) / 1_000.0
    )
    return max(OPEN_INTEREST_PAUSE_S, round_s / max(markets, 1))


class Polls:
    """Asks for the markets that are watched at the time, one after the other."""

    def __init__(
        self,
        settings: VenueSettings,
        markets: Mapping[str, WatchedMarket],
        *,
        clock: Clock,
        ledger: Ledger,
        say_interest: SayInterest,
        say_mark: SayMark,
    ) -> None:
        self._settings = settings
        self._markets = markets
        self._clock = clock
        self._ledger = ledger
        self._say_interest = say_interest
        self._say_mark = say_mark

    def start(self, tasks: asyncio.TaskGroup, connection: MarketConnection, name: str) -> None:
        """Begin to ask for what the venue gives in this way."""
        capabilities = connection.capabilities
        if capabilities.way(Stream.OPEN_INTEREST) is Way.POLLED:
            tasks.create_task(self._poll_open_interest(connection), name=f"{name} open interest")
        if capabilities.way(Stream.MARK_PRICE) is not Way.ABSENT:
            tasks.create_task(self._poll_funding(connection), name=f"{name} funding")

    async def _poll_open_interest(self, connection: MarketConnection) -> None:
        while True:
            for symbol in list(self._markets):
                market = self._markets.get(symbol)
                if market is None or connection.capabilities.way(Stream.OPEN_INTEREST) is not Way.POLLED:
                    continue
                try:
                    size, exchange_at = await connection.fetch_open_interest(symbol)
                except VenueError as error:
                    self._ledger.lost(
                        market.id, Stream.OPEN_INTEREST, StreamFaultKind.DISCONNECTED, error.detail
                    )
                else:
                    self._say_interest(market, size, exchange_at)
                await self._pause_s(
                    interest_pause_s(self._settings, connection.capabilities, len(self._markets))
                )
            if not self._markets or connection.capabilities.way(Stream.OPEN_INTEREST) is not Way.POLLED:
                await self._pause_s(self._settings.open_interest_poll_s)

    async def _poll_funding(self, connection: MarketConnection) -> None:
        """Ask for mark price and funding where the stream has not told them for so long."""
        poll_ns = int(self._settings.funding_poll_s * NS_PER_S)
        while True:
            await self._pause_s(self._settings.funding_poll_s)
            for symbol in list(self._markets):
                market = self._markets.get(symbol)
                if market is None or self._clock.now() - market.funded_at < poll_ns:
                    continue
                try:
                    mark = await connection.fetch_mark(symbol)
                except VenueError as error:
                    log.warning(
                        "funding cannot be asked, trying again", market=market.id, detail=error.detail
                    )
                else:
                    self._say_mark(market, mark)

    async def _pause_s(self, pause_s: float) -> None:
        await self._clock.sleep_until(self._clock.now() + int(pause_s * NS_PER_S))
