"""How good the estimators are: map, reach, hazard, alarms and decisions, out of sample, beside baselines and an oracle.

Episodes of six made-up worlds are read through the product's own chain, and each forecast is held against what
came; thresholds and powers are chosen on episodes of another split. Real data in ``../shared/data`` show what they can.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console

from adapters.simulation.coarse.cache import mechanism_digest
from adapters.simulation.worlds.seeds import Split
from adapters.simulation.worlds.tag import stamp
from benchmarks._frame import Better, Options, Result, main
from benchmarks._peers import PeerUnavailableError
from benchmarks._skill_chain import fitted_experts, refresh_ms, run_episode
from benchmarks._skill_episodes import SkillTask, fetch, generate, skill_tasks
from benchmarks._skill_metrics import Measured
from benchmarks._skill_plots import plot_all
from benchmarks._skill_radar import NAME as RADAR
from benchmarks._skill_radar import add_severities
from benchmarks._skill_real import SHARED, score_real
from benchmarks._skill_recording import Level
from benchmarks._skill_records import code_digest, forget_former, read_record, record_path, write_record
from benchmarks._skill_rows import NAME, Runs, row
from benchmarks._skill_score_alarms import score_alarms
from benchmarks._skill_score_decisions import score_decisions
from benchmarks._skill_score_hazard import score_hazard
from benchmarks._skill_score_maps import score_maps
from benchmarks._skill_score_order import score_order
from benchmarks._skill_score_reach import score_reach
from benchmarks._skill_tables import EpisodeRun

PER_WORLD = {Split.TEST: 100, Split.VALIDATION: 20, Split.TRAIN: 20}
CHOSEN_BY = {
    Split.TEST: (Split.VALIDATION, 10),
    Split.VALIDATION: (Split.TRAIN, 10),
    Split.TRAIN: (Split.VALIDATION, 10),
}
"""Thresholds are chosen on so many episodes a world of another split."""

ORDER_PER_WORLD = 2
"""A fall as on 10 October and an ordinary one: enough to see whether the coarse mode flatters."""

QUICK_PER_WORLD = 1
DRAWS, DRAWS_QUICK = 300, 40
MS_PER_REFRESH = 0.3
COSTED = 3
"""So many episodes are gone through for the cost."""


def measure(options: Options) -> list[Result]:
    """Make what is missing, run all, give the figures."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(stamp())
    split, per_world, order_per_world = options.own.split, options.own.per_world, options.own.order_per_world
    other, chosen_count = CHOSEN_BY[split]
    if options.quick:
        split, other = Split.VALIDATION, Split.TRAIN
        per_world, chosen_count, order_per_world = QUICK_PER_WORLD, QUICK_PER_WORLD, 0
    per_world = per_world or PER_WORLD[split]
    worlds = options.own.worlds
    judged_tasks = skill_tasks(split, per_world, worlds=worlds)
    chosen_tasks = skill_tasks(other, min(chosen_count, per_world), worlds=worlds)
    order_tasks = skill_tasks(split, order_per_world, worlds=worlds, level=Level.ORDER)
    all_runs = run_all((*judged_tasks, *chosen_tasks, *order_tasks), options.seed, options.own.processes)
    judged, chosen_by, order = (
        [all_runs[task] for task in tasks] for tasks in (judged_tasks, chosen_tasks, order_tasks)
    )
    console.print(
        f"{len(judged)} episodes of {split}, seeds of it numbered from 0; thresholds chosen on {len(chosen_by)} of "
        f"{other}; {len(order)} of {split} order by order; bootstrap of episodes with seed {options.seed}"
    )
    others = _watched_by_others([*judged, *chosen_by])
    draws = DRAWS_QUICK if options.quick else DRAWS
    runs = Runs.of(judged, chosen_by, options.seed, draws)
    results = [
        *score_maps(runs),
        *score_reach(runs),
        *score_hazard(runs),
        *score_alarms(runs, others),
        *score_decisions(runs, others),
        *score_order(Runs.of(order, chosen_by, options.seed, draws), runs),
        *_real(options, draws),
        _cost(skill_tasks(split, 1, worlds=worlds)[:COSTED]),
    ]
    if options.own.plots is not None:
        plot_all(options.own.plots, runs, results)
    return results


