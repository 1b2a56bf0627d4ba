"""How far from where it was entered a position is liquidated, by class of leverage; and where old ones are now."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from guard.forecasts import Direction
from guard.leverage.crowd.settings import BINS_KEPT, LEVERAGES, MapSettings
from guard.leverage.crowd.side_map import BIN_LOG, Floats

_ENTRY_SPREAD = 0.05
"""Entries of one position are averaged, fees and funding are paid: its distance is known to so much of itself."""

MAINTENANCE_OF_MARGIN = 0.4
"""Of initial margin, maintenance is no more."""

_QUANTILES = 64


@dataclass(frozen=True, slots=True, eq=False)
class Kernels:
    """Where entries of each class are liquidated.

    Attributes:
        near: the share that is so many bins beyond the entry, ``(K, BINS_KEPT)``; what is missing of 1 is farther.
    """

    near: Floats


@lru_cache(maxsize=64)
def kernels(direction: Direction, settings: MapSettings) -> Kernels:
    """Distances of liquidation from entry. Isolated: margin 1/L; cross: that times 1 + an exponential spare.

    A long with margin m and maintenance r is liquidated at ``(1 - m) / (1 - r)`` of its entry, a short at
    ``(1 + m) / (1 + r)``.
    """
    near = np.zeros((len(LEVERAGES), BINS_KEPT))
    levels = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    spares = -np.log1p(-levels) * settings.cross_spare
    smear = np.exp(_ENTRY_SPREAD * np.array([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5]))
    weight = np.exp(-0.5 * np.array([1.5, 1.0, 0.5, 0.0, 0.5, 1.0, 1.5]) ** 2)
    weight /= weight.sum()
    for at, leverage in enumerate(LEVERAGES):
        rate = min(settings.maintenance, MAINTENANCE_OF_MARGIN / leverage)
        margins = np.concatenate(([1.0 / leverage], (1.0 + spares) / leverage))
        shares = np.concatenate(
            ([1.0 - settings.cross_share], np.full(_QUANTILES, settings.cross_share / _QUANTILES))
        )
        for distance, share in zip(distance_of(direction, margins, rate), shares, strict=True):
            for part, each in zip(weight, distance * smear, strict=True):
                _put(near[at], each / BIN_LOG, share * part)
    return Kernels(near)


def settled(kernel: Floats, volatility_day: float, holding_half_life_h: float) -> Floats:
    """Where positions of a class are liquidated, seen from the mark, that were entered over a long time and live.

    Price is a driftless walk with standard deviation s a day, positions are left with rate q a day and gone when price
    gets to where they are liquidated, at d from entry. The density of what is left at distance x is that of a killed
    walk: ``exp(-a |x - d|) - exp(-a (x + d))``, ``a = sqrt(2 q) / s``. Each class is scaled to what ``kernel`` holds.

    Args:
        kernel: of one class, ``(BINS_KEPT,)``, by distance from entry.
        volatility_day: standard deviation of log price over a day.
        holding_half_life_h: in which half of them leave.
    """
    rate = math.log(2.0) * 24.0 / holding_half_life_h
    a = math.sqrt(2.0 * rate) / max(volatility_day, 1e-4) * BIN_LOG
    places = np.arange(len(kernel)) + 0.5
    held = np.flatnonzero(kernel > 0.0)
    out = np.zeros(len(kernel))
    for at in held:
        density = np.exp(-a * np.abs(places - places[at])) - np.exp(-a * (places + places[at]))
        out += kernel[at] * density / density.sum()
    return out


def distance_of(direction: Direction, margins: Floats, rate: float | Floats) -> Floats:
    """Log distance from entry to liquidation by margin ratio."""
    if direction is Direction.DOWN:
        left = np.maximum(1.0 - margins, 1e-9) / (1.0 - rate)
        return np.maximum(-np.log(left), 0.5 * BIN_LOG)
    return np.maximum(np.log((1.0 + margins) / (1.0 + rate)), 0.5 * BIN_LOG)


def _put(row: Floats, place: float, share: float) -> None:
    """Share a point between the bins whose middles are about it; nothing beyond the last."""
    low = math.floor(place - 0.5)
    part = place - 0.5 - low
    if 0 <= low < len(row):
        row[low] += share * (1.0 - part)
    if 0 <= low + 1 < len(row):
        row[low + 1] += share * part
