"""For how long a series has been below a level that is named only afterwards. No clock."""

from __future__ import annotations

from bisect import bisect_right

from guard.units import Nanoseconds


class BelowSince:
    """Since when a series has been below any level, asked afterwards, in O(log n) for each question.

    Keeps the samples that no later one exceeds: the last time at or above a level is the newest of
    those at or above it, and the series has been below since the sample after that.

    Assumptions: samples are frequent enough that nothing of interest happens between two.
    Failure modes: one sample at the level ends the run, however short; see ``KEPT_MAX``.

    >>> series = BelowSince()
    >>> for at, value in enumerate((1.0, 0.9, 0.15, 0.1, 0.18)):
    ...     series.push(at, value)
    >>> series.since(0.2), series.since(0.16), series.since(1.0)
    (2, None, 1)
    """

    __slots__ = ("_at", "_negated", "_next_at", "_start", "last_at")

    KEPT_MAX = 1024
    """Older samples are given up beyond this; the answer is then too short, never too long."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything: the series was broken."""
        self._at: list[Nanoseconds] = []
        self._next_at: list[Nanoseconds | None] = []
        self._negated: list[float] = []  # ascending, for bisect
        self._start: Nanoseconds | None = None
        self.last_at: Nanoseconds = 0

    def push(self, at: Nanoseconds, value: float) -> None:
        """Append a sample; times must not fall."""
        if self._start is None:
            self._start = at
        if self._at:
            self._next_at[-1] = at
        while self._negated and self._negated[-1] >= -value:
            self._at.pop(), self._next_at.pop(), self._negated.pop()
        self._at.append(at)
        self._next_at.append(None)
        self._negated.append(-value)
        self.last_at = at
        if len(self._at) > self.KEPT_MAX:
            self._start = self._next_at[0]
            del self._at[0], self._next_at[0], self._negated[0]

    def since(self, level: float) -> Nanoseconds | None:
        """Time of the first sample of the unbroken run below ``level``; ``None`` if the last is not below."""
        newest = bisect_right(self._negated, -level) - 1
        return self._start if newest < 0 else self._next_at[newest]
