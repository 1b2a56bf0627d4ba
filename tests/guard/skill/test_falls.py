"""The detector of falls: compiled it says what plain Python says, and what ``falls`` says of the whole recording."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from guard.forecasts import Direction
from guard.skill.falls import FallDetector
from guard.skill.outcomes import falls
from guard.units import NS_PER_S
from tests.support.uncompiled import uncompiled

AS_IT_IS = uncompiled("guard.skill.falls")[0]


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("drift", [-2e-4, 0.0, 2e-4])
def test_it_finds_the_same_compiled_or_not_and_over_the_whole(direction: Direction, drift: float) -> None:
    """Also where price only rises or only falls for longer than the detector has room for at first."""
    drawn = np.random.default_rng(7)
    times = np.cumsum(drawn.integers(1, 9, 3_000)) * NS_PER_S
    steps = drawn.normal(drift, 1e-3, 3_000)
    steps[1_000:1_200], steps[2_000:2_200] = 1e-4, -1e-4
    prices = 100.0 * np.exp(np.cumsum(steps))
    detectors = [
        made(direction, move=0.01, window_s=900.0, refractory_s=1_800.0)
        for made in (FallDetector, AS_IT_IS.FallDetector)
    ]
    found = []
    for at, price in zip(times.tolist(), prices.tolist(), strict=True):
        told = [detector.update(at, price) for detector in detectors]
        assert told[0] is told[1]
        assert detectors[0].under_way is detectors[1].under_way
        found.append(told[0])
        if len(found) == 1_500:
            detectors = [pickle.loads(pickle.dumps(detectors[0])), copy.deepcopy(detectors[1])]
    whole = falls(times, prices, direction, move=0.01, window_s=900.0, refractory_s=1_800.0)
    assert np.flatnonzero(found).tolist() == whole.tolist()
    assert len(whole) > 1


def test_none_is_under_way_before_the_first() -> None:
    detector = FallDetector(Direction.DOWN, 0.01, 60.0, 3_600.0)
    assert not detector.under_way
    detector.update(0, 100.0)
    assert not detector.under_way
    assert detector.update(NS_PER_S, 98.0)
    assert detector.under_way
    detector.update(3_601 * NS_PER_S, 98.0)
    assert not detector.under_way
