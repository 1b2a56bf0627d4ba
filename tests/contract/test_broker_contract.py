"""What the guard's link promises, tried alike over every broker and MQTT version that we support."""

from __future__ import annotations

import socket
import time
from typing import Any

import aiomqtt
import msgspec
import pytest

from adapters.mqtt import connection, echoes
from adapters.mqtt.link import MqttLink
from adapters.mqtt.refusals import Refusal
from guard.errors import BrokerError
from guard.events import BotAcked, BotBorn, BotReported, BotStatusSeen, MessageRefused
from guard.units import BotId
from perpguard_sdk.codec import PAYLOAD_BYTES_MAX, encode_plain, encode_signed
from perpguard_sdk.messages import BotStatus, GuardState, GuardStatus, Heartbeat, Mode, Pause, Posture, Signal
from tests.support.eventually import eventually
from tests.support.mqtt_ends import (
    ALPHA,
    BETA,
    KEYS,
    Site,
    ack,
    birth,
    bot_state,
    guard_state,
    heartbeat,
    now_ms,
    pause,
    posture,
    reported,
)

SOON_S = 0.5
"""After so long an echo is overdue in these tests, instead of three seconds."""


# --- what goes out ---------------------------------------------------------------------------------


async def test_a_posture_is_retained_for_a_bot_that_comes_later(site: Site) -> None:
    async with site.guard() as guard:
        await guard.link.publish_posture(posture(version=7))
        async with site.bot() as bot:
            assert (await bot.expect(Posture)).version == 7
            assert bot.got_raw(Posture)[0][0].retain is True


async def test_a_command_reaches_the_bot_that_listens_and_is_never_retained(site: Site) -> None:
    command = pause()
    async with site.guard() as guard, site.bot() as bot:
        await guard.link.publish_command(command)
        assert await bot.expect(Pause) == command
        await guard.link.publish_posture(posture())
        async with site.bot() as later:
            await later.expect(Posture)
            assert later.got(Pause) == []


async def test_heartbeats_and_signals_arrive_and_are_not_retained(site: Site) -> None:
    async with site.guard() as guard, site.bot() as bot:
        await bot.client.subscribe(site.topics.signal("+", "+"))
        await guard.link.publish_heartbeat(heartbeat(session=guard.link.session))
        await guard.link.publish_signal(
            Signal(venue="binanceusdm", symbol="BTC/USDT:USDT", ts=1, depth_z=-3.0)
        )
        await bot.expect(Heartbeat)
        await eventually(lambda: any("/signal/" in str(message.topic) for message in bot.inbox))
        assert not any(message.retain for message in bot.inbox if "/state" not in str(message.topic))


async def test_only_commands_carry_mqtt_5_properties(site: Site) -> None:
    command = pause(ttl_ms=10_000)
    async with site.guard() as guard, site.bot() as bot:
        await guard.link.publish_command(command)
        await guard.link.publish_posture(posture())
        await bot.expect(Pause)
        await bot.expect(Posture)
        of_command = properties_of(bot.got_raw(Pause)[0][0])
        of_posture = properties_of(bot.got_raw(Posture)[0][0])
    assert "MessageExpiryInterval" not in of_posture
    assert "UserProperty" not in of_posture
    if site.protocol == "5":
        assert 1 <= of_command["MessageExpiryInterval"] <= 10
        assert of_command["CorrelationData"] == command.id.encode()
        assert ("seq", str(command.seq)) in of_command["UserProperty"]
    else:
        assert of_command == {}


async def test_an_expired_command_is_not_sent(site: Site) -> None:
    async with site.guard() as guard, site.bot() as bot:
        with pytest.raises(BrokerError):
            await guard.link.publish_command(pause(ttl_ms=-1))
        await guard.link.publish_posture(posture())
        await bot.expect(Posture)
        assert bot.got(Pause) == []


