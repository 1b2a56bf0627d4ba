"""What the venue knows of each symbol: book, mark, funding, last price, trades and candles."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from adapters.simulation.book import VenueBook
from adapters.simulation.source import OpeningBook, SymbolSpec
from adapters.simulation.wire import MarkPriceEvent, TradeEvent
from guard.events import HistoryPoint

TRADES_KEPT = 1_000
CANDLES_KEPT = 3_000
MINUTE_MS = 60_000
POINT_MS = 300_000
"""Between two points of the past."""


class MarketStatus(StrEnum):
    """Whether a market can be traded in, and whether it is there at all."""

    TRADING = "trading"
    HALTED = "halted"
    """Listed, but no orders are taken."""
    DELISTED = "delisted"
    """Gone: a dialect answers as if it had never been."""


@dataclass(slots=True)
class Candle:
    """One minute of trades; sizes in base units, volume in USDT."""

    open_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    size: Decimal = Decimal(0)
    volume: Decimal = Decimal(0)
    count: int = 0
    bought: Decimal = Decimal(0)
    bought_volume: Decimal = Decimal(0)

    def add(self, event: TradeEvent) -> None:
        price, size = Decimal(event.p), Decimal(event.q)
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price
        self.size += size
        self.volume += price * size
        self.count += 1
        if not event.m:
            self.bought += size
            self.bought_volume += price * size


@dataclass(slots=True)
class Market:
    """One symbol. ``now_ns`` is the source's time, in which the market lives."""

    spec: SymbolSpec
    book: VenueBook
    mark: Decimal
    index: Decimal
    last: Decimal
    funding_rate: Decimal
    open_interest: Decimal
    next_funding_ms: int = 0
    now_ns: int = 0
    mark_due_ns: int = 0
    status: MarketStatus = MarketStatus.TRADING
    past: tuple[HistoryPoint, ...] = ()
    """Before the venue was started, in the source's time, oldest first."""
    longs_share: Decimal = Decimal("0.5")
    """Of accounts with a position."""
    trades: deque[TradeEvent] = field(default_factory=lambda: deque(maxlen=TRADES_KEPT))
    candles: dict[int, Candle] = field(default_factory=dict)

    @classmethod
    def opened(cls, spec: SymbolSpec, opening: OpeningBook, now_ns: int) -> Market:
        """Open a market; an opening book without a date gets ``now_ns``."""
        book = VenueBook(opening)
        book.at_ms = opening.at_ms or now_ns // 10**6
        mid = Decimal(repr(book.mid() or 0.0)).quantize(Decimal("0.00000001"))
        return cls(
            spec,
            book,
            mid,
            mid,
            mid,
            spec.funding_rate,
            spec.open_interest,
            now_ns=book.at_ms * 10**6,
            past=_ending_at(spec.past, now_ns),
        )

    def see_mark(self, event: MarkPriceEvent) -> tuple[Decimal, Decimal] | None:
        """Take a mark. Returns mark and rate of the funding that fell due with it, if one did."""
        due = None
        if 0 < self.next_funding_ms <= event.E and self.next_funding_ms < event.T:
            due = (self.mark, self.funding_rate)
        self.mark, self.index = Decimal(event.p), Decimal(event.i) or Decimal(event.p)
        self.funding_rate, self.next_funding_ms = Decimal(event.r or "0"), event.T
        return due

    def see_trade(self, event: TradeEvent) -> None:
        self.last = Decimal(event.p)
        self.trades.append(event)
        open_ms = event.T - event.T % MINUTE_MS
        candle = self.candles.get(open_ms)
        if candle is None:
            price = self.last
            candle = self.candles[open_ms] = Candle(open_ms, price, price, price, price)
            if len(self.candles) > CANDLES_KEPT:
                del self.candles[next(iter(self.candles))]
        candle.add(event)

    def reference(self, working_type: str) -> Decimal:
        """The price that a conditional order looks at."""
        return self.mark if working_type == "MARK_PRICE" else self.last


def _ending_at(points: Sequence[HistoryPoint], now_ns: int) -> tuple[HistoryPoint, ...]:
    """Return points that end with the last full five minutes before a time, as far apart as they are."""
    if not points:
        return ()
    moved = now_ns - now_ns % (POINT_MS * 10**6) - points[-1].at
    return tuple(
        HistoryPoint(
            at=point.at + moved,
            price=point.price,
            open_interest=point.open_interest,
            volume_usd=point.volume_usd,
        )
        for point in points
    )
