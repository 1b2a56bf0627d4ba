"""Pure parsers of what Binance demands: leverage brackets of USD-M and COIN-M futures, haircuts of multi-assets mode.

Shapes: developers.binance.com, "Notional and Leverage Brackets" of both and "Multi-Assets Mode Asset Index", read with
the comments of ccxt 4.5.90.
"""

from __future__ import annotations

from typing import Any

from adapters.exchanges.parsers import Payload, known, number, optional_number, positive, rows, text
from adapters.exchanges.tier_rows import TierRow, tiers_of
from guard.errors import MalformedFrameError
from guard.margin_terms import CollateralTerms, HaircutTier, MarginTier


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


def parse_asset_indices(response: Any) -> dict[str, CollateralTerms]:
    """Read GET /fapi/v1/assetIndex: asset -> its haircut in multi-assets mode, the same at every size.

    ``bidBuffer`` is what is left away of the index price of an asset that is held.
    """
    where = "GET /fapi/v1/assetIndex"
    found: dict[str, CollateralTerms] = {}
    for row in rows([response] if isinstance(response, dict) else response, where):
        pair = text(row, "symbol", where)
        haircut = number(row, "bidBuffer", where)
        if not 0.0 <= haircut <= 1.0:
            raise MalformedFrameError(where, f"field 'bidBuffer' of {pair} is not within 0..1: {haircut}")
        if pair.endswith("USD") and pair != "USD":
            asset = pair.removesuffix("USD")
            found[asset] = CollateralTerms(asset=asset, tiers=(HaircutTier(floor_usd=0.0, haircut=haircut),))
    return found
