"""Samples that models of reach and hazard are fitted on: features of the product's own estimators, and what came.

Each episode is gone through as the guard would, market after market in order of time: price track, map, observer,
cascade. Samples are taken each ``every_s`` of every market, and at onsets and smaller moves, in both directions; the
structure is told twice, by the estimated map and by the true one (the oracle). Kept in a folder, found by the code.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import guard
from benchmarks._skill_episodes import SkillEpisode, SkillTask, load, skill_folder
from guard.forecasts import Direction
from guard.hazard.features import HAZARD_HORIZONS_S, STRUCTURE_FEATURES, Features
from guard.hazard.observer import Observer
from guard.leverage.cascade.structure import cascade
from guard.leverage.crowd.liquidation_map import LiquidationMap
from guard.leverage.crowd.mix import LeverageMix
from guard.leverage.crowd.settings import MapSettings
from guard.leverage.crowd.side_map import SideMap
from guard.readings import Reading
from guard.signals.price_measures import PriceMeasures
from guard.signals.price_track import PriceTrack
from guard.skill.outcomes import REACH_WINDOW_S, falls, farthest, onsets
from guard.units import NS_PER_S, MarketId

Floats = NDArray[np.float64]

MOMENT, ONSET, SMALLER, LESSER = range(4)
"""What a sample is: a moment of the clock, an onset (1.5 %), a move of 1 %, of 0.75 %."""
TRIGGERS = ((SMALLER, 0.010), (LESSER, 0.0075))
TRIGGER_REFRACTORY_S = 1200.0
WARM_S = 900.0
"""Nothing is sampled before: a guard is not asked in its first quarter of an hour."""
SHOCK_S = 900.0
ORACLE_LOG_SD = 0.05
SOURCES = ("hazard", "leverage", "signals", "calibration", "skill/outcomes.py")
"""Parts of ``guard`` that features and truths come from."""


@dataclass(slots=True)
class Samples:
    """Rows of one or more episodes.

    Attributes:
        values: ``(N, F)``; ``oracle`` ``(N, S)`` are the structure's columns as the true map tells them.
        reach: ``(N, D, G)``, only of rows that are no moments; ``hazard`` ``(N, H x M, G)``; likewise ``*_oracle``.
        gone: farthest move within ``HAZARD_HORIZONS_S`` ``(N, H)``, NaN where unknown.
        reached: within 30 minutes of the row.
        shock: 1 where 1.5 % in 5 minutes comes within 15 minutes.
        next_reach: reach of the next onset within 15 minutes, NaN where none comes.
        meta: ``(N, 6)`` of world, episode, market, direction (0 down), kind, seconds.
    """

    values: NDArray[np.float32]
    oracle: NDArray[np.float32]
    reach: NDArray[np.float32]
    reach_oracle: NDArray[np.float32]
    hazard: NDArray[np.float32]
    hazard_oracle: NDArray[np.float32]
    gone: NDArray[np.float32]
    reached: NDArray[np.float32]
    shock: NDArray[np.float32]
    next_reach: NDArray[np.float32]
    has_map: NDArray[np.bool_]
    meta: NDArray[np.int64]


def collect(
    tasks: Sequence[SkillTask], *, every_s: float = 60.0, processes: int = 1, name: str | None = None
) -> Samples:
    """Give the samples of these episodes, from the folder where they are there.

    With a ``name`` those that were kept by another version of the code, as far as they are there, and none is made.
    """
    digest = name or digest_of_code()
    jobs = [
        (task, number, every_s, digest)
        for number, task in enumerate(tasks)
        if name is None or _kept(task, every_s, digest).exists()
    ]
    if processes > 1:
        with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
            parts = list(pool.map(_part, jobs, chunksize=2))
    else:
        parts = [_part(job) for job in jobs]
    names = list(Samples.__dataclass_fields__)
    parts = [part for part in parts if len(part["meta"])]  # there are episodes too short for any
    joined = {name: np.concatenate([part[name] for part in parts if len(part[name])]) for name in names}
    # Rows of reach are kept for onsets only; everything else is one row a sample.
    return Samples(**joined)


def digest_of_code() -> str:
    """Name the code that samples come from: another one makes other files."""
    root = Path(guard.__file__).parent
    found = hashlib.sha256(Path(__file__).read_bytes())
    for source in SOURCES:
        place = root / source
        for path in sorted(place.rglob("*.py")) if place.is_dir() else (place,):
            if path.name not in {"thresholds.py", "experts.py", "artefact.py", "regime.py"}:
                found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:12]


def _kept(task: SkillTask, every_s: float, digest: str) -> Path:
    return (
        skill_folder() / "fit" / f"{digest}-{every_s:g}" / f"{task.split}-{task.world}-{task.number:03d}.npz"
    )


def _part(job: tuple[SkillTask, int, float, str]) -> dict[str, NDArray[Any]]:
    task, number, every_s, digest = job
    path = _kept(task, every_s, digest)
    if path.exists():
        with np.load(path) as kept:
            found = {name: kept[name] for name in kept.files}
    else:
        found = samples_of(load(task), every_s)
        path.parent.mkdir(parents=True, exist_ok=True)
        passing = path.with_suffix(f".{os.getpid()}.part.npz")
        np.savez(passing, allow_pickle=False, **found)
        passing.replace(path)
    found["meta"] = found["meta"].copy()
    found["meta"][:, 0] = _WORLDS.index(task.world)
    found["meta"][:, 1] = number
    return found


@dataclass(slots=True)
class _Chain:
    """The estimators of one episode, as the guard has them."""

    episode: SkillEpisode
    prices: dict[MarketId, PriceTrack]
    maps: dict[MarketId, LiquidationMap]
    observer: Observer

    @classmethod
    def of(cls, episode: SkillEpisode) -> _Chain:
        mix = LeverageMix()
        maps = {market: LiquidationMap(market, mix, MapSettings()) for market in episode.markets}
        for table in episode.tables:
            maps[table.market].take_terms(table)
        for market, held in maps.items():
            held.boot(episode.history.get(market, ()))
        return cls(episode, {market: PriceTrack() for market in episode.markets}, maps, Observer())

    def update(self, reading: Reading) -> PriceMeasures | None:
        track = self.prices[reading.market]
        track.update(reading.at, reading.price)
        measures = track.measures()
        self.maps[reading.market].update(reading)
        self.observer.update(reading, measures)
        return measures

    def features(
        self,
        direction: Direction,
        reading: Reading,
        measures: PriceMeasures | None,
        sides: dict[MarketId, Any],
    ) -> Features:
        found = None
        if reading.book is not None:
            given = self.observer.cascade_inputs(direction, reading, sides)
            found = cascade(direction, reading.book, sides.get(reading.market), given)
        return self.observer.features(direction, reading, measures, found)


def samples_of(episode: SkillEpisode, every_s: float, *, has_oracle: bool = False) -> dict[str, NDArray[Any]]:
    """Go through an episode; arrays as in ``Samples``. Of moments the oracle is only asked if it ``has_oracle``."""
    chain = _Chain.of(episode)
    wanted = {market: _wanted(episode, market, every_s) for market in episode.markets}
    truths = {market: episode.truth(market) for market in episode.markets}
    merged = sorted(
        (
            (reading.at, place, row, reading)
            for place, market in enumerate(episode.markets)
            for row, reading in enumerate(episode.readings(market))
        ),
        key=lambda each: each[:3],
    )
    rows: list[tuple[Any, ...]] = []
    for at, place, row, reading in merged:
        measures = chain.update(reading)
        for direction, kind in wanted[reading.market].get(row, ()):
            estimated = {
                market: chain.maps[market].side(direction) for market in _same_coin(episode, reading.market)
            }
            told = chain.features(direction, reading, measures, estimated)
            oracle = told
            if kind != MOMENT or has_oracle:
                exact = {market: _true_side(truths[market], direction, at) for market in estimated}
                oracle = chain.features(direction, reading, measures, exact)
            rows.append((row, place, direction, kind, told, oracle))
    return _arrays(episode, rows)


def _same_coin(episode: SkillEpisode, market: MarketId) -> list[MarketId]:
    return [other for other in episode.markets if other.partition(":")[2] == market.partition(":")[2]]


def _true_side(truth: Any, direction: Direction, at: int) -> SideMap:
    row = int(truth.row_at(np.array([at]))[0])
    return SideMap(truth.side(direction)[row].astype(np.float64), ORACLE_LOG_SD, float(truth.mark_price[row]))


def _wanted(
    episode: SkillEpisode, market: MarketId, every_s: float
) -> dict[int, list[tuple[Direction, int]]]:
    """Rows at which to sample, and what they are."""
    at, prices = episode.column(market, "at"), episode.price(market)
    seconds = episode.at_s(market)
    found: dict[int, list[tuple[Direction, int]]] = {}
    last = -np.inf
    for row, second in enumerate(seconds.tolist()):
        if second >= WARM_S and second - last >= every_s - 1e-6:
            last = second
            found.setdefault(row, []).extend((direction, MOMENT) for direction in Direction)
    for direction in Direction:
        for kind, rows in (
            (ONSET, onsets(at, prices, direction)),
            *(
                (
                    kind,
                    falls(
                        at, prices, direction, move=move, window_s=300.0, refractory_s=TRIGGER_REFRACTORY_S
                    ),
                )
                for kind, move in TRIGGERS
            ),
        ):
            for row in rows.tolist():
                if seconds[row] >= WARM_S:
                    found.setdefault(row, []).append((direction, kind))
    return found


def _arrays(episode: SkillEpisode, rows: Sequence[tuple[Any, ...]]) -> dict[str, NDArray[Any]]:
    structure = slice(-len(STRUCTURE_FEATURES), None)
    outcomes = {
        (place, direction): _outcomes(episode, market, direction)
        for place, market in enumerate(episode.markets)
        for direction in Direction
    }
    reached = [outcomes[place, direction] for _, place, direction, *_ in rows]
    kept = [kind != MOMENT for *_, kind, _told, _oracle in rows]
    seconds = [episode.at_s(market) for market in episode.markets]
    return {
        "values": np.array([told.values for *_, told, _ in rows], np.float32),
        "oracle": np.array([oracle.values[structure] for *_, oracle in rows], np.float32),
        "reach": np.array(
            [told.reach for (*_, told, _), keep in zip(rows, kept, strict=True) if keep], np.float32
        ),
        "reach_oracle": np.array(
            [oracle.reach for (*_, oracle), keep in zip(rows, kept, strict=True) if keep], np.float32
        ),
        "hazard": np.array([told.hazard for *_, told, _ in rows], np.float32),
        "hazard_oracle": np.array([oracle.hazard for *_, oracle in rows], np.float32),
        "gone": np.array(
            [found["gone"][row[0]] for row, found in zip(rows, reached, strict=True)], np.float32
        ),
        "reached": np.array(
            [found["reached"][row[0]] for row, found in zip(rows, reached, strict=True)], np.float32
        ),
        "shock": np.array(
            [found["shock"][row[0]] for row, found in zip(rows, reached, strict=True)], np.float32
        ),
        "next_reach": np.array(
            [found["next"][row[0]] for row, found in zip(rows, reached, strict=True)], np.float32
        ),
        "has_map": np.array([told.has_map for *_, told, _ in rows], np.bool_),
        "meta": np.array(
            [
                (0, 0, place, int(direction is Direction.UP), kind, int(seconds[place][row]))
                for row, place, direction, kind, *_ in rows
            ],
            np.int64,
        ),
    }


def _outcomes(episode: SkillEpisode, market: MarketId, direction: Direction) -> dict[str, Floats]:
    at, prices = episode.column(market, "at"), episode.price(market)
    gone = np.full((len(at), len(HAZARD_HORIZONS_S)), np.nan)
    for place, horizon in enumerate(HAZARD_HORIZONS_S):
        truth = farthest(at, prices, direction, horizon)
        gone[truth.known, place] = truth.value[truth.known]
    told = farthest(at, prices, direction, REACH_WINDOW_S)
    reached = np.where(told.known, told.value, np.nan)
    shocks = falls(at, prices, direction, move=0.015, window_s=300.0, refractory_s=1.0)
    shock = np.where(
        np.isnan(gone[:, HAZARD_HORIZONS_S.index(900)]), np.nan, _comes(at, at[shocks], SHOCK_S)[0]
    )
    first = onsets(at, prices, direction)
    comes, which = _comes(at, at[first], SHOCK_S)
    following = np.full(len(at), np.nan)
    following[comes > 0] = reached[first[which[comes > 0]]] if len(first) else np.nan
    return {"gone": gone, "reached": reached, "shock": shock, "next": following}


def _comes(
    at: NDArray[np.int64], events: NDArray[np.int64], within_s: float
) -> tuple[Floats, NDArray[np.int64]]:
    """Whether one of ``events`` comes within so many seconds after each time, and which."""
    which = np.searchsorted(events, at, side="right")
    if not len(events):
        return np.zeros(len(at)), which
    due = events[np.minimum(which, len(events) - 1)]
    return ((which < len(events)) & (due - at <= within_s * NS_PER_S)).astype(np.float64), which


_WORLDS = ("volatility", "balance_sheet", "signals", "news", "hedged", "stops")
