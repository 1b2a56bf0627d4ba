"""Quantiles and mean of a distance from the probabilities of reaching distances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def quantiles(distances: Floats, reaching: Floats, levels: Floats) -> Floats:
    """Give the distance that is not exceeded with each of ``levels``.

    Formula: the inverse of ``1 - P(reach >= D)``, straight in the logarithm of the distance between those that are
    known; below the first down to a tenth of it, beyond the last up to 1.5 of it, where nothing is known.

    >>> q = quantiles(np.array([0.01, 0.04]), np.array([0.75, 0.25]), np.array([0.25, 0.5, 0.75]))
    >>> q.round(4).tolist()
    [0.01, 0.02, 0.04]
    """
    places = np.concatenate(([distances[0] / 10.0], distances, [distances[-1] * 1.5]))
    under = np.concatenate(([0.0], 1.0 - reaching, [1.0]))
    under = under + np.arange(under.size) * 1e-12
    return np.exp(np.interp(levels, under, np.log(places)))


def mean(distances: Floats, reaching: Floats) -> float:
    """Give the mean distance: the area under the probability of reaching, trapezoids, 1 at no distance.

    >>> round(mean(np.array([0.01, 0.03]), np.array([1.0, 0.0])), 4)
    0.02
    """
    places = np.concatenate(([0.0], distances, [distances[-1] * 1.5]))
    heights = np.concatenate(([1.0], reaching, [0.0]))
    return float(np.trapezoid(heights, places))
