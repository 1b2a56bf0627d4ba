"""The private side of Binance USD-M through the tapped ccxt client: reading only."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from adapters.exchanges.binance.client import DEFAULTS, REFUSALS, BinanceQuirks, event_of
from adapters.exchanges.binance.payloads import (
    parse_account,
    parse_brackets,
    parse_open_algo_orders,
    parse_open_orders,
    parse_permissions,
    parse_positions,
    parse_user_event,
)
from adapters.exchanges.ccxt_session import (
    Credentials,
    Markets,
    asked,
    close_client,
    make_client,
    network_error,
)
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import AccountReading, AccountSink, AccountUpdate, KeyPermissions, MarginTier
from guard.errors import VenueError
from guard.events import Stream

T = TypeVar("T")

CLOCK_REFUSED = '"code":-1021,'
"""A request's time was outside of what the venue's clock allows."""


class BinanceAccount:
    """An AccountConnection (see ``venue``): one ccxt client with one user-data stream."""

    def __init__(
        self, settings: VenueSettings, sink: AccountSink, markets: Markets, credentials: Credentials
    ) -> None:
        self._venue = settings.id
        self._sink = sink
        self._markets = markets
        self._client = make_client(
            settings, self, credentials=credentials, defaults=DEFAULTS, quirks=BinanceQuirks
        )
        # The key's own permissions are asked at another address, which must be replaced along with the others.
        self._can_ask_permissions = not settings.urls or "sapi" in settings.urls.get("api", {})

    async def _asked(self, answer: Awaitable[T]) -> T:
        return await asked(self._venue, answer, REFUSALS)

    async def load(self) -> None:
        await self._asked(self._markets.load(self._client))
        # Signed requests carry our time and are refused 1 s ahead of the venue's or 5 s behind it.
        await self._asked(self._client.load_time_difference())

    async def permissions(self) -> KeyPermissions:
        if not self._can_ask_permissions:
            return KeyPermissions(None, None, "urls names no address of sapi, where Binance would tell")
        return parse_permissions(await self._asked(self._client.sapiGetAccountApiRestrictions()))

    async def watch(self) -> None:
        # A key from before the connection was lost may have expired, and then the stream stays silent.
        self._client.options["linear"] = {}
        try:
            while True:
                await self._asked(self._client.watch_orders())
        finally:
            self._forget()

    def _forget(self) -> None:
        for socket in (self._client.clients or {}).values():
            socket.subscriptions.clear()

    async def renew(self) -> None:
        await self._asked(self._client.fapiPrivatePutListenKey())

    async def read(self, *, orders: bool) -> AccountReading:
        try:
            return await self._asked(self._read(orders=orders))
        except VenueError as error:
            if CLOCK_REFUSED in error.detail:
                # One of the two clocks was moved: signatures are refused until the difference is known again.
                await self._asked(self._client.load_time_difference())
            raise

    async def _read(self, *, orders: bool) -> AccountReading:
        found = None
        if orders:
            found = parse_open_orders(await self._client.fapiPrivateGetOpenOrders())
            found += parse_open_algo_orders(await self._client.fapiPrivateGetOpenAlgoOrders())
        positions = parse_positions(await self._client.fapiPrivateV3GetPositionRisk())
        totals = parse_account(await self._client.fapiPrivateV3GetAccount())
        return AccountReading(totals=totals, positions=positions, orders=found)

    async def fetch_tiers(self) -> Mapping[str, Sequence[MarginTier]]:
        return await self._asked(self._tiers())

    async def _tiers(self) -> Mapping[str, Sequence[MarginTier]]:
        return parse_brackets(await self._client.fapiPrivateGetLeverageBracket())

    def symbol_of(self, market_code: str) -> str:
        for market in (self._client.markets_by_id or {}).get(market_code, ()):
            if market.get("swap"):
                return str(market["symbol"])
        return market_code

    def reopen(self, reason: str) -> None:
        for url, socket in list((self._client.clients or {}).items()):
            if "://" in url:  # ccxt parks logins on a client that has no address
                socket.on_error(network_error(reason))

    async def close(self) -> None:
        await close_client(self._client)

    # The tap: called by the client for every frame.

    def on_alive(self, url: str) -> None:
        """Pings and REST watch over it."""

    def on_frame(self, url: str) -> None:
        """Silence is the normal state of a private stream; pings and REST watch over it."""

    def on_connected(self, url: str) -> None:
        del url
        self._sink.on_connected()

    def on_acknowledged(self, url: str, subscriptions: list[str]) -> None:
        """The user-data stream is asked for by its address; there is nothing to acknowledge."""

    def take(self, url: str, message: Any) -> bool:
        del url
        event, body = event_of(message)
        if event == "listenKeyExpired":
            self.reopen("the venue let the listen key expire")
        elif event:
            update = parse_user_event(body)
            if update is not None:
                self._sink.on_update(self._converted(update))
        return bool(event)

    def _converted(self, update: AccountUpdate) -> AccountUpdate:
        """Sizes are base units and balances dollars here; COIN-M differs."""
        return update

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None:
        # The frame holds the account's numbers and the address its listen key: neither is passed on.
        del url, frame
        self._sink.on_malformed(None, Stream.ACCOUNT, f"{type(error).__name__}: {error}")
