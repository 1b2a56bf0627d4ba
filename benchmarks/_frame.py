"""The frame of every benchmark: options, interleaved repetitions, results, table, JSON.

A benchmark is a module with a function ``measure(options) -> list[Result]`` and the closing line::

    if __name__ == "__main__":
        sys.exit(main("book", measure))

It is run as ``python -m benchmarks.book --json FILE [--quick] [--seed N] [--repetitions N]``.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
REPETITIONS = 9
REPETITIONS_QUICK = 3
SEED = 1
LIBRARIES = ("perpguard", "numpy", "ccxt", "msgspec", "aiomqtt", "aiosqlite")
"""Those whose version may explain a figure."""


@dataclass(frozen=True, slots=True)
class Options:
    """What every benchmark is told. ``quick`` asks for less work, so that a change can be seen in seconds.

    ``own`` holds what only this benchmark takes: see ``main``.
    """

    quick: bool = False
    seed: int = SEED
    repetitions: int = REPETITIONS
    own: argparse.Namespace = field(default_factory=argparse.Namespace)


class Better(StrEnum):
    """Which way a figure improves."""

    LOWER = "lower"
    HIGHER = "higher"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where a figure comes from; ``load`` is the load average when the run began."""

    system: str
    processor: str
    cores: int
    memory_gib: float
    python: str
    load: float
    commit: str
    libraries: dict[str, str]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how a figure was measured; the same in every figure of one file."""

    benchmark: str
    made_at: str
    took_s: float
    quick: bool
    seed: int
    repetitions: int
    machine: Machine


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the way from the best baseline to an oracle a figure has gone; 1 is all of it.

    ``closed`` is ``None`` where the oracle is no better than the baseline, ``low`` and ``high`` where that cannot be
    told for sure; ``why`` says so.
    """

    baseline: str
    closed: float | None
    low: float | None
    high: float | None
    why: str


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure.

    ``value`` is the median of the repetitions, ``low`` and ``high`` their 10th and 90th percentile, all in
    ``unit``. ``baselines`` are the same figure of others, measured in the same run. ``met`` is ``None``
    where there is no target. ``gap`` is told by benchmarks that know an oracle.
    """

    name: str
    case: str
    value: float
    unit: str
    low: float
    high: float
    better: Better
    target: float | None
    met: bool | None
    baselines: dict[str, float]
    gap: Gap | None = None
    run: Run | None = None


def result_of(
    name: str,
    case: str,
    samples: Sequence[float],
    unit: str,
    *,
    better: Better = Better.LOWER,
    target: float | None = None,
    baselines: Mapping[str, float] | None = None,
) -> Result:
    """Make a figure of its repetitions.

    >>> result = result_of("book", "apply", [3.0, 1.0, 2.0], "us", target=2.5)
    >>> result.value, result.met
    (2.0, True)
    """
    value = statistics.median(samples)
    met = None
    if target is not None:
        met = value <= target if better is Better.LOWER else value >= target
    return Result(
        name=name,
        case=case,
        value=value,
        unit=unit,
        low=quantile(samples, 0.1),
        high=quantile(samples, 0.9),
        better=better,
        target=target,
        met=met,
        baselines=dict(baselines or {}),
    )


def quantile(samples: Sequence[float], share: float) -> float:
    """Linear between the order statistics, so that few samples still give two ends.

    >>> quantile([1.0, 2.0, 3.0], 0.5), quantile([1.0, 2.0, 3.0], 0.75)
    (2.0, 2.5)
    """
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def interleave(cases: Mapping[str, Callable[[], float]], options: Options) -> dict[str, list[float]]:
    """Run every case once a repetition, in an order drawn anew, so that a noisy minute hits all alike.

    Each case returns its own figure. One more round goes first and is thrown away: caches fill in it.
    """
    drawn = random.Random(options.seed)
    samples: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for repetition in range(options.repetitions + 1):
        drawn.shuffle(names)
        for name in names:
            figure = cases[name]()
            if repetition:
                samples[name].append(figure)
    return samples


def cpu_us_per(count: int, work: Callable[[], object]) -> float:
    """CPU time of ``work`` in microseconds, divided by ``count``; garbage is collected before, not during."""
    gc.collect()
    gc.disable()
    try:
        started = time.process_time_ns()
        work()
        return (time.process_time_ns() - started) / 1e3 / count
    finally:
        gc.enable()


def ratios(numerator: Sequence[float], denominator: Sequence[float]) -> list[float]:
    """Repetition by repetition: firmer than the ratio of two medians on a noisy machine."""
    return [above / below for above, below in zip(numerator, denominator, strict=True)]


def describe_machine() -> Machine:
    """Say where this runs."""
    return Machine(
        system=platform.platform(),
        processor=_processor(),
        cores=os.cpu_count() or 0,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 2),
        commit=_commit(),
        libraries={name: _version(name) for name in LIBRARIES},
    )


def _plain(number: object) -> object:
    """What numpy has counted as the number that it is; TypeError for what is none."""
    if isinstance(number, np.generic):
        return number.item()
    raise TypeError(f"{type(number).__name__} is no number")


def main(
    name: str,
    measure: Callable[[Options], list[Result]],
    arguments: Sequence[str] | None = None,
    own: argparse.ArgumentParser | None = None,
) -> int:
    """Run a benchmark as its command line says, print its table, write its JSON. Returns the exit status.

    A target that was not met is shown, and is an error only with ``--strict``: other machines are slower. ``own``
    (without help of its own) are further options, which come as ``Options.own``.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", parents=[] if own is None else [own]
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--quick", action="store_true", help="less work, coarser figures")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--repetitions", type=int, default=None)
    parser.add_argument("--strict", action="store_true", help="exit 1 if a target is not met")
    given = parser.parse_args(arguments)
    repetitions = given.repetitions or (REPETITIONS_QUICK if given.quick else REPETITIONS)
    options = Options(quick=given.quick, seed=given.seed, repetitions=repetitions, own=given)

    machine = describe_machine()
    made_at, started = datetime.now(UTC), time.monotonic()
    results = measure(options)
    run = Run(
        benchmark=name,
        made_at=made_at.isoformat(timespec="seconds"),
        took_s=round(time.monotonic() - started, 1),
        quick=options.quick,
        seed=options.seed,
        repetitions=options.repetitions,
        machine=machine,
    )
    print_report(run, results)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        figures = [msgspec.structs.replace(result, run=run) for result in results]
        given.json.write_bytes(
            msgspec.json.format(msgspec.json.encode(figures, enc_hook=_plain), indent=2) + b"\n"
        )
    return 1 if given.strict and any(result.met is False for result in results) else 0


