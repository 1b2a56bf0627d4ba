"""A market of several venues that is stepped for all of them together: what is played on loopback venues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.parameters import LiquidationFeed, SymbolParameters
from guard.events import HistoryPoint

NS_PER_MS = 1_000_000


class Quote(NamedTuple):
    """What the venue reckons of a book at one moment."""

    mark_price: float
    """USD."""
    index_price: float
    rate: float
    """Of the next funding."""
    next_funding_ms: int
    """Since the episode began."""
    open_lots: int


class Forced(NamedTuple):
    """One liquidation of the crowd's: ``side`` is the order's, +1 buys; prices are ticks, or parts of them."""

    side: int
    lots: int
    bankruptcy_tick: float
    average_tick: float


@dataclass(frozen=True, slots=True)
class StagedBook:
    """One book of one venue, as the loopback venue needs to know it."""

    symbol: SymbolParameters
    exchange: Exchange
    quote: Callable[[], Quote]
    forced: Callable[[], Iterable[Forced]]
    """The crowd's liquidations since last asked."""
    past: tuple[HistoryPoint, ...] = ()
    """What the venue remembers from before the episode."""


class Play(Protocol):
    """A market of several venues that can be stepped: the laboratory, or a small one of a test."""

    @property
    def step_ms(self) -> int: ...

    @property
    def duration_ms(self) -> int: ...

    @property
    def now_ms(self) -> int: ...

    def step(self) -> None:
        """Move all venues on by ``step_ms``."""
        ...

    def books(self, venue: str) -> Sequence[StagedBook]:
        """The books of a venue."""
        ...

    def feed(self, venue: str) -> LiquidationFeed:
        """How it tells liquidations."""
        ...

    def is_out(self, venue: str) -> bool:
        """Whether the venue is out of service now."""
        ...

    def asset_prices(self, venue: str) -> Mapping[str, float]:
        """What the venue counts collateral for now, USD a unit."""
        ...


class Seat(Protocol):
    """One venue of a play that is played."""

    turns: int
    """Steps that it asked for; -1 before it begins."""

    def moving(self, at_ns: int) -> None:
        """Be told that a step is about to be made, which ends then."""
        ...

    def moved(self) -> None:
        """Be told that it was made."""
        ...


class Stage:
    """One play for the venues that show it: a step is made when all of them have come to it."""

    def __init__(self, make: Callable[[], Play]) -> None:
        self._make = make
        self.play = make()
        self.start_at_ns: int | None = None
        self._seats: list[Seat] = []
        self._moved = asyncio.Event()

    def join(self, seat: Seat) -> None:
        """Wait for one more from now on: all that joined must be played, or none is."""
        self._seats.append(seat)

    def begin(self, start_at_ns: int) -> int:
        """Begin, with the first that does; returns when that was."""
        if self.start_at_ns is None:
            self.start_at_ns = start_at_ns
        return self.start_at_ns

    def again(self) -> None:
        """Make the play anew."""
        self.play = self._make()
        self.start_at_ns = None

    async def turn(self, seat: Seat) -> None:
        while any(other.turns < seat.turns for other in self._seats):
            self._moved.clear()
            await self._moved.wait()

    def advance(self, seat: Seat) -> None:
        at_ms = seat.turns * self.play.step_ms
        if self.play.now_ms < at_ms:
            # All before, then the step, then all after: no seat's orders meet a moment that another's did not.
            for each in self._seats:
                each.moving((self.start_at_ns or 0) + at_ms * NS_PER_MS)
            self.play.step()
            for each in self._seats:
                each.moved()
        self._moved.set()

    def leave(self, seat: Seat) -> None:
        if seat in self._seats:
            self._seats.remove(seat)
        self._moved.set()

    @property
    def is_shared(self) -> bool:
        return len(self._seats) > 1
