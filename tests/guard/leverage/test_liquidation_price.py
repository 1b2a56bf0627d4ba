"""The one solver against venues' closed forms, and what must hold of any position."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from guard.leverage.liquidation_price import (
    NEVER_LIQUIDATED_LONG,
    liquidation_distance_bps,
    liquidation_price,
    margin_missing_in,
    margin_missing_usd,
    resized,
    size_max,
    size_max_in,
)
from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.leverage.solver import liquidation_of
from guard.leverage.tiers import maintenance, margin_tiers, tier_at
from guard.margin_terms import ContractKind, MarginTier, TierUnit
from tests.guard.leverage.pools import MARKETS, random_pool

BTCUSD, ETHUSD = MARKETS[:2]

BTC = margin_tiers(
    [
        (0.0, 0.004, 125.0),
        (300_000.0, 0.005, 100.0),
        (800_000.0, 0.0065, 75.0),
        (3_000_000.0, 0.01, 50.0),
        (12_000_000.0, 0.02, 25.0),
        (70_000_000.0, 0.025, 20.0),
        (100_000_000.0, 0.05, 10.0),
    ]
)
"""Shaped like Binance's tiers of BTCUSDT."""

SIDE = st.sampled_from([1.0, -1.0])
SIZE = st.floats(0.001, 3_000.0)
PRICE = st.floats(100.0, 100_000.0)
LEVERAGE = st.floats(1.01, 100.0)
FEE = st.sampled_from([0.0, 0.0005])


def excess(
    size: float, entry: float, margin: float, tiers: tuple[MarginTier, ...], fee: float, price: float
) -> float:
    """F(p): what is left over maintenance and closing fee."""
    notional = abs(size) * price
    return margin + size * (price - entry) - maintenance(tiers, notional) - fee * notional


@given(SIDE, SIZE, PRICE, LEVERAGE, FEE)
def test_at_the_result_nothing_is_left_over(
    side: float, size: float, entry: float, leverage: float, fee: float
) -> None:
    margin = size * entry / leverage
    price = liquidation_price(
        side_size_signed=side * size, entry_price=entry, margin_usd=margin, tiers=BTC, taker_fee=fee
    )
    assert price is not None
    if price > 0.0:
        assert excess(side * size, entry, margin, BTC, fee, price) == pytest.approx(
            0.0, abs=1e-9 * size * entry
        )
    else:
        assert side > 0.0
        assert margin >= size * entry * (1 - 1e-12)
    worse = price * (1.0 - side * 0.001)
    if price > 0.0:
        assert excess(side * size, entry, margin, BTC, fee, worse) < 0.0, (
            "farther against it, it is under water"
        )


@given(SIDE, SIZE, PRICE, LEVERAGE, st.floats(0.01, 0.99))
def test_cutting_at_mark_always_moves_the_liquidation_price_away(
    side: float, size: float, mark: float, leverage: float, share: float
) -> None:
    """Cross: the equity at mark stays, the size shrinks."""
    equity = size * mark / leverage

    def at(kept: float) -> float:
        price = liquidation_price(
            side_size_signed=side * kept, entry_price=mark, margin_usd=equity, tiers=BTC, taker_fee=0.0005
        )
        assert price is not None
        return liquidation_distance_bps(
            side_size_signed=side * kept, mark_price=mark, liquidation_price=price
        )

    assume(at(size) > 0.0)
    assert at(size * share) >= at(size) - 1e-6


@given(SIDE, SIZE, PRICE, LEVERAGE, st.floats(0.001, 1.0))
def test_more_margin_always_moves_it_away(
    side: float, size: float, entry: float, leverage: float, more: float
) -> None:
    margin = size * entry / leverage

    def solve(margin_usd: float) -> float:
        price = liquidation_price(
            side_size_signed=side * size, entry_price=entry, margin_usd=margin_usd, tiers=BTC
        )
        assert price is not None
        return price

    assert side * solve(margin * (1.0 + more)) <= side * solve(margin) + 1e-9


