"""Put probabilities of nested events in order: farther is never likelier, longer never less so. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def falling(probabilities: Floats) -> Floats:
    """Make ``(..., D)`` fall along its last axis, by the mean of running least from near and running most from far.

    Neither end is taken for the right one where they disagree. Idempotent; in order already: unchanged.

    >>> falling(np.array([0.5, 0.2, 0.4])).round(3).tolist()
    [0.5, 0.3, 0.3]
    """
    near = np.minimum.accumulate(probabilities, axis=-1)
    far = np.maximum.accumulate(probabilities[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray((near + far) / 2.0)


def ordered(probabilities: Floats) -> Floats:
    """Make ``(..., H, D)`` rise along horizons and fall along distances.

    >>> ordered(np.array([[0.5, 0.2], [0.4, 0.3]])).round(3).tolist()
    [[0.45, 0.2], [0.45, 0.3]]
    """
    rising = falling(np.swapaxes(probabilities, -1, -2)[..., ::-1])[..., ::-1]
    return falling(np.swapaxes(rising, -1, -2))
