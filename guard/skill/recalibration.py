"""The rates of life: how much rarer falls are than where models were fitted, learned slowly while running. Pure."""

from __future__ import annotations

from array import array
from math import exp

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from guard.calibration.blend import settled, times_odds
from guard.forecasts import HORIZONS_S, MOVES, HazardForecast
from guard.skill.climatology import age_kept
from guard.skill.gate import ESTIMATORS, SETTLED
from guard.skill.waiting import KEEP_S, Batch

Floats = NDArray[np.float64]

PRIOR_EVENTS = 10.0
"""What was fitted is believed as ten events are that came as often as expected."""

LOG_MIN, LOG_MAX = -7.0, 2.0
STEP_MAX = 1.0
HALF_LIFE_DAYS = 56.0

SHOCK_HORIZON = HORIZONS_S.index(900)
"""A shock is told for as long: its odds go by the factor of the least move within it."""

_ROW = ESTIMATORS.index(SETTLED)


class RecalibrationMemory(Struct, frozen=True, kw_only=True):
    """Log factors of odds and what they rest on, by horizon and move, flat."""

    logs: list[float]
    events: list[float]


class Recalibration:
    """A factor on the odds of each horizon and move, and what it makes of a forecast.

    Formula, once an hour with cases weighed by 60 s / horizon over the design effect ``d`` of markets:
        ``log r += sum w (y - p) / (PRIOR_EVENTS + V)``, ``V += sum w p (1 - p)`` before it, with p as it was said with
        the factor then: Newton's step to the most likely intercept. V shrinks with age, so that it follows for ever.

    Assumes:
        Models order moments rightly and only the rate is another: they were fitted on markets of which most crash.

    Fails:
        Slowly: before some ten falls should have come, it knows nothing. The gate decides whether it is listened to.
    """

    def __init__(self) -> None:
        shape = (len(HORIZONS_S), len(MOVES))
        self._logs = np.zeros(shape)
        self._events = np.zeros(shape)
        self._missed = np.zeros(shape)
        self._expected = np.zeros(shape)
        self.factors = array("d", np.ones(shape).ravel())
        """Of odds, by horizon and move, flat."""

    def settle(self, forecast: HazardForecast) -> HazardForecast:
        """Give the forecast at the rates of life; order among horizons and moves is kept."""
        wide = len(MOVES)
        said = array("d", [each for row in forecast.probability for each in row])
        settled(said, self.factors, len(HORIZONS_S), wide)
        return structs.replace(
            forecast,
            probability=tuple(tuple(said[at : at + wide]) for at in range(0, len(said), wide)),
            shock=times_odds(forecast.shock, self.factors[SHOCK_HORIZON * wide]),
        )

    def add(self, batch: Batch) -> None:
        """Count a batch: what was said with the factor of then, and what came."""
        said = batch.said[: batch.count, _ROW].astype(np.float64)
        happened = batch.farthest[: batch.count, :, None] >= np.array(MOVES)
        spoke = said >= 0.0
        for horizon, length_s in enumerate(HORIZONS_S):
            rows = batch.horizon[: batch.count] == horizon
            weight = KEEP_S / length_s
            of, known = said[rows], spoke[rows]
            self._missed[horizon] += weight * (known * (happened[rows] - of)).sum(axis=(0, 1))
            self._expected[horizon] += weight * (known * of * (1.0 - of)).sum(axis=(0, 1))

    def turn(self, hours: float, design_effects: Floats) -> None:
        """Close an hour; ``design_effects`` by horizon, of the markets that were counted."""
        self._events *= age_kept(hours, HALF_LIFE_DAYS)
        self._events += self._expected / design_effects[:, None]
        step = self._missed / design_effects[:, None] / (PRIOR_EVENTS + self._events)
        self._logs = np.clip(self._logs + np.clip(step, -STEP_MAX, STEP_MAX), LOG_MIN, LOG_MAX)
        self._missed[:] = 0.0
        self._expected[:] = 0.0
        self.factors = array("d", np.exp(self._logs).ravel())

    def factor(self, horizon: int, move: int) -> float:
        """By how much odds are multiplied."""
        return exp(float(self._logs[horizon, move]))

    def state(self) -> RecalibrationMemory:
        """What was learned; the hour under way is not kept."""
        return RecalibrationMemory(logs=self._logs.ravel().tolist(), events=self._events.ravel().tolist())

    def restore(self, memory: RecalibrationMemory) -> None:
        """Go on from a former state; one of another form is not taken."""
        if len(memory.logs) == len(memory.events) == self._logs.size:
            self._logs[:] = np.reshape(memory.logs, self._logs.shape)
            self._events[:] = np.reshape(memory.events, self._events.shape)
            self.factors = array("d", np.exp(self._logs).ravel())
