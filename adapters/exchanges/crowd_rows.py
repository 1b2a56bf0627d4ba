"""Reads rows of everyone's positions out of venue payloads: what all venues tell alike under other names. Pure.

Every function raises MalformedFrameError on a payload that it cannot read, and on NaN or an infinity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapters.exchanges.crowd_history import Candle, InterestRow
from adapters.exchanges.parsers import Payload, known, not_negative, optional_number, past_at, positive
from guard.errors import MalformedFrameError
from guard.units import Nanoseconds


def named(told: Any, places: Mapping[str, int], where: str) -> list[Payload]:
    """Name the fields of rows that are lists, by their places.

    >>> named([["7", "0.5", "x"]], {"at": 0, "ratio": 1}, "GET /ratio")
    [{'at': '7', 'ratio': '0.5'}]
    """
    last = max(places.values())
    if not isinstance(told, list) or not all(isinstance(row, list) and len(row) > last for row in told):
        raise MalformedFrameError(where, f"not a list of rows: {told!r:.40}")
    return [{name: row[place] for name, place in places.items()} for row in told]


def interest_rows(
    rows: Iterable[Payload], where: str, *, at: str, open_interest: str, usd: str | None = None
) -> list[InterestRow]:
    """Read open interest in base units, and its value where that has a name."""
    return [
        InterestRow(
            at=past_at(row, at, where),
            open_interest=not_negative(row, open_interest, where),
            usd=None if usd is None else known(optional_number(row, usd, where)),
        )
        for row in rows
    ]


def latest(rows: Iterable[Payload], where: str, *, at: str) -> tuple[Payload, Nanoseconds]:
    """Return the row of the latest time, and that; an empty list is no answer."""
    told = [(past_at(row, at, where), row) for row in rows]
    if not told:
        raise MalformedFrameError(where, "the list is empty")
    last_at, row = max(told, key=lambda each: each[0])
    return row, last_at


def candles(told: Any, where: str, *, open_at: int, close: int, volume_usd: int) -> list[Candle]:
    """Read candles, rows that are lists, by the places of what is wanted of them."""
    rows = named(told, {"opens": open_at, "close": close, "volume": volume_usd}, where)
    return [
        Candle(
            open_at=past_at(row, "opens", where),
            close=positive(row, "close", where),
            volume_usd=not_negative(row, "volume", where),
        )
        for row in rows
    ]
