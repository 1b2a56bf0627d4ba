"""A bot's session on a bench: a made-up guard beside it, both clocks in the test's hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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
from perpguard_sdk.codec import decode_signed, encode_signed
from perpguard_sdk.messages import (
    Ack,
    AckStatus,
    Command,
    CutLeverage,
    Effect,
    Entries,
    Heartbeat,
    Mode,
    Pause,
    Posture,
    Reported,
    Resume,
    StopRule,
    Verb,
    VerbCapability,
    WidenStops,
)
from perpguard_sdk.records import CommandResult, StoredState
from perpguard_sdk.session import BotSession
from perpguard_sdk.session_settings import SessionSettings
from perpguard_sdk.topics import Topics

BOT = "alpha"
KEY = b"sixteen bytes or more"
SYMBOL = "BTC/USDT:USDT"
OTHER = "ETH/USDT:USDT"
TOPICS = Topics(site="home")
MS = 1_000_000
GUARD_AT_ZERO_MS = 1_700_000_000_000
"""Guard time when the bench's monotonic clock is 0."""


def settings(mode: Mode = Mode.LIVE, verbs: tuple[Verb, ...] = tuple(Verb)) -> SessionSettings:
    return SessionSettings(
        bot=BOT,
        key=KEY,
        topics=TOPICS,
        mode=mode,
        venue="binanceusdm",
        account="main",
        symbols=(SYMBOL, OTHER),
        verbs={verb: VerbCapability(deadline_ms=2_000) for verb in verbs},
        software="bench",
        software_version="0",
    )


@dataclass(slots=True, kw_only=True)
class Guard:
    """What the guard side would send; everything signed and in order unless told otherwise."""

    mode: Mode = Mode.LIVE
    epoch: int = 1
    session: str = "guard-1"
    key: bytes = KEY
    beats: int = 0
    seq: int = 0
    version: int = 0
    ids: int = 0

    def heartbeat(self, now_ms: int, bot_session: str, **changes: Any) -> tuple[str, bytes]:
        self.beats += 1
        fields: dict[str, Any] = {
            "bot": BOT,
            "bot_session": bot_session,
            "epoch": self.epoch,
            "session": self.session,
            "seq": self.beats,
            "ts": now_ms,
            "decided_at": now_ms,
            "posture_version": 0,
            "mode": self.mode,
        }
        topic = TOPICS.heartbeat(BOT)
        return topic, encode_signed(Heartbeat(**fields | changes), topic, self.key)

    def posture(self, now_ms: int, **changes: Any) -> tuple[str, bytes]:
        if "version" not in changes:
            self.version += 1
        fields: dict[str, Any] = {
            "bot": BOT,
            "version": self.version,
            "epoch": self.epoch,
            "session": self.session,
            "ts": now_ms,
            "expires_at": now_ms + 60_000,
            "mode": self.mode,
        }
        topic = TOPICS.posture(BOT, self.mode)
        return topic, encode_signed(Posture(**fields | changes), topic, self.key)

    def command(self, kind: type[Command], now_ms: int, **changes: Any) -> tuple[str, bytes]:
        fields = self.fields(kind, now_ms) | changes
        message = kind(**fields)
        topic = TOPICS.command(BOT, message.verb, self.mode)
        return topic, encode_signed(message, topic, self.key)

    def fields(self, kind: type[Command], now_ms: int) -> dict[str, Any]:
        self.seq += 1
        self.ids += 1
        fields: dict[str, Any] = {
            "id": f"{self.session}-{self.ids}",
            "bot": BOT,
            "epoch": self.epoch,
            "seq": self.seq,
            "ts": now_ms,
            "expires_at": now_ms + 5_000,
            "posture_version": self.version + 1,
            "symbol": SYMBOL,
            "reason": "test",
            "dry_run": self.mode is Mode.PAPER,
        }
        extra: dict[type, dict[str, Any]] = {
            Pause: {"entries": Entries.REDUCE_ONLY},
            Resume: {"entries": Entries.ALLOWED, "posture_version": self.version},
            CutLeverage: {"max_leverage": 3.0, "max_size": 1.0},
            WidenStops: {"max_size": 1.0, "stop": StopRule(stop_price=90.0)},
        }
        return fields | extra[kind]

    def restarted(self) -> Guard:
        """The guard after a restart: next epoch, new session, versions go on."""
        return Guard(
            mode=self.mode, epoch=self.epoch + 1, session=f"guard-{self.epoch + 1}", version=self.version
        )


