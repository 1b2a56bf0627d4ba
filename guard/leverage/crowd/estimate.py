"""What candidates of the mix say of one side together: medians by bin, and intervals that count how coarse it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from guard.forecasts import MOVES, Amount, Direction
from guard.leverage.crowd.side import Side
from guard.leverage.crowd.side_map import BIN_LOG, BINS, NORMAL_80, Floats, SideMap
from guard.units import NS_PER_S, Nanoseconds

_FARTHER: Final = (0.2, BINS * BIN_LOG)
_REFERENCE = 1
"""Which of ``MOVES`` the one number of a map's uncertainty is told for."""

_LOW_LUMPS = 2.0
_HIGH_LUMPS = 0.2
_NONE_LUMPS = 0.7
"""How far an interval reaches for want of many positions: measured on training episodes, see docs/decisions/0218."""


_OLD_BINS = 2.0
_OLD_NS = 30 * NS_PER_S
"""Candidates are weighed anew when the mark has moved so far, or so much time has passed."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """One side. ``low_ratio`` and ``high_ratio`` are the ends of 80 % intervals over the median, along ``MOVES``.

    ``usd`` by bin; ``log_sd`` of the scale that all bins have in common; ``unit_usd`` what is liquidated at once.
    """

    direction: Direction
    usd: Floats
    log_sd: float
    low_ratio: tuple[float, ...]
    high_ratio: tuple[float, ...]
    unit_usd: float

    def amounts(self, side: SideMap, estimated: float) -> tuple[Amount, ...]:
        """Mass within each of ``MOVES`` of the whole map; ``estimated`` of what this is about is not known exactly."""
        told = []
        for at, move in enumerate(MOVES):
            distance = distance_log(move, self.direction)
            exact = side.exact_within(distance)
            usd = max(side.within(distance), exact)
            guessed = usd - exact if estimated > 0.0 else 0.0
            told.append(
                Amount(
                    usd=usd,
                    low_usd=exact + guessed * self.low_ratio[at],
                    high_usd=exact + guessed * self.high_ratio[at],
                )
            )
        return tuple(told)


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """What candidates say beside their mean, between knots; it changes slowly, and is worked out at times."""

    at: Nanoseconds
    place: float
    ratio: tuple[float, ...]
    """Median over mean."""
    log_sd: float
    low_ratio: tuple[float, ...]
    high_ratio: tuple[float, ...]
    unit: float

    def is_old(self, place: float, now: Nanoseconds) -> bool:
        """Whether the mark has moved on, or time has."""
        return abs(place - self.place) > _OLD_BINS or now - self.at >= _OLD_NS


def weigh_candidates(
    side: Side, weights: Floats, shares: Floats, open_interest: float, doubt: float, now: Nanoseconds
) -> Factors:
    """Weigh candidates: the median of the mass within each knot over its mean, and how far they disagree.

    Args:
        side: the filter.
        weights: of the candidates, ``(M,)``.
        shares: of open interest by class, ``(M, K)``.
        open_interest: base units.
        doubt: log-sd on top, of what was not seen.
        now: our clock.
    """
    settings = side.settings
    knots = _knots(side.direction)
    window, part = side.window()
    sums = np.cumsum(np.add.reduceat(window, knots[:-1], axis=1), axis=1)
    sums += (window[:, knots[1:]] - window[:, :1]) * part
    sums *= side.scale
    logs = np.log(np.maximum(shares @ sums, 1e-300))
    middle = weights @ logs
    spread = weights @ (logs - middle) ** 2
    median = np.exp(middle)
    unit = settings.unit_share * open_interest
    lumps = unit / np.maximum(median, 1e-9 * open_interest)
    wanted = np.maximum(np.diff(median / np.sqrt(1.0 + lumps), prepend=0.0), 0.0)
    held = np.diff(side.shares @ sums, prepend=0.0)
    ratio = np.where(held > 0.0, wanted / np.maximum(held, 1e-300), 0.0)
    common = np.sqrt(spread + settings.error_log_sd**2 + doubt**2)
    low, high = _interval(common[: len(MOVES)], lumps[: len(MOVES)])
    return Factors(now, side.place, tuple(ratio.tolist()), float(common[_REFERENCE]), low, high, unit)


def estimate(side: Side, mark: float, factors: Factors) -> Estimate:
    """Give the map of a side at a mark: medians by bin, the mean's shape between knots."""
    window, part = side.window()
    mixed = side.shares @ window
    usd = mixed[:BINS]
    usd += (mixed[1:] - usd) * part
    knots = _knots_listed(side.direction)
    scale = side.scale * mark
    for begin, end, ratio in zip(knots, knots[1:], factors.ratio, strict=False):
        usd[begin:end] *= ratio * scale
    return Estimate(
        side.direction, usd, factors.log_sd, factors.low_ratio, factors.high_ratio, factors.unit * mark
    )


def distance_log(move: float, direction: Direction) -> float:
    """Log distance of a move of a share of price: down is farther than up."""
    return abs(math.log1p(direction.sign * move))


def _interval(common: Floats, lumps: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Give both ends of 80 % intervals over the median.

    Few positions may be none: the lower end falls with how much one of them is of the mass, to 0 where the mass is
    less than one of them; the upper end rises far less.
    """
    half = 0.5 * np.log1p(lumps)
    low = np.exp(half - NORMAL_80 * common - _LOW_LUMPS * lumps)
    low[lumps * _NONE_LUMPS > 1.0] = 0.0
    high = np.exp(half + NORMAL_80 * common + _HIGH_LUMPS * np.log1p(lumps))
    return tuple(np.minimum(low, 1.0).tolist()), tuple(high.tolist())


@lru_cache(maxsize=4)
def _knots_listed(direction: Direction) -> list[int]:
    return [int(each) for each in _knots(direction)]


@lru_cache(maxsize=4)
def _knots(direction: Direction) -> NDArray[np.intp]:
    """Bins between which candidates are weighed, from 0 on."""
    return np.array(
        [0, *(round(distance_log(move, direction) / BIN_LOG) for move in MOVES)]
        + [round(move / BIN_LOG) for move in _FARTHER],
        dtype=np.intp,
    )
