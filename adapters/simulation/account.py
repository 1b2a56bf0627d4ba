"""An account of the venue: its books, its orders, and what its owner is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from adapters.simulation.ledger import Ledger, MarginType, PositionSide
from adapters.simulation.margin import ZERO
from adapters.simulation.orders import Fill, Liquidation, Order, OrderBookOfAccount, OrderType, Side
from adapters.simulation.settings import VenueAccountSpec

FILLS_KEPT = 10_000
ADL_RANK = 1
"""Where a position stands until it is said."""


@dataclass(frozen=True, slots=True)
class Income:
    """One change of the wallet, as ``GET /fapi/v1/income`` lists it."""

    number: int
    symbol: str
    kind: str
    amount: Decimal
    at_ms: int


@dataclass(slots=True)
class VenueAccount:
    """Everything the venue keeps of one account. ``tell`` sends a user-data event to its owner."""

    spec: VenueAccountSpec
    ledger: Ledger
    tell: Callable[[dict[str, Any]], None]
    book: OrderBookOfAccount = field(default_factory=OrderBookOfAccount)
    fill_count: int = 0
    fills: deque[Fill] = field(default_factory=lambda: deque(maxlen=FILLS_KEPT))
    income_count: int = 0
    income: deque[Income] = field(default_factory=lambda: deque(maxlen=FILLS_KEPT))
    liquidations: list[Liquidation] = field(default_factory=list)
    margin_called: set[str] = field(default_factory=set)
    """Subjects of a margin call that still stands: a symbol, or ``cross``."""
    cooling_until_ms: int = 0
    """Until then a failing position is closed whole, because part of one was closed before."""
    adl_ranks: dict[str, int] = field(default_factory=dict)
    """Where positions stand in the queue of auto-deleveraging, by symbol: what was set, not what was earned."""

    def adl_rank(self, symbol: str) -> int:
        """From 0 (last) to 4 (next)."""
        return self.adl_ranks.get(symbol, ADL_RANK) if self.ledger.holds(symbol) else 0

    def note(self, symbol: str, kind: str, amount: Decimal, at_ms: int) -> None:
        if amount:
            self.income_count += 1
            self.income.append(Income(self.income_count, symbol, kind, amount, at_ms))

    def open_orders(self) -> tuple[VenueOrder, ...]:
        """Resting orders, then conditional ones."""
        resting = [
            VenueOrder(
                number=order.order_id,
                client_id=order.client_id,
                symbol=order.symbol,
                side=order.side,
                type=order.type,
                remaining=order.remaining,
                price=order.price,
                trigger_price=ZERO,
                reduce_only=order.reduce_only,
                close_position=False,
            )
            for order in self.book.open_orders()
        ]
        waiting = [
            VenueOrder(
                number=algo.algo_id,
                client_id=algo.request.client_id,
                symbol=algo.request.symbol,
                side=algo.request.side,
                type=algo.request.type,
                remaining=algo.request.quantity,
                price=algo.request.price,
                trigger_price=algo.request.trigger_price,
                reduce_only=algo.request.reduce_only,
                close_position=algo.request.close_position,
            )
            for algo in self.book.open_algos()
        ]
        return (*resting, *waiting)

    def reserved(self) -> Decimal:
        """What open orders hold back of the margin, USDT.

        For each position the dearer of an order's two sides counts, less what would only reduce the position.
        """
        by_position: dict[tuple[str, PositionSide], list[Order]] = {}
        for order in self.book.open_orders():
            if not order.reduce_only:
                by_position.setdefault((order.symbol, order.position_side), []).append(order)
        return sum((self._reserved_in(*key, orders) for key, orders in by_position.items()), ZERO)

    def _reserved_in(self, symbol: str, side: PositionSide, orders: list[Order]) -> Decimal:
        position = self.ledger.position(symbol, side)
        sides = {1: ZERO, -1: ZERO}
        offset = {1: max(ZERO, -position.amount), -1: max(ZERO, position.amount)}
        for order in orders:
            sign = order.side.sign
            covered = min(order.remaining, offset[sign])
            offset[sign] -= covered
            sides[sign] += (order.remaining - covered) * order.price
        return max(sides.values()) / position.leverage


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """A position as the venue sees it; money in USDT, amount signed."""

    symbol: str
    amount: Decimal
    entry_price: Decimal
    mark_price: Decimal
    unrealised: Decimal
    leverage: int
    margin_type: MarginType
    liquidation_price: Decimal
    """0 where there is none."""
    side: PositionSide = PositionSide.BOTH


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An open order as the venue sees it; prices are 0 where there is none."""

    number: int
    client_id: str
    symbol: str
    side: Side
    type: OrderType
    remaining: Decimal
    """0 for one that closes the position, however large."""
    price: Decimal
    trigger_price: Decimal
    reduce_only: bool
    close_position: bool


@dataclass(frozen=True, slots=True)
class VenueAccountState:
    """An account at one moment; money in USDT.

    ``wallet_usdt == deposit_usdt + realised_usdt - fees_usdt + funding_usdt + insurance_usdt + exchanged_usdt``.
    """

    name: str
    deposit_usdt: Decimal
    wallet_usdt: Decimal
    equity_usdt: Decimal
    available_usdt: Decimal
    realised_usdt: Decimal
    fees_usdt: Decimal
    """Commission and liquidation fees together."""
    liquidation_fees_usdt: Decimal
    funding_usdt: Decimal
    insurance_usdt: Decimal
    """Losses beyond the margin that the insurance fund paid."""
    positions: tuple[VenuePosition, ...]
    open_orders: tuple[VenueOrder, ...]
    """Resting ones first, then conditional ones that wait for their trigger."""
    fills: int
    liquidations: tuple[Liquidation, ...]
    collateral: Mapping[str, Decimal]
    """What is held beside USDT, by asset."""
    collateral_usdt: Decimal
    """What the venue counts it for; 0 in single-asset mode."""
    exchanged_usdt: Decimal
    """What collateral was sold for where losses were beyond the wallet."""
    maintenance_usdt: Decimal
    """Of cross positions."""
