"""What a cascade has to obey whatever the book and the map: closed forms, order, mirrors, odd numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import inf, isfinite, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.forecasts import MOVES, Direction
from guard.leverage.cascade import (
    CASCADE_FEATURES,
    CascadeInputs,
    CascadeResult,
    CascadeSettings,
    Elsewhere,
    cascade,
    oi_depth_ratio,
)
from guard.readings import BookReading, Reading
from guard.units import MarketId
from tests.guard.leverage.cascade.books import BINS, BOTH, STILL, PlainMap, book, log_of, share_of

amounts = st.floats(1e3, 1e9)
directions = st.sampled_from(BOTH)


@st.composite
def maps(draw: st.DrawFn) -> PlainMap:
    """A few clusters of any size."""
    made = PlainMap(log_sd=draw(st.floats(0.0, 1.5)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, 250))
        made.usd[at : at + draw(st.integers(1, 40))] += draw(st.floats(0.0, 1e7))
    return made


@st.composite
def books(draw: st.DrawFn) -> BookReading:
    return book(
        draw(amounts),
        draw(st.floats(0.6, 2.4)),
        normal_usd=draw(st.none() | amounts),
        refill_half_life_s=draw(st.none() | st.floats(0.1, 1e4)),
    )


def farther(one: CascadeResult, other: CascadeResult) -> bool:
    """Whether the reach of ``one`` is nowhere nearer than that of ``other``."""
    return (
        all(a >= b - 1e-9 for a, b in zip(one.survival, other.survival, strict=True))
        and all(a >= b - 1e-9 for a, b in zip(one.quantiles, other.quantiles, strict=True))
        and one.ereach >= other.ereach - 1e-9
        and one.ereach_book >= other.ereach_book - 1e-9
        and one.expected >= other.expected - 1e-9
    )


@pytest.mark.parametrize("direction", BOTH)
@pytest.mark.parametrize("reproduction", [0.25, 0.5, 0.8])
def test_a_linear_book_amplifies_by_one_over_one_minus_r(direction: Direction, reproduction: float) -> None:
    slope = 1e8  # USD for a log distance of 1
    even = PlainMap(usd=np.full(BINS, reproduction * slope * 0.001))
    shock = replace(STILL, crash_depths=1.0)
    with_it = cascade(direction, book(slope * 0.01), even, settings=shock)
    without = cascade(direction, book(slope * 0.01), None, settings=shock)
    assert with_it.reproduction == pytest.approx(reproduction)
    for move, barrier, free in zip(MOVES, with_it.barrier_usd, without.barrier_usd, strict=True):
        assert free == pytest.approx(slope * log_of(direction, move))
        assert barrier == pytest.approx((1.0 - reproduction) * free)
    a, b = (log_of(direction, each.ereach) for each in (with_it, without))
    assert a / b == pytest.approx(1.0 / (1.0 - reproduction))


@pytest.mark.parametrize("direction", BOTH)
def test_a_cluster_heavier_than_the_book_is_crossed_at_once(direction: Direction) -> None:
    heavy = PlainMap()
    heavy.usd[20:30] = 3e5  # 3 M USD between 2 and 3 %, where 1 M rests
    found = cascade(direction, book(1e6), heavy, settings=STILL)
    assert len(found.stretches) == 1
    near, far = found.stretches[0]
    assert near == pytest.approx(share_of(direction, 0.02), rel=0.02)
    assert far == pytest.approx(share_of(direction, 0.05), rel=0.02)
    assert found.barrier_usd[1] == pytest.approx(max(2e6, 1e8 * log_of(direction, 0.05) - 3e6))
    assert found.reproduction == pytest.approx(3.0, rel=0.01)
    assert found.reproduction_at is not None
    assert share_of(direction, 0.02) < found.reproduction_at < share_of(direction, 0.03)


@settings(max_examples=40)
@given(direction=directions, book=books(), side=maps(), ratio=st.floats(1.0, 5.0))
def test_more_depth_never_reaches_farther(
    direction: Direction, book: BookReading, side: PlainMap, ratio: float
) -> None:
    thin = replace(book, bid_normal_usd=None, ask_normal_usd=None)
    deep = replace(
        thin,
        bid_curve_usd=tuple(ratio * usd for usd in book.bid_curve_usd),
        ask_curve_usd=tuple(ratio * usd for usd in book.ask_curve_usd),
    )
    in_thin = cascade(direction, thin, side, settings=CascadeSettings(shock_depths=1.0))
    in_deep = cascade(direction, deep, side, settings=CascadeSettings(shock_depths=1.0 / ratio))
    assert farther(in_thin, in_deep)
    assert all(a >= b - 1e-6 for a, b in zip(in_deep.barrier_usd, in_thin.barrier_usd, strict=True))


@settings(max_examples=40)
@given(direction=directions, book=books(), side=maps(), ratio=st.floats(1.0, 5.0), flow=st.floats(0.0, 1e8))
def test_more_leverage_or_more_flow_never_stops_nearer(
    direction: Direction, book: BookReading, side: PlainMap, ratio: float, flow: float
) -> None:
    found = cascade(direction, book, side)
    more = PlainMap(usd=side.usd * ratio, log_sd=side.log_sd)
    assert farther(cascade(direction, book, more), found)
    assert farther(cascade(direction, book, side, CascadeInputs(recent_net_usd=flow)), found)
    assert found.feedback_factor >= 1.0
    assert found.expected >= found.expected_book - 1e-9
    assert found.ereach >= found.ereach_book - 1e-9


@settings(max_examples=40)
@given(direction=directions, book=books(), side=maps())
def test_it_is_harder_to_get_farther(direction: Direction, book: BookReading, side: PlainMap) -> None:
    found = cascade(direction, book, side)
    assert all(near <= far for near, far in pairwise(found.barrier_usd))
    assert all(near >= far for near, far in pairwise(found.survival))
    assert all(low <= high for low, high in pairwise(found.quantiles))
    assert all(near < far for near, far in found.stretches)
    assert all(0.0 <= chance <= 1.0 for chance in found.survival)


@settings(max_examples=40)
@given(direction=directions, book=books())
def test_an_empty_map_is_no_map(direction: Direction, book: BookReading) -> None:
    with_it, without = cascade(direction, book, PlainMap()), cascade(direction, book, None)
    assert with_it.survival == pytest.approx(without.survival)
    assert with_it.ereach == pytest.approx(without.ereach)
    assert with_it.features.values() == pytest.approx(without.features.values())
    assert (with_it.has_map, without.has_map) == (True, False)


@pytest.mark.parametrize("direction", BOTH)
def test_what_is_forced_is_told_only_by_a_map(direction: Direction) -> None:
    """Nothing forced is 0 and 1 by a map that is empty, and unknown without one."""
    by_map = cascade(direction, book(), PlainMap()).forecast()
    without = cascade(direction, book(), None).forecast()
    assert (by_map.reproduction, by_map.reproduction_at) == (0.0, None)
    assert (by_map.forced_factor, by_map.feedback_factor) == (1.0, 1.0)
    assert by_map.barrier_usd is not None
    assert (without.reproduction, without.forced_factor, without.feedback_factor) == (None, None, None)
    assert without.barrier_usd is None
    assert (without.liquidity_factor, without.flow_usd) == (by_map.liquidity_factor, by_map.flow_usd)


@settings(max_examples=40)
@given(side=maps(), kappa=st.floats(0.6, 2.4), depth=amounts)
def test_up_mirrors_down(side: PlainMap, kappa: float, depth: float) -> None:
    """Books and maps are mirrored in log distance, where 5 % up is a little nearer than 5 % down and than 6 % up."""
    down, up = (cascade(direction, book(depth, kappa), side) for direction in BOTH)
    logs_down, logs_up = ([log_of(each.direction, d) for d in each.distances] for each in (down, up))
    for at, x in enumerate(logs_down):
        nearer = max((p for d, p in zip(logs_up, up.survival, strict=True) if d >= x), default=0.0)
        assert nearer - 0.02 <= down.survival[at] <= up.survival[at] + 0.02


@pytest.mark.parametrize("direction", BOTH)
def test_a_mark_that_lags_behind_mid_and_index_brings_what_is_forced_nearer(direction: Direction) -> None:
    cluster = PlainMap()
    cluster.usd[10:12] = 1e5
    lagging = PlainMap(usd=cluster.usd, mark_price=100.0 * (1.0 - direction.sign * 0.02))
    ahead = PlainMap(usd=cluster.usd, mark_price=100.0 * (1.0 + direction.sign * 0.02))
    confirmed = CascadeInputs(index_price=100.0)
    level = cascade(direction, book(), cluster, confirmed, STILL)
    assert level.due_usd == 0.0
    assert cascade(direction, book(), lagging, confirmed, STILL).due_usd == pytest.approx(2e5)
    assert (
        cascade(direction, book(), lagging, settings=STILL).due_usd == 0.0
    )  # mid alone may be a hole in the book
    behind = cascade(direction, book(), ahead, settings=STILL)
    assert behind.forced_usd[0] == 0.0 < level.forced_usd[0]


def test_a_hole_in_a_book_is_no_cascade() -> None:
    hole = replace(book(1e6, normal_usd=1e6), bid_curve_usd=(0.0,) * 16 + (1e6,))
    near = PlainMap()
    near.usd[5:15] = 1e3
    found = cascade(Direction.DOWN, hole, near)
    assert found.barrier_usd[0] > 5e4
    assert found.features.thinness == pytest.approx(5.0)


def test_a_book_that_is_thin_already_is_not_thinned_twice() -> None:
    shock = CascadeInputs(recent_net_usd=1e6)
    calm = cascade(Direction.DOWN, book(1e6, normal_usd=1e6), None, shock)
    thin = cascade(Direction.DOWN, book(1e5, normal_usd=1e6), None, shock)
    bare = CascadeSettings(withdrawal_floor=0.0, refilled_max=0.0)
    whole, tenth = (
        cascade(Direction.DOWN, book(each, normal_usd=1e6), None, settings=bare) for each in (1e6, 1e5)
    )
    assert tenth.stands_usd[-1] > 1.1 * 0.1 * whole.stands_usd[-1]
    far = -1
    assert (
        thin.stands_usd[far] > 1.5 * 0.1 * calm.stands_usd[far]
    )  # a tenth of the book keeps more than a tenth
    assert all(a < b for a, b in zip(thin.stands_usd, calm.stands_usd, strict=True))
    assert thin.liquidity_factor > calm.liquidity_factor > 1.0
    assert thin.probability[1] > calm.probability[1]


def test_what_comes_back_on_the_way_holds_price() -> None:
    slow, quick = (cascade(Direction.DOWN, book(refill_half_life_s=each), None) for each in (3_600.0, 30.0))
    assert farther(slow, quick)
    assert slow.expected > quick.expected


def test_a_nervous_market_keeps_its_makers_when_a_quiet_one_loses_them() -> None:
    quiet, nervous = (
        cascade(Direction.DOWN, book(), None, CascadeInputs(volatility_5m=each)) for each in (0.001, 0.01)
    )
    assert all(a < b for a, b in zip(quiet.stands_usd, nervous.stands_usd, strict=True))
    assert quiet.liquidity_factor > nervous.liquidity_factor


def test_what_is_usual_in_a_market_is_counted_in_its_own_moves() -> None:
    still = replace(STILL, kappa=1.0)
    quiet, nervous = (
        cascade(Direction.DOWN, book(), None, CascadeInputs(volatility_5m=each), still)
        for each in (0.001, 0.003)
    )
    a, b = (log_of(Direction.DOWN, each.ereach) for each in (quiet, nervous))
    assert b == pytest.approx(3.0 * a)
    assert nervous.flow_usd == pytest.approx(3.0 * quiet.flow_usd)


@pytest.mark.parametrize("direction", BOTH)
def test_other_venues_share_depth_and_forced_selling(direction: Direction) -> None:
    cluster = PlainMap()
    cluster.usd[10:30] = 1e5
    alone = cascade(direction, book(), cluster)
    twice = CascadeInputs(elsewhere=[Elsewhere(book=book(), side=cluster, alive=1.0)])
    both = cascade(direction, book(), cluster, twice)
    assert both.depth_usd == pytest.approx(2.0 * alone.depth_usd)
    assert both.barrier_usd == pytest.approx([2.0 * usd for usd in alone.barrier_usd])
    assert both.survival == pytest.approx(alone.survival)
    cut_off = CascadeInputs(elsewhere=[Elsewhere(book=book(), side=cluster, alive=0.0)])
    assert cascade(direction, book(), cluster, cut_off) == alone


@pytest.mark.parametrize("direction", BOTH)
def test_price_goes_where_the_index_is(direction: Direction) -> None:
    behind, ahead = (
        cascade(direction, book(), None, CascadeInputs(index_price=100.0 * (1.0 + direction.sign * move)))
        for move in (0.02, -0.02)
    )
    level = cascade(direction, book(), None, CascadeInputs(index_price=100.0))
    assert level == cascade(direction, book(), None)
    assert farther(behind, level)
    assert farther(level, ahead)
    assert behind.quantiles[0] > 0.01 > ahead.quantiles[0]
    assert behind.features.gap < level.features.gap < ahead.features.gap


def test_what_is_sold_elsewhere_is_sold_here() -> None:
    idle, busy = (
        cascade(
            Direction.DOWN,
            book(),
            None,
            CascadeInputs(elsewhere=[Elsewhere(book=book(), recent_net_usd=net)]),
        )
        for net in (0.0, 1e6)
    )
    again = CascadeSettings().flow_again * CascadeSettings().venues_alive * 1e6
    assert busy.flow_usd - idle.flow_usd == pytest.approx(again)


def test_a_baseline_of_another_band_is_that_of_1_percent_by_the_usual_shape() -> None:
    quarter = replace(book(1e6), bid_normal_usd=1e5, normal_bps=25.0)
    assert cascade(Direction.DOWN, quarter, None).depth_usd == pytest.approx(1e5 * 4.0**1.16)


def test_a_map_that_is_hardly_known_may_be_worse_than_it_says() -> None:
    heavy = PlainMap()
    heavy.usd[10:60] = 5e3
    sure, unsure = (
        cascade(Direction.DOWN, book(), PlainMap(usd=heavy.usd, log_sd=each), settings=STILL)
        for each in (0.0, 2.0)
    )
    assert unsure.map_log_sd > sure.map_log_sd
    assert unsure.probability[2] > 1.05 * sure.probability[2]


def test_a_venue_that_has_gone_its_own_way_is_met_less() -> None:
    near, far = (
        cascade(Direction.DOWN, book(), None, CascadeInputs(elsewhere=[Elsewhere(book=book(mid=each))]))
        for each in (100.0, 90.0)
    )
    alone = cascade(Direction.DOWN, book(), None)
    assert alone.depth_usd < far.depth_usd < 1.1 * alone.depth_usd
    assert near.depth_usd == pytest.approx((1.0 + CascadeSettings().venues_alive) * alone.depth_usd)


def test_a_result_does_not_depend_on_the_one_before() -> None:
    cluster = PlainMap()
    cluster.usd[5:50] = 1e6
    fresh = cascade(Direction.DOWN, book(), None)
    cascade(Direction.DOWN, book(3e4, 0.6), cluster)
    assert cascade(Direction.DOWN, book(), None) == fresh


def test_depth_that_was_not_seen_is_said_and_is_not_nothing() -> None:
    seen, unseen = (cascade(Direction.DOWN, book(visible_bps=each), None) for each in (1_000.0, 20.0))
    assert seen.extrapolated_from is None
    assert unseen.extrapolated_from == pytest.approx(0.002)
    assert unseen.barrier_usd == seen.barrier_usd


odd = st.sampled_from([nan, inf, -inf, 0.0, -1.0, 1e300, 1e-300, 5e-324])


@given(direction=directions, numbers=st.lists(odd, min_size=14, max_size=14), usd=odd)
@settings(max_examples=100)
def test_odd_numbers_give_finite_ones(direction: Direction, numbers: list[float], usd: float) -> None:
    strange = replace(
        book(),
        bid=numbers[0],
        ask=numbers[1],
        bid_curve_usd=(numbers[2], *book().bid_curve_usd[1:]),
        ask_curve_usd=(*book().ask_curve_usd[:-1], numbers[3]),
        bid_visible_bps=numbers[4],
        ask_visible_bps=numbers[5],
        bid_kappa=numbers[6],
        ask_kappa=numbers[7],
        bid_normal_usd=numbers[8],
        ask_normal_usd=numbers[9],
        normal_bps=numbers[10],
        refill_half_life_s=numbers[11],
    )
    side = PlainMap(usd=np.full(BINS, usd), log_sd=numbers[12], mark_price=numbers[13])
    inputs = CascadeInputs(recent_net_usd=numbers[0], volatility_5m=numbers[1], index_price=numbers[2])
    found = cascade(direction, strange, side, inputs)
    told = [*found.survival, *found.quantiles, *found.barrier_usd, found.expected, found.ereach]
    told += [found.liquidity_factor, found.forced_factor, found.feedback_factor, *found.features.values()]
    assert all(isfinite(number) for number in told)
    assert len(found.features.values()) == len(CASCADE_FEATURES)
    assert found.forecast().probability == found.probability


def test_open_interest_over_depth_is_unknown_where_it_is() -> None:
    reading = Reading(at=0, market=MarketId("a:B"), elapsed_s=5.0, book=book(), open_interest=1e6)
    assert oi_depth_ratio(reading) == pytest.approx(1e8 / 2e6, rel=0.02)
    assert oi_depth_ratio(replace(reading, open_interest=None)) is None
    assert oi_depth_ratio(replace(reading, open_interest=nan)) is None
    assert oi_depth_ratio(replace(reading, book=None)) is None
