"""How good probabilities of reach and hazard were: ranking, skill, calibration, width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def auc(scores: Floats, truth: Floats) -> float:
    """Chance that a case scores above a non-case, ties half; NaN where one of them is missing."""
    positives = truth > 0.5
    count = int(positives.sum())
    if count == 0 or count == len(truth):
        return float("nan")
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    values, starts, sizes = np.unique(scores[order], return_index=True, return_counts=True)
    del values
    ranks[order] = np.repeat(starts + (sizes + 1) / 2.0, sizes)
    return float((ranks[positives].sum() - count * (count + 1) / 2.0) / (count * (len(truth) - count)))


def brier(chances: Floats, truth: Floats) -> float:
    """Mean squared error of probabilities."""
    return float(np.mean((chances - truth) ** 2))


def log_loss(chances: Floats, truth: Floats) -> float:
    """Mean negative log-likelihood."""
    held = np.clip(chances, 1e-6, 1.0 - 1e-6)
    return float(-np.mean(truth * np.log(held) + (1.0 - truth) * np.log1p(-held)))


def reliability_error(chances: Floats, truth: Floats, bins: int = 10, weights: Floats | None = None) -> float:
    """Mean distance of what was told from what came, over bins of equal count (the expected calibration error)."""
    weights = np.ones(len(truth)) if weights is None else weights
    order = np.argsort(chances, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(
        sum(abs(np.sum(weights[part] * (chances[part] - truth[part]))) for part in parts) / weights.sum()
    )
