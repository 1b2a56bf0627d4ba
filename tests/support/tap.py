"""A listener on the broker that keeps everything of one site, decoded, with the bytes as they came."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import aiomqtt

from perpguard_sdk.codec import decode_plain, decode_signed
from perpguard_sdk.errors import MalformedMessageError, SignatureMismatchError
from perpguard_sdk.messages import (
    Ack,
    AnyMessage,
    BotState,
    Command,
    GuardState,
    Posture,
    Reported,
)
from perpguard_sdk.topics import TopicKind, Topics
from tests.support.brokers import Broker
from tests.support.eventually import eventually

M = TypeVar("M")
PLAIN = (TopicKind.GUARD_STATE, TopicKind.SIGNAL)


@dataclass(frozen=True, slots=True)
class Heard:
    """One message: ``at_s`` on the monotonic clock, ``at_ms`` on the wall clock, as this machine has them."""

    at_s: float
    at_ms: int
    topic: str
    payload: bytes
    retain: bool
    message: AnyMessage | None

    def is_since(self, since_s: float) -> bool:
        """Whether it was said since then: what the broker had retained counts by its own time."""
        if self.at_s < since_s:
            return False
        said_ms = getattr(self.message, "ts", self.at_ms) if self.retain else self.at_ms
        return bool(said_ms >= self.at_ms - (self.at_s - since_s) * 1000)


@dataclass(slots=True)
class Tap:
    """Use ``tap(...)``. Connects again whenever the broker comes back."""

    broker: Broker
    topics: Topics
    keys: Mapping[str, bytes]
    heard: list[Heard] = field(default_factory=list)
    connected: bool = False

    async def run(self) -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError, OSError):
                await self._listen()
            self.connected = False
            await asyncio.sleep(0.05)

    def all(self, kind: type[M], *, bot: str | None = None, since_s: float = 0.0) -> list[M]:
        """The messages of a type, in order; with ``since_s`` only what was said since then."""
        return [message for _, message in self.timed(kind, bot=bot, since_s=since_s)]

    def timed(self, kind: type[M], *, bot: str | None = None, since_s: float = 0.0) -> list[tuple[Heard, M]]:
        """As ``all``, each with how it was heard."""
        return [
            (heard, heard.message)
            for heard in self.heard
            if isinstance(heard.message, kind)
            and heard.is_since(since_s)
            and (bot is None or getattr(heard.message, "bot", None) == bot)
        ]

    def last(self, kind: type[M], *, bot: str | None = None) -> M | None:
        found = self.all(kind, bot=bot)
        return found[-1] if found else None

    async def expect(
        self,
        kind: type[M],
        holds: Callable[[M], bool] = lambda _: True,
        *,
        bot: str | None = None,
        since_s: float = 0.0,
        within_s: float = 10.0,
        what: str = "",
    ) -> tuple[Heard, M]:
        """The first message of a type since ``since_s`` for which ``holds`` is true; waits for it."""

        def find() -> tuple[Heard, M] | None:
            found = self.timed(kind, bot=bot, since_s=since_s)
            return next((each for each in found if holds(each[1])), None)

        def seen() -> str:
            found = self.all(kind, bot=bot, since_s=since_s)
            return f"{what or kind.__name__} of {bot}; the last of {len(found)}: {found[-1:]}"

        try:
            found = await eventually(find, within_s=within_s)
        except AssertionError:
            raise AssertionError(f"not within {within_s} s: {seen()}") from None
        assert found is not None
        return found

    def commands(self, bot: str | None = None, *, since_s: float = 0.0) -> list[tuple[Heard, Command]]:
        """Every publication of a command, repeats too."""
        return self.timed(Command, bot=bot, since_s=since_s)  # type: ignore[arg-type]

    def acks(self, bot: str, command_id: str) -> list[Ack]:
        return [ack for ack in self.all(Ack, bot=bot) if ack.command_id == command_id]

    def raw(self, bot: str) -> list[Heard]:
        """What was said to one bot: heartbeats, postures, commands."""
        kinds = (TopicKind.HEARTBEAT, TopicKind.POSTURE, TopicKind.COMMAND)
        parsed = ((heard, self.topics.parse(heard.topic)) for heard in self.heard)
        return [heard for heard, topic in parsed if topic and topic.kind in kinds and topic.name == bot]

    def bot_state(self, bot: str) -> BotState | None:
        return self.last(BotState, bot=bot)

    def reported(self, bot: str) -> Reported | None:
        return self.last(Reported, bot=bot)

    def posture(self, bot: str) -> Posture | None:
        return self.last(Posture, bot=bot)

    def guard(self, name: str = "guard-1") -> GuardState | None:
        return next((state for state in reversed(self.all(GuardState)) if state.guard == name), None)

    async def expect_guard(
        self,
        holds: Callable[[GuardState], bool],
        *,
        name: str = "guard-1",
        since_s: float = 0.0,
        within_s: float = 20.0,
        what: str = "",
    ) -> tuple[Heard, GuardState]:
        return await self.expect(
            GuardState,
            lambda state: state.guard == name and holds(state),
            since_s=since_s,
            within_s=within_s,
            what=what or f"state of {name}",
        )

    async def _listen(self) -> None:
        async with aiomqtt.Client(
            self.broker.host,
            self.broker.port,
            username=self.broker.username,
            password=self.broker.password,
            keepalive=2,
            timeout=2.0,
        ) as client:
            await client.subscribe(f"{self.topics.base}/#", qos=1)
            self.connected = True
            async for message in client.messages:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                self._keep(message.topic.value, payload, retain=bool(message.retain))

    def _keep(self, topic: str, payload: bytes, *, retain: bool) -> None:
        parsed = self.topics.parse(topic)
        decoded: AnyMessage | None = None
        with contextlib.suppress(MalformedMessageError, SignatureMismatchError):
            if parsed is not None and parsed.kind in PLAIN:
                decoded = decode_plain(payload, topic)
            elif parsed is not None and parsed.name in self.keys:
                decoded = decode_signed(payload, topic, self.keys[parsed.name])
        now = Heard(time.monotonic(), time.time_ns() // 1_000_000, topic, payload, retain, decoded)
        self.heard.append(now)


@contextlib.asynccontextmanager
async def tap(
    broker: Broker, topics: Topics, keys: Mapping[str, bytes], *, wait: bool = True
) -> AsyncIterator[Tap]:
    """Listen to one site until the end of the block; with ``wait`` the broker must be there now."""
    listener = Tap(broker, topics, keys)
    running = asyncio.create_task(listener.run(), name=f"tap {topics.base}")
    try:
        if wait:
            await eventually(lambda: listener.connected or running.done(), what="the tap to connect")
        yield listener
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
