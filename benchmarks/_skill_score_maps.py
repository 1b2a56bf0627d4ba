"""Scores of the map: mass, shape, peaks and intervals, beside what static and entry maps reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks._frame import Better, Gap, Result
from benchmarks._skill_metrics import Measured, bootstrap
from benchmarks._skill_rows import Runs, Sampled, episode_numbers, gap_of, ratio_row, row
from benchmarks._skill_tables import MarketRun
from guard.forecasts import INTERVAL, MOVES

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

MASS_WITHIN = (0.75, 1.25)
LOG_SD, EMD_BPS, RECALL = 0.5, 50.0, 0.80
PROTOTYPE_MASS = {0.05: 1.45, 0.10: 0.77}
PROTOTYPE_LOG_SD, PROTOTYPE_EMD, PROTOTYPE_RECALL = 0.75, 79.0, 0.62
OTHERS = {"static": "static tiers at spot", "entries": "entry histogram"}


def score_maps(runs: Runs) -> list[Result]:
    """All figures of the map, in calm as the prototype's were, then in stress."""
    results: list[Result] = []
    for name, is_calm in (("calm", True), ("stress", False)):
        told = Gathered(runs.judged, "map", is_calm)
        others = {label: Gathered(runs.judged, key, is_calm) for key, label in OTHERS.items()}
        if told.count == 0:
            continue
        results += [
            *_of_mass(name, told, others, runs, has_target=is_calm),
            *_of_shape(name, told, others, runs, has_target=is_calm),
        ]
    results += _by_world(runs)
    return results


class Gathered:
    """Rows of one kind of map over many markets, with the number of their episode."""

    def __init__(self, runs: Sequence[MarketRun], name: str, is_calm: bool | None) -> None:
        numbers = episode_numbers(runs)
        parts: dict[str, list[Floats]] = {}
        blocks: list[Indices] = []
        for run, number in zip(runs, numbers, strict=True):
            rows = run.maps.get(name)
            if rows is None or not len(rows["ratio_log"]):
                continue
            kept = np.ones(len(rows["ratio_log"]), np.bool_)
            if is_calm is not None:
                kept = run.map_calm[: len(kept)] == is_calm
            for column, values in rows.items():
                parts.setdefault(column, []).append(values[kept])
            blocks.append(np.full(int(kept.sum()), number, np.int64))
        self.columns = {column: np.concatenate(values) for column, values in parts.items()}
        self.blocks = np.concatenate(blocks) if blocks else np.zeros(0, np.int64)
        self.count = len(self.blocks)

    def figure(self, column: str, make: Callable[[Floats], float], at: int | None = None) -> float:
        """One figure of one column."""
        values = self.columns[column] if at is None else self.columns[column][:, at]
        return make(values[np.isfinite(values)])

    def measured(
        self, column: str, make: Callable[[Floats], float], runs: Runs, at: int | None = None
    ) -> Measured:
        """The same with its interval over episodes."""
        values = self.columns[column] if at is None else self.columns[column][:, at]
        kept = np.isfinite(values)
        known = values[kept]
        return bootstrap(self.blocks[kept], lambda drawn: make(known[drawn]), runs.seed, draws=runs.draws)

    def sampled(self, column: str, make: Callable[[Floats], float], at: int | None = None) -> Sampled:
        """The same, to be drawn together with others."""
        values = self.columns[column] if at is None else self.columns[column][:, at]
        kept = np.isfinite(values)
        known = values[kept]
        return Sampled(self.blocks[kept], lambda drawn: make(known[drawn]))


def _gap(
    told: Gathered,
    others: Mapping[str, Gathered],
    runs: Runs,
    column: str,
    make: Callable[[Floats], float],
    oracle: float,
    at: int | None = None,
) -> Gap | None:
    """Between the best of the others and a map that is right."""
    return gap_of(
        told.sampled(column, make, at),
        {label: other.sampled(column, make, at) for label, other in others.items()},
        Sampled.constant(oracle),
        runs,
        better=Better.HIGHER if oracle > 0.0 else Better.LOWER,
    )


