"""Kills daemon, broker and bot with SIGKILL at random moments, round after round, and checks what is left.

    python scripts/kill_rounds.py --rounds 50 --seed 1

Everything is real: ``perpguard run``, mosquitto with persistence, the paper bot on the SDK, and the loopback
venue with a market that falls and recovers. After each round: every command that a bot executed is in its
journal once and in the audit, none was lost, the audit verifies over all its segments, and no posture that
was heard is weaker than the one decided. The exit code is 1 if anything of that is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from guard.audit import AnyRecord, AuditGap, SessionOpened, Step
from guard.commands import CommandOutcome
from guard.ports import Verdict
from perpguard_sdk.messages import Command, Entries, Posture
from tests.support.eventually import eventually
from tests.support.processes import Program, ask
from tests.support.stage import READY_S, STRATEGY, SYMBOL, Site, ground

BOT = "alpha"
BACK_S = 60.0
"""Until all is as it should be after a kill; on a busy machine starting alone takes seconds."""
SIZE_TOLERANCE = 1.02
VICTIMS = (("daemon",), ("broker",), ("bot",), ("daemon", "broker"), ("daemon", "bot"), ("broker", "bot"))
SETTINGS: dict[str, dict[str, object]] = {
    "broker": {"claim_quiet_s": 0.5},
    "arbiter": {"hold_down_s": 1.0, "step_s": 0.2},
    "audit": {"rotate_mb": 0.25},
}
"""Segments so small that rounds fall into rotations too."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known after a round, from the audit, from the bot's own journal, and from the wire."""

    verdict: Verdict
    records: Sequence[AnyRecord]
    executed: Sequence[str]
    heard: Sequence[Posture]
    session: str

    @property
    def steps(self) -> Iterator[Step]:
        return (record for record in self.records if isinstance(record, Step))

    @property
    def commands(self) -> dict[str, Command]:
        return {each.command.id: each.command for step in self.steps for each in step.commands}

    @property
    def outcomes(self) -> dict[str, CommandOutcome]:
        return {each.command_id: each for step in self.steps for each in step.outcomes}

    @property
    def open_commands(self) -> list[str]:
        """Decided by the guard that runs now, and without an outcome yet."""
        outcomes = self.outcomes
        return [
            each.id
            for each in self.commands.values()
            if each.session == self.session and each.id not in outcomes
        ]


def judge(evidence: Evidence) -> list[str]:
    """Say everything that must never be; empty if all is well."""
    return [
        *_chain_problems(evidence),
        *_command_problems(evidence),
        *_posture_problems(evidence),
        *_restart_problems(evidence),
    ]


def _chain_problems(evidence: Evidence) -> Iterator[str]:
    if not evidence.verdict.ok:
        yield f"the audit does not verify: {evidence.verdict.detail}"
    for record in evidence.records:
        if isinstance(record, AuditGap) and record.records_lost:
            yield f"records were lost: {record.why}"


def _command_problems(evidence: Evidence) -> Iterator[str]:
    commands, outcomes = evidence.commands, evidence.outcomes
    gaps = [record for record in evidence.records if isinstance(record, AuditGap)]
    named = {command_id for gap in gaps for command_id in gap.commands}
    for command_id, times in Counter(evidence.executed).items():
        if times > 1:
            yield f"DOUBLE: {command_id} was executed {times} times"
        if command_id not in commands and not gaps:
            yield f"UNRECORDED: {command_id} was executed and is not in the audit"
    sessions = {record.session for record in evidence.records if isinstance(record, SessionOpened)}
    for command in commands.values():
        if command.session not in sessions:
            yield f"LOST: the session {command.session} that decided {command.id} was never opened"
        elif command.id not in outcomes and command.id not in named:
            yield f"LOST: {command.id} ({command.verb}) has no outcome, and no gap in the audit names it"


def _posture_problems(evidence: Evidence) -> Iterator[str]:
    decided = {(each.epoch, each.version): each for each in _decided(evidence)}
    for posture in evidence.heard:
        key = (posture.epoch, posture.version)
        meant = decided.get(key)
        if meant is None:
            # Sent ahead of its record by a guard that died then: it may only have tightened.
            before = max((each for each in decided if each < key), default=None)
            meant = decided[before] if before is not None else None
        if meant is not None and (how := weaker(posture, meant)):
            yield f"WEAKER: posture {posture.version} of epoch {posture.epoch} was heard with {how}"


