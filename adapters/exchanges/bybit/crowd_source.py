"""What Bybit tells of everyone's positions, read through ccxt without any key."""

from __future__ import annotations

from adapters.exchanges.bybit.client import DEFAULTS
from adapters.exchanges.bybit.crowd_payloads import (
    parse_account_ratio,
    parse_candles,
    parse_interest_history,
)
from adapters.exchanges.crowd_history import Candle, InterestRow
from adapters.exchanges.crowd_session import CrowdClient
from guard.units import Nanoseconds


class BybitCrowd(CrowdClient):
    """A CrowdConnection (see ``crowd``); linear markets only.

    The venue allows 600 requests in 5 s and address ("Rate Limit", read in November 2026), of which these are 10. A
    market's month is 44 requests for open interest and 9 for candles, which tell its prices; each holds the most that
    one answer does ("Get Open Interest", "Get Kline").
    """

    DEFAULTS = DEFAULTS
    HISTORY_DAYS = 30.0
    INTEREST_ROWS = 200
    CANDLE_ROWS = 1_000
    TELLS_RATIO = True

    async def _interest(self, code: str, begin_ms: int, end_ms: int) -> list[InterestRow]:
        request = {"category": "linear", "symbol": code, "intervalTime": "5min", "limit": self.INTEREST_ROWS}
        request |= {"startTime": begin_ms, "endTime": end_ms}
        return parse_interest_history(await self._client.publicGetV5MarketOpenInterest(request))

    async def _candles(self, code: str, begin_ms: int, end_ms: int) -> list[Candle]:
        request = {"category": "linear", "symbol": code, "interval": "5", "limit": self.CANDLE_ROWS}
        request |= {"start": begin_ms, "end": end_ms}
        return parse_candles(await self._client.publicGetV5MarketKline(request))

    async def _latest_share(self, code: str) -> tuple[float, Nanoseconds | None]:
        request = {"category": "linear", "symbol": code, "period": "5min", "limit": 1}
        return parse_account_ratio(await self._client.publicGetV5MarketAccountRatio(request))
