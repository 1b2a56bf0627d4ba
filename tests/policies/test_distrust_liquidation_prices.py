"""No liquidation price is believed that the account contradicts, and none that is missing counts as safe."""

from __future__ import annotations

import pytest
from msgspec import structs

from guard.events import (
    AccountSnapshot,
    CollateralHeld,
    LiquidationTold,
    MarginMode,
    Pooling,
    Position,
    PositionSource,
)
from guard.findings import Finding, Reason, Severity
from guard.margin_terms import TermsSource
from guard.state import GuardState
from perpguard_sdk.messages import Entries
from policies.distrust_liquidation_prices import DistrustLiquidationPrices
from tests.policies.scenes import WARM_S, hold, judged, warm_state
from tests.support.builders import ACCOUNT, ETH, MARKET, at, flat_terms, position

POLICY = DistrustLiquidationPrices()
EXACT_LONG = 90.0 / 0.99
"""1 long at 100 with a margin of 10 and 1 % maintenance."""


def isolated(size: float = 1.0, **fields: object) -> Position:
    told: dict[str, object] = {
        "entry_price": 100.0,
        "margin_usd": 10.0,
        "margin_mode": MarginMode.ISOLATED,
        **fields,
    }
    return structs.replace(position(size), **told)


def found(state: GuardState, *positions: Position, equity_usd: float | None = None) -> list[Finding]:
    hold(state, WARM_S, *positions, equity_usd=equity_usd)
    return judged(POLICY, state, WARM_S)


def test_a_price_that_follows_from_the_account_is_believed() -> None:
    assert found(warm_state(), isolated(liquidation_price=EXACT_LONG)) == []


@pytest.mark.parametrize("told", [88.0, 93.0])
def test_one_that_does_not_is_said_and_the_nearer_one_is_acted_on(told: float) -> None:
    state = warm_state()
    (finding,) = found(state, isolated(liquidation_price=told))

    assert (finding.reason, finding.severity) == (Reason.LIQUIDATION_PRICES_DIFFER, Severity.WATCH)
    assert finding.confirm_ms == 15_000
    values = {one.name: one.value for one in finding.evidence}
    assert values["difference"] == pytest.approx((EXACT_LONG - told) * 100.0, rel=1e-6)
    assert values["acted on"] == pytest.approx(max(EXACT_LONG, told))


def test_tiers_of_our_own_formula_prove_nothing_against_the_venue() -> None:
    state = warm_state()
    told = isolated(market=ETH, liquidation_price=95.0, mark_price=100.0)
    hold(state, WARM_S, told)
    assert judged(POLICY, state, WARM_S)
    other = warm_state()
    other.own.terms.clear()
    other.apply(flat_terms(MARKET, ETH, source=TermsSource.FORMULA))
    assert found(other, told) == []


@pytest.mark.parametrize("size", [1.0, -1.0])
def test_a_missing_price_stops_entries(size: float) -> None:
    (finding,) = found(warm_state(), position(size))

    assert finding.reason is Reason.LIQUIDATION_UNKNOWN
    assert finding.limit.entries is Entries.REDUCE_ONLY
    assert finding.limit.max_size is None
    assert "not known: " in str(finding.evidence[1].value)


def test_a_price_of_zero_is_no_price() -> None:
    (finding,) = found(warm_state(), position(-1.0, liquidation_price=0.0))
    assert finding.reason is Reason.LIQUIDATION_UNKNOWN


def test_what_no_price_can_liquidate_needs_none() -> None:
    assert found(warm_state(), position(1.0, entry_price=100.0), equity_usd=150.0) == []
    legs = (position(1.0, entry_price=100.0), position(1.0, market=ETH, entry_price=100.0, mark_price=100.0))
    assert found(warm_state(), *legs, equity_usd=250.0) == []


def portfolio(state: GuardState, quantity: float | None, **fields: object) -> list[Finding]:
    held = None if quantity is None else (CollateralHeld(asset="USDT", quantity=quantity),)
    positions = (
        position(
            1.0,
            entry_price=100.0,
            liquidation_told=LiquidationTold.ACCOUNT_LEVEL,
            margin_mode=MarginMode.CROSS,
        ),
    )
    state.apply(
        AccountSnapshot(
            received_at=at(WARM_S),
            account=ACCOUNT,
            source=PositionSource.VENUE,
            positions=positions,
            pooling=Pooling.PORTFOLIO,
            collateral=held,
            **fields,  # type: ignore[arg-type]
        )
    )
    return judged(POLICY, state, WARM_S)


def test_where_the_account_as_a_whole_fails_its_distance_stands_for_the_price() -> None:
    assert portfolio(warm_state(), 20.0) == []
    (finding,) = portfolio(warm_state(), None)
    assert finding.reason is Reason.LIQUIDATION_UNKNOWN


def test_it_can_be_switched_off() -> None:
    state = warm_state()
    hold(state, WARM_S, position(1.0))
    assert judged(DistrustLiquidationPrices(enabled=False), state, WARM_S) == []
