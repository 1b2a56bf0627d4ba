"""Episodes are made once, damaged files anew, and the oldest go."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from adapters.simulation.coarse.cache import EpisodeCache, default_folder, digest_of, mechanism_digest
from adapters.simulation.coarse.series import ROW, Series
from adapters.simulation.laboratory.parameters import Episode
from guard.units import MarketId
from tests.adapters.simulation.coarse.episodes import episode_of

MARKETS = (MarketId("binanceusdm:BTC/USDT:USDT"), MarketId("bybit:BTC/USDT:USDT"))


def made(episode: Episode, every_s: float) -> Series:
    """Numbers that follow from the episode's seed."""
    at_s = np.arange(0.0, 60.0, every_s)
    rows = np.random.default_rng(episode.seed).normal(size=(len(at_s), len(MARKETS), ROW))
    return Series.of_rows(MARKETS, at_s, rows)


def cache_in(folder: Path, **changes: int) -> EpisodeCache:
    return EpisodeCache(folder, made, mechanism="one", **changes)


def test_an_episode_is_made_once(tmp_path: Path) -> None:
    cache, episode = cache_in(tmp_path), episode_of()
    first, again = cache.series(episode, 5.0), cache.series(episode, 5.0)
    assert (cache.hits, cache.misses, cache.damaged) == (1, 1, 0)
    assert first.to_bytes() == again.to_bytes()
    assert again.markets == MARKETS


def test_another_episode_period_or_mechanism_is_another_file(tmp_path: Path) -> None:
    cache, episode = cache_in(tmp_path), episode_of()
    others = {
        cache.path_of(episode, 5.0),
        cache.path_of(episode, 10.0),
        cache.path_of(episode_of(seed=8), 5.0),
        EpisodeCache(tmp_path, made, mechanism="two").path_of(episode, 5.0),
    }
    assert len(others) == 4
    assert digest_of(episode) == digest_of(episode_of())
    crowd = dataclasses.replace(episode.crowd, cross_share=episode.crowd.cross_share + 1e-12)
    assert digest_of(dataclasses.replace(episode, crowd=crowd)) != digest_of(episode)


@pytest.mark.parametrize("cut", ["flip", "short", "empty", "other"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, cut: str) -> None:
    cache, episode = cache_in(tmp_path), episode_of()
    whole = cache.series(episode, 5.0).to_bytes()
    path = cache.path_of(episode, 5.0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    flipped = bytes(data)
    damaged = {"flip": flipped, "short": flipped[:-7], "empty": b"", "other": b"no such\nthing"}
    path.write_bytes(damaged[cut])
    assert cache.series(episode, 5.0).to_bytes() == whole
    assert (cache.damaged, cache.misses) == (1, 2)
    assert cache.series(episode, 5.0).to_bytes() == whole
    assert (cache.damaged, cache.hits) == (1, 1)


def test_the_oldest_go_when_there_is_no_room(tmp_path: Path) -> None:
    size = len(made(episode_of(), 5.0).to_bytes())
    cache = cache_in(tmp_path, bytes_max=int(size * 2.5))
    episodes = [episode_of(seed=seed) for seed in range(1, 5)]
    for place, episode in enumerate(episodes):
        cache.series(episode, 5.0)
        os.utime(cache.path_of(episode, 5.0), ns=(place, place))
    assert [cache.has(episode, 5.0) for episode in episodes] == [False, False, True, True]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left, fresh = tmp_path / "a.1.part", tmp_path / "b.2.part"
    left.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(left, ns=(1, 1))
    cache_in(tmp_path).series(episode_of(), 5.0)
    assert (left.exists(), fresh.exists()) == (False, True)


def test_series_come_back_as_they_were() -> None:
    series = made(episode_of(), 5.0)
    back = Series.from_bytes(series.to_bytes())
    assert np.array_equal(back.at_s, series.at_s)
    for name, column in series.columns.items():
        assert np.array_equal(back[name], column), name
        assert back[name].dtype == column.dtype
    with pytest.raises(ValueError, match="not the series"):
        Series.from_bytes(b"nothing")


def test_the_mechanism_and_the_folder_have_names() -> None:
    assert len(mechanism_digest()) == 64
    assert default_folder().parts[-2:] == ("perpguard", "episodes")
