"""Pure readers of what ccxt's unified structures tell of a venue's demands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.exchanges.parsers import known, optional_number, positive, rows
from adapters.exchanges.tier_rows import TierRow, tiers_of
from guard.errors import MalformedFrameError
from guard.margin_terms import MarginTier


def read_tiers(told: Any, quotes: Mapping[str, str]) -> dict[str, tuple[MarginTier, ...]]:
    """Read leverage tiers by unified symbol, where their floors are in the market's quote currency.

    ccxt drops the deduction: it is rebuilt.

    Args:
        told: ccxt's structure.
        quotes: unified symbol -> its quote currency.
    """
    where = "leverage tiers"
    if not isinstance(told, Mapping):
        raise MalformedFrameError(where, f"not an object: {told!r:.40}")
    tiers: dict[str, tuple[MarginTier, ...]] = {}
    for symbol, listed in told.items():
        told_rows = rows(listed, where)
        if told_rows and all(row.get("currency") == quotes.get(str(symbol), "") for row in told_rows):
            tiers[str(symbol)] = tiers_of(
                (
                    TierRow(
                        floor=optional_number(row, "minNotional", where) or 0.0,
                        maintenance_ratio=positive(row, "maintenanceMarginRate", where),
                        leverage_max=known(optional_number(row, "maxLeverage", where)),
                    )
                    for row in told_rows
                ),
                where,
            )
    return tiers