async def test_a_paper_guard_speaks_under_shadow_only(site: Site) -> None:
    async with (
        site.guard(mode=Mode.PAPER) as guard,
        site.bot(mode=Mode.LIVE) as live,
        site.bot(mode=Mode.PAPER) as paper,
    ):
        await guard.link.publish_posture(posture(mode=Mode.PAPER))
        await guard.link.publish_command(pause(dry_run=True))
        await guard.link.publish_heartbeat(heartbeat(session=guard.link.session))
        await paper.expect(Posture)
        await paper.expect(Pause)
        await live.expect(Heartbeat)
        assert live.got(Posture) == []
        assert live.got(Pause) == []


async def test_a_bot_without_a_key_cannot_be_addressed(site: Site) -> None:
    async with site.guard(keys={BETA: KEYS[BETA]}) as guard:
        with pytest.raises(BrokerError, match="key file"):
            await guard.link.publish_posture(posture(ALPHA))


# --- the guard's state and its Will ------------------------------------------------------------------


async def test_an_orderly_end_says_offline(site: Site) -> None:
    async with site.bot() as bot:
        async with site.guard() as guard:
            await guard.link.publish_state(guard_state(GuardStatus.DECIDING, guard.link.session))
            await eventually(lambda: bot.got(GuardState)[-1:][0].state is GuardStatus.DECIDING)
        await eventually(lambda: bot.got(GuardState)[-1].state is GuardStatus.OFFLINE)


async def test_the_will_says_offline_with_our_epoch_when_the_guard_is_cut_off(site: Site) -> None:
    async with site.bot() as bot, site.guard() as guard:
        claim = await guard.link.claim(stored_epoch=41)
        assert claim.epoch == 42
        await guard.link.publish_state(guard_state(GuardStatus.DECIDING, guard.link.session, epoch=42))
        cut_off(guard.link)
        await eventually(
            lambda: any(s.state is GuardStatus.OFFLINE for s in bot.got(GuardState)), within_s=12
        )
        offline = next(s for s in bot.got(GuardState) if s.state is GuardStatus.OFFLINE)
        assert (offline.epoch, offline.session) == (42, guard.link.session)
        # It comes back by itself and says what it does, so that the Will does not stay.
        await eventually(lambda: bot.got(GuardState)[-1].state is GuardStatus.DECIDING, within_s=12)


async def test_a_state_written_over_ours_is_put_right(site: Site) -> None:
    async with site.guard() as guard, site.client() as other, site.bot() as bot:
        old = msgspec.structs.replace(
            guard_state(GuardStatus.DECIDING, guard.link.session), ts=now_ms() - 5000
        )
        await guard.link.publish_state(old)
        await other.publish(
            site.topics.guard_state("g1"),
            encode_plain(guard_state(GuardStatus.OFFLINE, "old")),
            qos=1,
            retain=True,
        )
        await eventually(lambda: [s.session for s in bot.got(GuardState)][-2:] == ["old", guard.link.session])
        assert bot.got(GuardState)[-1].state is GuardStatus.DECIDING


# --- the broker comes and goes -----------------------------------------------------------------------


async def test_what_was_refused_while_the_broker_was_away_is_never_delivered(site: Site) -> None:
    async with site.guard() as guard:
        await site.broker.kill()
        down = await guard.expect_link(up=False)
        assert site.broker.host in down.detail
        began_at = time.monotonic()
        for _ in range(3):
            with pytest.raises(BrokerError):
                await guard.link.publish_command(pause(ttl_ms=60_000))
        assert time.monotonic() - began_at < 0.5, "it must say no at once, not after a timeout"
        await site.broker.start()
        await guard.expect_link(up=True)
        async with site.bot() as bot:
            fresh = pause()
            await guard.link.publish_command(fresh)
            await bot.expect(Pause)
            await guard.link.publish_posture(posture())
            await bot.expect(Posture)
            assert bot.got(Pause) == [fresh]


async def test_a_publish_that_the_broker_never_takes_fails_in_time_and_ends_the_connection(
    site: Site,
) -> None:
    async with site.guard(publish_timeout_s=0.3) as guard:
        site.broker.suspend()
        began_at = time.monotonic()
        with pytest.raises(BrokerError):
            await guard.link.publish_posture(posture())
        assert time.monotonic() - began_at < 1.0
        await guard.expect_link(up=False)
        site.broker.resume()
        await guard.expect_link(up=True)
        await guard.link.publish_posture(posture(version=2))


