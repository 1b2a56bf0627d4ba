"""Holds artefacts of the outlook against each other on episodes that none of them was fitted on.

``python -m benchmarks._fit_check guard/artefacts/outlook-1.json NEW.json [--per-world 20] [--samples NAME]``

Each is asked as the program asks it, and tells as it was fitted, of the validation episodes that are made. Differences
of the last artefact to the first have intervals by a bootstrap of whole episodes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.simulation.worlds.seeds import Split
from adapters.simulation.worlds.variants import WORLDS
from benchmarks import _fit_heads as heads
from benchmarks._fit_forms import interval
from benchmarks._fit_samples import MOMENT, Samples, collect
from benchmarks._fit_scores import auc, of_chances, of_reach
from benchmarks._skill_episodes import available, skill_tasks
from guard.forecasts import MOVES
from guard.hazard.artefact import Expert
from guard.hazard.experts import CELLS, VULNERABLE_AT, Experts
from guard.hazard.features import GRADED, HAZARD_HORIZONS_S, REACH_DISTANCES, Features
from guard.models import load_experts

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

REACH = len(REACH_DISTANCES)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that came or did not, of some rows of samples: where it is told, and what counts how much."""

    name: str
    cell: int
    rows: Rows
    truth: Floats
    weights: Floats


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks._fit_check")
    parser.add_argument("artefacts", type=Path, nargs="+")
    parser.add_argument("--per-world", type=int, default=20, metavar="N")
    parser.add_argument(
        "--split", type=Split, choices=(Split.VALIDATION, Split.TRAIN), default=Split.VALIDATION
    )
    parser.add_argument("--processes", type=int, default=1, metavar="N")
    parser.add_argument("--samples", metavar="NAME", help="take kept samples of this name")
    given = parser.parse_args(arguments)
    tasks = available(skill_tasks(given.split, given.per_world))
    samples = collect(tasks, processes=given.processes, name=given.samples)
    episodes = len(set(samples.meta[:, 1].tolist()))
    sys.stdout.write(f"{episodes} episodes of {given.split}\n")
    events = events_of(samples)
    asked = np.unique(np.concatenate([event.rows for event in events]))
    told = {path: told_of(load_experts(path), samples, asked) for path in given.artefacts}
    sys.stdout.write("\n".join(tables(samples, told)) + "\n")
    return 0


def tables(samples: Samples, told: dict[Path, Floats]) -> list[str]:
    """Say what each artefact told, as Markdown."""
    return [*_of_reach(samples, told), *_of_events(samples, events_of(samples), told)]


def told_of(experts: Experts, samples: Samples, rows: Rows) -> Floats:
    """What the full expert says as fitted, ``(N, CELLS)``; rows that are not asked are NaN."""
    place = np.cumsum(samples.meta[:, 4] != MOMENT) - 1
    nothing = np.full((REACH, len(GRADED)), np.nan)
    full = experts.names.index(Expert.FULL)
    told = np.full((len(samples.meta), CELLS), np.nan)
    for row in rows.tolist():
        hazard = samples.hazard[row].astype(np.float64)
        if samples.meta[row, 4] == MOMENT:
            reach = nothing.copy()
            reach[VULNERABLE_AT] = heads.at_distance(hazard[None])[0, 0]
        else:
            reach = samples.reach[place[row]].astype(np.float64)
        given = Features(samples.values[row].astype(np.float64), reach, hazard, has_map=True)
        told[row] = experts.estimate((given,))[0].fitted[full]
    return told


