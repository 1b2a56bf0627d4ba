"""Every rule of a bot's side of the protocol, as a state machine without I/O, clock or randomness.

Each input takes the monotonic clock in ns and the wall clock in ms and returns what is to be done, in
order. The wall clock is only ever reported, never judged by. The client in ``client`` does the I/O;
what the guard's word is worth is judged in ``oversight``.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import msgspec

from perpguard_sdk.actions import (
    Action,
    Execute,
    LimitsChanged,
    Persist,
    Publish,
    Reconcile,
    SafeModeEntered,
    SafeModeLeft,
)
from perpguard_sdk.codec import decode_body, encode_signed, open_signed
from perpguard_sdk.commands import CommandDesk, Phase, Running, impossible, rejected
from perpguard_sdk.errors import MalformedMessageError, SignatureMismatchError
from perpguard_sdk.executor import BotView
from perpguard_sdk.messages import (
    Ack,
    AckStatus,
    BotMessage,
    BotState,
    BotStatus,
    Command,
    Heartbeat,
    Mode,
    Posture,
    Reported,
    Resume,
)
from perpguard_sdk.oversight import Oversight
from perpguard_sdk.pulse import NS_PER_MS
from perpguard_sdk.records import CommandResult, StoredState
from perpguard_sdk.session_settings import SessionSettings
from perpguard_sdk.topics import TopicKind

STORE_RETRY_NS = 1_000 * NS_PER_MS


class _Now(NamedTuple):
    mono_ns: int
    wall_ms: int


class _Header(msgspec.Struct, frozen=True):
    """The fields that decide about a command before its schema is looked at."""

    id: str
    bot: str
    epoch: int
    seq: int
    ts: int
    expires_at: int
    dry_run: bool
    session: str = ""


class BotSession:
    """One life of a bot, from start to stop, over any number of connections.

    Args:
        settings: who the bot is.
        session: new at every start of the bot; heartbeats must echo it.
        stored: what the former life remembered.
        stored_problem: why that could not be read, if so; then the worst is assumed of what it said.

    Attributes:
        limits: what the bot may do now.
        oversight: pulse, guard time, posture and safe mode, to be read.
        dropped: how many messages were dropped, by reason.
    """

    def __init__(
        self,
        settings: SessionSettings,
        session: str,
        stored: StoredState | None = None,
        stored_problem: str = "",
    ) -> None:
        stored = stored or StoredState(bot=settings.bot, ever_armed_live=bool(stored_problem))
        if stored.bot != settings.bot:
            raise ValueError(f"the stored state belongs to bot {stored.bot!r}, not to {settings.bot!r}")
        self.settings = settings
        self.session = session
        self.stored_problem = stored_problem
        self.dropped: Counter[str] = Counter()
        self.oversight = Oversight.from_stored(
            stored,
            bot_session=session,
            mode=settings.mode,
            dead_man_ms=settings.dead_man_ms,
            rearm_ms=settings.rearm_ms,
            reason=stored_problem or "starting",
        )
        self.limits, self._wishes = self.oversight.limits(), self.oversight.wishes
        self._desk = CommandDesk(epoch=stored.epoch, seq=stored.seq, seen=dict(stored.seen))
        for command in stored.started.values():
            self._desk.running[command.id] = Running(command, Phase.RECONCILING)
        self._view = BotView(positions_known=False)
        self._connected, self._token = False, 0
        self._store_retry_ns = 0
        self._reported_ns = self._reports = 0
        self._out: list[Action] = []

    # Inputs

    def on_start(self, now_mono_ns: int, now_wall_ms: int) -> list[Action]:
        """Begin: what was interrupted by a crash is looked into, and safe mode is announced."""
        self._out += [SafeModeEntered(self.oversight.safe_reason), LimitsChanged(self.limits)]
        self._out += [Reconcile(item.command) for item in self._desk.running.values()]
        return self._done(_Now(now_mono_ns, now_wall_ms))

    def on_connected(self, now_mono_ns: int, now_wall_ms: int) -> list[Action]:
        """Say who we are; ask for all that was missed, because a broker acknowledges before we have read."""
        now = _Now(now_mono_ns, now_wall_ms)
        self._connected = True
        self._wishes.resync = self._wishes.report = self._wishes.state = True
        birth = self.settings.birth(self.session, now_wall_ms)
        self._publish(self.settings.topics.birth(self.settings.bot), birth, retain=True)
        return self._done(now)

    def on_disconnected(self, now_mono_ns: int, now_wall_ms: int) -> list[Action]:
        """Change nothing yet: silence is what counts, and the dead-man measures it."""
        self._connected = False
        return self._done(_Now(now_mono_ns, now_wall_ms))

    def on_tick(self, now_mono_ns: int, now_wall_ms: int) -> list[Action]:
        """Let time pass: dead-man, expiry, due reports."""
        return self._done(_Now(now_mono_ns, now_wall_ms))

    def on_message(self, topic: str, payload: bytes, now_mono_ns: int, now_wall_ms: int) -> list[Action]:
        """Take in what arrived on ``topic``. Never raises: what is wrong is dropped and counted."""
        now = _Now(now_mono_ns, now_wall_ms)
        # Time first: a heartbeat that comes after too long a silence must find the dead-man fired.
        self._review(now)
        try:
            dropped = self._take(topic, payload, now)
        except SignatureMismatchError:
            dropped = "wrong_signature"
        except MalformedMessageError:
            dropped = "malformed"
        if dropped is not None:
            self.dropped[dropped] += 1
        return self._done(now)

    def on_executed(
        self, command_id: str, result: CommandResult, now_mono_ns: int, now_wall_ms: int
    ) -> list[Action]:
        """An ``Execute`` or ``Reconcile`` came to its end."""
        now = _Now(now_mono_ns, now_wall_ms)
        running = self._desk.running.get(command_id)
        if running is not None and running.phase in (Phase.EXECUTING, Phase.RECONCILING):
            command = running.command
            running.phase, running.result, running.token = Phase.RESULT, result, self._token + 1
            self._desk.keep(command.id, command.epoch, command.seq, result)
            self._wishes.persist = True
            if self.oversight.store_problem:
                self._answer(running, now)
        return self._done(now)

    def on_persisted(self, token: int, now_mono_ns: int, now_wall_ms: int) -> list[Action]:
        """All states up to ``token`` are on the disk: intents may be executed, results answered."""
        now = _Now(now_mono_ns, now_wall_ms)
        self.oversight.store_problem = ""
        for running in [item for item in self._desk.running.values() if item.token <= token]:
            if running.phase is Phase.RESULT:
                self._answer(running, now)
            elif running.phase is Phase.INTENT and (ended := self._outdated(running.command, now, True)):
                self._finish(running.command, ended, now)
            elif running.phase is Phase.INTENT:
                running.phase = Phase.EXECUTING
                self._out.append(Execute(running.command))
        return self._done(now)

    def on_persist_failed(self, token: int, detail: str, now_mono_ns: int, now_wall_ms: int) -> list[Action]:
        """The disk refused: nothing that would have to be remembered is executed; safe mode holds."""
        now = _Now(now_mono_ns, now_wall_ms)
        self.oversight.store_problem = detail
        self._wishes.persist = True
        self._store_retry_ns = now.mono_ns + STORE_RETRY_NS
        for running in [item for item in self._desk.running.values() if item.token <= token]:
            if running.phase is Phase.RESULT:
                self._answer(running, now)
            elif running.phase is Phase.INTENT:
                self._finish(running.command, self._cannot_remember(), now)
        return self._done(now)

    def on_reported_view(self, view: BotView, now_mono_ns: int, now_wall_ms: int) -> list[Action]:
        """What the bot sees on its venue."""
        self._wishes.report |= view != self._view
        self._view = view
        return self._done(_Now(now_mono_ns, now_wall_ms))

    def offline(self, now_mono_ns: int, now_wall_ms: int) -> Publish:
        """The last word of a connection: the Will, and what is published at an orderly stop."""
        message = BotState(
            bot=self.settings.bot,
            session=self.session,
            state=BotStatus.OFFLINE,
            ts=self._ts(_Now(now_mono_ns, now_wall_ms)),
        )
        return self._signed(self.settings.topics.bot_state(self.settings.bot), message, retain=True)

    @property
    def seq(self) -> int:
        """Highest command seq seen in the present epoch, 0 for none."""
        return max(self._desk.seq, 0)

    def clock_offset_ms(self, now_mono_ns: int, now_wall_ms: int) -> float | None:
        """Guard clock minus this machine's wall clock, ``None`` while unknown."""
        guard_ms = self.oversight.clock.now_ms(now_mono_ns)
        return None if guard_ms is None else float(guard_ms - now_wall_ms)

    # Messages: each of these returns why the message was dropped, None if it was not

    def _take(self, topic: str, payload: bytes, now: _Now) -> str | None:
        parsed = self.settings.topics.parse(topic)
        if parsed is None or parsed.name != self.settings.bot:
            return "other_topic"
        if parsed.kind is not TopicKind.HEARTBEAT and parsed.shadow is not (self.settings.mode is Mode.PAPER):
            return "other_channel"
        match parsed.kind:
            case TopicKind.HEARTBEAT:
                return self._on_heartbeat(topic, payload, now)
            case TopicKind.POSTURE:
                return self._on_posture(topic, payload)
            case TopicKind.COMMAND:
                body = open_signed(payload, topic, self.settings.key)
                return self._on_command(topic, parsed.detail, body, now)
            case _:
                return "other_topic"

    def _on_heartbeat(self, topic: str, payload: bytes, now: _Now) -> str | None:
        heartbeat = decode_body(open_signed(payload, topic, self.settings.key), topic)
        return (
            self.oversight.hear(heartbeat, now.mono_ns) if isinstance(heartbeat, Heartbeat) else "malformed"
        )

    def _on_posture(self, topic: str, payload: bytes) -> str | None:
        try:
            posture = decode_body(open_signed(payload, topic, self.settings.key), topic)
        except (SignatureMismatchError, MalformedMessageError):
            self.oversight.doubt_posture()
            raise
        if isinstance(posture, Posture):
            return self.oversight.take_posture(posture)
        self.oversight.doubt_posture()
        return "malformed"

    def _on_command(self, topic: str, verb: str, body: bytes, now: _Now) -> str | None:
        try:
            header = msgspec.json.decode(body, type=_Header)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise MalformedMessageError(topic, str(error)) from error
        if (stranger := self._stranger(header)) is not None:
            return stranger
        self.oversight.raise_epoch(header.epoch, header.session)
        self._desk.enter(header.epoch)
        known = self._desk.result_of(header.id)
        if known is not None:
            self._desk.seq = max(self._desk.seq, header.seq)
            self._ack(header, known, now)
            return "seen"
        if header.seq <= self._desk.seq:
            return "replayed"
        if header.seq > max(self._desk.seq, 0) + 1:
            self.oversight.want_resync()
        self._desk.seq = header.seq
        self._receive(topic, verb, body, header, now)
        return None

    def _stranger(self, header: _Header) -> str | None:
        """Why a command is not for this bot from the guard in charge, ``None`` if it is."""
        if header.bot != self.settings.bot:
            return "other_bot"
        if header.dry_run is not (self.settings.mode is Mode.PAPER):
            return "other_mode"
        if header.epoch < self.oversight.epoch:
            return "old_epoch"
        return "other_guard" if self.oversight.is_rival(header.epoch, header.session) else None

    def _receive(self, topic: str, verb: str, body: bytes, header: _Header, now: _Now) -> None:
        """Acknowledge a new command of this epoch, and queue it if it can be done."""
        self._ack(header, CommandResult(status=AckStatus.RECEIVED), now)
        if self._expired(header, now, unknown=False):
            return self._finish(header, CommandResult(status=AckStatus.EXPIRED), now)
        if verb not in self.settings.verbs:
            return self._finish(header, CommandResult(status=AckStatus.UNSUPPORTED, detail=verb), now)
        try:
            command = decode_body(body, topic)
        except MalformedMessageError as error:
            return self._finish(header, rejected(error.detail), now)
        if not isinstance(command, Command) or command.verb != verb:
            return self._finish(header, rejected(f"this is not a {verb}"), now)
        if (reason := impossible(command, self.settings.symbols)) is not None:
            return self._finish(header, rejected(reason), now)
        for older in self._desk.add(command):
            self._finish(older, CommandResult(status=AckStatus.SUPERSEDED, detail=f"by {command.id}"), now)
        return None

    # Commands that were received

    def _advance(self, now: _Now) -> None:
        """Begin what can begin; end what no longer should."""
        ahead: list[str] = []
        for waiting in list(self._desk.waiting):
            command = waiting.command
            ended = self._outdated(command, now)
            if ended is not None:
                self._finish(command, ended, now)
                continue
            if self.oversight.clock.now_ms(now.mono_ns, command.epoch) is None:
                if waiting.asks_first():  # the guard answers at once, and its time comes with heartbeats
                    self.oversight.want_resync()
                continue
            if not waiting.admitted:
                waiting.admitted = True
                self.oversight.tighten(command)
            if isinstance(command, Resume) and not self._may_resume(command, now):
                continue
            if self._desk.is_busy(command.symbol, ahead):
                ahead.append(command.symbol)
            elif self.oversight.store_problem:
                self._finish(command, self._cannot_remember(), now)
            else:
                self._desk.drop(command.id)
                self._desk.running[command.id] = Running(command, Phase.INTENT, self._token + 1)
                self._wishes.persist = True

    def _outdated(self, command: Command, now: _Now, unknown: bool = False) -> CommandResult | None:
        if command.epoch < self.oversight.epoch:
            return CommandResult(status=AckStatus.SUPERSEDED, detail="a newer guard is in charge")
        if self._expired(command, now, unknown=unknown):
            return CommandResult(status=AckStatus.EXPIRED)
        newest = self.oversight.newest_version
        if isinstance(command, Resume) and command.posture_version < newest:
            return CommandResult(status=AckStatus.SUPERSEDED, detail=f"posture {newest} rules")
        return None

    def _may_resume(self, command: Resume, now: _Now) -> bool:
        oversight = self.oversight
        return (
            command.posture_version == oversight.posture_version
            and oversight.is_fresh(now.mono_ns)
            and not oversight.safe_mode
        )

    def _expired(self, command: Command | _Header, now: _Now, *, unknown: bool) -> bool:
        """Whether its time is over on guard time; ``unknown`` is the answer while that is not known."""
        guard_ms = self.oversight.clock.now_ms(now.mono_ns, command.epoch)
        return unknown if guard_ms is None else guard_ms >= command.expires_at

    def _finish(self, command: Command | _Header, result: CommandResult, now: _Now) -> None:
        self._desk.drop(command.id)
        self._desk.keep(command.id, command.epoch, command.seq, result)
        self._wishes.persist = True
        self._ack(command, result, now)

    def _answer(self, running: Running, now: _Now) -> None:
        """Say how an executed command ended, and let the next of its symbol begin."""
        assert running.result is not None
        self._desk.drop(running.command.id)
        self._ack(running.command, running.result, now)

    def _cannot_remember(self) -> CommandResult:
        detail = f"not executed, its start cannot be saved: {self.oversight.store_problem}"
        return CommandResult(status=AckStatus.FAILED, detail=detail)

    # Output

    def _review(self, now: _Now) -> None:
        was_safe = self.oversight.safe_mode
        reason = self.oversight.review(now.mono_ns)
        if reason is not None:
            self._out.append(SafeModeEntered(reason))
        elif was_safe and not self.oversight.safe_mode:
            self._out.append(SafeModeLeft())

    def _done(self, now: _Now) -> list[Action]:
        self._desk.enter(self.oversight.epoch)
        self._review(now)
        self._advance(now)
        limits = self.oversight.limits()
        if limits != self.limits:
            self.limits = limits
            self._wishes.report = True
            self._out.append(LimitsChanged(limits))
        if self._connected:
            self._publish_levels(now)
        if self._wishes.persist and (not self.oversight.store_problem or now.mono_ns >= self._store_retry_ns):
            self._wishes.persist = False
            self._token += 1
            self._store_retry_ns = now.mono_ns + STORE_RETRY_NS
            self._out.append(Persist(self._stored(), self._token))
        out, self._out = self._out, []
        return out

    def _publish_levels(self, now: _Now) -> None:
        topics, bot = self.settings.topics, self.settings.bot
        if self._wishes.state:
            self._wishes.state = False
            self._publish(topics.bot_state(bot), self._bot_state(now), retain=True)
        due = now.mono_ns - self._reported_ns >= self.settings.report_ms * NS_PER_MS
        if self._wishes.report or due:
            self._wishes.report, self._reported_ns = False, now.mono_ns
            self._publish(topics.reported(bot), self._reported(now), retain=True)

    def _ack(self, command: Command | _Header, result: CommandResult, now: _Now) -> None:
        guard_ms = self.oversight.clock.now_ms(now.mono_ns)
        ack = Ack(
            bot=self.settings.bot,
            session=self.session,
            command_id=command.id,
            epoch=command.epoch,
            seq=command.seq,
            status=result.status,
            # While guard time is unknown, the command's own is the latest that is sure to have passed.
            at=command.ts if guard_ms is None else guard_ms,
            detail=result.detail,
            effect=result.effect,
        )
        self._publish(self.settings.topics.ack(self.settings.bot), ack, retain=False)

    def _publish(self, topic: str, message: BotMessage, *, retain: bool) -> None:
        self._out.append(self._signed(topic, message, retain=retain))

    def _signed(self, topic: str, message: BotMessage, *, retain: bool) -> Publish:
        payload = encode_signed(message, topic, self.settings.key)
        return Publish(topic=topic, payload=payload, retain=retain, message=message)

    def _ts(self, now: _Now) -> int:
        guard_ms = self.oversight.clock.now_ms(now.mono_ns)
        return now.wall_ms if guard_ms is None else guard_ms

    def _bot_state(self, now: _Now) -> BotState:
        oversight, detail = self.oversight, self.oversight.safe_reason
        if oversight.advisory:
            detail = "advisory: no live guard ever armed this bot"
        return BotState(
            bot=self.settings.bot,
            session=self.session,
            state=BotStatus.SAFE_MODE if oversight.safe_mode else BotStatus.ONLINE,
            ts=self._ts(now),
            detail="; ".join(part for part in (detail, self.stored_problem) if part),
        )

    def _reported(self, now: _Now) -> Reported:
        self._reports += 1
        oversight, restrictions = self.oversight, self.limits.restrictions
        return Reported(
            bot=self.settings.bot,
            session=self.session,
            ts=self._ts(now),
            mode=self.settings.mode,
            posture_version=oversight.posture_version,
            epoch=oversight.epoch,
            seq=self.seq,
            safe_mode=oversight.safe_mode,
            advisory=oversight.advisory,
            entries=restrictions.entries,
            own_entries=self._view.own_entries,
            withheld=self._view.withheld,
            max_leverage=restrictions.max_leverage,
            max_size=restrictions.max_size,
            entry_share=restrictions.entry_share,
            positions=self._view.positions,
            orders=self._view.orders,
            positions_known=self._view.positions_known,
            clock_offset_ms=self.clock_offset_ms(now.mono_ns, now.wall_ms),
            resync=self._wishes.resync,
            guard=oversight.guard,
            number=self._reports,
        )

    def _stored(self) -> StoredState:
        oversight = self.oversight
        return StoredState(
            bot=self.settings.bot,
            epoch=oversight.epoch,
            guard=oversight.guard,
            seq=self._desk.seq,
            seen=dict(self._desk.seen),
            started=self._desk.started(),
            posture=oversight.posture,
            floor=oversight.floor,
            edges=tuple(oversight.edges),
            safe_mode=oversight.safe_mode,
            ever_armed_live=oversight.ever_armed_live,
        )
