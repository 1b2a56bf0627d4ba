"""A venue on loopback of which only spot prices are asked: what others are measured against."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from adapters.simulation.errors import Refusal
from adapters.simulation.spot import BinanceSpot, BybitSpot, Markets, OkxSpot, SpotMarket
from adapters.simulation.wire import encode

NS_PER_MS = 1_000_000
_BINANCE_PATHS = {"public": "/api/v3", "fapiPublic": "/fapi/v1", "dapiPublic": "/dapi/v1", "sapi": "/sapi/v1"}

Speaker = BinanceSpot | BybitSpot | OkxSpot
_SPEAKERS: dict[str, Callable[[Markets, Callable[[], int]], Speaker]] = {
    "binance": BinanceSpot,
    "bybit": BybitSpot,
    "okx": OkxSpot,
}


class LoopbackSpot:
    """Spot prices that unmodified ccxt reads: ``fetch_tickers`` and ``fetch_bids_asks`` where the class has them.

    Use it as an async context manager::

        async with LoopbackSpot("okx", {"USDE": 1.0}) as spot:
            client = ccxt.okx({"urls": spot.ccxt_urls()})
    """

    def __init__(
        self,
        exchange: str,
        prices: Mapping[str, float],
        *,
        quote: str = "USDT",
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Set it up; nothing listens before ``start``.

        Args:
            exchange: ccxt's id of whose language it speaks: ``binance``, ``bybit`` or ``okx``.
            prices: of each asset, in ``quote``.
            quote: what all of them are traded against.
            host: where to listen.
            port: 0 takes a free one.
            clock: Unix time in ns.

        Raises:
            ValueError: there is no such language, or what is no price.
        """
        self.exchange = exchange
        self.refused = 0
        """How many requests have found it out of service."""
        self.asked = 0
        """How many requests have been answered."""
        self._quote = quote
        self._prices: dict[str, Decimal] = {}
        self._out_of_service = False
        if exchange not in _SPEAKERS:
            raise ValueError(f"{exchange}: no spot venue speaks this; there are {', '.join(_SPEAKERS)}")
        self._speaker = _SPEAKERS[exchange](self._markets, lambda: clock() // NS_PER_MS)
        for asset, price in prices.items():
            self.set_price(asset, price)
        self._host, self._port = host, port
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def ccxt_urls(self) -> dict[str, Any]:
        """The value for ``{"urls": ...}`` of ccxt's configuration."""
        rest = f"http://{self._host}:{self._port}"
        match self.exchange:
            case "binance":
                return {"api": {name: rest + path for name, path in _BINANCE_PATHS.items()}}
            case "bybit":
                return {"api": dict.fromkeys(("spot", "futures", "v2", "public", "private"), rest)}
            case _:
                return {"api": {"rest": rest}}

    def set_price(self, asset: str, price: float) -> None:
        """Let an asset trade at this from now on; one that was not listed is.

        Raises:
            ValueError: it is no price.
        """
        exact = Decimal(str(price))
        if not exact.is_finite() or exact <= 0:
            raise ValueError(f"{asset}: {price} is no price")
        self._prices[asset] = exact

    def delist(self, asset: str) -> None:
        """List an asset no longer.

        Raises:
            KeyError: it is not listed.
        """
        del self._prices[asset]

    def break_down(self, out_of_service: bool = True) -> None:
        """Answer everything with HTTP 503, or answer again."""
        self._out_of_service = out_of_service

    def _markets(self) -> list[SpotMarket]:
        return [SpotMarket(asset, self._quote, price) for asset, price in self._prices.items()]

    async def _handle(self, request: web.Request) -> web.Response:
        if self._out_of_service:
            self.refused += 1
            return web.Response(status=503, text="Service Unavailable")
        try:
            answer, status = self._answer(request), 200
        except Refusal as refusal:
            answer, status = {"code": str(refusal.code), "msg": refusal.message}, refusal.status
        self.asked += 1
        return web.Response(body=encode(answer), status=status, content_type="application/json")

    def _answer(self, request: web.Request) -> Any:
        speaker, path = self._speaker, request.path
        if isinstance(speaker, BinanceSpot):
            if path in ("/fapi/v1/exchangeInfo", "/dapi/v1/exchangeInfo"):
                return {"symbols": []}  # ccxt's binance asks for its contracts too, unless told otherwise
            return speaker.answer(path, request.query)
        return speaker.enveloped(speaker.answer(path, request.query))
