"""What is left of a hedged account when its winners are taken away."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from guard.events import MarginMode, Position
from guard.findings import Finding, Reason, Remedy, Severity
from guard.forecasts import Regime
from guard.state import GuardState
from perpguard_sdk.messages import Entries
from policies.deleverage_exposure import DeleverageExposure
from tests.policies.scenes import MARKET, WARM_S, judged, warm_state
from tests.support.builders import ACCOUNT, ETH, at, features, flat_terms, mark, position, snapshot, tick
from tests.support.outlooks import outlook_of

POLICY = DeleverageExposure()
NOW_S = WARM_S + 1.0


def scene(*positions: Position, wallet: float, regime: Regime = Regime.NORMAL) -> GuardState:
    state = warm_state()
    state.apply(flat_terms(MARKET, ETH))
    state.apply(features(NOW_S, 100.0, market=ETH))
    state.apply(mark(NOW_S, 100.0, market=ETH))
    equity = wallet + sum(each.size * (100.0 - (each.entry_price or 100.0)) for each in positions)
    state.apply(structs.replace(snapshot(NOW_S, *positions, equity_usd=equity), wallet_usd=wallet))
    state.apply(tick(NOW_S + 0.5))
    state.outlook._latest.clear()
    for market in (MARKET, ETH):
        state.outlook._latest[market] = structs.replace(outlook_of(market, regime=regime), reaches=())
    return state


def held(size: float, entry: float, *, eth: bool = False, rank: float | None = None) -> Position:
    return position(
        size,
        market=ETH if eth else MARKET,
        entry_price=entry,
        mark_price=100.0,
        margin_mode=MarginMode.CROSS,
        adl_rank=rank,
    )


def hedged(
    *, wallet: float = 1_500.0, regime: Regime = Regime.NORMAL, rank: float | None = 0.6, size: float = 100.0
) -> GuardState:
    """Long BTC at a loss, short ETH with as much profit: about 10x on each side."""
    return scene(held(size, 105.0), held(-size, 105.0, eth=True, rank=rank), wallet=wallet, regime=regime)


def found(state: GuardState, policy: DeleverageExposure = POLICY) -> list[Finding]:
    return judged(policy, state, NOW_S + 0.5)


def values(finding: Finding) -> dict[str, float | str]:
    return {one.name: one.value for one in finding.evidence}


@pytest.mark.parametrize(
    "state",
    [
        hedged(wallet=3_000.0, regime=Regime.CASCADE),
        hedged(wallet=600.0, rank=0.1, regime=Regime.CASCADE),
        scene(held(100.0, 105.0), wallet=1_000.0, regime=Regime.CASCADE),
        scene(held(50.0, 90.0), held(30.0, 90.0, eth=True), wallet=500.0, regime=Regime.CASCADE),
        scene(held(30.0, 105.0), held(-100.0, 105.0, eth=True, rank=1.0), wallet=1_500.0),
    ],
    ids=["enough money", "last in the queue", "no hedge", "all on one side", "a small loser"],
)
def test_an_account_that_would_live_without_its_winners_is_left_alone(state: GuardState) -> None:
    assert found(state) == []


def test_in_calm_nothing_is_added_to_what_only_winners_hold_up() -> None:
    (finding,) = found(scene(held(100.0, 105.0), held(-60.0, 105.0, eth=True, rank=0.6), wallet=900.0))

    assert (finding.reason, finding.severity) == (Reason.DELEVERAGE_EXPOSED, Severity.WATCH)
    assert finding.subject.market == MARKET
    assert (finding.limit.entries, finding.limit.max_size) == (Entries.NO_ADDS, None)
    told = values(finding)
    without, beside = (told[f"distance to liquidation {how}"] for how in ("without the winners", "with them"))
    assert isinstance(without, float)
    assert isinstance(beside, float)
    assert without < 700.0
    assert without < beside
    assert {each.remedy for each in finding.offers} == {Remedy.HEDGE_ELSEWHERE, Remedy.ADD_MARGIN}


@pytest.mark.parametrize(
    ("regime", "rank"), [(Regime.STRESSED, 0.6), (Regime.NORMAL, 0.9), (Regime.CASCADE, None)]
)
def test_where_it_is_likely_the_loser_is_cut_until_the_account_lives_without_the_winner(
    regime: Regime, rank: float | None
) -> None:
    state = hedged(wallet=700.0, regime=regime, rank=rank)
    (finding,) = found(state)

    assert finding.severity is Severity.ACT
    size = finding.limit.max_size
    assert size is not None
    assert 0.0 < size < 100.0
    loss = 5.0 * (100.0 - size)  # realised
    left = scene(
        held(size, 105.0), held(-100.0, 105.0, eth=True, rank=rank), wallet=700.0 - loss, regime=regime
    )
    assert found(left) == []


def test_it_lives_without_its_winner_once_it_was_cut() -> None:
    """Not by this policy's own sums: the winner is gone, and the account fails no nearer than was asked for."""
    (finding,) = found(hedged(wallet=700.0, regime=Regime.STRESSED))
    size = finding.limit.max_size
    assert size is not None
    alone = scene(held(size, 105.0), wallet=700.0 - 5.0 * (100.0 - size) + 500.0)
    (risk,) = alone.own.risks.values()
    assert risk.legs[0].distance_bps is not None
    assert risk.legs[0].distance_bps >= 700.0


def test_the_counterfactual_is_true() -> None:
    (finding,) = found(hedged(wallet=700.0, regime=Regime.STRESSED))
    more = float(finding.counterfactual.partition("with ")[2].partition(" USD")[0].replace(",", ""))

    assert found(hedged(wallet=700.0 + more + 0.01, regime=Regime.STRESSED)) == []
    assert found(hedged(wallet=700.0 + 0.98 * more, regime=Regime.STRESSED)) != []


def test_both_sides_of_one_market_are_not_cut_by_a_size() -> None:
    pair = scene(held(100.0, 105.0), held(-80.0, 110.0, rank=0.9), wallet=600.0)
    for finding in found(pair):
        assert finding.limit.max_size is None


@settings(max_examples=12, deadline=None)
@given(wallet=st.floats(550.0, 2_000.0), more=st.floats(0.0, 1_500.0), size=st.floats(50.0, 120.0))
def test_more_money_never_asks_for_more_cutting(wallet: float, more: float, size: float) -> None:
    less, rich = (
        min(
            (
                each.limit.max_size
                for each in found(hedged(wallet=usd, size=size, regime=Regime.STRESSED))
                if each.limit.max_size is not None
            ),
            default=size,
        )
        for usd in (wallet, wallet + more)
    )
    assert rich >= less * (1.0 - 1e-3)


def test_what_is_not_known_now_is_not_acted_on() -> None:
    state = hedged(wallet=700.0, rank=0.9)
    state.account_clocks[ACCOUNT] = state.new_clock()
    for number in range(100):
        state.account_clocks[ACCOUNT].touch(at(NOW_S - 19.5 + 0.2 * number))
    assert found(state) != []
    assert list(POLICY.decide(state, at(NOW_S + 3_600.0))) == []


def test_switched_off_it_finds_nothing() -> None:
    assert found(hedged(wallet=700.0, regime=Regime.STRESSED), DeleverageExposure(enabled=False)) == []
