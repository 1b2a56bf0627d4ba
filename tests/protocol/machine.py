"""The state machine: whatever happens to guards, broker and bots, in whatever order, the referee finds nothing.

A rule is one thing that happens; after all of them everything is put right, and all must end well.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from guard.findings import Finding, Limit, Pace, Reason, Severity, Subject
from guard.units import NS_PER_S, BotId
from perpguard_sdk.messages import Entries, StopRule
from tests.protocol.bots import DiskState, Point
from tests.protocol.ground import BOTS, MARKETS, SIZE_FULL
from tests.protocol.plants import Plant
from tests.protocol.wires import Fate, Link
from tests.protocol.world import World

STEPS = 14
BEGIN_MS = 5_500
"""So long it takes until a guard has its epoch and its bots are armed."""

SLOTS = st.integers(0, 2)
HOMES = st.sampled_from((0, 0, 1))
FATES = st.lists(st.sampled_from(list(Fate)), min_size=1, max_size=5)
BOT = st.integers(0, 1)
LEVELS = st.sampled_from((Entries.REDUCE_ONLY, Entries.HALTED, Entries.NO_ADDS))
LEVELS_OR_NONE = st.sampled_from((None, Entries.REDUCE_ONLY, Entries.HALTED, Entries.NO_ADDS))
SIZES = st.sampled_from((SIZE_FULL / 2, SIZE_FULL / 4, SIZE_FULL / 16, 0.0))
STOPS = st.sampled_from((80.0, 60.0))
WAITS_MS = st.sampled_from((500, 1_000, 2_000, 4_000, 6_000))


class ProtocolMachine(RuleBasedStateMachine):
    """See the module. ``seen`` counts what happened in all examples, ``last`` is the world of the latest one."""

    plant: ClassVar[Plant] = Plant()
    seen: ClassVar[Counter[str]] = Counter()
    last: ClassVar[World | None] = None

    @initialize(
        two=st.booleans(),
        venue=st.booleans(),
        ppm=st.sampled_from((0, 0, 200, -200)),
        scales=st.booleans(),
        budget=st.sampled_from((1_000, 3)),
    )
    def begin(self, two: bool, venue: bool, ppm: int, scales: bool, budget: int) -> None:
        """Everybody is started; the guard gets its epoch, and the bots are armed."""
        self.world = type(self).last = World(
            self.plant,
            bots=BOTS[: 1 + (two and venue)],
            venue_is_seen=venue,
            scales_entries=scales,
            reductions_a_day=budget,
        )
        self.world.homes[1].drift_ppm = -ppm
        for process in self.world.processes:
            process.drift_ppm = ppm
        self.world.begin()
        self._pass(BEGIN_MS)
        assert not any(process.session.limits.safe_mode for process in self.world.processes)

    def teardown(self) -> None:
        """When nothing goes wrong any more, every bot ends in the guard's posture, or in its safe mode."""
        if not hasattr(self, "world"):
            return
        try:
            if not self.world.violation:
                self.world.settle()
        finally:
            type(self).seen.update(self.world.seen)
            type(self).seen["examples"] += 1
            type(self).seen["checks of limits"] += self.world.referee.checks
            type(self).seen["virtual seconds"] += self.world.schedule.now_ns // NS_PER_S

    # What is wanted

    @rule(slot=SLOTS, level=LEVELS, everyone=st.booleans(), freezes=st.booleans(), bot=BOT)
    def demand_entries(self, slot: int, level: Entries, everyone: bool, freezes: bool, bot: int) -> None:
        """A policy asks for something, instead of what it asked for under this number before."""
        self._demand(slot, Limit(entries=level), bot=None if everyone else bot, freezes=freezes and slot == 2)

    @rule(slot=SLOTS, level=LEVELS_OR_NONE, size=SIZES, bot=BOT, imminent=st.booleans())
    def demand_size(self, slot: int, level: Entries | None, size: float, bot: int, imminent: bool) -> None:
        self._demand(slot, Limit(entries=level, max_size=size), bot=bot, imminent=imminent)

    @rule(
        slot=SLOTS,
        size=SIZES,
        slice_size=st.sampled_from((1.0, 3.0)),
        ms=st.sampled_from((0, 1_500)),
        stop=st.sampled_from((None, None, 80.0, 60.0)),
        bot=BOT,
    )
    def demand_paced(
        self, slot: int, size: float, slice_size: float, ms: int, stop: float | None, bot: int
    ) -> None:
        """A policy asks to come down in slices, and maybe for a wider stop below what is left."""
        self._did("paced demand" if stop is None else "paced demand of a stop")
        pace = Pace(slice_size=slice_size, interval_ms=ms)
        rule = None if stop is None else StopRule(stop_price=stop)
        self._demand(slot, Limit(entries=Entries.REDUCE_ONLY, max_size=size, stop=rule, pace=pace), bot=bot)

    @rule(slot=SLOTS, share=st.sampled_from((0.5, 0.25, 0.0)), everyone=st.booleans(), bot=BOT)
    def demand_share(self, slot: int, share: float, everyone: bool, bot: int) -> None:
        """A policy lets new entries have a part of their usual size."""
        self._did("share demand")
        self._demand(slot, Limit(entry_share=share), bot=None if everyone else bot)

    @rule(slot=SLOTS, size=SIZES, stop=STOPS, bot=BOT)
    def demand_stop(self, slot: int, size: float, stop: float, bot: int) -> None:
        self._demand(slot, Limit(max_size=size, stop=StopRule(stop_price=stop)), bot=bot)

    @precondition(lambda self: self.world.demands)
    @rule(which=SLOTS, ms=WAITS_MS)
    def relent(self, which: int, ms: int) -> None:
        """A policy asks no more."""
        slot = sorted(self.world.demands)[which % len(self.world.demands)]
        del self.world.demands[slot]
        self._did("relent")
        self.world.note("relents", slot)
        self._pass(ms)

    @precondition(lambda self: self.world.demands)
    @rule(which=SLOTS)
    def relax(self, which: int) -> None:
        """A policy asks for something milder."""
        slot = sorted(self.world.demands)[which % len(self.world.demands)]
        finding = self.world.demands[slot]
        self._did("relax")
        self._demand(slot, Limit(entries=Entries.NO_ADDS, max_size=SIZE_FULL / 2), finding=finding)

    @rule(ms=WAITS_MS)
    def wait(self, ms: int) -> None:
        self._pass(ms)

    # The network and the broker

    @rule(guard=HOMES, fates=FATES, sends=st.booleans(), ms=WAITS_MS)
    def disturb_guard(self, guard: int, fates: list[Fate], sends: bool, ms: int) -> None:
        """The next messages to or from a guard get lost, come twice, late, or out of order."""
        self._disturb(self._link_of_guard(guard), fates, sends, ms)

    @rule(bot=BOT, fates=FATES, sends=st.booleans(), ms=WAITS_MS)
    def disturb_bot(self, bot: int, fates: list[Fate], sends: bool, ms: int) -> None:
        self._disturb(self.world.processes[bot % len(self.world.bots)].link, fates, sends, ms)

    @rule(back=st.integers(0, 60), many=st.integers(1, 4))
    def replay(self, back: int, many: int) -> None:
        """Somebody plays messages again that he has recorded."""
        log = self.world.broker.log
        for place in range(max(len(log) - 1 - back, 0), min(max(len(log) - 1 - back, 0) + many, len(log))):
            self.world.broker.replay(*log[place])
        self._pass(500)

    @rule(back=st.integers(0, 60))
    def replay_commands(self, back: int) -> None:
        """The same with a command, which is what a thief would take."""
        commands = [each for each in self.world.broker.log if "/command/" in each[0]]
        if commands:
            self.world.broker.replay(*commands[-1 - back % len(commands)])
            self._pass(500)

    @rule(guard=HOMES, bot=st.integers(0, 2))
    def disconnect(self, guard: int, bot: int) -> None:
        """A connection breaks."""
        link = self._link_of_guard(guard)
        if bot < 2:
            link = self.world.processes[bot % len(self.world.bots)].link
        if link is not None:
            self._did("disconnect")
            self.world.broker.end(link)
        self._pass(500)

    @rule(wiped=st.booleans(), ms=WAITS_MS)
    def restart_broker(self, wiped: bool, ms: int) -> None:
        """The broker dies and comes back, with what it retained or without."""
        self._did("broker lost what it retained" if wiped else "broker restarted")
        self.world.broker.crash(wiped=wiped)
        self._pass(ms)
        self.world.broker.up = True

    @rule(back=st.integers(0, 5))
    def turn_back_retained(self, back: int) -> None:
        """The broker's disk gives back an older posture."""
        found = [each for each in self.world.broker.log if "/posture/" in each[0]]
        if found:
            topic, payload = found[-1 - back % len(found)]
            self.world.broker.retained[topic] = payload
            self._did("older posture retained")

    # Guards

    @rule(guard=HOMES, forgets=st.booleans(), ms=st.sampled_from((0, 500, 3_000)))
    def restart_guard(self, guard: int, forgets: bool, ms: int) -> None:
        """A guard is killed and started again; where none runs one is started: then there may be two."""
        process = self.world.guard_at(guard)
        if process is not None:
            process.crash()
            self._did("guard killed")
        if forgets:
            self.world.homes[guard].forget()
        self._pass(ms)
        self.world.start_guard(guard)
        self._did("second guard started" if len(self.world.living) > 1 else "guard started")
        self._pass(500)

    @rule(guard=HOMES, ms=WAITS_MS)
    def hang_guard(self, guard: int, ms: int) -> None:
        """A guard stands still, and goes on where it was; meanwhile another may have taken over."""
        process = self.world.guard_at(guard)
        if process is None:
            return
        self._did("guard hung")
        process.is_hung = True
        self._pass(ms)
        process.resume()
        self._pass(500)

    @rule(guard=HOMES, step_s=st.sampled_from((-3_600, -2, 2, 10, 3_600)))
    def step_clock(self, guard: int, step_s: int) -> None:
        """Somebody sets the clock of a guard's machine."""
        self._did("clock set forward" if step_s > 0 else "clock set back")
        self.world.homes[guard].wall_offset_ns += step_s * NS_PER_S
        self._pass(1_000)

    @precondition(lambda self: not self.world.is_abandoned)
    @rule(sure=st.integers(0, 3))
    def abandon(self, sure: int) -> None:
        """In the end no guard comes back."""
        if sure == 3:
            self.world.is_abandoned = True
            self._did("abandoned")

    # Bots

    @rule(
        bot=BOT,
        point=st.sampled_from((None, *Point)),
        down_ms=st.sampled_from((500, 2_000)),
        damaged=st.sampled_from((False, False, False, True)),
    )
    def crash_bot(self, bot: int, point: Point | None, down_ms: int, damaged: bool) -> None:
        """A bot dies now, or at the next such point; its disk may be damaged."""
        process = self.world.processes[bot % len(self.world.bots)]
        if not process.is_alive:
            return
        if point is None:
            self._did("bot's state damaged" if damaged else "bot killed")
            process.is_damaged = damaged
            process.crash(down_ms)
        else:
            process.die_at = point
        self._pass(500)

    @rule(bot=BOT, disk=st.sampled_from(DiskState), clumsy=st.booleans(), slow=st.booleans())
    def hamper_bot(self, bot: int, disk: DiskState, clumsy: bool, slow: bool) -> None:
        """Its disk is slow or full, its executions take long or fail."""
        process = self.world.processes[bot % len(self.world.bots)]
        process.disk, process.is_clumsy, process.is_slow = disk, clumsy, slow
        self._did(f"disk {disk}")

    @rule(bot=BOT)
    def grow(self, bot: int) -> None:
        """A human enlarges a position past whatever is in force."""
        self.world.processes[bot % len(self.world.bots)].holding.size = SIZE_FULL
        self._did("human enlarged")
        self._pass(500)

    @rule(bot=BOT, level=LEVELS_OR_NONE)
    def human_holds(self, bot: int, level: Entries | None) -> None:
        """A human pauses a bot by hand, or lets it go again."""
        self.world.processes[bot % len(self.world.bots)].own = level
        self._did("human paused" if level else "human let go")

    def _demand(
        self,
        slot: int,
        limit: Limit,
        *,
        bot: int | None = None,
        freezes: bool = False,
        imminent: bool = False,
        finding: Finding | None = None,
    ) -> None:
        world, subject = self.world, Subject(market=MARKETS[0])
        if finding is not None:
            subject = finding.subject
            if subject.bot is None:
                limit = Limit(entries=limit.entries)  # a size of everyone's would be shared out
        elif bot is not None:
            subject = Subject(market=MARKETS[0], bot=BotId(world.bots[bot % len(world.bots)]))
        world.demands[slot] = Finding(
            policy="demands",
            reason=(Reason.DEPTH_THIN, Reason.LIQUIDATION_NEAR, Reason.SPREAD_WIDE)[slot],
            severity=Severity.CRITICAL,
            subject=subject,
            limit=limit,
            freezes=freezes,
            imminent=imminent,
        )
        world.referee.demanded(world.demands[slot])
        self._did("demand")
        world.note("demand", slot, limit, subject.bot or "all")
        self._pass(500)

    def _disturb(self, link: Link | None, fates: list[Fate], sends: bool, ms: int) -> None:
        if link is None:
            return
        self._did("disturbed")
        self.world.note("disturbs", link.client, "sending" if sends else "hearing", *fates)
        (link.sending if sends else link.fates).extend(fates)
        self._pass(ms)

    def _link_of_guard(self, home: int) -> Link | None:
        process = self.world.guard_at(home)
        return None if process is None else process.link

    def _did(self, what: str) -> None:
        self.world.seen[f"did: {what}"] += 1

    def _pass(self, ms: int) -> None:
        self.world.pass_time(ms)


def machine_with(plant: Plant) -> type[ProtocolMachine]:
    """A machine of its own counters, with a bug planted or without."""
    name = f"Machine_{plant.name or 'sound'}"
    return type(name, (ProtocolMachine,), {"plant": plant, "seen": Counter(), "last": None})


def run_settings(examples: int, *, steps: int = STEPS, shrinks: bool = True) -> settings:
    """No database, no deadline: a seed alone decides."""
    phases = (Phase.generate, Phase.shrink) if shrinks else (Phase.generate,)
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=False,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
