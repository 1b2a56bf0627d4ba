"""Trees say what walking them by hand says, compiled and plain alike to the last digit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guard.calibration import trees
from tests.support.uncompiled import uncompiled

plain = uncompiled("guard.calibration.trees")[0]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_leaves_are_found_as_by_hand(depth: int) -> None:
    drawn = np.random.default_rng(depth)
    count, nodes = 9, 2**depth - 1
    columns = drawn.integers(0, 5, (count, nodes))
    cuts, leaves = drawn.standard_normal((count, nodes)), drawn.standard_normal((count, nodes + 1))
    left = drawn.random((count, nodes)) < 0.5
    given = (
        0.3,
        depth,
        columns.ravel().tolist(),
        cuts.ravel().tolist(),
        left.ravel().tolist(),
        leaves.ravel().tolist(),
    )
    fast, slow = trees.Trees(*given), plain.Trees(*given)
    assert (fast.count, fast.width) == (count, columns.max() + 1)
    for row in np.where(drawn.random((50, 5)) < 0.2, np.nan, drawn.standard_normal((50, 5))):
        expected = 0.3
        for tree in range(count):
            node = 0
            while node < nodes:
                value = row[columns[tree, node]]
                is_left = left[tree, node] if np.isnan(value) else value <= cuts[tree, node]
                node = 2 * node + (1 if is_left else 2)
            expected += leaves[tree, node - nodes]
        assert fast.score(row) == slow.score(row) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("made", [trees, plain])
def test_what_does_not_fit_is_refused(made: Any) -> None:
    one = made.Trees(0.0, 1, [3], [0.0], [True], [-1.0, 1.0])
    with pytest.raises(ValueError, match="3 columns, where 4"):
        one.score(np.zeros(3))
    for columns, cuts, left, leaves, says in (
        ([0], [0.0], [True], [1.0], "no whole trees"),
        ([0, 1], [0.0, 1.0], [True, True], [1.0, 2.0], "1 nodes, not 2"),
        ([-1], [0.0], [True], [1.0, 2.0], "from 0 on"),
        ([0], [float("nan")], [True], [1.0, 2.0], "known numbers"),
        ([0], [0.0], [True], [1.0, float("inf")], "known numbers"),
    ):
        with pytest.raises(ValueError, match=says):
            made.Trees(0.0, 1, columns, cuts, left, leaves)


def test_no_trees_say_the_bias() -> None:
    assert trees.Trees(-0.7, 3, [], [], [], []).score(np.zeros(0)) == -0.7


@pytest.mark.parametrize("made", [trees, plain])
def test_cells_are_moved_by_what_trees_see_more_in_one_of_them(made: Any) -> None:
    """By hand: which columns are given, which row is asked, which cells move, and where they are held."""
    grown = made.Trees(0.0, 1, [0, 1], [0.0, 0.0], [True, True], [-2.0, 2.0, 0.0, 1.0])
    beside = made.Beside(grown, 0.5, [2], [1], 1, 0, 2, 1)
    values = np.array([-9.0, -9.0, 1.0])
    graded = np.array([[-9.0, -9.0], [-9.0, 1.0]])
    told = np.array([[0.9, 0.9, 0.9], [0.7, 0.5, 0.4]])
    beside.move(values, graded, told, 1)
    assert told[0].tolist() == [0.9, 0.9, 0.9]
    assert np.log(told[1] / (1.0 - told[1])) == pytest.approx(
        [np.log(0.7 / 0.3) + 1.5, 1.5, np.log(0.4 / 0.6)]
    )
    sure = made.Beside(made.Trees(99.0, 1, [], [], [], []), 1.0, [], [], 0, 0, 1, 0)
    sure.move(values, graded, told, 0)
    assert told[0, 0] == pytest.approx(1.0 - np.exp(-13.0), abs=1e-8)
    for share, places in ((0.5, [2]), (1.5, [0, 1]), (float("nan"), [0, 1])):
        with pytest.raises(ValueError, match=r"columns|share"):
            made.Beside(grown, share, places, [], 0, 0, 2, 1)
