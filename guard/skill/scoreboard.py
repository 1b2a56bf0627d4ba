"""All scores that are kept: probabilities by cell, reach by its quantiles, maps by what was liquidated. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from guard.forecasts import INTERVAL, MOVES, QUANTILES, SkillScore
from guard.skill.gate import ESTIMATORS, HAZARDS, NO_MAP, OI_DEPTH, USUAL, Gate, Target
from guard.skill.scores import ScoreTable, TableMemory
from guard.skill.sweeps import Swept
from guard.skill.waiting import Batch, DueReach

Floats = NDArray[np.float64]

BASELINES = (USUAL, OI_DEPTH)

LOW, HIGH = QUANTILES.index(0.10), QUANTILES.index(0.90)
"""Ends of the interval that is told."""

HAZARD_CELLS = tuple(tuple(f"{target} {move:.0%}" for move in MOVES) for target in HAZARDS)
"""By horizon, by move."""

REACH_CELLS = tuple(f"{Target.REACH} {move:.0%}" for move in MOVES)


@dataclass(slots=True)
class Amounts:
    """Losses of amounts (reach, mass), not of probabilities, beside the baseline's in the same cases.

    >>> amounts = Amounts()
    >>> amounts.add({"none": 2.0, "learned": 1.0}, {"learned": True}, "none")
    >>> amounts.skill("learned"), amounts.covered("learned")
    (0.5, 1.0)
    """

    sums: dict[str, list[float]] = field(default_factory=dict)

    def add(
        self, losses: Mapping[str, float], covered: Mapping[str, bool], baseline: str, weight: float = 1.0
    ) -> None:
        """Count a case: losses by estimator, and whether what happened lay in its interval."""
        for name, loss in losses.items():
            sums = self.sums.setdefault(name, [0.0] * 4)
            sums[0] += weight
            sums[1] += weight * loss
            sums[2] += weight * losses.get(baseline, loss)
            sums[3] += weight * covered.get(name, False)

    def age(self, keep: float) -> None:
        """Let everything counted so far count ``keep`` of what it did."""
        self.sums = {name: [each * keep for each in sums] for name, sums in self.sums.items()}

    def count(self, name: str) -> float:
        """How many cases, weighted."""
        return self.sums.get(name, (0.0,))[0]

    def skill(self, name: str) -> float | None:
        """1 - loss over the baseline's; ``None`` before anything came due."""
        _, loss, baseline, _ = self.sums.get(name, (0.0,) * 4)
        return 1.0 - loss / baseline if baseline > 0.0 else None

    def covered(self, name: str) -> float | None:
        """Share of cases within the interval; it should be ``INTERVAL``."""
        count, _, _, covered = self.sums.get(name, (0.0,) * 4)
        return covered / count if count > 0.0 else None


class ScoreboardMemory(Struct, frozen=True, kw_only=True):
    """All that was counted."""

    hazards: TableMemory
    reaches: TableMemory
    amounts: dict[str, dict[str, list[float]]]


