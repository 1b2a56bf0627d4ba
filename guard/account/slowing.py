"""Whether a venue has become slow, against its own usual: acting there, and hearing from it. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, isfinite, log

from guard.units import NS_PER_S, Nanoseconds

ACTIONS_MIN = 20
"""Actions seen before any of them can be slower than usual."""
ACTION_RECENT, ACTION_USUAL = 3.0, 200.0
"""Actions after which one counts half: of what is now, and of what is usual."""
LAG_STEP_NS = 1 * NS_PER_S
LAGS_MIN = 600
"""Ten minutes of lags, one a second, before any of them can be longer than usual."""
LAG_RECENT, LAG_USUAL = 20.0, 10_800.0
"""Seconds after which a lag counts half: of what is now, and of what is usual (three hours)."""
_LEAST_S = 1e-3


@dataclass(slots=True)
class Pace:
    """A decayed mean over few and one over many of what is measured one by one.

    ``mean <- mean + (x - mean) max(1/n, 1 - 2^(-1/half life))``: the plain mean at first.

    >>> pace = Pace(recent_half=2.0, usual_half=100.0)
    >>> for _ in range(50):
    ...     pace.add(1.0)
    >>> pace.add(5.0)
    >>> round(pace.recent, 2), round(pace.usual, 2)
    (2.17, 1.08)
    """

    recent_half: float
    usual_half: float
    count: int = 0
    recent: float = 0.0
    usual: float = 0.0

    def add(self, value: float) -> None:
        """Take what was measured; what is no number is left out."""
        if not isfinite(value):
            return
        self.count += 1
        least = 1.0 / self.count
        self.recent += (value - self.recent) * max(least, 1.0 - 2.0 ** (-1.0 / self.recent_half))
        self.usual += (value - self.usual) * max(least, 1.0 - 2.0 ** (-1.0 / self.usual_half))


@dataclass(frozen=True, slots=True)
class Slowness:
    """How long it takes now and usually, seconds: geometric means of actions, means of lags."""

    now_s: float
    usual_s: float
    count: int

    @property
    def ratio(self) -> float:
        """How many times as long as usual."""
        return self.now_s / max(self.usual_s, _LEAST_S)

    @property
    def rise_s(self) -> float:
        """How much longer than usual, seconds."""
        return self.now_s - self.usual_s


@dataclass(slots=True)
class ActionPace:
    """How long one kind of action of one bot takes, against its usual; logarithms, so that one slow one is not all."""

    _pace: Pace = field(default_factory=lambda: Pace(ACTION_RECENT, ACTION_USUAL))

    def add(self, seconds: float) -> None:
        """Take the duration of one action, seconds."""
        self._pace.add(log(max(seconds, _LEAST_S)))

    def slowness(self) -> Slowness | None:
        """``None`` until ``ACTIONS_MIN`` were seen."""
        if self._pace.count < ACTIONS_MIN:
            return None
        return Slowness(exp(self._pace.recent), exp(self._pace.usual), self._pace.count)


@dataclass(slots=True)
class VenueLags:
    """How long what venues say takes to us, each against its usual: our clock less theirs, so only a rise counts.

    Failure modes: a clock that is set to another time looks like a rise until that is usual; it is said by
    ``CLOCK_OFFSET`` as well. Where a venue puts no time on its messages nothing is known.
    """

    _paces: dict[str, Pace] = field(default_factory=dict)
    _at: Nanoseconds = 0
    _counted: dict[str, Nanoseconds] = field(default_factory=dict)

    def observe(self, lags: Mapping[str, tuple[Nanoseconds, Nanoseconds]], now: Nanoseconds) -> None:
        """Take, once a second, of each venue when its newest message arrived and how long that took, ns."""
        if not self.is_due(now):
            return
        self._at = now
        for venue, (arrived_at, lag) in lags.items():
            if arrived_at > self._counted.get(venue, 0):
                self._counted[venue] = arrived_at
                self._paces.setdefault(venue, Pace(LAG_RECENT, LAG_USUAL)).add(lag / NS_PER_S)

    def is_due(self, now: Nanoseconds) -> bool:
        """Whether ``observe`` would take anything."""
        return now - self._at >= LAG_STEP_NS

    def slowness(self, venue: str) -> Slowness | None:
        """``None`` until ``LAGS_MIN`` were seen."""
        pace = self._paces.get(venue)
        if pace is None or pace.count < LAGS_MIN:
            return None
        return Slowness(pace.recent, pace.usual, pace.count)
