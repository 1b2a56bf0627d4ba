"""What several models tell of one market, averaged by their shares: over rows of numbers, without a message between.

Compiled where there is a compiler (blend.pxd), and the same results as it is. No I/O, no clock.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from guard.calibration.kernel import Reaching


class Blend:
    """Averages rows of cells as ``CellPass`` tells them: hazards by horizon and move, and distributions of the reach.

    A row of hazards is the probabilities by horizon and move, then vulnerability and shock; a row of a reach its
    quantiles, the probabilities of the moves and the mean. It keeps its scratch between calls: one thread.

    Formula: the linear pool of probabilities with the shares of each horizon, a longer horizon never less than a
    shorter one; of the reach also quantiles and mean are averaged.

    >>> from guard.calibration.kernel import Reaching
    >>> blend = Blend(Reaching((0.01, 0.04), (0.5,)), (1,), ((2,), (3,)), 4, 5, 0)
    >>> usual, told = array("d", [0.5, 0.5, 0.5, 0.5]), np.array([[0.8, 0.3, 0.1, 0.2, 0.7, 0.9]])
    >>> blend.hazards(told, array("q", [0]), -1, usual, array("d", [1.0, 1.0]), array("d", [0.5, 0.5, 0.5, 0.5]))
    (((0.3,), (0.35,)), 0.6, 0.7)
    """

    def __init__(
        self,
        reaching: Reaching,
        moves: Sequence[int],
        hazards: Sequence[Sequence[int]],
        vulnerability: int,
        shock: int,
        horizon: int,
    ) -> None:
        """Say which cells are told.

        Args:
            reaching: distances of the first cells, and levels of the quantiles.
            moves: of these cells, those whose probability is told.
            hazards: cells by horizon, by move.
            vulnerability: its cell.
            shock: its cell; both are averaged by the shares of ``horizon``, as the factor of the shock is its first.
            horizon: number of a horizon.
        """
        self._given = reaching, moves, hazards, vulnerability, shock, horizon
        self.high, self.wide = len(hazards), len(hazards[0])
        self.width = self.high * self.wide + 2
        self.horizon = horizon
        self._reaching = reaching
        self._moves = array("q", moves)
        self._cells = array("q", [*(cell for row in hazards for cell in row), vulnerability, shock])
        self.reach_width = reaching.levels + len(moves) + 1
        self._said = array("d", bytes(8 * self.width))
        self._told = array("d", bytes(8 * max(self.width, self.reach_width)))

    def hazards(
        self,
        told: NDArray[np.float64],
        rows: array[int],
        settled: int,
        usual: array[float],
        factors: array[float],
        shares: array[float],
    ) -> tuple[tuple[tuple[float, ...], ...], float, float]:
        """Average hazards: probabilities by horizon and move, vulnerability, shock.

        Args:
            told: cells of all models.
            rows: those that are averaged.
            settled: the row that is averaged once more with its odds times ``factors``; -1: none.
            usual: a row of hazards that is averaged with them.
            factors: by horizon and move.
            shares: by horizon, of ``usual``, of each of ``rows`` and of the settled one.
        """
        count = len(rows)
        self._begin(usual, shares, 1 + count + (1 if settled >= 0 else 0))
        for at in range(count):
            self._take(told, rows[at])
            self._add(shares, 1 + at)
        if settled >= 0:
            self._take(told, settled)
            self._settle(factors)
            self._add(shares, 1 + count)
        wide = self.wide
        found = []
        for row in range(self.high):
            line = []
            for column in range(wide):
                place = row * wide + column
                if row > 0 and self._told[place - wide] > self._told[place]:
                    self._told[place] = self._told[place - wide]
                line.append(self._told[place])
            found.append(tuple(line))
        return tuple(found), self._told[self.width - 2], self._told[self.width - 1]

    def reach(
        self, told: NDArray[np.float64], rows: array[int], usual: array[float], shares: array[float]
    ) -> tuple[tuple[float, ...], tuple[float, ...], float]:
        """Average reaches: quantiles, probabilities of the moves, mean; ``shares`` are of ``usual`` and ``rows``."""
        levels, moves, out = self._reaching.levels, len(self._moves), self._told
        for at in range(self.reach_width):
            out[at] = shares[0] * usual[at]
        for row in range(len(rows)):
            self._reaching.take(told, rows[row])
            share = shares[1 + row]
            for at in range(levels):
                out[at] += share * self._reaching.found[at]
            for at in range(moves):
                out[levels + at] += share * told[rows[row], self._moves[at]]
            out[levels + moves] += share * self._reaching.expected
        quantiles = [out[at] for at in range(levels)]
        chances = [out[levels + at] for at in range(moves)]
        return tuple(quantiles), tuple(chances), out[levels + moves]

    def __reduce__(self) -> tuple[object, ...]:
        """Copy it, compiled or not; what it keeps between calls is no part of it."""
        return Blend, self._given

    def _begin(self, usual: array[float], shares: array[float], stride: int) -> int:
        self._stride = stride
        for at in range(self.width):
            self._said[at] = usual[at]
            self._told[at] = 0.0
        self._add(shares, 0)
        return 0

    def _take(self, told: NDArray[np.float64], row: int) -> int:
        for at in range(self.width):
            self._said[at] = told[row, self._cells[at]]
        return 0

    def _settle(self, factors: array[float]) -> int:
        """Multiply odds; order among horizons and moves is kept."""
        settled(self._said, factors, self.high, self.wide)
        place = self.width - 1
        self._said[place] = times_odds(self._said[place], factors[self.horizon * self.wide])
        return 0

    def _add(self, shares: array[float], at: int) -> int:
        wide = self.wide
        for row in range(self.high):
            share = shares[row * self._stride + at]
            for column in range(wide):
                self._told[row * wide + column] += share * self._said[row * wide + column]
        share = shares[self.horizon * self._stride + at]
        for place in range(self.width - 2, self.width):
            self._told[place] += share * self._said[place]
        return 0


def settled(said: array[float], factors: array[float], high: int, wide: int) -> int:
    """Multiply the odds of probabilities by horizon and move, in place; order among them is kept.

    >>> said = array("d", [0.5, 0.2, 0.6, 0.2])
    >>> _ = settled(said, array("d", [1.0, 1.0, 0.25, 9.0]), 2, 2)
    >>> [round(each, 3) for each in said]
    [0.5, 0.2, 0.5, 0.5]
    """
    for row in range(high):
        least = 1.0
        for column in range(wide):
            place = row * wide + column
            each = times_odds(said[place], factors[place])
            if row > 0:
                each = max(each, said[place - wide])
            least = min(least, each)
            said[place] = least
    return 0


def times_odds(probability: float, factor: float) -> float:
    """Multiply the odds of a probability.

    >>> times_odds(0.5, 3.0)
    0.75
    """
    return factor * probability / (1.0 + (factor - 1.0) * probability)
