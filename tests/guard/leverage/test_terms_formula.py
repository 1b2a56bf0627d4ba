"""Our law of maintenance: above what a venue really asks for, below what nobody would believe, and never odd."""

from __future__ import annotations

import json
from itertools import pairwise
from math import inf, isfinite, nan
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as some

from guard.leverage.terms_formula import formula_ratio, formula_table, formula_tiers
from guard.margin_terms import ContractKind, MarginTier, TermsSource, TierUnit
from guard.units import MarketId

LINEAR = MarketId("binanceusdm:BTC/USDT:USDT")
INVERSE = MarketId("binancecoinm:BTC/USD:BTC")
TIERS = Path(__file__).parents[4] / "shared/data/leverage_tiers/binance_usdm_2026-09.json"
NOTIONALS_USD = [10.0 ** (3.0 + step / 8.0) for step in range(33)]

leverages = some.one_of(some.none(), some.floats(min_value=1.0, max_value=500.0))
notionals = some.floats(min_value=0.0, max_value=1e11)
any_floats = some.floats(allow_nan=True, allow_infinity=True)


def maintenance(tiers: tuple[MarginTier, ...], notional: float) -> float:
    tier = [tier for tier in tiers if tier.floor <= notional][-1]
    return tier.maintenance_ratio * notional - tier.deduction


def told_tiers() -> list[tuple[float, tuple[MarginTier, ...]]]:
    """Maximum leverage and tiers of each market of the recording."""
    if not TIERS.exists():
        pytest.skip(f"no recorded leverage tiers at {TIERS}")
    found = []
    for rows in json.loads(TIERS.read_text()).values():
        tiers: list[MarginTier] = []
        for row in sorted(rows, key=lambda row: row["minNotional"]):
            floor, ratio = row["minNotional"] if tiers else 0.0, row["maintenanceMarginRate"]
            last = tiers[-1] if tiers else MarginTier(floor=0.0, maintenance_ratio=ratio)
            tiers.append(
                MarginTier(
                    floor=floor,
                    maintenance_ratio=ratio,
                    deduction=last.deduction + floor * (ratio - last.maintenance_ratio),
                )
            )
        found.append((rows[0]["maxLeverage"], tuple(tiers)))
    return found


@pytest.mark.parametrize(("hinted", "excess_max"), [(True, 0.065), (False, 0.10)])
def test_it_asks_for_at_least_what_the_venue_does_and_not_absurdly_more(
    *, hinted: bool, excess_max: float
) -> None:
    excesses = []
    for leverage_max, tiers in told_tiers():
        ours = formula_tiers(leverage_max if hinted else None)
        excesses += [
            (maintenance(ours, notional) - maintenance(tiers, notional)) / notional
            for notional in NOTIONALS_USD
        ]

    asks_for_more = sum(excess >= -1e-12 for excess in excesses) / len(excesses)
    print(f"at or above at {asks_for_more:.2%}, median excess {median(excesses):.4f} of notional")
    assert asks_for_more >= 0.99
    assert median(excesses) <= excess_max


@given(leverages, notionals)
def test_tiers_lie_on_the_law_or_above_it_and_close_to_it(leverage: float | None, notional: float) -> None:
    asked, law = maintenance(formula_tiers(leverage), notional), notional * formula_ratio(notional, leverage)

    assert law * (1.0 - 1e-9) - 1e-9 <= asked <= law + 0.08 * notional + 1e-9


@given(leverages, notionals, notionals)
def test_a_larger_position_never_keeps_a_smaller_share(
    leverage: float | None, one: float, other: float
) -> None:
    small, large = sorted((one, other))

    assert 0.0 < formula_ratio(small, leverage) <= formula_ratio(large, leverage) <= 0.5


@given(leverages, notionals)
def test_less_leverage_never_asks_for_less(leverage: float | None, notional: float) -> None:
    known = leverage or 10.0

    assert formula_ratio(notional, max(known / 2.0, 1.0)) >= formula_ratio(notional, known) * (1.0 - 1e-12)


