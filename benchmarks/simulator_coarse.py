"""The coarse mode beside the order level: the same episodes in both, their anchors, distributions, ranks and cost.

Both modes run the same episodes (parameters, scenario, impulses); what is drawn along the way differs, so that figures
are compared over episodes, not one by one, but for the rank correlation of how bad they were. Also how many episodes a
minute the coarse mode makes as arrays.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from adapters.simulation.coarse import coarse_series
from adapters.simulation.coarse.run import CoarseLaboratory
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.worlds.anchors import Figure
from adapters.simulation.worlds.drawing import draw_episode
from adapters.simulation.worlds.seeds import Split, seed_of
from adapters.simulation.worlds.tag import stamp
from adapters.simulation.worlds.variants import WORLDS
from benchmarks._calibration_episodes import Done, Mode, Task, run_all
from benchmarks._frame import Better, Options, Result, main, quantile, result_of

NAME = "simulator_coarse"
SEEDS, SEEDS_QUICK = 24, 4
SYMBOLS = ("BTCUSDT", "SOLUSDT", "WIFUSDT")
VENUES = ("binanceusdm",)
DURATIONS_S: dict[str, float | None] = {"calm": 2 * 3600.0, "fall": None, "october-2025": None}
QUICK_S = {"calm": 1_200.0, "fall": 2_400.0, "october-2025": 2_400.0}
"""Quick runs go through the same things in less time, so their figures are no anchors."""
DRAWS = 2_000
"""Of the bootstrap."""
CALM = ("minute_deviation_bps", "minute_largest_bps", "depth_left", "volume_in_depths")
"""Of calm episodes: mid's moves in a minute, what is left of usual depth, what is traded in a bar of some depths."""
SEVERITY = Figure.OVERSHOOT_MAX
KS_CRITICAL = 1.36
"""Times sqrt((n + m) / (n m)): the distance of two samples that one of twenty pairs of the same kind exceeds."""
SPEED_S = 6 * 3600.0
ALONE_S = 1_800.0
SPEED_EPISODES, SPEED_EPISODES_QUICK = 12, 3

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure over the episodes in which both modes have it."""

    scenario: str
    figure: str
    order: Floats
    coarse: Floats

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """Of the order level."""
        low, middle, high = (quantile(self.order.tolist(), share) for share in (0.25, 0.5, 0.75))
        return low, middle, high

    @property
    def is_inside(self) -> bool:
        """Whether the coarse mode's median lies within the order level's quartiles."""
        low, _, high = self.quartiles
        return low <= self.median <= high

    @property
    def median(self) -> float:
        """Of the coarse mode."""
        return float(np.median(self.coarse))

    @property
    def missed(self) -> float:
        """By how many interquartile ranges the median lies outside, 0 inside."""
        low, _, high = self.quartiles
        outside = max(low - self.median, self.median - high, 0.0)
        return outside / (high - low) if high > low else math.copysign(math.inf, outside) if outside else 0.0

    @property
    def distance(self) -> float:
        """Kolmogorov and Smirnov's: the most that the two distributions are apart, 0..1."""
        both = np.sort(np.concatenate((self.order, self.coarse)))
        upto = [
            np.searchsorted(np.sort(sample), both, side="right") / len(sample)
            for sample in (self.order, self.coarse)
        ]
        return float(np.max(np.abs(upto[0] - upto[1])))

    @property
    def is_apart(self) -> bool:
        """Whether the distance says that the distributions differ, at 5 %."""
        count, other = len(self.order), len(self.coarse)
        return self.distance > KS_CRITICAL * math.sqrt((count + other) / (count * other))

    def interval(self, seed: int) -> tuple[float, float]:
        """Where 95 % of bootstrapped differences of the medians lie, coarse less order; episodes are drawn in pairs."""
        drawn = np.random.default_rng(seed).integers(0, len(self.order), (DRAWS, len(self.order)))
        differences = np.median(self.coarse[drawn], axis=1) - np.median(self.order[drawn], axis=1)
        low, high = np.quantile(differences, (0.025, 0.975))
        return float(low), float(high)


