"""Environments of their own for what we compare with, and programs that run there and answer in lines.

A peer's dependencies must neither meet ours nor slip into the lock, so each lives in ``.venv-peers/NAME``.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks._frame import ROOT

PEERS = ROOT / ".venv-peers"


class PeerUnavailableError(Exception):
    """A peer's environment cannot be made here; the message holds pip's last words."""


def peer_python(name: str, requirements: Sequence[str], *, folder: Path = PEERS) -> Path:
    """Return the Python of a peer's environment, made on first use and again when ``requirements`` change.

    Args:
        name: of the folder below ``.venv-peers``.
        requirements: pinned, as in ``sortedcontainers==2.4.0``, so that figures can be repeated.
        folder: where environments are kept.

    Raises:
        PeerUnavailableError: it could not be made, most often for want of a network.
    """
    home = folder / name
    python = home / "bin" / "python"
    stamp = home / f"ready-{hashlib.sha256(' '.join(requirements).encode()).hexdigest()[:16]}"
    if stamp.exists():
        return python
    sys.stderr.write(f"making .venv-peers/{name} with {', '.join(requirements)}\n")
    _run(name, sys.executable, "-m", "venv", "--clear", str(home))
    if requirements:
        _run(name, str(python), "-m", "pip", "install", "--quiet", *requirements)
    stamp.touch()
    return python


def _run(name: str, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerUnavailableError(f"{name}: {(done.stderr or done.stdout).strip()[-500:]}")


class PeerWorker:
    """A program in a peer's environment: one JSON line asks, one JSON line answers.

    It stays up, so that its repetitions interleave with ours. ``module`` is one of ``benchmarks.peers``.
    """

    def __init__(self, python: Path, module: str) -> None:
        command = [str(python), "-m", f"benchmarks.peers.{module}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin:
            self._process.stdin.close()  # it ends at the end of its input
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Ask and wait for the answer.

        Raises:
            PeerUnavailableError: the program ended instead; its error is on standard error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerUnavailableError(f"the peer's program ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer
