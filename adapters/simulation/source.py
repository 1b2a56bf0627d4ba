"""What a market for the loopback venue is: symbols, an opening book each, and timed frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from guard.events import HistoryPoint


class FrameKind(StrEnum):
    """The streams that a source can carry; the values are Binance's names where there is one."""

    DEPTH = "depth"
    TRADE = "trade"
    AGGREGATE_TRADE = "aggTrade"
    BOOK_TICKER = "bookTicker"
    MARK_PRICE = "markPrice"
    FORCED_ORDER = "forceOrder"
    OPEN_INTEREST = "openInterest"  # Binance has no such stream: it feeds the REST answer


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the market: ``payload`` is the event's JSON as it goes to the client.

    ``at_ns`` is when it was, in the source's own time (Unix nanoseconds); differences pace the replay.
    """

    at_ns: int
    symbol: str
    kind: FrameKind
    payload: bytes


@dataclass(frozen=True, slots=True)
class OpeningBook:
    """The depth snapshot that a symbol starts from: price and size as text, best first."""

    last_update_id: int
    at_ms: int
    bids: tuple[tuple[str, str], ...]
    asks: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """A market of the venue and its trading rules; sizes in base units, notionals in USDT."""

    symbol: str
    base: str
    tick: Decimal
    step: Decimal
    quote: str = "USDT"
    notional_min: Decimal = Decimal(5)
    funding_rate: Decimal = Decimal("0.0001")
    open_interest: Decimal = Decimal(80_000)
    """Base units; what the venue answers until the source says otherwise."""
    past: tuple[HistoryPoint, ...] = ()
    """Open interest, price and volume every five minutes before the start, oldest first, at any times."""


class MarketSource(Protocol):
    """A market that the venue can play: recorded, generated, or one that reacts to what is traded in it."""

    @property
    def specs(self) -> Sequence[SymbolSpec]:
        """The symbols, at least one."""
        ...

    def opening(self, symbol: str) -> OpeningBook:
        """The book before the first frame that applies to it."""
        ...

    def frames(self, start_at_ns: int) -> Iterator[Frame]:
        """All frames in order of time, anew on every call.

        Args:
            start_at_ns: the venue's clock at the start; a made-up market dates its events from here, a
                recorded one keeps its own times.

        Raises:
            MalformedFrameError: the source cannot be read at all.
        """
        ...

    def taken(self, symbol: str, side: str, size: Decimal, price: Decimal) -> None:
        """Be told that an account took ``size`` at ``price`` from the book (side BUY or SELL).

        A market that reacts answers in its later frames; recorded and generated ones ignore it.
        """
        ...
