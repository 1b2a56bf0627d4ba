"""All cells of all models in one pass over a row of features: log-odds, probabilities, and these in order. Pure.

What ``guard.calibration.cells`` and ``guard.calibration.monotone`` define for arrays of any shape, for one row at a
time and without an array between. Compiled where there is a compiler (cell_pass.pxd), and the same results as it is.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from guard.calibration.cells import LOGIT_MAX, CellTerms, Feature


class Standard:
    """Rows of features standardised, clipped and hinged, as ``design`` has it for arrays; NaN is at the centre."""

    def __init__(self, features: Sequence[Feature], places: Sequence[int]) -> None:
        """``places`` is where each feature stands in the rows that are given."""
        self.count = len(features)
        self._places = array("q", places)
        self._centre = array("d", [each.centre for each in features])
        self._scale = array("d", [each.scale for each in features])
        self._clip = array("d", [each.clip for each in features])
        self._hinged = array("q", [at for at, each in enumerate(features) for _ in each.hinges])
        self._knots = array("d", [knot for each in features for knot in each.hinges])
        self.hinges = len(self._knots)
        self.width = self.count + self.hinges

    def take(self, given: NDArray[np.float64], row: int, out: array[float], begin: int) -> int:
        """Write what weights are laid on from ``given[row]`` into ``out``, from ``begin`` on."""
        for at in range(self.count):
            value = (given[row, self._places[at]] - self._centre[at]) / self._scale[at]
            bound = self._clip[at]
            if math.isnan(value):
                value = 0.0
            elif value > bound:
                value = bound
            elif value < -bound:
                value = -bound
            out[begin + at] = value
        for at in range(self.hinges):
            value = out[begin + self._hinged[at]] - self._knots[at]
            out[begin + self.count + at] = max(value, 0.0)
        return 0


class CellPass:
    """Probabilities of J cells: those of so many models beside each other, each with the same blocks of cells.

    Formula: ``Cells``, held within ``LOGIT_MAX``; then ``shift`` times the cell's share is added, and held anew; each
    block of probabilities is put in order as by ``ordered``, one of a single row as by ``falling``.

    Assumes that most weights are 0: only those that are not cost anything. Agrees with ``Cells`` to rounding.

    Failure modes: those of ``Cells``. It keeps its scratch between calls: one thread.

    >>> odd = Feature(name="odd", centre=0.0, scale=1.0)
    >>> terms = CellTerms(
    ...     features=(odd,), graded=(), intercept=(0.0, 1.0), weights=((1.0,), (0.0,)), graded_weights=((), ())
    ... )
    >>> told = np.empty((1, 2))
    >>> one_pass = CellPass(terms, (0,), (), (0, 0), (0.0, 0.0), ((1, 2),))
    >>> _ = one_pass.tell(np.zeros((1, 1)), np.zeros((0, 0)), np.zeros((0, 0)), 0.0, told)
    >>> told.round(3).tolist()
    [[0.616, 0.616]]
    """

    def __init__(
        self,
        terms: CellTerms,
        places: Sequence[int],
        graded_places: Sequence[int],
        rows: Sequence[int],
        shares: Sequence[float],
        blocks: Sequence[tuple[int, int]],
    ) -> None:
        """Take a model that ``Cells.of`` has taken.

        Args:
            terms: J cells; J is a multiple of ``len(rows)``, the cells of one model.
            places: of each of its features in the values that are given.
            graded_places: of each graded one in the columns that are given.
            rows: for each cell of one model, which row of the graded ones is meant for it.
            shares: for each cell of one model, how much of the shift it takes.
            blocks: ``(rows, columns)`` of each block of cells of one model, one after the other.
        """
        self.cells = len(terms.intercept)
        self.width = len(rows)
        self.models = self.cells // self.width
        self._features = Standard(terms.features, places)
        self._graded = Standard(terms.graded, graded_places)
        self._intercept = array("d", terms.intercept)
        self._runs, self._weights = _runs(terms.weights)
        self._graded_runs, self._graded_weights = _runs(terms.graded_weights)
        self._rows = array("q", list(rows) * self.models)
        self._shares = array("d", shares)
        self._blocks = array("q", [number for block in blocks for number in block])
        self._values = _zeros(self._features.width)
        self._spread = _zeros(self._graded.width * (1 + max(rows, default=0)))
        self._sums = _zeros(self.cells)
        self._graded_sums = _zeros(self.cells)
        self._least = _zeros(self.width)

    def tell(
        self,
        values: NDArray[np.float64],
        near: NDArray[np.float64],
        far: NDArray[np.float64],
        shift: float,
        out: NDArray[np.float64],
    ) -> int:
        """Write probabilities into ``out``, ``(models, cells of one)``; NaN is unknown.

        ``values`` is one row. Rows of graded ones are those of ``near`` and then of ``far``; none are needed where
        none are fitted.
        """
        self._add(values)
        self._add_graded(near, far)
        for cell in range(self.cells):
            model, place = cell // self.width, cell % self.width
            logit = _held(self._intercept[cell] + self._sums[cell] + self._graded_sums[cell])
            logit = _held(logit + shift * self._shares[place])
            out[model, place] = 1.0 / (1.0 + math.exp(-logit))
        for model in range(self.models):
            self.order(out, model)
        return 0

    def order(self, out: NDArray[np.float64], model: int) -> int:
        """Put the blocks of one model in order, as ``tell`` does: for whoever has changed them."""
        first = 0
        for block in range(len(self._blocks) // 2):
            high, wide = self._blocks[2 * block], self._blocks[2 * block + 1]
            _put_in_order(out, model, first, high, wide, self._least)
            first += high * wide
        return 0

    def _add(self, values: NDArray[np.float64]) -> int:
        self._features.take(values, 0, self._values, 0)
        for cell in range(self.cells):
            self._sums[cell] = 0.0
        weight = 0
        for run in range(len(self._runs) // 3):
            value = self._values[self._runs[3 * run]]
            for cell in range(self._runs[3 * run + 1], self._runs[3 * run + 2]):
                self._sums[cell] += value * self._weights[weight]
                weight += 1
        return 0

    def _add_graded(self, near: NDArray[np.float64], far: NDArray[np.float64]) -> int:
        for cell in range(self.cells):
            self._graded_sums[cell] = 0.0
        if self._graded.count == 0:
            return 0
        width, first = self._graded.width, len(near)
        count = min(len(self._spread) // width, first + len(far))
        for row in range(count):
            if row < first:
                self._graded.take(near, row, self._spread, row * width)
            else:
                self._graded.take(far, row - first, self._spread, row * width)
        weight = 0
        for run in range(len(self._graded_runs) // 3):
            column = self._graded_runs[3 * run]
            for cell in range(self._graded_runs[3 * run + 1], self._graded_runs[3 * run + 2]):
                value = self._spread[self._rows[cell] * width + column]
                self._graded_sums[cell] += value * self._graded_weights[weight]
                weight += 1
        return 0


class KindPool:
    """Probabilities of cells in a market of which nobody knows the kind: as fitted, or as in life.

    Formula, by cell: ``w p + (1 - w) l``, p by the fitted odds times ``exp(s u)``, and l either what it is in life
    whatever is seen (``flat``), or by the fitted odds times ``exp(s q + (1 - s) v + s r)``: w is the weight of the
    fitted kind, s how quiet it is, q and v how far life lies below the fit while quiet and once a shock is under way, u
    and r how rare shocks are here. Then blocks are put in order, and cells that others force are raised to them.

    Assumes: models order moments rightly in both kinds.

    Failure modes: where neither kind is like the market. It keeps its scratch between calls: one thread.

    >>> pool = KindPool((0.1, -1.0), (0.0, 0.0), (0.0, 0.0), (0.0, 1.0), ((1, 1), (1, 1)), ())
    >>> told = np.empty((1, 2))
    >>> _ = pool.tell(np.array([[0.5, 0.5]]), 0.25, 1.0, 0.0, -1.0986122886681098, told)
    >>> told.round(4).tolist()
    [[0.2, 0.3125]]
    """

    def __init__(
        self,
        flat: Sequence[float],
        quiet: Sequence[float],
        under_way: Sequence[float],
        shares: Sequence[float],
        blocks: Sequence[tuple[int, int]],
        forced: Sequence[tuple[int, int]],
    ) -> None:
        """Take what life is beside the fit, by cell of one model.

        Args:
            flat: what it is in life whatever is seen; below 0: it follows the fitted odds.
            quiet: what is added to their logarithm while nothing moves.
            under_way: what is added once a shock is under way.
            shares: how much of what rarity adds each takes.
            blocks: as of ``CellPass``.
            forced: ``(cell, other)``: the cell is never told less than the other.
        """
        self.width = len(flat)
        self._flat = array("d", flat)
        self._quiet = array("d", quiet)
        self._under_way = array("d", under_way)
        self._shares = array("d", shares)
        self._blocks = array("q", [number for block in blocks for number in block])
        self._forced = array("q", [number for pair in forced for number in pair])
        self._life = _zeros(self.width)
        self._fit = _zeros(self.width)
        self._least = _zeros(self.width)

    def tell(
        self,
        fitted: NDArray[np.float64],
        weight: float,
        share: float,
        fit_shift: float,
        life_shift: float,
        out: NDArray[np.float64],
    ) -> int:
        """Write what ``fitted`` ``(models, cells)`` is here into ``out``; shifts are those of a quiet market."""
        for cell in range(self.width):
            moved = self._quiet[cell] + life_shift * self._shares[cell]
            self._life[cell] = math.exp(share * moved + (1.0 - share) * self._under_way[cell])
            self._fit[cell] = math.exp(share * fit_shift * self._shares[cell])
        for model in range(len(fitted)):
            for cell in range(self.width):
                odds = fitted[model, cell] / (1.0 - fitted[model, cell])
                made = odds * self._fit[cell]
                life = self._flat[cell]
                if life < 0.0:
                    life = odds * self._life[cell]
                    life = life / (1.0 + life)
                out[model, cell] = weight * made / (1.0 + made) + (1.0 - weight) * life
            first = 0
            for block in range(len(self._blocks) // 2):
                high, wide = self._blocks[2 * block], self._blocks[2 * block + 1]
                _put_in_order(out, model, first, high, wide, self._least)
                first += high * wide
            for pair in range(len(self._forced) // 2):
                cell, other = self._forced[2 * pair], self._forced[2 * pair + 1]
                out[model, cell] = max(out[model, cell], out[model, other])
        return 0


def _put_in_order(
    out: NDArray[np.float64], model: int, first: int, high: int, wide: int, scratch: array[float]
) -> int:
    """Make a block rise along its rows and fall along its columns; see ``monotone``."""
    if high > 1:
        for column in range(wide):
            least = 1.0
            for step in range(high - 1, -1, -1):
                least = min(least, out[model, first + step * wide + column])
                scratch[step] = least
            most = 0.0
            for step in range(high):
                most = max(most, out[model, first + step * wide + column])
                out[model, first + step * wide + column] = (scratch[step] + most) / 2.0
    if wide > 1:
        for step in range(high):
            begin = first + step * wide
            least = 1.0
            for column in range(wide):
                least = min(least, out[model, begin + column])
                scratch[column] = least
            most = 0.0
            for column in range(wide - 1, -1, -1):
                most = max(most, out[model, begin + column])
                out[model, begin + column] = (scratch[column] + most) / 2.0
    return 0


def _held(logit: float) -> float:
    return min(max(logit, -_LOGIT_MAX), _LOGIT_MAX)


def _zeros(count: int) -> array[float]:
    return array("d", bytes(8 * max(count, 1)))


def _runs(rows: Sequence[Sequence[float]]) -> tuple[array[int], array[float]]:
    """Give ``(column, first cell, end)`` of neighbours that have a weight on a column, flat, and the weights."""
    runs: list[int] = []
    weights: list[float] = []
    for column in range(len(rows[0]) if rows else 0):
        cell = 0
        while cell < len(rows):
            first = cell
            while cell < len(rows) and rows[cell][column] != 0.0:
                weights.append(rows[cell][column])
                cell += 1
            if cell > first:
                runs += [column, first, cell]
            else:
                cell += 1
    return array("q", runs or [0, 0, 0]), array("d", weights or [0.0])


_LOGIT_MAX = LOGIT_MAX
