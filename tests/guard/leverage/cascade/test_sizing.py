"""What a reach asks of a position: that it just lives through it, and what a cut and an exit cost."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.events import CURVE_BPS
from guard.forecasts import Direction
from guard.leverage.cascade import (
    cascade,
    exit_cost,
    exit_costs,
    largest_leverage,
    largest_size,
    margin_wanted,
)
from tests.guard.leverage.cascade.books import BOTH, book

reaches = st.floats(0.0, 0.9)
ratios = st.floats(0.001, 0.1)
margins = st.floats(0.0, 0.2)
directions = st.sampled_from(BOTH)


def spare_usd(
    direction: Direction, size: float, equity: float, price: float, worst: float, r: float
) -> float:
    """Equity less maintenance once price is at ``worst``."""
    return equity + direction.sign * size * (price - worst) - r * size * worst


@settings(max_examples=40)
@given(direction=directions, reach=reaches, r=ratios, margin=margins, price=st.floats(1e-6, 1e6))
def test_a_position_of_the_largest_leverage_just_lives_through_it(
    direction: Direction, reach: float, r: float, margin: float, price: float
) -> None:
    leverage = largest_leverage(reach, r, margin, direction)
    worst = price * (1.0 + direction.sign * reach) * (1.0 + direction.sign * margin)
    assert spare_usd(direction, leverage, price, price, worst, r) == pytest.approx(0.0, abs=price * 1e-9)
    assert largest_leverage(min(reach + 0.01, 0.99), r, margin, direction) < leverage


@settings(max_examples=40)
@given(direction=directions, reach=reaches, r=ratios, equity=st.floats(1.0, 1e6), cost=st.floats(0.0, 0.02))
def test_what_is_left_after_a_cut_and_its_cost_just_lives_through_it(
    direction: Direction, reach: float, r: float, equity: float, cost: float
) -> None:
    size = 3.0 * equity * largest_leverage(reach, r, 0.0, direction) / 100.0
    left = largest_size(
        direction,
        price=100.0,
        equity_usd=equity,
        size=-size,
        reach=reach,
        maintenance_ratio=r,
        exit_cost_usd=lambda closed: cost * closed * 100.0,
    )
    worst = 100.0 * (1.0 + direction.sign * reach)
    if left is None:
        assert spare_usd(direction, 0.0, equity - cost * size * 100.0, 100.0, worst, r) < equity * 1e-6
        return
    paid = cost * (size - left) * 100.0
    assert 0.0 <= left < size
    assert spare_usd(direction, left, equity - paid, 100.0, worst, r) == pytest.approx(0.0, abs=equity * 1e-6)


def test_nothing_is_cut_where_all_of_it_lives() -> None:
    left = largest_size(
        Direction.DOWN, price=100.0, equity_usd=1e4, size=10.0, reach=0.1, maintenance_ratio=0.01
    )
    assert left is not None
    assert left > 10.0


def test_margin_does_what_a_cut_does() -> None:
    added = margin_wanted(
        Direction.UP, price=100.0, equity_usd=100.0, size=-50.0, reach=0.1, maintenance_ratio=0.01
    )
    kept = largest_size(
        Direction.UP, price=100.0, equity_usd=100.0 + added, size=-50.0, reach=0.1, maintenance_ratio=0.01
    )
    assert kept == pytest.approx(50.0)
    assert (
        margin_wanted(
            Direction.UP, price=100.0, equity_usd=1e6, size=-50.0, reach=0.1, maintenance_ratio=0.01
        )
        == 0.0
    )


def test_an_exit_that_costs_more_than_it_frees_is_none() -> None:
    left = largest_size(
        Direction.DOWN,
        price=100.0,
        equity_usd=100.0,
        size=50.0,
        reach=0.1,
        maintenance_ratio=0.01,
        exit_cost_usd=lambda closed: 0.2 * 100.0 * closed,
    )
    assert left is None


def test_a_cut_may_do_where_closing_everything_costs_too_much() -> None:
    def steep(closed: float) -> float:
        return 2.0 * closed**2

    left = largest_size(
        Direction.DOWN,
        price=100.0,
        equity_usd=540.0,
        size=50.0,
        reach=0.1,
        maintenance_ratio=0.01,
        exit_cost_usd=steep,
    )
    assert steep(50.0) > 540.0
    # 540 - 2 c^2 = (50 - c) (100 - 0.99 * 90), the smaller root
    assert left == pytest.approx(50.0 - (10.9 - (10.9**2 - 40.0) ** 0.5) / 4.0)


@pytest.mark.parametrize("direction", BOTH)
def test_nothing_fills_nearer_than_half_a_spread_which_a_crash_widens(direction: Direction) -> None:
    wide = replace(book(1e6, normal_usd=1e6), bid=99.9, ask=100.1)
    assert exit_cost(direction, wide, 1.0) == pytest.approx(1e-3)
    found = cascade(direction, wide, None)
    costs = exit_costs(direction, wide, 1.0, 0.0, found, 0.05)
    assert costs.crash - 0.05 == pytest.approx(1e-3 * found.liquidity_factor**0.75, rel=0.01)


@pytest.mark.parametrize("direction", BOTH)
@pytest.mark.parametrize("kappa", [0.8, 1.0, 2.0])
@pytest.mark.parametrize("usd", [1e4, 1e6, 8e7])
def test_an_exit_costs_the_mean_distance_of_what_it_takes(
    direction: Direction, kappa: float, usd: float
) -> None:
    """Against the curve summed up in small pieces."""
    bids = 1e6 * (np.array(CURVE_BPS) / 100.0) ** kappa
    known = replace(
        book(), bid_curve_usd=tuple(bids), ask_curve_usd=tuple(bids), bid_kappa=kappa, ask_kappa=kappa
    )
    taken = (np.arange(200_000) + 0.5) * usd / 200_000
    x = np.interp(taken, [0.0, *bids], [0.0, *CURVE_BPS])
    x = np.where(taken > bids[-1], 500.0 * (taken / bids[-1]) ** (1.0 / kappa), x)
    expected = float(np.mean(np.minimum(x, 1e4))) / 1e4
    assert exit_cost(direction, known, usd, 0.0005) == pytest.approx(max(expected, 1e-5) + 0.0005, rel=1e-4)


@settings(max_examples=40)
@given(direction=directions, usd=st.floats(0.0, 1e9), depth=st.floats(0.01, 1.0))
def test_an_exit_never_costs_less_in_a_thinner_book(direction: Direction, usd: float, depth: float) -> None:
    whole = exit_cost(direction, book(), usd)
    assert whole - 1e-12 <= exit_cost(direction, book(), usd, depth_ratio=depth) <= 1.0
    assert exit_cost(direction, book(), usd / 2.0) <= whole + 1e-12


def test_waiting_is_cheap_in_calm_and_dear_in_a_crash() -> None:
    calm = book(1e6, normal_usd=1e6)
    costs = exit_costs(Direction.DOWN, calm, 1e5, 0.0005, cascade(Direction.DOWN, calm, None), 0.08)
    assert costs.now == pytest.approx(costs.later)
    assert costs.crash > 0.08 + costs.now
    thin = book(1e5, normal_usd=1e6)
    late = exit_costs(Direction.DOWN, thin, 1e5, 0.0005, cascade(Direction.DOWN, thin, None), 0.02)
    assert late.now > 3.0 * late.later


@pytest.mark.parametrize("odd", [nan, inf, -0.1, 1.0])
def test_what_is_no_fraction_is_refused(odd: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        largest_leverage(odd, 0.01, 0.0)
    with pytest.raises(ValueError, match="fraction"):
        largest_leverage(0.1, 0.01, odd)
    with pytest.raises(ValueError, match="maintenance"):
        largest_leverage(0.1, odd, 0.0)


def test_a_price_may_double_but_not_fall_by_all_of_itself() -> None:
    assert 0.0 < largest_leverage(1.2, 0.01, 0.0, Direction.UP) < 1.0


def test_no_reach_and_no_maintenance_bound_nothing() -> None:
    with pytest.raises(ValueError, match="no largest size"):
        largest_leverage(0.0, 0.0, 0.0)


@settings(max_examples=40)
@given(usd=st.sampled_from([nan, inf, -1.0, 0.0, 1e300]), odd=st.sampled_from([nan, inf, -1.0, 0.0, 1e300]))
def test_odd_numbers_cost_at_most_everything(usd: float, odd: float) -> None:
    strange = replace(book(), bid_curve_usd=(odd,) * len(CURVE_BPS), bid_kappa=odd)
    assert 0.0 <= exit_cost(Direction.DOWN, strange, usd) <= 1.0
