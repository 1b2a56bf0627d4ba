"""Hyperliquid: its published closed form, what it answered to others, and how its liquidations begin."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from guard.account.venue_rules import rules_of
from guard.account.venue_rules.partial import StepCause, first_step
from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.leverage.solver import liquidation_of
from guard.margin_terms import MarginTier
from guard.units import MarketId

COIN = MarketId("hyperliquid:BTC/USDC:USDC")
OTHER = MarketId("hyperliquid:ETH/USDC:USDC")
TIERS = (
    MarginTier(floor=0.0, maintenance_ratio=1 / 80),
    MarginTier(floor=150e6, maintenance_ratio=1 / 40, deduction=150e6 / 80),
)
"""BTC on mainnet: 40x, 20x from 150 million USDC on; maintenance is half of the initial margin."""


def leg(
    size: float,
    entry: float,
    tiers: tuple[MarginTier, ...] = TIERS,
    *,
    market: MarketId = COIN,
    mark: float | None = None,
) -> Leg:
    return Leg(
        market=market,
        size=size,
        entry_price=entry,
        mark_price=entry if mark is None else mark,
        tiers=tiers,
        closing_fee=rules_of("hyperliquid").closing_fee,
    )


def at(leverage_max: float) -> tuple[MarginTier, ...]:
    return (MarginTier(floor=0.0, maintenance_ratio=0.5 / leverage_max),)


def pool(*legs: Leg, usdc: float) -> MarginPool:
    return MarginPool(legs=legs, holdings=(Holding(asset="USDC", quantity=usdc, price_usd=1.0),))


def published(price: float, side: float, margin_available: float, size: float, rate: float) -> float:
    """As the page on liquidations writes it."""
    return price - side * margin_available / size / (1.0 - rate * side)


SIDE = st.sampled_from([1.0, -1.0])
SIZE = st.floats(0.001, 20_000.0)
PRICE = st.floats(0.01, 200_000.0)
MARGIN = st.floats(0.03, 1.5)
"""As a share of value at entry."""


@given(SIDE, SIZE, PRICE, MARGIN, st.sampled_from([3.0, 5.0, 10.0, 25.0, 40.0]))
def test_isolated_price_is_the_published_one(
    side: float, size: float, entry: float, share: float, leverage: float
) -> None:
    """``margin_available`` of an isolated position is its margin less maintenance."""
    rate = 0.5 / leverage
    margin = (share + rate) * size * entry
    expected = published(entry, side, margin - rate * size * entry, size, rate)
    found = liquidation_of(pool(leg(side * size, entry, at(leverage)), usdc=margin), COIN)
    if expected > 1e-9 * entry:
        assert found.price == pytest.approx(expected, rel=1e-9, abs=1e-12 * entry)
    elif expected < -1e-9 * entry:
        assert found.kind is LiquidationKind.CANNOT


@given(SIDE, st.floats(500.0, 10_000.0), st.floats(20_000.0, 100_000.0), MARGIN)
def test_price_over_tiers_is_the_published_one_of_the_tier_it_lies_in(
    side: float, size: float, entry: float, share: float
) -> None:
    """The page demands the rate, and with it the deduction, of the value at the price itself."""
    margin = share * size * entry
    found = liquidation_of(pool(leg(side * size, entry), usdc=margin), COIN)
    low, high = (
        published(entry, side, margin - tier.maintenance_ratio * size * entry + tier.deduction, size, rate)
        for tier, rate in ((tier, tier.maintenance_ratio) for tier in TIERS)
    )
    expected = low if low * size < 150e6 else high
    assume(expected > 1e-6 * entry)
    if max(tier.maintenance_ratio * size * entry - tier.deduction for tier in TIERS) >= margin:
        assert found.kind is LiquidationKind.FAILED
    else:
        assert found.price == pytest.approx(expected, rel=1e-9)


@given(SIDE, st.floats(0.1, 50.0), st.floats(-500.0, 500.0), st.floats(0.05, 0.5))
def test_cross_price_is_the_published_one(side: float, size: float, other: float, share: float) -> None:
    """``margin_available`` in cross margin is the account's value less the maintenance of all its positions."""
    wallet = share * size * 60_000.0 + 600.0 * abs(other)
    account_value = wallet + side * size * 500.0 + other * 30.0
    maintenance = size * 60_500.0 / 80.0 + abs(other) * 3_030.0 / 50.0
    expected = published(60_500.0, side, account_value - maintenance, size, 1 / 80)
    found = liquidation_of(
        pool(
            leg(side * size, 60_000.0, mark=60_500.0),
            leg(other, 3_000.0, at(25.0), market=OTHER, mark=3_030.0),
            usdc=wallet,
        ),
        COIN,
    )
    assert found.price is None if expected <= 0.0 else found.price == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("size", "raw_usd", "leverage_max", "told"),
    [
        (2036.0, -1344.853853, 10.0, 0.69530237),
        (-0.0003, 29.840434, 40.0, 98240.1119341564),
        (25.77, -4179.840643, 5.0, 180.2199216574),
    ],
    ids=["ONDO", "BTC", "builder's SPCX"],
)
def test_isolated_prices_as_hyperliquid_answered_others(
    size: float, raw_usd: float, leverage_max: float, told: float
) -> None:
    """Responses in public code that cannot be addressed, hence no fixtures; the last of a builder's perp dex."""
    # What a position is worth is its margin account, which owes for what was bought, and the position itself.
    mark = 1.05 * told if size > 0.0 else 0.95 * told
    account = pool(leg(size, mark, at(leverage_max)), usdc=raw_usd + size * mark)
    assert liquidation_of(account, COIN).price == pytest.approx(told, rel=1e-7)


