"""Runs perpguard with a planted bug: once it decides, a task dies of an error that holds secrets.

``python -m tests.support.planted_crash FILE ARGS``: the lines of FILE are the secrets; they stand in the
error's text, in its cause, and in local variables of every frame on the way.
"""

from __future__ import annotations

import asyncio
import runpy
import sys
from pathlib import Path
from typing import Any

from guard.runner import Runner

AFTER_STEPS = 20


def main() -> None:
    secrets = Path(sys.argv[1]).read_text().splitlines()
    sys.argv = ["perpguard", *sys.argv[2:]]
    process, steps = Runner.run, 0

    async def run(self: Runner) -> Any:
        nonlocal steps
        running = asyncio.ensure_future(process(self))
        while steps < AFTER_STEPS and not running.done():
            steps += 1
            await asyncio.sleep(0.1)
        running.cancel()
        await asyncio.wait([running])
        _fail(*secrets)

    Runner.run = run  # type: ignore[method-assign]
    runpy.run_module("guard", run_name="__main__", alter_sys=True)


def _fail(*secrets: str) -> None:
    everything = {"password": secrets, "all": list(secrets)}
    try:
        int(" ".join(secrets))
    except ValueError as error:
        raise RuntimeError(f"planted: {everything} {[each.encode() for each in secrets]}") from error


if __name__ == "__main__":
    main()
