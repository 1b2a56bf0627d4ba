"""A guard of the machine: the real engine, fence, router and clock, with the loop around them as plain calls."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from adapters.clock import SystemClock
from adapters.mqtt.connection import Inbound
from adapters.mqtt.fence import EpochFence
from adapters.mqtt.refusals import Refusals
from adapters.mqtt.routing import Router
from guard.account.peg_settings import PegSettings
from guard.arbiter import Arbiter, ArbiterSettings
from guard.audit import Step
from guard.dispatch import Dispatch, DispatchSettings
from guard.engine import Engine
from guard.errors import FencedError
from guard.events import (
    AccountSnapshot,
    AnyEvent,
    CommandSent,
    GuardStarted,
    LinkChanged,
    LinkKind,
    MarkPriceSeen,
    PositionSource,
    Tick,
)
from guard.findings import Finding
from guard.market.view import BaselineSettings
from guard.own_side import OwnSide
from guard.policy import Policy
from guard.ports import Claim
from guard.state import BotConfig, GuardState
from guard.units import NS_PER_S, BotId, Nanoseconds, ms_of
from perpguard_sdk.codec import encode_signed
from perpguard_sdk.messages import Command, Heartbeat, Message, Mode, Posture
from policies.distrust_bots import DistrustBots
from policies.distrust_links import DistrustLinks
from policies.keep_restart_floor import KeepRestartFloor
from tests.protocol.ground import ACCOUNT, HOLD_DOWN_S, KEYS, MARK_PRICE, MARKETS, TOPICS
from tests.protocol.wires import Link
from tests.support.market import even_features

if TYPE_CHECKING:
    from tests.protocol.world import World

T0_NS = 1_760_000_000 * NS_PER_S
QUIET_NS, WAIT_NS = 2 * NS_PER_S, 8 * NS_PER_S
BEAT_NS = NS_PER_S
RECONNECT_NS = NS_PER_S
SHOW_NS = 2 * NS_PER_S
"""So often the venue shows an account in which nothing changes."""
DISPATCH = DispatchSettings(
    command_ttl_ms=3_000,
    retry_ms=(500, 1_000, 2_000),
    reissue_s=(2.0, 4.0),
    look_ms=2_000,
    posture_ttl_s=15.0,
    posture_refresh_s=5.0,
)
HOLD_DOWN_NS = int(HOLD_DOWN_S * NS_PER_S)
ARBITER = ArbiterSettings(hold_down_s=HOLD_DOWN_S, step_s=1.0)
BASELINE = BaselineSettings(half_life_s=30.0, warm_up_s=3.0)

_features = {
    market: even_features(1, MARK_PRICE, market=market, levels=30, step_bps=10.0) for market in MARKETS
}


@dataclass(slots=True)
class Home:
    """A machine for guards: its clock, and what its disk keeps from one guard to the next."""

    name: str
    wall_offset_ns: int = 0
    drift_ppm: int = 0
    epoch: int = 0
    postures: dict[str, Posture] = field(default_factory=dict)
    lives: int = 0

    def forget(self) -> None:
        """The disk is lost."""
        self.epoch = 0
        self.postures.clear()


@dataclass(slots=True)
class Asked:
    """What was asked for, and when last."""

    finding: Finding
    at: Nanoseconds


@dataclass(slots=True)
class Demands:
    """A policy that asks for what the machine demands, and remembers until when it did."""

    wanted: dict[int, Finding]
    asked: dict[int, Asked] = field(default_factory=dict)
    name = "demands"

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        frozen = {finding.subject.bot for finding in self.wanted.values() if finding.freezes}
        for key, asked in list(self.asked.items()):
            if now - asked.at >= HOLD_DOWN_NS:
                del self.asked[key]
            elif None in frozen or asked.finding.subject.bot in frozen:
                asked.at = now
        for finding in self.wanted.values():
            self.asked.setdefault(id(finding), Asked(finding, now)).at = now
        yield from self.wanted.values()

    def binding(self, now: Nanoseconds) -> Iterator[Asked]:
        """What is asked for, or was within the hold-down: it must be restricted."""
        wanted = {id(finding) for finding in self.wanted.values()}
        for key, asked in self.asked.items():
            if key in wanted or now - asked.at < HOLD_DOWN_NS:
                yield asked


class _Until:
    def __init__(self, at: Nanoseconds) -> None:
        self.at = at

    def __await__(self) -> Generator[Nanoseconds, None, None]:
        yield self.at


class StepClock(SystemClock):
    """The real clock, whose sleepers are woken by the machine."""

    async def sleep_until(self, at: Nanoseconds) -> None:
        await _Until(at)


class _Unassessed(OwnSide):
    """Accounts that nobody assesses: none of the machine's policies asks, and it would be a third of its time."""

    def look(self, *_: object) -> None:
        pass

    def heed(self, *_: object) -> None:
        pass


