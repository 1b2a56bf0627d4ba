"""Features of many markets in one array: of either implementation the same, and the same as an event's."""

from __future__ import annotations

import numpy as np
import pytest

from guard.market.book import ArrayBook, Book, Side
from guard.market.implementation import compiled
from guard.market.live import LiveBook, new_live_book
from guard.market.matrix import COLUMNS, Ends, FeatureMatrix, keep_current, measure_into, sides_at
from guard.market.sampler import measured
from tests.support.implementations import BOOKS, BookOf, compiled_book, needs_compiled


def books_of(book_of: BookOf) -> list[Book]:
    """Wide, narrow, of one level a side, crossed, empty and unsynced."""
    drawn = np.random.default_rng(3)
    books = [book_of() for _ in range(6)]
    for book, (levels, step) in zip(
        books, ((300, 0.01), (20, 0.5), (1, 0.1), (2, -0.5), (0, 0.1)), strict=False
    ):
        sides = [
            [(100.0 + sign * step * (level + 1), 10.0 + drawn.exponential(100.0)) for level in range(levels)]
            for sign in (-1.0, 1.0)
        ]
        book.load(sides[0], sides[1])
    return books


ENDS: list[Ends] = [(99.5, None), (None, None), (50.0, 150.0), (None, 3.0), (None, None), (None, None)]


@pytest.mark.parametrize("book_of", BOOKS)
@pytest.mark.parametrize("ends", [None, ENDS])
def test_a_row_is_what_an_event_would_say(book_of: BookOf, ends: list[Ends] | None) -> None:
    books = books_of(book_of)
    matrix = FeatureMatrix.of(len(books))
    measure_into(matrix, books, ends)
    for row, book in enumerate(books[:3]):
        low, high = (None, None) if ends is None else ends[row]
        assert sides_at(matrix, row) == measured(book, {Side.BID: low, Side.ASK: high})
        assert (matrix.column("bid")[row], matrix.column("ask")[row]) == (
            book.side(Side.BID)[0][0],
            book.side(Side.ASK)[0][0],
        )
    assert [sides_at(matrix, row) for row in (3, 4, 5)] == [None, None, None]
    assert matrix.known[:, 0].tolist() == [True, True, True, False, False, False]


@needs_compiled
@pytest.mark.parametrize("ends", [None, ENDS])
def test_both_make_the_same_matrix(ends: list[Ends] | None) -> None:
    made = []
    for book_of in (ArrayBook, compiled_book):
        matrix = FeatureMatrix.of(6)
        measure_into(matrix, books_of(book_of), ends)
        made.append(matrix)
    assert made[0].known.tolist() == made[1].known.tolist()
    np.testing.assert_allclose(made[1].values, made[0].values, rtol=1e-12, atol=1e-12)
    assert not made[1].values[~made[1].known].any()


@pytest.mark.parametrize("book_of", BOOKS)
def test_what_was_in_a_row_before_is_gone(book_of: BookOf) -> None:
    matrix = FeatureMatrix.of(1)
    book = books_of(book_of)[0]
    measure_into(matrix, [book])
    assert matrix.known.any()
    book.clear()
    measure_into(matrix, [book])
    assert not matrix.known.any()
    assert not matrix.values.any()


@pytest.mark.parametrize("book_of", BOOKS)
def test_there_is_a_row_for_each_book(book_of: BookOf) -> None:
    with pytest.raises(ValueError, match="2 books do not fit into 1 rows"):
        measure_into(FeatureMatrix.of(1), [book_of(), book_of()])
    with pytest.raises(ValueError, match="do not fit"):
        measure_into(FeatureMatrix.of(1), [book_of()], [])


@needs_compiled
def test_the_compiled_one_writes_nowhere_else() -> None:
    """It trusts no shape: a row too few would be memory of somebody else."""
    book = books_of(compiled_book)[0]
    good = FeatureMatrix.of(1)
    for values, known in (
        (np.zeros((1, len(COLUMNS) - 1)), good.known),
        (good.values, np.zeros((1, len(COLUMNS) + 1), np.bool_)),
    ):
        with pytest.raises(ValueError, match="1 books need"):
            compiled().measure_books([book], None, values, known)
    assert not compiled().measure_books([book, ArrayBook()], None, good.values, good.known)
    unwritable = np.zeros((1, len(COLUMNS)))
    unwritable.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        compiled().measure_books([book], None, unwritable, good.known)


def kept(book_of: BookOf, row: int) -> tuple[LiveBook, FeatureMatrix]:
    live, matrix = new_live_book(book_of()), FeatureMatrix.of(3)
    keep_current(matrix, row, live)
    return live, matrix


@pytest.mark.parametrize("book_of", BOOKS)
def test_a_row_can_be_kept_current_after_every_update(book_of: BookOf) -> None:
    live, matrix = kept(book_of, 1)
    drawn = np.random.default_rng(5)
    for number in range(50):
        sides = [
            [
                (100.0 + sign * 0.01 * int(step), float(drawn.integers(0, 3)))
                for step in drawn.integers(1, 60, 5)
            ]
            for sign in (-1.0, 1.0)
        ]
        change = live.book.apply if number else live.book.load
        change(sides[0], sides[1])
        if number == 49:
            live.book.clear()
        live.applied(number, number)
        expected = FeatureMatrix.of(1)
        measure_into(expected, [live.book])
        assert matrix.values[1].tolist() == expected.values[0].tolist()
        assert matrix.known[1].tolist() == expected.known[0].tolist()
    assert not matrix.values[[0, 2]].any()
    assert not matrix.known.any()


@pytest.mark.parametrize("book_of", BOOKS)
def test_a_row_that_is_kept_outlives_whoever_asked_for_it(book_of: BookOf) -> None:
    live, _ = kept(book_of, 0)
    live.book.load([[99.0, 5.0]], [[101.0, 15.0]])
    live.applied(1, 1)
    again = FeatureMatrix.of(1)
    keep_current(again, 0, live)
    assert again.column("bid").tolist() == [99.0]


@needs_compiled
def test_a_row_of_another_width_is_refused() -> None:
    live = new_live_book(compiled_book())
    with pytest.raises(ValueError, match="a row has"):
        live.keep_row(np.zeros(5), np.zeros(5, np.bool_), lambda: None)
    live.applied(1, 1)
