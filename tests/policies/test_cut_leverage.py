"""How large a position may be in this book, checked against the solver of liquidation prices."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from guard.events import (
    AccountSnapshot,
    CollateralHeld,
    MarginMode,
    PositionSource,
    StreamFault,
    StreamFaultKind,
)
from guard.events import Stream as StreamKind
from guard.findings import Finding, Reason, Severity
from guard.leverage.liquidation_price import liquidation_distance_bps, liquidation_price
from guard.margin_terms import TermsSource
from guard.state import GuardState
from guard.units import MarketId
from policies.cut_leverage import CutLeverage
from tests.policies.scenes import WARM_S, hold, judged, thin_out, warm_state
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    ETH,
    MARKET,
    at,
    features,
    flat_terms,
    mark,
    position,
    reported,
)

POLICY = CutLeverage()
MMR = 0.01


def cross(size: float, equity_usd: float) -> float:
    """The liquidation price at mark 100 of a position with so much equity behind it."""
    price = liquidation_price(
        side_size_signed=size, entry_price=100.0, margin_usd=equity_usd, maintenance_ratio=MMR
    )
    assert price is not None
    return price


def holding(state: GuardState, seconds: float, size: float, equity_usd: float, **fields: Any) -> None:
    price = cross(size, equity_usd)
    hold(state, seconds, position(size, liquidation_price=price, **fields))


def evidence(found: Finding, name: str) -> float:
    value = next(one for one in found.evidence if one.name == name).value
    assert isinstance(value, float)
    return value


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_size_asked_for_lies_as_far_from_liquidation_as_asked(sign: float) -> None:
    state = warm_state()
    now = thin_out(state, bid_size=30.0, ask_size=30.0)
    size, equity_usd = sign * 100.0, 500.0
    holding(state, now, size, equity_usd)

    (found,) = judged(POLICY, state, now)

    assert found.reason is Reason.LIQUIDATION_NEAR
    assert found.severity in (Severity.ACT, Severity.CRITICAL)
    target = found.limit.max_size
    assert target is not None
    assert 0.0 < target < abs(size)
    need_bps = next(one.limit for one in found.evidence if one.name == "distance to liquidation")
    assert need_bps is not None
    wanted_bps = min(need_bps * (1.0 + POLICY.margin_ratio), POLICY.distance_bps_max)
    view = state.markets[found.subject.market]  # type: ignore[index]
    cost = view.exit_cost_bps(sign * (abs(size) - target))
    assert cost is not None
    left_usd = equity_usd - (cost.value / 1e4 + POLICY.fee_ratio) * (abs(size) - target) * 100.0
    reached_bps = liquidation_distance_bps(
        side_size_signed=sign * target,
        mark_price=100.0,
        liquidation_price=cross(sign * target, left_usd),
    )
    assert reached_bps == pytest.approx(wanted_bps, rel=1e-3)
    assert found.limit.max_leverage == pytest.approx(target * 100.0 / equity_usd, rel=0.05)


def test_long_and_short_are_mirrored() -> None:
    sizes = []
    for sign in (1.0, -1.0):
        state = warm_state()
        now = thin_out(state, bid_size=30.0, ask_size=30.0)
        holding(state, now, sign * 100.0, 500.0)
        sizes.append(judged(POLICY, state, now)[0].limit.max_size)

    assert sizes[0] == pytest.approx(sizes[1], rel=0.2)


def test_a_thinner_book_asks_for_more_distance_and_a_smaller_position() -> None:
    needs, sizes = [], []
    for depth in (100.0, 50.0, 25.0, 10.0):
        state = warm_state()
        now = thin_out(state, bid_size=depth, seconds=2.0)
        holding(state, now, 100.0, 300.0)
        (found,) = judged(POLICY, state, now)
        needs.append(next(one.limit for one in found.evidence if one.limit) or 0.0)
        sizes.append(found.limit.max_size or 0.0)

    assert all(thinner > thicker for thicker, thinner in pairwise(needs))
    assert all(thinner < thicker for thicker, thinner in pairwise(sizes))


def test_a_distant_liquidation_is_nothing() -> None:
    state = warm_state()
    holding(state, WARM_S, 10.0, 900.0)

    assert judged(POLICY, state, WARM_S) == []


def test_a_position_that_is_near_enough_is_capped_where_it_is() -> None:
    state = warm_state()
    found = None
    for equity in range(300, 3_000, 25):
        holding(state, WARM_S, 100.0, float(equity))
        seen = judged(POLICY, state, WARM_S)
        if seen and seen[0].severity is Severity.WATCH:
            found = seen[0]
            break

    assert found is not None
    assert found.limit.max_size is not None
    assert found.limit.max_size >= 100.0


@pytest.mark.parametrize("margin_mode", [MarginMode.CROSS, MarginMode.ISOLATED])
def test_obeying_is_enough(margin_mode: MarginMode) -> None:
    """A cut that was made is not asked for again, in cross mode by the policy itself, in isolated by its basis."""
    state = warm_state()
    now = thin_out(state, bid_size=30.0)
    holding(state, now, 100.0, 500.0, margin_mode=margin_mode)
    (first,) = judged(POLICY, state, now)
    target = first.limit.max_size
    assert target is not None
    equity = 500.0 if margin_mode is MarginMode.CROSS else 500.0 * target / 100.0
    holding(state, now, target, equity, margin_mode=margin_mode)

    again = judged(POLICY, state, now)

    if margin_mode is MarginMode.ISOLATED:
        assert first.limit.basis is not None
        assert again[0].limit.basis is not None
        share = (again[0].limit.max_size or 0.0) / again[0].limit.basis.size
        assert share >= target / first.limit.basis.size * 0.95
    else:
        assert all((one.limit.max_size or 0.0) >= target * 0.99 for one in again)


def test_margin_that_would_do_does() -> None:
    state = warm_state()
    fields: dict[str, Any] = {"margin_mode": MarginMode.ISOLATED, "entry_price": 100.0, "mark_price": 100.0}
    hold(state, WARM_S, position(100.0, margin_usd=200.0, **fields))
    (found,) = judged(POLICY, state, WARM_S)
    margin_usd = evidence(found, "margin that would do instead")
    need_bps = next(one.limit for one in found.evidence if one.name == "distance to liquidation")
    assert need_bps is not None
    assert margin_usd == pytest.approx((need_bps + (1e4 - need_bps) * MMR) - 200.0)

    hold(state, WARM_S, position(100.0, margin_usd=200.0 + margin_usd, **fields))
    (again,) = judged(POLICY, state, WARM_S)
    assert again.severity is Severity.WATCH


def test_isolated_evidence_says_what_margin_would_do_instead() -> None:
    state = warm_state()
    holding(state, WARM_S, 100.0, 200.0, margin_mode=MarginMode.ISOLATED)

    assert evidence(judged(POLICY, state, WARM_S)[0], "margin that would do instead") > 0.0


def near(state: GuardState, seconds: float = WARM_S) -> None:
    holding(state, seconds, 100.0, 200.0)


def test_a_stale_book_or_mark_price_never_leads_to_a_cut() -> None:
    state = warm_state()
    near(state)
    assert judged(POLICY, state, WARM_S)
    assert judged(POLICY, state, WARM_S + 30.0) == []

    for number in range(1, 200):
        state.apply(features(WARM_S + number * 0.25))
    near(state, WARM_S + 49.75)
    assert judged(POLICY, state, WARM_S + 49.75) == [], "the mark price is fifty seconds old"


def test_a_stale_account_never_leads_to_a_cut() -> None:
    state = warm_state(keyed=True)
    for number in range(30):
        near(state, WARM_S + number * 0.25)
    now = thin_out(state, seconds=7.25)
    assert judged(POLICY, state, now)

    later = thin_out(state, seconds=30.0, start=now)
    assert judged(POLICY, state, later) == []


def test_an_account_with_a_fault_never_leads_to_a_cut() -> None:
    state = warm_state(keyed=True)
    for number in range(30):
        near(state, WARM_S + number * 0.25)
    now = thin_out(state, seconds=7.25)
    fault = StreamFaultKind.DISCONNECTED
    state.apply(StreamFault(received_at=at(now), subject=ACCOUNT, stream=StreamKind.ACCOUNT, fault=fault))

    assert judged(POLICY, state, now) == []


def test_what_only_a_silent_bot_tells_never_leads_to_a_cut() -> None:
    state = warm_state()
    state.apply(reported(WARM_S, ALPHA, size=100.0, liquidation_price=98.5))
    assert state.accounts[ACCOUNT].source is PositionSource.BOT
    assert judged(POLICY, state, WARM_S)

    later = thin_out(state, seconds=20.0)
    assert judged(POLICY, state, later) == []


def test_both_legs_of_a_hedge_are_judged() -> None:
    state = warm_state()
    hold(
        state,
        WARM_S,
        position(100.0, liquidation_price=98.5),
        position(-80.0, liquidation_price=101.5),
    )

    assert len(judged(POLICY, state, WARM_S)) == 2


def three_legs(state: GuardState, seconds: float, quantity: float, **fields: Any) -> None:
    """Three longs behind which stands the same money; the third market is only known from the account."""
    third = MarketId("loopback:SOL/USDT:USDT")
    state.apply(flat_terms(third))
    told = {"entry_price": 100.0, "mark_price": 100.0, "margin_mode": MarginMode.CROSS, **fields}
    state.apply(
        AccountSnapshot(
            received_at=at(seconds),
            account=ACCOUNT,
            source=PositionSource.VENUE,
            positions=tuple(position(40.0, market=market, **told) for market in (MARKET, ETH, third)),
            collateral=(CollateralHeld(asset="USDT", quantity=quantity),),
            orders=(),
        )
    )


def test_positions_that_fail_together_are_cut_by_the_share_that_keeps_the_distance() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=30.0)
    three_legs(state, now, 600.0)
    alone_bps = state.own.risks[ACCOUNT].legs[0].distance_bps
    (found,) = judged(POLICY, state, now)

    # Alone it is 600 USD away, less maintenance; together a third of that.
    assert alone_bps is not None
    assert evidence(found, "distance to liquidation") < 0.4 * alone_bps
    assert any(one.name == "liquidation price if all move (common down)" for one in found.evidence)
    share = (found.limit.max_size or 0.0) / 40.0
    need_bps = next(one.limit for one in found.evidence if one.name == "distance to liquidation")
    assert need_bps is not None
    wanted_bps = min(need_bps * (1.0 + POLICY.margin_ratio), POLICY.distance_bps_max)
    limit_price = 100.0 * (1.0 - wanted_bps / 1e4)
    sizes = 3 * 40.0 * share
    left_usd = 600.0 - sizes * (100.0 - limit_price) - MMR * sizes * limit_price
    assert left_usd == pytest.approx(0.0, abs=1.0)


def test_a_common_move_by_our_own_formula_does_not_overrule_the_venue() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=30.0)
    state.own.terms.clear()
    state.apply(flat_terms(MARKET, ETH, source=TermsSource.FORMULA, ratio=0.02))
    three_legs(state, now, 1_000.0, liquidation_price=70.0)
    assert all((one.limit.max_size or 0.0) >= 40.0 for one in judged(POLICY, state, now)), "none is cut"


@pytest.mark.parametrize(
    ("sign", "price", "confirm_ms"), [(1.0, 97.0, 5_000), (1.0, 99.0, 1_000), (-1.0, 103.0, 5_000)]
)
def test_a_mark_price_far_from_its_own_book_has_to_stand_for_longer(
    sign: float, price: float, confirm_ms: int
) -> None:
    """One wrong mark price stands until the next, which at some venues is seconds; a book that falls says it too."""
    state = warm_state()
    now = thin_out(state, bid_size=30.0, ask_size=30.0)
    holding(state, now, sign * 100.0, 500.0)
    state.apply(mark(now, price))
    (found,) = judged(POLICY, state, now)
    assert found.confirm_ms == confirm_ms
