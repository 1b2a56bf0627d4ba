"""The calibration runs episodes in either mode, on seeds that nothing was tuned on, and tells what it measured."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.worlds.anchors import Figure
from adapters.simulation.worlds.drawing import draw_episode
from adapters.simulation.worlds.measured_market import BIN_S
from adapters.simulation.worlds.measures import CASCADE
from adapters.simulation.worlds.report import rows_of
from adapters.simulation.worlds.seeds import Split, split_of
from adapters.simulation.worlds.variants import WORLDS
from benchmarks._calibration_episodes import (
    Done,
    Mode,
    Task,
    falls_of_value,
    run_task,
    tasks_of,
    unleveraged,
)
from benchmarks._calibration_leverage import (
    FALLS,
    add_rows,
    departure_results,
    departure_table,
    excess_table,
    leverage_results,
    pairs_of,
    without_leverage,
)
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


@pytest.mark.parametrize("mode", Mode)
def test_without_leverage_nobody_is_liquidated_and_value_is_told(mode: Mode) -> None:
    done = run_task(replace(TASK, mode=mode, is_leveraged=False))
    assert done.figures[Figure.LIQUIDATIONS_MINUTE] == 0
    assert done.of_value.keys() == {Figure.FALL_SMALL}
    assert 0.0 < done.of_value[Figure.FALL_SMALL] < 1.0
    assert run_task(replace(TASK, mode=mode)).of_value == {}


def test_value_falls_as_it_does_in_the_episode() -> None:
    episode = draw_episode("volatility", "minute", 5, symbols=("WIFUSDT",), venues=("binanceusdm",))
    assert unleveraged(episode).impulses == episode.impulses
    falls = falls_of_value(episode, Mode.ORDER)
    laboratory, values = Laboratory(episode), {}
    last = math.ceil(episode.duration_s / BIN_S) - 1
    while laboratory.now_ms < laboratory.duration_ms:
        laboratory.step()
        values[min(int(laboratory.now_ms / 1_000.0 / BIN_S), last)] = laboratory.values.value_price(0)
    assert episode.onset_s is not None
    onset = int(episode.onset_s / BIN_S)
    least = min(value for at, value in values.items() if at >= onset)
    assert falls == {Figure.FALL_SMALL: pytest.approx(1.0 - least / values[onset])}
    # The coarse path has the same news and other noise.
    assert falls[Figure.FALL_SMALL] == pytest.approx(
        falls_of_value(episode, Mode.COARSE)[Figure.FALL_SMALL], abs=0.03
    )


def run_of(task: Task, fall: float, departures: int = 0) -> Done:
    return Done(task, dict.fromkeys(FALLS, fall), departures=departures)


def test_what_leverage_adds_is_taken_seed_by_seed() -> None:
    tasks = [replace(TASK, seed=seed, world=world) for seed, world in enumerate(["news", "news", "stops"])]
    leveraged = [run_of(task, fall) for task, fall in zip(tasks, (0.5, 0.6, 0.7), strict=True)]
    without = [
        replace(run_of(task, fall), of_value=dict.fromkeys(FALLS, 0.3))
        for task, fall in zip(without_leverage(tasks[:2]), (0.45, 0.35), strict=True)
    ]
    pairs = pairs_of(leveraged, without)
    results = {one.case: one for one in leverage_results("name", "october-2025", pairs)}
    case = "october-2025 fall_small"
    assert results[f"{case} without leverage"].value == pytest.approx(0.4)
    assert results[f"{case} without leverage"].baselines == {"with_leverage": 0.55, "seeds": 2.0}
    assert results[f"{case} of value alone"].value == pytest.approx(0.3)
    assert results[f"{case} beyond that without leverage, news"].value == pytest.approx(0.15)
    assert f"{case} beyond that without leverage, stops" not in results
    table = Table("", "", "", "", "", "", "")
    add_rows(table, pairs)
    assert table.row_count == 3 * len(FALLS)
    console = Console(file=io.StringIO(), width=200)
    console.print(table, excess_table(pairs))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "of value alone" in told
    assert "same 2 seeds" in told
    assert leverage_results("name", "october-2025", []) == []


def test_departures_before_the_onset_are_counted_by_scenario() -> None:
    runs = {"calm": [run_of(TASK, 0.1), run_of(TASK, 0.1, departures=3)], "fall": [run_of(TASK, 0.1)]}
    calm, fall = departure_results("name", runs)
    assert (calm.case, calm.value) == ("calm departures before the onset", 3.0)
    assert calm.baselines == {"episodes": 2.0, "episodes_with_any": 1.0}
    assert fall.value == 0.0
    assert departure_table(runs).row_count == 2
