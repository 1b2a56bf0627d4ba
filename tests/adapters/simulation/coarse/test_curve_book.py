"""A book of curves: what is taken, what it shows, and that it is measured as guards measure books."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from adapters.simulation.coarse.curve_book import CurveBook
from adapters.simulation.coarse.series import COSTS, CURVE
from guard.events import CURVE_BPS, NOTIONALS_USD
from guard.market.book import new_book
from guard.market.sampler import features_from
from guard.units import MarketId

USD = 0.01
"""What a lot costs a tick."""


def book_of(
    bids: list[tuple[int, int, int]], asks: list[tuple[int, int, int]], scale: float = 1.0
) -> CurveBook:
    """Steps are part, tick, lots; parts 0 and 1 are owned by 8 and 9."""
    book = CurveBook(40_000, [8, 9], USD)
    book.begin()
    book.set_scale(0, scale)
    for side, steps in enumerate((bids, asks)):
        for part, tick, lots in steps:
            assert book.put(side, part, tick, lots) == 1
    book.build()
    return book


def plain(scale: float = 1.0) -> CurveBook:
    return book_of(
        [(0, 9_990, 100), (0, 9_950, 300), (1, 9_980, 50), (1, 9_900, 900)],
        [(0, 10_010, 80), (0, 10_060, 400), (1, 10_030, 70), (1, 10_200, 2_000)],
        scale,
    )


def fills(book: CurveBook) -> list[tuple[int, int, int]]:
    return [(book.fill_owner(at), book.fill_tick(at), book.fill_lots(at)) for at in range(book.fill_count)]


def test_parts_are_one_curve_best_first() -> None:
    book = plain()
    ticks, lots = book.gather(1, 10)
    assert list(zip(ticks.tolist(), lots.tolist(), strict=True)) == [
        (9_990, 100),
        (9_980, 50),
        (9_950, 300),
        (9_900, 900),
    ]
    assert (book.best_bid, book.best_ask, book.is_crossed()) == (9_990, 10_010, False)
    assert [book.lots_at(-1, tick) for tick in (10_010, 10_030, 10_031)] == [80, 70, 0]
    assert (book.lots_within(-1, 10_060), book.lots_within(1, 9_980)) == (550, 150)
    assert (book.next_ask(10_010), book.next_ask(10_200), book.next_bid(9_900)) == (10_030, 40_000, 0)


def test_taking_goes_along_the_curve_and_is_remembered() -> None:
    book = plain()
    assert book.take(3, 1, 200) == 200
    assert fills(book) == [(8, 10_010, 80), (9, 10_030, 70), (8, 10_060, 50)]
    assert (book.best_ask, book.last_tick) == (10_060, 10_060)
    assert [book.taken(1, part) for part in (0, 1)] == [130.0, 70.0]
    assert book.take(3, -1, 10_000, 9_950) == 450
    assert book.best_bid == 9_900
    assert book.take(3, -1, 10, 9_950) == 0
    assert book.take(3, -1, 5_000) == 900
    assert (book.best_bid, book.take(3, -1, 1)) == (0, 0)


def test_what_is_put_back_within_a_round_can_be_taken_and_does_not_show() -> None:
    book = plain(scale=10.0)
    assert book.lots_at(-1, 10_010) == 80
    assert book.take(3, 1, 800) == 800
    assert fills(book) == [(8, 10_010, 800)]
    assert book.taken(1, 0) == 80.0


def test_a_guest_stands_between_the_best_prices() -> None:
    book = plain()
    order = book.place(4, 1, 10_000, 30, True)
    assert order > 0
    assert (book.best_bid, book.lots_left(order)) == (10_000, 30)
    assert book.place(4, -1, 9_999, 10, True) == -1
    with pytest.raises(NotImplementedError):
        book.place(4, -1, 10_005, 10, True)
    assert book.take(3, -1, 12, 10_000) == 12
    assert fills(book) == [(4, 10_000, 12)]
    assert (book.cancel(order), book.best_bid, book.cancel(order)) == (18, 9_990, 0)
    with pytest.raises(NotImplementedError):
        book.place(4, 1, 9_000, 30, True)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_measured_as_guards_measure_books(seed: int) -> None:
    """Of a book that is seen to the end: up to its farthest level nothing is estimated."""
    drawn = np.random.default_rng(seed)
    sides: list[list[tuple[int, int, int]]] = []
    for sign in (-1, 1):
        away = np.unique(np.round(10_000 * np.exp(drawn.uniform(-8.5, -2.5, 24)))).astype(int)
        sides.append([(0, 10_000 + sign * int(tick), int(drawn.integers(1, 4_000))) for tick in away])
        sides[-1].append((0, 10_000 + sign * 900, 50_000))
    book = book_of(sides[0], sides[1])
    told = new_book()
    told.load(*([[tick * USD, float(lots)] for _, tick, lots in steps] for steps in sides))
    seen = features_from(told, market=MarketId("venue:X/USDT:USDT"), received_at=0)
    assert seen.bids is not None
    assert seen.asks is not None
    for side, whole in enumerate((seen.bids, seen.asks)):
        out = array("d", bytes(8 * (CURVE + COSTS)))
        book.measure(side, out, 0, CURVE)
        assert list(out[:CURVE]) == pytest.approx(list(whole.curve_usd), rel=1e-9)
        for place in range(COSTS):
            cost = whole.slippage_bps[place]
            assert out[CURVE + place] == pytest.approx(-1.0 if cost is None else cost, rel=1e-6, abs=1e-6)
    assert len(NOTIONALS_USD) == COSTS
    assert len(CURVE_BPS) == CURVE
