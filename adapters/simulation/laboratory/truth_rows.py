"""Rows of the truth, made from one book of the laboratory; see ``truth`` for what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.simulation.laboratory.liquidation_engine import Liquidated
from adapters.simulation.laboratory.truth import (
    MAP_BIN_LOG,
    MAP_BINS,
    BookTruth,
    LiquidationTruth,
    MapTruth,
    PositionsTruth,
)
from guard.units import NS_PER_MS, Nanoseconds

if TYPE_CHECKING:
    from adapters.simulation.laboratory.listing import Listing


def liquidation_of(listing: Listing, closed: Liquidated, start_at: Nanoseconds) -> LiquidationTruth:
    """One closing by the venue."""
    grid = listing.grid
    return LiquidationTruth(
        at_ns=start_at + closed.now_ms * NS_PER_MS,
        market=listing.market,
        position=closed.position,
        size=grid.size_of(closed.lots),
        price=closed.tick * grid.tick,
        bankruptcy_price=closed.bankruptcy_tick * grid.tick,
        leverage=closed.leverage,
        closed_by=closed.closed_by,
    )


def map_of(listing: Listing, at: Nanoseconds) -> MapTruth:
    """Where everyone is liquidated or stopped now."""
    tick = listing.mark_tick
    longs, shorts, below, above = listing.crowd.map_bins(tick, MAP_BIN_LOG, MAP_BINS)
    return MapTruth(
        at_ns=at,
        market=listing.market,
        mark_price=listing.grid.price_of(tick),
        open_interest=listing.grid.size_of(listing.open_lots),
        longs_usd=longs,
        shorts_usd=shorts,
        stops_below_usd=below,
        stops_above_usd=above,
    )


def positions_of(listing: Listing, at: Nanoseconds, start_at: Nanoseconds) -> PositionsTruth:
    """Every position now."""
    told = listing.crowd.snapshot()
    return PositionsTruth(
        at_ns=at,
        market=listing.market,
        position=told["position"],
        size=told["size"],
        entry_price=told["entry_price"],
        leverage=told["leverage"],
        is_cross=told["is_cross"],
        margin_usd=told["margin_usd"],
        liquidation_price=told["liquidation_price"],
        stop_price=told["stop_price"],
        opened_at=start_at + told["opened_ms"] * NS_PER_MS,
    )


def book_of(listing: Listing, at: Nanoseconds, value_price: float, world_price: float) -> BookTruth:
    """Who stands behind the book now."""
    market = listing.trading
    return BookTruth(
        at_ns=at,
        market=listing.market,
        value_price=value_price,
        world_price=world_price,
        mark_price=listing.grid.price_of(listing.mark_tick),
        willingness=market.willingness,
        maker_equity_ratio=market.equity_ratio,
        fund_usd=listing.crowd.engine.fund_equity(listing.mark_tick) / 1e6,
        arbitrage_ratio=market.arbitrage_ratio,
    )
