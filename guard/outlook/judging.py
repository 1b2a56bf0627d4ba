"""What the experts say, weighed by how they have done so far, and kept until it can be judged. No I/O, no clock."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp
from typing import Self

from msgspec import structs

from guard.calibration.blend import Blend
from guard.forecasts import Direction, HazardForecast, ReachForecast, SizingForecast, SkillScore
from guard.hazard.artefact import Expert
from guard.hazard.experts import Opinions, blend, hazard_forecast, reach_forecast
from guard.hazard.sizing import UsualDanger, sizing_forecast
from guard.leverage.cascade import CascadeResult, oi_depth_ratio
from guard.leverage.crowd.side_map import SideMap
from guard.readings import Reading
from guard.skill.gate import HAZARDS, LEARNED, NO_MAP, PUBLISHED, SETTLED, USUAL, Gate, Target
from guard.skill.ledger import Ledger
from guard.units import MarketId

Told = tuple[tuple[ReachForecast, ...], tuple[HazardForecast, ...]]


@dataclass(frozen=True, slots=True)
class _Shares:
    """Who is averaged, and how much each counts, as ``Blend`` takes it; ``None``: nobody counts.

    Attributes:
        rows: of the experts whose hazards are averaged.
        hazards: by horizon, of the usual, of each of ``rows``, and of the settled one where the full one speaks.
        reach_rows: of the experts whose reaches are averaged.
        reach: of the usual and of each of ``reach_rows``.
        sizing: by name, of those whose danger is averaged.
    """

    rows: array[int]
    hazards: array[float] | None
    reach_rows: array[int]
    reach: array[float] | None
    sizing: Mapping[str, float]

    @classmethod
    def of(cls, gate: Gate, rows: Mapping[Expert, int]) -> Self:
        """Look up the shares of those that speak."""
        settled = (SETTLED,) if Expert.FULL in rows else ()
        spoken = dict.fromkeys((USUAL, *map(str, rows), *settled))
        by_horizon = [gate.shares(target, spoken) for target in HAZARDS]
        counted = [name for name in rows if any(str(name) in shares for shares in by_horizon)]
        order = (USUAL, *map(str, counted), *settled)
        of_reach = gate.shares(Target.REACH, dict.fromkeys((USUAL, *map(str, rows))))
        reaching = [name for name in rows if str(name) in of_reach]
        return cls(
            rows=array("q", [rows[name] for name in counted]),
            hazards=array("d", [shares.get(name, 0.0) for shares in by_horizon for name in order])
            if all(by_horizon)
            else None,
            reach_rows=array("q", [rows[name] for name in reaching]),
            reach=array("d", [of_reach.get(name, 0.0) for name in (USUAL, *map(str, reaching))])
            if of_reach
            else None,
            sizing=gate.shares(Target.HAZARD_15, dict.fromkeys(map(str, rows))),
        )


@dataclass(slots=True)
class Judging:
    """One for all markets: call one of ``follow`` and ``weigh`` at each reading."""

    ledger: Ledger = field(default_factory=Ledger)
    usual_danger: UsualDanger = field(default_factory=UsualDanger)
    _scores: tuple[SkillScore, ...] = ()
    _weights: Mapping[str, float] = field(default_factory=dict)
    _all_scores: tuple[SkillScore, ...] | None = None
    _blend: Blend = field(default_factory=blend)
    _shares: dict[tuple[Expert, ...], _Shares] = field(default_factory=dict)
    """By who speaks, as of the weights below."""
    _known: Mapping[str, float] | None = None

    def follow(self, reading: Reading, sides: Mapping[Direction, SideMap | None]) -> None:
        """Nothing but a map can be told: judge what comes due all the same."""
        self.ledger.observe(reading)
        self.ledger.keep(reading, maps=_maps(sides))

    def weigh(
        self,
        reading: Reading,
        structures: Sequence[CascadeResult],
        estimates: Sequence[Opinions],
        shifts: Sequence[float],
        sides: Mapping[Direction, SideMap | None],
    ) -> Told:
        """Tell reach and hazard of each direction; ``shifts`` is what outside facts add to the log-odds of a move."""
        ledger = self.ledger
        onsets, is_kept = ledger.observe(reading), ledger.wants(reading)
        reaches: list[ReachForecast] = []
        hazards: list[HazardForecast] = []
        all_reaches: dict[Direction, dict[str, ReachForecast]] = {}
        all_hazards: dict[Direction, dict[str, HazardForecast]] = {}
        for structure, said, shift in zip(structures, estimates, shifts, strict=True):
            direction = structure.direction
            shares = self._shares_of(said.rows)
            hazard = self._hazard(reading.market, direction, said, shares)
            reach = self._reach(structure, said, shares)
            # What each says by itself is told only where it is kept to be scored: once a minute, at onsets.
            if hazard is not None:
                hazards.append(_shifted(hazard, shift))
                if is_kept:
                    all_hazards[direction] = {**self._all_hazards(direction, said), PUBLISHED: hazards[-1]}
            if reach is not None:
                reaches.append(reach)
                if direction in onsets:
                    by_reach = {str(name): reach_forecast(each, structure) for name, each in said.items()}
                    all_reaches[direction] = {**by_reach, PUBLISHED: reach}
        ledger.keep(reading, hazards=all_hazards, reaches=all_reaches, maps=_maps(sides), onsets=onsets)
        return tuple(reaches), tuple(hazards)

    def size(
        self, reading: Reading, structures: Sequence[CascadeResult], estimates: Sequence[Opinions]
    ) -> tuple[SizingForecast, ...]:
        """Tell what leverage each direction bears, by those experts that told most of what came within 15 minutes."""
        ratio = oi_depth_ratio(reading)
        usual = self.usual_danger.value
        found: list[SizingForecast] = []
        for structure, said in zip(structures, estimates, strict=True):
            shares = self._shares_of(said.rows).sizing
            told = sizing_forecast(structure.direction, said, shares, usual, ratio)
            if told is not None:
                found.append(told)
        return tuple(found)

    def _hazard(
        self, market: MarketId, direction: Direction, said: Opinions, shares: _Shares
    ) -> HazardForecast | None:
        """As ``mix_hazards`` of what all of them tell."""
        if shares.hazards is None:
            return None
        ledger = self.ledger
        probability, vulnerability, shock = self._blend.hazards(
            said.told,
            shares.rows,
            said.rows.get(Expert.FULL, -1),
            ledger.climatology.hazard_row(market, direction),
            ledger.recalibration.factors,
            shares.hazards,
        )
        return HazardForecast(
            direction=direction, probability=probability, vulnerability=vulnerability, shock=shock
        )

    def _reach(self, structure: CascadeResult, said: Opinions, shares: _Shares) -> ReachForecast | None:
        """As ``mix_reaches`` of what all of them tell."""
        if shares.reach is None:
            return None
        usual = self.ledger.climatology.reach_row()
        return structure.told(*self._blend.reach(said.told, shares.reach_rows, usual, shares.reach))

    def _all_hazards(self, direction: Direction, said: Opinions) -> dict[str, HazardForecast]:
        told = {str(name): hazard_forecast(direction, each) for name, each in said.items()}
        if Expert.FULL in said:
            told[SETTLED] = self.ledger.recalibration.settle(told[str(Expert.FULL)])
        return told

    def _shares_of(self, rows: Mapping[Expert, int]) -> _Shares:
        """What those that speak count now; worked out anew where the gate has learned."""
        known = self.ledger.gate.weights(Target.HAZARD_15)
        if known is not self._known:
            self._known = known
            self._shares.clear()
        speaking = tuple(rows)
        found = self._shares.get(speaking)
        if found is None:
            found = self._shares[speaking] = _Shares.of(self.ledger.gate, rows)
        return found

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
        self.usual_danger.forget(market)


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
