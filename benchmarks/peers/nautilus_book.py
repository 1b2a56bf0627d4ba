"""The book of nautilus_trader (Rust), fed deltas that were built before; run in an environment of its own.

Building the deltas from floats, which a client of it has to do as well, costs about four times what applying does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nautilus_trader.model.book import OrderBook  # type: ignore[import-not-found,unused-ignore]
from nautilus_trader.model.data import (  # type: ignore[import-not-found,unused-ignore]
    BookOrder,
    OrderBookDelta,
    OrderBookDeltas,
)
from nautilus_trader.model.enums import (  # type: ignore[import-not-found,unused-ignore]
    BookAction,
    BookType,
    OrderSide,
)
from nautilus_trader.model.identifiers import InstrumentId  # type: ignore[import-not-found,unused-ignore]
from nautilus_trader.model.objects import Price, Quantity  # type: ignore[import-not-found,unused-ignore]

from benchmarks.peers.plain_features import side_of
from benchmarks.peers.serve import serve

MARKET = InstrumentId.from_str("BTCUSDT-PERP.BENCHMARK")
PRICE_DIGITS, SIZE_DIGITS = 1, 3


def deltas_of(bids: list[list[float]], asks: list[list[float]]) -> Any:
    """One update in its own words."""
    deltas = []
    for side, levels in ((OrderSide.BUY, bids), (OrderSide.SELL, asks)):
        for price, size in levels:
            action = BookAction.UPDATE if size else BookAction.DELETE
            order = BookOrder(side, Price(price, PRICE_DIGITS), Quantity(size, SIZE_DIGITS), 0)
            deltas.append(OrderBookDelta(MARKET, action, order, 0, 0, 0, 0))
    return OrderBookDeltas(MARKET, deltas)


def levels_of(levels: Any) -> Iterator[tuple[float, float]]:
    """Prices and sizes as floats."""
    return ((float(level.price), level.size()) for level in levels)


class Book:
    """An L2 book."""

    def __init__(self, snapshot: Any, updates: list[Any], asked: tuple[list[float], list[float]]) -> None:
        self._updates, self._asked = updates, asked
        self._book = OrderBook(MARKET, BookType.L2_MBP)
        self._book.apply_deltas(snapshot)

    def apply_all(self, *, features: bool) -> None:
        for update in self._updates:
            self._book.apply_deltas(update)
            if features:
                self.last()

    def last(self) -> list[float]:
        book = self._book
        bid, ask = float(book.best_bid_price()), float(book.best_ask_price())
        mid = (bid + ask) / 2
        bids = side_of(levels_of(book.bids()), mid, *self._asked)
        return [bid, ask, *bids, *side_of(levels_of(book.asks()), mid, *self._asked)]


def make(frames: dict[str, Any]) -> Callable[[], Book]:
    """Build all deltas, and return what makes a fresh book."""
    snapshot = deltas_of(frames["bids"], frames["asks"])
    updates = [deltas_of(update["bids"], update["asks"]) for update in frames["updates"]]
    return lambda: Book(snapshot, updates, (frames["distances_bps"], frames["notionals_usd"]))


if __name__ == "__main__":
    serve(make)
