"""One guard a site: epochs, rivals and floors, over every broker and MQTT version that we support."""

from __future__ import annotations

import asyncio
import time

import pytest

from adapters.mqtt.refusals import Refusal
from guard.errors import FencedError
from guard.events import BotReported
from perpguard_sdk.codec import encode_plain
from perpguard_sdk.messages import GuardState, GuardStatus, Mode, Posture
from tests.support.eventually import eventually
from tests.support.mqtt_ends import (
    ALPHA,
    BETA,
    Site,
    guard_state,
    heartbeat,
    posture,
    rival,
)


async def test_the_first_claim_takes_epoch_1_after_the_silence(site: Site) -> None:
    async with site.guard() as guard:
        began_at = time.monotonic()
        claim = await guard.link.claim(0)
        assert (claim.epoch, claim.floors) == (1, ())
        assert time.monotonic() - began_at > 0.2
        await guard.link.publish_posture(posture())


async def test_the_next_epoch_is_above_everything_that_is_known(site: Site) -> None:
    sources = [
        ("stored", 5, 6),
        ("reported", 7, 8),
        ("posture", 9, 10),
        ("shadow", 11, 12),
        ("state", 13, 14),
    ]
    for source, epoch, expected in sources:
        async with site.bot() as bot:
            match source:
                case "reported":
                    await bot.report(epoch=epoch)
                case "posture":
                    await bot.say(posture(epoch=epoch), site.topics.posture(ALPHA, Mode.LIVE))
                case "shadow":
                    await bot.say(posture(epoch=epoch), site.topics.posture(ALPHA, Mode.PAPER))
                case "state":
                    former = encode_plain(guard_state(GuardStatus.OFFLINE, "former", epoch))
                    await bot.client.publish(site.topics.guard_state("g0"), former, qos=1, retain=True)
        async with site.guard() as guard:
            assert (await guard.link.claim(5)).epoch == expected, source


async def test_a_forged_state_cannot_push_the_epoch_out_of_reach(site: Site) -> None:
    forged = encode_plain(guard_state(GuardStatus.DECIDING, "forger", 2**60))
    async with site.client() as forger:
        await forger.publish(site.topics.guard_state("g9"), forged, qos=1, retain=True)
    async with site.guard() as guard:
        assert (await guard.link.claim(3)).epoch == 4


async def test_the_retained_postures_of_our_bots_come_back_as_floors_and_forged_ones_do_not(
    site: Site,
) -> None:
    former, shadow = posture(ALPHA, version=12, epoch=4), posture(ALPHA, version=90, epoch=2)
    async with site.bot() as bot:
        await bot.say(former, site.topics.posture(ALPHA, Mode.LIVE))
        await bot.say(shadow, site.topics.posture(ALPHA, Mode.PAPER))
        forged = site.topics.posture(BETA, Mode.LIVE)
        await bot.say(posture(BETA, version=99, epoch=99), forged, key=b"the key of nobody at all")
    async with site.guard() as guard:
        claim = await guard.link.claim(0)
        assert (claim.epoch, claim.floors) == (5, (former,))
        assert (await guard.expect_refused("wrong_signature")).bot == BETA


async def test_a_guard_that_keeps_beating_keeps_another_out(site: Site) -> None:
    async with rival(site, epoch=3), site.guard() as guard:
        with pytest.raises(FencedError, match="rival"):
            await guard.link.claim(0)
        assert (await guard.expect_refused("other_guard")).bot == ALPHA


async def test_a_guard_that_falls_silent_is_succeeded(site: Site) -> None:
    async with site.guard(claim_wait_s=20.0) as guard:
        async with rival(site, epoch=3):
            claiming = asyncio.create_task(guard.link.claim(0))
            await guard.expect_refused("other_guard")
            await asyncio.wait([claiming], timeout=0.5)
            assert not claiming.done()
        assert (await claiming).epoch == 4


async def test_a_forged_heartbeat_does_not_keep_a_guard_out(site: Site) -> None:
    async with rival(site, epoch=3, key=b"the key of nobody at all"), site.guard() as guard:
        assert (await guard.link.claim(0)).epoch == 1
        assert guard.link.refused[Refusal.WRONG_SIGNATURE] > 0


async def test_a_guard_of_a_higher_epoch_ends_ours_and_our_state_says_why(site: Site) -> None:
    async with site.guard() as guard, site.bot() as bot:
        await guard.link.claim(0)
        async with rival(site, epoch=2):
            with pytest.raises(FencedError, match="took over"):
                await asyncio.wait_for(asyncio.shield(guard.task), 10)
        await eventually(lambda: bot.got(GuardState)[-1].state is GuardStatus.OFFLINE)
        assert "took over" in bot.got(GuardState)[-1].problems[0]


async def test_a_guard_of_a_lower_epoch_is_reported_and_ours_goes_on(site: Site) -> None:
    async with site.guard() as guard:
        await guard.link.claim(8)
        async with rival(site, epoch=2):
            await guard.expect_refused("other_guard")
        await guard.link.publish_posture(posture(epoch=9))
        assert not guard.task.done()


@pytest.mark.parametrize(("session", "stays"), [("aaaa", True), ("zzzz", False)])
async def test_of_two_guards_with_the_same_epoch_exactly_one_stays(
    site: Site, session: str, stays: bool
) -> None:
    async with site.guard(session="mmmm") as guard:
        claim = await guard.link.claim(0)
        async with rival(site, epoch=claim.epoch, session=session):
            if stays:
                await guard.expect_refused("other_guard")
                assert not guard.task.done()
            else:
                with pytest.raises(FencedError):
                    await asyncio.wait_for(asyncio.shield(guard.task), 10)


async def test_a_guards_own_messages_do_not_disturb_it(site: Site) -> None:
    async with site.guard() as guard, site.bot() as bot:
        claim = await guard.link.claim(0)
        for number in range(5):
            await guard.link.publish_heartbeat(
                heartbeat(session=guard.link.session, epoch=claim.epoch, seq=number)
            )
        await guard.link.publish_posture(posture(session=guard.link.session, epoch=claim.epoch))
        await bot.expect(Posture)
        await bot.report()
        await guard.expect(BotReported)
        assert guard.link.refused == {}
