"""Made-up markets beside published ones: anchors of 10 October 2025, what cascades and what does not, stylised facts.

Runs episodes of the validation split, by which one draft of the worlds is preferred to another: what they give is no
judgement of them from outside (``--split test`` is kept for that). ``--mode order`` (usual) runs each order by order;
``--mode coarse``, and ``--quick``, in steps of five seconds with depth curves, some hundred times faster.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from adapters.simulation.worlds.anchors import FACTS, Figure
from adapters.simulation.worlds.measures import CASCADE
from adapters.simulation.worlds.ranges import VENUES
from adapters.simulation.worlds.report import (
    Row,
    anchor_table,
    cascades,
    depth_table,
    fact_table,
    figure_text,
    rows_of,
)
from adapters.simulation.worlds.seeds import Split
from adapters.simulation.worlds.stylised import Collected, depth_by_z, facts_of
from adapters.simulation.worlds.tag import stamp
from adapters.simulation.worlds.variants import WORLDS
from benchmarks._calibration_episodes import Done, Mode, run_all, tasks_of
from benchmarks._calibration_leverage import (
    add_rows,
    departure_results,
    departure_table,
    excess_table,
    leverage_results,
    pairs_of,
    without_leverage,
)
from benchmarks._frame import Better, Options, Result, main, quantile, result_of

NAME = "simulator_calibration"
FAMILY = "october-2025"
SEEDS = 60
"""Of the family; ten of each world. Others as many as their share."""
SHARES = {"fall": 0.3, "squeeze": 0.1, "venue-failure": 0.1}
CALM_DAYS = 1.0
CALM_COUNT = 2
CALM_VENUES = ("binanceusdm",)
QUICK = 12
WITHOUT = 12
WITHOUT_QUICK = 6
"""So many of the family's first seeds are run a second time, without leverage: one or two of each world."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """This benchmark's own options; without ``venues`` all."""

    mode: Mode = Mode.ORDER
    seeds: int | None = None
    split: Split = Split.VALIDATION
    venues: tuple[str, ...] | None = None


def measure(options: Options, asked: Asked) -> list[Result]:
    """Run all scenarios, print the tables, give the figures."""
    mode = Mode.COARSE if options.quick else asked.mode
    seeds, split = asked.seeds, asked.split
    count = seeds or (QUICK if options.quick else SEEDS)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(stamp())
    console.print(f"{mode} mode, {count} seeds of the {split} split from number {options.seed} on")
    if options.quick:
        console.print("quick: coarse mode, because an episode order by order takes a minute of a core")
    if asked.venues is not None:
        console.print(f"venues: {', '.join(asked.venues)}")

    def run(scenario: str, episodes: int) -> list[Done]:
        tasks = tasks_of(scenario, episodes, mode, split, first=options.seed, venues=asked.venues)
        return run_all(tasks, scenario)

    runs = {FAMILY: run(FAMILY, count)}
    for scenario, share in SHARES.items():
        runs[scenario] = run(scenario, max(len(WORLDS), round(count * share)))
    calm = run_all(
        tasks_of(
            "calm",
            CALM_COUNT,
            mode,
            split,
            first=options.seed,
            venues=CALM_VENUES,
            duration_s=CALM_DAYS * 86_400.0,
        ),
        "calm",
    )
    again = [one.task for one in runs[FAMILY][: WITHOUT_QUICK if options.quick else WITHOUT]]
    pairs = pairs_of(runs[FAMILY], run_all(without_leverage(again), "without leverage"))
    family = [one.figures for one in runs[FAMILY]]
    rows = rows_of(family)
    anchors = anchor_table(rows, f"{FAMILY}: {len(family)} seeds, {len(WORLDS)} worlds in turn, {mode} mode")
    add_rows(anchors, pairs)
    console.print(anchors)
    console.print(f"without leverage and of value alone: the first {len(pairs)} of these seeds")
    console.print(excess_table(pairs))
    console.print(world_table(runs[FAMILY]))
    console.print(cascade_table(runs))
    console.print(departure_table(runs | {"calm": calm}))
    collected = pooled([*calm, *(one for done in runs.values() for one in done)])
    facts = facts_of(pooled(calm)) | {
        name: value
        for name, value in facts_of(collected).items()
        if not name.startswith(("kurt", "tail", "mem"))
    }
    console.print(fact_table(facts))
    console.print(depth_table(depth_by_z(collected)))
    return [
        *anchor_results(rows),
        *leverage_results(NAME, FAMILY, pairs),
        *cascade_results(runs),
        *departure_results(NAME, runs | {"calm": calm}),
        *fact_results(facts),
        *cost_results(runs),
    ]


def pooled(runs: Sequence[Done]) -> Collected:
    """Put together what episodes collected."""
    whole = Collected()
    for done in runs:
        whole.add(done.collected)
    return whole


def world_table(runs: Sequence[Done]) -> Table:
    """Medians of each world, so that it can be seen how they disagree."""
    table = Table(title="medians by world", title_justify="left")
    shown = (
        Figure.DEPTH_LOSS_1PCT,
        Figure.SPREAD_BPS_SMALL,
        Figure.ROUND_TRIP_BPS_SMALL,
        Figure.OPEN_INTEREST_LOSS_SMALL,
        Figure.FALL_SMALL,
        Figure.FALL_BTC,
        Figure.LONGS_SHARE,
        Figure.OVERSHOOT_MAX,
    )
    table.add_column("world")
    for figure in shown:
        table.add_column(figure.value.replace("_", " "), justify="right")
    for world in WORLDS:
        of_world = [one.figures for one in runs if one.task.world == world]
        cells = [[one[figure] for one in of_world if figure in one] for figure in shown]
        table.add_row(world, *(figure_text(statistics.median(cell)) if cell else "-" for cell in cells))
    return table


def cascade_table(runs: dict[str, list[Done]]) -> Table:
    """How many episodes cascade, scenario by scenario and world by world."""
    table = Table(
        title=f"episodes in which trading moved a price {CASCADE:.0%} or more beyond value",
        title_justify="left",
    )
    for heading in ("scenario", "cascade", *WORLDS):
        table.add_column(heading, justify="left" if heading == "scenario" else "right")
    for scenario, done in runs.items():
        cells = []
        for world in WORLDS:
            of_world = [one.figures for one in done if one.task.world == world]
            cells.append(f"{cascades(of_world, CASCADE)} of {len(of_world)}")
        table.add_row(scenario, f"{cascades([one.figures for one in done], CASCADE)} of {len(done)}", *cells)
    return table


def anchor_results(rows: Sequence[Row]) -> list[Result]:
    """One figure for each anchor; met says that what sources name most lies within the quartiles."""
    results = []
    for row in rows:
        found = row.quartiles
        if found is None:
            continue
        results.append(
            Result(
                name=NAME,
                case=f"{FAMILY} {row.anchor.figure}",
                value=found[1],
                unit=row.anchor.unit,
                low=quantile(row.values, 0.1),
                high=quantile(row.values, 0.9),
                better=Better.LOWER,
                target=None,
                met=row.is_inside,
                baselines={
                    "quartile_low": found[0],
                    "quartile_high": found[2],
                    "published_low": row.anchor.low,
                    "published": row.anchor.typical,
                    "published_high": row.anchor.high,
                    "seeds": float(len(row.values)),
                },
            )
        )
    return results


def cascade_results(runs: dict[str, list[Done]]) -> list[Result]:
    return [
        result_of(
            NAME,
            f"{scenario} cascades",
            [float(one.figures.get(Figure.OVERSHOOT_MAX, 0.0) >= CASCADE) for one in done],
            "ratio",
            baselines={
                "mean": statistics.fmean(
                    one.figures.get(Figure.OVERSHOOT_MAX, 0.0) >= CASCADE for one in done
                )
            },
        )
        for scenario, done in runs.items()
    ]


def fact_results(facts: dict[str, float]) -> list[Result]:
    return [
        result_of(
            NAME,
            fact.name,
            [facts[fact.name]],
            "",
            baselines={"published_low": fact.low, "published_high": fact.high},
        )
        for fact in FACTS
        if fact.name in facts
    ]


def cost_results(runs: dict[str, list[Done]]) -> list[Result]:
    whole = [one for done in runs.values() for one in done if one.simulated_s > 0]
    return [
        result_of(
            NAME,
            "CPU a simulated hour, all markets",
            [one.cpu_s / one.simulated_s * 3600.0 for one in whole],
            "s",
        )
    ]


def told(arguments: Sequence[str]) -> int:
    """Take this benchmark's own options, leave the others to the frame."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--seeds", type=int, default=None, help=f"episodes of {FAMILY} (usual: {SEEDS})")
    parser.add_argument("--mode", type=Mode, choices=list(Mode), default=Mode.ORDER)
    parser.add_argument("--split", type=Split, choices=list(Split), default=Split.VALIDATION)
    parser.add_argument("--venues", nargs="+", choices=list(VENUES), default=None, help="usual: all")
    own, rest = parser.parse_known_args(arguments)
    venues = None if own.venues is None else tuple(own.venues)
    asked = Asked(mode=own.mode, seeds=own.seeds, split=own.split, venues=venues)
    return main(NAME, lambda options: measure(options, asked), rest)


if __name__ == "__main__":
    sys.exit(told(sys.argv[1:]))
