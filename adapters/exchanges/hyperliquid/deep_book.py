"""Joins books of one market at several precisions to one that reaches far. Pure: no I/O, no clock.

Hyperliquid shows 20 levels a side. At full precision that is a few basis points of BTC; asked for fewer
significant figures the venue sums up what rests at the prices that round to the same one, bids down and asks
up, and again gives 20. What such a step holds behind the finer book is placed at the step's far end: nothing
is counted nearer than it rests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from adapters.exchanges.sync import RawLevels
from adapters.exchanges.venue import DepthSnapshot
from guard.errors import MalformedFrameError
from guard.units import NS_PER_S, Nanoseconds

LEVELS = 20
"""A side, in every book that the venue sends; with fewer there is no more."""

COARSE_FIGURES = (4, 3)
"""Steps of 1-10 bps, and of 10-100 bps: together they reach 200 bps at least, whatever the price."""

COARSE_AGE_NS_MAX = 3 * NS_PER_S
"""A coarse book older than the fine one by more is left out; they come twice a second."""


LATE_MS_MAX = 60_000


@dataclass(slots=True)
class DeepBook:
    """The newest book of one market at each precision.

    >>> deep = DeepBook()
    >>> deep.keep(4, DepthSnapshot(1, [["100", "9"], ["99", "4"]], [["101", "2"], ["102", "7"]]))
    >>> fine = DepthSnapshot(2, [["100.5", "6"], ["99.9", "1"]], [["100.9", "2"], ["101.5", "3"]])
    >>> joined = deep.joined(fine, levels=2)
    >>> joined.bids, joined.asks
    ([['100.5', '6'], ['99.9', '1'], ['99', '3.0']], [['100.9', '2'], ['101.5', '3'], ['102', '4.0']])
    """

    _coarse: dict[int, DepthSnapshot] = field(default_factory=dict)
    _last_id: int = 0

    def keep(self, figures: int, book: DepthSnapshot) -> None:
        """Take note of a coarse book."""
        self._coarse[figures] = book

    def forget(self, figures: int) -> None:
        """Its stream was lost."""
        self._coarse.pop(figures, None)

    def is_newest(self, fine: DepthSnapshot) -> bool:
        """Whether no later book came before this one; one that comes late says what no longer is.

        By more than a minute it is the venue's clock that was set back, and the book is of now.
        """
        if self._last_id - LATE_MS_MAX <= fine.last_id < self._last_id:
            return False
        self._last_id = fine.last_id
        return True

    def joined(self, fine: DepthSnapshot, *, levels: int = LEVELS) -> DepthSnapshot:
        """Return the fine book with what the coarse ones know behind it, finest first.

        Raises:
            MalformedFrameError: a price or size is not a number.
        """
        bids, asks = fine.bids, fine.asks
        for figures in COARSE_FIGURES:
            coarse = self._coarse.get(figures)
            if coarse is None or not _is_fresh(coarse.exchange_at, fine.exchange_at):
                continue
            # A side that the finer book shows to its end has nothing behind it.
            if len(bids) >= levels:
                bids = _extended(bids, coarse.bids, sign=1.0)
            if len(asks) >= levels:
                asks = _extended(asks, coarse.asks, sign=-1.0)
        return replace(fine, bids=bids, asks=asks)


def _is_fresh(coarse_at: Nanoseconds | None, fine_at: Nanoseconds | None) -> bool:
    if coarse_at is None or fine_at is None:
        return True
    return fine_at - coarse_at <= COARSE_AGE_NS_MAX


def _extended(fine: RawLevels, coarse: RawLevels, *, sign: float) -> RawLevels:
    """Append what the coarse side holds behind the last fine level. ``sign`` is 1 for bids, -1 for asks."""
    near = [(sign * price, size) for price, size in _numbers(fine)]
    end = near[-1][0]
    behind: list[Sequence[str | float]] = []
    nearer = float("inf")
    for (price, size), (text, _) in zip(_numbers(coarse), coarse, strict=True):
        step = sign * price
        if step < end:
            # Of the step in which the fine book ends, some is counted already.
            counted = sum(held for at, held in near if step <= at < nearer) if not behind else 0.0
            left = size - counted
            if left > size * 1e-9:
                behind.append([text, repr(left)])
        nearer = step
    return [*fine, *behind]


def _numbers(levels: RawLevels) -> Sequence[tuple[float, float]]:
    try:
        return [(float(price), float(size)) for price, size in levels]
    except ValueError as error:
        raise MalformedFrameError("l2Book", f"a level is not two numbers: {error}") from error
