"""Maintenance-margin tiers of a linear contract, with their cumulative amounts rebuilt. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import inf, isfinite

from msgspec import Struct


class MarginTier(Struct, frozen=True, kw_only=True):
    """What positions of ``notional_usd_min`` or more must keep.

    Their maintenance margin is ``maintenance_ratio * notional - maintenance_amount_usd``, of the whole.
    """

    notional_usd_min: float
    maintenance_ratio: float
    maintenance_amount_usd: float = 0.0
    leverage_max: float = inf


def margin_tiers(rows: Sequence[tuple[float, float, float]]) -> tuple[MarginTier, ...]:
    """Make tiers from ``(notional_usd_min, maintenance_ratio, leverage_max)``, in any order.

    Venues' unified tiers drop the cumulative amount; it follows from the margin being continuous:
    ``c_n = c_(n-1) + floor_n * (r_n - r_(n-1))`` (Binance).

    Raises:
        ValueError: no rows, the first does not start at 0, two start alike, or a ratio falls or is
            not within 0..1.

    >>> tiers = margin_tiers([(0, 0.015, 50), (5000, 0.02, 25), (10000, 0.025, 20)])
    >>> [round(tier.maintenance_amount_usd, 6) for tier in tiers]
    [0.0, 25.0, 75.0]
    """
    ordered = sorted(rows)
    if not ordered or ordered[0][0] != 0.0:
        raise ValueError("margin tiers must start at a notional of 0")
    for (low, ratio, _), (high, next_ratio, _) in pairwise(ordered):
        if not (low < high and ratio <= next_ratio):
            raise ValueError(f"the margin tier from {high} does not follow the one from {low}")
    if not all(isfinite(floor) and 0.0 <= ratio < 1.0 for floor, ratio, _ in ordered):
        raise ValueError("a margin tier's maintenance ratio must be within 0..1")
    tiers: list[MarginTier] = []
    amount = 0.0
    for floor, ratio, leverage_max in ordered:
        amount += floor * (ratio - (tiers[-1].maintenance_ratio if tiers else ratio))
        tiers.append(
            MarginTier(
                notional_usd_min=float(floor),
                maintenance_ratio=float(ratio),
                maintenance_amount_usd=float(amount),
                leverage_max=float(leverage_max),
            )
        )
    return tuple(tiers)


def tier_at(tiers: Sequence[MarginTier], notional_usd: float) -> MarginTier:
    """The tier that a position of ``notional_usd`` (>= 0) is in."""
    chosen = tiers[0]
    for tier in tiers:
        if notional_usd < tier.notional_usd_min:
            break
        chosen = tier
    return chosen


def maintenance_usd(tiers: Sequence[MarginTier], notional_usd: float) -> float:
    """Maintenance margin of a position, never below 0.

    >>> round(maintenance_usd(margin_tiers([(0, 0.015, 50), (5000, 0.02, 25)]), 8000.0), 6)
    135.0
    """
    tier = tier_at(tiers, notional_usd)
    return max(tier.maintenance_ratio * notional_usd - tier.maintenance_amount_usd, 0.0)
