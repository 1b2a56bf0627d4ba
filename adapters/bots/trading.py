"""What a paper bot needs of a venue, as a port, and the same over ccxt."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Protocol, TypeVar

from guard.errors import VenueAuthError, VenueError

_T = TypeVar("_T")
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")
"""What follows the path of an address: it holds signatures."""
FILL_POLL_S = 0.05
FILL_S_MAX = 3.0
"""A market order is filled at once; a venue that matches in batches may take a second."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark price of the venue: ``at_ms`` on its clock, ``price`` in quote currency."""

    at_ms: int
    price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A position: signed ``size`` in base units, 0 if there is none."""

    size: float = 0.0
    entry_price: float | None = None
    mark_price: float | None = None
    liquidation_price: float | None = None
    leverage: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestingOrder:
    """A resting order: signed ``size``, buy positive; ``conditional`` ones live behind other endpoints."""

    order_id: str
    size: float
    price: float | None = None
    stop_price: float | None = None
    reduce_only: bool = False
    conditional: bool = False


class Trading(Protocol):
    """One symbol on one account. Every method raises VenueError when the venue refuses or is away."""

    async def start(self) -> None:
        """Load the market and set clocks."""
        ...

    async def close(self) -> None: ...

    @property
    def is_streaming(self) -> bool:
        """Whether the venue has confirmed the subscription to mark prices."""
        ...

    def marks(self) -> AsyncIterator[Mark]:
        """Yield every mark price, until the stream breaks."""
        ...

    async def holding(self) -> Holding:
        """Fetch the position afresh."""
        ...

    async def orders(self) -> tuple[RestingOrder, ...]:
        """Fetch the open orders afresh, conditional ones too."""
        ...

    async def equity_usd(self) -> float:
        """Fetch wallet and unrealised profit of the account."""
        ...

    async def market_order(self, size: float, *, reduce_only: bool, client_id: str) -> str:
        """Trade a signed size at the market, and return the order's id once it rests no longer."""
        ...

    async def limited_order(self, size: float, price: float, *, client_id: str) -> str:
        """Reduce by what is there of a signed size at ``price`` or better, and rest nothing; returns the order's id."""
        ...

    async def place_stop(self, size: float, stop_price: float) -> str:
        """Rest a reduce-only stop of a signed size; returns the order's id."""
        ...

    async def cancel(self, order: RestingOrder) -> None: ...

    async def set_leverage(self, leverage: int) -> None: ...

    def round_size(self, size: float, *, up: bool) -> float:
        """Round an absolute size to the venue's step."""
        ...

    def round_price(self, price: float) -> float:
        """Round a price to the venue's tick."""
        ...


