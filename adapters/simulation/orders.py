"""Orders of the venue and what a client may ask for, read from request parameters and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TypeVar

from adapters.simulation.errors import Refusal, illegal, missing
from adapters.simulation.ledger import PositionSide
from adapters.simulation.margin import ZERO
from adapters.simulation.source import SymbolSpec


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """What may be asked for; the conditional ones go through the algo endpoints, as on Binance."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    LIQUIDATION = "LIQUIDATION"  # the venue's own

    @property
    def is_conditional(self) -> bool:
        return self.is_stop or self in (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_MARKET)

    @property
    def is_stop(self) -> bool:
        return self in (OrderType.STOP, OrderType.STOP_MARKET)

    @property
    def is_priced(self) -> bool:
        return self in (OrderType.LIMIT, OrderType.STOP, OrderType.TAKE_PROFIT)


class OrderStatus(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    # The algo orders' own:
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"


T = TypeVar("T", bound=StrEnum)

Entry = TypeVar("Entry", bound="Order | AlgoOrder")

ORDERS_KEPT = 10_000
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX")
WORKING_TYPES = ("CONTRACT_PRICE", "MARK_PRICE")


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client asks for, checked against the symbol's rules."""

    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    """0 with ``close_position``."""
    price: Decimal = ZERO
    trigger_price: Decimal = ZERO
    time_in_force: str = "GTC"
    working_type: str = "CONTRACT_PRICE"
    reduce_only: bool = False
    close_position: bool = False
    client_id: str = ""
    position_side: PositionSide = PositionSide.BOTH

    @property
    def only_closes(self) -> bool:
        """Whether it goes against the one side of a hedged pair that it names, and so can only make it smaller."""
        return self.side.sign * self.position_side.sign < 0


@dataclass(slots=True)
class Order:
    """An order in the matching engine."""

    order_id: int
    client_id: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal
    time_in_force: str
    reduce_only: bool
    created_ms: int
    close_position: bool = False
    position_side: PositionSide = PositionSide.BOTH
    origin: OrderType | None = None
    """The conditional type that this one was triggered from."""
    stop_price: Decimal = ZERO
    working_type: str = "CONTRACT_PRICE"
    status: OrderStatus = OrderStatus.NEW
    filled: Decimal = ZERO
    filled_quote: Decimal = ZERO
    updated_ms: int = 0

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled

    @property
    def average_price(self) -> Decimal:
        return self.filled_quote / self.filled if self.filled else ZERO

    @property
    def is_open(self) -> bool:
        return self.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)

    @property
    def stands(self) -> bool:
        """Whether what is not filled at once rests in the book."""
        return self.type is OrderType.LIMIT and self.time_in_force in ("GTC", "GTX")


@dataclass(slots=True)
class AlgoOrder:
    """A conditional order that waits for its trigger."""

    algo_id: int
    request: OrderRequest
    created_ms: int
    status: OrderStatus = OrderStatus.NEW
    updated_ms: int = 0
    triggered_ms: int = 0
    order_id: int | None = None
    """The order that it became."""
    reason: str = ""

    @property
    def is_open(self) -> bool:
        return self.status is OrderStatus.NEW

    def triggers_at(self, price: Decimal) -> bool:
        """Whether ``price`` has reached the trigger; stops follow the market, take-profits go against it."""
        request = self.request
        rising = (request.side is Side.BUY) == request.type.is_stop
        return price >= request.trigger_price if rising else price <= request.trigger_price


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of an account's order; money in USDT."""

    fill_id: int
    order_id: int
    symbol: str
    side: Side
    price: Decimal
    size: Decimal
    realised: Decimal
    fee: Decimal
    is_maker: bool
    at_ms: int
    position_side: PositionSide = PositionSide.BOTH


@dataclass(frozen=True, slots=True)
class Liquidation:
    """What a liquidation did to an account; ``realised`` is before the fee and before the insurance fund."""

    symbol: str
    side: Side
    size: Decimal
    average_price: Decimal
    realised: Decimal
    fee: Decimal
    insurance: Decimal
    at_ms: int


@dataclass(slots=True)
class OrderBookOfAccount:
    """All orders of one account by number; of the closed ones the last ``ORDERS_KEPT``."""

    orders: dict[int, Order] = field(default_factory=dict)
    algos: dict[int, AlgoOrder] = field(default_factory=dict)
    # Every frame asks for the open ones: they must not be searched for among the closed.
    _live: dict[int, Order] = field(default_factory=dict)
    _live_algos: dict[int, AlgoOrder] = field(default_factory=dict)

    def add(self, order: Order) -> None:
        self.orders[order.order_id] = self._live[order.order_id] = order
        _forget_oldest(self.orders)

    def add_algo(self, algo: AlgoOrder) -> None:
        self.algos[algo.algo_id] = self._live_algos[algo.algo_id] = algo
        _forget_oldest(self.algos)

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        return [o for o in _open_of(self._live) if symbol in (None, o.symbol)]

    def open_algos(self, symbol: str | None = None) -> list[AlgoOrder]:
        return [a for a in _open_of(self._live_algos) if symbol in (None, a.request.symbol)]

    def has_client_id(self, client_id: str) -> bool:
        """Whether an open order bears this client id already."""
        return bool(client_id) and (
            any(order.client_id == client_id for order in self.open_orders())
            or any(algo.request.client_id == client_id for algo in self.open_algos())
        )

    def find(self, symbol: str, order_id: str | None, client_id: str | None) -> Order | None:
        for order in reversed(self.orders.values()):
            if order.symbol == symbol and (str(order.order_id) == order_id or order.client_id == client_id):
                return order
        return None

    def find_algo(self, algo_id: str | None, client_id: str | None) -> AlgoOrder | None:
        for algo in reversed(self.algos.values()):
            if str(algo.algo_id) == algo_id or algo.request.client_id == client_id:
                return algo
        return None


