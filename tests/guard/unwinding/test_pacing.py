"""Slices sum to the cut, stay within what the book gives, and are even where nothing presses."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.forecasts import Direction
from guard.unwinding.pacing import LEAST, PaceSettings, Unwinding, course_of, next_slice, pace, schedule
from guard.unwinding.refill import refilled_share, slice_usd_max

SETTINGS = PaceSettings(interval_s=2.0, share=0.25, risk_aversion=1e-6, slip_bps=30.0)
CALM = Unwinding(
    size=100.0,
    price=100.0,
    direction=Direction.DOWN,
    depth_usd=20_000.0,
    band_bps=25.0,
    half_life_s=2.0,
    spread_bps=2.0,
    sigma=None,
    hazard_per_s=3e-4,
    loss_ratio=0.1,
    horizon_s=60.0,
)


@st.composite
def unwindings(draw: st.DrawFn) -> Unwinding:
    return Unwinding(
        size=draw(st.floats(0.01, 1e4)),
        price=draw(st.floats(0.01, 1e5)),
        direction=draw(st.sampled_from(Direction)),
        depth_usd=draw(st.one_of(st.just(0.0), st.floats(1.0, 1e8))),
        band_bps=25.0,
        half_life_s=draw(st.one_of(st.none(), st.floats(0.05, 60.0))),
        spread_bps=draw(st.floats(0.0, 300.0)),
        sigma=draw(st.one_of(st.none(), st.floats(1e-6, 1e-2))),
        hazard_per_s=draw(st.floats(0.0, 0.01)),
        loss_ratio=draw(st.floats(0.0, 1.0)),
        horizon_s=draw(st.floats(0.5, 300.0)),
    )


def bound(of: Unwinding, left: float) -> float:
    given_usd = slice_usd_max(of.depth_usd, SETTINGS.interval_s, of.half_life_s, SETTINGS.share)
    return max(given_usd / of.price, LEAST * left)


@settings(max_examples=40)
@given(unwindings())
def test_a_schedule_sums_to_the_cut_and_no_slice_is_more_than_the_book_gives(of: Unwinding) -> None:
    slices = schedule(of, SETTINGS)

    assert sum(slices) == pytest.approx(of.size)
    assert all(each > 0.0 for each in slices)
    left = of.size
    for each in slices[:-1]:
        assert each <= bound(of, left) * (1.0 + 1e-9)
        left -= each
    if len(slices) < 1_000:
        assert slices[-1] <= bound(of, left) * (1.0 + 1e-6) + 2e-9 * of.size


@settings(max_examples=40)
@given(unwindings(), st.floats(1.0, 100.0))
def test_more_depth_never_makes_a_smaller_slice(of: Unwinding, times: float) -> None:
    deeper = replace(of, depth_usd=of.depth_usd * times)
    assert next_slice(deeper, SETTINGS) >= next_slice(of, SETTINGS) * (1.0 - 1e-9)


def test_what_presses_nobody_goes_evenly() -> None:
    even = replace(CALM, depth_usd=1e9, hazard_per_s=0.0)
    careful = replace(SETTINGS, risk_aversion=0.0)
    slices = schedule(even, careful)
    assert slices == pytest.approx([100.0 / 30.0] * 30)


def test_asked_for_slice_by_slice_it_is_the_course() -> None:
    deep = replace(CALM, depth_usd=1e7, hazard_per_s=1e-9, sigma=1e-3)
    careful = replace(SETTINGS, risk_aversion=1e-6)
    found, left = course_of(deep, careful), deep.size
    slices = schedule(deep, careful)
    assert len(slices) > 3
    for at, each in enumerate(slices[:-1]):
        left -= each
        assert left == pytest.approx(found.left((at + 1) * careful.interval_s), abs=1e-5 * deep.size)
    assert all(first >= second * (1.0 - 1e-9) for first, second in pairwise(slices)), "the most comes first"


def test_the_book_is_never_missing_more_than_the_share_because_of_us() -> None:
    """A book that refills with the measured half-life, sold into slice by slice."""
    hole_usd, worst = 0.0, 0.0
    for each in schedule(replace(CALM, size=1_000.0), SETTINGS):
        hole_usd += each * CALM.price
        worst = max(worst, hole_usd / CALM.depth_usd)
        hole_usd *= 1.0 - refilled_share(SETTINGS.interval_s, CALM.half_life_s)
    assert 0.2 < worst <= SETTINGS.share + 1e-9


def test_what_is_small_for_the_book_goes_at_once() -> None:
    assert pace(replace(CALM, size=1.0, hazard_per_s=1e-3, depth_usd=1e6), SETTINGS) is None
    assert pace(replace(CALM, size=0.0), SETTINGS) is None


@settings(max_examples=40)
@given(unwindings())
def test_the_price_is_worse_than_mid_by_more_than_the_slip(of: Unwinding) -> None:
    found = pace(of, SETTINGS)
    if found is None:
        return
    assert 0.0 < found.slice_size < of.size
    assert found.interval_ms == 2_000
    if found.price_limit is not None:
        away = of.direction.sign * (found.price_limit / of.price - 1.0)
        assert away >= SETTINGS.slip_bps / 1e4 - 1e-9


def test_refill_is_that_of_the_time() -> None:
    assert slice_usd_max(1e6, 5.0, None, 0.2) < slice_usd_max(1e6, 5.0, 1.0, 0.2) < 0.2 * 1e6
    assert slice_usd_max(float("nan"), 5.0, 1.0, 0.2) == 0.0
    assert refilled_share(5.0, float("inf")) == refilled_share(5.0, None)
