"""A bot as a simulated process: the real session and outbox, with the client's rules around them.

The loops are those of ``perpguard_sdk.client``, as callbacks; each point at which a real process may die
has a name.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from guard.units import NS_PER_MS
from perpguard_sdk.actions import Action, Execute, LimitsChanged, Persist, Publish, Reconcile
from perpguard_sdk.executor import BotView
from perpguard_sdk.messages import (
    AckStatus,
    Command,
    CutLeverage,
    Effect,
    Mode,
    Pause,
    ReportedOrder,
    ReportedPosition,
    Verb,
    VerbCapability,
    WidenStops,
)
from perpguard_sdk.outbox import Outbox
from perpguard_sdk.records import CommandResult, StoredState
from perpguard_sdk.session import BotSession
from perpguard_sdk.session_settings import SessionSettings
from perpguard_sdk.topics import Topics
from tests.simulation.broker import Link
from tests.simulation.guards import SITE
from tests.simulation.venue import MARK_PRICE, SIZE_FULL, BotSpec

if TYPE_CHECKING:
    from tests.simulation.plants import Plant
    from tests.simulation.world import World

TICK_S = 0.5
REPORT_MS = 2_500
TRADE_S = 1.3
BACKOFF_S = 0.3
DEADLINE_MS = 1_500
SEND_TIMEOUT_S = 5.0

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(StoredState)


class Point(StrEnum):
    """Where a bot may be made to die."""

    AFTER_RECEIVING = "after_receiving"
    BEFORE_SAVING = "before_saving"
    AFTER_SAVING = "after_saving"
    BEFORE_EFFECT = "before_effect"
    AFTER_EFFECT = "after_effect"
    BEFORE_ANSWERING = "before_answering"


@dataclass(slots=True)
class BotDisk:
    """What a bot's disk holds and how it fares."""

    kept: bytes | None = None
    is_damaged: bool = False
    delay_s_max: float = 0.01
    is_full: bool = False


