"""The private side of OKX through the tapped ccxt client: reading only."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from adapters.exchanges.answers import answered
from adapters.exchanges.ccxt_session import Credentials, Markets
from adapters.exchanges.keyed_account import KeyedAccount
from adapters.exchanges.okx.account_payloads import (
    Contract,
    isolated_maintenance_usd,
    parse_account,
    parse_orders,
    parse_permissions,
    parse_pooling,
    parse_positions,
    parse_private,
)
from adapters.exchanges.okx.client import DEFAULTS, contract_of
from adapters.exchanges.okx.payloads import data_of
from adapters.exchanges.parsers import Payload, text
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import (
    AccountReading,
    AccountSink,
    KeyPermissions,
    OrderSeen,
)
from guard.errors import MalformedFrameError
from guard.events import Pooling

ORDERS_PAGE = 100
PAGES_MAX = 100
"""More pages than any list has: one that never ends must not be followed for ever."""
ALGO_KINDS = ("conditional,oco", "trigger", "move_order_stop")
"""Conditional orders are listed by kind; these protect or close positions."""

_PRIVATE_CHANNELS = ("positions", "account", "orders")
_BUSINESS_CHANNELS = ("orders-algo",)


class OkxAccount(KeyedAccount):
    """An AccountConnection (see ``venue``): one ccxt client, a private socket and one for conditional orders."""

    CLOCK_REFUSED = '"code":"50102"'

    def __init__(
        self, settings: VenueSettings, sink: AccountSink, markets: Markets, credentials: Credentials
    ) -> None:
        super().__init__(settings, sink, markets, credentials, DEFAULTS)
        self._pooling = Pooling.BY_SETTLE_ASSET
        self._acknowledged: set[str] = set()
        self._answer = asyncio.Event()

    async def load(self) -> None:
        await super().load()
        await self._asked(self._read_pooling())

    async def _read_pooling(self) -> None:
        self._pooling = parse_pooling(await self._client.privateGetAccountConfig())

    async def permissions(self) -> KeyPermissions:
        return parse_permissions(await self._asked(self._client.privateGetAccountConfig()))

    async def watch(self) -> None:
        self._answer.clear()
        self._acknowledged.clear()
        try:
            await answered(self._venue, self._keep(), self._answer)
        finally:
            self.reopen("the private streams are opened anew, or not watched any more")

    async def _keep(self) -> None:
        """Watch both sockets until one of them fails."""
        watching = [
            asyncio.create_task(self._watch(access, channels), name=f"{self._venue} {access} stream")
            for access, channels in (("private", _PRIVATE_CHANNELS), ("business", _BUSINESS_CHANNELS))
        ]
        try:
            done, _ = await asyncio.wait(watching, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _watch(self, access: str, channels: Sequence[str]) -> None:
        while True:
            await self._asked(self._subscribe(access, channels))

    async def _subscribe(self, access: str, channels: Sequence[str]) -> None:
        url = self._client.get_url(channels[0], access)
        await self._log_in(url)
        # The names of ccxt's futures are its own channels: no handler of ccxt resolves these.
        names = [f"perpguard:{channel}" for channel in channels]
        arguments = [
            {"channel": channel} if channel == "account" else {"channel": channel, "instType": "SWAP"}
            for channel in channels
        ]
        request = {"op": "subscribe", "args": arguments}
        await self._client.watch_multiple(url, names, request, names)

    async def _log_in(self, url: str) -> None:
        """As ccxt's ``authenticate``, but by the venue's clock: ours may be minutes away from it."""
        client = self._client
        now_ms = client.milliseconds() - int(client.options.get("timeDifference") or 0)
        stamp = str(now_ms // 1_000)
        signed, secret = client.encode(f"{stamp}GET/users/self/verify"), client.encode(client.secret)
        signature = client.hmac(signed, secret, hashlib.sha256, "base64")
        login = {
            "apiKey": client.apiKey,
            "passphrase": client.password,
            "timestamp": stamp,
            "sign": signature,
        }
        await client.watch(url, "authenticated", {"op": "login", "args": [login]}, "authenticated")

    async def _read(self, *, orders: bool) -> AccountReading:
        if orders:
            await self._read_pooling()
        found = await self._orders() if orders else None
        response = await self._client.privateGetAccountPositions({"instType": "SWAP"})
        rows = data_of(response, "GET /api/v5/account/positions")
        seen = parse_positions(rows, self._contract_of, self._pooling)
        positions = [position for position in seen if position.size]
        totals = parse_account(await self._client.privateGetAccountBalance(), self._pooling)
        isolated_usd = isolated_maintenance_usd(rows, self._contract_of)
        if isolated_usd:
            totals = replace(totals, maintenance_usd=(totals.maintenance_usd or 0.0) + isolated_usd)
        return AccountReading(totals=totals, positions=positions, orders=found)

    async def _orders(self) -> list[OrderSeen]:
        request = {"instType": "SWAP"}
        rows = await self._pages(self._client.privateGetTradeOrdersPending, request, "ordId")
        for kind in ALGO_KINDS:
            request = {"instType": "SWAP", "ordType": kind}
            rows += await self._pages(self._client.privateGetTradeOrdersAlgoPending, request, "algoId")
        found = parse_orders(rows, self._contract_of)
        return [order for order in found if isinstance(order, OrderSeen)]

    async def _pages(self, ask: Any, request: dict[str, str], key: str) -> list[Payload]:
        where = "pending orders"
        rows: list[Payload] = []
        after: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            page = data_of(await ask({**request, **after, "limit": str(ORDERS_PAGE)}), where)
            rows += page
            if len(page) < ORDERS_PAGE:
                return rows
            after = {"after": text(page[-1], key, where)}
        raise MalformedFrameError(where, f"the list does not end after {PAGES_MAX} pages")

    def _contract_of(self, code: str) -> Contract | None:
        return contract_of(self._client, code)

    def take(self, url: str, message: Any) -> bool:
        del url
        if not isinstance(message, dict):
            if message == "pong":
                return False
            raise MalformedFrameError("frame", "not a JSON object")
        argument = message.get("arg")
        if not isinstance(argument, dict):
            return False  # logins and errors are ccxt's
        match message.get("event"):
            case None:
                for update in parse_private(message, self._contract_of, self._pooling):
                    self._sink.on_update(update)
            case "subscribe":
                self._acknowledged.add(str(argument.get("channel")))
                everything = self._acknowledged.issuperset((*_PRIVATE_CHANNELS, *_BUSINESS_CHANNELS))
                if everything and not self._answer.is_set():
                    self._answer.set()
                    self._sink.on_connected()
            case _:
                return False
        return True
