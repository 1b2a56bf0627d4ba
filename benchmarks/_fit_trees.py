"""Grows small trees on log-odds of one event: gradient boosting with complete trees, signs that theory knows, numpy.

Newton boosting of the logistic loss on binned features (Friedman 2001; histograms and the handling of unknown values
as in LightGBM, Ke et al. 2017). Signs are kept as there: a split against the sign is not made, and leaves below one
that is made are held on their side of its middle. Equal inputs and seed give equal trees.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from guard.calibration.trees import Trees

Floats = NDArray[np.float64]
Bins = NDArray[np.int64]

BINS = 32
GAIN_MIN = 1e-6


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees are grown: at each level a ``share`` of the features is looked at.

    ``least`` is what both sides of a split have of the loss's second derivative: some 25 even cases.
    """

    trees: int = 120
    depth: int = 4
    rate: float = 0.06
    ridge: float = 30.0
    share: float = 0.3
    least: float = 6.0
    seed: int = 0


@dataclass(slots=True)
class Grown:
    """Trees as they were grown: a row a tree, columns as in ``guard.calibration.trees.Trees``."""

    bias: float
    depth: int
    columns: list[Bins] = field(default_factory=list)
    cuts: list[Floats] = field(default_factory=list)
    unknown_left: list[NDArray[np.bool_]] = field(default_factory=list)
    leaves: list[Floats] = field(default_factory=list)

    def trees(self, digits: int = 6) -> Trees:
        """Give them as the program walks them, numbers rounded as an artefact has them."""

        def flat(parts: list[Floats]) -> list[float]:
            return [round(float(each), digits) for part in parts for each in part]

        return Trees(
            self.bias,
            self.depth,
            [int(each) for part in self.columns for each in part],
            flat(self.cuts),
            [bool(each) for part in self.unknown_left for each in part],
            flat(self.leaves),
        )

    def scores(self, values: Floats) -> Floats:
        """Log-odds of many rows ``(N, P)``."""
        found, rows = np.full(len(values), self.bias), np.arange(len(values))
        for columns, cuts, left, leaves in zip(
            self.columns, self.cuts, self.unknown_left, self.leaves, strict=True
        ):
            node = np.zeros(len(values), np.int64)
            for _ in range(self.depth):
                value = values[rows, columns[node]]
                node = 2 * node + 1 + np.where(np.isnan(value), ~left[node], value > cuts[node])
            found += leaves[node - len(columns)]
        return found


@dataclass(slots=True)
class _Tree:
    """One that is growing: each row's node in the level, and within what the values below each node are held."""

    columns: Bins
    cuts: Floats
    unknown_left: NDArray[np.bool_]
    low: Floats
    high: Floats
    node: Bins

    @classmethod
    def bare(cls, rows: int, depth: int) -> _Tree:
        inner, all_nodes = 2**depth - 1, 2 ** (depth + 1) - 1
        return cls(
            np.zeros(inner, np.int64),
            np.full(inner, np.finfo(np.float64).max),
            np.ones(inner, np.bool_),
            np.full(all_nodes, -np.inf),
            np.full(all_nodes, np.inf),
            np.zeros(rows, np.int64),
        )


@dataclass(frozen=True, slots=True)
class _Split:
    gain: float
    column: int
    cut: int
    unknown_left: bool
    left: float
    right: float


def grow(
    values: Floats, truth: Floats, weights: Floats, signs: NDArray[np.int64], growth: Growth = Growth()
) -> Grown:
    """Fit.

    Args:
        values: ``(N, P)``, NaN is unknown.
        truth: ``(N,)`` 0 or 1, both of them in it.
        weights: ``(N,)``, above 0.
        signs: ``(P,)``, 1 never falls, -1 never rises, 0 either.
        growth: how.
    """
    base = float(np.average(truth, weights=weights))
    if not 0.0 < base < 1.0:
        raise ValueError("trees are grown on what sometimes came and sometimes did not")
    drawn = np.random.default_rng(growth.seed)
    cuts = [_cuts(column) for column in values.T]
    bins = np.stack([_binned(column, cut) for column, cut in zip(values.T, cuts, strict=True)], axis=1)
    grown = Grown(float(np.log(base / (1.0 - base))), growth.depth)
    logits = np.full(len(truth), grown.bias)
    for _ in range(growth.trees):
        chance = 1.0 / (1.0 + np.exp(-logits))
        slope, bend = weights * (chance - truth), weights * chance * (1.0 - chance)
        tree = _Tree.bare(len(truth), growth.depth)
        for level in range(growth.depth):
            looked_at = drawn.choice(len(cuts), max(int(growth.share * len(cuts)), 1), replace=False)
            _deepen(tree, level, bins, cuts, slope, bend, looked_at, signs, growth)
        ends = 2**growth.depth
        steps = -np.bincount(tree.node, slope, ends) / (np.bincount(tree.node, bend, ends) + growth.ridge)
        leaves = growth.rate * np.clip(steps, tree.low[ends - 1 :], tree.high[ends - 1 :])
        logits += leaves[tree.node]
        grown.columns.append(tree.columns)
        grown.cuts.append(tree.cuts)
        grown.unknown_left.append(tree.unknown_left)
        grown.leaves.append(leaves)
    return grown


