"""A sum of small decision trees over one row of features: what a fitted forest of ``Grown`` says, in microseconds.

Compiled where there is a compiler (trees.pxd), and the same results as it is. No I/O, no clock.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


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
        nodes, ends = (1 << depth) - 1, 1 << depth
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
        self._columns = array("q", columns)
        self._cuts = array("d", cuts)
        self._left = array("q", [int(each) for each in unknown_left])
        self._leaves = array("d", leaves)

    def score(self, row: NDArray[np.float64]) -> float:
        """Log-odds of one row ``(columns,)``; ValueError where it has too few."""
        if len(row) < self.width:
            raise ValueError(f"a row of {len(row)} columns, where {self.width} are asked")
        nodes = (1 << self.depth) - 1
        found = self.bias
        for tree in range(self.count):
            base = tree * nodes
            node = 0
            for _ in range(self.depth):
                at = base + node
                value = row[self._columns[at]]
                if value != value:  # noqa: PLR0124 - unknown
                    node = 2 * node + (1 if self._left[at] else 2)
                else:
                    node = 2 * node + (2 if value > self._cuts[at] else 1)
            found += self._leaves[tree * (nodes + 1) + node - nodes]
        return float(found)