@pytest.mark.parametrize(
    ("size", "value", "leverage_max", "account_value", "maintenance", "told"),
    [
        (0.3839, 1201.64539, 50.0, 265.547215, 90.221703, 2668.7911259),
        (310.0, 3128.21, 20.0, 265.547215, 90.221703, 9.51093214),
        (0.00496, 554.70656, 40.0, 462.860761, 6.933832, 18751.694365047),
        (11_131.0, 248.210169, 3.0, 85.071669, 41.368361, 0.0175874764),
        (-4.0, 0.00688, 10.0, 1.020216, 0.036136, 0.2360247619),
        (-1.95, 50.26905, 3.0, 49.589238, 8.378175, 43.89375297),
        (-1.96, 41.356, 3.0, 58.747197, 6.892666, 43.7769086),
        (0.00416, 371.9664, 40.0, 17.013125, 4.64958, 86405.373661149),
        (-103_774.5, 2527.94682, 50.0, 3155203.7660619998, 43452.918775, 29.713170189),
    ],
    ids=["ETH", "TIA", "BTC", "RESOLV", "PUMP", "HYPE", "HYPE later", "BTC at 24x", "SAGA on testnet"],
)
def test_cross_prices_as_hyperliquid_answered_others(
    size: float, value: float, leverage_max: float, account_value: float, maintenance: float, told: float
) -> None:
    """Whole accounts: their value, and ``crossMaintenanceMarginUsed`` of which the position's own is a part."""
    mark = value / abs(size)
    others = maintenance - 0.5 / leverage_max * value
    account = MarginPool(
        legs=(leg(size, mark, at(leverage_max)),),
        holdings=(Holding(asset="USDC", quantity=account_value, price_usd=1.0),),
        other_maintenance_usd=others,
    )
    assert liquidation_of(account, COIN).price == pytest.approx(told, rel=1e-6)


@pytest.mark.parametrize("size", [2.0, -2.0])
def test_liquidation_begins_with_a_fifth_of_what_is_large(size: float) -> None:
    """And takes the rest if it is not enough within 30 s."""
    step = first_step(rules_of("hyperliquid"), leg(size, 60_000.0))
    assert (step.share, step.cause, step.whole_within_s) == (0.2, StepCause.SHARE, 30.0)
    assert step.size_left == pytest.approx(0.8 * size)


def test_liquidation_closes_the_whole_of_what_is_small() -> None:
    """100,000 USDC at the price at which it happens, and not at mark."""
    rules = rules_of("hyperliquid")
    assert first_step(rules, leg(1.5, 60_000.0)).cause is StepCause.WHOLE
    assert first_step(rules, leg(2.0, 60_000.0), 49_000.0).cause is StepCause.WHOLE
    assert first_step(rules, leg(-1.5, 60_000.0), 70_000.0).cause is StepCause.SHARE
