"""What policies bring and cost: liquidations, drawdowns, losses, commands and calm, beside accounts without a guard.

Accounts in every market of made-up episodes live through them side by side: guarded by the real engine, alone, with a
brake, and with freqtrade's protections, at equal mean leverage.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from adapters.simulation.worlds.seeds import Split
from adapters.simulation.worlds.tag import stamp
from benchmarks._frame import Options, Result, main
from benchmarks._policies_episode import EpisodeRan, run_course
from benchmarks._policies_real import RealDay, days_of
from benchmarks._policies_rows import NAME, Drawn, rows_of
from benchmarks._skill_episodes import SCENARIOS, SkillTask, generate, skill_tasks
from guard.configuration import Settings

PER_WORLD = {Split.TEST: 20, Split.VALIDATION: 10, Split.TRAIN: 10}
QUICK_NUMBERS = (0, 4)
DRAWS, DRAWS_QUICK = 1_000, 100


def measure(options: Options) -> list[Result]:
    """Run all episodes, give the figures."""
    own = options.own
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(stamp())
    split = own.split
    days = () if options.quick or own.no_real else days_of(split)
    tasks: tuple[SkillTask | RealDay, ...] = (*chosen_tasks(own, quick=options.quick), *days)
    settings = settings_of(own.policies, own.without)
    ran = run_all(tasks, settings, own.processes, any_outlooks=own.any_outlooks)
    console.print(
        f"{len(ran)} episodes of {split}, 12 accounts in each, {sum(each.cpu_s for each in ran) / len(ran):.1f} s of "
        f"CPU an episode; bootstrap of episodes with seed {options.seed}"
    )
    if own.diary is not None:
        own.diary.write_bytes(msgspec.json.encode(ran))
    if own.why:
        _tell_why(console, ran)
    return rows_of(ran, Drawn(options.seed, DRAWS_QUICK if options.quick else DRAWS))


def chosen_tasks(own: argparse.Namespace, *, quick: bool) -> tuple[SkillTask, ...]:
    """The episodes that are asked for."""
    per_world = own.per_world or PER_WORLD[own.split]
    if quick:
        split = Split.TRAIN if own.split is Split.TEST else own.split
        found = skill_tasks(split, max(QUICK_NUMBERS) + 1, worlds=own.worlds or ("news", "hedged"))
        return tuple(task for task in found if task.number in QUICK_NUMBERS)
    tasks = skill_tasks(own.split, per_world, first=own.first, worlds=own.worlds)
    return tuple(task for task in tasks if own.scenarios is None or task.scenario in own.scenarios)


def settings_of(path: Path | None, without: Sequence[str]) -> Settings:
    """Settings with what a file says of policies, arbiter and the like, and without the policies named."""
    told: dict[str, Any] = {} if path is None else tomllib.loads(path.read_text(encoding="utf-8"))
    policies = told.setdefault("policies", {})
    for name in without:
        policies.setdefault(name, {})["enabled"] = False
    return Settings.model_validate(told)


def run_all(
    tasks: Sequence[SkillTask | RealDay], settings: Settings, processes: int, *, any_outlooks: bool = False
) -> list[EpisodeRan]:
    """Run every episode, the longest first; in the order of the tasks."""
    if made := generate([task for task in tasks if isinstance(task, SkillTask)], processes):
        sys.stderr.write(f"{made} episodes were missing and were made\n")
    started = time.monotonic()
    done: dict[SkillTask | RealDay, EpisodeRan] = {}
    told = settings.model_dump(
        mode="json", include={"policies", "arbiter", "dispatch", "baseline", "outlook"}
    )
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        ordered = sorted(tasks, key=_longest_first)
        waiting = {pool.submit(run_one, task, told, any_outlooks): task for task in ordered}
        for future in as_completed(waiting):
            done[waiting[future]] = future.result()
            sys.stderr.write(f"\r{len(done)} of {len(tasks)} episodes, {time.monotonic() - started:.0f} s ")
            sys.stderr.flush()
    sys.stderr.write("\n")
    return [done[task] for task in tasks]


def _longest_first(task: SkillTask | RealDay) -> int:
    if isinstance(task, RealDay):
        return 0
    return 1 if task.scenario == "calm" else 2


def run_one(task: SkillTask | RealDay, told: dict[str, Any], any_outlooks: bool) -> EpisodeRan:
    """Run one course by settings as plain values."""
    return run_course(task, Settings.model_validate(told), any_outlooks=any_outlooks)


def _tell_why(console: Console, ran: Sequence[EpisodeRan]) -> None:
    """What was said to guarded accounts that were liquidated, and in calm."""
    for each in ran:
        for run in each.guarded:
            if run.liquidated_s is not None:
                console.print(
                    f"[bold]{each.name}[/bold] {run.slot} {run.market} liquidated at {run.liquidated_s:.0f} s;"
                    f" cuts {run.cuts}, pauses {run.pauses}"
                )
                said = [one for one in each.spoken if one.bot == run.slot and one.at_s <= run.liquidated_s]
                for one in said[-8:]:
                    console.print(
                        f"    {one.at_s:7.0f} s  {one.what} {one.reason} held {one.held:.6g} to {one.size}"
                        f" at {one.mark}"
                    )
        if each.scenario == "calm":
            reasons = Counter(f"{one.what} {one.reason}" for one in each.spoken)
            console.print(f"[bold]{each.name}[/bold] {dict(reasons.most_common(12))}")


def own_options() -> argparse.ArgumentParser:
    """What only this benchmark takes."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--split", type=Split, choices=list(Split), default=Split.TEST)
    parser.add_argument("--per-world", type=int, default=None, metavar="N", help="episodes of each world")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first episode")
    parser.add_argument("--worlds", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--scenarios", nargs="+", choices=sorted(set(SCENARIOS)), help="only these")
    parser.add_argument("--no-real", action="store_true", help="without the real calm days")
    parser.add_argument(
        "--any-outlooks", action="store_true", help="take kept outlooks of other code too: for tuning only"
    )
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument("--policies", type=Path, metavar="FILE", help="TOML: settings that differ")
    parser.add_argument("--without", nargs="+", default=(), metavar="POLICY", help="leave these out")
    parser.add_argument("--why", action="store_true", help="what was said to the liquidated, and in calm")
    parser.add_argument("--diary", type=Path, metavar="FILE", help="write all that happened there, as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(NAME, measure, own=own_options()))