class Scoreboard:
    """Scores of all targets; ``scores`` tells them as messages, ``details`` cell by cell."""

    def __init__(self) -> None:
        self.hazards = ScoreTable([cell for row in HAZARD_CELLS for cell in row], ESTIMATORS, BASELINES)
        self.reaches = ScoreTable(REACH_CELLS, ESTIMATORS, BASELINES)
        self.amounts = {Target.REACH: Amounts(), Target.MAP: Amounts()}

    def add_hazards(self, batch: Batch) -> None:
        """Count a batch."""
        moves = np.array(MOVES)
        for horizon in range(len(HAZARDS)):
            rows = np.flatnonzero(batch.horizon[: batch.count] == horizon)
            if not len(rows):
                continue
            # Down and up are two cases of the same cells.
            said = np.moveaxis(batch.said[rows], 2, 1).reshape(-1, len(ESTIMATORS), len(MOVES))
            happened = (batch.farthest[rows].reshape(-1, 1) >= moves).astype(np.float64)
            self.hazards.add(said.astype(np.float64), happened, horizon * len(MOVES) + np.arange(len(MOVES)))

    def add_reach(self, due: DueReach) -> None:
        """Count one onset."""
        happened = (due.reach >= np.array(MOVES)).astype(np.float64)
        self.reaches.add(due.said.probability[None], happened[None], np.arange(len(MOVES)))
        losses, covered = {}, {}
        for row, name in enumerate(ESTIMATORS):
            quantiles = due.said.quantiles[row]
            if quantiles[0] >= 0.0:
                losses[name] = pinball(quantiles, due.reach)
                covered[name] = bool(quantiles[LOW] <= due.reach <= quantiles[HIGH])
        self.amounts[Target.REACH].add(losses, covered, USUAL)

    def add_swept(self, swept: Swept) -> None:
        """Count one window of a map."""
        self.amounts[Target.MAP].add(swept.losses, swept.covered, NO_MAP, swept.weight)

    def age(self, keep: float) -> None:
        """Let everything counted so far count ``keep`` of what it did."""
        self.hazards.age(keep)
        self.reaches.age(keep)
        for amounts in self.amounts.values():
            amounts.age(keep)

    def scores(self, gate: Gate) -> tuple[SkillScore, ...]:
        """Each target's estimators against the climatology (maps: against no map), all moves together."""
        found: list[SkillScore] = []
        for target, baseline in ((Target.MAP, NO_MAP), (Target.REACH, USUAL)):
            amounts = self.amounts[target]
            for name in amounts.sums:
                covered = amounts.covered(name)
                found.append(
                    SkillScore(
                        target=str(target),
                        estimator=name,
                        weight=gate.weight(target, name),
                        skill=amounts.skill(name),
                        baseline=baseline,
                        reliability_error=None if covered is None else abs(covered - INTERVAL),
                        count=amounts.count(name),
                    )
                )
        for target, cells in zip(HAZARDS, HAZARD_CELLS, strict=True):
            found += self._of(self.hazards, target, str(target), cells, USUAL, gate)
        return tuple(found)

    def details(self, gate: Gate) -> tuple[SkillScore, ...]:
        """Cell by cell, against each baseline."""
        found: list[SkillScore] = []
        for baseline in BASELINES:
            for cell in REACH_CELLS:
                found += self._of(self.reaches, Target.REACH, cell, (cell,), baseline, gate)
            for target, cells in zip(HAZARDS, HAZARD_CELLS, strict=True):
                for cell in cells:
                    found += self._of(self.hazards, target, cell, (cell,), baseline, gate)
        return tuple(found)

    def state(self) -> ScoreboardMemory:
        """All that was counted."""
        return ScoreboardMemory(
            hazards=self.hazards.state(),
            reaches=self.reaches.state(),
            amounts={
                str(target): {name: list(sums) for name, sums in amounts.sums.items()}
                for target, amounts in self.amounts.items()
            },
        )

    def restore(self, memory: ScoreboardMemory) -> None:
        """Go on from a former state."""
        self.hazards.restore(memory.hazards)
        self.reaches.restore(memory.reaches)
        for target, amounts in self.amounts.items():
            kept = memory.amounts.get(str(target), {})
            amounts.sums = {name: list(sums) for name, sums in kept.items() if len(sums) == 4}

    def _of(
        self,
        table: ScoreTable,
        target: Target,
        called: str,
        cells: tuple[str, ...],
        baseline: str,
        gate: Gate,
    ) -> list[SkillScore]:
        found = []
        for name in ESTIMATORS:
            count = sum(table.count(cell, name) for cell in cells) / len(cells)
            errors = [table.reliability_error(cell, name) for cell in cells]
            if count > 0.0:
                found.append(
                    SkillScore(
                        target=called,
                        estimator=name,
                        weight=gate.weight(target, name),
                        skill=table.skill_of(cells, name, baseline),
                        baseline=baseline,
                        reliability_error=max(error for error in errors if error is not None),
                        count=count,
                    )
                )
        return found


def pinball(quantiles: Floats, happened: float) -> float:
    """Mean quantile loss along ``QUANTILES``, twice: the continuous ranked probability score of that distribution."""
    levels = np.array(QUANTILES)
    short = happened - quantiles
    return float(2.0 * np.maximum(levels * short, (levels - 1.0) * short).mean())
