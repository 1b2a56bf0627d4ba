"""A guard as a simulated process: the real runner, engine, outbox, journal, link, fence and clock."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import aiomqtt
import msgspec

from adapters.clock import SystemClock, TickFeed
from adapters.mqtt.connection import Connection, Inbound
from adapters.mqtt.link import MqttLink
from adapters.mqtt.settings import BrokerKind, BrokerSettings, ProtocolVersion
from guard.arbiter import Arbiter, ArbiterSettings
from guard.audit import Step
from guard.dispatch import Dispatch, DispatchSettings
from guard.engine import Engine
from guard.errors import BrokerError, FatalError
from guard.events import (
    AccountSnapshot,
    AnyEvent,
    MarketFeatures,
    MarkPriceSeen,
    Order,
    Position,
    PositionSource,
    Tick,
)
from guard.findings import Finding
from guard.market.view import BaselineSettings
from guard.outbox import Outbox
from guard.policy import Policy
from guard.ports import Emit
from guard.runner import Identity, Runner, World
from guard.state import BotConfig, GuardState
from guard.units import NS_PER_S, AccountId, BotId, Nanoseconds, market_id
from perpguard_sdk.messages import Command, Heartbeat, Mode, Posture
from perpguard_sdk.messages import GuardState as GuardStateMessage
from policies.distrust_bots import DistrustBots
from policies.distrust_links import DistrustLinks
from policies.keep_restart_floor import KeepRestartFloor
from tests.simulation.broker import Link
from tests.simulation.storage import Home, SimulatedAudit, settle
from tests.simulation.venue import BOTS, BTC, ETH, MARK_PRICE, VENUE
from tests.simulation.virtual_time import ProcessLoop
from tests.support.market import even_features

if TYPE_CHECKING:
    from tests.simulation.plants import Plant
    from tests.simulation.world import World as SimulatedWorld

SITE = "campaign"
MARKETS = tuple(market_id(VENUE, symbol) for symbol in (BTC, ETH))
TICK_MS = 1_000
DISPATCH = DispatchSettings(
    command_ttl_ms=6_000,
    retry_ms=(500, 1_000, 2_000),
    reissue_s=(2.0, 4.0, 6.0),
    look_ms=3_000,
    posture_ttl_s=20.0,
    posture_refresh_s=5.0,
)
ARBITER = ArbiterSettings(hold_down_s=3.0, step_s=1.0)
BASELINE = BaselineSettings(half_life_s=30.0, warm_up_s=6.0)
SEND_TIMEOUT_S = 2.0

_features = {
    market: even_features(1, MARK_PRICE, market=market, levels=30, step_bps=10.0) for market in MARKETS
}


class SimulatedConnection:
    """As ``adapters.mqtt.connection.Connection``, to the simulated broker."""

    def __init__(self, process: GuardProcess, will: aiomqtt.Will) -> None:
        self._process = process
        self._broken = ""
        self._inbox: deque[Inbound] = deque()
        self._stirred = asyncio.Event()
        self._last_at_ns = 0
        assert isinstance(will.payload, bytes)
        self.link = Link(
            client=f"guard-{process.session}",
            take=self._take,
            on_end=self._end,
            will=(will.topic, will.payload),
        )

    async def open(self) -> None:
        await self._process.loop.pause(0.002)
        if self._process.is_dead or not self._process.world.broker.connect(self.link):
            raise BrokerError("broker", "connection refused")
        self._process.connection = self

    async def close(self) -> None:
        self.break_off("closed")
        if not self._process.is_dead:
            self._process.world.broker.end(self.link, "closed", will=False)

    async def subscribe_all(self, filters: Sequence[tuple[str, int]]) -> None:
        await self._process.loop.pause(0.002)
        if self.link.ended:
            raise BrokerError("broker", "the connection is lost")
        self._process.world.broker.subscribe(self.link, [topic_filter for topic_filter, _ in filters])

    async def send(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        properties: object = None,
        within_s: float | None = None,
    ) -> None:
        if self._broken or self.link.ended or self._process.is_dead:
            raise BrokerError("broker", self._broken or "the connection is lost; nothing was sent")
        world, process = self._process.world, self._process
        world.referee.handed_over(process, process.link.publishing, topic, payload)
        network = world.broker.network
        delay_ns = int((0.0003 + process.random() * network.delay_s_max / 4.0) * NS_PER_S)
        self._last_at_ns = max(world.schedule.now_ns + delay_ns, self._last_at_ns)
        taken = process.loop.create_future() if qos else None
        world.schedule.at(self._last_at_ns, self._reach_broker, topic, payload, qos, retain, taken)
        if taken is None:
            return
        is_outbox = process.link.publishing is not None
        process.begin_idle(is_outbox)
        await asyncio.wait([taken], timeout=min(SEND_TIMEOUT_S, within_s or SEND_TIMEOUT_S))
        process.end_idle(is_outbox)
        if not taken.done():
            self.break_off(f"{topic} was not taken in time")
            raise BrokerError("broker", self._broken)

    def _reach_broker(
        self, topic: str, payload: bytes, qos: int, retain: bool, taken: asyncio.Future[None] | None
    ) -> None:
        broker = self._process.world.broker
        if not broker.up or (self.link.ended and not self.link.is_stopped):
            return
        if broker.is_stalled:
            broker.backlog.append((self._reach_broker, (topic, payload, qos, retain, taken)))
            return
        broker.publish(topic, payload, qos=qos, retain=retain)
        lost = broker.network.answer_lost_ratio
        if taken is not None and not (lost and self._process.random() < lost):
            self._process.world.schedule.after(0.0005, self._process.loop.call_soon, settle, taken, None)

    def break_off(self, why: str) -> None:
        self._broken = self._broken or why
        self._stirred.set()

    def take_overflowed(self) -> int:
        return 0

    def wake(self) -> None:
        self._stirred.set()

    async def receive(self, *, within_s: float) -> Inbound | None:
        if not self._inbox and not self._broken:
            try:
                async with asyncio.timeout(within_s):
                    await self._stirred.wait()
            except TimeoutError:
                pass
            self._stirred.clear()
        if self._inbox and not self._broken:
            return self._inbox.popleft()
        if self._broken:
            raise BrokerError("broker", self._broken)
        return None

    def _take(self, topic: str, payload: bytes, retain: bool) -> None:
        self._process.loop.call_soon(self._arrive, Inbound(topic, payload, len(payload), retain))

    def _arrive(self, inbound: Inbound) -> None:
        self._inbox.append(inbound)
        self._stirred.set()

    def _end(self, why: str) -> None:
        self._process.loop.call_soon(self.break_off, why)


class SimulatedLink(MqttLink):
    """The real link over the simulated broker; ``publishing`` is what is on its way out just now."""

    publishing: Command | Posture | Heartbeat | None = None
    process: GuardProcess

    def _new_connection(self) -> Connection:
        return cast(Connection, SimulatedConnection(self.process, self._will()))

    async def publish_command(self, command: Command) -> None:
        self.publishing = command
        self.process.world.referee.offered(self.process, command.bot)
        await super().publish_command(command)

    async def publish_posture(self, posture: Posture) -> None:
        self.publishing = posture
        self.process.world.referee.offered(self.process, posture.bot, posture)
        await super().publish_posture(posture)

    async def publish_heartbeat(self, heartbeat: Heartbeat) -> None:
        self.publishing = heartbeat
        await super().publish_heartbeat(heartbeat)

    async def publish_state(self, state: GuardStateMessage) -> None:
        self.publishing = None
        await super().publish_state(state)


class ObservedEngine(Engine):
    """The real engine, whose steps the referee sees."""

    __slots__ = ("observe",)
    observe: Callable[[Step], None]

    def process(self, event: AnyEvent) -> Step:
        step = super().process(event)
        self.observe(step)
        return step


@dataclass(frozen=True, slots=True)
class ScriptedPolicy:
    """Asks for what the simulation demands at the moment."""

    demands: dict[int, Finding]
    name = "scripted"

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        yield from self.demands.values()


@dataclass(slots=True)
class VenueFeed:
    """Hands on what the venue shows; times are those at which the process reads it."""

    emit: Emit | None = None
    name = "venue"

    async def run(self, emit: Emit) -> None:
        self.emit = emit
        await asyncio.Event().wait()


class GuardProcess:
    """One run of a guard, from start to crash or end."""

    def __init__(self, world: SimulatedWorld, home: Home, plant: Plant) -> None:
        self.world, self.home = world, home
        self.session = f"{world.chance.getrandbits(32):08x}"
        self.random = world.chance.random
        self.is_dead = False
        self.is_hung = False
        self._idle_ns = 0
        self._idle_since_ns = 0
        self._idle_causes = 0
        self.why_ended = ""
        self.connection: SimulatedConnection | None = None
        self.loop = ProcessLoop(world.schedule)  # type: ignore[abstract]  # no sockets, no threads
        self.clock = SystemClock(self._wall, lambda: world.schedule.now_ns)
        self.link = _link(self)
        plant.sabotage_link(self.link)
        self.feed = VenueFeed()
        self.engine = _engine(self)
        plant.sabotage_engine(self.engine)
        audit = SimulatedAudit(self)
        self.runner = Runner(
            engine=self.engine,
            identity=Identity(
                guard=home.name,
                session=self.session,
                mode=Mode.PAPER,
                software_version="0",
                settings_digest="0",
            ),
            world=World(
                clock=self.clock,
                feeds=[self.link, TickFeed(self.clock, TICK_MS), self.feed],
                commands=self.link,
                status=self.link,
                fence=self.link,
                audit=audit,
                memory=audit,
            ),
        )
        self.runner.settings = _no_signals(self.runner)
        outbox: Outbox | None = plant.outbox(self.runner)
        if outbox is not None:
            self.runner.outbox = outbox
        self.main = self.loop.create_task(self._main(), name=home.name)

    @property
    def is_alive(self) -> bool:
        return not self.is_dead and not self.why_ended

    def ran_ns(self) -> int:
        """Time for which it was neither hung nor waiting for the broker."""
        now = self.world.schedule.now_ns
        return now - self._idle_ns - (now - self._idle_since_ns if self._idle_causes else 0)

    def begin_idle(self, counts: bool = True) -> None:
        """From now on it cannot hand anything over, whatever else keeps it from that."""
        if counts and not self._idle_causes:
            self._idle_since_ns = self.world.schedule.now_ns
        self._idle_causes += counts

    def end_idle(self, counts: bool = True) -> None:
        self._idle_causes -= counts
        if counts and not self._idle_causes:
            self._idle_ns += self.world.schedule.now_ns - self._idle_since_ns

    def clock_ns(self) -> int:
        """Its own time."""
        return self.clock.now()

    def crash(self) -> None:
        """As SIGKILL: nothing more is written or sent, and the broker notices the closed socket."""
        self.is_dead = True
        self.world.referee.guard_died(self)
        if self.connection is not None:
            link = self.connection.link
            link.is_stopped = False
            self.world.broker.end(link, "the process died", will=True)
        self.loop.resume_process()
        self.main.cancel()

    def stop(self) -> None:
        """As SIGTERM."""
        self.why_ended = self.why_ended or "asked to stop"
        self.loop.create_task(self._stop(), name="stop")

    def hang(self) -> None:
        """As SIGSTOP."""
        if self.is_hung:
            return
        self.is_hung = True
        self.begin_idle()
        self.loop.stop_process()
        if self.connection is not None:
            self.world.broker.stop_reading(self.connection.link)

    def resume(self) -> None:
        """As SIGCONT."""
        if not self.is_hung:
            return
        self.is_hung = False
        self.end_idle()
        self.loop.resume_process()
        if self.connection is not None:
            self.world.broker.read_on(self.connection.link)

    def show_account(
        self, account: AccountId, positions: tuple[Position, ...], orders: tuple[Order, ...]
    ) -> None:
        """What the venue has shown arrives at the process."""
        self.loop.call_soon(self._emit_account, account, positions, orders)

    def show_markets(self) -> None:
        self.loop.call_soon(self._emit_markets)

    def _emit_account(
        self, account: AccountId, positions: tuple[Position, ...], orders: tuple[Order, ...]
    ) -> None:
        if self.feed.emit is not None:
            self.feed.emit(
                AccountSnapshot(
                    received_at=self.clock.now(),
                    account=account,
                    source=PositionSource.VENUE,
                    equity_usd=1_000.0,
                    positions=positions,
                    orders=orders,
                )
            )

    def _emit_markets(self) -> None:
        emit, now = self.feed.emit, self.clock.now()
        if emit is None:
            return
        for market in MARKETS:
            emit(MarkPriceSeen(received_at=now, market=market, mark_price=MARK_PRICE))
            if market not in self.engine.state.warmed:
                emit(_features_at(now, market))

    def _wall(self) -> Nanoseconds:
        return self.world.t0_ns + self.world.schedule.now_ns + self.home.wall_offset_ns

    async def _main(self) -> None:
        try:
            await self.runner.run()
        except* FatalError as group:
            self.why_ended = str(_first(group))
        if not self.is_dead:
            self.world.trace("guard ended", self.home.name, self.why_ended)
            await self._close()

    async def _stop(self) -> None:
        await self.runner.say_stopping()
        self.main.cancel()
        await asyncio.gather(self.main, return_exceptions=True)
        if not self.is_dead:
            await self._close()

    async def _close(self) -> None:
        disk = self.home.disk
        ill = disk.is_full or disk.is_hung
        await self.runner.close(self.why_ended)
        if ill or disk.is_full:
            self.world.referee.guard_died(self)  # what the disk did not take is gone with the process


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _features_at(now: Nanoseconds, market: str) -> MarketFeatures:
    return msgspec.structs.replace(_features[market], received_at=now, book_at=now)  # type: ignore[index]


def _no_signals(runner: Runner) -> Any:
    return dataclasses.replace(runner.settings, signals=False)


def _link(process: GuardProcess) -> SimulatedLink:
    settings = BrokerSettings(kind=BrokerKind.EXTERNAL, protocol=ProtocolVersion.V311, site=SITE)
    link = SimulatedLink(
        settings,
        guard=process.home.name,
        mode=Mode.PAPER,
        bot_keys={BotId(bot.name): process.world.keys[bot.name] for bot in BOTS},
        clock=process.clock,
        session=process.session,
    )
    link.process = process
    return link


def _engine(process: GuardProcess) -> ObservedEngine:
    state = GuardState.of(
        baseline=BASELINE,
        markets=MARKETS,
        bots=tuple(BotConfig(bot=BotId(bot.name), account=bot.account_id) for bot in BOTS),
    )
    policies: list[Policy] = [
        DistrustBots(),
        DistrustLinks(),
        KeepRestartFloor(),
        ScriptedPolicy(process.world.demands),
    ]
    engine = ObservedEngine(
        state=state, policies=policies, arbiter=Arbiter(ARBITER), dispatch=Dispatch(DISPATCH)
    )

    def observe(step: Step) -> None:
        process.world.referee.decided(process, step, is_tick=isinstance(step.event, Tick))

    engine.observe = observe
    return engine
