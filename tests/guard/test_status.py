"""What the guard says of itself: the worst first, and never more than a message can carry."""

from __future__ import annotations

from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.market.view import BaselineSettings
from guard.state import GuardState
from guard.status import PROBLEMS_MAX, guard_state
from guard.units import market_id
from perpguard_sdk.messages import GuardStatus


def stale(number: int) -> Finding:
    return Finding(
        policy="distrust_stale_data",
        reason=Reason.STALE_DATA,
        severity=Severity.ACT,
        subject=Subject(market=market_id("venue", f"M{number:03}/USDT:USDT")),
        limit=Limit(),
        evidence=(),
        counterfactual="",
    )


def test_what_is_missing_since_the_start_comes_after_what_went_wrong() -> None:
    state = GuardState.of(baseline=BaselineSettings())

    said = guard_state(state, [stale(1)], 1, "0 of 2 books are whole")

    assert said.state is GuardStatus.DEGRADED
    assert len(said.problems) == 2
    assert "M001" in said.problems[0]
    assert said.problems[1] == "not ready yet: 0 of 2 books are whole"


def test_hundreds_of_problems_are_counted_and_not_listed() -> None:
    state = GuardState.of(baseline=BaselineSettings())

    said = guard_state(state, [stale(number) for number in range(500)], 1)

    assert len(said.problems) == PROBLEMS_MAX + 1
    assert said.problems[-1].startswith(f"and {500 - PROBLEMS_MAX} more")


def test_without_any_it_decides() -> None:
    assert guard_state(GuardState.of(baseline=BaselineSettings()), [], 1).state is GuardStatus.DECIDING
