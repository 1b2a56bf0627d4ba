"""The laboratory's book: equal to a naive one and to itself uncompiled, whatever is asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.simulation.laboratory import book as compiled
from tests.support.naive_book import NaiveBook, NaiveOrder
from tests.support.uncompiled import is_compiled, uncompiled

_, SOURCE = uncompiled("adapters.simulation.laboratory.bits", "adapters.simulation.laboratory.book")
BOOKS = [
    pytest.param(
        compiled.OrderBook, id="compiled" if is_compiled(compiled) else "source, for want of a compiler"
    ),
    pytest.param(SOURCE.OrderBook, id="source"),
]
TICKS = 2_500
"""More than two summaries of occupied prices hold."""


class Kind(Enum):
    PLACE = auto()
    POST = auto()
    TAKE = auto()
    LIMITED = auto()
    CANCEL = auto()
    SHRINK = auto()


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that is asked; ``which`` is of the orders so far."""

    kind: Kind
    owner: int
    side: int
    tick: int
    lots: int
    which: int


# Near one another, so that much is matched, and far out, so that empty stretches are passed.
PRICES = st.one_of(st.integers(1_000, 1_030), st.integers(1, TICKS - 1))
ACTIONS = st.builds(
    Action,
    kind=st.sampled_from(Kind),
    owner=st.integers(0, 4),
    side=st.sampled_from((1, -1)),
    tick=PRICES,
    lots=st.integers(0, 40),
    which=st.integers(0, 1_000),
)


def act(book: Any, action: Action, orders: list[Any]) -> Any:
    """Ask one thing of a book of ours; numbers of orders are kept in ``orders``."""
    match action.kind:
        case Kind.PLACE | Kind.POST:
            order = book.place(action.owner, action.side, action.tick, action.lots, action.kind is Kind.POST)
            orders.append(order)
            return order >= 0
        case Kind.TAKE:
            return book.take(action.owner, action.side, action.lots)
        case Kind.LIMITED:
            return book.take(action.owner, action.side, action.lots, action.tick)
        case Kind.CANCEL:
            return book.cancel(orders[action.which % len(orders)]) if orders else 0
        case Kind.SHRINK:
            return book.shrink(orders[action.which % len(orders)], action.lots) if orders else 0


def act_naively(book: NaiveBook, action: Action, orders: list[NaiveOrder | None]) -> Any:
    match action.kind:
        case Kind.PLACE | Kind.POST:
            is_post = action.kind is Kind.POST
            orders.append(book.place(action.owner, action.side, action.tick, action.lots, post_only=is_post))
            return orders[-1] is not None
        case Kind.TAKE:
            return book.take(action.owner, action.side, action.lots)
        case Kind.LIMITED:
            return book.take(action.owner, action.side, action.lots, action.tick)
        case Kind.CANCEL | Kind.SHRINK:
            order = orders[action.which % len(orders)] if orders else None
            if order is None:
                return 0
            return book.cancel(order) if action.kind is Kind.CANCEL else book.shrink(order, action.lots)


def levels(book: Any, side: int) -> list[tuple[int, int]]:
    ticks, lots = book.gather(side, TICKS)
    return list(zip(ticks.tolist(), lots.tolist(), strict=True))


def fills(book: Any) -> list[tuple[int, int, int, int]]:
    return [
        (book.fill_owner(i), book.fill_order(i), book.fill_tick(i), book.fill_lots(i))
        for i in range(book.fill_count)
    ]


def check_against(naive: NaiveBook, book: Any, numbers: list[Any], orders: list[NaiveOrder | None]) -> None:
    """Everything that can be asked of a book."""
    for side in (1, -1):
        assert levels(book, side) == naive.levels(side)
        assert all(lots > 0 for _, lots in levels(book, side))
    assert (book.best_bid, book.best_ask) == (naive.best_bid, naive.best_ask)
    assert book.best_bid < book.best_ask
    assert (book.last_tick, book.order_count) == (naive.last_tick, len(naive.resting))
    assert [(owner, tick, lots) for owner, _, tick, lots in fills(book)] == [
        (fill.order.owner, fill.order.tick, fill.lots) for fill in naive.fills
    ]
    places = {id(order): number for number, order in zip(numbers, orders, strict=True) if order is not None}
    assert [order for _, order, _, _ in fills(book)] == [places[id(fill.order)] for fill in naive.fills]
    for number, order in zip(numbers, orders, strict=True):
        is_there = order is not None and order in naive.resting
        assert book.lots_left(number) == (order.lots if order is not None and is_there else 0)
        assert book.tick_of(number) == (order.tick if order is not None and is_there else 0)
        assert book.side_of(number) == (order.side if order is not None and is_there else 0)
        assert book.owner_of(number) == (order.owner if order is not None and is_there else -1)


