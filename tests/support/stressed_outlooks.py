"""Puts a made-up outlook of a market into a state, for tests of what policies make of it."""

from __future__ import annotations

from collections.abc import Sequence

from guard.forecasts import (
    HORIZONS_S,
    MOVES,
    QUANTILES,
    Amount,
    Band,
    Direction,
    HazardForecast,
    MapForecast,
    MarketOutlook,
    ReachForecast,
    Regime,
)
from guard.state import GuardState
from guard.units import MarketId
from tests.support.builders import at

USUAL_REACH = (0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.04)
"""Along ``QUANTILES``."""


def outlook(
    seconds: float,
    market: MarketId,
    *,
    regime: Regime | None = Regime.NORMAL,
    reasons: Sequence[str] = (),
    resume_share: float | None = 1.0,
    hazard: float | None = None,
    bands: Sequence[tuple[float, float]] = (),
    reach: Sequence[float] | None = None,
    price: float = 100.0,
) -> MarketOutlook:
    """An outlook at ``seconds``; ``bands`` are (near, far) as fractions of ``price``, the same both ways."""
    assert reach is None or len(reach) == len(QUANTILES)
    return MarketOutlook(
        at=at(seconds),
        market=market,
        regime=regime,
        regime_reasons=tuple(reasons),
        resume_share=resume_share,
        price=price,
        hazards=() if hazard is None else tuple(_hazard(each, hazard) for each in Direction),
        maps=tuple(_map(each, bands, price) for each in Direction) if bands else (),
        reaches=()
        if reach is None
        else tuple(
            ReachForecast(
                direction=each, quantiles=tuple(reach), probability=(0.5, 0.1, 0.01), expected=reach[3]
            )
            for each in Direction
        ),
    )


def give_outlook(state: GuardState, given: MarketOutlook) -> None:
    """Let it be the latest of its market."""
    state.outlook.suppose(given)


def _hazard(direction: Direction, value: float) -> HazardForecast:
    row = (value,) * len(MOVES)
    return HazardForecast(
        direction=direction, probability=(row,) * len(HORIZONS_S), vulnerability=0.1, shock=0.1
    )


def _map(direction: Direction, bands: Sequence[tuple[float, float]], price: float) -> MapForecast:
    mass = Amount(1e6, 5e5, 2e6)
    return MapForecast(
        direction=direction,
        mark_price=price,
        within=(mass,) * len(MOVES),
        bands=tuple(
            Band(
                near=near,
                far=far,
                near_price=price * (1.0 + direction.sign * near),
                far_price=price * (1.0 + direction.sign * far),
                mass=mass,
                ratio=3.0,
            )
            for near, far in bands
        ),
    )
