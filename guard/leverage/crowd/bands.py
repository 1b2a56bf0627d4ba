"""Bands of a map: neighbouring distances that hold clearly more than what is about them. Never lines."""

from __future__ import annotations

import math
from array import array
from functools import lru_cache

import numpy as np

from guard.forecasts import Amount, Band, Direction
from guard.leverage.crowd.band_search import BandSearch
from guard.leverage.crowd.side_map import BIN_LOG, NORMAL_80, Floats, SideMap

REACH_BINS = 105
"""Bands are looked for up to about 10 %."""

SMOOTH_BINS = 7
BANDS_MAX = 5

_EDGE_RATIO = 0.7
_PLACE_LOG_SD = 0.3
"""Of a band's mass, beside the whole map's: who is in this one and who in the next."""


def bands_of(
    side: SideMap, direction: Direction, unit_usd: float, count: int = BANDS_MAX
) -> tuple[Band, ...]:
    """Find up to ``count`` bands within 10 % of the mark, the densest first; they do not overlap.

    A band is what holds 0.7 of the density of its top, blurred, up to ``SMOOTH_BINS`` to each side. ``unit_usd`` is
    liquidated at once.
    """
    mean, found = _search().find(side.usd, count)
    return tuple([_band(side, direction, first, end, usd, mean, unit_usd) for first, end, usd in found])


@lru_cache(maxsize=1)
def _kernel() -> Floats:
    width = SMOOTH_BINS / 2.0
    reach = math.ceil(3.0 * width)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return np.asarray(kernel / kernel.sum())


@lru_cache(maxsize=1)
def _search() -> BandSearch:
    # Mass that would be blurred beyond the mark is mirrored back.
    return BandSearch(array("d", _kernel()), REACH_BINS, SMOOTH_BINS, _EDGE_RATIO)


def _band(
    side: SideMap, direction: Direction, first: int, end: int, usd: float, mean: float, unit_usd: float
) -> Band:
    wider = math.sqrt(side.log_sd**2 + _PLACE_LOG_SD**2 + math.log1p(unit_usd / max(usd, 1e-9)))
    ratio = math.exp(NORMAL_80 * wider)
    ends = []
    for at in (first, end):
        factor = math.exp(direction.sign * at * BIN_LOG)
        ends.append((abs(factor - 1.0), side.mark_price * factor))
    return Band(
        near=ends[0][0],
        far=ends[1][0],
        near_price=ends[0][1],
        far_price=ends[1][1],
        mass=Amount(usd=usd, low_usd=usd / ratio, high_usd=usd * ratio),
        ratio=usd / (end - first) / mean,
    )
