"""Windows of flow, the price's answer to it, and how depth comes back after a sweep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.market.below import BelowSince
from guard.market.flow import PriceResponse, RefillHalfLife, SlidingSum
from guard.units import NS_PER_MS as MS
from guard.units import NS_PER_S as S


@given(
    st.lists(st.tuples(st.integers(0, 5_000_000_000), st.floats(-1e6, 1e6)), max_size=60),
    st.integers(0, 70),
    st.integers(0, 60 * S),
)
def test_a_window_holds_what_fell_into_its_seconds(
    steps: list[tuple[int, float]], window_s: int, later: int
) -> None:
    sums, at, seen = SlidingSum(seconds_max=60), 0, []
    for step, amount in steps:
        at += step
        sums.add(at, amount)
        seen.append((at // S, amount))
    now = at + later
    first = now // S - min(window_s, 60)
    expected = sum(amount for second, amount in seen if second > first)
    assert sums.total(window_s, now) == pytest.approx(expected, abs=1e-6)


def test_asking_about_the_future_forgets_nothing() -> None:
    sums = SlidingSum()
    sums.add(0, 5.0)
    assert sums.total(60.0, 10_000 * S) == 0.0
    assert sums.total(60.0, 0) == 5.0


def test_late_amounts_are_counted_now() -> None:
    sums = SlidingSum()
    sums.add(100 * S, 1.0)
    sums.add(50 * S, 2.0)
    assert sums.total(1.0, 100 * S) == 3.0


@pytest.mark.parametrize("slope", [0.5, 3.0, 40.0])
def test_price_response_finds_the_slope_through_noise(slope: float) -> None:
    rng, response, mid = np.random.default_rng(3), PriceResponse(), 100.0
    for step in range(4 * 900):
        flow = float(rng.normal(0.0, 1e5))
        mid *= 1.0 + (slope * flow / 1e6 + float(rng.normal(0.0, 0.05))) / 1e4
        response.observe(step * 250 * MS, mid, flow)
    assert response.bps_per_musd == pytest.approx(slope, rel=0.25)


def test_price_response_is_unknown_without_flow() -> None:
    response = PriceResponse()
    for second in range(200):
        response.observe(second * S, 100.0 + second, 0.0)
    assert response.bps_per_musd is None


def test_price_response_ignores_what_happened_while_nobody_looked() -> None:
    response = PriceResponse()
    for second in range(100):
        response.observe(second * S, 100.0, 1e5 * (second % 3))
    response.interrupt()
    response.observe(101 * S, 50.0, -1e9)
    response.observe(102 * S, 50.0, 1e5)
    assert response.bps_per_musd == pytest.approx(0.0, abs=1e-6)


def sweep(refill: RefillHalfLife, start_ms: int, half_life_ms: float, step_ms: int = 50) -> int:
    """Full for two seconds, then emptied to a tenth and filling up exponentially for ten."""
    at = start_ms
    while at < start_ms + 2_000:
        refill.observe(at * MS, 100.0)
        at += step_ms
    swept_at = at
    while at < swept_at + 10_000:
        refill.observe(at * MS, 100.0 - 90.0 * 0.5 ** ((at - swept_at) / half_life_ms))
        at += step_ms
    return at


@pytest.mark.parametrize("half_life_ms", [200.0, 1_000.0, 3_000.0])
def test_refill_measures_the_half_life(half_life_ms: float) -> None:
    refill, at = RefillHalfLife(), 0
    for _ in range(3):
        at = sweep(refill, at, half_life_ms)
    assert refill.half_life_ms(at * MS) == pytest.approx(half_life_ms, rel=0.3)


def test_an_open_sweep_shows_before_it_is_over() -> None:
    refill = RefillHalfLife()
    at = sweep(refill, 0, 200.0)
    refill.observe(at * MS, 5.0)
    refill.observe((at + 5_000) * MS, 6.0)
    assert refill.half_life_ms((at + 5_000) * MS) == pytest.approx(5_000.0)


def test_what_never_comes_back_counts_as_the_longest_wait_and_ends() -> None:
    refill = RefillHalfLife(patience_s=10.0)
    refill.observe(0, 100.0)
    for second in range(1, 30):
        refill.observe(second * S, 10.0)
    assert refill.half_life_ms(30 * S) == pytest.approx(10_000.0)


def test_calm_depth_is_no_sweep() -> None:
    refill = RefillHalfLife()
    for step in range(1_000):
        refill.observe(step * 100 * MS, 100.0 + 10.0 * (step % 3))
    assert refill.half_life_ms(100 * S) is None


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0.0, 2.0)), min_size=1, max_size=60),
    st.floats(0.0, 2.0),
)
def test_below_since_equals_looking_back_sample_by_sample(
    steps: list[tuple[int, float]], level: float
) -> None:
    series, at, seen = BelowSince(), 0, []
    for step, value in steps:
        at += step
        series.push(at, value)
        seen.append((at, value))
    expected = None
    for when, value in reversed(seen):
        if value >= level:
            break
        expected = when
    assert series.since(level) == expected


def test_below_since_has_a_bound_and_then_answers_too_short_never_too_long() -> None:
    series = BelowSince()
    for at in range(5_000):
        series.push(at, 1.0 - at / 10_000.0)
    since = series.since(2.0)
    assert since is not None
    assert since >= 5_000 - series.KEPT_MAX - 1
