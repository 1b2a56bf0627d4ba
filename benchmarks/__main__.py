"""Run all benchmarks, or those named: ``python -m benchmarks [--quick] [--out FOLDER] [NAME ...]``."""

from __future__ import annotations

import argparse
import pkgutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import benchmarks
from benchmarks._frame import ROOT

OUT = ROOT / ".cache" / "benchmarks"


def names_of_benchmarks() -> list[str]:
    """Every public module of this package is one."""
    found = pkgutil.iter_modules(benchmarks.__path__)
    return sorted(module.name for module in found if not module.ispkg and not module.name.startswith("_"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run each in a process of its own, so that none inherits another's memory; 1 if any failed."""
    known = names_of_benchmarks()
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; default: all")
    parser.add_argument("--quick", action="store_true", help="less work, coarser figures")
    parser.add_argument("--strict", action="store_true", help="exit 1 if a target is not met")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for NAME.json")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.names) - set(known))
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}; there are {', '.join(known)}")

    failed = []
    options = [option for option in ("quick", "strict") if getattr(given, option)]
    for name in given.names or known:
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(given.out / f"{name}.json")]
        started = time.monotonic()
        done = subprocess.run([*command, *(f"--{option}" for option in options)], check=False, cwd=ROOT)
        sys.stdout.write(f"{name}: {time.monotonic() - started:.0f} s, {given.out / name}.json\n\n")
        sys.stdout.flush()
        if done.returncode:
            failed.append(name)
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
