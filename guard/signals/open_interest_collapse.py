# cython: auto_pickle=True
"""Whether positions are being closed in a hurry: open interest over five minutes. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from math import log

from guard.forecasts import Direction, SignalValue
from guard.signals.context import Context, Features
from guard.signals.usual import clip, is_number
from guard.units import NS_PER_S, Nanoseconds

WINDOW_NS = 300 * NS_PER_S
STALE_NS = 600 * NS_PER_S
CHANGE_FULL = 0.04
SLOTS = 512
RATIO_MAX = 100.0


class OpenInterestCollapse:
    """Change of open interest over 5 minutes, in base units, so that price does not enter.

    Formula: OI / OI at the newest time at least 5 minutes ago (at most 15) - 1. Unit: ratio. Alarm: 0 while it grows,
    -change / 4 % else: -2 % (the usual threshold) is 0.5, and 1 from -4 %.

    Source: REST or streams, 5 s to minutes. Cost: 1 us. Assumption: the venue counts it at one time. Failure modes: a
    liquidated long that a new long buys leaves open interest flat; where it is told every 5 minutes this lags by as
    much; it confirms, and says when it ends, rather than warns.

    >>> from guard.readings import Reading
    >>> from guard.signals.context import Context
    >>> collapse = OpenInterestCollapse()
    >>> for second in range(0, 400, 5):
    ...     reading = Reading(at=second * NS_PER_S, market="v:A", elapsed_s=5.0, open_interest=1000.0 - second * 0.1)
    ...     collapse.update(Context(reading, None, None))
    >>> round(collapse.change, 4), round(collapse.values()[0].alarm, 2)
    (-0.0303, 0.76)
    """

    def __init__(self) -> None:
        self._told: deque[tuple[Nanoseconds, float]] = deque(maxlen=SLOTS)
        self.change: float | None = None

    def update(self, context: Context) -> None:
        """Take a reading."""
        reading = context.reading
        self.change = None
        interest = reading.open_interest
        if interest is None or not is_number(interest) or interest <= 0.0:
            return
        now = interest
        read_at = reading.at
        at = read_at if reading.open_interest_at is None else reading.open_interest_at
        at = min(at, read_at)
        if read_at - at > STALE_NS:
            return
        told = self._told
        last_at = 0
        if told:
            last_at, last = told[len(told) - 1]
            if at < last_at or not 1.0 / RATIO_MAX < now / last < RATIO_MAX:
                told.clear()
        if not told or at > last_at:
            told.append((at, now))
        edge = at - WINDOW_NS
        while len(told) > 1 and told[1][0] <= edge:
            told.popleft()
        first_at, first = told[0]
        if first_at <= edge and first_at >= edge - 2 * WINDOW_NS:
            self.change = now / first - 1.0

    def values(self) -> tuple[SignalValue, ...]:
        """The one change."""
        alarm = None if self.change is None else clip(-self.change / CHANGE_FULL, 0.0)
        return (SignalValue(name="open_interest_change_5m", value=self.change, unit="ratio", alarm=alarm),)

    def features(self, _direction: Direction, /) -> Features:
        """Log of the ratio, the same in both directions."""
        return (
            {} if self.change is None else {"open_interest_change": clip(log(1.0 + self.change), -3.0, 3.0)}
        )
