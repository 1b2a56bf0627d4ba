"""The episodes that estimators are fitted on, chosen by and judged by: what a guard is given of each, and the truth.

Most episodes are coarse ones (``coarse_events``), a few are order by order (``Level.ORDER``, with seeds of their own).
They are read by the product's own ``MarketView`` and ``Gatherer``, and kept in a folder as arrays: a row for each
reading of a market, the true maps each minute, all that was liquidated. Files are found by the episode, not by the code
that made them (another version of the simulator makes other ones): each tells what made it, as ``facts["mechanism"]``.

``python -m benchmarks._skill_episodes --split train --per-world 10 [--first 0] [--processes 1] [--level order]`` makes
what is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import multiprocessing
import os
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.simulation.coarse.cache import default_folder, digest_of, mechanism_digest
from adapters.simulation.laboratory.observed import market_of
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.worlds.drawing import draw_episode
from adapters.simulation.worlds.seeds import Split, seed_of
from adapters.simulation.worlds.variants import WORLDS
from benchmarks._skill_columns import readings_of
from benchmarks._skill_recording import Level, history_of, record
from guard.forecasts import Direction
from guard.leverage.tiers import margin_tiers
from guard.margin_terms import TierTable
from guard.readings import HistoryPoint, Reading
from guard.units import NS_PER_S, MarketId

FORMAT = 1
"""Goes up when what is in a file changes."""

SCENARIOS = (
    "october-2025",
    "fall",
    "october-2025",
    "squeeze",
    "calm",
    "october-2025",
    "venue-failure",
    "fall",
    "october-2025",
    "squeeze",
)
"""In turn: 4 of 10 as on 10 October, 2 ordinary falls, 2 squeezes, 1 failing venue, 1 calm."""

CALM_S = 6 * 3_600.0
SYMBOLS = (("BTCUSDT", "SOLUSDT", "WIFUSDT"), ("BTCUSDT", "ETHUSDT", "WIFUSDT"))
"""In turn, by the pair of episodes: all four would cost a third more and tell little that is new."""

ORDER_FIRST = 1_000_000
"""Seeds of episodes order by order are numbered from here: none of them is seen in the coarse mode."""

SUFFIX = ".npz"
Arrays = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillTask:
    """One episode: ``number`` counts within its world, split and level."""

    split: Split
    world: str
    number: int
    level: Level = Level.COARSE

    @property
    def scenario(self) -> str:
        """Of ``SCENARIOS``."""
        return SCENARIOS[self.number % len(SCENARIOS)]

    @property
    def seed(self) -> int:
        """Another one in every world: what is drawn along the way does not depend on the world's name."""
        first = ORDER_FIRST if self.level is Level.ORDER else 0
        return seed_of(self.split, first + self.number * len(WORLDS) + list(WORLDS).index(self.world))

    @property
    def name(self) -> str:
        """For people, such as ``train/news/003/squeeze``."""
        told = f"{self.split}/{self.world}/{self.number:03d}/{self.scenario}"
        return f"{told}/{self.level}" if self.level is Level.ORDER else told

    def episode(self) -> Episode:
        """Draw it."""
        return draw_episode(
            self.world,
            self.scenario,
            self.seed,
            symbols=SYMBOLS[self.number // 2 % len(SYMBOLS)],
            duration_s=CALM_S if self.scenario == "calm" else None,
        )


def skill_tasks(
    split: Split,
    per_world: int,
    *,
    first: int = 0,
    worlds: Sequence[str] | None = None,
    level: Level = Level.COARSE,
) -> tuple[SkillTask, ...]:
    """Name ``per_world`` episodes of each world, from the one numbered ``first`` on; worlds take turns.

    ValueError where there is no such world.
    """
    chosen = tuple(WORLDS) if worlds is None else tuple(worlds)
    unknown = sorted(set(chosen) - set(WORLDS))
    if unknown:
        raise ValueError(f"no world named {', '.join(unknown)}; there are {', '.join(WORLDS)}")
    return tuple(
        SkillTask(split=split, world=world, number=number, level=level)
        for number in range(first, first + per_world)
        for world in chosen
    )


def skill_folder() -> Path:
    """Where episodes are kept: ``skill`` in the user's folder for caches."""
    return default_folder().parent / "skill"


def path_of(task: SkillTask, folder: Path | None = None) -> Path:
    """Where a task's file belongs."""
    told = f"{FORMAT} {digest_of(task.episode())}"
    digest = hashlib.sha256(told.encode()).hexdigest()[:16]
    where = folder or skill_folder()
    if task.level is Level.ORDER:
        where /= Level.ORDER
    return where / task.split / task.world / f"{task.number:03d}-{task.scenario}-{digest}{SUFFIX}"


class SkillEpisode:
    """What was read and what is true of one episode.

    ``columns(market)`` has a row for each reading; missing numbers are NaN there (and only there), missing times -1.
    Columns: all fields of ``Reading`` and, with ``book.`` before them, of ``BookReading``; curves have one more axis.

    Attributes:
        task: which episode.
        markets: those that were watched, venue by venue.
        facts: of the episode: ``start_at_ns``, ``onset_s``, ``duration_s``, ``mechanism``, and by market ``feed``,
            ``maintenance_ratio`` and ``leverage_max`` of the lowest bracket.
    """

    def __init__(self, task: SkillTask, arrays: Mapping[str, Arrays], path: Path | None = None) -> None:
        self.task = task
        self._arrays = arrays
        self._path = path
        self.facts: dict[str, Any] = json.loads(bytes(arrays["facts"]).decode())
        self.markets = tuple(MarketId(name) for name in self.facts["markets"])

    def columns(self, market: MarketId) -> dict[str, Arrays]:
        """All columns of a market's readings."""
        prefix = f"{self.markets.index(market)}/reading/"
        return {name[len(prefix) :]: self._arrays[name] for name in self._arrays if name.startswith(prefix)}

    def column(self, market: MarketId, name: str) -> Arrays:
        """One column."""
        found: Arrays = self._arrays[f"{self.markets.index(market)}/reading/{name}"]
        return found

    def readings(self, market: MarketId) -> Iterator[Reading]:
        """A market's readings in order, as the product's estimators are given them."""
        return readings_of(market, self.columns(market))

    def at_s(self, market: MarketId) -> Floats:
        """Seconds since the episode began, of each reading."""
        at_s: Floats = (self.column(market, "at") - self.facts["start_at_ns"]) / NS_PER_S
        return at_s

    def price(self, market: MarketId) -> Floats:
        """Mid of each reading, the mark where the book is unknown; NaN where that is unknown too."""
        bid, ask = self.column(market, "book.bid"), self.column(market, "book.ask")
        return np.where(np.isnan(bid), self.column(market, "mark_price"), (bid + ask) / 2.0)

    def truth(self, market: MarketId) -> MapsTruth:
        """The true maps of a market, one a minute."""
        prefix = f"{self.markets.index(market)}/map/"
        return MapsTruth(
            **{name[len(prefix) :]: self._arrays[name] for name in self._arrays if name.startswith(prefix)}
        )

    def liquidations(self, market: MarketId) -> dict[str, Arrays]:
        """All that the venue closed: ``at``, ``size`` (a long is positive), ``price``, ``leverage``, ``closed_by``.

        ``closed_by`` is 0 book, 1 insurance, 2 deleverage.
        """
        prefix = f"{self.markets.index(market)}/closed/"
        return {name[len(prefix) :]: self._arrays[name] for name in self._arrays if name.startswith(prefix)}

    @cached_property
    def tables(self) -> tuple[TierTable, ...]:
        """What margin each market requires, as its venue tells it."""
        episode = self.task.episode()
        found = []
        for venue, symbol in itertools.product(episode.venues, episode.symbols):
            rows = [(each.floor_usd, each.maintenance_ratio, each.leverage_max) for each in symbol.brackets]
            market = market_of(venue.venue, symbol.symbol)
            if market in self.markets:
                found.append(TierTable(market=market, tiers=margin_tiers(rows)))
        return tuple(found)

    @cached_property
    def history(self) -> dict[MarketId, tuple[HistoryPoint, ...]]:
        """Open interest of the days before, as venues tell it at the start; in a file of its own, made if missing."""
        return history_of(
            self.task.episode(),
            None if self._path is None else self._path.with_suffix(".past"),
            self.task.level,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MapsTruth:
    """True maps, a row a minute; bins of 10 bps of log distance from the mark, USD, as in ``MapTruth`` but 700 of them.

    ``beyond_usd`` is what lies farther, of longs and shorts ``(rows, 2)``; the rest are rows alone.
    """

    at: NDArray[np.int64]
    mark_price: Floats
    open_interest: Floats
    longs_usd: NDArray[np.float32]
    shorts_usd: NDArray[np.float32]
    stops_below_usd: NDArray[np.float32]
    stops_above_usd: NDArray[np.float32]
    beyond_usd: Floats
    willingness: Floats
    """Of the makers, mean by share: nobody sees it."""

    def side(self, direction: Direction) -> NDArray[np.float32]:
        """What a move in this direction liquidates, ``(rows, bins)``."""
        return self.longs_usd if direction is Direction.DOWN else self.shorts_usd

    def row_at(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """The latest row at each time, 0 for those before the first."""
        return np.maximum(np.searchsorted(self.at, at, side="right") - 1, 0)


def load(task: SkillTask, folder: Path | None = None) -> SkillEpisode:
    """Read an episode; FileNotFoundError where it is not made yet, ValueError where the file is damaged."""
    path = path_of(task, folder)
    return SkillEpisode(task, read_arrays(path), path)


def read_arrays(path: Path) -> dict[str, Arrays]:
    """All arrays of a file; FileNotFoundError where there is none, ValueError where it is damaged."""
    try:
        with np.load(path) as found:
            return {name: found[name] for name in found.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}): remove it, it is made anew") from error


def make(task: SkillTask, folder: Path | None = None) -> SkillEpisode:
    """Make an episode, without a look at the folder, and keep it there."""
    path = path_of(task, folder)
    arrays = record(task.episode(), task.level)
    facts = json.loads(bytes(arrays["facts"]).decode())
    facts |= {"task": asdict(task), "mechanism": mechanism_digest()}
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    write_arrays(path, arrays)
    return SkillEpisode(task, arrays, path)


def fetch(task: SkillTask, folder: Path | None = None) -> SkillEpisode:
    """Read an episode, or make it."""
    try:
        return load(task, folder)
    except (FileNotFoundError, ValueError):
        return make(task, folder)


def available(tasks: Sequence[SkillTask], folder: Path | None = None) -> tuple[SkillTask, ...]:
    """Those that are made."""
    return tuple(task for task in tasks if path_of(task, folder).exists())


def generate(
    tasks: Sequence[SkillTask], processes: int, folder: Path | None = None, *, is_anew: bool = False
) -> int:
    """Make those that are missing (all, if anew), tell how far it is on stderr; how many were made."""
    missing = [task for task in tasks if is_anew or not path_of(task, folder).exists()]
    if not missing:
        return 0
    started = time.monotonic()
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(_make, task, folder) for task in missing]
        for done, future in enumerate(as_completed(waiting), start=1):
            future.result()
            took = time.monotonic() - started
            sys.stderr.write(f"\r{done} of {len(missing)} episodes made, {took:.0f} s ")
            sys.stderr.flush()
    sys.stderr.write("\n")
    return len(missing)


def _make(task: SkillTask, folder: Path | None) -> None:
    make(task, folder)


def write_arrays(path: Path, arrays: Mapping[str, Arrays]) -> None:
    """Write arrays quickly (``savez_compressed`` packs harder, in ten times the time) and whole: beside, then moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = path.with_suffix(f".{os.getpid()}.part")
    with zipfile.ZipFile(passing, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, array in arrays.items():
            held = io.BytesIO()
            np.lib.format.write_array(held, np.ascontiguousarray(array), allow_pickle=False)
            packed.writestr(f"{name}.npy", held.getvalue())
    passing.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is missing of a split."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks._skill_episodes")
    parser.add_argument("--split", type=Split, choices=list(Split), default=Split.TRAIN)
    parser.add_argument("--per-world", type=int, default=10, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first one")
    parser.add_argument("--worlds", nargs="+", metavar="NAME")
    parser.add_argument("--processes", type=int, default=1, metavar="N")
    parser.add_argument("--level", type=Level, choices=list(Level), default=Level.COARSE)
    parser.add_argument("--anew", action="store_true", help="make those too that are there")
    given = parser.parse_args(arguments)
    tasks = skill_tasks(
        given.split, given.per_world, first=given.first, worlds=given.worlds, level=given.level
    )
    made = generate(tasks, given.processes, is_anew=given.anew)
    where = path_of(tasks[0]).parents[1] if tasks else skill_folder()
    sys.stdout.write(f"{len(tasks)} episodes in {where}, {made} of them made now\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
