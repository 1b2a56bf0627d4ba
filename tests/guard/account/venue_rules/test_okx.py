"""OKX: its closed form, what it answered to others, and how its liquidations begin."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from guard.account.venue_rules import rules_of
from guard.account.venue_rules.partial import StepCause, first_step
from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.leverage.solver import liquidation_of
from guard.margin_terms import ContractKind, MarginTier, TierUnit
from guard.units import MarketId

BTC = MarketId("okx:BTC/USDT:USDT")
FEE = rules_of("okx").closing_fee
TIERS = (
    MarginTier(floor=0.0, maintenance_ratio=0.004),
    MarginTier(floor=500.0, maintenance_ratio=0.005),
    MarginTier(floor=2_000.0, maintenance_ratio=0.01),
    MarginTier(floor=5_000.0, maintenance_ratio=0.02),
)
"""Shaped like OKX's: floors in coins, and nothing deducted."""

SIDE = st.sampled_from([1.0, -1.0])
SIZE = st.floats(0.001, 20_000.0)
PRICE = st.floats(0.01, 200_000.0)
MARGIN = st.floats(0.03, 1.5)
"""As a share of value at entry."""


def leg(
    size: float,
    entry: float,
    *,
    ratio: float | None = None,
    mark: float | None = None,
    kind: ContractKind = ContractKind.LINEAR,
    fee: float = FEE,
) -> Leg:
    return Leg(
        market=BTC,
        size=size,
        entry_price=entry,
        mark_price=entry if mark is None else mark,
        tiers=TIERS if ratio is None else (MarginTier(floor=0.0, maintenance_ratio=ratio),),
        kind=kind,
        unit=TierUnit.SIZE,
        closing_fee=fee,
    )


def pool(*legs: Leg, usdt: float) -> MarginPool:
    return MarginPool(legs=legs, holdings=(Holding(asset="USDT", quantity=usdt, price_usd=1.0),))


@given(SIDE, SIZE, PRICE, MARGIN)
def test_linear_price_is_the_closed_form_of_the_margin_ratio(
    side: float, size: float, entry: float, share: float
) -> None:
    """(margin + q (p - e)) / (q p (mmr + fee)) = 1, the rate being that of the tier the whole size is in."""
    margin = share * size * entry
    x = FEE + next(tier.maintenance_ratio for tier in reversed(TIERS) if tier.floor <= size)
    expected = (size * entry - side * margin) / (size * (1.0 - side * x))
    found = liquidation_of(pool(leg(side * size, entry), usdt=margin), BTC)
    if expected > 1e-9 * entry:
        assert found.kind is LiquidationKind.PRICE
        assert found.price == pytest.approx(expected, rel=1e-9, abs=1e-12 * entry)
    elif expected < -1e-9 * entry:
        assert found.kind is LiquidationKind.CANNOT


@given(SIDE, st.floats(10.0, 1e8), PRICE, MARGIN)
def test_inverse_price_is_the_closed_form_in_coins(
    side: float, usd: float, entry: float, share: float
) -> None:
    """(margin + N s (1/e - 1/p)) / (N / p (mmr + fee)) = 1, all of it coins."""
    coins = share * usd / entry
    x = FEE + next(tier.maintenance_ratio for tier in reversed(TIERS) if tier.floor <= usd)
    holding = Holding(asset="BTC", quantity=coins, price_usd=entry, market=BTC)
    found = liquidation_of(
        MarginPool(legs=(leg(side * usd, entry, kind=ContractKind.INVERSE),), holdings=(holding,)), BTC
    )
    # A short of fewer coins than stand behind it can pay at any price.
    kept = coins + side * usd / entry
    assume(abs(kept) > 1e-6 * coins)
    if side * kept > 0.0:
        assert found.price == pytest.approx(usd * (side + x) / kept, rel=1e-9)
    else:
        assert found.kind is LiquidationKind.CANNOT


@given(SIDE, st.floats(0.1, 100.0), st.floats(0.0, 1.0), st.floats(0.05, 0.5))
def test_cross_price_leaves_all_else_where_it_is(
    side: float, size: float, other: float, share: float
) -> None:
    """Another market's maintenance and fee are only owed besides, its profit only equity."""
    eth = Leg(
        market=MarketId("okx:ETH/USDT:USDT"),
        size=-side * 20.0 * size * other,
        entry_price=3_000.0,
        mark_price=3_030.0,
        tiers=TIERS,
        unit=TierUnit.SIZE,
        closing_fee=FEE,
    )
    wallet = share * size * 60_000.0 + 20.0 * size * 300.0
    free = wallet + eth.size * 30.0 - abs(eth.size) * 3_030.0 * (FEE + _rate(eth.size))
    x = FEE + _rate(size)
    expected = (size * 60_000.0 - side * free) / (size * (1.0 - side * x))
    found = liquidation_of(pool(leg(side * size, 60_000.0), eth, usdt=wallet), BTC)
    assert found.price is None if expected < 0.0 else found.price == pytest.approx(expected, rel=1e-9)


