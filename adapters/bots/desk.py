"""What a paper bot does on its venue, one thing at a time: enter, stop, reduce, cancel; and its journal."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
import structlog

from adapters.bots.trading import Holding, RestingOrder, Trading
from guard.errors import VenueError
from guard.units import BPS_PER_UNIT

REDUCTIONS_MAX = 5
"""Tries to come down to a size; a thin book may fill only a part each time."""
STOP_MOVED_BPS = 0.5
LEVERAGE_RETRY_S = 10.0

_log = structlog.get_logger()


class ReductionError(VenueError):
    """The position could not be brought down to the size asked for. Look at the venue's book and limits."""


class Journal:
    """Lines of JSON, one for each thing done."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, what: str, **facts: Any) -> None:
        """Append one line about what was done; a full disk is logged, because it is done already."""
        try:
            self.write(what, **facts)
        except OSError as error:
            _log.error("journal", path=str(self.path), reason=str(error), left_out=what)

    def write(self, what: str, **facts: Any) -> None:
        """Append one line about what will be done, on the disk on return, and log it.

        Raises:
            OSError: it is not written, so it must not be done.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = msgspec.json.encode({"what": what, **facts}) + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _log.info(what, **facts)


class Desk:
    """Carries out decisions on one symbol. Hold ``lock`` around whatever reads and then acts.

    Raises (each method):
        VenueError: the venue refused or is away.
    """

    def __init__(self, trading: Trading, journal: Journal, intent_path: Path) -> None:
        self.trading = trading
        self.journal = journal
        self.lock = asyncio.Lock()
        self.leverage_set: int | None = None
        self._intent_path = intent_path
        self._leverage_refused = (0, 0.0)
        self._numbers = 0

    async def enter(self, size: float, symbol: str, at_ms: int) -> None:
        """Buy (or sell short) a signed size at the market."""
        self._numbers += 1
        client_id = _client_id("enter", f"{at_ms}-{self._numbers}")
        order_id = await self.trading.market_order(size, reduce_only=False, client_id=client_id)
        self.journal.note("entry", symbol=symbol, size=size, order_id=order_id, market_at_ms=at_ms)

    async def reduce_to(self, size_max: float, reason: str, price_limit: float | None = None) -> Holding:
        """Bring the position down to at most ``size_max`` (absolute) by reduce-only orders.

        From a fresh position and fresh orders each time, one reduction in flight, its intent on the
        disk before it is sent. With a ``price_limit`` no worse price is taken, and what cannot be had at it
        is left: the position that is returned may then be larger.

        Raises:
            ReductionError: it is still larger after several tries, at any price.
        """
        await self.cancel_entries()
        for attempt in range(1, REDUCTIONS_MAX + 1):
            holding = await self.trading.holding()
            excess = abs(holding.size) - size_max
            if excess <= 1e-12:
                self._intent_path.unlink(missing_ok=True)
                return holding
            await self._cancel([order for order in await self.trading.orders() if _reduces_now(order)])
            size = min(self.trading.round_size(excess, up=True), abs(holding.size))
            signed = -size if holding.size > 0 else size
            client_id = _client_id("cut", f"{reason}-{attempt}")
            self._intend(reason=reason, size_max=size_max, size_before=holding.size, client_id=client_id)
            if price_limit is None:
                order_id = await self.trading.market_order(signed, reduce_only=True, client_id=client_id)
            else:
                price = self.trading.round_price(price_limit)
                order_id = await self.trading.limited_order(signed, price, client_id=client_id)
            self.journal.note("reduction", size=signed, size_max=size_max, order_id=order_id, reason=reason)
            if price_limit is not None and (await self.trading.holding()).size == holding.size:
                break  # nobody gives more at that price
        holding = await self.trading.holding()
        if abs(holding.size) <= size_max + 1e-12 or price_limit is not None:
            self._intent_path.unlink(missing_ok=True)
            return holding
        raise ReductionError(
            "binanceusdm", f"still {holding.size} after {REDUCTIONS_MAX} orders, {size_max} asked"
        )

    async def move_stop(self, holding: Holding, price: float | None) -> float | None:
        """Have exactly one stop of the position's size at ``price``; none without a position or price.

        The new stop rests before the old one is cancelled, so the position is never without.
        """
        stops = [order for order in await self.trading.orders() if order.stop_price is not None]
        if holding.size == 0.0 or price is None:
            await self._cancel(stops)
            return None
        price = self.trading.round_price(price)
        kept = next((order for order in stops if _is_at(order, price, holding.size)), None)
        if kept is None:
            order_id = await self.trading.place_stop(-holding.size, price)
            self.journal.note("stop", size=-holding.size, stop_price=price, order_id=order_id)
        await self._cancel([order for order in stops if order is not kept])
        return price

    async def cancel_entries(self) -> tuple[str, ...]:
        """Cancel every resting order that could open or grow a position; returns their ids."""
        entries = [order for order in await self.trading.orders() if not order.reduce_only]
        await self._cancel(entries)
        return tuple(order.order_id for order in entries)

    async def set_leverage(self, leverage: int) -> bool:
        """Set the venue's leverage if it is another; returns whether the venue took it."""
        if leverage == self.leverage_set:
            return True
        refused, until = self._leverage_refused
        now = asyncio.get_running_loop().time()
        if leverage == refused and now < until:
            return False
        try:
            await self.trading.set_leverage(leverage)
        except VenueError as error:
            # The venue refuses to lower it while margin is short; the position itself was cut already.
            _log.warning("leverage not set", leverage=leverage, reason=str(error))
            self._leverage_refused = (leverage, now + LEVERAGE_RETRY_S)
            return False
        self.leverage_set = leverage
        self.journal.note("leverage", leverage=leverage)
        return True

    async def _cancel(self, orders: list[RestingOrder]) -> None:
        for order in orders:
            try:
                await self.trading.cancel(order)
            except VenueError:
                # It may have been filled or cancelled meanwhile; what counts is that it rests no more.
                still = {other.order_id for other in await self.trading.orders()}
                if order.order_id in still:
                    raise
            self.journal.note("cancel", order_id=order.order_id)

    def _intend(self, **facts: Any) -> None:
        self._intent_path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._intent_path.with_suffix(".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(facts))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(self._intent_path)


def _reduces_now(order: RestingOrder) -> bool:
    return order.reduce_only and order.stop_price is None


def _is_at(order: RestingOrder, price: float, size: float) -> bool:
    assert order.stop_price is not None
    is_near = abs(order.stop_price - price) <= price * STOP_MOVED_BPS / BPS_PER_UNIT
    return is_near and order.reduce_only and abs(order.size + size) < 1e-9


def _client_id(what: str, of: str) -> str:
    """At most 36 characters, equal for an equal intent, so a venue refuses to take it twice while it rests."""
    return f"pg-{what}-{hashlib.sha256(of.encode()).hexdigest()[:20]}"
