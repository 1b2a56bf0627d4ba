"""What would bring an account further from liquidation, worked out before it is recommended. Pure: no I/O, no clock.

A step is made on copies of the pools, which are then solved again as they would be: by the venue's valuation of
collateral and by ours, along every direction, the nearest distance counting. Isolating a position makes two pools of
one, and the worse of the two is what is told: what is left behind may fail sooner than before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from guard.account.pools import Pool, settle_of
from guard.account.risk import Containment
from guard.account.stress import Direction, directions_of, stress_distance
from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.margin_terms import ContractKind
from guard.units import BPS_PER_UNIT, MarketId, symbol_of

WANTED_BPS = 2_000.0
"""Steps are worked out for pools that fail at a smaller move than this, to come so far."""

CANDIDATES_MAX = 3
"""So many positions of a pool are tried: those that lose most along a direction, then the largest."""

STEPS_MAX = 6
"""So many steps are told, the best first."""

HELPS_BPS_MIN = 5.0
"""A step that brings less than this helps nothing."""

ISOLATE = "isolate "

GRID = 8
"""Amounts tried from nothing to all, where more of a step may make it worse; between two of them it is halved."""
HALVINGS = 10
"""To a 1,024th of what is between two of them."""

Closing = Callable[[MarketId, float], float | None]
"""Bps off mid at which a position worth so many USD, negative for a short, would be closed now; ``None`` where it is
not known."""
Selling = Callable[[str, float], float | None]
"""The same of selling an asset."""


def distance_bps(
    pools: Iterable[Pool], betas: Mapping[MarketId, float], asset_betas: Mapping[str, float] | None = None
) -> float | None:
    """The smallest move at which one of the pools fails: any direction, either valuation; ``None`` if none does.

    0 for a pool that fails as it is, or of which it is not known.
    """
    nearest = _nearest((pool, _directions(pool, betas, asset_betas)) for pool in pools)
    return None if nearest == inf else nearest


def containments(
    pools: Sequence[Pool],
    betas: Mapping[MarketId, float],
    *,
    asset_betas: Mapping[str, float] | None = None,
    wanted_bps: float = WANTED_BPS,
    closing: Closing | None = None,
    selling: Selling | None = None,
) -> tuple[Containment, ...]:
    """Steps for the pool that is nearest to failing, each with its effect on that pool, the best first.

    Args:
        pools: of one account, as ``pools_of`` makes them.
        betas: see ``directions_of``.
        asset_betas: the same.
        wanted_bps: the distance that a step should reach; no step is told if all pools have it.
        closing: what closing positions would cost; where it is not known only the venue's fee is counted.
        selling: what selling collateral would cost; where it is not known it costs our haircut.

    Steps: adding money, reducing a position, isolating one with the margin that serves both pools best, selling
    collateral for the money that positions are paid in. Each is told by the smallest amount that reaches
    ``wanted_bps`` or, if none does, by what it does at its best, and says so. Those that reach it come first, the
    cheapest before; of the others that which gets furthest. A step that helps nothing is not told, but for isolating:
    that it does not help, or harms, is worth knowing, because venues and people recommend it.

    Failure modes: prices stay as they are while the step is made; an isolated position is held to the terms of the
    cross one. A pool that lacks anything has no steps: what they do could not be known.
    """
    desks = [
        _Desk(
            pool=pool,
            betas=betas,
            asset_betas=asset_betas,
            wanted_bps=wanted_bps,
            closing=closing,
            selling=selling,
        )
        for pool in pools
        if not pool.missing and pool.venue.legs
    ]
    worst = min(desks, key=lambda desk: desk.before, default=None)
    if worst is None or worst.before >= wanted_bps:
        return ()
    steps = [step for step in worst.steps() if _helps(step) or step.step.startswith(ISOLATE)]
    steps.sort(key=lambda step: _rank(step, wanted_bps))
    return tuple(steps[:STEPS_MAX])


def _helps(step: Containment) -> bool:
    return _bps(step.after_bps) >= _bps(step.before_bps) + HELPS_BPS_MIN


def _bps(told: float | None) -> float:
    return inf if told is None else told


def _rank(step: Containment, wanted_bps: float) -> tuple[bool, float, float]:
    after = _bps(step.after_bps)
    reaches = after >= wanted_bps
    return (not reaches, step.cost_usd if reaches else 0.0, -after)


def smallest(reached: Callable[[float], float], most: float, wanted: float) -> float | None:
    """The smallest amount within 0..``most`` at which ``reached`` is ``wanted`` or more; ``None`` if there is none.

    Where ``reached`` rises and falls again it is the smallest up to what lies between two of ``GRID`` amounts; what is
    returned reaches it in any case.

    >>> round(smallest(lambda amount: amount * amount, 10.0, 25.0), 2)
    5.0
    """
    before = 0.0
    for place in range(1, GRID + 1):
        amount = most * place / GRID
        if reached(amount) < wanted:
            before = amount
            continue
        for _ in range(HALVINGS):
            middle = (before + amount) / 2.0
            if reached(middle) >= wanted:
                amount = middle
            else:
                before = middle
        return amount
    return None


Parted = tuple[Pool, ...]
"""What a pool has become: one, or two where a position was isolated."""


@dataclass(slots=True, kw_only=True)
class _Desk:
    """One pool, and what is tried on it."""

    pool: Pool
    betas: Mapping[MarketId, float]
    asset_betas: Mapping[str, float] | None
    wanted_bps: float
    closing: Closing | None
    selling: Selling | None
    before: float = field(init=False)
    _short: tuple[Direction, ...] = field(init=False)
    """Directions along which it has not what is wanted: the only ones that searching asks."""

    def __post_init__(self) -> None:
        directions = _directions(self.pool, self.betas, self.asset_betas)
        apart = [(each, _nearest([(self.pool, (each,))])) for each in directions]
        self.before = min((bps for _, bps in apart), default=inf)
        self._short = tuple(each for each, bps in apart if bps < self.wanted_bps)

    def steps(self) -> Iterator[Containment]:
        """Every step that can be tried, whatever it does."""
        yield self._add_money()
        markets = self._candidates()
        every = tuple(dict.fromkeys(leg.market for leg in self.pool.venue.legs))
        yield from (self._reduce((market,), symbol_of(market)) for market in markets)
        if len(every) > 1:
            yield self._reduce(every, "all positions")
            yield from (step for market in markets if (step := self._isolate(market)) is not None)
        if not self.pool.name.startswith("isolated"):
            yield from (step for held in self.pool.own.holdings if (step := self._sell(held)) is not None)

    # ---------------------------------------------------------------- the steps

    def _add_money(self) -> Containment:
        money = self._money(self.pool.venue)
        most = 2.0 * sum(_value_usd(leg) for leg in self.pool.venue.legs)
        return self._told(
            lambda usd: f"add {usd / money.price_usd:,.6g} {money.asset} to {self.pool.name}",
            lambda usd: (self._with_money(usd / money.price_usd),),
            most,
            about=money.asset,
            amount_usd=lambda usd: usd,
        )

    def _reduce(self, markets: tuple[MarketId, ...], named: str) -> Containment:
        """Close the same share of each; what it costs is taken from the money."""
        rates = {market: self._closing_rate(market) for market in markets}

        def cost_usd(share: float) -> float:
            legs = (leg for leg in self.pool.venue.legs if leg.market in rates)
            return share * sum(_value_usd(leg) * rates[leg.market] for leg in legs)

        return self._told(
            lambda share: f"reduce {named} by {share:.1%}",
            lambda share: (self._reduced(markets, share, cost_usd(share)),),
            1.0,
            cost_usd=cost_usd,
            about=named,
            amount_usd=lambda share: (
                share * sum(_value_usd(leg) for leg in self.pool.venue.legs if leg.market in rates)
            ),
        )

    def _closing_rate(self, market: MarketId) -> float:
        legs = [leg for leg in self.pool.venue.legs if leg.market == market]
        gross_usd = sum(_value_usd(leg) for leg in legs)
        signed_usd = gross_usd if sum(leg.size for leg in legs) >= 0.0 else -gross_usd
        slippage_bps = None if self.closing is None else self.closing(market, signed_usd)
        return (slippage_bps or 0.0) / BPS_PER_UNIT + max(leg.closing_fee for leg in legs)

    def _isolate(self, market: MarketId) -> Containment | None:
        """The margin at which both pools stand equally far serves best: one rises with it as the other falls.

        It can help where margin alone counts for more than in the pool (no haircut), or where hedges are not credited;
        else sharing all of it is as good or better.
        """
        money = self._money(self.pool.venue)
        low, high = 0.0, money.quantity * money.price_usd
        if high <= 0.0 or not self.pool.may_isolate:
            return None
        for _ in range(HALVINGS):
            margin = (low + high) / 2.0
            rest, alone = self._parted(market, margin)
            if self._reached((alone,), self._short) < self._reached((rest,), self._short):
                low = margin
            else:
                high = margin
        best = max((low, high), key=lambda usd: self._reached(self._parted(market, usd), None))
        return self._told(
            lambda usd: f"{ISOLATE}{symbol_of(market)} with {usd / money.price_usd:,.6g} {money.asset}",
            lambda usd: self._parted(market, usd),
            best,
            is_settled=True,
            about=symbol_of(market),
            amount_usd=lambda usd: usd,
        )

    def _sell(self, held: Holding) -> Containment | None:
        """Sell at the lower of its prices here and over venues."""
        money = self._money(self.pool.own)
        there = next((each for each in self.pool.venue.holdings if each.asset == held.asset), held)
        value_usd = held.quantity * min(held.price_usd, there.price_usd)
        if held.asset == money.asset or not 0.0 < value_usd < inf:
            return None
        told = None if self.selling is None else self.selling(held.asset, value_usd)
        rate = held.haircut if told is None else min(1.0, told / BPS_PER_UNIT)
        return self._told(
            lambda share: f"sell {share * held.quantity:,.6g} {held.asset} for {money.asset}",
            lambda share: (
                self._sold(held.asset, share, share * value_usd * (1.0 - rate) / money.price_usd),
            ),
            1.0,
            cost_usd=lambda share: share * value_usd * rate,
            about=held.asset,
            amount_usd=lambda share: share * value_usd,
        )

    def _told(
        self,
        words: Callable[[float], str],
        made: Callable[[float], Parted],
        most: float,
        *,
        cost_usd: Callable[[float], float] = lambda _: 0.0,
        is_settled: bool = False,
        about: str = "",
        amount_usd: Callable[[float], float] = lambda _: 0.0,
    ) -> Containment:
        """Find the amount, solve all that comes of it anew, and say what it does."""
        amount: float | None = most
        if not is_settled:
            amount = smallest(lambda each: self._reached(made(each), self._short), most, self.wanted_bps)
            if amount is not None and self._reached(made(amount), None) < self.wanted_bps:
                # Along another direction that it had before and has not any more: ask all of them.
                amount = smallest(lambda each: self._reached(made(each), None), most, self.wanted_bps)
        if amount is None:
            tried = [most * place / GRID for place in range(1, GRID + 1)]
            amount = max(tried, key=lambda each: self._reached(made(each), self._short))
        after = self._reached(made(amount), None)
        short = "" if after >= self.wanted_bps else f", which is not enough for {self.wanted_bps:,.0f} bps"
        if after < self.before + HELPS_BPS_MIN:
            short = ", which does not help"
        return Containment(
            step=words(amount) + short,
            before_bps=self.before,
            after_bps=None if after == inf else after,
            cost_usd=cost_usd(amount),
            about=about,
            amount_usd=amount_usd(amount),
        )

    def _reached(self, pools: Parted, directions: tuple[Direction, ...] | None) -> float:
        """The distance of the worst of ``pools``, along ``directions`` or all that they have."""
        return _nearest(
            (pool, _directions(pool, self.betas, self.asset_betas) if directions is None else directions)
            for pool in pools
        )

    def _candidates(self) -> list[MarketId]:
        worst = [
            stress_distance(pool, direction).worst
            for direction in self._short
            for pool in {id(each): each for each in (self.pool.venue, self.pool.own)}.values()
        ]
        largest = sorted(self.pool.venue.legs, key=lambda leg: -_value_usd(leg))
        named = dict.fromkeys((*worst, *(leg.market for leg in largest)))
        return [market for market in named if market is not None][:CANDIDATES_MAX]

    # ---------------------------------------------------------------- pools as they would be

    def _changed(self, change: Callable[[MarginPool], MarginPool], **other: Any) -> Pool:
        venue = change(self.pool.venue)
        own = venue if self.pool.own is self.pool.venue else change(self.pool.own)
        return replace(self.pool, venue=venue, own=own, **other)

    def _money(self, pool: MarginPool) -> Holding:
        """What positions of the pool are paid in, with how much of it there is."""
        position = self.pool.positions[0]
        asset = settle_of(position)
        held = next((each for each in pool.holdings if each.asset == asset and each.price_usd > 0.0), None)
        if held is not None:
            return held
        leg = pool.legs[0]
        is_coin = leg.kind is ContractKind.INVERSE
        price, market = (leg.mark_price, leg.market) if is_coin else (1.0, None)
        return Holding(asset=asset, quantity=0.0, price_usd=price, market=market)

    def _paid(self, pool: MarginPool, quantity: float) -> tuple[Holding, ...]:
        """Holdings with so much more (or less) money."""
        money = self._money(pool)
        others = tuple(each for each in pool.holdings if each is not money)
        return (replace(money, quantity=money.quantity + quantity), *others)

    def _with_money(self, quantity: float) -> Pool:
        return self._changed(lambda pool: replace(pool, holdings=self._paid(pool, quantity)))

    def _reduced(self, markets: tuple[MarketId, ...], share: float, cost_usd: float) -> Pool:
        """Profit and loss of what is closed are paid out, less the cost."""

        def reduced(pool: MarginPool) -> MarginPool:
            closed = [leg for leg in pool.legs if leg.market in markets]
            paid_usd = share * sum(_profit_usd(leg) for leg in closed) - cost_usd
            kept = (
                replace(leg, size=leg.size * (1.0 - share)) if leg.market in markets else leg
                for leg in pool.legs
            )
            legs = tuple(leg for leg in kept if leg.size != 0.0)
            return replace(pool, legs=legs, holdings=self._paid(pool, paid_usd / self._money(pool).price_usd))

        return self._changed(reduced)

    def _parted(self, market: MarketId, margin_usd: float) -> tuple[Pool, Pool]:
        quantity = margin_usd / self._money(self.pool.venue).price_usd

        def without(pool: MarginPool) -> MarginPool:
            legs = tuple(leg for leg in pool.legs if leg.market != market)
            return replace(pool, legs=legs, holdings=self._paid(pool, -quantity))

        def alone(pool: MarginPool) -> MarginPool:
            margin = replace(self._money(pool), quantity=quantity, haircut=0.0)
            return MarginPool(
                legs=tuple(leg for leg in pool.legs if leg.market == market), holdings=(margin,)
            )

        moved = tuple(each for each in self.pool.positions if each.market == market)
        left = tuple(each for each in self.pool.positions if each.market != market)
        return (
            self._changed(without, positions=left),
            self._changed(alone, positions=moved, name=f"isolated {symbol_of(market)}"),
        )

    def _sold(self, asset: str, share: float, quantity: float) -> Pool:
        def sold(pool: MarginPool) -> MarginPool:
            paid = self._paid(pool, quantity)
            holdings = tuple(
                replace(each, quantity=each.quantity * (1.0 - share)) if each.asset == asset else each
                for each in paid
            )
            return replace(pool, holdings=holdings)

        return self._changed(sold)


def _directions(
    pool: Pool, betas: Mapping[MarketId, float], asset_betas: Mapping[str, float] | None
) -> tuple[Direction, ...]:
    """Each once: with all betas at 1 several are the same."""
    found: dict[tuple[frozenset[object], ...], Direction] = {}
    for each in directions_of(pool.venue, betas, asset_betas=asset_betas):
        found.setdefault((frozenset(each.markets.items()), frozenset(each.assets.items())), each)
    return tuple(found.values())


def _nearest(pools: Iterable[tuple[Pool, tuple[Direction, ...]]]) -> float:
    """The smallest distance of any pool, along any of its directions, by either valuation; infinite if none fails."""
    nearest = inf
    for pool, directions in pools:
        for direction in directions:
            nearest = min(nearest, _fails_at(pool.venue, direction))
            if pool.own is not pool.venue:
                nearest = min(nearest, _fails_at(pool.own, direction))
    return nearest


def _fails_at(pool: MarginPool, direction: Direction) -> float:
    found = stress_distance(pool, direction)
    if found.kind is LiquidationKind.CANNOT:
        return inf
    return 0.0 if found.distance_bps is None else found.distance_bps


def _value_usd(leg: Leg) -> float:
    return abs(leg.size) if leg.kind is ContractKind.INVERSE else abs(leg.size) * leg.mark_price


def _profit_usd(leg: Leg) -> float:
    if leg.kind is ContractKind.INVERSE:
        return leg.size * (leg.mark_price / leg.entry_price - 1.0)
    return leg.size * (leg.mark_price - leg.entry_price)
