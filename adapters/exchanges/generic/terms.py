"""Pure readers of what ccxt's unified structures tell of a venue's demands, where it is known what is counted in them.

ccxt calls every floor a notional and most currencies the settle currency, whatever the venue counts: MEXC's and HTX's
floors are contracts, HTX's rows repeat for each leverage, Phemex' rates are texts of percents, what Kraken counts is
not told. A table by the wrong unit may ask for too little: only the venues below are read, all others have our
formula's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.exchanges.parsers import known, optional_number, positive, rows
from adapters.exchanges.tier_rows import TierRow, tiers_of
from guard.errors import MalformedFrameError
from guard.margin_terms import MarginTier


@dataclass(frozen=True, slots=True)
class Counting:
    """How a venue counts the floors of linear contracts, and whether it deducts.

    Attributes:
        in_contracts: contracts, so that a price moves no position between tiers; else quote currency.
        deducts: the margin is continuous, by the field ``deduction`` of what the venue itself told, or rebuilt. Where
            that is not documented nothing is deducted: that asks for more.
    """

    in_contracts: bool = False
    deducts: bool = False


COUNTING: Mapping[str, Counting] = {
    # gate.com/docs/developers/apiv4, "Query risk limit tiers".
    "gate": Counting(deducts=True),
    # kucoin.com/docs-new, "Get Isolated Margin Risk Limit": USDT, though ccxt names the base coin.
    "kucoin": Counting(),
    "kucoinfutures": Counting(),
    # bitget.com/api-doc, "Get Position Tier": USDT, though ccxt names the base coin.
    "bitget": Counting(),
    # doc.xt.com, "Get leverage bracket": ``maxNominalValue``.
    "xt": Counting(),
    # mexc.com/api-docs, "Get contract info": ``riskIncrVol``, and the other volumes there, are contracts.
    "mexc": Counting(in_contracts=True),
}
"""By ccxt's id; these tell their tiers without a key."""


def read_tiers(
    told: Any, counting: Counting, sizes: Mapping[str, float] | None = None
) -> dict[str, tuple[MarginTier, ...]]:
    """Read leverage tiers by unified symbol: of quote currency, or of base units where a venue counts contracts.

    Args:
        told: ccxt's structure.
        counting: what the venue counts.
        sizes: base units a contract by unified symbol, where contracts are counted; others are left out.

    Raises:
        MalformedFrameError: it cannot be read. A market whose rows name no rate is one that is not told.
    """
    where = "leverage tiers"
    if not isinstance(told, Mapping):
        raise MalformedFrameError(where, f"not an object: {told!r:.40}")
    tiers: dict[str, tuple[MarginTier, ...]] = {}
    for symbol, listed in told.items():
        unit = (sizes or {}).get(str(symbol)) if counting.in_contracts else 1.0
        told_rows = rows(listed, where)
        if (
            unit is None
            or not told_rows
            or any(row.get("maintenanceMarginRate") is None for row in told_rows)
        ):
            continue
        tiers[str(symbol)] = tiers_of(
            (
                TierRow(
                    floor=(optional_number(row, "minNotional", where) or 0.0) * unit,
                    maintenance_ratio=positive(row, "maintenanceMarginRate", where),
                    deduction=_deduction(row, where) if counting.deducts else 0.0,
                    leverage_max=known(optional_number(row, "maxLeverage", where)),
                )
                for row in told_rows
            ),
            where,
        )
    return tiers


def _deduction(row: Mapping[str, Any], where: str) -> float | None:
    """What the venue itself told of it, if it did."""
    info = row.get("info")
    return optional_number(info, "deduction", where) if isinstance(info, Mapping) else None