@pytest.mark.parametrize(
    ("side", "expected"), [(1.0, (5_000.0 + 16_300.0 - 50 * 100_000.0) / (50 * (0.01 - 1.0))), (-1.0, None)]
)
def test_binance_form(side: float, expected: float | None) -> None:
    """LP = (W + c - s*q*e) / (q*(r - s)), here 50 BTC at 100,000 in the tier of 1 %."""
    r, c, q, e, w = 0.01, 16_300.0, 50.0, 100_000.0, 5_000.0
    form = (w + c - side * q * e) / (q * (r - side))
    solved = liquidation_price(
        side_size_signed=side * q, entry_price=e, margin_usd=w, maintenance_ratio=r, maintenance_amount=c
    )
    assert solved == pytest.approx(form)
    if expected is not None:
        assert solved == pytest.approx(expected)


def test_the_tier_of_the_result_counts_not_the_tier_of_the_entry() -> None:
    """3,100 k at entry is in the 1 % tier; at its liquidation price the position is in that of 0.65 %."""
    size, entry = 31.0, 100_000.0
    margin = size * entry / 20.0
    price = liquidation_price(side_size_signed=size, entry_price=entry, margin_usd=margin, tiers=BTC)
    assert price is not None
    tier = tier_at(BTC, size * price)
    assert tier.maintenance_ratio == 0.0065
    form = (margin + tier.deduction - size * entry) / (size * (tier.maintenance_ratio - 1.0))
    assert price == pytest.approx(form)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_okx_isolated_form(side: float) -> None:
    """Long (q*e - W)/(q*(1 - r - f)), short (q*e + W)/(q*(1 + r + f))."""
    q, e, w, r, f = 3.0, 2_000.0, 300.0, 0.01, 0.0005
    form = (q * e - side * w) / (q * (1.0 - side * (r + f)))
    solved = liquidation_price(
        side_size_signed=side * q, entry_price=e, margin_usd=w, maintenance_ratio=r, taker_fee=f
    )
    assert solved == pytest.approx(form)


def test_a_long_that_its_margin_carries_to_zero_is_not_unknown() -> None:
    solved = liquidation_price(
        side_size_signed=1.0, entry_price=100.0, margin_usd=100.0, maintenance_ratio=0.01
    )
    assert solved == NEVER_LIQUIDATED_LONG == 0.0


def test_a_short_always_has_a_price() -> None:
    solved = liquidation_price(
        side_size_signed=-1.0, entry_price=100.0, margin_usd=1e6, maintenance_ratio=0.01
    )
    assert solved is not None
    assert solved > 9e5


@pytest.mark.parametrize(
    "wrong",
    [
        {"side_size_signed": 0.0},
        {"entry_price": 0.0},
        {"entry_price": math.nan},
        {"margin_usd": math.inf},
        {"maintenance_ratio": None},
        {"maintenance_ratio": -0.1},
        {"maintenance_ratio": 1.0},
        {"taker_fee": -0.1},
        {"maintenance_ratio": 0.9, "taker_fee": 0.2},
    ],
)
def test_what_makes_no_sense_is_not_known(wrong: dict[str, float | None]) -> None:
    good: dict[str, float | None] = {
        "side_size_signed": 1.0, "entry_price": 100.0, "margin_usd": 10.0, "maintenance_ratio": 0.01
    }  # fmt: skip
    assert liquidation_price(**{**good, **wrong}) is None  # type: ignore[arg-type]


@given(SIDE, SIZE, PRICE, LEVERAGE, st.floats(10.0, 5_000.0), st.floats(0.0, 50.0), FEE)
def test_the_largest_size_is_safe_and_the_largest(
    side: float, size: float, mark: float, leverage: float, distance_bps: float, impact: float, fee: float
) -> None:
    equity = size * mark / leverage

    def exit_cost_usd(cut: float) -> float:
        """Convex: ``impact`` bps for the first, and as much again for the whole position."""
        return cut * mark * impact * (1.0 + cut / size) / 1e4

    found = size_max(
        side_size_signed=side * size, mark_price=mark, equity_usd=equity, distance_bps=distance_bps, tiers=BTC,
        taker_fee=fee, exit_cost_usd=exit_cost_usd,
    )  # fmt: skip
    assert found is not None

    def distance(kept: float) -> float:
        cut = max(size - kept, 0.0)
        left = equity - exit_cost_usd(cut) - fee * cut * mark
        price = liquidation_price(
            side_size_signed=side * kept, entry_price=mark, margin_usd=left, tiers=BTC, taker_fee=fee
        )
        assert price is not None
        return liquidation_distance_bps(
            side_size_signed=side * kept, mark_price=mark, liquidation_price=price
        )

    if found > 1e-9 * size:
        assert distance(found * (1 - 1e-9)) >= distance_bps * (1 - 1e-6) - 1e-6
    for more in (1.01, 1.5):
        assert distance(max(found, 1e-6 * size) * more) < distance_bps * (1 + 1e-6) + 1e-6


