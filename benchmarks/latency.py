"""From a venue's frame to a command in a bot's hands, hop by hop, through the real daemon on loopback.

A made-up market whose makers leave and come back a few times a second makes the guard pause and resume one bot.
Venue, daemon (ccxt.pro, audit, embedded broker) and bot (the SDK's client) are processes of their own. Beside them,
in the same seconds: a bare aiomqtt publish-to-receive on the same broker and a bare durable commit of one record
on the same disk. The hops are the daemon's own, as it writes them into its audit.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._frame import Better, Options, Result, main, quantile
from benchmarks._latency_parts import (
    STEPS_A_PHASE,
    SYMBOL,
    Place,
    bare_commits,
    bare_publishes,
    child,
    delivered,
    hops_us,
    note_deliveries,
    ways_of,
)

COMMANDS = 200
COMMANDS_FULL = 600
SAMPLE_MS = 20
BARE_PAUSE_S = 0.1
TARGET_RATIO = 1.5
TIME_LIMIT_S = 900.0
CASES = (
    "frame to bot",
    "event to bot",
    "venue",
    "sample",
    "features",
    "decide",
    "durable",
    "publish",
    "publish to bot",
    "bot verifies and persists",
    "bot",
    "resume, frame to bot",
    "resume, event to bot",
    "resume, publish to bot",
)
"""What is shown, in the order of the way. ``publish`` ends where the broker has it, ``publish to bot`` where the bot
has; ``bot`` is from there to its answer. A resume waits until the broker has its posture, so it takes two publishes."""


@dataclass(slots=True)
class Measured:
    """What one run gave, in microseconds."""

    hops: dict[str, list[float]] = field(default_factory=dict)
    publishes: list[float] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)


def measure(options: Options) -> list[Result]:
    wanted = COMMANDS if options.quick else COMMANDS_FULL
    with tempfile.TemporaryDirectory() as folder:
        return results_of(asyncio.run(through_the_daemon(Path(folder), wanted)))


def results_of(measured: Measured) -> list[Result]:
    """The table: each hop, what is bare beside it, and the ratio that there is a target for."""
    bare = {
        "publish to bot": ("bare aiomqtt", measured.publishes),
        "durable": ("bare commit", measured.commits),
    }
    results = []
    for case in CASES:
        samples = measured.hops.get(case)
        if not samples:
            continue
        name, others = bare.get(case, ("", ()))
        for label, share in (("p50", 0.5), ("p99", 0.99)):
            low, high = _spread(samples, share)
            results.append(
                Result(
                    name="latency",
                    case=f"{case}, {label}, n={len(samples)}",
                    value=quantile(samples, share),
                    unit="us",
                    low=low,
                    high=high,
                    better=Better.LOWER,
                    target=None,
                    met=None,
                    baselines={f"{name} {label}": quantile(others, share)} if others else {},
                )
            )
    first, last = measured.hops["event to bot"], measured.hops["resume, event to bot"]
    return [
        *results,
        ratio_of("event to bot", first, measured.commits, measured.publishes),
        ratio_of("resume, event to bot", last, measured.commits, measured.publishes, publishes_needed=2),
    ]


def ratio_of(
    case: str,
    event_to_bot: Sequence[float],
    commits: Sequence[float],
    publishes: Sequence[float],
    *,
    publishes_needed: int = 1,
    allowance_us: float = 0.0,
) -> Result:
    """Event to command delivered, p99, over what nobody can do without: one commit and one publish, p99 each.

    Args:
        case: what it is called.
        event_to_bot: microseconds.
        commits: bare ones of the same run.
        publishes: bare ones of the same run.
        publishes_needed: how many of them follow each other.
        allowance_us: taken off first: what load may add.
    """
    floor = quantile(commits, 0.99) + publishes_needed * quantile(publishes, 0.99)
    low, high = _spread(event_to_bot, 0.99)
    ratio = max(quantile(event_to_bot, 0.99) - allowance_us, 0.0) / floor
    return Result(
        name="latency",
        case=f"{case}, p99 / (bare commit p99 + {publishes_needed} x bare aiomqtt p99), n={len(event_to_bot)}",
        value=ratio,
        unit="ratio",
        low=max(low - allowance_us, 0.0) / floor,
        high=max(high - allowance_us, 0.0) / floor,
        better=Better.LOWER,
        target=TARGET_RATIO,
        met=ratio <= TARGET_RATIO,
        baselines={"the bare ones together, us": floor},
    )


async def through_the_daemon(folder: Path, wanted: int) -> Measured:
    """Let a market flicker until ``wanted`` commands have gone their whole way, and gather how long each took."""
    key = secrets.token_bytes(32)
    (folder / "key").write_bytes(key)
    (folder / "key").chmod(0o600)
    # Each phase brings a command; on a busy machine some come with a Tick, or after the next phase has begun.
    steps = (wanted + wanted // 2) * STEPS_A_PHASE
    measured = Measured()
    delivered_ns: dict[str, int] = {}
    async with AsyncExitStack() as stack:
        venue = await stack.enter_async_context(child("venue", steps, folder / "venue.log"))
        settings = _settings(folder, await venue.told())
        daemon = await stack.enter_async_context(child("daemon", settings, folder / "daemon.log"))
        said = await daemon.told()
        place = Place(*said["place"])
        bot = await stack.enter_async_context(
            child("bot", _client_settings(folder, place, said["bots"]["bot"]), folder / "bot.log")
        )
        await bot.told()
        beside = [
            asyncio.create_task(work)
            for work in (
                note_deliveries(place, delivered_ns, topic="perpguard/v1/home/shadow/command/#"),
                bare_publishes(place, measured.publishes, BARE_PAUSE_S),
                bare_commits(folder / "bare.sqlite3", measured.commits, BARE_PAUSE_S),
            )
        ]
        venue.tell("begin")
        over = asyncio.create_task(venue.told(TIME_LIMIT_S))
        await asyncio.wait([over, *beside], return_when=asyncio.FIRST_COMPLETED)
        for task in beside:
            if task.done():
                task.result()
            task.cancel()
        await over
        bot.tell("over")
        told_ns = await bot.told()
    ways = delivered(await ways_of(folder / "audit.sqlite3", delivered_ns, told_ns))
    if len(ways) < wanted:
        raise SystemExit(f"only {len(ways)} commands were measured, {wanted} are needed: see {folder}")
    measured.hops = hops_us(ways)
    return measured


def _settings(folder: Path, urls: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "broker": {"data_dir": str(folder / "broker"), "claim_quiet_s": 1.0},
        "audit": {"path": str(folder / "audit.sqlite3")},
        "bots": [
            {"name": "bot", "key_file": str(folder / "key"), "venue": "binanceusdm", "account": "main"},
        ],
        "venues": [
            {
                "id": "binanceusdm",
                "symbols": [SYMBOL],
                "urls": urls,
                "sample_ms": SAMPLE_MS,
                "rate_limit": False,
            }
        ],
        "baseline": {"warm_up_s": 5.0, "half_life_s": 600.0, "recover_ms": 1000},
        "policies": {"pause_entries": {"confirm_s": 0.0, "collapse_s": 600.0}},
        "arbiter": {"hold_down_s": 0.0, "step_s": 0.0},
        "dispatch": {"settle_ms": 0},
    }


def _client_settings(folder: Path, place: Place, password: str) -> dict[str, Any]:
    return {
        "bot": "bot",
        "site": "home",
        "host": place.hostname,
        "port": place.port,
        "username": "bot",
        "password": password,
        "protocol": "3.1.1",
        "venue": "binanceusdm",
        "account": "main",
        "symbols": [SYMBOL],
        "state_path": str(folder / "bot.json"),
    }


def _spread(samples: Sequence[float], share: float) -> tuple[float, float]:
    """Tenth and ninetieth percentile of the quantile over blocks of the run, so that a noisy stretch shows."""
    size = min(max(len(samples) // 8, 20), len(samples))
    blocks = [
        quantile(samples[start : start + size], share) for start in range(0, len(samples) - size + 1, size)
    ]
    return quantile(blocks, 0.1), quantile(blocks, 0.9)


if __name__ == "__main__":
    sys.exit(main("latency", measure))
