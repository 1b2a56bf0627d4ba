"""The daemon as it is run, pinned to one core, with a real mosquitto on the other; looked at from outside."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks._frame import ROOT
from benchmarks._load import LoadServer, ask, cores, cpu_s, end, rss_mb, spawn
from tests.support.processes import merged, write_toml

SITE = "benchmark"
VENUE = "binanceusdm"
READY_S_MAX = 45.0
STOP_S = 20.0


class Broker:
    """A mosquitto that takes anyone, on the core of the load server."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
        if program is None:
            raise SystemExit("mosquitto is needed: apt-get install mosquitto")
        self.port = free_port()
        configuration = folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "log_type error",
            "set_tcp_nodelay true",
        ]
        if os.geteuid() == 0:
            lines.append("user root")
        configuration.write_text("\n".join(lines) + "\n")
        self._process = subprocess.Popen([program, "-c", str(configuration)], stdin=subprocess.DEVNULL)
        os.sched_setaffinity(self._process.pid, {cores()[1]})
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.close()
        raise SystemExit("mosquitto does not listen")

    def close(self) -> None:
        _stop(self._process)


@dataclass(slots=True)
class Daemon:
    """``perpguard run`` in a folder of its own. Use it as a context manager."""

    folder: Path
    server: LoadServer
    over: dict[str, Any] = field(default_factory=dict)
    """Settings over those of the benchmark."""
    bots: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    command: Sequence[str] = (sys.executable, "-m", "guard", "run")
    root: Path = ROOT
    """Where the program is: another commit's tree has another one."""
    broker: Broker = field(init=False)
    metrics_port: int = field(init=False)
    keys: dict[str, bytes] = field(init=False, default_factory=dict)
    started_at: float = field(init=False, default=0.0)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _bots: subprocess.Popen[str] | None = field(init=False, default=None)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.metrics_port = free_port()
        self.broker = Broker(self.folder)
        try:
            for number in range(self.bots):
                self.keys[f"bot-{number}"] = key = secrets.token_bytes(32)
                (self.folder / f"bot-{number}.key").write_bytes(key)
                (self.folder / f"bot-{number}.key").chmod(0o600)
            path = write_toml(self.folder / "settings.toml", merged(self._settings(), self.over))
            with (self.folder / "daemon.log").open("wb") as log:
                self.started_at = time.monotonic()
                self._process = subprocess.Popen(
                    [*self.command, "--settings", str(path)],
                    cwd=self.root,
                    env=os.environ | {"PYTHONPATH": str(self.root)} | self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            os.sched_setaffinity(self._process.pid, {cores()[0]})
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bots is not None:
            end(self._bots)
        if self._process is not None:
            _stop(self._process)
        self.broker.close()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    @property
    def rss_mb(self) -> float:
        return rss_mb(self.pid)

    @property
    def audit_path(self) -> Path:
        return self.folder / "var" / "audit.sqlite3"

    def metrics(self) -> dict[str, float]:
        """What it says of itself, by name with labels."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        parted = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in parted if name}

    def ready_s(self) -> float:
        """Wait until it has judged everything that it watches; seconds since its start.

        Raises:
            SystemExit: it ended, or took too long.
        """
        while (waited_s := time.monotonic() - self.started_at) < READY_S_MAX:
            assert self._process is not None
            if self._process.poll() is not None:
                raise SystemExit(f"the daemon ended:\n{self.log()[-3000:]}")
            try:
                found = self.metrics()
            except OSError:
                found = {}
            if found.get("perpguard_ready", 0.0) == 1.0:
                return time.monotonic() - self.started_at
            time.sleep(0.1)
        raise SystemExit(f"not ready after {waited_s:.0f} s:\n{self.log()[-3000:]}")

    def log(self) -> str:
        return (self.folder / "daemon.log").read_text(encoding="utf-8", errors="replace")

    def start_bots(self) -> None:
        """Bring the bots up, and wait until the daemon has armed all of them."""
        _, others = cores()
        self._bots = spawn([sys.executable, "-m", "benchmarks._load_bots"], core=others)
        bots = [
            {"name": name, "key": key.hex(), "symbol": self.server.symbols[number]}
            for number, (name, key) in enumerate(self.keys.items())
        ]
        place = {"host": "127.0.0.1", "port": self.broker.port, "site": SITE, "folder": str(self.folder)}
        ask(self._bots, place | {"bots": bots})
        self.ask_bots("armed")

    def ask_bots(self, what: str, **more: Any) -> dict[str, Any]:
        assert self._bots is not None
        return ask(self._bots, {"do": what, **more})

    def _settings(self) -> dict[str, Any]:
        return {
            "guard": {"name": "guard-1"},
            "broker": {
                "kind": "external",
                "host": "127.0.0.1",
                "port": self.broker.port,
                "site": SITE,
                "claim_quiet_s": 1.0,
            },
            "venues": [
                {
                    "id": VENUE,
                    "symbols": self.server.symbols,
                    "urls": self.server.urls,
                    "rate_limit": False,
                    "open_interest_poll_s": 60.0,
                }
            ],
            "bots": [
                {
                    "name": name,
                    "key_file": f"{name}.key",
                    "venue": VENUE,
                    "account": "main",
                    "symbols": [self.server.symbols[number]],
                }
                for number, name in enumerate(self.keys)
            ],
            # What latency.py has too: a book that empties is acted upon at once, and given back at once.
            "baseline": {"warm_up_s": 5.0, "half_life_s": 600.0, "recover_ms": 1000},
            "policies": {"pause_entries": {"confirm_s": 0.0, "collapse_s": 600.0}},
            "arbiter": {"hold_down_s": 0.0, "step_s": 0.0},
            "dispatch": {"settle_ms": 0},
            "metrics": {"enabled": True, "port": self.metrics_port},
            "log": {"format": "json"},
        }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
