"""A venue that is watched in one language and traded in Binance's, on one port.

The bots of the demo and of the tests trade through ccxt's binanceusdm; so they do on every loopback venue, and
whoever reads one in its own language sees what they did there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from adapters.simulation.account import VenueAccount
from adapters.simulation.binance import BinanceDialect
from adapters.simulation.dialects import Dialect, RestRequest, VenueParts
from adapters.simulation.errors import Refusal
from adapters.simulation.source import FrameKind
from adapters.simulation.streams import Connection

if TYPE_CHECKING:
    from aiohttp import web

_TRADING_PATHS = ("/fapi/", "/sapi/")


class _TradingRefusal(Refusal):
    """A refusal to say in Binance's words."""


class Bilingual:
    """A Dialect (see ``dialects``): ``spoken`` first, and Binance's where that knows nothing of it."""

    def __init__(self, spoken: Dialect, parts: VenueParts) -> None:
        self.spoken = spoken
        self._trading = BinanceDialect(parts)
        self._traders: WeakSet[Connection] = WeakSet()

    def ccxt_urls(self, host: str, port: int) -> dict[str, Any]:
        return self.spoken.ccxt_urls(host, port)

    async def answer(self, request: RestRequest) -> Any:
        if not request.path.startswith(_TRADING_PATHS):
            return await self.spoken.answer(request)
        try:
            return await self._trading.answer(request)
        except Refusal as refusal:
            raise _TradingRefusal(refusal.code, refusal.message, refusal.status) from refusal

    def refused(self, refusal: Refusal) -> tuple[Any, int]:
        if isinstance(refusal, _TradingRefusal):
            return self._trading.refused(refusal)
        return self.spoken.refused(refusal)

    def admit(self, connection: Connection, request: web.Request) -> bool:
        if self.spoken.admit(connection, request):
            return True
        self._traders.add(connection)
        return self._trading.admit(connection, request)

    def hear(self, connection: Connection, text: str) -> None:
        heard = self._trading if connection in self._traders else self.spoken
        heard.hear(connection, text)

    def publish(self, symbol: str, kind: FrameKind, payload: bytes) -> None:
        self.spoken.publish(symbol, kind, payload)
        self._trading.publish(symbol, kind, payload)

    def has_subscribers(self, symbol: str, kind: FrameKind) -> bool:
        return self.spoken.has_subscribers(symbol, kind) or self._trading.has_subscribers(symbol, kind)

    def tell(self, account: VenueAccount, event: dict[str, Any]) -> None:
        self.spoken.tell(account, event)
        self._trading.tell(account, event)
