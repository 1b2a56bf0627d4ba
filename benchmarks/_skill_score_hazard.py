"""Scores of the hazard at all times: Brier skill against climatology and OI / depth, and reliability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks._frame import Better, Gap, Result
from benchmarks._skill_metrics import (
    auc,
    block_sums,
    bootstrap,
    bootstrap_sums,
    brier,
    hazard_by,
    logistic_fit,
    logistic_values,
    reliability_error,
    skill,
)
from benchmarks._skill_rows import Runs, Sampled, episode_numbers, gap_of, row
from benchmarks._skill_tables import AS_FITTED, MarketRun
from guard.forecasts import MOVES, Direction
from guard.hazard.artefact import Expert
from guard.skill.outcomes import hazard_truth

Floats = NDArray[np.float64]

FIVE = MOVES.index(0.05)
ALARM_HORIZON_S = 2700
JUDGED_S = (300, 900, ALARM_HORIZON_S, 3600)
SKILL, RELIABILITY = 0.20, 0.02
RELIABILITY_EVERY = 7
"""Reliability is bootstrapped on every so manieth sample: half a million sorted a thousand times take minutes."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Thin readings at which it is known what came within a horizon, of both directions; ``told`` is by who said it."""

    blocks: NDArray[np.int64]
    worlds: NDArray[np.int64]
    came: Floats
    told: dict[str, Floats]


def gather_moments(runs: Sequence[MarketRun], worlds: Sequence[str], horizon_s: int, move: float) -> Moments:
    """Collect what was forecast for one horizon and move; where the product said nothing is left out for all."""
    numbers = episode_numbers(runs)
    parts: dict[str, list[Floats]] = {}
    blocks, places = [], []
    for run, number in zip(runs, numbers, strict=True):
        for direction in Direction:
            truth = hazard_truth(run.at, run.price, direction, move, horizon_s)
            product = hazard_by(run.whole.of("hazard", direction), horizon_s, move)
            kept = truth.known[run.thin] & np.isfinite(product)
            told = {
                "product": product,
                "oracle": hazard_by(run.oracle.of("hazard", direction), horizon_s, move),
                "ratio": np.log(run.seen[direction]["OI / depth"][run.thin]),
                **{
                    f"expert {name}": hazard_by(table.of("hazard", direction), horizon_s, move)
                    for name, table in run.experts.items()
                },
            }
            parts.setdefault("came", []).append(truth.value[run.thin][kept])
            for name, values in told.items():
                parts.setdefault(name, []).append(values[kept])
            blocks.append(np.full(int(kept.sum()), number, np.int64))
            places.append(np.full(int(kept.sum()), worlds.index(run.world), np.int64))
    found = {name: np.concatenate(values) for name, values in parts.items()}
    return Moments(
        np.concatenate(blocks) if blocks else np.zeros(0, np.int64),
        np.concatenate(places) if places else np.zeros(0, np.int64),
        found.pop("came", np.zeros(0)),
        found,
    )


def score_hazard(runs: Runs) -> list[Result]:
    """All figures of the hazard; 5 % within 45 minutes is what is judged."""
    results = []
    for horizon_s in JUDGED_S:
        for move in MOVES if horizon_s in (900, 3600) else (MOVES[FIVE],):
            results += _of_cell(runs, horizon_s, move)
    return results


def _of_cell(runs: Runs, horizon_s: int, move: float) -> list[Result]:
    judged = gather_moments(runs.judged, runs.worlds, horizon_s, move)
    worlds = tuple(dict.fromkeys(run.world for run in runs.chosen_by))
    former = gather_moments(runs.chosen_by, worlds, horizon_s, move)
    if len(judged.came) == 0 or judged.came.sum() == 0.0 or len(former.came) == 0:
        return []
    simple = np.full(len(judged.came), former.came.mean())
    by_ratio = _by_ratio(former, judged)
    is_judged = horizon_s == ALARM_HORIZON_S and move == MOVES[FIVE]
    what = f"hazard: {move:.0%} within {horizon_s // 60} min".replace("%", " %")
    told, came = judged.told["product"], judged.came
    oracle = judged.told["oracle"]
    kept = np.isfinite(oracle)
    sums = block_sums(
        judged.blocks, (told - came) ** 2, (simple - came) ** 2, (by_ratio - came) ** 2, np.ones(len(came))
    )
    against_climatology = bootstrap_sums(
        sums, lambda total: skill(total[0], total[1]), runs.seed, draws=runs.draws
    )
    against_ratio = bootstrap_sums(sums, lambda total: skill(total[0], total[2]), runs.seed, draws=runs.draws)
    simple_loss = brier(simple[kept], came[kept])
    experts = {
        name: skill(_brier(values, came), brier(simple, came))
        for name, values in judged.told.items()
        if name in (f"expert {Expert.OI_DEPTH}", f"expert {Expert.FLOW}")
    }
    results = [
        row(
            f"{what}: Brier skill against climatology",
            against_climatology,
            "",
            better=Better.HIGHER,
            target=SKILL if is_judged else None,
            baselines={"OI / depth": skill(brier(by_ratio, came), brier(simple, came)), **experts},
            oracle=skill(brier(oracle[kept], came[kept]), simple_loss) if kept.any() else None,
            prototype=0.111 if is_judged else None,
            more={"came": float(came.mean())},
            gap=_gap(judged, simple, by_ratio, runs),
        )
    ]
    if is_judged:
        results += [
            row(f"{what}: Brier skill against OI / depth", against_ratio, "", better=Better.HIGHER),
            *_as_fitted(runs, judged, simple, what),
            *_of_reliability(runs, judged, what),
            *_of_worlds(runs, judged, simple, by_ratio, what),
        ]
    return results