def _watched_by_others(runs: Sequence[EpisodeRun]) -> tuple[str, ...]:
    """Let other programs watch the same markets; those that cannot be had are said and left out."""
    try:
        add_severities([market for run in runs for market in run.markets])
    except PeerUnavailableError as error:
        sys.stderr.write(f"without {RADAR}: {error}\n")
        return ()
    return (RADAR,)


def _real(options: Options, draws: int) -> list[Result]:
    """Figures of real data, if they are there."""
    if options.quick:
        return []
    results = score_real(options.seed, draws)
    if not results:
        sys.stderr.write(f"no real data: {SHARED} is not there\n")
    return results


def run_all(
    tasks: Sequence[SkillTask], seed: int, processes: int, folder: Path | None = None
) -> dict[SkillTask, EpisodeRun]:
    """Run the estimators over all episodes, the longest first.

    Episodes that are missing are made first. What was said of each is kept as soon as it is known, so that a run that
    was broken off goes on where it ended.
    """
    if made := generate(tasks, processes, folder):
        sys.stderr.write(f"{made} episodes were missing and were made\n")
    digest = code_digest()
    forget_former(digest, folder)
    started = time.monotonic()
    done: dict[SkillTask, EpisodeRun] = {}
    spent_s: list[float] = []
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {
            pool.submit(run_one, task, seed, digest, folder): task
            for task in sorted(tasks, key=_longest_first)
        }
        for future in as_completed(waiting):
            run, cpu_s = future.result()
            done[waiting[future]] = run
            spent_s += [] if cpu_s is None else [cpu_s]
            sys.stderr.write(f"\r{len(done)} of {len(tasks)} episodes, {time.monotonic() - started:.0f} s ")
            sys.stderr.flush()
    sys.stderr.write("\n")
    if spent_s:
        sys.stderr.write(
            f"{len(spent_s)} episodes were gone through, {statistics.fmean(spent_s):.1f} s of CPU each; "
            f"{len(done) - len(spent_s)} were known of this code ({digest})\n"
        )
    if stale := sum(run.mechanism != mechanism_digest() for run in done.values()):
        sys.stderr.write(f"{stale} episodes were made by another version of the simulator\n")
    return done


def _longest_first(task: SkillTask) -> int:
    """Calm episodes last twice as long, so they may not be those that one process is left with."""
    return 0 if task.scenario == "calm" else 1


def run_one(task: SkillTask, seed: int, digest: str, folder: Path | None) -> tuple[EpisodeRun, float | None]:
    """What is said of an episode, and the CPU time that it took if it was not known."""
    path = record_path(task, seed, digest, folder)
    if (known := read_record(path)) is not None:
        return known, None
    began_ns = time.process_time_ns()
    run = run_episode(fetch(task, folder), experts=fitted_experts(), seed=seed)
    write_record(path, run)
    return run, (time.process_time_ns() - began_ns) / 1e9


def _cost(tasks: Sequence[SkillTask]) -> Result:
    """CPU time of a whole refresh of one market, as the guard makes it, in calm and in a fall."""
    took = [refresh_ms(fetch(task)) for task in tasks]
    return row(
        "cost: all estimators, one market, one refresh",
        Measured(statistics.median(took), min(took), max(took)),
        "ms CPU",
        better=Better.LOWER,
        target=MS_PER_REFRESH,
        prototype=0.2,
    )


def own_options() -> argparse.ArgumentParser:
    """What only this benchmark takes."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--split", type=Split, choices=list(Split), default=Split.TEST)
    parser.add_argument("--per-world", type=int, default=None, metavar="N", help="episodes of each world")
    parser.add_argument(
        "--order-per-world",
        type=int,
        default=ORDER_PER_WORLD,
        metavar="N",
        help="episodes of each world that are played order by order",
    )
    parser.add_argument("--worlds", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw pictures there")
    return parser


if __name__ == "__main__":
    sys.exit(main(NAME, measure, own=own_options()))