@given(SIDE, SIZE, PRICE, st.floats(0.1, 100.0), st.floats(10.0, 5_000.0))
def test_the_closed_form_without_cost(
    side: float, size: float, mark: float, leverage: float, distance_bps: float
) -> None:
    equity, r = size * mark / leverage, 0.01
    limit = mark * (1.0 - side * distance_bps / 1e4)
    form = equity / (side * (mark - limit) + r * limit)
    found = size_max(
        side_size_signed=side * size,
        mark_price=mark,
        equity_usd=equity,
        distance_bps=distance_bps,
        maintenance_ratio=r,
    )
    assert found == pytest.approx(form)


@given(SIDE, SIZE, PRICE, LEVERAGE, st.floats(10.0, 5_000.0))
def test_the_missing_margin_is_what_makes_the_whole_size_safe(
    side: float, size: float, mark: float, leverage: float, distance_bps: float
) -> None:
    equity = size * mark / leverage
    missing = margin_missing_usd(
        side_size_signed=side * size, mark_price=mark, equity_usd=equity, distance_bps=distance_bps, tiers=BTC
    )
    assert missing is not None
    found = size_max(
        side_size_signed=side * size, mark_price=mark, equity_usd=(equity + missing) * (1 + 1e-9),
        distance_bps=distance_bps, tiers=BTC,
    )  # fmt: skip
    assert found is not None
    assert found >= size * (1 - 1e-6)


def test_in_a_book_that_costs_more_than_it_saves_no_size_is_safe() -> None:
    found = size_max(
        side_size_signed=10.0, mark_price=100.0, equity_usd=50.0, distance_bps=1_000.0, maintenance_ratio=0.01,
        exit_cost_usd=lambda cut: 50.0 * cut,
    )  # fmt: skip
    assert found == 0.0


def test_under_water_no_size_is_safe() -> None:
    assert (
        size_max(
            side_size_signed=-1.0,
            mark_price=100.0,
            equity_usd=-5.0,
            distance_bps=100.0,
            maintenance_ratio=0.01,
        )
        == 0.0
    )


def test_tiers_must_fit_together() -> None:
    for rows in (
        [],
        [(5.0, 0.01, 10.0)],
        [(0.0, 0.01, 10.0), (0.0, 0.02, 5.0)],
        [(0.0, 0.02, 10.0), (5.0, 0.01, 5.0)],
        [(0.0, 0.02, 10.0), (5.0, 1.5, 5.0)],
    ):
        with pytest.raises(ValueError, match="tier"):
            margin_tiers(rows)


def held_to(
    pool: MarginPool,
    leg: Leg,
    size: float,
    distance_bps: float,
    *,
    released: bool = False,
    impact: float = 0.0,
) -> bool:
    """Whether the pool holds until so far from the mark with the leg at another size, asking where it fails."""
    cut = max(abs(leg.size) - size, 0.0) * (1.0 if leg.kind is ContractKind.INVERSE else leg.mark_price)
    changed = resized(
        pool,
        leg,
        math.copysign(size, leg.size),
        cost_usd=cut * (leg.closing_fee + impact),
        margin_released=released,
    )
    found, mark = liquidation_of(changed, leg.market), leg.mark_price
    if found.kind is LiquidationKind.FAILED:
        return False
    reached = found.below if leg.size > 0.0 else found.above
    if reached is None:
        return True
    away = mark - reached if leg.size > 0.0 else reached - mark
    return away / mark * 1e4 >= distance_bps


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_largest_size_in_any_pool_holds_and_a_larger_one_does_not(rng: Random) -> None:
    pool = random_pool(rng, jumps=False, healthy=rng.random() < 0.8)
    leg = rng.choice(pool.legs)
    assume(not leg.maintenance_at_entry)
    distance_bps, released = rng.uniform(10.0, 6_000.0), rng.random() < 0.3
    found = size_max_in(pool, leg, distance_bps=distance_bps, margin_released=released)
    assert found is not None
    if found > 1e-6 * abs(leg.size):
        assert held_to(pool, leg, found * (1.0 - 1e-7), distance_bps * (1.0 - 1e-7), released=released)
    if released and found == abs(leg.size):
        return
    if found > 0.0:
        assert not held_to(pool, leg, found * 1.001, distance_bps * (1.0 + 1e-7), released=released)


