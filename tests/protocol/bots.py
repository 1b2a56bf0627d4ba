"""A bot of the machine: the real session over all its lives, with a disk, a position and points at which it dies."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from guard.units import NS_PER_MS, BotId
from perpguard_sdk.actions import Action, Execute, Persist, Publish, Reconcile
from perpguard_sdk.executor import BotView
from perpguard_sdk.messages import (
    AckStatus,
    Command,
    CutLeverage,
    Effect,
    Entries,
    Mode,
    ReportedOrder,
    ReportedPosition,
    Verb,
    VerbCapability,
    WidenStops,
)
from perpguard_sdk.records import CommandResult, StoredState
from perpguard_sdk.session import BotSession
from perpguard_sdk.session_settings import SessionSettings
from tests.protocol.ground import (
    DEAD_MAN_MS,
    KEYS,
    MARK_PRICE,
    REARM_MS,
    SIZE_FULL,
    STEP_MS,
    SYMBOL,
    TOPICS,
)
from tests.protocol.wires import Link

if TYPE_CHECKING:
    from tests.protocol.world import World

EFFECT_MS, SAVE_MS = 20, 4
TRADES_EVERY = 3
BOT_WALL_NS = 1_750_000_000_000_000_000
"""Its wall clock is months off: nothing may hang on it."""


class Point(StrEnum):
    """Where a bot may be made to die."""

    BEFORE_SAVING = "before_saving"
    AFTER_SAVING = "after_saving"
    BEFORE_EFFECT = "before_effect"
    AFTER_EFFECT = "after_effect"


class DiskState(StrEnum):
    """How its disk fares."""

    WELL = "well"
    SLOW = "slow"
    FULL = "full"


@dataclass(slots=True)
class Holding:
    """Its long position and the reduce-only stop below."""

    size: float = 0.0
    stop_price: float = 95.0
    stop_number: int = 0


@dataclass(slots=True)
class BotProcess:
    """One bot; callbacks of an older ``life`` do nothing."""

    world: World
    name: str
    drift_ppm: int = 0
    life: int = 0
    is_alive: bool = False
    die_at: Point | None = None
    disk: DiskState = DiskState.WELL
    kept: StoredState | None = None
    is_damaged: bool = False
    is_clumsy: bool = False
    is_slow: bool = False
    own: Entries | None = None
    holding: Holding = field(default_factory=Holding)
    session: BotSession = field(init=False)
    link: Link | None = None
    _settings: SessionSettings = field(init=False)
    _unsent: list[Publish] = field(default_factory=list)
    _to_save: Persist | None = None
    _is_saving: bool = False
    _turns: int = 0
    _down_until_ns: int = 0
    _reconnect_ns: int = 0

    def __post_init__(self) -> None:
        self._settings = SessionSettings(
            bot=self.name,
            key=KEYS[BotId(self.name)],
            topics=TOPICS,
            mode=Mode.LIVE,
            venue="loopback",
            account="main",
            symbols=(SYMBOL,),
            verbs={verb: VerbCapability(deadline_ms=1_500) for verb in Verb},
            software="machine",
            software_version="1",
            dead_man_ms=DEAD_MAN_MS,
            rearm_ms=REARM_MS,
            report_ms=2_000,
            scales_entries=self.world.scales_entries,
        )

    @property
    def mono_ns(self) -> int:
        now = self.world.schedule.now_ns
        return now + now * self.drift_ppm // 1_000_000

    def start(self) -> None:
        """Begin a life with what the disk holds."""
        self.life += 1
        self.is_alive, self.die_at, self.link = True, None, None
        self._unsent, self._to_save, self._is_saving = [], None, False
        problem = ""
        if self.is_damaged:
            problem, self.kept, self.is_damaged = "damaged", None, False
        stored = None if self.kept is None else self.world.plant.restored(self.kept)
        self.session = self.world.plant.session(self._settings, f"{self.name}.{self.life}", stored, problem)
        self.world.referee.bot_started(self, stored)
        self._do(self.session.on_start(*self._now()))
        self._connect()

    def crash(self, down_ms: int) -> None:
        """As SIGKILL; it comes back by itself."""
        self.world.note("bot dies", self.name, down_ms)
        self.is_alive = False
        self.life += 1
        self._down_until_ns = self.world.schedule.now_ns + down_ms * NS_PER_MS
        if self.link is not None:
            self.world.broker.end(self.link)
        self.link = None

    def turn(self) -> None:
        """Half a second of its loop."""
        if not self.is_alive:
            if self.world.schedule.now_ns >= self._down_until_ns:
                self.start()
            return
        if self.link is None and self.world.schedule.now_ns >= self._reconnect_ns:
            self._connect()
        self._do(self.session.on_tick(*self._now()))
        if self.disk is DiskState.WELL:
            self._save()
        self._turns += 1
        if self._turns % TRADES_EVERY == 0:
            self._trade()
        self._look()

    def come_back_at_once(self) -> None:
        self._down_until_ns = 0

    def told(self, topic: str, payload: bytes, _retain: bool) -> None:
        """A message arrives."""
        if not self.is_alive:
            return
        self.world.referee.delivered(self, topic, payload)
        self._do(self.session.on_message(topic, payload, *self._now()))

    def _now(self) -> tuple[int, int]:
        now = self.mono_ns
        return now, (BOT_WALL_NS + now) // NS_PER_MS

    def _passes(self, point: Point) -> bool:
        if self.die_at is not point:
            return True
        self.world.seen[f"bot died {point}"] += 1
        self.crash(STEP_MS)
        return False

    def _later(self, ms: float, call: Any, *arguments: Any) -> None:
        self.world.schedule.after(ms, self._call, self.life, call, arguments)

    def _call(self, life: int, call: Any, arguments: tuple[Any, ...]) -> None:
        if life == self.life and self.is_alive:
            call(*arguments)

    # What the session asks for

    def _do(self, actions: list[Action]) -> None:
        self.world.referee.judge_limits(self)
        life = self.life
        for action in actions:
            if life != self.life:
                return
            match action:
                case Publish():
                    self._publish(action)
                case Persist():
                    self._to_save = action
                    if self.disk is not DiskState.SLOW:
                        self._save()
                case Execute(command=command):
                    self._execute(command)
                case Reconcile(command=command):
                    self.world.seen["reconciled"] += 1
                    self._later(EFFECT_MS, self._reconcile, command)
                case _:
                    self.world.seen[type(action).__name__] += 1

    def _publish(self, action: Publish) -> None:
        self.world.referee.bot_said(action.message)
        if self.link is None:
            if not action.retain:
                self._unsent.append(action)
            return
        self.world.broker.publish(
            self.link, action.topic, action.payload, qos=action.qos, retain=action.retain
        )

    def _save(self) -> None:
        if self._is_saving or self._to_save is None or not self._passes(Point.BEFORE_SAVING):
            return
        self._is_saving = True
        persist, self._to_save = self._to_save, None
        self._later(SAVE_MS, self._saved, persist)

    def _saved(self, persist: Persist) -> None:
        self._is_saving = False
        if self.disk is DiskState.FULL:
            self.world.seen["disk full"] += 1
            self._do(self.session.on_persist_failed(persist.token, "the disk is full", *self._now()))
            return
        self.kept = persist.state
        if not self._passes(Point.AFTER_SAVING):
            return
        self._do(self.session.on_persisted(persist.token, *self._now()))
        if self.disk is not DiskState.SLOW:
            self._save()

    def _execute(self, command: Command) -> None:
        if not self._passes(Point.BEFORE_EFFECT):
            return
        self.world.referee.executed(self, command)
        self._later(1_200 if self.is_slow else EFFECT_MS, self._take_effect, command)

    def _take_effect(self, command: Command) -> None:
        before = self.holding.size
        result = CommandResult(status=AckStatus.FAILED, detail="clumsy")
        if not self.is_clumsy:
            self._change(command)
            effect = Effect(size_before=before, size_after=self.holding.size)
            result = CommandResult(status=AckStatus.APPLIED, effect=effect)
        if not self._passes(Point.AFTER_EFFECT):
            return
        self._do(self.session.on_executed(command.id, result, *self._now()))
        self._look()

    def _change(self, command: Command) -> None:
        match command:
            case CutLeverage(max_size=max_size):
                self.holding.size = min(self.holding.size, max_size)
            case WidenStops(max_size=max_size, stop=stop):
                self.holding.size = min(self.holding.size, max_size)
                if stop.stop_price is not None:
                    self.holding.stop_price = stop.stop_price
                    self.holding.stop_number += 1
            case _:
                pass

    def _reconcile(self, command: Command) -> None:
        there = not isinstance(command, CutLeverage | WidenStops) or self.holding.size <= command.max_size
        result = CommandResult(status=AckStatus.FAILED, detail="interrupted")
        if there:
            result = CommandResult(status=AckStatus.APPLIED, effect=Effect())
        self._do(self.session.on_executed(command.id, result, *self._now()))

    # Its own business

    def _trade(self) -> None:
        limits = self.session.limits
        at_most = limits.max_size(SYMBOL)
        at_most = SIZE_FULL if at_most is None else min(SIZE_FULL, at_most)
        may = limits.may_enter(SYMBOL) or (self.holding.size == 0.0 and limits.may_open(SYMBOL))
        if may and self.own is None and self.holding.size < at_most:
            self.holding.size = at_most

    def _look(self) -> None:
        holding = self.holding
        positions: tuple[ReportedPosition, ...] = ()
        orders: tuple[ReportedOrder, ...] = ()
        if holding.size:
            positions = (
                ReportedPosition(
                    symbol=SYMBOL, size=holding.size, entry_price=99.0, leverage=3.0, mark_price=MARK_PRICE
                ),
            )
            orders = (
                ReportedOrder(
                    order_id=f"stop-{self.name}-{holding.stop_number}",
                    symbol=SYMBOL,
                    size=-holding.size,
                    stop_price=holding.stop_price,
                    reduce_only=True,
                ),
            )
        own = {} if self.own is None else {SYMBOL: self.own}
        view = BotView(positions=positions, orders=orders, own_entries=own)
        self._do(self.session.on_reported_view(view, *self._now()))

    def _connect(self) -> None:
        will = self.session.offline(*self._now())
        link = Link(
            client=f"bot-{self.name}",
            take=self.told,
            on_end=self._lost,
            will=(will.topic, will.payload),
            hears=self._hears,
        )
        if not self.world.broker.connect(link):
            return
        self.link = link
        unsent, self._unsent = self._unsent, []
        self._do(self.session.on_connected(*self._now()))
        for action in unsent:
            if self.link is not None:
                self.world.broker.publish(self.link, action.topic, action.payload, qos=1, retain=False)

    def _hears(self, topic: str) -> bool:
        return f"/{self.name}" in topic and any(
            part in topic for part in ("/heartbeat/", "/posture/", "/command/")
        )

    def _lost(self) -> None:
        self.link = None
        self._reconnect_ns = self.world.schedule.now_ns + STEP_MS * NS_PER_MS
        if self.is_alive:
            self._later(1, lambda: self._do(self.session.on_disconnected(*self._now())))
