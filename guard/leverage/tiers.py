"""Maintenance-margin tiers of a market: cumulative amounts rebuilt, and what a value demands. No I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from operator import attrgetter

from guard.margin_terms import MarginTier


def margin_tiers(rows: Sequence[tuple[float, float, float]]) -> tuple[MarginTier, ...]:
    """Make tiers from ``(floor, maintenance_ratio, leverage_max)``, in any order.

    Venues' unified tiers drop the cumulative amount; it follows from the margin being continuous:
    ``c_n = c_(n-1) + floor_n * (r_n - r_(n-1))`` (Binance).

    Raises:
        ValueError: no rows, the first does not start at 0, two start alike, or a ratio falls or is
            not within 0..1.

    >>> tiers = margin_tiers([(0, 0.015, 50), (5000, 0.02, 25), (10000, 0.025, 20)])
    >>> [round(tier.deduction, 6) for tier in tiers]
    [0.0, 25.0, 75.0]
    """
    ordered = sorted(rows)
    if not ordered or ordered[0][0] != 0.0:
        raise ValueError("margin tiers must start at a floor of 0")
    for (low, ratio, _), (high, next_ratio, _) in pairwise(ordered):
        if not (low < high and ratio <= next_ratio):
            raise ValueError(f"the margin tier from {high} does not follow the one from {low}")
    if not all(isfinite(floor) and 0.0 <= ratio < 1.0 for floor, ratio, _ in ordered):
        raise ValueError("a margin tier's maintenance ratio must be within 0..1")
    tiers: list[MarginTier] = []
    deduction = 0.0
    for floor, ratio, leverage_max in ordered:
        deduction += floor * (ratio - (tiers[-1].maintenance_ratio if tiers else ratio))
        tiers.append(
            MarginTier(
                floor=float(floor),
                maintenance_ratio=float(ratio),
                deduction=float(deduction),
                leverage_max=float(leverage_max),
            )
        )
    return tuple(tiers)


def tier_at(tiers: Sequence[MarginTier], counted: float) -> MarginTier:
    """The tier of a position that counts ``counted`` (>= 0) in the table's unit; at a floor, the one it opens."""
    return tiers[max(bisect_right(tiers, counted, key=attrgetter("floor")) - 1, 0)]


def maintenance(tiers: Sequence[MarginTier], value: float) -> float:
    """Maintenance margin of a position of so much value, where value also tells the tier; never below 0.

    >>> round(maintenance(margin_tiers([(0, 0.015, 50), (5000, 0.02, 25)]), 8000.0), 6)
    135.0
    """
    tier = tier_at(tiers, value)
    return max(tier.maintenance_ratio * value - tier.deduction, 0.0)
