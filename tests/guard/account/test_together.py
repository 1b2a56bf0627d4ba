"""Several positions of one pool: how far all may move, and the share of all that would hold."""

from __future__ import annotations

from math import expm1

import pytest

from guard.account.assessment import Tried
from guard.account.stress import Direction, stress_distance
from guard.account.together import nearest_together, scaled, share_that_holds
from guard.events import Position
from guard.leverage.margin_pool import Holding, Leg, MarginPool
from guard.leverage.solver import state_at
from guard.margin_terms import ContractKind, MarginTier
from guard.units import MarketId

BTC, ETH, COIN = MarketId("v:BTC/USDT:USDT"), MarketId("v:ETH/USDT:USDT"), MarketId("v:BTC/USD:BTC")
TIERS = (
    MarginTier(floor=0.0, maintenance_ratio=0.01),
    MarginTier(floor=150.0, maintenance_ratio=0.02, deduction=1.5),
)


def leg(market: MarketId, size: float, **fields: object) -> Leg:
    told: dict[str, object] = {"entry_price": 90.0, "mark_price": 100.0, "tiers": TIERS, **fields}
    return Leg(market=market, size=size, **told)  # type: ignore[arg-type]


def pool(*legs: Leg, usd: float = 30.0) -> MarginPool:
    return MarginPool(legs=legs, holdings=(Holding(asset="USDT", quantity=usd, price_usd=1.0),))


def tried(pool_: MarginPool, name: str = "way", **moves: float) -> Tried:
    markets = {BTC: moves.get("btc", 0.0), ETH: moves.get("eth", 0.0)}
    direction = Direction(name=name, markets={market: move for market, move in markets.items() if move})
    stress = stress_distance(pool_, direction)
    return Tried(direction, stress, stress, 0.5)


LONG_BTC, LONG_ETH = Position(market=BTC, size=2.0), Position(market=ETH, size=1.0)


def test_a_market_that_moves_further_is_further_away_when_all_fail_together() -> None:
    both = pool(leg(BTC, 2.0), leg(ETH, 1.0))
    way = tried(both, btc=-1.0, eth=-2.0)
    t = way.venue.t
    assert t is not None

    of_btc, of_eth = nearest_together(LONG_BTC, [way]), nearest_together(LONG_ETH, [way])
    assert of_btc is not None
    assert of_eth is not None
    assert of_btc[0] == pytest.approx(-expm1(-t) * 1e4)
    assert of_eth[0] == pytest.approx(-expm1(-2.0 * t) * 1e4)


def test_moves_in_favour_of_a_position_and_mixed_ones_do_not_count() -> None:
    both = pool(leg(BTC, 2.0), leg(ETH, -1.0))
    rise, mixed = tried(both, btc=1.0, eth=1.0), tried(both, btc=-1.0, eth=1.0)
    assert mixed.venue.t is not None
    assert nearest_together(LONG_BTC, [rise, mixed]) is None
    fall = tried(both, btc=-1.0, eth=-1.0)
    found = nearest_together(LONG_BTC, [rise, mixed, fall])
    assert found is not None
    assert found[1] is fall
    assert found[0] == pytest.approx(fall.venue.distance_bps)


@pytest.mark.parametrize("distance_bps", [600.0, 1_500.0, 4_000.0, 9_000.0])
def test_the_share_holds_until_the_distance_and_more_of_it_does_not(distance_bps: float) -> None:
    both = pool(leg(BTC, 2.0), leg(ETH, 1.0), usd=15.0)
    way = tried(both, btc=-1.0, eth=-1.5)
    share = share_that_holds(both, way, LONG_BTC, distance_bps)

    assert 0.0 < share <= 1.0
    reached = stress_distance(scaled(both, share), way.direction).distance_bps
    if share < 1.0:
        assert reached == pytest.approx(distance_bps, rel=1e-3)
        more = stress_distance(scaled(both, min(share * 1.01, 1.0)), way.direction).distance_bps
        assert more is not None
        assert more < distance_bps
    else:
        assert reached is None or reached >= distance_bps


def test_nothing_is_lost_or_won_by_cutting_at_the_mark() -> None:
    coin = leg(COIN, 200.0, kind=ContractKind.INVERSE)
    held = pool(leg(BTC, 2.0), coin)
    before, after = state_at(held), state_at(scaled(held, 0.25))
    assert before is not None
    assert after is not None
    assert after.equity_usd == pytest.approx(before.equity_usd)
    assert after.maintenance_usd < before.maintenance_usd


def test_no_share_of_a_pool_without_money_holds() -> None:
    broke = pool(leg(BTC, 2.0), leg(ETH, 1.0), usd=-100.0)
    way = Tried(
        Direction(name="way", markets={BTC: -1.0}),
        stress_distance(broke, Direction(name="way")),
        stress_distance(broke, Direction(name="way")),
        0.5,
    )
    assert share_that_holds(broke, way, LONG_BTC, 500.0) == 0.0
