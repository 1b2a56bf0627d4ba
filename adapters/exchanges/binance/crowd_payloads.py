"""Pure parsers of what Binance USD-M tells of everyone's positions, as ccxt hands it over undigested.

Shapes: developers.binance.com, USDS-margined futures, Market Data: "Open Interest Statistics", "Long/Short Ratio",
"Kline/Candlestick Data", read in November 2026 with the comments of ccxt 4.5.90. Every function raises
MalformedFrameError on a payload that it cannot read, and on NaN or an infinity.
"""

from __future__ import annotations

from typing import Any

from adapters.exchanges.crowd_history import Candle, InterestRow
from adapters.exchanges.parsers import known, not_negative, optional_number, past_at, positive, rows, share
from guard.errors import MalformedFrameError
from guard.units import Nanoseconds


def parse_interest_history(response: Any) -> list[InterestRow]:
    """Read GET /futures/data/openInterestHist: base units, and their value in USD."""
    where = "GET /futures/data/openInterestHist"
    return [
        InterestRow(
            at=past_at(row, "timestamp", where),
            open_interest=not_negative(row, "sumOpenInterest", where),
            usd=known(optional_number(row, "sumOpenInterestValue", where)),
        )
        for row in rows(response, where)
    ]


def parse_account_ratio(response: Any) -> tuple[float, Nanoseconds]:
    """Read the latest of GET /futures/data/globalLongShortAccountRatio: accounts that are long over all, and when."""
    where = "GET /futures/data/globalLongShortAccountRatio"
    told = [(past_at(row, "timestamp", where), row) for row in rows(response, where)]
    if not told:
        raise MalformedFrameError(where, "the list is empty")
    at, row = max(told, key=lambda each: each[0])
    return share(row, "longAccount", where), at


def parse_candles(response: Any) -> list[Candle]:
    """Read GET /fapi/v1/klines; a row is a list: 0 opens at, 4 close, 7 volume in the quote."""
    where = "GET /fapi/v1/klines"
    if not isinstance(response, list) or not all(isinstance(row, list) and len(row) > 7 for row in response):
        raise MalformedFrameError(where, f"not a list of candles: {response!r:.40}")
    told = [{"opens": row[0], "close": row[4], "volume": row[7]} for row in response]
    return [
        Candle(
            open_at=past_at(row, "opens", where),
            close=positive(row, "close", where),
            volume_usd=not_negative(row, "volume", where),
        )
        for row in told
    ]
