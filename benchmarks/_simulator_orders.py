"""Orders for bare books: the same for every contender, drawn so that a book of a few thousand orders stays."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from adapters.simulation.laboratory.book import OrderBook

TICKS = 40_000
MIDDLE = 20_000
RESTING = 2_000

Order = tuple[int, int, int]
"""A limit order (side, tick, lots), or (0, n, 0): cancel the n-th order."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What to ask, and what must rest afterwards: numbers of orders and their lots."""

    asked: list[Order]
    left: dict[int, int]
    trades: int


def draw_orders(count: int, seed: int) -> Orders:
    """Draw limit orders about a price that walks, a tenth of which cross; half of all are cancelled, as on venues.

    Only orders that still rest are cancelled, and nobody meets an own order, so that every engine means the same.
    """
    drawn = random.Random(seed)
    book = OrderBook(TICKS)
    asked: list[Order] = []
    numbers: list[int] = []
    alive: list[int] = []
    trades, price = 0, float(MIDDLE)
    while len(asked) < count:
        price += drawn.gauss(0.0, 0.3)
        if len(alive) > RESTING and drawn.random() < 0.53:
            place = drawn.randrange(len(alive))
            alive[place], alive[-1] = alive[-1], alive[place]
            number = alive.pop()
            if book.cancel(numbers[number]):
                asked.append((0, number, 0))
            continue
        side = drawn.choice((1, -1))
        away = -drawn.randrange(8) if drawn.random() < 0.1 else 1 + int(drawn.expovariate(1 / 40))
        tick, lots = int(price) - side * away, drawn.randrange(1, 100)
        asked.append((side, tick, lots))
        order = book.place(len(numbers), side, tick, lots)
        trades += book.fill_count
        if order >= 0:
            alive.append(len(numbers))
        numbers.append(order)
    left = {number: book.lots_left(order) for number, order in enumerate(numbers) if order >= 0}
    return Orders(asked, {number: lots for number, lots in left.items() if lots}, trades)


def ask_ours(book_class: Any, asked: list[Order]) -> tuple[Any, list[int]]:
    """Ask a book of ours everything; the book, and each order's number."""
    book = book_class(TICKS)
    place, cancel = book.place, book.cancel
    numbers: list[int] = []
    for side, tick, lots in asked:
        if side:
            numbers.append(place(len(numbers), side, tick, lots))
        else:
            cancel(numbers[tick])
    return book, numbers


def left_of_ours(book: Any, numbers: list[int]) -> dict[int, int]:
    """What rests, by the number of the order asked."""
    left = {number: book.lots_left(order) for number, order in enumerate(numbers) if order >= 0}
    return {number: lots for number, lots in left.items() if lots}
