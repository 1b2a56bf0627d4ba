"""Play seeds: ``python -m tests.simulation --seeds 100000 --first 0 --processes 2 --resume FILE``.

Exits 0 if every seed is clean; else 1, with each failing seed and what it violated. Says every ten seconds
how far it is. With ``--resume`` the outcome so far is kept in FILE, from which the same command goes on; at
the end FILE is the result. ``--trace`` prints the last events of a seed. With ``--plant`` a bug is planted
and the first seed that catches it ends the run with 1; 0 means that none did.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec

from tests.simulation.campaign import Result, run_seed
from tests.simulation.playing import ALL_PLANTS, play

TELL_EVERY_S = 10.0


class Failure(msgspec.Struct, frozen=True):
    """A seed that violated something."""

    seed: int
    violations: list[str]


class Outcome(msgspec.Struct):
    """What has been played; ``next`` is the first seed that has not."""

    first: int
    seeds: int
    plant: str
    next: int
    failed: list[Failure] = []
    executions: int = 0
    checks: int = 0
    virtual_s: float = 0.0
    took_s: float = 0.0
    faults: dict[str, int] = {}

    @property
    def played(self) -> int:
        return self.next - self.first

    @property
    def is_complete(self) -> bool:
        return self.next >= self.first + self.seeds

    def take(self, result: Result) -> None:
        """Count one more."""
        self.next = result.seed + 1
        self.executions += result.executions
        self.checks += result.checks
        self.virtual_s += result.virtual_s
        self.faults = dict(Counter(self.faults) + Counter(result.faults))
        if result.violations:
            self.failed.append(Failure(result.seed, result.violations))


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    if options.trace:
        return _trace(options)
    outcome = _begun(options)
    seeds = range(outcome.next, outcome.first + outcome.seeds)
    began_s = told_s = time.monotonic()
    before, took_before_s = outcome.played, outcome.took_s
    for result in play(seeds, plant=options.plant, processes=options.processes):
        outcome.take(result)
        now_s = time.monotonic()
        outcome.took_s = took_before_s + now_s - began_s
        if result.violations:
            _tell(result, options.plant)
            if options.plant:
                return 1
        if now_s - told_s >= TELL_EVERY_S:
            told_s = now_s
            _tell_progress(outcome, (outcome.played - before) / (now_s - began_s))
            _keep(outcome, options.resume)
    _keep(outcome, options.resume)
    print(
        f"{outcome.played} seeds, {len(outcome.failed)} failed, {outcome.executions} commands executed, "
        f"{sum(outcome.faults.values())} faults of {len(outcome.faults)} kinds, {outcome.checks} checks of "
        f"limits, {outcome.virtual_s / 3600:.1f} virtual hours, {outcome.took_s:.1f} s, "
        f"{outcome.played / max(outcome.took_s, 1e-9):.1f} seeds/s"
    )
    return 1 if outcome.failed else 0


def _begun(options: argparse.Namespace) -> Outcome:
    """What the file says was played already, or nothing."""
    fresh = Outcome(options.first, options.seeds, options.plant, options.first)
    if options.resume is None or not options.resume.exists():
        return fresh
    kept = msgspec.json.decode(options.resume.read_bytes(), type=Outcome)
    if (kept.first, kept.plant) != (fresh.first, fresh.plant):
        sys.exit(
            f"{options.resume} is of seeds from {kept.first} with plant {kept.plant!r}: name another file, "
            "or the same --first and --plant"
        )
    kept.seeds = options.seeds
    print(f"going on at seed {kept.next}, {kept.played} were played, {len(kept.failed)} failed")
    return kept


def _keep(outcome: Outcome, path: Path | None) -> None:
    if path is not None:
        beside = path.with_name(path.name + ".new")
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=2) + b"\n")
        beside.replace(path)


def _trace(options: argparse.Namespace) -> int:
    failed = False
    for seed in range(options.first, options.first + options.seeds):
        result = run_seed(seed, ALL_PLANTS.get(options.plant))
        print("\n".join(result.lines))
        if result.violations:
            failed = True
            _tell(result, options.plant)
    return 1 if failed else 0


def _tell(result: Result, plant: str) -> None:
    again = f"python -m tests.simulation --seeds 1 --first {result.seed} --trace"
    print(f"seed {result.seed} FAILED (again: {again}{f' --plant {plant}' if plant else ''})")
    for violation in result.violations:
        print(f"    {violation}")
    sys.stdout.flush()


def _tell_progress(outcome: Outcome, seeds_per_s: float) -> None:
    left_s = round((outcome.seeds - outcome.played) / max(seeds_per_s, 1e-9))
    print(
        f"{outcome.played}/{outcome.seeds} seeds, {seeds_per_s:.1f} seeds/s, {len(outcome.failed)} failed, "
        f"{left_s // 3600} h {left_s % 3600 // 60:02d} min left",
        flush=True,
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--plant", choices=sorted(ALL_PLANTS), default="", help="a bug to plant")
    parser.add_argument("--processes", type=int, default=1, help="how many seeds at once")
    parser.add_argument(
        "--resume", type=Path, metavar="FILE", help="keep the outcome there and go on from it"
    )
    parser.add_argument("--trace", action="store_true", help="print the last events of each seed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
