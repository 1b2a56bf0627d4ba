"""An account has to outlive a shock that takes its collateral along; what it lacks is offered, and cut late only."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from guard.account.risk import Containment
from guard.events import (
    AccountSnapshot,
    AssetPrice,
    AssetPricesSeen,
    CollateralHeld,
    MarginMode,
    Pooling,
    PositionSource,
)
from guard.findings import Finding, Offer, Reason, Remedy, Severity
from guard.forecasts import Regime
from guard.state import GuardState
from guard.units import MarketId
from perpguard_sdk.messages import Entries
from policies.contain_collateral import ContainCollateral
from tests.policies.scenes import MARKET, WARM_S, judged, warm_state
from tests.support.builders import ACCOUNT, ETH, at, features, flat_terms, mark, position, tick
from tests.support.outlooks import outlook_of

POLICY = ContainCollateral()
NOW_S = WARM_S + 1.0


def held(asset: str, quantity: float, price: float = 1.0, haircut: float = 0.05) -> CollateralHeld:
    cut = 0.0 if asset == "USDT" else haircut
    return CollateralHeld(asset=asset, quantity=quantity, venue_price_usd=price, venue_haircut=cut)


def scene(
    *collateral: CollateralHeld,
    sizes: dict[MarketId, float] | None = None,
    elsewhere: dict[str, float] | None = None,
    regime: Regime = Regime.NORMAL,
    pooling: Pooling = Pooling.ONE_POOL,
) -> GuardState:
    """BTC and ETH at 100, one account that stands on what is given."""
    state = warm_state()
    state.apply(flat_terms(MARKET, ETH))
    state.apply(features(NOW_S, 100.0, market=ETH))
    state.apply(mark(NOW_S, 100.0, market=ETH))
    prices = {"BTC": 100.0, "ETH": 100.0, "USDE": 1.0} | (elsewhere or {})
    for venue in ("bybit", "okx", "kraken"):
        told = tuple(
            AssetPrice(asset=asset, quote="USD", bid=price, ask=price) for asset, price in prices.items()
        )
        state.apply(AssetPricesSeen(received_at=at(NOW_S), venue=venue, prices=told))
    state.apply(account(collateral, sizes or {MARKET: 100.0}, pooling))
    state.apply(tick(NOW_S + 0.5))
    state.outlook._latest.clear()
    for market in (MARKET, ETH):
        state.outlook._latest[market] = outlook_of(market, regime=regime)
    return state


def account(
    collateral: tuple[CollateralHeld, ...], sizes: dict[MarketId, float], pooling: Pooling = Pooling.ONE_POOL
) -> AccountSnapshot:
    positions = tuple(
        position(size, market=market, entry_price=100.0, mark_price=100.0, margin_mode=MarginMode.CROSS)
        for market, size in sizes.items()
    )
    return AccountSnapshot(
        received_at=at(NOW_S),
        account=ACCOUNT,
        source=PositionSource.VENUE,
        positions=positions,
        pooling=pooling,
        collateral=collateral,
    )


def found(state: GuardState, policy: ContainCollateral = POLICY) -> list[Finding]:
    return judged(policy, state, NOW_S + 0.5)


def values(finding: Finding) -> dict[str, float | str]:
    return {one.name: one.value for one in finding.evidence}


def offer(finding: Finding, remedy: Remedy) -> Offer:
    return next(each for each in finding.offers if each.remedy is remedy)


@pytest.mark.parametrize(
    "state",
    [
        scene(held("USDT", 1_000.0)),
        scene(held("USDT", 1_000.0), sizes={MARKET: 90.0, ETH: -60.0}),
        scene(
            held("USDT", 3_000.0),
            held("BTC", 20.0, 100.0),
            held("ETH", 10.0, 100.0),
            sizes={MARKET: 100.0, ETH: 50.0},
        ),
        scene(held("BTC", 50.0, 100.0), sizes={MARKET: 100.0}),
        scene(held("BTC", 100.0, 100.0), sizes={MARKET: -100.0}),
        scene(held("USDE", 5_000.0), held("USDT", 2_000.0), sizes={MARKET: 100.0, ETH: -100.0}),
    ],
    ids=["money at 10x", "hedged", "several", "coins at 2x", "coins and short", "stable"],
)
@pytest.mark.parametrize("regime", [Regime.NORMAL, Regime.CASCADE])
def test_a_healthy_account_is_left_alone(state: GuardState, regime: Regime) -> None:
    state.outlook._latest[MARKET] = structs.replace(outlook_of(MARKET, regime=regime), reaches=())
    assert found(state) == []


def test_coins_behind_a_large_long_stop_adds_and_cut_nothing_in_calm() -> None:
    (finding,) = found(scene(held("BTC", 10.0, 100.0)))

    assert (finding.reason, finding.severity) == (Reason.COLLATERAL_CORRELATED, Severity.WATCH)
    assert (finding.subject.account, finding.subject.market) == (ACCOUNT, None)
    assert finding.limit.entries is Entries.NO_ADDS
    assert finding.limit.max_size is None
    assert values(finding)["shock"] == pytest.approx(10.0)
    assert values(finding)["positions would lose"] == pytest.approx(1_000.0)


def test_under_stress_the_position_is_cut_until_the_ratio_is_there() -> None:
    state = scene(held("BTC", 10.0, 100.0), regime=Regime.STRESSED)
    whole, cut = found(state)

    assert whole.limit.entries is Entries.REDUCE_ONLY
    assert cut.subject.market == MARKET
    assert cut.limit.max_size is not None
    assert 0.0 < cut.limit.max_size < 100.0
    state.apply(account((held("BTC", 10.0, 100.0),), {MARKET: cut.limit.max_size}))
    assert [each for each in found(state) if each.limit.max_size is not None] == []


def test_what_leverage_alone_does_is_left_to_others() -> None:
    """A small part of coins behind a position that no collateral would save."""
    assert found(scene(held("USDT", 900.0), held("BTC", 2.0, 100.0))) == []


def test_a_depeg_is_a_haircut_to_come_and_cuts_before_the_venue_does() -> None:
    state = scene(held("USDE", 2_000.0), sizes={MARKET: 100.0}, elsewhere={"USDE": 0.60})
    findings = found(state)

    assert {each.reason for each in findings} == {Reason.HAIRCUT_EXPECTED}
    assert findings[0].severity is Severity.ACT
    assert any(each.limit.max_size is not None for each in findings)
    assert values(findings[0])["haircut of USDE by its market, limit is the venue's"] == pytest.approx(
        40.0, abs=0.1
    )


def test_a_depeg_that_the_account_outlives_is_said_and_asks_for_nothing() -> None:
    (finding,) = found(scene(held("USDE", 8_000.0), sizes={MARKET: 10.0}, elsewhere={"USDE": 0.80}))

    assert (finding.reason, finding.severity) == (Reason.HAIRCUT_EXPECTED, Severity.INFO)
    assert finding.limit.entries is None
    closed = float(finding.counterfactual.partition("left away ")[2].partition(" %")[0])
    told = scene(
        held("USDE", 8_000.0, haircut=closed / 100.0 + 1e-3), sizes={MARKET: 10.0}, elsewhere={"USDE": 0.80}
    )
    assert found(told) == []


def test_one_asset_is_too_much_though_it_falls_with_nothing() -> None:
    (finding,) = found(scene(held("USDE", 1_150.0), sizes={MARKET: 100.0}), ContainCollateral(part_min=0.05))

    assert finding.reason is Reason.COLLATERAL_CONCENTRATED


def test_the_money_that_is_said_to_be_missing_is_what_it_takes() -> None:
    coins = held("BTC", 10.0, 100.0)
    (finding,) = found(scene(coins))
    missing = float(finding.counterfactual.partition("with ")[2].partition(" USD")[0].replace(",", ""))

    assert offer(finding, Remedy.ADD_MARGIN).amount_usd == pytest.approx(missing, abs=0.01)
    assert found(scene(coins, held("USDT", missing + 0.02))) == []
    assert found(scene(coins, held("USDT", missing - 0.1))) != []


def test_the_swap_that_is_offered_is_what_it_takes() -> None:
    (finding,) = found(scene(held("BTC", 13.0, 100.0)))
    swap = offer(finding, Remedy.SWAP_COLLATERAL)
    cost_usd = swap.cost_usd or 0.0

    assert (swap.about, swap.cost_usd is not None) == ("BTC", True)
    assert 0.0 < swap.amount_usd < 1_300.0
    for part, is_enough in ((1.001, True), (0.97, False)):
        sold = part * swap.amount_usd
        coins = held("BTC", 13.0 - sold / 100.0, 100.0)
        swapped = scene(coins, held("USDT", sold - part * cost_usd))
        assert (found(swapped, ContainCollateral(part_min=0.0)) == []) is is_enough


def test_a_position_is_offered_to_be_isolated_only_where_that_was_found_to_help() -> None:
    state = scene(held("BTC", 10.0, 100.0))
    assessed = state.own._assessed[ACCOUNT]
    helps = Containment(
        step="isolate ETH/USDT:USDT with 50 USDT",
        before_bps=300.0,
        after_bps=450.0,
        about="ETH",
        amount_usd=50.0,
    )
    harms = structs.replace(helps, after_bps=200.0)
    for step, offers in ((helps, 1), (harms, 0)):
        risk = structs.replace(assessed.risk, containment=(step,))
        state.own._assessed[ACCOUNT] = replace(assessed, risk=risk)
        (finding,) = found(state)
        isolated = [each for each in finding.offers if each.remedy is Remedy.ISOLATE_POSITION]
        assert len(isolated) == offers


def test_what_is_held_in_itself_has_no_shock_of_its_own() -> None:
    assert found(scene(held("USDT", 1_000.0), pooling=Pooling.BY_SETTLE_ASSET)) == []


@settings(max_examples=12, deadline=None)
@given(
    coins=st.floats(1.0, 60.0),
    money=st.floats(0.0, 3_000.0),
    more=st.floats(0.0, 2_000.0),
    size=st.floats(10.0, 200.0),
)
def test_more_money_never_asks_for_more_cutting(coins: float, money: float, more: float, size: float) -> None:
    policy = ContainCollateral(part_min=0.0)
    less, rich = (
        size_left(
            scene(held("BTC", coins, 100.0), held("USDT", usd), sizes={MARKET: size}, regime=Regime.STRESSED),
            size,
            policy,
        )
        for usd in (money, money + more)
    )
    assert rich >= less * (1.0 - 1e-3)


def size_left(state: GuardState, size: float, policy: ContainCollateral) -> float:
    return min(
        [each.limit.max_size for each in found(state, policy) if each.limit.max_size is not None],
        default=size,
    )


def test_switched_off_it_finds_nothing() -> None:
    assert found(scene(held("BTC", 10.0, 100.0)), ContainCollateral(enabled=False)) == []
