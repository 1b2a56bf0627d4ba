"""Hand-written stand-ins for the ports of the loop, with switches for what can go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from guard.audit import AnyRecord, Sent, Step
from guard.errors import AuditFullError, BrokerError, FencedError
from guard.events import AnyEvent
from guard.ports import AuditLog, Claim, Clock, CommandSink, Emit, Feed, Fence, Memory, StatusSink
from guard.units import NS_PER_MS, BotId, Nanoseconds
from perpguard_sdk.messages import Command, GuardState, Heartbeat, Instruction, Notice, Posture, Signal


@dataclass
class FakeClock(Clock):
    """Time that moves only when a test says so; who sleeps on it waits for that."""

    at: Nanoseconds = 0
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> Nanoseconds:
        return self.at

    async def sleep_until(self, at: Nanoseconds) -> None:
        while self.at < at:
            self._moved.clear()
            await self._moved.wait()

    def advance(self, milliseconds: float) -> None:
        self.at += round(milliseconds * NS_PER_MS)
        self._moved.set()


Message = Command | Posture | Heartbeat | GuardState | Signal | Notice


@dataclass
class FakeSink(CommandSink, StatusSink):
    """Keeps what was published, in order; ``down`` refuses, ``hangs`` never answers."""

    published: list[Message] = field(default_factory=list)
    down: bool = False
    hangs: bool = False
    offered: int = 0

    async def publish_command(self, command: Command) -> None:
        await self._take(command)

    async def publish_posture(self, posture: Posture) -> None:
        await self._take(posture)

    async def publish_heartbeat(self, heartbeat: Heartbeat) -> None:
        await self._take(heartbeat)

    async def publish_state(self, state: GuardState) -> None:
        await self._take(state)

    async def publish_signal(self, signal: Signal) -> None:
        await self._take(signal)

    async def publish_notice(self, notice: Notice) -> None:
        await self._take(notice)

    async def _take(self, message: Message) -> None:
        self.offered += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.down:
            raise BrokerError("127.0.0.1:1883", "away")
        self.published.append(message)

    @property
    def postures(self) -> list[Posture]:
        return [message for message in self.published if isinstance(message, Posture)]

    @property
    def commands(self) -> list[Command]:
        return [message for message in self.published if isinstance(message, Command)]

    @property
    def heartbeats(self) -> list[Heartbeat]:
        return [message for message in self.published if isinstance(message, Heartbeat)]

    @property
    def states(self) -> list[GuardState]:
        return [message for message in self.published if isinstance(message, GuardState)]


@dataclass
class FakeAudit(AuditLog):
    """Keeps records; ``full`` refuses them, and while ``answers`` is clear the disk hangs."""

    records: list[AnyRecord] = field(default_factory=list)
    full: bool = False
    refused: int = 0
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.answers.set()

    async def append(self, records: Sequence[AnyRecord], *, durable: bool) -> None:
        await self.answers.wait()
        if self.full:
            self.refused += 1
            raise AuditFullError("audit.sqlite", "the disk is full")
        self.records.extend(records)

    def hang(self) -> None:
        self.answers.clear()

    def answer(self) -> None:
        self.answers.set()

    def answer_once(self) -> None:
        """Let who waits now pass, and nobody after."""
        self.answers.set()
        self.answers.clear()

    @property
    def steps(self) -> list[Step]:
        return [record for record in self.records if isinstance(record, Step)]

    @property
    def sent(self) -> list[Sent]:
        return [record for record in self.records if isinstance(record, Sent)]


@dataclass
class FakeFence(Fence):
    """Grants one epoch after another, above what is asked; ``fenced`` refuses."""

    floors: tuple[Posture, ...] = ()
    fenced: bool = False
    claims: list[int] = field(default_factory=list)

    async def claim(self, stored_epoch: int) -> Claim:
        if self.fenced:
            raise FencedError("another guard of this site keeps beating")
        self.claims.append(max(stored_epoch, *self.claims, 0) + 1)
        return Claim(epoch=self.claims[-1], floors=self.floors)


@dataclass
class FakeMemory(Memory):
    epoch: int = 0
    postures: dict[BotId, Posture] = field(default_factory=dict)
    instructions: tuple[Instruction, ...] = ()
    broken: bool = False

    async def last_epoch(self) -> int:
        if self.broken:
            raise AuditFullError("audit.sqlite", "cannot be read")
        return self.epoch

    async def last_postures(self) -> dict[BotId, Posture]:
        if self.broken:
            raise AuditFullError("audit.sqlite", "cannot be read")
        return dict(self.postures)

    async def last_instructions(self) -> tuple[Instruction, ...]:
        if self.broken:
            raise AuditFullError("audit.sqlite", "cannot be read")
        return self.instructions


@dataclass
class FakeFeed(Feed):
    """Emits what a test puts in; may fail so many times before it begins."""

    failures: int = 0
    started: int = 0
    emit: Emit | None = None

    @property
    def name(self) -> str:
        return "fake"

    async def run(self, emit: Emit) -> None:
        self.started += 1
        if self.started <= self.failures:
            raise RuntimeError("a feed with a fault")
        self.emit = emit
        await asyncio.Event().wait()

    def put(self, *events: AnyEvent) -> None:
        assert self.emit is not None
        for event in events:
            self.emit(event)
