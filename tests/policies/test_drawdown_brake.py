"""Steps below a confirmed high; false peaks, withdrawals and what is unexplained close nothing."""

from __future__ import annotations

import math

import pytest

from guard.events import OutlookRestored
from guard.findings import Finding, Limit, Reason, Severity
from guard.outlook.memory import encode
from guard.state import GuardState
from perpguard_sdk.messages import Entries
from policies.drawdown_brake import DrawdownBrake
from tests.policies.scenes import MARKET, judged
from tests.support.builders import ACCOUNT, ALPHA, at, flat_terms, mark, new_state, position, snapshot, tick

POLICY = DrawdownBrake(no_adds_share=0.15, reduce_share=0.25, safe_share=0.4)
CALM_S = 600.0


def tell(
    state: GuardState, seconds: float, price: float, *, size: float = 30.0, cash: float = 1_000.0
) -> None:
    state.apply(mark(seconds, price))
    held = position(size, entry_price=100.0, mark_price=price)
    state.apply(snapshot(seconds, held, equity_usd=cash + size * (price - 100.0)))


def fallen_to(price: float) -> GuardState:
    """An account at 3x, ten minutes at 100, and then so much lower."""
    state = new_state(ALPHA)
    state.apply(flat_terms(MARKET))
    for number in range(60):
        tell(state, 10.0 * number, 100.0 + 0.1 * math.sin(number))
    for number in range(5):
        tell(state, CALM_S + number, price)
    return state


def found(state: GuardState, policy: DrawdownBrake = POLICY, seconds: float = CALM_S + 5.0) -> list[Finding]:
    return judged(policy, state, seconds)


def test_calm_is_nothing() -> None:
    assert found(fallen_to(100.0)) == []
    assert found(fallen_to(96.0)) == [], "12 % of equity"


def test_the_first_step_stops_adds() -> None:
    (finding,) = found(fallen_to(94.0))

    assert (finding.reason, finding.severity) == (Reason.DRAWDOWN, Severity.WATCH)
    assert (finding.subject.account, finding.subject.market) == (ACCOUNT, None)
    assert finding.limit.entries is Entries.NO_ADDS
    assert finding.confirm_ms == 30_000
    assert finding.evidence[0].value == pytest.approx(18.0, abs=0.3)


def test_the_second_step_cuts_once_by_its_share() -> None:
    whole, cut = found(fallen_to(91.0))

    assert (whole.limit.entries, whole.limit.max_size) == (Entries.REDUCE_ONLY, None)
    assert cut.subject.market == MARKET
    assert cut.limit.max_size == pytest.approx(0.75 * 30.0)
    assert cut.limit.basis is not None
    assert cut.limit.basis.size == 30.0, "obeying does not lead to the next one"


def test_the_third_step_cuts_to_what_is_safe() -> None:
    state = fallen_to(84.0)
    _, cut = found(state)

    assert cut.severity is Severity.CRITICAL
    assert cut.limit.max_size == pytest.approx(520.0 / 84.0)
    assert cut.limit.basis is None
    assert not cut.limit.flatten


def test_all_is_closed_only_where_the_settings_say_so() -> None:
    state = fallen_to(79.0)
    assert not any(each.limit.flatten for each in found(state))
    (cut,) = (each for each in found(state, DrawdownBrake(flatten=True)) if each.subject.market)

    assert (cut.limit.flatten, cut.limit.max_size) == (True, 0.0)


def test_the_counterfactual_is_true() -> None:
    state = fallen_to(91.0)
    (finding, _) = found(state)
    equity = float(finding.counterfactual.partition("above ")[2].partition(" USD")[0].replace(",", ""))
    for number in range(3):
        tell(state, CALM_S + 5.0 + number, 100.0 + (equity + 1.0 - 1_000.0) / 30.0)
    assert found(state, seconds=CALM_S + 8.0) == []
    for number in range(3):
        tell(state, CALM_S + 9.0 + number, 100.0 + (equity - 1.0 - 1_000.0) / 30.0)
    assert len(found(state, seconds=CALM_S + 12.0)) == 1


