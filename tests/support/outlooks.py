"""Whole outlooks for tests of what is told of them."""

from __future__ import annotations

from msgspec import structs

from guard.forecasts import (
    HORIZONS_S,
    MOVES,
    QUANTILES,
    Amount,
    Band,
    Direction,
    FittedForecast,
    HazardForecast,
    MapForecast,
    MarketOutlook,
    ReachForecast,
    Regime,
    SignalValue,
    SizingForecast,
    SkillScore,
)
from guard.units import MarketId, Nanoseconds
from tests.support.market import MARKET


def map_of(direction: Direction, mark: float = 100.0) -> MapForecast:
    """2, 9 and 30 million within 2, 5 and 10 %, and four bands, not in order."""
    bands = tuple(
        Band(
            near=near,
            far=near + 0.01,
            near_price=mark * (1.0 + direction.sign * near),
            far_price=mark * (1.0 + direction.sign * (near + 0.01)),
            mass=Amount(usd, usd / 2.0, usd * 2.0),
            ratio=usd / 3e6,
        )
        for near, usd in ((0.02, 2e6), (0.05, 1.2e7), (0.085, 4e6), (0.07, 1e6))
    )
    within = tuple(Amount(usd, usd / 2.0, usd * 2.0) for usd in (2e6, 9e6, 3e7))
    return MapForecast(direction=direction, mark_price=mark, within=within, bands=bands, learned_usd=5e6)


def reach_of(direction: Direction) -> ReachForecast:
    """A median of 4 %, and a stretch at 6 % that feeds itself."""
    return ReachForecast(
        direction=direction,
        quantiles=(0.005, 0.01, 0.02, 0.04, 0.07, 0.11, 0.15),
        probability=(0.75, 0.40, 0.12),
        expected=0.05,
        barrier_usd=(1e6, 2.5e6, 2.6e6),
        reproduction=1.4,
        reproduction_at=0.06,
        liquidity_factor=1.5,
        forced_factor=2.2,
        feedback_factor=1.8,
        flow_usd=3e5,
        extrapolated_from=0.03,
    )


def hazard_of(direction: Direction) -> HazardForecast:
    """More with the horizon, less with the move."""
    rows = tuple(tuple(0.01 * (1 + horizon) / (1 + move) for move in range(3)) for horizon in range(3))
    return HazardForecast(direction=direction, probability=rows, vulnerability=0.3, shock=0.02)


def outlook_of(
    market: MarketId = MARKET, at: Nanoseconds = 0, regime: Regime | None = Regime.WATCH
) -> MarketOutlook:
    """Everything known, both ways alike."""
    assert (len(QUANTILES), len(MOVES), len(HORIZONS_S)) == (7, 3, 3)
    return MarketOutlook(
        at=at,
        market=market,
        regime=regime,
        price=100.0,
        oi_depth_ratio=12.5,
        maps=tuple(map_of(direction) for direction in Direction),
        reaches=tuple(reach_of(direction) for direction in Direction),
        hazards=tuple(hazard_of(direction) for direction in Direction),
        fitted=tuple(
            FittedForecast(
                direction=direction,
                weight=0.25,
                reach=(0.9, 0.7, 0.3),
                hazard=tuple(tuple(0.02 * (1 + at) / (1 + move) for move in range(3)) for at in range(3)),
                vulnerability=0.6,
                shock=0.1,
            )
            for direction in Direction
        ),
        sizings=tuple(
            SizingForecast(direction=direction, danger=0.024, usual=0.018, leverage_share=0.5625)
            for direction in Direction
        ),
        signals=(
            SignalValue(name="volatility_jump", value=3.5, unit="ratio", alarm=0.6),
            SignalValue(name="funding_z", value=None, unit="sigma", alarm=None),
        ),
        skill=(
            SkillScore(
                target="hazard 15 min",
                estimator="full",
                weight=0.6,
                skill=0.12,
                baseline="usual",
                reliability_error=0.01,
                count=420.0,
            ),
        ),
    )


def without_map(outlook: MarketOutlook) -> MarketOutlook:
    """The same of a market of which no open interest is told: what is forced is not known."""
    return structs.replace(
        outlook,
        maps=(),
        reaches=tuple(
            structs.replace(
                each,
                barrier_usd=None,
                reproduction=None,
                reproduction_at=None,
                forced_factor=None,
                feedback_factor=None,
            )
            for each in outlook.reaches
        ),
        unknown=("map",),
    )
