"""Turns what came due within an hour into nats for and against each estimator, as the few cases it was. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from guard.forecasts import HORIZONS_S, MOVES
from guard.skill.gate import ESTIMATORS, HAZARDS, Gate, Target
from guard.skill.waiting import KEEP_S, Batch

Floats = NDArray[np.float64]

PROBABILITY_MIN = 1e-6
"""Nobody is believed to know more surely; also keeps the log loss finite."""

CORRELATION = 0.3
"""Between the same hour of two markets: n of them say as much as n / (1 + (n - 1) CORRELATION) that had nothing in
common, 3.3 at most. Crashes come to all at once; without this one hour of 200 markets would count as 200 hours."""


class Evidence:
    """Gains of a block under way.

    Formula:
        A market, minute and direction is one case with four outcomes: less than 2 %, 2 to 5, 5 to 10, more. An
        estimator's gain is the log of what it gave to the outcome less the log of what the mixture gave, weighed by
        60 s / horizon since windows overlap; summed over a market's cases, averaged over markets, times how many
        markets that is (``CORRELATION``). Maps: loss of the mixture less the estimator's, in log units.
    """

    def __init__(self) -> None:
        self._weight = np.array([KEEP_S / horizon for horizon in HORIZONS_S])
        self._gains = np.zeros((len(HAZARDS), len(ESTIMATORS)))
        self._others: dict[Target, dict[str, float]] = {}
        self._markets: dict[Target, set[int]] = {}

    def add_hazards(self, batch: Batch, gate: Gate) -> None:
        """Count a batch of hazards; ``gate`` gives the mixture that they are held against."""
        count = batch.count
        if count == 0:
            return
        weights = np.array(
            [[gate.weight(target, name) for name in ESTIMATORS] for target in HAZARDS], dtype=np.float64
        )
        horizon = batch.horizon[:count]
        gains = log_gains(batch.said[:count], batch.farthest[:count], weights[horizon])
        np.add.at(self._gains, horizon, gains * self._weight[horizon][:, None])
        for number, target in enumerate(HAZARDS):
            markets = batch.market[:count][horizon == number]
            if len(markets):
                self._markets.setdefault(target, set()).update(markets.tolist())

    def add(self, target: Target, market: int, gains: Mapping[str, float], weight: float = 1.0) -> None:
        """Count one case of a market."""
        sums = self._others.setdefault(target, {})
        for name, gain in gains.items():
            sums[name] = sums.get(name, 0.0) + weight * gain
        self._markets.setdefault(target, set()).add(market)

    def take(self) -> dict[Target, dict[str, float]]:
        """Give the block's gains in nats and begin another."""
        found: dict[Target, dict[str, float]] = {}
        for target, markets in self._markets.items():
            each = 1.0 / (1.0 + (len(markets) - 1) * CORRELATION)
            if target in HAZARDS:
                sums = dict(zip(ESTIMATORS, self._gains[HAZARDS.index(target)].tolist(), strict=True))
            else:
                sums = self._others[target]
            found[target] = {name: gain * each for name, gain in sums.items()}
        self._gains[:] = 0.0
        self._others, self._markets = {}, {}
        return found


def log_gains(said: NDArray[np.float32], farthest: Floats, weights: Floats) -> Floats:
    """Nats by which each estimator gave more to what happened than the mixture did, both directions together.

    Args:
        said: (cases, estimators, directions, moves), negative where one did not speak: then its gain is 0.
        farthest: (cases, directions), how far price went.
        weights: (cases, estimators) of the mixture.

    >>> said = np.array([[[[0.5, 0.1, 0.0]], [[0.1, 0.1, 0.0]]]], dtype=np.float32)
    >>> log_gains(said, np.array([[0.03]]), np.array([[0.5, 0.5]])).round(3).tolist()
    [[0.693, -12.206]]
    """
    happened = np.searchsorted(np.array(MOVES), farthest, side="right")
    spoke = said[..., 0] >= 0.0
    ends = np.concatenate([np.ones((*said.shape[:-1], 1)), said, np.zeros((*said.shape[:-1], 1))], axis=-1)
    place = np.broadcast_to(happened[:, None, :, None], (*said.shape[:-1], 1))
    nearer = np.take_along_axis(ends, place, axis=-1)[..., 0]
    farther = np.take_along_axis(ends, place + 1, axis=-1)[..., 0]
    given = np.maximum(nearer - farther, PROBABILITY_MIN)
    part = weights[:, :, None] * spoke
    total = part.sum(axis=1)
    mixed = np.where(total > 0.0, (part * given).sum(axis=1) / np.where(total > 0.0, total, 1.0), 1.0)
    gains = np.where(spoke & (total > 0.0)[:, None, :], np.log(given) - np.log(mixed)[:, None, :], 0.0)
    return np.asarray(gains.sum(axis=2))
