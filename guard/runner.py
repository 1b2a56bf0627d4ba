"""The loop: take an event, process it, record it, then act. One TaskGroup, every task named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import structlog
from annotated_types import Ge, Le

from guard import status
from guard.audit import SessionClosed, SessionOpened, Step, abridged
from guard.audit_lines import record_words
from guard.bill.ledger import Ledger
from guard.engine import Engine
from guard.errors import AuditError, BrokerError
from guard.events import AnyEvent, GuardStarted, Tick
from guard.feeding import Feeding
from guard.inbox import Inbox
from guard.journal import Journal
from guard.load import Load
from guard.outbox import Outbox, OutboxSettings
from guard.ports import AuditLog, Clock, CommandSink, Feed, Fence, Importance, Memory, StatusSink
from guard.readiness import Readiness
from guard.scope import ONLY_NOTED
from guard.telling import Telling
from guard.units import NS_PER_MS, NS_PER_S, BotId, MarketId, Nanoseconds, ms_of
from perpguard_sdk.messages import GuardState, GuardStatus, Heartbeat, Instruction, Mode, Posture

STATE_REPEAT_S = 10.0

FAR_SIGNALS_MAX = 50
"""Signals of markets that are only watched, each beat: 0.2 ms each, 1 % of a core; 500 have theirs every 10 s."""

TURN_NS = 3 * NS_PER_MS
TURN_EVENTS = 500
"""So long, or for so many events, the engine goes on before everyone else has a turn; a step ends it at once that
tightens, and so does a Tick, which the heartbeat waits for. Prices take a few microseconds each."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """The loop's own pace.

    Attributes:
        heartbeat_ms: how often each bot is told that the engine lives.
        signals: whether market signals are published for anyone to read.
        tick_ms: how often a Tick is due, to know how late one comes.
    """

    heartbeat_ms: Annotated[int, Ge(100), Le(10_000)] = 1_000
    signals: bool = True
    tick_ms: Annotated[int, Ge(1)] = 250
    outbox: OutboxSettings = field(default_factory=OutboxSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who decides: ``session`` is new at every start."""

    guard: str
    session: str
    mode: Mode
    software_version: str
    settings_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything outside the engine that the loop needs, as ports."""

    clock: Clock
    feeds: Sequence[Feed]
    commands: CommandSink
    status: StatusSink
    fence: Fence
    audit: AuditLog
    memory: Memory


@dataclass(slots=True)
class Runner:
    """Runs one engine in one world; see the module.

    ``on_tick`` is told of each Tick that was judged, ``recorder`` of every event right before it is.
    """

    engine: Engine
    identity: Identity
    world: World
    settings: RunnerSettings = field(default_factory=RunnerSettings)
    inbox: Inbox = field(default_factory=Inbox)
    journal: Journal = field(init=False)
    outbox: Outbox = field(init=False)
    feeding: Feeding = field(init=False)
    on_tick: Callable[[Nanoseconds], None] = lambda at: None  # noqa: ARG005 (told, and does nothing with it)
    recorder: Callable[[AnyEvent], None] = lambda event: None  # noqa: ARG005 (as on_tick)
    load: Load = field(init=False)
    readiness: Readiness = field(init=False)
    telling: Telling = field(init=False)
    bill: Ledger | None = None
    """What decisions saved and cost; without it nothing is billed."""
    _ticked: asyncio.Event = field(default_factory=asyncio.Event)
    decided_at: Nanoseconds = 0
    """When the last Tick that the engine has processed was received."""
    _heartbeat_seq: int = 0
    _said: tuple[GuardStatus, tuple[str, ...]] | None = None
    _said_at: Nanoseconds = 0
    _unsaid: str = ""
    _far_shown: int = 0
    _outranked: asyncio.Event = field(default_factory=asyncio.Event)
    _status_due: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.readiness = Readiness(self.engine, self.world.clock.now())
        self.feeding = Feeding(self.inbox.put)
        self.telling = Telling(self.world.status)
        self.load = Load(self.inbox, self.inbox.put, self.settings.tick_ms * NS_PER_MS)
        self.journal = Journal(self.world.audit, self.world.clock, self.inbox.put)
        self.outbox = Outbox(
            self.journal, self.world.commands, self.world.clock, self.inbox.put, self.settings.outbox
        )

    async def run(self) -> None:
        """Run until cancelled.

        Raises:
            FatalError: (in an ExceptionGroup) another guard is in charge, or nothing sensible can go on.
        """
        async with asyncio.TaskGroup() as group:
            self.feeding.begin(group, self.world.feeds)
            group.create_task(self.journal.run(), name="journal")
            group.create_task(self.outbox.run(), name="outbox")
            group.create_task(self._decide(), name="engine")
            group.create_task(self._claim(), name="fence")
            group.create_task(self._beat(), name="heartbeat")
            group.create_task(self._tell(), name="status")

    async def say_stopping(self) -> None:
        """Say on the status topic, while the feeds still run, that the guard stops; bots go to safe mode."""
        state = self.engine.state
        if state.epoch:
            await self._say(status.guard_state(state, (), self.world.clock.now()), GuardStatus.STOPPING)

    async def close(self, why: str) -> None:
        """Record what is still queued, and the end; call it once ``run`` has been cancelled."""
        now = self.world.clock.now()
        closed = SessionClosed(at=now, session=self.identity.session, why=why)
        try:
            left = [*self.journal.unwritten(), *self.outbox.traces.close(now)]
            billed = None if self.bill is None else self.bill.take(self.engine.state, last=True)
            left += [] if billed is None else [billed]
            await self.world.audit.append([*left, closed], durable=True)
        except AuditError as error:
            log.error("the end of the session could not be recorded", error=str(error))

    async def _decide(self) -> None:
        while True:
            event = await self.inbox.take()
            until = self.world.clock.now() + TURN_NS
            for _ in range(TURN_EVENTS):
                step = self._judge(event)
                if step is not None:
                    if step.tightens:
                        # Two turns take the record to the disk's thread: before the log, and before the next event.
                        await asyncio.sleep(0)
                        await asyncio.sleep(0)
                    self._tell_of(step)
                    if step.tightens or isinstance(event, Tick) or self.world.clock.now() >= until:
                        break
                following = self.inbox.take_now()
                if following is None:
                    break
                event = following
            await asyncio.sleep(0)  # a full inbox must not keep the outbox and the heartbeat waiting

    def _judge(self, event: AnyEvent) -> Step | None:
        """Process one event and hand on what is to be recorded and sent; ``None`` if it was only noted."""
        self.recorder(event)
        if isinstance(event, ONLY_NOTED):
            self.engine.process(event)
            self.load.noted()
            return None
        began_at = self.world.clock.now()
        step = self.engine.process(event)
        decided_at = self.world.clock.now()
        self.load.after(step, self.engine.state, decided_at - began_at)
        self.outbox.traces.after(step, self.engine.state, began_at, decided_at)
        self._bill(step)
        self.telling.note(step, self.engine.state)
        if step.is_decision or step.postures:
            self.outbox.put(abridged(step), decided_at)
        return step

    def _bill(self, step: Step) -> None:
        """Nothing rests on the bill: should it fail, it ends, and all else goes on."""
        if self.bill is None:
            return
        try:
            self.bill.note(step, self.engine.state, self.engine.wanted)
            record = self.bill.take(self.engine.state) if isinstance(step.event, Tick) else None
        except Exception:
            self.bill = None
            log.exception("no bill is kept any more: this is a bug, please report it with these lines")
            return
        if record is not None:
            self.journal.put_later(record)

    def _tell_of(self, step: Step) -> None:
        if step.opened or step.closed or step.commands or step.outcomes:
            log.info("decision", what=record_words(step))
        if isinstance(step.event, Tick):
            self.decided_at = step.event.received_at
            self.readiness.on_tick(step.event.received_at)
            self.on_tick(step.event.received_at)
            self._ticked.set()
            self._status_due.set()
        if self.engine.state.is_outranked:
            self._outranked.set()

    async def _claim(self) -> None:
        """Take an epoch, and a new one whenever a bot is found to obey a higher one than ours."""
        while True:
            stored = await self._stored_epoch()
            behind = self.engine.state.highest_epoch_reported
            claim = await self.world.fence.claim(max(stored, behind))
            floors, told = await self._floors(claim.floors), await self._told()
            now = self.world.clock.now()
            identity = self.identity
            opened = SessionOpened(
                at=now,
                guard=identity.guard,
                epoch=claim.epoch,
                session=identity.session,
                mode=identity.mode,
                software_version=identity.software_version,
                settings_digest=identity.settings_digest,
            )
            await self.journal.wait(self.journal.put(opened), timeout_s=1.0)
            self.inbox.put(
                GuardStarted(
                    received_at=now,
                    guard=identity.guard,
                    epoch=claim.epoch,
                    session=identity.session,
                    mode=identity.mode,
                    floors=floors,
                    instructions=told,
                )
            )
            log.info("the guard decides", epoch=claim.epoch, session=identity.session, mode=identity.mode)
            await self._outranked_by_more_than(claim.epoch)
            log.warning("a bot obeys a higher epoch than ours, a new one is claimed", epoch=claim.epoch)

    async def _outranked_by_more_than(self, epoch: int) -> None:
        """Return once a bot reports a higher epoch than the one claimed, which the engine may not know of yet."""
        while self.engine.state.highest_epoch_reported <= epoch:
            self._outranked.clear()
            await self._outranked.wait()

    async def _stored_epoch(self) -> int:
        try:
            return await self.world.memory.last_epoch()
        except AuditError as error:
            log.error("the stored epoch cannot be read", error=str(error))
            return 0

    async def _floors(self, retained: tuple[Posture, ...]) -> tuple[Posture, ...]:
        """The last posture of each bot, from the broker or from our own store, whichever is newer."""
        try:
            stored = await self.world.memory.last_postures()
        except AuditError as error:
            log.error("the stored postures cannot be read", error=str(error))
            stored = {}
        newest: dict[BotId, Posture] = {}
        for posture in (*stored.values(), *retained):
            known = newest.get(BotId(posture.bot))
            if known is None or (posture.epoch, posture.version) > (known.epoch, known.version):
                newest[BotId(posture.bot)] = posture
        return tuple(newest.values())

    async def _told(self) -> tuple[Instruction, ...]:
        """What humans told a former guard, as far as it still holds."""
        try:
            told = await self.world.memory.last_instructions()
        except AuditError as error:
            log.error("what humans told before cannot be read", error=str(error))
            return ()
        now_ms = ms_of(self.world.clock.now())
        return tuple(each for each in told if each.expires_at > now_ms)

    async def _beat(self) -> None:
        """Prove that the engine lives: nothing is sent unless it has processed a Tick since the last time."""
        due_at = 0
        period_ns = self.settings.heartbeat_ms * NS_PER_MS
        while True:
            await self._ticked.wait()
            self._ticked.clear()
            now = self.world.clock.now()
            if self.engine.state.epoch and now >= due_at:
                # Kept to the beat whatever the ticks' rhythm, but never made up for.
                due_at = (due_at if now - due_at < period_ns else now) + period_ns
                await self._send_heartbeats()

    async def _tell(self) -> None:
        """Say on the status topics how it stands, apart from the heartbeat, which must not wait for them."""
        due_at = 0
        while True:
            await self._status_due.wait()
            self._status_due.clear()
            now = self.world.clock.now()
            if self.engine.state.epoch and now >= due_at:
                due_at = now + self.settings.heartbeat_ms * NS_PER_MS
                await self._say_state(now)
                await self.telling.say()

    async def _send_heartbeats(self) -> None:
        state = self.engine.state
        self._heartbeat_seq += 1
        for bot, record in state.bots.items():
            heartbeat = Heartbeat(
                bot=bot,
                bot_session=record.session,
                epoch=state.epoch,
                session=state.session,
                seq=self._heartbeat_seq,
                ts=ms_of(self.world.clock.now()),
                decided_at=ms_of(self.decided_at),
                posture_version=self.engine.dispatch.postures.version(bot),
                mode=state.mode,
            )
            try:
                await self.world.commands.publish_heartbeat(heartbeat)
            except BrokerError:
                return  # the link itself tells the engine; the next beat tries again

    async def _say_state(self, now: Nanoseconds) -> None:
        message = status.guard_state(
            self.engine.state, self.engine.findings, now, self.readiness.words, self.engine.wanted
        )
        said = (message.state, message.problems)
        is_due = said != self._said or now - self._said_at >= STATE_REPEAT_S * NS_PER_S
        if is_due and await self._say(message, message.state):
            self._said, self._said_at = said, now
        if self.settings.signals:
            for signal in status.signals(self.engine.state, now, self._shown()):
                try:
                    await self.world.status.publish_signal(signal)
                except BrokerError:
                    return

    def _shown(self) -> list[MarketId]:
        """The markets whose signal is due: those that matter, and of the others a few in turn, none under load."""
        markets = tuple(self.engine.state.markets)
        far = [market for market in markets if self.inbox.importance(market) is Importance.FAR]
        shown = [market for market in markets if self.inbox.importance(market) is not Importance.FAR]
        if self.inbox.shedding or not far:
            return shown
        first, self._far_shown = self._far_shown % len(far), self._far_shown + FAR_SIGNALS_MAX
        return shown + (far[first:] + far[:first])[:FAR_SIGNALS_MAX]

    async def _say(self, message: GuardState, state: GuardStatus) -> bool:
        try:
            await self.world.status.publish_state(status.with_status(message, state))
        except BrokerError as error:
            if self._unsaid != str(error):
                self._unsaid = str(error)
                log.warning("the state topic cannot be written, trying again", error=self._unsaid)
            return False
        self._unsaid = ""
        return True
