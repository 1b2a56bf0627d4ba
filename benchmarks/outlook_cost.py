"""What it costs to estimate a market anew: map, cascade, signals, hazard, regime and gate, in CPU time on one core.

The readings are those of episodes that estimators are tuned on: one that crashes, and one in which nothing happens.
Parts are timed where ``guard.outlook.estimators`` calls them, inside a whole refresh, so that caches are as they are in
a guard; what lies between them is in the whole alone. Beside it stand the same refreshes without fitted models, which
is what hazard and gate add, and the same readings spread over 200 markets, for caches and memory.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from statistics import median
from typing import Any

from adapters.simulation.worlds.seeds import Split
from benchmarks._frame import Options, Result, cpu_us_per, interleave, main, result_of
from benchmarks._skill_chain import fitted_experts, merged
from benchmarks._skill_episodes import SkillEpisode, SkillTask, fetch, skill_tasks
from guard.events import OpenInterestHistorySeen
from guard.outlook.broken import Broken
from guard.outlook.estimators import Estimators
from guard.readings import REFRESH_S, Reading
from guard.units import NS_PER_S, MarketId

NAME = "outlook_cost"
TARGET_US = 300.0
WORLD = "news"
CASES = ("october-2025", "calm")
READINGS, READINGS_QUICK = 6_000, 1_200
MANY = 200
"""Markets of the case that asks for memory and caches, and of the share of two cores that they take."""
CORES = 2
WITHOUT = "without fitted models"

PARTS = {
    "map": ("map", "map down", "map up", "map down told", "map up told"),
    "cascade": ("cascade down", "cascade up"),
    "signals": ("signals", "signals together", "signals told"),
    "hazard and gate": ("flow", "hazard"),
    "regime": ("regime", "skill"),
}
"""By the names that ``Estimators`` asks under."""


@dataclass(slots=True)
class TimedBroken(Broken):
    """Asks estimators as ``Broken`` does, and counts the CPU time of each by its name, nanoseconds."""

    spent_ns: dict[str, int] = field(default_factory=dict)

    def ask(
        self, name: str, market: MarketId | None, estimator: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        began_ns = time.process_time_ns()
        told = Broken.ask(self, name, market, estimator, *args, **kwargs)
        self.spent_ns[name] = self.spent_ns.get(name, 0) + time.process_time_ns() - began_ns
        return told


@dataclass(frozen=True, slots=True)
class Case:
    """Readings in order of time, and what is told of each market's past before them."""

    name: str
    readings: list[Reading]
    pasts: tuple[OpenInterestHistorySeen, ...]


def measure(options: Options) -> list[Result]:
    """Time both episodes in all and by part, many markets, and what a sample costs without an outlook."""
    count = READINGS_QUICK if options.quick else READINGS
    cases = [case_of(name, count) for name in CASES]
    many = spread(cases[0], MANY)
    runs: dict[str, Callable[[], float]] = {each.name: whole_of(each) for each in (*cases, many)}
    bare = {f"{each.name}, without": without_models(each) for each in cases}
    whole = interleave({**runs, **bare}, options)
    results = [
        result_of(
            NAME,
            f"{each.name}, in all",
            whole[each.name],
            "us",
            target=TARGET_US,
            baselines={WITHOUT: median(samples)} if (samples := whole.get(f"{each.name}, without")) else {},
        )
        for each in (*cases, many)
    ]
    for case in cases:
        told = [by_part(case) for _ in range(options.repetitions)]
        results += [
            result_of(NAME, f"{case.name}, {part}", [each[part] for each in told], "us") for part in PARTS
        ]
    results.append(load_of(whole))
    return [*results, result_of(NAME, f"{many.name}, memory a market", [memory_kb(many)], "kB")]


def load_of(whole: Mapping[str, Sequence[float]]) -> Result:
    """Share of two cores that 200 markets take, all of them crashing and read every 5 s; calm and cold ones beside."""
    dearest, *others = (*CASES, f"{MANY} markets")
    percent_of_us = 100.0 * MANY / (REFRESH_S * 1e6 * CORES)
    return result_of(
        NAME,
        f"{MANY} markets every {REFRESH_S:g} s, share of {CORES} cores: all as in {dearest}",
        [percent_of_us * each for each in whole[dearest]],
        "%",
        baselines={name: percent_of_us * median(whole[name]) for name in others},
    )


def case_of(scenario: str, count: int) -> Case:
    """The first readings of the first episode of this scenario; it is made where it is missing."""
    found = (task for task in skill_tasks(Split.TRAIN, 10, worlds=(WORLD,)) if task.scenario == scenario)
    task: SkillTask = next(found)
    episode: SkillEpisode = fetch(task)
    readings = list(islice(merged(episode), count))
    pasts = tuple(
        OpenInterestHistorySeen(received_at=readings[0].at, market=market, points=points)
        for market, points in episode.history.items()
    )
    return Case(scenario, readings, pasts)


def spread(case: Case, markets: int) -> Case:
    """The same readings as if each market's were of many, in turn: 5 s apart within each."""
    first = [reading for reading in case.readings if reading.market == case.readings[0].market]
    rows = first[: max(len(case.readings) // markets, 3)]
    names = [MarketId(f"venue{at % 4}:C{at // 4}/USDT:USDT") for at in range(markets)]
    readings = [
        replace(reading, market=name, at=reading.at + round(at * 5.0 * NS_PER_S / markets))
        for reading in rows
        for at, name in enumerate(names)
    ]
    return Case(f"{markets} markets", readings, ())


def begun(case: Case, broken: Broken, *, has_experts: bool = True) -> Estimators:
    """Estimators that know the past."""
    estimators = Estimators(fitted_experts() if has_experts else None)
    for event in case.pasts:
        estimators.hear(event, broken)
    return estimators


def whole_of(case: Case, *, has_experts: bool = True) -> Callable[[], float]:
    """CPU time of a refresh, microseconds."""

    def run() -> float:
        broken = Broken()
        estimators = begun(case, broken, has_experts=has_experts)

        def work() -> None:
            for reading in case.readings:
                estimators.update(reading, broken)

        spent_us = cpu_us_per(len(case.readings), work)
        if told := [name for name, _, _ in broken]:
            raise RuntimeError(f"an estimator raised: {told}")
        return spent_us

    return run


def without_models(case: Case) -> Callable[[], float]:
    """The same refreshes where no experts are fitted: signals, map, cascade and regime alone."""
    return whole_of(case, has_experts=False)


def by_part(case: Case) -> dict[str, float]:
    """CPU time of each part a refresh, microseconds; taking the time adds some 0.5 us to each of a dozen calls."""
    broken = TimedBroken()
    estimators = begun(case, broken)
    broken.spent_ns.clear()
    for reading in case.readings:
        estimators.update(reading, broken)
    spent = broken.spent_ns
    return {
        part: sum(spent.get(name, 0) for name in names) / 1e3 / len(case.readings)
        for part, names in PARTS.items()
    }


def memory_kb(case: Case) -> float:
    """Memory that estimators keep of a market after these readings, kB, by what Python and numpy allocated."""
    broken = Broken()
    tracemalloc.start()
    try:
        estimators = begun(case, broken)
        before = tracemalloc.get_traced_memory()[0]
        for reading in case.readings:
            estimators.update(reading, broken)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    return (after - before) / 1e3 / len({reading.market for reading in case.readings})


if __name__ == "__main__":
    sys.exit(main(NAME, measure))
