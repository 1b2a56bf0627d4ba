"""The two ends that the broker contract is tried with: a guard's link, and a bot played by hand."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import aiomqtt
import msgspec

from adapters.mqtt.link import MqttLink
from adapters.mqtt.settings import BrokerSettings
from guard.events import AnyEvent, LinkChanged, MessageRefused
from guard.units import NS_PER_MS, NS_PER_S, BotId, Nanoseconds
from perpguard_sdk.codec import decode_plain, decode_signed, encode_signed
from perpguard_sdk.messages import (
    Ack,
    AckStatus,
    Birth,
    BotState,
    BotStatus,
    Entries,
    GuardState,
    GuardStatus,
    Heartbeat,
    Message,
    Mode,
    Pause,
    Posture,
    Reported,
    Verb,
    VerbCapability,
)
from perpguard_sdk.topics import Topics
from tests.support.brokers import Broker
from tests.support.eventually import eventually

T = TypeVar("T")
ALPHA, BETA = BotId("alpha"), BotId("beta")
KEYS: dict[BotId, bytes] = {ALPHA: b"alpha's key, long enough", BETA: b"beta's key, long enough too"}
_numbers = itertools.count(1)


class WallClock:
    """The real clock."""

    def now(self) -> Nanoseconds:
        return time.time_ns()

    async def sleep_until(self, at: Nanoseconds) -> None:
        await asyncio.sleep(max(0.0, (at - time.time_ns()) / NS_PER_S))


def now_ms() -> int:
    return time.time_ns() // NS_PER_MS


@dataclass(slots=True)
class RunningGuard:
    """A link whose ``run`` is running, and what it emitted."""

    link: MqttLink
    events: list[AnyEvent]
    task: asyncio.Task[None]

    def all(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    async def expect(self, kind: type[T], count: int = 1, *, within_s: float = 10.0) -> T:
        """Wait until ``count`` events of the kind are there, and return the last of them."""
        await eventually(
            lambda: len(self.all(kind)) >= count or self.task.done(),
            within_s=within_s,
            what=f"{count} {kind}",
        )
        if len(self.all(kind)) < count:
            self.task.result()
        return self.all(kind)[-1]

    async def expect_link(self, *, up: bool, within_s: float = 15.0) -> LinkChanged:
        def last() -> LinkChanged | None:
            changes = self.all(LinkChanged)
            return changes[-1] if changes and changes[-1].up is up else None

        found = await eventually(last, within_s=within_s, what=f"link up={up}")
        assert found is not None
        return found

    async def expect_refused(self, start: str, *, within_s: float = 10.0) -> MessageRefused:
        """Wait for a refusal whose detail starts so."""

        def found() -> MessageRefused | None:
            return next((event for event in self.all(MessageRefused) if event.detail.startswith(start)), None)

        event = await eventually(found, within_s=within_s, what=f"{start} in {self.all(MessageRefused)}")
        assert event is not None
        return event


@dataclass(slots=True)
class Site:
    """One broker, one protocol version, one site."""

    broker: Broker
    protocol: str
    name: str = "home"
    settings: dict[str, object] = field(default_factory=dict)

    @property
    def topics(self) -> Topics:
        return Topics(site=self.name)

    def broker_settings(self, **more: object) -> BrokerSettings:
        values: dict[str, object] = {
            "kind": "external",
            "host": self.broker.host,
            "port": self.broker.port,
            "protocol": self.protocol,
            "site": self.name,
            "claim_quiet_s": 0.3,
            "claim_wait_s": 0.8,
        }
        return BrokerSettings.model_validate({**values, **self.settings, **more})

    @contextlib.asynccontextmanager
    async def guard(
        self,
        name: str = "g1",
        *,
        mode: Mode = Mode.LIVE,
        keys: Mapping[BotId, bytes] = KEYS,
        session: str | None = None,
        password: str | None = None,
        wait: bool = True,
        **settings: object,
    ) -> AsyncIterator[RunningGuard]:
        """Run a link; it is cancelled at the end unless it has ended by itself."""
        link = MqttLink(
            self.broker_settings(**settings),
            guard=name,
            mode=mode,
            bot_keys=keys,
            clock=WallClock(),
            password=password,
            session=session,
        )
        events: list[AnyEvent] = []
        task = asyncio.create_task(link.run(events.append), name=f"run-{name}")
        running = RunningGuard(link, events, task)
        try:
            if wait:
                await running.expect_link(up=True)
            yield running
        finally:
            task.cancel()
            await asyncio.wait([task])

    @contextlib.asynccontextmanager
    async def client(
        self, *, will: aiomqtt.Will | None = None, **login: str
    ) -> AsyncIterator[aiomqtt.Client]:
        """A bare client of the same protocol version."""
        version = aiomqtt.ProtocolVersion.V5 if self.protocol == "5" else aiomqtt.ProtocolVersion.V311
        async with aiomqtt.Client(
            self.broker.host,
            self.broker.port,
            protocol=version,
            will=will,
            username=login.get("username"),
            password=login.get("password"),
        ) as client:
            yield client

    @contextlib.asynccontextmanager
    async def bot(self, name: BotId = ALPHA, *, mode: Mode = Mode.LIVE) -> AsyncIterator[PlayedBot]:
        """A bot that has subscribed to everything that a bot of ``mode`` listens to."""
        async with self.client() as client:
            bot = PlayedBot(name, self.topics, client)
            channel = self.topics.channel(mode)
            filters = [
                f"{channel}/posture/{name}",
                f"{channel}/command/{name}/+",
                self.topics.heartbeat(name),
                self.topics.guard_state("+"),
            ]
            await client.subscribe([(topic_filter, 1) for topic_filter in filters])
            collecting = asyncio.create_task(bot.collect())
            try:
                yield bot
            finally:
                collecting.cancel()
                await asyncio.wait([collecting])


@dataclass(slots=True)
class PlayedBot:
    """A bot played by the test: what it got, and what it says."""

    name: BotId
    topics: Topics
    client: aiomqtt.Client
    inbox: list[aiomqtt.Message] = field(default_factory=list)

    async def collect(self) -> None:
        async for message in self.client.messages:
            self.inbox.append(message)

    def got(self, kind: type[T]) -> list[T]:
        """Every message of the kind, verified with our key (the guard's state is unsigned)."""
        return [body for _, body in self.got_raw(kind)]

    def got_raw(self, kind: type[T]) -> list[tuple[aiomqtt.Message, T]]:
        found: list[tuple[aiomqtt.Message, T]] = []
        for message in self.inbox:
            topic, payload = str(message.topic), message.payload
            is_plain = topic.endswith("/state") or "/signal/" in topic
            body: object = (
                decode_plain(payload, topic) if is_plain else decode_signed(payload, topic, KEYS[self.name])
            )
            if isinstance(body, kind):
                found.append((message, body))
        return found

    async def expect(self, kind: type[T], count: int = 1, *, within_s: float = 10.0) -> T:
        await eventually(lambda: len(self.got(kind)) >= count, within_s=within_s, what=f"{count} {kind}")
        return self.got(kind)[-1]

    async def say(
        self, message: Message, topic: str, *, retain: bool = True, key: bytes | None = None
    ) -> None:
        payload = encode_signed(message, topic, KEYS[self.name] if key is None else key)
        await self.client.publish(topic, payload, qos=1, retain=retain)

    async def be_born(self, **fields: object) -> Birth:
        message = msgspec.structs.replace(birth(self.name), **fields)
        await self.say(message, self.topics.birth(self.name))
        return message

    async def report(self, **fields: object) -> Reported:
        message = msgspec.structs.replace(reported(self.name), **fields)
        await self.say(message, self.topics.reported(self.name))
        return message


async def first_retained(client: aiomqtt.Client, topic_filter: str) -> aiomqtt.Message:
    """Subscribe and return the first message; subscribe again if nothing comes.

    A nats-server that has just been started does not always have read all that it retains.
    """
    messages = aiter(client.messages)
    for _ in range(5):
        await client.subscribe(topic_filter, qos=1)
        try:
            async with asyncio.timeout(1.0):
                return await anext(messages)
        except TimeoutError:
            continue
    raise AssertionError(f"nothing is retained under {topic_filter}")


def birth(bot: BotId = ALPHA) -> Birth:
    return Birth(
        bot=bot,
        session="bot-session",
        ts=now_ms(),
        software="test",
        software_version="1",
        mode=Mode.LIVE,
        venue="binanceusdm",
        account="main",
        symbols=("BTC/USDT:USDT",),
        verbs={Verb.PAUSE: VerbCapability(deadline_ms=1000)},
    )


def bot_state(bot: BotId = ALPHA, state: BotStatus = BotStatus.ONLINE) -> BotState:
    return BotState(bot=bot, session="bot-session", state=state, ts=now_ms())


def reported(bot: BotId = ALPHA, epoch: int = 0) -> Reported:
    return Reported(
        bot=bot,
        session="bot-session",
        ts=now_ms(),
        mode=Mode.LIVE,
        posture_version=0,
        epoch=epoch,
        seq=0,
        safe_mode=False,
    )


def ack(bot: BotId = ALPHA, command_id: str = "c-1") -> Ack:
    return Ack(
        bot=bot,
        session="bot-session",
        command_id=command_id,
        epoch=1,
        seq=1,
        status=AckStatus.APPLIED,
        at=now_ms(),
    )


def guard_state(status: GuardStatus, session: str, epoch: int = 1, guard: str = "g1") -> GuardState:
    return GuardState(
        guard=guard, state=status, epoch=epoch, session=session, ts=now_ms(), mode=Mode.LIVE, problems=()
    )


def posture(
    bot: BotId = ALPHA, *, version: int = 1, epoch: int = 1, session: str = "s", mode: Mode = Mode.LIVE
) -> Posture:
    return Posture(
        bot=bot,
        version=version,
        epoch=epoch,
        session=session,
        ts=now_ms(),
        expires_at=now_ms() + 60_000,
        mode=mode,
        entries={"*": Entries.REDUCE_ONLY},
    )


def pause(bot: BotId = ALPHA, *, epoch: int = 1, ttl_ms: int = 10_000, dry_run: bool = False) -> Pause:
    number = next(_numbers)
    return Pause(
        id=f"command-{number}",
        bot=bot,
        epoch=epoch,
        seq=number,
        ts=now_ms(),
        expires_at=now_ms() + ttl_ms,
        posture_version=1,
        symbol="*",
        reason="depth_thin",
        dry_run=dry_run,
        entries=Entries.HALTED,
    )


def heartbeat(bot: BotId = ALPHA, *, epoch: int = 1, session: str = "s", seq: int | None = None) -> Heartbeat:
    return Heartbeat(
        bot=bot,
        bot_session="bot-session",
        epoch=epoch,
        session=session,
        seq=next(_numbers) if seq is None else seq,
        ts=now_ms(),
        decided_at=now_ms(),
        posture_version=1,
        mode=Mode.LIVE,
    )


@contextlib.asynccontextmanager
async def rival(
    site: Site, *, epoch: int, session: str = "rival", key: bytes | None = None
) -> AsyncIterator[None]:
    """Another guard that beats for bot alpha every 50 ms."""
    topic = site.topics.heartbeat(ALPHA)

    async def beat() -> None:
        beating = asyncio.current_task()
        assert beating is not None
        async with site.client() as client:
            # aiomqtt's publish may swallow a cancellation before Python 3.12.
            while not beating.cancelling():
                message = heartbeat(epoch=epoch, session=session)
                await client.publish(topic, encode_signed(message, topic, key or KEYS[ALPHA]))
                await asyncio.sleep(0.05)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
