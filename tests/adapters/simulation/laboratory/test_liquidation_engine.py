"""The liquidation engine: at the solved price, through the brackets, the fund before those who won, these by rank."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adapters.simulation.laboratory.deleverage import ranked, scored
from adapters.simulation.laboratory.liquidation_engine import SELLING_MAX
from adapters.simulation.laboratory.owners import CROWD, ENGINE
from adapters.simulation.laboratory.parameters import LiquidationParameters
from adapters.simulation.laboratory.truth import ClosedBy
from tests.support.crowds import START, crowd_at, entered, rest

MICROS = 1_000
NO_FUND = LiquidationParameters(fund_ratio=0.0, fee_ratio=0.0)


def closed(crowd: Any) -> list[tuple[int, int, ClosedBy]]:
    return [(each.position, each.lots, each.closed_by) for each in crowd.take_liquidations()]


def balanced(crowd: Any) -> None:
    assert crowd.long_lots - crowd.short_lots == crowd.exchange.lots_of(CROWD)
    assert crowd.imbalance() == 0


def test_a_long_is_liquidated_at_the_solved_mark_and_not_a_tick_above() -> None:
    crowd = crowd_at()
    slot = entered(crowd, 1, 100, 10.0)
    assert crowd.liquidation_tick(slot) == 9_090  # 9,000 / 0.99
    rest(crowd, 1, 9_060, 1_000)
    assert crowd.liquidate(0, 9_091, 1_000) == 0
    assert crowd.liquidate(0, 9_090, 1_000) == 100
    assert closed(crowd) == [(1, 100, ClosedBy.BOOK)]
    balanced(crowd)


def test_a_short_too() -> None:
    crowd = crowd_at()
    entered(crowd, -1, 100, 10.0)
    rest(crowd, -1, 10_950, 1_000)
    assert crowd.liquidate(0, 10_891, 1_000) == 0
    assert crowd.liquidate(0, 10_892, 1_000) == 100
    assert closed(crowd) == [(1, -100, ClosedBy.BOOK)]
    balanced(crowd)


def test_what_is_left_of_the_margin_pays_the_fee_and_goes_back() -> None:
    crowd = crowd_at(liquidation=LiquidationParameters(fund_ratio=0.0, fee_ratio=0.005))
    entered(crowd, 1, 100, 10.0)
    rest(crowd, 1, 9_060, 100)
    crowd.liquidate(0, 9_090, 1_000)
    # 100 lots lost 940 ticks each of 1,000 behind them: 60 are left, of which the fee takes 0.5 % of 9,060.
    assert crowd.fund_micros == int(0.005 * 9_060 * 100 * MICROS)
    assert crowd.paid_out == 60 * 100 * MICROS - crowd.fund_micros
    balanced(crowd)


def test_nothing_is_sold_below_the_bankruptcy_price_fees_included() -> None:
    crowd = crowd_at(taker_fee_ppm=500, liquidation=NO_FUND)
    entered(crowd, 1, 100, 10.0)
    rest(crowd, 1, 9_004, 50)  # 9,000 / 0.9995 is 9,004.5
    assert crowd.liquidate(0, 9_050, 1_000) == 0
    rest(crowd, 1, 9_005, 50)
    assert crowd.liquidate(0, 9_050, 1_000) == 50
    assert crowd.fund_micros == 0
    balanced(crowd)


def test_nothing_is_bought_above_it_either() -> None:
    crowd = crowd_at(taker_fee_ppm=500, liquidation=NO_FUND)
    entered(crowd, -1, 100, 10.0)
    rest(crowd, -1, 10_995, 50)  # 11,000 / 1.0005 is 10,994.5
    assert crowd.liquidate(0, 10_950, 1_000) == 0
    rest(crowd, -1, 10_994, 50)
    assert crowd.liquidate(0, 10_950, 1_000) == 50
    assert crowd.fund_micros == 0
    balanced(crowd)


def test_who_has_equity_left_waits_for_the_book() -> None:
    crowd = crowd_at()
    entered(crowd, 1, 100, 10.0)
    assert [crowd.liquidate(step, 9_050, 1_000) for step in range(3)] == [0, 0, 0]
    rest(crowd, 1, 9_010, 30)
    assert crowd.liquidate(3, 9_050, 1_000) == 30
    assert crowd.count == 1
    assert crowd.liquidate(4, 9_000, 1_000) == 70  # no equity: nobody waits any more
    assert closed(crowd) == [(1, 30, ClosedBy.BOOK), (1, 70, ClosedBy.INSURANCE)]
    balanced(crowd)


def test_a_part_that_is_closed_leaves_the_prices_of_the_rest_where_they_were() -> None:
    crowd = crowd_at(liquidation=NO_FUND)
    slot = entered(crowd, 1, 100, 10.0)
    before = crowd.liquidation_tick(slot)
    rest(crowd, 1, 9_050, 37)
    assert crowd.liquidate(0, 9_080, 1_000) == 37
    assert abs(crowd.liquidation_tick(slot) - before) <= 1
    assert crowd.equity(slot, 9_000) == pytest.approx(0, abs=2)


def test_the_book_gets_a_slice_a_step() -> None:
    crowd = crowd_at()
    entered(crowd, 1, 100, 10.0)
    rest(crowd, 1, 9_060, 1_000)
    assert [crowd.liquidate(step, 9_090, 40) for step in range(4)] == [40, 40, 20, 0]
    assert crowd.count == 0


def test_all_share_one_slice_and_wait_for_the_next_while_the_book_would_take_them() -> None:
    crowd = crowd_at(liquidation=NO_FUND)
    for _ in range(3):
        entered(crowd, 1, 100, 10.0)
        entered(crowd, -1, 100, 2.0)
    rest(crowd, 1, 9_010, 1_000)
    for mark in (9_050, 8_990):  # with equity left at the mark, and without
        before = crowd.engine.book_lots
        assert crowd.liquidate(0, mark, 130) == 130
        assert crowd.engine.book_lots - before == 130
    assert crowd.liquidate(0, 8_990, 0) == 0
    assert crowd.engine.deleveraged_lots == 0
    balanced(crowd)


def test_at_the_floor_of_a_bracket_it_is_not_yet_the_one_below() -> None:
    crowd = crowd_at(liquidation=NO_FUND)
    slot = entered(crowd, 1, 30_000, 10.0, tick=10_900)
    assert crowd.liquidation_tick(slot) == 10_045
    rest(crowd, 1, 10_000, 100_000)
    assert crowd.liquidate(0, 10_000, 100_000) == 5_001  # 25,000 lots of 10 USD are the floor itself
    balanced(crowd)


def test_a_large_position_goes_to_the_bracket_below_and_keeps_its_margin() -> None:
    crowd = crowd_at(liquidation=NO_FUND)
    slot = entered(crowd, 1, 30_000, 10.0)  # 300,000 USD: the third bracket, from 250,000
    tick = crowd.liquidation_tick(slot)
    rest(crowd, 1, tick - 5, 100_000)
    margin = crowd.margin[slot]
    sold = crowd.liquidate(0, tick, 100_000)
    kept = 30_000 - sold
    assert kept * tick * MICROS < 250_000 * 1e6 <= (kept + 1) * tick * MICROS
    assert crowd.margin[slot] == pytest.approx(margin - sold * (START - tick + 5) * MICROS)
    assert crowd.liquidation_tick(slot) < tick - 40  # safer now, and it stays
    assert crowd.liquidate(1, tick, 100_000) == 0
    balanced(crowd)


def test_each_part_pays_the_fee_from_the_margin_that_stays() -> None:
    crowd = crowd_at(liquidation=LiquidationParameters(fund_ratio=0.0, fee_ratio=0.005))
    slot = entered(crowd, 1, 30_000, 10.0)
    tick = crowd.liquidation_tick(slot)
    rest(crowd, 1, tick, 100_000)
    sold = crowd.liquidate(0, tick, 100_000)
    assert 0 < sold < 30_000
    fee = sold * tick * MICROS // 200
    assert crowd.fund_micros == pytest.approx(fee, abs=2)
    assert crowd.margin[slot] == pytest.approx(
        30_000_000 * MICROS - sold * (START - tick) * MICROS - fee, abs=4
    )
    assert crowd.liquidation_tick(slot) == crowd.brackets.liquidation_tick(
        crowd.lots[slot], crowd.cost[slot], crowd.margin[slot]
    )
    assert crowd.paid_out == 0
    balanced(crowd)


def test_a_large_position_without_equity_goes_as_a_whole() -> None:
    crowd = crowd_at(liquidation=NO_FUND)
    entered(crowd, 1, 30_000, 10.0)
    rest(crowd, 1, 9_010, 100_000)
    assert crowd.liquidate(0, 9_000, 100_000) == 30_000
    assert crowd.engine.book_lots == 30_000


def test_all_of_it_goes_where_the_venue_knows_no_parts() -> None:
    crowd = crowd_at(liquidation=LiquidationParameters(fund_ratio=0.0, partial=False))
    slot = entered(crowd, 1, 30_000, 10.0)
    tick = crowd.liquidation_tick(slot)
    rest(crowd, 1, tick - 5, 100_000)
    assert crowd.liquidate(0, tick, 100_000) == 30_000


def funded(fund_usd: float, *, takeover_bps: float = 0.0) -> Any:
    crowd = crowd_at(
        liquidation=LiquidationParameters(fee_ratio=0.0, fund_use_ratio=1.0, takeover_bps=takeover_bps)
    )
    crowd.fund_opening = crowd.fund_micros = int(fund_usd * 1e6)
    return crowd


def test_the_fund_is_used_before_anybody_is_deleveraged() -> None:
    crowd = funded(200.0)
    entered(crowd, 1, 1_000, 10.0)
    entered(crowd, -1, 1_000, 5.0, tick=START + 500)
    crowd.liquidate(0, 8_900, 1_000)
    # Each lot that the fund takes at 9,000 costs it 100 ticks at the mark, and 890 are kept for it: 0.99 USD.
    expected = int(200.0 / 0.99)
    assert closed(crowd) == [(1, expected, ClosedBy.INSURANCE), (1, 1_000 - expected, ClosedBy.DELEVERAGE)]
    assert crowd.exchange.lots_of(ENGINE) == expected
    assert crowd.fund_micros == 200_000_000  # what it holds is in its account at the exchange
    assert crowd.engine.fund_equity(8_900) == 200_000_000 - expected * 100 * MICROS
    balanced(crowd)


def test_what_the_fund_holds_and_has_lost_is_used_up() -> None:
    crowd = funded(200.0)
    for _ in range(2):
        entered(crowd, 1, 1_000, 10.0)
        entered(crowd, -1, 1_000, 5.0, tick=START + 500)
    crowd.liquidate(0, 8_900, 0)
    assert crowd.exchange.lots_of(ENGINE) == int(200.0 / 0.99)  # of both: the first took all that there was
    spent = funded(200.0)
    spent.fund_micros = 100_000_000
    entered(spent, 1, 1_000, 10.0)
    entered(spent, -1, 1_000, 5.0, tick=START + 500)
    spent.liquidate(0, 8_900, 0)
    assert spent.exchange.lots_of(ENGINE) == int(100.0 / 0.99)


def test_the_fund_sells_slowly_what_it_holds() -> None:
    crowd = funded(1e6)
    entered(crowd, 1, 1_000, 10.0)
    crowd.liquidate(0, 8_900, 2_000)
    assert crowd.exchange.lots_of(ENGINE) == 1_000
    rest(crowd, 1, 8_890, 10_000)
    crowd.liquidate(1, 8_900, 2_000)
    assert crowd.exchange.lots_of(ENGINE) == 900
    crowd.liquidate(2, 9_900, 2_000)
    assert crowd.exchange.lots_of(ENGINE) == 900  # 8,890 is too far from this mark
    balanced(crowd)


def test_the_engine_may_sell_beyond_bankruptcy_at_the_funds_cost() -> None:
    for takeover_bps, fund_usd, expected in ((0.0, 1e6, 0), (100.0, 1e6, 100), (100.0, 4.5, 50)):
        crowd = funded(fund_usd, takeover_bps=takeover_bps)
        entered(crowd, 1, 100, 10.0)
        rest(crowd, 1, 8_950, 100)
        assert crowd.liquidate(0, 9_050, 1_000) == 0  # not while its owner has something left
        crowd.liquidate(0, 9_000, 1_000)
        assert crowd.engine.book_lots == expected
        assert crowd.fund_micros == int(fund_usd * 1e6) - expected * 50 * MICROS
        balanced(crowd)


def test_the_best_ranked_give_way_first_at_the_bankruptcy_price() -> None:
    crowd = crowd_at(liquidation=NO_FUND)
    entered(crowd, 1, 100, 10.0)
    low = entered(crowd, -1, 40, 2.0, tick=START + 100)
    best = entered(crowd, -1, 40, 10.0, tick=START + 100)
    second = entered(crowd, -1, 40, 10.0)
    hedged = entered(crowd, -1, 40, 0.0, tick=START + 100)
    paid = crowd.paid_out
    crowd.liquidate(0, 8_900, 1_000)
    left = {name: -crowd.lots[slot] for name, slot in zip("lbsh", (low, best, second, hedged), strict=True)}
    assert left == {"l": 20, "b": 0, "s": 0, "h": 40}
    # What they won: 40 lots from 10,100 and 40 from 10,000 to 9,000, 20 from 10,100; and their margins.
    won = 40 * 1_100 + 40 * 1_000 + 20 * 1_100
    margins = 40 * 1_010 + 40 * 1_000 + 20 * 5_050
    assert crowd.paid_out - paid == (won + margins) * MICROS
    assert closed(crowd) == [(1, 100, ClosedBy.DELEVERAGE)]
    balanced(crowd)


def test_ranks_are_looked_at_anew_in_each_step() -> None:
    crowd = crowd_at(liquidation=NO_FUND)
    entered(crowd, 1, 10, 10.0)
    first = entered(crowd, -1, 100, 5.0)
    crowd.liquidate(0, 8_900, 0)
    assert crowd.lots[first] == -90
    entered(crowd, 1, 10, 10.0)
    better = entered(crowd, -1, 100, 20.0)
    crowd.liquidate(1, 8_900, 0)
    assert (crowd.lots[first], crowd.lots[better]) == (-90, -90)


def test_ranks_are_profit_by_leverage_and_losers_come_last() -> None:
    # Shorts at a mark of 90: entries at 100, 100, 95 and 80, and a long; margins of 50, 10, 50, 50.
    worth = np.array([-90.0, -90.0, -90.0, -90.0, 90.0])
    cost = np.array([-100.0, -100.0, -95.0, -80.0, 80.0])
    margin = np.array([50.0, 10.0, 50.0, 50.0, 1.0])
    assert list(ranked(*scored(-1, worth, cost, margin), 9)) == [1, 0, 2, 3]
    assert list(ranked(*scored(1, worth, cost, margin), 9)) == [4]
    assert list(ranked(*scored(-1, worth, cost, np.array([50.0, 10.0, 50.0, 10.0, 1.0])), 9)) == [
        1,
        0,
        2,
    ]  # who is ruined is out


def test_who_would_be_ruined_by_the_price_is_passed_over() -> None:
    crowd = crowd_at(liquidation=NO_FUND)
    entered(crowd, 1, 100, 10.0)
    ruined = entered(crowd, -1, 100, 50.0, tick=8_800)  # not able to buy back at 9,000
    other = entered(crowd, -1, 100, 2.0, tick=8_800)
    crowd.liquidate(0, 8_890, 0)
    assert crowd.lots[ruined] == -100
    assert crowd.lots[other] == 0
    balanced(crowd)


def test_with_nobody_on_the_other_side_the_venue_keeps_it() -> None:
    crowd = crowd_at(liquidation=NO_FUND)
    entered(crowd, 1, 100, 10.0)
    assert crowd.liquidate(0, 8_900, 1_000) == 100
    assert crowd.exchange.lots_of(ENGINE) == 100
    assert crowd.engine.fund_equity(8_900) == -100 * 100 * MICROS
    balanced(crowd)


def test_what_is_logged_is_bounded_and_told_once() -> None:
    crowd = crowd_at()
    entered(crowd, 1, 100, 10.0)
    rest(crowd, 1, 9_060, 1_000)
    crowd.liquidate(7, 9_090, 1_000)
    (told,) = crowd.take_liquidations()
    assert (told.now_ms, told.tick, told.bankruptcy_tick, told.leverage) == (7, 9_060.0, 9_000.0, 10.0)
    assert crowd.take_liquidations() == []


def test_the_slices_of_one_position_are_told_as_one_when_it_is_gone() -> None:
    crowd = crowd_at()
    entered(crowd, 1, 100, 10.0)
    rest(crowd, 1, 9_060, 40)
    rest(crowd, 1, 9_050, 20)
    rest(crowd, 1, 9_030, 40)
    for step in range(1, 5):
        assert crowd.liquidate(100 * step, 9_050, 30) == (30 if step < 4 else 10)
        told = crowd.take_liquidations()
        assert len(told) == (step == 4)
    assert (told[0].now_ms, told[0].position, told[0].lots, told[0].closed_by) == (400, 1, 100, ClosedBy.BOOK)
    assert told[0].tick == pytest.approx((40 * 9_060 + 20 * 9_050 + 40 * 9_030) / 100)
    assert told[0].bankruptcy_tick == pytest.approx(9_000.0)
    balanced(crowd)


def test_what_takes_longer_is_told_each_second_and_before_what_the_fund_takes() -> None:
    crowd = crowd_at(liquidation=LiquidationParameters(fund_ratio=0.0, fee_ratio=0.0))
    entered(crowd, 1, 100, 10.0)
    rest(crowd, 1, 9_060, 26)
    told = []
    for step in range(13):
        crowd.liquidate(100 * step, 9_080, 2)
        told += [(each.now_ms, each.lots) for each in crowd.take_liquidations()]
    assert told == [(1_000, 22)]
    crowd.liquidate(1_300, 8_990, 2)
    assert closed(crowd) == [(1, 4, ClosedBy.BOOK), (1, 74, ClosedBy.INSURANCE)]


def test_who_is_spared_in_the_middle_of_it_is_told_of_all_the_same() -> None:
    crowd = crowd_at()
    entered(crowd, 1, 100, 10.0)
    rest(crowd, 1, 9_060, 100)
    crowd.liquidate(0, 9_080, 30)
    assert closed(crowd) == []
    crowd.liquidate(900, 9_900, 30)
    assert closed(crowd) == []
    crowd.liquidate(1_000, 9_900, 30)
    assert closed(crowd) == [(1, 30, ClosedBy.BOOK)]
    crowd.liquidate(2_000, 9_080, 30)
    crowd.engine.tell(2_000, True)
    assert closed(crowd) == [(1, 30, ClosedBy.BOOK)]
    crowd.engine.tell(9_000, True)
    assert closed(crowd) == []


def test_so_many_at_most_wait_to_be_told() -> None:
    crowd = crowd_at(liquidation=NO_FUND)
    for _ in range(SELLING_MAX + 3):
        slot = entered(crowd, 1, 30_000, 10.0)
    rest(crowd, 1, crowd.liquidation_tick(slot) - 5, 10**9)
    crowd.liquidate(0, crowd.liquidation_tick(slot), 10**9)  # of each what makes it one of the bracket below
    assert len(closed(crowd)) == 3
    crowd.engine.tell(0, True)
    assert len(closed(crowd)) == SELLING_MAX
