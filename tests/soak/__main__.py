"""Soak: ``python -m tests.soak --minutes 30 [--seed 1] [--calm] [--json FILE] [--plot FILE] [--protocol 100000]``.

Runs a venue with 20 markets that misbehaves, a mosquitto that is killed and hung, the daemon, and five paper
bots that are killed and hung, and watches the daemon from outside. Exits 0 if nothing grew that must not,
nobody met an exception that was not foreseen, the audit verifies, and all is well again after a quiet time.

Then the state machine of the command protocol plays its examples (see ``tests.protocol``), which ``--only-protocol``
has alone, and the fault campaign those seeds that the tests leave out. What has been played is kept in ``.cache/soak``:
the same command goes on from there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adapters.storage.reader import SqliteAuditReader
from tests.protocol.__main__ import soak as protocol_soak
from tests.simulation.__main__ import main as campaign
from tests.soak.chaos import Chaos
from tests.soak.report import HEAD, draw, exceptions_in, lines_of
from tests.soak.watch import Watch
from tests.soak.world import World, settle, world

QUIET_S = 60.0
WARM_S = 45.0
OUT = Path(".cache/soak")


def main() -> int:
    options = _options()
    if options.only_protocol:
        return _protocol(options)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="perpguard-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"logs and databases: {folder}", flush=True)
    result = asyncio.run(_soak(options, folder))
    for path in filter(None, (options.json,)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1))
    print("\n".join(result["failures"]) or "sound", flush=True)
    codes = [_protocol(options), _campaign(options)]
    return 1 if result["failures"] or any(codes) else 0


def _campaign(options: argparse.Namespace) -> int:
    """Play seeds of the fault campaign that the tests leave out."""
    arguments = ["--first", "1000", "--seeds", str(options.campaign), "--processes", str(os.cpu_count() or 1)]
    return campaign([*arguments, "--resume", str(OUT / "campaign.json")])


def _protocol(options: argparse.Namespace) -> int:
    """Play the examples of the command protocol that have not been played yet."""
    OUT.mkdir(parents=True, exist_ok=True)
    return protocol_soak(
        options.protocol,
        seed=options.seed,
        resume=OUT / f"protocol-{options.seed}.json",
        processes=os.cpu_count() or 1,
    )


async def _soak(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    duration_s = options.minutes * 60.0
    made = world(
        folder,
        markets=options.markets,
        bots=options.bots,
        seed=options.seed,
        duration_s=duration_s + WARM_S + QUIET_S + 600.0,
        settings={},
    )
    async with made as life:
        watch, chaos = Watch(life), Chaos(life, options.seed, duration_s)
        await _decides(life)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watch.run(), name="watch")]
            await settle(WARM_S)
            if not options.calm:
                tasks.append(group.create_task(chaos.run(), name="chaos"))
            await _wait(group, watch, duration_s)
            if not options.calm:
                tasks[-1].cancel()
                await asyncio.wait([tasks[-1]])
                await chaos.end()
            await settle(QUIET_S)
            tasks[0].cancel()
        failures = [*_unwell(life, watch), *_exceptions(life)]
        code = await life.daemon.terminate()
        failures += [f"the daemon ended with {code}"] if code else []
        failures += await _audit(life)
    return _told(options, watch, chaos, failures)


async def _wait(group: asyncio.TaskGroup, watch: Watch, duration_s: float) -> None:
    del group
    minutes = 0
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while (passed_s := loop.time() - began_s) < duration_s:
        if passed_s >= 60.0 * minutes:
            minutes += 5
            rss, database = watch.series["RSS"].points[-1][1], watch.series["database"].points[-1][1]
            print(f"{passed_s / 60.0:5.0f} min  RSS {rss:.0f} MB  database {database:.1f} MB", flush=True)
        await settle(1.0)


async def _decides(life: World) -> None:
    for _ in range(600):
        with contextlib.suppress(Exception):
            if any("the guard decides" in str(event.get("event")) for event in life.daemon.events()):
                return
        await settle(0.1)
    raise SystemExit(f"the daemon does not decide:\n{life.daemon.tail()}")


def _unwell(life: World, watch: Watch) -> list[str]:
    """What is still wrong after the quiet time."""
    found = [
        f"{program.name} has ended:\n{program.tail(1500)}" for program in life.programs if not program.runs
    ]
    for name, value in watch.counters.items():
        if name.startswith("markets ") and "trusted" not in name and value:
            found.append(f"{value:.0f} markets are {name.split()[-1]} after {QUIET_S:.0f} s of quiet")
        if name.startswith(("link_up ", "bot_online ", "account_known ")) and not value:
            found.append(f"{name} is 0 after {QUIET_S:.0f} s of quiet")
    return found


def _exceptions(life: World) -> list[str]:
    return [
        f"{program.name}: {line[:600]}"
        for program in life.programs
        for path in (program.stderr_path, program.stdout_path)
        for line in exceptions_in(path)[:5]
    ]


async def _audit(life: World) -> list[str]:
    async with await SqliteAuditReader.open(life.audit_path) as reader:
        verdict = await reader.verify()
    print(f"audit: {verdict.detail}")
    return [] if verdict.ok else [f"the audit is broken at {verdict.broken_at}: {verdict.detail}"]


def _told(options: argparse.Namespace, watch: Watch, chaos: Chaos, failures: list[str]) -> dict[str, Any]:
    lines = lines_of(watch.series.values())
    print(HEAD)
    for line in lines:
        print(line)
    failures = [*(f"{line.name} grows: {line}" for line in lines if line.ok is False), *failures]
    draw(watch.series.values(), options.plot)
    print(f"plotted: {options.plot}; chaos: {dict(chaos.done)}; pages of metrics missed: {watch.missed}")
    for name in ("commands_total", "outcomes_total", "sheddings_total", "events_dropped_total"):
        found = {key: value for key, value in watch.counters.items() if key.startswith(name)}
        print(f"{name}: {found}")
    return {
        "minutes": options.minutes,
        "seed": options.seed,
        "markets": options.markets,
        "bots": options.bots,
        "chaos": dict(chaos.done),
        "quantities": [asdict(line) for line in lines],
        "counters": watch.counters,
        "failures": failures,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="of faults; warm-up and quiet come on top"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the market and of what goes wrong")
    parser.add_argument("--markets", type=int, default=20)
    parser.add_argument("--bots", type=int, default=5)
    parser.add_argument("--calm", action="store_true", help="nothing goes wrong")
    parser.add_argument("--protocol", type=int, default=100_000, help="examples of the command protocol")
    parser.add_argument("--campaign", type=int, default=2_000, help="seeds of the fault campaign")
    parser.add_argument("--only-protocol", action="store_true", help="nothing but these")
    parser.add_argument("--folder", type=Path, help="for logs and databases; a new one if left out")
    parser.add_argument("--json", type=Path, default=OUT / "soak.json")
    parser.add_argument("--plot", type=Path, default=OUT / "soak.svg")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
