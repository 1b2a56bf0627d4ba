"""Fitting: what was put in is found again, signs hold, the same samples give the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._fit_cells import Problem, fit
from benchmarks._fit_scores import auc, reliability_error


def problem(signs: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Problem:
    """Three nested events of two features alike and a graded one, drawn with known weights."""
    rng = np.random.default_rng(3)
    common, graded = rng.normal(size=(6_000, 2)), rng.normal(size=(6_000, 3, 1))
    basis = np.array([[1.0, -1.0], [1.0, 0.0], [1.0, 1.0]])
    weights = basis @ np.array([[1.0, -0.5, 0.8], [0.3, 0.0, 0.0]])
    logits = np.array([0.5, -0.5, -1.5]) + common @ weights[:, :2].T + (graded * weights[:, 2:]).sum(axis=2)
    truth = (rng.random((6_000, 3)) < 1.0 / (1.0 + np.exp(-logits))).astype(np.float64)
    truth[::50, 1] = np.nan
    return Problem(
        common=common,
        graded=graded,
        truth=truth,
        weights=np.ones(6_000),
        basis=basis,
        penalty=np.full(3, 0.1),
        signs=np.array(signs),
    )


def test_weights_that_were_put_in_are_found() -> None:
    """Within what so many samples allow, by cell; and again the same."""
    found = fit(problem())
    assert found.intercept == pytest.approx([0.5, -0.5, -1.5], abs=0.15)
    assert found.weights[:, 0] == pytest.approx([0.7, 1.0, 1.3], abs=0.15)
    assert found.weights[:, 1] == pytest.approx([-0.5] * 3, abs=0.15)
    assert found.weights[:, 2] == pytest.approx([0.8] * 3, abs=0.15)
    assert (fit(problem()).weights == found.weights).all()


def test_a_weight_against_theory_is_not_admitted() -> None:
    """It comes out as nothing; the others stay."""
    found = fit(problem((1.0, 1.0, 1.0)))
    assert (found.weights[:, 1] == 0.0).all()
    assert (found.weights[:, 0] > 0.4).all()


def test_scores_of_what_is_known() -> None:
    """A perfect order, a useless one, and probabilities that are too high by so much."""
    truth = np.array([0.0, 0.0, 1.0, 1.0])
    assert auc(np.array([0.1, 0.2, 0.3, 0.4]), truth) == 1.0
    assert auc(np.full(4, 0.5), truth) == 0.5
    assert reliability_error(np.full(1000, 0.3), np.tile([0.0, 0.0, 0.0, 0.0, 1.0], 200)) == pytest.approx(
        0.1
    )
