"""Finds falls and rises one price after another, as ``guard.skill.outcomes.falls`` does over a whole recording. Pure.

Compiled where there is a compiler (falls.pxd), and the same results as it is.
"""

from __future__ import annotations

from array import array

from guard.forecasts import Direction
from guard.units import NS_PER_S, Nanoseconds

_NEVER = -(2**62)
_ROOM = 64


class FallDetector:
    """``falls`` one price after another: O(1) amortised, the prices of one window in memory.

    Formula: of the prices of the window those are kept that are extreme among all since, in order of time; the first
    of them is the extreme that the last price is held against.

    Args:
        direction: whether falls are looked for, or rises.
        move: how far price has to be beyond the extreme, as a fraction of it.
        window_s: over what time the extreme is taken, the last price included.
        refractory_s: after one, none for as long.

    >>> detector = FallDetector(Direction.DOWN, 0.02, 300.0, 3600.0)
    >>> [detector.update(i * 60 * NS_PER_S, price) for i, price in enumerate((100.0, 99.0, 97.9, 95.0))]
    [False, False, True, False]
    """

    def __init__(self, direction: Direction, move: float, window_s: float, refractory_s: float) -> None:
        self.move = move
        self._sign = float(direction.sign)
        self._window_ns = int(window_s * NS_PER_S)
        self._refractory_ns = int(refractory_s * NS_PER_S)
        self._found_at = _NEVER
        self._last_at = _NEVER
        # What is kept stands from the first place to the end; where there is no more room it is moved to the begin.
        self._times = array("q", bytes(8 * _ROOM))
        self._prices = array("d", bytes(8 * _ROOM))
        self._room = _ROOM
        self._first = 0
        self._end = 0

    def update(self, at: Nanoseconds, price: float) -> bool:
        """Tell of ``price`` at ``at``, later than the one before; answer whether it is one."""
        turned = self._sign * price
        since = at - self._window_ns
        while self._first < self._end and self._times[self._first] < since:
            self._first += 1
        while self._first < self._end and self._prices[self._end - 1] >= turned:
            self._end -= 1
        if self._end == self._room:
            self._make_room()
        self._times[self._end], self._prices[self._end] = at, turned
        self._end += 1
        self._last_at = at
        origin = self._prices[self._first]
        if turned < origin + abs(origin) * self.move:
            return False
        if self._found_at != _NEVER and at - self._found_at < self._refractory_ns:
            return False
        self._found_at = at
        return True

    @property
    def under_way(self) -> bool:
        """Whether the last price told is still within the refractory time of one."""
        return self._found_at != _NEVER and self._last_at - self._found_at < self._refractory_ns

    def __reduce__(self) -> tuple[object, ...]:
        """Copy it, compiled or not."""
        numbers = self._window_ns, self._refractory_ns, self._found_at, self._last_at, self._first, self._end
        return _detector_of, (self._sign, self.move, numbers, bytes(self._times), bytes(self._prices))

    def go_on(self, sign: float, numbers: tuple[int, ...], times: bytes, prices: bytes) -> None:
        """Take what ``__reduce__`` of another gave."""
        self._sign = sign
        self._window_ns, self._refractory_ns, self._found_at, self._last_at, self._first, self._end = numbers
        self._times, self._prices = array("q", times), array("d", prices)
        self._room = len(prices) // 8

    def _make_room(self) -> None:
        """Move what is kept to the begin, into twice the room where it takes more than half of it."""
        count = self._end - self._first
        if 2 * count > self._room:
            self._room *= 2
        times, prices = array("q", bytes(8 * self._room)), array("d", bytes(8 * self._room))
        for place in range(count):
            times[place] = self._times[self._first + place]
            prices[place] = self._prices[self._first + place]
        self._times, self._prices = times, prices
        self._first, self._end = 0, count


def _detector_of(
    sign: float, move: float, numbers: tuple[int, ...], times: bytes, prices: bytes
) -> FallDetector:
    copied = FallDetector(Direction.DOWN, move, 0.0, 0.0)
    copied.go_on(sign, numbers, times, prices)
    return copied