def test_where_maintenance_jumps_the_size_found_holds_all_the_same() -> None:
    rng, cuts, jumped = Random(14), 0, 0
    for _ in range(300):
        pool = random_pool(rng, healthy=True)
        leg = rng.choice(pool.legs)
        distance_bps = rng.uniform(10.0, 6_000.0)
        a_unit = 1e-4 * (1.0 if leg.kind is ContractKind.INVERSE else leg.mark_price)
        found = size_max_in(pool, leg, distance_bps=distance_bps, exit_cost_usd=lambda cut, a=a_unit: a * cut)  # type: ignore[misc]
        assert found is not None
        if found > 1e-6 * abs(leg.size):
            cuts += found < abs(leg.size)
            jumped += len(leg.tiers) > 1 and all(tier.deduction == 0.0 for tier in leg.tiers)
            share = 1.0 - 1e-7
            assert held_to(pool, leg, found * share, distance_bps * share, impact=1e-4)
    assert cuts > 20
    assert jumped > 20


def test_a_size_below_a_jump_of_maintenance_is_found() -> None:
    """9 hold in the first tier (1 %), 10 and more do not in the second (50 %): it is not given up at the jump."""
    steps = (MarginTier(floor=0.0, maintenance_ratio=0.01), MarginTier(floor=10.0, maintenance_ratio=0.5))
    leg = Leg(market=BTCUSD, size=20.0, entry_price=100.0, mark_price=100.0, tiers=steps, unit=TierUnit.SIZE)
    pool = MarginPool(legs=(leg,), holdings=(Holding(asset="USDT", quantity=120.0, price_usd=1.0),))
    assert size_max_in(pool, leg, distance_bps=1_000.0) == pytest.approx(10.0, rel=1e-9)
    less = replace(pool, holdings=(Holding(asset="USDT", quantity=54.5, price_usd=1.0),))
    assert size_max_in(less, leg, distance_bps=1_000.0) == pytest.approx(54.5 / (10.0 + 0.9))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_inverse_closed_form(side: float) -> None:
    """N_max = (E + c) / ((1 + r + f)/L - 1/p) for a long, / (1/p - (1 - r - f)/U) for a short; E, c in coins."""
    p, equity, r, c, f = 50_000.0, 0.3, 0.01, 0.002, 0.0005
    coins = Holding(asset="BTC", quantity=equity, price_usd=p, market=BTCUSD)
    limit = p * (1.0 - side * 0.05)
    leg = Leg(
        market=BTCUSD, size=side * 20_000.0, entry_price=p, mark_price=p, kind=ContractKind.INVERSE, closing_fee=f,
        tiers=(MarginTier(floor=0.0, maintenance_ratio=r, deduction=c),),
    )  # fmt: skip
    form = (equity + c) / (side * (1.0 / limit - 1.0 / p) + (r + f) / limit)
    found = size_max_in(MarginPool(legs=(leg,), holdings=(coins,)), leg, distance_bps=500.0)
    assert found == pytest.approx(form, rel=1e-9)


def test_in_cross_the_size_leaves_room_for_the_other_legs() -> None:
    """300 less the other's loss of 100 and its 1 % of 1,000 leave 190 for 10 % and 1 % of 90 a coin of 100."""
    one_percent = margin_tiers([(0.0, 0.01, 100.0)])
    leg = Leg(market=BTCUSD, size=50.0, entry_price=100.0, mark_price=100.0, tiers=one_percent)
    other = Leg(market=ETHUSD, size=10.0, entry_price=110.0, mark_price=100.0, tiers=one_percent)
    money = Holding(asset="USDT", quantity=300.0, price_usd=1.0)
    pool = MarginPool(legs=(other, leg), holdings=(money,))
    assert size_max_in(pool, leg, distance_bps=1_000.0) == pytest.approx(190.0 / 10.9)
    assert margin_missing_in(pool, leg, distance_bps=1_000.0) == pytest.approx(50.0 * 10.9 - 190.0)


