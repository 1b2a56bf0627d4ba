"""What Binance USD-M tells of everyone's positions, read through ccxt without any key."""

from __future__ import annotations

from adapters.exchanges.binance.client import DEFAULTS, BinanceQuirks
from adapters.exchanges.binance.crowd_payloads import (
    parse_account_ratio,
    parse_candles,
    parse_interest_history,
)
from adapters.exchanges.crowd_history import Candle, InterestRow, joined
from adapters.exchanges.crowd_session import Breathe, CrowdClient, pages
from guard.events import HistoryPoint
from guard.units import Nanoseconds

INTEREST_ROWS = 500
CANDLE_ROWS = 1_000
"""The most that one answer holds at a weight of 5 ("Kline/Candlestick Data")."""


class BinanceCrowd(CrowdClient):
    """A CrowdConnection (see ``crowd``) of USD-M.

    What lies under /futures/data has a limit of its own, 1,000 requests in 5 minutes and address ("Open Interest
    Statistics", read in November 2026): with half a second between requests 600 are made. A market's month is 18 of
    these and 9 of candles, so that a minute takes 200 of the 2,400 request weight.
    """

    DEFAULTS = DEFAULTS
    QUIRKS = BinanceQuirks
    HISTORY_DAYS = 29.9
    """"Only the data of the latest 1 month is available": a little less, for what is older is refused."""
    TELLS_RATIO = True

    async def _history(
        self, symbol: str, since: Nanoseconds, until: Nanoseconds, breathe: Breathe
    ) -> tuple[HistoryPoint, ...]:
        code = self._code(symbol)

        async def interest(begin_ms: int, end_ms: int) -> list[InterestRow]:
            request = {
                "symbol": code,
                "period": "5m",
                "limit": INTEREST_ROWS,
                "startTime": begin_ms,
                "endTime": end_ms,
            }
            return parse_interest_history(await self._client.fapiDataGetOpenInterestHist(request))

        async def candles(begin_ms: int, end_ms: int) -> list[Candle]:
            request = {
                "symbol": code,
                "interval": "5m",
                "limit": CANDLE_ROWS,
                "startTime": begin_ms,
                "endTime": end_ms,
            }
            return parse_candles(await self._client.fapiPublicGetKlines(request))

        told = await pages(interest, since, until, INTEREST_ROWS, breathe)
        await breathe()
        return joined(told, await pages(candles, since, until, CANDLE_ROWS, breathe))

    async def _longs_share(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        request = {"symbol": self._code(symbol), "period": "5m", "limit": 1}
        return parse_account_ratio(await self._client.fapiDataGetGlobalLongShortAccountRatio(request))
