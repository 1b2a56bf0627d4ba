"""Pure parsers of what Bybit demands: risk limits of linear and inverse contracts, collateral ratios.

Shapes: bybit-exchange.github.io/docs/v5, "market/risk-limit" and "spot-margin-uta/tier-collateral-ratio", read with the
comments of ccxt 4.5.90.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from adapters.exchanges.bybit.payloads import result_of
from adapters.exchanges.haircut_rows import HaircutRow
from adapters.exchanges.parsers import Payload, known, number, optional_number, positive, rows_of, text
from adapters.exchanges.tier_rows import TierRow, tiers_of
from guard.margin_terms import MarginTier

PERCENT = 100.0

_DATED = re.compile(r"[A-Z0-9]+USD[FGHJKMNQUVXZ][0-9]{2}")
"""A coin, and the month and year of its delivery."""


def parse_risk_limits(response: Any) -> tuple[dict[str, list[Payload]], str]:
    """Read a page of GET /v5/market/risk-limit: its rows by market, and the cursor of the next page or ""."""
    where = "GET /v5/market/risk-limit"
    result = result_of(response, where)
    found: dict[str, list[Payload]] = {}
    for row in rows_of(result, "list", where):
        found.setdefault(text(row, "symbol", where), []).append(row)
    return found, str(result.get("nextPageCursor") or "")


def parse_tiers(limits: Sequence[Payload]) -> tuple[MarginTier, ...]:
    """Make maintenance tiers of one market's risk limits: of quote currency, of coins where it is inverse.

    A limit holds up to ``riskLimitValue``. ``mmDeduction`` is empty where there is none; where a higher tier
    has none it is rebuilt. The documents show rates as ratios, and for inverse contracts have shown percents: the
    initial margin tells which (``_rate_unit``).
    """
    where = "GET /v5/market/risk-limit"
    told: list[TierRow] = []
    floor = 0.0
    for row in sorted(limits, key=lambda row: positive(row, "riskLimitValue", where)):
        deduction = optional_number(row, "mmDeduction", where)
        told.append(
            TierRow(
                floor=floor,
                maintenance_ratio=positive(row, "maintenanceMargin", where) / _rate_unit(row, where),
                deduction=deduction or None,
                leverage_max=known(optional_number(row, "maxLeverage", where)),
            )
        )
        floor = positive(row, "riskLimitValue", where)
    return tiers_of(told, where)


def _rate_unit(row: Payload, where: str) -> float:
    """What a rate of 1 is told as: the initial margin is 1 over the maximum leverage, or that in percent."""
    initial = known(optional_number(row, "initialMargin", where))
    leverage = known(optional_number(row, "maxLeverage", where))
    if initial is None or leverage is None:
        return 1.0
    return PERCENT if initial * leverage > PERCENT / 2.0 else 1.0


def inverse_code_of(symbol: str) -> str | None:
    """The venue's code of an inverse contract, by what account readings call it; ``None`` for anything else.

    Inverse markets are not loaded: accounts name perpetuals as ccxt would, and dated ones by their codes.

    >>> [inverse_code_of(name) for name in ("BTC/USD:BTC", "BTCUSDZ26", "BTC/USDT:USDT")]
    ['BTCUSD', 'BTCUSDZ26', None]
    """
    if _DATED.fullmatch(symbol):
        return symbol
    coin, _, rest = symbol.partition("/")
    return f"{coin}USD" if coin and rest == f"USD:{coin}" else None


def parse_collateral_ratios(response: Any) -> dict[str, list[HaircutRow]]:
    """Read GET /v5/spot-margin-trade/collateral: coin -> its ranges, in coins.

    A unified account counts what it holds in a range at that range's ratio.
    """
    where = "GET /v5/spot-margin-trade/collateral"
    return {
        text(row, "currency", where): [
            HaircutRow(
                floor=optional_number(each, "minQty", where) or 0.0,
                haircut=1.0 - number(each, "collateralRatio", where),
            )
            for each in rows_of(row, "collateralRatioList", where)
        ]
        for row in rows_of(result_of(response, where), "list", where)
    }


def parse_index_prices(response: Any) -> dict[str, float]:
    """Read GET /v5/market/tickers of linear contracts: the venue's code of a market -> its index price."""
    where = "GET /v5/market/tickers"
    found: dict[str, float] = {}
    for row in rows_of(result_of(response, where), "list", where):
        price = known(optional_number(row, "indexPrice", where))
        if price is not None and price > 0.0:
            found[text(row, "symbol", where)] = price
    return found
