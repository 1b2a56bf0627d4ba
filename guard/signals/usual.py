"""What is usual of a number, forgotten by time, and not learned from a crisis. No I/O, no clock.

Compiled where there is a compiler (usual.pxd), and the same results as it is.
"""

from __future__ import annotations

import math
from array import array

from guard.signals.memory import UsualState

LOG_2 = 0.6931471805599453
LIMIT = 1e12
"""Numbers beyond this are no measurements and are left out."""


def clip(value: float, low: float = -1.0, high: float = 1.0) -> float:
    """Keep a number within bounds.

    >>> clip(3.0), clip(-0.2), clip(-7.0, 0.0)
    (1.0, -0.2, 0.0)
    """
    return low if value < low else min(value, high)


def is_number(value: float | None) -> bool:
    """Tell whether this is a number to count with."""
    return value is not None and math.isfinite(value) and -LIMIT < value < LIMIT


class Usual:
    """Mean and standard deviation, weighted by time with a half-life; outliers count as ``clip_sd`` deviations.

    Formula: with k = 2^(-dt / half-life), w the weight so far (in seconds, at most half-life / ln 2):
    mean += g d, variance = (1 - g) (variance + g d^2), g = dt / (dt + k w); d is clipped at ``clip_sd`` standard
    deviations once ``warm_s`` were seen. A prior counts as ``prior_s`` seconds of it.

    Assumption: what is usual changes slowly against the half-life. Failure mode: a new level that stays takes a few
    half-lives to become usual, which is meant.

    >>> usual = Usual(3_600.0)
    >>> for step in range(1_000):
    ...     usual.update(10.0 + step % 2, 5.0)
    >>> round(usual.mean, 2), round(usual.sd, 2), round(usual.z(12.5), 1)
    (10.5, 0.5, 4.0)
    """

    def __init__(
        self,
        half_life_s: float,
        *,
        clip_sd: float = 3.0,
        warm_s: float = 300.0,
        prior: tuple[float, float, float] | None = None,
    ) -> None:
        """``prior`` is mean, standard deviation and the seconds that it counts for."""
        self.half_life_s = half_life_s
        self.clip_sd = clip_sd
        self.warm_s = warm_s
        if prior is None:
            prior = 0.0, 0.0, 0.0
        self.mean, sd, self.weight = prior
        self.variance = sd * sd
        self.seconds = 0.0

    def update(self, value: float, elapsed_s: float) -> None:
        """Take a number that held for so long; what is no number is left out."""
        if not (-LIMIT < value < LIMIT and 0.0 < elapsed_s < LIMIT):
            return
        kept = self.weight * math.exp(-LOG_2 * elapsed_s / self.half_life_s)
        share = elapsed_s / (elapsed_s + kept)
        apart = value - self.mean
        if self.seconds >= self.warm_s:
            bound = self.clip_sd * math.sqrt(self.variance)
            # A quantity that never moved has no deviation to clip by: let it begin with a small one.
            bound = max(bound, 1e-9 + 0.1 * abs(self.mean))
            apart = clip(apart, -bound, bound)
        self.mean += share * apart
        self.variance = (1.0 - share) * (self.variance + share * apart * apart)
        self.weight = kept + elapsed_s
        self.seconds += elapsed_s

    def state(self) -> UsualState:
        """What is remembered."""
        return UsualState(self.mean, self.variance, self.weight, self.seconds)

    def restore(self, state: UsualState) -> None:
        """Go on from a state; one that cannot be is not taken."""
        if all(
            -LIMIT < number < LIMIT for number in (state.mean, state.variance, state.weight, state.seconds)
        ):
            self.mean, self.seconds = state.mean, max(state.seconds, 0.0)
            self.variance, self.weight = max(state.variance, 0.0), max(state.weight, 0.0)

    @property
    def is_warm(self) -> bool:
        """Whether enough was seen."""
        return self.seconds >= self.warm_s

    @property
    def sd(self) -> float:
        """Standard deviation, 0 and up."""
        return math.sqrt(self.variance)

    def z(self, value: float, floor: float = 1e-12) -> float:
        """Standard deviations from the mean, none smaller than ``floor``, within -50 and 50."""
        return clip((value - self.mean) / max(self.sd, floor), -50.0, 50.0)

    def __reduce__(self) -> tuple[object, ...]:
        """Copy it to the last bit, compiled or not."""
        numbers = (self.mean, self.variance, self.weight, self.seconds)
        return _usual_of, (self.half_life_s, self.clip_sd, self.warm_s, numbers)


def _usual_of(half_life_s: float, clip_sd: float, warm_s: float, numbers: tuple[float, ...]) -> Usual:
    copied = Usual(half_life_s, clip_sd=clip_sd, warm_s=warm_s)
    copied.mean, copied.variance, copied.weight, copied.seconds = numbers
    return copied


class WindowSum:
    """The sum of what came in the last so many seconds; bounded memory at readings at least a second apart.

    >>> bought = WindowSum(60.0)
    >>> for second in range(0, 100, 10):
    ...     bought.add(second * 10**9, 1.0)
    >>> bought.total
    6.0
    """

    def __init__(self, window_s: float, slots: int = 512) -> None:
        self.window_ns = int(window_s * 1e9)
        self.slots = slots
        self._times = array("q", bytes(8 * slots))
        self._values = array("d", bytes(8 * slots))
        self._first = 0
        self._length = 0
        self.total = 0.0

    def add(self, at: int, value: float) -> None:
        """Take what came up to ``at``; what is no number is left out."""
        slots = self.slots
        if not -LIMIT < value < LIMIT:
            value = 0.0
        edge = at - self.window_ns
        while self._length and (self._times[self._first] <= edge or self._length == slots):
            self.total -= self._values[self._first]
            self._first = (self._first + 1) % slots
            self._length -= 1
        if self._length == 0:
            self.total = 0.0
        place = (self._first + self._length) % slots
        self._times[place], self._values[place] = at, value
        self._length += 1
        self.total += value

    def __reduce__(self) -> tuple[object, ...]:
        """Copy it to the last bit, compiled or not."""
        numbers = (self.window_ns, self.slots, self._first, self._length)
        return _copy_of, (bytes(self._times), bytes(self._values), numbers, self.total)

    def copy_from(self, times: bytes, values: bytes, numbers: tuple[int, ...], total: float) -> None:
        """Take what ``__reduce__`` of another gave."""
        self._times, self._values = array("q", times), array("d", values)
        self.window_ns, self.slots, self._first, self._length = numbers
        self.total = total


def _copy_of(times: bytes, values: bytes, numbers: tuple[int, ...], total: float) -> WindowSum:
    copied = WindowSum(1.0, 1)
    copied.copy_from(times, values, numbers, total)
    return copied
