"""The protective stop of a position, and how far from the mark price one may stand. No I/O, no clock."""

from __future__ import annotations

from guard.account.risk import LegRisk
from guard.events import Order, Position
from guard.leverage.margin_pool import LiquidationKind
from guard.units import BPS_PER_UNIT


def nearest_stop(orders: tuple[Order, ...], position: Position, mark: float) -> float | None:
    """The trigger price of the protective stop nearest to the mark price, ``None`` if there is none."""
    sign = 1.0 if position.size > 0 else -1.0
    prices = [
        order.stop_price
        for order in orders
        if order.market == position.market
        and order.reduce_only
        and order.stop_price is not None
        and order.size * sign <= 0
        and (order.stop_price - mark) * sign < 0
    ]
    return min(prices, key=lambda price: abs(price - mark), default=None)


def room_bps(
    leg: LegRisk | None, position: Position, mark: float, *, margin_ratio: float, bps_max: float
) -> float | None:
    """How far from mark a stop may stand before the liquidation price; ``None`` if that is not known.

    Args:
        leg: what was found of the position.
        position: the position.
        mark: its mark price.
        margin_ratio: share of the way from liquidation to mark price that has to stay between liquidation and stop.
        bps_max: what holds where the position cannot be liquidated.
    """
    if leg is None or leg.kind is LiquidationKind.FAILED:
        return None
    if leg.nearest is None:
        return bps_max if leg.kind is LiquidationKind.CANNOT else None
    sign = 1.0 if position.size > 0 else -1.0
    to_liquidation = sign * (mark - leg.nearest) / mark * BPS_PER_UNIT
    return None if to_liquidation < 0.0 else min(to_liquidation * (1.0 - margin_ratio), bps_max)
