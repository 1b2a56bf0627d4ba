"""How deep a snapshot may be, so that all markets are whole again within a minute. Pure: the time is passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from guard.units import NS_PER_S, Nanoseconds

WINDOW_NS = 60 * NS_PER_S

STEPS = ((300, 1_000, 20), (550, 500, 10), (800, 100, 5))
"""Below so much weight spent in the last minute: so many levels, at so much weight each."""

LEAST = (50, 2)
"""Levels and weight once all that is spent."""


@dataclass(slots=True)
class SnapshotBudget:
    """Spends request weight on depth: the first books are deep, those that follow within the minute less so.

    Binance allows 2,400 a minute, of which ccxt lets one client have 1,200; open interest takes up to 240 of
    that. 15 books of 1,000 levels, 25 of 500, 50 of 100 and then 50 levels each make 200 markets for 1,020. What
    has become too narrow is taken again later, one market at a time.

    >>> budget = SnapshotBudget()
    >>> [budget.levels(0) for _ in range(16)][-2:], budget.levels(61_000_000_000)
    ([1000, 500], 1000)
    """

    _spent: deque[tuple[Nanoseconds, int]] = field(default_factory=deque)
    _total: int = 0

    def levels(self, now: Nanoseconds) -> int:
        """Return how many levels to ask for now, and note their weight as spent."""
        while self._spent and now - self._spent[0][0] >= WINDOW_NS:
            self._total -= self._spent.popleft()[1]
        levels, weight = next(
            ((levels, weight) for below, levels, weight in STEPS if self._total < below), LEAST
        )
        self._spent.append((now, weight))
        self._total += weight
        return levels

    @property
    def spent(self) -> int:
        """Weight spent within the minute before the last request."""
        return self._total
