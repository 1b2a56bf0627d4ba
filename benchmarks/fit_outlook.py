"""Fits the experts of reach and hazard on training episodes, and writes the artefact and how it did, world by world.

``python -m benchmarks.fit_outlook [--per-world 15] [--processes 1] [--report outlook.json] [--out PATH]``

Each expert is fitted six times without one world and judged on that; a slope and a shift by what came of that are put
into the model that is fitted on all of them. No validation or test seed is looked at: ``benchmarks._fit_check`` holds
artefacts against each other on the former. The same episodes and the same code give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.simulation.worlds.seeds import Split
from adapters.simulation.worlds.tag import tag
from adapters.simulation.worlds.variants import WORLDS
from benchmarks import _fit_forest as forest
from benchmarks import _fit_heads as heads
from benchmarks._fit_cells import Fitted
from benchmarks._fit_samples import MOMENT, Samples, collect, digest_of_code
from benchmarks._fit_scores import of_chances, of_reach
from benchmarks._skill_episodes import available, skill_tasks
from guard.forecasts import MOVES
from guard.hazard.artefact import FORMAT, Expert, FittedOn, Forest, Head, Heads, Outlook
from guard.hazard.features import HAZARD_HORIZONS_S, NAMES, REACH_DISTANCES

Floats = NDArray[np.float64]

OUT = Path(__file__).parent.parent / "guard" / "artefacts" / "outlook-1.json"
WEIGHTS = {Expert.OI_DEPTH: 0.1, Expert.FLOW: 0.3, Expert.FULL: 0.6}
MIXTURE = (
    "episodes of the released worlds: of ten, four as on 10 October 2025, two falls, two squeezes, one failing venue, "
    "one calm"
)
LONGEST_FIRST = ("hazard", "shock", "reach", "vulnerability")
_SHARED: list[tuple[Samples, heads.Standard]] = []
"""What processes that were forked are to fit on."""
LINE = "full, line alone"
"""What the full expert says without its trees."""
TOLD = ((900, 0.05), (2700, 0.05), (3600, 0.02))


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, report, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit_outlook")
    parser.add_argument(
        "--per-world", type=int, default=15, metavar="N", help="training episodes of each world"
    )
    parser.add_argument("--processes", type=int, default=1, metavar="N")
    parser.add_argument(
        "--samples", metavar="NAME", help="take kept samples of this name, not those of the code of now"
    )
    parser.add_argument("--report", type=Path, metavar="PATH", help="write what was measured there, as JSON")
    parser.add_argument("--out", type=Path, default=OUT, metavar="PATH")
    given = parser.parse_args(arguments)
    tasks = available(skill_tasks(Split.TRAIN, given.per_world))
    samples = collect(tasks, processes=given.processes, name=given.samples)
    episodes = len(set(samples.meta[:, 1].tolist()))
    document, report = fitted(samples, tasks_of=episodes, processes=given.processes)
    given.out.write_text(written(document))
    if given.report is not None:
        given.report.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write(table(report))
    return 0


@dataclass(slots=True)
class Kind:
    """What was fitted of all experts for one kind of head, and how it did."""

    heads: dict[Expert, Head] = field(default_factory=dict)
    trees: list[Forest] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)


def fitted(samples: Samples, *, tasks_of: int, processes: int = 1) -> tuple[Outlook, dict[str, Any]]:
    """Fit all heads of all experts; the document, and what was measured."""
    standard = heads.Standard.of(samples)
    kinds = [kind for kind, *_ in heads.TASKS]
    _SHARED[:] = [(samples, standard)]
    if processes > 1:
        with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
            parts = dict(zip(LONGEST_FIRST, pool.map(_fit_kind, LONGEST_FIRST), strict=True))
    else:
        parts = {kind: _fit_kind(kind) for kind in kinds}
    made = {expert: {kind: parts[kind].heads[expert] for kind in kinds} for expert in Expert}
    report: dict[str, Any] = {kind: parts[kind].found for kind in kinds}
    trees = [each for kind in kinds for each in parts[kind].trees]
    document = Outlook(
        format=FORMAT,
        name="outlook",
        fitted_on=FittedOn(
            tag=tag(),
            split=str(Split.TRAIN),
            worlds=tuple(WORLDS),
            per_world=tasks_of // len(WORLDS),
            onsets=int(np.sum(samples.meta[:, 4] == 1)),
            moments=int(np.sum(samples.meta[:, 4] == MOMENT)),
            mixture=MIXTURE,
            report=hashlib.sha256(json.dumps(report, sort_keys=True).encode()).hexdigest()[:16],
        ),
        reach_distances=REACH_DISTANCES,
        horizons_s=HAZARD_HORIZONS_S,
        moves=MOVES,
        features=standard.features,
        graded=standard.graded,
        experts={str(expert): Heads(**made[expert]) for expert in Expert},
        weights={str(expert): weight for expert, weight in WEIGHTS.items()},
        shocks_per_h=_shocks_per_h(samples),
        trees=tuple(trees),
        **_calm(samples, standard, made[Expert.FULL], trees),
    )
    report["fitted_on"] = {
        **msgspec.to_builtins(document.fitted_on),
        "code": digest_of_code(),
        "episodes": tasks_of,
    }
    return document, report


def _fit_kind(kind: str) -> Kind:
    """Fit the heads of one kind on what is shared."""
    ((samples, standard),) = _SHARED
    task_of, choices = next(each[1:] for each in heads.TASKS if each[0] == kind)
    task, part = task_of(samples), Kind()
    for expert in Expert:
        inputs = heads.inputs_of(samples, task, standard, choices[expert])
        unseen = _left_out(samples, task, inputs)
        whole = heads.fit_head(task, inputs, np.ones(len(task.rows), dtype=np.bool_))
        blocks: list[tuple[int, int]] = []
        if has_trees := forest.has_trees(kind, expert):
            alone, slopes = heads.recalibrated(whole, unseen, task)
            part.found[LINE] = _measured(kind, samples, task, _stretched(unseen, whole, alone, slopes))
            unseen = _bent(kind, samples, task, unseen)
            blocks = [(plan.first, plan.end) for plan in forest.PLANS[kind]]
        stretched, slopes = heads.recalibrated(whole, unseen, task, blocks)
        part.heads[expert] = heads.head_of(stretched, inputs)
        part.found[str(expert)] = _measured(kind, samples, task, _stretched(unseen, whole, stretched, slopes))
        if has_trees:
            shifts = stretched.intercept - slopes * whole.intercept
            part.trees = forest.forests_of(kind, samples, task, slopes, shifts, forest.PLANS[kind])
        sys.stderr.write(f"{kind} {expert} fitted\n")
    if kind == "reach":
        part.found["oracle"] = _oracle(samples, task, standard, choices[Expert.FULL])
    return part


def _left_out(samples: Samples, task: heads.Task, inputs: heads.Inputs) -> Floats:
    """Log-odds of each row by the model that was fitted without its world."""
    worlds = heads.worlds_of(samples, task.rows)
    told = np.zeros(task.truth.shape)
    for left in heads.folds(worlds, task.truth.shape[1]):
        out = np.isin(worlds, left)
        model = heads.fit_head(task, inputs, ~out)
        told[out] = model.logits(inputs.common[out], inputs.graded[out])
    return told


def _bent(kind: str, samples: Samples, task: heads.Task, line: Floats, *, oracle: bool = False) -> Floats:
    """What is told of unseen worlds by line and trees."""
    told = line.copy()
    for plan in forest.PLANS.get(kind, ()):
        scores = forest.unseen_scores(samples, task, plan, oracle=oracle)
        told[:, plan.first : plan.end] = forest.bent(line, scores, plan)[:, plan.first : plan.end]
    return told


def _stretched(unseen: Floats, whole: Fitted, stretched: Fitted, slopes: Floats) -> Floats:
    """What is told of unseen worlds once it is stretched and shifted as the model is."""
    return heads.in_order(
        1.0 / (1.0 + np.exp(-(unseen * slopes + stretched.intercept - whole.intercept * slopes)))
    )


def _oracle(samples: Samples, task: heads.Task, standard: heads.Standard, chosen: Any) -> dict[str, Any]:
    """The full expert with the true map in place of the estimated one, fitted on it."""
    inputs = heads.inputs_of(samples, task, standard, chosen, oracle=True)
    unseen = _bent("reach", samples, task, _left_out(samples, task, inputs), oracle=True)
    flat = Fitted(np.zeros(len(unseen[0])), np.ones((len(unseen[0]), 1)))
    told = _stretched(unseen, flat, *heads.recalibrated(flat, unseen, task))
    return _measured("reach", samples, task, told)


def _measured(kind: str, samples: Samples, task: heads.Task, told: Floats) -> dict[str, Any]:
    worlds = heads.worlds_of(samples, task.rows)
    if kind == "reach":
        rows = heads.is_onset(samples, task.rows)
        reached = samples.reached[task.rows].astype(np.float64)
        found: dict[str, Any] = {"all": of_reach(told[rows], reached[rows], task.truth[rows])}
        for world in heads.left_out(worlds):
            here = rows & (worlds == world)
            found[tuple(WORLDS)[world]] = of_reach(told[here], reached[here], task.truth[here])
        return found
    cells = {"": 0}
    if kind == "hazard":
        cells = {
            f"{move:g} in {horizon}": HAZARD_HORIZONS_S.index(horizon) * len(MOVES) + MOVES.index(move)
            for horizon, move in TOLD
        }
    found = {}
    for name, cell in cells.items():
        known = ~np.isnan(task.truth[:, cell])
        for world in (-1, *heads.left_out(worlds)):
            here = known if world < 0 else known & (worlds == world)
            where = f"{name} {'all' if world < 0 else tuple(WORLDS)[world]}".strip()
            found[where] = of_chances(told[here, cell], task.truth[here, cell], task.weights[here])
    return found


def _shocks_per_h(samples: Samples) -> float:
    """Onsets in either direction a quiet market-hour, as the program counts them."""
    moments = samples.meta[:, 4] == MOMENT
    down = samples.meta[:, 3] == 0
    quiet = (samples.values[:, NAMES.index("is_onset")] == 0) & (
        samples.values[:, NAMES.index("is_other_onset")] == 0
    )
    hours = float(np.sum(moments & down & quiet)) / 60.0
    first = (samples.meta[:, 4] == 1) & (samples.values[:, NAMES.index("is_other_onset")] == 0)
    return round(float(np.sum(first)) / max(hours, 1.0), 4)


def _calm(
    samples: Samples, standard: heads.Standard, full: dict[str, Head], trees: list[Forest]
) -> dict[str, Any]:
    """What the full expert tells on the mean in calm episodes: what it is in life is held against this.

    Calm are episodes in which nothing fell or rose by 10 % within an hour; nothing where there are none.
    """
    wild = (np.nan_to_num(samples.gone) >= 0.10).any(axis=1)
    calm = ~np.isin(samples.meta[:, 1], np.unique(samples.meta[wild, 1]))
    found = {}
    for kind, name in (("hazard", "calm_hazard"), ("shock", "calm_shock")):
        task_of, choices = next(each[1:] for each in heads.TASKS if each[0] == kind)
        task = task_of(samples)
        rows = calm[task.rows]
        if not rows.any():
            return {}
        inputs = heads.inputs_of(samples, task, standard, choices[Expert.FULL])
        line = heads.logits_of(full[kind], inputs)
        beside = [each for each in trees if each.head == kind]
        told = forest.told_beside(samples, task, line, beside, forest.PLANS.get(kind, ()))
        told = heads.in_order(1.0 / (1.0 + np.exp(-told)))[rows]
        mean = np.average(told, axis=0, weights=task.weights[rows])
        found[name] = tuple(round(float(each), 5) for each in mean)
    return {"calm_hazard": found["calm_hazard"], "calm_shock": found["calm_shock"][0]}


def written(document: Outlook) -> str:
    """Write a document down: indented, with each row of numbers on a line."""
    indented = msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
    rows = re.compile(r"\[\s+([^\[\]{}]*?)\s+\]")
    return rows.sub(lambda found: "[" + " ".join(found.group(1).split()) + "]", indented) + "\n"


def table(report: dict[str, Any]) -> str:
    """Say the report as Markdown."""
    lines = []
    for kind, experts in report.items():
        if kind == "fitted_on":
            continue
        for where in next(iter(experts.values())):
            lines += [f"\n{kind} {where}".rstrip(), ""]
            measures = list(next(iter(experts.values()))[where])
            lines += ["| expert | " + " | ".join(measures) + " |", "|---" * (len(measures) + 1) + "|"]
            lines += [
                f"| {name} | " + " | ".join(f"{found[where][each]:g}" for each in measures) + " |"
                for name, found in experts.items()
                if where in found
            ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
