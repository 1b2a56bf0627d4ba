"""The benchmark of the laboratory: its orders mean the same to everyone, and a book that ends otherwise is caught."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.simulation.laboratory.book import OrderBook
from benchmarks._frame import Options
from benchmarks._simulator_orders import Orders, ask_ours, draw_orders, left_of_ours
from benchmarks._simulator_runs import episode_of, memory_after, run
from benchmarks.simulator_speed import _asked_of_ours, memory
from tests.support.naive_book import NaiveBook, NaiveOrder


@pytest.fixture(scope="module")
def orders() -> Orders:
    return draw_orders(1_500, 3)


def test_a_naive_book_ends_with_the_orders_that_every_contender_must_end_with(orders: Orders) -> None:
    book = NaiveBook(40_000)
    placed: list[NaiveOrder | None] = []
    trades = 0
    for side, tick, lots in orders.asked:
        if side:
            placed.append(book.place(len(placed), side, tick, lots))
            trades += len(book.fills)
        else:
            order = placed[tick]
            assert order is not None
            assert book.cancel(order) > 0
    left = {
        number: order.lots
        for number, order in enumerate(placed)
        if order is not None and any(order is resting for resting in book.resting)
    }
    assert left == orders.left
    assert trades == orders.trades > 50


def test_a_book_that_ends_otherwise_is_caught(orders: Orders) -> None:
    class Forgetful:
        """Cancels nothing."""

        def __init__(self, ticks: int) -> None:
            self.book = OrderBook(ticks)

        def place(self, owner: int, side: int, tick: int, lots: int) -> int:
            return self.book.place(owner, side, tick, lots)

        def cancel(self, order: int) -> int:
            return 0

        def lots_left(self, order: int) -> int:
            return self.book.lots_left(order)

    many = draw_orders(4_000, 3)
    assert left_of_ours(*ask_ours(OrderBook, many.asked)) == many.left
    assert _asked_of_ours(OrderBook, many) > 0
    forgetful: Any = Forgetful
    with pytest.raises(AssertionError):
        _asked_of_ours(forgetful, many)


def test_a_run_is_counted() -> None:
    ran = run(episode_of("calm", 1, 0.02))
    assert ran.steps == 720
    assert ran.book_events > 100
    assert ran.events > 100
    assert ran.cpu_s > 0


def test_growth_is_told_of_the_second_half(monkeypatch: pytest.MonkeyPatch) -> None:
    def grown(seed: int, hours: list[float]) -> list[float]:
        return [80.0, 85.0, 85.0, 85.0 + seed]

    monkeypatch.setattr("benchmarks.simulator_speed.memory_after", grown)
    flat, leaking = (memory(Options(quick=True, seed=seed))[1] for seed in (0, 1))
    assert (flat.value, flat.met) == (0.0, True)
    assert (leaking.value, leaking.met) == (250.0, False)


def test_memory_is_that_of_a_process_of_its_own() -> None:
    first, last = memory_after(1, [0.01, 0.02])
    assert 20 < first < 500
    assert abs(last - first) < 50
