"""Who is deleveraged first: the other side's positions by profit and leverage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Wholes = NDArray[np.int64]
Floats = NDArray[np.float64]


def scored(side: int, worth: Floats, cost: Floats, margin: Floats) -> tuple[Wholes, Floats]:
    """Return the indices of those who hold ``side`` (+1 long) and for each a score: who has the least gives way first.

    ``worth`` is what each one's lots are worth at the mark, ``cost`` what was paid for them (both signed as the
    position), ``margin`` what stands behind it. As venues do it: who has profit by ``profit ratio x effective
    leverage``, after them who has none by ``profit ratio / effective leverage``. Who has nothing left is out: the
    venue closes it itself.
    """
    profit = worth - cost
    balance = margin + profit
    among = np.flatnonzero((np.sign(worth) == side) & (balance > 0.0))
    profit = profit[among]
    leverage = np.abs(worth[among]) / balance[among]
    ratio = profit / np.maximum(np.abs(cost[among]), 1.0)
    return among, -np.where(profit > 0.0, ratio * leverage, ratio / np.maximum(leverage, 1e-9))


def ranked(among: Wholes, scores: Floats, count: int) -> Wholes:
    """Return the indices by score, equals in their order: at least the first ``count`` of them, if there are so many.

    Nearly always a few are enough, and to find them takes a tenth of sorting thousands.
    """
    if count < len(among):
        near = np.flatnonzero(scores <= np.partition(scores, count - 1)[count - 1])
        among, scores = among[near], scores[near]
    order: Wholes = among[np.argsort(scores, kind="stable")]
    return order
