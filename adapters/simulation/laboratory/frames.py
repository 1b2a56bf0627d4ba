"""What a venue publishes of a book of the laboratory, as frames: every dialect speaks from the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from adapters.simulation import wire
from adapters.simulation.laboratory.accounts import TradedBook
from adapters.simulation.laboratory.parameters import LiquidationFeed
from adapters.simulation.source import Frame, FrameKind, OpeningBook
from adapters.simulation.wire import Level

OPENING_LEVELS = 5_000
NS_PER_MS = 1_000_000

THROTTLE_MS = 1_000
"""Binance: of the liquidations of a symbol within so long the latest is told (developers.binance.com, "Liquidation
Order Streams")."""

COMPLETE_MS = 500
"""Bybit: all of them are told every so often (bybit-exchange.github.io, "All Liquidation")."""


class BookFrames:
    """One symbol's frames: differences of the book since they were last asked for, trades, best prices, marks."""

    def __init__(self, symbol: str, traded: TradedBook, first_id: int) -> None:
        self._symbol = symbol
        self._exchange = traded.exchange
        self._tick, self._lot = float(traded.tick), float(traded.lot)
        self._price_digits, self._size_digits = _digits(traded.tick), _digits(traded.lot)
        self._update_id = first_id
        self._trade_id = first_id
        self._touch: tuple[Level, Level] | None = None

    def opening(self) -> OpeningBook:
        """The book as it is; differences count from here."""
        book = self._exchange.book
        self._changes(1)
        self._changes(-1)
        bids, asks = (
            tuple(
                (self.price_text(int(tick)), self.size_text(int(lots)))
                for tick, lots in zip(*book.gather(side, OPENING_LEVELS), strict=True)
            )
            for side in (1, -1)
        )
        return OpeningBook(self._update_id, 0, bids, asks)

    def changes(self, at_ns: int) -> list[Frame]:
        """Trades, then the difference of the book, then the best prices: each only where there is something new."""
        frames = self._trades(at_ns)
        bids, asks = self._changes(1), self._changes(-1)
        if bids or asks:
            before = self._update_id
            self._update_id += len(bids) + len(asks)
            ids = (before + 1, self._update_id, before)
            payload = wire.depth_update(self._symbol, at_ns // NS_PER_MS, ids, bids, asks)
            frames.append(Frame(at_ns, self._symbol, FrameKind.DEPTH, payload))
            frames += self._ticker(at_ns)
        return frames

    def mark(self, at_ns: int, mark: float, index: float, rate: float, next_funding_ms: int) -> Frame:
        """The mark price and the index in USD, and the rate of the next funding, which is due in Unix ms."""
        payload = wire.mark_price(
            self._symbol,
            at_ns // NS_PER_MS,
            f"{mark:.8f}",
            f"{index:.8f}",
            f"{rate:.8f}",
            next_funding_ms,
        )
        return Frame(at_ns, self._symbol, FrameKind.MARK_PRICE, payload)

    def open_interest(self, at_ns: int, lots: int) -> Frame:
        payload = wire.open_interest(self._symbol, at_ns // NS_PER_MS, self.size_text(lots))
        return Frame(at_ns, self._symbol, FrameKind.OPEN_INTEREST, payload)

    def price_text(self, tick: int) -> str:
        return f"{tick * self._tick:.{self._price_digits}f}"

    def size_text(self, lots: int) -> str:
        return f"{lots * self._lot:.{self._size_digits}f}"

    def _changes(self, side: int) -> list[Level]:
        book = self._exchange.book
        return [
            (self.price_text(tick), self.size_text(book.lots_at(side, tick)))
            for tick in book.take_changes(side).tolist()
        ]

    def _trades(self, at_ns: int) -> list[Frame]:
        frames = []
        for trade in self._exchange.take_trades():
            self._trade_id += 1
            payload = wire.trade(
                self._symbol,
                at_ns // NS_PER_MS,
                self._trade_id,
                self.price_text(trade.tick),
                self.size_text(trade.lots),
                buyer_is_maker=trade.side < 0,
            )
            frames.append(Frame(at_ns, self._symbol, FrameKind.TRADE, payload))
        return frames

    def _ticker(self, at_ns: int) -> list[Frame]:
        book = self._exchange.book
        bid, ask = book.best_bid, book.best_ask
        if bid < 1 or ask >= book.ticks:
            return []  # one side is empty: there is no such frame
        touch = (
            (self.price_text(bid), self.size_text(book.lots_at(1, bid))),
            (self.price_text(ask), self.size_text(book.lots_at(-1, ask))),
        )
        if touch == self._touch:
            return []
        self._touch = touch
        payload = wire.book_ticker(self._symbol, at_ns // NS_PER_MS, self._update_id, *touch)
        return [Frame(at_ns, self._symbol, FrameKind.BOOK_TICKER, payload)]


class ForcedOrders:
    """The liquidations of one symbol as its venue tells them: one a second, or all of them twice a second."""

    def __init__(self, symbol: str, feed: LiquidationFeed) -> None:
        self._symbol = symbol
        self._feed = feed
        # At most what is liquidated within half a second: one order a failing position.
        self._waiting: list[tuple[str, str, str, str]] = []
        self._told_at_ms: int | None = None

    def add(self, side: str, size: str, price: str, average: str) -> None:
        """Take one: the order's side, its size, its limit (the bankruptcy price), and what it got on average."""
        if self._feed is LiquidationFeed.THROTTLED:
            self._waiting.clear()
        self._waiting.append((side, size, price, average))

    def forget(self) -> None:
        """Tell none of those that wait."""
        self._waiting.clear()

    def due(self, at_ns: int) -> Sequence[Frame]:
        """What is told now."""
        now_ms = at_ns // NS_PER_MS
        period_ms = THROTTLE_MS if self._feed is LiquidationFeed.THROTTLED else COMPLETE_MS
        if not self._waiting or (self._told_at_ms is not None and now_ms < self._told_at_ms + period_ms):
            return ()
        self._told_at_ms = now_ms
        told, self._waiting = self._waiting, []
        return [
            Frame(at_ns, self._symbol, FrameKind.FORCED_ORDER, wire.forced_order(self._symbol, now_ms, *each))
            for each in told
        ]


def _digits(unit: Decimal) -> int:
    """How many digits after the point a multiple of the unit may need."""
    exponent = unit.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
