"""Stops out of the reach of a wick, at constant risk, and never past the liquidation price."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.events import Order
from guard.findings import Finding, Reason, Severity
from guard.forecasts import Regime
from guard.leverage.stop_places import Avoided, place
from guard.state import GuardState
from policies.widen_stops import WidenStops
from tests.policies.scenes import MARKET, WARM_S, hold, judged, thin_out, warm_state
from tests.support.builders import features, order, position
from tests.support.stressed_outlooks import give_outlook, outlook

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


# ---------------------------------------------------------------- bands


BAND = (0.03, 0.04)
"""From 97 to 96 for a long at 100."""


def band_scene(
    sign: float = 1.0, *, stop: float = 96.5, liquidation: float | None = 80.0, **said: Any
) -> GuardState:
    """A full book, a position of ``sign * 10`` at 100 and others' liquidations about its stop."""
    state, now = scene(sign, stop=stop, liquidation=liquidation, depth=100.0)
    give_outlook(state, outlook(now, MARKET, **{"hazard": 0.1, "bands": [BAND], **said}))
    return state


NOW = WARM_S + 4.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_stop_among_others_liquidations_goes_beyond_them_with_a_smaller_position(sign: float) -> None:
    (found,) = judged(POLICY, band_scene(sign), NOW)

    assert (found.reason, found.severity) == (Reason.STOP_IN_LIQUIDATION_BAND, Severity.ACT)
    assert distance_bps(found) == pytest.approx(425.0), "a quarter of the band's width beyond its far edge"
    rule, size = found.limit.stop, found.limit.max_size
    assert rule is not None
    assert size is not None
    assert ((rule.stop_price or 0.0) - 100.0) * sign < 0.0
    exit_bps = next(float(one.value) for one in found.evidence if one.name == "exit cost of the position")
    assert size == pytest.approx(10.0 * (350.0 + exit_bps) / (425.0 + exit_bps))
    (avoided,) = rule.avoid
    assert avoided == pytest.approx((96.0, 97.0) if sign > 0 else (103.0, 104.0))
    assert found.confirm_ms == 10_000


def test_in_calm_it_is_told_and_nothing_is_asked() -> None:
    (found,) = judged(POLICY, band_scene(hazard=0.01), NOW)

    assert (found.severity, found.limit.stop, found.limit.max_size) == (Severity.INFO, None, None)


@pytest.mark.parametrize(
    ("regime", "hazard", "asks"),
    [
        (Regime.WATCH, 0.049, False),
        (Regime.WATCH, 0.05, True),
        (Regime.STRESSED, 0.016, False),
        (Regime.CASCADE, 0.017, True),
    ],
)
def test_what_the_counterfactual_of_a_hazard_names_is_true(regime: Regime, hazard: float, asks: bool) -> None:
    (found,) = judged(POLICY, band_scene(regime=regime, hazard=hazard), NOW)

    assert (found.limit.stop is not None) is asks
    if asks:
        assert f"below {0.05 if regime is Regime.WATCH else 0.05 / 3.0:.1%}" in found.counterfactual


@pytest.mark.parametrize(("stop", "stands"), [(96.89, True), (96.91, False), (96.11, True), (96.09, False)])
def test_what_the_counterfactual_of_a_band_names_is_true(stop: float, stands: bool) -> None:
    (found,) = judged(POLICY, band_scene(), NOW)
    assert "outside of 96.9 to 96.1" in found.counterfactual

    assert bool(judged(POLICY, band_scene(stop=stop), NOW)) is stands


def test_a_band_that_moves_a_little_does_not_move_the_stop_again() -> None:
    (found,) = judged(POLICY, band_scene(), NOW)
    rule = found.limit.stop
    assert rule is not None
    assert rule.stop_price is not None
    for shift in (-0.003, -0.001, 0.001, 0.003):
        moved = [(BAND[0] + shift, BAND[1] + shift)]
        assert judged(POLICY, band_scene(stop=rule.stop_price, bands=moved), NOW) == []


def test_without_room_beyond_the_stop_goes_in_front_at_the_same_size() -> None:
    (found,) = judged(POLICY, band_scene(liquidation=95.0), NOW)

    assert distance_bps(found) == pytest.approx(275.0)
    assert found.limit.max_size == 10.0


