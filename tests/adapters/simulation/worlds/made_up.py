"""Events and truth written by hand, so that what is measured of them is known."""

from __future__ import annotations

from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.truth import BookTruth, ClosedBy, LiquidationTruth
from adapters.simulation.worlds.measures import market_of
from guard.events import (
    CURVE_BPS,
    NOTIONALS_USD,
    BookSide,
    BookStatus,
    MarketFeatures,
    OpenInterestSeen,
)
from guard.units import MarketId, Nanoseconds

MARKET = market_of("binanceusdm", "WIFUSDT")


def at(episode: Episode, seconds: float) -> Nanoseconds:
    return Nanoseconds(episode.start_at_ns + round(seconds * 1e9))


def side(depth_usd: float, cost_bps: float | None) -> BookSide:
    """``depth_usd`` within 1 %, in proportion elsewhere."""
    return BookSide(
        curve_usd=tuple(depth_usd * bps / 100.0 for bps in CURVE_BPS),
        visible_bps=500.0,
        visible_usd=5 * depth_usd,
        slippage_bps=(cost_bps, *(None for _ in NOTIONALS_USD[1:])),
    )


def sample(
    episode: Episode,
    seconds: float,
    mid: float,
    *,
    spread_bps: float = 10.0,
    depth_usd: float = 100_000.0,
    cost_bps: float | None = 10.0,
    market: MarketId = MARKET,
    sold_usd: float = 0.0,
    bought_usd: float = 0.0,
) -> MarketFeatures:
    """Alike on both sides."""
    half = 0.5e-4 * spread_bps
    return MarketFeatures(
        received_at=at(episode, seconds),
        market=market,
        status=BookStatus.OK,
        bid=mid * (1 - half),
        ask=mid * (1 + half),
        bids=side(depth_usd, cost_bps),
        asks=side(depth_usd, cost_bps),
        sell_usd=sold_usd,
        buy_usd=bought_usd,
    )


def empty(episode: Episode, seconds: float, market: MarketId = MARKET) -> MarketFeatures:
    return MarketFeatures(received_at=at(episode, seconds), market=market, status=BookStatus.EMPTY)


def opened(episode: Episode, seconds: float, size: float, market: MarketId = MARKET) -> OpenInterestSeen:
    return OpenInterestSeen(received_at=at(episode, seconds), market=market, open_interest=size)


def liquidated(
    episode: Episode,
    seconds: float,
    size: float,
    price: float,
    closed_by: ClosedBy = ClosedBy.BOOK,
    market: MarketId = MARKET,
    position: int = 1,
) -> LiquidationTruth:
    return LiquidationTruth(
        at_ns=at(episode, seconds),
        market=market,
        position=position,
        size=size,
        price=price,
        bankruptcy_price=price,
        leverage=10.0,
        closed_by=closed_by,
    )


def valued(episode: Episode, seconds: float, value: float, market: MarketId = MARKET) -> BookTruth:
    return BookTruth(
        at_ns=at(episode, seconds),
        market=market,
        value_price=value,
        world_price=value,
        mark_price=value,
        willingness=1.0,
        maker_equity_ratio=1.0,
        fund_usd=0.0,
        arbitrage_ratio=1.0,
    )
