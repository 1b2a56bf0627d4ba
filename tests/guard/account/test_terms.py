"""Whose word on margin is believed, and when a venue has raised what it demands."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as some

from guard.account.terms import (
    TermsChange,
    VenueTerms,
    change_of_table,
    counted_usd,
    leverage_max_of,
    maintenance_ratio_of,
)
from guard.events import MarginTermsSeen
from guard.leverage.terms_formula import formula_table
from guard.margin_terms import (
    CollateralTerms,
    ContractKind,
    HaircutTier,
    MarginTier,
    TermsSource,
    TierTable,
    TierUnit,
)
from guard.units import NS_PER_S, MarketId, Nanoseconds

VENUE = "binanceusdm"
BTC = MarketId("binanceusdm:BTC/USDT:USDT")
HOUR_NS = 3_600 * NS_PER_S


@pytest.mark.parametrize(
    ("market", "kind"),
    [
        ("binancecoinm:BTC/USD:BTC-261225", None),
        # The symbol does not say it.
        ("bybit:BTCUSDZ26", ContractKind.INVERSE),
    ],
)
def test_before_the_venue_answers_a_dated_inverse_contract_has_a_table_in_dollars(
    market: str, kind: ContractKind | None
) -> None:
    found = VenueTerms(market.partition(":")[0]).table(MarketId(market), granted=(50_000.0, 10.0), kind=kind)

    assert (found.kind, found.unit, found.source) == (
        ContractKind.INVERSE,
        TierUnit.SIZE,
        TermsSource.FORMULA,
    )


def table(
    *rows: tuple[float, float, float],
    source: TermsSource = TermsSource.VENUE,
    as_of: Nanoseconds | None = None,
    unit: TierUnit = TierUnit.NOTIONAL,
    kind: ContractKind = ContractKind.LINEAR,
) -> TierTable:
    """A continuous table of ``(floor, ratio, leverage_max)``; one by size has no deductions."""
    tiers: list[MarginTier] = []
    for floor, ratio, leverage_max in rows:
        last = tiers[-1] if tiers else MarginTier(floor=0.0, maintenance_ratio=ratio)
        deduction = last.deduction + floor * (ratio - last.maintenance_ratio)
        tiers.append(
            MarginTier(
                floor=floor,
                maintenance_ratio=ratio,
                deduction=0.0 if unit is TierUnit.SIZE else deduction,
                leverage_max=leverage_max,
            )
        )
    return TierTable(market=BTC, tiers=tuple(tiers), kind=kind, unit=unit, source=source, as_of=as_of)


CALM = table((0.0, 0.004, 125.0), (50_000.0, 0.005, 100.0))
RAISED = table((0.0, 0.004, 125.0), (50_000.0, 0.01, 50.0))


def seen(
    *tables: TierTable, at: Nanoseconds = 1, collateral: tuple[CollateralTerms, ...] = ()
) -> MarginTermsSeen:
    return MarginTermsSeen(received_at=at, venue=VENUE, tiers=tables, collateral=collateral)


def haircuts(*rows: tuple[float, float], source: TermsSource = TermsSource.VENUE) -> CollateralTerms:
    return CollateralTerms(
        asset="USDE",
        tiers=tuple(HaircutTier(floor_usd=floor, haircut=haircut) for floor, haircut in rows),
        source=source,
    )


def known(*events: MarginTermsSeen) -> VenueTerms:
    terms = VenueTerms(VENUE)
    for event in events:
        terms.apply(event)
    return terms


def the_change(terms: VenueTerms) -> TermsChange:
    (change,) = terms.changes.values()
    return change


def test_a_market_of_which_nobody_told_has_the_formulas_table() -> None:
    terms = known()

    assert terms.table(BTC) == formula_table(BTC)
    assert terms.table(BTC).source is TermsSource.FORMULA
    assert terms.table(BTC, leverage_max=50.0) == formula_table(BTC, 50.0)
    assert terms.collateral("USDE") is None


def test_what_a_position_was_granted_bounds_the_formula_and_nothing_else() -> None:
    granted = (100_000.0, 20.0)
    hinted = known(seen(formula_table(BTC, 50.0)))

    assert hinted.table(BTC, granted=granted) == formula_table(BTC, 50.0, granted=granted)
    assert maintenance_ratio_of(hinted.table(BTC, granted=granted), 100_000.0, 50_000.0) < 1 / 20
    assert known(seen(CALM)).table(BTC, granted=granted) == CALM


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)])
def test_the_venues_word_is_believed_before_the_stored_and_that_before_ours(order: tuple[int, ...]) -> None:
    words = [CALM, table((0.0, 0.5, 1.0), source=TermsSource.STORED), formula_table(BTC)]

    terms = known(*(seen(words[index]) for index in order))

    assert terms.table(BTC) == CALM


def test_another_venues_word_is_not_taken() -> None:
    terms = known(MarginTermsSeen(received_at=1, venue="bybit", tiers=(CALM,)))

    assert terms.table(BTC).source is TermsSource.FORMULA


def test_more_maintenance_at_some_size_is_dearer() -> None:
    change = the_change(known(seen(CALM), seen(RAISED, at=7)))

    assert (change.market, change.at, change.is_dearer, change.is_cheaper) == (BTC, 7, True, False)
    assert (change.old_table, change.new_table) == (CALM, RAISED)


def test_less_leverage_at_the_same_maintenance_is_dearer() -> None:
    less = table((0.0, 0.004, 125.0), (50_000.0, 0.005, 90.0))

    assert the_change(known(seen(CALM), seen(less))).is_dearer


def test_what_is_cheaper_is_told_as_such_and_a_mixture_as_both() -> None:
    mixed = table((0.0, 0.003, 125.0), (50_000.0, 0.01, 100.0))

    assert not the_change(known(seen(RAISED), seen(CALM))).is_dearer
    change = the_change(known(seen(CALM), seen(mixed)))
    assert (change.is_dearer, change.is_cheaper) == (True, True)


def test_what_is_asked_for_only_beyond_all_positions_is_no_change() -> None:
    far = table((0.0, 0.004, 125.0), (50_000.0, 0.005, 100.0), (2e8, 0.01, 50.0))

    assert known(seen(CALM), seen(far)).changes == {}


def test_the_same_words_again_are_no_change() -> None:
    again = table((0.0, 0.004 * (1 + 1e-12), 125.0), (50_000.0, 0.005, 100.0))

    assert known(seen(CALM), seen(again)).changes == {}


def test_a_difference_from_what_was_stored_is_a_change_since_then() -> None:
    stored = table(*((0.0, 0.004, 125.0), (50_000.0, 0.005, 100.0)), source=TermsSource.STORED, as_of=5)

    change = the_change(known(seen(stored), seen(RAISED, at=90)))

    assert (change.since, change.at, change.is_dearer) == (5, 90, True)


def test_our_formula_giving_way_to_the_venue_is_no_change() -> None:
    assert known(seen(formula_table(BTC)), seen(RAISED)).changes == {}


def test_changes_in_one_hour_are_told_as_one_and_one_undone_as_none() -> None:
    more = table((0.0, 0.008, 50.0), (50_000.0, 0.01, 50.0))

    twice = known(seen(CALM, at=0), seen(RAISED, at=10), seen(more, at=20))
    assert the_change(twice).old_table == CALM
    assert the_change(twice).new_table == more
    assert known(seen(CALM, at=0), seen(RAISED, at=10), seen(CALM, at=20)).changes == {}
    later = known(seen(CALM, at=0), seen(RAISED, at=10), seen(CALM, at=10 + HOUR_NS))
    assert the_change(later).old_table == RAISED


def test_tiers_by_size_are_compared_by_size() -> None:
    calm = table((0.0, 0.004, 100.0), (5.0, 0.005, 75.0), unit=TierUnit.SIZE)
    earlier = table((0.0, 0.004, 100.0), (4.0, 0.005, 75.0), unit=TierUnit.SIZE)

    change = change_of_table(calm, earlier, 1)

    assert change is not None
    assert (change.is_dearer, change.is_cheaper) == (True, False)


def test_words_in_other_units_cannot_be_compared() -> None:
    by_size = table((0.0, 0.5, 1.0), unit=TierUnit.SIZE)

    assert change_of_table(CALM, by_size, 1) is None
    assert known(seen(CALM), seen(by_size)).table(BTC) == by_size


def test_a_larger_haircut_is_dearer_and_no_collateral_any_more_the_dearest() -> None:
    calm, raised, gone = haircuts((0.0, 0.05)), haircuts((0.0, 0.05), (1e6, 0.2)), haircuts()

    for after in (raised, gone):
        change = the_change(known(seen(collateral=(calm,)), seen(collateral=(after,), at=3)))
        assert (change.asset, change.is_dearer, change.is_cheaper) == ("USDE", True, False)
        assert (change.old_collateral, change.new_collateral) == (calm, after)
    lowered = known(seen(collateral=(raised,)), seen(collateral=(calm,)))
    assert not the_change(lowered).is_dearer
    assert lowered.collateral("USDE") == calm


def test_a_haircut_that_was_stored_gives_way_and_tells_what_changed() -> None:
    stored = haircuts((0.0, 0.0), source=TermsSource.STORED)
    told = haircuts((0.0, 0.1))

    assert known(seen(collateral=(told,)), seen(collateral=(stored,))).changes == {}
    assert the_change(known(seen(collateral=(stored,)), seen(collateral=(told,)))).is_dearer


def test_maintenance_and_leverage_are_those_of_the_tier_that_the_position_is_in() -> None:
    coins = table((0.0, 0.004, 125.0), (5.0, 0.005, 100.0), kind=ContractKind.INVERSE)  # floors of coins
    sizes = table((0.0, 0.004, 125.0), (5.0, 0.005, 100.0), unit=TierUnit.SIZE)

    assert maintenance_ratio_of(CALM, 100_000.0, 1.0) == pytest.approx((0.005 * 100_000 - 50) / 100_000)
    # 10 coins either way.
    assert maintenance_ratio_of(coins, 500_000.0, 50_000.0) == pytest.approx((0.005 * 10 - 0.005) / 10)
    assert maintenance_ratio_of(sizes, 500_000.0, 50_000.0) == 0.005
    assert leverage_max_of(sizes, 200_000.0, 50_000.0) == 125.0
    assert maintenance_ratio_of(CALM, 0.0, 1.0) == 0.004


rows = some.lists(
    some.tuples(
        some.floats(min_value=1.0, max_value=1e9),
        some.floats(min_value=0.001, max_value=0.9),
        some.floats(min_value=1.0, max_value=150.0),
    ),
    max_size=5,
    unique_by=lambda row: row[0],
)


@given(rows, rows)
def test_comparing_is_antisymmetric(
    one: list[tuple[float, float, float]], other: list[tuple[float, float, float]]
) -> None:
    tables = [table((0.0, 0.004, 125.0), *sorted(each), unit=TierUnit.SIZE) for each in (one, other)]

    there, back = change_of_table(tables[0], tables[1], 1), change_of_table(tables[1], tables[0], 1)

    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert (there.is_dearer, there.is_cheaper) == (back.is_cheaper, back.is_dearer)


@given(
    some.floats(min_value=0.0, max_value=1e12),
    some.lists(some.floats(min_value=0.0, max_value=1.0), max_size=4),
)
def test_never_more_is_counted_than_there_is(value: float, parts: list[float]) -> None:
    tiers = tuple(HaircutTier(floor_usd=1e4 * index, haircut=haircut) for index, haircut in enumerate(parts))

    assert 0.0 <= counted_usd(tiers, value) <= value * (1.0 + 1e-12)
    assert counted_usd(tiers, inf if not parts else value) >= 0.0


anything = some.floats(allow_nan=True, allow_infinity=True)
odd_tables = some.builds(
    TierTable,
    market=some.just(BTC),
    tiers=some.lists(
        some.builds(
            MarginTier,
            floor=anything,
            maintenance_ratio=anything,
            deduction=anything,
            leverage_max=anything,
        ),
        max_size=3,
    ).map(tuple),
    kind=some.sampled_from(ContractKind),
    unit=some.sampled_from(TierUnit),
    source=some.sampled_from(TermsSource),
)
odd_collateral = some.builds(
    CollateralTerms,
    asset=some.just("USDE"),
    tiers=some.lists(some.builds(HaircutTier, floor_usd=anything, haircut=anything), max_size=3).map(tuple),
    unit_usd=some.one_of(some.none(), anything),
    source=some.sampled_from(TermsSource),
)


@given(some.lists(some.tuples(odd_tables, odd_collateral), max_size=4), anything, anything)
def test_odd_words_are_taken_without_an_exception(
    words: list[tuple[TierTable, CollateralTerms]], notional: float, price: float
) -> None:
    terms = known(
        *(seen(tiers, at=number, collateral=(some_,)) for number, (tiers, some_) in enumerate(words))
    )

    found = terms.table(BTC, granted=(notional, price))
    assert found.tiers
    maintenance_ratio_of(found, notional, price)
    leverage_max_of(found, notional, price)
    assert all(change.is_dearer or change.is_cheaper for change in terms.changes.values())
