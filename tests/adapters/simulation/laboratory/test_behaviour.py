"""The formulas of behaviour: known values, limits, and what has to fit together."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.simulation.laboratory import behaviour


def test_half_of_a_maker_is_gone_at_its_withdrawal_move_whatever_the_sign() -> None:
    assert behaviour.withdrawal(13.3, 13.3, 2.2) == pytest.approx(0.5)
    assert behaviour.withdrawal(-13.3, 13.3, 2.2) == pytest.approx(0.5)
    assert behaviour.withdrawal(0.0, 13.3, 2.2) == 1.0
    assert behaviour.withdrawal(50.0, 13.3, 2.2) == pytest.approx(1 / (1 + (50 / 13.3) ** 2.2))


@given(
    z=st.floats(-200, 200),
    elsewhere=st.floats(0, 200),
    balance=st.floats(0, 1),
    drive=st.floats(0, 1),
    floor=st.floats(1e-4, 0.1),
)
def test_the_target_lies_between_floor_and_one_and_each_cause_lowers_it(
    z: float, elsewhere: float, balance: float, drive: float, floor: float
) -> None:
    def target(*, z: float = 0.0, elsewhere: float = 0.0, balance: float = 1.0, drive: float = 1.0) -> float:
        return behaviour.willingness_target(z, elsewhere, 13.3, 2.2, 0.5, balance, drive, floor)

    together = target(z=z, elsewhere=elsewhere, balance=balance, drive=drive)
    assert floor <= together <= 1.0
    for alone in (target(z=z), target(elsewhere=elsewhere), target(balance=balance), target(drive=drive)):
        assert together <= alone


def test_willingness_falls_at_once_and_comes_back_by_half_of_its_log() -> None:
    fall = math.exp(-0.1 / 0.5)
    a = 1.0
    for _ in range(20):
        a = behaviour.willingness_next(a, 0.01, fall, 0.999)
    assert a == pytest.approx(0.01 + 0.99 * math.exp(-4.0))
    refill = behaviour.keep_ratio(1.0, 180.0)
    a = 0.01
    for _ in range(180):
        a = behaviour.willingness_next(a, 1.0, fall, refill)
    assert a == pytest.approx(0.1)


def test_the_balance_sheet_counts_from_all_the_capital_down_to_the_floor() -> None:
    ratios = [behaviour.balance_ratio(equity, 100.0, 0.3) for equity in (150.0, 100.0, 65.0, 30.0, -5.0)]
    assert ratios == pytest.approx([1.0, 1.0, 0.5, 0.0, 0.0])


def test_spreads_widen_as_makers_step_back_up_to_half_of_their_reach() -> None:
    assert behaviour.half_spread_bps(1.0, 1.5, 2.0, 0.65, 1_000.0) == pytest.approx(3.0)
    assert behaviour.half_spread_bps(0.01, 1.5, 2.0, 0.65, 1_000.0) == pytest.approx(3.0 * 0.01**-0.65)
    assert behaviour.half_spread_bps(1e-4, 1.5, 2.0, 0.85, 1_000.0) == 500.0


@given(amount=st.floats(1.0, 1e7), spread=st.floats(0.1, 400.0), kappa=st.floats(1.05, 1.36))
def test_what_rests_within_a_distance_and_how_far_an_amount_reaches_are_inverse(
    amount: float, spread: float, kappa: float
) -> None:
    reached = behaviour.distance_bps(amount, spread, 1e6, kappa)
    assert behaviour.rested_usd(reached, spread, 1e6, kappa) == pytest.approx(amount, rel=1e-6)


def test_nothing_rests_within_the_half_spread_and_the_depth_at_one_percent_beyond_it() -> None:
    assert behaviour.rested_usd(99.0, 100.0, 1e6, 1.16) == 0.0
    assert behaviour.rested_usd(101.0, 1.0, 1e6, 1.16) == pytest.approx(1e6)


def test_patient_orders_rest_as_much_in_each_equal_ratio_of_distance() -> None:
    inner = behaviour.patient_depths(500.0 * 10**0.5, 3.0, 500.0)
    assert behaviour.patient_depths(499.0, 3.0, 500.0) == 0.0
    assert inner == pytest.approx(1.5)
    assert behaviour.patient_depths(9_000.0, 3.0, 500.0) == 3.0


def test_the_season_is_one_on_the_mean_and_highest_in_the_afternoon() -> None:
    hours = [behaviour.season(hour * 3_600.0, 0.35) for hour in range(24)]
    assert sum(hours) / 24 == pytest.approx(1.0)
    assert max(hours) == hours[15] == pytest.approx(1.35)
    assert min(hours) == hours[3] == pytest.approx(0.65)


def test_noise_trades_add_up_to_the_volume_that_was_asked_for() -> None:
    median = behaviour.noise_usd_median(2_000.0, 4e6)
    assert median == pytest.approx(4_000.0)
    trades = behaviour.noise_trades_per_s(1e9, median, 1.3)
    assert trades * median * math.exp(0.5 * 1.3**2) * 86_400 == pytest.approx(1e9)


def test_value_and_arbitrage_trade_against_the_gap_and_only_beyond_their_thresholds() -> None:
    assert behaviour.value_depths_per_s(60.0, 60.0, 0.15) == 0.0
    assert behaviour.value_depths_per_s(160.0, 60.0, 0.15) == pytest.approx(-0.15 / 60)
    assert behaviour.value_depths_per_s(-260.0, 60.0, 0.15) == pytest.approx(0.3 / 60)
    assert behaviour.arbitrage_depths_per_s(3.9, 4.0, 0.05) == 0.0
    assert behaviour.arbitrage_depths_per_s(14.0, 4.0, 0.05) == pytest.approx(-0.05)
    assert behaviour.arbitrage_depths_per_s(-24.0, 4.0, 0.05) == pytest.approx(0.1)


def test_who_holds_much_trades_less_further_and_all_on_the_way_back() -> None:
    ratios = [behaviour.room_ratio(held, 1, 10.0) for held in (-5.0, 0.0, 5.0, 10.0, 12.0)]
    assert ratios == pytest.approx([1.0, 1.0, 0.5, 0.0, 0.0])
    assert behaviour.room_ratio(12.0, -1, 10.0) == 1.0


def test_entries_make_up_for_exits_and_for_half_of_what_is_missing_in_a_half_life() -> None:
    leaving = math.log(2.0) / 1_000.0 * 500.0
    assert behaviour.entries_per_s(500.0, 500.0, 1_000.0) == pytest.approx(leaving)
    assert behaviour.entries_per_s(500.0, 250.0, 1_000.0) == pytest.approx(1.5 * leaving)
    assert behaviour.entries_per_s(500.0, 1_200.0, 1_000.0) == 0.0


def test_entries_follow_the_move_and_people_flee_from_a_large_one() -> None:
    assert behaviour.entry_long_ratio(0.5, 0.0) == 0.5
    assert behaviour.entry_long_ratio(1.0, 1.0) == pytest.approx(2 / 3)
    assert behaviour.entry_long_ratio(1.0, -1.0) == pytest.approx(1 / 3)
    assert behaviour.entry_long_ratio(1.0, 50.0) == behaviour.entry_long_ratio(1.0, 3.0)
    assert [behaviour.flight_ratio(z, 2.0) for z in (2.9, -8.0, 100.0)] == pytest.approx([0.0, 10.0, 80.0])


def test_the_world_moves_with_what_is_traded_and_more_where_makers_are_gone() -> None:
    calm = behaviour.world_log_move(3.0, 2.0, 1.0, 0.5)
    assert calm == pytest.approx(0.015)
    assert behaviour.world_log_move(-3.0, 2.0, 0.0625, 0.5) == pytest.approx(-4 * calm)
    assert behaviour.world_log_move(1.0, 2.0, 0.001, 0.5) == behaviour.world_log_move(1.0, 2.0, 0.05, 0.5)


def test_volatility_is_of_both_parts_and_goes_with_the_root_of_time() -> None:
    assert behaviour.volatility_of(2.0, 0.02, 0.03) == pytest.approx(0.05)
    assert behaviour.usual_deviation(0.05, 864.0) == pytest.approx(0.005)