@pytest.mark.parametrize("book_class", BOOKS)
@settings(max_examples=120, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=60))
def test_it_is_the_book_that_a_list_of_orders_is(book_class: Any, actions: list[Action]) -> None:
    """Price-time priority, never crossed, nothing negative: by equality with what is plainly so."""
    naive, book = NaiveBook(TICKS), book_class(TICKS)
    orders: list[NaiveOrder | None] = []
    numbers: list[Any] = []
    for action in actions:
        assert act(book, action, numbers) == act_naively(naive, action, orders)
        check_against(naive, book, numbers, orders)


def random_actions(seed: int, count: int) -> list[Action]:
    random = Random(seed)
    kinds = (
        [Kind.PLACE] * 5 + [Kind.POST] * 3 + [Kind.TAKE, Kind.LIMITED, Kind.CANCEL, Kind.CANCEL, Kind.SHRINK]
    )
    return [
        Action(
            kind=random.choice(kinds),
            owner=random.randrange(20),
            side=random.choice((1, -1)),
            tick=min(max(int(random.gauss(1_000, random.choice((5, 300)))), 1), TICKS - 1),
            lots=random.randrange(1, 60),
            which=random.randrange(1_000_000),
        )
        for _ in range(count)
    ]


def everything(book: Any) -> tuple[Any, ...]:
    """All that a book tells."""
    return (
        *(levels(book, side) for side in (1, -1)),
        *(book.take_changes(side).tolist() for side in (1, -1)),
        *(book.orders_of(owner) for owner in range(20)),
        (book.best_bid, book.best_ask, book.last_tick, book.changed, book.order_count),
    )


@pytest.mark.skipif(
    not is_compiled(compiled), reason="nothing is compiled here, so there is nothing to compare"
)
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_same_compiled_and_not(seed: int) -> None:
    """To the number of the order, with more orders and fills than there was room for at first."""
    ours, source = compiled.OrderBook(TICKS), SOURCE.OrderBook(TICKS)
    ours_orders: list[Any] = []
    source_orders: list[Any] = []
    # Many orders on one side first, so that arrays grow and one order meets hundreds.
    many = [Action(Kind.POST, n % 20, -1, 1_200 + n % 700, 5, 0) for n in range(1_500)]
    sweep = [Action(Kind.TAKE, 30, 1, 2_000, 2_000, 0)]
    for number, action in enumerate([*many, *sweep, *random_actions(seed, 3_000)]):
        assert act(ours, action, ours_orders) == act(source, action, source_orders)
        assert fills(ours) == fills(source)
        if number % 500 == 0:
            assert everything(ours) == everything(source)
    assert ours_orders == source_orders
    assert everything(ours) == everything(source)


@pytest.mark.parametrize("book_class", BOOKS)
def test_changes_since_asked_rebuild_the_book(book_class: Any) -> None:
    """A client that applies each change as it is told has the same book, as with a venue's depth diffs."""
    book = book_class(TICKS)
    seen: dict[int, dict[int, int]] = {1: {}, -1: {}}
    orders: list[Any] = []
    for number, action in enumerate(random_actions(7, 2_000)):
        act(book, action, orders)
        if number % 10 == 0:
            for side, ours in seen.items():
                for tick in book.take_changes(side).tolist():
                    ours[tick] = book.lots_at(side, tick)
                assert book.take_changes(side).tolist() == []
                there = {tick: lots for tick, lots in ours.items() if lots}
                assert there == dict(levels(book, side))


