"""Pure parsers of what OKX demands: position tiers of swaps, discount rates of collateral.

Shapes: www.okx.com/docs-v5, "Get position tiers" and "Get discount rate and interest-free quota", read with the
comments of ccxt 4.5.90.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import Any

from adapters.exchanges.haircut_rows import HaircutRow
from adapters.exchanges.okx.payloads import ContractSize, data_of
from adapters.exchanges.parsers import known, number, optional_number, positive, rows_of, text
from adapters.exchanges.tier_rows import TierRow, tiers_of
from guard.margin_terms import MarginTier


def parse_position_tiers(response: Any, contract_size: ContractSize) -> dict[str, tuple[MarginTier, ...]]:
    """Read GET /api/v5/public/position-tiers of swaps: the venue's code of a market -> its tiers, by *size*.

    A position pays the rate of its tier on all of its notional: nothing is deducted, and the margin jumps where
    a tier ends. Tiers are told in contracts, which ``contract_size`` makes base units (USD where inverse); markets
    without a contract size are left out. A tier holds up to ``maxSz``, which still belongs to it.
    """
    where = "GET /api/v5/public/position-tiers"
    found: dict[str, list[tuple[float, float, float, float | None]]] = {}
    for row in data_of(response, where):
        # One family has one swap, whose code is the family's with this ending.
        code = str(row.get("instId") or f"{text(row, 'instFamily', where)}-SWAP")
        unit = contract_size(code)
        if unit is None:
            continue
        least, most = number(row, "minSz", where), optional_number(row, "maxSz", where)
        rate = positive(row, "mmr", where)
        leverage = known(optional_number(row, "maxLever", where))
        found.setdefault(code, []).append(
            (least * unit, inf if most is None else most * unit, rate, leverage)
        )
    tiers: dict[str, tuple[MarginTier, ...]] = {}
    for code, listed in found.items():
        told: list[TierRow] = []
        end = 0.0
        for least, most, rate, leverage in sorted(listed, key=lambda each: each[0]):
            # The next tier begins with whatever is more than this one holds, not a whole contract later.
            floor = least if not told else min(least, nextafter(end, inf))
            told.append(TierRow(floor, rate, deduction=0.0, leverage_max=leverage))
            end = most
        tiers[code] = tiers_of(told, where)
    return tiers


def parse_discount_rates(response: Any) -> dict[str, list[HaircutRow]]:
    """Read GET /api/v5/public/discount-rate-interest-free-quota: currency -> its tiers, in units of it.

    Beyond the last tier's end ``minDiscountRate`` holds. A currency without tiers is no collateral.
    """
    where = "GET /api/v5/public/discount-rate-interest-free-quota"
    found: dict[str, list[HaircutRow]] = {}
    for row in data_of(response, where):
        told: list[HaircutRow] = []
        end: float | None = 0.0
        for tier in sorted(rows_of(row, "details", where), key=lambda each: number(each, "minAmt", where)):
            told.append(HaircutRow(number(tier, "minAmt", where), 1.0 - number(tier, "discountRate", where)))
            end = optional_number(tier, "maxAmt", where)
        if told and end is not None:
            least = optional_number(row, "minDiscountRate", where) or 0.0
            told.append(HaircutRow(end, 1.0 - least))
        found[text(row, "ccy", where)] = told
    return found


def parse_index_tickers(response: Any) -> dict[str, float]:
    """Read GET /api/v5/market/index-tickers in USD: currency -> its index price."""
    where = "GET /api/v5/market/index-tickers"
    found: dict[str, float] = {}
    for row in data_of(response, where):
        price = known(optional_number(row, "idxPx", where))
        if price is not None and price > 0.0:
            found[text(row, "instId", where).removesuffix("-USD")] = price
    return found
