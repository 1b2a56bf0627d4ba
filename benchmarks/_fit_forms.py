"""Holds other forms against the linear one for P(reach >= 5 %) at onsets: trees, both together, a forest.

``python -m benchmarks._fit_forms [--per-world 20] [--samples NAME]``

All are fitted without one world and judged on it, on the same training rows and weights. Differences to the linear one
have intervals by a bootstrap of whole episodes. The forest needs scikit-learn, which the project does not; without
it that row is left out and said so.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from adapters.simulation.worlds.seeds import Split
from adapters.simulation.worlds.variants import WORLDS
from benchmarks import _fit_choice as choice
from benchmarks import _fit_heads as heads
from benchmarks._fit_cells import Problem, fit
from benchmarks._fit_forest import AT, PLANS, tree_inputs
from benchmarks._fit_samples import Samples, collect
from benchmarks._fit_scores import auc
from benchmarks._fit_trees import Growth, grow
from benchmarks._skill_episodes import available, skill_tasks
from guard.hazard.artefact import Expert

Floats = NDArray[np.float64]
Chosen = NDArray[np.bool_]

RESAMPLES = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit each form without each world, and tell the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks._fit_forms")
    parser.add_argument("--per-world", type=int, default=20, metavar="N")
    parser.add_argument("--samples", metavar="NAME", help="take kept samples of this name")
    given = parser.parse_args(arguments)
    samples = collect(available(skill_tasks(Split.TRAIN, given.per_world)), name=given.samples)
    task = heads.reach_task(samples)
    told = _forms(samples, task)
    worlds, rows = heads.worlds_of(samples, task.rows), heads.is_onset(samples, task.rows)
    episodes, truth = samples.meta[task.rows, 1], task.truth[:, AT]
    chances = {name: _stretched(logits, truth, task.weights, worlds) for name, logits in told.items()}
    lines = [
        f"P(reach >= 5 %) at {int(rows.sum())} onsets, each world unseen",
        "",
        "| form | AUC | Brier skill | more AUC | more skill | AUC " + " | AUC ".join(WORLDS) + " |",
        "|---" * (5 + len(WORLDS)) + "|",
    ]
    base = float(truth[rows].mean())
    for name, logits in told.items():
        missed = (chances[name] - truth) ** 2 / (base * (1.0 - base))
        former = (chances["linear"] - truth) ** 2 / (base * (1.0 - base))

        def more(
            at: NDArray[np.int64], logits: Floats = logits, gained: Floats = former - missed
        ) -> tuple[float, float]:
            return auc(logits[at], truth[at]) - auc(told["linear"][at], truth[at]), float(gained[at].mean())

        low, high = interval(more, np.flatnonzero(rows), episodes)
        by_world = [
            auc(logits[rows & (worlds == at)], truth[rows & (worlds == at)]) for at in range(len(WORLDS))
        ]
        lines.append(
            f"| {name} | {auc(logits[rows], truth[rows]):.3f} | {1.0 - missed[rows].mean():.3f} "
            f"| {low[0]:+.3f}..{high[0]:+.3f} | {low[1]:+.3f}..{high[1]:+.3f} | "
            + " | ".join(f"{each:.3f}" for each in by_world)
            + " |"
        )
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _forms(samples: Samples, task: heads.Task) -> dict[str, Floats]:
    """Log-odds of each row by each form, fitted without its world."""
    worlds = heads.worlds_of(samples, task.rows)
    given = heads.inputs_of(samples, task, heads.Standard.of(samples), choice.REACH[Expert.FULL])
    values, signs = tree_inputs(samples, task, PLANS["reach"][0])
    truth, weights = task.truth[:, AT], task.weights

    def linear(seen: Chosen) -> Floats:
        return heads.fit_head(task, given, seen).logits(given.common[~seen], given.graded[~seen])[:, AT]

    def trees(seen: Chosen) -> Floats:
        return grow(values[seen], truth[seen], weights[seen], signs, Growth()).scores(values[~seen])

    told = {"linear": _unseen(linear, worlds), "trees": _unseen(trees, worlds)}
    told["linear and trees"] = (told["linear"] + told["trees"]) / 2.0
    if importlib.util.find_spec("sklearn") is None:
        sys.stderr.write("no forest is told: scikit-learn is not installed\n")
        return told
    ensemble = importlib.import_module("sklearn.ensemble")

    def forest(seen: Chosen) -> Floats:
        model = ensemble.RandomForestClassifier(250, min_samples_leaf=25, max_features=0.25, random_state=0)
        usual = np.nanmedian(values[seen], axis=0)
        filled = np.where(np.isnan(values), usual, values)
        model.fit(filled[seen], truth[seen], sample_weight=weights[seen])
        chance = np.clip(model.predict_proba(filled[~seen])[:, 1], 1e-4, 1.0 - 1e-4)
        found: Floats = np.log(chance / (1.0 - chance))
        return found

    told["forest"] = _unseen(forest, worlds)
    return told


def _unseen(form: Callable[[Chosen], Floats], worlds: NDArray[np.int64]) -> Floats:
    told = np.zeros(len(worlds))
    for left in heads.left_out(worlds):
        told[worlds == left] = form(worlds != left)
    return told


def _stretched(logits: Floats, truth: Floats, weights: Floats, worlds: NDArray[np.int64]) -> Floats:
    """Probabilities: one slope and one shift, of each world by what was told of the others."""
    told = np.zeros(len(logits))
    for left in heads.left_out(worlds):
        others = worlds != left
        model = fit(
            Problem(
                common=logits[others, None],
                graded=np.zeros((int(others.sum()), 1, 0)),
                truth=truth[others, None],
                weights=weights[others],
                basis=np.ones((1, 1)),
                penalty=np.array([1e-3]),
                signs=np.array([1.0]),
            )
        )
        stretched = logits[~others] * model.weights[0, 0] + model.intercept[0]
        told[~others] = 1.0 / (1.0 + np.exp(-stretched))
    return told


def interval(
    measure: Callable[[NDArray[np.int64]], tuple[float, float]],
    rows: NDArray[np.int64],
    episodes: NDArray[np.int64],
) -> tuple[Floats, Floats]:
    """95 % of what a bootstrap of whole episodes says."""
    drawn = np.random.default_rng(0)
    of = {each: rows[episodes[rows] == each] for each in sorted(set(episodes[rows].tolist()))}
    names = list(of)
    told = [
        measure(np.concatenate([of[names[at]] for at in drawn.integers(len(names), size=len(names))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(np.array(told), (0.025, 0.975), axis=0)
    return low, high


if __name__ == "__main__":
    sys.exit(main())
