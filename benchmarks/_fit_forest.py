"""Trees that are asked beside the lines of the full expert: grown from samples, and written down for the artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks import _fit_choice as choice
from benchmarks import _fit_heads as heads
from benchmarks._fit_samples import Samples
from benchmarks._fit_trees import Grown, Growth, grow
from guard.calibration.trees import Trees
from guard.forecasts import MOVES
from guard.hazard.artefact import Expert, Forest
from guard.hazard.features import (
    GRADED,
    HAZARD_HORIZONS_S,
    NAMES,
    REACH_DISTANCES,
    STRUCTURE_FEATURES,
)

Floats = NDArray[np.float64]
Chosen = NDArray[np.bool_]

AT = REACH_DISTANCES.index(0.05)
TREE_NAMES = tuple(name for name in NAMES if name != "longs_share")
"""Of what trees are given, before ``GRADED``. Some venues tell the share of longs and some do not."""
SHARE = 0.5
"""Of what trees see more, so much counts."""
DIGITS = 6
"""Of numbers as they are written down; cuts are drawn so."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Trees of one head: grown for the cell ``asked``, they move those from ``first`` until ``end``."""

    asked: int
    first: int
    end: int
    names: tuple[str, ...] = TREE_NAMES
    growth: Growth = field(default_factory=Growth)


def _hazard(horizon_s: int, move: float) -> int:
    return HAZARD_HORIZONS_S.index(horizon_s) * len(MOVES) + MOVES.index(move)


# There are fifty times as many moments as onsets, and neighbours say the same.
_OF_MOMENTS = Growth(trees=100, ridge=100.0, least=20.0)

PLANS: Mapping[str, tuple[Plan, ...]] = {
    "reach": (Plan(AT, 0, len(REACH_DISTANCES)),),
    "hazard": (
        Plan(_hazard(900, 0.05), 0, _hazard(2700, 0.02), growth=_OF_MOMENTS),
        Plan(
            _hazard(2700, 0.05),
            _hazard(2700, 0.02),
            len(HAZARD_HORIZONS_S) * len(MOVES),
            growth=_OF_MOMENTS,
        ),
    ),
    "shock": (Plan(0, 0, 1, growth=_OF_MOMENTS),),
    # Nothing of what moves now may count in it.
    "vulnerability": (Plan(0, 0, 1, choice.VULNERABILITY[Expert.FULL][0], Growth(trees=60, depth=3)),),
}
"""By head."""


def tree_inputs(
    samples: Samples, task: heads.Task, plan: Plan, *, oracle: bool = False
) -> tuple[Floats, NDArray[np.int64]]:
    """What trees are given of the task's rows, ``(N, plan.names + GRADED)``, and the signs of these columns."""
    values = samples.values[task.rows].astype(np.float64)
    if oracle:
        values[:, -len(STRUCTURE_FEATURES) :] = samples.oracle[task.rows]
    values = values[:, [NAMES.index(name) for name in plan.names]]
    signs = np.array([choice.sign_of(name) for name in (*plan.names, *GRADED)], np.int64)
    return np.concatenate((values, task.graded(oracle)[:, plan.asked]), axis=1), signs


def grown_on(values: Floats, signs: NDArray[np.int64], task: heads.Task, plan: Plan, seen: Chosen) -> Grown:
    """Trees of those rows that were seen and of which is known what came."""
    truth = task.truth[:, plan.asked]
    rows = seen & ~np.isnan(truth)
    return grow(values[rows], truth[rows], task.weights[rows], signs, plan.growth)


def unseen_scores(samples: Samples, task: heads.Task, plan: Plan, *, oracle: bool = False) -> Floats:
    """Log-odds of each row by trees that were grown without its world."""
    values, signs = tree_inputs(samples, task, plan, oracle=oracle)
    worlds = heads.worlds_of(samples, task.rows)
    told = np.zeros(len(worlds))
    for left in heads.folds(worlds, task.truth.shape[1]):
        out = np.isin(worlds, left)
        told[out] = grown_on(values, signs, task, plan, ~out).scores(values[out])
    return told


def bent(logits: Floats, scores: Floats, plan: Plan) -> Floats:
    """Log-odds ``(N, J)`` of the line, moved by what trees see more; as ``guard.calibration.trees.Beside``."""
    moved = logits.copy()
    moved[:, plan.first : plan.end] += SHARE * (scores - logits[:, plan.asked])[:, None]
    return moved


def forests_of(
    kind: str, samples: Samples, task: heads.Task, slopes: Floats, shifts: Floats, plans: Sequence[Plan]
) -> list[Forest]:
    """Trees of all rows as they are written down, stretched and shifted as the line beside them is."""
    found = []
    for plan in plans:
        values, signs = tree_inputs(samples, task, plan)
        grown = grown_on(values, signs, task, plan, np.ones(len(values), np.bool_))
        slope, shift = float(slopes[plan.asked]), float(shifts[plan.asked])
        found.append(
            Forest(
                head=kind,
                asked=plan.asked,
                moved=(plan.first, plan.end),
                share=SHARE,
                features=plan.names,
                graded=GRADED,
                bias=round(grown.bias * slope + shift, DIGITS),
                depth=grown.depth,
                columns=tuple(int(each) for part in grown.columns for each in part),
                cuts=tuple(round(float(each), DIGITS) for part in grown.cuts for each in part),
                unknown_left=tuple(bool(each) for part in grown.unknown_left for each in part),
                leaves=tuple(round(float(each) * slope, DIGITS) for part in grown.leaves for each in part),
            )
        )
    return found


def told_beside(
    samples: Samples, task: heads.Task, line: Floats, forests: Sequence[Forest], plans: Sequence[Plan]
) -> Floats:
    """Log-odds ``(N, J)`` of a line and the trees that are written down, as the program moves them."""
    told = line.copy()
    for plan, held in zip(plans, forests, strict=True):
        values, _ = tree_inputs(samples, task, plan)
        trees = Trees(held.bias, held.depth, held.columns, held.cuts, held.unknown_left, held.leaves)
        scores = np.array([trees.score(row) for row in values])
        told[:, plan.first : plan.end] = bent(line, scores, plan)[:, plan.first : plan.end]
    return told


def has_trees(kind: str, expert: Expert) -> bool:
    """Whether trees stand beside this line."""
    return expert is Expert.FULL and kind in PLANS
