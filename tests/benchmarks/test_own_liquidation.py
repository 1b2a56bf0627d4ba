"""The comparison of liquidation prices: what is exact is, ccxt is as wrong as was said, and a wrong way is caught."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from benchmarks._own_accounts import CASES, ISOLATED_LONG, Case
from benchmarks._own_exact import backed_with, exact_price, free, maintenance
from benchmarks._own_speed import Way, bisected, check_equal, pool_of, solver, vectorised, whole_assessment
from benchmarks.own_liquidation import compared, freqtrade_question, row_of


def test_the_exact_price_is_the_closed_form_where_there_is_one() -> None:
    price = exact_price(ISOLATED_LONG, 0)
    assert price is not None
    assert float(abs(Fraction(price) - Fraction(4_733_700 * 100, 4_875))) < 1e-20
    assert maintenance(ISOLATED_LONG, 0) == 108_700


@pytest.mark.parametrize("case", [CASES[0], CASES[4], CASES[8], CASES[11]], ids=lambda case: case.name)
def test_nothing_is_left_at_the_exact_price_and_something_just_before(case: Case) -> None:
    held = case.account.held[case.asked]
    price = exact_price(case.account, case.asked)
    assert price is not None
    together = backed_with(case.account, held)
    assert abs(free(case.account, together, held.symbol, price)) < Decimal("1e-20")
    assert free(case.account, together, held.symbol, price * Decimal("1.000001")) > 0


def test_ccxts_account_method_is_33_bps_off_and_says_nothing_by_default() -> None:
    by_name = {case.reads: row_of(case) for case in CASES if case.account is ISOLATED_LONG}
    assert by_name["account_v2"].ccxt.price == 97_435.9
    assert by_name["account_v2"].ccxt_error_bps == pytest.approx(33.44, abs=0.01)
    assert by_name["account_v3"].ccxt.price is None
    assert by_name["risk"].ccxt.maintenance == 125_000.0
    assert not by_name["risk"].tells_maintenance


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_price_is_the_exact_one(case: Case) -> None:
    row = row_of(case)
    assert abs(row.error_bps) < 1e-6
    assert row.maintenance_ours == pytest.approx(row.maintenance_exact, rel=1e-12)


def test_freqtrade_is_asked_with_all_that_its_formula_takes() -> None:
    question = freqtrade_question(CASES[0])
    tables = question["tiers"]
    assert isinstance(tables, dict)
    assert [round(amount) for _, _, amount in tables["BTC/USDT:USDT"]] == [0, 50, 1_300, 16_300, 266_300]
    row = row_of(CASES[0], 95_933.33)
    assert row.freqtrade_error_bps == pytest.approx(-116.8, abs=0.1)


def test_a_price_that_is_off_misses_the_target() -> None:
    row = row_of(CASES[0])
    assert compared([row])[0].met is True
    assert compared([replace(row, ours=row.ours + 25.0)])[0].met is False


def test_ways_must_agree_leg_by_leg() -> None:
    pool = pool_of(12, seed=3)
    ways = {
        "solver": solver(pool),
        "bisected": bisected(pool),
        "vectorised": vectorised(pool),
        "assessed": whole_assessment(pool),
    }
    check_equal(ways)
    told = ways["solver"].prices(ways["solver"].evaluate())
    assert {price is None for price in told} == {True, False}
    off: list[float | None] = [None if price is None else price * 1.000001 for price in told]
    wrong = Way(lambda: off, lambda _: off)
    with pytest.raises(AssertionError, match="wrong"):
        check_equal({**ways, "wrong": wrong})
