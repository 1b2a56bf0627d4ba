# cython: auto_pickle=True
"""Whether one side pays unusually much to hold on: predicted funding against what it usually is. No I/O, no clock."""

from __future__ import annotations

from guard.forecasts import Direction, SignalValue
from guard.signals.context import Context, Features
from guard.signals.usual import Usual, clip, is_number

HALF_LIFE_S = 3 * 86_400.0
PRIOR = (0.0, 1e-4, 8 * 3_600.0)
"""Around nothing, 1 bp an interval, counted as eight hours of it: what Binance's rate is about in quiet times."""
SD_MIN = 1e-5
Z_QUIET, Z_FULL = 1.0, 5.0


class FundingRegime:
    """z-score of the funding rate that is predicted for the running interval.

    Formula: (rate - mean) / sd, both over three days' half-life, with a prior of 0 and 1 bp that counts as 8 hours.
    Positive: longs pay, the crowd is long. Unit: standard deviations. Alarm: 0 up to |z| = 1, 1 from |z| = 5.

    Source: the venue's mark price stream or REST, seconds to minutes. Cost: 1 us. Assumptions: a market's interval
    does not change (venues do shorten it in a crisis: the rate then falls though nothing calmed). Failure mode: slow;
    it says which side is crowded, not when it breaks.

    >>> from guard.readings import Reading
    >>> from guard.signals.context import Context
    >>> funding = FundingRegime()
    >>> funding.update(Context(Reading(at=0, market="v:A", elapsed_s=5.0, funding_rate=5e-4), None, None))
    >>> round(funding.z, 1), round(funding.values()[0].alarm, 2)
    (5.0, 1.0)
    """

    def __init__(self) -> None:
        self._usual = Usual(HALF_LIFE_S, warm_s=0.0, prior=PRIOR)
        self.z: float | None = None

    def update(self, context: Context) -> None:
        """Take a reading."""
        reading = context.reading
        self.z = None
        if reading.funding_rate is not None and is_number(reading.funding_rate):
            rate, elapsed = reading.funding_rate, reading.elapsed_s
            self.z = self._usual.z(rate, SD_MIN)
            self._usual.update(clip(rate, -0.05, 0.05), min(elapsed, 60.0))

    def usuals(self) -> dict[str, Usual]:
        """What is learned, by name."""
        return {"rate": self._usual}

    def values(self) -> tuple[SignalValue, ...]:
        """The one z-score."""
        alarm = None if self.z is None else clip((abs(self.z) - Z_QUIET) / (Z_FULL - Z_QUIET), 0.0)
        return (SignalValue(name="funding_z", value=self.z, unit="sd", alarm=alarm),)

    def features(self, direction: Direction) -> Features:
        """Positive where those pay whom a move in this direction liquidates."""
        return {} if self.z is None else {"funding_z": clip(-direction.sign * self.z, -10.0, 10.0)}
