"""Pure parsers of what Binance demands: leverage brackets of USD-M and COIN-M futures.

Shapes: developers.binance.com, "Notional and Leverage Brackets" of both, read with the comments of ccxt 4.5.90.
"""

from __future__ import annotations

from typing import Any

from adapters.exchanges.parsers import Payload, known, number, optional_number, positive, rows, text
from adapters.exchanges.tier_rows import TierRow, tiers_of
from guard.margin_terms import MarginTier


def parse_brackets(response: Any) -> dict[str, tuple[MarginTier, ...]]:
    """Read GET /fapi/v1/leverageBracket: the venue's code of a market -> its tiers, of quote currency."""
    where = "GET /fapi/v1/leverageBracket"
    return _brackets(response, where, lambda bracket: number(bracket, "notionalFloor", where))


def parse_coin_brackets(response: Any) -> dict[str, tuple[MarginTier, ...]]:
    """Read GET /dapi/v2/leverageBracket: the venue's code of a market -> its tiers, of coins."""
    where = "GET /dapi/v2/leverageBracket"
    return _brackets(response, where, lambda bracket: _coin_floor(bracket, where))


def _brackets(response: Any, where: str, floor_of: Any) -> dict[str, tuple[MarginTier, ...]]:
    listed = [response] if isinstance(response, dict) else response
    return {
        text(row, "symbol", where): tiers_of(
            (
                TierRow(
                    floor=floor_of(bracket),
                    maintenance_ratio=positive(bracket, "maintMarginRatio", where),
                    deduction=optional_number(bracket, "cum", where),
                    leverage_max=known(optional_number(bracket, "initialLeverage", where)),
                )
                for bracket in rows(row.get("brackets"), where)
            ),
            where,
        )
        for row in rows(listed, where)
    }


def _coin_floor(bracket: Payload, where: str) -> float:
    """The documents spell it in both ways."""
    floor = optional_number(bracket, "qtyFloor", where)
    return number(bracket, "qtylFloor", where) if floor is None else floor
