"""A market that does only what a test tells it: an even book around a price, moved step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from adapters.simulation import wire
from adapters.simulation.source import Frame, FrameKind, OpeningBook, SymbolSpec

LEVELS = 50
STEP_NS = 100_000_000
Levels = tuple[tuple[str, str], ...]


def levels(price: float, direction: int, size: float = 1.0, spacing: float = 1.0) -> Levels:
    """An even side; the best level lies half a spacing from the price."""
    return tuple(
        (f"{price + direction * spacing * (number + 0.5):.1f}", f"{size:.3f}") for number in range(LEVELS)
    )


@dataclass
class SteadySource:
    """Plays the prices given, one each step: depth, then a mark at the price, then a trade at it."""

    prices: Sequence[float] = (60_000.0,)
    size: float = 1.0
    symbols: tuple[str, ...] = ("BTCUSDT",)
    trades: bool = True
    next_funding_ms: int = 0
    funding_rate: str = "0.0001"
    taken_log: list[tuple[str, str, Decimal, Decimal]] = field(default_factory=list)

    @property
    def specs(self) -> Sequence[SymbolSpec]:
        return tuple(
            SymbolSpec(symbol, symbol.removesuffix("USDT"), tick=Decimal("0.1"), step=Decimal("0.001"))
            for symbol in self.symbols
        )

    def opening(self, symbol: str) -> OpeningBook:
        del symbol
        price = self.prices[0]
        return OpeningBook(100, 0, levels(price, -1, self.size), levels(price, 1, self.size))

    def taken(self, symbol: str, side: str, size: Decimal, price: Decimal) -> None:
        self.taken_log.append((symbol, side, size, price))

    def frames(self, start_at_ns: int) -> Iterator[Frame]:
        last_id, before = 100, self.prices[0]
        for number, price in enumerate(self.prices):
            at_ns = start_at_ns + number * STEP_NS
            at_ms = at_ns // 1_000_000
            for symbol in self.symbols:
                bids, asks = self._diff(before, price)
                ids = (last_id + 1, last_id + 2, last_id)
                yield Frame(at_ns, symbol, FrameKind.DEPTH, wire.depth_update(symbol, at_ms, ids, bids, asks))
                mark = wire.mark_price(
                    symbol, at_ms, f"{price:.2f}", f"{price:.2f}", self.funding_rate, self._funding_ms(at_ms)
                )
                yield Frame(at_ns, symbol, FrameKind.MARK_PRICE, mark)
                if self.trades:
                    trade = wire.trade(
                        symbol, at_ms, 1_000 + number, f"{price:.1f}", "0.500", buyer_is_maker=True
                    )
                    yield Frame(at_ns, symbol, FrameKind.TRADE, trade)
            last_id, before = last_id + 2, price

    def _diff(self, before: float, price: float) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        sides = []
        for direction in (-1, 1):
            old = dict(levels(before, direction, self.size))
            new = dict(levels(price, direction, self.size))
            gone = [(level, "0.000") for level in old if level not in new]
            sides.append(gone + list(new.items()))
        return sides[0], sides[1]

    def _funding_ms(self, at_ms: int) -> int:
        if not self.next_funding_ms:
            return 4_000_000_000_000
        interval_ms = 8 * 3_600_000
        return self.next_funding_ms if at_ms < self.next_funding_ms else self.next_funding_ms + interval_ms