def test_in_a_pool_of_one_coin_the_room_that_other_contracts_leave_is_in_coins() -> None:
    """5 coins, of which a quarterly short that lost one and demands 0.02 leaves 3.98: N (1.01/95 - 1/100) = 3.98."""
    one_percent = (MarginTier(floor=0.0, maintenance_ratio=0.01),)
    leg = Leg(
        market=BTCUSD,
        size=100.0,
        entry_price=100.0,
        mark_price=100.0,
        tiers=one_percent,
        kind=ContractKind.INVERSE,
    )
    quarterly = replace(leg, market=ETHUSD, size=-220.0, entry_price=220.0 / 3.0, mark_price=110.0)
    coins = Holding(asset="BTC", quantity=5.0, price_usd=100.0, market=BTCUSD)
    pool = MarginPool(legs=(leg, quarterly), holdings=(coins,), in_coin=True)
    expected = 3.98 / (1.01 / 95.0 - 0.01)
    found = size_max_in(pool, leg, distance_bps=500.0)
    assert found == pytest.approx(expected)
    assert liquidation_of(resized(pool, leg, expected), BTCUSD).below == pytest.approx(95.0)


def test_cutting_what_was_won_keeps_it_and_what_was_lost_stays_lost() -> None:
    one_percent = margin_tiers([(0.0, 0.01, 100.0)])
    money = Holding(asset="USDT", quantity=200.0, price_usd=1.0)
    for entry in (95.0, 103.0):
        leg = Leg(market=BTCUSD, size=30.0, entry_price=entry, mark_price=100.0, tiers=one_percent)
        pool = MarginPool(legs=(leg,), holdings=(money,))
        equity = 200.0 + 30.0 * (100.0 - entry)
        assert size_max_in(pool, leg, distance_bps=1_000.0) == pytest.approx(equity / 10.9)


def test_an_isolated_position_that_gives_its_margin_back_as_it_shrinks_gains_no_distance() -> None:
    one_percent = margin_tiers([(0.0, 0.01, 100.0)])
    leg = Leg(market=BTCUSD, size=30.0, entry_price=100.0, mark_price=100.0, tiers=one_percent)
    pool = MarginPool(legs=(leg,), holdings=(Holding(asset="USDT", quantity=150.0, price_usd=1.0),))
    assert size_max_in(pool, leg, distance_bps=500.0, margin_released=True) == 0.0
    assert size_max_in(pool, leg, distance_bps=500.0) == pytest.approx(150.0 / (5.0 + 0.95))


def test_what_lacks_tiers_or_numbers_has_no_size() -> None:
    leg = Leg(market=BTCUSD, size=30.0, entry_price=100.0, mark_price=100.0, tiers=())
    pool = MarginPool(legs=(leg,), holdings=())
    assert size_max_in(pool, leg, distance_bps=500.0) is None
    assert margin_missing_in(pool, leg, distance_bps=500.0) is None
    for wrong in ({"size": 0.0}, {"entry_price": math.nan}, {"mark_price": -1.0}):
        odd = replace(leg, **{"tiers": BTC, "size": 1.0, **wrong})  # type: ignore[arg-type]
        found = size_max_in(replace(pool, legs=(odd,)), odd, distance_bps=500.0)
        assert found == (0.0 if wrong == {"size": 0.0} else None)
    for distance_bps in (0.0, -5.0, math.nan, 10_001.0):
        known = replace(leg, tiers=BTC)
        assert size_max_in(replace(pool, legs=(known,)), known, distance_bps=distance_bps) is None


def test_a_flat_leg_may_grow_as_far_as_the_pool_holds() -> None:
    flat = Leg(
        market=BTCUSD, size=0.0, entry_price=100.0, mark_price=100.0, tiers=margin_tiers([(0.0, 0.01, 100.0)])
    )
    pool = MarginPool(legs=(flat,), holdings=(Holding(asset="USDT", quantity=109.0, price_usd=1.0),))
    assert size_max_in(pool, flat, distance_bps=1_000.0) == pytest.approx(10.0)


def test_a_position_already_under_water_at_entry_is_priced_beyond_it() -> None:
    """Margin of -20 behind a long from 100: it comes up again at 120/0.99, a short of the same below at 80/1.01."""
    for side, expected in ((1.0, 120.0 / 0.99), (-1.0, 80.0 / 1.01)):
        solved = liquidation_price(
            side_size_signed=side, entry_price=100.0, margin_usd=-20.0, maintenance_ratio=0.01
        )
        assert solved == pytest.approx(expected)
    assert (
        liquidation_price(side_size_signed=-1.0, entry_price=100.0, margin_usd=-200.0, maintenance_ratio=0.01)
        == 0.0
    )
