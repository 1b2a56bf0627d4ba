"""Pictures of a run: reliability of the hazard, coverage of the reach, decisions, and a map beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._frame import Result
from benchmarks._skill_metrics import reliability
from benchmarks._skill_picture import draw
from benchmarks._skill_rows import Runs
from benchmarks._skill_score_hazard import ALARM_HORIZON_S, gather_moments
from benchmarks._skill_score_reach import gather_onsets
from guard.forecasts import QUANTILES

DOTS = 100


def plot_all(folder: Path, runs: Runs, results: Sequence[Result]) -> None:
    """Write all pictures as PNG; ImportError without the extra ``lab``."""
    import matplotlib as mpl  # noqa: PLC0415 - of an extra

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    for name, make in (("reliability", _reliability), ("reach", _reach), ("decisions", _decisions)):
        figure, axis = plt.subplots(figsize=(6.4, 4.8), dpi=DOTS, layout="constrained")
        make(axis, runs, results)
        figure.savefig(folder / f"{name}.png")
        plt.close(figure)
    draw(folder / "map.png")


def _reliability(axis: Any, runs: Runs, results: Sequence[Result]) -> None:  # noqa: ARG001
    judged = gather_moments(runs.judged, runs.worlds, ALARM_HORIZON_S, 0.05)
    axis.plot((0, 1), (0, 1), color="grey", linewidth=0.8)
    for name in ("product", "oracle"):
        told = judged.told.get(name)
        if told is None:
            continue
        kept = np.isfinite(told)
        mean, came, count = reliability(told[kept], judged.came[kept])
        axis.plot(mean, came, marker="o", label=f"{name} ({int(count.sum()):,} moments)")
    axis.set_xlabel("told: probability of 5 % within 45 min")
    axis.set_ylabel("how often it came")
    axis.legend()


def _reach(axis: Any, runs: Runs, results: Sequence[Result]) -> None:  # noqa: ARG001
    onsets = gather_onsets(runs.judged)
    axis.plot((0, 1), (0, 1), color="grey", linewidth=0.8)
    for name, quantiles in onsets.quantiles.items():
        kept = np.isfinite(quantiles[:, 0])
        if kept.any():
            below = (onsets.reach[kept, None] <= quantiles[kept]).mean(axis=0)
            axis.plot(QUANTILES, below, marker="o", label=f"{name} ({int(kept.sum())} onsets)")
    axis.set_xlabel("quantile of the reach that was told")
    axis.set_ylabel("share of reaches below it")
    axis.legend()


def _decisions(axis: Any, runs: Runs, results: Sequence[Result]) -> None:  # noqa: ARG001
    ending = ": fewer liquidated than at constant leverage"
    made = [each for each in results if each.case.startswith("decisions") and ending in each.case]
    names = list(
        dict.fromkeys(name for each in made for name in each.baselines if name.startswith("liquidated, "))
    )
    width = 0.8 / max(len(names), 1)
    for at, name in enumerate(names):
        share = [
            100.0 * each.baselines.get(name, np.nan) / max(each.baselines.get("positions", 1.0), 1.0)
            for each in made
        ]
        axis.bar(np.arange(len(made)) + at * width, share, width, label=name.removeprefix("liquidated, "))
    axis.set_xticks(
        np.arange(len(made)) + 0.4,
        [each.case.partition(ending)[0].removeprefix("decisions").strip(", ") or "all" for each in made],
        rotation=20,
    )
    axis.set_ylabel("liquidated, of 100 positions, at 5x on the mean")
    axis.legend(fontsize=7)
