"""What OKX tells of everyone's positions, read through ccxt without any key."""

from __future__ import annotations

from adapters.exchanges.crowd_history import InterestRow
from adapters.exchanges.crowd_session import CrowdClient
from adapters.exchanges.okx.client import DEFAULTS
from adapters.exchanges.okx.crowd_payloads import parse_account_ratio, parse_interest_history
from guard.units import Nanoseconds


class OkxCrowd(CrowdClient):
    """A CrowdConnection (see ``crowd``); the venue keeps 1,440 points, of five minutes 5 days.

    It allows 10 requests for open interest (100 rows at most each) and 5 for ratios in 2 s and address ("Trading
    Statistics", read in November 2026), of which these are 4. Prices are the value of open interest over its size;
    volume is not told.
    """

    DEFAULTS = DEFAULTS
    HISTORY_DAYS = 4.99
    INTEREST_ROWS = 100
    TELLS_RATIO = True

    async def _interest(self, code: str, begin_ms: int, end_ms: int) -> list[InterestRow]:
        request = {"instId": code, "period": "5m", "limit": str(self.INTEREST_ROWS)}
        # Both are exclusive, and named from the latest row backwards.
        request |= {"begin": str(begin_ms - 1), "end": str(end_ms + 1)}
        return parse_interest_history(
            await self._client.publicGetRubikStatContractsOpenInterestHistory(request)
        )

    async def _latest_share(self, code: str) -> tuple[float, Nanoseconds | None]:
        request = {"instId": code, "period": "5m", "limit": "1"}
        return parse_account_ratio(
            await self._client.publicGetRubikStatContractsLongShortAccountRatioContract(request)
        )
