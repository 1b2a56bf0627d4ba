"""A limit order book as sorted arrays, one price and one size array a side. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from guard.errors import MalformedFrameError
from guard.events import BookStatus
from guard.market.implementation import compiled

Floats = NDArray[np.float64]
"""A one-dimensional array of floats."""

Levels = Floats | Sequence[Sequence[float | str]]
"""Levels as a venue sends them: an (n, 2) array, or n pairs, of price and absolute size."""

BOOK_CAPACITY = 4096
"""Levels kept a side: a depth-limited snapshot holds 1,000, and churn of a day adds about as many again."""


LARGEST = 1e18
"""No price and no size is larger: one beyond it is a mistake, and its notional might not be finite."""


class Side(StrEnum):
    """Which side of a book: bids are bought from by those who sell, asks are sold to those who buy."""

    BID = "bid"
    ASK = "ask"

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.ASK if self is Side.BID else Side.BID


class Book(Protocol):
    """What every book can do, whichever way it is built. Prices quote per base, sizes base units."""

    implementation: str
    """``numpy`` for the reference, ``compiled`` for the fast one."""

    def load(self, bids: Levels, asks: Levels) -> None:
        """Replace everything by a snapshot. Raises MalformedFrameError, and then changes nothing."""
        ...

    def apply(self, bids: Levels, asks: Levels) -> None:
        """Set absolute sizes, 0 deletes, the last of equal prices wins. Raises as ``load`` does."""
        ...

    def clear(self) -> None:
        """Forget every level: UNSYNCED until the next snapshot."""
        ...

    def best_bid(self) -> tuple[float, float] | None:
        """Highest bid as (price, size)."""
        ...

    def best_ask(self) -> tuple[float, float] | None:
        """Lowest ask as (price, size)."""
        ...

    def side(self, side: Side) -> tuple[Floats, Floats]:
        """Prices and sizes, best first, as views that are valid until the next change."""
        ...

    def horizon(self, side: Side) -> float | None:
        """The price up to which the side is complete, or ``None`` if it never was."""
        ...

    def status(self) -> BookStatus:
        """UNSYNCED before a snapshot, EMPTY if a side has no level, CROSSED if bid >= ask, else OK."""
        ...


def new_book(capacity: int = BOOK_CAPACITY, *, where: str = "book") -> Book:
    """Make an empty book of the fastest implementation that is installed; ``implementation`` names it.

    Args:
        capacity: levels kept a side; the farthest are dropped beyond it, and the horizon moves in.
        where: what errors call it, usually the market.
    """
    module = compiled()
    return ArrayBook(capacity, where=where) if module is None else module.CompiledBook(capacity, where=where)


class ArrayBook:
    """The numpy reference: what any faster book must equal, level for level.

    A venue's snapshot is cut off (Binance: 1,000 levels) while its diffs name any level that changes,
    however far. Levels past the snapshot's last are therefore known only in part: ``horizon`` is the
    worst price of the snapshot, and what lies behind it is kept, but is not complete.

    >>> book = ArrayBook()
    >>> book.load([[100.0, 2.0], [99.0, 1.0]], [[101.0, 3.0]])
    >>> book.apply([[100.0, 0.0], [99.5, 4.0]], [])
    >>> book.best_bid(), book.best_ask(), book.status().value
    ((99.5, 4.0), (101.0, 3.0), 'ok')
    >>> [array.tolist() for array in book.side(Side.BID)]
    [[99.5, 99.0], [4.0, 1.0]]
    """

    implementation = "numpy"

    def __init__(self, capacity: int = BOOK_CAPACITY, *, where: str = "book") -> None:
        if capacity < 1:
            raise ValueError(f"a book needs room for at least one level a side, not {capacity}")
        self._where = where
        self._bids = _SideArrays(capacity, descending=True)
        self._asks = _SideArrays(capacity, descending=False)
        self._loaded = False

    def load(self, bids: Levels, asks: Levels) -> None:
        bid_levels, ask_levels = (
            parse_levels(bids, "bids", self._where),
            parse_levels(asks, "asks", self._where),
        )
        self._bids.replace(*bid_levels)
        self._asks.replace(*ask_levels)
        self._loaded = True

    def apply(self, bids: Levels, asks: Levels) -> None:
        bid_levels, ask_levels = (
            parse_levels(bids, "bids", self._where),
            parse_levels(asks, "asks", self._where),
        )
        self._bids.merge(*bid_levels)
        self._asks.merge(*ask_levels)

    def clear(self) -> None:
        self._bids.empty()
        self._asks.empty()
        self._loaded = False

    def best_bid(self) -> tuple[float, float] | None:
        return self._bids.best()

    def best_ask(self) -> tuple[float, float] | None:
        return self._asks.best()

    def side(self, side: Side) -> tuple[Floats, Floats]:
        return self._bids.views() if side is Side.BID else self._asks.views()

    def horizon(self, side: Side) -> float | None:
        return self._bids.horizon if side is Side.BID else self._asks.horizon

    def status(self) -> BookStatus:
        if not self._loaded:
            return BookStatus.UNSYNCED
        bid, ask = self._bids.best(), self._asks.best()
        if bid is None or ask is None:
            return BookStatus.EMPTY
        return BookStatus.CROSSED if bid[0] >= ask[0] else BookStatus.OK


_NO_LEVELS: Floats = np.empty(0)


def parse_levels(levels: Levels, name: str, where: str) -> tuple[Floats, Floats]:
    """Prices and sizes in the order given; MalformedFrameError, saying ``where``, if any cannot be a level."""
    try:
        table = _as_table(levels)
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedFrameError(where, f"{name} are not pairs of price and size: {error}") from error
    if table.size == 0:
        return _NO_LEVELS, _NO_LEVELS
    if table.ndim != 2 or table.shape[1] != 2:
        raise MalformedFrameError(where, f"{name} are not pairs of price and size: shape {table.shape}")
    prices, sizes = table[:, 0], table[:, 1]
    # A NaN fails every comparison, so it fails these as well.
    if not (prices.min() > 0.0 and prices.max() <= LARGEST):
        raise MalformedFrameError(where, f"{name} hold a price that is not positive and finite")
    if not (sizes.min() >= 0.0 and sizes.max() <= LARGEST):
        raise MalformedFrameError(where, f"{name} hold a size that is negative or not finite")
    return prices, sizes


def _as_table(levels: Levels) -> Floats:
    # numpy takes True for 1.0, a price or a size like any other.
    if not isinstance(levels, np.ndarray) and bool in set(map(type, chain.from_iterable(levels))):
        raise TypeError("a truth value is no number")
    return np.asarray(levels, dtype=np.float64)


class _SideArrays:
    """One side, ascending by price in arrays that grow with it; bids are read backwards."""

    def __init__(self, capacity: int, *, descending: bool) -> None:
        self._descending = descending
        self._capacity = capacity
        self._prices, self._sizes = _NO_LEVELS, _NO_LEVELS
        self._count = 0
        self.horizon: float | None = None

    def empty(self) -> None:
        self._count = 0
        self.horizon = None

    def best(self) -> tuple[float, float] | None:
        if not self._count:
            return None
        at = self._count - 1 if self._descending else 0
        return float(self._prices[at]), float(self._sizes[at])

    def views(self) -> tuple[Floats, Floats]:
        prices, sizes = self._prices[: self._count], self._sizes[: self._count]
        return (prices[::-1], sizes[::-1]) if self._descending else (prices, sizes)

    def replace(self, prices: Floats, sizes: Floats) -> None:
        self.empty()
        self.merge(prices, sizes)
        if self._count:
            self.horizon = float(self._prices[0 if self._descending else self._count - 1])

    def merge(self, prices: Floats, sizes: Floats) -> None:
        if not prices.size:
            return
        prices, sizes = _last_of_each(prices, sizes)
        count = self._count
        held = self._prices[:count]
        at = np.searchsorted(held, prices)
        known = np.zeros(prices.size, dtype=np.bool_)
        inside = at < count
        known[inside] = held[at[inside]] == prices[inside]
        self._sizes[at[known]] = sizes[known]
        added = ~known & (sizes > 0.0)
        removed = known & (sizes == 0.0)
        if added.any() or removed.any():
            self._rebuild(at[removed], at[added], prices[added], sizes[added])

    def _rebuild(
        self, removed: NDArray[np.intp], added: NDArray[np.intp], prices: Floats, sizes: Floats
    ) -> None:
        """Delete the indices ``removed`` and insert before the indices ``added``, both of the old arrays."""
        count = self._count
        new_prices = np.insert(self._prices[:count], added, prices)
        new_sizes = np.insert(self._sizes[:count], added, sizes)
        if removed.size:
            # Each insertion at or before an old index has moved that index up by one.
            kept = np.ones(new_prices.size, dtype=np.bool_)
            kept[removed + np.searchsorted(added, removed, side="right")] = False
            new_prices, new_sizes = new_prices[kept], new_sizes[kept]
        over = new_prices.size - self._capacity
        if over > 0:
            cut = slice(over, None) if self._descending else slice(0, self._capacity)
            new_prices, new_sizes = new_prices[cut], new_sizes[cut]
            self._pull_in(float(new_prices[0] if self._descending else new_prices[-1]))
        self._count = new_prices.size
        if self._count > self._prices.size:
            room = min(self._count + self._count // 8 + 32, self._capacity)
            self._prices, self._sizes = np.zeros(room), np.zeros(room)
        self._prices[: self._count] = new_prices
        self._sizes[: self._count] = new_sizes

    def _pull_in(self, worst: float) -> None:
        if self.horizon is not None:
            self.horizon = max(self.horizon, worst) if self._descending else min(self.horizon, worst)


def _last_of_each(prices: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """Sort by price and keep the last size that was given for each."""
    order = np.argsort(prices, kind="stable")
    prices, sizes = prices[order], sizes[order]
    last = np.ones(prices.size, dtype=np.bool_)
    last[:-1] = prices[:-1] != prices[1:]
    return prices[last], sizes[last]
