"""What spot markets of a venue show, as Binance, Bybit and OKX spell it: markets and best prices, nothing to trade."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from adapters.simulation.assets import SETTLE, AssetIndex
from adapters.simulation.errors import Refusal, invalid_symbol
from adapters.simulation.payloads import plain

Json = dict[str, Any]
Parameters = Mapping[str, str]

SPREAD_BPS = Decimal(2)
OFFERED_USD = Decimal(250_000)
"""What stands at the touch on either side."""
TICK, STEP = Decimal("0.0001"), Decimal("0.0001")
_SIX = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class SpotMarket:
    """One market at one moment; prices in its quote."""

    base: str
    quote: str
    price: Decimal
    spread_bps: Decimal = SPREAD_BPS

    @property
    def bid(self) -> Decimal:
        return (self.price * (1 - self.spread_bps / 20_000)).quantize(_SIX)

    @property
    def ask(self) -> Decimal:
        return (self.price * (1 + self.spread_bps / 20_000)).quantize(_SIX)

    @property
    def size(self) -> Decimal:
        """At the touch, base units."""
        return (OFFERED_USD / self.price).quantize(STEP)


Markets = Callable[[], Sequence[SpotMarket]]


def markets_of(assets: AssetIndex) -> list[SpotMarket]:
    """A venue's own spot markets of what it takes as margin, at the prices that it values it at."""
    settle = assets.price(SETTLE)
    return [
        SpotMarket(asset, SETTLE, assets.price(asset) / settle) for asset in assets.assets if asset != SETTLE
    ]


class BinanceSpot:
    """``/api/v3``: ``answer`` knows its paths."""

    PREFIX = "/api/v3/"

    def __init__(self, markets: Markets, clock_ms: Callable[[], int]) -> None:
        self._markets = markets
        self._clock_ms = clock_ms

    def answer(self, path: str, parameters: Parameters) -> Any:
        """Answer a GET.

        Raises:
            Refusal: as the venue would.
        """
        match path.removeprefix(self.PREFIX):
            case "ping":
                return {}
            case "time":
                return {"serverTime": self._clock_ms()}
            case "exchangeInfo":
                return {
                    "timezone": "UTC",
                    "serverTime": self._clock_ms(),
                    "rateLimits": [],
                    "exchangeFilters": [],
                    "symbols": [_binance_market(market) for market in self._markets()],
                }
            case "ticker/bookTicker":
                return self._rows(parameters, _binance_best)
            case "ticker/24hr":
                return self._rows(parameters, self._day)
            case _:
                raise Refusal(-5000, f"Path {path}, Method GET is invalid", 404)

    def _rows(self, parameters: Parameters, row: Callable[[SpotMarket], Json]) -> Any:
        markets = {_joined(market): market for market in self._markets()}
        wanted = [parameters["symbol"]] if "symbol" in parameters else _names(parameters.get("symbols"))
        if wanted is not None and not set(wanted) <= set(markets):
            raise invalid_symbol()
        found = [row(markets[name]) for name in (markets if wanted is None else wanted)]
        return found[0] if "symbol" in parameters else found

    def _day(self, market: SpotMarket) -> Json:
        last = plain(market.price)
        now_ms = self._clock_ms()
        return {
            **_binance_best(market),
            "priceChange": "0",
            "priceChangePercent": "0.000",
            "weightedAvgPrice": last,
            "prevClosePrice": last,
            "lastPrice": last,
            "lastQty": "1",
            "openPrice": last,
            "highPrice": last,
            "lowPrice": last,
            "volume": plain(market.size * 1000),
            "quoteVolume": plain(OFFERED_USD * 1000),
            "openTime": now_ms - 86_400_000,
            "closeTime": now_ms,
            "firstId": 1,
            "lastId": 2,
            "count": 2,
        }


