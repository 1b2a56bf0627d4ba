"""One episode as arrays, for statistics: what is written down of every book, and how it is kept in bytes."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from guard.events import CURVE_BPS, NOTIONALS_USD
from guard.units import MarketId

CURVE = len(CURVE_BPS)
COSTS = len(NOTIONALS_USD)

SCALARS = (
    "mid",
    "mark",
    "index",
    "world",
    "value",
    "spread_bps",
    "funding_rate",
    "open_interest",
    "taker_bought_usd",
    "taker_sold_usd",
    "liquidated_longs_usd",
    "liquidated_shorts_usd",
    "liquidations",
    "insured_usd",
    "deleveraged_usd",
    "fund_usd",
    "willingness",
    "equity_ratio",
    "arbitrage_ratio",
    "z",
    "is_out",
)
"""Prices quote per base; open interest base units; bought, sold and liquidated since the row before; ratios 0..1."""

CURVES = ("bid_curve_usd", "ask_curve_usd")
"""Resting notional within each of ``CURVE_BPS`` of mid."""

SLIPPAGES = ("sell_slippage_bps", "buy_slippage_bps")
"""Cost against mid of taking each of ``NOTIONALS_USD`` from the bids (sell) and the asks (buy); -1: not so much."""

WIDTHS: dict[str, int] = (
    dict.fromkeys(SCALARS, 1) | dict.fromkeys(CURVES, CURVE) | dict.fromkeys(SLIPPAGES, COSTS)
)
ROW = sum(WIDTHS.values())
"""Numbers of one book at one step."""

OFFSETS: dict[str, int] = dict(zip(WIDTHS, accumulate(WIDTHS.values(), initial=0), strict=False))
"""Where each begins in a row."""

EXACT = frozenset(("mid", "mark", "index", "world", "value", "open_interest"))
"""Columns that are kept as float64; the others as float32, whose seven digits statistics do not miss."""


@dataclass(frozen=True, slots=True)
class Series:
    """What was written down of an episode.

    Attributes:
        markets: the books, in the order of the arrays' second axis.
        at_s: seconds since the episode began, ``(steps,)``.
        columns: ``SCALARS`` as ``(steps, markets)``, ``CURVES`` and ``SLIPPAGES`` with one more axis.
    """

    markets: tuple[MarketId, ...]
    at_s: NDArray[np.float64]
    columns: dict[str, NDArray[np.floating]]

    def __getitem__(self, name: str) -> NDArray[np.floating]:
        """One column."""
        return self.columns[name]

    @property
    def round_trip_bps(self) -> NDArray[np.floating]:
        """What buying and selling at once costs, ``(steps, markets, NOTIONALS_USD)``; infinite where nobody can."""
        sold, bought = self.columns["sell_slippage_bps"], self.columns["buy_slippage_bps"]
        return np.where((sold < 0.0) | (bought < 0.0), np.inf, sold + bought)

    @classmethod
    def of_rows(
        cls, markets: tuple[MarketId, ...], at_s: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> Series:
        """Split rows ``(steps, markets, ROW)`` into columns."""
        columns: dict[str, NDArray[np.floating]] = {}
        for name, width in WIDTHS.items():
            at = OFFSETS[name]
            part = rows[:, :, at] if width == 1 else rows[:, :, at : at + width]
            columns[name] = np.ascontiguousarray(part, np.float64 if name in EXACT else np.float32)
        return cls(markets, at_s, columns)

    def to_bytes(self) -> bytes:
        """All of it, the same bytes for the same numbers; compressed."""
        head = {
            "markets": list(self.markets),
            "arrays": [
                [name, array.dtype.str, list(array.shape)]
                for name, array in (("at_s", self.at_s), *self.columns.items())
            ],
        }
        body = b"".join(array.tobytes() for array in (self.at_s, *self.columns.values()))
        return json.dumps(head).encode() + b"\n" + zlib.compress(body, 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Series:
        """Read it back; ValueError where it is no such thing."""
        head_line, _, packed = data.partition(b"\n")
        try:
            head = json.loads(head_line)
            body = zlib.decompress(packed)
            arrays: dict[str, NDArray[np.floating]] = {}
            at = 0
            for name, dtype, shape in head["arrays"]:
                array = np.frombuffer(body, dtype, int(np.prod(shape)), at).reshape(shape)
                at += array.nbytes
                arrays[name] = array
            at_s = arrays.pop("at_s").astype(np.float64)
            return cls(tuple(MarketId(name) for name in head["markets"]), at_s, arrays)
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise ValueError(f"not the series of an episode: {error}") from error
