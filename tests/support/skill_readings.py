"""Readings and forecasts of made-up markets for tests of what is scored."""

from __future__ import annotations

from collections.abc import Iterator

from guard.events import CURVE_BPS
from guard.forecasts import HORIZONS_S, MOVES, QUANTILES, Direction, HazardForecast, ReachForecast
from guard.readings import BookReading, LiquidationFeed, Reading
from guard.units import NS_PER_S, MarketId, Nanoseconds

MARKET = MarketId("bybit:WIF/USDT:USDT")
START_AT = 1_760_000_400 * NS_PER_S
"""At the start of an hour."""


def reading(
    at: Nanoseconds,
    price: float | None,
    *,
    market: MarketId = MARKET,
    elapsed_s: float = 5.0,
    feed: LiquidationFeed = LiquidationFeed.COMPLETE,
    longs_usd: float = 0.0,
    open_interest: float | None = 1e6,
) -> Reading:
    """Make a reading whose mid and mark are ``price``."""
    book = None
    if price is not None:
        curve = tuple(1000.0 * bps for bps in CURVE_BPS)
        book = BookReading(
            bid=price - 0.001,
            ask=price + 0.001,
            bid_curve_usd=curve,
            ask_curve_usd=curve,
            bid_visible_bps=500.0,
            ask_visible_bps=500.0,
        )
    return Reading(
        at=at,
        market=market,
        elapsed_s=elapsed_s,
        book=book,
        mark_price=price,
        mark_low=price,
        mark_high=price,
        open_interest=open_interest,
        liquidated_longs_usd=longs_usd,
        feed=feed,
    )


def refreshes(seconds: int, step_s: int = 5) -> Iterator[Nanoseconds]:
    """Times of readings from ``START_AT`` on."""
    return iter(range(START_AT, START_AT + seconds * NS_PER_S, step_s * NS_PER_S))


def hazard(direction: Direction, probability: float) -> HazardForecast:
    """Say the same of each horizon; a third of it for each move that is larger."""
    row = tuple(probability / 3**power for power in range(len(MOVES)))
    return HazardForecast(
        direction=direction,
        probability=(row,) * len(HORIZONS_S),
        vulnerability=probability,
        shock=probability,
    )


def hazards(**said: float) -> dict[Direction, dict[str, HazardForecast]]:
    """Say the same of both directions, by estimator."""
    return {
        direction: {name: hazard(direction, probability) for name, probability in said.items()}
        for direction in Direction
    }


def reach(direction: Direction, middle: float) -> ReachForecast:
    """Say that it goes around ``middle``."""
    return ReachForecast(
        direction=direction,
        quantiles=tuple(middle * 2.0 * level for level in QUANTILES),
        probability=tuple(max(0.0, min(1.0, 1.0 - move / (2.0 * middle))) for move in MOVES),
        expected=middle,
        barrier_usd=(1.0,) * len(MOVES),
        reproduction=0.5,
        reproduction_at=0.02,
        liquidity_factor=2.0,
        forced_factor=3.0,
        feedback_factor=4.0,
        flow_usd=5.0,
    )
