"""All markets of Binance are whole again within a minute, within the weight that the venue allows."""

from __future__ import annotations

import pytest

from adapters.exchanges.binance.budget import BOOKS_WEIGHT, SnapshotBudget
from guard.units import NS_PER_MS, NS_PER_S


def names(count: int) -> list[str]:
    return [f"M{number}" for number in range(count)]


@pytest.mark.parametrize(("markets", "deep"), [(1, 1), (10, 10), (40, 40), (200, 28), (500, 0), (600, 0)])
def test_a_full_resynchronisation_fits_into_a_minute(markets: int, deep: int) -> None:
    budget = SnapshotBudget()
    budget.expect(names(markets), 0)
    levels = [budget.levels(name, number * 100 * NS_PER_MS) for number, name in enumerate(names(markets))]

    assert levels.count(1_000) == deep
    assert min(levels) >= 50
    assert levels == sorted(levels, reverse=True), "who is first is served best"
    assert budget.spent <= BOOKS_WEIGHT


def test_books_that_are_lost_together_are_kept_weight_for() -> None:
    budget = SnapshotBudget()
    for number in range(25):
        assert budget.levels(f"M{number}", 0) == 1_000, "nobody else waits"
    budget.expect(names(500), 0)

    assert [budget.levels(name, NS_PER_S) for name in names(500)] == [50] * 500


def test_what_is_not_awaited_any_more_is_not_kept_weight_for() -> None:
    budget = SnapshotBudget()
    budget.expect(names(600), 0)
    assert budget.levels("M0", 0) == 50
    budget.forget(names(600))

    assert budget.levels("M0", 0) == 1_000


def test_books_that_nobody_asked_for_within_a_minute_are_not_waited_for_longer() -> None:
    budget = SnapshotBudget()
    budget.expect(names(600), 0)
    assert budget.levels("M0", 59 * NS_PER_S) == 50
    assert budget.levels("M0", 60 * NS_PER_S) == 1_000


def test_after_a_minute_books_are_deep_again() -> None:
    budget = SnapshotBudget()
    budget.expect(names(500), 0)
    for name in names(500):
        budget.levels(name, 0)

    assert budget.levels("M0", 30 * NS_PER_S) == 50
    assert [budget.levels("M0", 60 * NS_PER_S) for _ in range(20)] == [1_000] * 20
