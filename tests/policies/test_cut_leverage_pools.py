"""Cuts of positions that share their margin, hedge each other, or are paid in coins: never one that does harm."""

from __future__ import annotations

from typing import Any

import pytest

from guard.events import (
    AccountSnapshot,
    AssetPrice,
    AssetPricesSeen,
    CollateralHeld,
    MarginMode,
    Pooling,
    Position,
    PositionSource,
)
from guard.findings import Finding
from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.leverage.solver import liquidation_of
from guard.margin_terms import ContractKind, MarginTier
from guard.state import GuardState
from policies.cut_leverage import CutLeverage
from policies.distrust_liquidation_prices import DistrustLiquidationPrices
from tests.policies.scenes import WARM_S, judged, thin_out, warm_state
from tests.support.builders import ACCOUNT, MARKET, at, position

POLICY = CutLeverage()
MMR = 0.01
TIERS = (MarginTier(floor=0.0, maintenance_ratio=MMR),)


def held(size: float, **fields: Any) -> Position:
    told: dict[str, Any] = {"entry_price": 100.0, "mark_price": 100.0, "settle": "USDT"}
    told["margin_mode"] = MarginMode.CROSS
    return position(size, **(told | fields))


def inverse(contracts_usd: float, **fields: Any) -> Position:
    return held(
        contracts_usd / 100.0, kind=ContractKind.INVERSE, contracts_usd=contracts_usd, settle="BTC", **fields
    )


def tell(
    state: GuardState,
    seconds: float,
    *positions: Position,
    collateral: tuple[CollateralHeld, ...] | None,
    **fields: Any,
) -> None:
    state.apply(
        AccountSnapshot(
            received_at=at(seconds),
            account=ACCOUNT,
            source=PositionSource.VENUE,
            positions=positions,
            collateral=collateral,
            orders=(),
            **fields,
        )
    )


def usdt(quantity: float) -> tuple[CollateralHeld, ...]:
    return (CollateralHeld(asset="USDT", quantity=quantity, venue_price_usd=1.0),)


def need_bps(found: Finding) -> float:
    limit = next(one.limit for one in found.evidence if one.name == "distance to liquidation")
    assert limit is not None
    return limit


def distance_evidence(found: Finding) -> float:
    value = next(one.value for one in found.evidence if one.name == "distance to liquidation")
    assert isinstance(value, float)
    return value


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_hedge_of_a_larger_position_is_not_cut(sign: float) -> None:
    """Both sides of a cross pair are told one price: for the smaller side it lies where it gains."""
    state = warm_state()
    now = thin_out(state, bid_size=30.0, ask_size=30.0)
    price = 100.0 - sign * 3.0
    pair = held(sign * 100.0, liquidation_price=price), held(-sign * 40.0, liquidation_price=price)
    tell(state, now, *pair, collateral=usdt(250.0))

    (found,) = judged(POLICY, state, now)

    size = next(one.value for one in found.evidence if one.name == "position")
    assert size == sign * 100.0, "only the side that fails"


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_hedge_of_a_pool_that_has_failed_is_not_cut(sign: float) -> None:
    state = warm_state()
    tell(state, WARM_S, held(sign * 100.0), held(-sign * 40.0), collateral=usdt(50.0))
    assert {leg.kind for leg in state.own.risks[ACCOUNT].legs} == {LiquidationKind.FAILED}

    (found,) = judged(POLICY, state, WARM_S)

    assert next(one.value for one in found.evidence if one.name == "position") == sign * 100.0
    assert (found.limit.max_size or 0.0) < 100.0


def test_two_sides_that_are_as_large_are_not_cut_while_their_pool_holds() -> None:
    state = warm_state()
    tell(
        state,
        WARM_S,
        held(100.0, liquidation_price=101.0),
        held(-100.0, liquidation_price=101.0),
        collateral=usdt(220.0),
    )

    assert judged(POLICY, state, WARM_S) == []


def test_a_price_on_the_side_where_a_position_gains_is_no_price_that_was_passed() -> None:
    """Coins behind a small short: the account fails when the coin falls, and the short is what helps then.

    That is so where by our valuation it has failed as well: the books are thin, and coins would sell for less.
    """
    state = warm_state()
    now = thin_out(state, bid_size=30.0, ask_size=30.0)
    coins = CollateralHeld(asset="BTC", quantity=100.0, venue_price_usd=100.0, venue_haircut=0.05)
    debt = CollateralHeld(asset="USDT", quantity=-9_200.0, venue_price_usd=1.0)
    short = held(-10.0, liquidation_price=97.0)
    tell(state, now, short, collateral=(coins, debt), pooling=Pooling.ONE_POOL)
    (leg,) = state.own.risks[ACCOUNT].legs
    assert (leg.kind, leg.distance_bps) == (LiquidationKind.FAILED, 0.0)
    assert leg.price is not None
    assert leg.price < 100.0

    assert judged(POLICY, state, now) == []


