"""What margin is required of others follows from the venue's tiers, and the map from it, whenever they come."""

from __future__ import annotations

import math

import pytest

from guard.events import MarginTermsSeen
from guard.forecasts import Direction
from guard.leverage.crowd import LeverageMix, LiquidationMap
from guard.leverage.crowd.margins import RATE_STEP, Margins, margins_of
from guard.leverage.tiers import margin_tiers
from guard.margin_terms import ContractKind, TermsSource, TierTable, TierUnit
from guard.outlook.broken import Broken
from guard.outlook.estimators import Estimators
from guard.readings import HistoryPoint
from guard.units import NS_PER_S
from tests.guard.leverage.crowd.readings import MARKET, START_AT, reading, walk

ROWS = [(0.0, 0.004, 100.0), (300e3, 0.005, 75.0), (3e6, 0.01, 25.0), (60e6, 0.05, 10.0)]


PAST = [
    HistoryPoint(
        at=START_AT - (600 - at) * 300 * NS_PER_S,
        price=100.0 * (1.0 + 0.03 * math.sin(at / 60.0)),
        open_interest=1e3,
    )
    for at in range(600)
]


def table(rows: list[tuple[float, float, float]], **more: object) -> TierTable:
    return TierTable(market=MARKET, tiers=margin_tiers(rows), **more)  # type: ignore[arg-type]


def flat(rate: float, leverage_max: float = 100.0) -> TierTable:
    return table([(0.0, rate, leverage_max)])


def within(made: LiquidationMap, direction: Direction, move: float = 0.05) -> float:
    side = made.side(direction)
    assert side is not None
    return side.within(move)


@pytest.mark.parametrize(("opened", "leverage_max"), [(1e3, 100.0), (3e4, 75.0), (3e5, 25.0), (1e7, 10.0)])
def test_who_holds_more_must_keep_more(opened: float, leverage_max: float) -> None:
    told = margins_of(table(ROWS), opened, 100_000.0)
    more = margins_of(table(ROWS), opened * 30.0, 100_000.0)
    assert told is not None
    assert more is not None
    assert told.leverage_max == leverage_max
    assert 0.004 <= told.maintenance < more.maintenance <= 0.05
    assert told.maintenance / RATE_STEP == pytest.approx(round(told.maintenance / RATE_STEP))


def test_units_and_kinds_of_tables_come_to_the_same() -> None:
    price, opened = 50.0, 1e6
    linear = margins_of(table(ROWS), opened, price)
    in_coins = [(floor / price, rate, most) for floor, rate, most in ROWS]
    assert margins_of(table(in_coins, kind=ContractKind.INVERSE), opened, price) == linear
    flat_tiers = [(0.0, 0.01, 20.0)]
    for unit in TierUnit:
        for kind in ContractKind:
            told = margins_of(table(flat_tiers, unit=unit, kind=kind), opened, price)
            assert told == Margins(0.01, 20.0)


def test_a_table_of_our_own_says_nothing_of_others() -> None:
    assert margins_of(table(ROWS, source=TermsSource.FORMULA), 1e6, 1.0) is None
    assert margins_of(TierTable(market=MARKET, tiers=()), 1e6, 1.0) is None


def test_terms_that_come_soon_after_a_boot_give_the_map_of_terms_that_came_first() -> None:
    first, soon, late = (LiquidationMap(MARKET, LeverageMix()) for _ in range(3))
    told = flat(0.003, 20.0)
    first.take_terms(told)
    for made in (first, soon, late):
        made.boot(PAST)
    without = within(soon, Direction.DOWN)
    soon.take_terms(told)
    for direction in Direction:
        assert within(soon, direction) == pytest.approx(within(first, direction), rel=1e-9)
    assert within(soon, Direction.DOWN, 0.02) < 0.8 * within(late, Direction.DOWN, 0.02)  # nobody above 20x
    for each in walk(200, 3):
        late.update(each)
    before = within(late, Direction.DOWN)
    late.take_terms(told)
    assert without != within(first, Direction.DOWN)
    assert within(late, Direction.DOWN) == pytest.approx(
        before, rel=0.2
    )  # those who are there stay where they are


def test_who_enters_after_other_terms_is_liquidated_elsewhere() -> None:
    made, same = (LiquidationMap(MARKET, LeverageMix()) for _ in range(2))
    for each in (made, same):
        each.update(reading(0, 100.0, 1.0))
    made.take_terms(flat(0.03))
    for each in (made, same):
        each.update(reading(1, 100.0, 1e6))
        each.update(reading(40, 100.0, 1e6, elapsed_s=195.0))
    assert within(made, Direction.DOWN) > 1.2 * within(same, Direction.DOWN)


def test_what_is_kept_remembers_by_which_margin_it_stands() -> None:
    mix = LeverageMix()
    made = LiquidationMap(MARKET, mix)
    made.take_terms(flat(0.003))
    for each in walk(100, 4):
        made.update(each)
    kept = made.state()
    assert kept is not None
    assert kept.maintenance == pytest.approx(0.003)
    for restored in (LiquidationMap(MARKET, mix) for _ in range(2)):
        assert restored.restore(kept)
        before = within(made, Direction.UP)
        assert within(restored, Direction.UP) == pytest.approx(before, rel=0.01)
        restored.take_terms(flat(0.02))
        assert within(restored, Direction.UP) > before


@pytest.mark.parametrize("is_told_first", [True, False])
def test_estimators_pass_terms_on_to_maps_that_are_and_that_will_be(is_told_first: bool) -> None:
    made, broken = Estimators(), Broken()
    told = MarginTermsSeen(received_at=0, venue="bybit", tiers=(flat(0.003, 10.0),))
    if is_told_first:
        made.hear(told, broken)
    before = made.update(reading(0, 100.0), broken).maps
    if not is_told_first:
        made.hear(told, broken)
    after = made.update(reading(1, 100.0), broken).maps
    assert not list(broken)
    assert after[0].within[1].usd < 0.5 * 1_000.0 * 100.0
    if is_told_first:
        assert after[0].within[1].usd == pytest.approx(before[0].within[1].usd, rel=0.01)
    else:
        assert after[0].within[1].usd < before[0].within[1].usd
