"""The private side of Binance USD-M through the tapped ccxt client: reading only."""

from __future__ import annotations

from typing import Any

from adapters.exchanges.binance.client import DEFAULTS, REFUSALS, BinanceQuirks, event_of
from adapters.exchanges.binance.payloads import (
    parse_account,
    parse_open_algo_orders,
    parse_open_orders,
    parse_permissions,
    parse_positions,
    parse_user_event,
)
from adapters.exchanges.ccxt_session import Credentials, Markets
from adapters.exchanges.keyed_account import KeyedAccount
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import AccountReading, AccountSink, AccountUpdate, KeyPermissions


class BinanceAccount(KeyedAccount):
    """An AccountConnection (see ``venue``): one ccxt client with one user-data stream."""

    CLOCK_REFUSED = '"code":-1021,'
    REFUSALS = REFUSALS

    def __init__(
        self, settings: VenueSettings, sink: AccountSink, markets: Markets, credentials: Credentials
    ) -> None:
        super().__init__(settings, sink, markets, credentials, DEFAULTS, BinanceQuirks)
        # The key's own permissions are asked at another address, which must be replaced along with the others.
        self._can_ask_permissions = not settings.urls or "sapi" in settings.urls.get("api", {})

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

    async def _read(self, *, orders: bool) -> AccountReading:
        found = None
        if orders:
            found = parse_open_orders(await self._client.fapiPrivateGetOpenOrders())
            found += parse_open_algo_orders(await self._client.fapiPrivateGetOpenAlgoOrders())
        positions = parse_positions(await self._client.fapiPrivateV3GetPositionRisk())
        totals = parse_account(await self._client.fapiPrivateV3GetAccount())
        return AccountReading(totals=totals, positions=positions, orders=found)

    # The tap: called by the client for every frame.

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
