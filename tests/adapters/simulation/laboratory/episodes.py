"""Small episodes put together by hand, for tests of the laboratory."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from adapters.simulation.laboratory.parameters import (
    ArbitrageParameters,
    CrowdParameters,
    Episode,
    FlowParameters,
    FundingParameters,
    LiquidationFeed,
    LiquidationParameters,
    MakerParameters,
    MarginBracket,
    SymbolParameters,
    ValueParameters,
    VenueParameters,
)

START_AT_NS = 1_760_000_400 * 1_000_000_000
"""9 October 2025, 09:00 UTC."""

BRACKETS = (
    MarginBracket(floor_usd=0.0, maintenance_ratio=0.005, leverage_max=75.0),
    MarginBracket(floor_usd=50_000.0, maintenance_ratio=0.01, leverage_max=50.0),
    MarginBracket(floor_usd=500_000.0, maintenance_ratio=0.025, leverage_max=20.0),
)

BTC = SymbolParameters(
    symbol="BTCUSDT",
    tick=Decimal(5),
    lot=Decimal("0.001"),
    price_start=100_000.0,
    depth_usd=10e6,
    half_spread_bps=0.5,
    open_interest_usd=200e6,
    volume_day_usd=2e9,
    beta=1.0,
    volatility_day=0.008,
    brackets=BRACKETS,
)
ALT = SymbolParameters(
    symbol="ALTUSDT",
    tick=Decimal("0.0002"),
    lot=Decimal(1),
    price_start=2.0,
    depth_usd=150e3,
    half_spread_bps=1.5,
    open_interest_usd=6e6,
    volume_day_usd=60e6,
    beta=1.5,
    volatility_day=0.04,
    brackets=BRACKETS,
)
BINANCE = VenueParameters(venue="binanceusdm")
BYBIT = VenueParameters(venue="bybit", share=0.5, liquidation_feed=LiquidationFeed.COMPLETE)
MAKERS = (
    MakerParameters(name="fast", share=0.6),
    MakerParameters(name="slow", share=0.4, spread_ratio=2.0, reaction_s=2.0, signal_ratio=0.2),
)


def small_episode(**changed: Any) -> Episode:
    """Two symbols at two venues on a calm day, and whatever is ``changed`` about them."""
    episode = Episode(
        world="by hand",
        scenario="by hand",
        seed=7,
        start_at_ns=START_AT_NS,
        duration_s=60.0,
        onset_s=None,
        venues=(BINANCE, BYBIT),
        symbols=(BTC, ALT),
        value=ValueParameters(),
        makers=MAKERS,
        crowd=CrowdParameters(positions=400, history_days=1.0),
        flow=FlowParameters(),
        arbitrage=ArbitrageParameters(),
        liquidation=LiquidationParameters(),
        funding=FundingParameters(),
    )
    return replace(episode, **changed)
