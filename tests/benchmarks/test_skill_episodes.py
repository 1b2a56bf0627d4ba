"""Episodes for estimators: which there are, how they are kept, and that the chain over them is the guard's own."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.simulation.coarse import coarse_events
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.worlds.drawing import draw_episode
from adapters.simulation.worlds.seeds import Split, split_of
from adapters.simulation.worlds.variants import WORLDS
from benchmarks._skill_chain import fitted_experts, run_episode
from benchmarks._skill_columns import columns_of, readings_of
from benchmarks._skill_episodes import (
    SkillEpisode,
    SkillTask,
    available,
    fetch,
    load,
    make,
    path_of,
    skill_tasks,
)
from benchmarks._skill_recording import Level, Readers, history_of, record
from benchmarks._skill_records import forget_former, record_path
from benchmarks._skill_tables import MarketRun, Table
from benchmarks.skill import run_one
from guard.events import MarginTermsSeen, OpenInterestHistorySeen
from guard.forecasts import Direction
from guard.outlook.broken import Broken
from guard.outlook.estimators import Estimators
from guard.units import venue_of

DURATION_S = 1_500.0
SHORT = SkillTask(split=Split.TRAIN, world="news", number=0)


def short_episode() -> Episode:
    """One market in half an hour: what happens in it is cut off."""
    return draw_episode(
        "news", "october-2025", 3, symbols=["SOLUSDT"], venues=["bybit"], duration_s=DURATION_S
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SkillEpisode:
    return make_short(tmp_path_factory.mktemp("skill"))


def make_short(folder: Path) -> SkillEpisode:
    arrays = record(short_episode())
    return SkillEpisode(SHORT, arrays, folder / "short.npz")


def test_tasks_have_seeds_of_their_split_each_its_own_and_the_mix_of_scenarios() -> None:
    for split in Split:
        tasks = skill_tasks(split, 10)
        assert len({task.seed for task in tasks}) == len(tasks) == 10 * len(WORLDS)
        assert {split_of(task.seed) for task in tasks} == {split}
    of_one = [task.scenario for task in skill_tasks(Split.TRAIN, 10, worlds=["stops"])]
    assert {name: of_one.count(name) for name in of_one} == {
        "october-2025": 4,
        "fall": 2,
        "squeeze": 2,
        "venue-failure": 1,
        "calm": 1,
    }
    assert skill_tasks(Split.TRAIN, 4, first=2)[0] == skill_tasks(Split.TRAIN, 3)[2 * len(WORLDS)]
    with pytest.raises(ValueError, match="no world named moon"):
        skill_tasks(Split.TRAIN, 1, worlds=["moon"])


def test_a_missing_episode_is_said_and_a_damaged_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        load(SHORT, tmp_path)
    assert available([SHORT], tmp_path) == ()
    monkeypatch.setattr(SkillTask, "episode", lambda _: short_episode())
    written = make(SHORT, tmp_path)
    assert available([SHORT], tmp_path) == (SHORT,)
    read = load(SHORT, tmp_path)
    (market,) = read.markets
    assert read.facts == written.facts
    for name, column in written.columns(market).items():
        np.testing.assert_array_equal(read.column(market, name), column)
    path_of(SHORT, tmp_path).write_bytes(b"PK damaged")
    with pytest.raises(ValueError, match="damaged"):
        load(SHORT, tmp_path)
    assert fetch(SHORT, tmp_path).facts == written.facts


def test_readings_come_back_as_they_were_given(made: SkillEpisode) -> None:
    (market,) = made.markets
    readings = list(made.readings(market))
    assert readings[0].book is None
    assert readings[-1].book is not None
    again = columns_of(readings)
    for name, column in made.columns(market).items():
        np.testing.assert_array_equal(again[name], column)
    assert list(readings_of(market, again)) == readings
    assert all(4.0 < reading.elapsed_s < 6.5 for reading in readings[1:])
    assert len(readings) == pytest.approx(DURATION_S / 5.0, abs=2)


def test_the_truth_is_there_and_the_past_is_told(made: SkillEpisode) -> None:
    (market,) = made.markets
    truth = made.truth(market)
    assert len(truth.at) == pytest.approx(DURATION_S / 60.0, abs=2)
    interest_usd = truth.open_interest * truth.mark_price
    longs = truth.side(Direction.DOWN).sum(axis=1) + truth.beyond_usd[:, 0]
    assert (longs > 0.1 * interest_usd).all()
    assert (longs <= 1.01 * interest_usd).all()
    assert truth.row_at(truth.at + 1).tolist() == list(range(len(truth.at)))
    points = made.history[market]
    assert len(points) > 500
    assert points[-1].at <= made.column(market, "at")[0]
    assert made.history is made.history


def test_an_episode_order_by_order_is_another_one_read_alike(made: SkillEpisode, tmp_path: Path) -> None:
    order = replace(SHORT, level=Level.ORDER)
    assert order.seed not in {task.seed for task in skill_tasks(Split.TRAIN, 100)}
    assert path_of(order, tmp_path).parent != path_of(SHORT, tmp_path).parent
    played = SkillEpisode(order, record(short_episode(), Level.ORDER))
    (market,) = played.markets
    one, other = played.columns(market), made.columns(market)
    assert {name: column.dtype for name, column in one.items()} == {
        name: column.dtype for name, column in other.items()
    }
    assert len(one["at"]) == pytest.approx(len(other["at"]), abs=2)
    assert (played.price(market)[10:] != made.price(market)[10 : len(one["at"])]).any()
    assert len(played.truth(market).at) == pytest.approx(DURATION_S / 60.0, abs=2)
    assert len(history_of(short_episode(), None, Level.ORDER)[market]) > 500


def test_what_was_said_of_an_episode_is_known_to_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SkillTask, "episode", lambda _: short_episode())
    make(SHORT, tmp_path)
    first, took_s = run_one(SHORT, 1, "a", tmp_path)
    again, took_again_s = run_one(SHORT, 1, "a", tmp_path)
    assert took_s is not None
    assert took_again_s is None
    assert again.mechanism == first.mechanism != ""
    (one,), (other,) = first.markets, again.markets
    for each in fields(MarketRun):
        assert_same(getattr(one, each.name), getattr(other, each.name))
    assert run_one(SHORT, 1, "b", tmp_path)[1] is not None, "other code says it anew"
    record_path(SHORT, 1, "a", tmp_path).write_bytes(b"PK damaged")
    assert run_one(SHORT, 1, "a", tmp_path)[1] is not None
    for digest in "cdef":
        (tmp_path / "records" / digest).mkdir()
    forget_former("f", tmp_path)
    assert len(list((tmp_path / "records").iterdir())) == 3
    assert (tmp_path / "records" / "f").is_dir()


def assert_same(one: Any, other: Any) -> None:
    """Numbers, arrays, tables, and mappings of them."""
    assert type(one) is type(other)
    if isinstance(one, Table):
        assert one.slices == other.slices
        np.testing.assert_array_equal(one.values, other.values)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key, value in one.items():
            assert_same(value, other[key])
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


def test_the_chain_says_of_readings_what_the_guards_own_estimators_say(made: SkillEpisode) -> None:
    (market,) = made.markets
    experts = fitted_experts()
    run = run_episode(made, experts=experts, seed=1, rows_calm=1).markets[0]
    estimators, broken = Estimators(experts), Broken()
    estimators.hear(MarginTermsSeen(received_at=0, venue=venue_of(market), tiers=made.tables), broken)
    estimators.hear(
        OpenInterestHistorySeen(received_at=0, market=market, points=made.history[market]), broken
    )
    compared = 0
    for row, reading in enumerate(made.readings(market)):
        outlook = estimators.update(reading, broken)
        for place, direction in enumerate(Direction):
            hazard, reach = outlook.hazard(direction), outlook.reach(direction)
            told = run.often.values[row, place]
            if hazard is None or reach is None:
                assert np.isnan(told[run.often.slices["hazard"]]).all()
                continue
            compared += 1
            np.testing.assert_allclose(
                told[run.often.slices["hazard"]], np.array(hazard.probability).ravel(), rtol=1e-5
            )
            if experts is not None:
                np.testing.assert_allclose(told[run.often.slices["reach"]], reach.probability, rtol=1e-5)
    assert broken.names(market) == ()
    assert compared > 400 or experts is None


def test_the_engine_reads_the_same_market_as_the_episode() -> None:
    """The dataset's readings are those of the guard's state over the same events, at the guard's own times."""
    readers = Readers()
    told = [reading for event in coarse_events(short_episode()) for reading in readers.apply(event)]
    assert len({reading.market for reading in told}) == 1
    assert all(later.at > former.at for former, later in pairwise(told))
