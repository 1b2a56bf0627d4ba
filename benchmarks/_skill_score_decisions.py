"""Scores of the decision test: who is liquidated under each rule at the same mean leverage, world by world.

Every rule makes a danger of what it sees and allows ``1 / danger ** power``; the power (0.5, 1 or 2) is chosen for each
rule alike, on other episodes, and so is which of the product's own dangers is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks._frame import Better, Result
from benchmarks._skill_decisions import ROWS_ENTRY, Held, Outcome, bearable_leverage, outcomes
from benchmarks._skill_metrics import block_sums, bootstrap_sums, hazard_by
from benchmarks._skill_observables import held
from benchmarks._skill_rows import Runs, Sampled, episode_numbers, gap_of, row
from benchmarks._skill_tables import MarketRun, Table
from guard.forecasts import QUANTILES, Direction

Floats = NDArray[np.float64]
Danger = Callable[[MarketRun, Direction, NDArray[np.int64]], Floats]

POWERS = (0.5, 1.0, 2.0)
FEWER = 0.80
PROTOTYPE_FEWER = 0.59
"""Of the base world; the others 0.68 and 0.67."""
CONSTANT, RATIO = "constant", "OI / depth"
FALL, FALL_ROWS = 0.02, 720
"""-2 % in 5 minutes: 1x for the hour after."""
RADAR = "wickra-radar"
LOW_DANGER = 1e-4


def _chance_of_ten(table: Table, direction: Direction) -> Floats:
    """P(10 % within 10 minutes): at 10x that is the end."""
    return np.maximum(hazard_by(table.of("hazard", direction), 600.0, 0.10), LOW_DANGER)


def _thin(make: Callable[[MarketRun, Direction], Floats]) -> Danger:
    """A danger that is told at thin readings: at an entry, the latest."""

    def danger(run: MarketRun, direction: Direction, rows: NDArray[np.int64]) -> Floats:
        return held(make(run, direction))[np.searchsorted(run.thin, rows)]

    return danger


def _of_table(which: str, make: Callable[[Table, Direction], Floats]) -> Danger:
    return _thin(lambda run, direction: make(getattr(run, which), direction))


def _reach_90(table: Table, direction: Direction) -> Floats:
    found: Floats = table.of("quantiles", direction)[:, QUANTILES.index(0.90)] + 0.01
    return found


PRODUCT: Mapping[str, Callable[[Table, Direction], Floats]] = {
    "danger": lambda table, direction: table.of("sizing", direction),
    "hazard of 10 %": _chance_of_ten,
    "Ereach": lambda table, direction: table.of("ereach", direction) + 0.01,
    "mean reach": lambda table, direction: table.of("expected", direction) + 0.01,
    "reach, 90 of 100": _reach_90,
}
"""The product's dangers; one is chosen on other episodes. The oracle uses the same one, on the true map."""


def _constant(run: MarketRun, direction: Direction, rows: NDArray[np.int64]) -> Floats:  # noqa: ARG001
    return np.ones(len(rows))


def _fallen(run: MarketRun, direction: Direction, rows: NDArray[np.int64]) -> Floats:
    dropped = np.nan_to_num(run.seen[direction]["drop, 5 min"]) >= FALL
    since = np.arange(len(dropped)) - np.maximum.accumulate(
        np.where(dropped, np.arange(len(dropped)), -(10**9))
    )
    return np.where(since <= FALL_ROWS, 1e9, 1.0)[rows]


def _seen(name: str) -> Danger:
    return lambda run, direction, rows: held(run.seen[direction][name])[rows]


def _above_zero(name: str) -> Danger:
    """Of a score from 0 to 1."""
    return lambda run, direction, rows: 0.1 + held(run.seen[direction][name])[rows]


BASELINES: Mapping[str, Danger] = {
    CONSTANT: _constant,
    "volatility": lambda run, direction, rows: run.volatility[rows],  # noqa: ARG005
    "-2 % in 5 min": _fallen,
    RATIO: _seen(RATIO),
    "Ereach, no map": _of_table(
        "whole", lambda table, direction: table.of("structure_book", direction) + 0.01
    ),
}
UNPOWERED = (CONSTANT, "-2 % in 5 min")


