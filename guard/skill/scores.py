"""Losses and reliability of probabilities by cell and estimator, the older the less they count. Arrays, pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

EDGES = np.array([0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
"""Probabilities between two of these are held together against how often it happened."""

PER_BIN = 3
"""Sums in each: count, probability said, happened."""


class TableMemory(Struct, frozen=True, kw_only=True):
    """All numbers of a table by its names, so that other cells or estimators may come and go between versions."""

    sums: dict[str, dict[str, list[float]]]


class ScoreTable:
    """Brier scores of ``estimators`` in ``cells``, over the same cases those of ``baselines``, and reliability.

    Formula:
        ``skill = 1 - sum (p - y)^2 / sum (p_baseline - y)^2`` over cases in which both spoke;
        ``reliability error = sum_bins n |mean p - mean y| / sum n``. Sums shrink with ``age``.

    Fails:
        The reliability error of few cases is too large by chance: 100 cases of one half miss by 0.04 on the whole.

    >>> table = ScoreTable(("2 %",), ("usual", "full"), ("usual",))
    >>> table.add(np.array([[[0.5], [0.9]], [[0.5], [0.1]]]), np.array([[1.0], [0.0]]), np.array([0]))
    >>> round(table.skill("2 %", "full", "usual"), 3), round(table.reliability_error("2 %", "full"), 3)
    (0.96, 0.1)
    """

    def __init__(self, cells: Sequence[str], estimators: Sequence[str], baselines: Sequence[str]) -> None:
        self.cells, self.estimators, self.baselines = tuple(cells), tuple(estimators), tuple(baselines)
        shape = (len(self.cells), len(self.estimators))
        self._against = [self.estimators.index(name) for name in self.baselines]
        self._count = np.zeros(shape)
        self._loss = np.zeros(shape)
        self._own = np.zeros((*shape, len(self.baselines)))
        self._theirs = np.zeros((*shape, len(self.baselines)))
        self._bins = np.zeros((*shape, len(EDGES) + 1, PER_BIN))

    def add(self, said: Floats, happened: Floats, cells: Integers) -> None:
        """Count cases.

        Args:
            said: (cases, estimators, C) probabilities, negative where an estimator did not speak.
            happened: (cases, C) 1 or 0.
            cells: (C,) indices of their cells.
        """
        spoke = (said >= 0.0).astype(np.float64)
        loss = spoke * (said - happened[:, None, :]) ** 2
        self._count[cells] += spoke.sum(axis=0).T
        self._loss[cells] += loss.sum(axis=0).T
        for number, baseline in enumerate(self._against):
            both = spoke * spoke[:, baseline, None, :]
            self._own[cells, :, number] += (loss * both).sum(axis=0).T
            self._theirs[cells, :, number] += (loss[:, baseline, None, :] * both).sum(axis=0).T
        self._add_to_bins(said, happened, cells, spoke)

    def _add_to_bins(self, said: Floats, happened: Floats, cells: Integers, spoke: Floats) -> None:
        estimators, bins = len(self.estimators), len(EDGES) + 1
        place = np.searchsorted(EDGES, said, side="right")
        flat = ((cells * estimators + np.arange(estimators)[:, None]) * bins)[None] + place
        size = self._count.size * bins
        flat_places = flat.ravel()
        for number, amount in enumerate((spoke, spoke * said, spoke * happened[:, None, :])):
            self._bins[..., number] += np.bincount(flat_places, amount.ravel(), size).reshape(
                self._bins.shape[:-1]
            )

    def age(self, keep: float) -> None:
        """Let everything counted so far count ``keep`` of what it did."""
        for sums in (self._count, self._loss, self._own, self._theirs, self._bins):
            np.multiply(sums, keep, out=sums)

    def count(self, cell: str, estimator: str) -> float:
        """How many cases, weighted by age."""
        return float(self._count[self._at(cell, estimator)])

    def skill(self, cell: str, estimator: str, baseline: str) -> float | None:
        """1: perfect, 0: no better than ``baseline``; ``None`` before anything came due."""
        return self.skill_of((cell,), estimator, baseline)

    def skill_of(self, cells: Sequence[str], estimator: str, baseline: str) -> float | None:
        """As ``skill``, over several cells."""
        number = self.baselines.index(baseline)
        places = [self._at(cell, estimator) for cell in cells]
        theirs = sum(float(self._theirs[place][number]) for place in places)
        if theirs <= 0.0:
            return None
        return 1.0 - sum(float(self._own[place][number]) for place in places) / theirs

    def reliability_error(self, cell: str, estimator: str) -> float | None:
        """By how much what was said differs from how often it happened, on the whole."""
        count, said, happened = self._bins[self._at(cell, estimator)].T
        total = float(count.sum())
        return float(np.abs(said - happened).sum()) / total if total > 0.0 else None

    def reliability(self, cell: str, estimator: str) -> list[tuple[float, float, float]]:
        """(mean said, share that happened, count) of each bin that has any."""
        bins = self._bins[self._at(cell, estimator)]
        return [(said / count, hit / count, count) for count, said, hit in bins.tolist() if count > 0.0]

    def state(self) -> TableMemory:
        """All that was counted."""
        return TableMemory(
            sums={
                cell: {
                    name: np.concatenate(
                        [part[row, column].ravel() for part in self._parts()], dtype=np.float64
                    ).tolist()
                    for column, name in enumerate(self.estimators)
                }
                for row, cell in enumerate(self.cells)
            }
        )

    def restore(self, memory: TableMemory) -> None:
        """Go on from a former state; what it does not hold, or holds in another form, starts from nothing."""
        for row, cell in enumerate(self.cells):
            for column, name in enumerate(self.estimators):
                kept = np.array(memory.sums.get(cell, {}).get(name, ()), dtype=np.float64)
                parts = self._parts()
                if len(kept) != sum(part[row, column].size for part in parts):
                    continue
                for part in parts:
                    place = part[row, column]
                    part[row, column] = kept[: place.size].reshape(np.shape(place))
                    kept = kept[place.size :]

    def _parts(self) -> tuple[Floats, ...]:
        return (self._count, self._loss, self._own, self._theirs, self._bins)

    def _at(self, cell: str, estimator: str) -> tuple[int, int]:
        return self.cells.index(cell), self.estimators.index(estimator)
