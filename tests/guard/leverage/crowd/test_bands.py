"""Bands compiled are what plain Python finds, and the median of candidates is numpy's, to the last digit."""

from __future__ import annotations

import numpy as np
import pytest

from guard.forecasts import Direction
from guard.leverage.crowd import bands, evidence
from guard.leverage.crowd.side_map import BINS, SideMap
from tests.support.uncompiled import uncompiled

AS_IT_IS = uncompiled("guard.leverage.crowd.bands")[0]


@pytest.mark.parametrize("direction", Direction)
def test_bands_are_the_same_compiled_or_not(direction: Direction) -> None:
    drawn = np.random.default_rng(5)
    for _ in range(30):
        side = SideMap(drawn.exponential(1e5, BINS) * (drawn.random(BINS) > 0.7), float(drawn.random()), 98.7)
        found = bands.bands_of(side, direction, 2e4)
        assert found == AS_IT_IS.bands_of(side, direction, 2e4)
        assert found
    assert bands.bands_of(SideMap(np.zeros(BINS), 0.3, 98.7), direction, 2e4) == ()


@pytest.mark.parametrize("count", [1, 2, 7, 56])
def test_the_median_is_numpys(count: int) -> None:
    values = np.random.default_rng(count).exponential(1.0, count)
    window = evidence.Window(np.array([1.0]), 3.0)
    found = evidence.log_likelihood(window, values[:, None], 1.0, 0.0, None)
    assert found is not None
    weight = 1.0 / (1.0 + max(3.0, float(np.median(values))) / evidence.UNITS_MAX)
    assert found[0].tolist() == ((3.0 * np.log(values) - values) * weight).tolist()


def test_a_window_in_which_nothing_happened_says_nothing() -> None:
    assert evidence.log_likelihood(evidence.Window(), np.ones((3, 12)), 1.0, 1e6, None) is None
