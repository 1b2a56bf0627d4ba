"""Runs a module as a program whose wall clock is off: ``python -m tests.support.shifted_clock MS MODULE ARGS``.

Only the wall clock: a machine without network time still counts seconds rightly.
"""

from __future__ import annotations

import runpy
import sys
import time


def main() -> None:
    offset_ms, module = int(sys.argv[1]), sys.argv[2]
    real_ns = time.time_ns

    def shifted_ns() -> int:
        return real_ns() + offset_ms * 1_000_000

    time.time_ns = shifted_ns
    time.time = lambda: shifted_ns() / 1e9
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
