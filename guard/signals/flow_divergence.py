# cython: auto_pickle=True
"""Where takers and price disagree: a fall without sellers, and selling that moves nothing. No I/O, no clock."""

from __future__ import annotations

import math

from guard.forecasts import Direction, SignalValue
from guard.signals.context import USUAL_HALF_LIFE_S, Context, Features
from guard.signals.usual import Usual, WindowSum, clip

WINDOW_S = 300.0
PRIOR_SLOPE, PRIOR_S = 0.5, 1_800.0
"""Of an hour of 5 minutes' moves about half is what their flow explains; counted as half an hour of it."""
QUIET, FULL = 1.0, 5.0
LIMIT = 20.0


class FlowDivergence:
    """Net taker flow (CVD) and price of the last 5 minutes, each in its usual deviations, and what does not fit.

    Formula: m = move / (usual volatility sqrt(300)); q = (bought - sold) / usual deviation of it; b = the decayed slope
    of m on q, within 0 and 2. *Vacuum*: the part of m beyond b q on its own side, so that a fall is negative: price
    falls though few sell, for nobody bids. *Absorption*: the part of b q that price did not follow, with the sign of
    the flow: heavy selling into bids that hold, until they do not. Unit: standard deviations. Alarm of each: 0 up to
    1, 1 from 5.

    Source: trades. Cost: 2 us. Assumptions: the venue tells the taker's side; a thousand trades are summed as one.
    Failure modes: flow of another venue that leads this one looks like a vacuum here, rightly so; before half an hour
    the slope is the prior's.

    >>> from guard.readings import Reading
    >>> from guard.signals.context import Context
    >>> from guard.signals.price_measures import PriceMeasures
    >>> divergence = FlowDivergence()
    >>> for second in range(0, 2400, 5):
    ...     reading = Reading(at=second * 10**9, market="v:A", elapsed_s=5.0, sell_usd=0.0, buy_usd=1e4 * (second % 7))
    ...     seen = PriceMeasures(reading.at, 100.0, move_5m=-0.02 if second > 2390 else 0.0)
    ...     divergence.update(Context(reading, seen, 1e-4))
    >>> divergence.vacuum < -8.0, round(divergence.absorption, 1)
    (True, 0.2)
    """

    def __init__(self) -> None:
        self._net = WindowSum(WINDOW_S)
        self._usual = Usual(USUAL_HALF_LIFE_S, warm_s=900.0)
        self._moment = Usual(USUAL_HALF_LIFE_S, clip_sd=5.0, warm_s=900.0, prior=(PRIOR_SLOPE, 1.0, PRIOR_S))
        self._power = Usual(USUAL_HALF_LIFE_S, clip_sd=5.0, warm_s=900.0, prior=(1.0, 1.0, PRIOR_S))
        self._seen_s = 0.0
        self.flow: float | None = None
        self.vacuum: float | None = None
        self.absorption: float | None = None

    def update(self, context: Context) -> None:
        """Take a reading."""
        reading = context.reading
        elapsed = reading.elapsed_s
        elapsed = min(elapsed, 60.0)
        bought, sold = reading.buy_usd, reading.sell_usd
        self._net.add(reading.at, bought - sold)
        self._seen_s += elapsed
        self.flow = self.vacuum = self.absorption = None
        if self._seen_s < WINDOW_S:
            return
        self._usual.update(self._net.total, elapsed)
        mean = self._usual.mean
        deviation = math.sqrt(self._usual.variance + mean * mean)
        if deviation <= 0.0 or self._usual.seconds < WINDOW_S:
            return
        flow = clip(self._net.total / deviation, -LIMIT, LIMIT)
        self.flow = flow
        moved = None if context.measures is None else context.sigmas(context.measures.move_5m, WINDOW_S)
        if moved is None:
            return
        move = clip(moved, -LIMIT, LIMIT)
        slope = clip(self._moment.mean / max(self._power.mean, 1e-3), 0.0, 2.0)
        explained = slope * flow
        self.vacuum = _beyond(move, explained)
        self.absorption = _beyond(explained, move)
        self._moment.update(clip(move * flow, -25.0, 25.0), elapsed)
        self._power.update(min(flow * flow, 25.0), elapsed)

    def usuals(self) -> dict[str, Usual]:
        """What is learned, by name."""
        return {"flow": self._usual, "moment": self._moment, "power": self._power}

    def values(self) -> tuple[SignalValue, ...]:
        """Vacuum and absorption, negative down."""
        return (
            SignalValue(name="vacuum", value=self.vacuum, unit="sd", alarm=_alarm(self.vacuum)),
            SignalValue(name="absorption", value=self.absorption, unit="sd", alarm=_alarm(self.absorption)),
        )

    def features(self, direction: Direction) -> Features:
        """Flow, vacuum and absorption, positive in the direction."""
        told = (("flow_5m", self.flow), ("vacuum", self.vacuum), ("absorption", self.absorption))
        return {name: direction.sign * value for name, value in told if value is not None}


def _alarm(value: float | None) -> float | None:
    return None if value is None else clip((abs(value) - QUIET) / (FULL - QUIET), 0.0)


def _beyond(value: float, other: float) -> float:
    """The part of a number that another on the same side of 0 does not cover.

    >>> _beyond(-3.0, -1.0), _beyond(-3.0, 2.0), _beyond(2.0, 5.0)
    (-2.0, -3.0, 0.0)
    """
    if value >= 0.0:
        return max(value - max(other, 0.0), 0.0)
    return min(value - min(other, 0.0), 0.0)
