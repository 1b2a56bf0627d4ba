"""Arithmetic on a few numbers at a time, where an array of numpy's costs more than the work. No I/O, no clock.

Compiled where there is a compiler (kernel.pxd), and the same results as it is.
"""

from __future__ import annotations

import math
from array import array

import numpy as np
from numpy.typing import NDArray

_SHARE_NEAR, _SHARE_FAR = 0.1, 1.5
_INFINITE = float("inf")
_STEP = 1e-12
"""By so much what is under each distance rises at least, so that it can be inverted."""


class Reaching:
    """Quantiles and mean of a distance, for ever new probabilities of reaching the same distances.

    The formulas are those of ``guard.calibration.distribution``.

    >>> near = Reaching((0.01, 0.04), (0.25, 0.5, 0.75))
    >>> [round(each, 4) for each in near.quantiles([0.75, 0.25])], round(near.mean([1.0, 0.0]), 4)
    ([0.01, 0.02, 0.04], 0.025)
    """

    def __init__(self, distances: tuple[float, ...], levels: tuple[float, ...]) -> None:
        self._given = distances, levels
        places = [distances[0] * _SHARE_NEAR, *distances, distances[len(distances) - 1] * _SHARE_FAR]
        self.count = len(distances)
        self.levels = len(levels)
        self._places = array("d", [0.0, *places[1:]])
        self._logs = array("d", [math.log(place) for place in places])
        self._levels = array("d", levels)
        self._under = array("d", [0.0] * len(places))
        self._reaching = array("d", [0.0] * len(distances))
        self.found = array("d", [0.0] * len(levels))
        self.expected = 0.0

    def __reduce__(self) -> tuple[object, ...]:
        """Copy it, compiled or not; what it keeps between calls is no part of it."""
        return Reaching, self._given

    def quantiles(self, reaching: list[float]) -> tuple[float, ...]:
        """Invert: the distance that is not exceeded with the probability of each level, ascending."""
        for at in range(self.count):
            self._reaching[at] = reaching[at]
        self._invert()
        return tuple([self.found[at] for at in range(self.levels)])

    def mean(self, reaching: list[float]) -> float:
        """Integrate the probability over the distance."""
        for at in range(self.count):
            self._reaching[at] = reaching[at]
        return self._integral()

    def take(self, told: NDArray[np.float64], row: int) -> int:
        """Work out ``found`` (the quantiles) and ``expected`` (the mean) of the first numbers of ``told[row]``."""
        for at in range(self.count):
            self._reaching[at] = told[row, at]
        self._invert()
        self.expected = self._integral()
        return 0

    def _invert(self) -> int:
        last = self.count + 1
        for at in range(self.count):
            self._under[at + 1] = 1.0 - self._reaching[at] + (at + 1) * _STEP
        self._under[last] = 1.0 + last * _STEP
        place = 0
        for at in range(self.levels):
            level = self._levels[at]
            while place < last - 1 and self._under[place + 1] <= level:
                place += 1
            below = self._under[place]
            slope = (self._logs[place + 1] - self._logs[place]) / (self._under[place + 1] - below)
            self.found[at] = math.exp(slope * (level - below) + self._logs[place])
        return 0

    def _integral(self) -> float:
        total = 0.0
        before = 1.0
        for at in range(self.count):
            here = self._reaching[at]
            total += (self._places[at + 1] - self._places[at]) * (here + before) / 2.0
            before = here
        return total + (self._places[self.count + 1] - self._places[self.count]) * before / 2.0


def averaged(shares: list[float], rows: list[tuple[float, ...]]) -> tuple[float, ...]:
    """Average rows of the same length, each by its share.

    >>> averaged([0.25, 0.75], [(1.0, 2.0), (3.0, 2.0)])
    (2.5, 2.0)
    """
    count = len(shares)
    found = []
    for at in range(len(rows[0])):
        total = 0.0
        for row in range(count):
            total += shares[row] * rows[row][at]
        found.append(total)
    return tuple(found)


def lay_along(
    out: NDArray[np.float64], column: int, at: array[float], places: array[float], values: array[float]
) -> int:
    """Write into a column what is at each of ``at``: ``values`` at ``places`` (ascending), straight between them.

    Outside it is as at the ends.

    >>> out = np.zeros((2, 1))
    >>> _ = lay_along(out, 0, array("d", [1.5, 9.0]), array("d", [1.0, 2.0]), array("d", [4.0, 6.0]))
    >>> out.tolist()
    [[5.0], [6.0]]
    """
    last = len(places) - 1
    low = 0
    before = at[0]
    for row in range(len(at)):
        x = at[row]
        if x < before:
            low = 0
        before = x
        while low < last - 1 and places[low + 1] <= x:
            low += 1
        if x <= places[0]:
            out[row, column] = values[0]
        elif x >= places[last]:
            out[row, column] = values[last]
        else:
            slope = (values[low + 1] - values[low]) / (places[low + 1] - places[low])
            out[row, column] = slope * (x - places[low]) + values[low]
    return 0


def log_odds(chances: tuple[float, ...], least: float) -> array[float]:
    """Logits of chances, each held within ``least`` and 1 less it.

    >>> [round(each, 3) for each in log_odds((0.5, 0.0), 0.1)]
    [0.0, -2.197]
    """
    found = []
    for at in range(len(chances)):
        chance = min(max(chances[at], least), 1.0 - least)
        found.append(math.log(chance / (1.0 - chance)))
    return array("d", found)


def look(rows: NDArray[np.float64], count: int, own: int, since: float, out: array[float]) -> int:
    """Look at the first ``count`` rows but ``own`` whose first number is above ``since``; answer how many these are.

    ``out`` is given the mean of each column, then the greatest and the least of the third.

    >>> out = array("d", [0.0] * 5)
    >>> look(np.array([[1.0, 2.0, 3.0], [9.0, 9.0, 9.0], [1.0, 4.0, -1.0]]), 3, 1, 0.0, out), out.tolist()
    (2, [1.0, 3.0, 1.0, 3.0, -1.0])
    """
    width = rows.shape[1]
    found = 0
    most, least = -_INFINITE, _INFINITE
    for column in range(width):
        out[column] = 0.0
    for row in range(count):
        if row == own or not rows[row, 0] > since:
            continue
        found += 1
        for column in range(width):
            out[column] += rows[row, column]
        most, least = max(most, rows[row, 2]), min(least, rows[row, 2])
    for column in range(width if found else 0):
        out[column] /= found
    out[width], out[width + 1] = most, least
    return found
