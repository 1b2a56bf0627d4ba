"""Pure parsers of what OKX tells of everyone's positions, as ccxt hands it over undigested.

Shapes: www.okx.com/docs-v5, Trading Statistics: "Get contracts open interest history" and "Get long/short account
ratio of contract", read in November 2026 with the comments of ccxt 4.5.90. Every function raises MalformedFrameError
on a payload that it cannot read, and on NaN or an infinity.
"""

from __future__ import annotations

from typing import Any

from adapters.exchanges.crowd_history import InterestRow
from adapters.exchanges.parsers import Payload, as_mapping, known, not_negative, optional_number, past_at
from guard.errors import MalformedFrameError
from guard.units import Nanoseconds


def parse_interest_history(response: Any) -> list[InterestRow]:
    """Read GET /api/v5/rubik/stat/contracts/open-interest-history: base units (``oiCcy``) and USD."""
    where = "GET /api/v5/rubik/stat/contracts/open-interest-history"
    return [
        InterestRow(
            at=past_at(row, "ts", where),
            open_interest=not_negative(row, "oiCcy", where),
            usd=known(optional_number(row, "oiUsd", where)),
        )
        for row in _rows(response, ("ts", "oi", "oiCcy", "oiUsd"), where)
    ]


def parse_account_ratio(response: Any) -> tuple[float, Nanoseconds]:
    """Read the latest of .../long-short-account-ratio-contract: of ratio r of longs to shorts, r / (1 + r) are long."""
    where = "GET /api/v5/rubik/stat/contracts/long-short-account-ratio-contract"
    told = [
        (past_at(row, "ts", where), not_negative(row, "ratio", where))
        for row in _rows(response, ("ts", "ratio"), where)
    ]
    if not told:
        raise MalformedFrameError(where, "the list is empty")
    at, ratio = max(told)
    return ratio / (1.0 + ratio), at


def _rows(response: Any, names: tuple[str, ...], where: str) -> list[Payload]:
    """Name the fields of rows that are lists."""
    told = as_mapping(response, where).get("data")
    if not isinstance(told, list) or not all(
        isinstance(row, list) and len(row) >= len(names) for row in told
    ):
        raise MalformedFrameError(where, f"not a list of rows: {told!r:.40}")
    return [dict(zip(names, row, strict=False)) for row in told]
