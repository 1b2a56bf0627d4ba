"""How forecasts are held against what came: pure functions over arrays. What is missing is left out by the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guard.forecasts import HORIZONS_S, MOVES

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]

DRAWS = 1_000
"""Of every bootstrap."""

INTERVAL = 0.95
BINS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Of forecast probabilities, for reliability."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure and where 95 of 100 of its bootstrapped values lie."""

    value: float
    low: float
    high: float


def bootstrap(
    blocks: Sequence[Indices] | Indices,
    figure: Callable[[Indices], float],
    seed: int,
    *,
    draws: int = DRAWS,
) -> Measured:
    """Give a figure of all samples, and its interval when whole blocks of samples are drawn with replacement.

    Args:
        blocks: the number of the block of each sample, 0 and up: samples of an episode (a day) come together.
        figure: takes the indices of samples, some more than once.
        seed: equal seeds give equal intervals.
        draws: how many.
    """
    block = np.asarray(blocks, dtype=np.int64)
    value = figure(np.arange(len(block)))
    if len(block) == 0:
        return Measured(value, value, value)
    order = np.argsort(block, kind="stable")
    ends = np.cumsum(np.bincount(block))
    members = [part for part in np.split(order, ends[:-1]) if len(part)]
    generator = np.random.default_rng(seed)
    found = [
        figure(np.concatenate([members[at] for at in generator.integers(0, len(members), len(members))]))
        for _ in range(draws)
    ]
    known = np.array([each for each in found if np.isfinite(each)])
    if len(known) == 0:
        return Measured(value, value, value)
    tail = (1.0 - INTERVAL) / 2.0
    low, high = np.quantile(known, (tail, 1.0 - tail))
    return Measured(value, float(low), float(high))


def bootstrap_sums(
    sums: Floats, figure: Callable[[Floats], float], seed: int, *, draws: int = DRAWS
) -> Measured:
    """As ``bootstrap``, for a figure that follows from sums over samples: ``sums`` has a row for each block.

    ``figure`` takes the sum of the rows that were drawn; this is quicker by as much as a block is long.
    """
    value = figure(sums.sum(axis=0))
    if len(sums) == 0:
        return Measured(value, value, value)
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = np.bincount(generator.integers(0, len(sums), len(sums)), minlength=len(sums))
        found.append(figure(drawn @ sums))
    known = np.array([each for each in found if np.isfinite(each)])
    if len(known) == 0:
        return Measured(value, value, value)
    tail = (1.0 - INTERVAL) / 2.0
    low, high = np.quantile(known, (tail, 1.0 - tail))
    return Measured(value, float(low), float(high))


def block_sums(blocks: Indices, *columns: Floats) -> Floats:
    """Sum columns over the samples of each block, ``(blocks, columns)``."""
    count = int(blocks.max()) + 1 if len(blocks) else 0
    return np.stack([np.bincount(blocks, column, count) for column in columns], axis=1)


def auc(scores: Floats, truth: Floats, weights: Floats | None = None) -> float:
    """Chance that a case that came is scored above one that did not; ties count half; NaN where there is only one kind.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]))
    0.75
    """
    weight = np.ones(len(scores)) if weights is None else weights
    came, rest = weight * (truth > 0.5), weight * (truth <= 0.5)
    if came.sum() == 0.0 or rest.sum() == 0.0:
        return float("nan")
    _, place = np.unique(scores, return_inverse=True)
    came_at, rest_at = np.bincount(place, came), np.bincount(place, rest)
    below = np.cumsum(rest_at) - rest_at
    return float((came_at * (below + 0.5 * rest_at)).sum() / (came.sum() * rest.sum()))


def average_precision(scores: Floats, truth: Floats) -> float:
    """Mean precision over the recalled cases, best scores first; ties share one threshold. NaN where nothing came.

    >>> average_precision(np.array([0.9, 0.8, 0.1]), np.array([1.0, 0.0, 1.0]))
    0.8333333333333333
    """
    if truth.sum() == 0.0:
        return float("nan")
    values, place = np.unique(-scores, return_inverse=True)
    came = np.bincount(place, truth, len(values))
    upto = np.cumsum(np.bincount(place, minlength=len(values)))
    return float((came * np.cumsum(came) / upto).sum() / truth.sum())


def brier(forecast: Floats, truth: Floats) -> float:
    """Mean squared error of probabilities."""
    return float(np.mean((forecast - truth) ** 2))


def skill(loss: float, baseline: float) -> float:
    """1 - loss over the baseline's: 0 no better, 1 perfect; NaN where the baseline loses nothing."""
    return 1.0 - loss / baseline if baseline > 0.0 else float("nan")