def test_the_venues_price_that_the_mark_has_passed_is_acted_on_where_ours_is_not_known() -> None:
    state = warm_state()
    tell(state, WARM_S, held(100.0, entry_price=None, liquidation_price=100.5), collateral=usdt(5_000.0))

    (found,) = judged(POLICY, state, WARM_S)

    assert distance_evidence(found) == 0.0


@pytest.mark.parametrize("fallen_at", ["venue", "elsewhere"])
def test_a_cut_holds_by_the_valuation_of_collateral_that_fails_first(fallen_at: str) -> None:
    """USDe falls on the account's venue alone: the venue liquidates by that, whatever it is worth elsewhere."""
    state = warm_state()
    now = thin_out(state, bid_size=30.0)
    prices = {"venue": (0.7, 1.0), "elsewhere": (1.0, 0.7)}[fallen_at]
    for venue in ("kraken", "coinbase", "bitstamp"):
        price = AssetPrice(asset="USDe", quote="USD", bid=prices[1], ask=prices[1])
        cash = AssetPrice(asset="USDT", quote="USD", bid=1.0, ask=1.0)
        state.apply(AssetPricesSeen(received_at=at(now), venue=venue, prices=(price, cash)))
    fallen = CollateralHeld(asset="USDe", quantity=700.0, venue_price_usd=prices[0], venue_haircut=0.0)
    tell(state, now, held(100.0), collateral=(fallen,), pooling=Pooling.ONE_POOL)

    (found,) = judged(POLICY, state, now)

    size = found.limit.max_size
    assert size is not None
    assert size < 100.0
    pool = state.own.pool(ACCOUNT, held(100.0))
    assert pool is not None
    wanted_bps = min(need_bps(found) * (1.0 + POLICY.margin_ratio), POLICY.distance_bps_max)
    for valued in (pool.venue, pool.own):
        leg = Leg(market=MARKET, size=size, entry_price=100.0, mark_price=100.0, tiers=TIERS)
        after = liquidation_of(MarginPool(legs=(leg,), holdings=valued.holdings), MARKET)
        # A cut costs something in this book, so that it lies a little further out before that.
        assert after.price is None or (100.0 - after.price) * 100.0 >= wanted_bps * 0.999
    assert found.limit.max_leverage == pytest.approx(
        size * 100.0 / min(sum(one.value_usd for one in each.holdings) for each in (pool.venue, pool.own))
    )


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("is_told_alone", [False, True])
def test_inverse_positions_are_cut_in_base_units_to_the_distance(*, sign: float, is_told_alone: bool) -> None:
    state = warm_state()
    now = thin_out(state, bid_size=30.0, ask_size=30.0)
    contracts = sign * 10_000.0
    leg = Leg(
        market=MARKET,
        size=contracts,
        entry_price=100.0,
        mark_price=100.0,
        tiers=TIERS,
        kind=ContractKind.INVERSE,
    )
    coins = Holding(asset="BTC", quantity=4.0, price_usd=100.0, market=MARKET)
    exact = liquidation_of(MarginPool(legs=(leg,), holdings=(coins,), in_coin=True), MARKET).price
    assert exact is not None
    told = inverse(
        contracts,
        margin_mode=MarginMode.ISOLATED,
        margin=4.0,
        margin_usd=400.0,
        entry_price=None if is_told_alone else 100.0,
        liquidation_price=exact,
    )
    tell(state, now, told, collateral=None)

    (found,) = judged(POLICY, state, now)

    size = found.limit.max_size
    assert size is not None
    assert 0.0 < size < 100.0, "base units, of 100"
    wanted_bps = min(need_bps(found) * (1.0 + POLICY.margin_ratio), POLICY.distance_bps_max)
    view = state.markets[MARKET]
    cost = view.exit_cost_bps(sign * (100.0 - size))
    assert cost is not None
    left = 4.0 - (cost.value / 1e4 + POLICY.fee_ratio) * (100.0 - size)
    smaller = Leg(
        market=MARKET,
        size=sign * size * 100.0,
        entry_price=100.0,
        mark_price=100.0,
        tiers=TIERS,
        kind=ContractKind.INVERSE,
    )
    after = MarginPool(
        legs=(smaller,),
        holdings=(Holding(asset="BTC", quantity=left, price_usd=100.0, market=MARKET),),
        in_coin=True,
    )
    price = liquidation_of(after, MARKET).price
    assert price is not None
    assert sign * (100.0 - price) * 100.0 == pytest.approx(wanted_bps, rel=2e-3)


