"""What the guard's link promises, tried alike over every broker and MQTT version that we support."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest

from adapters.mqtt import connection
from adapters.mqtt.link import MqttLink
from adapters.mqtt.refusals import Refusal
from guard.errors import BrokerAuthError, BrokerError, FencedError
from guard.events import BotAcked, BotBorn, BotReported, BotStatusSeen, MessageRefused
from guard.units import BotId
from perpguard_sdk.codec import PAYLOAD_BYTES_MAX, encode_plain, encode_signed
from perpguard_sdk.messages import BotStatus, GuardState, GuardStatus, Heartbeat, Mode, Pause, Posture, Signal
from tests.contract.parts import (
    ALPHA,
    BETA,
    KEYS,
    PlayedBot,
    Site,
    ack,
    birth,
    bot_state,
    heartbeat,
    now_ms,
    pause,
    posture,
    reported,
    rival,
)
from tests.support.brokers import find_program, mosquitto, nats
from tests.support.eventually import eventually


@pytest.fixture(params=["mosquitto 5", "mosquitto 3.1.1", "nats-server 3.1.1"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    program, protocol = request.param.split()
    async with mosquitto(tmp_path) if program == "mosquitto" else nats(tmp_path) as broker:
        yield Site(broker, protocol)


def state(status: GuardStatus, session: str, epoch: int = 1, guard: str = "g1") -> GuardState:
    return GuardState(
        guard=guard, state=status, epoch=epoch, session=session, ts=now_ms(), mode=Mode.LIVE, problems=()
    )


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
            await guard.link.publish_state(state(GuardStatus.DECIDING, guard.link.session))
            await eventually(lambda: bot.got(GuardState)[-1:][0].state is GuardStatus.DECIDING)
        await eventually(lambda: bot.got(GuardState)[-1].state is GuardStatus.OFFLINE)


async def test_the_will_says_offline_with_our_epoch_when_the_guard_is_cut_off(site: Site) -> None:
    async with site.bot() as bot, site.guard() as guard:
        claim = await guard.link.claim(stored_epoch=41)
        assert claim.epoch == 42
        await guard.link.publish_state(state(GuardStatus.DECIDING, guard.link.session, epoch=42))
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
        old = msgspec.structs.replace(state(GuardStatus.DECIDING, guard.link.session), ts=now_ms() - 5000)
        await guard.link.publish_state(old)
        await other.publish(
            site.topics.guard_state("g1"), encode_plain(state(GuardStatus.OFFLINE, "old")), qos=1, retain=True
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
        await bot.be_born()
        await home_guard.link.publish_posture(posture())
        await home_guard.expect(BotBorn)
        await bot.expect(Posture)
        await other.be_born()
        await away_guard.expect(BotBorn)
        assert len(home_guard.all(BotBorn)) == len(away_guard.all(BotBorn)) == 1
        assert other.got(Posture) == []
        assert home_guard.link.refused == away_guard.link.refused == {}


# --- one guard a site --------------------------------------------------------------------------------


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
                    former = encode_plain(state(GuardStatus.OFFLINE, "former", epoch))
                    await bot.client.publish(site.topics.guard_state("g0"), former, qos=1, retain=True)
        async with site.guard() as guard:
            assert (await guard.link.claim(5)).epoch == expected, source


async def test_a_forged_state_cannot_push_the_epoch_out_of_reach(site: Site) -> None:
    forged = encode_plain(state(GuardStatus.DECIDING, "forger", 2**60))
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


# --- who may ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["mosquitto 5", "mosquitto 3.1.1", "nats-server 3.1.1"])
async def test_a_wrong_password_is_said_so_and_a_right_one_works(program: str, tmp_path: Path) -> None:
    name, protocol = program.split()
    running = (
        mosquitto(tmp_path, users={"guard": "right"})
        if name == "mosquitto"
        else nats(tmp_path, username="guard", password="right")
    )
    async with running as broker:
        site = Site(broker, protocol, settings={"username": "guard"})
        async with site.guard(password="wrong", wait=False) as guard:
            down = await guard.expect_link(up=False)
            assert "password file" in down.detail
            assert "wrong" not in down.detail
            with pytest.raises(BrokerError, match="refuses user"):
                await guard.link.publish_posture(posture())
        async with site.guard(password="right") as guard:
            await guard.link.publish_posture(posture())


async def test_an_acl_that_forbids_publishing_is_noticed_with_mqtt_5(tmp_path: Path) -> None:
    acl = "user guard\ntopic readwrite perpguard/v1/home/#\ntopic deny perpguard/v1/home/posture/alpha\n"
    async with mosquitto(tmp_path, users={"guard": "right"}, acl=acl) as broker:
        site = Site(broker, "5", settings={"username": "guard"})
        async with site.guard(password="right") as guard:
            with pytest.raises(BrokerError, match="ACL"):
                await guard.link.publish_posture(posture(ALPHA))
            await guard.link.publish_posture(posture(BETA))


async def test_an_acl_that_filters_silently_hides_the_bots_and_nothing_more(tmp_path: Path) -> None:
    """mosquitto's file ACLs grant a forbidden subscription: the guard hears nothing and cannot know."""
    acl = (
        "user guard\ntopic readwrite perpguard/v1/home/#\ntopic deny perpguard/v1/home/bot/alpha/birth\n"
        "user bot\ntopic readwrite perpguard/#\n"
    )
    async with mosquitto(tmp_path, users={"guard": "right", "bot": "too"}, acl=acl) as broker:
        site = Site(broker, "5", settings={"username": "guard"})
        async with (
            site.guard(password="right") as guard,
            site.client(username="bot", password="too") as client,
        ):
            bot = PlayedBot(ALPHA, site.topics, client)
            await bot.be_born()
            await bot.report()
            await guard.expect(BotReported)
            assert guard.all(BotBorn) == []


