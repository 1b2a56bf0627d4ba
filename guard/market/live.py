"""What changes with every frame of one market: its book, where it stands in its stream, its flow. No I/O, no clock.

One ``LiveBook`` a market is all that the hot path touches. Whoever reads frames applies what follows exactly
(``armed`` and the right ``last_id``) and leaves everything else to those who know the rules of a venue; whoever
samples reads the sums and sets them to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from guard.events import BookStatus
from guard.market.book import Book, Floats, Side
from guard.market.implementation import compiled
from guard.units import BPS_PER_UNIT, Nanoseconds

TURN_BPS = 5.0
TURN_LEVELS = 20
TURN_RATIO = 0.5
"""See ``LiveBook.has_turned``: recorded BTC books turn about once in 2 s, ETH once in 15 s (2023-24)."""

NEVER: Nanoseconds = -1
"""Stands for a time that has not been, or that the venue does not tell."""


ID_MIN, ID_MAX = -(2**63), 2**63 - 1


@dataclass(slots=True)
class Heard:
    """What one stream brought since it was last asked: messages, the latest, the longest pause between two."""

    updates: int = 0
    last_at: Nanoseconds = NEVER
    gap_ns_max: Nanoseconds = 0


class LiveBook(Protocol):
    """The hot state of one market.

    Attributes:
        book: the levels; whoever applies a diff calls ``applied`` after it.
        armed: whether a diff that follows ``last_id`` exactly may be applied without asking anyone.
        last_id: the venue's number of the last update that the book holds.
        book_at: when the last applied update arrived, ``NEVER`` before any.
        exchange_at: the venue's time of it, ``NEVER`` where it gives none.
        changed: whether anything was applied or traded since the last sample.
        updates: diffs and whole books applied since the last sample.
        buy_usd, sell_usd: what takers bought and sold since the last sample.
        said: the status that the last sample had.
    """

    implementation: str
    book: Book
    armed: bool
    last_id: int
    book_at: Nanoseconds
    exchange_at: Nanoseconds
    changed: bool
    updates: int
    buy_usd: float
    sell_usd: float
    said: BookStatus

    def arm(self, last_id: int) -> None:
        """Let what follows ``last_id`` be applied without asking, if that is a number of 64 bits; else disarm."""
        ...

    def disarm(self) -> None:
        """Have everything asked about: there is no whole book, or something else waits for the next diff."""
        ...

    def applied(self, received_at: Nanoseconds, exchange_at: Nanoseconds) -> None:
        """Note that the book has taken an update; it counts as heard by ``hear_book``, not by this."""
        ...

    def keep_row(self, values: Floats, known: NDArray[np.bool_], measure: Callable[[], None]) -> None:
        """Have ``applied`` measure the book into a row from now on; for ``guard.market.matrix.keep_current``.

        Args:
            values: the row's numbers.
            known: which of them are there.
            measure: does that for an implementation that cannot by itself.
        """
        ...

    def traded(self, signed_notional_usd: float) -> None:
        """Count a trade by its taker: positive bought, negative sold."""
        ...

    def hear_book(self, received_at: Nanoseconds) -> None:
        """Count a message of the book's stream, whatever became of it."""
        ...

    def hear_trades(self, received_at: Nanoseconds) -> None:
        """Count a message of the trades' stream."""
        ...

    def take_book_heard(self) -> Heard:
        """What the book's stream brought since the last call; ``last_at`` stays."""
        ...

    def take_trades_heard(self) -> Heard:
        """What the trades' stream brought since the last call; ``last_at`` stays."""
        ...

    @property
    def book_heard_at(self) -> Nanoseconds:
        """When the book's stream last brought anything, ``NEVER`` before that."""
        ...

    def sampled(self, said: BookStatus) -> None:
        """A sample was taken that told ``said``: remember the touch, and set flow and updates to nothing."""
        ...

    @property
    def has_turned(self) -> bool:
        """Whether the book differs so much from the last sample that the next one should not wait.

        It turned if since the last sample the mid has moved by ``TURN_BPS``, or the size on the best
        ``TURN_LEVELS`` levels of a side has fallen below ``TURN_RATIO`` of what it was.
        """
        ...

    @property
    def needs_attention(self) -> bool:
        """Whether the next sample should not wait: the status is not what was said, or the book has turned."""
        ...


