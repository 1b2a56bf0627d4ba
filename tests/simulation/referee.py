"""What must never happen, checked after every event with the eyes of one who sees everything.

The referee knows what each guard decided, recorded and handed over, what reached each bot, and what each
bot did. It shares no code with the rules that it checks beyond comparing limits. Its invariants, with
what they tolerate and why, are told in docs/decisions/0101-what-the-fault-campaign-claims.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from guard.audit import AnyRecord, AuditGap, Step
from guard.events import BotAcked, BotBorn, BotReported, BotStatusSeen
from guard.findings import Reason
from guard.journal import BATCH_MAX
from guard.units import NS_PER_MS, NS_PER_S
from perpguard_sdk.actions import Publish
from perpguard_sdk.limits import Restrictions, of_posture
from perpguard_sdk.messages import ALL_SYMBOLS, BotMessage, Command, Entries, Heartbeat, Posture, Resume, Verb
from perpguard_sdk.records import StoredState

if TYPE_CHECKING:
    from tests.simulation.bots import BotProcess
    from tests.simulation.guards import GuardProcess
    from tests.simulation.storage import Home
    from tests.simulation.world import World

T = TypeVar("T")

_encoder = msgspec.json.Encoder()

DEAD_MAN_NS = 3 * NS_PER_S
REARM_NS = 5 * NS_PER_S
LATE_NS = 4 * NS_PER_S
"""By so much a command may be executed later than its time to live after its issue: what heartbeats may be
delayed without the bot being able to know (``faults.DELAY_S_MAX``), and 5 % for a guard's clock that slews."""
HAND_OVER_NS = 4 * NS_PER_S
"""Within so much of its running time a guard must have tried to hand over a tightening: one message before it
may wait 2 s for the broker. Less than ``posture_refresh_s``, which would hide a loss."""

PostureKey = tuple[str, str, int, int]
"""Bot, guard session, epoch, version."""


@dataclass(slots=True)
class Issued:
    """A command that a real guard decided: when first, and by which session."""

    command: Command
    session: str
    at_ns: int
    seqs: set[int]


@dataclass(slots=True)
class SentAway:
    """Something that a guard handed over; ``recorded`` tells whether its record was on the disk by then."""

    home: Home
    session: str
    key: object
    guard_ns: int
    recorded: bool
    excused: bool = False


@dataclass(slots=True)
class Standing:
    """What is known of one bot: what was delivered to it, what it did, what it was bound by."""

    epoch: int = 0
    epoch_ever: int = 0
    best: Posture | None = None
    beats: set[tuple[int, str, int]] = field(default_factory=set)
    beat_at_ns: int | None = None
    beat_sent_ns: int | None = None
    led_by: tuple[int, str] = (0, "")
    led_since_ns: int = 0
    run_since_ns: int = 0
    executed: dict[str, int] = field(default_factory=dict)
    last_seq: dict[tuple[int, str, str], int] = field(default_factory=dict)
    commander: dict[int, str] = field(default_factory=dict)
    bound_by: Restrictions | None = None
    was_safe: bool = True
    store_lost: bool = False


