"""What each estimator counts: weights that follow how it has done, pooled over all markets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import exp

from msgspec import Struct

BLOCK_S = 3600.0
"""Evidence is gathered for as long and then counted at once: what happens within an hour is one happening."""


class Target(StrEnum):
    """What is forecast, each with weights of its own: a map helps over an hour and may hurt over five minutes."""

    MAP = "map"
    """Mass liquidated when price goes somewhere."""
    REACH = "reach"
    """How far it goes once a shock is under way."""
    HAZARD_5 = "hazard 5 min"
    HAZARD_15 = "hazard 15 min"
    HAZARD_60 = "hazard 60 min"


HAZARDS = (Target.HAZARD_5, Target.HAZARD_15, Target.HAZARD_60)
"""Along ``guard.forecasts.HORIZONS_S``."""

NO_MAP = "none"
"""Of ``Target.MAP``: so much of the open interest for each percent, as has been liquidated on the whole."""

LEARNED = "learned"
"""Of ``Target.MAP``: the map."""

USUAL = "usual"
"""What has happened on the whole in markets of its class, learned while running: the climatology."""

FITTED = "climatology"
"""What happened on the whole in what was fitted on: scored, not weighed."""

OI_DEPTH = "oi_depth"
"""The one-line baseline."""

FLOW = "flow"
"""Everything but the map and open interest."""

FULL = "full"
"""Everything."""

SETTLED = "settled"
"""Everything, at the rates of falls that are seen while running; of hazard alone."""

PUBLISHED = "published"
"""What is told in the end: scored, not weighed."""

ESTIMATORS = (USUAL, FITTED, OI_DEPTH, FLOW, FULL, SETTLED, PUBLISHED)
"""Of reach and hazard, those whose forecasts are kept and scored."""

_OF_HAZARD = {USUAL: 0.03, OI_DEPTH: 0.03, FLOW: 0.09, FULL: 0.7, SETTLED: 0.15}

PRIORS: Mapping[Target, Mapping[str, float]] = {
    Target.MAP: {NO_MAP: 0.3, LEARNED: 0.7},
    Target.REACH: {USUAL: 0.05, OI_DEPTH: 0.05, FLOW: 0.15, FULL: 0.75},
    Target.HAZARD_5: _OF_HAZARD,
    Target.HAZARD_15: _OF_HAZARD,
    Target.HAZARD_60: _OF_HAZARD,
}
"""Weights before anything has come due: what was fitted on made-up markets is believed more than not, not alone.

