"""How far price moved in what is usual: known moves, learning, and that a crisis does not become usual."""

from __future__ import annotations

import math
import random

import pytest

from adapters.simulation.laboratory.moves import Moves

VOLATILITY = 0.04
SHORT = VOLATILITY * math.sqrt(30 / 86_400)


def walked(moves: Moves, volatility: float, hours: float, seed: int = 1) -> tuple[int, float]:
    drawn = random.Random(seed)
    level = 0.0
    second = 0
    for second in range(1, int(hours * 3_600)):
        level += drawn.gauss(0.0, volatility / math.sqrt(86_400))
        moves.update(second * 1_000, level)
    return second * 1_000, level


def test_a_move_counts_in_usual_deviations_of_its_horizon_until_the_horizon_is_over() -> None:
    moves = Moves(VOLATILITY, 0.0)
    moves.update(400_000, 0.0)
    assert moves.update(400_100, -8 * SHORT) == pytest.approx(8.0, rel=1e-2)
    assert moves.z_short == pytest.approx(-8.0, rel=1e-2)
    assert moves.z_long == pytest.approx(-8.0 / math.sqrt(10), rel=1e-2)
    moves.update(429_000, -8 * SHORT)
    assert moves.z == pytest.approx(8.0, rel=1e-2)
    moves.update(431_500, -8 * SHORT)
    assert moves.z_short == pytest.approx(0.0, abs=1e-9)
    assert moves.z == pytest.approx(8.0 / math.sqrt(10), rel=1e-2)
    moves.update(702_000, -8 * SHORT)
    assert moves.z == pytest.approx(0.0, abs=1e-9)
    assert moves.z_hour == pytest.approx(-8 * SHORT / (VOLATILITY * math.sqrt(3_600 / 86_400)), rel=1e-2)


def test_what_is_usual_is_learnt_over_a_day() -> None:
    moves = Moves(VOLATILITY, 0.0)
    before = moves.deviation(300.0)
    walked(moves, 2 * VOLATILITY, 30.0)
    assert 1.5 < moves.deviation(300.0) / before < 2.2


def test_what_is_usual_is_not_learnt_from_a_crisis() -> None:
    moves = Moves(VOLATILITY, 0.0)
    now_ms, level = walked(moves, VOLATILITY, 1.0)
    before = moves.deviation(300.0)
    for second in range(1, 1_800):
        level -= 2 * SHORT
        moves.update(now_ms + second * 1_000, level)
        if second > 5:
            assert moves.z > 4.0
    assert moves.deviation(300.0) == pytest.approx(before, rel=0.01)


def test_a_dead_calm_makes_nothing_unusual_of_a_small_move() -> None:
    moves = Moves(VOLATILITY, 0.0)
    moves.update(5 * 86_400_000, 0.0)
    assert moves.update(5 * 86_400_000 + 100, SHORT) == pytest.approx(1 / math.sqrt(0.2), rel=1e-2)