def test_without_room_in_front_either_nothing_is_asked() -> None:
    near = [(0.005, 0.02)]
    (found,) = judged(POLICY, band_scene(stop=98.75, liquidation=97.6, bands=near), NOW)

    assert (found.severity, found.limit.stop) == (Severity.INFO, None)


def test_bands_that_hang_together_are_left_together() -> None:
    (found,) = judged(POLICY, band_scene(bands=[BAND, (0.041, 0.05)]), NOW)

    assert distance_bps(found) == pytest.approx(522.5)


def test_an_outlook_of_the_past_tells_no_bands() -> None:
    state, now = scene(stop=96.5, liquidation=80.0, depth=100.0)
    give_outlook(state, outlook(now - 30.0, MARKET, hazard=0.1, bands=[BAND]))

    assert judged(POLICY, state, now) == []


@given(
    sign=st.sampled_from([1.0, -1.0]),
    stop=st.floats(90.0, 99.9),
    liquidation=st.one_of(st.none(), st.floats(70.0, 99.0)),
    bands=st.lists(st.tuples(st.floats(0.001, 0.1), st.floats(0.001, 0.03)), min_size=1, max_size=5),
    depth=st.sampled_from([100.0, 30.0, 10.0]),
)
@example(sign=1.0, stop=96.5, liquidation=80.0, bands=[(0.03, 0.01)], depth=100.0)
def test_a_moved_stop_keeps_its_promises(
    sign: float, stop: float, liquidation: float | None, bands: list[tuple[float, float]], depth: float
) -> None:
    """Never past the liquidation price less its margin, never more at risk, never within what it is to keep out of."""
    if (sign, depth) not in _SCENES:
        _SCENES[sign, depth] = scene(sign, stop=99.0, liquidation=85.0, depth=depth)[0]
    state = _SCENES[sign, depth]

    def mirrored(price: float) -> float:
        return 100.0 + sign * (price - 100.0)

    held = position(sign * 10.0, liquidation_price=None if liquidation is None else mirrored(liquidation))
    hold(state, NOW, held, orders=(order("s1", -sign * 10.0, stop_price=mirrored(stop), reduce_only=True),))
    told = [(near, near + width) for near, width in bands]
    give_outlook(state, outlook(NOW, MARKET, hazard=0.2, bands=told))

    for found in judged(POLICY, state, NOW):
        rule, size = found.limit.stop, found.limit.max_size
        if rule is None or size is None:
            continue
        assert liquidation is not None
        assert rule.stop_price is not None
        wanted = sign * (100.0 - rule.stop_price)
        assert 0.0 < wanted <= (100.0 - liquidation) * 0.75 + 1e-9
        exit_price = (
            next(float(one.value) for one in found.evidence if one.name == "exit cost of the position")
            / 100.0
        )
        assert size * (wanted + exit_price) <= 10.0 * (100.0 - stop + exit_price) * (1.0 + 1e-9)
        assert size <= 10.0
        assert not any(low + 1e-9 < rule.stop_price < high - 1e-9 for low, high in rule.avoid)


_SCENES: dict[tuple[float, float], GuardState] = {}


STRETCHES = st.lists(
    st.builds(
        lambda near, width, gap: Avoided(near, near + width, near - gap, near + width + gap),
        st.floats(0.0, 900.0),
        st.floats(1.0, 300.0),
        st.floats(0.0, 50.0),
    ),
    max_size=6,
)


@given(
    distance=st.floats(1.0, 1_000.0),
    avoided=STRETCHES,
    exit_bps=st.floats(0.0, 100.0),
    room_bps=st.floats(0.0, 2_000.0),
    keep=st.floats(0.0, 1.0),
)
def test_a_place_is_out_of_every_stretch_within_room_and_never_a_greater_risk(
    distance: float, avoided: list[Avoided], exit_bps: float, room_bps: float, keep: float
) -> None:
    found = place(
        distance, avoided, exit_bps=exit_bps, room_bps=room_bps, front_bps_min=50.0, keep_share_min=keep
    )
    if found is None:
        return
    assert any(each.holds(distance) for each in avoided)
    assert not any(each.clear_near < found.distance < each.clear_far for each in avoided)
    assert 0.0 < found.keep_share <= 1.0
    assert found.keep_share * (found.distance + exit_bps) <= (distance + exit_bps) * (1.0 + 1e-9)
    if found.is_in_front:
        assert 50.0 <= found.distance < distance
        assert found.keep_share == 1.0
    else:
        assert distance < found.distance <= room_bps
