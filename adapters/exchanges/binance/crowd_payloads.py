"""Pure parsers of what Binance USD-M tells of everyone's positions, as ccxt hands it over undigested.

Shapes: developers.binance.com, USDS-margined futures, Market Data: "Open Interest Statistics", "Long/Short Ratio",
"Kline/Candlestick Data", read in November 2026 with the comments of ccxt 4.5.90. Every function raises
MalformedFrameError on a payload that it cannot read, and on NaN or an infinity.
"""

from __future__ import annotations

from typing import Any

from adapters.exchanges.crowd_history import Candle, InterestRow
from adapters.exchanges.crowd_rows import candles, interest_rows, latest
from adapters.exchanges.parsers import rows, share
from guard.units import Nanoseconds


def parse_interest_history(response: Any) -> list[InterestRow]:
    """Read GET /futures/data/openInterestHist: base units, and their value in USD."""
    where = "GET /futures/data/openInterestHist"
    return interest_rows(
        rows(response, where),
        where,
        at="timestamp",
        open_interest="sumOpenInterest",
        usd="sumOpenInterestValue",
    )


def parse_account_ratio(response: Any) -> tuple[float, Nanoseconds]:
    """Read the latest of GET /futures/data/globalLongShortAccountRatio: accounts that are long over all, and when."""
    where = "GET /futures/data/globalLongShortAccountRatio"
    row, at = latest(rows(response, where), where, at="timestamp")
    return share(row, "longAccount", where), at


def parse_candles(response: Any) -> list[Candle]:
    """Read GET /fapi/v1/klines; a row is a list: 0 opens at, 4 close, 7 volume in the quote."""
    return candles(response, "GET /fapi/v1/klines", open_at=0, close=4, volume_usd=7)
