"""Readers that take raw frames of depth and trades straight into live books; what they decline is ccxt's to read.

A reader knows one venue's wording. It applies a diff only where nothing needs to be decided: the market is its
own, its book is ``armed``, and the diff follows the last one exactly. A trade is counted once. Everything else,
be it a snapshot, a gap, a subscription's answer or a frame that cannot be read, is declined untouched, and goes
the long way round, where all rules are. So fast and slow path cannot differ in what they believe, only in speed.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from guard.market.implementation import REFERENCE, implementation
from guard.market.live import LiveBook
from guard.units import Nanoseconds

DECLINED = -1
"""The frame was not taken: nothing was changed by it."""

TAKEN = -2
"""The frame was taken, and nothing needs to be done because of it."""


class Timings(NamedTuple):
    """How long some of the frames took, in nanoseconds: one of 64 is measured."""

    decode_ns: list[int]
    """To read a frame to its end, also one that was declined then."""
    apply_ns: list[int]
    """To put a diff into its book."""


class FrameReader(Protocol):
    """Reads the frames of one connection, whose sockets may share it.

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

    def add_book(self, code: str, index: int, live: LiveBook, *, contract_size: float = 1.0) -> None:
        """Take depth of the market that the venue calls ``code``; ``index`` is what ``take`` reports it by.

        Adding it again replaces what was known of it.

        Args:
            code: the venue's name of the market.
            index: any number from 0.
            live: where the diffs go; compiled, if the reader is.
            contract_size: base units that a size of 1 counts (OKX), of inverse contracts dollars (COIN-M).
        """
        ...

    def add_trades(self, code: str, index: int, live: LiveBook, *, contract_size: float = 1.0) -> None:
        """Take trades of the market, as ``add_book`` takes its depth. What was counted before stays known."""
        ...

    def drop(self, code: str) -> None:
        """Decline everything of this market from now on. Which trades were counted stays known."""
        ...

    def drop_trades(self, code: str) -> None:
        """Decline trades of this market from now on, its depth not: those from before a subscription are due."""
        ...

    def is_repeat(self, code: str, name: Hashable, kind: str = "") -> bool:
        """Whether this trade was counted before, as far as is remembered; it is remembered now.

        For whoever reads the trades that were declined, instead of a memory of its own: else a trade that comes
        in two frames, of which one is declined, would count twice. See ``adapters.exchanges.repeats``.

        Args:
            code: the venue's name of the market.
            name: the venue's name or number of the trade.
            kind: ``trade`` or ``aggTrade`` at Binance, which numbers them apart.
        """
        ...

    def take(self, frame: str | bytes | bytearray | memoryview, received_at: Nanoseconds) -> int:
        """Take one whole text frame.

        Returns:
            ``DECLINED``, ``TAKEN``, or the index of a market whose book ``needs_attention`` (if ``observed``: of
            every book that took a diff).
        """
        ...

    def drain_timings(self) -> Timings:
        """What was measured since the last call."""
        ...


COMPILED, PYTHON = "compiled", "python"
READ = frozenset({"binanceusdm", "binancecoinm", "bybit", "okx", "hyperliquid"})
"""The venues, by ccxt's ids, whose frames are read here."""


def new_reader(venue_id: str) -> FrameReader | None:
    """Make the fastest reader of a venue that is installed; ``None`` for venues without one."""
    if venue_id not in READ:
        return None
    module = _compiled()
    if module is not None and implementation() != REFERENCE:
        reader: FrameReader = module.CompiledFrameReader(venue_id)
        return reader
    # It reads what the venues' own parsers read, which are loaded with it.
    from adapters.exchanges.frames_reference import PythonFrameReader  # noqa: PLC0415

    return PythonFrameReader(venue_id)


@cache
def _compiled() -> Any:
    """The compiled readers; they need the compiled books, and are refused with them."""
    try:
        return import_module("adapters.exchanges._frames")
    except ImportError:
        return None
