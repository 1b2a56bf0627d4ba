"""Where falls are rarer than where models were fitted, odds come down by as much, slowly, and order stays."""

from __future__ import annotations

import numpy as np

from guard.forecasts import MOVES, Direction, HazardForecast
from guard.skill.gate import ESTIMATORS, SETTLED
from guard.skill.recalibration import Recalibration
from guard.skill.waiting import Batch
from tests.support.skill_readings import hazard

ROW = ESTIMATORS.index(SETTLED)
FITTED, LIFE = 0.2, 0.01
"""Of a fall of 2 % in 5 minutes, as models say and as it is."""


def hour_of(recalibration: Recalibration, chance: np.random.Generator, rate: float) -> None:
    """One market's hour: what the model says is settled, kept, and judged."""
    said = recalibration.settle(hazard(Direction.DOWN, FITTED)).probability[0]
    batch = Batch.of(60, len(ESTIMATORS))
    batch.said[:] = -1.0
    batch.said[:, ROW] = said
    # Five minutes share their windows' outcome.
    batch.farthest[:] = np.repeat(np.where(chance.random((12, 2)) < rate, 0.03, 0.0), 5, axis=0)
    batch.horizon[:] = 0
    batch.market[:] = batch.market_class[:] = 0
    batch.count = 60
    recalibration.add(batch)
    recalibration.turn(1.0, np.ones(3))


def test_rates_of_life_are_learned_within_days_and_again_when_they_change() -> None:
    recalibration, chance = Recalibration(), np.random.default_rng(3)
    assert recalibration.settle(hazard(Direction.DOWN, FITTED)) == hazard(Direction.DOWN, FITTED)
    for _ in range(24 * 21):
        hour_of(recalibration, chance, LIFE)
    settled = recalibration.settle(hazard(Direction.DOWN, FITTED)).probability[0][0]
    assert 0.5 * LIFE < settled < 2.0 * LIFE
    for _ in range(24 * 14):
        hour_of(recalibration, chance, 5.0 * LIFE)
    settled = recalibration.settle(hazard(Direction.DOWN, FITTED)).probability[0][0]
    assert settled > 2.0 * LIFE


def test_a_morning_proves_little() -> None:
    recalibration, chance = Recalibration(), np.random.default_rng(3)
    for _ in range(3):
        hour_of(recalibration, chance, 0.0)
    assert recalibration.factor(0, 0) > 0.2
    assert recalibration.factor(2, 0) == 1.0


def test_order_is_kept_whatever_was_learned() -> None:
    recalibration, chance = Recalibration(), np.random.default_rng(5)
    for _ in range(200):
        hour_of(recalibration, chance, LIFE)
    said = HazardForecast(
        direction=Direction.UP,
        probability=((0.3, 0.2, 0.19), (0.4, 0.3, 0.2), (0.5, 0.4, 0.3)),
        vulnerability=0.5,
        shock=0.4,
    )
    rows = recalibration.settle(said).probability
    assert all(list(row) == sorted(row, reverse=True) for row in rows)
    for move in range(len(MOVES)):
        column = [row[move] for row in rows]
        assert column == sorted(column)
    assert rows[0][0] < said.probability[0][0]


def test_it_goes_on_from_what_was_learned() -> None:
    recalibration, chance, other = Recalibration(), np.random.default_rng(5), Recalibration()
    for _ in range(30):
        hour_of(recalibration, chance, LIFE)
    other.restore(recalibration.state())
    assert other.state() == recalibration.state()
    assert other.settle(hazard(Direction.UP, FITTED)) == recalibration.settle(hazard(Direction.UP, FITTED))
