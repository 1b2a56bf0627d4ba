"""Tier tables made of what venues tell of them, whatever they leave out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, isfinite

from guard.errors import MalformedFrameError
from guard.margin_terms import MarginTier


@dataclass(frozen=True, slots=True)
class TierRow:
    """One tier as told; a ``deduction`` of ``None`` follows from the margin being continuous."""

    floor: float
    maintenance_ratio: float
    deduction: float | None = None
    leverage_max: float | None = None


def tiers_of(told: Iterable[TierRow], where: str) -> tuple[MarginTier, ...]:
    """Make a table, from the lowest tier; the lowest begins at 0 whatever is told of it.

    A missing deduction is rebuilt: ``c_n = c_(n-1) + floor_n * (r_n - r_(n-1))``, ``c_1 = 0`` (Binance).

    Args:
        told: the tiers in any order.
        where: in which payload they stand, for errors.

    Raises:
        MalformedFrameError: no tiers, two that begin alike, a ratio not within 0..1, or a maintenance below 0.

    >>> tiers = tiers_of([TierRow(5_000.0, 0.02), TierRow(0.0, 0.015)], "a payload")
    >>> [round(tier.deduction, 6) for tier in tiers]
    [0.0, 25.0]
    """
    tiers: list[MarginTier] = []
    for row in sorted(told, key=lambda row: row.floor):
        floor, ratio = (max(row.floor, 0.0) if tiers else 0.0), row.maintenance_ratio
        if not (isfinite(floor) and 0.0 < ratio < 1.0):
            raise MalformedFrameError(where, f"a tier's maintenance margin is not a ratio: {ratio}")
        last = tiers[-1] if tiers else MarginTier(floor=0.0, maintenance_ratio=ratio)
        if tiers and floor <= last.floor:
            raise MalformedFrameError(where, f"two tiers begin at {floor}")
        deduction = row.deduction
        if deduction is None:
            deduction = last.deduction + floor * (ratio - last.maintenance_ratio)
        if not isfinite(deduction) or deduction > ratio * floor * (1.0 + 1e-6) + 1e-9:
            raise MalformedFrameError(where, f"the tier from {floor} asks for less than nothing")
        leverage_max = row.leverage_max or inf
        tiers.append(
            MarginTier(floor=floor, maintenance_ratio=ratio, deduction=deduction, leverage_max=leverage_max)
        )
    if not tiers:
        raise MalformedFrameError(where, "a market has no tiers")
    return tuple(tiers)