class BybitSpot:
    """``/v5/market`` of category ``spot``: ``answer`` returns the ``result``."""

    PREFIX = "/v5/market/"

    def __init__(self, markets: Markets, clock_ms: Callable[[], int]) -> None:
        self._markets = markets
        self._clock_ms = clock_ms

    def answer(self, path: str, parameters: Parameters) -> Any:
        """Answer a GET; of other categories there is nothing.

        Raises:
            Refusal: as the venue would.
        """
        category = parameters.get("category", "")
        markets = self._markets() if category == "spot" else ()
        if "symbol" in parameters:
            markets = [market for market in markets if _joined(market) == parameters["symbol"]]
            if not markets:
                raise Refusal(10001, "params error: symbol invalid")
        match path.removeprefix(self.PREFIX):
            case "time":
                now_ms = self._clock_ms()
                return {"timeSecond": str(now_ms // 1000), "timeNano": str(now_ms * 1_000_000)}
            case "instruments-info":
                rows = [_bybit_market(market) for market in markets]
                return {"category": category, "list": rows, "nextPageCursor": ""}
            case "tickers":
                return {"category": category, "list": [_bybit_ticker(market) for market in markets]}
            case _:
                raise Refusal(404, f"no such path: GET {path}", 404)

    def enveloped(self, result: Any) -> Json:
        """The whole answer."""
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self._clock_ms()}


class OkxSpot:
    """``/api/v5``: markets and tickers of instrument type ``SPOT``."""

    PREFIX = "/api/v5/"

    def __init__(self, markets: Markets, clock_ms: Callable[[], int]) -> None:
        self._markets = markets
        self._clock_ms = clock_ms

    def answer(self, path: str, parameters: Parameters) -> Any:
        """Answer a GET with the ``data``; of other instrument types there is nothing.

        Raises:
            Refusal: as the venue would.
        """
        markets: Sequence[SpotMarket] = self._markets()
        match path.removeprefix(self.PREFIX):
            case "public/time":
                return [{"ts": str(self._clock_ms())}]
            case "public/instruments":
                return [_okx_market(market) for market in _of_spot(markets, parameters)]
            case "market/tickers":
                return [self._ticker(market) for market in _of_spot(markets, parameters)]
            case "market/ticker":
                found = [market for market in markets if _dashed(market) == parameters.get("instId")]
                if not found:
                    raise Refusal(51001, "Instrument ID or Spread ID doesn't exist.", 200)
                return [self._ticker(market) for market in found]
            case _:
                raise Refusal(404, f"no such path: GET {path}", 404)

    def enveloped(self, data: Any) -> Json:
        """The whole answer."""
        return {"code": "0", "msg": "", "data": data}

    def _ticker(self, market: SpotMarket) -> Json:
        last, size = plain(market.price), plain(market.size)
        return {
            "instType": "SPOT",
            "instId": _dashed(market),
            "last": last,
            "lastSz": "1",
            "askPx": plain(market.ask),
            "askSz": size,
            "bidPx": plain(market.bid),
            "bidSz": size,
            "open24h": last,
            "high24h": last,
            "low24h": last,
            "volCcy24h": plain(OFFERED_USD * 1000),
            "vol24h": plain(market.size * 1000),
            "ts": str(self._clock_ms()),
            "sodUtc0": last,
            "sodUtc8": last,
        }


def _joined(market: SpotMarket) -> str:
    return f"{market.base}{market.quote}"


def _dashed(market: SpotMarket) -> str:
    return f"{market.base}-{market.quote}"


def _of_spot(markets: Sequence[SpotMarket], parameters: Parameters) -> Sequence[SpotMarket]:
    return markets if parameters.get("instType") == "SPOT" else ()


def _names(text: str | None) -> list[str] | None:
    """The markets that ``symbols=["A","B"]`` names."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.MsgspecError as error:
        raise Refusal(-1100, "Illegal characters found in parameter 'symbols'.") from error


def _binance_best(market: SpotMarket) -> Json:
    size = plain(market.size)
    return {
        "symbol": _joined(market),
        "bidPrice": plain(market.bid),
        "bidQty": size,
        "askPrice": plain(market.ask),
        "askQty": size,
    }


def _binance_market(market: SpotMarket) -> Json:
    return {
        "symbol": _joined(market),
        "status": "TRADING",
        "baseAsset": market.base,
        "baseAssetPrecision": 8,
        "quoteAsset": market.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": plain(TICK),
                "maxPrice": "1000000",
                "tickSize": plain(TICK),
            },
            {"filterType": "LOT_SIZE", "minQty": plain(STEP), "maxQty": "9000000", "stepSize": plain(STEP)},
            {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True, "avgPriceMins": 5},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
    }


def _bybit_market(market: SpotMarket) -> Json:
    return {
        "symbol": _joined(market),
        "baseCoin": market.base,
        "quoteCoin": market.quote,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "none",
        "lotSizeFilter": {
            "basePrecision": plain(STEP),
            "quotePrecision": "0.00000001",
            "minOrderQty": plain(STEP),
            "maxOrderQty": "1000000",
            "minOrderAmt": "5",
            "maxOrderAmt": "2000000",
        },
        "priceFilter": {"tickSize": plain(TICK)},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    }


def _bybit_ticker(market: SpotMarket) -> Json:
    last, size = plain(market.price), plain(market.size)
    return {
        "symbol": _joined(market),
        "bid1Price": plain(market.bid),
        "bid1Size": size,
        "ask1Price": plain(market.ask),
        "ask1Size": size,
        "lastPrice": last,
        "prevPrice24h": last,
        "price24hPcnt": "0",
        "highPrice24h": last,
        "lowPrice24h": last,
        "turnover24h": plain(OFFERED_USD * 1000),
        "volume24h": plain(market.size * 1000),
        "usdIndexPrice": last,
    }


def _okx_market(market: SpotMarket) -> Json:
    return {
        "alias": "",
        "baseCcy": market.base,
        "category": "1",
        "ctMult": "",
        "ctType": "",
        "ctVal": "",
        "ctValCcy": "",
        "expTime": "",
        "instFamily": "",
        "instId": _dashed(market),
        "instType": "SPOT",
        "lever": "",
        "listTime": "1548133413000",
        "lotSz": plain(STEP),
        "maxLmtSz": "1000000",
        "maxMktSz": "1000000",
        "minSz": plain(STEP),
        "optType": "",
        "quoteCcy": market.quote,
        "settleCcy": "",
        "state": "live",
        "stk": "",
        "tickSz": plain(TICK),
        "uly": "",
    }
