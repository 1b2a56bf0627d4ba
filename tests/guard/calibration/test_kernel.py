"""What is compiled says what numpy says, and what plain Python says to the last digit."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from guard.calibration import kernel
from guard.calibration.distribution import mean, quantiles
from guard.leverage.crowd import band_search
from tests.support.uncompiled import uncompiled

DISTANCES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.3)
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
plain = uncompiled("guard.calibration.kernel")[0]
plain_search = uncompiled("guard.leverage.crowd.band_search")[0]


@pytest.mark.parametrize("seed", range(20))
def test_a_distribution_is_inverted_as_by_numpy(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    reaching = np.sort(drawn.random(len(DISTANCES)) ** drawn.uniform(0.2, 5.0))[::-1].round(2)
    told = kernel.Reaching(DISTANCES, LEVELS)
    known = np.array(DISTANCES)
    assert told.quantiles(reaching.tolist()) == pytest.approx(quantiles(known, reaching, np.array(LEVELS)))
    assert told.mean(reaching.tolist()) == pytest.approx(mean(known, reaching))
    slow = plain.Reaching(DISTANCES, LEVELS)
    assert slow.quantiles(reaching.tolist()) == told.quantiles(reaching.tolist())
    assert slow.mean(reaching.tolist()) == told.mean(reaching.tolist())


def test_what_lies_between_is_as_by_numpy() -> None:
    at = [-3.0, -1.0, 0.2, 0.2, 7.0, -2.0, 0.5]
    places, values = [-1.0, 0.0, 0.5, 2.0], [4.0, -1.0, 3.0, 3.5]
    for made in (kernel, plain):
        out = np.zeros((len(at), 2))
        made.lay_along(out, 1, array("d", at), array("d", places), array("d", values))
        assert out[:, 1] == pytest.approx(np.interp(at, places, values))
        assert not out[:, 0].any()


@pytest.mark.parametrize("seed", range(5))
def test_bands_are_found_alike(seed: int) -> None:
    usd = np.random.default_rng(seed).exponential(1e6, 200)
    taps = array("d", [0.1, 0.2, 0.4, 0.2, 0.1])
    fast = band_search.BandSearch(taps, 105, 7, 0.7).find(usd, 5)
    assert fast == plain_search.BandSearch(taps, 105, 7, 0.7).find(usd, 5)
    blurred = np.convolve(np.concatenate((usd[1::-1], usd)), np.array(taps), mode="valid")[:105]
    (first, end, held), *_ = fast[1]
    assert first <= int(blurred.argmax()) < end
    assert fast[0] == pytest.approx(blurred.mean())
    assert held == pytest.approx(usd[first:end].sum())


def test_nothing_has_no_bands() -> None:
    assert band_search.BandSearch(array("d", [1.0]), 105, 7, 0.7).find(np.zeros(200), 5) == (0.0, [])