async def test_a_hung_broker_is_noticed_by_the_heartbeats_that_do_not_come_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(echoes, "OVERDUE_S", SOON_S)
    async with (
        site.bot() as bot,
        site.guard(keepalive_s=600, publish_timeout_s=0.3) as guard,
    ):
        await bot.be_born()
        await guard.expect(BotBorn, 2)  # the second shows that the link has subscribed again, as it does once
        site.broker.suspend()
        await guard.link.publish_heartbeat(heartbeat(session=guard.link.session))
        assert "hung" in (await guard.expect_link(up=False, within_s=8)).detail
        site.broker.resume()
        await guard.expect_link(up=True)


async def test_what_a_hung_broker_had_received_arrives_once_at_most_and_with_its_expiry(site: Site) -> None:
    stuck = pause(ttl_ms=100)
    async with site.guard(publish_timeout_s=0.3) as guard, site.bot() as bot:
        site.broker.suspend()
        with pytest.raises(BrokerError, match="expired"):
            await guard.link.publish_command(stuck)
        await guard.expect_link(up=False)
        site.broker.resume()
        await guard.expect_link(up=True)
        await guard.link.publish_posture(posture())
        await bot.expect(Posture)
        # No client can call back what lies in the broker's socket: the payload must carry its own end.
        assert bot.got(Pause) in ([], [stuck])
        assert stuck.expires_at < now_ms()


async def test_after_a_broker_crash_the_retained_state_of_the_bots_arrives_again(site: Site) -> None:
    async with site.bot() as bot:
        await bot.be_born()
        await bot.report(posture_version=5)
        await bot.say(bot_state(), site.topics.bot_state(ALPHA))
        async with site.guard() as guard:
            for kind in (BotBorn, BotReported, BotStatusSeen):
                await guard.expect(kind)
            await site.broker.kill()
            await guard.expect_link(up=False)
            await site.broker.start()
            await guard.expect_link(up=True)
            assert (await guard.expect(BotReported, 2)).reported.posture_version == 5
            await guard.expect(BotBorn, 2)
            await guard.expect(BotStatusSeen, 2)


async def test_no_broker_at_the_start_is_said_and_waited_for(site: Site) -> None:
    await site.broker.kill()
    async with site.guard(wait=False) as guard:
        assert "start the broker" in (await guard.expect_link(up=False)).detail
        await site.broker.start()
        await guard.expect_link(up=True)


# --- what comes in -----------------------------------------------------------------------------------


async def test_a_bots_messages_become_events(site: Site) -> None:
    async with site.guard() as guard, site.bot() as bot:
        born = await bot.be_born()
        await bot.say(bot_state(state=BotStatus.SAFE_MODE), site.topics.bot_state(ALPHA))
        told = await bot.report(epoch=1, positions_known=False)
        await bot.say(ack(command_id="c-9"), site.topics.ack(ALPHA), retain=False)
        assert (await guard.expect(BotBorn)).birth == born
        assert (await guard.expect(BotStatusSeen)).state.state is BotStatus.SAFE_MODE
        assert (await guard.expect(BotReported)).reported == told
        assert (await guard.expect(BotAcked)).ack.command_id == "c-9"
        assert guard.link.refused == {}
        assert all(abs(event.received_at - time.time_ns()) < 10e9 for event in guard.events)


