"""What candidates of the mix say of one side together: medians by bin, and intervals that count how coarse it is."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from guard.forecasts import MOVES, Amount, Direction
from guard.leverage.crowd.drawing import agree, draw, held_within, upto
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
        places = _places(self.direction)
        whole = upto(side.usd, places)
        known = (0.0,) * len(whole) if side.exact_usd is None else upto(side.exact_usd, places)
        for at, exact in enumerate(known):
            usd = max(whole[at], exact)
            guessed = usd - exact if estimated > 0.0 else 0.0
            told.append(
                Amount(usd, exact + guessed * self.low_ratio[at], exact + guessed * self.high_ratio[at])
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
    first, part = side.begun()
    count = len(knots) - 1
    sums, median, spread = np.empty((len(shares[0]), count)), np.empty(count), np.empty(count)
    held_within(side.mass, first, part, side.scale, knots, sums)
    agree(sums, shares, weights, median, spread)
    unit = settings.unit_share * open_interest
    more = settings.error_log_sd**2 + doubt**2
    common, lumps, ratio = [], [], []
    wanted_before = held_before = 0.0
    for usd, squared, held in zip(
        median.tolist(), spread.tolist(), (side.shares @ sums).tolist(), strict=True
    ):
        lump = unit / max(usd, 1e-9 * open_interest)
        wanted = usd / math.sqrt(1.0 + lump)
        part_held = held - held_before
        ratio.append(max(wanted - wanted_before, 0.0) / part_held if part_held > 0.0 else 0.0)
        common.append(math.sqrt(squared + more))
        lumps.append(lump)
        wanted_before, held_before = wanted, held
    low, high = _interval(common[: len(MOVES)], lumps[: len(MOVES)])
    return Factors(now, side.place, tuple(ratio), common[_REFERENCE], low, high, unit)


def estimate(side: Side, mark: float, factors: Factors) -> Estimate:
    """Give the map of a side at a mark: medians by bin, the mean's shape between knots."""
    first, part = side.begun()
    scale = side.scale * mark
    ratios = array("d", [ratio * scale for ratio in factors.ratio])
    usd = np.empty(BINS)
    draw(side.mixed(), first, part, _knots(side.direction), ratios, usd)
    return Estimate(
        side.direction, usd, factors.log_sd, factors.low_ratio, factors.high_ratio, factors.unit * mark
    )


def distance_log(move: float, direction: Direction) -> float:
    """Log distance of a move of a share of price: down is farther than up."""
    return abs(math.log1p(direction.sign * move))


@lru_cache(maxsize=4)
def _places(direction: Direction) -> array[float]:
    """Distances of ``MOVES``, in bins."""
    return array("d", [distance_log(move, direction) / BIN_LOG for move in MOVES])


def _interval(common: Sequence[float], lumps: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Give both ends of 80 % intervals over the median.

    Few positions may be none: the lower end falls with how much one of them is of the mass, to 0 where the mass is
    less than one of them; the upper end rises far less.
    """
    low, high = [], []
    for spread, lump in zip(common, lumps, strict=True):
        more = math.log1p(lump)
        end = 0.5 * more - NORMAL_80 * spread - _LOW_LUMPS * lump
        low.append(0.0 if lump * _NONE_LUMPS > 1.0 else min(math.exp(end), 1.0))
        high.append(math.exp(0.5 * more + NORMAL_80 * spread + _HIGH_LUMPS * more))
    return tuple(low), tuple(high)


@lru_cache(maxsize=4)
def _knots(direction: Direction) -> array[int]:
    """Bins between which candidates are weighed, from 0 on."""
    return array(
        "q",
        [0, *(round(distance_log(move, direction) / BIN_LOG) for move in MOVES)]
        + [round(move / BIN_LOG) for move in _FARTHER],
    )
