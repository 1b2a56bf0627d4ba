"""The crowd: coming, going, stops, funding, collateral, and what is true of it."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.simulation.laboratory.owners import CROWD
from adapters.simulation.laboratory.parameters import CrowdParameters, LiquidationParameters
from tests.support.crowds import START, crowd_at, entered, rest

MICROS = 1_000
LOT_USD = 10.0


def test_entering_takes_from_the_book_and_sets_margin() -> None:
    crowd = crowd_at()
    rest(crowd, -1, START, 60)
    rest(crowd, -1, START + 10, 60)
    slot = crowd.enter(5, 1, 100, 10.0, True, 0.5, 0.0, 0.0)
    notional = (60 * START + 40 * (START + 10)) * MICROS
    assert (crowd.lots[slot], crowd.cost[slot], crowd.margin[slot]) == (
        100,
        notional,
        int(notional / 10 * 1.5),
    )
    assert crowd.exchange.cash_of(CROWD) == -notional
    assert (crowd.long_lots, crowd.short_lots, crowd.count) == (100, 0, 1)


def test_leverage_is_cut_to_what_the_bracket_allows() -> None:
    crowd = crowd_at()
    assert crowd.leverage[entered(crowd, 1, 100, 125.0)] == 50.0
    assert crowd.leverage[entered(crowd, 1, 30_000, 50.0)] == 10.0


def test_an_empty_book_gives_no_position() -> None:
    crowd = crowd_at()
    assert crowd.enter(0, 1, 10, 5.0, False, 0.0, 0.0, 0.0) == -1
    assert crowd.pick(0.5) == -1
    assert crowd.leave(0, -1) == 0


def test_leaving_pays_margin_and_profit_less_fees() -> None:
    crowd = crowd_at(taker_fee_ppm=500)
    slot = entered(crowd, 1, 100, 10.0)
    rest(crowd, 1, START + 200, 40)
    assert crowd.leave(0, slot) == 40
    assert crowd.paid_out == 40 * (1_000 + 200) * MICROS - 40 * (START + 200) * MICROS // 2_000
    assert crowd.margin[slot] == 60 * 1_000 * MICROS
    rest(crowd, 1, START - 100, 100)
    assert crowd.leave(0, slot) == 60
    assert crowd.count == 0
    assert crowd.margins == 0
    assert crowd.imbalance() == 0


def test_nobody_sells_farther_than_the_protection() -> None:
    crowd = crowd_at()
    slot = entered(crowd, 1, 100, 2.0)
    rest(crowd, 1, START, 10)
    rest(crowd, 1, 9_500, 10)
    rest(crowd, 1, 9_499, 100)
    assert crowd.leave(0, slot) == 20


def test_stops_and_targets_run_when_the_last_price_is_there() -> None:
    crowd = crowd_at()
    long = entered(crowd, 1, 10, 10.0, stop_bps=200.0, target_bps=400.0)
    short = entered(crowd, -1, 10, 10.0, stop_bps=300.0, target_bps=100.0)
    assert (crowd.stop_tick(long), crowd.target_tick(long)) == (9_800, 10_400)
    assert (crowd.stop_tick(short), crowd.target_tick(short)) == (10_300, 9_900)
    rest(crowd, 1, 9_850, 1_000)
    rest(crowd, -1, 10_350, 1_000)
    assert crowd.run_stops(0, 9_901) == 0
    assert crowd.run_stops(0, 9_900) == 0  # a target is a limit order, and nobody sells at 9,900
    rest(crowd, -1, 9_900, 4)
    rest(crowd, -1, 9_899, 3)
    rest(crowd, -1, 9_901, 9)
    assert crowd.run_stops(0, 9_900) == 7
    rest(crowd, -1, 9_900, 10)
    assert crowd.run_stops(0, 9_900) == 3
    assert (crowd.lots[short], crowd.lots[long]) == (0, 10)
    assert crowd.run_stops(0, 9_801) == 0
    assert crowd.run_stops(0, 9_800) == 10
    assert crowd.stopped_lots == 20
    assert crowd.count == 0


def test_a_stop_that_no_book_takes_tries_again() -> None:
    crowd = crowd_at()
    slot = entered(crowd, 1, 10, 10.0, stop_bps=200.0)
    assert crowd.run_stops(0, 9_700) == 0
    rest(crowd, 1, 9_600, 4)
    assert crowd.run_stops(0, 9_700) == 4
    assert crowd.lots[slot] == 6
    assert crowd.stop_tick(slot) == 9_800


def test_a_target_is_not_sold_below_its_price() -> None:
    crowd = crowd_at()
    slot = entered(crowd, 1, 10, 10.0, target_bps=400.0)
    rest(crowd, 1, 10_399, 10)
    assert crowd.run_stops(0, 10_450) == 0
    rest(crowd, 1, 10_400, 10)
    assert crowd.run_stops(0, 10_450) == 10
    assert crowd.lots[slot] == 0


def test_with_a_mark_known_nobody_trades_far_from_it() -> None:
    crowd = crowd_at()
    crowd.reference_tick = START
    rest(crowd, -1, START + 100, 10)
    rest(crowd, -1, START + 101, 10)
    slot = crowd.enter(0, 1, 20, 5.0, False, 0.0, 0.0, 0.0)
    assert crowd.lots[slot] == 10  # of one's own will 1 % at most
    rest(crowd, 1, 9_499, 10)
    assert crowd.leave(0, slot) == 0  # and 5 % in any case
    assert crowd.leave(0, slot, crowd.chosen_worst(-1)) == 0
    rest(crowd, 1, 9_900, 4)
    assert crowd.leave(0, slot, crowd.chosen_worst(-1)) == 4


def test_who_holds_much_leaves_in_parts() -> None:
    crowd = crowd_at()
    slot = entered(crowd, 1, 100, 5.0)
    rest(crowd, 1, START, 1_000)
    crowd.at_once_lots = 30
    assert [crowd.leave(0, slot) for _ in range(5)] == [30, 30, 30, 10, 0]


def test_slots_are_used_again_under_new_numbers() -> None:
    crowd = crowd_at()
    first = entered(crowd, 1, 10, 10.0, stop_bps=100.0)
    rest(crowd, 1, START, 10)
    crowd.leave(0, first)
    second = entered(crowd, -1, 10, 0.0)
    assert first == second
    assert crowd.number[second] == 2
    assert crowd.stop_tick(second) == crowd.target_tick(second) == crowd.liquidation_tick(second) == 0


def test_there_is_room_for_any_number() -> None:
    crowd = crowd_at()
    slots = [entered(crowd, 1 if i % 2 else -1, 1 + i % 3, 10.0, stop_bps=150.0) for i in range(3_000)]
    assert len(set(slots)) == crowd.count == 3_000
    assert crowd.liquidation_tick(slots[1]) == 9_090
    assert crowd.stop_tick(slots[2_999]) == 9_850
    assert int(np.abs(np.asarray(crowd.lots)).sum()) == crowd.long_lots + crowd.short_lots
    assert {crowd.pick(u) for u in np.arange(0.0, 1.0, 1e-4)} == set(slots)


def test_longs_pay_shorts_and_margins_move() -> None:
    crowd = crowd_at()
    long = entered(crowd, 1, 100, 10.0)
    short = entered(crowd, -1, 40, 10.0)
    before = crowd.liquidation_tick(long)
    received = crowd.fund(START, 100_000)  # 1 bp
    assert received == -60 * START * MICROS // 10_000
    assert crowd.margin[long] == (100 * 1_000 - 100) * MICROS
    assert crowd.margin[short] == (40 * 1_000 + 40) * MICROS
    assert crowd.liquidation_tick(long) == before + 1
    assert crowd.exchange.fund(START, 100_000) == -received
    assert crowd.exchange.funding_micros == 0
    assert crowd.imbalance() == 0


def test_collateral_that_falls_brings_liquidation_nearer_and_back() -> None:
    crowd = crowd_at(parameters=CrowdParameters(collateral_share=1.0))
    slot = entered(crowd, 1, 100, 10.0, is_cross=True)
    isolated = entered(crowd, 1, 100, 10.0)
    before = crowd.liquidation_tick(slot)
    assert crowd.reprice_collateral(0.996) == 0  # too little to look at
    assert crowd.reprice_collateral(0.66) == 1
    assert crowd.margin[slot] == 66_000 * MICROS
    assert crowd.liquidation_tick(slot) == int((10_000 - 660) / 0.99)
    assert crowd.liquidation_tick(isolated) == before
    assert crowd.imbalance() == 0
    assert crowd.reprice_collateral(1.0) == 1
    assert crowd.liquidation_tick(slot) == before
    assert crowd.repriced == 0


def test_what_is_closed_takes_its_collateral_along() -> None:
    crowd = crowd_at(parameters=CrowdParameters(collateral_share=1.0))
    slot = entered(crowd, 1, 100, 10.0, is_cross=True)
    rest(crowd, 1, START, 40)
    crowd.leave(0, slot)
    crowd.reprice_collateral(0.5)
    assert crowd.margin[slot] == 30_000 * MICROS
    late = entered(crowd, 1, 100, 10.0, is_cross=True)  # puts in twice as many coins, worth as much
    crowd.reprice_collateral(0.25)
    assert crowd.margin[late] == 50_000 * MICROS
    assert crowd.imbalance() == 0


def test_who_owes_more_than_any_price_could_give_is_liquidated_at_every_price() -> None:
    crowd = crowd_at(liquidation=LiquidationParameters(fund_ratio=0.0))
    top = crowd.ticks - 1
    entered(crowd, 1, 100, 50.0, tick=top - 60)
    crowd.fund(top, 200_000_000)  # a fifth
    assert crowd.liquidate(0, top, 0) == 100
    entered(crowd, -1, 100, 50.0)
    crowd.fund(START, -1_200_000_000)
    assert crowd.liquidate(0, 1, 0) == 100
    assert crowd.imbalance() == 0


def test_the_snapshot_is_every_position() -> None:
    crowd = crowd_at()
    entered(crowd, 1, 100, 10.0, stop_bps=200.0)
    entered(crowd, -1, 50, 0.0)
    told = crowd.snapshot()
    assert list(told["position"]) == [1, 2]
    assert list(told["size"]) == pytest.approx([10.0, -5.0])
    assert list(told["entry_price"]) == pytest.approx([100.0, 100.0])
    assert list(told["leverage"]) == [10.0, 0.0]
    assert list(told["margin_usd"]) == [100.0, 500.0]
    assert list(told["liquidation_price"]) == pytest.approx([90.90, 0.0])
    assert list(told["stop_price"]) == pytest.approx([98.0, 0.0])


def test_the_map_is_notional_at_the_mark_by_log_distance() -> None:
    crowd = crowd_at()
    entered(crowd, 1, 100, 10.0, stop_bps=200.0)  # liquidated at 9,090, stopped at 9,800
    entered(crowd, -1, 50, 10.0)  # 10,892
    entered(crowd, -1, 7, 0.0)
    entered(crowd, 1, 10, 1.001)  # far below
    longs, shorts, below, above = crowd.map_bins(START, 0.001, 1_000)
    expected = np.zeros(1_000)
    expected[95] = 100 * LOT_USD  # -ln 0.909 is 0.0954
    expected[999] = 10 * LOT_USD
    assert longs == pytest.approx(expected)
    assert np.flatnonzero(shorts).tolist() == [85]
    assert shorts.sum() == pytest.approx(50 * LOT_USD)
    assert np.flatnonzero(below).tolist() == [20]
    assert not above.any()


def test_entries_drawn_follow_the_mix() -> None:
    parameters = CrowdParameters(
        leverage_longs=((3.0, 1.0), (20.0, 3.0)), hedged_longs_share=0.2, stop_share=1.0
    )
    crowd = crowd_at(parameters=parameters)
    crowd.mean_lots = 10.0
    rest(crowd, -1, START, 1_000_000)
    slots = [crowd.enter_drawn(0, 1) for _ in range(2_000)]
    leverage = np.asarray(crowd.leverage)[slots]
    assert np.mean(leverage == 0.0) == pytest.approx(0.2, abs=0.04)
    assert np.mean(leverage == 20.0) == pytest.approx(0.6, abs=0.04)
    assert np.asarray(crowd.lots)[slots].mean() == pytest.approx(10.0, rel=0.25)
    away = [START - crowd.stop_tick(slot) for slot in slots if crowd.leverage[slot] == 20.0]
    assert np.median(away) == pytest.approx(250.0 / np.sqrt(2.0), rel=0.1)
