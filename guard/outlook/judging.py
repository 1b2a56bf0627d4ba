"""What the experts say, weighed by how they have done so far, and kept until it can be judged. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp

from msgspec import structs

from guard.forecasts import Direction, HazardForecast, ReachForecast, SkillScore
from guard.hazard.artefact import Expert
from guard.hazard.experts import Estimates, hazard_forecast, reach_forecast
from guard.leverage.cascade import CascadeResult
from guard.leverage.crowd.side_map import SideMap
from guard.readings import Reading
from guard.skill.gate import LEARNED, NO_MAP, PUBLISHED, SETTLED, USUAL, Target
from guard.skill.ledger import Ledger
from guard.skill.mixing import mix_hazards, mix_reaches
from guard.units import MarketId

Told = tuple[tuple[ReachForecast, ...], tuple[HazardForecast, ...]]


@dataclass(slots=True)
class Judging:
    """One for all markets: call one of ``follow`` and ``weigh`` at each reading."""

    ledger: Ledger = field(default_factory=Ledger)
    _scores: tuple[SkillScore, ...] = ()
    _weights: Mapping[str, float] = field(default_factory=dict)
    _all_scores: tuple[SkillScore, ...] | None = None

    def follow(self, reading: Reading, sides: Mapping[Direction, SideMap | None]) -> None:
        """Nothing but a map can be told: judge what comes due all the same."""
        self.ledger.observe(reading)
        self.ledger.keep(reading, maps=_maps(sides))

    def weigh(
        self,
        reading: Reading,
        structures: Sequence[CascadeResult],
        estimates: Sequence[Mapping[Expert, Estimates]],
        shifts: Sequence[float],
        sides: Mapping[Direction, SideMap | None],
    ) -> Told:
        """Tell reach and hazard of each direction; ``shifts`` is what outside facts add to the log-odds of a move."""
        ledger, gate = self.ledger, self.ledger.gate
        onsets, is_kept = ledger.observe(reading), ledger.wants(reading)
        weighed_hazard, weighed_reach = gate.weights(Target.HAZARD_15), gate.weights(Target.REACH)
        reaches: list[ReachForecast] = []
        hazards: list[HazardForecast] = []
        all_reaches: dict[Direction, dict[str, ReachForecast]] = {}
        all_hazards: dict[Direction, dict[str, HazardForecast]] = {}
        for structure, said, shift in zip(structures, estimates, shifts, strict=True):
            direction = structure.direction
            # Who is scored but not weighed is asked only for what is kept to be scored: once a minute, at onsets.
            by_hazard: dict[str, HazardForecast] = {
                str(name): hazard_forecast(direction, each)
                for name, each in said.items()
                if is_kept or name in weighed_hazard
            }
            by_reach: dict[str, ReachForecast] = {
                str(name): reach_forecast(each, structure)
                for name, each in said.items()
                if direction in onsets or name in weighed_reach
            }
            if Expert.FULL in said:
                by_hazard[SETTLED] = ledger.recalibration.settle(by_hazard[str(Expert.FULL)])
            hazard = mix_hazards(
                gate, {USUAL: ledger.climatology.hazard(reading.market, direction), **by_hazard}
            )
            reach = mix_reaches(
                gate, {USUAL: ledger.climatology.reach(direction), **by_reach}, structure.forecast()
            )
            if hazard is not None:
                hazards.append(_shifted(hazard, shift))
                all_hazards[direction] = {**by_hazard, PUBLISHED: hazards[-1]}
            if reach is not None:
                reaches.append(reach)
                all_reaches[direction] = {**by_reach, PUBLISHED: reach}
        ledger.keep(reading, hazards=all_hazards, reaches=all_reaches, maps=_maps(sides), onsets=onsets)
        return tuple(reaches), tuple(hazards)

    def scores(self) -> tuple[SkillScore, ...]:
        """How each has done, and the weight of those of whom nothing has come due yet."""
        scores, weights = self.ledger.scores(), self.ledger.gate.weights(Target.MAP)
        if self._all_scores is None or scores is not self._scores or weights is not self._weights:
            self._scores, self._weights = scores, weights
            self._all_scores = scores + self._unscored(scores)
        return self._all_scores

    def _unscored(self, scores: tuple[SkillScore, ...]) -> tuple[SkillScore, ...]:
        told = {(score.target, score.estimator) for score in scores}
        return tuple(
            SkillScore(
                target=str(target),
                estimator=name,
                weight=weight,
                skill=None,
                baseline=NO_MAP if target is Target.MAP else USUAL,
                reliability_error=None,
                count=0.0,
            )
            for target in Target
            for name, weight in self.ledger.gate.weights(target).items()
            if (str(target), name) not in told
        )

    def forget(self, market: MarketId) -> None:
        """The market is watched no more."""
        self.ledger.forget(market)


def counted(side: SideMap | None, share: float) -> SideMap | None:
    """The map as the cascade counts with it: what is estimated by ``share``, what a venue publishes in full.

    >>> import numpy as np
    >>> half = counted(SideMap(np.array([4.0, 4.0]), 0.5, 100.0, np.array([1.0, 0.0])), 0.5)
    >>> half.usd.tolist()
    [2.5, 2.0]
    """
    if side is None or share >= 1.0:
        return side
    exact = 0.0 if side.exact_usd is None else side.exact_usd
    return replace(side, usd=exact + (side.usd - exact) * share)


def _maps(sides: Mapping[Direction, SideMap | None]) -> dict[Direction, dict[str, SideMap]]:
    return {direction: {LEARNED: side} for direction, side in sides.items() if side is not None}


def _shifted(hazard: HazardForecast, shift: float) -> HazardForecast:
    """The same with so much added to all log-odds.

    >>> told = HazardForecast(direction=Direction.DOWN, probability=((0.5,),), vulnerability=0.2, shock=0.5)
    >>> round(_shifted(told, 1.0986122886681098).probability[0][0], 6), _shifted(told, 0.0) is told
    (0.75, True)
    """
    if shift == 0.0:
        return hazard
    return structs.replace(
        hazard,
        probability=tuple(tuple(_moved(each, shift) for each in row) for row in hazard.probability),
        shock=_moved(hazard.shock, shift),
    )


def _moved(probability: float, shift: float) -> float:
    if not 0.0 < probability < 1.0:
        return probability
    return 1.0 / (1.0 + (1.0 / probability - 1.0) * exp(-shift))