def _restart_problems(evidence: Evidence) -> Iterator[str]:
    """The first posture of a new guard is not weaker than the last of the one before it."""
    last: Posture | None = None
    for posture in _decided(evidence):
        if last is not None and posture.epoch > last.epoch and (how := weaker(posture, last)):
            yield f"WEAKER: epoch {posture.epoch} began with {how} after epoch {last.epoch}"
        last = posture


def _decided(evidence: Evidence) -> list[Posture]:
    return [each.posture for step in evidence.steps for each in step.postures]


def weaker(new: Posture, old: Posture) -> str:
    """What ``new`` allows that ``old`` did not, empty if nothing."""
    for symbol, entries in old.entries.items():
        found = new.entries.get(symbol, Entries.ALLOWED)
        if found.tightness < entries.tightness:
            return f"entries {found} instead of {entries}"
    for name in ("max_size", "max_leverage"):
        limits: Mapping[str, float] = getattr(new, name)
        for symbol, limit in getattr(old, name).items():
            if limits.get(symbol, float("inf")) > limit * (1 + 1e-9):
                return f"{name} {limits.get(symbol, 'without limit')} instead of {limit}"
    return ""


@dataclass(slots=True)
class Round:
    """What was done in one round and how it ended."""

    number: int
    victims: tuple[str, ...]
    until_kill_s: float
    down_s: float
    back_s: float = 0.0
    commands: int = 0
    executed: int = 0
    confirmed: int = 0
    records: int = 0
    segments: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        said = "ok" if not self.problems else f"{len(self.problems)} PROBLEM(S)"
        return (
            f"{self.number:5} {'+'.join(self.victims):14} {self.until_kill_s:7.2f} {self.down_s:6.2f} "
            f"{self.back_s:6.1f} {self.commands:9} {self.executed:9} {self.confirmed:10} {self.records:8} "
            f"{self.segments:9}  {said}"
        )


HEADING = (
    "round killed         after s down s back s  commands  executed  confirmed  records  segments  checks"
)


@dataclass(slots=True)
class Rounds:
    """One site that is killed again and again."""

    site: Site
    daemon: Program
    bot: Program
    chance: random.Random

    async def play(self, number: int) -> Round:
        chance = self.chance
        turn = Round(number, chance.choice(VICTIMS), chance.uniform(0.0, 3.0), chance.uniform(0.0, 1.0))
        market = self.site.ground.market
        fallen = chance.uniform(15.0, 45.0)
        market.thin(chance.uniform(0.05, 0.3))
        market.fall(fallen)
        await asyncio.sleep(turn.until_kill_s)
        for victim in turn.victims:
            await self._kill(victim)
            await asyncio.sleep(chance.uniform(0.0, 0.2))
        if chance.random() < 0.5:
            market.calm()
        await asyncio.sleep(turn.down_s)
        since_s = time.monotonic()
        for victim in chance.sample(turn.victims, len(turn.victims)):
            await self._start(victim)
        market.calm()
        market.fall(-fallen)
        evidence = await self._quiet(turn, since_s)
        turn.back_s = time.monotonic() - since_s
        self._note(turn, evidence)
        return turn

    async def _quiet(self, turn: Round, since_s: float) -> Evidence:
        """Wait until the guard decides, the bot obeys and is free, and every command has its outcome."""
        try:
            await self.site.decides(since_s=since_s, within_s=BACK_S)
            await self.site.armed(BOT, since_s=0.0, within_s=BACK_S)
            await eventually(self._is_free, within_s=BACK_S, every_s=0.1, what="the bot to be free again")
            await eventually(self._is_settled, within_s=BACK_S, every_s=0.3, what="outcomes of all commands")
        except AssertionError as error:
            turn.problems.append(f"not back in time: {error}")
        return await self.evidence()

    def _is_free(self) -> bool:
        said = self.site.tap.reported(BOT)
        posture = self.site.tap.posture(BOT)
        if said is None or posture is None or said.safe_mode or said.entries or posture.entries:
            return False
        return abs(self.site.size(BOT)) <= posture.max_size.get(SYMBOL, float("inf")) * SIZE_TOLERANCE

    async def _is_settled(self) -> bool:
        return not (await self.evidence()).open_commands

    async def evidence(self) -> Evidence:
        # The wire first: what was heard before the records are read must be among them.
        heard, executed = self.site.tap.all(Posture, bot=BOT), self.site.executed(BOT)
        records = await self.site.records()
        opened = [record for record in records if isinstance(record, SessionOpened)]
        return Evidence(
            verdict=await self.site.verdict(),
            records=records,
            executed=executed,
            heard=heard,
            session=opened[-1].session if opened else "",
        )

    def _note(self, turn: Round, evidence: Evidence) -> None:
        turn.problems += judge(evidence)
        turn.commands, turn.executed = len(evidence.commands), len(evidence.executed)
        turn.confirmed = sum(each.outcome == "confirmed" for each in evidence.outcomes.values())
        turn.records = evidence.verdict.records
        turn.segments = len(list(self.site.folder.glob("*.segments/*.sqlite3")))

    async def _kill(self, victim: str) -> None:
        match victim:
            case "daemon":
                await self.daemon.kill()
            case "bot":
                await self.bot.kill()
            case _:
                await self.site.ground.broker.kill()

    async def _start(self, victim: str) -> None:
        match victim:
            case "daemon":
                await self.daemon.start()
            case "bot":
                await self.bot.start()
            case _:
                await self.site.ground.broker.start()


