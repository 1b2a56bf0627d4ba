"""The figures of guarded accounts beside those without a guard, with intervals from drawing whole episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks._frame import Better, Result
from benchmarks._policies_accounts import Ran
from benchmarks._policies_episode import ALONE, SCALES, EpisodeRan
from benchmarks._policies_real import WORLD as REAL

NAME = "policies"
GUARDED = "guarded"
AS_IS = 1.0
MONTH_H = 30.0 * 24.0
BPS = 10_000.0
LIQUIDATIONS_FEWER = 0.80
COST_BPS_MONTH = 10.0
CHANGES_HOUR = 2.0
CUTS_DAY = 0.2
CALM = "calm"
Floats = NDArray[np.float64]
Of = Callable[[Sequence[Ran]], float]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Figures with intervals: whole episodes are drawn with replacement."""

    seed: int
    draws: int

    def ratio(self, above: Floats, below: Floats) -> tuple[float, float, float]:
        """Sum of ``above`` over sum of ``below``; NaN where that is 0."""
        generator = np.random.default_rng(self.seed)
        found = []
        for _ in range(self.draws):
            drawn = generator.integers(0, len(above), len(above))
            found.append(_over(above[drawn].sum(), below[drawn].sum()))
        low, high = np.nanquantile(found, (0.1, 0.9)) if np.isfinite(found).any() else (np.nan, np.nan)
        return _over(above.sum(), below.sum()), float(low), float(high)


def _over(above: float, below: float) -> float:
    return float(above / below) if below else float("nan")


def rows_of(ran: Sequence[EpisodeRan], drawn: Drawn) -> list[Result]:
    """All figures: of each world, and of all."""
    results: list[Result] = []
    worlds = tuple(dict.fromkeys(each.world for each in ran if each.world != REAL))
    for world in (*worlds, "all worlds"):
        chosen = [each for each in ran if world in {each.world, "all worlds"} and each.world != REAL]
        results += _crashes(world, [each for each in chosen if each.scenario != CALM], drawn)
    calm = [each for each in ran if each.scenario == CALM]
    for name, found in (
        ("calm, simulated", [each for each in calm if each.world != REAL]),
        ("calm, real days", [each for each in calm if each.world == REAL]),
    ):
        if found:
            results += _calm(name, found, drawn)
    return [result for result in results if np.isfinite(result.value)]


def exposure(runs: Sequence[Ran]) -> float:
    """Mean over time and accounts of notional over the equity that an account began with, while it lives."""
    return _over(sum(run.notional_s for run in runs), sum(run.lived_s for run in runs))


def scale_at(ran: Sequence[EpisodeRan], arm: str, wanted: float) -> float:
    """By what an arm's leverage is multiplied to be ``wanted`` on the mean; the nearest that was tried, if none is."""
    found = [exposure([run for each in ran for run in each.others[arm][scale]]) for scale in SCALES]
    return float(np.interp(wanted, np.maximum.accumulate(found), SCALES))


def at_scale(each: EpisodeRan, arm: str, scale: float, figure: Of) -> float:
    """A figure of an arm of an episode between two scales that were run."""
    above = min(int(np.searchsorted(SCALES, scale)), len(SCALES) - 1)
    below = max(above - 1, 0)
    low, high = SCALES[below], SCALES[above]
    share = 1.0 if high <= low else min(max((scale - low) / (high - low), 0.0), 1.0)
    values = [figure(each.others[arm][at]) for at in (low, high)]
    return (1.0 - share) * values[0] + share * values[1]


def _gone(runs: Sequence[Ran]) -> float:
    return float(sum(run.liquidated_s is not None for run in runs))


