"""Fits the heads of one expert from samples, and predicts with them as the program will: same features, same order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import _fit_choice as choice
from benchmarks._fit_cells import Fitted, Problem, fit
from benchmarks._fit_samples import MOMENT, ONSET, Samples
from guard.calibration.cells import Feature, design
from guard.calibration.monotone import falling, ordered
from guard.forecasts import MOVES
from guard.hazard.artefact import Expert, Head
from guard.hazard.experts import SHOCK_AT, VULNERABLE_AT
from guard.hazard.features import GRADED, HAZARD_HORIZONS_S, NAMES, REACH_DISTANCES, STRUCTURE_FEATURES

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

RIDGE_REACH, RIDGE_HAZARD, RIDGE_STATE = 60.0, 100.0, 60.0
KIND_WEIGHTS = np.array([0.0, 1.0, 0.5, 0.35])
"""Of onsets and of the smaller moves that are fitted along: they are like onsets, not the same."""
HINGES: dict[str, tuple[float, ...]] = {}
QUIET_EVERY_S, MOVING_EVERY_S = 480, 180
"""Of moments in which nothing (something) moves so many seconds' worth is one sample, that counts for all of them."""

PAIRED_ABOVE, MANY_ROWS = 1, 30_000

_D = np.array(REACH_DISTANCES)
_CELLS = [(horizon, move) for horizon in HAZARD_HORIZONS_S for move in MOVES]


