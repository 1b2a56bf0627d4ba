"""What of a book was published: the best levels of one depth, and the numbered differences between two looks."""

from __future__ import annotations

from dataclasses import dataclass, field

from adapters.simulation.book import BookLevels, VenueBook
from adapters.simulation.wire import Level

DEPTHS = (1, 50, 200, 1000)
FIRST_ID = 10_000_000
"""Far from 1, which says that the service was restarted."""


@dataclass(slots=True)
class Window:
    """One ``orderbook.N`` stream: levels that leave the best N are told as deleted, those that enter as set."""

    depth: int
    update_id: int = FIRST_ID
    _bids: dict[float, Level] = field(default_factory=dict)
    _asks: dict[float, Level] = field(default_factory=dict)

    def look(self, book: VenueBook) -> tuple[list[Level], list[Level]]:
        """Move on to the book as it is; what changed of bids and asks, numbered by ``update_id`` if anything."""
        bids, asks = _best(book.bids, self.depth), _best(book.asks, self.depth)
        changes = _changes(self._bids, bids), _changes(self._asks, asks)
        self._bids, self._asks = bids, asks
        if any(changes):
            self.update_id += 1
        return changes

    @property
    def levels(self) -> tuple[list[Level], list[Level]]:
        """Bids and asks as last looked at, best first."""
        bids = [self._bids[price] for price in sorted(self._bids, reverse=True)]
        return bids, [self._asks[price] for price in sorted(self._asks)]


def _best(side: BookLevels, depth: int) -> dict[float, Level]:
    if depth >= len(side.prices):
        return dict(side.levels)
    best = side.prices[-depth:] if side.is_bid else side.prices[:depth]
    return {price: side.levels[price] for price in best}


def _changes(before: dict[float, Level], after: dict[float, Level]) -> list[Level]:
    changed = [level for _, level in sorted(after.items() - before.items())]
    return changed + [(before[price][0], "0") for price in sorted(before.keys() - after.keys())]
