"""Averages over rows are those over messages, and compiled those of plain Python to the last digit."""

from __future__ import annotations

from array import array
from itertools import pairwise

import numpy as np
import pytest

from guard.calibration import blend, kernel
from tests.support.uncompiled import uncompiled

plain, plain_kernel = uncompiled("guard.calibration.blend", "guard.calibration.kernel")
DISTANCES, LEVELS = (0.005, 0.01, 0.02, 0.05, 0.1), (0.05, 0.5, 0.95)
HAZARDS = ((5, 6), (7, 8), (9, 10))


@pytest.mark.parametrize("seed", range(10))
def test_averages_are_in_order_and_as_by_plain_python(seed: int) -> None:
    """With and without one that is settled."""
    drawn = np.random.default_rng(seed)
    told = drawn.random((4, 13))
    told[:, :5] = np.sort(told[:, :5])[:, ::-1]
    rows, settled = array("q", [1, 3]), 2 if seed % 2 else -1
    shares = array("d", drawn.dirichlet(np.ones(4 if seed % 2 else 3), size=3).ravel())
    usual, usual_reach = array("d", drawn.random(8)), array("d", drawn.random(6))
    factors, of_reach = array("d", drawn.exponential(size=6)), array("d", [0.2, 0.3, 0.5])
    found = []
    for made, of in ((blend, kernel), (plain, plain_kernel)):
        one = made.Blend(of.Reaching(DISTANCES, LEVELS), (2, 3), HAZARDS, 11, 12, 1)
        for _ in range(2):
            hazards = one.hazards(told, rows, settled, usual, factors, shares)
        found.append((hazards, one.reach(told, rows, usual_reach, of_reach)))
    assert found[0] == found[1]
    (probability, vulnerability, _), (quantiles, chances, mean) = found[0]
    for shorter, longer in pairwise(probability):
        assert all(one <= other for one, other in zip(shorter, longer, strict=True))
    parts = [usual[6], told[1, 11], told[3, 11]] + ([told[2, 11]] if seed % 2 else [])
    count = len(parts)
    assert vulnerability == pytest.approx(np.dot(parts, shares[count : 2 * count]))
    assert chances == pytest.approx(
        0.2 * np.array(usual_reach[3:5]) + 0.3 * told[1, 2:4] + 0.5 * told[3, 2:4]
    )
    reaching = kernel.Reaching(DISTANCES, LEVELS)
    each = [reaching.quantiles(told[row, :5].tolist()) for row in rows]
    assert quantiles == pytest.approx(np.array(of_reach) @ np.array([usual_reach[:3], *each]))
    means = [reaching.mean(told[row, :5].tolist()) for row in rows]
    assert mean == pytest.approx(np.dot(of_reach, [usual_reach[5], *means]))
