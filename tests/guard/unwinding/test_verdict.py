"""Cut now or wait: the threshold is where both cost the same, by adding up all that is paid either way."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from guard.findings import Remedy
from guard.forecasts import HORIZONS_S, MOVES, QUANTILES
from guard.leverage.cascade.sizing import ExitCosts
from guard.market.view import MarketView
from guard.unwinding.likelihood import chance_of, quantile_of
from guard.unwinding.remedies import offers_of
from guard.unwinding.verdict import Verdict, costs_of, weigh
from tests.support.builders import MARKET, features

shares = st.floats(1e-5, 0.2)


def paid(costs: ExitCosts, hazard: float, reentry: float, *, cut: bool) -> float:
    """All that is paid on one unit: leaving now, in and out again; or leaving at leisure, or by the crash."""
    if cut:
        return costs.now + 2.0 * reentry * costs.later
    return (1.0 - hazard) * costs.later + hazard * costs.crash


@settings(max_examples=40)
@given(shares, shares, shares, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_cut_is_worth_it_where_it_costs_less(
    now: float, later: float, more: float, reentry: float, hazard: float
) -> None:
    assume(later <= now)
    costs = ExitCosts(now=now, later=later, crash=later + more)
    verdict = weigh(costs, 1_000.0, hazard, reentry)
    saved = paid(costs, hazard, reentry, cut=False) - paid(costs, hazard, reentry, cut=True)
    if abs(saved) > 1e-9:
        assert verdict.is_worth_it is (saved > 0.0)
    if verdict.threshold < 1.0:
        at = verdict.threshold
        assert paid(costs, at, reentry, cut=True) == pytest.approx(paid(costs, at, reentry, cut=False))
    assert verdict.saving_usd is not None
    assert verdict.saving_usd - verdict.cost_usd == pytest.approx(1_000.0 * saved, abs=1e-6)


def test_nobody_knows_is_not_no() -> None:
    assert weigh(ExitCosts(0.001, 0.001, 0.1), 1.0, None, 1.0).is_worth_it is None


def costs(
    *, depth: float, cut_usd: float = 10_000.0, distance: float = 0.08, share: float = 0.5
) -> ExitCosts:
    view = MarketView(MARKET)
    view.apply(features(0.0, bid_size=depth))
    assert view.features is not None
    assert view.features.bids is not None
    return costs_of(
        view.features.bids,
        cut_usd=cut_usd,
        share=share,
        spread_bps=view.spread_bps or 0.0,
        spread_ratio=2.0,
        depth_ratio=min(depth / 100.0, 1.0),
        fee_ratio=0.0005,
        distance=distance,
        maintenance_ratio=0.01,
        liquidation_fee=0.005,
    )


def test_a_thin_book_costs_more_now_and_not_later() -> None:
    thin, full = costs(depth=10.0), costs(depth=100.0)
    assert thin.now > full.now
    assert thin.later == pytest.approx(full.later, rel=0.25)
    assert full.later <= full.now
    # The liquidation takes the distance of the part, and what is left of margin of the whole.
    assert full.crash == pytest.approx(0.08 + 0.015 / 0.5)


@settings(max_examples=40)
@given(st.floats(1.0, 1e3), st.floats(1.0, 10.0))
def test_more_depth_never_costs_more(depth: float, times: float) -> None:
    assert costs(depth=depth * times).now <= costs(depth=depth).now + 1e-12


rows = st.lists(st.floats(0.0, 1.0), min_size=9, max_size=9)


def told(numbers: list[float]) -> tuple[tuple[float, ...], ...]:
    """As a forecast is: rising with the horizon, falling with the move."""
    ordered = sorted(numbers)
    return tuple(tuple(ordered[at + 2 * row] for at in (2, 1, 0)) for row in range(3))


@settings(max_examples=40)
@given(rows)
def test_the_chance_is_what_is_told_where_it_is_told(numbers: list[float]) -> None:
    table = told(numbers)
    for row, horizon_s in zip(table, HORIZONS_S, strict=True):
        for chance, move in zip(row, MOVES, strict=True):
            assert chance_of(table, move, horizon_s) == pytest.approx(chance, abs=1e-8)


@settings(max_examples=40)
@given(rows, st.floats(1e-4, 0.9), st.floats(1.0, 3.0), st.floats(30.0, 7_200.0), st.floats(1.0, 3.0))
def test_farther_is_never_likelier_and_longer_never_less(
    numbers: list[float], distance: float, farther: float, horizon_s: float, longer: float
) -> None:
    table = told(numbers)
    chance = chance_of(table, distance, horizon_s)
    assert chance is not None
    assert 0.0 <= chance <= 1.0
    beyond, after = (
        chance_of(table, distance * farther, horizon_s),
        chance_of(table, distance, horizon_s * longer),
    )
    assert beyond is not None
    assert after is not None
    assert beyond <= chance + 1e-9
    assert after >= chance - 1e-9


def test_what_is_no_number_is_not_known() -> None:
    table = told([0.1] * 9)
    assert chance_of(table, float("nan"), 900.0) is None
    assert chance_of(table[:2], 0.05, 900.0) is None
    assert quantile_of((0.1,) * 6, 0.9) is None


@settings(max_examples=40)
@given(st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7), st.floats(0.05, 0.95), st.floats(0.0, 0.2))
def test_a_higher_quantile_is_never_nearer(numbers: list[float], share: float, more: float) -> None:
    quantiles = tuple(sorted(numbers))
    low, high = quantile_of(quantiles, share), quantile_of(quantiles, min(share + more, 0.95))
    assert low is not None
    assert high is not None
    assert low <= high + 1e-12
    for each, known in zip(QUANTILES, quantiles, strict=True):
        assert quantile_of(quantiles, each) == pytest.approx(known)


def verdict(*, now: float, hazard: float | None = 0.3, cut_usd: float = 10_000.0) -> Verdict:
    return weigh(ExitCosts(now=now, later=0.0007, crash=0.05), cut_usd, hazard, 0.0)


def offers(of: Verdict | None, **fields: object) -> dict[Remedy, float | None]:
    given_fields: dict[str, object] = {
        "margin_usd": 500.0,
        "lost_chance": 0.01,
        "settle": "USDT",
        "venue": "loopback",
        "dear_ratio": 0.01,
        "is_enough": True,
    }
    found = offers_of(of, **(given_fields | fields))  # type: ignore[arg-type]
    assert all(each.amount_usd > 0.0 and each.about for each in found)
    return {each.remedy: each.cost_usd for each in found}


def test_a_cheap_cut_needs_no_remedy() -> None:
    assert offers(verdict(now=0.0008), margin_usd=5_000.0, lost_chance=0.3) == {}


def test_in_a_blown_book_margin_and_a_hedge_are_offered_cheapest_first() -> None:
    found = offers(verdict(now=0.03))
    assert found == {Remedy.ADD_MARGIN: pytest.approx(5.0), Remedy.HEDGE_ELSEWHERE: pytest.approx(14.0)}
    assert list(found) == [Remedy.ADD_MARGIN, Remedy.HEDGE_ELSEWHERE]


def test_where_no_cut_is_enough_both_are_offered_whatever_they_cost() -> None:
    assert set(offers(verdict(now=0.0008), is_enough=False, lost_chance=None)) == {
        Remedy.ADD_MARGIN,
        Remedy.HEDGE_ELSEWHERE,
    }
