# cython: auto_pickle=True
"""How often a fall was bought, and the buyers were wrong; mirrored for rises. No I/O, no clock."""

from __future__ import annotations

import math
from collections import deque

from guard.forecasts import Direction, SignalValue
from guard.signals.context import Context, Features
from guard.signals.usual import clip
from guard.units import NS_PER_S, Nanoseconds

FALL_SIGMAS = 2.0
FALL_LOG_MIN = 0.001
"""A fall smaller than this is none, however calm the market was."""
RETRACED_MIN, RETRACED_MAX = 0.10, 0.382
REBOUND_NS = 180 * NS_PER_S
WINDOW_NS = 1_800 * NS_PER_S
COUNT_MAX = 16
FALL_WINDOW_S = 300.0
_FALL_ROOT_S = math.sqrt(FALL_WINDOW_S)


class FailedRebounds:
    """Counts rebounds of the last 30 minutes that failed, of falls (DOWN) and, mirrored, of rises (UP).

    Formula: a fall is ``FALL_SIGMAS`` usual 5-minute deviations below the highest price of the last 5 minutes. From its
    low a rebound begins when 10 % of the fall is won back. It succeeds where 38.2 % is won back within 3 minutes of the
    low, and then the fall is over; it fails where a lower low follows without that. A fall is also over when price is
    back at its high, or 30 minutes after its last low. Unit: count. Alarm: count / 3, at most 1.

    Source: own prices. Cost: 1 us. Assumption: a rebound is seen at 5 s. Failure modes: a fall that never pauses has no
    rebound and counts 0 (speed tells of it); the share comes from folklore (Fibonacci), not from measurement.

    >>> from guard.readings import Reading
    >>> from guard.signals.context import Context
    >>> from guard.signals.price_measures import PriceMeasures
    >>> failed = FailedRebounds()
    >>> for second, price in enumerate((100.0, 99.0, 99.2, 98.5, 98.7, 98.0)):
    ...     reading = Reading(at=second * 5 * NS_PER_S, market="v:A", elapsed_s=5.0, mark_price=price)
    ...     seen = PriceMeasures(reading.at, price, drawdown_5m=math.log(100.0 / price), runup_5m=0.0)
    ...     failed.update(Context(reading, seen, 1e-4))
    >>> [value.value for value in failed.values()]
    [2.0, 0.0]
    """

    def __init__(self) -> None:
        self._sides = (_Side(Direction.DOWN), _Side(Direction.UP))
        self._is_known = False

    def update(self, context: Context) -> None:
        """Take a price."""
        measures, sigma = context.measures, context.sigma
        self._is_known = measures is not None and sigma is not None
        if measures is None or sigma is None:
            return
        usual, price, at = sigma, measures.price, measures.at
        enough = max(FALL_SIGMAS * usual * _FALL_ROOT_S, FALL_LOG_MIN)
        value = math.log(price)
        falls, rises = self._sides
        falls.update(at, -value, measures.drawdown_5m, enough)
        rises.update(at, value, measures.runup_5m, enough)

    def values(self) -> tuple[SignalValue, ...]:
        """Counts of both directions."""
        return tuple(
            [
                SignalValue(
                    name=side.name,
                    value=float(len(side.failed)) if self._is_known else None,
                    unit="count",
                    alarm=clip(len(side.failed) / 3.0) if self._is_known else None,
                )
                for side in self._sides
            ]
        )

    def features(self, direction: Direction) -> Features:
        """Counts of this direction and of the other."""
        if not self._is_known:
            return {}
        down, up = (float(len(side.failed)) for side in self._sides)
        ours, other = (down, up) if direction is Direction.DOWN else (up, down)
        return {"failed_rebounds": ours, "failed_rebounds_other": other}


class _Side:
    """One direction; ``value`` rises with the move that is watched."""

    def __init__(self, direction: Direction) -> None:
        self.name = f"failed_rebounds_{direction}"
        self.failed: deque[Nanoseconds] = deque(maxlen=COUNT_MAX)
        self.is_fall = False
        self.start = self.extreme = self.best = 0.0
        self.extreme_at: Nanoseconds = 0

    def update(self, at: Nanoseconds, value: float, moved: float | None, enough: float) -> None:
        while self.failed and (at - self.failed[0] > WINDOW_NS or self.failed[0] > at):
            self.failed.popleft()
        if not self.is_fall:
            gone = 0.0 if moved is None else moved
            if moved is not None and gone >= enough:
                self.is_fall = True
                self.start, self.extreme, self.best, self.extreme_at = value - gone, value, 0.0, at
            return
        way = self.extreme - self.start
        if value > self.extreme:
            if self.best >= RETRACED_MIN:
                self.failed.append(at)
            self.extreme, self.extreme_at, self.best = value, at, 0.0
            return
        self.best = max(self.best, (self.extreme - value) / way)
        since = at - self.extreme_at
        is_won = self.best >= RETRACED_MAX and since <= REBOUND_NS
        if is_won or self.best >= 1.0 or not 0 <= since <= WINDOW_NS:
            self.is_fall = False
