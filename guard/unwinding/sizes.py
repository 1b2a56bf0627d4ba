"""The largest size with which a position keeps a distance to its liquidation, what closing costs included. Pure.

The minimal cut is what lies above it. It is solved in the pool as it is: alone, in a shared (cross) pool by either
valuation of collateral, or as the share that all who fail together have to give.
"""

from __future__ import annotations

from functools import lru_cache

from guard.account.distance import Distance, as_pooled, inverse_alone, leg_of
from guard.account.pools import Pool
from guard.events import BookSide, Position
from guard.leverage.liquidation_price import size_max, size_max_in
from guard.leverage.margin_pool import Leg, MarginPool
from guard.leverage.solver import state_at
from guard.leverage.tiers import tier_at
from guard.margin_terms import ContractKind, TierTable, TierUnit
from guard.market.liquidity import slippage_bps
from guard.units import BPS_PER_UNIT


def largest_that_keeps(
    position: Position,
    pool: Pool,
    distance: Distance,
    book: BookSide | None,
    mid: float | None,
    mark: float,
    target_bps: float,
    terms: TierTable,
    fee_ratio: float = 0.0,
) -> tuple[float | None, float]:
    """The largest size that keeps ``target_bps``, base units, and the equity that stands behind it now, USD.

    Args:
        position: as the account tells it.
        pool: what it shares its margin with.
        distance: how far it is from liquidation now, and by whose word.
        book: the side that it would be closed into, ``None`` if unknown: then closing is taken to cost the fee.
        mid: of that book.
        mark: mark price.
        target_bps: the distance wanted, bps of mark.
        terms: the tiers of its market.
        fee_ratio: of taking, as a share of notional; where the venue's own closing fee is counted, only what is more.

    Returns:
        ``None`` for a size that is not known; 0 where no cut is enough: then margin or a hedge elsewhere is the remedy.
    """
    if distance.is_told or pool.missing:
        held = as_pooled(position, pool)
        return _alone(held, distance, book, mid, mark, target_bps, terms, fee_ratio)
    sizes, equities = [], []
    # The nearer of both valuations of collateral is what liquidates: the size has to hold by both.
    for valued in (pool.own,) if pool.venue is pool.own else (pool.own, pool.venue):
        leg, state = leg_of(valued, position), state_at(valued)
        size = None
        if leg is not None and state is not None:
            size = _in_pool(valued, leg, book, mid, mark, target_bps, fee_ratio)
        if leg is None or state is None or size is None:
            return None, 0.0
        sizes.append(size / (mark if leg.kind is ContractKind.INVERSE else 1.0))
        equities.append(state.equity_usd)
    if distance.share is not None:  # several positions fail together: each gives its part
        part = distance.share(target_bps) * abs(position.size)
        # Of a pool that has failed no one alone has to make it hold.
        sizes = [part] if distance.bps <= 0.0 else [*sizes, part]
    return min(sizes), min(equities)


def _alone(
    position: Position,
    distance: Distance,
    book: BookSide | None,
    mid: float | None,
    mark: float,
    target_bps: float,
    terms: TierTable,
    fee_ratio: float,
) -> tuple[float | None, float]:
    """Where only the venue's or the bot's word is known: by the equity that it implies (F = 0 there)."""
    sign = 1.0 if position.size > 0.0 else -1.0
    at = mark * (1.0 - sign * distance.bps / BPS_PER_UNIT)
    contracts_usd = position.contracts_usd if position.kind is ContractKind.INVERSE else None
    ratio, deduction = maintenance_of(position, mark, terms)
    if contracts_usd is not None:
        pool = inverse_alone(position.market, contracts_usd, mark, at, ratio, deduction)
        found = _in_pool(pool, pool.legs[0], book, mid, mark, target_bps, fee_ratio)
        return None if found is None else found / mark, pool.holdings[0].value_usd
    equity = abs(position.size) * (sign * (mark - at) + ratio * at) - deduction
    return _by_equity(book, mid, position.size, mark, equity, target_bps, ratio, deduction, fee_ratio), equity


def maintenance_of(position: Position, mark: float, terms: TierTable) -> tuple[float, float]:
    """Ratio and deduction of the tier that a position is in."""
    inverse = position.contracts_usd if position.kind is ContractKind.INVERSE else None
    value = abs(position.size) * mark if inverse is None else abs(inverse) / mark
    size = abs(position.size) if inverse is None else abs(inverse)
    tier = tier_at(terms.tiers, size if terms.unit is TierUnit.SIZE else value)
    return tier.maintenance_ratio, tier.deduction


def exit_usd(book: BookSide | None, mid: float | None, mark: float, cut: float, fee_ratio: float) -> float:
    """What closing ``cut`` base units costs at once, USD: against mid, and the fee."""
    usd = cut * mark
    if book is None or mid is None:
        return fee_ratio * usd
    return (slippage_bps(book, cut * mid).value / BPS_PER_UNIT + fee_ratio) * usd


@lru_cache(maxsize=1024)
def _by_equity(
    book: BookSide | None,
    mid: float | None,
    size: float,
    mark: float,
    equity_usd: float,
    distance_bps: float,
    maintenance_ratio: float,
    maintenance_amount_usd: float,
    fee_ratio: float,
) -> float | None:
    """``size_max`` against one side of a book; solved once for as long as nothing of it changes, as at a Tick."""
    return size_max(
        side_size_signed=size,
        mark_price=mark,
        equity_usd=equity_usd,
        distance_bps=distance_bps,
        maintenance_ratio=maintenance_ratio,
        maintenance_amount=maintenance_amount_usd,
        exit_cost_usd=lambda cut: exit_usd(book, mid, mark, cut, fee_ratio),
    )


@lru_cache(maxsize=1024)
def _in_pool(
    pool: MarginPool,
    leg: Leg,
    book: BookSide | None,
    mid: float | None,
    mark: float,
    distance_bps: float,
    fee_ratio: float,
) -> float | None:
    """``size_max_in`` against one side of a book, in the leg's own unit; remembered as ``_by_equity`` is."""
    in_usd = leg.kind is ContractKind.INVERSE
    fee = max(fee_ratio - leg.closing_fee, 0.0)
    return size_max_in(
        pool,
        leg,
        distance_bps=distance_bps,
        exit_cost_usd=lambda cut: exit_usd(book, mid, mark, cut / mark if in_usd else cut, fee),
    )
