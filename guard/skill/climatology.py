"""How often falls, rises and reaches have happened on the whole: the baseline that estimators have to beat. Pure."""

from __future__ import annotations

from array import array
from functools import lru_cache
from math import log

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from guard.forecasts import MOVES, QUANTILES, Direction, HazardForecast, ReachForecast
from guard.units import MarketId

Floats = NDArray[np.float64]

MAJORS = frozenset({"BTC", "ETH"})

RATES: dict[str, tuple[tuple[float, ...], ...]] = {
    "majors": ((2e-4, 1e-5, 2e-6), (1e-3, 5e-5, 8e-6), (6e-3, 4e-4, 5e-5)),
    "others": ((1.5e-3, 1e-4, 1.5e-5), (6e-3, 4e-4, 5e-5), (3e-2, 2.5e-3, 3e-4)),
}
"""What is thought before anything was seen: by horizon, by move."""

STRENGTH = 300.0
"""The prior counts as so many windows that do not overlap."""

REACH_MEAN = 0.015
REACH_STRENGTH = 20.0
"""Before any onset was seen: reaches fall off exponentially, believed as twenty onsets are."""

REACH_EDGES = np.geomspace(0.0005, 0.5, 49)
_REACH_LEFT = np.concatenate([[0.0], REACH_EDGES])
_REACH_RIGHT = np.concatenate([REACH_EDGES, [1.0]])


class ClimatologyMemory(Struct, frozen=True, kw_only=True):
    """What was counted: hits and windows by class, and reaches by bin, flat."""

    hits: dict[str, list[float]]
    windows: dict[str, list[float]]
    reaches: list[float]


@lru_cache(maxsize=4096)
def class_of(market: MarketId) -> str:
    """What markets a market is counted with: bitcoin and ether apart from all others.

    >>> class_of(MarketId("bybit:BTC/USDT:USDT")), class_of(MarketId("bybit:WIF/USDT:USDT"))
    ('majors', 'others')
    """
    return "majors" if market.partition(":")[2].partition("/")[0] in MAJORS else "others"


CLASSES = tuple(RATES)


