"""What came true: onsets, reach, falls within a horizon, alarm events and how alarms are judged. One definition.

The benchmark, the fitting and the gate use these. Each definition exists over arrays (a whole recording at once) and
online (one price after another); tests hold that both say the same. Prices are mids; times Unix nanoseconds that rise
strictly. ``DOWN`` looks at falls, ``UP`` at rises, by one code: prices are turned so that a cascade always rises.

Prices that are not known are left out of the arrays by the caller or are NaN in them (a recording's own gaps); a window
is only judged when it was observed to its end without a gap longer than ``GAP_S_MAX``. To judge only those windows in
which the fall was seen before the gap would count crashes and not their absence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guard.forecasts import Direction
from guard.skill.falls import FallDetector
from guard.units import NS_PER_S, Nanoseconds

ONSET_MOVE = 0.015
"""A shock is under way once price is this far below the highest of ``ONSET_WINDOW_S``."""
ONSET_WINDOW_S = 300.0
ONSET_REFRACTORY_S = 3600.0
"""No other onset is counted for as long."""
REACH_WINDOW_S = 1800.0
"""The reach is the farthest that price goes beyond the onset within as long."""
ALARM_MOVE = 0.05
"""What alarms are for: price this far below the highest of ``ALARM_WINDOW_S``."""
ALARM_WINDOW_S = 1800.0
ALARM_REFRACTORY_S = 3600.0
ALARM_VALID_S = 2700.0
"""An alarm is true if its event comes within as long; further ones within are the same alarm."""
GAP_S_MAX = 60.0
"""A longer silence inside of a window leaves its outcome unknown."""

Times = NDArray[np.int64]
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Truth:
    """An outcome for each sample: ``value`` counts only where ``known``."""

    value: Floats
    known: Mask


def falls(
    at: Times, prices: Floats, direction: Direction, *, move: float, window_s: float, refractory_s: float
) -> Indices:
    """Index of each sample at which price is ``move`` beyond the extreme of the last ``window_s``, itself included.

    After one, none for ``refractory_s``. Unknown prices (NaN) are passed over.
    """
    known = np.flatnonzero(np.isfinite(prices))
    if len(known) == 0:
        return np.zeros(0, dtype=np.int64)
    times, turned = at[known], direction.sign * prices[known]
    first = np.searchsorted(times, times - int(window_s * NS_PER_S))
    origin = -_greatest(-turned, first, np.arange(1, len(known) + 1))
    beyond = np.flatnonzero(turned >= origin + np.abs(origin) * move)
    return known[_spaced(times, beyond, int(refractory_s * NS_PER_S))]


def onsets(at: Times, prices: Floats, direction: Direction) -> Indices:
    """Samples at which a shock is first seen: 1.5 % within 5 minutes, none in the hour before.

    >>> at = np.arange(5, dtype=np.int64) * 60 * NS_PER_S
    >>> onsets(at, np.array([100.0, 99.5, 98.4, 97.0, 99.0]), Direction.DOWN).tolist()
    [2]
    """
    return falls(
        at, prices, direction, move=ONSET_MOVE, window_s=ONSET_WINDOW_S, refractory_s=ONSET_REFRACTORY_S
    )


def alarm_events(at: Times, prices: Floats, direction: Direction) -> Indices:
    """Samples at which what alarms are for is first true: 5 % within 30 minutes, none in the hour before."""
    return falls(
        at, prices, direction, move=ALARM_MOVE, window_s=ALARM_WINDOW_S, refractory_s=ALARM_REFRACTORY_S
    )


def farthest(
    at: Times, prices: Floats, direction: Direction, horizon_s: float, *, gap_s_max: float = GAP_S_MAX
) -> Truth:
    """How far price goes beyond each sample within ``horizon_s``, as a fraction of its price, 0 or more.

    Known where the sample is, and the window was observed to its end without a gap longer than ``gap_s_max``.

    >>> at = np.arange(4, dtype=np.int64) * 50 * NS_PER_S
    >>> truth = farthest(at, np.array([100.0, 97.0, 99.0, 99.5]), Direction.DOWN, 100)
    >>> truth.value.round(3).tolist(), truth.known.tolist()
    ([0.03, 0.0, 0.0, 0.0], [True, True, False, False])
    """
    value, known = np.zeros(len(at)), np.zeros(len(at), dtype=np.bool_)
    seen = np.flatnonzero(np.isfinite(prices))
    if len(seen) < 2:
        return Truth(value, known)
    times, turned = at[seen], direction.sign * prices[seen]
    due = times + int(horizon_s * NS_PER_S)
    end = np.searchsorted(times, due, side="right")
    extreme = _greatest(turned, np.arange(len(seen)), end)
    value[seen] = (extreme - turned) / np.abs(turned)
    gaps = np.concatenate([[0], np.cumsum(np.diff(times) > int(gap_s_max * NS_PER_S))])
    # The first sample at or after the due time closes the window; without it the window was not seen to its end.
    closing = np.searchsorted(times, due)
    known[seen] = (closing < len(seen)) & (gaps[np.minimum(closing, len(seen) - 1)] == gaps)
    return Truth(value, known)


def reach_truth(at: Times, prices: Floats, direction: Direction) -> tuple[Indices, Truth]:
    """Onsets, and how far price went beyond each of them within 30 minutes."""
    found = onsets(at, prices, direction)
    all_of_them = farthest(at, prices, direction, REACH_WINDOW_S)
    return found, Truth(all_of_them.value[found], all_of_them.known[found])


def hazard_truth(at: Times, prices: Floats, direction: Direction, move: float, horizon_s: float) -> Truth:
    """Whether price falls (rises) by ``move`` within ``horizon_s`` of each sample: 1 or 0."""
    truth = farthest(at, prices, direction, horizon_s)
    return Truth((truth.value >= move - 1e-12).astype(np.float64), truth.known)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmsJudged:
    """What came of the alarms of one market and direction.

    Attributes:
        alarm_at: each alarm that was raised, those while an event was under way left out.
        true: whether its event came.
        undecided: whether the recording ended before it could be told; neither true nor false.
        lead_s: for each event, seconds from its alarm to its crossing; NaN: missed.
    """

    alarm_at: Times
    true: Mask
    undecided: Mask
    lead_s: Floats

    @property
    def false(self) -> int:
        """How many were false."""
        return int(np.sum(~self.true & ~self.undecided))


def judge_alarms(at: Times, scores: Floats, threshold: float, event_at: Times) -> AlarmsJudged:
    """Raise alarms where ``scores`` (NaN: unknown) exceed ``threshold`` and hold them against events of ``event_at``.

    An alarm stands for ``ALARM_VALID_S``; a score above the threshold meanwhile is the same alarm. Scores from the
    crossing of an event to the end of its refractory time raise nothing.
    """
    valid, refractory = int(ALARM_VALID_S * NS_PER_S), int(ALARM_REFRACTORY_S * NS_PER_S)
    above = np.flatnonzero(np.nan_to_num(scores, nan=-np.inf) > threshold)
    former = np.searchsorted(event_at, at[above], side="right") - 1
    under_way = np.zeros(len(above), dtype=np.bool_)
    if len(event_at):
        under_way = (former >= 0) & (at[above] - event_at[np.maximum(former, 0)] < refractory)
    above = above[~under_way]
    raised = at[_spaced_exclusive(at, above, valid)]
    following = np.searchsorted(event_at, raised, side="right")
    true = np.zeros(len(raised), dtype=np.bool_)
    lead = np.full(len(event_at), np.nan)
    for alarm, event in enumerate(following):
        if event < len(event_at) and event_at[event] - raised[alarm] <= valid:
            true[alarm] = True
            if np.isnan(lead[event]):
                lead[event] = (event_at[event] - raised[alarm]) / NS_PER_S
    undecided = ~true & (raised + valid > (at[-1] if len(at) else 0))
    return AlarmsJudged(alarm_at=raised, true=true, undecided=undecided, lead_s=lead)


def onset_detector(direction: Direction) -> FallDetector:
    """``onsets``, online.

    >>> detector = onset_detector(Direction.DOWN)
    >>> [detector.update(i * 60 * NS_PER_S, price) for i, price in enumerate((100.0, 99.5, 98.4, 97.0))]
    [False, False, True, False]
    """
    return FallDetector(direction, ONSET_MOVE, ONSET_WINDOW_S, ONSET_REFRACTORY_S)


def alarm_event_detector(direction: Direction) -> FallDetector:
    """``alarm_events``, online."""
    return FallDetector(direction, ALARM_MOVE, ALARM_WINDOW_S, ALARM_REFRACTORY_S)


class PriceRing:
    """The last prices of a market, to tell what the extremes of a window were: ``farthest``, online.

    ``samples`` bounds memory (32 bytes each); a window that begins before the oldest of them is not known.
    """

    __slots__ = ("_at", "_gap_at", "_next", "_price", "_samples", "count", "last_at")

    def __init__(self, samples: int = 760) -> None:
        # Each is written twice, a whole ring apart, so that what is held is always one stretch of the array.
        self._at = np.zeros(2 * samples, dtype=np.int64)
        self._price = np.zeros(2 * samples)
        self._samples = samples
        self._next = 0
        self._gap_at: Nanoseconds = -(2**62)
        self.last_at: Nanoseconds = -(2**62)
        self.count = 0

    def update(self, at: Nanoseconds, price: float, *, gap_s_max: float = GAP_S_MAX) -> None:
        """Tell of ``price`` at ``at``, later than the one before."""
        if at - self.last_at > gap_s_max * NS_PER_S:
            self._gap_at = at
        position, again = self._next, self._next + self._samples
        self._at[position] = self._at[again] = self.last_at = at
        self._price[position] = self._price[again] = price
        self._next = (position + 1) % self._samples
        self.count = min(self.count + 1, self._samples)

    def extremes(self, after: Nanoseconds, until: Nanoseconds) -> tuple[float, float] | None:
        """Least and greatest price in (``after``, ``until``], ``None`` where that was not all observed.

        ``after`` must be a time at which a price was told.
        """
        if self.count == 0 or self._gap_at > after or self.last_at < until:
            return None
        end = self._next + self._samples
        held = self._at[end - self.count : end]
        first, last = held.searchsorted((after, until), side="right").tolist()
        if first == 0:
            return None
        prices = self._price[end - self.count + min(first, last - 1) : end - self.count + last]
        return float(prices.min()), float(prices.max())


def _spaced(times: Times, found: Indices, apart_ns: int) -> Indices:
    """Those of ``found`` that come ``apart_ns`` or more after the one kept before."""
    kept: list[int] = []
    position = 0
    while position < len(found):
        kept.append(int(found[position]))
        position = int(np.searchsorted(times[found], times[kept[-1]] + apart_ns))
    return np.array(kept, dtype=np.int64)


def _spaced_exclusive(times: Times, found: Indices, apart_ns: int) -> Indices:
    """As ``_spaced``, but the one exactly ``apart_ns`` later still belongs to the one before."""
    return _spaced(times, found, apart_ns + 1)


def _greatest(values: Floats, first: Indices, end: Indices) -> Floats:
    """Greatest of ``values[first:end]`` for each pair, by a table of powers of two: O(n log n), few numpy calls."""
    length = np.maximum(end - first, 1)
    level = np.frexp(length.astype(np.float64))[1] - 1
    result = np.empty(len(first))
    table, width = values, 1
    for power in range(int(level.max()) + 1):
        here = np.flatnonzero(level == power)
        result[here] = np.maximum(table[first[here]], table[first[here] + length[here] - width])
        if len(table) > width:
            table = np.maximum(table[:-width], table[width:])
        width *= 2
    return result
