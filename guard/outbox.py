"""Record, then act: carries each Step to the journal and then to the bots. See ``guard.journal``."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import structlog
from annotated_types import Ge, Le
from msgspec import structs

from guard.audit import Sent, Step
from guard.commands import PublishCommand, PublishPosture
from guard.errors import BrokerError
from guard.events import CommandSent
from guard.hops import Hop, Stations
from guard.journal import RETRY_S, Journal
from guard.meters import Latency
from guard.ports import Clock, CommandSink, Emit
from guard.postures import no_looser
from guard.traces import Traces
from guard.units import NS_PER_S, BotId, Nanoseconds, ms_of
from perpguard_sdk.messages import Posture, Verb

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
    written: asyncio.Future[Nanoseconds] | None


@dataclass(slots=True)
class Outbox:
    """Sends in the order of deciding; a loosening waits for its record without holding up a tightening.

    While a loosening of a bot is held back, whatever else is published for it restricts no less than what
    it was last sent; what it really is to be follows once the record is written. The first posture of an
    epoch counts as a loosening, and while it is held back no other goes out either; commands do.
    """

    journal: Journal
    sink: CommandSink
    clock: Clock
    emit: Emit
    settings: OutboxSettings = field(default_factory=OutboxSettings)
    unsent: int = 0
    """Steps that were recorded but not sent, because too many waited."""
    latency: Latency = field(default_factory=Latency)
    """From the causing event to the broker's taking the command."""
    traces: Traces = field(init=False)
    """Follows each command; the loop tells it of steps."""
    _due: asyncio.Queue[_Due] = field(default_factory=lambda: asyncio.Queue(STEPS_MAX))
    _held: Counter[str] = field(default_factory=Counter)
    _latest: dict[str, PublishPosture] = field(default_factory=dict)
    _writing: dict[str, asyncio.Future[Nanoseconds]] = field(default_factory=dict)
    _sent: dict[str, Posture] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.traces = Traces(self.journal.put_later)

    def put(self, step: Step, decided_at: Nanoseconds) -> None:
        """Queue a step: its record at once and in order, its messages behind those of earlier steps."""
        written = self.journal.put(step) if step.is_decision else None
        if not step.postures and not step.commands:
            return
        try:
            self._due.put_nowait(_Due(step, decided_at, written))
        except asyncio.QueueFull:
            self.unsent += 1
            # The broker has hung for minutes: the engine's retries and refreshes say it all again.
            log.error("outbox is full, a step is recorded but not sent", at=step.at)

    @property
    def waiting(self) -> int:
        """How many steps wait to be sent."""
        return self._due.qsize()

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                due = await self._due.get()
                await self._carry(due, group)

    async def _carry(self, due: _Due, group: asyncio.TaskGroup) -> None:
        step, written = due.step, due.written
        for publish in step.postures:
            self._latest[publish.posture.bot] = publish
            if written is not None:
                self._writing[publish.posture.bot] = written
        if written is None:
            await self._send(due, step.postures, (), durable_at=None)
            return
        tightening = tuple(
            publish
            for publish in step.postures
            if publish.tightens and not self._follows_with_first(publish.posture)
        )
        commands = tuple(publish for publish in step.commands if publish.command.verb is not Verb.RESUME)
        loosening = tuple(publish for publish in step.postures if not publish.tightens)
        # Counted before anything is waited for: from here on neither a refresh nor an older loosening whose
        # record is written may carry this one out.
        self._held.update(publish.posture.bot for publish in loosening)
        if written.done() or tightening or commands:
            waited_s = (self.clock.now() - due.decided_at) / NS_PER_S
            left_s = max(self.settings.tighten_wait_ms / 1000.0 - waited_s, 0.0)
            if await self.journal.wait(written, left_s):
                self._held.subtract(publish.posture.bot for publish in loosening)
                await self._send(due, step.postures, step.commands, durable_at=written.result())
                return
        resumes = tuple(publish for publish in step.commands if publish.command.verb is Verb.RESUME)
        if loosening or resumes:
            group.create_task(
                self._send_once_written(due, written, loosening, resumes), name="held loosening"
            )
        if tightening or commands:
            self.journal.note_sent_ahead()
            await self._send(due, tightening, commands, durable_at=None)

    async def _send_once_written(
        self,
        due: _Due,
        written: asyncio.Future[Nanoseconds],
        postures: tuple[PublishPosture, ...],
        commands: tuple[PublishCommand, ...],
    ) -> None:
        await asyncio.wait([written])
        while written.cancelled():  # there was no room for its record: not recorded, not done
            await asyncio.sleep(RETRY_S)
            written = self.journal.put(due.step)
            await asyncio.wait([written])
        bots = [publish.posture.bot for publish in postures]
        self._held.subtract(bots)
        released = tuple(self._renewed(self._latest[bot]) for bot in bots if self._held[bot] <= 0)
        if any(not self._writing[publish.posture.bot].done() for publish in released):
            self.journal.note_sent_ahead()  # a tightening came since, which need not wait any longer
        await self._send(due, released, commands, durable_at=written.result())

    def _renewed(self, publish: PublishPosture) -> PublishPosture:
        """The same posture with a later time, so that a bot takes it for newer than what it was sent of it."""
        posture = structs.replace(publish.posture, ts=max(ms_of(self.clock.now()), publish.posture.ts + 1))
        return structs.replace(publish, posture=posture)

    async def _send(
        self,
        due: _Due,
        postures: tuple[PublishPosture, ...],
        commands: tuple[PublishCommand, ...],
        durable_at: Nanoseconds | None,
    ) -> None:
        """Tightening commands are the fast edge and go first; a resume needs its posture there before it."""
        hops = _hops(due, durable_at)
        released_at = self.clock.now() if durable_at is None else durable_at
        ways = {
            publish.command.id: self.traces.durable(publish, released_at, ahead=durable_at is None)
            for publish in commands
        }

        def carried(*, resumes: bool) -> list[Coroutine[Any, Any, None]]:
            return [
                self._send_command(publish, _hops_us(ways[publish.command.id], hops), due, released_at)
                for publish in commands
                if (publish.command.verb is Verb.RESUME) is resumes
            ]

        await _together(carried(resumes=False))
        await _together([self._send_posture(posture, hops) for posture in postures])
        await _together(carried(resumes=True))

    async def _send_command(
        self, publish: PublishCommand, hops: dict[str, float], due: _Due, released_at: Nanoseconds
    ) -> None:
        command = publish.command
        ok, detail = True, ""
        try:
            await self.sink.publish_command(command)
        except BrokerError as error:
            ok, detail = False, str(error)
        sent_at = self.clock.now()
        if ok:
            self.latency.observe(sent_at - due.step.at)
        self.traces.taken(publish, sent_at if ok else None)
        taken = {
            **hops,
            "publish": (sent_at - released_at) / 1000.0,
            "total": (sent_at - due.step.at) / 1000.0,
        }
        self.journal.put(
            Sent(at=sent_at, subject=command.id, bot=command.bot, ok=ok, detail=detail, hops_us=taken)
        )
        self.emit(
            CommandSent(
                received_at=sent_at, command_id=command.id, bot=BotId(command.bot), ok=ok, detail=detail
            )
        )

    def _follows_with_first(self, posture: Posture) -> bool:
        """Whether the first posture of its epoch is held back: nobody knows what would loosen, so all waits."""
        last = self._sent.get(posture.bot)
        return self._held[posture.bot] > 0 and (last is None or last.epoch != posture.epoch)

    async def _send_posture(self, publish: PublishPosture, hops: dict[str, float]) -> None:
        posture, last = publish.posture, self._sent.get(publish.posture.bot)
        if self._follows_with_first(posture):
            return
        if self._held[posture.bot] > 0 and last is not None:
            posture = no_looser(posture, last)
        # Noted before the broker has taken it: another may be on its way meanwhile, and must not undo this one.
        self._sent[posture.bot] = posture
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


async def _together(sending: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Hand over in this order, but do not wait for the broker's word on one before the next: ten bots, one wait."""
    if len(sending) == 1:
        await sending[0]  # at once, and not in a task's first turn
    else:
        await asyncio.gather(*sending)


def _hops(due: _Due, durable_at: Nanoseconds | None) -> dict[str, float]:
    """Microseconds from one station to the next, as far as they are known without a trace."""
    hops: dict[str, float] = {str(Hop.DECIDE): (due.decided_at - due.step.event.received_at) / 1000.0}
    if durable_at is not None:
        hops[str(Hop.DURABLE)] = (durable_at - due.decided_at) / 1000.0
    return hops


def _hops_us(way: Stations | None, otherwise: dict[str, float]) -> dict[str, float]:
    """The hops of a command that is followed, in microseconds."""
    return otherwise if way is None else {str(hop): took_ns / 1000.0 for hop, took_ns in way.hops().items()}
