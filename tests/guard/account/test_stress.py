"""The smallest common move at which a pool fails: against dense scanning of F by its definition, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, expm1, isfinite, log, log1p
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.account.stress import MOVE_MAX, Direction, Stress, directions_of, stress_distance
from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.leverage.solver import liquidation_of
from guard.margin_terms import ContractKind, MarginTier
from tests.guard.leverage.pools import (
    MARKETS,
    free_usd,
    mark_of,
    marks_of,
    notional_usd,
    random_pool,
    with_something_odd,
)

BTC, ETH, SOL = MARKETS
ONE_PERCENT = (MarginTier(floor=0.0, maintenance_ratio=0.01),)
FARTHEST = -log(1.0 - MOVE_MAX)
Find = Callable[[MarginPool, Direction], Stress]


def leg(market: str, size: float, *, mark: float = 100.0, entry: float = 100.0, **fields: object) -> Leg:
    values = {"tiers": ONE_PERCENT, **fields}
    return Leg(market=market, size=size, entry_price=entry, mark_price=mark, **values)  # type: ignore[arg-type]


def pool_of(*legs: Leg, money: float = 0.0, holdings: tuple[Holding, ...] = ()) -> MarginPool:
    cash = Holding(asset="USDT", quantity=money, price_usd=1.0)
    return MarginPool(legs=legs, holdings=(cash, *holdings))


def down(*markets: object) -> Direction:
    return Direction(name="down", markets=dict.fromkeys(markets, -1.0))  # type: ignore[arg-type]


def free_along(pool: MarginPool, direction: Direction, t: float, credit: float) -> float:
    """F on the way by its definition, gains of legs since the start counted in part."""
    moved = []
    for held in pool.holdings:
        own = direction.assets.get(held.asset)
        moved.append(
            held if own is None else replace(held, price_usd=held.price_usd * exp(own * t), market=None)
        )
    marks = marks_of(pool)
    prices = {market: mark * exp(direction.markets.get(market, 0.0) * t) for market, mark in marks.items()}
    free = free_usd(replace(pool, holdings=tuple(moved)), prices)
    for one in pool.legs:
        rise = prices[one.market] - mark_of(pool, one.market, 1.0)
        gain = one.size * rise / (one.entry_price if one.kind is ContractKind.INVERSE else 1.0)
        free -= (1.0 - credit) * max(gain, 0.0)
    return free


def random_direction(rng: Random, pool: MarginPool) -> Direction:
    return Direction(
        name="any",
        markets={market: rng.choice([-1.0, 1.0, 0.0, rng.uniform(-3.0, 3.0)]) for market in marks_of(pool)},
        assets={"ETH": rng.uniform(-1.0, 1.0)} if rng.random() < 0.3 else {},
    )


def check_is_the_first_root(pool: MarginPool, direction: Direction, find: Find) -> Stress:
    """Hold what was found against F at hundreds of points up to there, and at the root itself."""
    found = find(pool, direction)
    noise = 1e-9 * notional_usd(pool)
    if found.kind is LiquidationKind.FAILED:
        assert found.t == found.distance_bps == 0.0
        assert free_along(pool, direction, 0.0, 0.5) <= noise
        return found
    assert found.kind in (LiquidationKind.PRICE, LiquidationKind.CANNOT)
    assert (found.t is None) == (found.distance_bps is None) == (found.kind is LiquidationKind.CANNOT)
    end = FARTHEST if found.t is None else found.t
    if found.t is not None:
        assert free_along(pool, direction, found.t * (1.0 + 1e-9) + 1e-12, 0.5) <= 1e-6 * notional_usd(pool)
    for share in range(250):
        t = end * share / 250.0
        scale = max([exp(abs(move) * t) for move in direction.markets.values()], default=1.0)
        assert free_along(pool, direction, t, 0.5) >= -noise * scale, f"it fails at {t} already, before {end}"
    return found


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_nothing_fails_before_the_distance_to_liquidation_and_all_there(rng: Random) -> None:
    pool = random_pool(rng, healthy=True)
    check_is_the_first_root(pool, random_direction(rng, pool), stress_distance)


def test_so_it_is_for_many_pools_and_directions_of_every_kind() -> None:
    rng = Random(11)
    kinds: list[LiquidationKind] = []
    for _ in range(400):
        pool = random_pool(rng)
        kinds.append(check_is_the_first_root(pool, random_direction(rng, pool), stress_distance).kind)
    assert kinds.count(LiquidationKind.PRICE) > 100
    assert kinds.count(LiquidationKind.CANNOT) > 5
    assert kinds.count(LiquidationKind.FAILED) > 20


def _with_all_gains_credited(pool: MarginPool, direction: Direction) -> Stress:
    return stress_distance(pool, direction, hedge_credit=1.0)


def _with_collateral_that_stays(pool: MarginPool, direction: Direction) -> Stress:
    still = tuple(replace(held, market=None) for held in pool.holdings)
    return stress_distance(replace(pool, holdings=still), direction)


def _by_bisection(pool: MarginPool, direction: Direction) -> Stress:
    """What a bracket finds: any root, not the first."""
    low, high = 0.0, FARTHEST
    if free_along(pool, direction, high, 0.5) > 0.0:
        return Stress(kind=LiquidationKind.CANNOT)
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if free_along(pool, direction, middle, 0.5) > 0.0 else (low, middle)
    return Stress(kind=LiquidationKind.PRICE, t=high, distance_bps=-expm1(-high) * 1e4)


@pytest.mark.parametrize("wrong", [_with_all_gains_credited, _with_collateral_that_stays, _by_bisection])
def test_a_wrong_way_of_finding_it_is_found_out(wrong: Find) -> None:
    rng = Random(12)
    caught = 0
    for _ in range(120):
        pool = random_pool(rng, healthy=True)
        try:
            check_is_the_first_root(pool, random_direction(rng, pool), wrong)
        except AssertionError:
            caught += 1
    assert caught >= 2


def test_a_dip_between_two_stretches_that_hold_is_not_jumped_over() -> None:
    """A short in BTC, that gains at first, and twice as fast a long in ETH: both fall, and F falls and rises again.

    By hand, with the whole gain credited: F = m - 100 x (1 - x) with x = exp(-t), but for maintenance. It is
    least, m - 25, at x = 1/2, and m again where all is lost.
    """
    nothing = (MarginTier(floor=0.0, maintenance_ratio=0.0),)
    long, short = leg(BTC, 1.0, tiers=nothing), leg(ETH, -1.0, tiers=nothing)
    direction = Direction(name="both", markets={BTC: -2.0, ETH: -1.0})
    for money, root in ((24.9, 0.5 + (0.25 - 0.249) ** 0.5), (25.1, None)):
        found = stress_distance(pool_of(long, short, money=money), direction, hedge_credit=1.0)
        if root is None:
            assert found == Stress(kind=LiquidationKind.CANNOT)
        else:
            assert found.t is not None
            assert exp(-found.t) == pytest.approx(root, rel=1e-9)
            assert found.worst == BTC


def test_one_leg_alone_fails_at_its_own_liquidation_price() -> None:
    pool = pool_of(leg(BTC, 1.0), money=10.0)
    found = stress_distance(pool, down(BTC))
    price = liquidation_of(pool, BTC).price
    assert price is not None
    assert found.distance_bps == pytest.approx((1.0 - price / 100.0) * 1e4)
    assert found.t == pytest.approx(-log(price / 100.0))
    assert found.worst == BTC


def test_a_rise_is_told_as_a_rise() -> None:
    pool = pool_of(leg(BTC, -1.0), money=10.0)
    found = stress_distance(pool, Direction(name="up", markets={BTC: 1.0}))
    price = liquidation_of(pool, BTC).price
    assert price is not None
    assert found.distance_bps == pytest.approx((price / 100.0 - 1.0) * 1e4)


def test_a_hedge_is_credited_half() -> None:
    """Long and short of the same: only half of what the short wins counts, so that half of the fall is lost."""
    nothing = (MarginTier(floor=0.0, maintenance_ratio=0.0),)
    pool = pool_of(leg(BTC, 1.0, tiers=nothing), leg(ETH, -1.0, tiers=nothing), money=20.0)
    assert stress_distance(pool, down(BTC, ETH)).distance_bps == pytest.approx(4_000.0)
    assert stress_distance(pool, down(BTC, ETH), hedge_credit=1.0).kind is LiquidationKind.CANNOT
    assert stress_distance(pool, down(BTC, ETH), hedge_credit=0.0).distance_bps == pytest.approx(2_000.0)
    for odd in (float("nan"), -1.0):
        found = stress_distance(pool, down(BTC, ETH), hedge_credit=odd)
        assert found.distance_bps == pytest.approx(2_000.0), "no gain is credited for what is no share"


def test_what_was_won_before_counts_in_full() -> None:
    nothing = (MarginTier(floor=0.0, maintenance_ratio=0.0),)
    won = leg(ETH, -1.0, entry=120.0, tiers=nothing)
    pool = pool_of(leg(BTC, 1.0, tiers=nothing), won)
    assert stress_distance(pool, down(BTC), hedge_credit=0.0).distance_bps == pytest.approx(2_000.0)


def test_the_worst_leg_is_the_one_that_loses_most_money() -> None:
    pool = pool_of(leg(BTC, 1.0), leg(ETH, 30.0, mark=10.0, entry=10.0), leg(SOL, -50.0), money=120.0)
    found = stress_distance(pool, down(BTC, ETH))
    assert found.worst == ETH
    assert stress_distance(pool, Direction(name="", markets={BTC: -10.0, ETH: -0.1})).worst == BTC


def test_a_market_that_is_not_named_stays() -> None:
    pool = pool_of(leg(BTC, 1.0), leg(ETH, 1.0), money=10.0)
    assert stress_distance(pool, down(SOL)).kind is LiquidationKind.CANNOT
    alone = stress_distance(pool, down(BTC)).t
    both = stress_distance(pool, down(BTC, ETH)).t
    assert alone is not None
    assert both is not None
    assert both < alone


def test_collateral_falls_with_its_market_or_by_its_own() -> None:
    """2 coins at 100 behind a long of 1: both fall. Then a stablecoin that loses its peg, all else staying."""
    coins = Holding(asset="BTC", quantity=2.0, price_usd=100.0, market=BTC)
    pool = pool_of(leg(BTC, 1.0), money=-150.0, holdings=(coins,))
    found = stress_distance(pool, down(BTC)).t
    assert found is not None
    assert (3.0 - 0.01) * 100.0 * exp(-found) == pytest.approx(250.0)
    stable = Holding(asset="USDE", quantity=100.0, price_usd=1.0, haircut=0.1)
    depeg = Direction(name="depeg", assets={"USDE": -1.0})
    pegged = pool_of(leg(BTC, 1.0, entry=150.0), holdings=(stable,))
    at = stress_distance(pegged, depeg)
    assert at.distance_bps == pytest.approx((1.0 - 51.0 / 90.0) * 1e4)
    assert at.worst is None, "no leg lost anything"


def test_where_maintenance_jumps_on_the_way_it_fails_there() -> None:
    steps = (MarginTier(floor=0.0, maintenance_ratio=0.01), MarginTier(floor=1_000.0, maintenance_ratio=0.5))
    pool = pool_of(leg(BTC, -10.0, mark=90.0, entry=90.0, tiers=steps), money=450.0)
    found = stress_distance(pool, Direction(name="up", markets={BTC: 2.0}))
    assert found.t == pytest.approx(log(100.0 / 90.0) / 2.0)


def test_a_pool_that_has_failed_has_no_distance_left() -> None:
    pool = pool_of(leg(BTC, 1.0, entry=200.0), leg(ETH, 1.0, entry=150.0), money=50.0)
    assert stress_distance(pool, down(BTC)) == Stress(
        kind=LiquidationKind.FAILED, t=0.0, distance_bps=0.0, worst=BTC
    )


@pytest.mark.parametrize("speed", [float("nan"), float("inf"), 51.0])
def test_what_is_not_known_is_missing_and_not_far(speed: float) -> None:
    pool = pool_of(leg(BTC, 1.0), money=10.0)
    assert stress_distance(pool, Direction(name="", markets={BTC: speed})).kind is LiquidationKind.MISSING
    unknown = pool_of(leg(BTC, 1.0, tiers=()), money=1e9)
    assert stress_distance(unknown, down(BTC)) == Stress(kind=LiquidationKind.MISSING)


def test_a_fast_market_is_followed_to_the_end() -> None:
    """Hundreds of stretches without an edge: steps that lead nowhere near 0 are not counted as failing."""
    pool = pool_of(leg(BTC, 1.0), money=150.0)
    assert stress_distance(pool, Direction(name="", markets={BTC: -50.0})).kind is LiquidationKind.CANNOT


def test_directions_move_all_alike_by_beta_and_against_each() -> None:
    coins = Holding(asset="BTC", quantity=1.0, price_usd=100.0, market=BTC)
    free = (
        Holding(asset="USDE", quantity=50.0, price_usd=1.0),
        Holding(asset="BNB", quantity=-1.0, price_usd=500.0),
    )
    pool = pool_of(leg(ETH, 1.0), leg(SOL, -1.0), holdings=(coins, *free))
    found = {
        each.name: each
        for each in directions_of(pool, {BTC: 1.0, ETH: 1.5, SOL: 0.5}, asset_betas={"USDE": 0.2, "BNB": 0.8})
    }
    assert list(found) == ["common down", "common up", "betas down", "betas up", "correlation one"]
    assert found["common down"].markets == {ETH: -1.0, SOL: -1.0, BTC: -1.0}
    assert found["common up"].assets == {"USDE": 1.0, "BNB": 1.0}
    assert found["betas down"].markets == {ETH: -1.5, SOL: -0.5, BTC: -1.0}
    assert found["betas up"].assets == {"USDE": 0.2, "BNB": 0.8}
    assert found["correlation one"].markets == {ETH: -1.5, SOL: 1.0, BTC: -1.0}
    assert found["correlation one"].assets == {"USDE": -0.2, "BNB": 0.8}, "a debt grows against its holder"
    assert [each.rises for each in found.values()] == [False, True, False, True, False]


def test_a_beta_of_no_sense_counts_as_one_and_money_stays() -> None:
    pool = pool_of(leg(BTC, -1.0), money=10.0)
    for betas in ({}, {BTC: float("nan")}, {BTC: 1e9}):
        up = directions_of(pool, betas)[3]
        assert up.markets == {BTC: 1.0}
        assert up.assets == {}


def test_against_a_hedged_pair_is_the_side_that_takes_more() -> None:
    """3 long and 2 short lose 2 going down and 0.5 going up, half of the gain counted; 2 coins more lose 4."""
    pool = pool_of(leg(BTC, 3.0), leg(BTC, -2.0), money=100.0)
    assert directions_of(pool, {})[-1].markets == {BTC: -1.0}
    short = pool_of(leg(BTC, 2.0), leg(BTC, -3.0), money=100.0)
    assert directions_of(short, {})[-1].markets == {BTC: 1.0}
    coins = Holding(asset="BTC", quantity=2.0, price_usd=100.0, market=BTC)
    assert directions_of(pool_of(*short.legs, holdings=(coins,)), {})[-1].markets == {BTC: -1.0}


def test_nothing_moves_with_an_empty_pool() -> None:
    assert directions_of(pool_of(money=5.0), {}) == ()


def test_correlation_one_is_never_farther_than_all_moving_alike() -> None:
    """Each market on its bad side costs at least what all on the same side do, where nothing turns on the way."""
    rng, compared = Random(13), 0
    while compared < 60:
        pool = random_pool(rng, jumps=False, healthy=True)
        hedged = len({one.market for one in pool.legs}) < len(pool.legs)
        if hedged or any(held.quantity < 0.0 or held.market for held in pool.holdings):
            continue
        *alike, _, _, against = (
            stress_distance(pool, each).t or FARTHEST for each in directions_of(pool, {})
        )
        assert against <= min(alike) * (1.0 + 1e-9)
        compared += 1


def test_thousands_of_random_accounts_have_a_distance_to_liquidation_or_say_why_not() -> None:
    rng = Random(2027)
    missing = priced = 0
    for _ in range(1_200):
        pool = random_pool(rng, healthy=rng.random() < 0.7)
        if rng.random() < 0.1:
            pool = with_something_odd(rng, pool)
        directions = directions_of(pool, {BTC: 1.0, ETH: rng.uniform(0.0, 3.0)})
        for direction in rng.sample(directions, min(4, len(directions))):
            found = stress_distance(pool, direction)
            if found.kind is LiquidationKind.MISSING:
                missing += 1
            elif found.kind is not LiquidationKind.CANNOT:
                priced += 1
                assert found.t is not None
                assert found.distance_bps is not None
                assert 0.0 <= found.t <= FARTHEST
                assert isfinite(found.distance_bps)
                told = (
                    log1p(found.distance_bps / 1e4) if direction.rises else -log1p(-found.distance_bps / 1e4)
                )
                assert told == pytest.approx(found.t, rel=1e-6, abs=1e-12)
    assert missing > 200
    assert priced > 2_500
