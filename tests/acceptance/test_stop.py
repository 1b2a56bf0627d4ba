"""Stopping in order, and two guards of one site: one goes on, the other says why it does not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from guard.audit import SessionClosed
from perpguard_sdk.messages import GuardState, GuardStatus, Heartbeat
from tests.support.eventually import eventually
from tests.support.processes import ask
from tests.support.stage import ground
from tests.support.together import together

pytestmark = pytest.mark.acceptance


@together
async def test_sigterm_stops_in_order(tmp_path: Path) -> None:
    async with ground(tmp_path, ["alpha"]) as here:
        site = await here.site("home", ["alpha"], broker={"claim_quiet_s": 1.0})
        daemon = site.daemon()
        await site.start(daemon, site.bot("alpha", rearm_ms=1500))
        await site.play("alpha")

        stopped_s = time.monotonic()
        assert await daemon.terminate() == 0
        await eventually(
            lambda: (state := site.tap.guard()) is not None and state.state is GuardStatus.OFFLINE,
            what="the state topic to say offline",
        )
        states = [state.state for state in site.tap.all(GuardState, since_s=stopped_s)]
        assert states[-2:] == [GuardStatus.STOPPING, GuardStatus.OFFLINE]
        await site.in_safe_mode("alpha", since_s=stopped_s)
        assert isinstance((await site.records())[-1], SessionClosed)
        answer = await ask("audit", "verify", str(site.audit_path), folder=site.folder)
        assert answer.code == 0, answer.err


@together
async def test_a_second_guard_of_the_same_site_says_why_it_does_not_run(tmp_path: Path) -> None:
    async with ground(tmp_path, ["alpha"]) as here:
        site = await here.site("home", ["alpha"], broker={"claim_quiet_s": 1.0})
        first = site.daemon()
        second = site.daemon("guard-2", broker={"claim_quiet_s": 3.0, "claim_wait_s": 4.0})
        await site.start(first)
        epoch = await site.decides()
        await second.start()
        assert await second.ended(within_s=30.0) == 1
        assert "another guard of this site" in second.tail()
        assert "stop it" in second.tail()

        since_s = time.monotonic()
        _, beat = await site.tap.expect(Heartbeat, bot="alpha", since_s=since_s)
        assert beat.epoch == epoch
        assert first.runs
        assert {heartbeat.session for heartbeat in site.tap.all(Heartbeat)} == {beat.session}
        state = site.tap.guard("guard-2")
        assert state is not None
        assert state.state is GuardStatus.OFFLINE
        assert any("another guard" in problem for problem in state.problems)