def measure(options: Options) -> list[Result]:
    """Run all episodes in both modes, print what they have in common, give the figures."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(stamp())
    compared: list[Compared] = []
    severity: list[tuple[float, float]] = []
    ratios: list[float] = []
    for scenario in DURATIONS_S:
        order, coarse = (run(options, scenario, mode) for mode in (Mode.ORDER, Mode.COARSE))
        compared += compare(scenario, order, coarse)
        ratios += [one.cpu_s / other.cpu_s for one, other in zip(order, coarse, strict=True)]
        severity += [
            (one.figures[SEVERITY], other.figures[SEVERITY])
            for one, other in zip(order, coarse, strict=True)
            if SEVERITY in one.figures and SEVERITY in other.figures
        ]
    console.print(table_of(compared, options.seed))
    results = [figure_of(one) for one in compared]
    inside = [float(one.is_inside) for one in compared]
    apart = [float(one.is_apart) for one in compared]
    results += [
        result_of(
            NAME,
            "medians within the order level's quartiles",
            [statistics.fmean(inside)],
            "ratio",
            better=Better.HIGHER,
        ),
        result_of(NAME, "distributions apart at 5 %", [statistics.fmean(apart)], "ratio"),
        result_of(NAME, "CPU, order level / coarse, all events", ratios, "ratio", better=Better.HIGHER),
        *ranks(severity, options.seed),
        *speed(options),
    ]
    return results


def run(options: Options, scenario: str, mode: Mode) -> list[Done]:
    """Run a scenario's episodes in a mode, the worlds in turn, with seeds of training: nothing is judged here."""
    worlds = tuple(WORLDS)
    count = SEEDS_QUICK if options.quick else SEEDS
    duration_s = QUICK_S[scenario] if options.quick else DURATIONS_S[scenario]
    tasks = [
        Task(
            world=worlds[number % len(worlds)],
            scenario=scenario,
            seed=seed_of(Split.TRAIN, options.seed + number),
            mode=mode,
            symbols=SYMBOLS,
            venues=VENUES,
            duration_s=duration_s,
        )
        for number in range(count)
    ]
    return run_all(tasks, f"{scenario} {mode}")


def compare(scenario: str, order: Sequence[Done], coarse: Sequence[Done]) -> list[Compared]:
    """Put beside each other what both modes have of at least half of the episodes."""
    found = [(figures_of(one), figures_of(other)) for one, other in zip(order, coarse, strict=True)]
    compared = []
    for figure in (*Figure, *CALM):
        pairs = [(one[figure], other[figure]) for one, other in found if figure in one and figure in other]
        if len(pairs) * 2 >= len(order) and len(pairs) > 1:
            one, other = np.array(pairs, dtype=np.float64).T
            compared.append(Compared(scenario, str(figure), one, other))
    return compared


def figures_of(done: Done) -> dict[str, float]:
    """What is measured of an episode: its anchors, or, where nothing happens, ``CALM``."""
    if done.figures:
        return {str(figure): value for figure, value in done.figures.items()}
    returns = [one for one in done.collected.returns if len(one) > 2]
    found: dict[str, float] = {}
    if returns:
        found["minute_deviation_bps"] = statistics.median(float(one.std()) * 1e4 for one in returns)
        found["minute_largest_bps"] = max(float(np.abs(one).max()) * 1e4 for one in returns)
    if done.collected.depth_left:
        found["depth_left"] = statistics.median(done.collected.depth_left)
    if done.collected.volume:
        found["volume_in_depths"] = statistics.median(done.collected.volume)
    return found


def table_of(compared: Sequence[Compared], seed: int) -> Table:
    table = Table(title="order level beside coarse mode, the same episodes", title_justify="left")
    for heading in ("scenario", "figure"):
        table.add_column(heading)
    for heading in ("n", "order: quartiles", "coarse: quartiles", "difference, 95 %", "KS", "missed, IQR"):
        table.add_column(heading, justify="right")
    for one in compared:
        coarse = [quantile(one.coarse.tolist(), share) for share in (0.25, 0.5, 0.75)]
        low, high = one.interval(seed)
        table.add_row(
            one.scenario,
            one.figure,
            str(len(one.order)),
            " ".join(f"{value:.3g}" for value in one.quartiles),
            " ".join(f"{value:.3g}" for value in coarse),
            f"{low:+.3g} .. {high:+.3g}",
            f"{one.distance:.2f}{' *' if one.is_apart else ''}",
            "inside" if one.is_inside else f"{one.missed:.2f}",
        )
    return table


