"""One pass over a row says what numpy says of arrays, and compiled what plain Python says to the last digit."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from guard.calibration import cell_pass
from guard.calibration.cells import LOGIT_MAX, Cells, CellTerms, Feature
from guard.calibration.monotone import falling, ordered
from tests.support.uncompiled import uncompiled

plain = uncompiled("guard.calibration.cell_pass")[0]

MODELS, BLOCKS = 3, ((1, 5), (3, 2), (1, 1))
ROWS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 2)
SHARES = (0.0,) * 5 + (1.0,) * 7
CELLS = len(ROWS)
PLACES, GRADED_PLACES = (3, 0, 4), (1, 0)


def drawn_terms(drawn: np.random.Generator) -> CellTerms:
    """Draw models of few weights, some features with hinges."""
    features = tuple(
        Feature(name=str(at), centre=0.3, scale=1.7, clip=2.0, hinges=(0.5, -0.2)[: at % 3])
        for at in range(3)
    )
    graded = tuple(Feature(name=str(at), centre=-0.1, scale=0.8, hinges=(0.1,) * at) for at in range(2))
    cells = MODELS * CELLS
    weights = drawn.normal(size=(cells, 6)) * (drawn.random((cells, 6)) < 0.4)
    graded_weights = drawn.normal(size=(cells, 3)) * (drawn.random((cells, 3)) < 0.4)
    return CellTerms(
        features=features,
        graded=graded,
        intercept=tuple(drawn.normal(scale=6.0, size=cells).tolist()),
        weights=tuple(map(tuple, weights.tolist())),
        graded_weights=tuple(map(tuple, graded_weights.tolist())),
    )


@pytest.mark.parametrize("seed", range(10))
def test_a_pass_is_as_by_numpy_and_as_by_plain_python(seed: int) -> None:
    """Whatever is drawn, unknown and odd numbers among it."""
    drawn = np.random.default_rng(seed)
    terms = drawn_terms(drawn)
    values, near, far = drawn.normal(size=(1, 5)), drawn.normal(size=(7, 2)), drawn.normal(size=(4, 2))
    values[0, seed % 5], near[seed % 7, 1], far[seed % 4, 0] = np.nan, np.inf, -1e300
    shift = float(drawn.normal())
    told, slow = np.empty((MODELS, CELLS)), np.empty((MODELS, CELLS))
    for made, out in ((cell_pass, told), (plain, slow)):
        one_pass = made.CellPass(terms, PLACES, GRADED_PLACES, ROWS, SHARES, BLOCKS)
        for _ in range(2):
            one_pass.tell(values, near, far, shift, out)
    assert told.tolist() == slow.tolist()

    graded = np.concatenate((near, far))[list(ROWS)][:, list(GRADED_PLACES)]
    logits = Cells.of(terms).logits(values[0, list(PLACES)], graded).reshape(MODELS, CELLS)
    logits = np.clip(logits + shift * np.array(SHARES), -LOGIT_MAX, LOGIT_MAX)
    wanted = 1.0 / (1.0 + np.exp(-logits))
    ends = [0, *accumulate(high * wide for high, wide in BLOCKS)]
    (reach, hazard, single) = (wanted[:, begin:end] for begin, end in pairwise(ends))
    assert told[:, : ends[1]] == pytest.approx(falling(reach), rel=1e-13)
    assert told[:, ends[1] : ends[2]] == pytest.approx(
        ordered(hazard.reshape(MODELS, *BLOCKS[1])).reshape(MODELS, -1), rel=1e-13
    )
    assert told[:, ends[2] :] == pytest.approx(single, rel=1e-13)


def test_without_graded_features_none_have_to_be_given() -> None:
    """A model of intercepts alone tells these."""
    terms = CellTerms(
        features=(), graded=(), intercept=(0.0, -1.0), weights=((), ()), graded_weights=((), ())
    )
    for made in (cell_pass, plain):
        told = np.empty((1, 2))
        one_pass = made.CellPass(terms, (), (), (0, 0), (0.0, 1.0), ((1, 1), (1, 1)))
        one_pass.tell(np.zeros((1, 0)), np.zeros((0, 0)), np.zeros((0, 0)), 1.0, told)
        assert told.tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("seed", range(5))
def test_kinds_are_pooled_as_by_numpy_and_as_by_plain_python(seed: int) -> None:
    """The linear pool of shifted odds and of what is flat, in order, with what is forced raised."""
    drawn = np.random.default_rng(seed)
    flat = np.array([0.4, 0.3, 0.2, 0.1, 0.05, *(-1.0,) * 7])
    quiet, under_way = (np.array([0.0] * 5 + drawn.normal(size=7).tolist()) for _ in range(2))
    fitted, forced = drawn.uniform(0.01, 0.99, (MODELS, CELLS)), ((11, 5), (11, 8))
    weight, share, fit_shift, life_shift = drawn.random(), drawn.random(), -1.3, -2.1
    told, slow = np.empty((MODELS, CELLS)), np.empty((MODELS, CELLS))
    for made, out in ((cell_pass, told), (plain, slow)):
        pool = made.KindPool(flat, quiet, under_way, SHARES, BLOCKS, forced)
        for _ in range(2):
            pool.tell(fitted, weight, share, fit_shift, life_shift, out)
    assert told.tolist() == slow.tolist()

    def moved(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = 1.0 / (1.0 + (1.0 / fitted - 1.0) * np.exp(-log_odds))
        return found

    shares = np.array(SHARES)
    life = moved(share * (quiet + life_shift * shares) + (1.0 - share) * under_way)
    wanted = weight * moved(share * fit_shift * shares) + (1.0 - weight) * np.where(flat < 0.0, life, flat)
    wanted[:, :5] = falling(wanted[:, :5])
    wanted[:, 5:11] = ordered(wanted[:, 5:11].reshape(MODELS, 3, 2)).reshape(MODELS, 6)
    wanted[:, 11] = wanted[:, [5, 8, 11]].max(axis=1)
    assert told == pytest.approx(wanted)
