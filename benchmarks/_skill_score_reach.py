"""Scores of the reach: how far price went beyond an onset, beside what was forecast at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks._frame import Better, Gap, Result
from benchmarks._skill_metrics import Measured, auc, block_sums, bootstrap, bootstrap_sums, brier, skill
from benchmarks._skill_rows import ORACLE, Runs, Sampled, episode_numbers, gap_of, ratio_row, row
from benchmarks._skill_tables import AS_FITTED, MarketRun, Table
from guard.forecasts import MOVES, QUANTILES, Direction
from guard.hazard.artefact import Expert
from guard.skill.outcomes import REACH_WINDOW_S, farthest

Floats = NDArray[np.float64]

COVERAGE = (0.77, 0.83)
WIDTH_POINTS = 8.0
AUC, AUC_WORST = 0.93, 0.85
CAP = 0.16
"""Beyond this further falls are counted alike in the mean error, as in the prototype."""
CAME_MIN = 8
"""A world's AUC is told if so many reaches came to 5 % there, and so many did not."""
LOW, HIGH = QUANTILES.index(0.10), QUANTILES.index(0.90)
MIDDLE = QUANTILES.index(0.50)
FIVE = MOVES.index(0.05)

OBSERVED = ("speed, 1 min", "volatility spike", "depth z", "spread z", "liquidations / depth", "OI / depth")


@dataclass(frozen=True, slots=True)
class Onsets:
    """All onsets of some markets, a row each: what came, what was forecast by whom, and what could be seen.

    ``chains`` is by name: quantiles ``(n, QUANTILES)`` and probabilities of ``MOVES``.
    """

    blocks: NDArray[np.int64]
    worlds: NDArray[np.str_]
    directions: NDArray[np.str_]
    reach: Floats
    quantiles: dict[str, Floats]
    chance: dict[str, Floats]
    seen: dict[str, Floats]

    @property
    def count(self) -> int:
        return len(self.reach)


def gather_onsets(runs: Sequence[MarketRun]) -> Onsets:
    """Collect the onsets whose half hour was watched to its end."""
    numbers = episode_numbers(runs)
    columns: dict[str, list[Floats]] = {}
    labels: list[tuple[int, str, str]] = []
    for run, number in zip(runs, numbers, strict=True):
        for direction, rows in run.onset_rows.items():
            truth = farthest(run.at, run.price, direction, REACH_WINDOW_S)
            kept = rows[truth.known[rows]]
            if not len(kept):
                continue
            places = np.searchsorted(run.thin, kept)
            labels += [(int(number), run.world, direction.value)] * len(kept)
            columns.setdefault("reach", []).append(truth.value[kept])
            for name, table in _tables(run).items():
                for what in ("quantiles", "reach", "structure_quantiles", "structure_reach", "expected"):
                    if what in table.slices:
                        told = table.of(what, direction)[places]
                        columns.setdefault(f"{name}/{what}", []).append(told)
            for name in OBSERVED:
                columns.setdefault(f"seen/{name}", []).append(run.seen[direction][name][kept])
    found = {name: np.concatenate(parts) for name, parts in columns.items()}
    return Onsets(
        blocks=np.array([each[0] for each in labels], np.int64),
        worlds=np.array([each[1] for each in labels]),
        directions=np.array([each[2] for each in labels]),
        reach=found.get("reach", np.zeros(0)),
        quantiles={
            "product": found.get("product/quantiles", np.zeros((0, len(QUANTILES)))),
            "oracle": found.get("oracle/quantiles", np.zeros((0, len(QUANTILES)))),
            "structure": found.get("product/structure_quantiles", np.zeros((0, len(QUANTILES)))),
        },
        chance={
            name: found[f"{source}"]
            for name, source in (
                ("product", "product/reach"),
                ("oracle", "oracle/reach"),
                ("structure", "product/structure_reach"),
                ("structure, true map", "oracle/structure_reach"),
                *((f"expert {expert}", f"expert {expert}/reach") for expert in (*Expert, AS_FITTED)),
            )
            if source in found
        },
        seen={name: found.get(f"seen/{name}", np.zeros(0)) for name in OBSERVED},
    )


