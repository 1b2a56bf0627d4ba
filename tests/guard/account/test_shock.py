"""What a shock leaves of a pool, by hand; and the size that keeps a distance, by the solver."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.account.distance import Distance
from guard.account.pools import Pool
from guard.account.safe_size import bps_of, size_that_keeps, way_of
from guard.account.shock import Shock, share_that_survives, shocked
from guard.account.stress import Direction
from guard.events import Position
from guard.leverage.liquidation_price import liquidation_distance_bps
from guard.leverage.margin_pool import Holding, Leg, MarginPool
from guard.leverage.solver import liquidation_of
from guard.leverage.tiers import margin_tiers
from guard.units import MarketId

BTC, ETH = MarketId("v:BTC/USDT:USDT"), MarketId("v:ETH/USDT:USDT")
TIERS = margin_tiers([(0, 0.01, 100)])
DOWN = Direction(name="correlation one", markets={BTC: -1.0, ETH: -2.0}, assets={"SOL": -1.0})
SHOCK = Shock(direction=DOWN, way=0.1, reaches={}, haircuts={"BTC": 0.2, "SOL": 0.1}, hedge_credit=0.5)


def leg(market: MarketId, size: float, entry: float = 100.0) -> Leg:
    return Leg(market=market, size=size, entry_price=entry, mark_price=100.0, tiers=TIERS)


def money(usd: float) -> Holding:
    return Holding(asset="USDT", quantity=usd, price_usd=1.0)


def test_a_shock_by_hand() -> None:
    coins = Holding(asset="BTC", quantity=5.0, price_usd=100.0, haircut=0.05, market=BTC)
    free = Holding(asset="SOL", quantity=10.0, price_usd=10.0)
    pool = MarginPool(legs=(leg(BTC, 10.0), leg(ETH, -2.0)), holdings=(money(1_000.0), coins, free))
    after = shocked(pool, SHOCK)
    assert after is not None

    btc, eth = 100.0 * exp(-0.1), 100.0 * exp(-0.2)
    lost, won = 10.0 * (100.0 - btc), 2.0 * (100.0 - eth)
    collateral = 1_000.0 + 5.0 * btc * 0.8 + 10.0 * 10.0 * exp(-0.1) * 0.9
    assert after.equity_usd == pytest.approx(collateral - lost + 0.5 * won)
    assert after.demanded_usd == pytest.approx(0.01 * (10.0 * btc + 2.0 * eth))
    assert after.collateral_lost_usd == pytest.approx(1_000.0 + 475.0 + 100.0 - collateral)
    assert after.positions_lost_usd == pytest.approx(lost - 0.5 * won)
    assert after.missing_usd(1.5) == 0.0


def test_a_market_goes_as_far_as_its_reach_if_that_is_more() -> None:
    far = replace(SHOCK, reaches={BTC: 0.3, ETH: 0.1})
    assert far.move(BTC) == -0.3
    assert far.move(ETH) == -0.2


@settings(max_examples=60, deadline=None)
@given(
    usd=st.floats(50.0, 3_000.0),
    more=st.floats(0.0, 2_000.0),
    size=st.floats(1.0, 200.0),
    coins=st.floats(0.0, 30.0),
)
def test_more_collateral_survives_with_no_less(usd: float, more: float, size: float, coins: float) -> None:
    held = Holding(asset="BTC", quantity=coins, price_usd=100.0, haircut=0.05, market=BTC)
    less, rich = (
        share_that_survives(MarginPool(legs=(leg(BTC, size),), holdings=(money(each), held)), SHOCK, 1.5)
        for each in (usd, usd + more)
    )
    assert rich >= less - 1e-9
    if 0.0 < less < 1.0:
        cut = MarginPool(legs=(leg(BTC, size * less),), holdings=(money(usd), held))
        after = shocked(cut, SHOCK)
        assert after is not None
        assert after.ratio >= 1.5 - 1e-6


@settings(max_examples=60, deadline=None)
@given(size=st.floats(1.0, 90.0), short=st.booleans(), wanted=st.floats(100.0, 4_000.0))
def test_the_size_that_keeps_a_distance_keeps_it(size: float, short: bool, wanted: float) -> None:
    signed = -size if short else size
    pool = MarginPool(legs=(leg(BTC, signed),), holdings=(money(1_000.0),))
    held = Position(market=BTC, size=signed, entry_price=100.0)
    whole = Pool(name="cross", positions=(held,), venue=pool, own=pool, terms={})
    found = size_that_keeps(held, whole, Distance(bps=100.0, price=99.0, name="ours"), 100.0, wanted)
    assert found is not None
    assert 0.0 <= found <= size
    if found > 0.0:
        left = replace(pool, legs=(leg(BTC, -found if short else found),))
        price = liquidation_of(left, BTC).price
        assert price is None or liquidation_distance_bps(
            side_size_signed=signed, mark_price=100.0, liquidation_price=price
        ) >= wanted * (1.0 - 1e-6)


def test_where_only_a_price_is_told_it_is_the_share_of_the_distance() -> None:
    held = Position(market=BTC, size=-8.0)
    pool = MarginPool(legs=(), holdings=())
    told = Pool(name="isolated", positions=(held,), venue=pool, own=pool, terms={}, missing=("margin",))
    distance = Distance(bps=250.0, price=102.5, name="liquidation price", is_told=True)

    assert size_that_keeps(held, told, distance, 100.0, 1_000.0) == pytest.approx(2.0)
    assert size_that_keeps(held, told, distance, 100.0, 100.0) == pytest.approx(8.0)


@given(st.floats(0.0, 9_999.0), st.booleans())
def test_ways_and_distances_are_one_and_the_same(bps: float, down: bool) -> None:
    assert bps_of(way_of(bps, down=down), down=down) == pytest.approx(bps, rel=1e-9, abs=1e-9)
