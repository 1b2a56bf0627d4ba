"""Cuts because of what a cascade may reach: minimal, weighed against waiting, capped before, offered instead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.events import MarginMode
from guard.findings import Finding, Reason, Remedy, Severity
from guard.forecasts import (
    Direction,
    HazardForecast,
    MarketOutlook,
    ReachForecast,
    Regime,
    SizingForecast,
)
from guard.leverage.cascade.sizing import largest_size
from guard.leverage.liquidation_price import liquidation_distance_bps, liquidation_price
from guard.state import GuardState
from perpguard_sdk.messages import Entries
from policies.cut_leverage import CutLeverage
from tests.policies.scenes import MARKET, WARM_S, hold, judged, thin_out, warm_state
from tests.support.builders import at, flat_terms, position

POLICY = CutLeverage()
MMR = 0.01


def outlook(
    *,
    reach: float = 0.10,
    chance: float = 0.5,
    share: float = 1.0,
    seconds: float = WARM_S,
    regime: Regime = Regime.NORMAL,
) -> MarketOutlook:
    """A 90 % reach of ``reach``, and moves of up to 10 % within 15 minutes as likely as ``chance``."""
    quantiles = tuple(reach * each for each in (0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.2))
    rows = tuple((chance * within,) * 3 for within in (0.05, 1.0, 1.0))
    return MarketOutlook(
        at=at(seconds),
        market=MARKET,
        regime=regime,
        price=100.0,
        reaches=tuple(
            ReachForecast(
                direction=each, quantiles=quantiles, probability=(0.9, 0.5, 0.1), expected=reach / 2
            )
            for each in Direction
        ),
        hazards=tuple(
            HazardForecast(direction=each, probability=rows, vulnerability=0.5, shock=0.5)
            for each in Direction
        ),
        sizings=tuple(
            SizingForecast(direction=each, danger=0.05, usual=0.014, leverage_share=share)
            for each in Direction
        ),
    )


def holding(state: GuardState, size: float, distance: float, seconds: float = WARM_S, **fields: Any) -> float:
    """Hold a position with just the equity that liquidates it after such a move; that equity."""
    sign = 1.0 if size > 0.0 else -1.0
    limit = 1.0 - sign * distance
    equity_usd = abs(size) * 100.0 * (sign * (1.0 - limit) + MMR * limit)
    price = liquidation_price(
        side_size_signed=size, entry_price=100.0, margin_usd=equity_usd, maintenance_ratio=MMR
    )
    told: dict[str, Any] = {"margin_mode": MarginMode.CROSS, "mark_price": 100.0, "entry_price": 100.0}
    hold(state, seconds, position(size, liquidation_price=price, **(told | fields)), equity_usd=equity_usd)
    return equity_usd


def scene(size: float = 100.0, distance: float = 0.08, **told: Any) -> tuple[GuardState, float]:
    state = warm_state()
    state.apply(flat_terms(MARKET, ratio=MMR))
    equity_usd = holding(state, size, distance)
    state.outlook.suppose(outlook(**told))
    return state, equity_usd


def the_one(state: GuardState, policy: CutLeverage = POLICY, seconds: float = WARM_S) -> Finding:
    (found,) = [one for one in judged(policy, state, seconds) if one.subject.account is not None]
    return found


def none_of(state: GuardState, policy: CutLeverage = POLICY) -> bool:
    return not [one for one in judged(policy, state, WARM_S) if one.subject.account is not None]


def value_of(found: Finding, name: str) -> float:
    value = next(one.value for one in found.evidence if one.name.startswith(name))
    assert isinstance(value, float)
    return value


def is_cut(found: Finding, size: float) -> bool:
    return found.limit.max_size is not None and found.limit.max_size < abs(size)


_one_state = warm_state()
_one_state.apply(flat_terms(MARKET, ratio=MMR))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([1.0, -1.0]),
    st.floats(0.04, 0.15),
    st.floats(1.15, 3.0),
    st.floats(1.0, 300.0),
)
def test_a_cut_is_minimal_and_puts_liquidation_beyond_the_reach(
    sign: float, distance: float, times: float, size: float
) -> None:
    state, reach = _one_state, min(distance * times, 0.25)
    equity_usd = holding(state, sign * size, distance)
    state.outlook.suppose(outlook(reach=reach, chance=0.9))
    found = the_one(state)
    target = found.limit.max_size

    assert found.reason is Reason.LIQUIDATION_WITHIN_REACH
    assert target is not None
    assert 0.0 < target < size, "a chance of 90 % is worth any cut in a full book"
    after = _distance(state, sign, size, target, equity_usd)
    wanted = reach * (1.0 + POLICY.reach_margin_ratio)
    assert after == pytest.approx(wanted, rel=2e-3), "neither nearer, nor farther than asked"
    assert _distance(state, sign, size, target * 1.02, equity_usd) < wanted * (1.0 - 1e-3)
    assert found.limit.max_leverage == pytest.approx(target * 100.0 / equity_usd, rel=1e-6)

    def exit_usd(cut: float) -> float:
        cost = state.markets[MARKET].exit_cost_bps(sign * cut)
        return 0.0 if cost is None else (cost.value / 1e4 + POLICY.fee_ratio) * cut * 100.0

    by_formula = largest_size(
        Direction.DOWN if sign > 0.0 else Direction.UP,
        price=100.0,
        equity_usd=equity_usd,
        size=size,
        reach=wanted,
        maintenance_ratio=MMR,
        exit_cost_usd=exit_usd,
    )
    assert target == pytest.approx(by_formula, rel=1e-5), "the pool's solver and the closed form agree"


def _distance(state: GuardState, sign: float, size: float, target: float, equity_usd: float) -> float:
    """How far liquidation is once the rest was closed in this book, costs paid; by the closed form of the price."""
    closed = size - target
    cost = state.markets[MARKET].exit_cost_bps(sign * closed)
    assert cost is not None
    left_usd = equity_usd - (cost.value / 1e4 + POLICY.fee_ratio) * closed * 100.0
    price = liquidation_price(
        side_size_signed=sign * target, entry_price=100.0, margin_usd=left_usd, maintenance_ratio=MMR
    )
    assert price is not None
    bps = liquidation_distance_bps(side_size_signed=sign * target, mark_price=100.0, liquidation_price=price)
    return bps / 1e4


def test_more_depth_never_makes_a_larger_cut() -> None:
    sizes = []
    for depth in (10.0, 30.0, 100.0, 1_000.0):
        state, _ = scene(reach=0.2, chance=0.9)
        now = thin_out(state, bid_size=depth, ask_size=depth)
        holding(state, 100.0, 0.08, now)
        state.outlook.suppose(outlook(reach=0.2, chance=0.9, seconds=now))
        sizes.append(the_one(state, seconds=now).limit.max_size or 0.0)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_what_lies_beyond_the_reach_is_left_alone() -> None:
    state, _ = scene(distance=0.16, reach=0.10, chance=0.9)
    assert none_of(state)


def test_a_reach_that_is_not_likely_enough_is_no_reason() -> None:
    state, _ = scene(reach=0.2, chance=0.05)
    assert none_of(state)


def test_before_it_comes_to_a_cut_nothing_is_added() -> None:
    state, _ = scene(reach=0.2, chance=0.2)
    found = the_one(state)
    assert (found.severity, found.limit.entries) == (Severity.WATCH, Entries.NO_ADDS)
    assert not is_cut(found, 100.0)
    assert found.limit.pace is None


def test_what_was_cut_is_not_given_back_before_the_market_has_recovered() -> None:
    """Once over, the chance falls at once; the position may not grow into the reach again until the state says so."""
    for regime, is_capped in ((Regime.CASCADE, True), (Regime.RECOVERY, True), (Regime.NORMAL, False)):
        state, equity_usd = scene(distance=0.15, reach=0.11, chance=0.03, regime=regime)
        found = [one for one in judged(POLICY, state, WARM_S) if one.subject.account is not None]
        assert bool(found) is is_capped
        if is_capped:
            leverage = 1.0 / (0.11 * 1.5 + MMR * (1.0 - 0.11 * 1.5))
            assert found[0].limit.max_size == pytest.approx(
                max(leverage * equity_usd / 100.0, 100.0), rel=1e-3
            )
            assert found[0].limit.entries is None, "it may grow up to there"


@pytest.mark.parametrize("regime", [Regime.STRESSED, Regime.CASCADE, Regime.RECOVERY])
def test_a_state_that_no_chance_bears_out_caps_nothing(regime: Regime) -> None:
    """On calm days states stand for hours because a book flickered."""
    state, _ = scene(distance=0.15, reach=0.11, chance=0.01, regime=regime)
    assert not [one for one in judged(POLICY, state, WARM_S) if one.subject.account is not None]
    wary = CutLeverage(hazard_hurt=0.005)
    assert [one for one in judged(wary, state, WARM_S) if one.subject.account is not None]


def test_the_chance_has_to_be_worth_what_the_cut_costs() -> None:
    """With a fee of 1 % and coming back, a cut costs 3 %: not for a chance of 20 % of losing 10 %."""
    dear = CutLeverage(fee_ratio=0.01, hazard_min=0.1)
    state, _ = scene(reach=0.2, chance=0.2)
    assert not is_cut(the_one(state, dear), 100.0)
    assert is_cut(the_one(state, CutLeverage(hazard_min=0.1)), 100.0)


def test_an_old_outlook_is_not_known_and_the_floor_stands() -> None:
    state, _ = scene(reach=0.2, chance=0.9, seconds=WARM_S - 60.0)
    assert none_of(state)
    thin = thin_out(state, bid_size=5.0)
    holding(state, 100.0, 0.08, thin)
    found = the_one(state, seconds=thin)
    assert found.reason is Reason.LIQUIDATION_NEAR
    assert is_cut(found, 100.0)


def test_a_small_cut_waits() -> None:
    state, _ = scene(distance=0.0995, reach=0.10, chance=0.9)
    patient = CutLeverage(cut_share_min=0.4)
    assert is_cut(the_one(state), 100.0)
    assert not is_cut(the_one(state, patient), 100.0)


def test_in_a_blown_book_nothing_is_cut_where_waiting_costs_less_and_remedies_are_offered() -> None:
    state, _ = scene()
    now = thin_out(state, bid_size=0.2, ask_size=0.2)
    holding(state, 100.0, 0.03, now)
    state.outlook.suppose(outlook(reach=0.10, chance=0.2, seconds=now))
    found = the_one(state, seconds=now)
    assert not is_cut(found, 100.0)
    assert found.limit.entries is Entries.REDUCE_ONLY
    assert {each.remedy for each in found.offers} == {Remedy.ADD_MARGIN, Remedy.HEDGE_ELSEWHERE}


def test_a_cut_that_is_large_for_the_book_is_paced_and_one_that_cannot_wait_is_not() -> None:
    state, _ = scene(size=3_000.0, reach=0.2, chance=0.31)
    found = the_one(state)
    pace = found.limit.pace
    assert not found.imminent
    assert pace is not None
    assert found.limit.max_size is not None
    assert 0.0 < pace.slice_size < 3_000.0 - found.limit.max_size
    assert pace.price_limit is not None
    assert pace.price_limit < 100.0

    state.outlook.suppose(outlook(reach=0.2, chance=0.5, regime=Regime.CASCADE))
    held = thin_out(state, seconds=1.0)
    holding(state, 3_000.0, 0.004, held)
    urgent = the_one(state, seconds=held)
    assert urgent.imminent
    assert urgent.severity is Severity.CRITICAL
    assert urgent.limit.pace is None


def test_a_dangerous_market_bears_less_than_the_usual_leverage() -> None:
    state, _ = scene(distance=0.5, chance=0.4, share=0.25)
    (found,) = judged(POLICY, state, WARM_S)
    assert found.subject.account is None
    assert found.limit.max_leverage == pytest.approx(2.5)
    assert found.limit.max_size is None

    for share, chance in ((1.5, 0.4), (0.25, 0.01)):
        state.outlook.suppose(outlook(share=share, chance=chance))
        assert judged(POLICY, state, WARM_S) == []
    state.outlook.suppose(outlook(share=0.25, chance=0.4))
    assert judged(CutLeverage(leverage_usual=0.0), state, WARM_S) == []


def test_the_counterfactual_is_true() -> None:
    """Each of the things that it names is enough by itself."""
    state, _ = scene(distance=0.08, reach=0.12, chance=0.5)
    found = the_one(state)
    assert is_cut(found, 100.0)
    text = found.counterfactual
    assert "1200 bps or more" in text
    assert "a reach of 800 bps or less in 90% of cascades" in text
    assert "below 30.0%" in text

    leverage = found.limit.max_leverage or 0.0
    assert f"{leverage:.2g}x" in text
    enough: tuple[tuple[float, dict[str, Any]], ...] = (
        (0.12, {"reach": 0.12, "chance": 0.5}),
        (0.08, {"reach": 0.08, "chance": 0.5}),
        (0.08, {"reach": 0.12, "chance": 0.299}),
        (1.0 / leverage - MMR, {"reach": 0.12, "chance": 0.5}),
    )
    for distance, told in enough:
        other, _ = scene(distance=distance, **told)
        assert not [one for one in judged(POLICY, other, WARM_S) if is_cut(one, 100.0)]


def test_evidence_has_units_and_what_it_is_held_against() -> None:
    state, _ = scene(reach=0.2, chance=0.5)
    found = the_one(state)
    assert all(one.unit for one in found.evidence)
    assert value_of(found, "reach of a cascade") == pytest.approx(2_000.0)
    assert value_of(found, "chance of liquidation") == pytest.approx(50.0)
    assert value_of(found, "expected saving") > value_of(found, "cost of the cut") > 0.0
    assert value_of(found, "leverage") == pytest.approx(1.0 / (0.08 + MMR * 0.92), rel=1e-3)
