"""One example: guards, broker, bots and referee in virtual time, and how all must end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from guard.events import Order, Position
from guard.findings import Finding
from guard.units import NS_PER_MS, NS_PER_S, BotId
from perpguard_sdk.limits import of_posture
from tests.protocol.bots import BotProcess, DiskState
from tests.protocol.ground import BOTS, DEAD_MAN_MS, MARK_PRICE, MARKETS, STEP_MS
from tests.protocol.guards import GuardProcess, Home
from tests.protocol.plants import Plant
from tests.protocol.referee import Referee
from tests.protocol.wires import Broker, Schedule
from tests.simulation.referee import loosened

SETTLES_S = 60.0
"""After so long without faults all is well, or something was lost."""
LOOKS = 2


@dataclass(slots=True)
class World:
    """Everything that a machine acts on. ``seen`` counts what happened, ``lines`` is what a person reads."""

    plant: Plant
    bots: tuple[str, ...] = BOTS[:1]
    venue_is_seen: bool = True
    scales_entries: bool = True
    reductions_a_day: int = 1_000
    schedule: Schedule = field(default_factory=Schedule)
    demands: dict[int, Finding] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    lines: list[tuple[int, tuple[object, ...]]] = field(default_factory=list)
    violation: str = ""
    homes: tuple[Home, Home] = field(default_factory=lambda: (Home("guard-1"), Home("guard-2")))
    guards: list[GuardProcess] = field(default_factory=list)
    broker: Broker = field(init=False)
    referee: Referee = field(init=False)
    processes: tuple[BotProcess, ...] = ()
    is_abandoned: bool = False
    """No guard comes back."""

    def __post_init__(self) -> None:
        self.broker = Broker(self.schedule, seen=self.seen)
        self.referee = Referee(self)
        self.processes = tuple(BotProcess(self, name) for name in self.bots)

    def begin(self) -> None:
        """Start one guard and all bots."""
        for process in self.processes:
            process.start()
        self.start_guard(0)

    def note(self, *words: object) -> None:
        self.lines.append((self.schedule.now_ns, words))

    def start_guard(self, home: int) -> None:
        """Start a guard; one that runs there already is killed first."""
        for guard in self.guards:
            if guard.home is self.homes[home] and guard.is_alive:
                guard.crash()
        self.guards = [guard for guard in self.guards if guard.is_alive]
        self.guards.append(GuardProcess(self, self.homes[home]))
        self.note("guard starts", self.guards[-1].session)

    def guard_at(self, home: int) -> GuardProcess | None:
        for guard in self.guards:
            if guard.home is self.homes[home] and guard.is_alive:
                return guard
        return None

    @property
    def living(self) -> list[GuardProcess]:
        return [guard for guard in self.guards if guard.is_alive]

    def pass_time(self, ms: int) -> None:
        """Let everyone's loop turn, and whatever is on its way arrive."""
        for _ in range(ms // STEP_MS):
            self.schedule.run_until(self.schedule.now_ns + STEP_MS * NS_PER_MS)
            for guard in tuple(self.guards):
                guard.tick()
            for process in self.processes:
                process.turn()
            self.referee.look()
            self.check()

    def check(self) -> None:
        """Raise what was violated, also where the code under test has swallowed it."""
        if self.violation:
            raise AssertionError(self.violation)

    def venue(self) -> tuple[tuple[Position, ...], tuple[Order, ...]]:
        """The account as the venue shows it: all bots' positions added up."""
        size = sum(process.holding.size for process in self.processes)
        if not size:
            return (), ()
        orders = tuple(
            Order(
                order_id=f"stop-{process.name}-{process.holding.stop_number}",
                market=MARKETS[0],
                size=-process.holding.size,
                stop_price=process.holding.stop_price,
                reduce_only=True,
            )
            for process in self.processes
            if process.holding.size
        )
        position = Position(
            market=MARKETS[0], size=size, mark_price=MARK_PRICE, leverage=3.0, entry_price=99.0
        )
        return (position,), orders

    # The end

    def settle(self) -> None:
        """Put everything right, let time pass, and judge: every bot in the guard's posture, or in safe mode."""
        self.check()
        self.broker.calm()
        for process in self.processes:
            process.disk, process.is_clumsy, process.is_slow, process.die_at = (
                DiskState.WELL,
                False,
                False,
                None,
            )
            process.come_back_at_once()
        for guard in self.living:
            guard.resume()
        if self.is_abandoned:
            self._end_alone()
            return
        until_ns, well = self.schedule.now_ns + int(SETTLES_S * NS_PER_S), 0
        while True:
            if not self.living:
                self.start_guard(0)
            self.pass_time(STEP_MS)
            wrong = tuple(self._wrong())
            well = 0 if wrong else well + 1
            if well >= LOOKS:
                return
            if self.schedule.now_ns >= until_ns:
                self.referee.fail("every bot ends in the guard's posture", "; ".join(wrong))

    def _end_alone(self) -> None:
        for guard in self.living:
            guard.crash()
        self.pass_time(2 * DEAD_MAN_MS + 4 * STEP_MS)
        for process in self.processes:
            if not process.is_alive or not process.session.limits.safe_mode:
                self.referee.fail("every bot ends in its safe mode", f"{process.name} without a guard")

    def _wrong(self) -> Iterable[str]:
        deciding = [guard for guard in self.living if guard.epoch]
        if len(deciding) != 1:
            yield f"{len(deciding)} guards decide"
            return
        guard = deciding[0]
        for process in self.processes:
            if not process.is_alive:
                yield f"{process.name} is down"
                continue
            held, version = (
                process.session.oversight.posture,
                guard.engine.dispatch.postures.version(BotId(process.name)),
            )
            if held is None or (held.session, held.version) != (guard.session, version):
                yield f"{process.name} holds {held and (held.session, held.version)}, not {version}"
            elif loosened(of_posture(held), process.session.limits.restrictions):
                yield f"{process.name} is looser than its posture"
            elif process.session.limits.safe_mode:
                yield f"{process.name} is in safe mode: {process.session.oversight.safe_reason}"
            elif process.session.limits.restrictions != of_posture(held):
                yield f"{process.name} is bound by more than its posture"
