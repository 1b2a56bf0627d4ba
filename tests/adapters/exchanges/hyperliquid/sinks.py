"""A sink that takes everything and keeps little of it."""

from __future__ import annotations

from typing import Any


class QuietSink:
    """A MarketSink and an AccountSink."""

    def __init__(self) -> None:
        self.malformed: list[tuple[Any, Any]] = []
        self.books: list[int] = []
        self.trades = 0

    def on_connected(self) -> None: ...

    def on_update(self, update: Any) -> None: ...

    def on_subscribed(self, stream: Any, symbols: Any) -> None: ...

    def on_depth(self, symbol: str, diff: Any) -> None: ...

    def on_book(self, symbol: str, snapshot: Any) -> None:
        self.books.append(snapshot.last_id)

    def on_open_interest(self, symbol: str, size: float, exchange_at: Any) -> None: ...

    def on_trade(self, symbol: str, trade: Any) -> None:
        self.trades += 1

    def on_mark(self, symbol: str, mark: Any) -> None: ...

    is_observed = False

    def on_reader(self, reader: Any) -> None: ...

    def live(self, symbol: str) -> None:
        """Nothing is taken raw."""

    def on_attention(self, index: int) -> None: ...

    def on_liquidation(self, symbol: str, liquidation: Any) -> None: ...

    def on_malformed(self, symbol: Any, stream: Any, detail: str) -> None:
        self.malformed.append((symbol, stream))
