"""How far a position should be from its liquidation: when it is capped, when cut, and how far out a cut goes. Pure."""

from __future__ import annotations

from typing import NamedTuple

from guard.forecasts import MarketOutlook, Regime
from guard.unwinding.evidence import Need

UNDER_WAY = frozenset({Regime.STRESSED, Regime.CASCADE, Regime.RECOVERY})
"""A cascade, or what comes before and after it."""
HURT_RATIO, HURT_TIMES = 0.5, 3.0
"""Where less of depth than this is left, or a cascade is under way, positions are capped up to so many times as far."""
TARGET_BPS_MAX = 9_500.0


class Room(NamedTuple):
    """Distances to liquidation, bps of mark.

    Attributes:
        wanted_bps: nearer than this is too near.
        until_bps: farther than this is nobody's affair; between the two the size is capped.
        target_bps: where a cut, or a cap, puts the liquidation price.
    """

    wanted_bps: float
    until_bps: float
    target_bps: float


def room_of(
    need: Need,
    distance_bps: float,
    *,
    is_raised: bool,
    is_hurt: bool,
    cap_multiple: float,
    margin_ratio: float,
    reach_margin_ratio: float,
    distance_bps_max: float,
) -> Room:
    """Give the room that a position needs.

    Args:
        need: what the book and a cascade ask for.
        distance_bps: how far liquidation is now.
        is_raised: whether a cascade is near enough for its reach to be kept.
        is_hurt: whether the book is, or the market: what is capped then stays so farther out, because what may grow
            is cut again at the next thin sample.
        cap_multiple: up to how many times what is wanted a size is capped.
        margin_ratio: how much farther than the floor a cut goes.
        reach_margin_ratio: how much farther than the reach.
        distance_bps_max: the most that is wanted; a cut goes beyond it by its margin, or each step of the price would
            be another cut there.
    """
    reach_bps = need.reach_bps if is_raised else None
    wanted_bps = min(max(need.floor_bps, reach_bps or 0.0), distance_bps_max)
    target_bps = max(need.floor_bps * (1.0 + margin_ratio), (reach_bps or 0.0) * (1.0 + reach_margin_ratio))
    if distance_bps >= wanted_bps:
        target_bps = max(target_bps, cap_multiple * wanted_bps)
    return Room(
        wanted_bps=wanted_bps,
        until_bps=wanted_bps * cap_multiple * (HURT_TIMES if is_hurt else 1.0),
        target_bps=min(target_bps, distance_bps_max * (1.0 + margin_ratio), TARGET_BPS_MAX),
    )


def is_hurt(outlook: MarketOutlook | None, depth_ratio: float | None) -> bool:
    """Whether half of the depth is gone, or a cascade under way or not recovered from."""
    is_thin = depth_ratio is not None and depth_ratio < HURT_RATIO
    return is_thin or (outlook is not None and outlook.regime in UNDER_WAY)
