"""A book with a crowd at it for tests: round numbers, so that what is expected can be worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from adapters.simulation.laboratory import crowd as crowd_module
from adapters.simulation.laboratory import draws as draws_module
from adapters.simulation.laboratory import exchange as exchange_module
from adapters.simulation.laboratory.grid import Grid
from adapters.simulation.laboratory.owners import MAKERS
from adapters.simulation.laboratory.parameters import (
    CrowdParameters,
    LiquidationParameters,
    MarginBracket,
    SymbolParameters,
)

BRACKETS = (
    MarginBracket(floor_usd=0.0, maintenance_ratio=0.01, leverage_max=50.0),
    MarginBracket(floor_usd=50_000.0, maintenance_ratio=0.02, leverage_max=25.0),
    MarginBracket(floor_usd=250_000.0, maintenance_ratio=0.05, leverage_max=10.0),
    MarginBracket(floor_usd=1_000_000.0, maintenance_ratio=0.1, leverage_max=5.0),
)

SYMBOL = SymbolParameters(
    symbol="ALTUSDT",
    tick=Decimal("0.01"),
    lot=Decimal("0.1"),
    price_start=100.0,
    depth_usd=100_000.0,
    half_spread_bps=1.0,
    open_interest_usd=10_000_000.0,
    volume_day_usd=50_000_000.0,
    beta=1.0,
    volatility_day=0.03,
    brackets=BRACKETS,
)
"""A tick is a basis point of the start price, 100 USD; a lot is 0.1 base, 10 USD there."""

START = 10_000
"""The start price in ticks."""


def crowd_at(  # the parts of it are those of a module, so that the same test drives Python's source
    *,
    parameters: CrowdParameters | None = None,
    liquidation: LiquidationParameters | None = None,
    taker_fee_ppm: int = 0,
    seed: int = 1,
    modules: Any = None,
) -> Any:
    """Make a crowd at an empty book; its exchange is ``crowd.exchange``. ``modules`` are (crowd, exchange, draws)."""
    of_crowd, of_exchange, of_draws = modules or (crowd_module, exchange_module, draws_module)
    exchange = of_exchange.Exchange(Grid(SYMBOL), 0, taker_fee_ppm)
    return of_crowd.Crowd(
        exchange,
        parameters or CrowdParameters(positions=400),
        BRACKETS,
        liquidation or LiquidationParameters(),
        of_draws.Draws(f"{seed}:crowd"),
    )


def rest(crowd: Any, side: int, tick: int, lots: int) -> int:
    """Rest a maker's order."""
    order: int = crowd.exchange.place(MAKERS, side, tick, lots)
    return order


def entered(
    crowd: Any,
    side: int,
    lots: int,
    leverage: float,
    *,
    tick: int = START,
    spare: float = 0.0,
    is_cross: bool = False,
    stop_bps: float = 0.0,
    target_bps: float = 0.0,
) -> int:
    """Enter at exactly one price, against a maker."""
    rest(crowd, -side, tick, lots)
    slot: int = crowd.enter(0, side, lots, leverage, is_cross, spare, stop_bps, target_bps)
    assert slot >= 0
    return slot
