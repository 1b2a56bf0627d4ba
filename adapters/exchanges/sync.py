"""Joins a REST snapshot and a stream of numbered diffs to one unbroken book. Pure: no I/O, no clock.

Binance, "How to manage a local order book correctly" (USD-M futures): buffer diffs, take a snapshot, drop
what the snapshot already holds, begin with the diff that spans it, and from then on each diff's ``pu`` must
be the ``u`` of the one before it; otherwise start over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from guard.units import Nanoseconds

BUFFER_MAX = 300
"""Diffs kept while a snapshot is fetched: 30 s at ten a second, longer than any request; 3 KB each, 0.9 MB."""

RawLevels = Sequence[Sequence[str | float]]
"""Price and absolute size, as the venue writes them or as ccxt read them."""


@dataclass(frozen=True, slots=True)
class DepthDiff:
    """One diff: everything that changed in a book in the updates ``(previous_id, last_id]``."""

    previous_id: int
    first_id: int
    last_id: int
    bids: RawLevels
    asks: RawLevels
    exchange_at: Nanoseconds | None = None


class Verdict(Enum):
    """What to do with a diff."""

    BUFFERED = auto()
    """There is no snapshot yet; it is kept."""
    STALE = auto()
    """The book already holds it."""
    APPLY = auto()
    """It is the next one."""
    GAP = auto()
    """Something between it and the book was lost: a new snapshot is needed. It is kept."""


@dataclass(slots=True)
class DepthSync:
    """Where one book stands in its stream.

    While a reader of raw frames applies what follows exactly (see ``is_exact``), it is ahead of this; ``advance``
    tells how far.
    """

    last_id: int | None = None
    """The last update that the book holds; ``None`` while it waits for a snapshot."""
    may_fall: bool = False
    """Whether numbers may fall (OKX, after maintenance): what is not the next one, nor the last once more, is a gap."""
    _joined: bool = False
    _refreshing: bool = False
    _waiting: deque[DepthDiff] = field(default_factory=lambda: deque(maxlen=BUFFER_MAX))

    @property
    def live(self) -> bool:
        return self.last_id is not None

    @property
    def is_exact(self) -> bool:
        """Whether nothing but the diff whose predecessor is ``last_id`` is waited for, and nothing needs to be kept."""
        return self.last_id is not None and self._joined and not self._refreshing

    def advance(self, last_id: int) -> None:
        """Take note of what was applied by whoever needs to ask nobody: all that followed exactly."""
        if self.is_exact:
            self.last_id = last_id

    def restart(self) -> None:
        """Forget the snapshot and what was kept; the next diffs are buffered."""
        self.last_id = None
        self._joined = self._refreshing = False
        self._waiting.clear()

    def take(self, last_id: int) -> None:
        """Set the book to a whole one that came in the stream itself: the next diff must follow it exactly."""
        self.restart()
        self.last_id, self._joined = last_id, True

    def refresh(self) -> None:
        """Keep what is applied from now on, so that a new snapshot can be joined while the book stays live."""
        if self.live:
            self._refreshing = True
            self._waiting.clear()

    def accept(self, diff: DepthDiff) -> Verdict:
        """Judge the next diff of the stream."""
        if self.last_id is None:
            self._waiting.append(diff)
            return Verdict.BUFFERED
        if self._follows(diff, self.last_id):
            self.last_id = diff.last_id
            self._joined = True
            if self._refreshing:
                self._waiting.append(diff)
            return Verdict.APPLY
        if diff.last_id == self.last_id or (diff.last_id < self.last_id and not self.may_fall):
            return Verdict.STALE
        self.restart()
        self._waiting.append(diff)
        return Verdict.GAP

    def join(self, snapshot_id: int) -> list[DepthDiff] | None:
        """Set the book to a snapshot; return the kept diffs that follow it, in order.

        ``None`` says that the snapshot is older than what was kept, or that the kept diffs have a hole:
        nothing is changed but that those before the hole are dropped; fetch another.
        """
        if self._refreshing and not self._waiting and self.last_id is not None and snapshot_id < self.last_id:
            return None
        following: list[DepthDiff] = []
        at, joined = snapshot_id, False
        for diff in self._waiting:
            if diff.last_id < snapshot_id:
                continue
            if not (diff.previous_id == at if joined else diff.previous_id <= at <= diff.last_id):
                self._drop_before(diff)
                return None
            following.append(diff)
            at, joined = diff.last_id, True
        self._waiting.clear()
        self._refreshing = False
        self.last_id, self._joined = at, joined
        return following

    def _follows(self, diff: DepthDiff, at: int) -> bool:
        # The first diff after a snapshot spans it; nothing is lost if its predecessor ended before it.
        if not self._joined:
            return diff.previous_id <= at <= diff.last_id
        return diff.previous_id == at

    def _drop_before(self, kept: DepthDiff) -> None:
        while self._waiting and self._waiting[0] is not kept:
            self._waiting.popleft()
