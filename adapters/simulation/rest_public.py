"""The venue's public REST endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from adapters.simulation import past
from adapters.simulation.assets import AssetIndex
from adapters.simulation.errors import Refusal, illegal, invalid_symbol, missing
from adapters.simulation.markets import MINUTE_MS, POINT_MS, Candle, Market, MarketStatus
from adapters.simulation.payloads import plain
from adapters.simulation.settings import LoopbackSettings
from adapters.simulation.wire import TradeEvent

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
ORDER_TYPES = ("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET")
INTERVALS_MINUTES = {
    "1m": 1,
    "3m": 3,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "1h": 60,
    "2h": 120,
    "4h": 240,
    "6h": 360,
    "12h": 720,
    "1d": 1440,
}
FUNDING_INTERVAL_MS = 8 * 3_600_000
MONTH_MS = 30 * 86_400_000
STATISTICS_MAX = 500

Parameters = Mapping[str, str]
Handler = Callable[[Parameters], Any]


class PublicApi:
    """Market data; ``routes`` maps method and path to a function of the parameters."""

    def __init__(
        self,
        markets: dict[str, Market],
        assets: AssetIndex,
        settings: LoopbackSettings,
        clock_ms: Callable[[], int],
    ) -> None:
        self._markets = markets
        self._assets = assets
        self._settings = settings
        self._clock_ms = clock_ms

    def routes(self) -> dict[tuple[str, str], Handler]:
        return {
            ("GET", "/fapi/v1/ping"): lambda _: {},
            ("GET", "/fapi/v1/time"): lambda _: {"serverTime": self._clock_ms()},
            ("GET", "/fapi/v1/exchangeInfo"): self.exchange_info,
            # No coin-margined contracts; ccxt's class of all of Binance asks for them all the same.
            ("GET", "/dapi/v1/exchangeInfo"): lambda _: {"symbols": []},
            ("GET", "/fapi/v1/depth"): self.depth,
            ("GET", "/fapi/v1/premiumIndex"): self.premium_index,
            ("GET", "/fapi/v1/assetIndex"): self.asset_index,
            ("GET", "/fapi/v1/openInterest"): self.open_interest,
            ("GET", "/futures/data/openInterestHist"): self.open_interest_history,
            ("GET", "/futures/data/globalLongShortAccountRatio"): self.account_ratio,
            ("GET", "/fapi/v1/fundingRate"): self.funding_rate,
            ("GET", "/fapi/v1/fundingInfo"): lambda _: [],
            ("GET", "/fapi/v1/klines"): self.klines,
            ("GET", "/fapi/v1/trades"): self.trades,
            ("GET", "/fapi/v1/aggTrades"): self.aggregate_trades,
            ("GET", "/fapi/v1/ticker/price"): self.ticker_price,
            ("GET", "/fapi/v2/ticker/price"): self.ticker_price,
            ("GET", "/fapi/v1/ticker/bookTicker"): self.ticker_book,
            ("GET", "/fapi/v1/ticker/24hr"): self.ticker_day,
        }

    def exchange_info(self, _: Parameters) -> Any:
        return {
            "timezone": "UTC",
            "serverTime": self._clock_ms(),
            "futuresType": "U_MARGINED",
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
                {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
            ],
            "exchangeFilters": [],
            "assets": [
                {"asset": asset, "marginAvailable": True, "autoAssetExchange": "-10000"}
                for asset in self._assets.assets
            ],
            "symbols": [self._symbol_info(market) for market in self._listed()],
        }

    def depth(self, parameters: Parameters) -> Any:
        market = self._market(parameters)
        limit = _integer(parameters, "limit", 500)
        if limit not in DEPTH_LIMITS:
            raise Refusal(-4021, f"{limit} is not valid depth limit.")
        book = market.book
        return {
            "lastUpdateId": book.update_id,
            "E": self._clock_ms(),
            "T": book.at_ms,
            "bids": book.bids.top(limit),
            "asks": book.asks.top(limit),
        }

    def premium_index(self, parameters: Parameters) -> Any:
        return self._one_or_all(parameters, self._premium)

    def asset_index(self, parameters: Parameters) -> Any:
        """What multi-assets mode counts each asset for."""
        rows = [self._asset(asset) for asset in self._assets.assets]
        if "symbol" not in parameters:
            return rows
        found = next((row for row in rows if row["symbol"] == parameters["symbol"]), None)
        if found is None:
            raise invalid_symbol()
        return found

    def open_interest(self, parameters: Parameters) -> Any:
        market = self._market(parameters)
        return {
            "openInterest": plain(market.open_interest, 3),
            "symbol": market.spec.symbol,
            "time": self._clock_ms(),
        }

    def open_interest_history(self, parameters: Parameters) -> Any:
        """Every five minutes of what the source remembers."""
        market = self._market(parameters)
        start_ms, end_ms, limit = self._statistics(parameters)
        return [
            {
                "symbol": market.spec.symbol,
                "sumOpenInterest": f"{point.open_interest:.8f}",
                "sumOpenInterestValue": f"{point.open_interest * point.price:.8f}",
                "CMCCirculatingSupply": "0",
                "timestamp": point.at // 10**6,
            }
            for point in past.between(market, start_ms, end_ms, limit)
        ]

    def account_ratio(self, parameters: Parameters) -> Any:
        """The latest alone: the venue keeps no older ones."""
        market = self._market(parameters)
        self._statistics(parameters)
        longs = market.longs_share
        ratio = longs / (1 - longs) if longs < 1 else Decimal(0)
        return [
            {
                "symbol": market.spec.symbol,
                "longAccount": plain(longs, 4),
                "longShortRatio": plain(ratio, 4),
                "shortAccount": plain(1 - longs, 4),
                "timestamp": self._clock_ms() // POINT_MS * POINT_MS,
            }
        ]

    def _statistics(self, parameters: Parameters) -> tuple[int, int, int]:
        """Begin, end and number of rows; five minutes only, and no more than a month back."""
        if parameters.get("period") != "5m":
            raise illegal("period")
        start_ms = _integer(parameters, "startTime", self._clock_ms() - MONTH_MS)
        if start_ms < self._clock_ms() - MONTH_MS:
            raise illegal("startTime")
        limit = _integer(parameters, "limit", 30)
        if not 0 < limit <= STATISTICS_MAX:
            raise illegal("limit")
        return start_ms, _integer(parameters, "endTime", 1 << 62), limit

    def funding_rate(self, parameters: Parameters) -> Any:
        """The rate in force, dated at the start of its interval: the venue keeps no older ones."""
        markets = [self._market(parameters)] if "symbol" in parameters else self._listed()
        return [
            {
                "symbol": market.spec.symbol,
                "fundingTime": self._next_funding_ms(market) - FUNDING_INTERVAL_MS,
                "fundingRate": plain(market.funding_rate, 8),
                "markPrice": plain(market.mark, 8),
            }
            for market in markets
        ]

    def klines(self, parameters: Parameters) -> Any:
        market = self._market(parameters)
        interval = parameters.get("interval")
        if interval is None:
            raise missing("interval")
        minutes = INTERVALS_MINUTES.get(interval)
        if minutes is None:
            raise Refusal(-1120, "Invalid interval.")
        start_ms = _integer(parameters, "startTime", 0)
        end_ms = _integer(parameters, "endTime", 1 << 62)
        span_ms = minutes * MINUTE_MS
        rows = [_candle_row(candle, span_ms) for candle in past.candles(market, start_ms, end_ms, span_ms)]
        return rows[-_integer(parameters, "limit", 500) :]

    def trades(self, parameters: Parameters) -> Any:
        return [
            {
                "id": trade.t or trade.a,
                "price": trade.p,
                "qty": trade.q,
                "quoteQty": plain(Decimal(trade.p) * Decimal(trade.q)),
                "time": trade.T,
                "isBuyerMaker": trade.m,
            }
            for trade in self._recent(parameters)
        ]

    def aggregate_trades(self, parameters: Parameters) -> Any:
        return [
            {
                "a": trade.a or trade.t,
                "p": trade.p,
                "q": trade.q,
                "f": trade.t or trade.a,
                "l": trade.t or trade.a,
                "T": trade.T,
                "m": trade.m,
            }
            for trade in self._recent(parameters)
        ]

    def ticker_price(self, parameters: Parameters) -> Any:
        return self._one_or_all(
            parameters,
            lambda market: {
                "symbol": market.spec.symbol,
                "price": plain(market.last),
                "time": market.now_ns // 1_000_000,
            },
        )

    def ticker_book(self, parameters: Parameters) -> Any:
        return self._one_or_all(parameters, self._best)

    def ticker_day(self, parameters: Parameters) -> Any:
        return self._one_or_all(parameters, self._day)

    def _market(self, parameters: Parameters) -> Market:
        symbol = parameters.get("symbol")
        if not symbol:
            raise missing("symbol")
        market = self._markets.get(symbol)
        if market is None or market.status is MarketStatus.DELISTED:
            raise invalid_symbol()
        return market

    def _one_or_all(self, parameters: Parameters, answer: Callable[[Market], Any]) -> Any:
        if "symbol" in parameters:
            return answer(self._market(parameters))
        return [answer(market) for market in self._listed()]

    def _listed(self) -> list[Market]:
        return [market for market in self._markets.values() if market.status is not MarketStatus.DELISTED]

    def _recent(self, parameters: Parameters) -> list[TradeEvent]:
        limit = _integer(parameters, "limit", 500)
        return list(self._market(parameters).trades)[-limit:]

    def _next_funding_ms(self, market: Market) -> int:
        if market.next_funding_ms:
            return market.next_funding_ms
        return (self._clock_ms() // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS

    def _asset(self, asset: str) -> Any:
        assets = self._assets
        haircut = plain(assets.haircut(asset), 8)
        bid, ask = plain(assets.bid_rate(asset), 8), plain(assets.ask_rate(asset), 8)
        return {
            "symbol": f"{asset}USD",
            "time": self._clock_ms(),
            "index": plain(assets.price(asset), 8),
            "bidBuffer": haircut,
            "askBuffer": haircut,
            "bidRate": bid,
            "askRate": ask,
            # Collateral is sold here for what it counts for.
            "autoExchangeBidBuffer": haircut,
            "autoExchangeAskBuffer": haircut,
            "autoExchangeBidRate": bid,
            "autoExchangeAskRate": ask,
        }

    def _premium(self, market: Market) -> Any:
        return {
            "symbol": market.spec.symbol,
            "markPrice": plain(market.mark, 8),
            "indexPrice": plain(market.index, 8),
            "estimatedSettlePrice": plain(market.mark, 8),
            "lastFundingRate": plain(market.funding_rate, 8),
            "interestRate": "0.00010000",
            "nextFundingTime": self._next_funding_ms(market),
            "time": self._clock_ms(),
        }

    def _best(self, market: Market) -> Any:
        bid = market.book.bids.best() or ("0", "0")
        ask = market.book.asks.best() or ("0", "0")
        return {
            "lastUpdateId": market.book.update_id,
            "symbol": market.spec.symbol,
            "bidPrice": bid[0],
            "bidQty": bid[1],
            "askPrice": ask[0],
            "askQty": ask[1],
            "time": market.book.at_ms,
        }

    def _day(self, market: Market) -> Any:
        day: Candle | None = None
        for candle in list(market.candles.values())[-1440:]:
            day = past.merge(day, candle, candle.open_ms if day is None else day.open_ms)
        if day is None:
            day = Candle(0, market.last, market.last, market.last, market.last)
        change = day.close - day.open
        return {
            "symbol": market.spec.symbol,
            "priceChange": plain(change),
            "priceChangePercent": plain(change / day.open * 100 if day.open else Decimal(0), 3),
            "weightedAvgPrice": plain(day.volume / day.size if day.size else market.last, 8),
            "lastPrice": plain(day.close),
            "lastQty": market.trades[-1].q if market.trades else "0",
            "openPrice": plain(day.open),
            "highPrice": plain(day.high),
            "lowPrice": plain(day.low),
            "volume": plain(day.size),
            "quoteVolume": plain(day.volume, 8),
            "openTime": day.open_ms,
            "closeTime": market.now_ns // 1_000_000,
            "firstId": 0,
            "lastId": 0,
            "count": day.count,
        }

    def _symbol_info(self, market: Market) -> Any:
        spec = market.spec
        return {
            "symbol": spec.symbol,
            "pair": spec.symbol,
            "contractType": "PERPETUAL",
            "deliveryDate": 4_133_404_800_000,
            "onboardDate": 1_569_398_400_000,
            "status": "TRADING" if market.status is MarketStatus.TRADING else "BREAK",
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": spec.base,
            "quoteAsset": spec.quote,
            "marginAsset": spec.quote,
            "pricePrecision": _digits(spec.tick),
            "quantityPrecision": _digits(spec.step),
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": [],
            "triggerProtect": "0.0500",
            "liquidationFee": plain(self._settings.liquidation_fee_ratio, 6),
            "marketTakeBound": "0.05",
            "maxMoveOrderLimit": 10_000,
            "filters": [
                {
                    "filterType": "PRICE_FILTER",
                    "minPrice": plain(spec.tick),
                    "maxPrice": "4529764",
                    "tickSize": plain(spec.tick),
                },
                {
                    "filterType": "LOT_SIZE",
                    "minQty": plain(spec.step),
                    "maxQty": "1000000",
                    "stepSize": plain(spec.step),
                },
                {
                    "filterType": "MARKET_LOT_SIZE",
                    "minQty": plain(spec.step),
                    "maxQty": "1000000",
                    "stepSize": plain(spec.step),
                },
                {"filterType": "MAX_NUM_ORDERS", "limit": 200},
                {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 200},
                {"filterType": "MIN_NOTIONAL", "notional": plain(spec.notional_min)},
            ],
            "orderTypes": list(ORDER_TYPES),
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        }


def _digits(unit: Decimal) -> int:
    return max(0, -int(unit.normalize().as_tuple().exponent))


def _integer(parameters: Parameters, name: str, default: int) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    if not text.isdigit():
        raise illegal(name)
    return int(text)


def _candle_row(candle: Candle, span_ms: int) -> list[Any]:
    return [
        candle.open_ms,
        plain(candle.open),
        plain(candle.high),
        plain(candle.low),
        plain(candle.close),
        plain(candle.size),
        candle.open_ms + span_ms - 1,
        plain(candle.volume, 8),
        candle.count,
        plain(candle.bought),
        plain(candle.bought_volume, 8),
        "0",
    ]
