"""Record, then act: carries each Step to the journal and then to the bots. See ``guard.journal``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

import structlog
from annotated_types import Ge, Le

from guard.audit import Sent, Step
from guard.commands import PublishCommand, PublishPosture
from guard.errors import BrokerError
from guard.events import CommandSent, MarketFeatures
from guard.journal import Journal
from guard.ports import Clock, CommandSink, Emit
from guard.units import BotId, Nanoseconds
from perpguard_sdk.messages import Verb

STEPS_MAX = 10_000
"""Steps that wait to be sent: at 10 decisions a second a thousand seconds of a broker that hangs, 20 MB."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """How long a message waits for its record.

    Attributes:
        tighten_wait_ms: a tightening waits so long for the disk, then goes out and a gap is journalled.
    """

    tighten_wait_ms: Annotated[int, Ge(0), Le(1_000)] = 50


@dataclass(slots=True)
class _Due:
    step: Step
    decided_at: Nanoseconds


@dataclass(slots=True)
class Outbox:
    """Sends in the order of deciding; a loosening waits for its record without holding up a tightening."""

    journal: Journal
    sink: CommandSink
    clock: Clock
    emit: Emit
    settings: OutboxSettings = field(default_factory=OutboxSettings)
    _due: asyncio.Queue[_Due] = field(default_factory=lambda: asyncio.Queue(STEPS_MAX))
    _held: dict[BotId, int] = field(default_factory=dict)
    _newest_version: dict[BotId, int] = field(default_factory=dict)

    def put(self, step: Step, decided_at: Nanoseconds) -> None:
        """Queue a step that has something to record or to send."""
        try:
            self._due.put_nowait(_Due(step, decided_at))
        except asyncio.QueueFull:
            # The broker has hung for minutes: the engine's retries and refreshes say it all again.
            log.error("outbox is full, a step is recorded but not sent", at=step.at)
            self.journal.put(step)

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                due = await self._due.get()
                await self._carry(due, group)

    async def _carry(self, due: _Due, group: asyncio.TaskGroup) -> None:
        step = due.step
        if not step.is_decision:
            await self._send(due, step.postures, (), durable_at=None)
            return
        written = self.journal.put(step)
        if not step.postures and not step.commands:
            return
        for publish in step.postures:
            bot = BotId(publish.posture.bot)
            self._newest_version[bot] = max(self._newest_version.get(bot, 0), publish.posture.version)
        if await self.journal.wait(written, self.settings.tighten_wait_ms / 1000.0):
            await self._send(due, step.postures, step.commands, durable_at=self.clock.now())
            return
        now_postures = tuple(publish for publish in step.postures if publish.tightens)
        now_commands = tuple(publish for publish in step.commands if publish.command.verb is not Verb.RESUME)
        if now_postures or now_commands:
            self.journal.note_sent_ahead()
            await self._send(due, now_postures, now_commands, durable_at=None)
        later = tuple(publish for publish in step.postures if not publish.tightens)
        resumes = tuple(publish for publish in step.commands if publish.command.verb is Verb.RESUME)
        if later or resumes:
            group.create_task(self._send_once_written(due, written, later, resumes), name="held loosening")

    async def _send_once_written(
        self,
        due: _Due,
        written: asyncio.Future[None],
        postures: tuple[PublishPosture, ...],
        commands: tuple[PublishCommand, ...],
    ) -> None:
        bots = [BotId(publish.posture.bot) for publish in postures]
        for bot in bots:
            self._held[bot] = self._held.get(bot, 0) + 1
        try:
            await asyncio.wait([written])
        finally:
            for bot in bots:
                self._held[bot] -= 1
        if written.cancelled():
            return  # its record was lost: it must not be sent; the next refresh is decided anew
        newest = tuple(
            publish
            for publish in postures
            if publish.posture.version >= self._newest_version.get(BotId(publish.posture.bot), 0)
        )
        await self._send(due, newest, commands, durable_at=self.clock.now())

    async def _send(
        self,
        due: _Due,
        postures: tuple[PublishPosture, ...],
        commands: tuple[PublishCommand, ...],
        durable_at: Nanoseconds | None,
    ) -> None:
        """Tightening commands are the fast edge and go first; a resume needs its posture there before it."""
        hops = _hops(due, durable_at)
        for publish in commands:
            if publish.command.verb is not Verb.RESUME:
                await self._send_command(publish, hops, due)
        for posture in postures:
            await self._send_posture(posture, hops)
        for publish in commands:
            if publish.command.verb is Verb.RESUME:
                await self._send_command(publish, hops, due)

    async def _send_command(self, publish: PublishCommand, hops: dict[str, float], due: _Due) -> None:
        command = publish.command
        started = self.clock.now()
        ok, detail = True, ""
        try:
            await self.sink.publish_command(command)
        except BrokerError as error:
            ok, detail = False, str(error)
        sent_at = self.clock.now()
        taken = {**hops, "publish": (sent_at - started) / 1000.0, "total": (sent_at - due.step.at) / 1000.0}
        self.journal.put(
            Sent(at=sent_at, subject=command.id, bot=command.bot, ok=ok, detail=detail, hops_us=taken)
        )
        self.emit(
            CommandSent(
                received_at=sent_at, command_id=command.id, bot=BotId(command.bot), ok=ok, detail=detail
            )
        )

    async def _send_posture(self, publish: PublishPosture, hops: dict[str, float]) -> None:
        posture = publish.posture
        if not publish.tightens and self._held.get(BotId(posture.bot)):
            return  # a loosening before it waits for the disk: a refresh must not carry it out early
        ok, detail = True, ""
        try:
            await self.sink.publish_posture(posture)
        except BrokerError as error:
            ok, detail = False, str(error)
        if publish.changed:
            subject = f"posture:{posture.bot}:{posture.version}"
            self.journal.put(
                Sent(
                    at=self.clock.now(), subject=subject, bot=posture.bot, ok=ok, detail=detail, hops_us=hops
                )
            )


def _hops(due: _Due, durable_at: Nanoseconds | None) -> dict[str, float]:
    """Microseconds from one station to the next, as far as they are known."""
    event = due.step.event
    hops: dict[str, float] = {"decide": (due.decided_at - event.received_at) / 1000.0}
    if isinstance(event, MarketFeatures) and event.book_at is not None:
        hops["sample"] = (event.received_at - event.book_at) / 1000.0
    if durable_at is not None:
        hops["durable"] = (durable_at - due.decided_at) / 1000.0
    return hops
