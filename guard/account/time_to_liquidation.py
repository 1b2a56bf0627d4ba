"""Distance to liquidation as time, at present and at stressed speed, against the time of an action. No I/O."""

from __future__ import annotations

from math import inf, log1p
from typing import Protocol

from guard.units import BPS_PER_UNIT

NOT_FORESEEN_S = 30 * 86_400.0
"""Thirty days, which stands for that and more: at this speed it does not come nearer in any time that matters."""

ACTIONS_MIN = 3.0
"""An account that is fewer actions away from its liquidation has no time left for one that fails."""


class Speed(Protocol):
    """How fast a market moves, log per second, never negative: ``guard.market.speed.Speeds`` is one.

    ``None`` where too little was seen; what it is under stress is always known.
    """

    @property
    def down(self) -> float | None: ...

    @property
    def up(self) -> float | None: ...

    @property
    def stressed_down(self) -> float: ...

    @property
    def stressed_up(self) -> float: ...


def seconds_to(
    distance_bps: float | None, speed: Speed | None, *, down: bool, stressed: bool
) -> float | None:
    """Seconds until a market's price has moved as far as ``distance_bps``.

    Args:
        distance_bps: how far the mark may move, in bps of it, >= 0.
        speed: how fast the market moves.
        down: whether the way is a fall.
        stressed: at stressed instead of present speed.

    Returns:
        As ``seconds_at``; ``None`` only where distance or speed are not known.
    """
    if speed is None:
        return None
    if stressed:
        return seconds_at(distance_bps, speed.stressed_down if down else speed.stressed_up, down=down)
    return seconds_at(distance_bps, speed.down if down else speed.up, down=down)


def seconds_at(distance_bps: float | None, per_s: float | None, *, down: bool = True) -> float | None:
    """Seconds until a price has moved as far as ``distance_bps``, at an even speed.

    Args:
        distance_bps: how far the mark may move, in bps of it, >= 0: 10,000 is all of it.
        per_s: log per second, >= 0.
        down: whether the way is a fall; a rise of so many bps is a shorter way in logarithms.

    Returns:
        At most ``NOT_FORESEEN_S``, 0.0 where there is no distance left; ``None`` only where distance or speed are not
        known, which is never safe. A fall of everything never happens.

    >>> round(seconds_at(500.0, 4.2e-4)), seconds_at(500.0, 0.0) == NOT_FORESEEN_S, seconds_at(None, 4.2e-4)
    (122, True, None)
    """
    if distance_bps is None or per_s is None or not abs(distance_bps) < inf or not 0.0 <= per_s < inf:
        return None
    share = max(distance_bps, 0.0) / BPS_PER_UNIT
    if down and share >= 1.0:
        return NOT_FORESEEN_S
    way = -log1p(-share) if down else log1p(share)
    return way / per_s if way < per_s * NOT_FORESEEN_S else NOT_FORESEEN_S if way > 0.0 else 0.0


def actions_left(now_s: float | None, stressed_s: float | None, action_s: float | None) -> float | None:
    """How often the guard could act, one time after the other, before liquidation, at the faster of both speeds.

    Fewer than ``ACTIONS_MIN`` are too few. ``None`` where neither time, or not that of an action, is known: never safe.

    >>> actions_left(4_000.0, 75.0, 30.0), actions_left(None, None, 30.0)
    (2.5, None)
    """
    known = [each for each in (now_s, stressed_s) if each is not None]
    return min(known) / action_s if known and action_s is not None and action_s > 0.0 else None
