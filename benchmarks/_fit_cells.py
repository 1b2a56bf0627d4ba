"""Fits log-odds of nested events: ridge logistic regression whose weights are straight lines over the cells.

A cell is a distance (reach), or a horizon and a distance (hazard). Every cell has an intercept of its own; a feature's
weight in cell j is ``basis[j] . c``, so that a model of seventeen distances has two or three numbers a feature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ITERATIONS = 15
TOLERANCE = 5e-5


@dataclass(slots=True, kw_only=True)
class Problem:
    """What is fitted.

    Attributes:
        common: ``(N, P)`` standardised, alike for all cells.
        graded: ``(N, J, S)``, or no columns.
        truth: ``(N, J)`` 0 or 1; NaN is unknown and counts nothing.
        weights: ``(N,)``.
        basis: ``(J, K)``; its first column is ones.
        penalty: ridge of each column ``(P + S,)``, for the first of the basis; the others are held ``stiff`` times as
            tightly.
        signs: of each column: 1 never falls, -1 never rises, 0 free.
    """

    common: Floats
    graded: Floats
    truth: Floats
    weights: Floats
    basis: Floats
    penalty: Floats
    signs: Floats
    stiff: float = 3.0


@dataclass(slots=True)
class Fitted:
    """``intercept`` ``(J,)`` and ``weights`` ``(J, P + S)``."""

    intercept: Floats
    weights: Floats

    def logits(self, common: Floats, graded: Floats) -> Floats:
        """Log-odds ``(N, J)``."""
        columns = common.shape[1]
        told = self.intercept + common @ self.weights[:, :columns].T
        if graded.shape[2]:
            told = told + np.einsum("njs,js->nj", graded, self.weights[:, columns:])
        return np.clip(told, -13.0, 13.0)


def fit(problem: Problem) -> Fitted:
    """Fit by Newton's method; columns of the wrong sign lose their slope, then their weight, and it is fitted anew.

    Deterministic.
    """
    cells, kinds = problem.basis.shape
    columns = problem.common.shape[1] + problem.graded.shape[2]
    free = np.ones((kinds, columns), dtype=np.bool_)
    start = np.zeros(cells + kinds * columns)
    for _ in range(6):
        start = _newton(problem, free, start)
        told = _unpack(problem, start)
        wrong = (np.sign(problem.signs) * told.weights < -1e-9).any(axis=0)
        if not wrong.any():
            break
        sloping = free[1:].any(axis=0) if kinds > 1 else np.zeros(columns, dtype=np.bool_)
        free[1:, wrong] = False
        free[0, wrong & ~sloping] = False
        start[cells:] = np.where(free.ravel(), start[cells:], 0.0)
    return _unpack(problem, start)


def _unpack(problem: Problem, theta: Floats) -> Fitted:
    cells, kinds = problem.basis.shape
    slopes = theta[cells:].reshape(kinds, -1)
    return Fitted(theta[:cells].copy(), problem.basis @ slopes)


def _newton(problem: Problem, free: NDArray[np.bool_], theta: Floats) -> Floats:
    cells, kinds = problem.basis.shape
    columns = free.shape[1]
    ridge = np.concatenate(
        (
            np.full(cells, 1e-3),
            *(problem.penalty * (1.0 if kind == 0 else problem.stiff) for kind in range(kinds)),
        )
    )
    chosen = np.concatenate((np.ones(cells, dtype=np.bool_), free.ravel()))
    loss = _loss(problem, theta) + 0.5 * float(ridge @ theta**2)
    for _ in range(ITERATIONS):
        gradient, hessian = _moments(problem, theta, columns)
        gradient -= ridge * theta
        hessian[np.diag_indices_from(hessian)] += ridge
        step = np.zeros_like(theta)
        step[chosen] = np.linalg.solve(hessian[np.ix_(chosen, chosen)], gradient[chosen])
        before = loss
        for halving in range(8):
            tried = theta + step * 0.5**halving
            loss = _loss(problem, tried) + 0.5 * float(ridge @ tried**2)
            if loss <= before:
                theta = tried
                break
        if before - loss < TOLERANCE * abs(before):
            break
    return theta


def _loss(problem: Problem, theta: Floats) -> float:
    told = _unpack(problem, theta)
    logits = told.logits(problem.common, problem.graded)
    known = ~np.isnan(problem.truth)
    truth = np.where(known, problem.truth, 0.0)
    return float(np.sum(problem.weights[:, None] * known * (np.logaddexp(0.0, logits) - truth * logits)))


def _moments(problem: Problem, theta: Floats, columns: int) -> tuple[Floats, Floats]:
    """Gradient of the log-likelihood, and its negative Hessian, cell by cell."""
    cells, kinds = problem.basis.shape
    size = cells + kinds * columns
    gradient, hessian = np.zeros(size), np.zeros((size, size))
    told = _unpack(problem, theta)
    for cell in range(cells):
        known = ~np.isnan(problem.truth[:, cell])
        design = np.concatenate((problem.common[known], problem.graded[known, cell]), axis=1)
        truth, weight = problem.truth[known, cell], problem.weights[known]
        logit = np.clip(told.intercept[cell] + design @ told.weights[cell], -13.0, 13.0)
        chance = 1.0 / (1.0 + np.exp(-logit))
        residual, curved = weight * (truth - chance), weight * np.maximum(chance * (1.0 - chance), 1e-6)
        by_column = residual @ design
        across = curved @ design
        gram = (design * curved[:, None]).T @ design
        gradient[cell] += residual.sum()
        hessian[cell, cell] += curved.sum()
        row = problem.basis[cell]
        gradient[cells:] += np.outer(row, by_column).ravel()
        joint = np.outer(row, across).ravel()
        hessian[cell, cells:] += joint
        hessian[cells:, cell] += joint
        hessian[cells:, cells:] += np.kron(np.outer(row, row), gram)
    return gradient, hessian