def reliability(forecast: Floats, truth: Floats) -> tuple[Floats, Floats, Floats]:
    """By bin of forecast: mean forecast, how often it came, how many; bins without any are left out."""
    edges = np.array(BINS)
    place = np.clip(np.searchsorted(edges, forecast, side="right") - 1, 0, len(edges) - 2)
    count = np.bincount(place, minlength=len(edges) - 1).astype(np.float64)
    kept = count > 0
    mean = np.bincount(place, forecast, len(edges) - 1)[kept] / count[kept]
    came = np.bincount(place, truth, len(edges) - 1)[kept] / count[kept]
    return mean, came, count[kept]


def reliability_error(forecast: Floats, truth: Floats) -> float:
    """Mean distance of what was forecast from how often it came, bins weighted by how often they are used."""
    mean, came, count = reliability(forecast, truth)
    return float((np.abs(mean - came) * count).sum() / count.sum()) if len(count) else float("nan")


def spearman(one: Floats, other: Floats) -> float:
    """Correlation of ranks, equals sharing theirs; 0 where one of them does not vary."""
    ranked = [_ranks(each) for each in (one, other)]
    if len(one) < 2 or min(each.std() for each in ranked) == 0.0:
        return 0.0
    return float(np.corrcoef(ranked[0], ranked[1])[0, 1])


def _ranks(values: Floats) -> Floats:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(count) - (count - 1) / 2.0)[place]
    return ranks


def gap_closed(value: float, baseline: float, oracle: float) -> float | None:
    """Share of the way from the best baseline to the oracle; ``None`` where the oracle is no better than the baseline.

    Whichever way is better: both differences have the same sign where something was gained.

    >>> gap_closed(0.75, 0.5, 1.0), gap_closed(4.0, 6.0, 2.0), gap_closed(0.75, 1.0, 1.0)
    (0.5, 0.5, None)
    """
    gap = oracle - baseline
    return None if abs(gap) < 1e-12 or not np.isfinite(gap) else (value - baseline) / gap


def logistic_fit(features: Floats, truth: Floats, *, ridge: float = 1e-3, steps: int = 50) -> Floats:
    """Coefficients of a logistic regression, intercept first, by Newton's method; ``features`` is ``(n, k)``."""
    design = np.column_stack((np.ones(len(features)), features))
    found = np.zeros(design.shape[1])
    penalty = np.full(design.shape[1], ridge * len(design))
    penalty[0] = 1e-9
    for _ in range(steps):
        chance = logistic(design @ found)
        slope = design.T @ (truth - chance) - penalty * found
        curve = (design * (chance * (1.0 - chance))[:, None]).T @ design + np.diag(penalty)
        change = np.linalg.solve(curve, slope)
        found = found + np.clip(change, -2.0, 2.0)
        if float(np.abs(change).max()) < 1e-8:
            break
    return found


def logistic_values(coefficients: Floats, features: Floats) -> Floats:
    """Probabilities of a fitted regression."""
    return logistic(np.column_stack((np.ones(len(features)), features)) @ coefficients)


def logistic(value: Floats) -> Floats:
    """1 / (1 + exp(-value)), without overflow."""
    found: Floats = 0.5 * (1.0 + np.tanh(0.5 * value))
    return found


def hazard_by(told: Floats, horizon_s: float, move: float) -> Floats:
    """Probability of a move within any time from 5 minutes to an hour; ``told`` is ``(n, HORIZONS_S x MOVES)``."""
    at = MOVES.index(move)
    columns = [told[:, place * len(MOVES) + at] for place in range(len(HORIZONS_S))]
    for place, known in enumerate(HORIZONS_S):
        if known == horizon_s:
            return columns[place]
        if known > horizon_s:
            before = HORIZONS_S[place - 1]
            return between_horizons(columns[place - 1], columns[place], before, known, horizon_s)
    raise ValueError(f"nothing is told beyond {HORIZONS_S[-1]} s")


def between_horizons(
    nearer: Floats, farther: Floats, nearer_s: float, farther_s: float, at_s: float
) -> Floats:
    """Probability by a time between two horizons, with the same rate all along between them."""
    kept_nearer, kept_farther = (np.log1p(-np.clip(each, 0.0, 1.0 - 1e-9)) for each in (nearer, farther))
    share = (at_s - nearer_s) / (farther_s - nearer_s)
    found: Floats = -np.expm1(kept_nearer + share * (kept_farther - kept_nearer))
    return found