def _gap(judged: Moments, simple: Floats, by_ratio: Floats, runs: Runs) -> Gap | None:
    """Of Brier skill, from the best of those that need no map to the oracle, where the oracle said something."""
    kept = np.isfinite(judged.told["oracle"])
    came = judged.came[kept]
    if not kept.any():
        return None
    others = {"OI / depth": by_ratio}
    for name in (f"expert {Expert.OI_DEPTH}", f"expert {Expert.FLOW}"):
        if name in judged.told and np.isfinite(judged.told[name][kept]).all():
            others[name] = judged.told[name]

    def sampled(values: Floats) -> Sampled:
        losses = ((each[kept] - came) ** 2 for each in (values, simple))
        return Sampled.of_sums(
            block_sums(judged.blocks[kept], *losses), lambda total: skill(total[0], total[1])
        )

    return gap_of(
        sampled(judged.told["product"]),
        {name: sampled(values) for name, values in others.items()},
        sampled(judged.told["oracle"]),
        runs,
        better=Better.HIGHER,
    )


def _as_fitted(runs: Runs, judged: Moments, simple: Floats, what: str) -> list[Result]:
    """The same at the rates of made-up markets."""
    told = judged.told[f"expert {AS_FITTED}"]
    kept = np.isfinite(told)
    if not kept.any():
        return []
    known, came, blocks = told[kept], judged.came[kept], judged.blocks[kept]
    sums = block_sums(blocks, (known - came) ** 2, (simple[kept] - came) ** 2)
    every = slice(None, None, RELIABILITY_EVERY)
    return [
        row(
            f"{what}, {AS_FITTED}: Brier skill against climatology",
            bootstrap_sums(sums, lambda total: skill(total[0], total[1]), runs.seed, draws=runs.draws),
            "",
            better=Better.HIGHER,
        ),
        row(
            f"{what}, {AS_FITTED}: reliability error",
            bootstrap(
                np.unique(blocks[every], return_inverse=True)[1],
                lambda drawn: reliability_error(known[every][drawn], came[every][drawn]),
                runs.seed,
                draws=max(runs.draws // 5, 20),
            ),
            "ratio",
            better=Better.LOWER,
        ),
    ]


def _of_reliability(runs: Runs, judged: Moments, what: str) -> list[Result]:
    told, came = judged.told["product"][::RELIABILITY_EVERY], judged.came[::RELIABILITY_EVERY]
    blocks = np.unique(judged.blocks[::RELIABILITY_EVERY], return_inverse=True)[1]
    measured = bootstrap(
        blocks,
        lambda drawn: reliability_error(told[drawn], came[drawn]),
        runs.seed,
        draws=max(runs.draws // 5, 20),
    )
    ranked = bootstrap(
        blocks, lambda drawn: auc(told[drawn], came[drawn]), runs.seed, draws=max(runs.draws // 5, 20)
    )
    return [
        row(
            f"{what}: reliability error",
            measured,
            "ratio",
            better=Better.LOWER,
            target=RELIABILITY,
        ),
        row(f"{what}: AUC at all times", ranked, "", better=Better.HIGHER),
    ]


def _of_worlds(runs: Runs, judged: Moments, simple: Floats, by_ratio: Floats, what: str) -> list[Result]:
    results = []
    for at, world in enumerate(runs.worlds):
        here = judged.worlds == at
        came = judged.came[here]
        if came.sum() == 0.0:
            continue
        blocks = np.unique(judged.blocks[here], return_inverse=True)[1]
        sums = block_sums(blocks, (judged.told["product"][here] - came) ** 2, (simple[here] - came) ** 2)
        results.append(
            row(
                f"{what}, {world}: Brier skill against climatology",
                bootstrap_sums(sums, lambda total: skill(total[0], total[1]), runs.seed, draws=runs.draws),
                "",
                better=Better.HIGHER,
                baselines={"OI / depth": skill(brier(by_ratio[here], came), brier(simple[here], came))},
                oracle=skill(_brier(judged.told["oracle"][here], came), brier(simple[here], came)),
                more={"came": float(came.mean())},
            )
        )
    return results


def _by_ratio(former: Moments, judged: Moments) -> Floats:
    """What open interest over depth alone tells, by a logistic regression on other episodes."""
    kept = np.isfinite(former.told["ratio"])
    if former.came[kept].sum() == 0.0:
        return np.full(len(judged.came), former.came.mean())
    middle = float(former.told["ratio"][kept].mean())
    fitted = logistic_fit((former.told["ratio"][kept] - middle)[:, None], former.came[kept])
    ratio = np.where(np.isfinite(judged.told["ratio"]), judged.told["ratio"], middle)
    return logistic_values(fitted, (ratio - middle)[:, None])


def _brier(values: Floats, came: Floats) -> float:
    kept = np.isfinite(values)
    return brier(values[kept], came[kept]) if kept.any() else float("nan")
