"""Bands of a map: neighbouring distances that hold clearly more than what is about them. Never lines."""

from __future__ import annotations

import math

import numpy as np

from guard.forecasts import Amount, Band, Direction
from guard.leverage.crowd.side_map import BIN_LOG, NORMAL_80, Floats, SideMap

REACH_BINS = 105
"""Bands are looked for up to about 10 %."""

SMOOTH_BINS = 7
BANDS_MAX = 5

_PLACE_LOG_SD = 0.3
"""Of a band's mass, beside the whole map's: who is in this one and who in the next."""


def smoothed(usd: Floats, width_bins: float) -> Floats:
    """Blur by a normal kernel of so many bins; mass that would leave at the mark is mirrored back."""
    reach = math.ceil(3.0 * width_bins)
    places = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (places / width_bins) ** 2)
    padded = np.concatenate((usd[:reach][::-1], usd, np.zeros(reach)))
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def bands_of(
    side: SideMap, direction: Direction, unit_usd: float, count: int = BANDS_MAX
) -> tuple[Band, ...]:
    """Find up to ``count`` bands within 10 % of the mark, most mass first; ``unit_usd`` is liquidated at once."""
    usd = side.usd[: REACH_BINS + 4 * SMOOTH_BINS]
    fine = smoothed(usd, SMOOTH_BINS / 2.0)[:REACH_BINS]
    mean = float(fine.mean())
    if mean <= 0.0:
        return ()
    free = np.ones(REACH_BINS, dtype=bool)
    found = []
    for _ in range(count):
        masked = np.where(free, fine, -1.0)
        top = int(masked.argmax())
        if masked[top] <= 0.0:
            break
        first = last = top
        while (
            first > 0 and free[first - 1] and fine[first - 1] >= 0.7 * fine[top] and top - first < SMOOTH_BINS
        ):
            first -= 1
        while (
            last + 1 < REACH_BINS
            and free[last + 1]
            and fine[last + 1] >= 0.7 * fine[top]
            and last - top < SMOOTH_BINS
        ):
            last += 1
        free[max(first - SMOOTH_BINS, 0) : last + SMOOTH_BINS + 1] = False
        found.append(_band(side, direction, first, last + 1, mean, unit_usd))
    return tuple(found)


def _band(side: SideMap, direction: Direction, first: int, end: int, mean: float, unit_usd: float) -> Band:
    usd = float(side.usd[first:end].sum())
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
