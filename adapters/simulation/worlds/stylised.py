"""Stylised facts of made-up markets: tails, memory of volatility, depth beside moves, impact.

Returns are of the mid at the end of each minute, or of each bar of five minutes; ``z`` is a bar's return over the root
mean square of those of the hour before (or two, where there are), which must be twelve at least. Bars are read until
ten minutes after an onset: published ones are of years, in which the hours after a crash hardly count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from adapters.simulation.worlds.anchors import DEPTH_BY_Z
from adapters.simulation.worlds.measured_market import BIN_S, Floats, MarketBins, filled, in_groups

MINUTE = int(60 / BIN_S)
BAR = 5 * MINUTE
HALF = MINUTE // 2
BEFORE_MIN, BEFORE_MAX = 12, 24
"""Bars that tell what is usual."""
LAGS_MIN = (1, 10, 60)
TAIL_SHARE = 0.01
IMPACT_Z = 3.0
"""Impact is read from bars that moved so much."""
AFTER_ONSET_S = 600.0
RETURNS_MIN = 1_000
"""Fewer tell nothing of tails."""


@dataclass(slots=True)
class Collected:
    """What many markets gave: returns of minutes, one array a market, and bars as (z, depth left) and (v/d, move)."""

    returns: list[Floats] = field(default_factory=list)
    z: list[float] = field(default_factory=list)
    depth_left: list[float] = field(default_factory=list)
    volume: list[float] = field(default_factory=list)
    move: list[float] = field(default_factory=list)

    def add(self, other: Collected) -> None:
        """Take what another collected."""
        self.returns.extend(other.returns)
        self.z.extend(other.z)
        self.depth_left.extend(other.depth_left)
        self.volume.extend(other.volume)
        self.move.extend(other.move)


def collect(markets: Iterable[MarketBins], onset_s: float | None = None) -> Collected:
    """Read returns and bars of an episode's markets."""
    found = Collected()
    last = math.inf if onset_s is None else (onset_s + AFTER_ONSET_S) / BIN_S
    for market in markets:
        mid = filled(market.mid)
        if mid.size < BAR * (BEFORE_MIN + 2) or not np.isfinite(mid).all():
            continue
        found.returns.append(np.diff(np.log(mid[MINUTE - 1 :: MINUTE])))
        _bars(market, mid[: int(min(last, mid.size))], found)
    return found


def _bars(market: MarketBins, mid: Floats, found: Collected) -> None:
    moves = np.diff(np.log(mid[BAR - 1 :: BAR]))
    depths = {name: in_groups(market.means(name), HALF, np.nanmean) for name in ("bid_100", "ask_100")}
    taken = {name: in_groups(market.sums[name][BAR:], BAR, np.sum) for name in ("bought_usd", "sold_usd")}
    per_bar = BAR // HALF
    for at in range(BEFORE_MIN, moves.size):
        usual = math.sqrt(float(np.mean(moves[max(0, at - BEFORE_MAX) : at] ** 2)))
        if usual <= 0:
            continue
        z = moves[at] / usual
        side = depths["bid_100" if z < 0 else "ask_100"]
        first = (at + 1) * per_bar
        hour = side[max(0, first - 12 * per_bar) : first]
        within = side[first : first + per_bar]
        if not np.isfinite(hour).any() or not np.isfinite(within).any():
            continue
        before = float(np.nanmedian(hour))
        if before <= 0:
            continue
        found.z.append(abs(float(z)))
        found.depth_left.append(max(float(np.nanmin(within)) / before, 1e-5))
        flow = taken["sold_usd" if z < 0 else "bought_usd"]
        if abs(z) >= IMPACT_Z and at < flow.size and flow[at] > 0:
            found.volume.append(float(flow[at]) / before)
            found.move.append(abs(float(moves[at])))


