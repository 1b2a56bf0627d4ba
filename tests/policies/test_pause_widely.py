"""When stress in some markets pauses all of a venue, an account, or everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.findings import Finding
from guard.forecasts import Regime
from guard.state import GuardState
from guard.units import MarketId
from perpguard_sdk.messages import Entries
from policies.pause_widely import PauseWidely
from tests.policies.scenes import MARKET, WARM_S, hold, judged, thin_out, warm_state
from tests.support.builders import ACCOUNT, ETH, new_state, position
from tests.support.stressed_outlooks import give_outlook, outlook

POLICY = PauseWidely()


def markets(venue: str, count: int) -> list[MarketId]:
    return [MarketId(f"{venue}:C{number}/USDT:USDT") for number in range(count)]


def state_of(*venues: tuple[str, int, int]) -> GuardState:
    """Of each venue: so many markets, of which so many under stress."""
    state = new_state()
    for venue, count, stressed in venues:
        for number, market in enumerate(markets(venue, count)):
            state.market(market)
            tell(state, market, is_stressed=number < stressed)
    return state


def tell(state: GuardState, market: MarketId, *, is_stressed: bool) -> None:
    regime, hazard = (Regime.STRESSED, 0.05) if is_stressed else (Regime.WATCH, 0.05)
    give_outlook(state, outlook(0.0, market, regime=regime, hazard=hazard))


def subjects(found: list[Finding]) -> list[tuple[str | None, str | None]]:
    return [(one.subject.venue, one.subject.account) for one in found]


@pytest.mark.parametrize(("stressed", "stands"), [(2, False), (3, False), (4, True), (8, True)])
def test_half_of_a_venues_markets_pause_all_of_it(stressed: int, stands: bool) -> None:
    found = judged(POLICY, state_of(("okx", 8, stressed)), 0.0)

    assert subjects(found) == [("okx", None)] * stands
    for one in found:
        assert one.limit.entries is Entries.REDUCE_ONLY
        assert one.freezes
        assert "fewer than 4 of 8 markets of okx" in one.counterfactual


def test_two_markets_are_no_venue() -> None:
    assert judged(POLICY, state_of(("okx", 2, 2)), 0.0) == []


def test_two_venues_of_three_are_everything() -> None:
    one = judged(POLICY, state_of(("okx", 4, 4), ("bybit", 4, 1), ("kraken", 4, 0)), 0.0)
    two = judged(POLICY, state_of(("okx", 4, 4), ("bybit", 4, 2), ("kraken", 4, 4)), 0.0)

    assert subjects(one) == [("okx", None)]
    assert subjects(two) == [("kraken", None), ("okx", None), (None, None)]


def test_an_account_is_paused_by_the_markets_that_it_holds() -> None:
    state = state_of(("loopback", 8, 2))
    first, second, calm = markets("loopback", 3)
    held = [position(1.0, market=market) for market in (first, second, calm)]
    hold(state, 0.0, *held[1:])
    assert judged(POLICY, state, 0.0) == []

    hold(state, 0.0, *held)
    assert subjects(judged(POLICY, state, 0.0)) == [(None, ACCOUNT)]


def test_a_state_of_stress_that_no_hazard_bears_out_is_none() -> None:
    state = state_of(("okx", 4, 4))
    for market in markets("okx", 4):
        give_outlook(state, outlook(0.0, market, regime=Regime.CASCADE, hazard=0.009))

    assert judged(POLICY, state, 0.0) == []


def test_without_outlooks_the_books_decide_and_what_is_unknown_is_not_counted() -> None:
    policy = PauseWidely(markets_min=1, thin_s=3.0)
    state = warm_state()
    now = thin_out(state, bid_size=30.0)
    give_outlook(state, outlook(now, MARKET, regime=None))
    assert ETH not in state.markets
    state.market(ETH)

    (found,) = judged(policy, state, now)

    assert found.evidence[1].value == 1, "of the other market nothing is known"
    assert judged(PauseWidely(markets_min=1, thin_s=WARM_S), state, now) == []


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=4))
def test_more_stress_never_pauses_less(counts: list[tuple[int, int]]) -> None:
    def found(more: int) -> set[tuple[str | None, str | None]]:
        state = state_of(*((f"v{at}", count, stressed + more) for at, (count, stressed) in enumerate(counts)))
        return set(subjects(judged(POLICY, state, 0.0)))

    assert found(0) <= found(1)