def events_of(samples: Samples) -> list[Event]:
    """What is held against what came."""
    reach, hazard = heads.reach_task(samples), heads.hazard_task(samples)
    onsets = heads.is_onset(samples, reach.rows)
    found = [
        Event(
            "reach of 5 %",
            VULNERABLE_AT,
            reach.rows[onsets],
            reach.truth[onsets, VULNERABLE_AT],
            np.ones(int(onsets.sum())),
        )
    ]
    for horizon, move in ((300, 0.02), (300, 0.05), (900, 0.05), (2700, 0.05), (3600, 0.02)):
        cell = HAZARD_HORIZONS_S.index(horizon) * len(MOVES) + MOVES.index(move)
        found.append(_event(f"{move * 100:g} % in {horizon / 60:g} min", REACH + cell, hazard, cell))
    found.append(_event("shock in 15 min", CELLS - 1, heads.shock_task(samples), 0))
    found.append(_event("vulnerability", CELLS - 2, heads.vulnerability_task(samples), 0))
    return found


def _event(name: str, cell: int, task: heads.Task, column: int) -> Event:
    known = ~np.isnan(task.truth[:, column])
    return Event(name, cell, task.rows[known], task.truth[known, column], task.weights[known])


def _of_reach(samples: Samples, told: dict[Path, Floats]) -> list[str]:
    task = heads.reach_task(samples)
    worlds = heads.worlds_of(samples, task.rows)
    onsets = heads.is_onset(samples, task.rows)
    lines = []
    for where in (-1, *heads.left_out(worlds)):
        here = onsets if where < 0 else onsets & (worlds == where)
        found = {
            path: of_reach(
                each[task.rows][here, :REACH],
                samples.reached[task.rows][here].astype(np.float64),
                task.truth[here],
            )
            for path, each in told.items()
        }
        measures = list(next(iter(found.values())))
        lines += ["", f"reach, {'all' if where < 0 else tuple(WORLDS)[where]}", ""]
        lines += ["| artefact | " + " | ".join(measures) + " |", "|---" * (len(measures) + 1) + "|"]
        lines += [
            f"| {path.name} | " + " | ".join(f"{each[name]:g}" for name in measures) + " |"
            for path, each in found.items()
        ]
    return lines


def _of_events(samples: Samples, events: Sequence[Event], told: dict[Path, Floats]) -> list[str]:
    columns = (
        "event, artefact, cases, base, AUC, Brier skill, reliability, more AUC, more skill, skill by world"
    )
    lines = ["", f"| {columns.replace(', ', ' | ')} |"]
    lines.append("|---" * 10 + "|")
    first, last = next(iter(told)), list(told)[-1]
    for event in events:
        worlds, episodes = heads.worlds_of(samples, event.rows), samples.meta[event.rows, 1]
        for path, each in told.items():
            found = of_chances(each[event.rows, event.cell], event.truth, event.weights)
            more = ""
            if path == last and len(told) > 1:
                low, high = interval(
                    _more(event, told[first], told[last]), np.arange(len(event.rows)), episodes
                )
                more = f"{low[0]:+.3f}..{high[0]:+.3f} | {low[1]:+.3f}..{high[1]:+.3f}"
            by_world = " ".join(
                f"{_skill(event, each, worlds == world):.3f}" for world in heads.left_out(worlds)
            )
            lines.append(
                f"| {event.name} | {path.name} | {found['samples']:g} | {found['base']:g} | {found['auc']:g} "
                f"| {found['brier_skill']:g} | {found['reliability_error']:g} | {more or ' | '} | {by_world} |"
            )
    return lines


def _skill(event: Event, told: Floats, rows: NDArray[np.bool_]) -> float:
    return of_chances(told[event.rows[rows], event.cell], event.truth[rows], event.weights[rows])[
        "brier_skill"
    ]


def _more(event: Event, former: Floats, told: Floats) -> Callable[[Rows], tuple[float, float]]:
    before, after = former[event.rows, event.cell], told[event.rows, event.cell]
    base = float(np.average(event.truth, weights=event.weights))
    gained = ((before - event.truth) ** 2 - (after - event.truth) ** 2) / (base * (1.0 - base))

    def more(at: Rows) -> tuple[float, float]:
        return (
            auc(after[at], event.truth[at]) - auc(before[at], event.truth[at]),
            float(np.average(gained[at], weights=event.weights[at])),
        )

    return more


if __name__ == "__main__":
    sys.exit(main())