def facts_of(collected: Collected) -> dict[str, float]:
    """Tell every fact that there is enough for; the names are those of ``anchors.FACTS``."""
    found: dict[str, float] = {}
    long = [one for one in collected.returns if one.size >= RETURNS_MIN]
    if long:
        found["kurtosis_1min"] = _median(kurtosis(one) for one in long)
        found["tail_index_1min"] = _median(tail_index(one) for one in long)
        for lag in LAGS_MIN:
            found[f"memory_{lag}"] = _median(memory(one, lag) for one in long)
    table = depth_by_z(collected)
    fitted = fit_withdrawal([(row.z, row.depth_left) for row in table.values()])
    if fitted is not None:
        found["withdraw_z"], found["withdraw_power"], found["withdraw_log_rmse"] = fitted
    if len(collected.volume) >= 30:
        found["impact_exponent"] = slope(np.log(collected.volume), np.log(collected.move))
    return found


@dataclass(frozen=True, slots=True)
class DepthRow:
    """Bars within a span of |z|: how many, the median |z| and the median share of depth left."""

    count: int
    z: float
    depth_left: float


def depth_by_z(collected: Collected) -> Mapping[tuple[float, float], DepthRow]:
    """Tell what is left of depth by |z|, in the spans of ``anchors.DEPTH_BY_Z``; empty spans are left out."""
    z, left = np.array(collected.z), np.array(collected.depth_left)
    rows = {}
    for low, high, _ in DEPTH_BY_Z:
        chosen = (z >= low) & (z < high)
        if chosen.any():
            rows[(low, high)] = DepthRow(
                int(chosen.sum()), float(np.median(z[chosen])), float(np.median(left[chosen]))
            )
    return rows


def fit_withdrawal(points: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    """Fit ``w(z) = 1 / (1 + (z / z0)**power)`` to shares of depth beside that at the smallest z, by their logarithm.

    Gives z0, power and the root mean square error of the log, by a search over both; ``None`` with fewer than four
    points or where depth does not fall.

    >>> points = [(z, 0.9 / (1 + (z / 13.3) ** 2.2)) for z in (0.1, 3.0, 5.0, 7.0, 10.0, 15.0, 30.0)]
    >>> [round(one, 1) for one in fit_withdrawal(points)]
    [13.3, 2.2, 0.0]
    """
    if len(points) < 4:
        return None
    z = np.array([one for one, _ in points])
    left = np.log([one for _, one in points]) - math.log(points[0][1])
    if left.min() > -0.05:
        return None
    halves = np.geomspace(2.0, 100.0, 1_201)[:, None, None]
    powers = np.arange(0.5, 5.001, 0.02)[None, :, None]
    fitted = -np.log1p((z[None, None, :] / halves) ** powers)
    errors = ((fitted - left[None, None, :]) ** 2).mean(axis=2)
    half, power = np.unravel_index(int(np.argmin(errors)), errors.shape)
    return float(halves[half, 0, 0]), float(powers[0, power, 0]), float(math.sqrt(errors[half, power]))


def kurtosis(returns: Floats) -> float:
    """Tell the fourth moment over the square of the second; 3 of a normal distribution."""
    centred = returns - returns.mean()
    square = float((centred**2).mean())
    return float((centred**4).mean()) / square**2 if square > 0 else math.nan


def tail_index(returns: Floats) -> float:
    """Tell Hill's estimate from the largest ``TAIL_SHARE`` of |r|.

    >>> drawn = np.random.default_rng(1).pareto(3.0, 200_000) + 1.0
    >>> abs(tail_index(drawn) - 3.0) < 0.15
    True
    """
    largest = np.sort(np.abs(returns))[::-1]
    count = max(2, int(largest.size * TAIL_SHARE))
    if largest[count] <= 0:
        return math.nan
    return 1.0 / float(np.mean(np.log(largest[:count] / largest[count])))


def memory(returns: Floats, lag: int) -> float:
    """Tell the autocorrelation of |r| at a lag."""
    sizes = np.abs(returns)
    centred = sizes - sizes.mean()
    whole = float((centred**2).mean())
    return float((centred[lag:] * centred[:-lag]).mean()) / whole if whole > 0 else math.nan


def slope(x: Floats, y: Floats) -> float:
    """Tell the slope of least squares."""
    centred = x - x.mean()
    return float((centred * (y - y.mean())).sum() / (centred**2).sum())


def _median(values: Iterable[float]) -> float:
    return float(np.nanmedian(list(values)))
