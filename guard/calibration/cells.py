"""Probabilities of several nested events at once, as log-odds that are linear in clipped features and their hinges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from guard.errors import ArtefactInvalidError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LOGIT_MAX = 13.0
"""Log-odds are held within this: no probability is told that nobody could have counted."""


class Feature(Struct, frozen=True, kw_only=True):
    """How one number enters: ``clip((x - centre) / scale, -clip, clip)``, and its excess over each of ``hinges``.

    Where it is unknown it is taken to be at ``centre``.
    """

    name: str
    centre: float
    scale: float
    clip: float = 4.0
    hinges: tuple[float, ...] = ()


class CellTerms(Struct, frozen=True, kw_only=True):
    """A model as it stands in an artefact.

    ``weights[j]`` goes along the standardised ``features`` and then their hinges, feature by feature;
    ``graded_weights[j]`` along ``graded``, features that have a value for each cell, and then their hinges.
    """

    features: tuple[Feature, ...]
    graded: tuple[Feature, ...]
    intercept: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    graded_weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Cells:
    """Log-odds of J cells from F features alike for all of them and S graded ones.

    Formula:
        ``logit p_j = a_j + w_j . h(z) + v_j . h(u_j)`` with z, u standardised and clipped and h the numbers
        themselves followed by their hinges ``max(z - knot, 0)``.

    Assumes:
        Effects add on the log-odds. Clipping keeps a market that is unlike all that was fitted on from being told
        extremes; unknown numbers count as usual ones.

    Fails:
        Where effects do not add (a tree would tell more), and where what is usual differs from what was fitted on.

    >>> terms = CellTerms(
    ...     features=(Feature(name="speed", centre=0.0, scale=1.0),),
    ...     graded=(),
    ...     intercept=(0.0, -1.0),
    ...     weights=((1.0,), (1.0,)),
    ...     graded_weights=((), ()),
    ... )
    >>> Cells.of(terms).logits(np.array([1.0]), None).tolist()
    [1.0, 0.0]
    """

    terms: CellTerms
    _centre: Floats
    _scale: Floats
    _clip: Floats
    _hinged: NDArray[np.intp]
    _knots: Floats
    _graded_centre: Floats
    _graded_scale: Floats
    _graded_clip: Floats
    _graded_hinged: NDArray[np.intp]
    _graded_knots: Floats
    _intercept: Floats
    _weights: Floats
    _graded_weights: Floats

    @classmethod
    def of(cls, terms: CellTerms) -> Self:
        """Take a model from an artefact. ArtefactInvalidError where shapes or numbers cannot be."""
        cells = len(terms.intercept)
        weights = _matrix("weights", terms.weights, cells, _width(terms.features))
        graded = _matrix("graded_weights", terms.graded_weights, cells, _width(terms.graded))
        intercept = np.array(terms.intercept, dtype=np.float64)
        if not np.isfinite(intercept).all():
            raise ArtefactInvalidError("intercept", "a number is not finite")
        return cls(terms, *_standard(terms.features), *_standard(terms.graded), intercept, weights, graded)

    def logits(self, values: Floats, graded: Floats | None) -> Floats:
        """Give log-odds ``(..., J)`` from ``values`` ``(..., F)`` and ``graded`` ``(..., J, S)``; NaN is unknown.

        Where J is several times as many cells, as graded ones are given, those are meant for each of the several.
        """
        told = self._intercept + _expanded(
            values, self._centre, self._scale, self._clip, self._hinged, self._knots
        ) @ (self._weights.T)
        if graded is not None and self._graded_centre.size:
            spread = _expanded(
                graded,
                self._graded_centre,
                self._graded_scale,
                self._graded_clip,
                self._graded_hinged,
                self._graded_knots,
            )
            cells, width = spread.shape[-2:]
            weights = self._graded_weights.reshape(-1, cells, width)
            told = told + (spread[..., None, :, :] * weights).sum(axis=-1).reshape(told.shape)
        return np.clip(told, -LOGIT_MAX, LOGIT_MAX)

    def probabilities(self, values: Floats, graded: Floats | None) -> Floats:
        """As ``logits``, as probabilities."""
        return 1.0 / (1.0 + np.exp(-self.logits(values, graded)))


def design(values: Floats, features: Sequence[Feature]) -> Floats:
    """Give what weights are laid on, ``(..., width)``: what is fitted is what is evaluated."""
    return _expanded(values, *_standard(features))


def _expanded(
    values: Floats, centre: Floats, scale: Floats, clip: Floats, hinged: NDArray[np.intp], knots: Floats
) -> Floats:
    standard = (values - centre) / scale
    standard = np.where(np.isnan(standard), 0.0, np.minimum(np.maximum(standard, -clip), clip))
    if not hinged.size:
        return standard
    return np.concatenate((standard, np.maximum(standard[..., hinged] - knots, 0.0)), axis=-1)


def _standard(features: Sequence[Feature]) -> tuple[Floats, Floats, Floats, NDArray[np.intp], Floats]:
    if any(not each.scale > 0.0 or not each.clip > 0.0 for each in features):
        raise ArtefactInvalidError("features", "a scale or a clip is not above 0")
    return (
        np.array([each.centre for each in features], dtype=np.float64),
        np.array([each.scale for each in features], dtype=np.float64),
        np.array([each.clip for each in features], dtype=np.float64),
        np.array([at for at, each in enumerate(features) for _ in each.hinges], dtype=np.intp),
        np.array([knot for each in features for knot in each.hinges], dtype=np.float64),
    )


def _width(features: Sequence[Feature]) -> int:
    return sum(1 + len(each.hinges) for each in features)


def _matrix(name: str, rows: tuple[tuple[float, ...], ...], cells: int, width: int) -> Floats:
    if len(rows) != cells or any(len(row) != width for row in rows):
        raise ArtefactInvalidError(name, f"not {cells} rows of {width} numbers")
    matrix = np.array(rows, dtype=np.float64).reshape(cells, width)
    if not np.isfinite(matrix).all():
        raise ArtefactInvalidError(name, "a number is not finite")
    return matrix