def _of_mass(
    name: str, told: Gathered, others: dict[str, Gathered], runs: Runs, *, has_target: bool
) -> list[Result]:
    results = []
    for at, move in enumerate(MOVES):
        percent = f"{move:.0%}".replace("%", " %")
        ratios = {
            label: float(np.exp(other.figure("ratio_log", median, at))) for label, other in others.items()
        }
        if has_target and move in PROTOTYPE_MASS:
            ratios["prototype"] = PROTOTYPE_MASS[move]
        measured = told.measured("ratio_log", exp_median, runs, at)
        case = f"map, {name}: estimated over true mass within {percent}"
        if has_target and move >= 0.05:
            gap = _gap(told, others, runs, "ratio_log", off_median, 0.0, at)
            results.append(ratio_row(case, measured, MASS_WITHIN, "ratio", gap, **ratios))
        else:
            results.append(row(case, measured, "ratio", better=Better.LOWER, more=ratios))
        results.append(
            row(
                f"map, {name}: log-sd of that ratio within {percent}",
                told.measured("ratio_log", deviation, runs, at),
                "log",
                better=Better.LOWER,
                target=LOG_SD if has_target and move >= 0.05 else None,
                baselines={
                    label: other.figure("ratio_log", deviation, at) for label, other in others.items()
                },
                oracle=0.0,
                prototype=PROTOTYPE_LOG_SD if has_target and move == 0.05 else None,
                gap=_gap(told, others, runs, "ratio_log", deviation, 0.0, at) if has_target else None,
            )
        )
        results.append(
            row(
                f"map, {name}: share of true masses within {percent} inside of their {INTERVAL:.0%} interval",
                told.measured("inside", mean, runs, at),
                "ratio",
                better=Better.HIGHER,
            )
        )
    return results


def _of_shape(
    name: str, told: Gathered, others: dict[str, Gathered], runs: Runs, *, has_target: bool
) -> list[Result]:
    return [
        row(
            f"map, {name}: distance of shapes within 10 % (W1)",
            told.measured("emd_bps", mean, runs),
            "bps",
            better=Better.LOWER,
            target=EMD_BPS if has_target else None,
            baselines={label: other.figure("emd_bps", mean) for label, other in others.items()},
            oracle=0.0,
            prototype=PROTOTYPE_EMD if has_target else None,
            gap=_gap(told, others, runs, "emd_bps", mean, 0.0) if has_target else None,
        ),
        row(
            f"map, {name}: greatest three peaks found within 75 bps",
            told.measured("recall", mean, runs),
            "ratio",
            better=Better.HIGHER,
            target=RECALL if has_target else None,
            baselines={label: other.figure("recall", mean) for label, other in others.items()}
            | {"random": told.figure("recall_random", mean)},
            oracle=1.0,
            prototype=PROTOTYPE_RECALL if has_target else None,
            gap=_gap(told, others, runs, "recall", mean, 1.0) if has_target else None,
        ),
    ]


def _by_world(runs: Runs) -> list[Result]:
    """Mass within 5 % in calm, world by world: the mean of worlds that err in opposite ways says little."""
    results = []
    for world in runs.worlds:
        told = Gathered([run for run in runs.judged if run.world == world], "map", is_calm=True)
        if told.count:
            results.append(
                row(
                    f"map, calm, {world}: estimated over true mass within 5 %",
                    told.measured("ratio_log", exp_median, runs, 1),
                    "ratio",
                    better=Better.LOWER,
                    more={
                        "log-sd": told.figure("ratio_log", deviation, 1),
                        "W1, bps": told.figure("emd_bps", mean),
                    },
                )
            )
    return results


def median(values: Floats) -> float:
    """NaN of nothing, like those below."""
    return float(np.median(values)) if len(values) else float("nan")


def off_median(values: Floats) -> float:
    """How far the median is from 0."""
    return abs(median(values))


def exp_median(values: Floats) -> float:
    return float(np.exp(median(values)))


def deviation(values: Floats) -> float:
    return float(values.std()) if len(values) else float("nan")


def mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