@dataclass(frozen=True, slots=True)
class Standard:
    """How features are standardised, alike for all experts and heads."""

    features: tuple[Feature, ...]
    graded: tuple[Feature, ...]

    @classmethod
    def of(cls, samples: Samples) -> Standard:
        """Take medians and spreads of the samples, half of them from onsets: what is usual when it matters."""
        shaken = np.flatnonzero(samples.meta[:, 4] != MOMENT)
        calm = np.flatnonzero(samples.meta[:, 4] == MOMENT)
        calm = calm[:: max(len(calm) // max(len(shaken), 1), 1)]
        rows = np.concatenate((shaken, calm))
        names = choice.chosen()
        return cls(
            tuple(_feature(name, samples.values[rows, NAMES.index(name)]) for name in names),
            tuple(_feature(name, samples.reach[:, :, at].ravel()) for at, name in enumerate(GRADED)),
        )


def _feature(name: str, numbers: NDArray[np.float32]) -> Feature:
    known = numbers[np.isfinite(numbers)].astype(np.float64)
    centre = float(np.median(known)) if len(known) else 0.0
    low, high = np.quantile(known, (0.05, 0.95)) if len(known) else (-1.0, 1.0)
    scale = max(float(high - low) / 3.29, float(known.std()) / 2.0 if len(known) else 1.0, 1e-2)
    return Feature(
        name=name, centre=round(centre, 6), scale=round(scale, 6), clip=4.0, hinges=HINGES.get(name, ())
    )


@dataclass(frozen=True, slots=True)
class Task:
    """One head: which rows, which cells, which truth; made by ``reach_task`` and its like."""

    rows: Rows
    truth: Floats
    weights: Floats
    basis: Floats
    graded: Callable[[bool], Floats]
    ridge: float


def reach_task(samples: Samples) -> Task:
    """Reach at onsets and smaller moves, by distance."""
    rows = np.flatnonzero((samples.meta[:, 4] != MOMENT) & ~np.isnan(samples.reached))
    place = np.searchsorted(np.flatnonzero(samples.meta[:, 4] != MOMENT), rows)
    truth = (samples.reached[rows, None] >= _D - 1e-9).astype(np.float64)
    slope = np.log(_D)
    slope = (slope - slope.mean()) / (slope.max() - slope.mean())
    return Task(
        rows,
        truth,
        KIND_WEIGHTS[samples.meta[rows, 4]],
        np.stack((np.ones(len(_D)), slope), axis=1),
        lambda oracle: (samples.reach_oracle if oracle else samples.reach)[place].astype(np.float64),
        RIDGE_REACH,
    )


def hazard_task(samples: Samples) -> Task:
    """Hazard at moments, by horizon and move; quiet ones thinned out, and weighed for it."""
    rows, weights = _moments(samples)
    gone = samples.gone[rows].astype(np.float64)
    truth = np.stack(
        [
            np.where(np.isnan(gone[:, at]), np.nan, gone[:, at] >= move - 1e-9)
            for at in range(len(HAZARD_HORIZONS_S))
            for move in MOVES
        ],
        axis=1,
    )
    far = np.array([np.log(move / 0.0447) / np.log(2.24) for _, move in _CELLS])
    long = np.array([np.log(horizon / 1039.0) / np.log(3.46) for horizon, _ in _CELLS])
    return Task(
        rows,
        truth,
        weights,
        np.stack((np.ones(len(_CELLS)), long, far), axis=1),
        lambda oracle: (samples.hazard_oracle if oracle else samples.hazard)[rows].astype(np.float64),
        RIDGE_HAZARD,
    )


def shock_task(samples: Samples) -> Task:
    """Whether 1.5 % within 5 minutes comes within 15 minutes."""
    rows, weights = _moments(samples)
    return Task(
        rows,
        samples.shock[rows, None].astype(np.float64),
        weights,
        np.ones((1, 1)),
        lambda oracle: (samples.hazard_oracle if oracle else samples.hazard)[rows, SHOCK_AT, None].astype(
            np.float64
        ),
        RIDGE_HAZARD,
    )


def vulnerability_task(samples: Samples) -> Task:
    """Whether the onset that came within 15 minutes went on to 5 %; by the state before it, and by that at it."""
    rows = np.flatnonzero((samples.meta[:, 4] == MOMENT) & ~np.isnan(samples.next_reach))
    # The structure at a moment lies beside the hazard, at the moves; that of 5 % is the one.
    return Task(
        rows,
        (samples.next_reach[rows, None] >= 0.05).astype(np.float64),
        np.full(len(rows), 0.2),
        np.ones((1, 1)),
        lambda oracle: at_distance(
            (samples.hazard_oracle if oracle else samples.hazard)[rows].astype(np.float64)
        ),
        RIDGE_STATE,
    )


def at_distance(hazard: Floats) -> Floats:
    """Graded features of a moment as they are at ``VULNERABLE_AT``: the walk is over 30 minutes there."""
    cell = HAZARD_HORIZONS_S.index(3600) * len(MOVES) + MOVES.index(REACH_DISTANCES[VULNERABLE_AT])
    found = hazard[:, cell, None].copy()
    found[:, :, :3] += 0.5 * np.log(1800.0 / 3600.0)
    return found


def _moments(samples: Samples) -> tuple[Rows, Floats]:
    moments = samples.meta[:, 4] == MOMENT
    at = samples.meta[:, 5]
    moving = (samples.values[:, NAMES.index("is_onset")] > 0) | (
        samples.values[:, NAMES.index("beyond_5m")] > 0.7
    )
    seldom, often = QUIET_EVERY_S // 60, MOVING_EVERY_S // 60
    minute = at // 60 + samples.meta[:, 1]
    rows = np.flatnonzero(moments & np.where(moving, minute % often == 0, minute % seldom == 0))
    return rows, np.where(moving[rows], float(often), float(seldom))


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a head is fitted on and asked with: standardised columns of the chosen features, and their names."""

    common: Floats
    graded: Floats
    names: tuple[str, ...]
    graded_names: tuple[str, ...]


def inputs_of(
    samples: Samples,
    task: Task,
    standard: Standard,
    chosen: tuple[tuple[str, ...], tuple[str, ...]],
    *,
    oracle: bool = False,
) -> Inputs:
    """Standardise what the expert is given of the task's rows."""
    names, graded_names = chosen
    values = samples.values[task.rows].astype(np.float64)
    if oracle:
        values[:, -len(STRUCTURE_FEATURES) :] = samples.oracle[task.rows]
    by_name = {each.name: each for each in standard.features}
    picked = [by_name[name] for name in names]
    common = (
        design(values[:, [NAMES.index(name) for name in names]], picked)
        if names
        else np.zeros((len(values), 0))
    )
    by_name = {each.name: each for each in standard.graded}
    graded = task.graded(oracle)[:, :, [GRADED.index(name) for name in graded_names]]
    if graded_names:
        graded = design(graded, [by_name[name] for name in graded_names])
    return Inputs(common, graded, names, graded_names)


def fit_head(task: Task, given: Inputs, chosen_rows: NDArray[np.bool_]) -> Fitted:
    """Fit on some of the task's rows."""
    columns = given.common.shape[1] + given.graded.shape[2]
    signs = [choice.sign_of(name) for name in (*given.names, *given.graded_names)]
    return fit(
        Problem(
            common=given.common[chosen_rows],
            graded=given.graded[chosen_rows],
            truth=task.truth[chosen_rows],
            weights=task.weights[chosen_rows],
            basis=task.basis,
            penalty=np.full(columns, task.ridge),
            signs=np.array(signs, dtype=np.float64),
        )
    )


def recalibrated(
    fitted: Fitted, logits: Floats, task: Task, blocks: Sequence[tuple[int, int]] = ()
) -> tuple[Fitted, Floats]:
    """Stretch log-odds by one slope, and shift each cell, so that what was told of unseen worlds is right on the whole.

    ``logits`` ``(N, J)`` are those of models that were fitted without the row's world. One slope of all cells, or of
    each of ``blocks`` (first cell, end) that together are all of them, within 0.5..1.2. Gives slopes by cell beside it.
    """
    if not fitted.weights.size:
        return fitted, np.ones(logits.shape[1])
    slopes, shifts = np.ones(logits.shape[1]), np.zeros(logits.shape[1])
    for first, end in blocks or ((0, logits.shape[1]),):
        found = fit(
            Problem(
                common=np.zeros((len(logits), 0)),
                graded=logits[:, first:end, None],
                truth=task.truth[:, first:end],
                weights=task.weights,
                basis=np.ones((end - first, 1)),
                penalty=np.array([1e-3]),
                signs=np.array([1.0]),
            )
        )
        slopes[first:end] = float(np.clip(found.weights[0, 0], 0.5, 1.2))
        shifts[first:end] = found.intercept
    return Fitted(fitted.intercept * slopes + shifts, fitted.weights * slopes[:, None]), slopes


def in_order(chances: Floats) -> Floats:
    """As the program puts them in order, ``(N, J)``."""
    if chances.shape[1] == len(_CELLS):
        return ordered(chances.reshape(-1, len(HAZARD_HORIZONS_S), len(MOVES))).reshape(len(chances), -1)
    return falling(chances) if chances.shape[1] > 1 else chances


def head_of(fitted: Fitted, given: Inputs) -> Head:
    """Write a head down, rounded: by name, what is nothing left out."""
    named = {}
    for at, name in enumerate((*given.names, *given.graded_names)):
        row = tuple(round(float(number), 5) for number in fitted.weights[:, at])
        if any(row):
            named[name] = row
    return Head(
        intercept=tuple(round(float(number), 5) for number in fitted.intercept),
        weights={name: row for name, row in named.items() if name in given.names},
        graded={name: row for name, row in named.items() if name in given.graded_names},
    )


def logits_of(head: Head, given: Inputs) -> Floats:
    """Log-odds ``(N, J)`` of a head as it is written down; ``given`` is what it was fitted on."""
    nothing = (0.0,) * len(head.intercept)
    told = np.tile(np.array(head.intercept), (len(given.common), 1))
    if given.names:
        told += given.common @ np.array([head.weights.get(name, nothing) for name in given.names])
    if given.graded_names:
        told += (given.graded * np.array([head.graded.get(n, nothing) for n in given.graded_names]).T).sum(-1)
    return told


TASKS: tuple[
    tuple[str, Callable[[Samples], Task], dict[Expert, tuple[tuple[str, ...], tuple[str, ...]]]], ...
] = (
    ("reach", reach_task, choice.REACH),
    ("hazard", hazard_task, choice.HAZARD),
    ("vulnerability", vulnerability_task, choice.VULNERABILITY),
    ("shock", shock_task, choice.HAZARD),
)


def worlds_of(samples: Samples, rows: Rows) -> Rows:
    """The world of each row."""
    found: Rows = samples.meta[rows, 0]
    return found


def is_onset(samples: Samples, rows: Rows) -> NDArray[np.bool_]:
    """Whether each row is an onset."""
    return np.asarray(samples.meta[rows, 4] == ONSET)


def left_out(worlds: Rows) -> Sequence[int]:
    """The worlds that are left out in turn."""
    return sorted(set(worlds.tolist()))


def folds(worlds: Rows, cells: int) -> Sequence[tuple[int, ...]]:
    """Worlds that are left out together: each by itself, and in pairs where there are many cells, for time's sake."""
    found = left_out(worlds)
    if cells <= PAIRED_ABOVE or len(worlds) < MANY_ROWS:
        return [(world,) for world in found]
    return [tuple(found[at :: (len(found) + 1) // 2]) for at in range((len(found) + 1) // 2)]