def _rate(size: float) -> float:
    return next(tier.maintenance_ratio for tier in reversed(TIERS) if tier.floor <= abs(size))


@pytest.mark.parametrize(
    ("size", "entry", "margin", "ratio", "tick", "told"),
    [
        (-0.1, 1333.0, 8.33125, 0.004, 0.01, 1409.9576455948234),
        (2.7, 73.18, 65.862, 0.005, 0.01, 49.06647729177141),
        (-10.0, 0.736, 2.4533333333333333, 0.0065, 0.0001, 0.9744117510758028),
        (0.0165, 60346.5, 995.5680960124100264, 0.004, 0.1, 9.180497851849454),
        (0.003, 64477.5, 64.4775, 0.0065, 0.1, 43288.116112789525),
        (0.0003, 59029.5, 5.9826779385178201, 0.004, 0.1, 39264.027880402406),
        (1990.0, 0.10045, 66.6318333333333333, 0.005, 0.00005, 0.0673870202781967),
    ],
)
def test_isolated_prices_as_okx_answered_others(
    size: float, entry: float, margin: float, ratio: float, tick: float, told: float
) -> None:
    """Responses in public code that cannot be addressed, hence no fixtures: OKX names one tick nearer.

    DOGE's, the last, was five of what is its tick today.
    """
    found = liquidation_of(pool(leg(size, entry, ratio=ratio), usdt=margin), BTC)
    assert found.price is not None
    assert found.price + (tick if size > 0.0 else -tick) == pytest.approx(told, rel=1e-9)


@pytest.mark.parametrize(
    ("size", "mark", "ratio", "margin_ratio", "told"),
    [
        (-0.0018, 66838.5, 0.004, 214.10086239723972, 130646.40339573975),
        (0.3, 101.19, 0.0065, 139.99481419389195, 2.041765621390252),
    ],
)
def test_cross_prices_as_okx_answered_others(
    size: float, mark: float, ratio: float, margin_ratio: float, told: float
) -> None:
    """Equity is what the answered margin ratio says; of cross positions OKX names the price itself."""
    equity = margin_ratio * abs(size) * mark * (ratio + FEE)
    found = liquidation_of(pool(leg(size, mark, ratio=ratio), usdt=equity), BTC)
    assert found.price == pytest.approx(told, rel=1e-9)


def test_multi_currency_price_as_okx_answered_others() -> None:
    """There equity is USD and what is lost USDT: what is left of the difference is that the two differ."""
    equity = 115.65585107929144 * 10_000.0 * 0.08191 * (0.01 + FEE)
    found = liquidation_of(pool(leg(-10_000.0, 0.08191, ratio=0.01), usdt=equity), BTC)
    assert found.price == pytest.approx(0.1794956615280094, rel=1e-6)


def test_cross_price_of_an_inverse_swap_as_okx_answered_others() -> None:
    """Ten dollars of ETH with coins behind them: equity is coins."""
    equity = 973.3428546449297 * 10.0 / 1340.22 * (0.004 + FEE)
    account = MarginPool(
        legs=(leg(10.0, 1340.22, ratio=0.004, kind=ContractKind.INVERSE),),
        holdings=(Holding(asset="ETH", quantity=equity, price_usd=1340.22, market=BTC),),
    )
    assert liquidation_of(account, BTC).price == pytest.approx(250.2305332057643, rel=1e-9)


def test_coins_behind_a_short_of_the_same_coin_leave_no_price() -> None:
    """Multi-currency: six coins, discounted by 2 %, rise by more than five lose."""
    account = MarginPool(
        legs=(leg(-5.0, 60_000.0),),
        holdings=(Holding(asset="BTC", quantity=6.0, price_usd=60_000.0, haircut=0.02, market=BTC),),
    )
    assert liquidation_of(account, BTC).kind is LiquidationKind.CANNOT


@pytest.mark.parametrize(
    ("size", "left", "cause"),
    [
        (400.0, 0.0, StepCause.WHOLE),
        (-1_999.0, 0.0, StepCause.WHOLE),
        (3_000.0, 500.0, StepCause.TIERS),
        (-4_000.0, -500.0, StepCause.TIERS),
        (6_000.0, 2_000.0, StepCause.TIERS),
    ],
)
def test_liquidation_begins_two_tiers_down(size: float, left: float, cause: StepCause) -> None:
    """From the third tier on; what is in the first two is closed whole. Whatever the price: tiers are of size."""
    for price in (None, 1.0, 1e6):
        step = first_step(rules_of("okx"), leg(size, 60_000.0), price)
        assert step.cause is cause
        assert step.size_left == pytest.approx(left)
        assert step.share == pytest.approx(1.0 - left / size)


@pytest.mark.parametrize("venue", ["okx", "myokx", "okxus"])
def test_okx_is_one_venue_under_three_names(venue: str) -> None:
    """Its European and American houses have rules of the same words."""
    rules, okx = rules_of(venue), rules_of("okx")
    assert rules.venue == venue
    assert (rules.closing_fee, rules.partial, rules.sources) == (okx.closing_fee, okx.partial, okx.sources)
    assert rules.closing_fee == 0.0005
