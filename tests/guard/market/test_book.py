"""Every book equals a dict of levels, whatever comes, and refuses what cannot be a level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.errors import MalformedFrameError
from guard.events import BookStatus
from guard.market.book import Book, Side
from tests.support.implementations import BookOf, every_book

Level = tuple[float, float]
PRICES = st.integers(1, 40).map(lambda tick: tick * 0.5)
SIZES = st.sampled_from([0.0, 0.0, 0.001, 1.0, 2.5, 1e6])
BATCH = st.lists(st.tuples(PRICES, SIZES), max_size=15)
STEPS = st.lists(st.tuples(st.booleans(), BATCH, BATCH), max_size=12)


class DictBook:
    """What a book means, written as plainly as possible."""

    def __init__(self) -> None:
        self.sides: dict[Side, dict[float, float]] = {Side.BID: {}, Side.ASK: {}}

    def load(self, bids: list[Level], asks: list[Level]) -> None:
        self.sides = {Side.BID: {}, Side.ASK: {}}
        self.apply(bids, asks)

    def apply(self, bids: list[Level], asks: list[Level]) -> None:
        for side, levels in ((Side.BID, bids), (Side.ASK, asks)):
            for price, size in levels:
                self.sides[side][price] = size
                if size == 0.0:
                    del self.sides[side][price]

    def levels(self, side: Side) -> list[Level]:
        return sorted(self.sides[side].items(), reverse=side is Side.BID)


def levels_of(book: Book, side: Side) -> list[Level]:
    prices, sizes = book.side(side)
    return list(zip(prices.tolist(), sizes.tolist(), strict=True))


@every_book
@given(STEPS)
def test_it_equals_a_dict_of_levels(
    book_of: BookOf, steps: list[tuple[bool, list[Level], list[Level]]]
) -> None:
    book, model = book_of(), DictBook()
    for is_snapshot, bids, asks in steps:
        for one in (book, model):
            (one.load if is_snapshot else one.apply)(bids, asks)
        for side in Side:
            assert model.levels(side) == levels_of(book, side)
        assert next(iter(model.levels(Side.BID)), None) == book.best_bid()
        assert next(iter(model.levels(Side.ASK)), None) == book.best_ask()


@every_book
@given(STEPS, st.integers(1, 6))
def test_a_full_book_keeps_the_best_levels_and_pulls_its_horizon_in(
    book_of: BookOf, steps: list[tuple[bool, list[Level], list[Level]]], capacity: int
) -> None:
    book = book_of(capacity)
    for is_snapshot, bids, asks in steps:
        (book.load if is_snapshot else book.apply)(bids, asks)
        for side in Side:
            levels = levels_of(book, side)
            assert len(levels) <= capacity
            assert levels == sorted(levels, reverse=side is Side.BID)
            assert all(size > 0.0 for _, size in levels)


@every_book
def test_beyond_its_capacity_the_farthest_go(book_of: BookOf) -> None:
    book = book_of(2)
    book.load([(10.0, 1.0), (9.0, 1.0)], [(11.0, 1.0), (12.0, 1.0)])
    assert book.horizon(Side.BID) == 9.0
    book.apply([(9.5, 1.0), (8.0, 1.0)], [(10.5, 1.0)])
    assert levels_of(book, Side.BID) == [(10.0, 1.0), (9.5, 1.0)]
    assert levels_of(book, Side.ASK) == [(10.5, 1.0), (11.0, 1.0)]
    assert (book.horizon(Side.BID), book.horizon(Side.ASK)) == (9.5, 11.0)


@pytest.mark.parametrize(
    "bad",
    [
        [(1.0, float("nan"))],
        [(float("nan"), 1.0)],
        [(float("inf"), 1.0)],
        [(1.0, float("inf"))],
        [(0.0, 1.0)],
        [(-1.0, 1.0)],
        [(1.0, -1.0)],
        [(1.0, 1.0, 1.0)],
        [1.0, 2.0],
        [("one", "two")],
        [(1.0, None)],
        [(1.0,), (1.0, 2.0)],
        [(True, "1.0")],
        [("1.0", True)],
        [(1e19, 1.0)],
        [("1.0", "1e300")],
        [(10**400, 1.0)],
    ],
)
@pytest.mark.parametrize("is_snapshot", [True, False])
@every_book
def test_what_cannot_be_a_level_is_refused_and_changes_nothing(
    book_of: BookOf, bad: list[Level], is_snapshot: bool
) -> None:
    book = book_of(where="venue:BTC")
    book.load([(10.0, 1.0)], [(11.0, 1.0)])
    change = book.load if is_snapshot else book.apply
    for bids, asks in ((bad, [(12.0, 1.0)]), ([(9.0, 1.0)], bad)):
        with pytest.raises(MalformedFrameError, match=r"venue:BTC: (bids|asks)"):
            change(bids, asks)
    assert levels_of(book, Side.BID) == [(10.0, 1.0)]
    assert levels_of(book, Side.ASK) == [(11.0, 1.0)]


@every_book
def test_levels_may_come_as_arrays_or_as_the_strings_of_a_venue(book_of: BookOf) -> None:
    book = book_of()
    book.load([["10.5", "1.25"]], np.array([[11.0, 2.0]]))
    assert (book.best_bid(), book.best_ask()) == ((10.5, 1.25), (11.0, 2.0))


@every_book
def test_status_tells_a_book_that_cannot_be_believed(book_of: BookOf) -> None:
    book = book_of()
    assert book.status() is BookStatus.UNSYNCED
    book.load([(10.0, 1.0)], [])
    assert book.status() is BookStatus.EMPTY
    book.apply([], [(11.0, 1.0)])
    assert book.status() is BookStatus.OK
    book.apply([(11.0, 1.0)], [])
    assert book.status() is BookStatus.CROSSED
    book.clear()
    assert book.status() is BookStatus.UNSYNCED
    assert book.horizon(Side.BID) is None
