"""Many episodes of one world, scenario and split, in order of their seeds, by several processes, through the cache."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from adapters.simulation.coarse.cache import BYTES_MAX, EpisodeCache, default_folder
from adapters.simulation.coarse.run import coarse_series
from adapters.simulation.coarse.series import Series
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.worlds.drawing import draw_episode
from adapters.simulation.worlds.seeds import Split, seeds_of

AHEAD = 2
"""Episodes that each process may be ahead of who takes them: what is made and not yet taken waits on disk."""

Progress = Callable[[int, int], None]
"""Told how many episodes are done, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Which episodes, and what is kept of them.

    Attributes:
        count: how many, from the seed numbered ``first`` of the split on.
        every_s: seconds between rows; a multiple of the mode's step.
        duration_s: as ``draw_episode`` takes it.
    """

    world: str
    scenario: str
    split: Split
    count: int
    first: int = 0
    every_s: float = 5.0
    symbols: tuple[str, ...] | None = None
    venues: tuple[str, ...] | None = None
    duration_s: float | None = None

    def episodes(self) -> Iterator[Episode]:
        """Draw them; ValueError as ``draw_episode``."""
        for seed in seeds_of(self.split, self.count, first=self.first):
            yield draw_episode(
                self.world,
                self.scenario,
                seed,
                symbols=self.symbols,
                venues=self.venues,
                duration_s=self.duration_s,
            )


def cache_at(folder: Path | None = None, bytes_max: int = BYTES_MAX) -> EpisodeCache:
    """The cache of the coarse mode's series in a folder, by default the user's."""
    return EpisodeCache(folder or default_folder(), coarse_series, bytes_max)


def generate(
    batch: Batch,
    *,
    folder: Path | None = None,
    processes: int = 1,
    bytes_max: int = BYTES_MAX,
    progress: Progress | None = None,
) -> Iterator[tuple[Episode, Series]]:
    """Give each episode of a batch with its series, in order; what the cache does not have is made.

    With more than one process others make the series and leave them in the cache; this one only reads them. Their
    number is the most that run at once. ValueError where there is none, or no such world or scenario.
    """
    if processes < 1:
        raise ValueError(f"episodes are made by one process or more, not {processes}")
    cache = cache_at(folder, bytes_max)
    episodes = batch.episodes()
    made = (
        ((episode, cache.series(episode, batch.every_s)) for episode in episodes)
        if processes == 1
        else _by_others(episodes, batch, cache, processes)
    )
    for done, pair in enumerate(made, start=1):
        if progress is not None:
            progress(done, batch.count)
        yield pair


def _by_others(
    episodes: Iterator[Episode], batch: Batch, cache: EpisodeCache, processes: int
) -> Iterator[tuple[Episode, Series]]:
    # A fresh interpreter each: a fork would take threads and sockets of the caller along.
    context = multiprocessing.get_context("spawn")
    waiting: deque[tuple[Episode, Future[None]]] = deque()
    pool = ProcessPoolExecutor(processes, context)
    try:
        for episode in islice(episodes, processes * AHEAD):
            waiting.append((episode, _ask(pool, cache, episode, batch.every_s)))
        while waiting:
            episode, asked = waiting.popleft()
            asked.result()
            for following in islice(episodes, 1):
                waiting.append((following, _ask(pool, cache, following, batch.every_s)))
            yield episode, cache.series(episode, batch.every_s)
    finally:
        pool.shutdown(cancel_futures=True)


def _ask(pool: ProcessPoolExecutor, cache: EpisodeCache, episode: Episode, every_s: float) -> Future[None]:
    return pool.submit(_leave_in_cache, episode, every_s, cache.folder, cache.bytes_max)


def _leave_in_cache(episode: Episode, every_s: float, folder: Path, bytes_max: int) -> None:
    cache_at(folder, bytes_max).series(episode, every_s)
