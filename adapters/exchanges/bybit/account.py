"""The private side of Bybit through the tapped ccxt client: a unified trading account, reading only."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import structlog

from adapters.exchanges.answers import answered
from adapters.exchanges.bybit.client import DEFAULTS
from adapters.exchanges.bybit.payloads import (
    AccountMode,
    parse_account_mode,
    parse_open_orders,
    parse_permissions,
    parse_positions,
    parse_private,
    parse_wallet,
)
from adapters.exchanges.ccxt_session import Credentials, Markets
from adapters.exchanges.keyed_account import KeyedAccount
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import (
    AccountReading,
    AccountSink,
    KeyPermissions,
    OrderSeen,
    PositionSeen,
)
from guard.errors import MalformedFrameError

SETTLE_COINS = ("USDT", "USDC")
"""Linear positions and orders are listed by the coin in which they settle."""

TOPICS = ("position", "wallet", "order")
LOGIN_MS = 10_000
"""A login may be so long on its way."""
POSITIONS_PAGE = 200
ORDERS_PAGE = 50
PAGES_MAX = 200
"""More pages than any list has: a cursor that never ends must not be followed for ever."""

log = structlog.get_logger()


class BybitAccount(KeyedAccount):
    """An AccountConnection (see ``venue``): one ccxt client with one private stream."""

    CLOCK_REFUSED = '"retCode":10002,'

    def __init__(
        self, settings: VenueSettings, sink: AccountSink, markets: Markets, credentials: Credentials
    ) -> None:
        super().__init__(settings, sink, markets, credentials, DEFAULTS)
        self._mode = AccountMode()
        self._answer = asyncio.Event()

    async def load(self) -> None:
        await super().load()
        await self._asked(self._read_mode())

    async def _read_mode(self) -> None:
        before, self._mode = self._mode, parse_account_mode(await self._client.privateGetV5AccountInfo())
        if before.has_inverse and not self._mode.has_inverse:
            log.warning(
                "inverse contracts have a wallet of their own before UTA 2.0, which is not read: upgrade the account",
                venue=self._venue,
            )

    async def permissions(self) -> KeyPermissions:
        return parse_permissions(await self._asked(self._client.privateGetV5UserQueryApi()))

    async def watch(self) -> None:
        self._answer.clear()
        try:
            await answered(self._venue, self._keep(), self._answer)
        finally:
            self.reopen("the private stream is opened anew, or not watched any more")

    async def _keep(self) -> None:
        url = self._client.implode_hostname(self._client.urls["api"]["ws"]["private"]["contract"])
        while True:
            await self._asked(self._subscribe(url))

    async def _subscribe(self, url: str) -> None:
        await self._log_in(url)
        # The names of ccxt's futures are its own topics: no handler of ccxt resolves these.
        names = [f"perpguard:{topic}" for topic in TOPICS]
        await self._client.watch_topics(url, names, list(TOPICS))

    async def _log_in(self, url: str) -> None:
        """As ccxt's ``authenticate``, but by the venue's clock: ours may be minutes away from it."""
        client = self._client
        now_ms = client.milliseconds() - int(client.options.get("timeDifference") or 0)
        expires = str(now_ms + LOGIN_MS)
        signed, secret = client.encode(f"GET/realtime{expires}"), client.encode(client.secret)
        signature = client.hmac(signed, secret, hashlib.sha256, "hex")
        request = {"op": "auth", "args": [client.apiKey, expires, signature]}
        await client.watch(url, "authenticated", request, "authenticated")

    async def _read(self, *, orders: bool) -> AccountReading:
        found: list[OrderSeen] | None = None
        if orders:
            await self._read_mode()
            found = [order for part in self._parts() for order in await self._orders(part)]
        positions = [position for part in self._parts() for position in await self._positions(part)]
        wallet = await self._client.privateGetV5AccountWalletBalance({"accountType": "UNIFIED"})
        totals = parse_wallet(wallet, self._mode)
        return AccountReading(totals=totals, positions=positions, orders=found)

    def _parts(self) -> list[dict[str, str]]:
        """What has to be asked for apart: linear contracts by the coin in which they settle, and inverse ones."""
        linear = [{"category": "linear", "settleCoin": coin} for coin in SETTLE_COINS]
        return [*linear, {"category": "inverse"}] if self._mode.has_inverse else linear

    async def _positions(self, part: dict[str, str]) -> list[PositionSeen]:
        found: list[PositionSeen] = []
        request: dict[str, Any] = {**part, "limit": POSITIONS_PAGE}
        for _ in range(PAGES_MAX):
            response = await self._client.privateGetV5PositionList(request)
            page, cursor = parse_positions(response, self._mode)
            found += page
            if not cursor:
                return found
            request["cursor"] = cursor
        raise MalformedFrameError("GET /v5/position/list", f"the list does not end after {PAGES_MAX} pages")

    async def _orders(self, part: dict[str, str]) -> list[OrderSeen]:
        found: list[OrderSeen] = []
        request: dict[str, Any] = {**part, "limit": ORDERS_PAGE}
        for _ in range(PAGES_MAX):
            page, cursor = parse_open_orders(await self._client.privateGetV5OrderRealtime(request))
            found += page
            if not cursor:
                return found
            request["cursor"] = cursor
        raise MalformedFrameError("GET /v5/order/realtime", f"the list does not end after {PAGES_MAX} pages")

    def take(self, url: str, message: Any) -> bool:
        if not isinstance(message, dict):
            raise MalformedFrameError("frame", "not a JSON object")
        if isinstance(message.get("topic"), str):
            self._take_answer()  # what comes was subscribed to, even if the venue's word for it was lost
            for update in parse_private(message, self._mode):
                self._sink.on_update(update)
            return True
        succeeded = message.get("success")
        match message.get("op"):
            case "auth" if succeeded is False:
                self._refused(url, str(message.get("ret_msg")))
                return True
            case "subscribe" if succeeded is not False:
                self._take_answer()
                return True
            case _:
                return False

    def _take_answer(self) -> None:
        if not self._answer.is_set():
            self._answer.set()
            self._sink.on_connected()

    def _refused(self, url: str, reason: str) -> None:
        """Fail with what makes it a matter of the key; of this answer ccxt makes an ordinary error."""
        from ccxt.base.errors import AuthenticationError  # noqa: PLC0415 - loaded with the first client

        socket = (self._client.clients or {}).get(url)
        if socket is not None:
            socket.on_error(AuthenticationError(reason))

    def symbol_of(self, market_code: str) -> str:
        """Of an inverse perpetual ccxt's name for it, though its market is not loaded."""
        symbol = super().symbol_of(market_code)
        coin = market_code.removesuffix("USD")
        return f"{coin}/USD:{coin}" if symbol == market_code and coin != market_code else symbol
