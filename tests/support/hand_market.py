"""A market for the loopback venue whose price and depth a test turns by hand while it plays."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from adapters.simulation import wire
from adapters.simulation.source import Frame, FrameKind, OpeningBook, SymbolSpec

STEP_MS = 100
NS_PER_MS = 1_000_000
LEVELS = 100
"""A side, 5 bps apart: the book shows 500 bps."""
SPACING_BPS = 5.0
LEVEL_USD = 300_000.0
"""6,000,000 USD within 100 bps of mid on each side, when calm."""
MARK_EVERY_STEPS = 5
"""A mark each half second: the paper bot decides on each of them."""

Quotes = dict[str, str]


@dataclass(slots=True)
class HandMarket:
    """Even depth on both sides, with a little noise; what a test sets holds from the next 100 ms on.

    Attributes:
        price: mid, and the mark price.
        depth_ratio: depth over what is normal.
        scales: what a symbol costs as a multiple of ``price``; 1 where none is named.
    """

    symbols: tuple[str, ...] = ("BTCUSDT",)
    price: float = 60_000.0
    depth_ratio: float = 1.0
    hours: float = 1.0
    scales: Mapping[str, float] = field(default_factory=dict)

    @property
    def specs(self) -> Sequence[SymbolSpec]:
        return tuple(
            SymbolSpec(
                symbol=symbol,
                base=symbol[:-4],
                quote=symbol[-4:],
                tick=Decimal("0.1"),
                step=Decimal("0.001"),
            )
            for symbol in self.symbols
        )

    def opening(self, symbol: str) -> OpeningBook:
        bids, asks = (tuple(self._quotes(symbol, sign, 1.0).items()) for sign in (-1, 1))
        return OpeningBook(1, 0, bids, asks)

    def taken(self, symbol: str, side: str, size: Decimal, price: Decimal) -> None:
        """Makers here put back at once what was taken."""

    def thin(self, ratio: float = 0.1) -> None:
        """Makers withdraw."""
        self.depth_ratio = ratio

    def calm(self) -> None:
        """Makers are back."""
        self.depth_ratio = 1.0

    def fall(self, bps: float) -> None:
        """The price falls from where it is."""
        self.price *= 1.0 - bps / 10_000.0

    def frames(self, start_at_ns: int) -> Iterator[Frame]:
        noise = random.Random(1)
        shown = {
            (symbol, sign): self._quotes(symbol, sign, 1.0) for symbol in self.symbols for sign in (-1, 1)
        }
        for step in range(int(self.hours * 3_600_000 / STEP_MS)):
            at_ns = start_at_ns + (step + 1) * STEP_MS * NS_PER_MS
            at_ms = at_ns // NS_PER_MS
            # A little noise, so that depth has a spread and every 100 ms something changes.
            noises = {sign: 1.0 + noise.uniform(-0.02, 0.02) for sign in (-1, 1)}
            for symbol in self.symbols:
                wanted = {sign: self._quotes(symbol, sign, noises[sign]) for sign in (-1, 1)}
                bids, asks = (_changes(shown[symbol, sign], wanted[sign]) for sign in (-1, 1))
                shown |= {(symbol, sign): quotes for sign, quotes in wanted.items()}
                ids = (step + 2, step + 2, step + 1)
                yield Frame(at_ns, symbol, FrameKind.DEPTH, wire.depth_update(symbol, at_ms, ids, bids, asks))
                if step % MARK_EVERY_STEPS == 0:
                    yield Frame(at_ns, symbol, FrameKind.MARK_PRICE, self._mark(symbol, at_ms))
                    price = f"{self._price(symbol):.1f}"
                    trade = wire.trade(symbol, at_ms, step + 1, price, "0.010", buyer_is_maker=step % 2 == 0)
                    yield Frame(at_ns, symbol, FrameKind.TRADE, trade)

    def _price(self, symbol: str) -> float:
        return self.price * self.scales.get(symbol, 1.0)

    def _quotes(self, symbol: str, sign: int, noise: float) -> Quotes:
        quotes: Quotes = {}
        mid = self._price(symbol)
        for index in range(LEVELS):
            away_bps = 0.25 + index * SPACING_BPS
            price = mid * (1.0 + sign * away_bps / 10_000.0)
            quotes[f"{price:.1f}"] = f"{LEVEL_USD * self.depth_ratio * noise / price:.3f}"
        return quotes

    def _mark(self, symbol: str, at_ms: int) -> bytes:
        price = f"{self._price(symbol):.8f}"
        return wire.mark_price(symbol, at_ms, price, price, "0.00010000", at_ms + 3_600_000)


def _changes(shown: Quotes, wanted: Quotes) -> list[tuple[str, str]]:
    gone = [(price, "0") for price in shown if price not in wanted]
    return [*gone, *((price, size) for price, size in wanted.items() if shown.get(price) != size)]
