"""Limit order books from PyPI that match by price and time; run in an environment of their own."""

from __future__ import annotations

import gc
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

Ask = Callable[[Sequence[Sequence[int]]], Callable[[Sequence[int]], list[int]]]
"""Takes all orders; what it returns tells the lots left of orders."""


def cython_orderbook(asked: Sequence[Sequence[int]]) -> Callable[[Sequence[int]], list[int]]:
    """Compiled; keeps every trade. Orders are made beforehand by nobody: whoever has one must make it."""
    from cython_orderbook import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - only the one asked for
        Order,
        OrderBook,
        OrderSide,
    )

    book = OrderBook()
    sides = {1: OrderSide.BID, -1: OrderSide.ASK}
    orders: list[Any] = []
    for side, tick, lots in asked:
        if side:
            order = Order(side=sides[side], price=tick, original_quantity=lots)
            orders.append(order)
            book.add_limit_order(order)
        else:
            book.cancel_order(orders[tick].order_id)
    return lambda numbers: [orders[number].remaining_quantity for number in numbers]


def lightmatchingengine(asked: Sequence[Sequence[int]]) -> Callable[[Sequence[int]], list[int]]:
    """Plain Python over dictionaries."""
    from lightmatchingengine.lightmatchingengine import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - only the one asked for
        LightMatchingEngine,
        Side,
    )

    engine = LightMatchingEngine()
    sides = {1: Side.BUY, -1: Side.SELL}
    orders: list[Any] = []
    for side, tick, lots in asked:
        if side:
            orders.append(engine.add_order("x", tick, lots, sides[side])[0])
        else:
            engine.cancel_order(orders[tick].order_id, "x")
    return lambda numbers: [int(orders[number].leaves_qty) for number in numbers]


def fastlob(asked: Sequence[Sequence[int]]) -> Callable[[Sequence[int]], list[int]]:
    """Plain Python over sortedcontainers, in decimals."""
    from fastlob import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - only the one asked for
        Orderbook,
        OrderParams,
        OrderSide,
        OrderType,
    )

    logging.disable(logging.CRITICAL)
    sides = {1: OrderSide.BID, -1: OrderSide.ASK}
    orders: list[Any] = []
    with Orderbook(name="x") as book:
        for side, tick, lots in asked:
            if side:
                wanted = OrderParams(side=sides[side], price=tick, quantity=lots, otype=OrderType.GTC)
                orders.append(book.process(wanted).orderid())
            else:
                book.cancel(orders[tick])
    return lambda numbers: [int(book.get_status(orders[number])[1]) for number in numbers]


BOOKS: dict[str, Ask] = {
    "cython_orderbook": cython_orderbook,
    "lightmatchingengine": lightmatchingengine,
    "fastlob": fastlob,
}


def main() -> None:
    """Take orders once, then run the book that is asked for, as often as asked."""
    asked: list[list[int]] = []
    kept: list[int] = []
    for line in sys.stdin:
        question = json.loads(line)
        if "asked" in question:
            asked, kept = question["asked"], question["kept"]
            answer: dict[str, Any] = {}
        else:
            ask = BOOKS[question["book"]]
            gc.collect()
            gc.disable()
            started = time.process_time_ns()
            left_of = ask(asked)
            us = (time.process_time_ns() - started) / 1e3 / len(asked)
            gc.enable()
            answer = {"us": us, "left": left_of(kept)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