def _crashes(world: str, ran: Sequence[EpisodeRan], drawn: Drawn) -> list[Result]:
    if not ran:
        return []
    wanted = exposure([run for each in ran for run in each.guarded])
    arms = tuple(ran[0].others)
    scales = {arm: scale_at(ran, arm, wanted) for arm in arms}
    accounts = np.array([float(len(each.guarded)) for each in ran])
    gone = np.array([_gone(each.guarded) for each in ran])
    others = {arm: np.array([at_scale(each, arm, scales[arm], _gone) for each in ran]) for arm in arms}
    as_is = {arm: np.array([_gone(each.others[arm][AS_IS]) for each in ran]) for arm in arms}
    fewer, low, high = drawn.ratio(gone, others[ALONE])
    found = [
        _row(
            f"{world}: fewer liquidated, at equal mean leverage",
            (1.0 - fewer, 1.0 - high, 1.0 - low),
            "share",
            better=Better.HIGHER,
            target=LIQUIDATIONS_FEWER,
            baselines={
                **{arm: 1.0 - _over(others[arm].sum(), others[ALONE].sum()) for arm in arms if arm != ALONE},
                "at own leverage": 1.0 - _over(gone.sum(), as_is[ALONE].sum()),
            },
        ),
        _row(
            f"{world}: liquidated accounts",
            drawn.ratio(100.0 * gone, accounts),
            "%",
            baselines={
                **{f"{arm} matched": 100.0 * _over(others[arm].sum(), accounts.sum()) for arm in arms},
                **{arm: 100.0 * _over(as_is[arm].sum(), accounts.sum()) for arm in arms},
            },
        ),
        _row(
            f"{world}: mean leverage",
            (wanted, wanted, wanted),
            "x equity at the start",
            better=Better.HIGHER,
            baselines={
                arm: exposure([run for each in ran for run in each.others[arm][AS_IS]]) for arm in arms
            }
            | {f"{arm} scaled by": scales[arm] for arm in arms},
        ),
    ]
    figures: Mapping[str, Of] = {
        "maximum drawdown": lambda runs: sum(run.drawdown for run in runs),
        "realised loss": lambda runs: sum(max(-run.realised, 0.0) for run in runs),
        "lost to liquidations": lambda runs: sum(run.lost for run in runs),
        "equity at the end": lambda runs: sum(run.equity for run in runs),
    }
    for name, figure in figures.items():
        own = np.array([figure(each.guarded) for each in ran])
        found.append(
            _row(
                f"{world}: {name}",
                drawn.ratio(100.0 * own, accounts),
                "% of equity at the start" if name != "maximum drawdown" else "% of its peak",
                better=Better.HIGHER if "end" in name else Better.LOWER,
                baselines={
                    f"{arm} matched": 100.0
                    * _over(sum(at_scale(each, arm, scales[arm], figure) for each in ran), accounts.sum())
                    for arm in arms
                },
            )
        )
    days = np.array([len(each.guarded) * each.hours / 24.0 for each in ran])
    said = np.array([float(sum(run.commands for run in each.guarded)) for each in ran])
    found.append(_row(f"{world}: commands an account and day", drawn.ratio(said, days), "a day"))
    return found


def _calm(name: str, ran: Sequence[EpisodeRan], drawn: Drawn) -> list[Result]:
    months = np.array([len(each.guarded) * each.hours / MONTH_H for each in ran])
    alone = [each.others[ALONE][AS_IS] for each in ran]
    less = np.array(
        [
            sum(one.equity - own.equity for own, one in zip(each.guarded, others, strict=True))
            for each, others in zip(ran, alone, strict=True)
        ]
    )
    paid = np.array(
        [
            sum(
                own.fees + own.slippage - one.fees - one.slippage
                for own, one in zip(each.guarded, others, strict=True)
            )
            for each, others in zip(ran, alone, strict=True)
        ]
    )
    held = np.array([len(each.guarded) * exposure(others) for each, others in zip(ran, alone, strict=True)])
    held_months = held * np.array([each.hours / MONTH_H for each in ran])
    hours = np.array([len(each.guarded) * each.hours for each in ran])
    cuts = np.array([float(sum(run.cuts for run in each.guarded)) for each in ran])
    pauses = np.array([float(sum(run.pauses for run in each.guarded)) for each in ran])
    changes = np.array([float(sum(run.changes for run in each.guarded)) for each in ran])
    said = np.array([float(sum(run.commands for run in each.guarded)) for each in ran])
    per_month = BPS * less
    return [
        _row(
            f"{name}: cost, of equity",
            drawn.ratio(per_month, months),
            "bps a month",
            target=COST_BPS_MONTH,
            baselines={"fees and slippage of it": _over(BPS * paid.sum(), months.sum())},
        ),
        _row(
            f"{name}: cost, of notional",
            drawn.ratio(per_month, held_months),
            "bps a month",
            baselines={"fees and slippage of it": _over(BPS * paid.sum(), held_months.sum())},
        ),
        _row(f"{name}: state changes", drawn.ratio(changes, hours), "an hour", target=CHANGES_HOUR),
        _row(
            f"{name}: changes of regime, a market",
            drawn.ratio(
                np.array([float(each.regimes) for each in ran]),
                np.array([each.markets * each.hours for each in ran]),
            ),
            "an hour",
        ),
        _row(f"{name}: cuts, an account", drawn.ratio(cuts, hours / 24.0), "a day", target=CUTS_DAY),
        _row(f"{name}: pauses, an account", drawn.ratio(pauses, hours / 24.0), "a day"),
        _row(f"{name}: commands, an account", drawn.ratio(said, hours / 24.0), "a day"),
        _row(
            f"{name}: liquidated",
            drawn.ratio(
                np.array([100.0 * _gone(each.guarded) for each in ran]),
                np.array([float(len(each.guarded)) for each in ran]),
            ),
            "%",
            baselines={ALONE: 100.0 * _over(sum(map(_gone, alone)), sum(map(len, alone)))},
        ),
    ]


def _row(
    case: str,
    measured: tuple[float, float, float],
    unit: str,
    *,
    better: Better = Better.LOWER,
    target: float | None = None,
    baselines: Mapping[str, float] | None = None,
) -> Result:
    value, low, high = measured
    met = None
    if target is not None:
        met = bool(value <= target if better is Better.LOWER else value >= target)
    return Result(
        name=NAME,
        case=case,
        value=value,
        unit=unit,
        low=low,
        high=high,
        better=better,
        target=target,
        met=met,
        baselines={name: float(each) for name, each in (baselines or {}).items() if np.isfinite(each)},
    )
