"""Batches of episodes, by one process or several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.simulation.coarse.generate import Batch, cache_at, generate
from adapters.simulation.worlds.seeds import Split, split_of

BATCH = Batch(
    world="volatility",
    scenario="fall",
    split=Split.VALIDATION,
    count=3,
    symbols=("WIFUSDT",),
    venues=("binanceusdm",),
    duration_s=30.0,
)


def test_episodes_come_in_order_with_their_series_and_are_made_once(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    made = list(generate(BATCH, folder=tmp_path, progress=lambda done, count: told.append((done, count))))
    assert [episode.seed for episode, _ in made] == [episode.seed for episode in BATCH.episodes()]
    assert {split_of(episode.seed) for episode, _ in made} == {Split.VALIDATION}
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert {len(series.at_s) for _, series in made} == {7}
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = list(generate(BATCH, folder=tmp_path))
    assert [series.to_bytes() for _, series in again] == [series.to_bytes() for _, series in made]
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    following = next(generate(replace(BATCH, first=1, count=1), folder=tmp_path))
    assert following[1].to_bytes() == made[1][1].to_bytes()


def test_other_processes_make_the_same(tmp_path: Path) -> None:
    batch = replace(BATCH, count=2)
    alone = [series.to_bytes() for _, series in generate(batch, folder=tmp_path / "alone")]
    together = [series.to_bytes() for _, series in generate(batch, folder=tmp_path / "two", processes=2)]
    assert together == alone


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one process or more"):
        next(generate(BATCH, folder=tmp_path, processes=0))
    with pytest.raises(ValueError, match="no scenario 'none'"):
        next(generate(replace(BATCH, scenario="none"), folder=tmp_path))
    assert cache_at(tmp_path).folder == tmp_path