Chosen on training episodes, each world left out (decision 0272); the band of the mixed reach holds what came in 78 %.
"""

LENT: Mapping[Target, Mapping[Target, float]] = {Target.REACH: {Target.HAZARD_15: 0.5, Target.HAZARD_60: 0.5}}
"""Shocks are too rare to learn from them alone: ``REACH`` also counts so much of what others have shown."""


class GateSettings(Struct, frozen=True, kw_only=True):
    """How fast weights follow.

    ``switch_days`` is how long an estimator is thought to stay the best on the whole: a share of the weights returns
    to the prior at that rate, so that what lost its weight can earn it back. ``nats_max`` bounds how far one hour
    moves the log of a weight.
    """

    switch_days: float = 10.0
    nats_max: float = 1.0


class GateMemory(Struct, frozen=True, kw_only=True):
    """Weights, to be kept: by target, by estimator."""

    weights: dict[str, dict[str, float]]


@dataclass(slots=True)
class Gate:
    """Weights of estimators by fixed-share exponentiated loss.

    Formula, once a block of an hour and target, with gains g in nats (how much better than the mixture an estimator
    did, log loss, counted as so many independent cases as there were; see ``Ledger``):
        ``w <- w exp(clip(g, -nats_max, nats_max)) / sum``, then ``w <- (1 - a) w + a prior`` with
        ``a = 1 - exp(-hours / (24 switch_days))``.

    Assumes:
        Which estimator is best changes seldom, and alike in all markets.

    Fails:
        Where nothing is told to judge by: then the prior holds, and comes back after evidence ends.

    Source: Herbster and Warmuth, Tracking the best expert, Machine Learning 32 (1998); estimators that were silent
    are left as they are (Freund and others, Using and combining predictors that specialize, 1997).

    >>> gate = Gate()
    >>> round(gate.shares(Target.HAZARD_15, {"flow": 0.1, "full": 0.2})["full"], 4)
    0.8861
    >>> gate.learn({Target.HAZARD_15: {"flow": 0.4, "full": -0.4}})
    >>> gate.shares(Target.HAZARD_15, {"flow": 0.1, "full": 0.2})["full"] < 0.8
    True
    """

    priors: Mapping[Target, Mapping[str, float]]
    settings: GateSettings
    _weights: dict[Target, dict[str, float]]
    _shares: dict[tuple[str, ...], dict[str, float]]
    """Worked out since weights changed last, by target and who spoke."""

    def __init__(
        self, priors: Mapping[Target, Mapping[str, float]] = PRIORS, settings: GateSettings | None = None
    ) -> None:
        self.priors = {target: _normal(weights) for target, weights in priors.items()}
        self.settings = settings or GateSettings()
        self._weights = {target: dict(weights) for target, weights in self.priors.items()}
        self._shares = {}

    def weights(self, target: Target) -> Mapping[str, float]:
        """What each estimator of ``target`` counts now; they sum to 1."""
        return self._weights[target]

    def weight(self, target: Target, estimator: str) -> float:
        """What one counts now; 0 for one that is not known."""
        return self._weights[target].get(estimator, 0.0)

    @property
    def map_share(self) -> float:
        """How much of the map's mass the cascade should count with: all of it unless it lost weight, 0: no map."""
        return min(1.0, self.weight(Target.MAP, LEARNED) / self.priors[Target.MAP][LEARNED])

    def shares(self, target: Target, spoken: Mapping[str, object]) -> Mapping[str, float]:
        """Weights of those that ``spoken`` names, sum 1; empty if none of them is known."""
        asked = (target, *spoken)
        found = self._shares.get(asked)
        if found is None:
            weights = self._weights[target]
            total = sum(weights.get(name, 0.0) for name in spoken)
            known = [name for name in spoken if name in weights] if total > 0.0 else []
            found = self._shares[asked] = {name: weights[name] / total for name in known}
        return found

    def learn(self, gains: Mapping[Target, Mapping[str, float]], hours: float = 1.0) -> None:
        """Count one block: for each target nats by which each estimator did better than the mixture.

        Estimators that are not named keep their share against the mixture (gain 0). ``hours`` since the block before.
        """
        self._shares.clear()
        back = 1.0 - exp(-hours / (24.0 * self.settings.switch_days))
        for target, weights in self._weights.items():
            total = dict(gains.get(target, {}))
            for lender, part in LENT.get(target, {}).items():
                for name, gain in gains.get(lender, {}).items():
                    total[name] = total.get(name, 0.0) + part * gain
            most = self.settings.nats_max
            moved = _normal(
                {
                    name: weight * exp(min(max(total.get(name, 0.0), -most), most))
                    for name, weight in weights.items()
                }
            )
            prior = self.priors[target]
            self._weights[target] = {
                name: (1.0 - back) * weight + back * prior[name] for name, weight in moved.items()
            }

    def state(self) -> GateMemory:
        """All that it learned."""
        return GateMemory(weights={str(target): dict(weights) for target, weights in self._weights.items()})

    def restore(self, memory: GateMemory) -> None:
        """Go on from a former state; what is new since then starts at its prior."""
        self._shares.clear()
        for target, prior in self.priors.items():
            kept = memory.weights.get(str(target), {})
            known = {name: kept.get(name, weight) for name, weight in prior.items()}
            self._weights[target] = known if kept.keys() == prior.keys() else _normal(known)


def _normal(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}