def _tables(run: MarketRun) -> dict[str, Table]:
    return {
        "product": run.whole,
        "oracle": run.oracle,
        **{f"expert {name}": run.experts[name] for name in (*Expert, AS_FITTED)},
    }


def score_reach(runs: Runs) -> list[Result]:
    """All figures of the reach."""
    onsets, former = gather_onsets(runs.judged), gather_onsets(runs.chosen_by)
    if onsets.count == 0:
        return []
    return [
        *_of_band(onsets, former, runs),
        *_of_chance(onsets, runs),
        *_by_world(onsets, runs),
        *_by_direction(onsets, runs),
    ]


def _of_band(onsets: Onsets, former: Onsets, runs: Runs) -> list[Result]:
    told, true = onsets.quantiles["product"], onsets.quantiles["oracle"]
    simple = _climatology(former.reach if former.count else onsets.reach, onsets.count)
    inside = measured_mean(onsets, _inside(told, onsets.reach), runs)
    results = [
        ratio_row(
            "reach: share within the 80 % band",
            inside,
            COVERAGE,
            "ratio",
            onsets=float(onsets.count),
            oracle=_mean(_inside(true, onsets.reach)),
            prototype=0.82,
        ),
        row(
            "reach: mean width of the 80 % band",
            measured_mean(onsets, _width(told), runs),
            "points",
            better=Better.LOWER,
            target=WIDTH_POINTS,
            baselines={
                "climatology": _mean(_width(simple)),
                "structure": _mean(_width(onsets.quantiles["structure"])),
            },
            oracle=_mean(_width(true)),
            prototype=15.0,
            gap=_gap_of_means(onsets, _width(told), {"climatology": _width(simple)}, _width(true), runs),
        ),
    ]
    reach = np.minimum(onsets.reach, CAP) * 100.0

    def error(quantiles: Floats) -> Floats:
        found: Floats = np.abs(np.minimum(quantiles[:, MIDDLE], CAP) * 100.0 - reach)
        return found

    results.append(
        row(
            "reach: mean error of its median (both cut at 16 %)",
            measured_mean(onsets, error(told), runs),
            "points",
            better=Better.LOWER,
            baselines={
                "climatology": _mean(error(simple)),
                "structure": _mean(error(onsets.quantiles["structure"])),
            },
            oracle=_mean(error(true)),
            prototype=2.6,
            gap=_gap_of_means(
                onsets,
                error(told),
                {"climatology": error(simple), "structure": error(onsets.quantiles["structure"])},
                error(true),
                runs,
            ),
        )
    )
    return results


def _of_chance(onsets: Onsets, runs: Runs) -> list[Result]:
    came = (onsets.reach >= MOVES[FIVE]).astype(np.float64)
    told = onsets.chance.get("product")
    if told is None:
        return []
    without_map = dict(onsets.seen)
    for name in (f"expert {Expert.OI_DEPTH}", f"expert {Expert.FLOW}"):
        if name in onsets.chance:
            without_map[name] = onsets.chance[name][:, FIVE]
    baselines = {name: _auc_of(values, came) for name, values in without_map.items()}
    if "structure" in onsets.chance:
        baselines["structure"] = _auc_of(onsets.chance["structure"][:, FIVE], came)
    chance = told[:, FIVE]
    kept = np.isfinite(chance)
    measured = bootstrap(
        onsets.blocks[kept],
        lambda drawn: auc(chance[kept][drawn], came[kept][drawn]),
        runs.seed,
        draws=runs.draws,
    )
    oracle = onsets.chance.get("oracle", np.full((onsets.count, 3), np.nan))[:, FIVE]
    more = {"onsets": float(onsets.count), "came": float(came.sum())}
    base = np.full(len(came), came.mean())
    sums = block_sums(onsets.blocks[kept], (chance[kept] - came[kept]) ** 2, (base - came)[kept] ** 2)
    return [
        row(
            "reach: AUC of P(reach >= 5 %) at onsets",
            measured,
            "",
            better=Better.HIGHER,
            target=AUC,
            baselines=baselines,
            oracle=_auc_of(oracle, came),
            prototype=0.90,
            more=more,
            gap=_gap_of_auc(onsets.blocks, came, chance, without_map, oracle, runs),
        ),
        *_as_fitted(onsets, came, base, runs),
        row(
            "reach: Brier skill of P(reach >= 5 %) against how often it came",
            bootstrap_sums(sums, lambda total: skill(total[0], total[1]), runs.seed, draws=runs.draws),
            "",
            better=Better.HIGHER,
            baselines={
                name: 1.0 - _brier_of(values[:, FIVE], came) / brier(base, came)
                for name, values in onsets.chance.items()
                if name.startswith("expert") and np.isfinite(values[:, FIVE]).any()
            },
            oracle=1.0 - _brier_of(oracle, came) / brier(base, came),
        ),
    ]


