"""One bot can neither read nor write what is another's or the guard's, and can do all that it needs.

The checks return what went through, so that they are tried on broken rights too: there they must find it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

import aiomqtt
import pytest

from adapters.mqtt.access import BotAccess, bot_rights
from adapters.mqtt.embedded import EmbeddedBroker
from perpguard_sdk.messages import Mode, Verb
from perpguard_sdk.topics import Topics
from tests.support.eventually import eventually
from tests.support.guarded_brokers import (
    GUARD,
    Guarded,
    embedded,
    with_files,
    with_plugin,
)

TOPICS = Topics(site="home")
EVIL = b"evil"
KEPT = TOPICS.posture("kept", Mode.LIVE)
LOST = "what was retained"
_numbers = itertools.count(1)

Opener = Callable[[Path], contextlib.AbstractAsyncContextManager[Guarded]]
BROKERS: dict[str, Opener] = {
    "mosquitto-files-5": with_files,
    "mosquitto-files-3.1.1": partial(with_files, mqtt5=False),
    "mosquitto-plugin-5": with_plugin,
    "embedded-3.1.1": embedded,
}


@pytest.fixture(params=BROKERS)
async def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Guarded]:
    async with BROKERS[request.param](tmp_path) as guarded:
        yield guarded


def to_bot(bot: str) -> list[str]:
    """What the guard says to a bot."""
    said = [TOPICS.heartbeat(bot)]
    for mode in Mode:
        said += [TOPICS.posture(bot, mode), TOPICS.command(bot, Verb.PAUSE, mode)]
    return said


def of_bot(bot: str) -> list[str]:
    """What a bot says."""
    return [TOPICS.birth(bot), TOPICS.bot_state(bot), TOPICS.reported(bot), TOPICS.ack(bot)]


def of_guard() -> list[str]:
    """What the guard says to everybody."""
    return [TOPICS.guard_state("g1"), TOPICS.signal("binanceusdm", "BTC/USDT:USDT")]


def reaching_filters(bot: str) -> list[str]:
    """What somebody subscribes to who wants to read all of a bot, or all there is."""
    base = TOPICS.base
    named = [
        f"{base}/bot/{bot}/+",
        f"{base}/bot/{bot}/#",
        f"{base}/command/{bot}/#",
        *to_bot(bot),
        *of_bot(bot),
    ]
    wild = [
        "#",
        "+/#",
        f"{base}/#",
        f"{base}/+/#",
        f"{base}/+/+",
        f"{base}/+/+/+",
        "+/+/+/+/+",
        "+/+/+/+/+/+",
    ]
    wild += [f"{base}/posture/+", f"{base}/heartbeat/+", f"{base}/command/+/+", f"{base}/bot/+/+"]
    wild += [f"{base}/shadow/#", f"{base}/posture/*", f"{base}/posture/>", ">", "*"]
    shared = [f"$share/thieves/{each}" for each in (f"{base}/#", f"{base}/bot/{bot}/#", *to_bot(bot))]
    inside = ["$SYS/#", "$MQTT/#", "$MQTT/msgs/#", "$MQTT/rmsgs/#", "$MQTT/sub/#", "$MQTT/deliver/#", "$JS/#"]
    inside += ["$JS/API/#", "$MQTT/JSA/#", "$MQTT/sess/#", "_INBOX/#", "$CONTROL/#", "$queue/#"]
    return [*named, *wild, *shared, *inside]


async def read_breaches(guarded: Guarded) -> set[str]:
    """Topics, other than its own and the public ones, of which beta gets a message."""
    mine = {*to_bot("beta"), *of_guard()}
    async with guarded.client(GUARD) as guard, guarded.client("alpha") as alpha:
        await _say(guard, [*to_bot("alpha"), *of_guard()], retain=True)
        await _say(alpha, of_bot("alpha"), retain=True)
        async with _hearing(guarded, "beta") as (beta, heard):
            for topic_filter in reaching_filters("alpha"):
                with contextlib.suppress(aiomqtt.MqttError):
                    await beta.subscribe(topic_filter, qos=1)
            assert beta._disconnected.done() is False, "the broker threw beta out: nothing was tried"
            await _say(guard, to_bot("alpha"))
            await _say(alpha, of_bot("alpha"))
            await _settled(guard, beta, heard, TOPICS.posture("beta", Mode.LIVE))
        return {topic for topic, _ in heard} - mine


async def write_breaches(guarded: Guarded) -> set[str]:
    """Topics on which something of beta arrives that it may not write: live, retained, or as its Will.

    ``LOST`` is among them if what the guard retains is gone.
    """
    targets = [*to_bot("alpha"), *of_bot("alpha"), *to_bot("beta"), *of_guard()]
    targets += [f"{TOPICS.base}/bot/beta/other", f"{TOPICS.base}/bot/gamma/birth", "elsewhere/v1/home/x"]
    inside = ["$MQTT/msgs/perpguard/v1/home/posture/alpha", "$JS/API/STREAM/DELETE/$MQTT_msgs"]
    inside += ["$JS/API/STREAM/PURGE/$MQTT_rmsgs", "$MQTT/sub/x", "$CONTROL/dynamic-security/v1"]
    own = TOPICS.bot_state("beta")
    async with _hearing(guarded, GUARD) as (spy, heard):
        await spy.publish(KEPT, b"kept", qos=1, retain=True)
        await spy.subscribe([(f"{TOPICS.base}/#", 1), ("elsewhere/#", 1)])
        async with guarded.client("beta") as beta:
            for topic in [*targets, *inside]:
                for qos, retain in ((0, False), (1, True), (1, False)):
                    await beta.publish(topic, EVIL, qos=qos, retain=retain)
            await _settled(beta, spy, heard, TOPICS.ack("beta"))
        for topic in [*targets, own]:
            will = aiomqtt.Will(topic, EVIL if topic != own else b"own", qos=1, retain=True)
            await guarded.die("beta", will=will)
        await eventually(lambda: (own, b"own") in heard, what="beta's own Will")
    async with _hearing(guarded, GUARD) as (late, retained):
        await late.subscribe([(f"{TOPICS.base}/#", 1), ("elsewhere/#", 1)])
        await _settled(late, late, retained, TOPICS.guard_state("sentinel"))
    lost = set() if (KEPT, b"kept") in retained else {LOST}
    return lost | {topic for topic, payload in [*heard, *retained] if payload == EVIL}


async def test_a_bot_reads_nothing_of_another(guarded: Guarded) -> None:
    assert await read_breaches(guarded) == set()


async def test_a_bot_writes_nothing_but_its_own(guarded: Guarded) -> None:
    assert await write_breaches(guarded) == set()


async def test_a_bot_can_do_all_that_it_needs(guarded: Guarded) -> None:
    will = aiomqtt.Will(TOPICS.bot_state("alpha"), b"gone", qos=1, retain=True)
    listens = [*to_bot("alpha"), *of_guard()]
    async with _hearing(guarded, GUARD) as (guard, said):
        await guard.subscribe(f"{TOPICS.base}/bot/#", qos=1)
        await _say(guard, listens, retain=True)
        async with _hearing(guarded, "alpha") as (alpha, heard):
            for topic_filter in bot_rights(TOPICS, "alpha").read:
                codes = await alpha.subscribe(topic_filter, qos=1)
                assert [getattr(code, "value", code) for code in codes] == [1]
            await eventually(lambda: {topic for topic, _ in heard} == {*listens}, what="all that is retained")
            heard.clear()
            await _say(guard, listens)
            await eventually(lambda: {topic for topic, _ in heard} == {*listens}, what="all that is live")
            await _say(alpha, of_bot("alpha"), retain=True)
            await eventually(lambda: {topic for topic, _ in said} == {*of_bot("alpha")}, what="all of alpha")
        await guarded.die("alpha", will=will)
        await eventually(lambda: (TOPICS.bot_state("alpha"), b"gone") in said, what="alpha's Will")


async def test_a_bot_that_takes_anothers_client_id_gets_nothing_of_it(guarded: Guarded) -> None:
    """Where the broker lets it throw the other out, that is all that it gains: the other is back at once."""
    async with guarded.client(GUARD) as guard, guarded.client("alpha") as alpha:
        await alpha.subscribe([(each, 1) for each in to_bot("alpha")])
        stolen: list[tuple[str, bytes]] = []
        refused = False
        try:
            async with _hearing(guarded, "beta", identifier="perpguard-home-bot-alpha") as (thief, stolen):
                await _say(guard, to_bot("alpha"), retain=True)
                await thief.subscribe(TOPICS.posture("beta", Mode.LIVE), qos=1)
                await _settled(guard, thief, stolen, TOPICS.posture("beta", Mode.LIVE))
        except aiomqtt.MqttError:
            refused = True
        assert {topic for topic, _ in stolen} - {TOPICS.posture("beta", Mode.LIVE)} == set()
        if refused:
            await alpha.publish(TOPICS.ack("alpha"), b"never thrown out", qos=1)
            return
    async with _hearing(guarded, "alpha") as (alpha, heard):
        await alpha.subscribe(TOPICS.posture("alpha", Mode.LIVE), qos=1)
        await eventually(lambda: heard, what="the posture, once alpha is back")


async def test_the_plugin_does_not_let_a_bot_take_anothers_client_id(tmp_path: Path) -> None:
    async with with_plugin(tmp_path) as guarded, guarded.client("alpha") as alpha:
        with pytest.raises(aiomqtt.MqttError):
            async with guarded.client("beta", identifier="perpguard-home-bot-alpha"):
                pass
        await alpha.publish(TOPICS.ack("alpha"), b"never thrown out", qos=1)


async def test_a_listener_that_takes_the_user_as_client_id_protects_bots_too(tmp_path: Path) -> None:
    async with (
        with_files(tmp_path, extra="use_username_as_clientid true") as guarded,
        guarded.client("alpha") as alpha,
    ):
        async with guarded.client("beta", identifier="perpguard-home-bot-alpha"):
            await alpha.publish(TOPICS.ack("alpha"), b"never thrown out", qos=1)
        await alpha.publish(TOPICS.ack("alpha"), b"nor later", qos=1)


async def test_rights_that_are_too_broad_are_found_with_mosquittos_files(tmp_path: Path) -> None:
    broad = "".join(f"user {user}\ntopic readwrite #\n" for user in (GUARD, "alpha", "beta"))
    async with with_files(tmp_path, acl=broad) as guarded:
        assert await read_breaches(guarded) >= {*to_bot("alpha"), *of_bot("alpha")}
        assert await write_breaches(guarded) >= {*to_bot("alpha"), *of_bot("alpha"), *of_guard()}


async def test_rights_that_are_too_broad_are_found_with_the_plugin(tmp_path: Path) -> None:
    kinds = ("publishClientSend", "publishClientReceive", "subscribePattern")
    acls = [{"acltype": kind, "topic": "#", "priority": 0, "allow": True} for kind in kinds]
    more = [{"command": "modifyRole", "rolename": "perpguard-home-bot-beta", "acls": acls}]
    async with with_plugin(tmp_path, more=more) as guarded:
        assert await read_breaches(guarded) >= {*to_bot("alpha"), *of_bot("alpha")}
        assert await write_breaches(guarded) >= {*to_bot("alpha"), *of_bot("alpha"), *of_guard()}


async def test_a_right_to_the_inside_of_the_embedded_broker_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a bot could do to the broker's own streams if it were allowed to name them."""
    rights = {"own": "perpguard.v1.home.bot.beta.>", "inside": "$JS.API.>"}
    monkeypatch.setattr(
        "adapters.mqtt.users.nats_subject",
        lambda topic: rights["inside" if topic.endswith("ack") else "own"],
    )
    async with embedded(tmp_path) as guarded:
        async with guarded.client(GUARD) as guard, guarded.client("beta") as beta:
            await guard.publish(KEPT, b"kept", qos=1, retain=True)
            await beta.publish("$JS/API/STREAM/PURGE/$MQTT_rmsgs", EVIL, qos=0)
            await beta.publish(TOPICS.bot_state("beta"), b"after it", qos=1)
        broker = guarded.broker
        assert isinstance(broker, EmbeddedBroker)
        assert broker._process is not None
        broker._process.kill()
        await eventually(lambda: broker.restarts == 1, what="a new broker")
        async with _hearing(guarded, GUARD) as (late, retained):
            await late.subscribe(f"{TOPICS.base}/#", qos=1)
            await _settled(late, late, retained, TOPICS.guard_state("sentinel"))
        assert (KEPT, b"kept") not in retained


