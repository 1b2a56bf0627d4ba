"""Thresholds from cost."""

from __future__ import annotations

from math import nan

import pytest

from guard.forecasts import Direction
from guard.hazard.thresholds import CEILING, cut_from, thresholds
from guard.leverage.cascade.sizing import ExitCosts
from guard.leverage.cascade.structure import cascade
from tests.guard.hazard.forecasting import book_at


def test_cutting_is_worth_it_where_both_cost_the_same() -> None:
    """At the threshold, waiting costs on the mean what cutting now costs."""
    costs = ExitCosts(now=0.004, later=0.001, crash=0.08)
    hazard = cut_from(costs)
    assert (1 - hazard) * costs.later + hazard * costs.crash == pytest.approx(costs.now)


def test_the_edges_of_the_rule() -> None:
    """Nothing to be saved by waiting: cut. Nothing to be lost by it: do not. Unknown: do not, on this account."""
    assert cut_from(ExitCosts(now=0.001, later=0.001, crash=0.1)) == 0.0
    assert cut_from(ExitCosts(now=0.1, later=0.001, crash=0.05)) == 1.0
    assert cut_from(ExitCosts(now=nan, later=0.001, crash=0.05)) == CEILING


@pytest.mark.parametrize("direction", list(Direction))
def test_a_larger_crash_is_fled_sooner(direction: Direction) -> None:
    """The farther price would go, the less probability is needed; watching always comes before cutting."""
    book = book_at(100.0)
    found = cascade(direction, book, None)
    near, far = (thresholds(direction, book, found, usd=2e5, reach=reach) for reach in (0.02, 0.2))
    assert far.cut <= near.cut
    for each in (near, far):
        assert 0.0 < each.watch <= each.cut <= CEILING
