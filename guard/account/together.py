"""Positions that fail together: how far each may move, and what share of all of them would hold. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import expm1, log1p

from guard.account.assessment import Tried
from guard.account.stress import stress_distance
from guard.events import Position
from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.margin_terms import ContractKind
from guard.units import BPS_PER_UNIT, MarketId

_STEPS = 14
"""Of a search for a share: to less than a ten-thousandth, and never above what holds."""


def nearest_together(position: Position, tried: Iterable[Tried]) -> tuple[float, Tried] | None:
    """How far a position's market moves against it until its pool fails with others; bps of its mark, and the way.

    Only directions that move its market against it count: in the others it is not what has to be smaller. Nor do those
    in which some markets fall while others rise: they are told, but no hedged account is cut because of them.
    """
    found: tuple[float, Tried] | None = None
    for each in tried:
        move = each.direction.markets.get(position.market, 0.0)
        t = each.nearer.t
        if len({one > 0.0 for one in each.direction.markets.values()}) > 1:
            continue
        if t is None or move * position.size >= 0.0:
            continue
        bps = abs(expm1(move * t)) * BPS_PER_UNIT
        if found is None or bps < found[0]:
            found = bps, each
    return found


def share_that_holds(pool: MarginPool, tried: Tried, position: Position, distance_bps: float) -> float:
    """The largest share of all legs with which a pool holds until ``position``'s market moved so far against it.

    Within 0..1; each leg is cut by the same share, at its mark, without cost. 0 where none holds.
    """
    move = tried.direction.markets[position.market]
    share_of_price = (
        min(distance_bps / BPS_PER_UNIT, 1.0 - 1e-9) if move < 0.0 else distance_bps / BPS_PER_UNIT
    )
    wanted = (log1p(-share_of_price) if move < 0.0 else log1p(share_of_price)) / move
    share = tried.shares.get((pool, wanted))
    if share is None:
        share = tried.shares[pool, wanted] = _share_that_holds(pool, tried, wanted)
    return share


def _share_that_holds(pool: MarginPool, tried: Tried, wanted: float) -> float:
    """The same for a wanted time along the direction; some milliseconds with ten positions."""

    def holds(share: float) -> bool:
        stress = stress_distance(scaled(pool, share), tried.direction, hedge_credit=tried.hedge_credit)
        return stress.kind is LiquidationKind.CANNOT or (stress.t is not None and stress.t >= wanted)

    if holds(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def scaled(pool: MarginPool, share: float) -> MarginPool:
    """The pool with every leg cut to a share at its mark; what that realises stays in it."""
    legs = tuple(replace(leg, size=leg.size * share) for leg in pool.legs)
    realised = tuple(_realised(leg, 1.0 - share) for leg in pool.legs)
    return replace(pool, legs=legs, holdings=(*pool.holdings, *realised))


def without(pool: MarginPool, gone: Callable[[Leg], bool]) -> MarginPool:
    """The pool with some legs closed at their mark, what that realises in it: as auto-deleveraging leaves it."""
    kept = tuple(leg for leg in pool.legs if not gone(leg))
    realised = tuple(_realised(leg, 1.0) for leg in pool.legs if gone(leg))
    return replace(pool, legs=kept, holdings=(*pool.holdings, *realised))


def scaled_part(pool: MarginPool, share: float, cut: Callable[[Leg], bool]) -> MarginPool:
    """The pool with some legs cut to a share at their mark, each for its closing fee."""
    legs = tuple(replace(leg, size=leg.size * share) if cut(leg) else leg for leg in pool.legs)
    realised = tuple(_realised(leg, 1.0 - share) for leg in pool.legs if cut(leg))
    fees_usd = (1.0 - share) * sum(leg.closing_fee * value_usd(leg) for leg in pool.legs if cut(leg))
    paid = Holding(asset="fees", quantity=-fees_usd, price_usd=1.0)
    return replace(pool, legs=legs, holdings=(*pool.holdings, *realised, paid))


def value_usd(leg: Leg) -> float:
    """What a leg is worth at its mark, USD, >= 0."""
    return abs(leg.size) * (1.0 if leg.kind is ContractKind.INVERSE else leg.mark_price)


def profit_usd(leg: Leg) -> float:
    """What a leg has won at its mark, USD."""
    held = _realised(leg, 1.0)
    return held.quantity * held.price_usd


def _realised(leg: Leg, share: float) -> Holding:
    closed = leg.size * share
    if leg.kind is ContractKind.INVERSE:
        coins = closed * (1.0 / leg.entry_price - 1.0 / leg.mark_price)
        return Holding(asset="realised", quantity=coins, price_usd=leg.mark_price, market=leg.market)
    return Holding(asset="realised", quantity=closed * (leg.mark_price - leg.entry_price), price_usd=1.0)


def exposed_to(pool: MarginPool, market: MarketId) -> float:
    """What the pool gains, USD, if the market rises by 1, maintenance apart; of a pool in one coin only the sign of it.

    >>> btc = MarketId("x:BTC")
    >>> coins = Holding(asset="BTC", quantity=2.0, price_usd=100.0, market=btc)
    >>> short = Leg(market=btc, size=-0.5, entry_price=90.0, mark_price=100.0, tiers=())
    >>> exposed_to(MarginPool(legs=(short,), holdings=(coins,)), btc)
    1.5
    """
    legs = [leg for leg in pool.legs if leg.market == market]
    if pool.in_coin:
        return sum(leg.size for leg in legs)
    gains = [leg.size / (leg.entry_price if leg.kind is ContractKind.INVERSE else 1.0) for leg in legs]
    tied = [
        held.value_usd / held.price_usd
        for held in pool.holdings
        if held.market == market and held.price_usd != 0.0
    ]
    return sum(gains) + sum(tied)
