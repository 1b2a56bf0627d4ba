"""How much of a position may stay for its liquidation to be as far as is wanted. Pure: no I/O, no clock."""

from __future__ import annotations

from functools import partial
from math import exp, expm1, inf, log1p
from operator import mul

from guard.account.distance import Distance, leg_of
from guard.account.pools import Pool
from guard.events import Position
from guard.leverage.liquidation_price import size_max_in
from guard.margin_terms import ContractKind
from guard.units import BPS_PER_UNIT

_NEAREST_BPS, _FARTHEST_BPS = 1e-6, 9_999.0


def way_of(distance_bps: float, *, down: bool) -> float:
    """The way of a price in logarithms, which is what speeds are told in.

    >>> round(way_of(1_000.0, down=True), 4), round(way_of(1_000.0, down=False), 4)
    (0.1054, 0.0953)
    """
    share = max(distance_bps, 0.0) / BPS_PER_UNIT
    if down:
        return -log1p(-share) if share < 1.0 else inf
    return log1p(share)


def bps_of(way: float, *, down: bool) -> float:
    """The distance in bps of a price after so long a way in logarithms, >= 0.

    >>> round(bps_of(way_of(1_000.0, down=True), down=True), 6)
    1000.0
    """
    way = min(max(way, 0.0), 50.0)
    return (-expm1(-way) if down else exp(way) - 1.0) * BPS_PER_UNIT


def size_that_keeps(
    position: Position,
    pool: Pool,
    distance: Distance,
    mark: float,
    wanted_bps: float,
    *,
    exit_bps: float = 0.0,
) -> float | None:
    """Find the largest size at which the position is ``wanted_bps`` from its liquidation.

    Args:
        position: as it is in ``pool``.
        pool: what it shares its margin with.
        distance: how far it is now, see ``distance_of``.
        mark: quote per base, > 0.
        wanted_bps: bps of the mark.
        exit_bps: what closing costs, bps of what is closed, besides the venue's fee.

    Returns:
        Absolute base units, 0 .. |size|; ``None`` where it is not known. By both valuations of the collateral, and
        where several positions fail together by the share of all of them that holds. Where nothing but a price is told
        it is the share of the wanted distance that there is: a little too small, maintenance shrinks too.

    Failure modes: of an isolated position a cut frees margin with it, which this does not count (see ``Basis``).
    """
    held = abs(position.size)
    wanted_bps = min(max(wanted_bps, _NEAREST_BPS), _FARTHEST_BPS)
    if distance.is_told or pool.missing:
        return held * min(max(distance.bps, 0.0) / wanted_bps, 1.0)
    found = [held]
    for valued in (pool.own,) if pool.venue is pool.own else (pool.own, pool.venue):
        leg = leg_of(valued, position)
        if leg is None:
            return None
        unit = 1.0 if leg.kind is ContractKind.INVERSE else mark
        rate = unit * exit_bps / BPS_PER_UNIT
        size = size_max_in(valued, leg, distance_bps=wanted_bps, exit_cost_usd=partial(mul, rate))
        if size is None:
            return None
        found.append(size / (mark if leg.kind is ContractKind.INVERSE else 1.0))
    if distance.share is not None:
        part = distance.share(wanted_bps) * held
        # Of a pool that has failed no one alone has to make it hold.
        found = [held, part] if distance.bps <= 0.0 else [*found, part]
    return min(found)
