"""Makes figures of measurements: with an interval, a target, the best baseline, the oracle, and the prototype."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks._frame import Better, Gap, Result
from benchmarks._skill_metrics import Measured, gap_closed
from benchmarks._skill_tables import EpisodeRun, MarketRun

Floats = NDArray[np.float64]

NAME = "skill"
GAP = 0.7
"""The first target: so much of the way from the best baseline to the oracle."""

GAP_DRAWS = 100
SURE = 0.9
"""In so many of the bootstraps the oracle has to be better than the baseline; else the gap has no interval."""

ORACLE, PROTOTYPE = "oracle", "prototype"


@dataclass(frozen=True, slots=True)
class Runs:
    """What is judged, and what was chosen by: other episodes.

    ``judged`` and ``chosen_by`` are markets in the order of their episodes; ``seed`` draws every bootstrap.
    """

    judged: tuple[MarketRun, ...]
    chosen_by: tuple[MarketRun, ...]
    seed: int
    draws: int

    @classmethod
    def of(cls, judged: Sequence[EpisodeRun], chosen_by: Sequence[EpisodeRun], seed: int, draws: int) -> Runs:
        """Take episodes apart into markets."""
        return cls(
            tuple(market for run in judged for market in run.markets),
            tuple(market for run in chosen_by for market in run.markets),
            seed,
            draws,
        )

    @property
    def worlds(self) -> tuple[str, ...]:
        """That are judged."""
        return tuple(dict.fromkeys(run.world for run in self.judged))


def episode_numbers(runs: Sequence[MarketRun]) -> NDArray[np.int64]:
    """Number the episodes that markets are of, 0 and up: what is bootstrapped."""
    names = [(run.world, run.number) for run in runs]
    known = {name: at for at, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], np.int64)


@dataclass(frozen=True, slots=True)
class Sampled:
    """A figure of some samples: ``blocks`` is the episode of each, ``figure`` takes indices, some more than once."""

    blocks: NDArray[np.int64]
    figure: Callable[[NDArray[np.int64]], float]

    @classmethod
    def of_sums(cls, sums: Floats, figure: Callable[[Floats], float]) -> Sampled:
        """A figure that follows from sums by episode, a row each."""
        return cls(np.arange(len(sums)), lambda drawn: figure(sums[drawn].sum(axis=0)))

    @classmethod
    def constant(cls, value: float) -> Sampled:
        """A figure that is known."""
        return cls(np.zeros(0, np.int64), lambda _: value)

    @property
    def value(self) -> float:
        """Of all samples."""
        return self.figure(np.arange(len(self.blocks)))

    def members(self, count: int) -> list[NDArray[np.int64]]:
        """Indices of the samples of each episode, of so many."""
        order = np.argsort(self.blocks, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.blocks, minlength=count))[:-1])


def gap_of(
    product: Sampled, baselines: Mapping[str, Sampled], oracle: Sampled, runs: Runs, *, better: Better
) -> Gap | None:
    """How much of the gap is closed, with its interval when whole episodes are drawn; ``None`` without a baseline."""
    sign = -1.0 if better is Better.LOWER else 1.0
    told = {name: each.value for name, each in baselines.items()}
    told = {name: value for name, value in told.items() if math.isfinite(value)}
    value, most = product.value, oracle.value
    if not told or not (math.isfinite(value) and math.isfinite(most)):
        return None
    best = max(told, key=lambda name: sign * told[name])
    closed = gap_closed(value, told[best], most)
    if closed is None or sign * (most - told[best]) <= 0.0:
        return Gap(baseline=best, closed=None, low=None, high=None, why="the oracle is no better than it")
    parts = (product, baselines[best], oracle)
    count = max(int(part.blocks.max()) + 1 for part in parts if len(part.blocks))
    members = [part.members(count) for part in parts]
    generator = np.random.default_rng(runs.seed)
    found = []
    draws = min(runs.draws, GAP_DRAWS)
    for _ in range(draws):
        drawn = generator.integers(0, count, count)
        ours, theirs, oracles = (
            part.figure(np.concatenate([each[at] for at in drawn]))
            for part, each in zip(parts, members, strict=True)
        )
        if sign * (oracles - theirs) > 1e-12 and math.isfinite(ours):
            found.append((ours - theirs) / (oracles - theirs))
    if len(found) < SURE * draws:
        why = f"in {draws - len(found)} of {draws} bootstraps the oracle is no better than it"
        return Gap(baseline=best, closed=closed, low=None, high=None, why=why)
    low, high = np.quantile(found, (0.025, 0.975))
    return Gap(baseline=best, closed=closed, low=float(low), high=float(high), why="")


def row(
    case: str,
    measured: Measured,
    unit: str,
    *,
    better: Better,
    target: float | None = None,
    baselines: Mapping[str, float] | None = None,
    oracle: float | None = None,
    prototype: float | None = None,
    more: Mapping[str, float] | None = None,
    gap: Gap | None = None,
) -> Result:
    """Put a figure beside baselines and oracle; figures that do not exist are left out."""
    others = {name: value for name, value in (baselines or {}).items() if math.isfinite(value)}
    if oracle is not None and math.isfinite(oracle):
        others[ORACLE] = oracle
    if prototype is not None:
        others[PROTOTYPE] = prototype
    others |= {name: value for name, value in (more or {}).items() if math.isfinite(value)}
    met = None
    if target is not None:
        met = measured.value <= target if better is Better.LOWER else measured.value >= target
    return Result(
        name=NAME,
        case=case,
        value=float(measured.value),
        unit=unit,
        low=float(measured.low),
        high=float(measured.high),
        better=better,
        target=target,
        met=None if met is None else bool(met),
        baselines={name: float(value) for name, value in others.items()},
        gap=gap,
    )


def ratio_row(
    case: str,
    measured: Measured,
    within: tuple[float, float],
    unit: str,
    gap: Gap | None = None,
    **others: float,
) -> Result:
    """A figure that should lie between two: whichever of them is nearer is shown as the target."""
    low, high = within
    is_above = measured.value >= (low + high) / 2.0
    return row(
        case,
        measured,
        unit,
        better=Better.LOWER if is_above else Better.HIGHER,
        target=high if is_above else low,
        more=others,
        gap=gap,
    )
