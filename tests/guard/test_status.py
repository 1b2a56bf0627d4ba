"""What the guard says of itself: the worst first, and never more than a message can carry."""

from __future__ import annotations

from guard.desired import Limits
from guard.events import InstructionSeen
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.forecasts import MarketOutlook, Regime
from guard.market.view import BaselineSettings
from guard.state import GuardState
from guard.status import PROBLEMS_MAX, guard_state, signals
from guard.units import market_id
from perpguard_sdk.messages import Entries, GuardStatus, Instruction, InstructionKind
from tests.support.builders import ALPHA, BETA, ETH, at, new_state
from tests.support.market import MARKET
from tests.support.outlooks import outlook_of


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


def test_a_signal_tells_what_is_estimated_and_leaves_out_what_is_not() -> None:
    state = GuardState.of(baseline=BaselineSettings(), markets=(MARKET,))
    (before,) = signals(state, 1)
    assert (before.hazard, before.reach_bps, before.regime) == (None, None, None)

    state.outlook._latest[MARKET] = outlook_of(MARKET)
    (said,) = signals(state, 1)
    assert (said.hazard, said.hazard_up) == (0.01, 0.01)
    assert (said.reach_bps, said.reach_up_bps) == (1_100.0, 1_100.0)
    assert (said.forced_usd, said.forced_up_usd) == (9e6, 9e6)
    assert (said.regime, said.oi_depth) == ("watch", 12.5)

    state.outlook._latest[MARKET] = MarketOutlook(at=0, market=MARKET, regime=Regime.STRESSED)
    (dark,) = signals(state, 1)
    assert (dark.hazard, dark.reach_up_bps, dark.forced_usd, dark.oi_depth) == (None, None, None, None)
    assert dark.regime == "stressed"


def test_the_status_says_what_humans_told_and_how_far_the_guard_goes() -> None:
    state = new_state(ALPHA)
    told = Instruction(
        id="cap-1",
        kind=InstructionKind.CAP,
        author="ada",
        reason="away",
        ts=1,
        expires_at=1_760_003_600_000,
        bot=ALPHA,
        max_leverage=3.0,
    )
    state.apply(InstructionSeen(received_at=at(0.0), instruction=told))
    wanted = {ALPHA: {MARKET: Limits(max_leverage=3.0), ETH: Limits(entries=Entries.NO_ADDS)}, BETA: {}}

    said = guard_state(state, state.instructions.findings(at(0.0)), at(0.0), wanted=wanted)
    later = guard_state(state, state.instructions.findings(at(3600.0)), at(3600.0))

    assert said.instructions == ("cap (alpha) by ada: away; until 2025-10-09 09:53:20 UTC",)
    assert said.rungs == {"alpha": "reduce"}
    assert (later.instructions, later.rungs) == ((), {})
