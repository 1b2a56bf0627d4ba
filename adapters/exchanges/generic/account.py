"""The private side of any venue over ccxt's unified API: REST tells the account, its streams only when to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

from adapters.exchanges.ccxt_session import (
    Credentials,
    Markets,
    as_venue_error,
    asked,
    close_client,
    make_client,
    network_error,
)
from adapters.exchanges.generic.market import DEFAULTS
from adapters.exchanges.generic.payloads import (
    Contract,
    contract_of,
    read_orders,
    read_positions,
    read_totals,
)
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import (
    AccountReading,
    AccountSink,
    AccountUpdate,
    KeyPermissions,
    OrderSeen,
)
from guard.errors import MalformedFrameError, VenueError
from guard.events import Stream
from guard.ports import Clock
from guard.units import NS_PER_MS

STREAMS = {
    "watchPositions": "watch_positions",
    "watchOrders": "watch_orders",
    "watchBalance": "watch_balance",
}

SETTLE_NS = 250 * NS_PER_MS
"""A burst of private events asks for one reading."""

log = structlog.get_logger()


class GenericAccount:
    """An AccountConnection (see ``venue``)."""

    def __init__(
        self,
        settings: VenueSettings,
        sink: AccountSink,
        clock: Clock,
        markets: Markets,
        credentials: Credentials,
    ) -> None:
        self._venue = settings.id
        self._sink = sink
        self._clock = clock
        self._markets = markets
        self._client = make_client(settings, self, credentials=credentials, defaults=DEFAULTS)
        self._contracts: dict[str, Contract] = {}
        self._sees_orders = self._client.has.get("fetchOpenOrders") is True
        self._waiting: asyncio.Future[None] | None = None

    async def load(self) -> None:
        await asked(self._venue, self._markets.load(self._client))
        self._contracts = {}
        for symbol, market in self._client.markets.items():
            try:
                if market.get("swap"):
                    self._contracts[symbol] = contract_of(market, self._venue)
            except MalformedFrameError:
                continue  # said when there is a position in it
        if self._client.has.get("fetchPositions") is not True:
            raise VenueError(
                self._venue, "ccxt cannot read positions of this venue: let bots report theirs instead"
            )

    async def permissions(self) -> KeyPermissions:
        return KeyPermissions(None, None, "ccxt has no common way to ask a venue what a key may do")

    async def watch(self) -> None:
        """Wait on whatever private streams there are; without any, REST alone tells the account."""
        names = [call for has, call in STREAMS.items() if self._client.has.get(has) is True]
        if not names:
            self._sink.on_connected()
        self._waiting = asyncio.get_running_loop().create_future()
        await asked(self._venue, self._until_one_fails(names, self._waiting))

    async def _until_one_fails(self, names: Sequence[str], waiting: asyncio.Future[None]) -> None:
        tasks = [asyncio.create_task(self._follow(name), name=f"{self._venue} {name}") for name in names]
        try:
            await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            waiting.cancel()
        for error in ended:
            if isinstance(error, Exception):
                raise error
        raise network_error("the private stream was closed")

    async def _follow(self, name: str) -> None:
        while True:
            await getattr(self._client, name)()
            self._sink.on_update(AccountUpdate(stale=True))
            await self._clock.sleep_until(self._clock.now() + SETTLE_NS)

    async def renew(self) -> None:
        """Ccxt renews by itself what this venue wants renewed."""

    async def read(self, *, orders: bool) -> AccountReading:
        return await asked(self._venue, self._read(orders=orders))

    async def _read(self, *, orders: bool) -> AccountReading:
        positions = await self._client.fetch_positions()
        balance = await self._client.fetch_balance()
        return AccountReading(
            totals=read_totals(balance, positions, self._contracts),
            positions=read_positions(positions, self._contracts),
            orders=await self._orders() if orders and self._sees_orders else None,
            is_only_source=True,
        )

    async def _orders(self) -> list[OrderSeen] | None:
        """Orders are good to know; that they cannot be read must not hide the positions."""
        from ccxt.base.errors import (  # noqa: PLC0415 - loaded by now
            ArgumentsRequired,
            AuthenticationError,
            ExchangeError,
            NotSupported,
        )

        try:
            return read_orders(await self._client.fetch_open_orders(), self._contracts)
        except AuthenticationError:
            raise
        except ExchangeError as error:
            self._sees_orders = not isinstance(error, ArgumentsRequired | NotSupported)
            log.warning(
                "orders cannot be read", venue=self._venue, why=as_venue_error(self._venue, error).detail
            )
            return None

    def symbol_of(self, market_code: str) -> str:
        return market_code

    def reopen(self, reason: str) -> None:
        for url, socket in list((self._client.clients or {}).items()):
            if "://" in url:
                socket.on_error(network_error(reason))
        if self._waiting is not None and not self._waiting.done():
            self._waiting.cancel()

    async def close(self) -> None:
        await close_client(self._client)

    # The tap: called by the client for every frame.

    def on_alive(self, url: str) -> None:
        """Pings and REST watch over it."""

    def on_frame(self, url: str) -> None:
        """Silence is the normal state of a private stream."""

    def on_connected(self, url: str) -> None:
        del url
        self._sink.on_connected()

    def take(self, url: str, message: Any) -> bool:
        del url, message
        return False

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None:
        # The frame holds the account's numbers: it is not passed on.
        del url, frame
        self._sink.on_malformed(None, Stream.ACCOUNT, f"{type(error).__name__}: {error}")
