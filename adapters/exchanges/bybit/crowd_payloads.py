"""Pure parsers of what Bybit tells of everyone's positions, as ccxt hands it over undigested.

Shapes: bybit-exchange.github.io/docs/v5/market: "Get Open Interest", "Get Long Short Ratio", "Get Kline", read in
November 2026 with the comments of ccxt 4.5.90. Every function raises MalformedFrameError on a payload that it cannot
read, and on NaN or an infinity.
"""

from __future__ import annotations

from typing import Any

from adapters.exchanges.crowd_history import Candle, InterestRow
from adapters.exchanges.parsers import (
    Payload,
    as_mapping,
    mapping,
    not_negative,
    past_at,
    positive,
    rows_of,
    share,
)
from guard.errors import MalformedFrameError
from guard.units import Nanoseconds


def parse_interest_history(response: Any) -> list[InterestRow]:
    """Read GET /v5/market/open-interest of a linear market: base units."""
    where = "GET /v5/market/open-interest"
    return [
        InterestRow(
            at=past_at(row, "timestamp", where),
            open_interest=not_negative(row, "openInterest", where),
        )
        for row in rows_of(_result(response, where), "list", where)
    ]


def parse_account_ratio(response: Any) -> tuple[float, Nanoseconds]:
    """Read the latest of GET /v5/market/account-ratio: holders that are long over all, and when."""
    where = "GET /v5/market/account-ratio"
    told = [
        (past_at(row, "timestamp", where), row) for row in rows_of(_result(response, where), "list", where)
    ]
    if not told:
        raise MalformedFrameError(where, "the list is empty")
    at, row = max(told, key=lambda each: each[0])
    return share(row, "buyRatio", where), at


def parse_candles(response: Any) -> list[Candle]:
    """Read GET /v5/market/kline; a row is a list: 0 opens at, 4 close, 6 turnover in the quote."""
    where = "GET /v5/market/kline"
    told = _result(response, where).get("list")
    if not isinstance(told, list) or not all(isinstance(row, list) and len(row) > 6 for row in told):
        raise MalformedFrameError(where, f"not a list of candles: {told!r:.40}")
    named = [{"opens": row[0], "close": row[4], "volume": row[6]} for row in told]
    return [
        Candle(
            open_at=past_at(row, "opens", where),
            close=positive(row, "close", where),
            volume_usd=not_negative(row, "volume", where),
        )
        for row in named
    ]


def _result(response: Any, where: str) -> Payload:
    return mapping(as_mapping(response, where), "result", where)
