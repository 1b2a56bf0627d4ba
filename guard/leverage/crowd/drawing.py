"""Sums over the classes and bins of one side, where arrays of numpy's would be made for each step. No I/O, no clock.

Compiled where there is a compiler (drawing.pxd), and the same results as it is.
"""

from __future__ import annotations

import math
from array import array

import numpy as np
from numpy.typing import NDArray

_LEAST = 1e-300
"""No mass is less than this, so that it has a logarithm."""


def draw(
    mixed: NDArray[np.float64],
    first: int,
    part: float,
    knots: array[int],
    ratios: array[float],
    usd: NDArray[np.float64],
) -> int:
    """Write into ``usd`` what there is by distance from the mark, times a ratio between knots.

    Args:
        mixed: by bin, all classes by their shares.
        first: the bin of the mark.
        part: of that bin, which the mark has gone through.
        knots: bins from the mark, ascending from 0; the last is no more than ``len(usd)``.
        ratios: between a knot and the next, one less than knots; 1 beyond the last.
        usd: written.

    >>> usd = np.zeros(2)
    >>> _ = draw(np.array([1.0, 6.0, 4.0]), 0, 0.5, array("q", [0, 1]), array("d", [10.0]), usd)
    >>> usd.tolist()
    [35.0, 5.0]
    """
    before = mixed[first]
    for at in range(len(usd)):
        after = mixed[first + at + 1]
        usd[at] = before + part * (after - before)
        before = after
    for knot in range(len(ratios)):
        ratio = ratios[knot]
        for at in range(knots[knot], knots[knot + 1]):
            usd[at] *= ratio
    return 0


def held_within(
    mass: NDArray[np.float64],
    first: int,
    part: float,
    scale: float,
    knots: array[int],
    held: NDArray[np.float64],
) -> int:
    """Write into ``held`` (``(K, knots less one)``) what each class has between the mark and each knot but the first.

    >>> held = np.zeros((1, 2))
    >>> _ = held_within(np.array([[1.0, 2.0, 4.0]]), 0, 0.5, 10.0, array("q", [0, 1, 2]), held)
    >>> held.tolist()
    [[15.0, 45.0]]
    """
    for row in range(held.shape[0]):
        total = 0.0
        begun = mass[row, first]
        for knot in range(held.shape[1]):
            for at in range(knots[knot], knots[knot + 1]):
                total += mass[row, first + at]
            held[row, knot] = scale * (total + part * (mass[row, first + knots[knot + 1]] - begun))
    return 0


def agree(
    held: NDArray[np.float64],
    candidates: NDArray[np.float64],
    weights: NDArray[np.float64],
    medians: NDArray[np.float64],
    spreads: NDArray[np.float64],
) -> int:
    """Write the candidates' weighted geometric mean at each knot into ``medians``, its log-variance into ``spreads``.

    Args:
        held: by class and knot, ``(K, n)``.
        candidates: shares of classes, ``(M, K)``.
        weights: of the candidates, ``(M,)``, adding up to 1.
        medians: written, ``(n,)``.
        spreads: written, ``(n,)``.

    >>> medians, spreads = np.zeros(1), np.zeros(1)
    >>> _ = agree(np.array([[4.0]]), np.array([[0.25], [1.0]]), np.array([0.5, 0.5]), medians, spreads)
    >>> round(float(medians[0]), 9), round(float(spreads[0]), 4)
    (2.0, 0.4805)
    """
    count = len(weights)
    classes = held.shape[0]
    for knot in range(held.shape[1]):
        middle = 0.0
        squared = 0.0
        weighed = 0.0
        for row in range(count):
            mass = 0.0
            for by in range(classes):
                mass += candidates[row, by] * held[by, knot]
            told = math.log(max(mass, _LEAST))
            # Welford's way: squares of large logarithms would eat up the digits of their differences.
            weighed += weights[row]
            if weights[row] > 0.0:
                apart = told - middle
                middle += apart * weights[row] / weighed
                squared += weights[row] * apart * (told - middle)
        medians[knot] = math.exp(middle)
        spreads[knot] = squared
    return 0


def upto(usd: NDArray[np.float64], places: array[float]) -> tuple[float, ...]:
    """Sum bins up to each of ``places`` (ascending, in bins); within a bin in proportion.

    >>> upto(np.array([1.0, 2.0]), array("d", [0.5, 1.5, 7.0]))
    (0.5, 2.0, 3.0)
    """
    found = []
    at = 0
    total = 0.0
    last = len(usd)
    for place in range(len(places)):
        whole = min(int(places[place]), last)
        while at < whole:
            total += usd[at]
            at += 1
        more = 0.0
        if whole < last:
            more = (places[place] - whole) * usd[whole]
        found.append(total + more)
    return tuple(found)


def believe(
    logs: NDArray[np.float64],
    own: NDArray[np.float64],
    alike: NDArray[np.float64],
    everybody: NDArray[np.float64],
    side: int,
    counts: array[float],
) -> int:
    """Turn logarithms of a prior into how likely each candidate is, given evidence by side and candidate, ``(2, M)``.

    Args:
        logs: of the prior, ``(M,)``; overwritten by probabilities that add up to 1.
        own: of the market itself.
        alike: of all markets of its symbol, itself among them.
        everybody: of all markets.
        side: which row is the market's own side.
        counts: what counts of its other side, of the symbol elsewhere, of other symbols, and of their other side.

    >>> logs, one = np.log([0.5, 0.5]), np.log([[0.9, 0.1], [0.5, 0.5]])
    >>> _ = believe(logs, one, one, one, 0, array("d", [0.4, 0.6, 0.4, 0.16]))
    >>> logs.round(3).tolist()
    [0.9, 0.1]
    """
    count = len(logs)
    other = 1 - side
    most = -math.inf
    for at in range(count):
        told = (
            logs[at]
            + own[side, at]
            + counts[0] * own[other, at]
            + counts[1] * (alike[side, at] - own[side, at])
            + counts[2] * (everybody[side, at] - alike[side, at])
            + counts[3] * (everybody[other, at] - alike[other, at])
        )
        logs[at] = told
        most = max(most, told)
    total = 0.0
    for at in range(count):
        logs[at] = math.exp(logs[at] - most)
        total += logs[at]
    for at in range(count):
        logs[at] /= total
    return 0