async def test_rights_that_are_too_broad_are_found_with_the_embedded_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.mqtt.users.nats_subject", lambda _: "perpguard.>")
    async with embedded(tmp_path) as guarded:
        assert await read_breaches(guarded) >= {*to_bot("alpha"), *of_bot("alpha")}
        assert await write_breaches(guarded) >= {*to_bot("alpha"), *of_bot("alpha"), *of_guard()}


@pytest.mark.parametrize("other", ["alphab", "alpha-2", "Alpha"])
async def test_a_name_that_begins_as_anothers_is_another(other: str, tmp_path: Path) -> None:
    rights = bot_rights(TOPICS, "alpha")
    theirs = bot_rights(TOPICS, BotAccess(other, other).bot)
    public = {TOPICS.guard_state("+"), TOPICS.signal("+", "+")}
    assert {*rights.read, *rights.write} & {*theirs.read, *theirs.write} == public


@contextlib.asynccontextmanager
async def _hearing(
    guarded: Guarded, user: str, *, identifier: str | None = None
) -> AsyncIterator[tuple[aiomqtt.Client, list[tuple[str, bytes]]]]:
    """A client, and all that it has got so far as ``(topic, payload)``."""
    heard: list[tuple[str, bytes]] = []

    async def collect(client: aiomqtt.Client) -> None:
        with contextlib.suppress(aiomqtt.MqttError):
            async for message in client.messages:
                heard.append((str(message.topic), bytes(message.payload)))  # noqa: PERF401 (it is read meanwhile)

    async with guarded.client(user, identifier=identifier) as client:
        collecting = asyncio.create_task(collect(client), name=f"hear {user}")
        try:
            yield client, heard
        finally:
            collecting.cancel()
            await asyncio.wait([collecting])


async def _say(client: aiomqtt.Client, topics: Sequence[str], *, retain: bool = False) -> None:
    for topic in topics:
        await client.publish(topic, b"good", qos=1, retain=retain)


async def _settled(
    speaker: aiomqtt.Client, listener: aiomqtt.Client, heard: list[tuple[str, bytes]], topic: str
) -> None:
    """Return once what was sent before has arrived where it will: three further messages went all the way."""
    await listener.subscribe(topic, qos=1)
    for _ in range(3):
        mark = f"mark-{next(_numbers)}".encode()
        await speaker.publish(topic, mark, qos=1)
        await eventually(partial(_has, heard, mark), what=f"{mark!r}")


def _has(heard: list[tuple[str, bytes]], payload: bytes) -> bool:
    return any(each == payload for _, each in heard)