@contextlib.asynccontextmanager
async def stage(folder: Path, seed: int) -> AsyncIterator[Rounds]:
    """Set everything up and wait until the guard decides and the bot has its position."""
    async with ground(folder, [BOT]) as here:
        here.market.hours = 24.0
        here.broker.database_path = None  # kill it raw: what it had not saved by itself is gone
        site = await here.site("home", [BOT], **SETTINGS)
        strategy = {**STRATEGY, "slice_usd": 20_000, "slices_max": 6, "dip_bps": 10, "reentry_s": 1}
        daemon, bot = site.daemon(), site.bot(BOT, strategy=strategy, rearm_ms=500)
        await site.start(daemon, bot)
        await site.decides(within_s=READY_S)
        await site.armed(BOT)
        await eventually(lambda: site.entries(BOT) >= 1, within_s=READY_S, what="the bot to enter")
        yield Rounds(site, daemon, bot, random.Random(seed))


async def play(folder: Path, rounds: int, seed: int, *, say: bool = True) -> list[Round]:
    """Play so many rounds in ``folder``; stops at the first that has a problem."""
    turns: list[Round] = []
    async with stage(folder, seed) as party:
        if say:
            print(HEADING, flush=True)
        for number in range(1, rounds + 1):
            turn = await party.play(number)
            turns.append(turn)
            if say:
                print(turn.line, flush=True)
            if turn.problems:
                print(*(f"      {each}" for each in turn.problems), party.site.story(), sep="\n", flush=True)
                break
        code = await party.daemon.terminate()
        answer = await ask("audit", "verify", str(party.site.audit_path), folder=party.site.folder)
        if code or answer.code:
            turns[-1].problems.append(f"the end: daemon {code}, audit verify {answer.code} {answer.err}")
        if say:
            print(answer.out.strip())
    return turns


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=50, help="how many; each takes about ten seconds")
    parser.add_argument(
        "--seed", type=int, default=1, help="the same seed kills the same at the same moments"
    )
    parser.add_argument("--keep", type=Path, help="an empty folder to leave everything in")
    arguments = parser.parse_args()
    # asyncio warns when signalling a process has reaped it already, as it has every one that is killed here.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    since_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="kill-rounds-"))
        )
        folder.mkdir(parents=True, exist_ok=True)
        turns = asyncio.run(play(folder, arguments.rounds, arguments.seed))
    problems = [problem for turn in turns for problem in turn.problems]
    last = turns[-1]
    killed = Counter(victim for turn in turns for victim in turn.victims)
    print(
        f"{len(turns)} rounds in {time.monotonic() - since_s:.0f} s; killed: "
        f"{', '.join(f'{name} {times}' for name, times in sorted(killed.items()))}; "
        f"{last.commands} commands decided, {last.executed} executed, {last.confirmed} confirmed, "
        f"{last.records} records in {last.segments + 1} segments; {len(problems)} problem(s)"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