def _as_fitted(onsets: Onsets, came: Floats, base: Floats, runs: Runs) -> list[Result]:
    """The same at the rates of made-up markets: what is lost in them by telling what is usual in life."""
    told = onsets.chance.get(f"expert {AS_FITTED}", np.zeros((0, 0)))
    if not np.isfinite(told).any():
        return []
    chance = told[:, FIVE]
    kept = np.isfinite(chance)
    known, truth = chance[kept], came[kept]
    sums = block_sums(onsets.blocks[kept], (known - truth) ** 2, (base[kept] - truth) ** 2)
    return [
        row(
            f"reach, {AS_FITTED}: AUC of P(reach >= 5 %) at onsets",
            bootstrap(
                np.unique(onsets.blocks[kept], return_inverse=True)[1],
                lambda drawn: auc(known[drawn], truth[drawn]),
                runs.seed,
                draws=runs.draws,
            ),
            "",
            better=Better.HIGHER,
        ),
        row(
            f"reach, {AS_FITTED}: Brier skill of P(reach >= 5 %) against how often it came",
            bootstrap_sums(sums, lambda total: skill(total[0], total[1]), runs.seed, draws=runs.draws),
            "",
            better=Better.HIGHER,
        ),
    ]


def _by_world(onsets: Onsets, runs: Runs) -> list[Result]:
    results, worst = [], None
    came = (onsets.reach >= MOVES[FIVE]).astype(np.float64)
    for world in runs.worlds:
        here = onsets.worlds == world
        told = onsets.quantiles["product"][here]
        more = {
            "onsets": float(here.sum()),
            "came": float(came[here].sum()),
            "band covers": _mean(_inside(told, onsets.reach[here])),
            "width": _mean(_width(told)),
        }
        if min(came[here].sum(), (1.0 - came[here]).sum()) < CAME_MIN or "product" not in onsets.chance:
            continue
        chance = onsets.chance["product"][here, FIVE]
        kept = np.isfinite(chance)
        truth, score, blocks = came[here][kept], chance[kept], onsets.blocks[here][kept]
        measured = bootstrap(
            np.unique(blocks, return_inverse=True)[1],
            lambda drawn, truth=truth, score=score: auc(score[drawn], truth[drawn]),  # type: ignore[misc]
            runs.seed,
            draws=runs.draws,
        )
        made = row(
            f"reach, {world}: AUC of P(reach >= 5 %)",
            measured,
            "",
            better=Better.HIGHER,
            baselines={name: _auc_of(values[here], came[here]) for name, values in onsets.seen.items()},
            oracle=_auc_of(onsets.chance["oracle"][here, FIVE], came[here]),
            more=more,
            gap=_gap_of_auc(
                np.unique(onsets.blocks[here], return_inverse=True)[1],
                came[here],
                onsets.chance["product"][here, FIVE],
                {name: values[here] for name, values in onsets.seen.items()},
                onsets.chance["oracle"][here, FIVE],
                runs,
            ),
        )
        results.append(made)
        if worst is None or made.value < worst[1].value:
            worst = (world, made)
    if worst is not None:
        results.append(
            row(
                f"reach: AUC in the worst world ({worst[0]})",
                Measured(worst[1].value, worst[1].low, worst[1].high),
                "",
                better=Better.HIGHER,
                target=AUC_WORST,
                baselines={name: worst[1].baselines[name] for name in OBSERVED if name in worst[1].baselines},
                oracle=worst[1].baselines.get(ORACLE),
                prototype=0.77,
                gap=worst[1].gap,
            )
        )
    return results


