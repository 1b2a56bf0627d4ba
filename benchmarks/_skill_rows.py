"""Makes figures of measurements: with an interval, a target, the best baseline, the oracle, and the prototype."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks._frame import Better, Result
from benchmarks._skill_metrics import Measured, gap_closed
from benchmarks._skill_tables import EpisodeRun, MarketRun

NAME = "skill"
GAP = 0.7
"""The first target: so much of the way from the best baseline to the oracle."""

ORACLE, PROTOTYPE, CLOSED, BEST = "oracle", "prototype", "gap closed", "best baseline"


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
) -> Result:
    """Put a figure beside baselines and oracle; figures that do not exist are left out."""
    told = {name: value for name, value in (baselines or {}).items() if math.isfinite(value)}
    others = dict(told)
    if oracle is not None and math.isfinite(oracle):
        others[ORACLE] = oracle
        if told:
            best = (min if better is Better.LOWER else max)(told.values())
            closed = gap_closed(measured.value, best, oracle)
            gained = (oracle - best) * (-1.0 if better is Better.LOWER else 1.0)
            if closed is not None and gained > 0.0:
                others[CLOSED] = closed
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
    )


def ratio_row(
    case: str, measured: Measured, within: tuple[float, float], unit: str, **others: float
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
    )
