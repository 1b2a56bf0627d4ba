"""How far a price has moved of late, in what is usual for it: the z that makers and others withdraw by.

Shared by orders and depth curves; memory is bounded (one price a second for an hour).
"""

from __future__ import annotations

import math
from array import array

from adapters.simulation.laboratory.behaviour import keep_ratio, usual_deviation

SHORT_S = 30
LONG_S = 300
HOUR_S = 3_600

USUAL_HALF_LIFE_S = 12 * 3_600.0
"""Of the estimate of what is usual."""

STRESSED_Z = 4.0
"""Beyond so many usual deviations the estimate learns nothing: or a crisis would soon be what is usual."""

_RING = 4_096
"""Seconds that are kept: more than an hour, a power of two."""


class Moves:
    """Moves of the log price over 30 s, 5 min and an hour, as ratios of their usual standard deviations.

    What is usual is an exponentially weighted mean square of the moves of each second, seeded from the volatility of
    the parameters, never below a fifth of that seed's variance, and frozen while the move is beyond 4 deviations.

    Attributes:
        z: the larger of the moves over 30 s and 5 min, >= 0.
        z_short: over 30 s, signed.
        z_long: over 5 min, signed.
        z_hour: over an hour, signed.
    """

    def __init__(self, volatility_day: float, log_price: float) -> None:
        self.z = 0.0
        self.z_short = 0.0
        self.z_long = 0.0
        self.z_hour = 0.0
        self._ring = array("d", [log_price] * _RING)
        self._second = 0
        short = usual_deviation(volatility_day, SHORT_S)
        long = usual_deviation(volatility_day, LONG_S)
        self._short_variance = short * short
        self._long_variance = long * long
        self._short_variance_min = 0.2 * short * short
        self._long_variance_min = 0.2 * long * long
        self._short_deviation = short
        self._long_deviation = long
        self._learn = 1.0 - keep_ratio(1.0, USUAL_HALF_LIFE_S)

    def update(self, now_ms: int, log_price: float) -> float:
        """Take the log price at a time (milliseconds since the begin, never going back) and return ``z``."""
        second = now_ms // 1_000
        while self._second < second:
            self._learn_from(log_price)
            self._second += 1
            self._ring[self._second & (_RING - 1)] = log_price
        self.z_short = (
            log_price - self._ring[(self._second - SHORT_S) & (_RING - 1)]
        ) / self._short_deviation
        self.z_long = (log_price - self._ring[(self._second - LONG_S) & (_RING - 1)]) / self._long_deviation
        hour = log_price - self._ring[(self._second - HOUR_S) & (_RING - 1)]
        self.z_hour = hour / (3.4641016151377544 * self._long_deviation)
        self.z = max(math.fabs(self.z_short), math.fabs(self.z_long))
        return self.z

    def deviation(self, seconds: float) -> float:
        """Return the usual standard deviation of the log price's move over a time, from that over 5 minutes."""
        return self._long_deviation * math.sqrt(seconds / LONG_S)

    def _learn_from(self, log_price: float) -> None:
        if self.z >= STRESSED_Z:
            return
        move = log_price - self._ring[(self._second + 1 - SHORT_S) & (_RING - 1)]
        self._short_variance += self._learn * (move * move - self._short_variance)
        self._short_deviation = math.sqrt(max(self._short_variance, self._short_variance_min))
        move = log_price - self._ring[(self._second + 1 - LONG_S) & (_RING - 1)]
        self._long_variance += self._learn * (move * move - self._long_variance)
        self._long_deviation = math.sqrt(max(self._long_variance, self._long_variance_min))
