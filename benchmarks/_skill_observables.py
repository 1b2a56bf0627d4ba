"""What anybody can see in a market's readings without a model: the scores that others alarm and size by.

Every score rises with danger. ``DOWN`` looks at falls, ``UP`` at rises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from guard.events import CURVE_BPS
from guard.forecasts import Direction

Floats = NDArray[np.float64]
Arrays = NDArray[Any]

PERCENT_AT = CURVE_BPS.index(100.0)
ROWS_RADAR = 6
"""It is asked each half a minute."""
UNITS_OF_INTEREST = 1e4
"""What is liquidated is told to others in hundredths of a per cent of open interest."""
ROWS_MINUTE = 12
"""Readings are 5 s apart."""

SCORES = (
    "speed, 1 min",
    "drop, 5 min",
    "volatility spike",
    "spread z",
    "depth z",
    "CVD / depth",
    "liquidations / depth",
    "OI / depth",
)


def price_of(columns: Mapping[str, Arrays]) -> Floats:
    """Mid, the mark where the book is unknown; NaN where both are."""
    mid = (columns["book.bid"] + columns["book.ask"]) / 2.0
    return np.where(np.isnan(mid), columns["mark_price"], mid)


def observables(columns: Mapping[str, Arrays], direction: Direction) -> dict[str, Floats]:
    """Each of ``SCORES`` at each reading; NaN where unknown."""
    sign = float(direction.sign)
    price = held(price_of(columns))
    log_price = np.log(price)
    bids, asks = columns["book.bid_curve_usd"][:, PERCENT_AT], columns["book.ask_curve_usd"][:, PERCENT_AT]
    side = held(np.where(np.isnan(columns["book.bid"]), np.nan, bids if sign < 0 else asks)) + 1.0
    side_z = columns["book.bid_depth_z"] if sign < 0 else columns["book.ask_depth_z"]
    closed = columns["liquidated_longs_usd"] if sign < 0 else columns["liquidated_shorts_usd"]
    flow = columns["buy_usd"] - columns["sell_usd"]
    variance = np.concatenate(([0.0], np.nan_to_num(np.diff(log_price)) ** 2))
    minute, hour = trailing_sum(variance, ROWS_MINUTE), trailing_sum(variance, 60 * ROWS_MINUTE)
    seen = np.minimum(np.arange(len(price)) + 1, 60 * ROWS_MINUTE) / ROWS_MINUTE
    extreme = trailing_extreme(log_price, 5 * ROWS_MINUTE, least=sign > 0)
    return {
        "speed, 1 min": sign * (log_price - delayed(log_price, ROWS_MINUTE)),
        "drop, 5 min": sign * (log_price - extreme),
        "volatility spike": np.log((minute + 1e-9) / (hour / np.maximum(seen, 1.0) + 1e-9)),
        "spread z": columns["book.spread_z"].astype(np.float64),
        "depth z": -side_z.astype(np.float64),
        "CVD / depth": sign * trailing_sum(flow, 5 * ROWS_MINUTE) / side,
        "liquidations / depth": trailing_sum(closed, 5 * ROWS_MINUTE) / side,
        "OI / depth": oi_depth(columns),
    }


def oi_depth(columns: Mapping[str, Arrays]) -> Floats:
    """The one-line baseline: open interest in USD over bids and asks within 1 % of mid; the last known."""
    both = (columns["book.bid_curve_usd"] + columns["book.ask_curve_usd"])[:, PERCENT_AT].astype(np.float64)
    depth = np.where(np.isnan(columns["book.bid"]), np.nan, both)
    interest = held(columns["open_interest"]) * held(price_of(columns))
    return interest / (held(depth) + 1.0)


def volatility(columns: Mapping[str, Arrays]) -> Floats:
    """Standard deviation of log price over the last hour (or what was seen of it), by the hour; never below 0.1 %."""
    log_price = np.log(held(price_of(columns)))
    variance = np.concatenate(([0.0], np.nan_to_num(np.diff(log_price)) ** 2))
    rows = np.minimum(np.arange(len(variance)) + 1, 60 * ROWS_MINUTE)
    hour = trailing_sum(variance, 60 * ROWS_MINUTE) * (60 * ROWS_MINUTE / rows)
    return np.sqrt(np.maximum(hour, 1e-6))


def radar_inputs(columns: Mapping[str, Arrays]) -> Floats:
    """What it takes of each reading, a row each: all of ``peers.wickra_radar.severities`` but the time; NaN unknown."""
    interest_usd = np.maximum(columns["open_interest"] * columns["mark_price"], 1.0)
    told = np.nan_to_num(UNITS_OF_INTEREST / interest_usd)
    has_book = np.isfinite(columns["book.bid"])
    return np.stack(
        [
            columns["open_interest"],
            columns["funding_rate"],
            columns["mark_price"],
            columns["book.bid"],
            columns["book.ask"],
            np.where(has_book, columns["book.bid_curve_usd"][:, PERCENT_AT], np.nan),
            np.where(has_book, columns["book.ask_curve_usd"][:, PERCENT_AT], np.nan),
            trailing_sum(columns["liquidated_longs_usd"], ROWS_RADAR) * told,
            trailing_sum(columns["liquidated_shorts_usd"], ROWS_RADAR) * told,
        ],
        axis=1,
    )


def held(values: Arrays) -> Floats:
    """What was known last; what comes before the first known value is that value. All NaN stays."""
    found = np.asarray(values, np.float64)
    known = np.isfinite(found)
    if not known.any():
        return found
    at = np.maximum.accumulate(np.where(known, np.arange(len(found)), -1))
    held_values: Floats = found[np.where(at < 0, int(known.argmax()), at)]
    return held_values


def delayed(values: Floats, rows: int) -> Floats:
    """Values of so many rows before, the first one where there are none."""
    return np.concatenate((np.full(min(rows, len(values)), values[0]), values[:-rows]))[: len(values)]


def trailing_sum(values: Floats, rows: int) -> Floats:
    """Sum of the last ``rows`` values, this one included."""
    upto = np.cumsum(np.nan_to_num(values))
    found: Floats = upto - np.concatenate((np.zeros(min(rows, len(upto))), upto[:-rows]))[: len(upto)]
    return found


def trailing_extreme(values: Floats, rows: int, *, least: bool) -> Floats:
    """Greatest (least) of the last ``rows`` values, this one included."""
    turned = -values if least else values
    padded = np.concatenate((np.full(rows - 1, -np.inf), turned))
    found: Floats = sliding_window_view(padded, rows).max(axis=1)
    return -found if least else found
