"""Turns what came due within an hour into nats for and against each estimator, as the few cases it was. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from guard.forecasts import HORIZONS_S, MOVES
from guard.skill.climatology import age_kept
from guard.skill.gate import ESTIMATORS, HAZARDS, LEARNED, NO_MAP, Gate, Target
from guard.skill.waiting import KEEP_S, Batch

Floats = NDArray[np.float64]

NAMES: Mapping[Target, tuple[str, ...]] = dict.fromkeys(Target, ESTIMATORS) | {Target.MAP: (NO_MAP, LEARNED)}
"""Estimators by target, in the order of arrays."""

PROBABILITY_MIN = 1e-6
"""Nobody is believed to know more surely; also keeps the log loss finite."""

CORRELATION = 0.3
"""First thought of what gains in two markets have in common within an hour: crashes come to all at once, and without
this one hour of 200 markets would count as 200 hours."""

CORRELATION_NATS2 = 2.0
"""That thought counts as so much was seen: some five events of single markets."""

CORRELATION_HALF_LIFE_DAYS = 56.0


class EvidenceMemory(Struct, frozen=True, kw_only=True):
    """How much gains in different markets have in common: sums of squares by target."""

    together: dict[str, float]
    apart: dict[str, float]


class Evidence:
    """Gains of a block under way.

    Formula:
        A market, minute and direction is one case with four outcomes: less than 2 %, 2 to 5, 5 to 10, more. An
        estimator's gain is the log of what it gave to the outcome less the log of what the mixture gave, weighed by
        60 s / horizon since windows overlap; ``g_m`` is its sum over a market's cases of the hour. All markets count
        ``sum_m g_m / d`` with the design effect ``d = sum_hours (sum_m g_m)^2 / sum_hours sum_m g_m^2``: 1 where
        markets have nothing in common, their number where they are one. Maps: loss of the mixture less the
        estimator's, in log units.

    Assumes:
        Hours have nothing in common beyond what the state of the gate carries from one to the next.

    Fails:
        Where what markets have in common changes from one day to the next: ``d`` follows in weeks.
    """

    def __init__(self) -> None:
        self._weight = np.array([KEEP_S / horizon for horizon in HORIZONS_S])
        self._gains: dict[Target, dict[int, Floats]] = {}
        self._together = dict.fromkeys(Target, 0.0)
        self._apart = dict.fromkeys(Target, 0.0)
        self.effects: dict[Target, float] = {}
        """Design effects of the block that was taken last."""

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
        gains *= self._weight[horizon][:, None]
        markets, places = np.unique(batch.market[:count], return_inverse=True)
        sums = np.zeros((len(HAZARDS), len(markets), len(ESTIMATORS)))
        np.add.at(sums, (horizon, places), gains)
        for number, target in enumerate(HAZARDS):
            for place in np.flatnonzero(np.bincount(places[horizon == number], minlength=len(markets))):
                self._count(target, int(markets[place]), sums[number, place])

    def add(self, target: Target, market: int, gains: Mapping[str, float], weight: float = 1.0) -> None:
        """Count one case of a market."""
        row = np.array([weight * gains.get(name, 0.0) for name in NAMES[target]])
        self._count(target, market, row)

    def take(self, hours: float = 1.0) -> dict[Target, dict[str, float]]:
        """Give the block's gains in nats and begin another; ``hours`` since the one before."""
        keep = age_kept(hours, CORRELATION_HALF_LIFE_DAYS)
        found: dict[Target, dict[str, float]] = {}
        self.effects = {}
        for target, of_markets in self._gains.items():
            rows = np.array(list(of_markets.values()))
            total = rows.sum(axis=0)
            self._together[target] = keep * self._together[target] + float((total**2).sum())
            self._apart[target] = keep * self._apart[target] + float((rows**2).sum())
            self.effects[target] = self.design_effect(target, len(rows))
            gains = total / self.effects[target]
            found[target] = dict(zip(NAMES[target], gains.tolist(), strict=True))
        self._gains = {}
        return found

    def design_effect(self, target: Target, markets: int) -> float:
        """Of how many markets one is worth as much as if it were alone, 1..``markets``."""
        first = 1.0 + (markets - 1) * CORRELATION
        seen = (self._together[target] + first * CORRELATION_NATS2) / (
            self._apart[target] + CORRELATION_NATS2
        )
        return min(max(seen, 1.0), float(markets))

    def state(self) -> EvidenceMemory:
        """What markets have in common; the block under way is not kept."""
        return EvidenceMemory(
            together={str(target): sums for target, sums in self._together.items()},
            apart={str(target): sums for target, sums in self._apart.items()},
        )

    def restore(self, memory: EvidenceMemory) -> None:
        """Go on from a former state."""
        for target in Target:
            self._together[target] = memory.together.get(str(target), 0.0)
            self._apart[target] = memory.apart.get(str(target), 0.0)

    def _count(self, target: Target, market: int, gains: Floats) -> None:
        of_markets = self._gains.setdefault(target, {})
        before = of_markets.get(market)
        of_markets[market] = gains if before is None else before + gains


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
