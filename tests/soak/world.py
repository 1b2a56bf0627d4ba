"""The programs of a soak, and the life that they share: each its own process, most of them killed now and then."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.brokers import Broker, mosquitto
from tests.support.eventually import eventually
from tests.support.processes import Program, merged, perpguard, write_toml

MAJORS = ("BTC", "ETH", "SOL", "BNB", "XRP")
FURTHER = 15
VENUE = "binanceusdm"
SITE = "soak"
STRATEGY: dict[str, Any] = {
    "leverage": 10,
    "slice_usd": 10_000,
    "slices_max": 4,
    "slices_open": 2,
    "dip_bps": 60,
    "stop_bps": 600,
    "reentry_s": 20,
}
READY_S = 60.0


def codes(markets: int) -> list[str]:
    """The venue's names of so many markets, the five that bots trade first."""
    return [f"{base}USDT" for base in (*MAJORS, *(f"ALT{number}" for number in range(FURTHER)))][:markets]


def symbol_of(code: str) -> str:
    return f"{code.removesuffix('USDT')}/USDT:USDT"


@dataclass(slots=True)
class World:
    """Use ``world(...)``."""

    folder: Path
    broker: Broker
    venue: Program
    venue_port: int
    daemon: Program
    metrics_port: int
    bots: dict[str, Program]
    symbols: list[str]
    programs: list[Program] = field(default_factory=list)

    @property
    def audit_path(self) -> Path:
        return self.folder / "var" / "audit.sqlite3"

    @property
    def database_bytes(self) -> int:
        """All that the daemon has written, segments, samples and journals included."""
        return sum(path.stat().st_size for path in (self.folder / "var").rglob("*") if path.is_file())

    async def restart(self, program: Program) -> None:
        """Kill -9 and start again."""
        await program.kill()
        await program.start()

    def logged(self, program: Program) -> list[dict[str, Any]]:
        return program.events()


@contextlib.asynccontextmanager
async def world(
    folder: Path, *, markets: int, bots: int, seed: int, duration_s: float, settings: dict[str, Any]
) -> AsyncIterator[World]:
    """Start everything, and leave nothing behind.

    Args:
        folder: for settings, logs and databases.
        markets: how many, 20 at most.
        bots: how many, each on an account and a market of its own, 5 at most.
        seed: of the market.
        duration_s: how long the venue must play at least.
        settings: of the daemon, over ours.
    """
    names = [f"bot-{number}" for number in range(bots)]
    traded = codes(markets)
    venue_port, metrics_port = _free_port(), _free_port()
    async with contextlib.AsyncExitStack() as stack:
        broker = await stack.enter_async_context(mosquitto(folder))
        venue = _venue(folder, traded, names, seed, duration_s, venue_port)
        stack.push_async_callback(venue.close)
        await venue.start()
        urls = await _ready(venue)
        for name in names:
            _secret(folder / f"{name}.key", secrets.token_urlsafe(24))
            _secret(folder / f"{name}.api_key", f"key-{name}")
            _secret(folder / f"{name}.api_secret", f"secret-{name}")
        daemon = _daemon(folder, broker, traded, names, urls, metrics_port, settings)
        made = World(folder, broker, venue, venue_port, daemon, metrics_port, {}, traded)
        for name, code in zip(names, traded, strict=False):
            made.bots[name] = _bot(folder, broker, name, code, urls)
        made.programs = [venue, daemon, *made.bots.values()]
        for program in (daemon, *made.bots.values()):
            stack.push_async_callback(program.close)
            await program.start()
        yield made


def _venue(
    folder: Path, traded: Sequence[str], names: Sequence[str], seed: int, duration_s: float, port: int
) -> Program:
    accounts = [part for name in names for part in ("--account", f"{name}:key-{name}:secret-{name}:10000")]
    options = {"scenario": "waves", "fall": 0.12, "seed": seed, "duration": duration_s, "port": port}
    listed = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = (sys.executable, "-m", "adapters.simulation", "--symbols", ",".join(traded), *listed, *accounts)
    return Program("venue", command, folder)


async def _ready(venue: Program) -> dict[str, Any]:
    def urls() -> dict[str, Any] | None:
        said = [event for event in venue.events(venue.stdout_path) if event.get("event") == "ready"]
        return dict(said[-1]["urls"]) if said else None

    found = await eventually(urls, within_s=READY_S, every_s=0.1, what="the venue's first line")
    assert found is not None
    return found


def _daemon(
    folder: Path,
    broker: Broker,
    traded: Sequence[str],
    names: Sequence[str],
    urls: dict[str, Any],
    metrics_port: int,
    over: dict[str, Any],
) -> Program:
    settings = {
        "guard": {"name": "guard-1"},
        "broker": {"kind": "external", "host": broker.host, "port": broker.port, "site": SITE},
        "venues": [
            {
                "id": VENUE,
                "symbols": [symbol_of(code) for code in traded],
                "urls": urls,
                "account_poll_s": 2.0,
                "rate_limit": False,
                "accounts": {
                    name: {"api_key_file": f"{name}.api_key", "api_secret_file": f"{name}.api_secret"}
                    for name in names
                },
            }
        ],
        "bots": [
            {"name": name, "key_file": f"{name}.key", "venue": VENUE, "account": name} for name in names
        ],
        "baseline": {"warm_up_s": 30.0},
        "policies": {"pause_entries": {"confirm_s": 2.0}},
        "arbiter": {"hold_down_s": 8.0, "step_s": 2.0},
        # Small, so that half an hour sees what months do: segments that begin and go, samples that make room.
        "audit": {"rotate_mb": 2.0, "keep_mb": 6.0, "keep_days_min": 0.0},
        "samples": {"keep_mb": 16.0, "file_mb": 4.0},
        "metrics": {"enabled": True, "port": metrics_port},
        "log": {"format": "json"},
    }
    path = write_toml(folder / "settings.toml", merged(settings, over))
    return Program("daemon", perpguard("run", "--settings", str(path)), folder)


def _bot(folder: Path, broker: Broker, name: str, code: str, urls: dict[str, Any]) -> Program:
    settings = {
        "name": name,
        "key_file": str(folder / f"{name}.key"),
        "broker": {"host": broker.host, "port": broker.port},
        "site": SITE,
        "account": name,
        "venue_urls": urls,
        "api_key_file": str(folder / f"{name}.api_key"),
        "api_secret_file": str(folder / f"{name}.api_secret"),
        "symbol": symbol_of(code),
        "strategy": STRATEGY,
        "state_dir": str(folder / f"{name}.d"),
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(settings))
    return Program(name, (sys.executable, "-m", "adapters.bots.paper", "--settings", str(path)), folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


async def settle(seconds: float) -> None:
    """Let the world run."""
    await asyncio.sleep(seconds)
