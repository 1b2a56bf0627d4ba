"""The venue's public REST endpoints as Bybit v5."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from adapters.simulation import past
from adapters.simulation.bybit.payloads import instrument, ticker
from adapters.simulation.dialects import VenueParts
from adapters.simulation.errors import Refusal
from adapters.simulation.markets import MINUTE_MS, POINT_MS, Candle, Market, MarketStatus
from adapters.simulation.payloads import plain

PARAMETER_ERROR = 10001
FUNDING_INTERVAL_MS = 8 * 3_600_000
PERIODS = ("5min", "15min", "30min", "1h", "4h", "1d")
INTERVALS = ("1", "3", "5", "15", "30", "60", "120", "240", "360", "720")

Parameters = Mapping[str, str]
Handler = Callable[[Parameters], Any]


class PublicApi:
    """Market data; ``routes`` maps a path to a function of the parameters, which returns the ``result``."""

    def __init__(self, parts: VenueParts) -> None:
        self._markets = parts.markets
        self._table = parts.engine.table
        self._assets = parts.engine.assets
        self._clock_ms = parts.clock_ms

    def routes(self) -> dict[str, Handler]:
        return {
            "/v5/market/time": self.time,
            "/v5/market/instruments-info": self.instruments,
            "/v5/market/tickers": self.tickers,
            "/v5/market/orderbook": self.orderbook,
            "/v5/market/recent-trade": self.recent_trades,
            "/v5/market/open-interest": self.open_interest,
            "/v5/market/account-ratio": self.account_ratio,
            "/v5/market/kline": self.kline,
            "/v5/market/risk-limit": self.risk_limit,
            "/v5/market/funding/history": self.funding_history,
            "/v5/spot-margin-trade/collateral": self.collateral,
        }

    def time(self, _: Parameters) -> Any:
        now_ms = self._clock_ms()
        return {"timeSecond": str(now_ms // 1000), "timeNano": str(now_ms * 1_000_000)}

    def instruments(self, parameters: Parameters) -> Any:
        wanted = parameters.get("status", "Trading")
        rows = [
            instrument(market, leverage_max=self._table.leverage_max, status="Trading")
            for market in self._listed(parameters)
            if wanted == "Trading"
        ]
        return {"category": parameters.get("category", ""), "list": rows, "nextPageCursor": ""}

    def tickers(self, parameters: Parameters) -> Any:
        rows = [ticker(market, self.next_funding_ms(market)) for market in self._listed(parameters)]
        return {"category": parameters.get("category", ""), "list": rows}

    def orderbook(self, parameters: Parameters) -> Any:
        market, limit = self.market(parameters), _limit(parameters, 25, 1000)
        book = market.book
        return {
            "s": market.spec.symbol,
            "b": book.bids.top(limit),
            "a": book.asks.top(limit),
            "ts": self._clock_ms(),
            "u": book.diffs + 1,
            "seq": book.update_id,
            "cts": book.at_ms,
        }

    def recent_trades(self, parameters: Parameters) -> Any:
        market, limit = self.market(parameters), _limit(parameters, 500, 1000)
        rows = [
            {
                "execId": str(event.t or event.a),
                "symbol": market.spec.symbol,
                "price": event.p,
                "size": event.q,
                "side": "Sell" if event.m else "Buy",
                "time": str(event.T),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": str(event.t or event.a),
            }
            for event in reversed(list(market.trades)[-limit:])
        ]
        return {"category": "linear", "list": rows}

    def open_interest(self, parameters: Parameters) -> Any:
        market = self.market(parameters)
        start_ms, end_ms = _span(parameters, "startTime", "endTime")
        limit = _limit(parameters, 50, 200)
        told = past.between(market, start_ms, end_ms, limit)
        rows = [
            {"openInterest": f"{point.open_interest:.8f}", "timestamp": str(point.at // 10**6)}
            for point in reversed(told)
        ]
        if "startTime" not in parameters:
            now = {"openInterest": plain(market.open_interest, 3), "timestamp": str(self._clock_ms())}
            rows = [now, *rows][:limit]
        return {
            "symbol": market.spec.symbol,
            "category": "linear",
            "list": rows,
            "nextPageCursor": "",
        }

    def account_ratio(self, parameters: Parameters) -> Any:
        """The latest alone: the venue keeps no older ones."""
        market = self.market(parameters)
        if parameters.get("period") not in PERIODS:
            raise Refusal(PARAMETER_ERROR, "params error: period invalid")
        row = {
            "symbol": market.spec.symbol,
            "buyRatio": plain(market.longs_share, 4),
            "sellRatio": plain(1 - market.longs_share, 4),
            "timestamp": str(self._clock_ms() // POINT_MS * POINT_MS),
        }
        return {"list": [row], "nextPageCursor": ""}

    def kline(self, parameters: Parameters) -> Any:
        market = self.market(parameters)
        minutes = parameters.get("interval", "")
        if minutes not in INTERVALS:
            raise Refusal(PARAMETER_ERROR, "params error: interval invalid")
        start_ms, end_ms = _span(parameters, "start", "end")
        candles = past.candles(market, start_ms, end_ms, int(minutes) * MINUTE_MS)
        rows = [
            [str(each.open_ms), *(plain(value, 8) for value in _values(each))]
            for each in reversed(candles[-_limit(parameters, 200, 1000) :])
        ]
        return {"symbol": market.spec.symbol, "category": "linear", "list": rows}

    def risk_limit(self, parameters: Parameters) -> Any:
        rows = [
            {
                "id": bracket.number,
                "symbol": market.spec.symbol,
                "riskLimitValue": plain(bracket.tier.notional_cap),
                "maintenanceMargin": plain(bracket.tier.maintenance_rate),
                "initialMargin": plain(Decimal(1) / bracket.tier.leverage_max, 6),
                "isLowestRisk": int(bracket.number == 1),
                "maxLeverage": f"{bracket.tier.leverage_max}.00",
                "mmDeduction": plain(bracket.cum) if bracket.cum else "",
            }
            for market in self._listed(parameters)
            for bracket in self._table.brackets
        ]
        return {"category": parameters.get("category", ""), "list": rows, "nextPageCursor": ""}

    def funding_history(self, parameters: Parameters) -> Any:
        """The rate in force, dated at the start of its interval: the venue keeps no older ones."""
        market = self.market(parameters)
        row = {
            "symbol": market.spec.symbol,
            "fundingRate": plain(market.funding_rate, 8),
            "fundingRateTimestamp": str(self.next_funding_ms(market) - FUNDING_INTERVAL_MS),
        }
        return {"category": "linear", "list": [row]}

    def collateral(self, parameters: Parameters) -> Any:
        """What is counted of each coin, however much of it there is."""
        assets = self._assets
        wanted = [coin for coin in assets.assets if parameters.get("currency") in (None, coin)]
        rows = [
            {
                "currency": coin,
                "collateralRatioList": [
                    {"minQty": "0", "maxQty": "", "collateralRatio": plain(1 - assets.haircut(coin))}
                ],
            }
            for coin in wanted
        ]
        return {"list": rows}

    def market(self, parameters: Mapping[str, Any]) -> Market:
        """The market that a request names.

        Raises:
            Refusal: it names none, or one that is not there.
        """
        market = self._markets.get(str(parameters.get("symbol", "")))
        if market is None or market.status is MarketStatus.DELISTED or not _is_linear(parameters):
            raise Refusal(PARAMETER_ERROR, "params error: symbol invalid")
        return market

    def next_funding_ms(self, market: Market) -> int:
        if market.next_funding_ms:
            return market.next_funding_ms
        return (self._clock_ms() // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS

    def _listed(self, parameters: Parameters) -> list[Market]:
        """The market that is asked for, or all; of other categories there are none."""
        if "symbol" in parameters:
            return [self.market(parameters)]
        if not _is_linear(parameters):
            return []
        return [market for market in self._markets.values() if market.status is not MarketStatus.DELISTED]


def _is_linear(parameters: Mapping[str, Any]) -> bool:
    return parameters.get("category") == "linear"


def _values(candle: Candle) -> tuple[Decimal, ...]:
    return (candle.open, candle.high, candle.low, candle.close, candle.size, candle.volume)


def _span(parameters: Parameters, first: str, last: str) -> tuple[int, int]:
    """Begin and end of what is asked for, ms."""
    texts = parameters.get(first, "0"), parameters.get(last, str(1 << 62))
    if not all(text.isdigit() for text in texts):
        raise Refusal(PARAMETER_ERROR, "params error: time invalid")
    return int(texts[0]), int(texts[1])


def _limit(parameters: Parameters, default: int, most: int) -> int:
    text = parameters.get("limit", str(default))
    if not text.isdigit() or not 0 < int(text) <= most:
        raise Refusal(PARAMETER_ERROR, f"params error: limit must be of 1 to {most}")
    return int(text)
