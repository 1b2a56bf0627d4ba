"""What the venue asks of a market whose own book accounts' orders are matched in: it is played step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, runtime_checkable

from adapters.simulation.orders import Side
from adapters.simulation.source import Frame, MarketSource

Offer = tuple[Decimal, Decimal]
"""Price and size."""


@dataclass(frozen=True, slots=True)
class RestingFill:
    """So much of an account's resting order was taken by somebody, at the order's own price."""

    order_id: int
    price: Decimal
    size: Decimal


@runtime_checkable
class ReactiveSource(MarketSource, Protocol):
    """A market that accounts trade in: their orders are in one book with everybody else's.

    The venue plays it by ``begin`` and then, as often as ``next_at_ns`` says, ``turn``, ``advance`` and ``react``.
    Orders come between two steps; what they did is told by the next ``react``. Accounts are told apart by name, their
    orders by the venue's numbers. Sizes are base units above 0, prices multiples of the symbol's tick.
    """

    # -- time ----------------------------------------------------------------------------------------

    def begin(self, start_at_ns: int, moving: Callable[[int], None], moved: Callable[[], None]) -> None:
        """Start at this time of the venue's clock; the market may be moved from elsewhere then, too.

        Args:
            start_at_ns: Unix time.
            moving: to be called before each step with the time at which it ends.
            moved: to be called after each step: there may be something to tell.
        """
        ...

    @property
    def next_at_ns(self) -> int | None:
        """When the next step ends; None when the market is over."""
        ...

    async def turn(self) -> None:
        """Wait until the next step may be made: a market on several venues moves for all of them at once."""
        ...

    def advance(self) -> None:
        """Make the next step, unless it was made from elsewhere already."""
        ...

    def react(self, at_ns: int) -> Sequence[Frame]:
        """Tell what has happened since last asked, in a step or by accounts' orders, dated so; empty if nothing."""
        ...

    def leave(self) -> None:
        """Be told that the venue plays this market no longer."""
        ...

    # -- trading -------------------------------------------------------------------------------------

    @property
    def takes_orders(self) -> bool:
        """Whether the venue works; if not, it takes no order and cancels none."""
        ...

    def best(self, symbol: str, side: Side) -> Decimal | None:
        """What an order of this side would be filled at first; None if nobody is there."""
        ...

    def price_max(self, symbol: str) -> Decimal:
        """The highest price at which an order can be."""
        ...

    def offered(self, symbol: str, side: Side, limit: Decimal, enough: Decimal) -> Decimal:
        """How much an order of this side would get down to its limit (0: none), counted up to ``enough``."""
        ...

    def take(self, account: str, symbol: str, side: Side, size: Decimal, limit: Decimal) -> list[Offer]:
        """Take from the book down to a limit (0: none); what was got, in the order of getting it."""
        ...

    def place(
        self, account: str, symbol: str, order_id: int, side: Side, size: Decimal, price: Decimal
    ) -> list[Offer]:
        """Take what crosses and let the rest stand at the price, last in its queue; what was got at once."""
        ...

    def standing(self, order_id: int) -> Decimal:
        """What of an order stands in the book now; 0 if it does not."""
        ...

    def shrink(self, order_id: int, size: Decimal) -> None:
        """Leave only ``size`` of an order that stands in the book; 0 takes it out. It keeps its place."""
        ...

    def take_fills(self) -> list[RestingFill]:
        """Fills of resting orders since last asked."""
        ...

    def take_expired(self) -> list[int]:
        """Resting orders since last asked that met an order of their own account and were taken out instead."""
        ...

    def hand_over(self, account: str, symbol: str, side: Side, size: Decimal, price: Decimal) -> None:
        """Let the venue itself take the other side of a closing that no book took, at this price."""
        ...

    def liquidated(self, symbol: str, side: Side, size: Decimal, price: Decimal, average: Decimal) -> None:
        """Be told of an account's liquidation, to be published as the venue publishes everybody's."""
        ...

    # -- terms ---------------------------------------------------------------------------------------

    @property
    def asset_prices(self) -> Mapping[str, Decimal]:
        """What the venue values collateral at now, USD a unit, where the market says so."""
        ...
