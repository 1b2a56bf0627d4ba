"""What Bybit tells of everyone's positions, read through ccxt without any key."""

from __future__ import annotations

from adapters.exchanges.bybit.client import DEFAULTS
from adapters.exchanges.bybit.crowd_payloads import (
    parse_account_ratio,
    parse_candles,
    parse_interest_history,
)
from adapters.exchanges.crowd_history import Candle, InterestRow, joined
from adapters.exchanges.crowd_session import Breathe, CrowdClient, pages
from guard.events import HistoryPoint
from guard.units import Nanoseconds

INTEREST_ROWS = 200
CANDLE_ROWS = 1_000
"""The most that one answer holds ("Get Open Interest", "Get Kline")."""


class BybitCrowd(CrowdClient):
    """A CrowdConnection (see ``crowd``); linear markets only.

    The venue allows 600 requests in 5 s and address ("Rate Limit", read in November 2026), of which these are 10. A
    market's month is 44 requests for open interest and 9 for candles, which tell its prices.
    """

    DEFAULTS = DEFAULTS
    HISTORY_DAYS = 30.0
    TELLS_RATIO = True

    async def _history(
        self, symbol: str, since: Nanoseconds, until: Nanoseconds, breathe: Breathe
    ) -> tuple[HistoryPoint, ...]:
        code = self._code(symbol)

        async def interest(begin_ms: int, end_ms: int) -> list[InterestRow]:
            request = {
                "category": "linear",
                "symbol": code,
                "intervalTime": "5min",
                "limit": INTEREST_ROWS,
                "startTime": begin_ms,
                "endTime": end_ms,
            }
            return parse_interest_history(await self._client.publicGetV5MarketOpenInterest(request))

        async def candles(begin_ms: int, end_ms: int) -> list[Candle]:
            request = {
                "category": "linear",
                "symbol": code,
                "interval": "5",
                "limit": CANDLE_ROWS,
                "start": begin_ms,
                "end": end_ms,
            }
            return parse_candles(await self._client.publicGetV5MarketKline(request))

        told = await pages(interest, since, until, INTEREST_ROWS, breathe)
        await breathe()
        return joined(told, await pages(candles, since, until, CANDLE_ROWS, breathe))

    async def _longs_share(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        request = {"category": "linear", "symbol": self._code(symbol), "period": "5min", "limit": 1}
        return parse_account_ratio(await self._client.publicGetV5MarketAccountRatio(request))
