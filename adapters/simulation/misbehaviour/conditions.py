"""Markets in unusual conditions: another tick, a halt, a delisting, a crossed book.

The source plays on as if nothing were; what clients are told is derived from it. The venue's own book is
always what was published, so that its REST answers and its streams agree, whatever the condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from adapters.simulation import wire
from adapters.simulation.book import BookLevels, VenueBook
from adapters.simulation.markets import Market, MarketStatus
from adapters.simulation.misbehaviour.faults import Fault, FaultKind
from adapters.simulation.source import OpeningBook
from adapters.simulation.wire import Level

CROSSED_TICKS = 3
"""A crossed book's best bid lies so far above its best ask."""

Sides = tuple[dict[float, Level], dict[float, Level]]
"""Bids and asks by price."""


@dataclass(slots=True)
class _Altered:
    """What the source has, while clients are told something else; ``faults`` are the reasons."""

    source: VenueBook
    tick: Decimal
    faults: list[Fault] = field(default_factory=list)

    def has(self, kind: FaultKind) -> bool:
        return any(fault.kind is kind for fault in self.faults)


class Conditions:
    """Rewrites what sources say of markets that are in an unusual condition."""

    def __init__(self, markets: dict[str, Market], settle: Callable[[str], None]) -> None:
        """Set up.

        Args:
            markets: by symbol.
            settle: closes every position of a symbol at its mark and cancels its orders.
        """
        self._markets = markets
        self._settle = settle
        self._altered: dict[str, _Altered] = {}

    def begin(self, fault: Fault) -> None:
        """Put the fault's markets into the condition; symbols that are not here are left out."""
        for symbol in fault.symbols:
            market = self._markets.get(symbol)
            if market is None:
                continue
            if symbol not in self._altered:
                self._altered[symbol] = _Altered(_copy(market.book), market.spec.tick)
            altered = self._altered[symbol]
            altered.faults.append(fault)
            if fault.kind is FaultKind.DELIST and market.status is not MarketStatus.DELISTED:
                self._settle(symbol)
            self._settle_status(market, altered)

    def end(self, fault: Fault) -> None:
        """Take the fault's markets out of the condition; the next diff brings their books to what is true."""
        for symbol in fault.symbols:
            altered = self._altered.get(symbol)
            if altered is not None and fault in altered.faults:
                altered.faults.remove(fault)
                self._settle_status(self._markets[symbol], altered)

    def is_mute(self, symbol: str) -> bool:
        """Whether nothing is said of this market: no trade, no best price, and no mark either if it is gone."""
        return self._markets[symbol].status is not MarketStatus.TRADING

    def depth(self, market: Market, payload: bytes) -> bytes | None:
        """What a source's diff is to clients; None if they are told nothing.

        Raises:
            MsgspecError: it cannot be read.
        """
        altered = self._altered.get(market.spec.symbol)
        if altered is None:
            return payload
        update = wire.decode_depth(payload)
        if not altered.source.apply(update):
            return None
        if market.status is not MarketStatus.TRADING and not self._is_emptied(altered):
            return None
        bids, asks = self._shown(market, altered)
        changes = _changes(market.book.bids, bids.values()), _changes(market.book.asks, asks.values())
        if not altered.faults:
            del self._altered[market.spec.symbol]
        if not any(changes) and market.status is not MarketStatus.TRADING:
            return None
        before = market.book.update_id
        return wire.depth_update(
            market.spec.symbol, update.E, (before + 1, max(update.u, before + 1), before), *changes
        )

    def is_altered(self, symbol: str) -> bool:
        return symbol in self._altered

    def _settle_status(self, market: Market, altered: _Altered) -> None:
        ratio = 1
        for fault in altered.faults:
            if fault.kind is FaultKind.TICK_SIZE:
                ratio *= fault.tick_ratio
        market.spec = replace(market.spec, tick=altered.tick * ratio)
        market.status = MarketStatus.TRADING
        if altered.has(FaultKind.HALT):
            market.status = MarketStatus.HALTED
        if altered.has(FaultKind.DELIST):
            market.status = MarketStatus.DELISTED

    def _is_emptied(self, altered: _Altered) -> bool:
        return any(fault.kind is FaultKind.HALT and fault.emptied for fault in altered.faults)

    def _shown(self, market: Market, altered: _Altered) -> Sides:
        if self._is_emptied(altered):
            return {}, {}
        bids, asks = dict(altered.source.bids.levels), dict(altered.source.asks.levels)
        if altered.has(FaultKind.TICK_SIZE):
            tick = market.spec.tick
            bids, asks = _regridded(bids, tick, ROUND_FLOOR), _regridded(asks, tick, ROUND_CEILING)
        if altered.has(FaultKind.CROSS) and asks:
            best, size = asks[min(asks)]
            price = Decimal(best) + CROSSED_TICKS * market.spec.tick
            bids[float(price)] = (str(price), size)
        return bids, asks


def _copy(book: VenueBook) -> VenueBook:
    """The same book once more, without what accounts took from it."""
    return VenueBook(
        OpeningBook(
            book.update_id, book.at_ms, tuple(book.bids.levels.values()), tuple(book.asks.levels.values())
        )
    )


def _changes(shown: BookLevels, wanted: Iterable[Level]) -> list[Level]:
    """What turns one side into another: sizes that differ, and zero for what is gone."""
    target = {float(price): (price, size) for price, size in wanted}
    gone = [(level[0], "0") for price, level in shown.levels.items() if price not in target]
    return gone + [level for price, level in target.items() if shown.levels.get(price) != level]


def _regridded(levels: dict[float, Level], tick: Decimal, rounding: str) -> dict[float, Level]:
    """Move each level outwards to the next price of a coarser grid; sizes of one price add up."""
    sums: dict[Decimal, Decimal] = {}
    for text, size in levels.values():
        price = (Decimal(text) / tick).to_integral_value(rounding) * tick
        if price > 0:
            sums[price] = sums.get(price, Decimal(0)) + Decimal(size)
    return {float(price): (f"{price:f}", f"{size:f}") for price, size in sums.items()}