@dataclass(slots=True)
class BotProcess:
    """One bot over all its lives; ``life`` counts them, and callbacks of an older one do nothing."""

    world: World
    spec: BotSpec
    plant: Plant
    disk: BotDisk = field(default_factory=BotDisk)
    wall_offset_ns: int = 0
    life: int = 0
    is_alive: bool = False
    is_hung: bool = False
    die_at: Point | None = None
    down_s: float = 1.0
    is_clumsy: bool = False
    session: BotSession = field(init=False)
    _settings: SessionSettings = field(init=False)
    _link: Link | None = None
    _outbox: Outbox = field(default_factory=Outbox)
    _on_its_way: Publish | None = None
    _to_save: Persist | None = None
    _is_saving: bool = False
    _held: list[tuple[str, bytes, bool]] = field(default_factory=list)
    _connections: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._settings = SessionSettings(
            bot=self.spec.name,
            key=self.world.keys[self.spec.name],
            topics=Topics(site=SITE),
            mode=Mode.PAPER,
            venue="loopback",
            account=self.spec.account,
            symbols=self.spec.symbols,
            verbs={verb: VerbCapability(deadline_ms=DEADLINE_MS) for verb in Verb},
            software="simulated",
            software_version="1",
            report_ms=REPORT_MS,
        )

    # Lives

    def start(self) -> None:
        """Begin a life with what the disk holds."""
        self.life += 1
        self.is_alive, self.is_hung, self.die_at = True, False, None
        self._outbox, self._link, self._to_save = Outbox(), None, None
        self._on_its_way, self._is_saving = None, False
        stored, problem = None, ""
        if self.disk.is_damaged:
            problem, self.disk.kept, self.disk.is_damaged = "damaged", None, False
        elif self.disk.kept is not None:
            stored = self.plant.restored(_decoder.decode(self.disk.kept))
        name = f"{self.world.chance.getrandbits(32):08x}"
        self.session = self.plant.session(self._settings, name, stored, problem, self.world.keys)
        self.world.referee.bot_started(self, stored)
        self._do(self.session.on_start(*self._now()))
        self._later(0.05 + 0.1 * self.world.chance.random(), self._connect)
        self._later(TICK_S, self._tick)
        self._later(0.1, self._look)
        self._later(TRADE_S, self._trade)

    def crash(self, *, down_s: float | None = None) -> None:
        """As SIGKILL; starts again after ``down_s`` unless that is negative."""
        if not self.is_alive:
            return
        self.world.trace("bot dies", self.spec.name)
        self.is_alive = self.is_hung = False
        self.life += 1
        self._held.clear()
        if self._link is not None:
            self._link.is_stopped = False
            self.world.broker.end(self._link, "the process died", will=True)
        wait_s = self.down_s if down_s is None else down_s
        if wait_s >= 0.0:
            self.world.schedule.after(wait_s, self._start_again, self.life)

    def hang(self) -> None:
        """As SIGSTOP."""
        self.is_hung = True
        if self._link is not None:
            self.world.broker.stop_reading(self._link)

    def resume(self) -> None:
        """As SIGCONT; what waited in the socket is read."""
        if not self.is_alive or not self.is_hung:
            return
        self.is_hung = False
        if self._link is not None:
            self.world.broker.read_on(self._link)
            if self._link.ended:
                self._lost(self._link)

    def _start_again(self, life: int) -> None:
        if self.life == life and not self.is_alive:
            self.start()

    def _passes(self, point: Point) -> bool:
        """Whether the process lives on at ``point``."""
        if self.die_at is point:
            self.crash()
            return False
        return True

    def _later(self, seconds: float, callback: object, *arguments: object) -> None:
        self.world.schedule.after(seconds, self._call, self.life, callback, arguments)

    def _call(self, life: int, callback: object, arguments: tuple[object, ...]) -> None:
        if life != self.life or not self.is_alive:
            return
        if self.is_hung:
            self.world.schedule.after(0.05, self._call, life, callback, arguments)
            return
        assert callable(callback)
        callback(*arguments)

    def _now(self) -> tuple[int, int]:
        now_ns = self.world.schedule.now_ns
        return now_ns, (self.world.t0_ns + now_ns + self.wall_offset_ns) // NS_PER_MS

    # Actions of the session

    def _do(self, actions: list[Action]) -> None:
        self.world.referee.judge_limits(self)
        life = self.life
        for action in actions:
            if life != self.life:
                return  # it died on the way
            match action:
                case Publish():
                    self._outbox.put(action)
                    self._send()
                case Persist():
                    self._to_save = action
                    self._save()
                case Execute(command=command):
                    self._execute(command)
                case Reconcile(command=command):
                    self._later(0.02, self._reconcile, command)
                case LimitsChanged():
                    self._later(0.02, self._follow_limits)
                case _:
                    self.world.trace("bot", self.spec.name, type(action).__name__)

    def _execute(self, command: Command) -> None:
        if not self._passes(Point.BEFORE_EFFECT):
            return
        self.world.referee.executed(self, command)
        chance = self.world.chance.random
        self._later(0.005 + 0.2 * chance(), self._take_effect, command)

    def _take_effect(self, command: Command) -> None:
        failed = self.is_clumsy and self.world.chance.random() < 0.2
        if not failed:
            self._change_venue(command)
        if not self._passes(Point.AFTER_EFFECT):
            return
        result = CommandResult(status=AckStatus.APPLIED, effect=Effect())
        if failed:
            result = CommandResult(status=AckStatus.FAILED, detail="clumsy")
        self._do(self.session.on_executed(command.id, result, *self._now()))
        self._later(0.01, self._report_view)

    def _change_venue(self, command: Command) -> None:
        venue, bot = self.world.venue, self.spec.name
        symbols = self.spec.symbols if command.symbol == "*" else (command.symbol,)
        for symbol in symbols:
            match command:
                case Pause():
                    venue.cancel_entry(bot, symbol)
                case CutLeverage(max_size=max_size):
                    venue.cut(bot, symbol, max_size)
                case WidenStops(max_size=max_size, stop=stop):
                    venue.cut(bot, symbol, max_size)
                    if stop.stop_price is not None:
                        venue.move_stop(bot, symbol, stop.stop_price)
                case _:
                    pass
        self.world.venue_changed(self.spec.account)

    def _reconcile(self, command: Command) -> None:
        venue, bot, there = self.world.venue, self.spec.name, True
        if isinstance(command, CutLeverage | WidenStops) and command.symbol in self.spec.symbols:
            there = venue.holdings[bot, command.symbol].size <= command.max_size
        result = CommandResult(status=AckStatus.FAILED, detail="interrupted")
        if there:
            result = CommandResult(status=AckStatus.APPLIED, effect=Effect())
        self._do(self.session.on_executed(command.id, result, *self._now()))

    # The store

    def _save(self) -> None:
        if self._is_saving or self._to_save is None:
            return
        if not self._passes(Point.BEFORE_SAVING):
            return
        self._is_saving = True
        persist, self._to_save = self._to_save, None
        delay_s = 0.001 + self.world.chance.random() * self.disk.delay_s_max
        self._later(delay_s, self._saved, persist)

    def _saved(self, persist: Persist) -> None:
        self._is_saving = False
        if self.disk.is_full:
            answer = self.session.on_persist_failed(persist.token, "the disk is full", *self._now())
        else:
            self.disk.kept = _encoder.encode(persist.state)
            self.world.referee.persisted(self, persist.state)
            if not self._passes(Point.AFTER_SAVING):
                return
            answer = self.session.on_persisted(persist.token, *self._now())
        self._do(answer)
        self._save()

    # Loops

    def _tick(self) -> None:
        self._do(self.session.on_tick(*self._now()))
        self._later(TICK_S, self._tick)

    def _look(self) -> None:
        self._report_view()
        self._later(REPORT_MS / 1000.0, self._look)

    def _report_view(self) -> None:
        holdings = self.world.venue.holdings
        positions = tuple(
            ReportedPosition(
                symbol=symbol,
                size=holdings[self.spec.name, symbol].size,
                entry_price=99.0,
                leverage=3.0,
                mark_price=MARK_PRICE,
            )
            for symbol in self.spec.symbols
            if holdings[self.spec.name, symbol].size
        )
        orders = tuple(
            ReportedOrder(
                order_id=order.order_id,
                symbol=order.market.partition(":")[2],
                size=order.size,
                price=order.price,
                stop_price=order.stop_price,
                reduce_only=order.reduce_only,
            )
            for order in self.world.venue.orders(self.spec.name)
        )
        view = BotView(positions=positions, orders=orders)
        self._do(self.session.on_reported_view(view, *self._now()))

    def _trade(self) -> None:
        """Enter where that is allowed: the limits are asked as a strategy asks them, dead-man first."""
        self._do(self.session.on_tick(*self._now()))
        for symbol in self.spec.symbols:
            holding = self.world.venue.holdings[self.spec.name, symbol]
            limit = self.session.limits.max_size(symbol)
            at_most = SIZE_FULL if limit is None else min(SIZE_FULL, limit)
            if holding.entry_order:
                self.world.venue.fill_entry(self.spec.name, symbol)
            elif self.session.limits.may_enter(symbol) and holding.size < at_most:
                self.world.venue.rest_entry(self.spec.name, symbol, at_most - holding.size)
        self._later(TRADE_S, self._trade)

    def _follow_limits(self) -> None:
        for symbol in self.spec.symbols:
            if not self.session.limits.may_enter(symbol):
                self.world.venue.cancel_entry(self.spec.name, symbol)

    # Connection

    def _connect(self) -> None:
        will = self.session.offline(*self._now())
        self.world.referee.bot_said(will)
        link = Link(
            client=f"bot-{self.spec.name}",
            take=self._take,
            on_end=lambda _why: self._on_end(),
            will=(will.topic, will.payload),
        )
        if not self.world.broker.connect(link):
            self._later(BACKOFF_S, self._connect)
            return
        self._link = link
        topics, bot = self._settings.topics, self.spec.name
        channel = topics.channel(Mode.PAPER)
        filters = [topics.heartbeat(bot), topics.posture(bot, Mode.PAPER), f"{channel}/command/{bot}/+"]
        self.world.broker.subscribe(link, filters)
        self._outbox.drop_levels()
        self._do(self.session.on_connected(*self._now()))

    def _on_end(self) -> None:
        if self._link is not None and self._link.ended and self.is_alive and not self.is_hung:
            self._lost(self._link)

    def _lost(self, link: Link) -> None:
        if link is not self._link:
            return
        self._link = None
        if self._on_its_way is not None:
            self._outbox.put_back(self._on_its_way)
            self._on_its_way = None
        self._do(self.session.on_disconnected(*self._now()))
        self._later(BACKOFF_S, self._connect)

    def _take(self, topic: str, payload: bytes, retain: bool) -> None:
        if not self.is_alive or (retain and "/command/" in topic):
            return
        self.world.referee.delivered(self, topic, payload)
        actions = self.session.on_message(topic, payload, *self._now())
        if "/command/" in topic and not self._passes(Point.AFTER_RECEIVING):
            return
        self._do(actions)

    def _send(self) -> None:
        """Publish one message after the other, each once the broker has taken the one before."""
        waits = self._outbox._acks or self._outbox._levels
        if self._on_its_way is not None or self._link is None or not waits:
            return
        try:
            self._outbox.next().send(None)  # something waits, so it returns at once
        except StopIteration as answer:
            publish: Publish = answer.value
        if not publish.retain and not self._passes(Point.BEFORE_ANSWERING):
            return
        self.world.referee.bot_said(publish)
        self._on_its_way = publish
        link, network = self._link, self.world.broker.network
        delay_s = 0.0003 + self.world.chance.random() * network.delay_s_max / 4.0
        self._later(SEND_TIMEOUT_S, self._give_up, link, publish)
        self.world.schedule.after(delay_s, self._reach_broker, link, publish, self.life)

    def _reach_broker(self, link: Link, publish: Publish, life: int) -> None:
        broker = self.world.broker
        if not broker.up or (link.ended and not link.is_stopped):
            return
        if broker.is_stalled:
            broker.backlog.append((self._reach_broker, (link, publish, life)))
            return
        broker.publish(publish.topic, publish.payload, qos=publish.qos, retain=publish.retain)
        lost = broker.network.answer_lost_ratio
        if life == self.life and not (lost and self.world.chance.random() < lost):
            self._later(0.0005, self._taken, link, publish)

    def _taken(self, link: Link, publish: Publish) -> None:
        if link is self._link and publish is self._on_its_way:
            self._on_its_way = None
            self._send()

    def _give_up(self, link: Link, publish: Publish) -> None:
        """A message that the broker never took ends the connection."""
        if link is self._link and publish is self._on_its_way:
            self.world.broker.end(link, "a publish was not taken", will=False)
