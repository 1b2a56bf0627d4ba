"""What policies ask of a market's outlook: whether it is young enough to be heard, and its greater hazard. No I/O."""

from __future__ import annotations

from guard.forecasts import HORIZONS_S, MOVES, Direction, MarketOutlook, Regime
from guard.units import NS_PER_S, Nanoseconds

UNDER_STRESS = (Regime.STRESSED, Regime.CASCADE)

_HORIZON, _MOVE = HORIZONS_S.index(900), MOVES.index(0.05)


def if_fresh(outlook: MarketOutlook | None, now: Nanoseconds, age_s_max: float) -> MarketOutlook | None:
    """Return the outlook; ``None`` where it tells no state, or is older than that: then nobody knows."""
    if outlook is None or outlook.regime is None or now - outlook.at > age_s_max * NS_PER_S:
        return None
    return outlook


def hazard_of(outlook: MarketOutlook, direction: Direction | None = None) -> float | None:
    """The probability of a move of 5 % within 15 minutes; ``None``: not estimated.

    Of one direction, or of the more probable one.
    """
    worst: float | None = None
    for each in outlook.hazards:  # asked of every market at every Tick
        if direction is None or each.direction is direction:
            value = each.probability[_HORIZON][_MOVE]
            worst = value if worst is None or value > worst else worst
    return worst
