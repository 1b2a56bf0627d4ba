"""Play seeds: ``python -m tests.simulation --seeds 2000 --first 0 [--plant NAME] [--processes 2]``.

Exits 0 if every seed is clean; else 1, with each failing seed and what it violated. ``--trace`` prints the
last events of a seed. With ``--plant`` a bug is planted and the first seed that catches it ends the run
with 1; 0 means that none did.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.campaign import Result, run_seed
from tests.simulation.plants import PLANTS


def main() -> int:
    options = _options()
    seeds = range(options.first, options.first + options.seeds)
    began_s, played, failed = time.monotonic(), 0, 0
    faults: Counter[str] = Counter()
    executions = 0
    for result in _results(seeds, options.plant, options.processes):
        played += 1
        executions += result.executions
        faults.update(result.faults)
        if options.trace:
            print("\n".join(result.lines))
        if result.violations:
            failed += 1
            _tell(result, options.plant)
            if options.plant:
                return 1
    took_s = time.monotonic() - began_s
    print(
        f"{played} seeds, {failed} failed, {executions} commands executed, {sum(faults.values())} faults of "
        f"{len(faults)} kinds, {took_s:.1f} s, {played / took_s:.1f} seeds/s"
    )
    return 1 if failed else 0


def _results(seeds: range, plant: str, processes: int) -> Iterator[Result]:
    if processes <= 1:
        for seed in seeds:
            yield run_seed(seed, PLANTS.get(plant))
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(_play, ((seed, plant) for seed in seeds), chunksize=8)


def _play(what: tuple[int, str]) -> Result:
    seed, plant = what
    result = run_seed(seed, PLANTS.get(plant))
    if not result.violations:
        result.lines.clear()  # nobody looks at them, and they would have to be carried over
    return result


def _tell(result: Result, plant: str) -> None:
    again = f"python -m tests.simulation --seeds 1 --first {result.seed} --trace"
    print(f"seed {result.seed} FAILED (again: {again}{f' --plant {plant}' if plant else ''})")
    for violation in result.violations:
        print(f"    {violation}")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--plant", choices=sorted(PLANTS), default="", help="a bug to plant")
    parser.add_argument("--processes", type=int, default=1, help="how many seeds at once")
    parser.add_argument("--trace", action="store_true", help="print the last events of each seed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
