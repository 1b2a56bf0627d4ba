"""What leverage adds to the falls of made-up Octobers: the same episodes without it, and value by itself."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from adapters.simulation.worlds.anchors import ANCHORS, Anchor, Figure
from adapters.simulation.worlds.measures import CASCADE, Figures
from adapters.simulation.worlds.report import Row, figure_text
from adapters.simulation.worlds.variants import WORLDS
from benchmarks._calibration_episodes import Done, Task
from benchmarks._frame import Result, result_of

FALLS = (Figure.FALL_SMALL, Figure.FALL_BTC, Figure.FALL_SOL_12MIN)
WITHOUT, OF_VALUE, EXCESS = "without leverage", "of value alone", "beyond that without leverage"


@dataclass(frozen=True, slots=True)
class Pair:
    """One episode as it is and without leverage."""

    leveraged: Done
    without: Done

    def excess(self, figure: Figure) -> float | None:
        """How much farther it falls with leverage."""
        both = [one.figures.get(figure) for one in (self.leveraged, self.without)]
        return None if both[0] is None or both[1] is None else both[0] - both[1]


def without_leverage(tasks: Sequence[Task]) -> list[Task]:
    """Give the same tasks without leverage."""
    return [replace(task, is_leveraged=False) for task in tasks]


def pairs_of(leveraged: Sequence[Done], without: Sequence[Done]) -> list[Pair]:
    """Put each episode beside the same without leverage; those that were not run without it are left out."""
    by_task = {one.task: one for one in leveraged}
    return [Pair(by_task[replace(one.task, is_leveraged=True)], one) for one in without]


def add_rows(table: Table, pairs: Sequence[Pair]) -> None:
    """Add the falls of these episodes without leverage, and those of value, to the table of anchors."""
    table.add_section()
    kinds: Sequence[tuple[str, Callable[[Pair], Figures]]] = (
        ("with leverage, these seeds", lambda pair: pair.leveraged.figures),
        (WITHOUT, lambda pair: pair.without.figures),
        (OF_VALUE, lambda pair: pair.without.of_value),
    )
    for anchor in falls():
        for label, figures in kinds:
            found = Row(anchor=anchor, values=known(anchor.figure, [figures(pair) for pair in pairs]))
            low, middle, high = found.quartiles or (None, None, None)
            cells = [text(middle), f"{text(low)} .. {text(high)}", str(len(found.values))]
            table.add_row(f"{anchor.about}: {label} ({anchor.unit})", anchor.symbols, "", *cells, "no anchor")


def excess_table(pairs: Sequence[Pair]) -> Table:
    """Draw by how much leverage deepens falls, world by world."""
    table = Table(
        title=f"median of the fall less that without leverage, same {len(pairs)} seeds", title_justify="left"
    )
    for heading in ("world", *(figure.value.replace("_", " ") for figure in FALLS), "n"):
        table.add_column(heading, justify="left" if heading == "world" else "right")
    for world in ("all", *WORLDS):
        chosen = [pair for pair in pairs if world in ("all", pair.leveraged.task.world)]
        table.add_row(world, *(text(median_excess(chosen, figure)) for figure in FALLS), str(len(chosen)))
    return table


def leverage_results(name: str, family: str, pairs: Sequence[Pair]) -> list[Result]:
    """Tell the falls without leverage and of value, and what leverage adds, of all and of each world."""
    results = []
    for figure in FALLS:
        leveraged = known(figure, [pair.leveraged.figures for pair in pairs])
        without = known(figure, [pair.without.figures for pair in pairs])
        of_value = known(figure, [pair.without.of_value for pair in pairs])
        if not (leveraged and without and of_value):
            continue
        beside = {"with_leverage": statistics.median(leveraged), "seeds": float(len(pairs))}
        for label, values in ((WITHOUT, without), (OF_VALUE, of_value)):
            results.append(result_of(name, f"{family} {figure} {label}", values, "ratio", baselines=beside))
        for world in ("all", *WORLDS):
            chosen = [pair for pair in pairs if world in ("all", pair.leveraged.task.world)]
            excess = [one for one in (pair.excess(figure) for pair in chosen) if one is not None]
            if excess:
                case = f"{family} {figure} {EXCESS}, {world}"
                results.append(
                    result_of(name, case, excess, "ratio", baselines={"seeds": float(len(excess))})
                )
    return results


def departure_table(runs: Mapping[str, Sequence[Done]]) -> Table:
    """Draw how often mids leave value before anything is the matter."""
    table = Table(
        title=f"before the onset (calm: ever): times a mid was {CASCADE:.0%} or more from value",
        title_justify="left",
    )
    for heading in ("scenario", "times", "episodes with any", "episodes"):
        table.add_column(heading, justify="left" if heading == "scenario" else "right")
    for scenario, done in runs.items():
        counts = [one.departures for one in done]
        table.add_row(scenario, str(sum(counts)), str(sum(map(bool, counts))), str(len(counts)))
    return table


def departure_results(name: str, runs: Mapping[str, Sequence[Done]]) -> list[Result]:
    """Tell the same as figures: the sum over a scenario's episodes."""
    return [
        result_of(
            name,
            f"{scenario} departures before the onset",
            [float(sum(one.departures for one in done))],
            "times",
            baselines={
                "episodes": float(len(done)),
                "episodes_with_any": float(sum(one.departures > 0 for one in done)),
            },
        )
        for scenario, done in runs.items()
    ]


def falls() -> list[Anchor]:
    """Give the anchors that are falls."""
    return [anchor for anchor in ANCHORS if anchor.figure in FALLS]


def known(figure: Figure, episodes: Sequence[Figures]) -> tuple[float, ...]:
    """Give a figure of all episodes that have it."""
    return tuple(one[figure] for one in episodes if figure in one)


def median_excess(pairs: Sequence[Pair], figure: Figure) -> float | None:
    """Give the median over those in which both were measured."""
    found = [one for one in (pair.excess(figure) for pair in pairs) if one is not None]
    return statistics.median(found) if found else None


def text(value: float | None) -> str:
    """Write a figure, or that there is none."""
    return "-" if value is None else figure_text(value)