def print_report(report: Run, results: Sequence[Result]) -> None:
    """Print a table for people."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    title = f"{report.benchmark}: seed {report.seed}, {report.repetitions} repetitions, {report.took_s} s"
    table = Table(title=title, title_justify="left", caption=_caption(report.machine), caption_justify="left")
    for heading in ("case", "value", "10 .. 90 %", "unit", "target", "others"):
        table.add_column(heading, justify="right" if heading in {"value", "10 .. 90 %", "target"} else "left")
    for result in results:
        others = ", ".join(
            (*_of_gap(result.gap), *(f"{name} {_short(value)}" for name, value in result.baselines.items()))
        )
        spread = f"{_short(result.low)} .. {_short(result.high)}"
        table.add_row(result.case, _short(result.value), spread, result.unit, _target(result), others)
    console.print(table)


def _of_gap(gap: Gap | None) -> tuple[str, ...]:
    if gap is None:
        return ()
    if gap.closed is None:
        return (f"no gap to {gap.baseline}",)
    ends = "unsure" if gap.low is None or gap.high is None else f"{gap.low:.0%} .. {gap.high:.0%}"
    return (f"[bold]gap closed {gap.closed:.0%}[/bold] ({ends}) from {gap.baseline}",)


def _target(result: Result) -> str:
    if result.target is None:
        return ""
    bound = "<=" if result.better is Better.LOWER else ">="
    return f"{bound} {_short(result.target)} {'met' if result.met else '[red]NOT MET[/red]'}"


def _short(value: float) -> str:
    """Three digits are all that a noisy machine can tell."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _caption(machine: Machine) -> str:
    return (
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB, Python {machine.python}, "
        f"load {machine.load}, commit {machine.commit}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
