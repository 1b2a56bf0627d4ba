"""The broker is killed for twenty seconds: what was decided before or meanwhile is not executed afterwards."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from guard.audit import Sent, Step
from perpguard_sdk.messages import CutLeverage, Posture
from tests.support.eventually import eventually
from tests.support.processes import ask
from tests.support.stage import SYMBOL, ground
from tests.support.together import Note, together

pytestmark = pytest.mark.acceptance

OUTAGE_S = 20.0


@together
async def test_no_stale_command_is_executed_after_the_broker_was_away(tmp_path: Path, note: Note) -> None:
    """``beta`` hangs with commands unread when the broker dies, and wakes when they have expired."""
    async with ground(tmp_path, ["alpha", "beta"]) as here:
        site = await here.site("home", ["alpha", "beta"], broker={"claim_quiet_s": 1.0})
        daemon, beta = site.daemon(), site.bot("beta")
        await site.start(daemon, site.bot("alpha"), beta)
        await site.play("alpha", "beta")

        await beta.suspend()
        thinned_s = time.monotonic()
        here.market.thin()
        _, unread = await site.tap.expect(CutLeverage, bot="beta", since_s=thinned_s)
        await here.broker.kill()
        killed_s, killed_ms = time.monotonic(), _now_ms()
        unread_ids = {command.id for _, command in site.tap.commands("beta", since_s=thinned_s)}
        size = site.size("beta")
        here.market.fall(bps=60)
        await eventually(
            lambda: _now_ms() > unread.expires_at + 1000, within_s=15.0, what="the unread commands to expire"
        )
        beta.resume()
        await eventually(lambda: time.monotonic() > killed_s + OUTAGE_S, within_s=OUTAGE_S)
        assert size == site.size("beta")
        assert not unread_ids & set(site.executed("beta"))

        await here.broker.restart()
        back_s, back_ms = time.monotonic(), _now_ms()
        heard, _ = await site.tap.expect_guard(lambda state: state.epoch == 1, since_s=back_s)
        note("guard back after the broker is back, s", heard.at_s - back_s)
        for bot in ("alpha", "beta"):
            heard, _ = await site.tap.expect(
                Posture, lambda posture: posture.ts >= killed_ms, bot=bot, since_s=back_s, within_s=15.0
            )
            note("fresh posture after the broker is back, s", heard.at_s - back_s)
        for bot in ("alpha", "beta"):
            note(
                "out of safe mode after the broker is back, s", await site.armed(bot, since_s=back_s) - back_s
            )
        posture = site.tap.posture("beta")
        assert posture is not None
        cap = posture.max_size[SYMBOL]
        await eventually(
            lambda: abs(site.size("beta")) <= cap * 1.02,
            within_s=20.0,
            what=f"beta to come down to {cap} by a command that is not stale",
        )

        for heard, command in site.tap.commands(since_s=back_s):
            assert heard.at_ms <= command.expires_at
            assert command.id not in unread_ids
        assert not unread_ids & set(site.executed("beta"))
        await site.assert_executed_in_time("alpha", "beta")
        meanwhile = [
            publish
            for record in await site.records()
            if isinstance(record, Step) and killed_ms < record.at // 1_000_000 < back_ms
            for publish in record.postures
            if publish.changed and publish.tightens
        ]
        assert meanwhile, "the market fell on: something tighter was decided during the outage"
        unsent = [
            record
            for record in await site.records()
            if isinstance(record, Sent) and not record.ok and killed_ms < record.at // 1_000_000 < back_ms
        ]
        assert unsent, "and the audit says that it could not be sent"
        assert await daemon.terminate() == 0
        answer = await ask("audit", "verify", str(site.audit_path), folder=site.folder)
        assert answer.code == 0, answer.err


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
