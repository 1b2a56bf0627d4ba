"""The calibration runs episodes in either mode, on seeds that nothing was tuned on, and tells what it measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.simulation.worlds.anchors import Figure
from adapters.simulation.worlds.measures import CASCADE
from adapters.simulation.worlds.report import rows_of
from adapters.simulation.worlds.seeds import Split, split_of
from adapters.simulation.worlds.variants import WORLDS
from benchmarks._calibration_episodes import Done, Mode, Task, run_task, tasks_of
from benchmarks.simulator_calibration import anchor_results, cascade_results, pooled, world_table

TASK = Task(
    world="volatility",
    scenario="minute",
    seed=5,
    mode=Mode.ORDER,
    symbols=("WIFUSDT",),
    venues=("binanceusdm",),
)


@pytest.mark.parametrize("mode", Mode)
def test_an_episode_is_run_and_measured(mode: Mode) -> None:
    done = run_task(replace(TASK, mode=mode))
    assert done.events > 0
    assert 0.0 < done.figures[Figure.FALL_SMALL] < 0.6
    assert done.figures[Figure.LIQUIDATIONS_MINUTE] > 0
    assert done.simulated_s == pytest.approx(70.0, abs=3.0)


def test_worlds_take_turns_and_every_episode_has_a_seed_of_its_own() -> None:
    tasks = tasks_of("fall", 14, Mode.COARSE, Split.VALIDATION, first=3)
    assert [task.world for task in tasks[: len(WORLDS)]] == list(WORLDS)
    assert len({task.seed for task in tasks}) == 14
    assert {split_of(task.seed) for task in tasks} == {Split.VALIDATION}


def test_results_say_what_is_inside_the_quartiles() -> None:
    falls = [0.12, 0.13, 0.15, 0.16]
    runs = [Done(TASK, {Figure.FALL_BTC: fall, Figure.OVERSHOOT_MAX: fall - 0.1}) for fall in falls]
    results = {one.case: one for one in anchor_results(rows_of([run.figures for run in runs]))}
    btc = results["october-2025 fall_btc"]
    assert btc.value == pytest.approx(0.14)
    assert (btc.met, btc.baselines["seeds"]) == (True, 4.0)
    assert results.keys() == {"october-2025 fall_btc"}
    counted = cascade_results({"fall": runs})[0]
    assert counted.baselines["mean"] == pytest.approx(sum(fall - 0.1 >= CASCADE for fall in falls) / 4)
    assert world_table(runs).row_count == len(WORLDS)
    assert pooled(runs).returns == []
