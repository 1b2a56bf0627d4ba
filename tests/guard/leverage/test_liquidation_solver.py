"""Where pools are liquidated: against F by its definition, venues' closed forms, and ten thousand random accounts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import exp, isfinite, log, log10
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.leverage.solver import (
    Liquidation,
    liquidation_of,
    liquidations_of,
    lowest_free,
    missing_of,
    state_at,
)
from guard.margin_terms import ContractKind, MarginTier, TierUnit
from guard.units import MarketId
from tests.guard.leverage.pools import (
    MARKETS,
    MARKS,
    free_usd,
    marks_of,
    notional_usd,
    random_pool,
    with_something_odd,
)

BTC, ETH = MARKETS[:2]
Solve = Callable[[MarginPool, MarketId], Liquidation]


def tier(ratio: float, deduction: float = 0.0) -> tuple[MarginTier, ...]:
    return (MarginTier(floor=0.0, maintenance_ratio=ratio, deduction=deduction),)


def usd(quantity: float) -> Holding:
    return Holding(asset="USDT", quantity=quantity, price_usd=1.0)


def linear(size: float, entry: float, ratio: float = 0.01, **fields: object) -> Leg:
    values = {"market": BTC, "entry_price": entry, "mark_price": entry, "tiers": tier(ratio)}
    return Leg(size=size, **{**values, **fields})  # type: ignore[arg-type]


def inverse(size: float, entry: float, ratio: float = 0.01, **fields: object) -> Leg:
    return linear(size, entry, ratio, kind=ContractKind.INVERSE, **fields)


def pool_of(*parts: Leg | Holding, other: float = 0.0) -> MarginPool:
    return MarginPool(
        legs=tuple(part for part in parts if isinstance(part, Leg)),
        holdings=tuple(part for part in parts if isinstance(part, Holding)),
        other_maintenance_usd=other,
    )


def check_is_where_it_fails(pool: MarginPool, market: MarketId, solve: Solve) -> None:
    """Hold a solver against F by its definition: 0 at its prices, and above 0 all the way there.

    Where maintenance jumps, F goes through 0 without being it: then it is above 0 before, and below after.
    """
    marks = marks_of(pool)
    noise = 1e-9 * notional_usd(pool)
    rest = 1e-6 * notional_usd(pool)

    def free(price: float) -> float:
        return free_usd(pool, {**marks, market: price})

    found, mark = solve(pool, market), marks[market]
    if found.kind is LiquidationKind.FAILED:
        assert free(mark) <= noise
        return
    assert found.kind in (LiquidationKind.PRICE, LiquidationKind.CANNOT)
    assert free(mark) >= -noise
    assert (found.kind is LiquidationKind.CANNOT) == (found.below is None and found.above is None)
    for price, farthest in ((found.below, mark * 1e-6), (found.above, mark * 1e6)):
        end = farthest if price is None else price
        if price is not None:
            assert (price <= mark) == (price is found.below or price == mark)
            onwards = 1e-9 if price <= mark else -1e-9
            assert free(price * (1.0 - onwards)) <= rest
            assert free(price * (1.0 + onwards)) >= -rest
            if not _jumps(pool, market):
                assert abs(free(price)) <= rest
        for share in range(1, 60):
            between = exp(log(mark) + (log(end) - log(mark)) * share / 60.0)
            scale = max(between / mark, 1.0)
            assert free(between) >= -noise * scale, f"it fails at {between} already, before {end}"
    if found.kind is LiquidationKind.PRICE:
        near = [price for price in (found.below, found.above) if price is not None]
        assert found.price == min(near, key=lambda price: abs(log(price / mark)))


def _jumps(pool: MarginPool, market: MarketId) -> bool:
    tables = [leg.tiers for leg in pool.legs if leg.market == market and leg.unit is TierUnit.NOTIONAL]
    return any(
        abs((high.maintenance_ratio - low.maintenance_ratio) * high.floor - (high.deduction - low.deduction))
        > 1e-9 * high.floor
        for tiers in tables
        for low, high in pairwise(tiers)
    )


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False))
def test_liquidation_is_where_what_is_free_becomes_0_and_nowhere_before(rng: Random) -> None:
    pool = random_pool(rng)
    for market in marks_of(pool):
        check_is_where_it_fails(pool, market, liquidation_of)


def test_liquidation_is_so_over_a_thousand_pools_of_every_kind_and_unit() -> None:
    rng = Random(5)
    seen: set[tuple[object, ...]] = set()
    for _ in range(1_000):
        pool = random_pool(rng)
        for market, found in liquidations_of(pool).items():
            check_is_where_it_fails(pool, market, lambda _, __, found=found: found)  # type: ignore[misc]
            for leg in pool.legs:
                if leg.market == market and found.kind is LiquidationKind.PRICE:
                    many = len({leg.market for leg in pool.legs}) > 1
                    hedged = sum(leg.market == market for leg in pool.legs) > 1
                    below = found.below is not None
                    seen.add(
                        (leg.kind, leg.unit, leg.maintenance_at_entry, leg.size > 0.0, many, hedged, below)
                    )
    assert len(seen) > 90, "of 128 combinations most came up; a long alone does not fail above"


def _with_maintenance_as_it_is_now(pool: MarginPool, market: MarketId) -> Liquidation:
    """What many do: take the tier that the position is in at its mark for the one that it is liquidated in."""
    legs = []
    for leg in pool.legs:
        counted = abs(leg.size)
        if leg.unit is TierUnit.NOTIONAL:
            counted = (
                counted / leg.mark_price if leg.kind is ContractKind.INVERSE else counted * leg.mark_price
            )
        now = [tier for tier in leg.tiers if tier.floor <= counted][-1]
        legs.append(replace(leg, tiers=(structs.replace(now, floor=0.0),)))
    return liquidation_of(replace(pool, legs=tuple(legs)), market)


def _without_deductions(pool: MarginPool, market: MarketId) -> Liquidation:
    legs = [
        replace(leg, tiers=tuple(structs.replace(tier, deduction=0.0) for tier in leg.tiers))
        for leg in pool.legs
    ]
    return liquidation_of(replace(pool, legs=tuple(legs)), market)


def _with_coins_that_stay_worth_the_same(pool: MarginPool, market: MarketId) -> Liquidation:
    return liquidation_of(
        replace(pool, holdings=tuple(replace(held, market=None) for held in pool.holdings)), market
    )


def _of_one_leg_only(pool: MarginPool, market: MarketId) -> Liquidation:
    first = next((leg for leg in pool.legs if leg.market == market), None)
    return liquidation_of(replace(pool, legs=() if first is None else (first,)), market)


def _a_bp_off(pool: MarginPool, market: MarketId) -> Liquidation:
    found = liquidation_of(pool, market)
    if found.below is None:
        return found
    off = found.below * 0.9999
    return Liquidation(kind=found.kind, price=off, below=off, above=found.above)


@pytest.mark.parametrize(
    "wrong",
    [
        _with_maintenance_as_it_is_now,
        _without_deductions,
        _with_coins_that_stay_worth_the_same,
        _of_one_leg_only,
        _a_bp_off,
    ],
)
def test_liquidation_prices_of_a_wrong_solver_are_found_out(wrong: Solve) -> None:
    rng = Random(6)
    caught = 0
    for _ in range(60):
        pool = random_pool(rng)
        try:
            check_is_where_it_fails(pool, pool.legs[0].market, wrong)
        except AssertionError:
            caught += 1
    assert caught > 3


def test_liquidation_of_ten_thousand_random_accounts_is_a_number_or_says_why_not() -> None:
    """No exception, no NaN, no negative distance for a healthy account; what is odd is missing, never safe."""
    rng = Random(2026)
    healthy = odd = priced = 0
    for _ in range(10_000):
        pool = random_pool(rng)
        is_odd = rng.random() < 0.1
        if is_odd:
            pool = with_something_odd(rng, pool)
        found, state = liquidations_of(pool), state_at(pool)
        assert found.keys() == marks_of(pool).keys()
        if is_odd:
            odd += 1
            assert {each.kind for each in found.values()} == {LiquidationKind.MISSING}
            assert state is None
            assert missing_of(pool)
            continue
        assert not missing_of(pool)
        assert state is not None
        assert isfinite(state.free_usd)
        assert state.maintenance_usd >= 0.0
        for market, each in found.items():
            mark = marks_of(pool)[market]
            if state.free_usd > 1e-9 * notional_usd(pool):
                healthy += 1
                assert each.kind in (LiquidationKind.PRICE, LiquidationKind.CANNOT)
            if each.kind is LiquidationKind.PRICE:
                priced += 1
                assert each.price in (each.below, each.above)
                assert each.below is None or 0.0 < each.below <= mark
                assert each.above is None or mark <= each.above < float("inf")
    assert odd > 900
    assert healthy > 5_000
    assert priced > 5_000


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_liquidation_price_of_binance_usdm(side: float) -> None:
    """LP = (W + c - s*q*e) / (q*(r - s))."""
    q, e, w, r, c = 50.0, 100_000.0, 250_000.0, 0.025, 33_550.0
    form = (w + c - side * q * e) / (q * (r - side))
    pool = pool_of(linear(side * q, e, tiers=tier(r, c)), usd(w))
    assert liquidation_of(pool, BTC).price == pytest.approx(form, rel=1e-12)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_liquidation_price_of_an_inverse_position(side: float) -> None:
    """LP = N*(s + r)/(W + c + s*N/e), N in USD, W and c in coins; for a short r - 1 over what is below 0."""
    n, e, w, r, c = 100_000.0, 50_000.0, 0.4, 0.01, 0.005
    form = n * (side + r) / (w + c + side * n / e)
    coins = Holding(asset="BTC", quantity=w, price_usd=e, market=BTC)
    pool = pool_of(inverse(side * n, e, tiers=tier(r, c)), coins)
    assert liquidation_of(pool, BTC).price == pytest.approx(form, rel=1e-12)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_liquidation_price_where_maintenance_is_valued_at_entry(side: float) -> None:
    """Bybit isolated: LP = e - s*(IM - MM)/q - s*extra/q, MM = e*q*r - deduction."""
    q, e, r, deduction, extra, leverage = 2.0, 40_000.0, 0.005, 10.0, 500.0, 10.0
    margin = e * q / leverage
    form = e - side * (margin - (e * q * r - deduction)) / q - side * extra / q
    leg = linear(side * q, e, tiers=tier(r, deduction), maintenance_at_entry=True)
    assert liquidation_of(pool_of(leg, usd(margin + extra)), BTC).price == pytest.approx(form, rel=1e-12)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_liquidation_price_of_okx_isolated(side: float) -> None:
    """Long (q*e - W)/(q*(1 - r - f)), short (q*e + W)/(q*(1 + r + f))."""
    q, e, w, r, f = 3.0, 2_000.0, 300.0, 0.01, 0.0005
    form = (q * e - side * w) / (q * (1.0 - side * (r + f)))
    pool = pool_of(linear(side * q, e, r, closing_fee=f, unit=TierUnit.SIZE), usd(w))
    assert liquidation_of(pool, BTC).price == pytest.approx(form, rel=1e-12)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_liquidation_price_of_hyperliquid(side: float) -> None:
    """LP = p - s*avail/q/(1 - l*s), avail what is left over maintenance at the mark."""
    q, p, e, w, rate = 10.0, 3_000.0, 2_900.0, 4_000.0, 0.02
    avail = w + side * q * (p - e) - rate * q * p
    form = p - side * avail / q / (1.0 - rate * side)
    pool = pool_of(linear(side * q, e, rate, mark_price=p), usd(w))
    assert liquidation_of(pool, BTC).price == pytest.approx(form, rel=1e-12)


def test_liquidation_of_both_sides_of_a_hedged_pair_is_one_price() -> None:
    """2 long, 1 short: one coin net, and maintenance of three. W + (p - e) = 0.01*3*p."""
    pool = pool_of(linear(2.0, 1_000.0), linear(-1.0, 1_000.0), usd(100.0))
    found = liquidation_of(pool, BTC)
    assert found.below == pytest.approx((1_000.0 - 100.0) / (1.0 - 0.03))
    assert found.above is None


def test_liquidation_of_an_equal_pair_waits_above_where_maintenance_has_eaten_the_margin() -> None:
    pool = pool_of(linear(1.0, 1_000.0), linear(-1.0, 1_000.0), usd(100.0))
    found = liquidation_of(pool, BTC)
    assert found.below is None
    assert found.above == found.price == pytest.approx(5_000.0)


def test_liquidation_in_cross_moves_with_what_the_other_legs_make_and_demand() -> None:
    """A leg in another market takes its loss and its maintenance of what stands behind this one."""
    other = linear(10.0, 110.0, market=ETH, mark_price=100.0)
    pool = pool_of(linear(1.0, 1_000.0), other, usd(300.0))
    left = 300.0 - 10.0 * 10.0 - 0.01 * 10.0 * 100.0
    assert liquidation_of(pool, BTC).price == pytest.approx((1_000.0 - left) / 0.99)


def test_liquidation_of_a_pool_that_mixes_contract_types() -> None:
    """A linear long and an inverse short of the same USD, on coins and money: by hand at its price."""
    coins = Holding(asset="BTC", quantity=0.1, price_usd=1_000.0, market=BTC)
    pool = pool_of(linear(1.0, 1_000.0), inverse(-500.0, 1_000.0), coins, usd(50.0))
    price = liquidation_of(pool, BTC).below
    assert price is not None
    value = 50.0 + 0.1 * price + (price - 1_000.0) - 500.0 * (price / 1_000.0 - 1.0)
    assert value == pytest.approx(0.01 * price + 0.01 * 500.0)


def test_liquidation_where_maintenance_jumps_is_at_the_edge_itself() -> None:
    """A short of 10 at 90: at a notional of 1,000 its maintenance jumps from 10 to 500, of which there are 350."""
    steps = (MarginTier(floor=0.0, maintenance_ratio=0.01), MarginTier(floor=1_000.0, maintenance_ratio=0.5))
    found = liquidation_of(pool_of(linear(-10.0, 90.0, tiers=steps), usd(450.0)), BTC)
    assert found.above == pytest.approx(100.0, rel=1e-12)


def test_liquidation_of_an_inverse_one_at_an_edge_that_a_falling_price_reaches() -> None:
    """1,000 USD are 10 coins at 100: below, maintenance jumps from 1 % to half of the value."""
    steps = (MarginTier(floor=0.0, maintenance_ratio=0.01), MarginTier(floor=10.0, maintenance_ratio=0.5))
    found = liquidation_of(pool_of(inverse(1_000.0, 110.0, tiers=steps), usd(300.0)), BTC)
    assert found.below == pytest.approx(100.0, rel=1e-12)


def test_liquidation_counts_no_maintenance_below_0() -> None:
    """A deduction that is more than its share of the value gives nothing back: 2 % of 100 less 5 is 0, not -3."""
    found = liquidation_of(pool_of(linear(1.0, 100.0, tiers=tier(0.02, 5.0)), usd(10.0)), BTC)
    assert found.below == pytest.approx(90.0)


def test_liquidation_where_size_tells_the_tier_stays_in_it() -> None:
    steps = (MarginTier(floor=0.0, maintenance_ratio=0.01), MarginTier(floor=5.0, maintenance_ratio=0.1))
    pool = pool_of(linear(5.0, 100.0, tiers=steps, unit=TierUnit.SIZE), usd(100.0))
    assert liquidation_of(pool, BTC).price == pytest.approx((500.0 - 100.0) / (5.0 * 0.9))


def test_liquidation_cannot_happen_to_what_is_paid_in_full() -> None:
    found = liquidation_of(pool_of(linear(1.0, 100.0), usd(100.0)), BTC)
    assert found == Liquidation(kind=LiquidationKind.CANNOT)
    coins = Holding(asset="BTC", quantity=11.0, price_usd=100.0, market=BTC)
    hedged = liquidation_of(pool_of(inverse(-1_000.0, 100.0), coins), BTC)
    assert hedged.above is None, "an inverse short on its own coins cannot be liquidated upwards"


def test_liquidation_has_happened_at_prices_as_they_are() -> None:
    pool = pool_of(linear(1.0, 100.0), usd(1.0))
    assert liquidation_of(pool, BTC).kind is LiquidationKind.FAILED
    assert (
        liquidation_of(pool_of(linear(1.0, 100.0), usd(50.0), other=60.0), BTC).kind is LiquidationKind.FAILED
    )


def test_liquidation_of_one_leg_without_tiers_leaves_the_whole_pool_unknown() -> None:
    pool = pool_of(linear(1.0, 100.0), linear(1.0, 50.0, market=ETH, tiers=()), usd(1e9))
    assert {each.kind for each in liquidations_of(pool).values()} == {LiquidationKind.MISSING}
    assert missing_of(pool) == (f"margin tiers of {ETH}",)


def test_liquidation_of_collateral_alone_tells_where_a_debt_is_no_longer_covered() -> None:
    coins = Holding(asset="ETH", quantity=10.0, price_usd=2_000.0, haircut=0.1, market=ETH)
    found = liquidations_of(pool_of(coins, usd(-9_000.0)))
    assert found[ETH].below == pytest.approx(500.0 * 2.0 * 0.5 / 0.5)


def test_liquidation_of_a_market_that_is_not_in_the_pool_is_not_that_pools() -> None:
    assert liquidation_of(pool_of(linear(1.0, 100.0), usd(50.0)), ETH).kind is LiquidationKind.CANNOT


def test_flat_legs_demand_nothing() -> None:
    pool = pool_of(linear(0.0, 100.0, tiers=()), usd(5.0))
    assert liquidation_of(pool, BTC).kind is LiquidationKind.CANNOT
    assert not missing_of(pool)


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_state_is_what_each_part_is_worth_there(rng: Random) -> None:
    pool = random_pool(rng)
    prices = {market: mark * rng.uniform(0.2, 4.0) for market, mark in MARKS.items()}
    for at in (marks_of(pool), marks_of(pool) | {market: prices[market] for market in marks_of(pool)}):
        state = state_at(pool, at)
        assert state is not None
        assert state.free_usd == pytest.approx(free_usd(pool, at), abs=1e-9 * notional_usd(pool))
    first, second = state_at(pool), state_at(pool, marks_of(pool))
    assert first == second


def test_a_state_at_no_price_is_not_known() -> None:
    pool = pool_of(linear(1.0, 100.0), usd(10.0))
    for price in (0.0, -1.0, float("nan"), float("inf")):
        assert state_at(pool, {BTC: price}) is None


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_least_that_is_free_on_the_way_is_not_above_any_point_of_it(rng: Random) -> None:
    pool = random_pool(rng)
    market = pool.legs[0].market
    marks = marks_of(pool)
    end = marks[market] * rng.uniform(0.2, 4.0)
    lowest = lowest_free(pool, market, end)
    assert lowest is not None
    path = [marks[market] + (end - marks[market]) * share / 200.0 for share in range(201)]
    noise = 1e-9 * notional_usd(pool)
    sampled = min(free_usd(pool, {**marks, market: price}) for price in path)
    assert lowest <= sampled + noise
    if not _jumps(pool, market):
        slopes = sum(
            abs(leg.size) * (1.0 if leg.kind is ContractKind.LINEAR else 1.0 / leg.entry_price)
            for leg in pool.legs
        )
        slopes += sum(abs(held.quantity) for held in pool.holdings if held.market == market)
        assert lowest >= sampled - 2.0 * slopes * abs(path[1] - path[0]) - noise


def test_liquidation_over_the_tiers_of_every_market_of_binance(shared_data: Path) -> None:
    """As recorded, amounts and all, over sides, sizes from the first tier to the last, and 2x to 100x."""
    markets = json.loads((shared_data / "leverage_tiers" / "binance_usdm_2026-09.json").read_text())
    rng, solved = Random(15), 0
    for name, rows in markets.items():
        tiers = tuple(
            MarginTier(
                floor=row["minNotional"],
                maintenance_ratio=row["maintenanceMarginRate"],
                deduction=float(row["info"]["cum"]),
            )
            for row in rows
        )
        notional = 10.0 ** rng.uniform(2.0, log10(2.0 * max(tiers[-1].floor, 1_000.0)))
        mark, side = 10.0 ** rng.uniform(-3.0, 5.0), rng.choice([1.0, -1.0])
        leg = linear(side * notional / mark, mark * rng.uniform(0.95, 1.05), mark_price=mark, tiers=tiers)
        pool = pool_of(leg, usd(notional / rng.uniform(2.0, 100.0)))
        check_is_where_it_fails(pool, BTC, liquidation_of)
        solved += liquidation_of(pool, BTC).kind is LiquidationKind.PRICE
        assert not missing_of(pool), name
    assert solved > 250