def test_positions_of_a_pool_that_has_failed_are_cut_by_the_share_with_which_it_holds() -> None:
    state = warm_state()
    other = type(MARKET)("loopback:ETH/USDT:USDT")
    legs = held(100.0), held(100.0, market=other)
    tell(state, WARM_S, *legs, collateral=usdt(195.0))
    assert {leg.kind for leg in state.own.risks[ACCOUNT].legs} == {LiquidationKind.FAILED}

    (found,) = judged(POLICY, state, WARM_S)

    wanted_bps = min(need_bps(found) * (1.0 + POLICY.margin_ratio), POLICY.distance_bps_max)
    # Both cut by one share s: 195 = 200 s (100 m + 1 - m), m the move.
    move = wanted_bps / 1e4
    assert found.limit.max_size == pytest.approx(
        195.0 / (2.0 * (100.0 * move + MMR * 100.0 * (1.0 - move))), rel=1e-3
    )


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_isolated_position_that_stands_by_the_venues_word_is_not_closed_by_ours(sign: float) -> None:
    """Its margin was misread as next to nothing: the venue would have closed it long ago."""
    state = warm_state()
    misread = held(
        sign * 10.0, margin_mode=MarginMode.ISOLATED, margin_usd=0.5, liquidation_price=100.0 - sign * 40.0
    )
    tell(state, WARM_S, misread, collateral=usdt(1_000.0))
    (leg,) = state.own.risks[ACCOUNT].legs
    assert (leg.kind, leg.nearest) == (LiquidationKind.PRICE, 100.0 - sign * 40.0)
    assert "margin: by what is told it would have failed already" in leg.missing[0]
    assert judged(POLICY, state, WARM_S) == []

    reached = held(
        sign * 10.0, margin_mode=MarginMode.ISOLATED, margin_usd=0.5, liquidation_price=100.0 + sign
    )
    tell(state, WARM_S, reached, collateral=usdt(1_000.0))
    (leg,) = state.own.risks[ACCOUNT].legs
    assert leg.kind is LiquidationKind.FAILED
    assert judged(POLICY, state, WARM_S)


def test_collateral_that_nobody_prices_is_no_reason_to_cut() -> None:
    """Counted as nothing it would make an account fail that stands: entries are blocked, and nothing is sold."""
    state = warm_state()
    unpriced = CollateralHeld(asset="NEW", quantity=1_000.0)
    tell(state, WARM_S, held(100.0), collateral=(*usdt(20.0), unpriced), pooling=Pooling.ONE_POOL)

    assert judged(POLICY, state, WARM_S) == []
    (found,) = judged(DistrustLiquidationPrices(), state, WARM_S)
    assert "no price of NEW, which is collateral" in str(found.evidence)


def test_what_a_venue_demands_of_one_pool_is_no_reason_to_cut_another() -> None:
    """2,000 USD of maintenance for what is not listed: the small pool would have failed by it, and stands."""
    state = warm_state()
    small = held(1.0, liquidation_price=60.0)
    large = held(10.0, market=type(MARKET)("loopback:ETH/USDC:USDC"), settle="USDC")
    cash = (*usdt(100.0), CollateralHeld(asset="USDC", quantity=50_000.0))
    tell(state, WARM_S, small, large, collateral=cash, maintenance_usd=2_011.0)

    assert judged(POLICY, state, WARM_S) == []
    legs = {leg.pool: leg for leg in state.own.risks[ACCOUNT].legs}
    assert legs["cross USDT"].kind is not LiquidationKind.FAILED


def test_an_isolated_position_of_which_nothing_is_known_takes_its_margin_from_the_wallet_all_the_same() -> (
    None
):
    state = warm_state()
    other = type(MARKET)("loopback:SOL/USDT:USDT")
    unknown = position(
        5.0, market=other, margin_mode=MarginMode.ISOLATED, margin_usd=700.0, settle="USDT", leverage=10.0
    )
    tell(state, WARM_S, held(10.0), unknown, collateral=usdt(1_000.0))
    pool = state.own.pool(ACCOUNT, held(10.0))
    assert pool is not None
    assert [one.quantity for one in pool.venue.holdings] == [300.0]

    untold = position(5.0, market=other, margin_mode=MarginMode.ISOLATED, settle="USDT")
    tell(state, WARM_S, held(10.0), untold, collateral=usdt(1_000.0))
    pool = state.own.pool(ACCOUNT, held(10.0))
    assert pool is not None
    assert "how much of the USDT is set aside for SOL/USDT:USDT" in pool.missing