async def test_a_refused_subscription_is_said_with_what_to_do(tmp_path: Path) -> None:
    """nats-server refuses what its permissions do not allow, as mosquitto's dynamic security does."""
    folder = tmp_path / "nats"
    folder.mkdir()
    permissions = 'subscribe: { allow: ["perpguard.>", "$MQTT.>"], deny: ["perpguard.v1.home.bot.*.ack"] }'
    async with nats(folder, username="guard", password="right", permissions=permissions) as broker:
        site = Site(broker, "3.1.1", settings={"username": "guard"})
        async with site.guard(password="right", wait=False) as guard:
            down = await guard.expect_link(up=False)
            assert "bot/+/ack refused" in down.detail
            assert "ACL" in down.detail


async def test_tls_connects_and_refuses_a_broker_that_another_authority_signed(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        make_certificates(folder)
    extra = (
        f"cafile {ours}/ca.pem\ncertfile {ours}/cert.pem\nkeyfile {ours}/key.pem\nrequire_certificate true"
    )
    async with mosquitto(tmp_path, extra=extra, tls=True) as broker:
        pair = {"tls_cert": ours / "cert.pem", "tls_key": ours / "key.pem"}
        trusting = Site(broker, "5", settings={"tls_ca": ours / "ca.pem", **pair})
        async with trusting.guard() as guard:
            await guard.link.publish_posture(posture())
        deceived = Site(broker, "5", settings={"tls_ca": theirs / "ca.pem", **pair})
        async with deceived.guard(wait=False) as guard:
            assert "certificate verify failed" in (await guard.expect_link(up=False)).detail


def test_a_refused_password_is_an_error_of_its_own() -> None:
    assert issubclass(BrokerAuthError, BrokerError)


def properties_of(message: aiomqtt.Message) -> dict[str, Any]:
    return {} if message.properties is None else dict(vars(message.properties))


def make_certificates(folder: Path) -> None:
    """An authority and a certificate for 127.0.0.1 that it signed."""
    openssl = find_program("openssl")
    folder.mkdir()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    sign = ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    for arguments in (
        ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2"],
        ["req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=broker"],
        [*sign, "-out", "cert.pem", "-days", "2", "-extfile", "names"],
    ):
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


def cut_off(link: MqttLink) -> None:
    """Break the socket under the link without a word, as a pulled cable does."""
    assert link._connection is not None
    sock = link._connection._client.socket()
    assert isinstance(sock, socket.socket)
    sock.shutdown(socket.SHUT_RDWR)
