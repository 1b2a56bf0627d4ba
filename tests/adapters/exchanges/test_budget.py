"""All markets of Binance are whole again within a minute, within the weight that the venue allows."""

from __future__ import annotations

import pytest

from adapters.exchanges.binance.budget import SnapshotBudget
from guard.units import NS_PER_MS, NS_PER_S


@pytest.mark.parametrize(("markets", "deep"), [(10, 10), (60, 15), (200, 15)])
def test_a_full_resynchronisation_fits_into_a_minute(markets: int, deep: int) -> None:
    budget = SnapshotBudget()
    levels = [budget.levels(number * 250 * NS_PER_MS) for number in range(markets)]

    assert levels.count(1_000) == deep
    assert min(levels) >= 50
    assert budget.spent <= 1_050


def test_after_a_minute_books_are_deep_again() -> None:
    budget = SnapshotBudget()
    for _ in range(200):
        budget.levels(0)

    assert budget.levels(30 * NS_PER_S) == 50
    assert [budget.levels(60 * NS_PER_S) for _ in range(14)] == [1_000] * 14
