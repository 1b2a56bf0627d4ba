"""The private side of Binance USD-M through the tapped ccxt client: reading only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.exchanges.binance.account_payloads import (
    NO_INDEXES,
    AssetIndex,
    parse_account,
    parse_asset_indexes,
    parse_multi_assets,
)
from adapters.exchanges.binance.client import DEFAULTS, REFUSALS, BinanceQuirks, event_of
from adapters.exchanges.binance.payloads import (
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
from guard.ports import Clock
from guard.units import NS_PER_S, Nanoseconds

INDEXES_NS = 2 * NS_PER_S
"""Collateral is valued anew so often at most: 300 of the venue's 2,400 weight a minute while fills never end."""


class BinanceAccount(KeyedAccount):
    """An AccountConnection (see ``venue``): one ccxt client with one user-data stream."""

    CLOCK_REFUSED = '"code":-1021,'
    REFUSALS = REFUSALS

    def __init__(
        self,
        settings: VenueSettings,
        sink: AccountSink,
        clock: Clock,
        markets: Markets,
        credentials: Credentials,
    ) -> None:
        super().__init__(settings, sink, markets, credentials, DEFAULTS, BinanceQuirks)
        self._clock = clock
        self._multi_assets: bool | None = None
        self._indexes: dict[str, AssetIndex] = {}
        self._indexes_at: Nanoseconds = 0
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
        multi_assets = await self._mode(anew=orders)
        indexes = await self._values() if multi_assets else NO_INDEXES
        positions = parse_positions(await self._client.fapiPrivateV3GetPositionRisk())
        account = await self._client.fapiPrivateV3GetAccount()
        totals = parse_account(account, multi_assets=multi_assets, indexes=indexes)
        return AccountReading(totals=totals, positions=positions, orders=found)

    async def _mode(self, *, anew: bool) -> bool:
        """Whether the account is in multi-assets mode: asked with the orders, or once the stream says it changed."""
        if self._multi_assets is None or anew:
            answer = await self._client.fapiPrivateGetMultiAssetsMargin()
            self._multi_assets = parse_multi_assets(answer)
        return self._multi_assets

    async def _values(self) -> Mapping[str, AssetIndex]:
        """What the venue values collateral at: a request of weight 10, which a burst of fills must not repeat."""
        now = self._clock.now()
        if not self._indexes or now - self._indexes_at >= INDEXES_NS:
            self._indexes = parse_asset_indexes(await self._client.fapiPublicGetAssetIndex())
            self._indexes_at = now
        return self._indexes

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
            if event == "ACCOUNT_CONFIG_UPDATE" and "ai" in body:
                self._multi_assets = None
            update = parse_user_event(body)
            if update is not None:
                self._sink.on_update(self._converted(update))
        return bool(event)

    def _converted(self, update: AccountUpdate) -> AccountUpdate:
        """Sizes are base units and balances dollars here; COIN-M differs."""
        return update