def _open_of(live: dict[int, Entry]) -> list[Entry]:
    """The open ones; those that were closed since the last look are dropped from the register."""
    if not live:
        return []
    for number in [number for number, order in live.items() if not order.is_open]:
        del live[number]
    return list(live.values())


def _forget_oldest(orders: dict[int, Entry]) -> None:
    if len(orders) > ORDERS_KEPT:
        oldest = next((number for number, order in orders.items() if not order.is_open), None)
        if oldest is not None:
            del orders[oldest]


def read_order(parameters: Mapping[str, str], spec: SymbolSpec, *, algo: bool) -> OrderRequest:
    """Read and check what a client asks for.

    Args:
        parameters: of the request; the algo endpoint names some of them differently.
        spec: the symbol's rules.
        algo: the request came to the algo endpoint, which takes the conditional types and only these.

    Raises:
        Refusal: with Binance's code.
    """
    kind = _member(OrderType, parameters, "type", -1116, "Invalid orderType.")
    if kind is OrderType.LIQUIDATION:
        raise Refusal(-1116, "Invalid orderType.")
    if algo != kind.is_conditional:
        raise Refusal(
            -4120,
            "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
        )
    side = _member(Side, parameters, "side", -1117, "Invalid side.")
    position_side = (
        _member(PositionSide, parameters, "positionSide", -1116, "Invalid positionSide.")
        if "positionSide" in parameters
        else PositionSide.BOTH
    )
    close_position = _flag(parameters, "closePosition")
    reduce_only = _flag(parameters, "reduceOnly")
    if close_position and ("quantity" in parameters or reduce_only or kind.is_priced):
        raise Refusal(-4136, "Target strategy invalid for orderType or parameters, closePosition true")
    request = OrderRequest(
        symbol=spec.symbol,
        side=side,
        type=kind,
        quantity=ZERO if close_position else _multiple(parameters, "quantity", spec.step, -4003),
        price=_multiple(parameters, "price", spec.tick, -4001) if kind.is_priced else ZERO,
        trigger_price=_multiple(parameters, _trigger_name(parameters), spec.tick, -4006)
        if kind.is_conditional
        else ZERO,
        time_in_force=_choice(parameters, "timeInForce", TIMES_IN_FORCE, required=kind is OrderType.LIMIT),
        working_type=_choice(parameters, "workingType", WORKING_TYPES, required=False),
        reduce_only=reduce_only,
        close_position=close_position,
        client_id=parameters.get("clientAlgoId" if algo else "newClientOrderId", ""),
        position_side=position_side,
    )
    if kind.is_priced and not reduce_only:
        check_notional(request.quantity * request.price, spec)
    return request


def check_notional(notional: Decimal, spec: SymbolSpec) -> None:
    """Refuse an order that is too small.

    Raises:
        Refusal: below the symbol's least notional.
    """
    if notional < spec.notional_min:
        raise Refusal(
            -4164,
            f"Order's notional must be no smaller than {spec.notional_min} (unless you choose reduce only).",
        )


def _trigger_name(parameters: Mapping[str, str]) -> str:
    return "triggerPrice" if "triggerPrice" in parameters else "stopPrice"


def _flag(parameters: Mapping[str, str], name: str) -> bool:
    return parameters.get(name, "false").lower() == "true"


def _member(kind: type[T], parameters: Mapping[str, str], name: str, code: int, text: str) -> T:
    if not parameters.get(name):
        raise missing(name)
    try:
        return kind(parameters[name])
    except ValueError as error:
        raise Refusal(code, text) from error


def _choice(parameters: Mapping[str, str], name: str, choices: tuple[str, ...], *, required: bool) -> str:
    value = parameters.get(name)
    if value is None:
        if required:
            raise missing(name)
        return choices[0]
    if value not in choices:
        raise Refusal(-1115, f"Invalid {name}.") if name == "timeInForce" else illegal(name)
    return value


def _multiple(parameters: Mapping[str, str], name: str, unit: Decimal, code: int) -> Decimal:
    text = parameters.get(name)
    if not text:
        raise missing(name)
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise Refusal(-1100, f"Illegal characters found in parameter '{name}'.") from error
    if not value.is_finite() or value <= ZERO:
        names = {"quantity": "Quantity", "price": "Price"}
        raise Refusal(code, f"{names.get(name, 'Stop price')} less than or equal to zero.")
    if value % unit:
        raise Refusal(-1111, "Precision is over the maximum defined for this asset.")
    return value
