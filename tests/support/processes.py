"""Real programs for acceptance tests: started, killed, hung and read from outside, as an operator sees them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually

REPOSITORY = Path(__file__).parents[2]
CLI_S_MAX = 30.0


@dataclass(slots=True)
class Program:
    """One program that may be started again; what it wrote over all its lives is in two files."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    exit_code: int | None = None
    _process: Process | None = None

    @property
    def stdout_path(self) -> Path:
        return self.folder / f"{self.name}.stdout"

    @property
    def stderr_path(self) -> Path:
        return self.folder / f"{self.name}.stderr"

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it; what tells that it is ready is for the caller to wait for."""
        assert not self.runs, f"{self.name} runs already"
        with self.stdout_path.open("ab") as out, self.stderr_path.open("ab") as err:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), **self.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    async def kill(self) -> float:
        """SIGKILL; returns when, in seconds of the monotonic clock."""
        at = time.monotonic()
        await self._end(signal.SIGKILL)
        return at

    async def terminate(self, *, within_s: float = 15.0) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None, f"{self.name} does not run"
        self._process.send_signal(signal.SIGTERM)
        return await self.ended(within_s=within_s)

    async def ended(self, *, within_s: float = 30.0) -> int:
        """Wait until it ends by itself; returns the exit code."""
        assert self._process is not None, f"{self.name} does not run"
        try:
            async with asyncio.timeout(within_s):
                self.exit_code = await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} has not ended within {within_s} s\n{self.tail()}") from None
        return self.exit_code

    def send(self, number: signal.Signals) -> None:
        """Send it any other signal."""
        os.kill(self.pid, number)

    async def suspend(self) -> float:
        """SIGSTOP; returns when, once every thread stands still."""
        at = time.monotonic()
        os.kill(self.pid, signal.SIGSTOP)
        await eventually(lambda: _is_stopped(self.pid), within_s=2.0, every_s=0.001, what="a stopped process")
        return at

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    async def close(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        await self._end(signal.SIGKILL)

    def events(self, path: Path | None = None) -> list[dict[str, Any]]:
        """What it logged as JSON lines, all lives together."""
        found = []
        for line in (path or self.stderr_path).read_text(errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                value = json.loads(line)
                if isinstance(value, dict):
                    found.append(value)
        return found

    def tail(self, characters: int = 3000) -> str:
        """The end of what it wrote, for the message of a failure."""
        parts = [path.read_text(errors="replace") for path in (self.stdout_path, self.stderr_path)]
        return f"--- {self.name}\n" + "\n".join(part[-characters:] for part in parts)

    async def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)
        self.exit_code = await self._process.wait()


@dataclass(frozen=True, slots=True)
class Answer:
    """How one run of the command line ended."""

    code: int
    out: str
    err: str


def perpguard(*arguments: str) -> tuple[str, ...]:
    """The command line as it is installed beside this Python."""
    return (sys.executable, "-m", "guard", *arguments)


async def ask(*arguments: str, folder: Path, environment: Mapping[str, str] | None = None) -> Answer:
    """Run one command of perpguard to its end."""
    process = await asyncio.create_subprocess_exec(
        *perpguard(*arguments),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120", **(environment or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CLI_S_MAX):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Answer(process.returncode, out.decode(), err.decode())


def write_toml(path: Path, settings: Mapping[str, Any]) -> Path:
    """Write settings: every top-level key on a line of its own, tables inline."""
    path.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in settings.items()))
    return path


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay nested tables over others; lists and scalars are replaced."""
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        result[key] = merged(known, value) if both else value  # type: ignore[arg-type]
    return result


def _toml(value: Any) -> str:
    match value:
        case Mapping():
            return "{" + ", ".join(f"{_key(key)} = {_toml(each)}" for key, each in _given(value)) + "}"
        case list() | tuple():
            return "[" + ", ".join(_toml(each) for each in value) + "]"
        case bool() | int() | float():
            return json.dumps(value)
        case _:
            return json.dumps(str(value))


def _key(name: str) -> str:
    return json.dumps(name)


def _given(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in table.items() if value is not None)


def _is_stopped(pid: int) -> bool:
    """Whether all threads stand still; where there is no /proc it is believed."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)
