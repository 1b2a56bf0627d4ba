"""Spot prices as Kraken, Bitstamp and Bitfinex spell them, on loopback: just what ccxt asks for best bid and ask.

Shapes from the venues' public documentation as quoted in ccxt 4.5.90 (docs.kraken.com/api-reference/market-data,
bitstamp.net/api, docs.bitfinex.com/reference); figures are made up.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from aiohttp import web

HALF_SPREAD = 0.0001


class SpotServer:
    """One venue: ``prices`` by pair (``USDT/USD``) may be changed at any time."""

    def __init__(self, venue: str, prices: dict[str, float]) -> None:
        self.venue = venue
        self.prices = prices
        self.is_down = False
        self.wait_s: int | None = None
        """While set, everything is refused with 429, and this as the time to wait."""
        self.paths: list[str] = []
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def urls(self) -> dict[str, Any]:
        """For the settings: in the shape of ccxt's ``urls``."""
        base = f"{self._url}/api" if self.venue == "bitstamp" else self._url
        return {"api": dict.fromkeys(("public", "private", "v1"), base)}

    async def _handle(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        if self.is_down:
            return web.Response(status=502, text="Bad Gateway")
        if self.wait_s is not None:
            return web.Response(status=429, headers={"Retry-After": str(self.wait_s)})
        answer = {"kraken": self._kraken, "bitstamp": self._bitstamp, "bitfinex": self._bitfinex}[self.venue]
        return web.json_response(answer(request))

    def _kraken(self, request: web.Request) -> Any:
        if request.path.endswith("AssetPairs"):
            return {"error": [], "result": {_joined(pair): _kraken_pair(pair) for pair in self.prices}}
        wanted = request.query["pair"].split(",")
        return {
            "error": [],
            "result": {
                _joined(pair): {
                    "a": [f"{mid * (1 + HALF_SPREAD):.6f}", "1", "1.000"],
                    "b": [f"{mid * (1 - HALF_SPREAD):.6f}", "1", "1.000"],
                    "c": [f"{mid}", "0.1"],
                }
                for pair, mid in self.prices.items()
                if _joined(pair) in wanted
            },
        }

    def _bitstamp(self, request: web.Request) -> Any:
        if "/ticker/" not in request.path:
            return [_bitstamp_pair(pair) for pair in self.prices]
        name = request.path.rstrip("/").rpartition("/")[2]
        mid = next(mid for pair, mid in self.prices.items() if _joined(pair).lower() == name)
        return {
            "timestamp": "1686068944",
            "last": f"{mid}",
            "bid": f"{mid * (1 - HALF_SPREAD):.6f}",
            "ask": f"{mid * (1 + HALF_SPREAD):.6f}",
            "volume": "1",
        }

    def _bitfinex(self, request: web.Request) -> Any:
        if "/conf/" in request.path:
            terms = [None, None, None, "0.02", "5000.0"]
            return [[[_bitfinex_id(pair), terms] for pair in self.prices], [], [], []]
        wanted = request.query["symbols"].split(",")
        return [
            [name, mid * (1 - HALF_SPREAD), 1.0, mid * (1 + HALF_SPREAD), 1.0, 0, 0, mid, 1.0, mid, mid]
            for pair, mid in self.prices.items()
            if (name := "t" + _bitfinex_id(pair)) in wanted
        ]


def _joined(pair: str) -> str:
    return pair.replace("/", "")


def _kraken_pair(pair: str) -> dict[str, Any]:
    base, _, quote = pair.partition("/")
    return {
        "altname": _joined(pair),
        "wsname": pair,
        "aclass_base": "currency",
        "base": base,
        "aclass_quote": "currency",
        "quote": "ZUSD" if quote == "USD" else quote,
        "pair_decimals": 5,
        "lot_decimals": 8,
        "fees": [[0, 0.26]],
        "fees_maker": [[0, 0.16]],
        "ordermin": "1",
        "status": "online",
    }


def _bitstamp_pair(pair: str) -> dict[str, Any]:
    base, _, quote = pair.partition("/")
    return {
        "name": pair,
        "market_symbol": _joined(pair).lower(),
        "base_currency": base,
        "base_decimals": 8,
        "counter_currency": quote,
        "counter_decimals": 5,
        "minimum_order_value": "10",
        "trading": "Enabled",
        "market_type": "SPOT",
    }


def _bitfinex_id(pair: str) -> str:
    base, _, quote = pair.replace("USDT", "UST").partition("/")
    return f"{base}{quote}" if len(base) == len(quote) == 3 else f"{base}:{quote}"