def dangers(names_seen: Sequence[str] = ()) -> dict[str, Danger]:
    """All rules by name: baselines, those of ``seen`` that are named, the product's and the oracle's."""
    found = dict(BASELINES)
    for name in names_seen:
        found[name] = _above_zero(name)
    for name, make in PRODUCT.items():
        found[f"map: {name}"] = _of_table("whole", make)
        found[f"oracle: {name}"] = _of_table("oracle", make)
    return found


def hold(runs: Sequence[MarketRun], rules: Mapping[str, Danger]) -> list[Held]:
    """Open the positions: a long and a short in each market."""
    numbers = episode_numbers(runs)
    found = []
    for run, number in zip(runs, numbers, strict=True):
        rows = np.arange(0, len(run.at), ROWS_ENTRY)
        for direction in Direction:
            bearable, known = bearable_leverage(
                run.at, run.mark, run.mark_low, run.mark_high, direction, run.maintenance
            )
            wanted = {}
            for name, danger in rules.items():
                told = danger(run, direction, rows)
                for power in (1.0,) if name in UNPOWERED else POWERS:
                    with np.errstate(divide="ignore", invalid="ignore"):
                        wanted[rule_name(name, power)] = 1.0 / np.maximum(told, 1e-9) ** power
            found.append(Held(int(number), run.world, bearable[rows], known[rows], wanted))
    return found


def rule_name(name: str, power: float) -> str:
    """With its power, for choosing."""
    return f"{name} ** {power:g}"


def score_decisions(runs: Runs, extra: Sequence[str] = ()) -> list[Result]:
    """All figures of the decision test. ``extra`` are names of further scores of ``seen`` to cap by."""
    if not runs.judged:
        return []
    rules = dangers(extra)
    chosen = _choose(hold(runs.chosen_by, rules), rules)
    positions = hold(runs.judged, rules)
    best = min(PRODUCT, key=lambda name: chosen[f"map: {name}"][1])
    used = {name: rule_name(name, power) for name, (power, _) in chosen.items()}
    told = outcomes(positions, list(used.values()))
    by_name = {name: told[used[name]] for name in used}
    results = _rows("decisions", by_name, best, positions, runs, list(range(len(positions))))
    for world in runs.worlds:
        here = [at for at, one in enumerate(positions) if one.world == world]
        results += _rows(f"decisions, {world}", by_name, best, positions, runs, here, is_judged=True)
    for name in PRODUCT:
        results += _variant(name, by_name, positions, runs)
    return results


def _choose(positions: Sequence[Held], rules: Mapping[str, Danger]) -> dict[str, tuple[float, float]]:
    """The power of each rule, and what it lost with it, on the episodes that are chosen by."""
    powers = {name: (1.0,) if name in UNPOWERED else POWERS for name in rules}
    told = outcomes(positions, [rule_name(name, power) for name, each in powers.items() for power in each])
    found = {}
    for name, each in powers.items():
        lost = {power: _loss(told[rule_name(name, power)]) for power in each}
        power = min(lost, key=lambda at: lost[at])
        found[name] = (power, lost[power])
    return found


def _loss(outcome: Outcome) -> float:
    """Positions liquidated; where that is alike, entries."""
    return float(outcome.liquidated.sum() + 1e-3 * outcome.ticks.sum() / max(outcome.entries.sum(), 1.0))