class CcxtTrading:
    """``Trading`` over ccxt.pro's binanceusdm. ccxt is imported by ``start``, because it takes a second."""

    def __init__(self, symbol: str, urls: dict[str, Any], api_key: str, api_secret: str) -> None:
        self._symbol = symbol
        self._config: dict[str, Any] = {
            "apiKey": api_key,
            "secret": api_secret,
            "enableRateLimit": True,
            # ccxt's default spreads requests evenly: four in a row would take a quarter of a second.
            "rateLimiterAlgorithm": "rollingWindow",
            "newUpdates": True,
            "options": {"fetchCurrencies": False},
        }
        if urls:
            self._config["urls"] = urls
        self._exchange: Any = None
        self._confirmed = False

    @property
    def is_streaming(self) -> bool:
        return self._confirmed

    async def start(self) -> None:
        if self._exchange is None:
            self._exchange = self._make()
        await self._ask(self._exchange.load_markets())
        if self._symbol not in self._exchange.markets:
            raise VenueError(
                self._exchange.id, f"does not list {self._symbol}: correct symbol in the settings"
            )
        await self._ask(self._exchange.load_time_difference())

    async def close(self) -> None:
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            await exchange.close()

    async def marks(self) -> AsyncIterator[Mark]:
        try:
            while True:
                seen = await self._ask(self._exchange.watch_mark_price(self._symbol))
                yield Mark(int(seen["timestamp"]), float(seen["markPrice"]))
        finally:
            self._confirmed = False

    async def holding(self) -> Holding:
        for position in await self._ask(self._exchange.fetch_positions([self._symbol])):
            size = _number(position.get("contracts")) or 0.0
            margin_ratio = _number(position.get("initialMarginPercentage"))
            return Holding(
                size=-size if position.get("side") == "short" else size,
                entry_price=_number(position.get("entryPrice")),
                mark_price=_number(position.get("markPrice")),
                liquidation_price=_number(position.get("liquidationPrice")),
                leverage=round(1.0 / margin_ratio, 6) if margin_ratio else None,
            )
        return Holding()

    async def orders(self) -> tuple[RestingOrder, ...]:
        plain = await self._ask(self._exchange.fetch_open_orders(self._symbol))
        conditional = await self._ask(
            self._exchange.fetch_open_orders(self._symbol, params={"trigger": True})
        )
        return (
            *(_resting(order, conditional=False) for order in plain),
            *(_resting(order, conditional=True) for order in conditional),
        )

    async def equity_usd(self) -> float:
        account = await self._ask(self._exchange.fapiPrivateV3GetAccount())
        return float(account["totalMarginBalance"])

    async def market_order(self, size: float, *, reduce_only: bool, client_id: str) -> str:
        params: dict[str, Any] = {"newClientOrderId": client_id}
        if reduce_only:
            params["reduceOnly"] = True
        return await self._placed("market", size, None, params)

    async def limited_order(self, size: float, price: float, *, client_id: str) -> str:
        params = {"newClientOrderId": client_id, "reduceOnly": True, "timeInForce": "IOC"}
        return await self._placed("limit", size, price, params)

    async def _placed(self, kind: str, size: float, price: float | None, params: dict[str, Any]) -> str:
        """Place an order that is not to rest; return its id once it does not."""
        side = "buy" if size > 0 else "sell"
        order = await self._ask(
            self._exchange.create_order(self._symbol, kind, side, abs(size), price, params)
        )
        waited_s = 0.0
        while order.get("status") == "open" and waited_s < FILL_S_MAX:
            await asyncio.sleep(FILL_POLL_S)
            waited_s += FILL_POLL_S
            order = await self._ask(self._exchange.fetch_order(order["id"], self._symbol))
        return str(order["id"])

    async def place_stop(self, size: float, stop_price: float) -> str:
        params = {"stopPrice": stop_price, "reduceOnly": True, "workingType": "MARK_PRICE"}
        side = "buy" if size > 0 else "sell"
        create = self._exchange.create_order(self._symbol, "STOP_MARKET", side, abs(size), None, params)
        return str((await self._ask(create))["id"])

    async def cancel(self, order: RestingOrder) -> None:
        params = {"trigger": True} if order.conditional else {}
        await self._ask(self._exchange.cancel_order(order.order_id, self._symbol, params))

    async def set_leverage(self, leverage: int) -> None:
        await self._ask(self._exchange.set_leverage(leverage, self._symbol))

    def round_size(self, size: float, *, up: bool) -> float:
        step = self._exchange.market(self._symbol)["precision"]["amount"]
        return _round(size, step, ROUND_CEILING if up else ROUND_FLOOR)

    def round_price(self, price: float) -> float:
        return float(self._exchange.price_to_precision(self._symbol, price))

    def _make(self) -> Any:
        from ccxt.pro import binanceusdm  # noqa: PLC0415 (110 MB and a second, only where it is used)

        trading = self

        class Confirming(binanceusdm):  # type: ignore[misc]  # ccxt is untyped
            def handle_subscription_status(self, client: Any, message: Any) -> Any:
                trading._confirmed = True
                return super().handle_subscription_status(client, message)

        return Confirming(self._config)

    async def _ask(self, answer: Awaitable[_T]) -> _T:
        try:
            return await answer
        except asyncio.CancelledError:
            # ccxt cancels what waits on a socket that it closes; only our own cancellation may pass.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise VenueError("binanceusdm", "the connection was closed") from None
        except Exception as error:
            from ccxt.base.errors import AuthenticationError  # noqa: PLC0415 (loaded by now)

            detail = _QUERY.sub(r"\1", f"{type(error).__name__}: {error}")[:300]
            kind = VenueAuthError if isinstance(error, AuthenticationError) else VenueError
            raise kind("binanceusdm", detail) from error


def _resting(order: dict[str, Any], *, conditional: bool) -> RestingOrder:
    sign = 1.0 if order.get("side") == "buy" else -1.0
    whole = str(order.get("info", {}).get("closePosition", "")).lower() == "true"
    return RestingOrder(
        order_id=str(order["id"]),
        size=sign * (_number(order.get("remaining")) or _number(order.get("amount")) or 0.0),
        price=_number(order.get("price")),
        stop_price=_number(order.get("triggerPrice")),
        reduce_only=bool(order.get("reduceOnly")) or whole,
        conditional=conditional,
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _round(size: float, step: float, how: str) -> float:
    unit = Decimal(str(step))
    # The shortest decimal of the float is what was meant: 0.30000000000000004 is not above 0.3.
    steps = (Decimal(f"{size:.12g}") / unit).to_integral_value(rounding=how)
    return float(steps * unit)
