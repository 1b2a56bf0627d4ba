"""Bands of a map: neighbouring distances that hold clearly more than what is about them. Never lines.

Compiled where there is a compiler (bands.pxd), and the same results as it is.
"""

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
    moves, spread = _moves(direction), side.log_sd**2 + _PLACE_LOG_SD**2
    return tuple([
        _band(moves[first], moves[end], side.mark_price, spread, usd, usd / (end - first) / mean, unit_usd)
        for first, end, usd in found
    ])  # fmt: skip


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


@lru_cache(maxsize=4)
def _moves(direction: Direction) -> tuple[tuple[float, float], ...]:
    """Distance as a share of price, and what price is multiplied with, by bin."""
    factors = [math.exp(direction.sign * at * BIN_LOG) for at in range(REACH_BINS + 1)]
    return tuple([(abs(factor - 1.0), factor) for factor in factors])


def _band(
    begin: tuple[float, float],
    end: tuple[float, float],
    mark: float,
    spread: float,
    usd: float,
    ratio: float,
    unit_usd: float,
) -> Band:
    wider = math.sqrt(spread + math.log1p(unit_usd / max(usd, 1e-9)))
    either_way = math.exp(NORMAL_80 * wider)
    return Band(
        near=begin[0],
        far=end[0],
        near_price=mark * begin[1],
        far_price=mark * end[1],
        mass=Amount(usd, usd / either_way, usd * either_way),
        ratio=ratio,
    )
