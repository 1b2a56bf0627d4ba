"""A bot is killed and restarted, or its clock is wrong: old bytes move nothing, and time is the guard's."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiomqtt
import pytest

from perpguard_sdk.codec import encode_signed
from perpguard_sdk.messages import (
    Ack,
    AckStatus,
    Birth,
    BotState,
    BotStatus,
    Entries,
    Heartbeat,
    Mode,
    Pause,
    Posture,
    Resume,
)
from tests.support.brokers import Broker
from tests.support.eventually import eventually
from tests.support.stage import SYMBOL, Site, ground
from tests.support.tap import Heard
from tests.support.together import together

pytestmark = pytest.mark.acceptance

OFFSET_MS = 60_000


@together
async def test_old_bytes_replayed_at_a_restarted_bot_do_nothing(tmp_path: Path) -> None:
    """``kept`` comes back with what it remembered, ``lost`` with nothing."""
    bots = ("kept", "lost")
    async with ground(tmp_path, bots) as here:
        site = await here.site("home", bots, broker={"claim_quiet_s": 1.0}, dispatch={"command_ttl_ms": 3000})
        daemon = site.daemon()
        programs = {bot: site.bot(bot, rearm_ms=1000) for bot in bots}
        await site.start(daemon, *programs.values())
        await site.play(*bots)
        here.market.thin()
        await asyncio.gather(*(_cut_and_paused(site, bot) for bot in bots))
        here.market.calm()
        await asyncio.gather(*(site.tap.expect(Resume, bot=bot, within_s=20.0) for bot in bots))
        await asyncio.gather(*(_free(site, bot) for bot in bots))

        await daemon.suspend()
        for bot in bots:
            await programs[bot].kill()
        recorded = [heard for bot in bots for heard in site.tap.raw(bot)]
        said = {bot: sorted({type(each.message) for each in site.tap.raw(bot)}, key=str) for bot in bots}
        assert all({Heartbeat, Posture, Pause} <= set(kinds) for kinds in said.values())
        await _all_expired(site)
        (site.folder / "lost.d" / "lost.state.json").unlink()
        executed = {bot: site.executed(bot) for bot in bots}
        fills = {bot: site.fills(bot) for bot in bots}

        restarted_s = time.monotonic()
        await site.start(*programs.values())
        for bot in bots:
            await site.tap.expect(Birth, bot=bot, since_s=restarted_s, within_s=20.0)
        await _replay(here.broker, recorded)
        await asyncio.gather(*(site.reports(bot, 4) for bot in bots))
        for bot in bots:
            states = {state.state for state in site.tap.all(BotState, bot=bot, since_s=restarted_s)}
            assert BotStatus.ONLINE not in states
            assert executed[bot] == site.executed(bot)
            assert fills[bot] == site.fills(bot)

        woken_s = time.monotonic()
        daemon.resume()
        for bot in bots:
            await site.armed(bot, since_s=woken_s, within_s=20.0)
            ids = site.executed(bot)
            assert len(ids) == len(set(ids))
            assert ids[: len(executed[bot])] == executed[bot]
        await site.assert_executed_in_time(*bots)


@together
async def test_a_bot_whose_clock_is_a_minute_off_obeys_and_expires_by_the_guards_time(tmp_path: Path) -> None:
    bots = ("ahead", "behind")
    async with ground(tmp_path, bots) as here:
        site = await here.site("home", bots, broker={"claim_quiet_s": 1.0})
        await site.start(
            site.daemon(),
            site.bot("ahead", clock_offset_ms=OFFSET_MS, rearm_ms=1500),
            site.bot("behind", clock_offset_ms=-OFFSET_MS, rearm_ms=1500),
        )
        await asyncio.gather(*(site.armed(bot) for bot in bots))
        await asyncio.gather(*(site.opened(bot) for bot in bots))
        _, state = await site.tap.expect_guard(
            lambda state: sum("bot_clock_offset" in problem for problem in state.problems) == 2
        )
        said = {
            bot: next(each for each in state.problems if f"bot_clock_offset ({bot})" in each) for bot in bots
        }
        assert _number(said["ahead"]) == pytest.approx(-OFFSET_MS, abs=1500)
        assert _number(said["behind"]) == pytest.approx(OFFSET_MS, abs=1500)

        here.market.thin()
        await asyncio.gather(*(_cut_and_paused(site, bot) for bot in bots))

        for bot in bots:
            # By the clock of the one behind this has a minute to live, by that of the other it died long ago.
            dead = await _say_pause(site, bot, lives_ms=-1000)
            await _expect_answer(site, bot, dead, AckStatus.EXPIRED)
            live = await _say_pause(site, bot, lives_ms=5000)
            await _expect_answer(site, bot, live, AckStatus.APPLIED)
            assert dead.id not in site.executed(bot)
            assert live.id in site.executed(bot)


async def _cut_and_paused(site: Site, bot: str) -> None:
    """Wait until the bot has obeyed a pause and a cut."""

    def obeyed() -> bool:
        verbs = {command.verb: command.id for _, command in site.tap.commands(bot)}
        done = set(site.executed(bot))
        return {"pause", "cut_leverage"} <= {verb for verb, command_id in verbs.items() if command_id in done}

    await eventually(obeyed, within_s=20.0, what=f"{bot} to execute a pause and a cut")

    def small_enough() -> bool:
        # The command is the fast edge: the posture of its version comes a moment behind it.
        posture = site.tap.posture(bot)
        limit = None if posture is None else posture.max_size.get(SYMBOL)
        return limit is not None and abs(site.size(bot)) <= limit * 1.02

    await eventually(small_enough, what=f"{bot} to be small enough")


async def _free(site: Site, bot: str) -> None:
    await eventually(
        lambda: (said := site.tap.reported(bot)) is not None and not said.entries and not said.safe_mode,
        within_s=20.0,
        what=f"{bot} to be free",
    )


async def _all_expired(site: Site) -> None:
    last_ms = max(command.expires_at for _, command in site.tap.commands())
    await eventually(
        lambda: _now_ms() > last_ms + 500, within_s=10.0, what="every recorded command to expire"
    )


async def _replay(broker: Broker, recorded: list[Heard]) -> None:
    """Publish everything again: at once, and then the heartbeats in their own rhythm."""
    async with aiomqtt.Client(broker.host, broker.port) as rogue:
        for heard in recorded:
            is_posture = isinstance(heard.message, Posture)
            await rogue.publish(heard.topic, heard.payload, qos=1, retain=is_posture)
        beats = [heard for heard in recorded if isinstance(heard.message, Heartbeat)]
        began_s = time.monotonic()
        for heard in beats[-10:]:
            await _until(began_s + heard.at_s - beats[-10].at_s)
            await rogue.publish(heard.topic, heard.payload, qos=0)


async def _until(at_s: float) -> None:
    await eventually(lambda: time.monotonic() >= at_s, what="the old rhythm")


async def _say_pause(site: Site, bot: str, *, lives_ms: int) -> Pause:
    """A pause with the guard's own key, epoch and next number, as only the guard could say it."""
    reported, posture = site.tap.reported(bot), site.tap.posture(bot)
    assert reported is not None
    assert posture is not None
    number = max(command.seq for _, command in site.tap.commands(bot)) + 50
    pause = Pause(
        id=f"by-hand-{bot}-{number}",
        bot=bot,
        epoch=reported.epoch,
        seq=number,
        ts=_now_ms() - 2000,
        expires_at=_now_ms() + lives_ms,
        posture_version=posture.version,
        symbol=SYMBOL,
        reason="depth_thin",
        dry_run=True,
        entries=Entries.REDUCE_ONLY,
    )
    topic = site.tap.topics.command(bot, pause.verb, Mode.PAPER)
    async with aiomqtt.Client(site.ground.broker.host, site.ground.broker.port) as client:
        await client.publish(topic, encode_signed(pause, topic, site.keys[bot]), qos=1)
    return pause


async def _expect_answer(site: Site, bot: str, command: Pause, status: AckStatus) -> None:
    await site.tap.expect(
        Ack, lambda ack: ack.command_id == command.id and ack.status is status, bot=bot, what=f"{status}"
    )


def _number(problem: str) -> float:
    """The value in ``bot_clock_offset (ahead): clock offset -60000 ms``."""
    return float(problem.rsplit(" ", 2)[1])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
