"""What Binance USD-M tells of everyone's positions, read through ccxt without any key."""

from __future__ import annotations

from adapters.exchanges.binance.client import DEFAULTS, BinanceQuirks
from adapters.exchanges.binance.crowd_payloads import (
    parse_account_ratio,
    parse_candles,
    parse_interest_history,
)
from adapters.exchanges.crowd_history import Candle, InterestRow
from adapters.exchanges.crowd_session import CrowdClient
from guard.units import Nanoseconds


class BinanceCrowd(CrowdClient):
    """A CrowdConnection (see ``crowd``) of USD-M.

    What lies under /futures/data has a limit of its own, 1,000 requests in 5 minutes and address ("Open Interest
    Statistics", read in November 2026): with half a second between requests 600 are made. A market's month is 18 of
    these and 9 of candles, so that a minute takes 200 of the 2,400 request weight. As many candles as one answer holds
    at a weight of 5 ("Kline/Candlestick Data").
    """

    DEFAULTS = DEFAULTS
    QUIRKS = BinanceQuirks
    HISTORY_DAYS = 29.9
    """"Only the data of the latest 1 month is available": a little less, for what is older is refused."""
    INTEREST_ROWS = 500
    CANDLE_ROWS = 1_000
    TELLS_RATIO = True

    async def _interest(self, code: str, begin_ms: int, end_ms: int) -> list[InterestRow]:
        request = {"symbol": code, "period": "5m", "limit": self.INTEREST_ROWS}
        request |= {"startTime": begin_ms, "endTime": end_ms}
        return parse_interest_history(await self._client.fapiDataGetOpenInterestHist(request))

    async def _candles(self, code: str, begin_ms: int, end_ms: int) -> list[Candle]:
        request = {"symbol": code, "interval": "5m", "limit": self.CANDLE_ROWS}
        request |= {"startTime": begin_ms, "endTime": end_ms}
        return parse_candles(await self._client.fapiPublicGetKlines(request))

    async def _latest_share(self, code: str) -> tuple[float, Nanoseconds | None]:
        request = {"symbol": code, "period": "5m", "limit": 1}
        return parse_account_ratio(await self._client.fapiDataGetGlobalLongShortAccountRatio(request))
