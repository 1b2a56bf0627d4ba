"""The book that cryptofeed keeps (order_book, in C), with floats for keys; run in an environment of its own.

Its default of Decimal keys costs about three times as much to measure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from order_book import OrderBook  # type: ignore[import-untyped,import-not-found,unused-ignore]

from benchmarks.peers.plain_features import side_of
from benchmarks.peers.serve import serve


class Book:
    """Applies levels as cryptofeed's handlers do, one by one."""

    def __init__(self, frames: dict[str, Any]) -> None:
        self._updates = [(update["bids"], update["asks"]) for update in frames["updates"]]
        self._asked = frames["distances_bps"], frames["notionals_usd"]
        self._book = OrderBook(max_depth=0)
        self._apply(frames["bids"], frames["asks"])

    def _apply(self, bids: list[list[float]], asks: list[list[float]]) -> None:
        for side, levels in ((self._book.bids, bids), (self._book.asks, asks)):
            for price, size in levels:
                if size:
                    side[price] = size
                elif price in side:
                    del side[price]

    def apply_all(self, *, features: bool) -> None:
        for bids, asks in self._updates:
            self._apply(bids, asks)
            if features:
                self.last()

    def last(self) -> list[float]:
        bids, asks = self._book.bids.to_list(), self._book.asks.to_list()
        mid = (bids[0][0] + asks[0][0]) / 2
        return [bids[0][0], asks[0][0], *side_of(bids, mid, *self._asked), *side_of(asks, mid, *self._asked)]


def make(frames: dict[str, Any]) -> Callable[[], Book]:
    """Return what makes a fresh book."""
    return lambda: Book(frames)


if __name__ == "__main__":
    serve(make)
