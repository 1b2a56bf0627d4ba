"""Who is deleveraged first: the other side's positions by profit and leverage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Wholes = NDArray[np.int64]
Floats = NDArray[np.float64]


def ranked(side: int, worth: Floats, cost: Floats, margin: Floats) -> Wholes:
    """Return the indices of those who hold ``side`` (+1 long), first who gives way first; equals by their index.

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
    score = np.where(profit > 0.0, ratio * leverage, ratio / np.maximum(leverage, 1e-9))
    order: Wholes = among[np.argsort(-score, kind="stable")]
    return order
