"""Pure parsers of what OKX tells of everyone's positions, as ccxt hands it over undigested.

Shapes: www.okx.com/docs-v5, Trading Statistics: "Get contracts open interest history" and "Get long/short account
ratio of contract", read in November 2026 with the comments of ccxt 4.5.90. Every function raises MalformedFrameError
on a payload that it cannot read, and on NaN or an infinity.
"""

from __future__ import annotations

from typing import Any

from adapters.exchanges.crowd_history import InterestRow
from adapters.exchanges.crowd_rows import interest_rows, latest, named
from adapters.exchanges.parsers import as_mapping, not_negative
from guard.units import Nanoseconds


def parse_interest_history(response: Any) -> list[InterestRow]:
    """Read GET /api/v5/rubik/stat/contracts/open-interest-history; a row is a list: 0 time, 2 base units, 3 USD."""
    where = "GET /api/v5/rubik/stat/contracts/open-interest-history"
    told = named(as_mapping(response, where).get("data"), {"ts": 0, "oiCcy": 2, "oiUsd": 3}, where)
    return interest_rows(told, where, at="ts", open_interest="oiCcy", usd="oiUsd")


def parse_account_ratio(response: Any) -> tuple[float, Nanoseconds]:
    """Read the latest of .../long-short-account-ratio-contract: of ratio r of longs to shorts, r / (1 + r) are long."""
    where = "GET /api/v5/rubik/stat/contracts/long-short-account-ratio-contract"
    told = named(as_mapping(response, where).get("data"), {"ts": 0, "ratio": 1}, where)
    row, at = latest(told, where, at="ts")
    ratio = not_negative(row, "ratio", where)
    return ratio / (1.0 + ratio), at
