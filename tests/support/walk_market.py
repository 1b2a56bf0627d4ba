"""A small market that walks at random: forty levels a side, a few of which change every tenth of a second.

Made for tests that run many venues side by side: it costs a tenth of what the generated market costs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from adapters.simulation import wire
from adapters.simulation.source import Frame, FrameKind, OpeningBook, SymbolSpec
from adapters.simulation.wire import Level

LEVELS = 40
CHANGES = 5
"""Sizes that change on each side in a step, besides what the walk brings and takes."""
STEP_NS = 100_000_000
START_TICKS = 600_000
"""Price in ticks of 0.1."""


@dataclass
class _Walk:
    """One symbol: sizes by price in ticks."""

    rng: Random
    mid: int = START_TICKS
    bids: dict[int, str] = field(default_factory=dict)
    asks: dict[int, str] = field(default_factory=dict)

    def step(self) -> tuple[list[Level], list[Level]]:
        """Move, and return what changed on the bid and the ask side."""
        self.mid += self.rng.choice((-1, 0, 1))
        return self._requote(self.bids, -1), self._requote(self.asks, 1)

    def _requote(self, side: dict[int, str], direction: int) -> list[Level]:
        wanted = range(self.mid + direction, self.mid + direction * (LEVELS + 1), direction)
        changes = [(_price(ticks), "0") for ticks in side if ticks not in wanted]
        for ticks in [ticks for ticks in side if ticks not in wanted]:
            del side[ticks]
        touched = {ticks for ticks in wanted if ticks not in side} | set(self.rng.sample(wanted, CHANGES))
        for ticks in touched:
            side[ticks] = f"{self.rng.uniform(0.1, 5.0):.3f}"
            changes.append((_price(ticks), side[ticks]))
        return changes


def _price(ticks: int) -> str:
    return f"{ticks / 10:.1f}"


@dataclass
class WalkMarket:
    """A MarketSource; equal seeds walk alike."""

    symbols: tuple[str, ...]
    """With a quote of four letters: BTCUSDT, BTCUSDC."""
    seed: int

    @property
    def specs(self) -> Sequence[SymbolSpec]:
        return tuple(
            SymbolSpec(symbol, symbol[:-4], tick=Decimal("0.1"), step=Decimal("0.001"), quote=symbol[-4:])
            for symbol in self.symbols
        )

    def opening(self, symbol: str) -> OpeningBook:
        bids, asks = self._walk(symbol).step()
        return OpeningBook(100, 0, tuple(bids), tuple(asks))

    def taken(self, symbol: str, side: str, size: Decimal, price: Decimal) -> None:
        """Take no notice."""

    def frames(self, start_at_ns: int) -> Iterator[Frame]:
        walks = {symbol: self._walk(symbol) for symbol in self.symbols}
        for walk in walks.values():
            walk.step()  # the opening book
        for number in itertools.count(1):
            at_ns = start_at_ns + number * STEP_NS
            for symbol, walk in walks.items():
                yield from self._step(symbol, walk, number, at_ns)

    def _step(self, symbol: str, walk: _Walk, number: int, at_ns: int) -> Iterator[Frame]:
        at_ms, last = at_ns // 1_000_000, 100 + 2 * number
        bids, asks = walk.step()
        diff = wire.depth_update(symbol, at_ms, (last - 1, last, last - 2), bids, asks)
        yield Frame(at_ns, symbol, FrameKind.DEPTH, diff)
        price = _price(walk.mid)
        if number % 10 == 0:
            mark = wire.mark_price(symbol, at_ms, price, price, "0.0001", at_ms + 3_600_000)
            yield Frame(at_ns, symbol, FrameKind.MARK_PRICE, mark)
        if number % 3 == 0:
            trade = wire.trade(symbol, at_ms, number, price, "0.010", buyer_is_maker=number % 2 == 0)
            yield Frame(at_ns, symbol, FrameKind.TRADE, trade)

    def _walk(self, symbol: str) -> _Walk:
        return _Walk(Random(f"{self.seed}:{symbol}"))
