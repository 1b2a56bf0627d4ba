"""The one solver: at which price of a market a pool is liquidated, all other prices staying where they are. Pure.

``guard.leverage.margin_pool``'s F is piecewise linear in each market's price. Its sum at prices as they are is taken
once; for each market only that market's own line is followed outward from the mark, edge by edge of its tiers, to the
first price at which F is 0 or less. So a whole pool costs O(legs), and no step needs a tolerance. Where maintenance
jumps at an edge (a venue that knows no deductions), the pool fails at the edge itself.

The mark price triggers. A market's mark is that of its first leg; a market that only collateral moves with starts at
the price of that collateral.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from guard.leverage.lines import LARGEST, SMALLEST_PRICE, Edge, LegLines, is_known, lines_at, table_of
from guard.leverage.margin_pool import LiquidationKind, MarginPool, PoolState
from guard.units import MarketId

FARTHEST = 1e12
"""A price so many times the mark, or so small a part of it, is none: rounding alone makes such roots."""


class Liquidation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a pool fails if only one market moves, all its legs and the collateral that is tied to it.

    ``below`` and ``above`` are the nearest such prices on each side of the mark, ``None`` where there is none on that
    side; ``price`` is the one nearer to the mark by ratio. All are ``None`` unless ``kind`` is ``PRICE``.
    """

    kind: LiquidationKind
    price: float | None = None
    below: float | None = None
    above: float | None = None


FAILED = Liquidation(kind=LiquidationKind.FAILED)
CANNOT = Liquidation(kind=LiquidationKind.CANNOT)
MISSING = Liquidation(kind=LiquidationKind.MISSING)


def state_at(pool: MarginPool, prices: Mapping[MarketId, float] | None = None) -> PoolState | None:
    """Value a pool at marks, those in ``prices`` (quote per base) replaced; USD.

    Collateral that is tied to a market moves in proportion with it. ``None`` if an odd number, a missing tier table
    or a price that is none keeps it from being known: ``missing_of`` says which.
    """
    known = marked(pool, prices)
    if known is None:
        return None
    equity, maintenance, fee = known.constant_usd, pool.other_maintenance_usd, 0.0
    for each in known.markets.values():
        price = each.price
        equity += each.holdings_slope * price
        for line in each.lines:
            equity += line.profit_slope * price + line.profit_intercept
            maintenance += line.maintenance_slope * price + line.maintenance_intercept
            fee += line.fee_slope * price + line.fee_intercept
    return PoolState(equity_usd=equity, maintenance_usd=maintenance, closing_fee_usd=fee)


def liquidation_of(pool: MarginPool, market: MarketId) -> Liquidation:
    """Solve for one market; ``CANNOT`` or ``FAILED`` also for a market that nothing in the pool moves with.

    >>> from guard.leverage.margin_pool import Holding, Leg
    >>> from guard.leverage.tiers import margin_tiers
    >>> from guard.units import market_id
    >>> btc = market_id("binance", "BTC/USDT:USDT")
    >>> leg = Leg(market=btc, size=1.0, entry_price=100.0, mark_price=100.0, tiers=margin_tiers([(0, 0.01, 100)]))
    >>> pool = MarginPool(legs=(leg,), holdings=(Holding(asset="USDT", quantity=10.0, price_usd=1.0),))
    >>> round(liquidation_of(pool, btc).price, 4)
    90.9091
    """
    known = marked(pool)
    if known is None:
        return MISSING
    each = known.markets.get(market)
    if each is None:
        return FAILED if known.free_usd <= 0.0 else CANNOT
    return _solved(known, each, known.free)


def liquidations_of(pool: MarginPool) -> dict[MarketId, Liquidation]:
    """Solve for every market that a leg or a collateral of the pool moves with, in O(legs)."""
    known = marked(pool)
    if known is None:
        tied = (holding.market for holding in pool.holdings if holding.market is not None)
        return dict.fromkeys((*(leg.market for leg in pool.legs), *tied), MISSING)
    free = known.free
    return {market: _solved(known, each, free) for market, each in known.markets.items()}


def lowest_free(pool: MarginPool, market: MarketId, price: float) -> float | None:
    """The least that is free, USD, while only ``market`` moves from its mark to ``price``, both included.

    Below 0 it is what is missing. ``None`` if it is not known, see ``state_at``.
    """
    known = marked(pool)
    if known is None or not SMALLEST_PRICE < price < LARGEST:
        return None
    lowest = known.free_usd
    each = known.markets.get(market)
    if each is None:
        return lowest
    is_up = price > each.mark
    edges = _merged([line.above() if is_up else line.below() for line in each.lines], falling=not is_up)
    slope, intercept = known.line_of(each, known.free)
    lowest = slope * each.mark + intercept if pool.in_coin else lowest
    for at, by_slope, by_intercept in edges:
        if at > price if is_up else at < price:
            break
        before = slope * at + intercept
        slope += by_slope
        intercept += by_intercept
        lowest = min(lowest, before, slope * at + intercept)
    return min(lowest, slope * price + intercept)


def missing_of(pool: MarginPool) -> tuple[str, ...]:
    """Say in words what keeps the pool from being solved; empty if nothing does."""
    found: list[str] = []
    for leg in pool.legs:
        if leg.size == 0.0 or lines_at(leg, leg.mark_price) is not None:
            continue
        if not leg.tiers:
            found.append(f"margin tiers of {leg.market}")
        elif table_of(leg.tiers) is None:
            found.append(f"margin tiers of {leg.market} that make sense")
        else:
            found.append(f"size, prices and fee of {leg.market} that make sense")
    found.extend(
        f"quantity, price and haircut of {holding.asset} that make sense"
        for holding in pool.holdings
        if not is_known(holding)
    )
    if not -LARGEST < pool.other_maintenance_usd < LARGEST:
        found.append("other maintenance margin that makes sense")
    return tuple(dict.fromkeys(found))


