"""A sum of small decision trees over one row of features: what a fitted forest of ``Grown`` says, in microseconds.

Compiled where there is a compiler (trees.pxd), and the same results as it is. No I/O, no clock.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from guard.calibration.cells import LOGIT_MAX


class Trees:
    """Complete binary trees of one depth, whose leaves are added up.

    A node asks whether its column is above its cut and goes right if it is, else left; NaN (unknown) goes the way that
    did better in fitting. Nodes of a tree lie level by level: those below node ``i`` are ``2 i + 1`` and ``2 i + 2``.

    Formula: ``bias + sum over trees of the leaf that the row falls into``, log-odds.
    Assumptions: columns are in the order they were fitted in.
    Failure modes: beyond what was seen in fitting it says what it says at the edge.

    >>> trees = Trees(0.5, 1, [0], [2.0], [True], [-1.0, 1.0])
    >>> [trees.score(np.array([value])) for value in (2.0, 3.0, float("nan"))]
    [-0.5, 1.5, -0.5]
    """

    def __init__(
        self,
        bias: float,
        depth: int,
        columns: Sequence[int],
        cuts: Sequence[float],
        unknown_left: Sequence[bool],
        leaves: Sequence[float],
    ) -> None:
        """Say all trees one after another, ``2^depth - 1`` nodes and ``2^depth`` leaves of each.

        ValueError where these are not as many as they have to be, a column is below 0, or a number is unknown.
        """
        ends = 2 ** max(depth, 1)
        nodes = ends - 1
        count = len(leaves) // ends
        if depth < 1 or len(leaves) != count * ends:
            raise ValueError(f"{len(leaves)} leaves are no whole trees of depth {depth}")
        if not len(columns) == len(cuts) == len(unknown_left) == count * nodes:
            raise ValueError(f"{count} trees of depth {depth} have {count * nodes} nodes, not {len(columns)}")
        if min(columns, default=0) < 0:
            raise ValueError("a column is numbered from 0 on")
        if np.isnan((bias, *cuts, *leaves)).any() or not np.isfinite((bias, *leaves)).all():
            raise ValueError("cuts and leaves are known numbers")
        self.bias = bias
        self.depth = depth
        self.count = count
        self.width = max(columns, default=-1) + 1
        """A row has at least so many columns."""
        self._nodes = nodes
        self._columns = array("q", columns)
        self._cuts = array("d", cuts)
        self._unknown_right = array("q", [int(not each) for each in unknown_left])
        self._leaves = array("d", leaves)

    def score(self, row: NDArray[np.float64]) -> float:
        """Log-odds of one row ``(columns,)``; ValueError where it has too few."""
        if len(row) < self.width:
            raise ValueError(f"a row of {len(row)} columns, where {self.width} are asked")
        return self.walk(row)

    def walk(self, row: Sequence[float] | NDArray[np.float64]) -> float:
        """Give the same of a row that has enough."""
        nodes = self._nodes
        found = self.bias
        for tree in range(self.count):
            base = tree * nodes
            node = 0
            for _ in range(self.depth):
                at = base + node
                value = row[self._columns[at]]
                # Added, not asked: which way a row goes is what no processor guesses.
                is_right = (value > self._cuts[at]) + (value != value) * self._unknown_right[at]  # noqa: PLR0124
                node = 2 * node + 1 + is_right
            found += self._leaves[tree * (nodes + 1) + node - nodes]
        return float(found)


class Beside:
    """Trees beside a line: all probabilities of a row of cells are moved by what trees see more in one of them.

    Formula: log-odds of each cell ``+= share * (trees - log-odds of the cell that is asked)``, held within
    ``LOGIT_MAX``. What was in order stays so.

    Assumes: the cells are nested events, so that what makes one of them likelier makes all of them so.

    Failure modes: those of ``Trees``. It keeps its scratch between calls: one thread.

    >>> beside = Beside(Trees(1.0, 1, [], [], [], []), 0.5, [], [], 0, 0, 2, 1)
    >>> told = np.array([[0.75, 0.5, 0.25]])
    >>> _ = beside.move(np.zeros(0), np.zeros((0, 0)), told, 0)
    >>> told.round(3).tolist()
    [[0.832, 0.622, 0.25]]
    """

    def __init__(
        self,
        trees: Trees,
        share: float,
        places: Sequence[int],
        graded_places: Sequence[int],
        graded_row: int,
        first: int,
        end: int,
        asked: int,
    ) -> None:
        """Take trees and what they are given.

        Args:
            trees: their columns are those of ``places`` and then of ``graded_places``.
            share: how much of the difference counts, 0..1.
            places: of columns in the values that are given.
            graded_places: of columns in one row of the graded ones.
            graded_row: which row that is.
            first: the first cell that is moved.
            end: the cell after the last.
            asked: the cell that trees were grown for.

        ValueError where trees ask for more columns, or the share is none.
        """
        if trees.width > len(places) + len(graded_places):
            raise ValueError(f"trees of {trees.width} columns, where {len(places) + len(graded_places)} are")
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"a share of {share}")
        self.trees = trees
        self._share = share
        self._places = array("q", [*places, *graded_places])
        self._values = len(places)
        self._count = len(self._places)
        self._graded_row, self._first, self._end, self._asked = graded_row, first, end, asked
        self._row = array("d", bytes(8 * max(self._count, 1)))

    def move(
        self,
        values: NDArray[np.float64],
        graded: NDArray[np.float64],
        out: NDArray[np.float64],
        model: int,
    ) -> int:
        """Move cells of ``out[model]``, probabilities within 0 and 1; ``values`` is one row, NaN is unknown."""
        for at in range(self._values):
            self._row[at] = values[self._places[at]]
        for at in range(self._values, self._count):
            self._row[at] = graded[self._graded_row, self._places[at]]
        chance = out[model, self._asked]
        more = self._share * (self.trees.walk(self._row) - math.log(chance / (1.0 - chance)))
        for cell in range(self._first, self._end):
            chance = out[model, cell]
            logit = min(max(math.log(chance / (1.0 - chance)) + more, -_LOGIT_MAX), _LOGIT_MAX)
            out[model, cell] = 1.0 / (1.0 + math.exp(-logit))
        return 0


_LOGIT_MAX = LOGIT_MAX
