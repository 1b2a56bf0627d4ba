"""Stops out of the reach of a wick, at constant risk, and never past the liquidation price."""

from __future__ import annotations

import pytest

from guard.events import Order
from guard.findings import Finding, Reason
from guard.state import GuardState
from policies.widen_stops import WidenStops
from tests.policies.scenes import WARM_S, hold, judged, thin_out, warm_state
from tests.support.builders import features, order, position

POLICY = WidenStops()


def scene(
    sign: float = 1.0,
    *,
    stop: float = 99.0,
    liquidation: float | None = 85.0,
    depth: float = 20.0,
    size: float = 10.0,
) -> tuple[GuardState, float]:
    """A position of ``sign * size`` at 100 in a book with a thin side; prices are given for the long."""

    def mirrored(price: float) -> float:
        return 100.0 + sign * (price - 100.0)

    state = warm_state()
    now = thin_out(state, bid_size=depth if sign > 0 else 100.0, ask_size=depth if sign < 0 else 100.0)
    held = position(sign * size, liquidation_price=None if liquidation is None else mirrored(liquidation))
    resting: Order = order("s1", -sign * size, stop_price=mirrored(stop), reduce_only=True)
    hold(state, now, held, orders=(resting,))
    return state, now


def distance_bps(found: Finding) -> float:
    rule = found.limit.stop
    assert rule is not None
    assert rule.stop_price is not None
    return abs(rule.stop_price - 100.0) * 100.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_stop_in_reach_is_asked_beyond_it_for_a_smaller_position(sign: float) -> None:
    state, now = scene(sign)

    (found,) = judged(POLICY, state, now)

    assert found.reason is Reason.STOP_IN_THIN_ZONE
    reach_bps = next(one.value for one in found.evidence if one.name == "reach of a wick")
    assert isinstance(reach_bps, float)
    assert distance_bps(found) >= min(reach_bps * (1.0 + POLICY.beyond_ratio), POLICY.distance_bps_max) - 1e-6
    rule = found.limit.stop
    assert rule is not None
    assert ((rule.stop_price or 0.0) - 100.0) * sign < 0.0
    assert found.limit.basis is not None
    assert found.limit.basis.size == sign * 10.0


@pytest.mark.parametrize("depth", [40.0, 20.0, 10.0])
@pytest.mark.parametrize("stop", [99.8, 99.0, 98.5])
def test_size_times_distance_is_never_more_than_before(depth: float, stop: float) -> None:
    state, now = scene(depth=depth, stop=stop)
    for found in judged(POLICY, state, now):
        size = found.limit.max_size
        assert size is not None
        assert size <= 10.0
        exit_bps = next(one.value for one in found.evidence if one.name == "exit cost of the position")
        assert isinstance(exit_bps, float)
        before = 10.0 * ((100.0 - stop) * 100.0 + exit_bps)
        assert size * (distance_bps(found) + exit_bps) <= before * (1.0 + 1e-9)


@pytest.mark.parametrize("liquidation", [98.8, 97.0, 95.0, 92.0, 85.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_stop_is_never_put_past_the_liquidation_price(sign: float, liquidation: float) -> None:
    state, now = scene(sign, liquidation=liquidation)
    for found in judged(POLICY, state, now):
        to_liquidation_bps = (100.0 - liquidation) * 100.0
        assert distance_bps(found) <= to_liquidation_bps * (1.0 - POLICY.liquidation_margin_ratio) + 1e-6


def test_without_a_liquidation_price_nothing_is_asked() -> None:
    state, now = scene(liquidation=None)
    assert judged(POLICY, state, now) == []


def test_a_stop_that_stands_far_enough_is_left_alone() -> None:
    state, now = scene(stop=88.0)
    assert judged(POLICY, state, now) == []


def test_a_full_book_is_no_danger() -> None:
    state, now = scene(depth=100.0)
    assert judged(POLICY, state, now) == []


def test_a_position_without_a_stop_is_left_alone() -> None:
    state, now = scene()
    hold(state, now, position(10.0, liquidation_price=85.0), orders=(order("o1", -10.0, price=101.0),))
    assert judged(POLICY, state, now) == []


def test_a_stale_book_or_mark_price_moves_no_stop() -> None:
    state, now = scene()
    assert judged(POLICY, state, now)
    assert judged(POLICY, state, now + 30.0) == []

    for number in range(1, 200):
        state.apply(features(now + number * 0.25, bid_size=20.0))
    later = now + 49.75
    hold(
        state,
        later,
        position(10.0, liquidation_price=85.0),
        orders=(order("s1", -10.0, stop_price=99.0, reduce_only=True),),
    )
    assert judged(POLICY, state, later) == [], "the mark price is fifty seconds old"
    assert later > WARM_S