@dataclass(slots=True)
class MarkedMarket:
    """What moves with one market: lines of its legs at ``price``, USD of its collateral for each unit of price."""

    mark: float
    price: float
    lines: list[LegLines] = field(default_factory=list)
    holdings_slope: float = 0.0

    @property
    def slope(self) -> float:
        return self.holdings_slope + sum([line.slope for line in self.lines])

    @property
    def intercept(self) -> float:
        return sum([line.intercept for line in self.lines])


@dataclass(slots=True)
class MarkedPool:
    """A pool as lines around a state of prices; ``constant_usd`` moves with no market."""

    markets: dict[MarketId, MarkedMarket]
    constant_usd: float
    other_maintenance_usd: float
    in_coin: bool = False

    def market(
        self, name: MarketId, mark: float, prices: Mapping[MarketId, float] | None = None
    ) -> MarkedMarket:
        """The market of that name; one that was not met before starts from ``mark``."""
        found = self.markets.get(name)
        if found is None:
            price = mark if prices is None else prices.get(name, mark)
            found = self.markets[name] = MarkedMarket(mark, price)
        return found

    @property
    def free_usd(self) -> float:
        """F at the marks."""
        free = self.constant_usd - self.other_maintenance_usd
        for each in self.markets.values():
            free += each.slope * each.price + each.intercept
        return free

    @property
    def free(self) -> float:
        """F at the marks, USD; of a pool in one coin in coins, without what is constant in USD."""
        if not self.in_coin:
            return self.free_usd
        return sum([each.slope + each.intercept / each.mark for each in self.markets.values()])

    def line_of(self, each: MarkedMarket, free: float) -> tuple[float, float]:
        """F in USD as a line of one market's price from its mark on, as slope and intercept; ``free`` as above."""
        if self.in_coin:
            constant_usd = self.constant_usd - self.other_maintenance_usd
            return free - each.intercept / each.mark, each.intercept + constant_usd
        slope = each.slope
        return slope, free - slope * each.mark


def marked(pool: MarginPool, prices: Mapping[MarketId, float] | None = None) -> MarkedPool | None:
    """Lay out a pool as lines around its marks, or around ``prices``; ``None`` if it is not known, see ``state_at``."""
    if not -LARGEST < pool.other_maintenance_usd < LARGEST or not all(map(is_known, pool.holdings)):
        return None
    known = MarkedPool({}, 0.0, pool.other_maintenance_usd, pool.in_coin)
    for leg in pool.legs:
        each = known.market(leg.market, leg.mark_price, prices)
        if leg.size != 0.0:
            line = lines_at(leg, each.price)
            if line is None:
                return None
            each.lines.append(line)
    for holding in pool.holdings:
        if holding.market is None or holding.price_usd == 0.0:
            known.constant_usd += holding.value_usd
        else:
            each = known.market(holding.market, holding.price_usd, prices)
            each.holdings_slope += holding.value_usd / each.mark
    for each in known.markets.values():
        if not (SMALLEST_PRICE < each.price < LARGEST and SMALLEST_PRICE < each.mark < LARGEST):
            return None
    return known


def _solved(known: MarkedPool, each: MarkedMarket, free: float) -> Liquidation:
    mark = each.mark
    slope, intercept = known.line_of(each, free)
    if (slope * mark + intercept if known.in_coin else free) <= 0.0:
        return FAILED
    below = _first_below(slope, intercept, mark, _merged([line.below() for line in each.lines], falling=True))
    above = _first_above(
        slope, intercept, mark, _merged([line.above() for line in each.lines], falling=False)
    )
    if below is None and above is None:
        return CANNOT
    price = above if below is None or (above is not None and above * below < mark * mark) else below
    return Liquidation(kind=LiquidationKind.PRICE, price=price, below=below, above=above)


def _merged(edges: list[Iterable[Edge]], *, falling: bool) -> Iterable[Edge]:
    if len(edges) == 1:
        return edges[0]
    return sorted((edge for each in edges for edge in each), reverse=falling)


def _first_below(slope: float, intercept: float, mark: float, edges: Iterable[Edge]) -> float | None:
    """The highest price <= ``mark`` at which F is 0 or less; edges come falling."""
    end = mark / FARTHEST
    for price, by_slope, by_intercept in edges:
        if not price > end:
            break
        if slope * price + intercept <= 0.0:
            return min(max(-intercept / slope, price), mark)
        slope += by_slope
        intercept += by_intercept
        if slope * price + intercept <= 0.0:
            return min(price, mark)
    if slope * end + intercept > 0.0:
        return None
    return min(-intercept / slope, mark)


def _first_above(slope: float, intercept: float, mark: float, edges: Iterable[Edge]) -> float | None:
    """The lowest price >= ``mark`` at which F is 0 or less; edges come rising."""
    end = mark * FARTHEST
    for price, by_slope, by_intercept in edges:
        if not price < end:
            break
        if slope * price + intercept <= 0.0:
            return max(min(-intercept / slope, price), mark)
        slope += by_slope
        intercept += by_intercept
        if slope * price + intercept <= 0.0:
            return max(price, mark)
    if slope * end + intercept > 0.0:
        return None
    return max(-intercept / slope, mark)
