"""A venue with one market that does what a test tells it, behind the bot's ``Trading`` port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from adapters.bots.trading import Holding, Mark, RestingOrder
from guard.errors import VenueError

STEP = 0.001


@dataclass
class FakeTrading:
    """Fills market orders at the mark, at once; ``fill_ratio`` of each, and refuses while ``refuses``."""

    price: float = 60_000.0
    size: float = 0.0
    entry_price: float | None = None
    equity: float = 10_000.0
    fill_ratio: float = 1.0
    given_at_limit: float = float("inf")
    refuses: str = ""
    leverage_refused: str = ""
    resting: list[RestingOrder] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    leverage: int | None = None
    now_ms: int = 0
    numbers: int = 0
    queue: asyncio.Queue[Mark] = field(default_factory=asyncio.Queue)
    is_streaming: bool = False

    async def start(self) -> None:
        self._may()

    async def close(self) -> None:
        self.log.append("close")

    async def marks(self) -> AsyncIterator[Mark]:
        self.is_streaming = True
        while True:
            yield await self.queue.get()

    async def holding(self) -> Holding:
        self._may()
        return Holding(
            size=self.size,
            entry_price=self.entry_price if self.size else None,
            mark_price=self.price,
            leverage=float(self.leverage or 1),
        )

    async def orders(self) -> tuple[RestingOrder, ...]:
        self._may()
        return tuple(self.resting)

    async def equity_usd(self) -> float:
        self._may()
        return self.equity

    async def market_order(self, size: float, *, reduce_only: bool, client_id: str) -> str:
        self._may()
        assert len(client_id) <= 36
        if reduce_only:
            assert size * self.size < 0, "a reduce-only order must be against the position"
            filled = size * self.fill_ratio
            filled = max(filled, -self.size) if size < 0 else min(filled, -self.size)
            self.size = round(self.size + filled, 9)
        else:
            cost = self.size * (self.entry_price or 0.0) + size * self.price
            self.size = round(self.size + size, 9)
            self.entry_price = cost / self.size
        self.log.append(f"{'reduce' if reduce_only else 'enter'} {size:g}")
        return self._next()

    async def limited_order(self, size: float, price: float, *, client_id: str) -> str:
        self._may()
        worse = self.price < price if size < 0 else self.price > price
        if worse or self.given_at_limit <= 0.0:
            self.log.append(f"unfilled {size:g} at {price:g}")
            return self._next()
        given = min(abs(size), self.given_at_limit)
        self.given_at_limit = round(self.given_at_limit - given, 9)
        return await self.market_order(given if size > 0 else -given, reduce_only=True, client_id=client_id)

    async def place_stop(self, size: float, stop_price: float) -> str:
        self._may()
        order = RestingOrder(
            order_id=self._next(), size=size, stop_price=stop_price, reduce_only=True, conditional=True
        )
        self.resting.append(order)
        self.log.append(f"stop {stop_price:g}")
        return order.order_id

    async def cancel(self, order: RestingOrder) -> None:
        self._may()
        self.resting.remove(order)
        self.log.append(f"cancel {order.order_id}")

    async def set_leverage(self, leverage: int) -> None:
        self._may()
        if self.leverage_refused:
            raise VenueError("fake", self.leverage_refused)
        self.leverage = leverage

    def round_size(self, size: float, *, up: bool) -> float:
        steps = size / STEP
        return round((int(steps + 0.999_999) if up else int(steps + 1e-9)) * STEP, 9)

    def round_price(self, price: float) -> float:
        return round(price, 1)

    def mark(self, price: float | None = None, *, later_ms: int = 1_000) -> Mark:
        """Move the market and return what it says; stops that are passed are filled."""
        self.price = self.price if price is None else price
        self.now_ms += later_ms
        for order in [o for o in self.resting if o.stop_price is not None and self.price <= o.stop_price]:
            self.resting.remove(order)
            self.size = 0.0
            self.log.append("stopped")
        return Mark(self.now_ms, self.price)

    @property
    def stops(self) -> list[float]:
        return [order.stop_price for order in self.resting if order.stop_price is not None]

    def _next(self) -> str:
        self.numbers += 1
        return str(self.numbers)

    def _may(self) -> None:
        if self.refuses:
            raise VenueError("fake", self.refuses)
