"""Asked to stop at any moment, the daemon ends in order and in time, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from guard.audit import SessionClosed
from tests.support.eventually import eventually
from tests.support.processes import Program, ask
from tests.support.stage import READY_S, ground
from tests.support.together import together

pytestmark = pytest.mark.acceptance

STOP_S = 5.0
"""Half of what container runtimes wait before they kill."""
EMBEDDED = {"kind": "embedded", "port": 0, "protocol": "3.1.1", "claim_quiet_s": 1.0}


def heeds_signals(daemon: Program) -> bool:
    """Whether Python has a handler for SIGTERM by now; before that the kernel ends it."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def said(event: str, times: int) -> Callable[[Program], bool]:
    return lambda daemon: sum(line.get("event") == event for line in daemon.events()) == times


@together
async def test_the_daemon_stops_in_order_whenever_it_is_asked_to(tmp_path: Path) -> None:
    async with ground(tmp_path, ["alpha"]) as here:
        site = await here.site("home", ["alpha"], broker=EMBEDDED)
        daemon = site.daemon()
        for moment in (heeds_signals, said("perpguard runs", 1), said("the guard decides", 1)):
            await daemon.start()
            await eventually(partial(moment, daemon), within_s=READY_S, what=str(moment))
            asked_s = time.monotonic()
            assert await daemon.terminate() == 0, daemon.tail()
            assert time.monotonic() - asked_s < STOP_S
            assert "Traceback" not in daemon.stderr_path.read_text()
            assert not brokers_in(site.folder)
        assert isinstance((await site.records())[-1], SessionClosed)
        answer = await ask("audit", "verify", str(site.audit_path), folder=site.folder)
        assert answer.code == 0, answer.err


@together
async def test_a_hung_broker_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    async with ground(tmp_path, ["alpha"]) as here:
        site = await here.site("home", ["alpha"], broker=EMBEDDED)
        daemon = site.daemon()
        await daemon.start()
        await eventually(lambda: said("the guard decides", 1)(daemon), within_s=READY_S, what="a decision")
        (broker,) = brokers_in(site.folder)
        os.kill(broker, signal.SIGSTOP)
        asked_s = time.monotonic()
        assert await daemon.terminate() == 0, daemon.tail()
        assert time.monotonic() - asked_s < STOP_S
        assert not brokers_in(site.folder)


def brokers_in(folder: Path) -> list[int]:
    """Embedded brokers that run with files in ``folder``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:  # it has just ended
            continue
        if b"nats-server" in command and str(folder).encode() in command:
            found.append(int(process.name))
    return found
