"""What venues tell of collateral in units of an asset, as tiers of USD. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from guard.errors import MalformedFrameError
from guard.margin_terms import CollateralTerms, HaircutTier

DOLLARS = frozenset({"USD", "USDT", "USDC", "USDG", "FDUSD", "DAI", "USD1", "PYUSD", "RLUSD"})
"""Assets a unit of which is taken for a dollar where tiers end: only holdings of millions reach there."""


@dataclass(frozen=True, slots=True)
class HaircutRow:
    """What is left away, 0..1, of the part of a holding from ``floor`` units on."""

    floor: float
    haircut: float


def collateral_of(
    asset: str, told: Iterable[HaircutRow], price_usd: float | None, where: str
) -> CollateralTerms | None:
    """Make terms of rows in any order; ``None`` where floors cannot be valued for want of a price.

    Args:
        asset: its name at the venue.
        told: none at all says that the asset is no collateral.
        price_usd: of a unit, for the floors.
        where: in which payload they stand, for errors.

    Raises:
        MalformedFrameError: a haircut is not within 0..1, or two rows begin alike.

    >>> told = [HaircutRow(20.0, 0.1), HaircutRow(0.0, 0.02)]
    >>> [(tier.floor_usd, tier.haircut) for tier in collateral_of("BTC", told, 100.0, "x").tiers]
    [(0.0, 0.02), (2000.0, 0.1)]
    """
    price = 1.0 if asset in DOLLARS else price_usd
    tiers: list[HaircutTier] = []
    for row in sorted(told, key=lambda row: row.floor):
        if not (-1e-9 <= row.haircut <= 1.0 + 1e-9 and isfinite(row.floor)):
            raise MalformedFrameError(where, f"a haircut of {asset} is not within 0..1: {row.haircut}")
        haircut = round(min(max(row.haircut, 0.0), 1.0), 9)
        if tiers and price is None:
            return None
        floor_usd = row.floor * (price or 0.0) if tiers else 0.0
        if tiers and floor_usd <= tiers[-1].floor_usd:
            raise MalformedFrameError(where, f"two ranges of {asset} begin at {row.floor}")
        tiers.append(HaircutTier(floor_usd=floor_usd, haircut=haircut))
    is_tiered = len(tiers) > 1
    return CollateralTerms(asset=asset, tiers=tuple(tiers), unit_usd=price if is_tiered else None)