@pytest.mark.parametrize("book_class", BOOKS)
def test_depth_is_summed_to_a_price_with_it(book_class: Any) -> None:
    book = book_class(TICKS)
    for tick, lots in ((100, 1), (98, 2), (90, 4)):
        book.place(1, 1, tick, lots)
    for tick, lots in ((101, 8), (105, 16), (2_400, 32)):
        book.place(1, -1, tick, lots)
    assert [book.lots_within(1, tick) for tick in (101, 100, 99, 98, 90, 1, -5)] == [0, 1, 1, 3, 7, 7, 7]
    assert [book.lots_within(-1, tick) for tick in (100, 101, 104, 105, 9_999)] == [0, 8, 8, 24, 56]
    assert [book.lots_at(1, tick) for tick in (-1, 98, 101, 9_999)] == [0, 2, 0, 0]
    assert [book.lots_at(-1, tick) for tick in (-1, 98, 101, 9_999)] == [0, 0, 8, 0]
    assert book.table(1, 2, 1, 10, 1, 1_000).tolist() == [[10.0, 0.001], [9.8, 0.002]]
    assert book.table(-1, 9, 25, 100, 3, 1).tolist() == [[25.25, 24.0], [26.25, 48.0], [600.0, 96.0]]
    assert [values.tolist() for values in book.gather(1, 2)] == [[100, 98], [1, 2]]
    assert [values.tolist() for values in book.gather(1, 9, 98)] == [[100, 98], [1, 2]]
    assert [values.tolist() for values in book.gather(-1, 9, 105)] == [[101, 105], [8, 16]]
    assert (book.next_bid(98), book.next_bid(90), book.next_ask(105), book.next_ask(2_400)) == (
        90,
        0,
        2_400,
        TICKS,
    )


@pytest.mark.parametrize("book_class", BOOKS)
def test_a_number_of_an_order_that_is_gone_finds_nobody_else(book_class: Any) -> None:
    """Its place is used again, its number is not."""
    book = book_class(TICKS)
    first = book.place(1, 1, 50, 5)
    assert book.cancel(first) == 5
    second = book.place(2, 1, 60, 7)
    assert second != first
    assert (book.cancel(first), book.shrink(first, 1), book.lots_left(first)) == (0, 0, 0)
    assert book.lots_left(second) == 7
    for nonsense in (-1, -(1 << 40), 1 << 40, 999_999):
        assert book.cancel(nonsense) == 0


@pytest.mark.parametrize("book_class", BOOKS)
def test_a_price_outside_is_refused_and_nothing_is_done(book_class: Any) -> None:
    book = book_class(TICKS)
    book.place(1, 1, 50, 5)
    for tick in (0, -1, TICKS, TICKS + 1):
        with pytest.raises(ValueError, match=f"tick {tick} is outside of the book"):
            book.place(1, 1, tick, 5)
    with pytest.raises(ValueError, match="has no price"):
        book_class(1)
    assert (book.order_count, book.best_bid) == (1, 50)


@pytest.mark.parametrize("book_class", BOOKS)
def test_all_orders_of_one_owner_can_be_taken_out(book_class: Any) -> None:
    book = book_class(TICKS)
    kept = [book.place(2, 1, 40, 1), book.place(2, -1, 80, 1)]
    gone = [book.place(1, 1, 50, 5), book.place(1, -1, 70, 5), book.place(1, 1, 40, 5)]
    assert sorted(book.orders_of(1)) == sorted(gone)
    assert book.cancel_all(1) == 3
    assert (book.best_bid, book.best_ask, book.order_count) == (40, 80, 2)
    assert sorted(book.orders_of(2)) == sorted(kept)


@pytest.mark.parametrize("book_class", BOOKS)
def test_nothing_grows_but_with_what_rests(book_class: Any) -> None:
    """Slots are used again: the number of a slot stays below the most that rested at once."""
    book = book_class(TICKS)
    for _ in range(200):
        placed = [book.place(1, 1, 40 + n, 1) for n in range(20)]
        assert max(order & 0xFFFFFF for order in placed) < 20
        for order in placed:
            book.cancel(order)
