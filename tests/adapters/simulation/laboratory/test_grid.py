"""Prices and sizes as whole numbers: there and back without loss."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.simulation.laboratory.grid import Grid
from adapters.simulation.laboratory.parameters import SymbolParameters

SYMBOL = SymbolParameters(
    symbol="DOGEUSDT",
    tick=Decimal("0.00001"),
    lot=Decimal(1),
    price_start=0.2,
    depth_usd=1e6,
    half_spread_bps=1.0,
    open_interest_usd=1e7,
    volume_day_usd=1e8,
    beta=1.2,
    volatility_day=0.05,
    brackets=(),
)


@given(tick=st.integers(1, 80_000), lots=st.integers(-(10**9), 10**9))
def test_a_tick_is_found_again_from_its_price(tick: int, lots: int) -> None:
    grid = Grid(SYMBOL)
    assert grid.price_ticks(grid.price_of(tick)) == tick
    assert grid.price_of(tick) == float(Decimal("0.00001") * tick)
    assert grid.size_lots(grid.size_of(abs(lots))) == abs(lots)


def test_a_book_has_room_for_four_times_the_price() -> None:
    grid = Grid(SYMBOL)
    assert (grid.micros, grid.tick_start) == (10, 20_000)
    assert grid.ticks > 80_000
    assert grid.lots_worth(1_000.0, 20_000) == 5_000
    assert grid.usd_of(1_500_000) == 1.5


def test_a_grid_that_is_not_whole_is_refused() -> None:
    with pytest.raises(ValueError, match=r"DOGEUSDT: tick 1E-7 times lot 1 is 0.1 millionths"):
        Grid(dataclasses.replace(SYMBOL, tick=Decimal("0.0000001")))
    with pytest.raises(ValueError, match="is less than a tick"):
        Grid(dataclasses.replace(SYMBOL, price_start=0.000001))