def figure_of(one: Compared) -> Result:
    low, middle, high = one.quartiles
    return Result(
        name=NAME,
        case=f"{one.scenario} {one.figure}",
        value=one.median,
        unit="",
        low=quantile(one.coarse.tolist(), 0.1),
        high=quantile(one.coarse.tolist(), 0.9),
        better=Better.LOWER,
        target=None,
        met=one.is_inside,
        baselines={
            "order_quartile_low": low,
            "order_median": middle,
            "order_quartile_high": high,
            "ks_distance": one.distance,
            "episodes": float(len(one.order)),
        },
    )


def ranks(pairs: Sequence[tuple[float, float]], seed: int) -> list[Result]:
    """How far the modes agree which episodes were worse: Spearman's correlation, with a bootstrap of episodes."""
    if len(pairs) < 3:
        return []
    values = np.array(pairs, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(values), (DRAWS, len(values)))
    samples = [spearman(values[chosen]) for chosen in drawn]
    result = Result(
        name=NAME,
        case="rank correlation of overshoot over all episodes",
        value=spearman(values),
        unit="",
        low=quantile(samples, 0.025),
        high=quantile(samples, 0.975),
        better=Better.HIGHER,
        target=None,
        met=None,
        baselines={"episodes": float(len(values))},
    )
    return [result]


def spearman(pairs: Floats) -> float:
    """Correlation of ranks; equals share theirs."""
    one, other = (ranks_of(pairs[:, column]) for column in (0, 1))
    if one.std() == 0.0 or other.std() == 0.0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def ranks_of(values: Floats) -> Floats:
    """Mean ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    mean: Floats = (ends - (count - 1) / 2.0)[place]
    return mean


def speed(options: Options) -> list[Result]:
    """Episodes of six hours, four symbols at two venues, as arrays: seconds each, and how many a minute of one core."""
    results = []
    count = SPEED_EPISODES_QUICK if options.quick else SPEED_EPISODES
    for scenario in ("calm", "october-2025"):
        took = [seconds_of(scenario, options.seed + number) for number in range(count)]
        case = f"{scenario}, 6 h, 4 symbols, 2 venues, as arrays"
        results += [
            result_of(NAME, case, took, "s CPU"),
            result_of(
                NAME,
                f"{case}: a minute of a core",
                [60.0 / each for each in took],
                "episodes",
                better=Better.HIGHER,
            ),
        ]
        ratios = [alone(scenario, options.seed + number) for number in range(count)]
        results.append(
            result_of(
                NAME,
                f"{scenario}: CPU of the simulation alone, order level / coarse",
                ratios,
                "ratio",
                better=Better.HIGHER,
            )
        )
    return results


def alone(scenario: str, number: int) -> float:
    """CPU of an episode's steps in both modes, without what guards see and without what there is at the start."""
    worlds = tuple(WORLDS)
    seed = seed_of(Split.TRAIN, number)
    episode = draw_episode(
        worlds[number % len(worlds)], scenario, seed, symbols=SYMBOLS, venues=VENUES, duration_s=ALONE_S
    )
    took = []
    for made in (Laboratory, CoarseLaboratory):
        laboratory = made(episode)
        started = time.process_time()
        while laboratory.now_ms < laboratory.duration_ms:
            laboratory.step()
        took.append(time.process_time() - started)
    return took[0] / took[1]


def seconds_of(scenario: str, number: int) -> float:
    worlds = tuple(WORLDS)
    seed = seed_of(Split.TRAIN, number)
    started = time.process_time()
    coarse_series(draw_episode(worlds[number % len(worlds)], scenario, seed, duration_s=SPEED_S))
    return time.process_time() - started


if __name__ == "__main__":
    sys.exit(main(NAME, measure))
