"""Rubbish on the guard's topics: refused, counted, said on the state topic, and everything else goes on."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import aiomqtt
import pytest

from perpguard_sdk.codec import encode_signed
from perpguard_sdk.messages import Ack, AckStatus, BotStatus, Entries, GuardStatus, Heartbeat, Pause
from tests.support.eventually import eventually
from tests.support.stage import SYMBOL, Site, ground
from tests.support.together import together

pytestmark = pytest.mark.acceptance


@together
async def test_malformed_and_wrongly_signed_messages_change_nothing_but_the_state_topic(
    tmp_path: Path,
) -> None:
    async with ground(tmp_path, ["alpha"]) as here:
        site = await here.site("home", ["alpha"], broker={"claim_quiet_s": 1.0})
        daemon = site.daemon()
        await site.start(daemon, site.bot("alpha", rearm_ms=1500))
        await site.play("alpha")

        since_s = time.monotonic()
        await _flood(site)
        _, state = await site.tap.expect_guard(
            lambda state: any("message_refused (alpha)" in problem for problem in state.problems),
            since_s=since_s,
        )
        assert state.state is GuardStatus.DEGRADED
        refused = [problem for problem in state.problems if "message_refused" in problem]
        assert any("signature" in problem or "malformed" in problem for problem in refused), refused
        await eventually(
            lambda: any(problem.startswith("message_refused:") for problem in _problems(site)),
            within_s=15.0,  # a burst is told in two parts: the first message at once, the others after 10 s
            what="messages of nobody that we know to be a problem too",
        )
        assert daemon.runs
        bot_state = site.tap.bot_state("alpha")
        assert bot_state is not None
        assert bot_state.state is BotStatus.ONLINE
        await site.tap.expect(Heartbeat, bot="alpha", since_s=time.monotonic())

        here.market.thin()
        _, pause = await site.tap.expect(Pause, bot="alpha", since_s=since_s)
        await site.tap.expect(
            Ack, lambda ack: ack.command_id == pause.id and ack.status is AckStatus.APPLIED, bot="alpha"
        )
        reported = site.tap.reported("alpha")
        assert reported is not None
        assert reported.entries.get(SYMBOL) is Entries.REDUCE_ONLY
        assert "sent by nobody" not in daemon.tail(1_000_000)


async def _flood(site: Site) -> None:
    """Four messages of each sort, to the guard and to the bot."""
    topics, reported = site.tap.topics, site.tap.reported("alpha")
    assert reported is not None
    stranger = secrets.token_bytes(32)
    to_alpha = topics.reported("alpha")
    rubbish = {
        to_alpha: [b"\x00\xff not json", b"{}", b"[]", encode_signed(reported, to_alpha, stranger)],
        topics.ack("alpha"): [b"", b"null", b'{"sig":"00","body":{}}', b'{"sig":7}'],
        topics.birth("nobody"): [encode_signed(reported, topics.birth("nobody"), stranger)] * 4,
        topics.reported("nobody"): [b"sent by nobody"] * 4,
        topics.guard_state("guard-9"): [b"[]"],
        f"{topics.base}/shadow/command/alpha/pause": [
            b"\x00",
            b"{}",
            b'{"sig":"","body":null}',
            b"x" * 300_000,
        ],
        f"{topics.base}/shadow/posture/alpha": [b"rubbish"],
    }
    async with aiomqtt.Client(site.ground.broker.host, site.ground.broker.port) as rogue:
        for topic, payloads in rubbish.items():
            for payload in payloads:
                await rogue.publish(topic, payload, qos=1)


def _problems(site: Site) -> tuple[str, ...]:
    state = site.tap.guard()
    return () if state is None else state.problems
