"""Trees find what a straight line cannot, keep to the signs, and are walked by the program as they were grown."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._fit_scores import auc
from benchmarks._fit_trees import Growth, grow

SMALL = Growth(trees=30, depth=3, rate=0.2, ridge=5.0, share=1.0)


def _drawn(seed: int, rows: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Likely where both of two are high or both low; the third raises it a little, the fourth is noise."""
    drawn = np.random.default_rng(seed)
    values = drawn.standard_normal((rows, 4))
    logits = 2.5 * np.sign(values[:, 0] * values[:, 1]) + 0.5 * values[:, 2]
    truth = (drawn.random(rows) < 1.0 / (1.0 + np.exp(-logits))).astype(np.float64)
    values[drawn.random(values.shape) < 0.05] = np.nan
    return values, truth


def test_what_no_line_separates_is_found_on_rows_that_were_not_seen() -> None:
    values, truth = _drawn(0)
    grown = grow(values, truth, np.ones(len(truth)), np.zeros(4, np.int64), SMALL)
    unseen, came = _drawn(1)
    assert auc(grown.scores(unseen), came) > 0.85
    told = 1.0 / (1.0 + np.exp(-grown.scores(values)))
    assert told.mean() == pytest.approx(truth.mean(), abs=0.02)


def test_the_program_walks_them_as_they_were_grown() -> None:
    values, truth = _drawn(2, 400)
    grown = grow(values, truth, np.ones(len(truth)), np.zeros(4, np.int64), SMALL)
    trees = grown.trees()
    assert [trees.score(row) for row in values] == pytest.approx(grown.scores(values).tolist(), abs=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_signs_are_kept(sign: int) -> None:
    """Along one feature, everything else held, log-odds never go against its sign, though the truth does."""
    values, truth = _drawn(3)
    signs = np.array([sign, 0, sign, 0])
    grown = grow(values, truth, np.ones(len(truth)), signs, SMALL)
    free = grow(values, truth, np.ones(len(truth)), np.zeros(4, np.int64), SMALL)
    along = np.linspace(-3.0, 3.0, 61)
    against = 0.0
    for row in values[:40]:
        rows = np.repeat(row[None], len(along), axis=0)
        rows[:, 0] = along
        assert (sign * np.diff(grown.scores(rows)) >= -1e-9).all()
        against = min(against, float((sign * np.diff(free.scores(rows))).min()))
    assert against < -0.1


def test_equal_inputs_give_equal_trees_and_one_outcome_gives_none() -> None:
    values, truth = _drawn(4, 300)
    weights, signs = np.ones(len(truth)), np.zeros(4, np.int64)
    few = Growth(trees=3, depth=2)
    first, second = (grow(values, truth, weights, signs, few).scores(values) for _ in range(2))
    assert (first == second).all()
    with pytest.raises(ValueError, match="sometimes"):
        grow(values, np.zeros(len(truth)), weights, signs, few)
