"""What would be liquidated in one direction, by distance from the mark, and how sure that is. A value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BIN_LOG = 0.001
"""Width of a bin in log price: 10 bps."""

BINS = 700
"""So many bins beyond the mark in a direction."""

NORMAL_80 = 1.2815515655446004
"""So many standard deviations on both sides hold 80 of 100 cases of a normal number."""


@dataclass(frozen=True, slots=True, eq=False)
class SideMap:
    """Notional in USD (at the mark) of others that is liquidated between distances; medians, not means.

    Attributes:
        usd: by bin of log distance beyond the mark, ``(BINS,)``; bin j holds j to j + 1 times ``BIN_LOG``.
        log_sd: of the scale that all bins have in common (log-normal): mass is ``usd * exp(log_sd * N(0, 1))``.
        mark_price: from which distances count.
        exact_usd: the part of ``usd`` that rests on positions which a venue publishes; it is not uncertain.

    >>> side = SideMap(np.full(BINS, 10.0), 0.5, 100.0)
    >>> round(side.within(0.05), 6), round(side.quantile(0.05, 0.9), 1)
    (500.0, 949.0)
    """

    usd: Floats
    log_sd: float
    mark_price: float
    exact_usd: Floats | None = None

    def within(self, distance_log: float) -> float:
        """USD liquidated when the mark moves by a log distance; within a bin in proportion."""
        return _upto(self.usd, distance_log)

    def exact_within(self, distance_log: float) -> float:
        """The part of ``within`` that is known exactly."""
        return 0.0 if self.exact_usd is None else _upto(self.exact_usd, distance_log)

    def quantile(self, distance_log: float, level: float) -> float:
        """USD that ``within`` stays below with a probability (0..1, exclusive)."""
        exact = self.exact_within(distance_log)
        return exact + max(self.within(distance_log) - exact, 0.0) * math.exp(self.log_sd * normal_at(level))


def _upto(usd: Floats, distance_log: float) -> float:
    at = min(max(distance_log / BIN_LOG, 0.0), float(len(usd)))
    whole = int(at)
    total = float(usd[:whole].sum())
    return total + (at - whole) * float(usd[whole]) if whole < len(usd) else total


def normal_at(level: float) -> float:
    """Give the standard normal number below which a share ``level`` lies; by bisection of the error function."""
    low, high = -8.0, 8.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if 0.5 * math.erfc(-middle / math.sqrt(2.0)) < level:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