class Climatology:
    """Rates of falls and rises by class of market, horizon and move; the distribution of reaches.

    Formula:
        Beta posterior mean ``(STRENGTH * prior + hits) / (STRENGTH + windows)``, windows of a horizon that overlap
        counted as those that do not, all shrinking with ``age``; reaches as counts in 50 bins, even in the
        logarithm, beside an exponential prior.

    Assumes:
        Markets of a class are alike, and the season changes slowly.

    Fails:
        After a crash it says for weeks that crashes are common; nothing else is what a climatology is.

    >>> usual = Climatology().hazard(MarketId("bybit:BTC/USDT:USDT"), Direction.DOWN)
    >>> usual.probability[0]
    (0.0002, 1e-05, 2e-06)
    """

    def __init__(self) -> None:
        self._prior = np.array([np.repeat(np.array(RATES[name])[None], 2, axis=0) for name in CLASSES])
        self._hits = np.zeros_like(self._prior)
        self._windows = np.zeros_like(self._prior)
        left, right = np.exp(-_REACH_LEFT / REACH_MEAN), np.exp(-_REACH_RIGHT / REACH_MEAN)
        self._reach_prior = REACH_STRENGTH * (left - right)
        self._reaches = np.zeros(len(_REACH_LEFT))
        self._refresh()

    def add(self, class_number: int, horizon: int, farthest: Floats, weight: float) -> None:
        """Count windows of one class and horizon: ``farthest`` (cases, 2) down and up, each worth ``weight``."""
        hit = (farthest[:, :, None] >= np.array(MOVES)).sum(axis=0)
        self._hits[class_number, :, horizon] += weight * hit
        self._windows[class_number, :, horizon] += weight * len(farthest)

    def add_reach(self, reach: float) -> None:
        """Count how far it went from one onset."""
        self._reaches[int(np.searchsorted(REACH_EDGES, reach, side="right"))] += 1.0

    def age(self, keep: float) -> None:
        """Let everything counted so far count ``keep`` of what it did, and take it into what is said."""
        for sums in (self._hits, self._windows, self._reaches):
            np.multiply(sums, keep, out=sums)
        self._refresh()

    def hazard(self, market: MarketId, direction: Direction) -> HazardForecast:
        """What is usual in markets like this; shock and vulnerability are taken from the same counts."""
        return self._hazards[CLASSES.index(class_of(market))][direction is Direction.UP]

    def reach(self, direction: Direction) -> ReachForecast:
        """What is usual after an onset; without any structure."""
        return self._by_direction[direction is Direction.UP]

    def hazard_row(self, market: MarketId, direction: Direction) -> array[float]:
        """``hazard`` flat: probabilities, vulnerability, shock."""
        return self._hazard_rows[CLASSES.index(class_of(market))][direction is Direction.UP]

    def reach_row(self) -> array[float]:
        """``reach`` flat, in either direction: quantiles, probabilities of the moves, mean."""
        return self._reach_row

    def state(self) -> ClimatologyMemory:
        """All that was counted."""
        return ClimatologyMemory(
            hits={name: self._hits[number].ravel().tolist() for number, name in enumerate(CLASSES)},
            windows={name: self._windows[number].ravel().tolist() for number, name in enumerate(CLASSES)},
            reaches=self._reaches.tolist(),
        )

    def restore(self, memory: ClimatologyMemory) -> None:
        """Go on from a former state; what has another form starts from nothing."""
        for number, name in enumerate(CLASSES):
            for sums, kept in (
                (self._hits, memory.hits.get(name)),
                (self._windows, memory.windows.get(name)),
            ):
                if kept is not None and len(kept) == sums[number].size:
                    sums[number] = np.array(kept).reshape(sums[number].shape)
        if len(memory.reaches) == len(self._reaches):
            self._reaches[:] = memory.reaches
        self._refresh()

    def _refresh(self) -> None:
        rates = (STRENGTH * self._prior + self._hits) / (STRENGTH + self._windows)
        # Each cell has its own count of windows, so that order among them is made, not given.
        rates = np.minimum.accumulate(np.maximum.accumulate(rates, axis=2), axis=3)
        quantiles, probability, expected = self._reach_distribution()
        self._hazards = [
            tuple(
                HazardForecast(
                    direction=direction,
                    probability=tuple(tuple(row) for row in rates[number, side].tolist()),
                    vulnerability=probability[1],
                    shock=float(rates[number, side, 1, 0]),
                )
                for side, direction in enumerate(Direction)
            )
            for number in range(len(CLASSES))
        ]
        self._hazard_rows = [
            tuple(
                array(
                    "d", [*(each for row in told.probability for each in row), told.vulnerability, told.shock]
                )
                for told in sides
            )
            for sides in self._hazards
        ]
        self._reach_row = array("d", [*quantiles, *probability, expected])
        self._by_direction = tuple(
            ReachForecast(
                direction=direction,
                quantiles=quantiles,
                probability=probability,
                expected=expected,
            )
            for direction in Direction
        )

    def _reach_distribution(self) -> tuple[tuple[float, ...], tuple[float, ...], float]:
        mass = self._reach_prior + self._reaches
        under = np.concatenate([[0.0], np.cumsum(mass) / mass.sum()])
        places = np.concatenate([[0.0], REACH_EDGES, [1.0]])
        quantiles = np.interp(QUANTILES, under, places)
        probability = 1.0 - np.interp(MOVES, places, under)
        expected = float(((places[1:] + places[:-1]) / 2.0 * mass).sum() / mass.sum())
        return tuple(quantiles.tolist()), tuple(probability.tolist()), expected


def age_kept(hours: float, half_life_days: float) -> float:
    """What is left after ``hours`` of something that halves in ``half_life_days``."""
    return float(np.exp(-log(2.0) * hours / (24.0 * half_life_days)))
