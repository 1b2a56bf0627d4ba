"""Models that are numbers: what they refuse, what they do with the unknown and the extreme."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.calibration.cells import LOGIT_MAX, Cells, CellTerms, Feature, design
from guard.calibration.distribution import mean, quantiles
from guard.calibration.monotone import falling, ordered
from guard.errors import ArtefactInvalidError

TERMS = CellTerms(
    features=(Feature(name="speed", centre=1.0, scale=2.0, clip=3.0, hinges=(1.0,)),),
    graded=(Feature(name="structure", centre=0.0, scale=1.0),),
    intercept=(0.5, -0.5),
    weights=((1.0, 2.0), (0.5, 0.0)),
    graded_weights=((1.0,), (2.0,)),
)


def test_what_is_unknown_counts_as_usual() -> None:
    """A feature without a number leaves the log-odds where the usual one would."""
    model = Cells.of(TERMS)
    unknown = model.logits(np.array([np.nan]), np.full((2, 1), np.nan))
    usual = model.logits(np.array([1.0]), np.zeros((2, 1)))
    assert usual.tolist() == unknown.tolist() == [0.5, -0.5]


def test_odd_numbers_are_clipped() -> None:
    """No input makes a probability that is 0, 1 or no number."""
    model = Cells.of(TERMS)
    for odd in (np.inf, -np.inf, 1e300, -1e300):
        told = model.logits(np.array([odd]), np.full((2, 1), odd))
        assert np.isfinite(told).all()
        assert (np.abs(told) <= LOGIT_MAX).all()


def test_hinges_bend_the_line_where_they_stand() -> None:
    """One standard unit is on the knot, two are one beyond it."""
    model = Cells.of(TERMS)
    on, beyond = (model.logits(np.array([x]), np.zeros((2, 1)))[0] for x in (3.0, 5.0))
    assert on == pytest.approx(1.5)
    assert beyond == pytest.approx(0.5 + 2.0 + 2.0)


def test_many_are_told_as_each_by_itself() -> None:
    """A batch gives what its rows give."""
    model = Cells.of(TERMS)
    values, graded = np.array([[0.0], [4.0], [np.nan]]), np.arange(6.0).reshape(3, 2, 1) - 3.0
    together = model.probabilities(values, graded)
    for row in range(3):
        assert together[row] == pytest.approx(model.probabilities(values[row], graded[row]))
    assert design(values, TERMS.features).shape == (3, 2)


@pytest.mark.parametrize(
    "spoiled",
    [
        replace(TERMS, weights=((1.0,), (0.5,))),
        replace(TERMS, intercept=(0.5,)),
        replace(TERMS, intercept=(float("nan"), 0.0)),
        replace(TERMS, graded_weights=((float("inf"),), (1.0,))),
        replace(TERMS, features=(Feature(name="speed", centre=0.0, scale=0.0, hinges=(1.0,)),)),
    ],
)
def test_numbers_that_do_not_fit_are_refused(spoiled: CellTerms) -> None:
    """Shapes that differ, and numbers that are none, are said at once."""
    with pytest.raises(ArtefactInvalidError):
        Cells.of(spoiled)


probabilities = st.lists(st.floats(0.0, 1.0), min_size=12, max_size=12).map(
    lambda all_: np.array(all_).reshape(3, 4)
)


@given(probabilities)
def test_what_is_put_in_order_is_in_order_and_stays_so(matrix: np.ndarray) -> None:
    """Longer horizons are never less likely, farther distances never likelier; doing it twice changes nothing."""
    told = ordered(matrix)
    assert (np.diff(told, axis=0) >= -1e-12).all()
    assert (np.diff(told, axis=1) <= 1e-12).all()
    assert ordered(told) == pytest.approx(told)
    assert (falling(matrix) >= 0).all()


@given(probabilities)
def test_quantiles_rise_and_invert_what_is_reached(matrix: np.ndarray) -> None:
    """Each quantile is where as much is reached as is left above its level."""
    distances, reaching = np.array([0.01, 0.02, 0.05, 0.1]), falling(matrix[0])
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    told = quantiles(distances, reaching, levels)
    assert (np.diff(told) >= 0).all()
    inside = (told > distances[0]) & (told < distances[-1])
    left = np.interp(np.log(told), np.log(distances), reaching)
    assert left[inside] == pytest.approx(1 - levels[inside], abs=1e-6)
    assert 0.0 < mean(distances, reaching) <= distances[-1] * 1.25
