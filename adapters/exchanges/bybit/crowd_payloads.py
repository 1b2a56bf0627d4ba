"""Pure parsers of what Bybit tells of everyone's positions, as ccxt hands it over undigested.

Shapes: bybit-exchange.github.io/docs/v5/market: "Get Open Interest", "Get Long Short Ratio", "Get Kline", read in
November 2026 with the comments of ccxt 4.5.90. Every function raises MalformedFrameError on a payload that it cannot
read, and on NaN or an infinity.
"""

from __future__ import annotations

from typing import Any

from adapters.exchanges.crowd_history import Candle, InterestRow
from adapters.exchanges.crowd_rows import candles, interest_rows, latest
from adapters.exchanges.parsers import Payload, as_mapping, mapping, rows_of, share
from guard.units import Nanoseconds


def parse_interest_history(response: Any) -> list[InterestRow]:
    """Read GET /v5/market/open-interest of a linear market: base units."""
    where = "GET /v5/market/open-interest"
    told = rows_of(_result(response, where), "list", where)
    return interest_rows(told, where, at="timestamp", open_interest="openInterest")


def parse_account_ratio(response: Any) -> tuple[float, Nanoseconds]:
    """Read the latest of GET /v5/market/account-ratio: holders that are long over all, and when."""
    where = "GET /v5/market/account-ratio"
    row, at = latest(rows_of(_result(response, where), "list", where), where, at="timestamp")
    return share(row, "buyRatio", where), at


def parse_candles(response: Any) -> list[Candle]:
    """Read GET /v5/market/kline; a row is a list: 0 opens at, 4 close, 6 turnover in the quote."""
    where = "GET /v5/market/kline"
    return candles(_result(response, where).get("list"), where, open_at=0, close=4, volume_usd=6)


def _result(response: Any, where: str) -> Payload:
    return mapping(as_mapping(response, where), "result", where)
