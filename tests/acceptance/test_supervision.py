"""The daemon under a supervisor and with settings that change, as systemd and an operator would have it."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from guard.audit import SettingsReloaded
from perpguard_sdk.messages import BotStatus, Entries, GuardStatus
from tests.support.eventually import eventually
from tests.support.processes import Program, ask, merged, perpguard, write_toml
from tests.support.stage import READY_S, SYMBOL, Site, ground
from tests.support.together import together

pytestmark = pytest.mark.acceptance

WATCHDOG_S = 2.0


@dataclass
class Supervisor:
    """The other end of the notify socket; reads whenever it is asked."""

    socket: socket.socket
    heard: list[tuple[float, dict[str, str]]] = field(default_factory=list)

    def all(self, name: str, *, since_s: float = 0.0) -> list[str]:
        with contextlib.suppress(BlockingIOError):
            while True:
                lines = self.socket.recv(4096).decode().splitlines()
                self.heard.append((time.monotonic(), dict(line.split("=", 1) for line in lines)))
        return [said[name] for at_s, said in self.heard if name in said and at_s >= since_s]


@contextlib.contextmanager
def supervisor(folder: Path) -> Iterator[tuple[Supervisor, dict[str, str]]]:
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(path))
        heard.setblocking(False)
        usec = str(int(WATCHDOG_S * 1e6))
        yield Supervisor(heard), {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": usec}


@together
async def test_a_supervisor_hears_that_it_lives_only_while_the_engine_does(tmp_path: Path) -> None:
    async with ground(tmp_path) as here:
        site = await here.site("home", [], broker={"claim_quiet_s": 1.0})
        settings = site.daemon_settings("guard-1", "guard-1", {"venues": []})
        path = write_toml(site.folder / "guard-1.toml", settings)
        hung = site.folder / "hung"
        with supervisor(tmp_path) as (heard, environment):
            command = (sys.executable, "-m", "tests.support.hangable", str(hung), *perpguard("run")[3:])
            daemon = Program("guard-1", (*command, "--settings", str(path)), site.folder, environment)
            site.programs.append(daemon)
            await daemon.start()
            await eventually(lambda: heard.all("READY"), within_s=READY_S, what="READY")
            assert site.tap.guard() is not None
            beating_s = time.monotonic()
            await eventually(lambda: len(heard.all("WATCHDOG", since_s=beating_s)) >= 4, what="beats")
            assert any("paper, decides in epoch 1" in status for status in heard.all("STATUS"))

            hung.touch()
            hung_s = time.monotonic() + 0.6  # a beat may be on its way
            silent_s = hung_s + WATCHDOG_S * 1.2
            await eventually(lambda: time.monotonic() > silent_s, every_s=0.1, what="time to pass")
            assert heard.all("WATCHDOG", since_s=hung_s) == [], "a supervisor must see that it hangs"
            assert daemon.runs
            hung.unlink()
            well_s = time.monotonic()
            await eventually(lambda: heard.all("WATCHDOG", since_s=well_s), what="beats again")

            reloading_s = time.monotonic()
            daemon.send(signal.SIGHUP)
            await eventually(lambda: heard.all("READY", since_s=reloading_s), what="READY after RELOADING")
            assert heard.all("RELOADING", since_s=reloading_s) == ["1"]
            assert int(heard.all("MONOTONIC_USEC")[0]) > 0
            assert await daemon.terminate() == 0
            assert heard.all("STOPPING") == ["1"]


def rewritten(site: Site, change: dict[str, Any]) -> None:
    """Change the daemon's settings file as an editor does: a new file takes the old one's place."""
    path = site.folder / "guard-1.toml"
    settings = merged(tomllib.loads(path.read_text()), change)
    write_toml(site.folder / "new.toml", settings).replace(path)


async def reloads(site: Site, count: int) -> list[SettingsReloaded]:
    """The reloads that the audit holds, once there are so many."""

    async def found() -> list[SettingsReloaded]:
        records = [record for record in await site.records() if isinstance(record, SettingsReloaded)]
        return records if len(records) >= count else []

    return await eventually(found, within_s=15.0, every_s=0.2, what=f"{count} reloads")


@together
async def test_settings_change_while_it_runs(tmp_path: Path) -> None:
    async with ground(tmp_path, ["alpha", "beta"]) as here:
        site = await here.site("home", ["alpha", "beta"], broker={"claim_quiet_s": 1.0})
        daemon = site.daemon()
        both = site.daemon_settings("guard-1", "guard-1", {})
        alone = {"bots": [bot for bot in both["bots"] if bot["name"] == "alpha"]}
        rewritten(site, alone)
        await site.start(daemon, site.bot("alpha"), site.bot("beta"))
        epoch = await site.decides()
        await site.armed("alpha")

        # What cannot be used is said, and changes nothing.
        bad_s = time.monotonic()
        rewritten(site, {"policies": {"pause_entries": {"depth_z": 5.0}}})
        _, state = await site.tap.expect_guard(
            lambda state: any("settings_refused" in problem for problem in state.problems), since_s=bad_s
        )
        assert state.state is GuardStatus.DEGRADED
        assert any("depth_z" in problem for problem in state.problems)
        (refused,) = await reloads(site, 1)
        assert not refused.applied
        assert "line" in refused.problems[0]

        # A bot is let in, a threshold moves; venue and epoch stay.
        good_s = time.monotonic()
        rewritten(site, {"bots": both["bots"], "policies": {"pause_entries": {"depth_z": -4.0}}})
        taken = (await reloads(site, 2))[-1]
        assert taken.applied
        effects = {change.path: change.effect for change in taken.changes}
        assert effects == {"bots.beta": "tightens", "policies.pause_entries.depth_z": "loosens"}
        await site.armed("beta", since_s=good_s)
        assert await site.decides(since_s=good_s) == epoch
        posture = site.tap.posture("beta")
        assert posture is not None
        assert posture.entries.get(SYMBOL, Entries.ALLOWED) is Entries.ALLOWED

        # A venue is connected anew: its account and market are unknown for a moment, then known again.
        venue_s = time.monotonic()
        rewritten(site, {"venues": [{**both["venues"][0], "sample_ms": 150}]})
        (change,) = (await reloads(site, 3))[-1].changes
        assert change.path == "venues.binanceusdm.sample_ms"
        await site.decides(since_s=venue_s)

        # A restart is needed: refused whole. Then, asked for, the bot goes again and alpha stays.
        rewritten(site, {"bots": both["bots"], "guard": {"mode": "live"}})
        assert "restart needed" in (await reloads(site, 4))[-1].problems[0]
        gone_s = time.monotonic()
        rewritten(site, {**alone, "guard": {"mode": "paper"}})
        answer = await ask(
            "reload", "--json", "--settings", str(site.folder / "guard-1.toml"), folder=site.folder
        )
        assert answer.code == 0, answer.err
        assert json.loads(answer.out)["applied"]
        await site.in_safe_mode("beta", since_s=gone_s)
        last = site.tap.bot_state("alpha")
        assert last is not None
        assert last.state is BotStatus.ONLINE
        assert daemon.runs

        shown = await ask("audit", "show", str(site.audit_path), "--last", "100", folder=site.folder)
        assert "pause_entries.depth_z -3.0 -> -4.0 (loosens)" in shown.out
        assert (await site.verdict()).ok
        assert "Traceback" not in daemon.stderr_path.read_text()
