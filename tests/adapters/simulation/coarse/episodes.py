"""Small episodes put together by hand, for tests of the coarse mode."""

from __future__ import annotations

from decimal import Decimal

from adapters.simulation.laboratory.parameters import (
    ArbitrageParameters,
    CrowdParameters,
    Episode,
    FlowParameters,
    FundingParameters,
    Impulse,
    LiquidationParameters,
    SymbolParameters,
    ValueParameters,
    VenueParameters,
)
from tests.adapters.simulation.laboratory.episodes import BRACKETS, MAKERS

BTC = SymbolParameters(
    symbol="BTCUSDT",
    tick=Decimal(10),
    lot=Decimal("0.001"),
    price_start=100_000.0,
    depth_usd=40e6,
    half_spread_bps=0.5,
    open_interest_usd=2e9,
    volume_day_usd=8e9,
    beta=1.0,
    volatility_day=0.005,
    brackets=BRACKETS,
)
ALT = SymbolParameters(
    symbol="ALTUSDT",
    tick=Decimal("0.0001"),
    lot=Decimal(1),
    price_start=2.0,
    depth_usd=200e3,
    half_spread_bps=1.5,
    open_interest_usd=10e6,
    volume_day_usd=60e6,
    beta=1.5,
    volatility_day=0.04,
    brackets=BRACKETS,
)


def episode_of(
    *,
    seed: int = 7,
    duration_s: float = 1_800.0,
    symbols: tuple[SymbolParameters, ...] = (BTC, ALT),
    venues: tuple[str, ...] = ("binanceusdm", "bybit"),
    impulses: tuple[Impulse, ...] = (),
    crowd: CrowdParameters | None = None,
) -> Episode:
    """An episode; calm unless impulses say otherwise."""
    return Episode(
        world="by hand",
        scenario="by hand",
        seed=seed,
        start_at_ns=1_760_000_000_000_000_000,
        duration_s=duration_s,
        onset_s=impulses[0].at_s if impulses else None,
        venues=tuple(
            VenueParameters(venue=venue, share=1.0 / (1 + place)) for place, venue in enumerate(venues)
        ),
        symbols=symbols,
        value=ValueParameters(),
        makers=MAKERS,
        crowd=crowd or CrowdParameters(positions=1_000),
        flow=FlowParameters(),
        arbitrage=ArbitrageParameters(),
        liquidation=LiquidationParameters(),
        funding=FundingParameters(),
        impulses=impulses,
    )
