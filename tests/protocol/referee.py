"""What must never be so, told apart from the rules that make it so: it sees everything, and is asked at every event.

Every invariant has a name; a violation is an ``AssertionError`` that begins with it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from guard.audit import Step
from guard.findings import Finding, Reason
from guard.units import NS_PER_MS, BotId, Nanoseconds
from perpguard_sdk.limits import Restrictions, of_posture
from perpguard_sdk.messages import (
    ALL_SYMBOLS,
    Ack,
    BotMessage,
    Command,
    CommandBase,
    CutLeverage,
    Entries,
    Heartbeat,
    Message,
    Posture,
    Verb,
)
from perpguard_sdk.records import StoredState
from tests.protocol.ground import DEAD_MAN_MS, SIZE_FULL, STEP_MS, SYMBOL
from tests.simulation.referee import loosened

if TYPE_CHECKING:
    from tests.protocol.bots import BotProcess
    from tests.protocol.guards import GuardProcess
    from tests.protocol.world import World

CLOCK_NS = 60 * NS_PER_MS
"""Drift of two clocks against each other within the 30 s over which a bot compares heartbeats."""
WINDOW_NS = 30_000 * NS_PER_MS
BOTH_LEAD_NS = 2_500 * NS_PER_MS
"""Two that hear each other find out with the next heartbeat, a second later at most."""
SIZE_EPSILON = 1e-9


@dataclass(slots=True)
class Heard:
    """A genuine heartbeat that reached a bot in its present life."""

    beat: Heartbeat
    at_ns: int


@dataclass(slots=True)
class Standing:
    """What has reached one bot, and what it did."""

    epoch: int = 0
    best: Posture | None = None
    beats: deque[Heard] = field(default_factory=lambda: deque(maxlen=64))
    keys: set[tuple[int, str, int]] = field(default_factory=set)
    beat_at_ns: int | None = None
    executed: dict[str, int] = field(default_factory=dict)
    last_seq: dict[tuple[int, str], int] = field(default_factory=dict)
    commander: dict[int, str] = field(default_factory=dict)
    bound_by: Restrictions | None = None
    was_safe: bool = True


@dataclass(slots=True)
class Issued:
    """A command as it was first decided."""

    command: Command
    session: str
    at_ns: int
    target: float | None


@dataclass(slots=True)
class Referee:
    """Judges one example; ``checks`` counts how often it looked at limits."""

    world: World
    checks: int = 0
    standing: dict[str, Standing] = field(default_factory=dict)
    genuine: dict[tuple[str, bytes], Message] = field(default_factory=dict)
    issued: dict[str, Issued] = field(default_factory=dict)
    _decided: dict[tuple[str, str], Posture] = field(default_factory=dict)
    _handed: dict[tuple[str, str], Posture] = field(default_factory=dict)
    _open_cuts: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _stop_sizes: dict[tuple[str, float], float] = field(default_factory=dict)
    """The largest size with which a stop was ever asked for, by bot and price."""
    _both_since_ns: int | None = None

    # Guards

    def decided(self, guard: GuardProcess, step: Step) -> None:
        """A guard has judged an event."""
        now = guard.engine.state.now
        for publish in step.postures:
            self.world.seen[f"posture {'tightens' if publish.tightens else 'loosens or refreshes'}"] += 1
            for level in publish.posture.entries.values():
                self.world.seen[f"posture {level}"] += 1
            for rung in publish.posture.rungs.values():
                self.world.seen[f"rung {rung}"] += 1
            self._decided[guard.session, publish.posture.bot] = publish.posture
            spent = len(publish.posture.reductions.get(SYMBOL, ()))
            if spent > self.world.reductions_a_day:
                self.fail("no more reductions a day than allowed", f"{spent} of {publish.posture.bot}")
        for outcome in step.outcomes:
            self.world.seen[f"outcome {outcome.outcome}"] += 1
            self._cut_ended(outcome.command_id)
        for issue in step.commands:
            if issue.attempt > 1:
                self.world.seen["retry"] += 1
                continue
            self._note_issue(guard, issue.command)
        if guard.epoch and not guard.engine.state.is_outranked:
            self._must_bind(guard, now)
            self._must_fit(guard)

    def _must_bind(self, guard: GuardProcess, now: Nanoseconds) -> None:
        """What is asked, or was within the hold-down, is in the posture that stands."""
        for asked in guard.demands.binding(now):
            finding = asked.finding
            is_wanted = asked.at == now or finding in guard.demands.wanted.values()
            for bot in self.world.bots:
                if finding.subject.bot not in (None, bot):
                    continue
                posture = self._decided.get((guard.session, bot))
                if posture is None or not self._binds(guard, posture, finding):
                    self.fail(
                        "no posture weaker than what is asked"
                        if is_wanted
                        else "no restriction is loosened before its hold-down",
                        f"{guard.session} tells {bot} {posture}, and {finding.limit} binds",
                    )

    def demanded(self, finding: Finding) -> None:
        """Something else is asked for."""
        rule, size = finding.limit.stop, finding.limit.max_size
        if rule is None or rule.stop_price is None or size is None:
            return
        for bot in self.world.bots:
            if finding.subject.bot in (None, bot):
                key = bot, rule.stop_price
                self._stop_sizes[key] = max(self._stop_sizes.get(key, 0.0), size)

    def _must_fit(self, guard: GuardProcess) -> None:
        """No stop stands over more than the size that it was asked for with."""
        for bot in self.world.bots:
            posture = self._decided.get((guard.session, bot))
            told = None if posture is None else of_posture(posture)
            if told is None or SYMBOL not in told.stops:
                continue
            price = told.stops[SYMBOL].stop_price
            assert price is not None
            size, most = told.max_size.get(SYMBOL, float("inf")), self._stop_sizes.get((bot, price), 0.0)
            if size > most * 1.0001:
                self.fail("no stop over more than it was asked for", f"{posture}, for {price} with {most}")

    def _binds(self, guard: GuardProcess, posture: Posture, finding: Finding) -> bool:
        """Whether a posture restricts at least what a finding asks for, or the budget says why it does not yet."""
        limit, told = finding.limit, of_posture(posture)
        entries = Entries.tightest(*(told.entries.get(key, Entries.ALLOWED) for key in (SYMBOL, ALL_SYMBOLS)))
        if limit.entries is not None and entries.tightness < limit.entries.tightness:
            return False
        is_shut = entries.tightness >= Entries.REDUCE_ONLY.tightness
        share = limit.entry_share
        if share is not None and not is_shut and told.entry_share.get(SYMBOL, 1.0) > share:
            return False
        size = told.max_size.get(SYMBOL, float("inf"))
        at_most = limit.max_size
        if at_most is not None and limit.pace is not None:
            # On the way down: what it was when it began, less a slice; where a bot does not say, the account's.
            at_most = max(SIZE_FULL * len(self.world.bots), at_most)
        has_stop = limit.stop is None or SYMBOL in told.stops
        if limit.stop is not None and limit.pace is not None:
            # Of several that are waited for the smallest one's stop is told: once its size is.
            has_stop = has_stop or size > _smallest_stop(guard)
        if has_stop and (at_most is None or size <= at_most * 1.0001):
            return True
        spent = posture.reductions.get(SYMBOL, ())
        if finding.imminent or len(spent) < self.world.reductions_a_day or not is_shut:
            return False
        self.world.seen["budget spent"] += 1
        return any(each.reason is Reason.BUDGET_SPENT for each in guard.engine.dispatch.findings())

    def _note_issue(self, guard: GuardProcess, command: Command) -> None:
        self.world.seen[f"issued {command.verb}"] += 1
        target = None
        limits = guard.engine.wanted.get(BotId(command.bot), {})
        if isinstance(command, CutLeverage):
            target = min(
                (each.max_size for each in limits.values() if each.max_size is not None), default=None
            )
            if target is not None and command.max_size < target * (1.0 - SIZE_EPSILON) - SIZE_EPSILON:
                self.fail(
                    "no reduction below its target", f"{command.id} cuts to {command.max_size} < {target}"
                )
            key = guard.session, command.bot, command.symbol
            other = self._open_cuts.get(key)
            if other is not None:
                self.fail("one reduction in flight", f"{command.id} was issued while {other} is open")
            self._open_cuts[key] = command.id
        self.issued[command.id] = Issued(command, guard.session, self.world.schedule.now_ns, target)

    def _cut_ended(self, command_id: str) -> None:
        for key in [key for key, value in self._open_cuts.items() if value == command_id]:
            del self._open_cuts[key]

    def handed_over(self, guard: GuardProcess, topic: str, payload: bytes, message: Message) -> None:
        """A guard gives bytes to its connection."""
        self.genuine[topic, payload] = message
        if isinstance(message, Posture):
            self._handed[guard.session, message.bot] = message
        if isinstance(message, Posture | Heartbeat | CommandBase) and not guard.is_alive:
            self.fail("who has given way is silent", f"{guard.session} sent {type(message).__name__}")

    def sent(self, guard: GuardProcess) -> None:
        """After a step was sent: what was decided has been handed over, if there is a connection."""
        if guard.link is None or not guard.is_alive or not guard.epoch:
            return
        for bot in self.world.bots:
            decided, handed = (each.get((guard.session, bot)) for each in (self._decided, self._handed))
            if decided is None:
                continue
            if handed is None or loosened(of_posture(decided), of_posture(handed)):
                # Said while there was no connection, it is said again with the LinkChanged of the next.
                if self.world.schedule.now_ns - guard.connected_at_ns <= 2 * STEP_MS * NS_PER_MS:
                    continue
                self.fail(
                    "no tightening is lost",
                    f"{guard.session} decided posture {decided.version} for {bot} and did not hand it over",
                )

    def guard_heard(self, guard: GuardProcess, topic: str, payload: bytes) -> None:
        """A message has reached a guard."""
        message = self.genuine.get((topic, payload))
        if not isinstance(message, Heartbeat | Posture) or message.session == guard.session:
            return
        is_higher = (message.epoch, message.session) > (guard.epoch, guard.session)
        if guard.decides and is_higher and isinstance(message, Heartbeat):
            self.fail(
                "two guards never both command",
                f"{guard.session} (epoch {guard.epoch}) goes on though it heard {message.session} "
                f"(epoch {message.epoch})",
            )

    # Bots

    def bot_started(self, bot: BotProcess, stored: StoredState | None) -> None:
        standing = self.standing.setdefault(bot.name, Standing())
        if stored is None:
            # Without memory a command within its time may run again: absolute, so that does no harm.
            standing.executed.clear()
            standing.last_seq.clear()
            standing.commander.clear()
        standing.epoch = stored.epoch if stored is not None else 0
        standing.best = stored.posture if stored is not None else None
        standing.beats.clear()
        standing.keys.clear()
        standing.beat_at_ns = standing.bound_by = None
        standing.was_safe = True

    def bot_said(self, message: BotMessage) -> None:
        if isinstance(message, Ack):
            self.world.seen[f"ack {message.status}"] += 1

    def delivered(self, bot: BotProcess, topic: str, payload: bytes) -> None:
        """Bytes reach a bot."""
        message, standing = self.genuine.get((topic, payload)), self.standing[bot.name]
        match message:
            case Heartbeat() if (
                message.bot_session == bot.session.session and message.epoch >= standing.epoch
            ):
                key = (message.epoch, message.session, message.seq)
                if key not in standing.keys:
                    standing.keys.add(key)
                    standing.epoch = message.epoch
                    standing.beat_at_ns = self.world.schedule.now_ns
                    standing.beats.append(Heard(message, self.world.schedule.now_ns))
            case Posture() if message.epoch >= standing.epoch:
                standing.epoch = message.epoch
                if standing.best is None or _rank(message) > _rank(standing.best):
                    standing.best = message
            case CommandBase():
                standing.epoch = max(standing.epoch, message.epoch)
            case _:
                pass

    def executed(self, bot: BotProcess, command: Command) -> None:
        """A bot begins to execute."""
        now, standing = self.world.schedule.now_ns, self.standing[bot.name]
        self.world.note("executes", bot.name, command.id, command.verb)
        self.world.seen[f"executed {command.verb}"] += 1
        what = f"{bot.name} executes {command.id} ({command.verb})"
        issue = self.issued.get(command.id)
        if issue is None:
            self.fail("no command that no guard issued", what)
        if command.id in standing.executed:
            self.fail("no command twice", f"{what} again")
        standing.executed[command.id] = now
        known_ms = self._known_guard_ms(standing, command, now)
        if known_ms is None:
            self.fail("no command after its expiry", f"{what} without knowing the time of its guard")
        if known_ms >= command.expires_at:
            self.fail("no command after its expiry", f"{what} {known_ms - command.expires_at} ms late")
        if command.epoch < standing.epoch:
            self.fail("no command of a lower epoch", f"{what} of {command.epoch} after {standing.epoch}")
        line = (command.epoch, "entries" if command.verb in (Verb.PAUSE, Verb.RESUME) else str(command.verb))
        if command.seq <= standing.last_seq.get(line, -1):
            self.fail(
                "no command overtaken by a later one", f"{what}, seq {command.seq} after {standing.last_seq}"
            )
        standing.last_seq[line] = command.seq
        commander = standing.commander.setdefault(command.epoch, issue.session)
        if commander != issue.session:
            self.fail("two guards never both command", f"{what}; {commander} commands in this epoch")

    def _known_guard_ms(self, standing: Standing, command: Command, now: int) -> int | None:
        """The latest that the bot must know guard time to be, from any heartbeat of the last half minute."""
        source = (command.epoch, self.issued[command.id].session)
        times = [
            heard.beat.ts + (now - heard.at_ns - CLOCK_NS) // NS_PER_MS
            for heard in standing.beats
            if (heard.beat.epoch, heard.beat.session) == source
            and now - heard.at_ns < WINDOW_NS - 1_000 * NS_PER_MS
        ]
        return max(times, default=None)

    def judge_limits(self, bot: BotProcess) -> None:
        """After every input of a bot: what binds it."""
        self.checks += 1
        session, standing = bot.session, self.standing[bot.name]
        limits, now = session.limits, self.world.schedule.now_ns
        if not limits.safe_mode:
            heard = standing.beat_at_ns
            if heard is None or (now - heard) * 0.999 >= DEAD_MAN_MS * NS_PER_MS:
                self.fail("silence is safe mode", f"{bot.name} runs free without a heartbeat since {heard}")
        elif limits.entries(ALL_SYMBOLS).tightness < Entries.REDUCE_ONLY.tightness:
            self.fail("safe mode lets nobody enter", bot.name)
        binding = limits.restrictions
        if binding is standing.bound_by:
            return
        if standing.best is not None and loosened(of_posture(standing.best), binding):
            self.fail(
                "a bot is never looser than its posture",
                f"{bot.name} is bound by {binding}, and {standing.best} reached it",
            )
        before, standing.bound_by = standing.bound_by, binding
        if before is not None and loosened(before, binding):
            self.world.seen["bot loosened"] += 1
            self._check_loosening(bot, binding)

    def _check_loosening(self, bot: BotProcess, binding: Restrictions) -> None:
        oversight = bot.session.oversight
        held, guard_ms = oversight.posture, oversight.clock.now_ms(bot.mono_ns)
        if held is None or guard_ms is None or held.expires_at <= guard_ms:
            self.fail("only a fresh posture loosens", f"{bot.name}: {held} at {guard_ms}")
        decided = self._decided.get((held.session, held.bot))
        if decided is None:
            self.fail("only a fresh posture loosens", f"{bot.name} loosened to {held}, which nobody decided")

    # All of them

    def look(self) -> None:
        """After each half second."""
        leading = [guard for guard in self.world.guards if guard.decides and guard.link is not None]
        is_quiet = not self.world.broker.is_disturbed
        if len(leading) < 2 or not is_quiet:
            self._both_since_ns = None
            return
        if self._both_since_ns is None:
            self._both_since_ns = self.world.schedule.now_ns
        elif self.world.schedule.now_ns - self._both_since_ns > BOTH_LEAD_NS:
            self.fail("two guards never both command", f"{[guard.session for guard in leading]} all decide")

    def fail(self, invariant: str, what: str) -> NoReturn:
        """Say what was violated; kept, for code under test may swallow an exception."""
        self.world.violation = self.world.violation or f"{invariant}: {what}"
        raise AssertionError(self.world.violation)


def _smallest_stop(guard: GuardProcess) -> float:
    """The smallest size with which a stop is, or lately was, asked for, or with which one is still in force."""
    limits = [each.finding.limit for each in guard.demands.asked.values()]
    asked = [each.max_size or 0.0 for each in limits if each.stop is not None]
    in_force = [each for limits_of in guard.engine.wanted.values() for each in limits_of.values()]
    asked += [each.stop_size for each in in_force if each.stop is not None and each.stop_size is not None]
    return min(asked)


def _rank(posture: Posture) -> tuple[int, int, int]:
    return posture.version, posture.epoch, posture.ts
