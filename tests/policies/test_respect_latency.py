"""What is left until liquidation, against what an action takes; and venues that have become slow."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from guard.account.action_time import ActionTimes
from guard.commands import CommandOutcome, OutcomeKind
from guard.events import MarginMode, Tick
from guard.findings import Finding, Reason, Remedy, Severity
from guard.forecasts import Direction, ReachForecast, Regime
from guard.state import GuardState
from perpguard_sdk.messages import CutLeverage, Entries
from policies.respect_latency import RespectLatency
from tests.policies.scenes import MARKET, WARM_S, judged, warm_state
from tests.support.builders import ALPHA, at, features, mark, position, reported, snapshot
from tests.support.outlooks import outlook_of, reach_of

POLICY = RespectLatency()
NOW_S = WARM_S + 10.0


def scene(
    *,
    size: float = 10.0,
    leverage: float = 10.0,
    fall_bps_a_minute: float = 0.0,
    regime: Regime | None = Regime.NORMAL,
    took_s: float | None = None,
) -> GuardState:
    """A cross position of some leverage, in a market that falls for ten seconds."""
    state = warm_state()
    if took_s is not None:
        state.own.action_times = measured(took_s)
    price = 100.0
    for number in range(1, 41):
        seconds = WARM_S + 0.25 * number
        price = 100.0 * math.exp(-fall_bps_a_minute / 60e4 * 0.25 * number)
        state.apply(features(seconds, price))
        state.apply(mark(seconds, price))
    margin = abs(size) * price / leverage
    held = position(
        size, entry_price=price, mark_price=price, margin_mode=MarginMode.CROSS, leverage=leverage
    )
    told = structs.replace(snapshot(NOW_S, held, equity_usd=margin), wallet_usd=margin)
    state.apply(told)
    state.apply(reported(NOW_S, size=size))
    for number in range(1, 45):  # its speed is known once it was held for ten seconds
        seconds = NOW_S + 0.25 * number
        price *= math.exp(-fall_bps_a_minute / 60e4 * 0.25)
        state.apply(features(seconds, price))
        state.apply(mark(seconds, price))
    wallet = abs(size) * price / leverage
    held = structs.replace(held, entry_price=price, mark_price=price)
    state.apply(structs.replace(snapshot(NOW_S + 11.0, held, equity_usd=wallet), wallet_usd=wallet))
    state.apply(Tick(received_at=at(NOW_S + 11.0)))
    state.outlook._latest.clear()
    if regime is not None:
        small = tuple(
            structs.replace(reach_of(each), quantiles=(0.001,) * 5 + (0.02, 0.03)) for each in Direction
        )
        state.outlook._latest[MARKET] = structs.replace(outlook_of(MARKET, regime=regime), reaches=small)
    return state


def measured(seconds: float, count: int = 20) -> ActionTimes:
    times = ActionTimes()
    for number in range(count):
        act(times, number, seconds)
    return times


def act(times: ActionTimes, number: int, seconds: float) -> None:
    command = CutLeverage(
        max_size=1.0, max_leverage=2.0, id=f"c{number}", bot=ALPHA, epoch=1, session="s1", seq=number, ts=0,
        expires_at=0, posture_version=1, symbol="BTC/USDT:USDT", reason="test", evidence=(), dry_run=False,
    )  # fmt: skip
    times.begin(command, at(0.0))
    times.end(
        CommandOutcome(
            command_id=command.id, bot=ALPHA, outcome=OutcomeKind.CONFIRMED, source="venue", detail="",
            judged_at=at(seconds),
        )
    )  # fmt: skip


def found(state: GuardState, policy: RespectLatency = POLICY) -> list[Finding]:
    return judged(policy, state, NOW_S + 11.0)


def values(finding: Finding) -> dict[str, float | str]:
    return {one.name: one.value for one in finding.evidence}


@pytest.mark.parametrize("leverage", [1.0, 3.0, 10.0, 20.0])
@pytest.mark.parametrize("regime", [Regime.NORMAL, Regime.WATCH, None])
def test_a_healthy_account_in_calm_is_left_alone(leverage: float, regime: Regime | None) -> None:
    assert found(scene(leverage=leverage, regime=regime)) == []


def test_a_fall_that_would_be_there_before_three_actions_is_cut_at_once() -> None:
    (finding,) = found(scene(leverage=20.0, fall_bps_a_minute=2_500.0))

    assert (finding.reason, finding.severity) == (Reason.ACTION_TOO_SLOW, Severity.CRITICAL)
    assert finding.imminent
    assert finding.limit.entries is Entries.REDUCE_ONLY
    assert finding.limit.max_size is not None
    assert 0.0 < finding.limit.max_size < 10.0
    time = values(finding)["time to liquidation at the present speed"]
    assert isinstance(time, float)
    assert time < 90.0


def test_what_is_measured_to_be_fast_needs_no_cut() -> None:
    assert found(scene(leverage=20.0, fall_bps_a_minute=2_500.0, took_s=2.0)) == []


def test_obeyed_it_does_not_stand_any_more() -> None:
    state = scene(leverage=20.0, fall_bps_a_minute=2_500.0)
    (finding,) = found(state)
    (now,) = state.accounts.values()
    held, wallet = now.positions[0], now.told.wallet_usd if now.told is not None else None
    left = structs.replace(held, size=finding.limit.max_size)
    state.apply(structs.replace(snapshot(NOW_S + 11.0, left, equity_usd=wallet), wallet_usd=wallet))

    assert [each for each in found(state) if each.imminent] == []


def test_what_only_the_fastest_ever_would_reach_stops_adds_and_cuts_nothing() -> None:
    (finding,) = found(scene(leverage=50.0, regime=Regime.WATCH))

    assert (finding.severity, finding.imminent) == (Severity.WATCH, False)
    assert finding.limit.entries is Entries.NO_ADDS
    assert finding.limit.max_size is None
    assert [offer.remedy for offer in finding.offers] == [Remedy.ADD_MARGIN]
    (normal,) = found(scene(leverage=50.0, regime=Regime.NORMAL))
    assert normal.limit.entries is None
    assert normal.severity is Severity.INFO


def test_in_a_cascade_the_fastest_ever_is_expected() -> None:
    (finding,) = found(scene(leverage=50.0, regime=Regime.CASCADE))

    assert finding.severity is Severity.CRITICAL
    assert "time to liquidation at the speed of a cascade" in values(finding)


def test_the_counterfactual_is_true() -> None:
    """With as much margin as is offered, or actions as fast as is said, it does not stand."""
    state = scene(leverage=50.0, regime=Regime.CASCADE)
    (finding,) = found(state)
    seconds = float(finding.counterfactual.partition("that take ")[2].partition(" s")[0])
    assert 0.2 < seconds < 30.0
    fast = scene(
        leverage=50.0, regime=Regime.CASCADE, took_s=0.85 * seconds
    )  # what is told is up to 11 % more
    assert found(fast) == []

    (view,) = state.accounts.values()
    wallet = view.told.wallet_usd if view.told is not None else None
    assert wallet is not None
    more = wallet + finding.offers[0].amount_usd * 1.001
    state.apply(structs.replace(snapshot(NOW_S + 11.0, *view.positions, equity_usd=more), wallet_usd=more))
    assert found(state) == []


@settings(max_examples=12, deadline=None)
@given(st.floats(1.0, 60.0), st.floats(1.0, 3.0))
def test_slower_actions_never_leave_more_of_a_position(took_s: float, times: float) -> None:
    sizes = [
        size_left(scene(leverage=30.0, fall_bps_a_minute=500.0, took_s=each))
        for each in (took_s, times * took_s)
    ]
    assert sizes[1] <= sizes[0] + 1e-9


def size_left(state: GuardState) -> float:
    return min(
        [each.limit.max_size for each in found(state) if each.limit.max_size is not None], default=10.0
    )


def test_reach_is_what_a_cascade_is_expected_to_do() -> None:
    state = scene(leverage=50.0, regime=Regime.STRESSED)
    assert [each for each in found(state) if each.imminent] == []
    far = ReachForecast(
        direction=Direction.DOWN, quantiles=(0.1,) * 5 + (0.4, 0.5), probability=(1.0,) * 3, expected=0.2
    )
    outlook = state.outlook._latest[MARKET]
    state.outlook._latest[MARKET] = structs.replace(outlook, reaches=(far,))
    (finding,) = found(state)

    assert finding.severity is Severity.CRITICAL


# Venues


def test_cuts_that_take_longer_than_usual_make_a_venue_slow() -> None:
    state = warm_state()
    state.own.action_times = measured(1.0, count=40)
    assert found(state) == []
    for number in range(100, 110):
        act(state.own.action_times, number, 6.0)
    (finding,) = found(state)

    assert finding.reason is Reason.VENUE_SLOW
    assert finding.subject.venue == "loopback"
    assert finding.limit.entries in (Entries.NO_ADDS, Entries.REDUCE_ONLY)
    assert values(finding)["usually"] == pytest.approx(1.0, rel=0.5)


def test_one_slow_action_is_no_slow_venue() -> None:
    state = warm_state()
    state.own.action_times = measured(1.0, count=40)
    act(state.own.action_times, 100, 6.0)
    assert found(state) == []


def test_a_slow_venue_wants_more_distance() -> None:
    """Actions took a second until now, and take six: what would do for six would not do for what comes next."""
    slow = scene(leverage=20.0, fall_bps_a_minute=2_500.0, took_s=2.0)
    for number in range(100, 103):
        act(slow.own.action_times, number, 12.0)
    state = scene(leverage=20.0, fall_bps_a_minute=2_500.0, took_s=12.0)

    assert size_left(slow) <= size_left(state)


def test_messages_that_come_later_than_usual_make_a_venue_slow() -> None:
    state = warm_state()
    lags = state.own.lags
    now = 0.0
    for number in range(700):
        now = float(number)
        lags.observe({"loopback": (at(now), 50_000_000)}, at(now))
    assert found(state) == []
    for number in range(60):
        now = 700.0 + number
        lags.observe({"loopback": (at(now), 3_000_000_000)}, at(now))
    (finding,) = found(state)

    assert (finding.reason, finding.severity) == (Reason.VENUE_SLOW, Severity.ACT)
    assert finding.limit.entries is Entries.REDUCE_ONLY


def test_lags_are_taken_from_samples_of_what_is_held() -> None:
    state = scene()
    for number in range(1, 30):
        seconds = NOW_S + 11.0 + number
        sample = features(seconds)
        state.apply(structs.replace(sample, exchange_at=at(seconds) - 40_000_000))
        state.apply(Tick(received_at=at(seconds)))
    pace = state.own.lags._paces["loopback"]

    assert pace.count == pytest.approx(29, abs=1)
    assert pace.recent == pytest.approx(0.04, abs=0.01)


def test_switched_off_it_finds_nothing() -> None:
    assert found(scene(leverage=20.0, fall_bps_a_minute=2_500.0), RespectLatency(enabled=False)) == []


@pytest.mark.parametrize(("leverage", "step"), [(20.0, 0.01), (10.0, 0.03), (5.0, 0.05)])
def test_one_step_of_the_price_is_no_slide(leverage: float, step: float) -> None:
    state = scene(leverage=leverage)
    price, margin = 100.0 * (1.0 - step), 10.0 * 100.0 / leverage
    for number in range(1, 41):
        seconds = NOW_S + 11.0 + 0.25 * number
        state.apply(features(seconds, price))
        state.apply(mark(seconds, price))
        held = position(
            10.0, entry_price=100.0, mark_price=price, margin_mode=MarginMode.CROSS, leverage=leverage
        )
        lost = 10.0 * (100.0 - price)
        state.apply(structs.replace(snapshot(seconds, held, equity_usd=margin - lost), wallet_usd=margin))
        state.apply(Tick(received_at=at(seconds)))
        state.outlook._latest[MARKET] = structs.replace(
            outlook_of(MARKET, regime=Regime.NORMAL), at=at(seconds)
        )
        assert [one for one in judged(POLICY, state, seconds) if one.imminent] == []


@pytest.mark.parametrize(("side", "price", "confirm_ms"), [(1.0, 80.0, 5_000), (-1.0, 120.0, 5_000)])
def test_a_mark_price_that_its_book_knows_nothing_of_has_to_stand(
    side: float, price: float, confirm_ms: int
) -> None:
    state = scene(size=10.0 * side)
    for number in range(1, 5):
        state.apply(features(NOW_S + 11.0 + 0.25 * number, 100.0))
        state.apply(mark(NOW_S + 11.0 + 0.25 * number, price))
    held = position(
        10.0 * side, entry_price=100.0, mark_price=price, margin_mode=MarginMode.CROSS, leverage=10.0
    )
    told = snapshot(NOW_S + 12.0, held, equity_usd=-100.0)
    state.apply(structs.replace(told, wallet_usd=100.0))
    (finding,) = (one for one in judged(POLICY, state, NOW_S + 12.0) if one.imminent)
    assert finding.confirm_ms == confirm_ms

    for number in range(1, 5):
        state.apply(features(NOW_S + 12.0 + 0.25 * number, price))
    (finding,) = (one for one in judged(POLICY, state, NOW_S + 13.0) if one.imminent)
    assert finding.confirm_ms == 1_000, "the book has followed"
