"""What is true of a made-up market and no venue tells: for benchmarks, tests and what ``perpguard simulate`` writes.

Nothing that guards may import this (a contract in pyproject.toml holds it).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from guard.units import MarketId, Nanoseconds

Floats = NDArray[np.float64]

MAP_BIN_LOG = 0.001
"""Width of a bin of the map in log price: 10 bps."""

MAP_BINS = 1_000
"""Bins on each side of the mark; the last one holds what is farther."""


class ClosedBy(StrEnum):
    """Who took what was liquidated."""

    BOOK = "book"
    INSURANCE = "insurance"
    DELEVERAGE = "deleverage"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationTruth:
    """What the venue closed of one position, within a second; ``size`` signed (a long is positive), base units."""

    at_ns: Nanoseconds
    market: MarketId
    position: int
    size: float
    price: float
    """Average of what was got; the bankruptcy price where no book took it."""
    bankruptcy_price: float
    leverage: float
    closed_by: ClosedBy


@dataclass(frozen=True, slots=True, kw_only=True)
class MapTruth:
    """What would be liquidated: notional in USD at the mark by distance of the liquidation price, both sides.

    ``longs_usd[j]`` is liquidated when the mark falls by between j and j + 1 bins, ``shorts_usd[j]`` when it rises so;
    ``stops_below_usd`` (of longs) and ``stops_above_usd`` (of shorts) are stop orders alike, without targets.
    """

    at_ns: Nanoseconds
    market: MarketId
    mark_price: float
    open_interest: float
    """Base units."""
    longs_usd: Floats
    shorts_usd: Floats
    stops_below_usd: Floats
    stops_above_usd: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsTruth:
    """Every position at one book, one element each; 0 where there is no such price."""

    at_ns: Nanoseconds
    market: MarketId
    position: NDArray[np.int64]
    """Its number, which it keeps."""
    size: Floats
    """Signed base units."""
    entry_price: Floats
    leverage: Floats
    """As chosen; 0 for hedged holders."""
    is_cross: NDArray[np.bool_]
    margin_usd: Floats
    """What stands behind it, without its unrealised profit."""
    liquidation_price: Floats
    stop_price: Floats
    opened_at: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BookTruth:
    """Who stands behind one book, once a truth period."""

    at_ns: Nanoseconds
    market: MarketId
    value_price: float
    world_price: float
    mark_price: float
    willingness: float
    """Of the makers, mean by share."""
    maker_equity_ratio: float
    """Of what they began with."""
    fund_usd: float
    """Left in the insurance fund."""
    arbitrage_ratio: float
    """Of arbitrage's usual strength."""


class TruthSink(Protocol):
    """Takes the truth as it comes; nothing is kept by the market itself."""

    def liquidation(self, truth: LiquidationTruth) -> None:
        """Take a liquidation."""
        ...

    def map(self, truth: MapTruth) -> None:
        """Take a map."""
        ...

    def positions(self, truth: PositionsTruth) -> None:
        """Take all positions of a book."""
        ...

    def book(self, truth: BookTruth) -> None:
        """Take the state behind a book."""
        ...
