"""One seed from start to verdict: faults, then quiet, then what must be so."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from guard.audit import GENESIS_HASH, chain_hash
from guard.units import NS_PER_S
from perpguard_sdk.limits import of_posture
from tests.simulation.faults import Mischief
from tests.simulation.guards import GuardProcess
from tests.simulation.plants import Plant
from tests.simulation.referee import loosened
from tests.simulation.storage import Home
from tests.simulation.world import World

START_S = 8.0
FAULTS_S = (15.0, 35.0)
QUIET_S = 60.0
"""After so long without faults all must be well."""
QUIET_S_MIN = 10.0
WHOLE_EVERY = 16
LOOK_S, LOOKS = 2.0, 2
"""It is looked so often, and must be well so many times in a row, for a seed to end before that."""
GHOST_S = 5.0


@dataclass(slots=True)
class Result:
    """What a seed led to; ``violations`` empty is what it should be."""

    seed: int
    violations: list[str]
    digest: str
    virtual_s: float
    executions: int
    commands: int
    checks: int
    armed: int
    faults: dict[str, int]
    lines: list[str] = field(default_factory=list)


def run_seed(seed: int, plant: Plant | None = None) -> Result:
    """Play one seed; the same seed and plant give the same result, byte for byte."""
    with _captured_errors() as errors:
        world = World(seed, plant or Plant())
        mischief = Mischief(world)
        world.start()
        end_ns = round((START_S + world.chance.uniform(*FAULTS_S)) * NS_PER_S)
        world.schedule.at(round(START_S * NS_PER_S), mischief.begin)
        world.schedule.at(end_ns, mischief.stop)
        violations = _quieten(world, end_ns)
        referee = world.referee
        violations += [f"an error was logged: {error}" for error in errors]
        violations += [f"unhandled: {error}" for guard in world.guards for error in guard.loop.errors]
        world.trace("end", violations)
        result = Result(
            seed=seed,
            violations=violations,
            digest=world.digest.hexdigest(),
            virtual_s=world.schedule.now_ns / NS_PER_S,
            executions=referee.executions,
            commands=len(referee.issued),
            checks=referee.checks,
            armed=sum(not bot.session.limits.safe_mode for bot in world.bots),
            faults=mischief.done,
            lines=list(world.lines),
        )
        _end(world)
    return result


def _quieten(world: World, end_ns: int) -> list[str]:
    """Let things settle after the last fault; return what is wrong when they must have.

    The seed ends when all has been well for a while, so that most of the time goes into faults; some
    play on to the end of the minute, to see that it stays well.
    """
    schedule, referee = world.schedule, world.referee
    last_ns = end_ns + round(QUIET_S * NS_PER_S)
    is_well = 0
    at_ns = end_ns + round(QUIET_S_MIN * NS_PER_S)
    while True:
        schedule.run_until(last_ns if world.seed % WHOLE_EVERY == 0 else min(at_ns, last_ns))
        if referee.violation:
            return [referee.violation]
        is_well = 0 if _unsettled(world) else is_well + 1
        if is_well >= LOOKS or schedule.now_ns >= last_ns:
            found = _judge(world)
            if not found or schedule.now_ns >= last_ns:
                return found
        at_ns += round(LOOK_S * NS_PER_S)


def _judge(world: World) -> list[str]:
    """What must be so once everything has been well for a minute."""
    found = _unsettled(world)
    for home in world.homes:
        found += _judge_records(home)
        found += filter(None, [home.judge()])
        found += world.referee.missing_from(home)
    return found


def _unsettled(world: World) -> list[str]:
    found: list[str] = []
    deciding = [guard for guard in world.living_guards if guard.engine.state.epoch]
    if len(deciding) != 1:
        found.append(f"{len(deciding)} guards decide after the quiet, not one")
    for guard in deciding[:1]:
        found += _judge_guard(world, guard)
    return found


def _judge_guard(world: World, guard: GuardProcess) -> Iterator[str]:
    for bot, commands in guard.engine.dispatch.open_commands().items():
        for command in commands:
            yield f"command {command.id} ({command.verb}) of {bot} is still open"
    for process in world.bots:
        name, limits = process.spec.name, process.session.limits
        published = guard.engine.dispatch.postures._published.get(name)  # type: ignore[call-overload]
        posture = published.posture if published is not None else None
        if posture is None:
            yield f"{name} has never been told a posture"
            continue
        if limits.safe_mode:
            yield f"{name} is in safe mode though all is well: {process.session.oversight.safe_reason}"
            continue
        told = of_posture(posture)
        if loosened(told, limits.restrictions) or loosened(limits.restrictions, told):
            yield f"{name} is not in posture {posture.version}: {limits.restrictions} is not {told}"


def _judge_records(home: Home) -> Iterator[str]:
    previous = GENESIS_HASH
    for number, (_, body, kept) in enumerate(home.rows, 1):
        previous = chain_hash(previous, body)
        if previous != kept:
            yield f"record {number} of {home.name} does not verify"
            return


def _end(world: World) -> None:
    """Let every task end, so that nothing of this seed is left when the next begins."""
    world.is_quiet = world.is_over = True
    world.schedule.is_halted = False
    for guard in world.guards:
        guard.is_dead = True
        guard.crash()
    for bot in world.bots:
        bot.crash(down_s=-1.0)
    world.schedule.run_until(world.schedule.now_ns + round(GHOST_S * NS_PER_S))
    for home in world.homes:
        if home.database is not None:
            home.database.close()


@contextlib.contextmanager
def _captured_errors() -> Iterator[list[str]]:
    """Keep what is logged with a traceback, which only bugs are, and print nothing."""
    found: list[str] = []

    def keep(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if event.get("exc_info"):
            found.append(f"{event.get('event')}: {event}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[keep], cache_logger_on_first_use=False)
    try:
        yield found
    finally:
        structlog.configure(**before)
