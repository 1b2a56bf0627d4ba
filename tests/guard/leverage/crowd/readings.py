"""Readings of a made-up market for the map's tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from guard.readings import LiquidationFeed, Reading
from guard.units import NS_PER_S, MarketId

MARKET = MarketId("bybit:BTC/USDT:USDT")
START_AT = 1_760_000_000 * NS_PER_S


def reading(step: int, mark: float, opened: float | None = 1_000.0, **more: object) -> Reading:
    """One reading, ``step`` times 5 s after the first; other fields by name."""
    at = START_AT + step * 5 * NS_PER_S
    fields: dict[str, object] = {
        "at": at,
        "market": MARKET,
        "elapsed_s": 5.0 if step else 0.0,
        "mark_price": mark,
        "mark_low": mark,
        "mark_high": mark,
        "open_interest": opened,
        "open_interest_at": at,
        "feed": LiquidationFeed.COMPLETE,
    }
    return Reading(**(fields | more))  # type: ignore[arg-type]


def walk(
    steps: int, seed: int, *, log_sd: float = 3e-4, first: int = 0, price: float = 100.0
) -> Iterator[Reading]:
    """A calm market: a walk of the mark, open interest that comes and goes a little."""
    generator = np.random.default_rng(seed)
    marks = price * np.exp(np.cumsum(generator.normal(0.0, log_sd, steps)))
    opened = 1_000.0 * np.exp(0.01 * np.sin(np.arange(steps) / 40.0))
    for at in range(steps):
        yield reading(
            first + at, float(marks[at]), float(opened[at]), buy_usd=900.0 + 10.0 * (at % 7), sell_usd=1_000.0
        )