async def test_bad_messages_are_refused_and_counted_while_good_ones_go_on(site: Site) -> None:
    topics, gamma = site.topics, BotId("gamma")
    ack_topic = topics.ack(ALPHA)
    signed_huge = msgspec.structs.replace(reported(), epoch=2**60)
    bad: list[tuple[str, bytes, Refusal]] = [
        (ack_topic, b"\xff\x00 not json", Refusal.MALFORMED),
        (ack_topic, encode_plain(ack()), Refusal.MALFORMED),
        (ack_topic, b'{"sig":"' + b"0" * 64 + b'","body":{"type":"ack"}}', Refusal.WRONG_SIGNATURE),
        (ack_topic, encode_signed(ack(), ack_topic, KEYS[BETA]), Refusal.WRONG_SIGNATURE),
        (ack_topic, encode_signed(ack(), topics.birth(ALPHA), KEYS[ALPHA]), Refusal.WRONG_SIGNATURE),
        (ack_topic, b"x" * (PAYLOAD_BYTES_MAX + 1), Refusal.OVERSIZE),
        (ack_topic, encode_signed(birth(), ack_topic, KEYS[ALPHA]), Refusal.WRONG_TYPE),
        (ack_topic, encode_signed(ack(BETA), ack_topic, KEYS[ALPHA]), Refusal.WRONG_NAME),
        (topics.ack(gamma), encode_signed(ack(gamma), topics.ack(gamma), KEYS[ALPHA]), Refusal.UNKNOWN_BOT),
        (
            topics.reported(ALPHA),
            encode_signed(signed_huge, topics.reported(ALPHA), KEYS[ALPHA]),
            Refusal.IMPOSSIBLE_NUMBER,
        ),
        (topics.birth(ALPHA), b"", Refusal.CLEARED),
        (topics.guard_state("g9"), b"[]", Refusal.MALFORMED),
    ]
    async with site.guard() as guard, site.bot() as bot:
        for topic, payload, _ in bad:
            await bot.client.publish(topic, payload, qos=1)
        await bot.say(ack(command_id="good"), ack_topic, retain=False)
        assert (await guard.expect(BotAcked)).ack.command_id == "good"
        expected = {why: sum(why is other for _, _, other in bad) for _, _, why in bad}
        assert guard.link.refused == expected
        assert len(guard.all(BotAcked)) == 1
        assert guard.all(BotReported) == []
        told = [event.detail.partition(":")[0] for event in guard.all(MessageRefused)]
        assert set(told) == set(expected)


async def test_a_flood_of_rubbish_is_one_event(site: Site) -> None:
    async with site.guard() as guard, site.bot() as bot:
        for number in range(300):
            await bot.client.publish(site.topics.ack(BotId(f"stranger-{number}")), b"{}", qos=0)
        await bot.say(ack(), site.topics.ack(ALPHA), retain=False)
        await guard.expect(BotAcked)
        await eventually(lambda: guard.link.refused.get(Refusal.UNKNOWN_BOT) == 300)
        assert len(guard.all(MessageRefused)) == 1


async def test_an_inbox_that_overflowed_is_said_and_filled_again_from_what_is_retained(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site.bot() as bot:
        await bot.be_born()
        monkeypatch.setattr(connection, "INBOX_MESSAGES_MAX", 0)
        async with site.guard() as guard:
            await guard.expect_refused("overflow")
            assert guard.all(BotBorn) == []
            monkeypatch.undo()
            await bot.report()
            await guard.expect(BotReported)
            await guard.expect(BotBorn)


async def test_two_sites_on_one_broker_do_not_hear_each_other(site: Site) -> None:
    away = Site(site.broker, site.protocol, name="away")
    async with site.guard() as home_guard, away.guard() as away_guard, site.bot() as bot, away.bot() as other:
        await bot.be_born(session="at-home")
        await home_guard.link.publish_posture(posture())
        await home_guard.expect(BotBorn)
        await bot.expect(Posture)
        await other.be_born(session="away")
        await away_guard.expect(BotBorn)
        assert {event.birth.session for event in home_guard.all(BotBorn)} == {"at-home"}
        assert {event.birth.session for event in away_guard.all(BotBorn)} == {"away"}
        assert other.got(Posture) == []
        assert home_guard.link.refused == away_guard.link.refused == {}


def properties_of(message: aiomqtt.Message) -> dict[str, Any]:
    return {} if message.properties is None else dict(vars(message.properties))


def cut_off(link: MqttLink) -> None:
    """Break the socket under the link without a word, as a pulled cable does."""
    assert link._connection is not None
    sock = link._connection._client.socket()
    assert isinstance(sock, socket.socket)
    sock.shutdown(socket.SHUT_RDWR)
