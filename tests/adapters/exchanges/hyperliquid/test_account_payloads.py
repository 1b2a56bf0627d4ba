"""What stands behind an account at Hyperliquid, in each of its modes."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.exchanges.hyperliquid import account_payloads as payloads
from adapters.exchanges.hyperliquid.payloads import State, parse_state
from adapters.exchanges.margin_ratios import RATIO_MAX
from guard.errors import MalformedFrameError
from guard.events import CollateralHeld, Pooling
from tests.adapters.exchanges.hyperliquid.payloads import fixture


def near(value: float) -> Any:
    return pytest.approx(value)


def state(settle: str = "USDC") -> State:
    """Worth 100, of which 24.88 stand behind an isolated position; the cross short lost 10 and asks for 7.625."""
    return parse_state(fixture("clearinghouse_state"), settle)


def test_exchanges_apart_each_have_their_own_collateral_and_the_worst_tells_the_ratio() -> None:
    other = fixture("clearinghouse_state")
    other["crossMaintenanceMarginUsed"] = "37.6"

    totals = payloads.totals_apart(state(), {"xyz:USDC": parse_state(other, "xyz:USDC")})

    assert totals.pooling is Pooling.BY_SETTLE_ASSET
    assert (totals.wallets, totals.other_usd) == ({"USDC": near(110.0)}, near(110.0))
    assert totals.collateral == (
        CollateralHeld(asset="USDC", quantity=near(110.0), venue_price_usd=1.0),
        CollateralHeld(asset="xyz:USDC", quantity=near(110.0), venue_price_usd=1.0),
    )
    assert totals.margin_ratio == near(37.6 / 75.11903)
    assert payloads.totals_apart(state(), {}).margin_ratio == near(7.625 / 75.11903)


def test_a_unified_account_is_worth_its_spot_balance_with_the_profit_of_its_positions_in_it() -> None:
    spot = payloads.parse_spot(fixture("spot_clearinghouse_state"))

    totals = payloads.totals_unified(spot, {"USDC": [state(), state()]}, portfolio=False)

    assert totals.pooling is Pooling.BY_SETTLE_ASSET
    assert totals.wallets == {"USDC": near(1481.844 + 20.0)}
    assert totals.collateral == (
        CollateralHeld(asset="USDC", quantity=near(1501.844), venue_price_usd=1.0),
        CollateralHeld(asset="PURR", quantity=999.65004, is_collateral=False),
    )
    assert totals.margin_ratio == near(2 * 7.625 / (1481.844 - 2 * 24.88097))


def test_positions_paid_in_a_token_that_is_not_held_are_beyond_liquidation() -> None:
    spot = payloads.parse_spot(fixture("spot_clearinghouse_state"))

    totals = payloads.totals_unified(spot, {"USDC": [], "USDH": [state("USDH")]}, portfolio=False)

    assert totals.margin_ratio == RATIO_MAX
    held = {each.asset: each for each in totals.collateral or ()}
    assert (held["USDH"].quantity, held["USDH"].is_collateral) == (near(10.0), True)
    assert held["USDH"].venue_price_usd == 1.0


def test_a_portfolio_account_tells_its_own_ratio_and_what_secures_borrowing() -> None:
    told = fixture("spot_clearinghouse_state")
    told["portfolioMarginRatio"] = "0.475"
    told["balances"][0] |= {"total": "-100.0", "ltv": "0"}
    told["balances"][1] |= {"coin": "HYPE", "ltv": "0.5"}

    totals = payloads.totals_unified(payloads.parse_spot(told), {"USDC": [state()]}, portfolio=True)

    assert totals.pooling is Pooling.PORTFOLIO
    assert totals.margin_ratio == near(0.5)  # an account fails at 0.95
    assert totals.collateral == (
        CollateralHeld(asset="USDC", quantity=near(-90.0), venue_price_usd=1.0),
        CollateralHeld(asset="HYPE", quantity=999.65004, venue_haircut=0.25),
    )


def test_names_and_numbers_of_exchanges_and_tokens() -> None:
    assert payloads.parse_dex_names([None, {"name": "xyz"}, {"name": "flx"}]) == ["xyz", "flx"]
    assert payloads.parse_dex_names([None]) == []
    assert (
        payloads.parse_collateral_token({}),
        payloads.parse_collateral_token({"collateralToken": 360}),
    ) == (
        0,
        360,
    )
    assert payloads.parse_token_names({"tokens": [{"name": "USDH", "index": 360}]}) == {360: "USDH"}


@pytest.mark.parametrize("wrong", ["NaN", "2", "-0.1", True])
def test_a_ratio_that_is_none_is_refused(wrong: object) -> None:
    told = fixture("spot_clearinghouse_state")
    told["balances"][0]["ltv"] = wrong

    with pytest.raises(MalformedFrameError):
        payloads.parse_spot(told)


@pytest.mark.parametrize("answer", [None, {}, "xyz", [{}], [3]])
def test_a_list_of_exchanges_of_another_shape_is_refused(answer: object) -> None:
    with pytest.raises(MalformedFrameError):
        payloads.parse_dex_names(answer)
