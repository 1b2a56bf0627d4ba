"""Scores of alarms: recall and lead at one false alarm a market and day, thresholds chosen on other episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks._frame import Better, Result
from benchmarks._skill_alarms import FALSE_A_DAY, Judged, Watched, judge, labels_of, threshold_of
from benchmarks._skill_metrics import Measured, average_precision, bootstrap_sums, hazard_by
from benchmarks._skill_observables import SCORES, held
from benchmarks._skill_rows import Runs, Sampled, episode_numbers, gap_of, row
from benchmarks._skill_tables import MarketRun
from guard.forecasts import Direction
from guard.skill.outcomes import alarm_events

Floats = NDArray[np.float64]
Scorer = Callable[[MarketRun, Direction], Floats]

RECALL, EARLY = 0.85, 0.65
PROTOTYPE = {"recall": 0.66, "early": 0.41, "precision": 0.296}
BUDGET = FALSE_A_DAY / len(Direction)
"""False alarms a day of each direction: both of a market share one."""
ROWS_PRECISION = 6
"""Average precision is over every so manieth reading."""


def _hazard(horizon_s: int, move: float) -> Scorer:
    return lambda run, direction: hazard_by(run.often.of("hazard", direction), horizon_s, move)


def _oracle(horizon_s: int, move: float) -> Scorer:
    def score(run: MarketRun, direction: Direction) -> Floats:
        """What was said last: the oracle is asked each half a minute."""
        told = np.full(len(run.at), np.nan)
        told[run.thin] = hazard_by(run.oracle.of("hazard", direction), horizon_s, move)
        return np.where(np.isfinite(run.price), held(told), np.nan)

    return score


def _seen(name: str) -> Scorer:
    return lambda run, direction: run.seen[direction][name]


PRODUCT: dict[str, tuple[int, float]] = {
    "P(5 %) in 5 min": (300, 0.05),
    "P(5 %) in 15 min": (900, 0.05),
    "P(5 %) in 45 min": (2700, 0.05),
    "P(2 %) in 5 min": (300, 0.02),
}
"""What of the product is alarmed by: one of these, chosen on other episodes."""


def score_alarms(runs: Runs, extra: Sequence[str] = (), simple: Sequence[str] = SCORES) -> list[Result]:
    """All figures of alarms, both directions together and apart.

    ``simple`` and ``extra`` are names of scores of ``seen`` that are alarmed by beside the product.
    """
    if not runs.judged:
        return []
    chosen = {name: _best(runs, _hazard(*key)) for name, key in PRODUCT.items()}
    name = max(chosen, key=lambda each: (chosen[each][1], chosen[each][2]))
    threshold = chosen[name][0]
    told = judge(watch(runs.judged, _hazard(*PRODUCT[name])), threshold)
    oracle_threshold = threshold_of(watch(runs.chosen_by, _oracle(*PRODUCT[name])), BUDGET)
    oracle = _sums(judge(watch(runs.judged, _oracle(*PRODUCT[name])), oracle_threshold))
    others: dict[str, Floats] = {}
    precisions: dict[str, float] = {}
    for other in (*simple, *extra):
        watched = watch(runs.judged, _seen(other))
        limit = threshold_of(watch(runs.chosen_by, _seen(other)), BUDGET)
        others[other] = _sums(judge(watched, limit))
        precisions[other] = precision_of(watched)
    sums = _sums(told)
    results = _rows(f"alarms by {name}", sums, runs, others=others, oracle=oracle, is_judged=True)
    watched = watch(runs.judged, _hazard(*PRODUCT[name]))
    precision = precision_of(watched)
    results.append(
        row(
            f"alarms by {name}: average precision",
            Measured(precision, precision, precision),
            "",
            better=Better.HIGHER,
            baselines=precisions,
            oracle=precision_of(watch(runs.judged, _oracle(*PRODUCT[name]))),
            prototype=PROTOTYPE["precision"],
        )
    )
    for direction in Direction:
        part = judge(watch(runs.judged, _hazard(*PRODUCT[name]), (direction,)), threshold)
        results += _rows(f"alarms {direction.value}", _sums(part), runs)
    for world in runs.worlds:
        here = [run for run in runs.judged if run.world == world]
        results += _rows(
            f"alarms, {world}", _sums(judge(watch(here, _hazard(*PRODUCT[name])), threshold)), runs
        )
    return results


def watch(
    runs: Sequence[MarketRun], score: Scorer, directions: Sequence[Direction] = tuple(Direction)
) -> list[Watched]:
    """Put scores beside events."""
    numbers = episode_numbers(runs)
    return [
        Watched(
            int(number),
            run.at,
            score(run, direction),
            run.at[alarm_events(run.at, run.price, direction)],
        )
        for run, number in zip(runs, numbers, strict=True)
        for direction in directions
    ]


def precision_of(watched: Sequence[Watched]) -> float:
    """Average precision of a score for events within the time that alarms stand."""
    scores, truths = [], []
    for one in watched:
        truth, asked = labels_of(one)
        asked = asked.copy()
        asked[np.arange(len(asked)) % ROWS_PRECISION != 0] = False
        scores.append(one.score[asked])
        truths.append(truth[asked])
    return average_precision(np.concatenate(scores), np.concatenate(truths)) if scores else float("nan")


def _best(runs: Runs, score: Scorer) -> tuple[float, float, float]:
    """Threshold, recall and early recall on the episodes that are chosen by."""
    watched = watch(runs.chosen_by, score)
    threshold = threshold_of(watched, BUDGET)
    sums = _sums(judge(watched, threshold)).sum(axis=0)
    return threshold, _share(sums[1], sums[0]), _share(sums[2], sums[0])


def _sums(judged: Sequence[Judged]) -> Floats:
    """By episode: events, found, early, true, false, days of a market (a direction counts for half of one)."""
    count = max((one.episode for one in judged), default=-1) + 1
    sums = np.zeros((count, 6))
    for one in judged:
        sums[one.episode] += (one.events, one.found, one.early, one.true, one.false, one.days)
    return sums


def _rows(
    case: str,
    sums: Floats,
    runs: Runs,
    *,
    others: dict[str, Floats] | None = None,
    oracle: Floats | None = None,
    is_judged: bool = False,
) -> list[Result]:
    directions = 2.0 if "down" not in case and "up" not in case.split() else 1.0
    total = sums.sum(axis=0)
    if len(sums) == 0 or total[0] == 0.0:
        return []
    days = total[5] / directions
    more = {
        "events": float(total[0]),
        "false a market and day": float(total[4] * directions / total[5]),
        "precision": _share(total[3], total[3] + total[4]),
        "market days": float(days),
    }
    found = []
    for what, at, target, key in (
        ("recall", 1, RECALL, "recall"),
        ("found a minute before or more", 2, EARLY, "early"),
    ):
        measured = bootstrap_sums(sums, _share_at(at), runs.seed, draws=runs.draws)
        gap = None
        if oracle is not None and others:
            gap = gap_of(
                Sampled.of_sums(sums, _share_at(at)),
                {name: Sampled.of_sums(each, _share_at(at)) for name, each in others.items()},
                Sampled.of_sums(oracle, _share_at(at)),
                runs,
                better=Better.HIGHER,
            )
        found.append(
            row(
                f"{case}: {what}, at 1 false alarm a market and day",
                measured,
                "ratio",
                better=Better.HIGHER,
                target=target if is_judged else None,
                baselines={name: _share_at(at)(each.sum(axis=0)) for name, each in (others or {}).items()},
                oracle=None if oracle is None else _share_at(at)(oracle.sum(axis=0)),
                prototype=PROTOTYPE[key] if is_judged else None,
                more=more if at == 1 or not is_judged else None,
                gap=gap,
            )
        )
    return found


def _share_at(at: int) -> Callable[[Floats], float]:
    return lambda drawn: _share(drawn[at], drawn[0])


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
