"""The way down against brute force: none costs less, and it is Almgren and Chriss's, or even, where it should be."""

from __future__ import annotations

from math import sinh

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from guard.unwinding.trajectory import Course, course

Floats = NDArray[np.float64]

positive = st.floats(0.01, 100.0)
maybe = st.one_of(st.just(0.0), st.floats(1e-4, 10.0))


def way(found: Course, horizon_s: float, steps: int) -> Floats:
    return np.array([found.left(horizon_s * at / steps) for at in range(steps + 1)])


def cost(path: Floats, horizon_s: float, impact: float, risk: float, hazard_loss: float) -> float:
    """What the integral comes to for a path of straight pieces."""
    step_s = horizon_s / (len(path) - 1)
    rate = np.diff(path) / step_s
    low, high = path[:-1], path[1:]
    squares = (low * low + low * high + high * high) / 3.0
    return float(step_s * np.sum(impact * rate**2 + risk * squares + hazard_loss * (low + high) / 2.0))


@settings(max_examples=40)
@given(positive, positive, positive, maybe, maybe)
def test_it_falls_from_all_to_nothing_and_never_rises(
    size: float, horizon_s: float, impact: float, risk: float, hazard_loss: float
) -> None:
    found = course(size, horizon_s, impact=impact, risk=risk, hazard_loss=hazard_loss)
    path = way(found, horizon_s, 24)

    assert found.horizon_s <= horizon_s
    assert path[0] == size
    assert path[-1] <= 1e-12 * size
    assert np.all(np.diff(path) <= 1e-9 * size)
    assert np.all(np.diff(path, 2) >= -1e-7 * size), "what is urgent comes first"


@settings(max_examples=40)
@given(positive, positive, positive, maybe, maybe, st.integers(0, 2**32 - 1))
def test_no_other_way_costs_less(
    size: float, horizon_s: float, impact: float, risk: float, hazard_loss: float, seed: int
) -> None:
    steps = 200
    found = course(size, horizon_s, impact=impact, risk=risk, hazard_loss=hazard_loss)
    best = cost(way(found, horizon_s, steps), horizon_s, impact, risk, hazard_loss)
    random = np.random.default_rng(seed)
    for _ in range(4):
        share = random.uniform(0.0, 1.0)
        other = np.concatenate(([1.0], np.sort(random.uniform(0.0, 1.0, 5))[::-1], [0.0]))
        other = size * np.interp(np.linspace(0.0, 6.0, steps + 1), np.arange(7.0), other)
        mixed = share * other + (1.0 - share) * way(found, horizon_s, steps)
        # Straight pieces cost a little more than the curve that they stand for, both alike.
        assert cost(mixed, horizon_s, impact, risk, hazard_loss) >= best * (1.0 - 4e-3)


@pytest.mark.parametrize("hazard_loss", [0.0, 0.005])
@pytest.mark.parametrize("risk", [1e-9, 1e-3, 0.05])
def test_it_is_what_the_equations_of_the_discrete_problem_give(risk: float, hazard_loss: float) -> None:
    """Minimise the sum over straight pieces by solving for where its gradient is 0, without any closed form."""
    size, horizon_s, impact, steps = 10.0, 20.0, 1.0, 1_000
    step_s = horizon_s / steps
    unknown = steps - 1
    matrix, right = np.zeros((unknown, unknown)), np.full(unknown, -hazard_loss * step_s)
    middle, beside = (
        4.0 * impact / step_s + 4.0 * risk * step_s / 3.0,
        -2.0 * impact / step_s + risk * step_s / 3.0,
    )
    matrix += np.diag(np.full(unknown, middle))
    matrix += np.diag(np.full(unknown - 1, beside), 1) + np.diag(np.full(unknown - 1, beside), -1)
    right[0] -= beside * size
    solved = np.linalg.solve(matrix, right)
    found = course(size, horizon_s, impact=impact, risk=risk, hazard_loss=hazard_loss)
    assert solved.min() > 0.0, "the closed form without the floor at 0"
    assert way(found, horizon_s, steps)[1:-1] == pytest.approx(solved, abs=1e-4 * size)


def test_without_a_hazard_it_is_almgren_and_chriss() -> None:
    found = course(100.0, 60.0, impact=2.0, risk=0.02)
    assert found.kappa == pytest.approx(0.1)
    for after_s in (0.0, 1.0, 20.0, 59.0):
        assert found.left(after_s) == pytest.approx(100.0 * sinh(0.1 * (60.0 - after_s)) / sinh(6.0))


@settings(max_examples=40)
@given(positive, positive, positive, st.floats(0.0, 1.0))
def test_without_risk_and_hazard_it_is_even(
    size: float, horizon_s: float, impact: float, part: float
) -> None:
    for risk in (0.0, 1e-14 * impact / horizon_s**2):
        found = course(size, horizon_s, impact=impact, risk=risk)
        assert found.left(part * horizon_s) == pytest.approx(size * (1.0 - part), abs=1e-9 * size)


@settings(max_examples=40)
@given(positive, positive, positive, maybe, maybe, st.floats(0.05, 0.9))
def test_asked_again_on_the_way_it_goes_on_as_it_was(
    size: float, horizon_s: float, impact: float, risk: float, hazard_loss: float, part: float
) -> None:
    found = course(size, horizon_s, impact=impact, risk=risk, hazard_loss=hazard_loss)
    gone_s = part * found.horizon_s
    rest = course(found.left(gone_s), horizon_s - gone_s, impact=impact, risk=risk, hazard_loss=hazard_loss)
    for further in (0.1, 0.5, 0.9):
        further_s = further * (found.horizon_s - gone_s)
        assert rest.left(further_s) == pytest.approx(found.left(gone_s + further_s), abs=2e-6 * size)


@settings(max_examples=40)
@given(positive, positive, positive, maybe, maybe)
def test_more_hazard_never_leaves_more(
    size: float, horizon_s: float, impact: float, risk: float, hazard_loss: float
) -> None:
    less = course(size, horizon_s, impact=impact, risk=risk, hazard_loss=hazard_loss)
    more = course(size, horizon_s, impact=impact, risk=risk, hazard_loss=2.0 * hazard_loss + 0.01)
    for at in range(11):
        after_s = horizon_s * at / 10
        assert more.left(after_s) <= less.left(after_s) + 1e-9 * size


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1.0])
def test_what_is_no_number_is_refused(odd: float) -> None:
    with pytest.raises(ValueError, match="numbers"):
        course(odd, 60.0, impact=1.0, risk=0.0)
    with pytest.raises(ValueError, match="numbers"):
        course(1.0, 60.0, impact=1.0, risk=0.0, hazard_loss=odd)


def test_numbers_beyond_all_measure_end_at_once() -> None:
    found = course(1.0, 60.0, impact=1e-300, risk=1e300)
    assert found.left(0.0) == 1.0
    assert found.left(1.0) == 0.0
