"""A guard on a real broker: it beats, says what a test tells it, and hears what the bot answers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

import aiomqtt

from perpguard_sdk.codec import decode_signed
from perpguard_sdk.messages import Ack, AckStatus, Birth, BotState, Command, CutLeverage, Reported
from tests.sdk.bench import BOT, KEY, TOPICS, Guard
from tests.support.brokers import Broker


@dataclass
class GuardOnTheWire:
    """A guard that beats and hears what the bot says, over a real broker."""

    broker: Broker
    guard: Guard
    bot_session: str = ""
    beating: bool = True
    acks: list[Ack] = field(default_factory=list)
    reported: Reported | None = None
    state: BotState | None = None
    birth: Birth | None = None
    tape: list[tuple[str, bytes]] = field(default_factory=list)
    client: aiomqtt.Client | None = None

    async def run(self) -> None:
        while True:
            connected = asyncio.create_task(self._connect())
            try:
                await asyncio.wait([connected])
            finally:
                connected.cancel()
            await asyncio.sleep(0.05)

    async def _connect(self) -> None:
        with contextlib.suppress(aiomqtt.MqttError, ExceptionGroup):
            async with aiomqtt.Client(self.broker.host, self.broker.port, timeout=2) as self.client:
                await self.client.subscribe(f"{TOPICS.base}/bot/{BOT}/#", qos=1)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._listen(self.client))
                    group.create_task(self._beat())

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            said = decode_signed(message.payload, message.topic.value, KEY)
            match said:
                case Ack():
                    self.acks.append(said)
                case Reported():
                    self.reported = said
                case BotState():
                    self.state = said
                case Birth():
                    self.birth, self.bot_session = said, said.session

    async def _beat(self) -> None:
        while True:
            if self.beating and self.bot_session:
                await self.say(self.guard.heartbeat(now_ms(), self.bot_session), qos=0)
            await asyncio.sleep(0.1)
            _stop_if_cancelled()

    async def say(self, sent: tuple[str, bytes], *, qos: int = 1, retain: bool = False) -> None:
        self.tape.append(sent)
        assert self.client is not None
        await self.client.publish(*sent, qos=qos, retain=retain)

    async def posture(self, **changes: Any) -> None:
        await self.say(self.guard.posture(now_ms(), **changes), retain=True)

    async def command(self, life_ms: int = 5_000, kind: type[Command] = CutLeverage, **changes: Any) -> str:
        sent = self.guard.command(kind, now_ms(), expires_at=now_ms() + life_ms, **changes)
        await self.say(sent)
        return f"{self.guard.session}-{self.guard.ids}"

    def statuses_of(self, command_id: str) -> list[AckStatus]:
        return [ack.status for ack in self.acks if ack.command_id == command_id]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _stop_if_cancelled() -> None:
    """Python 3.11's wait_for inside aiomqtt may swallow a cancellation."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