def _rows(
    case: str,
    told: Mapping[str, Outcome],
    best: str,
    positions: Sequence[Held],
    runs: Runs,
    here: Sequence[int],
    *,
    is_judged: bool = False,
) -> list[Result]:
    ours, oracle = told[f"map: {best}"], told[f"oracle: {best}"]
    others = {name: each for name, each in told.items() if not name.startswith(("map: ", "oracle: "))}
    if told[CONSTANT].liquidated[here].sum() == 0.0:
        return []
    names = [CONSTANT, *(name for name in others if name != CONSTANT)]
    columns = np.stack(
        [ours.liquidated, oracle.liquidated, *(others[name].liquidated for name in names)], axis=1
    )[here]
    blocks = np.array([positions[at].episode for at in here])
    sums = np.zeros((int(blocks.max()) + 1, columns.shape[1]))
    np.add.at(sums, blocks, columns)
    total = sums.sum(axis=0)
    place = 2 + names.index(RATIO)
    results = [
        row(
            f"{case}: fewer liquidated than at constant leverage, capped by {best}",
            bootstrap_sums(sums, lambda drawn: _fewer(drawn[0], drawn[2]), runs.seed, draws=runs.draws),
            "ratio",
            better=Better.HIGHER,
            target=FEWER if is_judged else None,
            baselines={name: _fewer(total[2 + at], total[2]) for at, name in enumerate(names) if at},
            oracle=_fewer(total[1], total[2]),
            prototype=PROTOTYPE_FEWER,
            gap=gap_of(
                Sampled.of_sums(sums, lambda drawn: _fewer(drawn[0], drawn[2])),
                {
                    name: Sampled.of_sums(sums[:, [2 + at, 2]], lambda drawn: _fewer(drawn[0], drawn[1]))
                    for at, name in enumerate(names)
                    if at
                },
                Sampled.of_sums(sums, lambda drawn: _fewer(drawn[1], drawn[2])),
                runs,
                better=Better.HIGHER,
            ),
            more={f"liquidated, {name}": float(total[2 + at]) for at, name in enumerate(names)}
            | {"liquidated, map": float(total[0]), "positions": float(len(here))},
        ),
        row(
            f"{case}: liquidated by OI / depth less by {best}, of 100 positions",
            bootstrap_sums(
                np.column_stack((sums, np.bincount(blocks, minlength=len(sums)).astype(np.float64))),
                lambda drawn: 100.0 * (drawn[place] - drawn[0]) / max(drawn[-1], 1.0),
                runs.seed,
                draws=runs.draws,
            ),
            "of 100",
            better=Better.HIGHER,
            target=0.0 if is_judged else None,
        ),
    ]
    results.append(
        _entries_row(case, {**others, "oracle": oracle, "map": ours}, best, (blocks, here, len(sums)), runs)
    )
    return results


def _entries_row(
    case: str,
    told: Mapping[str, Outcome],
    best: str,
    places: tuple[NDArray[np.int64], Sequence[int], int],
    runs: Runs,
) -> Result:
    """Entries that end in liquidation; ``places`` are blocks, positions that are judged, and how many blocks."""
    blocks, here, count = places
    ticks = {
        name: float(1e4 * each.ticks[here].sum() / max(each.entries[here].sum(), 1.0))
        for name, each in told.items()
    }
    return row(
        f"{case}: liquidating entries of 10,000, capped by {best}",
        bootstrap_sums(
            _tick_sums(told["map"], blocks, here, count),
            lambda drawn: 1e4 * drawn[0] / max(drawn[1], 1.0),
            runs.seed,
            draws=runs.draws,
        ),
        "of 10,000",
        better=Better.LOWER,
        baselines={name: each for name, each in ticks.items() if name not in {"oracle", "map"}},
        oracle=ticks["oracle"],
        more={"leverage": told["map"].leverage_mean},
    )


def _tick_sums(outcome: Outcome, blocks: NDArray[np.int64], here: Sequence[int], count: int) -> Floats:
    return np.stack(
        [np.bincount(blocks, each[here], count) for each in (outcome.ticks, outcome.entries)], axis=1
    )


def _variant(name: str, told: Mapping[str, Outcome], positions: Sequence[Held], runs: Runs) -> list[Result]:
    """Each of the product's dangers, chosen or not: so many were tried."""
    blocks = np.array([one.episode for one in positions])
    ours, constant = told[f"map: {name}"].liquidated, told[CONSTANT].liquidated
    if constant.sum() == 0.0:
        return []
    sums = block_sums(blocks, ours, constant)
    return [
        row(
            f"decisions, tried: fewer liquidated, capped by {name}",
            bootstrap_sums(sums, lambda drawn: _fewer(drawn[0], drawn[1]), runs.seed, draws=runs.draws),
            "ratio",
            better=Better.HIGHER,
            oracle=_fewer(told[f"oracle: {name}"].liquidated.sum(), constant.sum()),
        )
    ]


def _fewer(lost: float, constant: float) -> float:
    return float(1.0 - lost / constant) if constant else float("nan")
