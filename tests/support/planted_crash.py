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

AFTER_S = 2.0


def main() -> None:
    secrets = Path(sys.argv[1]).read_text().splitlines()
    sys.argv = ["perpguard", *sys.argv[2:]]
    process = Runner.run

    async def run(self: Runner) -> Any:
        running = asyncio.ensure_future(process(self))
        await asyncio.wait([running], timeout=AFTER_S)
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
