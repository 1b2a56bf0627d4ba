"""Pure parsers of what Hyperliquid demands: margin tables of its perpetuals, builder-deployed ones (HIP-3) included.

Shapes: hyperliquid.gitbook.io/hyperliquid-docs, trading, "Margin tiers", and "Info endpoint", "Perpetuals", read with
the comments of ccxt 4.5.90.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.exchanges.hyperliquid.payloads import meta_and_contexts
from adapters.exchanges.parsers import (
    Payload,
    as_mapping,
    integer,
    mapping,
    number,
    optional_number,
    positive,
    rows,
    text,
)
from adapters.exchanges.tier_rows import TierRow, tiers_of
from guard.errors import MalformedFrameError
from guard.margin_terms import MarginTier

FLAT_TABLES_BELOW = 50
"""The id of a margin table below this is itself the maximum leverage, at every size."""


def parse_tiers(response: Any) -> dict[str, tuple[MarginTier, ...]]:
    """Read the margin tables of ``metaAndAssetCtxs``: coin -> its maintenance tiers, of USDC.

    Maintenance is half of the initial margin at the tier's maximum leverage, 1 / (2 x leverage), less a
    deduction that makes it continuous ("Margin tiers"). A coin without a table, or with one that is not told, has
    its ``maxLeverage`` at every size.
    """
    where = "metaAndAssetCtxs"
    universe, _ = meta_and_contexts(response, where)
    return _tiers_of(universe, response[0], where)


def parse_dex_tiers(response: Any) -> dict[str, tuple[MarginTier, ...]]:
    """Read the same of a builder-deployed exchange's ``meta``: coins such as ``xyz:TSLA``, of what it is paid in."""
    where = "meta"
    meta = as_mapping(response, where)
    return _tiers_of(rows(meta.get("universe"), where), meta, where)


def _tiers_of(universe: Sequence[Payload], meta: Payload, where: str) -> dict[str, tuple[MarginTier, ...]]:
    tables = _tables(meta, where)
    tiers: dict[str, tuple[MarginTier, ...]] = {}
    for listed in universe:
        number_of_table = optional_number(listed, "marginTableId", where)
        table = None if number_of_table is None else tables.get(int(number_of_table))
        if table is None:
            flat = number_of_table is not None and 0 < number_of_table < FLAT_TABLES_BELOW
            leverage = number_of_table if flat else positive(listed, "maxLeverage", where)
            table = [(0.0, float(leverage or 1.0))]
        tiers[text(listed, "name", where)] = _tiers(table, where)
    return tiers


def dex_name_of(symbol: str) -> str | None:
    """A market of a builder-deployed exchange in one spelling, by ccxt's name or the venue's; else ``None``.

    What backs the exchange is left out: it says nothing of which market it is.

    >>> [dex_name_of(name) for name in ("XYZ-TSLA/USDC:USDC", "xyz:TSLA", "BTC/USDC:USDC")]
    ['XYZ-TSLA', 'XYZ-TSLA', None]
    """
    name = symbol.partition("/")[0].replace(":", "-").upper()
    return name if "-" in name.strip("-") else None


def _tables(meta: Payload, where: str) -> dict[int, list[tuple[float, float]]]:
    """Margin tables: id -> (notional from which, maximum leverage), from the lowest."""
    tables: dict[int, list[tuple[float, float]]] = {}
    for entry in meta.get("marginTables") or []:
        if not isinstance(entry, list) or len(entry) != 2:
            raise MalformedFrameError(where, f"a margin table is not an id and a table: {entry!r:.40}")
        keyed = {"id": entry[0], "table": entry[1]}
        bounds = [
            (number(tier, "lowerBound", where), positive(tier, "maxLeverage", where))
            for tier in rows(mapping(keyed, "table", where).get("marginTiers"), where)
        ]
        tables[integer(keyed, "id", where)] = sorted(bounds)
    return tables


def _tiers(table: Sequence[tuple[float, float]], where: str) -> tuple[MarginTier, ...]:
    told = (TierRow(floor, 1.0 / (2.0 * leverage), leverage_max=leverage) for floor, leverage in table)
    return tiers_of(told, where)
