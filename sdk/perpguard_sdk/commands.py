"""Commands on their way through the bot: waiting, begun, ended. No I/O, no clock.

Of a symbol one command runs at a time; ``ALL_SYMBOLS`` is in the way of every symbol. An id that was
ever seen is never run again: its result is kept.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from perpguard_sdk.messages import ALL_SYMBOLS, AckStatus, Command, CutLeverage, Verb, WidenStops
from perpguard_sdk.records import SEEN_MAX, CommandResult, SeenCommand


class Phase(StrEnum):
    """How far a begun command is."""

    INTENT = "intent"  # its start is being saved
    EXECUTING = "executing"
    RECONCILING = "reconciling"  # begun before a restart; the executor looks what came of it
    RESULT = "result"  # its end is being saved


@dataclass(slots=True)
class Waiting:
    """A command that was received and not begun.

    ``admitted`` once it was found unexpired, ``asked`` once a resync was asked for because it cannot be.
    """

    command: Command
    admitted: bool = False
    asked: bool = False

    def asks_first(self) -> bool:
        """Note that it asks for a resync; return whether it had not before."""
        asked, self.asked = self.asked, True
        return not asked


@dataclass(slots=True)
class Running:
    """A begun command; ``token`` names the save that it waits for."""

    command: Command
    phase: Phase
    token: int = 0
    result: CommandResult | None = None


@dataclass(slots=True)
class CommandDesk:
    """The commands of one bot. ``seq`` is the highest seen in ``epoch``, -1 for none."""

    epoch: int = 0
    seq: int = -1
    seen: dict[str, SeenCommand] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    running: dict[str, Running] = field(default_factory=dict)

    def enter(self, epoch: int) -> None:
        """Count seqs anew if ``epoch`` is a higher one."""
        if epoch > self.epoch:
            self.epoch, self.seq = epoch, -1

    def result_of(self, command_id: str) -> CommandResult | None:
        """What to answer for an id that is known, ``None`` for a new one."""
        if command_id in self.seen:
            return self.seen[command_id].result
        if command_id in self.running or any(item.command.id == command_id for item in self.waiting):
            return CommandResult(status=AckStatus.RECEIVED)
        return None

    def add(self, command: Command) -> list[Command]:
        """Queue ``command``; return those of its symbol that it supersedes: of its verb, and of a pause the resumes."""
        older = [item for item in self.waiting if _same_work(item.command, command)]
        self.waiting = [item for item in self.waiting if item not in older]
        self.waiting.append(Waiting(command))
        return [item.command for item in older]

    def drop(self, command_id: str) -> None:
        """Forget that ``command_id`` waits or runs."""
        self.waiting = [item for item in self.waiting if item.command.id != command_id]
        self.running.pop(command_id, None)

    def keep(self, command_id: str, epoch: int, seq: int, result: CommandResult) -> None:
        """Keep how a command ended."""
        self.seen[command_id] = SeenCommand(epoch=epoch, seq=seq, result=result)
        while len(self.seen) > SEEN_MAX:
            del self.seen[next(iter(self.seen))]

    def is_busy(self, symbol: str, ahead: Collection[str] = ()) -> bool:
        """Whether a running command, or one of the symbols ``ahead`` in the queue, is in the way."""
        taken = {item.command.symbol for item in self.running.values()} | set(ahead)
        return bool(taken) and (symbol == ALL_SYMBOLS or ALL_SYMBOLS in taken or symbol in taken)

    def started(self) -> dict[str, Command]:
        """Commands whose execution may have begun and whose end is not known."""
        return {key: item.command for key, item in self.running.items() if item.phase is not Phase.RESULT}


def impossible(command: Command, symbols: Collection[str]) -> str | None:
    """Why no bot of ``symbols`` could do ``command``, ``None`` if it can be tried."""
    if command.symbol != ALL_SYMBOLS and command.symbol not in symbols:
        return f"this bot does not trade {command.symbol}"
    match command:
        case CutLeverage(max_leverage=leverage) if not (leverage > 0 and math.isfinite(leverage)):
            return f"max_leverage {leverage} must be a positive number"
        case CutLeverage(price_limit=float() as price) if not (price > 0 and math.isfinite(price)):
            return f"price_limit {price} must be a positive number"
        case CutLeverage(max_size=size) | WidenStops(max_size=size) if not (
            size >= 0 and math.isfinite(size)
        ):
            return f"max_size {size} must be 0 or more"
        case _:
            return None


def rejected(detail: str) -> CommandResult:
    """How a command ends that this bot will not do."""
    return CommandResult(status=AckStatus.REJECTED, detail=detail)


def _same_work(one: Command, other: Command) -> bool:
    is_undone = one.verb is Verb.RESUME and other.verb is Verb.PAUSE  # it may wait longer than the pause
    return (one.verb is other.verb or is_undone) and one.symbol == other.symbol
