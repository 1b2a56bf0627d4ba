"""The whole numbers of a book: prices as ticks, sizes as lots, money as micros (millionths of a USD)."""

from __future__ import annotations

import math
from fractions import Fraction

from adapters.simulation.laboratory.parameters import SymbolParameters

MICROS_PER_USD = 1_000_000

PRICE_RATIO_MAX = 4
"""A book has room for so many times the price at which it begins."""


class Grid:
    """Reads prices and sizes into whole numbers and back; exact, so that nothing is lost or made by rounding."""

    __slots__ = (
        "_lot",
        "_lot_parts",
        "_tick",
        "_tick_parts",
        "lot",
        "micros",
        "symbol",
        "tick",
        "tick_start",
        "ticks",
    )

    def __init__(self, symbol: SymbolParameters) -> None:
        """Take the symbol's tick and lot.

        Raises ``ValueError`` where a tick times a lot is no whole number of micros, or the start price no tick.
        """
        micros = Fraction(symbol.tick) * Fraction(symbol.lot) * MICROS_PER_USD
        if micros.denominator != 1 or micros <= 0:
            raise ValueError(
                f"{symbol.symbol}: tick {symbol.tick} times lot {symbol.lot} is {float(micros):g} millionths of a USD;"
                " choose them so that it is a whole number above 0"
            )
        self.symbol = symbol.symbol
        self.tick = float(symbol.tick)
        """USD."""
        self.lot = float(symbol.lot)
        """Base units."""
        self.micros = int(micros)
        """What one lot costs a tick, in millionths of a USD."""
        self._tick = Fraction(symbol.tick)
        self._lot = Fraction(symbol.lot)
        self._tick_parts = self._tick.as_integer_ratio()
        self._lot_parts = self._lot.as_integer_ratio()
        self.tick_start = self.price_ticks(symbol.price_start)
        if self.tick_start < 1:
            raise ValueError(f"{symbol.symbol}: a start price of {symbol.price_start} is less than a tick")
        self.ticks = self.tick_start * PRICE_RATIO_MAX + 64
        """Size of the book: its prices are 1 .. ticks - 1."""

    def price_ticks(self, price: float) -> int:
        """Return the tick nearest to a price in USD (half a tick goes up)."""
        return math.floor(Fraction(price) / self._tick + Fraction(1, 2))

    def price_of(self, tick: int) -> float:
        """Return the price of a tick in USD, the float nearest to it."""
        numerator, denominator = self._tick_parts
        return tick * numerator / denominator

    def size_of(self, lots: int) -> float:
        """Return so many lots in base units, signed as they are, the float nearest to it."""
        numerator, denominator = self._lot_parts
        return lots * numerator / denominator

    def size_lots(self, size: float) -> int:
        """Return how many whole lots are in a size in base units (>= 0)."""
        return math.floor(Fraction(size) / self._lot + Fraction(1, 1_000_000))

    def lots_worth(self, usd: float, tick: float) -> int:
        """Return how many lots are worth an amount of USD (>= 0) at a tick, rounded to the nearest."""
        return int(usd * MICROS_PER_USD / (self.micros * tick) + 0.5)

    def usd_of(self, micros: int) -> float:
        """Return micros in USD."""
        return micros / MICROS_PER_USD
