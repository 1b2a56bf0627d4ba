"""One book of the laboratory as a client holds it: looked at each step, measured when a sample is due.

Compiled where there is a compiler (observed_market.pxd), and the same samples as it is.
"""

from __future__ import annotations

from adapters.simulation.laboratory.book import BUY, SELL
from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.parameters import SymbolParameters
from adapters.simulation.laboratory.touch import touch_lots
from guard.events import BookStatus, MarketFeatures, Stream, StreamActivity
from guard.market.book import Book, new_book
from guard.market.live import TURN_BPS, TURN_LEVELS, TURN_RATIO
from guard.market.sampler import features_from
from guard.units import BPS_PER_UNIT, MarketId, Nanoseconds

LEVELS = 1_000
"""A side, at most: what Binance's snapshots and Bybit's stream hold."""

REFRESH_MS = 1_000
"""A book of which nothing changed for so long is told again as it is: at venues somebody moves an order somewhere,
always, and a stream that is silent for seconds is broken."""

_REFRESH_MS = REFRESH_MS
_BUY = BUY
_SELL = SELL
_TURN_LEVELS = TURN_LEVELS
_TURN_BPS = TURN_BPS
_BPS_PER_UNIT = BPS_PER_UNIT
_TURN_RATIO = TURN_RATIO


class Heard:
    """What one stream brought since that was last told."""

    def __init__(self) -> None:
        self.updates = 0
        self.last_at: Nanoseconds = -1
        self.gap_ns_max: Nanoseconds = 0

    def hear(self, at: Nanoseconds) -> None:
        """Hear of it at a time."""
        self.updates += 1
        if self.last_at >= 0 and at - self.last_at > self.gap_ns_max:
            self.gap_ns_max = at - self.last_at
        self.last_at = at


class Scale:
    """Ticks and lots as floats that are the nearest to their decimals, as a client reads them."""

    __slots__ = ("lot_factor", "lot_parts", "tick_factor", "tick_parts")

    def __init__(self, symbol: SymbolParameters) -> None:
        self.tick_factor, self.tick_parts = symbol.tick.as_integer_ratio()
        self.lot_factor, self.lot_parts = symbol.lot.as_integer_ratio()

    def price(self, tick: float) -> float:
        """USD."""
        return tick * self.tick_factor / self.tick_parts

    def size(self, lots: int) -> float:
        """Base units."""
        return lots * self.lot_factor / self.lot_parts


class ObservedMarket:
    """One book as a client holds it.

    Args:
        market: its name.
        symbol: its parameters.
        exchange: the book itself, whose takers' volume is asked for here and nowhere else.
        sample_ms: see ``Episode``.
    """

    def __init__(
        self, market: MarketId, symbol: SymbolParameters, exchange: Exchange, sample_ms: int
    ) -> None:
        self.market = market
        self.heard = {stream: Heard() for stream in Stream if stream is not Stream.ACCOUNT}
        self.scale = Scale(symbol)
        self._exchange = exchange
        self._order_book = exchange.book
        self._book: Book = new_book(where=market)
        self._sample_ms = sample_ms
        self._changes = -1
        self._changed_ms = 0
        self._book_heard = self.heard[Stream.BOOK]
        self._trades_heard = self.heard[Stream.TRADES]
        self._traded_lots = 0
        self._updates = 0
        self._book_at: Nanoseconds | None = None
        self._exchange_at: Nanoseconds | None = None
        self._said_ms = -sample_ms
        self._was_ok = False
        self._is_changed = False
        # Of the last sample, while it had both sides: twice its mid, and what rested on the best few prices.
        self._had_touch = False
        self._twice_mid = 0
        self._bid_lots = 0
        self._ask_lots = 0

    def step(self, now_ms: int, exchange_at: Nanoseconds, received_at: Nanoseconds) -> MarketFeatures | None:
        """Hear what happened in a step, and return a sample if one is due."""
        book = self._order_book
        if book.changed != self._changes or now_ms - self._changed_ms >= _REFRESH_MS:
            self._changes = book.changed
            self._changed_ms = now_ms
            self._updates += 1
            self._is_changed = True
            self._book_at = received_at
            self._exchange_at = exchange_at
            self._book_heard.hear(received_at)
        if self._exchange.volume_lots != self._traded_lots:
            self._traded_lots = self._exchange.volume_lots
            self._is_changed = True
            self._trades_heard.hear(received_at)
        if not self._is_changed:
            return None
        if now_ms - self._said_ms < self._sample_ms and not self._has_turned():
            return None
        return self.sample(now_ms, received_at)

    @property
    def needs_attention(self) -> bool:
        """Whether a sample should not wait: a side became empty or came back, or the book has turned.

        The same as of ``guard.market.live.LiveBook``, in ticks and lots.
        """
        return self._has_turned()

    def sample(self, now_ms: int, received_at: Nanoseconds) -> MarketFeatures:
        """Measure the book, and begin to count flow anew."""
        book = self._order_book
        scale = self.scale
        tick, tick_parts, lot, lot_parts = (
            scale.tick_factor,
            scale.tick_parts,
            scale.lot_factor,
            scale.lot_parts,
        )
        self._book.load(
            book.table(_BUY, LEVELS, tick, tick_parts, lot, lot_parts),
            book.table(_SELL, LEVELS, tick, tick_parts, lot, lot_parts),
        )
        _, _, bought, sold = self._exchange.take_volume()
        features = features_from(
            self._book,
            market=self.market,
            received_at=received_at,
            exchange_at=self._exchange_at,
            book_at=self._book_at,
            buy_usd=bought / 1e6,
            sell_usd=sold / 1e6,
            updates=self._updates,
        )
        self._updates = 0
        self._is_changed = False
        self._said_ms = now_ms
        self._was_ok = features.status is BookStatus.OK
        self._had_touch = book.best_bid > 0 and book.best_ask < book.ticks
        if self._had_touch:
            self._twice_mid = book.best_bid + book.best_ask
            self._bid_lots = touch_lots(book, _BUY, _TURN_LEVELS)
            self._ask_lots = touch_lots(book, _SELL, _TURN_LEVELS)
        return features

    def activities(self, received_at: Nanoseconds) -> list[StreamActivity]:
        """What each stream brought since this was last asked."""
        told = []
        for stream, heard in self.heard.items():
            if heard.updates:
                told.append(
                    StreamActivity(
                        received_at=received_at,
                        subject=self.market,
                        stream=stream,
                        updates=heard.updates,
                        last_at=heard.last_at,
                        gap_ns_max=heard.gap_ns_max,
                    )
                )
                heard.updates = 0
                heard.gap_ns_max = 0
        return told

    def _has_turned(self) -> bool:
        book = self._order_book
        is_whole = book.best_bid > 0 and book.best_ask < book.ticks
        if is_whole != self._was_ok:
            return True
        if not is_whole or not self._had_touch:
            return False
        moved = book.best_bid + book.best_ask - self._twice_mid
        if (moved if moved >= 0 else -moved) * _BPS_PER_UNIT >= self._twice_mid * _TURN_BPS:
            return True
        if touch_lots(book, _BUY, _TURN_LEVELS) < self._bid_lots * _TURN_RATIO:
            return True
        return touch_lots(book, _SELL, _TURN_LEVELS) < self._ask_lots * _TURN_RATIO