def _by_direction(onsets: Onsets, runs: Runs) -> list[Result]:
    results = []
    came = (onsets.reach >= MOVES[FIVE]).astype(np.float64)
    for direction in Direction:
        here = onsets.directions == direction.value
        if "product" not in onsets.chance or min(came[here].sum(), (1.0 - came[here]).sum()) < CAME_MIN:
            continue
        chance = onsets.chance["product"][here, FIVE]
        kept = np.isfinite(chance)
        truth, score = came[here][kept], chance[kept]
        results.append(
            row(
                f"reach, {direction.value}: AUC of P(reach >= 5 %)",
                bootstrap(
                    np.unique(onsets.blocks[here][kept], return_inverse=True)[1],
                    lambda drawn, truth=truth, score=score: auc(score[drawn], truth[drawn]),  # type: ignore[misc]
                    runs.seed,
                    draws=runs.draws,
                ),
                "",
                better=Better.HIGHER,
                oracle=_auc_of(onsets.chance["oracle"][here, FIVE], came[here]),
                more={
                    "onsets": float(here.sum()),
                    "came": float(came[here].sum()),
                    "band covers": _mean(_inside(onsets.quantiles["product"][here], onsets.reach[here])),
                },
            )
        )
    return results


def measured_mean(onsets: Onsets, values: Floats, runs: Runs) -> Measured:
    """Mean of the known values, with its interval over episodes."""
    kept = np.isfinite(values)
    sums = block_sums(onsets.blocks[kept], values[kept], np.ones(int(kept.sum())))
    return bootstrap_sums(
        sums,
        lambda total: total[0] / total[1] if total[1] else float("nan"),
        runs.seed,
        draws=runs.draws,
    )


def _gap_of_means(
    onsets: Onsets, told: Floats, others: Mapping[str, Floats], true: Floats, runs: Runs
) -> Gap | None:
    """Between means over onsets that should be low."""
    return gap_of(
        _mean_sampled(onsets, told),
        {name: _mean_sampled(onsets, values) for name, values in others.items()},
        _mean_sampled(onsets, true),
        runs,
        better=Better.LOWER,
    )


def _mean_sampled(onsets: Onsets, values: Floats) -> Sampled:
    return Sampled(onsets.blocks, lambda drawn: _mean(values[drawn]))


def _gap_of_auc(
    blocks: NDArray[np.int64],
    came: Floats,
    told: Floats,
    others: Mapping[str, Floats],
    true: Floats,
    runs: Runs,
) -> Gap | None:
    def sampled(values: Floats) -> Sampled:
        return Sampled(blocks, lambda drawn: _auc_of(values[drawn], came[drawn]))

    return gap_of(
        sampled(told),
        {name: sampled(values) for name, values in others.items()},
        sampled(true),
        runs,
        better=Better.HIGHER,
    )


def _inside(quantiles: Floats, reach: Floats) -> Floats:
    inside = (quantiles[:, LOW] <= reach) & (reach <= quantiles[:, HIGH])
    return np.where(np.isfinite(quantiles[:, LOW]), inside.astype(np.float64), np.nan)


def _width(quantiles: Floats) -> Floats:
    found: Floats = (quantiles[:, HIGH] - quantiles[:, LOW]) * 100.0
    return found


def _climatology(reach: Floats, count: int) -> Floats:
    """The quantiles of other episodes' reaches, whatever is seen."""
    return np.tile(np.quantile(reach, QUANTILES), (count, 1))


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _auc_of(values: Floats, came: Floats) -> float:
    kept = np.isfinite(values)
    return auc(values[kept], came[kept])


def _brier_of(values: Floats, came: Floats) -> float:
    kept = np.isfinite(values)
    return brier(values[kept], came[kept]) if kept.any() else float("nan")
