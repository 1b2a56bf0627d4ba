"""Depth, slippage, reach and thin zones: what must hold of any book, and figures worked by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from guard.events import CURVE_BPS, NOTIONALS_USD, BookSide
from guard.market.book import Side
from guard.market.liquidity import (
    KAPPA_PRIOR,
    REACH_BPS_MAX,
    cell_densities,
    depth_usd,
    imbalance,
    reach_bps,
    round_trip_bps,
    side_features,
    slippage_bps,
    thin_zones,
)

MID = 100.0
NOTIONAL = st.floats(1.0, 1e9)
STEP = st.floats(0.01, 60.0)
ROUNDING_BPS = 1e-11
"""A ratio near 1 is exact to 1e-16; less 1 and in bps that is 1e-12."""
SIZE = st.floats(0.001, 1e5)


@st.composite
def sides(draw: st.DrawFn, which: Side | None = None) -> BookSide:
    """One side of a random book, at times with a horizon within it."""
    count = draw(st.integers(1, 40))
    away = np.cumsum(draw(st.lists(STEP, min_size=count, max_size=count)))
    sizes = np.array(draw(st.lists(SIZE, min_size=count, max_size=count)))
    assume(away[-1] < 9_000.0)
    sign = 1.0 if (which or draw(st.sampled_from(Side))) is Side.ASK else -1.0
    horizon = draw(st.none() | st.floats(0.0, float(away[-1]) * 1.5))
    return side_features(
        MID * (1.0 + sign * away / 1e4),
        sizes,
        MID,
        horizon=None if horizon is None else MID * (1.0 + sign * horizon / 1e4),
    )


@given(sides())
def test_the_curve_never_falls_and_extrapolation_never_undercuts_what_is_seen(side: BookSide) -> None:
    assert all(near <= far * (1 + 1e-12) for near, far in pairwise(side.curve_usd))
    beyond = [usd for bps, usd in zip(CURVE_BPS, side.curve_usd, strict=True) if bps > side.visible_bps]
    assert all(usd >= side.visible_usd * (1 - 1e-12) for usd in beyond)
    assert all(np.isfinite(side.curve_usd))
    assert all(density >= -1e-9 for density in cell_densities(side))


@given(sides(), NOTIONAL, st.floats(1.0, 1e3))
def test_a_larger_order_never_costs_less_and_never_stops_nearer(
    side: BookSide, notional: float, times: float
) -> None:
    small, large = slippage_bps(side, notional), slippage_bps(side, notional * times)
    assert 0.0 <= small.value <= large.value * (1 + 1e-9)
    assert small.extrapolated <= large.extrapolated
    near, far = reach_bps(side, notional), reach_bps(side, notional * times)
    assert near.value <= far.value * (1 + 1e-9)
    assert near.value >= small.value * (1 - 1e-9)


@given(sides(), st.floats(0.01, 2_000.0), st.floats(1.0, 10.0))
def test_depth_rises_with_distance(side: BookSide, bps: float, times: float) -> None:
    near, far = depth_usd(side, bps), depth_usd(side, bps * times)
    assert 0.0 <= near.value <= far.value * (1 + 1e-9)
    assert near.extrapolated <= far.extrapolated


@given(sides(), NOTIONAL)
def test_reach_is_the_inverse_of_depth(side: BookSide, notional: float) -> None:
    reach = reach_bps(side, notional).value
    assume(reach < REACH_BPS_MAX)
    assert depth_usd(side, reach).value >= notional * (1 - 1e-6)
    if reach > slippage_bps(side, notional).value * (1 + 1e-9):
        assert depth_usd(side, reach * (1 - 1e-9)).value <= notional * (1 + 1e-6)


@given(sides(), NOTIONAL)
def test_what_lies_behind_the_visible_levels_says_so(side: BookSide, notional: float) -> None:
    assert slippage_bps(side, notional).extrapolated == (notional > side.visible_usd)
    assert depth_usd(side, side.visible_bps * 1.01 + 0.01).extrapolated
    assert not depth_usd(side, side.visible_bps).extrapolated


@given(sides(Side.BID), sides(Side.ASK), NOTIONAL)
def test_a_round_trip_costs_about_both_slippages(bids: BookSide, asks: BookSide, notional: float) -> None:
    trip = round_trip_bps(bids, asks, notional)
    both = slippage_bps(bids, notional).value + slippage_bps(asks, notional).value
    assert trip.value >= both * (1 - 1e-9) - ROUNDING_BPS
    assert -1.0 <= imbalance(bids, asks) <= 1.0
    assert imbalance(asks, bids) == pytest.approx(-imbalance(bids, asks))


@given(
    st.lists(st.tuples(STEP, SIZE), min_size=3, max_size=30),
    st.floats(0.001, 1000.0),
    st.sampled_from([2.0, 0.25, 1024.0]),
)
def test_only_notional_matters_not_the_price_it_is_quoted_at(
    levels: list[tuple[float, float]], share: float, factor: float
) -> None:
    """Ten times the price and a tenth of the size is the same market."""
    away = np.cumsum([step for step, _ in levels])
    assume(away[-1] < 9_000.0)
    sizes = np.array([size for _, size in levels])
    plain = side_features(MID * (1 - away / 1e4), sizes, MID)
    scaled = side_features(MID * factor * (1 - away / 1e4), sizes / factor, MID * factor)
    assert scaled.curve_usd == pytest.approx(plain.curve_usd, rel=1e-9)
    assert scaled.visible_bps == pytest.approx(plain.visible_bps)
    notional = plain.visible_usd * share
    assert slippage_bps(scaled, notional).value == pytest.approx(
        slippage_bps(plain, notional).value, rel=1e-6
    )


@given(st.lists(st.tuples(STEP, SIZE), min_size=1, max_size=30))
@example([(1.0, 5.0), (1.0, 95.0), (1.0, 1e5)])
def test_measured_slippage_equals_walking_the_book(levels: list[tuple[float, float]]) -> None:
    away = np.cumsum([step for step, _ in levels])
    assume(away[-1] < 9_000.0)
    prices, sizes = MID * (1 + away / 1e4), np.array([size for _, size in levels])
    side = side_features(prices, sizes, MID)
    for notional, cost in zip(NOTIONALS_USD, side.slippage_bps, strict=True):
        left, base = notional, 0.0
        for price, size in zip(prices, sizes, strict=True):
            taken = min(left, price * size)
            base, left = base + taken / price, left - taken
        if cost is None:
            assert left >= -1e-6
        else:
            assert cost == pytest.approx((notional / base / MID - 1.0) * 1e4, rel=1e-6, abs=1e-6)


def even_side(density_usd: float = 1_000.0, *, bps: int = 200, horizon_bps: float | None = None) -> BookSide:
    """The same notional in each bp of bids."""
    prices = MID * (1 - (np.arange(bps * 10) + 1) / 1e5)
    horizon = None if horizon_bps is None else MID * (1 - horizon_bps / 1e4)
    return side_features(prices, density_usd / 10 / prices, MID, horizon=horizon)


def test_an_even_book_is_measured_and_continued_evenly() -> None:
    side = even_side()
    assert depth_usd(side, 50.0).value == pytest.approx(50_000.0)
    assert slippage_bps(side, 100_000.0).value == pytest.approx(50.3, rel=0.01)
    assert side.slope_kappa == pytest.approx(1.0, abs=0.05)
    assert depth_usd(side, 400.0).value == pytest.approx(400_000.0, rel=0.03)
    assert slippage_bps(side, 400_000.0).value == pytest.approx(200.0, rel=0.03)
    assert reach_bps(side, 150_000.0).value == pytest.approx(150.0)


def test_cutting_the_view_short_keeps_the_estimate_and_flags_it() -> None:
    whole, cut = even_side(), even_side(horizon_bps=20.0)
    assert cut.visible_bps == pytest.approx(20.0)
    assert cut.visible_usd == pytest.approx(20_000.0)
    there = depth_usd(cut, 100.0)
    assert there.extrapolated
    assert there.value == pytest.approx(depth_usd(whole, 100.0).value, rel=0.2)


def test_with_nothing_known_what_is_seen_near_mid_still_counts_as_a_bound() -> None:
    side = even_side(horizon_bps=0.0)
    assert (side.visible_bps, side.visible_usd) == (0.0, 0.0)
    assert depth_usd(side, 10.0).value == pytest.approx(10_000.0)
    assert depth_usd(side, 10.0).extrapolated
    assert slippage_bps(side, 500.0).extrapolated


@pytest.mark.parametrize(("sign", "horizon"), [(-1.0, 100.5), (1.0, 99.5)])
def test_when_price_has_left_what_is_known_nothing_is_visible(sign: float, horizon: float) -> None:
    away = np.arange(1.0, 50.0)
    side = side_features(
        np.asarray(MID * (1 + sign * away / 1e4), dtype=np.float64), np.ones(49), MID, horizon=horizon
    )
    assert side.visible_bps == 0.0


def test_one_lone_level_is_continued_by_the_usual_exponent() -> None:
    side = side_features(np.array([99.0]), np.array([10.0]), MID)
    assert (side.slope_usd, side.slope_kappa) == (None, None)
    assert depth_usd(side, 200.0).value == pytest.approx(990.0 * 2.0**KAPPA_PRIOR)
    assert slippage_bps(side, 500.0).value == pytest.approx(100.0)
    assert reach_bps(side, 1e12).value == REACH_BPS_MAX


def test_a_hole_in_the_book_is_a_thin_zone_on_either_side() -> None:
    away = (np.arange(2000) + 1) / 10
    sizes = np.where((away > 50.0) & (away <= 100.0), 0.1, 10.0)
    bids = side_features(MID * (1 - away / 1e4), sizes, MID)
    asks = side_features(MID * (1 + away / 1e4), sizes, MID)
    assert list(thin_zones(bids, Side.BID, MID)) == [pytest.approx((99.0, 99.5))]
    assert list(thin_zones(asks, Side.ASK, MID)) == [pytest.approx((100.5, 101.0))]


def test_a_book_thin_all_over_is_thin_only_against_what_is_normal() -> None:
    normal, thin = cell_densities(even_side(1_000.0)), even_side(100.0)
    assert thin_zones(thin, Side.BID, MID) == ()
    zones = list(thin_zones(thin, Side.BID, MID, normal_density=normal))
    assert zones == [pytest.approx((98.0, 100.0))]


def test_what_is_not_visible_is_never_called_thin() -> None:
    normal, unseen = cell_densities(even_side(1_000.0)), even_side(100.0, horizon_bps=20.0)
    zones = list(thin_zones(unseen, Side.BID, MID, normal_density=normal))
    assert zones == [pytest.approx((99.8, 100.0))]