@dataclass(slots=True)
class Bench:
    """Drives one ``BotSession``; saves and executes at once unless told not to."""

    session: BotSession
    guard: Guard
    mono_ns: int = 0
    wall_offset_ms: int = 0
    auto_save: bool = True
    auto_execute: bool = True
    saved: StoredState | None = None
    unsaved: list[Persist] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    reports: list[Reported] = field(default_factory=list)
    published: list[Publish] = field(default_factory=list)
    executed: list[Command] = field(default_factory=list)
    executed_ms: list[int] = field(default_factory=list)
    reconciled: list[Command] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    @property
    def clocks(self) -> tuple[int, int]:
        return self.mono_ns, self.guard_ms + self.wall_offset_ms

    @property
    def guard_ms(self) -> int:
        """True guard time, which the session can only estimate."""
        return GUARD_AT_ZERO_MS + self.mono_ns // MS

    @property
    def statuses(self) -> list[AckStatus]:
        return [ack.status for ack in self.acks]

    @property
    def safe(self) -> bool:
        return self.session.oversight.safe_mode

    def statuses_of(self, command_id: str) -> list[AckStatus]:
        return [ack.status for ack in self.acks if ack.command_id == command_id]

    def entries(self, symbol: str = SYMBOL) -> Entries:
        return self.session.limits.entries(symbol)

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Publish():
                    self._note(action)
                case Persist() if self.auto_save:
                    self.saved = action.state
                    self.do(self.session.on_persisted(action.token, *self.clocks))
                case Persist():
                    self.unsaved.append(action)
                case Execute(command=command):
                    self.executed.append(command)
                    self.executed_ms.append(self.guard_ms)
                    if self.auto_execute:
                        self.finish(command.id)
                case Reconcile(command=command):
                    self.reconciled.append(command)
                case SafeModeEntered(reason=reason):
                    self.log.append(f"safe: {reason}")
                case SafeModeLeft():
                    self.log.append("armed")
                case LimitsChanged():
                    self.log.append("limits")

    def _note(self, publish: Publish) -> None:
        self.published.append(publish)
        message = decode_signed(publish.payload, publish.topic, KEY)
        assert message == publish.message
        if isinstance(message, Ack):
            self.acks.append(message)
        if isinstance(message, Reported):
            self.reports.append(message)

    def start(self) -> Bench:
        self.do(self.session.on_start(*self.clocks))
        self.do(self.session.on_connected(*self.clocks))
        return self

    def hear(self, sent: tuple[str, bytes]) -> None:
        self.do(self.session.on_message(*sent, *self.clocks))

    def save(self, *, ok: bool = True) -> None:
        """Let the newest waiting save come to its end."""
        newest, self.unsaved = self.unsaved[-1], []
        if ok:
            self.saved = newest.state
            self.do(self.session.on_persisted(newest.token, *self.clocks))
        else:
            self.do(self.session.on_persist_failed(newest.token, "no space left", *self.clocks))

    def finish(self, command_id: str, status: AckStatus = AckStatus.APPLIED) -> None:
        result = CommandResult(status=status, effect=Effect(size_after=1.0))
        self.do(self.session.on_executed(command_id, result, *self.clocks))

    def beat(self, **changes: Any) -> None:
        bot_session = changes.pop("bot_session", self.session.session)
        self.hear(self.guard.heartbeat(self.guard_ms, bot_session, **changes))

    def posture(self, **changes: Any) -> None:
        self.hear(self.guard.posture(self.guard_ms, **changes))

    def command(self, kind: type[Command], **changes: Any) -> str:
        """Send a command; returns its id."""
        sent = self.guard.command(kind, self.guard_ms, **changes)
        self.hear(sent)
        return str(changes.get("id", f"{self.guard.session}-{self.guard.ids}"))

    def wait(self, ms: int, *, beats: bool = True, step_ms: int = 200) -> None:
        """Let time pass in ticks, with a heartbeat a second if the guard is alive."""
        for passed in range(step_ms, ms + 1, step_ms):
            self.mono_ns += step_ms * MS
            if beats and passed % 1_000 == 0:
                self.beat()
            self.do(self.session.on_tick(*self.clocks))

    def arm(self, **posture: Any) -> Bench:
        """Beat until the bot has left safe mode under a posture."""
        self.beat()
        self.posture(**posture)
        self.wait(5_000)
        assert not self.safe, self.session.oversight.safe_reason
        self.log.clear()
        return self

    def restarted(self, session: str = "bot-2", *, crashed_state: StoredState | None = None) -> Bench:
        """The bot after a crash, with what was last saved."""
        state = crashed_state if crashed_state is not None else self.saved
        return bench(
            self.session.settings.mode, session=session, stored=state, guard=self.guard, mono_ns=self.mono_ns
        )


def bench(
    mode: Mode = Mode.LIVE,
    *,
    session: str = "bot-1",
    stored: StoredState | None = None,
    stored_problem: str = "",
    verbs: tuple[Verb, ...] = tuple(Verb),
    guard: Guard | None = None,
    mono_ns: int = 0,
    **fields: Any,
) -> Bench:
    """A started and connected bot, in safe mode, with its guard."""
    bot = BotSession(settings(mode, verbs), session, stored, stored_problem)
    return Bench(bot, guard or Guard(mode=mode), mono_ns=mono_ns, **fields).start()