def _cuts(column: Floats) -> Floats:
    known = column[np.isfinite(column)]
    if not len(known):
        return np.zeros(0)
    # Rounded as an artefact has them, so that a row falls to the same side there.
    return np.unique(np.quantile(known, np.linspace(0.0, 1.0, BINS + 1)[1:-1]).round(6))


def _binned(column: Floats, cuts: Floats) -> Bins:
    """Number of the first cut that a value is not above; ``BINS`` where it is unknown."""
    return np.where(np.isnan(column), BINS, np.searchsorted(cuts, column, side="left"))


def _deepen(
    tree: _Tree,
    level: int,
    bins: Bins,
    cuts: list[Floats],
    slope: Floats,
    bend: Floats,
    looked_at: Bins,
    signs: NDArray[np.int64],
    growth: Growth,
) -> None:
    """Split every node of a level where that gains anything, and send the rows on."""
    count = 2**level
    base = count - 1
    held = (tree.low[base : base + count, None], tree.high[base : base + count, None])
    best: list[_Split | None] = [None] * count
    for column in looked_at.tolist():
        if not len(cuts[column]):
            continue
        place = tree.node * (BINS + 1) + bins[:, column]
        sums: list[Floats] = [
            np.bincount(place, each, count * (BINS + 1)).reshape(count, BINS + 1).astype(np.float64)
            for each in (slope, bend)
        ]
        for split_at, split in enumerate(
            _best_splits(column, sums, len(cuts[column]), held, int(signs[column]), growth)
        ):
            former = best[split_at]
            if split.gain > (GAIN_MIN if former is None else former.gain):
                best[split_at] = split
    right = np.zeros(len(tree.node), np.bool_)
    for at, chosen in enumerate(best):
        node = base + at
        below = [2 * node + 1, 2 * node + 2]
        tree.low[below], tree.high[below] = tree.low[node], tree.high[node]
        if chosen is None:
            continue
        tree.columns[node], tree.unknown_left[node] = chosen.column, chosen.unknown_left
        tree.cuts[node] = cuts[chosen.column][chosen.cut]
        middle = (chosen.left + chosen.right) / 2.0
        if signs[chosen.column] > 0:
            tree.high[below[0]] = tree.low[below[1]] = middle
        elif signs[chosen.column] < 0:
            tree.low[below[0]] = tree.high[below[1]] = middle
        of = bins[:, chosen.column]
        right |= (tree.node == at) & np.where(of == BINS, not chosen.unknown_left, of > chosen.cut)
    tree.node = 2 * tree.node + right


def _best_splits(
    column: int, sums: list[Floats], cuts: int, held: tuple[Floats, Floats], sign: int, growth: Growth
) -> list[_Split]:
    """The best split of each node of a level by one feature; a gain of minus infinity where there is none."""
    slope, bend = (each.sum(axis=1, keepdims=True) for each in sums)
    found: list[_Split] = []
    for unknown_left in (True, False):
        left_slope, left_bend = (
            each[:, :BINS].cumsum(axis=1)[:, :cuts] + (each[:, BINS:] if unknown_left else 0.0)
            for each in sums
        )
        right_slope, right_bend = slope - left_slope, bend - left_bend
        left = np.clip(-left_slope / (left_bend + growth.ridge), *held)
        right = np.clip(-right_slope / (right_bend + growth.ridge), *held)
        gain = (
            -(left_slope * left + 0.5 * (left_bend + growth.ridge) * left**2)
            - (right_slope * right + 0.5 * (right_bend + growth.ridge) * right**2)
            - 0.5 * slope**2 / (bend + growth.ridge)
        )
        refused = (left_bend < growth.least) | (right_bend < growth.least) | (sign * (right - left) < 0.0)
        gain = np.where(refused, -np.inf, gain)
        for node, cut in enumerate(gain.argmax(axis=1).tolist()):
            split = _Split(
                float(gain[node, cut]),
                column,
                cut,
                unknown_left,
                float(left[node, cut]),
                float(right[node, cut]),
            )
            if unknown_left:
                found.append(split)
            elif split.gain > found[node].gain:
                found[node] = split
    return found
