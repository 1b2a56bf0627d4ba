"""A pool after a shock: prices gone against it, collateral with them, haircuts as in a crash. Pure: no I/O, no clock.

All legs lose together, as if correlation were one, what wins counts in part only (deleveraging takes it), collateral in
coins falls with its coin, and of what is left so much is not counted as when no book is left. The account should then
still have a multiple of what the venue demands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp, isfinite

from guard.account.stress import Direction
from guard.account.together import scaled
from guard.leverage.margin_pool import Holding, Leg, MarginPool
from guard.leverage.solver import state_at
from guard.margin_terms import ContractKind
from guard.units import MarketId

RATIO_MAX = 1e6
"""Stands for the ratio where nothing is demanded."""
_STEPS = 14
_WAY_MAX = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shock:
    """What a pool is put through.

    Attributes:
        direction: where each market and asset goes, see ``guard.account.stress``.
        way: how far along it, log >= 0.
        reaches: of markets that go at least so far, log >= 0.
        haircuts: what is at least not counted of an asset, 0..1.
        hedge_credit: what counts of the gains of winning legs, 0..1.
    """

    direction: Direction
    way: float
    reaches: Mapping[MarketId, float]
    haircuts: Mapping[str, float]
    hedge_credit: float

    def move(self, market: MarketId) -> float:
        """The log move of a market, signed."""
        move = self.direction.markets.get(market, 0.0)
        if move == 0.0:
            return 0.0
        way = min(max(abs(move) * self.way, self.reaches.get(market, 0.0)), _WAY_MAX)
        return way if move > 0.0 else -way


@dataclass(frozen=True, slots=True, kw_only=True)
class Shocked:
    """A pool after a shock, USD; ``demanded_usd`` is maintenance and closing fees.

    ``collateral_lost_usd`` is what collateral counts less than before, ``positions_lost_usd`` what positions lost.
    """

    equity_usd: float
    demanded_usd: float
    collateral_lost_usd: float
    positions_lost_usd: float

    @property
    def ratio(self) -> float:
        """Equity over what is demanded; the venue liquidates at 1. Negative where nothing is left."""
        if self.demanded_usd <= 0.0:
            return RATIO_MAX if self.equity_usd > 0.0 else 0.0
        return min(self.equity_usd / self.demanded_usd, RATIO_MAX)

    def missing_usd(self, ratio: float) -> float:
        """How much money would bring the ratio, 0 where it is there."""
        return max(0.0, ratio * self.demanded_usd - self.equity_usd)


def counted_after(held: Holding, shock: Shock) -> float:
    """What a unit of a collateral counts for after a shock, USD: rather 0 of what is not a debt than below.

    >>> shock = Shock(direction=Direction(name="down", assets={"BTC": -1.0}), way=0.10536, reaches={},
    ...               haircuts={"BTC": 0.2}, hedge_credit=0.5)
    >>> round(counted_after(Holding(asset="BTC", quantity=1.0, price_usd=100.0, haircut=0.05), shock), 2)
    72.0
    """
    price = held.price_usd * exp(_move_of(held, shock))
    if held.quantity < 0.0:
        return price
    return price * (1.0 - max(held.haircut, shock.haircuts.get(held.asset, 0.0)))


def shocked(pool: MarginPool, shock: Shock) -> Shocked | None:
    """Put a pool through a shock; ``None`` where it is not known.

    Failure modes: maintenance is that of the tiers at the prices reached; what closing would cost in such a book beyond
    the venue's fee is not counted.
    """
    before = state_at(pool)
    if before is None:
        return None
    prices = {leg.market: leg.mark_price * exp(shock.move(leg.market)) for leg in pool.legs}
    holdings = tuple(
        replace(
            held,
            price_usd=held.price_usd * exp(_move_of(held, shock)),
            market=None,
            haircut=_cut(held, shock),
        )
        for held in pool.holdings
    )
    after = state_at(replace(pool, holdings=holdings), prices)
    if after is None or not isfinite(after.equity_usd):
        return None
    gains = [_gain_usd(leg, prices[leg.market]) for leg in pool.legs]
    uncredited = sum((1.0 - shock.hedge_credit) * gain for gain in gains if gain > 0.0)
    lost = sum(held.value_usd for held in pool.holdings) - sum(held.value_usd for held in holdings)
    return Shocked(
        equity_usd=after.equity_usd - uncredited,
        demanded_usd=after.maintenance_usd + after.closing_fee_usd,
        collateral_lost_usd=lost,
        positions_lost_usd=uncredited - sum(gains),
    )


def share_that_survives(pool: MarginPool, shock: Shock, ratio: float) -> float:
    """The largest share of all legs with which the ratio after the shock is ``ratio`` or more, 0..1; 0 if none is.

    Each leg is cut by the same share at its mark, the venue's closing fee paid.
    """

    def survives(share: float) -> bool:
        after = shocked(scaled(pool, share), shock)
        if after is None:
            return False
        fees = (1.0 - share) * sum(leg.closing_fee * _value_usd(leg) for leg in pool.legs)
        return after.equity_usd - fees >= ratio * after.demanded_usd and after.equity_usd - fees > 0.0

    if survives(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if survives(middle):
            low = middle
        else:
            high = middle
    return low


def _cut(held: Holding, shock: Shock) -> float:
    return max(held.haircut, shock.haircuts.get(held.asset, 0.0))


def _move_of(held: Holding, shock: Shock) -> float:
    named = shock.direction.assets.get(held.asset)
    if named is not None:
        return min(max(named * shock.way, -_WAY_MAX), _WAY_MAX)
    return 0.0 if held.market is None else shock.move(held.market)


def _gain_usd(leg: Leg, price: float) -> float:
    if leg.kind is ContractKind.INVERSE:
        return leg.size * (price - leg.mark_price) / leg.entry_price
    return leg.size * (price - leg.mark_price)


def _value_usd(leg: Leg) -> float:
    return abs(leg.size) if leg.kind is ContractKind.INVERSE else abs(leg.size) * leg.mark_price
