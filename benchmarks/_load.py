"""Starts the load server on a core of its own and talks to it; what is measured runs on the other core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks._frame import ROOT


def cores() -> tuple[int, int]:
    """One core for what is measured and one for all others; the same where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1], allowed[0]


class LoadServer:
    """The load server in a process of its own; it ends with this one, whatever happens."""

    def __init__(self, **opening: Any) -> None:
        _, others = cores()
        self._process = spawn([sys.executable, "-m", "benchmarks._load_server"], core=others)
        self.pid = self._process.pid
        try:
            opened = self.ask("open", **opening)
        except BaseException:
            self.close()
            raise
        self.urls: dict[str, Any] = opened["urls"]
        self.symbols: list[str] = opened["symbols"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        """Have it do something, and wait until it is done."""
        return ask(self._process, {"do": what, **more})

    def close(self) -> None:
        end(self._process)


def spawn(command: Sequence[str], *, core: int, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a program that takes and answers lines, on one core."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=None if env is None else os.environ | env,
    )
    os.sched_setaffinity(process.pid, {core})
    return process


def ask(process: subprocess.Popen[str], question: dict[str, Any]) -> dict[str, Any]:
    """One line there, one line back.

    Raises:
        ChildProcessError: it ended instead.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        line = ""
    if not line:
        raise ChildProcessError(f"{process.args!r} ended with {process.wait()}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def end(process: subprocess.Popen[str]) -> None:
    """End it by closing its input, and by force if that does not help."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def cpu_s(pid: int) -> float:
    """CPU time that a process and its threads have used so far, in seconds."""
    return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED of another process, see clock_getcpuclockid(3)


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
