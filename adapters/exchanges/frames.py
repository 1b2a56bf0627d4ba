"""Readers that take raw frames of depth and trades straight into live books; what they decline is ccxt's to read.

A reader knows one venue's wording. It applies a diff only where nothing needs to be decided: the market is its
own, its book is ``armed``, and the diff follows the last one exactly. A trade is counted once. Everything else,
be it a snapshot, a gap, a subscription's answer or a frame that cannot be read, is declined untouched, and goes
the long way round, where all rules are. So fast and slow path cannot differ in what they believe, only in speed.
"""

from __future__ import annotations

from typing import Protocol

from guard.market.live import LiveBook
from guard.units import Nanoseconds

DECLINED = -1
"""The frame was not taken: nothing was changed by it."""

TAKEN = -2
"""The frame was taken, and nothing needs to be done because of it."""


class FrameReader(Protocol):
    """Reads the frames of one socket (or of sockets that carry different markets).

    Attributes:
        implementation: ``compiled``, or ``python`` for the slow one.
        taken: frames taken so far.
        declined: frames declined so far.
        observed: whether every diff that is applied is reported, not only one that needs attention.
    """

    implementation: str
    taken: int
    declined: int
    observed: bool

    def add_book(self, code: str, index: int, live: LiveBook) -> None:
        """Take depth of the market that the venue calls ``code``; ``index`` is what ``take`` reports it by.

        Adding it again replaces what was known of it.
        """
        ...

    def add_trades(self, code: str, index: int, live: LiveBook, *, contract_size: float = 1.0) -> None:
        """Take trades of the market: sizes as the venue writes them count ``contract_size`` base units each."""
        ...

    def drop(self, code: str) -> None:
        """Decline everything of this market from now on."""
        ...

    def take(self, frame: str | bytes | bytearray | memoryview, received_at: Nanoseconds) -> int:
        """Take one whole text frame.

        Returns:
            ``DECLINED``, ``TAKEN``, or the index of a market whose book ``needs_attention`` (if ``observed``: of
            every book that took a diff).
        """
        ...


def new_reader(venue_id: str) -> FrameReader | None:
    """Make the fastest reader of a venue that is installed; ``None`` for venues without one."""
    del venue_id
    return None
