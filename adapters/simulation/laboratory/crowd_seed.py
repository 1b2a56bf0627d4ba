"""The positions that a crowd has at the start: entered along a past path of prices, and still alive after it.

Compiled where there is a compiler (crowd_seed.pxd), and the same positions as it is.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from adapters.simulation.laboratory.crowd import Crowd

TRIES = 40
"""A position that the path would have closed is drawn again so often, then it was entered just now."""


SIZE_RATIO_MAX = 15.0
"""No position is so many times as large as the mean: whoever holds more holds it in several accounts or venues."""


@dataclass(frozen=True, slots=True)
class Opening:
    """One position at the start; micros, lots signed, ``opened_ms`` below 0."""

    opened_ms: int
    lots: int
    cost: int
    margin: int
    pledged: int
    leverage: float
    is_cross: bool
    stop_tick: int
    target_tick: int


class Past:
    """A past path of prices: what was traded when, and how far price went since."""

    def __init__(
        self,
        path_ticks: Sequence[float] | NDArray[np.float64],
        spacing_ms: int,
        half_life_s: float,
        weights: Sequence[float] | None,
    ) -> None:
        path = np.asarray(path_ticks, dtype=np.float64)
        if path.size == 0 or not (path > 0.0).all() or not np.isfinite(path).all():
            raise ValueError("a past path must be prices in ticks above 0, oldest first, the last one now")
        if weights is not None and len(weights) != path.size:
            raise ValueError(f"{len(weights)} weights for {path.size} past prices; give one each")
        self.count = len(path)
        self.path = array("d", path)
        self.lowest = array("d", np.minimum.accumulate(path[::-1])[::-1])
        self.highest = array("d", np.maximum.accumulate(path[::-1])[::-1])
        self.spacing_ms = spacing_ms
        age_s = np.arange(path.size - 1, -1, -1) * (spacing_ms / 1000.0)
        traded = np.ones(path.size) if weights is None else np.asarray(weights, dtype=np.float64)
        upto = np.cumsum(traded * np.exp2(-age_s / half_life_s))
        if not (traded >= 0.0).all() or not upto[-1] > 0.0:
            raise ValueError("weights of past prices must be 0 or more, and not all 0")
        self.upto = array("d", upto / upto[-1])

    def drawn(self, drawn: float) -> int:
        """Return after which price (its index) a position was entered."""
        low = 0
        high = self.count
        while low < high:
            middle = (low + high) // 2
            if drawn < self.upto[middle]:
                high = middle
            else:
                low = middle + 1
        return min(low, self.count - 1)

    def price(self, at: int, between: float) -> float:
        """Return the price (ticks) between one and the one after it, if there is one."""
        if at + 1 < self.count:
            return self.path[at] + between * (self.path[at + 1] - self.path[at])
        return self.path[at]


def opening(
    crowd: Crowd,
    path_ticks: Sequence[float] | NDArray[np.float64],
    spacing_ms: int,
    open_lots: int,
    weights: Sequence[float] | None,
) -> Iterator[Opening]:
    """Yield opening positions: as many longs as shorts in lots, each leverage with its share of its side's lots."""
    parameters = crowd.parameters
    past = Past(path_ticks, spacing_ms, parameters.holding_half_life_s, weights)
    each_side = max(parameters.positions // 2, 1)
    for side, mix, hedged in (
        (1, parameters.leverage_longs, parameters.hedged_longs_share),
        (-1, parameters.leverage_shorts, parameters.hedged_shorts_share),
    ):
        total = sum(share for _, share in mix)
        groups = [(0.0, hedged)] + [(leverage, share / total * (1.0 - hedged)) for leverage, share in mix]
        left = open_lots
        for leverage, share in reversed(groups):  # hedged holders last: they take what rounding leaves
            lots = left if leverage == 0.0 else min(round(share * open_lots), left)
            left -= lots
            for size in sizes(crowd, lots, max(round(each_side * share), 1)):
                yield one(crowd, past, side, size, leverage)


def sizes(crowd: Crowd, lots: int, count: int) -> list[int]:
    """Draw sizes (lots, 1 or more) that add up to ``lots``; log-normal."""
    count = min(count, lots)
    if count <= 0:
        return []
    spread = crowd.parameters.size_log_sd
    most = SIZE_RATIO_MAX * exp(0.5 * spread * spread)
    drawn = [min(exp(spread * crowd.draws.normal()), most) for _ in range(count)]
    scale = (lots - count) / sum(drawn)
    whole = [1 + int(each * scale) for each in drawn]
    whole[max(range(count), key=whole.__getitem__)] += lots - sum(whole)
    return whole


def one(crowd: Crowd, past: Past, side: int, size: int, leverage: float) -> Opening:
    """Draw one position of a size; entries that it would not have survived are drawn again."""
    draws = crowd.draws
    brackets = crowd.brackets
    micros = crowd.micros
    last = past.count - 1
    is_cross = leverage > 0.0 and draws.uniform() < crowd.parameters.cross_share
    spare = crowd.parameters.cross_spare_ratio * draws.exponential() if is_cross else 0.0
    backed = is_cross and draws.uniform() < crowd.parameters.collateral_share
    stop_bps = target_bps = 0.0
    if leverage > 0.0:
        stop_bps, target_bps = crowd.draw_stop_bps(leverage), crowd.draw_target_bps(leverage)
    for tries in range(TRIES + 1):
        at = last
        price = past.path[last]
        if tries < TRIES:
            at = past.drawn(draws.uniform())
            price = past.price(at, draws.uniform())
            at = min(at + 1, last)
        entry = max(round(price), 1)
        notional = size * entry * micros
        capped = min(leverage, brackets.leverage_max(float(notional)))
        margin = int(notional / capped * (1.0 + spare)) if capped > 0.0 else notional
        stop = crowd.tick_at(float(entry), -side * stop_bps)
        target = crowd.tick_at(float(entry), side * target_bps)
        if capped <= 0.0:
            break
        liquidated = brackets.liquidation_tick(side * size, side * notional, margin)
        if survives(side, liquidated, stop, target, past.lowest[at], past.highest[at]):
            break
    return Opening(
        opened_ms=-(last - at) * past.spacing_ms,
        lots=side * size,
        cost=side * notional,
        margin=margin,
        pledged=margin if backed else 0,
        leverage=capped,
        is_cross=is_cross,
        stop_tick=stop,
        target_tick=target,
    )


def survives(side: int, liquidated: int, stop: int, target: int, lowest: float, highest: float) -> bool:
    """Tell whether none of a position's prices (0: none) was reached while price was between two others."""
    if side > 0:
        return max(liquidated, stop) < lowest and (target == 0 or target > highest)
    if 0 < liquidated <= highest or 0 < stop <= highest:
        return False
    return target < lowest
