"""What a reach asks of a position: the largest leverage and size, the margin instead, and what leaving costs. Pure.

``reach`` is a quantile of the reach, a fraction of the price; ``direction`` is where the position loses: DOWN for a
long. ``margin`` is room that has to be left between that price and liquidation, likewise a fraction.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import inf, isfinite
from typing import NamedTuple

from guard.events import CURVE_BPS
from guard.forecasts import Direction
from guard.leverage.cascade.result import CascadeResult
from guard.readings import BookReading
from guard.units import BPS_PER_UNIT

SPREAD_EXPONENT = 0.75
"""Spread goes with depth to this power: on 10 October 2025 depth within 1 % of large coins fell to 1/561 - 1/114 of the
usual (min66633/liquidation-cascade-research) and spreads rose from some 2 to 200 bps."""

_STEPS = 50
_KAPPA = 1.16
_USD_MAX = 1e15


class ExitCosts(NamedTuple):
    """What leaving a position costs, as fractions of its notional.

    ``now`` at this book; ``later`` when the book is as usual and nothing has happened; ``crash`` after the reach, in
    the book that is left then, the loss on the way included.
    """

    now: float
    later: float
    crash: float


def largest_leverage(
    reach: float, maintenance_ratio: float, margin: float, direction: Direction = Direction.DOWN
) -> float:
    """Compute the leverage whose liquidation lies just beyond ``reach`` and ``margin``; nothing else backs it.

    ``1 / (1 - (1 - r) (1 - x) (1 - m))`` for a long, ``1 / ((1 + r) (1 + x) (1 + m) - 1)`` for a short: both about
    ``1 / (x + m + r)``. ValueError for what is no fraction.

    >>> round(largest_leverage(0.08, 0.005, 0.02), 2), round(largest_leverage(0.08, 0.005, 0.02, Direction.UP), 2)
    (9.72, 9.34)
    """
    price = _price_at(1.0, reach, margin, direction)
    return 1.0 / _tied(1.0, price, maintenance_ratio, direction)


def margin_wanted(
    direction: Direction,
    *,
    price: float,
    equity_usd: float,
    size: float,
    reach: float,
    maintenance_ratio: float,
    maintenance_amount_usd: float = 0.0,
    margin: float = 0.0,
) -> float:
    """Compute the USD to add so that ``size`` outlives ``reach``: ``q (p - (1 - r) L) - E - c``, at least 0.

    >>> round(margin_wanted(Direction.DOWN, price=100.0, equity_usd=1000.0, size=100.0, reach=0.15,
    ...     maintenance_ratio=0.01), 6)
    585.0
    """
    tied = _tied(price, _price_at(price, reach, margin, direction), maintenance_ratio, direction)
    return max(abs(size) * tied - equity_usd - maintenance_amount_usd, 0.0)


def largest_size(
    direction: Direction,
    *,
    price: float,
    equity_usd: float,
    size: float,
    reach: float,
    maintenance_ratio: float,
    maintenance_amount_usd: float = 0.0,
    margin: float = 0.0,
    exit_cost_usd: Callable[[float], float] | None = None,
) -> float | None:
    """Compute the largest size, base units, that outlives ``reach`` if the rest is closed now and pays for that.

    ``q = (E + c - C(size - q)) / (p - (1 - r) L)`` for a long, over ``(1 + r) U - p`` for a short, with E the equity at
    the price and c what the tier takes off maintenance. ``exit_cost_usd`` (of base units closed; convex, as a book is)
    is paid out of E. Without need of a cut the answer may be above ``size``. ``None``: no cut is enough, because
    closing costs more than it frees; then margin or a hedge elsewhere is what is left. ValueError for odd numbers.

    >>> kept = largest_size(Direction.DOWN, price=100.0, equity_usd=1000.0, size=100.0, reach=0.15,
    ...     maintenance_ratio=0.01, exit_cost_usd=lambda size: 0.1 * size)
    >>> round(kept, 2), round(1000.0 / (100.0 - 0.99 * 85.0), 2)  # with what the cut costs, and without
    (62.86, 63.09)
    """
    tied = _tied(price, _price_at(price, reach, margin, direction), maintenance_ratio, direction)
    held = abs(size)
    room = equity_usd + maintenance_amount_usd
    if not (isfinite(held) and isfinite(room)):
        raise ValueError(f"size {size!r} and equity {equity_usd!r} have to be numbers")
    if room >= held * tied:
        return room / tied

    def free(left: float) -> float:
        cost = 0.0 if exit_cost_usd is None else exit_cost_usd(held - left)
        return room - cost - left * tied

    best = _highest(free, held)
    if not free(best) >= 0.0:
        return None
    low, high = best, held
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        if free(middle) >= 0.0:
            low = middle
        else:
            high = middle
    return low


def exit_cost(
    direction: Direction,
    book: BookReading,
    usd: float,
    fee_ratio: float = 0.0,
    *,
    depth_ratio: float = 1.0,
    spread_ratio: float = 1.0,
) -> float:
    """Compute what leaving ``usd`` at once costs as a fraction of it: mean distance of fills from mid, and fee.

    A position that loses ``DOWN`` is sold into the bids. The book is counted as ``depth_ratio`` of what it is and the
    spread as ``spread_ratio`` of it; nothing fills nearer than half a spread. Beyond the curve: its power law; all is
    lost at most, and where a number is none.
    """
    down = direction is Direction.DOWN
    if not (isfinite(usd) and book.mid > 0.0 and isfinite(book.spread_bps)):
        return 1.0
    half_spread = max(book.spread_bps, 0.0) / 2.0 / BPS_PER_UNIT * max(spread_ratio, 0.0)
    rungs = book.bid_curve_usd if down else book.ask_curve_usd
    kappa = (book.bid_kappa if down else book.ask_kappa) or _KAPPA
    curve = [min(max(depth_ratio, 1e-9) * each, _USD_MAX) for each in rungs]
    mean = _mean_distance(curve, kappa, min(usd, _USD_MAX)) if usd > 0.0 else 0.0
    return min(max(mean, half_spread) + fee_ratio, 1.0)


def exit_costs(
    direction: Direction,
    book: BookReading,
    usd: float,
    fee_ratio: float,
    found: CascadeResult,
    reach: float,
) -> ExitCosts:
    """Compute what leaving ``usd`` costs now, later if nothing happens, and after a fall by ``reach``.

    For the rule to cut if ``hazard > (now - later) / (crash - later)``. Later, depth and spread are as usual; after the
    fall, depth is what the cascade leaves of it and the spread as much wider.
    """
    normal = book.bid_normal_usd if direction is Direction.DOWN else book.ask_normal_usd
    now_usd = found.depth_usd / found.thinness
    calm = max(found.thinness, 1.0) if normal is not None else 1.0
    usual_spread = book.spread_normal_bps
    spread = book.spread_bps
    narrow = min(usual_spread / spread, 1.0) if usual_spread is not None and spread > 0.0 else 1.0
    kept = min(found.depth_usd / found.liquidity_factor / max(now_usd, 1e-9), 1.0)
    return ExitCosts(
        now=exit_cost(direction, book, usd, fee_ratio),
        later=exit_cost(direction, book, usd, fee_ratio, depth_ratio=calm, spread_ratio=narrow),
        crash=min(
            reach
            + exit_cost(
                direction, book, usd, fee_ratio, depth_ratio=kept, spread_ratio=kept**-SPREAD_EXPONENT
            ),
            1.0,
        ),
    )


def _price_at(price: float, reach: float, margin: float, direction: Direction) -> float:
    """The price that has to be outlived."""
    if not (price > 0.0 and isfinite(price)):
        raise ValueError(f"a price has to be above 0, not {price!r}")
    for name, share in (("reach", reach), ("margin", margin)):
        if not (0.0 <= share < inf and (share < 1.0 or direction is Direction.UP)):
            raise ValueError(f"{name} has to be a fraction, from 0 and for a fall below 1, not {share!r}")
    sign = direction.sign
    return price * (1.0 + sign * reach) * (1.0 + sign * margin)


def _tied(price: float, worst: float, maintenance_ratio: float, direction: Direction) -> float:
    """Equity at ``price`` that a unit needs to meet maintenance at the ``worst`` price."""
    if not 0.0 <= maintenance_ratio < 1.0:
        raise ValueError(f"a maintenance ratio is from 0 to below 1, not {maintenance_ratio!r}")
    sign = direction.sign
    tied = sign * ((1.0 + sign * maintenance_ratio) * worst - price)
    if not tied > 0.0:
        raise ValueError("without any reach, margin and maintenance there is no largest size")
    return tied


def _highest(free: Callable[[float], float], held: float) -> float:
    """Find where a concave function is greatest on 0..held."""
    low, high = 0.0, held
    for _ in range(_STEPS):
        third = (high - low) / 3.0
        if free(low + third) < free(high - third):
            low += third
        else:
            high -= third
    return max((0.0, 0.5 * (low + high)), key=free)


def _mean_distance(rungs: list[float], kappa: float, usd: float) -> float:
    """Average distance from mid, a fraction, at which ``usd`` fills in a curve along ``CURVE_BPS``."""
    points = [(0.0, 0.0)]
    for bps, here in zip(CURVE_BPS, rungs, strict=True):
        points.append((bps / BPS_PER_UNIT, max(here, points[-1][1]) if isfinite(here) else points[-1][1]))
    paid = 0.0
    for (near, before), (far, after) in pairwise(points):
        part = min(after, usd) - before
        if part > 0.0:
            end = near + (far - near) * part / (after - before)
            paid += part * 0.5 * (near + end)
        if after >= usd:
            return paid / usd
    edge, deepest = points[-1]
    if deepest <= 0.0:
        return 1.0
    power = 1.0 / min(max(kappa, 0.3), 3.0)
    most = min(usd, deepest * float(edge ** (-1.0 / power)))  # at a distance of 1 nothing is left to lose
    ratio = most / deepest
    paid += edge * deepest * (ratio ** (power + 1.0) - 1.0) / (power + 1.0)
    return float(min((paid + (usd - most)) / usd, 1.0))