@dataclass(slots=True)
class ArrayLiveBook:
    """The reference: what any faster one must equal, call for call.

    >>> from guard.market.book import new_book
    >>> live = ArrayLiveBook(new_book())
    >>> live.book.load([[99.0, 5.0]], [[101.0, 5.0]])
    >>> live.applied(1, NEVER); live.needs_attention
    True
    >>> live.sampled(live.book.status()); live.needs_attention
    False
    """

    book: Book
    implementation: str = "numpy"
    armed: bool = False
    last_id: int = 0
    book_at: Nanoseconds = NEVER
    exchange_at: Nanoseconds = NEVER
    changed: bool = False
    updates: int = 0
    buy_usd: float = 0.0
    sell_usd: float = 0.0
    said: BookStatus = BookStatus.UNSYNCED
    _touch_then: tuple[float, float, float] | None = None
    _measure: Callable[[], None] | None = None
    _book_heard: Heard = field(default_factory=Heard)
    _trades_heard: Heard = field(default_factory=Heard)

    def arm(self, last_id: int) -> None:
        # A number that no venue's counter holds is not one that the next could follow.
        self.armed = ID_MIN <= last_id <= ID_MAX
        self.last_id = last_id if self.armed else self.last_id

    def disarm(self) -> None:
        self.armed = False

    def applied(self, received_at: Nanoseconds, exchange_at: Nanoseconds) -> None:
        self.book_at, self.exchange_at = received_at, exchange_at
        self.updates += 1
        self.changed = True
        if self._measure is not None:
            self._measure()

    def keep_row(self, values: Floats, known: NDArray[np.bool_], measure: Callable[[], None]) -> None:
        del values, known
        self._measure = measure
        measure()

    def traded(self, signed_notional_usd: float) -> None:
        if signed_notional_usd >= 0.0:
            self.buy_usd += signed_notional_usd
        else:
            self.sell_usd -= signed_notional_usd
        self.changed = True

    def hear_book(self, received_at: Nanoseconds) -> None:
        _hear(self._book_heard, received_at)

    def hear_trades(self, received_at: Nanoseconds) -> None:
        _hear(self._trades_heard, received_at)

    def take_book_heard(self) -> Heard:
        return _taken(self._book_heard)

    def take_trades_heard(self) -> Heard:
        return _taken(self._trades_heard)

    @property
    def book_heard_at(self) -> Nanoseconds:
        return self._book_heard.last_at

    def sampled(self, said: BookStatus) -> None:
        self.said = said
        self._touch_then = self._touch()
        self.changed = False
        self.updates = 0
        self.buy_usd = self.sell_usd = 0.0

    @property
    def needs_attention(self) -> bool:
        return self.book.status() is not self.said or self.has_turned

    @property
    def has_turned(self) -> bool:
        touch = self._touch()
        if touch is None or self._touch_then is None:
            return False
        mid, bid_size, ask_size = touch
        mid_then, bid_then, ask_then = self._touch_then
        moved = abs(mid - mid_then) >= mid_then * TURN_BPS / BPS_PER_UNIT
        return moved or bid_size < bid_then * TURN_RATIO or ask_size < ask_then * TURN_RATIO

    def _touch(self) -> tuple[float, float, float] | None:
        bid, ask = self.book.best_bid(), self.book.best_ask()
        if bid is None or ask is None:
            return None
        sizes = [float(self.book.side(side)[1][:TURN_LEVELS].sum()) for side in (Side.BID, Side.ASK)]
        return (bid[0] + ask[0]) / 2.0, sizes[0], sizes[1]


def new_live_book(book: Book) -> LiveBook:
    """Make the hot state around an empty book, of the same implementation as the book."""
    module = compiled()
    if module is not None and isinstance(book, module.CompiledBook):
        live: LiveBook = module.CompiledLive(book)
        return live
    return ArrayLiveBook(book)


def _hear(heard: Heard, received_at: Nanoseconds) -> None:
    heard.updates += 1
    if heard.last_at != NEVER:
        heard.gap_ns_max = max(heard.gap_ns_max, received_at - heard.last_at)
    heard.last_at = received_at


def _taken(heard: Heard) -> Heard:
    taken = Heard(heard.updates, heard.last_at, heard.gap_ns_max)
    heard.updates = heard.gap_ns_max = 0
    return taken
