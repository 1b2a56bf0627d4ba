"""What of a book is published as the best N levels, and as the differences between two looks."""

from __future__ import annotations

import random

from adapters.simulation.book import VenueBook
from adapters.simulation.bybit.windows import FIRST_ID, Window
from adapters.simulation.source import OpeningBook
from adapters.simulation.wire import DepthUpdate, Level


def a_book(bids: list[Level], asks: list[Level]) -> VenueBook:
    return VenueBook(OpeningBook(1, 0, tuple(bids), tuple(asks)))


def change(book: VenueBook, bids: list[Level], asks: list[Level]) -> None:
    book.apply(DepthUpdate(s="X", E=1, U=book.update_id + 1, u=book.update_id + 1, b=bids, a=asks))


def test_a_level_that_leaves_the_best_is_deleted_and_one_that_enters_is_set() -> None:
    book = a_book([("99", "1"), ("98", "2"), ("97", "3")], [("101", "1")])
    window = Window(2)
    window.look(book)
    assert window.levels == ([("99", "1"), ("98", "2")], [("101", "1")])

    change(book, [("99.5", "4")], [])
    assert window.look(book) == ([("99.5", "4"), ("98", "0")], [])

    change(book, [("99.5", "0")], [])
    assert window.look(book) == ([("98", "2"), ("99.5", "0")], [])


def test_a_look_that_finds_nothing_new_takes_no_number() -> None:
    book = a_book([("99", "1"), ("98", "2")], [("101", "1")])
    window = Window(1)
    window.look(book)
    assert window.update_id == FIRST_ID + 1

    change(book, [("98", "5")], [])
    assert window.look(book) == ([], [])
    assert window.update_id == FIRST_ID + 1


def test_who_applies_every_difference_has_the_best_levels() -> None:
    noise = random.Random(7)
    book = a_book([("99", "1")], [("101", "1")])
    window, held = Window(5), ({}, {})  # type: tuple[Window, tuple[dict[str, str], dict[str, str]]]
    for _ in range(500):
        sides = [
            [(str(noise.randint(low, low + 20)), str(noise.choice([0, 0, 1, 2, 3])))] for low in (60, 101)
        ]
        change(book, *sides)
        for side, changes in zip(held, window.look(book), strict=True):
            for price, size in changes:
                side[price] = size
                if float(size) == 0.0:
                    del side[price]
        assert (held[0], held[1]) == (dict(book.bids.top(5)), dict(book.asks.top(5)))
