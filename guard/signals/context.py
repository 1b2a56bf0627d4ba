# cython: auto_pickle=True
"""What every observable of a market is given at one refresh, and the shape that all of them have. No I/O, no clock."""

from __future__ import annotations

import math
from typing import Protocol

from guard.forecasts import Direction, SignalValue
from guard.readings import Reading
from guard.signals.price_measures import PriceMeasures
from guard.signals.usual import Usual

VOLATILITY_MIN = 1e-5
"""Per square root of a second, 1.7 bps in 5 minutes: less is a frozen price, not a calm one."""
USUAL_HALF_LIFE_S = 4 * 3_600.0

Features = dict[str, float]
"""Numbers by name; a name that is missing is unknown."""


class Context:
    """One reading with what the market's price did.

    Attributes:
        reading: the reading.
        measures: of the last hour's prices; ``None`` before the first price.
        sigma: usual volatility per square root of a second, which a crisis does not raise; ``None`` before 5 minutes.
    """

    def __init__(self, reading: Reading, measures: PriceMeasures | None, sigma: float | None) -> None:
        self.reading = reading
        self.measures = measures
        self.sigma = sigma

    def sigmas(self, move: float | None, seconds: float) -> float | None:
        """A log move over so many seconds, in usual standard deviations of such moves, within -50 and 50."""
        if move is None or self.sigma is None:
            return None
        change, sigma = move, self.sigma
        return max(min(change / (sigma * math.sqrt(seconds)), 50.0), -50.0)


class Observable(Protocol):
    """One estimator of one market; its values and features are of the latest reading."""

    def update(self, context: Context) -> None:
        """Take a reading."""

    def values(self) -> tuple[SignalValue, ...]:
        """What is told, in units, with an alarm."""

    def features(self, direction: Direction, /) -> Features:
        """The same as numbers for a model, in coordinates that point in a direction; what is unknown is missing."""


class UsualVolatility:
    """How much a market's price usually moves: realised volatility of 15 minutes, averaged in logs over hours.

    Formula: exp(mean of log volatility_15m), half-life 4 h, outliers clipped at 3 standard deviations, never less than
    ``VOLATILITY_MIN``. Source: own prices. Cost: 1 us. Assumption: the market was calm when the guard was started; if
    it was not, moves are understated until about an hour later.

    >>> usual = UsualVolatility()
    >>> usual.update(PriceMeasures(0, 100.0, volatility_15m=1e-4), 5.0)
    >>> round(usual.value, 6)
    0.0001
    """

    def __init__(self) -> None:
        self.usual = Usual(USUAL_HALF_LIFE_S, warm_s=1_800.0)

    def update(self, measures: PriceMeasures | None, elapsed_s: float) -> None:
        """Take what was measured."""
        if measures is not None and measures.volatility_15m is not None:
            volatility = measures.volatility_15m
            self.usual.update(math.log(max(volatility, VOLATILITY_MIN)), elapsed_s)

    @property
    def value(self) -> float | None:
        """Per square root of a second; ``None`` before 5 minutes of prices."""
        return math.exp(self.usual.mean) if self.usual.seconds > 0.0 else None
