"""How good probabilities of reach and hazard were: ranking, skill, calibration, width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from guard.calibration.distribution import quantiles
from guard.hazard.features import REACH_DISTANCES

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


def of_reach(told: Floats, reached: Floats, truth: Floats) -> dict[str, float]:
    """Of the reach at onsets: ``told`` and ``truth`` are ``(N, REACH_DISTANCES)``, ``reached`` is how far it went."""
    distances, levels = np.array(REACH_DISTANCES), np.array((0.1, 0.5, 0.9))
    band = np.array([quantiles(distances, row, levels) for row in told]).reshape(-1, 3)
    at_5 = REACH_DISTANCES.index(0.05)
    held = np.maximum(reached, distances[0] / 10.0)
    base = float(truth[:, at_5].mean())
    missed = brier(told[:, at_5], truth[:, at_5])
    return _rounded(
        onsets=float(len(told)),
        base=base,
        auc=auc(told[:, at_5], truth[:, at_5]),
        brier=missed,
        brier_skill=1.0 - missed / max(base * (1.0 - base), 1e-9),
        log_loss=log_loss(told, truth),
        reliability_error=reliability_error(told[:, at_5], truth[:, at_5]),
        covered=float(np.mean((held >= band[:, 0]) & (held <= band[:, 2]))),
        width=float(np.mean(band[:, 2] - band[:, 0])),
        width_median=float(np.median(band[:, 2] - band[:, 0])),
    )


def of_chances(told: Floats, truth: Floats, weights: Floats) -> dict[str, float]:
    """Of the probabilities of one event, ``(N,)`` each."""
    base = float(np.average(truth, weights=weights))
    missed = float(np.average((told - truth) ** 2, weights=weights))
    return _rounded(
        samples=float(len(told)),
        base=base,
        auc=auc(told, truth),
        brier_skill=1.0 - missed / max(base * (1.0 - base), 1e-9),
        reliability_error=reliability_error(told, truth, weights=weights),
    )


def _rounded(**numbers: float) -> dict[str, float]:
    return {name: round(number, 4) for name, number in numbers.items()}
