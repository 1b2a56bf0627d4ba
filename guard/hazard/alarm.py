"""The alarm: one score that is published, raised above a threshold and held until it has been low for long enough."""

from __future__ import annotations

from dataclasses import dataclass

from guard.forecasts import MOVES, HazardForecast
from guard.units import NS_PER_S, Nanoseconds

ALARM_HORIZON_S = 900
ALARM_MOVE = 0.05
EXIT_SHARE = 0.5
"""Of the threshold: below it an alarm may end."""
HOLD_S = 600.0
"""For so long it has to be there."""


def alarm_score(forecast: HazardForecast) -> float:
    """Give what is held against the threshold: the probability of 5 % within 15 minutes."""
    return forecast.probability[_AT][_MOVE]


@dataclass(slots=True)
class Alarm:
    """Raised or not, of one market and direction.

    Assumes a score at each refresh; one that is unknown (``None``) neither raises nor ends it.

    >>> alarm = Alarm(threshold=0.2)
    >>> [alarm.update(at * 60 * NS_PER_S, score) for at, score in enumerate((0.1, 0.3, 0.05, None, 0.15, 0.05))]
    [False, True, True, True, True, True]
    >>> alarm.update(16 * 60 * NS_PER_S, 0.05)
    False
    """

    threshold: float
    is_raised: bool = False
    _low_since: Nanoseconds | None = None

    def update(self, at: Nanoseconds, score: float | None) -> bool:
        """Take the score of a refresh; whether the alarm stands."""
        if score is None:
            return self.is_raised
        if score > self.threshold:
            self.is_raised, self._low_since = True, None
        elif self.is_raised:
            if score >= self.threshold * EXIT_SHARE:
                self._low_since = None
            elif self._low_since is None:
                self._low_since = at
            elif at - self._low_since >= HOLD_S * NS_PER_S:
                self.is_raised, self._low_since = False, None
        return self.is_raised


_AT = 1
"""15 minutes in ``guard.forecasts.HORIZONS_S``."""
_MOVE = MOVES.index(ALARM_MOVE)
