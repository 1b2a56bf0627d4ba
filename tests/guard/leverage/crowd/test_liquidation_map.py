"""The map of everybody else: it adds up to open interest, is swept by the mark, and both sides are one code."""

from __future__ import annotations

import math

import numpy as np
import pytest

from guard.forecasts import Direction
from guard.leverage.crowd import LeverageMix, LiquidationMap
from guard.readings import LiquidationFeed, Reading
from guard.units import NS_PER_S, MarketId

MARKET = MarketId("bybit:BTC/USDT:USDT")


def reading(step: int, mark: float, opened: float | None = 1_000.0, **more: float) -> Reading:
    return Reading(
        at=step * 5 * NS_PER_S,
        market=MARKET,
        elapsed_s=5.0 if step else 0.0,
        mark_price=mark,
        mark_low=more.pop("low", mark),
        mark_high=more.pop("high", mark),
        open_interest=opened,
        open_interest_at=step * 5 * NS_PER_S,
        feed=LiquidationFeed.COMPLETE,
        **more,  # type: ignore[arg-type]
    )


def test_nothing_is_said_before_a_mark_and_open_interest() -> None:
    made = LiquidationMap(MARKET, LeverageMix())
    made.update(reading(0, 100.0, None))
    assert made.side(Direction.DOWN) is None
    assert made.forecast(Direction.UP) is None
    made.update(reading(1, 100.0))
    assert made.side(Direction.DOWN) is not None


def test_what_the_mark_went_through_is_gone() -> None:
    made = LiquidationMap(MARKET, LeverageMix())
    made.update(reading(0, 100.0))
    before = made.side(Direction.DOWN)
    made.update(reading(1, 100.0, low=95.0))
    after = made.side(Direction.DOWN)
    assert before is not None
    assert after is not None
    assert before.within(-math.log(0.95)) > 0.0
    assert after.within(-math.log(0.951)) < 0.02 * before.within(-math.log(0.951))


def test_no_odd_number_breaks_it() -> None:
    made = LiquidationMap(MARKET, LeverageMix())
    for step, mark in enumerate((math.nan, -1.0, 0.0, math.inf, 100.0, 1e-9, 1e12, 100.0, math.nan)):
        made.update(reading(step, mark, opened=(math.nan, -5.0, 10.0, math.inf)[step % 4]))
    for direction in Direction:
        side = made.side(direction)
        if side is not None:
            assert np.isfinite(side.usd).all()
            assert (side.usd >= 0.0).all()


@pytest.mark.parametrize("direction", list(Direction))
def test_amounts_hold_their_middle(direction: Direction) -> None:
    made = LiquidationMap(MARKET, LeverageMix())
    made.update(reading(0, 100.0))
    told = made.forecast(direction)
    assert told is not None
    for amount in told.within:
        assert 0.0 < amount.low_usd < amount.usd < amount.high_usd
    assert [amount.usd for amount in told.within] == sorted(amount.usd for amount in told.within)
    assert all(0.0 <= band.near < band.far <= 0.13 for band in told.bands)