def test_a_false_peak_and_a_false_low_close_nothing() -> None:
    for equity in (5_000.0, 200.0):
        state = fallen_to(100.0)
        held = position(30.0, entry_price=100.0, mark_price=100.0)
        state.apply(snapshot(CALM_S + 6.0, held, equity_usd=equity))
        (finding,) = found(state, seconds=CALM_S + 6.0)
        assert (finding.severity, finding.limit.entries) == (Severity.INFO, None)
        for number in range(20):
            tell(state, CALM_S + 7.0 + number, 100.0)
        assert found(state, seconds=CALM_S + 27.0) == []


def test_a_withdrawal_is_no_drawdown() -> None:
    state = fallen_to(100.0)
    for number in range(200):
        tell(state, CALM_S + 10.0 + number, 100.0, cash=400.0)
        cuts = [each for each in found(state, seconds=CALM_S + 10.0 + number) if each.limit != Limit()]
        assert cuts == []
    assert found(state, seconds=CALM_S + 210.0) == []


def test_while_something_is_unexplained_nothing_is_closed() -> None:
    state = fallen_to(84.0)
    held = position(30.0, entry_price=100.0, mark_price=84.0)
    state.apply(snapshot(CALM_S + 6.0, held, equity_usd=100.0))
    (finding,) = found(state, seconds=CALM_S + 6.0)

    assert finding.limit.entries is Entries.NO_ADDS
    assert {each.name: each.value for each in finding.evidence}[
        "change that nothing explains"
    ] == pytest.approx(-420.0, abs=6.0)


def test_what_is_not_known_now_brakes_nothing() -> None:
    state = new_state(ALPHA, keyed=True)
    for number in range(60):
        tell(state, 10.0 * number, 100.0)
    for number in range(5):
        tell(state, CALM_S + number, 80.0)
    assert found(state, seconds=CALM_S + 5.0) != []
    assert found(state, seconds=CALM_S + 3_600.0) == []


def test_a_high_outlives_a_restart() -> None:
    state = fallen_to(91.0)
    state.apply(tick(CALM_S + 5.0))
    before = found(state)
    memory = encode(state.outlook.remember("g", at(CALM_S + 5.0)))
    fresh = new_state(ALPHA)
    fresh.apply(flat_terms(MARKET))
    fresh.apply(
        OutlookRestored(received_at=at(CALM_S + 60.0), written_at=at(CALM_S + 5.0), digest="d", memory=memory)
    )
    tell(fresh, CALM_S + 61.0, 91.0)
    assert found(fresh, seconds=CALM_S + 61.0) == [], "not taken over yet"
    fresh.apply(tick(CALM_S + 61.5))
    for number in range(3):
        tell(fresh, CALM_S + 62.0 + number, 91.0)

    after = found(fresh, seconds=CALM_S + 65.0)
    assert [each.limit for each in after] == [each.limit for each in before]
    assert after[0].evidence[0] == before[0].evidence[0]


def test_what_fell_while_the_guard_was_away_counts_as_far_as_it_is_explained() -> None:
    state = fallen_to(100.0)
    state.apply(tick(CALM_S + 5.0))
    kept = state.own.equities_kept()
    for cash, reasons in ((1_000.0, [Entries.NO_ADDS]), (400.0, [])):
        fresh = new_state(ALPHA)
        fresh.apply(flat_terms(MARKET))
        fresh.own.recall(kept)
        price = 94.0 if reasons else 100.0
        for number in range(80):
            tell(fresh, CALM_S + 7_200.0 + number, price, cash=cash)
        limits = [each.limit.entries for each in found(fresh, seconds=CALM_S + 7_280.0)]
        assert limits == reasons


def test_switched_off_it_finds_nothing() -> None:
    assert found(fallen_to(84.0), DrawdownBrake(enabled=False)) == []


def test_an_account_that_is_gone_is_forgotten() -> None:
    state = fallen_to(84.0)
    assert ACCOUNT in state.own.equities
    state.own.look({}, state.markets, at(CALM_S + 10.0))
    assert ACCOUNT not in state.own.equities