class GuardProcess:
    """One run of a guard, from its start until it dies or gives way."""

    def __init__(self, world: World, home: Home) -> None:
        self.world, self.home = world, home
        home.lives += 1
        self.session = f"{home.name}.{home.lives}"
        self.is_alive, self.is_hung, self.why_ended = True, False, ""
        self.clock = StepClock(self._wall, self._monotonic)
        self.demands = Demands(world.demands)
        self.engine = world.plant.engine(self._engine())
        self.fence = world.plant.fence(
            EpochFence(sessions={self.session}, quiet_ns=QUIET_NS, wait_ns=WAIT_NS)
        )
        self.router = Router(TOPICS, Mode.LIVE, KEYS, self.fence, Refusals())
        self.link: Link | None = None
        self.connected_at_ns = 0
        self._inbox: list[tuple[str, bytes, bool]] = []
        self._claiming: Coroutine[Any, Any, Claim] | None = None
        self._claim_at: Nanoseconds | None = None
        self._reconnect_at = world.schedule.now_ns
        self._beat_at: Nanoseconds = 0
        self._beats = 0
        self._warm: set[str] = set()
        self._shown: object = None
        self._show_at: Nanoseconds = 0

    @property
    def epoch(self) -> int:
        return self.engine.state.epoch

    @property
    def decides(self) -> bool:
        return self.is_alive and not self.is_hung and self.epoch > 0

    # Life

    def tick(self) -> None:
        """Half a second of its loop: connect, claim, judge a Tick, beat."""
        if not self.is_alive or self.is_hung:
            return
        if self.link is None and self.world.schedule.now_ns >= self._reconnect_at:
            self._connect()
        try:
            self._claim()
        except FencedError as error:
            self.end(str(error))
            return
        now = self.clock.now()
        self._watch(now)
        self.process(Tick(received_at=now))
        if self.is_alive and self.epoch and now >= self._beat_at:
            self._beat_at = now + BEAT_NS - BEAT_NS // 10
            self._beat(now)

    def crash(self) -> None:
        """As SIGKILL."""
        self.is_alive = False
        self._part()
        if self._claiming is not None:
            self._claiming.close()

    def end(self, why: str) -> None:
        """It gives way."""
        self.world.note("guard gives way", self.session, why)
        self.world.seen["guard gave way"] += 1
        self.why_ended = why
        self.crash()

    def resume(self) -> None:
        """As SIGCONT: what waited in the socket is read."""
        self.is_hung = False
        inbox, self._inbox = self._inbox, []
        for message in inbox:
            self._take(*message)

    # What it hears

    def _take(self, topic: str, payload: bytes, retain: bool) -> None:
        if self.is_hung:
            self._inbox.append((topic, payload, retain))
            return
        if not self.is_alive:
            return
        try:
            self.router.route(Inbound(topic, payload, len(payload), retain), self.clock.now(), self.process)
        except FencedError as error:
            self.end(str(error))
        self.world.referee.guard_heard(self, topic, payload)

    def process(self, event: AnyEvent) -> None:
        """Judge one event, and send what comes of it."""
        if not self.is_alive:
            return
        step = self.engine.process(event)
        self.world.referee.decided(self, step)
        self._send(step)
        self.world.referee.sent(self)

    def _watch(self, now: Nanoseconds) -> None:
        """The venue shows its markets until they are known, and the account from time to time."""
        for market in MARKETS:
            if market not in self.engine.state.warmed or market not in self._warm:
                if market in self.engine.state.warmed:
                    self._warm.add(market)
                self.process(MarkPriceSeen(received_at=now, market=market, mark_price=MARK_PRICE))
                self.process(msgspec.structs.replace(_features[market], received_at=now, book_at=now))
        if not self.world.venue_is_seen:
            return
        shown = positions, orders = self.world.venue()
        if shown != self._shown or now >= self._show_at:
            self._shown, self._show_at = shown, now + SHOW_NS
            self.process(
                AccountSnapshot(
                    received_at=now,
                    account=ACCOUNT,
                    source=PositionSource.VENUE,
                    equity_usd=1_000.0,
                    positions=positions,
                    orders=orders,
                )
            )

    # What it says

    def _send(self, step: Step) -> None:
        """Tightening commands first, a resume behind its posture: the order of the real outbox."""
        for publish in step.commands:
            if publish.command.verb != "resume":
                self._send_command(publish.command)
        for posture in self.world.plant.postures(step.postures):
            self.home.postures[posture.posture.bot] = posture.posture
            self._publish(TOPICS.posture(posture.posture.bot, Mode.LIVE), posture.posture, qos=1, retain=True)
        for publish in step.commands:
            if publish.command.verb == "resume":
                self._send_command(publish.command)

    def _send_command(self, command: Command) -> None:
        topic = TOPICS.command(command.bot, command.verb, Mode.LIVE)
        ok = ms_of(self.clock.now()) < command.expires_at and self._publish(topic, command, qos=1)
        now = self.clock.now()
        # After the step whose command it is: the engine is not asked twice at once.
        self.world.schedule.after(
            1,
            self.process,
            CommandSent(received_at=now, command_id=command.id, bot=BotId(command.bot), ok=ok),
        )

    def _publish(self, topic: str, message: Message, *, qos: int, retain: bool = False) -> bool:
        if self.link is None or not self.is_alive:
            return False
        payload = encode_signed(message, topic, KEYS[BotId(getattr(message, "bot"))])  # noqa: B009
        self.world.referee.handed_over(self, topic, payload, message)
        self.world.broker.publish(self.link, topic, payload, qos=qos, retain=retain)
        return True

    def _beat(self, now: Nanoseconds) -> None:
        self._beats += 1
        for bot, record in self.engine.state.bots.items():
            beat = Heartbeat(
                bot=bot,
                bot_session=record.session,
                epoch=self.epoch,
                session=self.session,
                seq=self._beats,
                ts=ms_of(now),
                decided_at=ms_of(now),
                posture_version=self.engine.dispatch.postures.version(bot),
                mode=Mode.LIVE,
            )
            self._publish(TOPICS.heartbeat(bot), beat, qos=0)

    # Connection and epoch

    def _connect(self) -> None:
        link = Link(
            client=self.session,
            take=self._take,
            on_end=self._lost,
            will=None,
            hears=lambda topic: "/command/" not in topic,
        )
        if not self.world.broker.connect(link):
            return
        self.link, self.connected_at_ns = link, self.world.schedule.now_ns
        self.fence.listen(self.clock.now())
        self.process(LinkChanged(received_at=self.clock.now(), link=LinkKind.BROKER, up=True))

    def _part(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            self.world.broker.end(link)

    def _lost(self) -> None:
        self.link = None
        self.fence.listen(None)
        self._reconnect_at = self.world.schedule.now_ns + RECONNECT_NS
        down = LinkChanged(received_at=self.clock.now(), link=LinkKind.BROKER, up=False)
        self.world.schedule.after(1, self.process, down)

    def _claim(self) -> None:
        """Drive the real claim on; begin one where there is none, or a bot obeys a higher epoch."""
        state = self.engine.state
        if self.link is None:
            return
        if self._claiming is None:
            if self.epoch and state.highest_epoch_reported <= self.epoch:
                return
            self._claiming = self.fence.claim(max(self.home.epoch, state.highest_epoch_reported), self.clock)
            self._claim_at = None
        if self._claim_at is not None and self.clock.now() < self._claim_at:
            return
        try:
            self._claim_at = self._claiming.send(None)
        except StopIteration as answer:
            self._claiming = None
            self._begin(answer.value)

    def _begin(self, claim: Claim) -> None:
        floors: dict[str, Posture] = {}
        for posture in (*self.home.postures.values(), *claim.floors):
            known = floors.get(posture.bot)
            if known is None or (posture.epoch, posture.version) > (known.epoch, known.version):
                floors[posture.bot] = posture
        self.home.epoch = claim.epoch
        self.world.note("guard decides", self.session, claim.epoch)
        self.world.seen["epoch claimed"] += 1
        self.process(
            GuardStarted(
                received_at=self.clock.now(),
                guard=self.home.name,
                epoch=claim.epoch,
                session=self.session,
                mode=Mode.LIVE,
                floors=tuple(floors.values()),
            )
        )

    def _monotonic(self) -> int:
        now = self.world.schedule.now_ns
        return now + now * self.home.drift_ppm // 1_000_000

    def _wall(self) -> Nanoseconds:
        return T0_NS + self._monotonic() + self.home.wall_offset_ns

    def _engine(self) -> Engine:
        bots = tuple(BotConfig(bot=BotId(bot), account=ACCOUNT, markets=MARKETS) for bot in self.world.bots)
        policies: list[Policy] = [DistrustBots(), DistrustLinks(), KeepRestartFloor(), self.demands]
        state = GuardState.of(baseline=BASELINE, markets=MARKETS, bots=bots)
        state.own = _Unassessed()
        state.own.pegs.reconfigure(PegSettings(cash=("USD",), stablecoins=(), wrapped=()))
        return Engine(
            state=state,
            policies=policies,
            arbiter=Arbiter(ARBITER),
            dispatch=Dispatch(replace(DISPATCH, reductions_a_day=self.world.reductions_a_day)),
        )
