"""What is normal for a market: a fast weighted median and MAD, and half-hour slots of the week. No clock."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from math import exp, inf, log
from typing import Protocol

import numpy as np

from guard.market.implementation import compiled
from guard.units import NS_PER_S, Nanoseconds

SIGMA_PER_MAD = 1.4826
"""Standard deviation of a normal distribution whose median absolute deviation is 1."""

MAD_MIN = 0.05
"""Floor of the MAD in log units, so that a book that never moves does not turn a 5 % change into an alarm."""

SIGMA_PRIOR = 0.3
SIGMA_PRIOR_S = 600.0
"""A few minutes show too little of how a market varies: sigma is drawn to 0.3 as by ten minutes more."""

SIGMA_PER_TAIL = 1.0 / 1.645
"""Standard deviation of a normal distribution whose 5 % quantile lies 1 below its median."""


class Quantile(Protocol):
    """See ``DecayedQuantile``."""

    weight: float

    def observe(self, value: float, weight: float) -> None:
        """Count ``value``, which must be finite, with ``weight`` >= 0."""
        ...

    def quantile(self, q: float) -> float:
        """Value below which the share ``q`` of the weight lies; the bottom of the range before any."""
        ...

    def mad(self) -> float:
        """Median absolute deviation from the median."""
        ...

    def shift(self, by: float) -> None:
        """Move everything observed by ``by``."""
        ...

    def forget_by(self, half_life: float) -> None:
        """Forget faster or slower from now on."""
        ...

    def reset(self) -> None:
        """Forget everything."""
        ...


def new_quantile(*, low: float, high: float, width: float, half_life: float) -> Quantile:
    """The compiled one if it was built, else ``DecayedQuantile``; both say the same, bit for bit."""
    kind: Callable[..., Quantile] = DecayedQuantile if compiled() is None else _compiled_kind()
    return kind(low=low, high=high, width=width, half_life=half_life)


@cache
def _compiled_kind() -> Callable[..., Quantile]:
    try:
        kind: Callable[..., Quantile] = import_module("guard.market._baseline").CompiledQuantile
    except ImportError:
        return DecayedQuantile
    return kind


class DecayedQuantile:
    """Quantiles of a stream under exponential forgetting, exact up to the width of a bin.

    A histogram of values in bins of ``width`` from ``low`` to ``high``. An observation of weight w adds
    ``w * 2**(A / half_life)`` to its bin, where A is the weight observed so far ("forward decay",
    Cormode et al. 2009): relative to the newest, everything halves with each ``half_life`` of weight,
    and nothing has to be touched to forget. The q-quantile is where the cumulated weight passes q,
    linear within the bin. Weight is whatever unit the caller counts in: seconds here, messages elsewhere.

    Cost: O(1) to observe, one pass over the bins to ask. Deterministic.
    Assumptions: values lie in the range; those outside count at its edge.
    Failure modes: resolution is ``width``; a jump becomes the median after exactly one half-life.

    >>> depths = DecayedQuantile(low=0.0, high=10.0, width=0.01, half_life=60.0)
    >>> for value in (1.0, 2.0, 3.0, 4.0, 100.0):
    ...     depths.observe(value, 1.0)
    >>> round(depths.quantile(0.5), 1), round(depths.mad(), 1)
    (3.0, 1.0)
    """

    __slots__ = ("_bins", "_half_life", "_low", "_scale", "_width", "weight")

    def __init__(self, *, low: float, high: float, width: float, half_life: float) -> None:
        self._low, self._width, self._half_life = low, width, half_life
        self._bins = np.zeros(int(np.ceil((high - low) / width)) + 1)
        self._scale = 1.0
        self.weight = 0.0
        """Weight observed since the last reset, not decayed."""

    def observe(self, value: float, weight: float) -> None:
        """Count ``value``, which must be finite, with ``weight`` >= 0."""
        if weight <= 0.0:
            return
        self.weight += weight
        self._scale *= 2.0 ** (weight / self._half_life)
        if self._scale > 1e100:
            self._bins /= self._scale
            self._scale = 1.0
        at = int((value - self._low) / self._width)
        self._bins[min(max(at, 0), self._bins.size - 1)] += weight * self._scale

    def quantile(self, q: float) -> float:
        """Value below which the share ``q`` of the weight lies; the bottom of the range before any."""
        cumulated = np.cumsum(self._bins)
        wanted = q * float(cumulated[-1])
        at = min(int(np.searchsorted(cumulated, wanted, side="left")), self._bins.size - 1)
        inside = float(self._bins[at])
        below = float(cumulated[at]) - inside
        share = (wanted - below) / inside if inside > 0.0 else 0.0
        return self._low + (at + min(max(share, 0.0), 1.0)) * self._width

    def mad(self) -> float:
        """Median absolute deviation from the median, by widening an interval around its bin."""
        cumulated = np.cumsum(self._bins)
        half = float(cumulated[-1]) / 2.0
        if half <= 0.0:
            return 0.0
        middle = int(np.searchsorted(cumulated, half))
        # Weight within k bins of the median's, rising in k: what is below minus what is below the interval.
        upper = cumulated[middle:]
        lower = np.concatenate((cumulated[:middle][::-1], (0.0,)))
        reach = max(upper.size, lower.size)
        within = np.empty(reach)
        within[: upper.size] = upper
        within[upper.size :] = cumulated[-1]
        within[: lower.size] -= lower
        return float(np.searchsorted(within, half)) * self._width

    def shift(self, by: float) -> None:
        """Move everything observed by ``by``, to whole bins: the zero of the values has changed."""
        bins = round(by / self._width)
        moved = np.zeros_like(self._bins)
        source = np.clip(np.arange(self._bins.size) + bins, 0, self._bins.size - 1)
        np.add.at(moved, source, self._bins)
        self._bins = moved

    def forget_by(self, half_life: float) -> None:
        """Forget faster or slower from now on."""
        self._half_life = half_life

    def reset(self) -> None:
        """Forget everything."""
        self._bins[:] = 0.0
        self._scale = 1.0
        self.weight = 0.0


SLOT_S = 1800
SLOTS_A_DAY = 48
SLOTS_A_WEEK = 336
VISITS_MAX = 200
"""More make no difference: from the fifth on each weighs the same."""


class Seasonal:
    """The usual shape of the day, then of the week: one level for each half-hour, in log units.

    Each visit of a slot (at least half of it observed) yields its mean; the slot's level moves to it by
    ``max(1 / visits, 0.2)``, and by no more than ``step_max`` after the first. The season of a time is
    its slot's level less the mean of all, linear between the slots' centres. 48 slots of the day are
    used once all are known, the 336 of the week once all have been seen twice; until then it is 0.

    Assumptions: UTC time drives the season. Failure modes: a holiday looks like a thin day; daylight
    saving shifts the sessions by two slots for about a week.

    >>> season = Seasonal()
    >>> for half_minute in range(2 * 2880):
    ...     at_s = 30 * half_minute
    ...     season.observe(at_s * 1_000_000_000, 1.0 if at_s % 86_400 < 43_200 else 0.0, 30.0)
    >>> season.slots, round(season.value(6 * 3600 * 10**9), 2), round(season.value(18 * 3600 * 10**9), 2)
    (48, 0.5, -0.5)
    """

    __slots__ = (
        "_daily",
        "_daily_visits",
        "_mean",
        "_sum",
        "_visit",
        "_weekly",
        "_weekly_visits",
        "_weight",
        "slots",
        "step_max",
    )

    def __init__(self, *, step_max: float = 0.5) -> None:
        self.step_max = step_max
        # Nothing before the first half-hour is over: hundreds of markets have three of these each.
        self._daily, self._daily_visits = array("d"), bytearray()
        self._weekly, self._weekly_visits = array("d"), bytearray()
        self._visit: int | None = None
        self._sum = self._weight = self._mean = 0.0
        self.slots = 0
        """How many slots are in use: 0, 48 or 336."""

    def observe(self, at: Nanoseconds, value: float, seconds: float) -> None:
        """Count ``value`` (log units) as having held for ``seconds`` at ``at``."""
        visit = at // (SLOT_S * NS_PER_S)
        if visit != self._visit:
            self._close_visit()
            self._visit = visit
        self._sum += value * seconds
        self._weight += seconds

    def value(self, at: Nanoseconds) -> float:
        """Season at ``at`` in log units, 0 while unknown."""
        slots = self.slots
        if not slots:
            return 0.0
        levels = self._weekly if slots == SLOTS_A_WEEK else self._daily
        place = at / (SLOT_S * NS_PER_S) - 0.5
        low = int(place // 1)
        share = place - low
        near, far = levels[low % slots], levels[(low + 1) % slots]
        return near + (far - near) * share - self._mean

    def _close_visit(self) -> None:
        if self._visit is not None and self._weight >= SLOT_S / 2:
            mean = self._sum / self._weight
            if not self._daily:
                self._daily, self._daily_visits = array("d", bytes(8 * SLOTS_A_DAY)), bytearray(SLOTS_A_DAY)
                self._weekly, self._weekly_visits = (
                    array("d", bytes(8 * SLOTS_A_WEEK)),
                    bytearray(SLOTS_A_WEEK),
                )
            self._learn(self._daily, self._daily_visits, self._visit % SLOTS_A_DAY, mean)
            self._learn(self._weekly, self._weekly_visits, self._visit % SLOTS_A_WEEK, mean)
            if min(self._weekly_visits) >= 2:
                self.slots = SLOTS_A_WEEK
            elif min(self._daily_visits) >= 1:
                self.slots = SLOTS_A_DAY
            self._mean = float(np.mean(self._weekly if self.slots == SLOTS_A_WEEK else self._daily))
        self._sum = self._weight = 0.0

    def _learn(self, levels: array[float], visits: bytearray, at: int, mean: float) -> None:
        visits[at] = min(visits[at] + 1, VISITS_MAX)
        if visits[at] == 1:
            levels[at] = mean
            return
        step = (mean - levels[at]) * max(1.0 / float(visits[at]), 0.2)
        levels[at] += min(max(step, -self.step_max), self.step_max)


@dataclass(frozen=True, slots=True)
class BaselineSettings:
    """How a market's normal is learned.

    Attributes:
        half_life_s: memory of the fast median, seconds of observed data.
        warm_up_s: observed data needed before the baseline is believed.
        band_bps: depth within this distance of mid is what is watched.
        freeze_z: a depth z-score at or below this freezes learning ...
        freeze_ratio: ... if depth is also at or below this share of normal.
        freeze_s_max: longest freeze; afterwards the baseline is learned anew.
        stale_ms_min: the least silence that makes a stream stale.
        recover_ms: fresh data needed before a stream that failed is believed again.
    """

    half_life_s: float = 1800.0
    warm_up_s: float = 120.0
    band_bps: float = 100.0
    freeze_z: float = -3.0
    freeze_ratio: float = 0.5
    freeze_s_max: float = 6 * 3600.0
    stale_ms_min: int = 5_000
    recover_ms: int = 10_000

    def __post_init__(self) -> None:
        positive = ("half_life_s", "warm_up_s", "band_bps", "freeze_s_max", "stale_ms_min", "recover_ms")
        for name in positive:
            if not 0.0 < getattr(self, name) < inf:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if not -inf < self.freeze_z < 0.0:
            raise ValueError(f"freeze_z must be negative, not {self.freeze_z}")
        if not 0.0 < self.freeze_ratio < 1.0:
            raise ValueError(f"freeze_ratio must be within 0..1, not {self.freeze_ratio}")


_LOG_RANGE = 30.0  # e**-15 to e**15 about the first value seen: six decades either way
_LOG_WIDTH = 0.02
_SHARE_A_SAMPLE_MAX = 1.0 / 30.0  # of the half-life: a sample after an outage stands for no more than this
_REFRESH_SHARE = 1.0 / 512.0  # of the half-life: how stale a computed median may be once warm


class Baseline:
    """Normal level and spread of one positive quantity (depth, spread), in log units.

    With y = log(quantity), season s(t) and residual r = y - s(t): level m is the exponentially weighted
    median of r (half-life ``half_life_s``), D its MAD, normal = exp(m + s(t)), z = (r - m) / sigma.
    Depth has a long tail on its thin side, so sigma is taken for each side apart: below m it is
    ``max(1.4826 * D, (m - q05) / 1.645)``, above it the same with q95. It is averaged with
    ``SIGMA_PRIOR``, weighing what has been observed (at most a half-life) and ``SIGMA_PRIOR_S``.

    Each sample weighs the time since the one before it, at most a 30th of the half-life (a minute); time
    without data neither counts nor forgets, so that one sample after a long outage cannot become the
    whole memory. An outage longer than ``forget_s`` starts anew.

    Assumptions: quantity positive and stationary but for the season within half an hour.
    Failure modes: a thinning slower than the half-life is followed, not seen; what is learned in the
    first minutes of a crash is taken for normal (``is_warm`` cannot tell); a market that was thin for
    more than a twentieth of the last half-life finds it less remarkable; log resolution 2 %.

    >>> normal = Baseline(half_life_s=1800.0, warm_up_s=120.0)
    >>> for second in range(300):
    ...     normal.observe(second * 1_000_000_000, 1e6 * (0.9, 1.0, 1.1)[second % 3])
    >>> normal.is_warm, round(normal.normal() / 1e6, 1), normal.z(300_000.0) < -3.0
    (True, 1.0, True)
    """

    __slots__ = (
        "_at", "_centre", "_fast", "_forget_s", "_half_life_s", "_median", "_normal", "_refreshed",
        "_season", "_season_now", "_sigma_above", "_sigma_below", "_slots", "_warm_up_s",
    )  # fmt: skip

    def __init__(self, *, half_life_s: float, warm_up_s: float, forget_s: float = 6 * 3600.0) -> None:
        self._half_life_s, self._warm_up_s, self._forget_s = half_life_s, warm_up_s, forget_s
        self._fast = new_quantile(
            low=-_LOG_RANGE / 2, high=_LOG_RANGE / 2, width=_LOG_WIDTH, half_life=half_life_s
        )
        self._season = Seasonal()
        self._season_now = 0.0
        self._slots = 0
        self._centre: float | None = None
        self._at: Nanoseconds | None = None
        self._median = 0.0
        self._normal: float | None = None
        self._sigma_below = self._sigma_above = SIGMA_PRIOR
        self._refreshed = 0.0

    def reconfigure(self, *, half_life_s: float, warm_up_s: float, forget_s: float) -> None:
        """Learn by other settings from now on; what was learned is kept."""
        self._half_life_s, self._warm_up_s, self._forget_s = half_life_s, warm_up_s, forget_s
        self._fast.forget_by(half_life_s)

    @property
    def is_warm(self) -> bool:
        """Whether enough has been observed to believe it."""
        return self._fast.weight >= self._warm_up_s

    @property
    def observed_s(self) -> float:
        """Seconds of data learned from since the last relearning."""
        return self._fast.weight

    @property
    def slots(self) -> int:
        """Slots of the season in use: 0, 48 of the day or 336 of the week."""
        return self._slots

    def observe(self, at: Nanoseconds, quantity: float) -> None:
        """Learn from ``quantity`` > 0 seen at ``at``; times must not fall."""
        value = log(quantity)
        seconds = 1.0 if self._at is None else (at - self._at) / NS_PER_S
        if seconds > self._forget_s:
            self.relearn()
            seconds = 1.0
        seconds = min(max(seconds, 0.0), self._half_life_s * _SHARE_A_SAMPLE_MAX)
        self._at = at
        if self._centre is None:
            self._centre = value
        self._season.observe(at, value, seconds)
        self._follow_season(at)
        self._fast.observe(value - self._centre - self._season_now, seconds)
        stale = self._fast.weight - self._refreshed
        if stale > min(self._half_life_s, self._fast.weight) * _REFRESH_SHARE:
            self._refresh()
        self._renew_normal()

    def touch(self, at: Nanoseconds) -> None:
        """Let time pass without learning: the baseline is frozen at ``at``."""
        self._at = at
        self._follow_season(at)
        self._renew_normal()

    def relearn(self) -> None:
        """Forget the fast level, keep the season: what was normal is so no more."""
        self._fast.reset()
        self._centre = self._normal = None
        self._refreshed = 0.0

    def normal(self) -> float | None:
        """The normal quantity at the last time seen; ``None`` before any."""
        return self._normal

    def _renew_normal(self) -> None:
        if self._centre is None or self._fast.weight <= 0.0:
            self._normal = None
        else:
            self._normal = exp(self._centre + self._median + self._season_now)

    def z(self, quantity: float) -> float | None:
        """Robust z-score of ``quantity`` (>= 0; 0 gives minus infinity's stand-in, -1e6)."""
        if self._normal is None:
            return None
        if quantity <= 0.0:
            return -1e6
        away = log(quantity / self._normal)
        return away / (self._sigma_below if away < 0.0 else self._sigma_above)

    def _follow_season(self, at: Nanoseconds) -> None:
        season = self._season.value(at)
        if self._season.slots != self._slots:
            # The season's zero jumps when it comes into use; the level must not.
            self._slots = self._season.slots
            self._fast.shift(self._season_now - season)
            self._season_now = season
            self._refresh()
        self._season_now = season

    def _refresh(self) -> None:
        self._median = self._fast.quantile(0.5)
        core = SIGMA_PER_MAD * max(self._fast.mad(), MAD_MIN)
        self._sigma_below = self._drawn(
            max(core, SIGMA_PER_TAIL * (self._median - self._fast.quantile(0.05)))
        )
        self._sigma_above = self._drawn(
            max(core, SIGMA_PER_TAIL * (self._fast.quantile(0.95) - self._median))
        )
        self._refreshed = self._fast.weight

    def _drawn(self, sigma: float) -> float:
        observed = min(self._fast.weight, self._half_life_s)
        return (sigma * observed + SIGMA_PRIOR * SIGMA_PRIOR_S) / (observed + SIGMA_PRIOR_S)
