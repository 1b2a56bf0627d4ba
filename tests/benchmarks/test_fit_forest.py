"""Trees beside a line: the program says what was fitted, blocks are stretched apart."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from benchmarks import _fit_forest as forest
from benchmarks import _fit_heads as heads
from benchmarks._fit_cells import Fitted
from benchmarks._fit_check import events_of, tables, told_of
from benchmarks._fit_samples import MOMENT, ONSET, Samples
from benchmarks._fit_trees import Growth
from guard.forecasts import MOVES
from guard.hazard.experts import Experts
from guard.hazard.features import GRADED, HAZARD_HORIZONS_S, NAMES, REACH_DISTANCES, STRUCTURE_FEATURES
from tests.guard.hazard.forecasting import document

ROWS, EPISODES = 480, 12


def drawn() -> Samples:
    """Half moments, half onsets, of six worlds; what goes on is told by how strong a flow is, not by a line."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(ROWS, len(NAMES))).astype(np.float32)
    far = np.abs(values[:, NAMES.index("net_1m")]) > 0.7
    reached = np.where(far, rng.uniform(0.04, 0.2, ROWS), rng.uniform(0.0, 0.06, ROWS)).astype(np.float32)
    episode = np.arange(ROWS) % EPISODES
    kind = np.where(np.arange(ROWS) < ROWS // 2, MOMENT, ONSET)
    cells = len(HAZARD_HORIZONS_S) * len(MOVES)
    graded = rng.normal(size=(ROWS, cells, len(GRADED))).astype(np.float32)
    reach = rng.normal(size=(ROWS // 2, len(REACH_DISTANCES), len(GRADED))).astype(np.float32)
    return Samples(
        values=values,
        oracle=values[:, -len(STRUCTURE_FEATURES) :],
        reach=reach,
        reach_oracle=reach,
        hazard=graded,
        hazard_oracle=graded,
        gone=np.outer(reached, (0.3, 0.5, 0.9, 1.0)).astype(np.float32),
        reached=reached,
        shock=(reached > 0.03).astype(np.float32),
        next_reach=np.where(reached > 0.03, reached, np.nan).astype(np.float32),
        has_map=np.ones(ROWS, np.bool_),
        meta=np.stack(
            (episode % 6, episode, np.zeros(ROWS), np.zeros(ROWS), kind, np.arange(ROWS) * 60 * EPISODES),
            axis=1,
        ).astype(np.int64),
    )


def few(kind: str) -> list[forest.Plan]:
    """As the artefact's, with a tenth of the trees."""
    growth = Growth(trees=12, depth=3, rate=0.3, ridge=5.0, share=0.5)
    return [dataclasses.replace(plan, growth=growth) for plan in forest.PLANS[kind]]


def test_the_program_says_of_line_and_trees_what_was_fitted() -> None:
    """Written down, read again and asked, for the reach and both parts of the hazard."""
    samples = drawn()
    plain = Experts.of(document())
    for kind, first in (("reach", 0), ("hazard", len(REACH_DISTANCES))):
        task = next(task_of for name, task_of, _ in heads.TASKS if name == kind)(samples)
        cells = task.truth.shape[1]
        plans = few(kind)
        trees = forest.forests_of(kind, samples, task, np.full(cells, 1.1), np.full(cells, 0.2), plans)
        written = msgspec.json.decode(
            msgspec.json.encode(replace(document(), trees=tuple(trees))), type=type(document())
        )
        before, after = (
            told_of(each, samples, task.rows)[task.rows, first : first + cells]
            for each in (plain, Experts.of(written))
        )
        line = np.log(before / (1.0 - before))
        expected = heads.in_order(
            1.0 / (1.0 + np.exp(-forest.told_beside(samples, task, line, trees, plans)))
        )
        assert after == pytest.approx(expected, abs=1e-9)
        assert np.abs(after - before).max() > 0.05


def test_trees_of_worlds_that_were_not_seen_find_what_no_line_does() -> None:
    samples = drawn()
    task = heads.reach_task(samples)
    plan = few("reach")[0]
    scores = forest.unseen_scores(samples, task, plan)
    truth = task.truth[:, plan.asked] > 0.5
    assert np.median(scores[truth]) > np.median(scores[~truth]) + 0.5


def test_each_block_of_cells_has_a_slope_of_its_own() -> None:
    """Log-odds that were told too flat in one of two are stretched there."""
    rng = np.random.default_rng(8)
    true = rng.normal(0.0, 2.0, size=(20_000, 2))
    task = heads.Task(
        rows=np.arange(20_000),
        truth=(rng.random(true.shape) < 1.0 / (1.0 + np.exp(-true))).astype(np.float64),
        weights=np.ones(20_000),
        basis=np.ones((2, 1)),
        graded=lambda oracle: np.zeros((0, 2, 0)),
        ridge=1.0,
    )
    whole = Fitted(np.array([0.5, 0.5]), np.array([[1.0], [1.0]]))
    told = true * (1.0, 0.9)
    stretched, slopes = heads.recalibrated(whole, told, task, [(0, 1), (1, 2)])
    assert slopes == pytest.approx([1.0, 1.0 / 0.9], abs=0.04)
    assert stretched.weights[:, 0].tolist() == slopes.tolist()
    assert heads.recalibrated(whole, told, task)[1] == pytest.approx([1.05, 1.05], abs=0.04)


def test_artefacts_are_held_against_each_other_on_the_same_rows() -> None:
    """One against itself gains nothing; every event has its line for each."""
    samples = drawn()
    events = events_of(samples)
    asked = np.unique(np.concatenate([event.rows for event in events]))
    told = told_of(Experts.of(document()), samples, asked)
    lines = tables(samples, {Path("a.json"): told, Path("b.json"): told.copy()})
    for event in events:
        assert sum(line.startswith(f"| {event.name} | b.json ") for line in lines) == 1
        assert any(
            line.startswith(f"| {event.name} | b.json ") and "+0.000..+0.000" in line for line in lines
        )
    assert sum(line == "reach, stops" for line in lines) == 1
