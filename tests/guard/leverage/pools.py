"""Pools of every kind at random, and what is free in them worked out again, slowly, in each contract's own currency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from random import Random

from guard.leverage.margin_pool import Holding, Leg, MarginPool
from guard.margin_terms import ContractKind, MarginTier, TierUnit
from guard.units import MarketId

MARKETS = tuple(MarketId(f"loopback:{coin}") for coin in ("BTC", "ETH", "SOL"))
MARKS = dict(zip(MARKETS, (50_000.0, 2_500.0, 150.0), strict=True))
ODD = (float("nan"), float("inf"), -float("inf"), 1e308, -1.0, 1e-310)


def free_usd(pool: MarginPool, prices: Mapping[MarketId, float]) -> float:
    """F by its definition: nothing of it is shared with the solver."""
    free = -pool.other_maintenance_usd
    for holding in pool.holdings:
        price = holding.price_usd
        if holding.market is not None and holding.market in prices:
            price *= prices[holding.market] / mark_of(pool, holding.market, holding.price_usd)
        value = holding.quantity * price
        free += value if value < 0.0 else value * (1.0 - holding.haircut)
    return free + sum(_free_of(leg, prices[leg.market]) for leg in pool.legs if leg.size != 0.0)


def _free_of(leg: Leg, price: float) -> float:
    """USD, worked out in the currency that the contract is paid in."""
    inverse = leg.kind is ContractKind.INVERSE
    valued_at = leg.entry_price if leg.maintenance_at_entry else price
    if inverse:
        profit = leg.size / leg.entry_price - leg.size / price
        maintained, closed = abs(leg.size) / valued_at, abs(leg.size) / price
    else:
        profit = leg.size * (price - leg.entry_price)
        maintained, closed = abs(leg.size) * valued_at, abs(leg.size) * price
    counted = abs(leg.size) if leg.unit is TierUnit.SIZE else maintained
    tier = [tier for tier in leg.tiers if tier.floor <= counted][-1]
    maintenance = max(tier.maintenance_ratio * maintained - tier.deduction, 0.0)
    return (profit - maintenance - leg.closing_fee * closed) * (price if inverse else 1.0)


def mark_of(pool: MarginPool, market: MarketId, otherwise: float) -> float:
    return next((leg.mark_price for leg in pool.legs if leg.market == market), otherwise)


def marks_of(pool: MarginPool) -> dict[MarketId, float]:
    tied = {held.market: held.price_usd for held in pool.holdings if held.market is not None}
    return {market: mark_of(pool, market, tied.get(market, 1.0)) for market in tied} | {
        leg.market: leg.mark_price for leg in reversed(pool.legs)
    }


def notional_usd(pool: MarginPool) -> float:
    """What the pool is about, to hold a rest against."""
    legs = sum(
        abs(leg.size) * (1.0 if leg.kind is ContractKind.INVERSE else leg.mark_price) for leg in pool.legs
    )
    return legs + sum(abs(held.quantity) * held.price_usd for held in pool.holdings)


def random_pool(rng: Random, *, jumps: bool = True, healthy: bool = False) -> MarginPool:
    """One to four legs in one to three markets, of every kind, and one to four collaterals.

    Args:
        rng: where it is drawn from.
        jumps: whether maintenance may jump at the edges of tiers.
        healthy: whether collateral is added until something is free at marks.
    """
    legs: list[Leg] = []
    for market in rng.sample(MARKETS, rng.randint(1, 3)):
        kind = rng.choice(list(ContractKind))
        signs = rng.choice([(1.0,), (-1.0,), (1.0, -1.0)])
        legs.extend(random_leg(rng, market, kind, sign, jumps=jumps) for sign in signs)
    gross = sum(abs(leg.size) * (1.0 if leg.kind is ContractKind.INVERSE else leg.mark_price) for leg in legs)
    backing = gross * rng.choice([0.02, 0.05, 0.1, 0.3, 1.0, 1.5])
    holdings = [Holding(asset="USDT", quantity=backing * rng.uniform(-0.1, 1.0), price_usd=1.0)]
    for market in rng.sample(MARKETS, rng.randint(0, 2)):
        price = MARKS[market]
        quantity = backing * rng.uniform(-0.2, 1.0) / price
        tied = rng.choice([market, market, None])
        holdings.append(
            Holding(
                asset=market[-3:], quantity=quantity, price_usd=price, haircut=rng.choice([0.0, 0.05, 0.5]), market=tied
            )
        )  # fmt: skip
    pool = MarginPool(
        legs=tuple(legs),
        holdings=tuple(holdings),
        other_maintenance_usd=rng.choice([0.0, 0.0, gross * 0.003]),
    )
    free = free_usd(pool, marks_of(pool))
    if healthy and free <= 0.0:
        more = Holding(asset="USDC", quantity=-free + gross * rng.uniform(0.001, 0.2), price_usd=1.0)
        pool = replace(pool, holdings=(*pool.holdings, more))
    return pool


def random_leg(rng: Random, market: MarketId, kind: ContractKind, sign: float, *, jumps: bool) -> Leg:
    mark = MARKS[market]
    gross = 10.0 ** rng.uniform(2.0, 7.5)
    unit = rng.choice([TierUnit.NOTIONAL, TierUnit.NOTIONAL, TierUnit.SIZE])
    counts_in_usd = (kind is ContractKind.LINEAR) == (unit is TierUnit.NOTIONAL)
    scale = 1.0 if counts_in_usd else 1.0 / mark
    return Leg(
        market=market,
        size=sign * (gross if kind is ContractKind.INVERSE else gross / mark),
        entry_price=mark * rng.uniform(0.7, 1.4),
        mark_price=mark,
        tiers=random_tiers(rng, scale, jumps=jumps),
        kind=kind,
        unit=unit,
        closing_fee=rng.choice([0.0, 0.0005]),
        maintenance_at_entry=rng.random() < 0.2,
    )


def random_tiers(rng: Random, scale: float, *, jumps: bool) -> tuple[MarginTier, ...]:
    """Continuous ones, as of venues that tell amounts; jumping ones; ones whose first one deducts too much."""
    floor, ratio, deduction = 0.0, rng.uniform(0.002, 0.02), 0.0
    jumping = jumps and rng.random() < 0.3
    if rng.random() < 0.15:
        deduction = rng.uniform(0.0, 500.0) * scale
    tiers = [MarginTier(floor=0.0, maintenance_ratio=ratio, deduction=deduction)]
    for _ in range(rng.randint(0, 9)):
        floor = max(floor * rng.uniform(1.2, 5.0), 10.0 ** rng.uniform(3.0, 6.0) * scale)
        higher = min(ratio * rng.uniform(1.0, 2.5), 0.5)
        deduction = 0.0 if jumping else deduction + floor * (higher - ratio)
        ratio = higher
        tiers.append(MarginTier(floor=floor, maintenance_ratio=ratio, deduction=deduction))
    return tuple(tiers)


def with_something_odd(rng: Random, pool: MarginPool) -> MarginPool:
    """The pool with one number or table in it that makes no sense."""
    index = rng.randrange(len(pool.legs))
    leg = pool.legs[index]
    kind = rng.randrange(7)
    if kind == 0:
        holding = replace(pool.holdings[0], haircut=rng.choice([-0.1, 1.1, float("nan")]))
        return replace(pool, holdings=(holding, *pool.holdings[1:]))
    if kind == 1:
        holding = replace(pool.holdings[0], quantity=rng.choice([odd for odd in ODD if not isfinite(odd)]))
        return replace(pool, holdings=(holding, *pool.holdings[1:]))
    if kind == 2:
        return replace(pool, other_maintenance_usd=float("nan"))
    changed = [
        replace(leg, tiers=()),
        replace(leg, entry_price=rng.choice([0.0, *ODD])),
        replace(leg, size=rng.choice(ODD[:4])),
        replace(leg, tiers=(*leg.tiers, leg.tiers[0])),
    ][kind - 3]
    return replace(pool, legs=(*pool.legs[:index], changed, *pool.legs[index + 1 :]))