@dataclass(slots=True)
class Referee:
    """See the module."""

    world: World
    issued: dict[str, Issued] = field(default_factory=dict)
    decided_postures: dict[PostureKey, Posture] = field(default_factory=dict)
    recorded_postures: dict[PostureKey, Posture] = field(default_factory=dict)
    recorded_commands: set[str] = field(default_factory=set)
    sent: list[SentAway] = field(default_factory=list)
    genuine: dict[tuple[str, bytes], tuple[Command | Posture | Heartbeat, int]] = field(default_factory=dict)
    standing: dict[str, Standing] = field(default_factory=dict)
    said: set[bytes] = field(default_factory=set)
    executions: int = 0
    checks: int = 0
    _latest_recorded: dict[tuple[str, str, int], Posture] = field(default_factory=dict)
    _last_posture: dict[tuple[str, str], Posture] = field(default_factory=dict)
    _owed: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    _ticked: set[str] = field(default_factory=set)
    _beaten: dict[str, int] = field(default_factory=dict)
    violation: str = ""

    # What guards do

    def decided(self, process: GuardProcess, step: Step, *, is_tick: bool) -> None:
        """A guard's engine has made a step."""
        if process.is_dead:
            return
        if is_tick:
            self._ticked.add(process.session)
        now = self.world.schedule.now_ns
        self._check_event(process, step)
        for publish in step.postures:
            posture = publish.posture
            key = (posture.bot, posture.session, posture.epoch, posture.version)
            self.decided_postures[key] = posture
            if publish.changed and publish.tightens:
                self._owed.setdefault((process.session, posture.bot), (posture.version, process.ran_ns()))
        for issue in step.commands:
            command = issue.command
            known = self.issued.get(command.id)
            if known is None:
                self.issued[command.id] = Issued(command, process.session, now, {command.seq})
            else:
                known.seqs.add(command.seq)
        for (session, bot), (version, ran_ns) in self._owed.items():
            if session != process.session:
                continue
            if (bot, session, process.engine.state.epoch) not in self._latest_recorded:
                # The first posture of an epoch waits for the disk, and so does all that comes before it is out.
                self._owed[session, bot] = version, process.ran_ns()
            elif process.ran_ns() - ran_ns > HAND_OVER_NS:
                self._violate(f"a tightening was not handed over: posture {version} of {bot} by {session}")

    def _check_event(self, process: GuardProcess, step: Step) -> None:
        """What a guard takes for a bot's word is that bot's, and nothing in it raises."""
        for finding in step.opened:
            if finding.reason is Reason.POLICY_RAISED:
                self._violate(f"{finding.policy} of {process.session} raised {finding.evidence[0].value}")
        match step.event:
            case BotBorn(birth=message) | BotReported(reported=message) | BotAcked(ack=message):
                heard: BotMessage = message
            case BotStatusSeen(state=state):
                heard = state
            case _:
                return
        if _encoder.encode(heard) not in self.said:
            self._violate(f"{process.session} believes what {heard.bot} never said: {heard}")

    def bot_said(self, publish: Publish) -> None:
        """A bot has signed something."""
        self.said.add(_encoder.encode(publish.message))

    def offered(self, process: GuardProcess, bot: str, posture: Posture | None = None) -> None:
        """A guard tries to hand something over; whether the broker takes it is another matter."""
        owed = self._owed.get((process.session, bot))
        if posture is not None and owed is not None and posture.version >= owed[0]:
            del self._owed[process.session, bot]

    def recorded(self, process: GuardProcess, records: Iterable[AnyRecord]) -> None:
        """Records have come onto a guard's disk."""
        for record in records:
            if not isinstance(record, Step):
                continue
            for publish in record.postures:
                posture = publish.posture
                key = (posture.bot, posture.session, posture.epoch, posture.version)
                self.recorded_postures[key] = posture
                self._latest_recorded[posture.bot, posture.session, posture.epoch] = posture
            self.recorded_commands.update(issue.command.id for issue in record.commands)

    def handed_over(
        self, process: GuardProcess, message: Command | Posture | Heartbeat | None, topic: str, payload: bytes
    ) -> None:
        """A guard gives bytes to its connection."""
        if message is None or f"/{message.bot}" not in topic:
            return
        now = self.world.schedule.now_ns
        self.world.trace("sent", process.session, topic, payload)
        self.genuine.setdefault((topic, payload), (message, now))
        match message:
            case Heartbeat():
                self._check_beat(process, message)
            case Posture():
                self._check_posture_sent(process, message)
            case _:
                self._check_command_sent(process, message)

    def guard_died(self, process: GuardProcess) -> None:
        """What it had sent ahead of its record dies with it: no later record can name that."""
        for sending in self.sent:
            sending.excused |= sending.session == process.session and not sending.recorded
        self.forgive(process.session)

    def database_changed(self, home: Home) -> None:
        """The database was deleted or an older copy put in its place."""
        for sending in self.sent:
            sending.excused |= sending.home is home

    def forgive(self, session: str) -> None:
        """A guard that is gone owes nothing."""
        for key in [key for key in self._owed if key[0] == session]:
            del self._owed[key]

    def _check_beat(self, process: GuardProcess, beat: Heartbeat) -> None:
        if self._beaten.get(process.session) == beat.seq:
            return
        self._beaten[process.session] = beat.seq
        if process.session not in self._ticked:
            self._violate(f"heartbeat {beat.seq} of {process.session} without a tick since the last one")
        self._ticked.discard(process.session)

    def _check_posture_sent(self, process: GuardProcess, posture: Posture) -> None:
        key = (posture.bot, posture.session, posture.epoch, posture.version)
        if key not in self.decided_postures:
            self._violate(f"posture {key} was sent and never decided")
        recorded = self.recorded_postures.get(key)
        last = self._last_posture.get((process.session, posture.bot))
        latest = self._latest_recorded.get(key[:3])
        binding = of_posture(posture)
        is_looser = last is not None and loosened(of_posture(last), binding)
        if is_looser and recorded is None and (latest is None or loosened(of_posture(latest), binding)):
            self._violate(f"loosening sent before its record: {key}")
        self._last_posture[process.session, posture.bot] = posture
        if last is not None and of_posture(last) == of_posture(posture):
            return  # a refresh, or a version held back: it says nothing that was not said before
        self._note_sent(process, key, recorded is not None)

    def _check_command_sent(self, process: GuardProcess, command: Command) -> None:
        recorded = command.id in self.recorded_commands
        if command.id not in self.issued:
            self._violate(f"command {command.id} was sent and never decided")
        if isinstance(command, Resume) and not recorded:
            self._violate(f"resume {command.id} sent before its record")
        self._note_sent(process, command.id, recorded)

    def _note_sent(self, process: GuardProcess, key: object, recorded: bool) -> None:
        self.sent.append(SentAway(process.home, process.session, key, process.clock_ns(), recorded))

    # What bots do

    def bot_started(self, bot: BotProcess, stored: StoredState | None) -> None:
        """A life begins with what the store gave back."""
        standing = self.standing.setdefault(bot.spec.name, Standing())
        if stored is None and standing.epoch_ever:
            standing.store_lost = True
            standing.executed.clear()
            standing.last_seq.clear()
            standing.commander.clear()
        standing.epoch = stored.epoch if stored is not None else 0
        standing.best = stored.posture if stored is not None else None
        standing.beats.clear()
        standing.led_by, standing.led_since_ns = (0, ""), 0
        standing.beat_at_ns = standing.beat_sent_ns = standing.bound_by = None
        standing.was_safe = True

    def persisted(self, bot: BotProcess, state: StoredState) -> None:
        """A state has come onto a bot's disk."""
        self.world.trace("saved", bot.spec.name, state.epoch, state.seq)

    def delivered(self, bot: BotProcess, topic: str, payload: bytes) -> None:
        """Bytes reach a bot: only those that a guard handed over on that topic count."""
        self.world.trace("delivered", bot.spec.name, topic, payload)
        found = self.genuine.get((topic, payload))
        if found is None or found[0].bot != bot.spec.name:
            return
        message, sent_ns = found
        standing = self.standing[bot.spec.name]
        match message:
            case Heartbeat():
                self._note_beat(bot, standing, message, sent_ns)
            case Posture():
                if message.epoch >= standing.epoch:
                    standing.epoch = message.epoch
                    if standing.best is None or _rank(message) > _rank(standing.best):
                        standing.best = message
            case _:
                standing.epoch = max(standing.epoch, message.epoch)
        standing.epoch_ever = max(standing.epoch_ever, standing.epoch)

    def executed(self, bot: BotProcess, command: Command) -> None:
        """A bot begins to execute."""
        self.executions += 1
        now = self.world.schedule.now_ns
        self.world.trace("executes", bot.spec.name, command.id, command.seq)
        standing, issue = self.standing[bot.spec.name], self.issued.get(command.id)
        what = f"{bot.spec.name} executes {command.id} ({command.verb})"
        if command.bot != bot.spec.name:
            self._violate(f"{what}, which is for {command.bot}")
        if issue is None or command.seq not in issue.seqs:
            self._violate(f"{what}, which no guard issued")
            return
        if command.id in standing.executed:
            self._violate(f"{what} again, first at {standing.executed[command.id] / NS_PER_S:.3f}")
        standing.executed[command.id] = now
        ttl_ns = (issue.command.expires_at - issue.command.ts) * NS_PER_MS
        if now > issue.at_ns + ttl_ns + LATE_NS:
            late_s = (now - issue.at_ns - ttl_ns) / NS_PER_S
            self._violate(f"{what} {late_s:.3f} s after its time to live")
        if command.epoch < standing.epoch:
            self._violate(f"{what} of epoch {command.epoch} after obeying {standing.epoch}")
        if command.epoch < standing.epoch_ever and not self._is_running(issue.session):
            self._violate(f"{what} of a guard that is gone, epoch {command.epoch} < {standing.epoch_ever}")
        line = (command.epoch, command.symbol, _work(command.verb))
        if command.seq <= standing.last_seq.get(line, -1):
            self._violate(f"{what} out of order: seq {command.seq} after {standing.last_seq[line]}")
        standing.last_seq[line] = command.seq
        commander = standing.commander.setdefault(command.epoch, issue.session)
        if commander != issue.session:
            self._violate(f"two guards command {bot.spec.name} in epoch {command.epoch}: {what}")
        standing.epoch = max(standing.epoch, command.epoch)
        standing.epoch_ever = max(standing.epoch_ever, standing.epoch)

    def judge_limits(self, bot: BotProcess) -> None:
        """After every input of a bot: what binds it now must be what it was told, or tighter."""
        self.checks += 1
        session, standing = bot.session, self.standing[bot.spec.name]
        limits, now = session.limits, self.world.schedule.now_ns
        self._check_dead_man(bot, standing, now)
        binding = limits.restrictions
        if binding is standing.bound_by:
            return
        if standing.best is not None and loosened(of_posture(standing.best), binding):
            self._violate(f"{bot.spec.name} is looser than posture {standing.best.version} that reached it")
        before, standing.bound_by = standing.bound_by, binding
        if before is not None and loosened(before, binding):
            self._check_loosening(bot, binding)

    def _check_loosening(self, bot: BotProcess, binding: Restrictions) -> None:
        """What loosens was recorded, or is no looser than what was: a tightening may come ahead of its record."""
        held = bot.session.oversight.posture
        if held is None:
            self._violate(f"{bot.spec.name} loosened without a posture")
            return
        latest = self._latest_recorded.get((held.bot, held.session, held.epoch))
        recorded = self.recorded_postures.get((held.bot, held.session, held.epoch, held.version), latest)
        if recorded is None:
            self._violate(f"{bot.spec.name} loosened to posture {held.version}, which is in no record")
        elif loosened(of_posture(recorded), binding):
            self._violate(f"{bot.spec.name} is looser than the record of posture {recorded.version}")

    def _check_dead_man(self, bot: BotProcess, standing: Standing, now: int) -> None:
        is_safe = bot.session.limits.safe_mode
        heard, sent = standing.beat_at_ns, standing.beat_sent_ns
        if not is_safe:
            if heard is None or sent is None or now - heard >= DEAD_MAN_NS:
                self._violate(f"{bot.spec.name} is not in safe mode without a heartbeat for 3 s")
            elif now - sent >= 2 * DEAD_MAN_NS + LATE_NS:
                self._violate(f"{bot.spec.name} is not in safe mode though its guard was silent")
            elif self._is_led_by_another(bot, standing, now):
                self._violate(
                    f"{bot.spec.name} is not in safe mode under a guard that has told it no posture"
                )
            elif standing.was_safe and now - standing.run_since_ns < REARM_NS:
                self._violate(f"{bot.spec.name} left safe mode before 5 s of heartbeats")
        elif bot.session.limits.entries(ALL_SYMBOLS) is Entries.ALLOWED:
            self._violate(f"{bot.spec.name} may enter in safe mode")
        standing.was_safe = is_safe

    @staticmethod
    def _is_led_by_another(bot: BotProcess, standing: Standing, now: int) -> bool:
        """Whether one guard has been beating for 3 s and the posture is still another's."""
        held = bot.session.oversight.posture
        if held is None or (held.epoch, held.session) == standing.led_by:
            return False
        return now - standing.led_since_ns >= DEAD_MAN_NS

    def _note_beat(self, bot: BotProcess, standing: Standing, beat: Heartbeat, sent_ns: int) -> None:
        now, key = self.world.schedule.now_ns, (beat.epoch, beat.session, beat.seq)
        if beat.bot_session != bot.session.session or beat.epoch < standing.epoch or key in standing.beats:
            return
        standing.beats.add(key)
        standing.epoch = beat.epoch
        if standing.led_by != key[:2]:
            standing.led_by, standing.led_since_ns = key[:2], now
        if standing.beat_at_ns is None or now - standing.beat_at_ns >= DEAD_MAN_NS:
            standing.run_since_ns = now
        standing.beat_at_ns = now
        standing.beat_sent_ns = max(standing.beat_sent_ns or 0, sent_ns)

    def _is_running(self, session: str) -> bool:
        return any(guard.session == session and guard.is_alive for guard in self.world.guards)

    # At the end

    def missing_from(self, home: Home) -> list[str]:
        """What a home's guards handed over and its records neither hold nor name as a gap."""
        records = [record for record, _, _ in home.rows]
        held: dict[object, int] = {}
        gaps: list[tuple[int, AuditGap]] = []
        for number, record in enumerate(records):
            if isinstance(record, AuditGap):
                gaps.append((number, record))
            elif isinstance(record, Step):
                for issue in record.commands:
                    held.setdefault(issue.command.id, number)
                for publish in record.postures:
                    posture = publish.posture
                    held.setdefault((posture.bot, posture.session, posture.epoch, posture.version), number)
        found: list[str] = []
        for sending in self.sent:
            if sending.home is not home or sending.excused:
                continue
            if sending.key not in held:
                found.append(f"{sending.key} was sent and is not recorded")
            elif not sending.recorded and not any(
                # It stands at the head of the batch that holds the record, or in a later one.
                gap.from_at <= sending.guard_ns and number >= held[sending.key] - BATCH_MAX
                for number, gap in gaps
            ):
                found.append(f"{sending.key} was sent before its record and no gap says so")
        return found

    def _violate(self, what: str) -> None:
        """Keep the first violation; code under test must not be able to swallow it as an exception."""
        if not self.violation:
            self.violation = f"at {self.world.schedule.now_ns / NS_PER_S:.3f} s: {what}"
            self.world.schedule.is_halted = True


def loosened(before: Restrictions, after: Restrictions) -> bool:
    """Whether anything that ``before`` restricts is restricted less, or not at all, in ``after``."""
    return (
        any(
            Entries.tightest(*_both(after.entries, symbol)).tightness < level.tightness
            for symbol, level in before.entries.items()
        )
        or _larger(before.max_size, after.max_size)
        or _larger(before.max_leverage, after.max_leverage)
        or _larger(before.entry_share, after.entry_share)
        or any(symbol not in after.stops and ALL_SYMBOLS not in after.stops for symbol in before.stops)
    )


def _larger(before: dict[str, float], after: dict[str, float]) -> bool:
    return any(min(_both(after, symbol), default=float("inf")) > value for symbol, value in before.items())


def _both(values: dict[str, T], symbol: str) -> list[T]:
    return [values[key] for key in {symbol, ALL_SYMBOLS} if key in values]


def _rank(posture: Posture) -> tuple[int, int, int]:
    return posture.version, posture.epoch, posture.ts


def _work(verb: Verb) -> str:
    return "entries" if verb in (Verb.PAUSE, Verb.RESUME) else str(verb)
