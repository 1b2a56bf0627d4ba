"""What the private connections of venues with keys share: reading by the venue's clock, closing, and silence."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from adapters.exchanges.ccxt_session import (
    Credentials,
    Markets,
    asked,
    close_client,
    make_client,
    network_error,
)
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import AccountReading, AccountSink
from guard.errors import VenueError
from guard.events import Stream

T = TypeVar("T")


class KeyedAccount:
    """The common part of an AccountConnection (see ``venue``) over one tapped ccxt client."""

    CLOCK_REFUSED: str
    """In the venue's answer when a request's time was outside of what its clock allows."""
    REFUSALS: tuple[str, ...] = ()
    """Codes of a refused key that ccxt does not know for one."""

    def __init__(
        self,
        settings: VenueSettings,
        sink: AccountSink,
        markets: Markets,
        credentials: Credentials,
        defaults: dict[str, Any],
        quirks: type | None = None,
    ) -> None:
        self._venue = settings.id
        self._sink = sink
        self._markets = markets
        self._client = make_client(settings, self, credentials=credentials, defaults=defaults, quirks=quirks)

    async def _asked(self, answer: Awaitable[T]) -> T:
        return await asked(self._venue, answer, self.REFUSALS)

    async def load(self) -> None:
        await self._asked(self._markets.load(self._client))
        # Signed requests carry our time and are refused if it is seconds from the venue's.
        await self._asked(self._client.load_time_difference())

    async def renew(self) -> None:
        """Nothing expires here: ccxt's pings keep the stream."""

    async def read(self, *, orders: bool) -> AccountReading:
        try:
            return await self._asked(self._read(orders=orders))
        except VenueError as error:
            if self.CLOCK_REFUSED in error.detail:
                # One of the two clocks was moved: signatures are refused until the difference is known again.
                await self._asked(self._client.load_time_difference())
            raise

    async def _read(self, *, orders: bool) -> AccountReading:
        raise NotImplementedError

    def symbol_of(self, market_code: str) -> str:
        for market in (self._client.markets_by_id or {}).get(market_code, ()):
            if market.get("swap") or market.get("future"):
                return str(market["symbol"])
        return market_code

    def reopen(self, reason: str) -> None:
        for url, socket in list((self._client.clients or {}).items()):
            if "://" in url:  # ccxt parks logins on a client that has no address
                socket.on_error(network_error(reason))

    async def close(self) -> None:
        await close_client(self._client)

    # The tap: called by the client for every frame.

    def take(self, url: str, message: Any) -> bool:
        raise NotImplementedError

    def on_alive(self, url: str) -> None:
        """Pings and REST watch over it."""

    def on_frame(self, url: str) -> None:
        """Silence is the normal state of a private stream; pings and REST watch over it."""

    def on_connected(self, url: str) -> None:
        """It delivers nothing before it is logged in and subscribed: see ``take``."""

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None:
        del url, frame  # they hold the account's numbers, and may hold a listen key
        self._sink.on_malformed(None, Stream.ACCOUNT, f"{type(error).__name__}: {error}")
