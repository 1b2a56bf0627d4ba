"""The venue's own order book of one symbol: levels in price order, and what accounts have taken from it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from adapters.simulation.source import OpeningBook
from adapters.simulation.wire import DepthUpdate, Level


@dataclass(slots=True)
class BookLevels:
    """One side. Texts are kept as they came, so that a snapshot repeats them digit by digit."""

    is_bid: bool
    prices: list[float] = field(default_factory=list)
    """Ascending on both sides."""
    levels: dict[float, Level] = field(default_factory=dict)
    taken: dict[float, tuple[Decimal, int]] = field(default_factory=dict)
    """What accounts took at a price, and when; not published, forgotten when the level is next set."""

    def load(self, levels: Sequence[Level]) -> None:
        self.levels = {float(price): (price, size) for price, size in levels if float(size) > 0.0}
        self.prices = sorted(self.levels)
        self.taken.clear()

    def apply(self, changes: Sequence[Level]) -> None:
        """Set the sizes; zero removes."""
        levels, prices, taken = self.levels, self.prices, self.taken
        for change in changes:
            price = float(change[0])
            if taken:
                taken.pop(price, None)
            if float(change[1]) > 0.0:
                if price not in levels:
                    insort(prices, price)
                levels[price] = change
            elif price in levels:
                del levels[price]
                del prices[bisect_left(prices, price)]

    def best(self) -> Level | None:
        if not self.prices:
            return None
        return self.levels[self.prices[-1 if self.is_bid else 0]]

    def best_price(self) -> float | None:
        if not self.prices:
            return None
        return self.prices[-1 if self.is_bid else 0]

    def top(self, count: int) -> list[Level]:
        """The best ``count`` levels, best first."""
        if self.is_bid:
            return [self.levels[price] for price in reversed(self.prices[-count:])]
        return [self.levels[price] for price in self.prices[:count]]

    def available(self, now_ns: int, refill_ns: int) -> Iterator[tuple[Decimal, Decimal]]:
        """Price and size still to be had, best first, less what accounts took in the last ``refill_ns``."""
        ordered = reversed(self.prices) if self.is_bid else iter(self.prices)
        for price in ordered:
            text, size_text = self.levels[price]
            size = Decimal(size_text)
            gone = self.taken.get(price)
            if gone is not None and now_ns - gone[1] < refill_ns:
                size -= gone[0]
            if size > 0:
                yield Decimal(text), size

    def take(self, price: Decimal, size: Decimal, now_ns: int, refill_ns: int) -> None:
        """Remember that an account took ``size`` at ``price``."""
        key = float(price)
        before = self.taken.get(key)
        already = before[0] if before is not None and now_ns - before[1] < refill_ns else Decimal(0)
        self.taken[key] = (already + size, now_ns)


class VenueBook:
    """Both sides, as of ``update_id``."""

    def __init__(self, opening: OpeningBook) -> None:
        self.bids = BookLevels(is_bid=True)
        self.asks = BookLevels(is_bid=False)
        self.bids.load(opening.bids)
        self.asks.load(opening.asks)
        self.update_id = opening.last_update_id
        self.at_ms = opening.at_ms
        self.diffs = 0
        """Diffs that were applied: for dialects whose updates are numbered one by one."""

    def apply(self, update: DepthUpdate) -> bool:
        """Apply a diff; one from before the opening snapshot changes nothing and answers False."""
        if update.u < self.update_id:
            return False
        self.bids.apply(update.b)
        self.asks.apply(update.a)
        self.update_id = update.u
        self.diffs += 1
        self.at_ms = update.E
        return True

    def side(self, name: str) -> BookLevels:
        """The side that an order of this side takes from: asks for BUY, bids for SELL."""
        return self.asks if name == "BUY" else self.bids

    def mid(self) -> float | None:
        bid, ask = self.bids.best_price(), self.asks.best_price()
        if bid is None or ask is None:
            return bid if ask is None else ask
        return (bid + ask) / 2.0