@given(leverages)
def test_tables_ascend_from_nothing_and_are_continuous(leverage: float | None) -> None:
    tiers = formula_tiers(leverage)

    assert (tiers[0].floor, tiers[0].deduction) == (0.0, 0.0)
    for low, high in pairwise(tiers):
        assert low.floor < high.floor
        assert low.maintenance_ratio <= high.maintenance_ratio
        assert low.leverage_max >= high.leverage_max
        assert low.maintenance_ratio * high.floor - low.deduction == pytest.approx(
            high.maintenance_ratio * high.floor - high.deduction
        )


@given(some.floats(min_value=1_000.0, max_value=1e8), some.floats(min_value=1.0, max_value=150.0))
def test_a_position_that_was_granted_is_not_taken_for_failed(notional: float, leverage: float) -> None:
    """What a venue let its owner open has more than its maintenance."""
    granted = (notional, leverage)
    bound = 0.9 / leverage * (1.0 + 1e-9)

    for hint in (None, 20.0, 150.0):
        assert formula_ratio(notional, hint, granted=granted) <= bound
        linear = formula_table(LINEAR, hint, granted=granted).tiers
        assert maintenance(linear, notional) / notional <= bound
        inverse = [
            tier for tier in formula_table(INVERSE, hint, granted=granted).tiers if tier.floor <= notional
        ]
        assert inverse[-1].maintenance_ratio <= bound


def test_a_table_does_not_change_with_every_price() -> None:
    one, other = (formula_table(LINEAR, granted=(notional, 20.0)) for notional in (101_234.0, 101_235.0))

    assert one is other


@given(
    any_floats,
    some.one_of(some.none(), any_floats),
    some.one_of(some.none(), some.tuples(any_floats, any_floats)),
)
def test_odd_numbers_never_make_odd_tables(
    notional: float, leverage: float | None, granted: tuple[float, float] | None
) -> None:
    assert 0.0 < formula_ratio(notional, leverage, granted=granted) <= 0.5
    for market in (LINEAR, INVERSE):
        for tier in formula_table(market, leverage, granted=granted).tiers:
            assert all(map(isfinite, (tier.floor, tier.maintenance_ratio, tier.deduction, tier.leverage_max)))


def test_an_inverse_table_is_counted_in_dollars_whatever_the_price() -> None:
    table = formula_table(INVERSE, 100.0)

    assert (table.kind, table.unit, table.source) == (
        ContractKind.INVERSE,
        TierUnit.SIZE,
        TermsSource.FORMULA,
    )
    assert all(tier.deduction == 0.0 for tier in table.tiers)
    linear = formula_table(LINEAR, 100.0).tiers
    for notional in (1.0, 3_000.0, 1e5, 1e7, 3e10):
        tier = [tier for tier in table.tiers if tier.floor <= notional][-1]
        assert tier.maintenance_ratio * notional >= maintenance(linear, notional) * (1.0 - 1e-9)


def test_an_unknown_leverage_is_that_of_a_small_market() -> None:
    assert formula_tiers(None) == formula_tiers(10.0) == formula_tiers(nan) == formula_tiers(inf)
    assert formula_tiers(1_000.0) == formula_tiers(150.0)


@pytest.mark.parametrize("leverage", [3.0, 10.0, 20.0, 50.0])
def test_it_begins_above_what_venues_document_and_is_half_way_where_it_says(leverage: float) -> None:
    """Hyperliquid documents half of the initial margin, as first tiers elsewhere are; some ask for three quarters."""
    start = formula_ratio(0.0, leverage)

    assert start > 0.75 / leverage
    assert start == pytest.approx(0.8 / leverage)
    assert formula_ratio(300_000.0, leverage) == pytest.approx((start + 0.5) / 2.0)


def test_higher_leverage_is_granted_in_deeper_markets() -> None:
    half_way_usd = 300_000.0 * 2.0**3

    assert formula_ratio(half_way_usd, 100.0) == pytest.approx((0.8 / 100.0 + 0.5) / 2.0)
