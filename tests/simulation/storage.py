"""A guard's disk and what is on it: it outlives the process, may be slow, full, hung, old or gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapters.storage.schema import epoch_of, postures_of, rows_after
from guard.audit import GENESIS_HASH, AnyRecord
from guard.errors import AuditFullError
from guard.units import BotId
from perpguard_sdk.messages import Posture

if TYPE_CHECKING:
    from tests.simulation.guards import GuardProcess


@dataclass(slots=True)
class Disk:
    """How a disk fares; the defaults are a healthy one."""

    delay_s_max: float = 0.005
    is_full: bool = False
    is_hung: bool = False


@dataclass(slots=True)
class Home:
    """What outlives a guard's process: its name, its machine's wall clock and disk, and its database."""

    name: str
    disk: Disk = field(default_factory=Disk)
    wall_offset_ns: int = 0
    rows: list[tuple[AnyRecord, bytes, str]] = field(default_factory=list)

    def truncate(self, count: int) -> None:
        """Put an older copy of the database in place; 0 deletes it."""
        del self.rows[count:]


@dataclass(slots=True)
class SimulatedAudit:
    """AuditLog and Memory over the records of a home; what is on the disk when a process dies stays."""

    process: GuardProcess

    async def append(self, records: Sequence[AnyRecord], *, durable: bool) -> None:
        process = self.process
        answer = process.loop.create_future()
        delay_s = process.random() * process.home.disk.delay_s_max
        process.world.schedule.after(delay_s, self._write, list(records), answer)
        await answer

    def _write(self, records: list[AnyRecord], answer: asyncio.Future[None]) -> None:
        process, disk = self.process, self.process.home.disk
        if process.is_dead:
            return
        if disk.is_hung:
            process.world.schedule.after(0.1, self._write, records, answer)
            return
        error: Exception | None = None
        if disk.is_full:
            error = AuditFullError(process.home.name, "the disk is full")
        else:
            rows = process.home.rows
            last_hash = rows[-1][2] if rows else GENESIS_HASH
            rows.extend((row.record, row.body, row.hash) for row in rows_after(len(rows), last_hash, records))
            process.world.referee.recorded(process, records)
        # The answer takes a moment: a process that dies now has written without knowing it.
        process.world.schedule.after(0.0003, process.loop.call_soon, settle, answer, error)

    async def last_epoch(self) -> int:
        self._look()
        return max((epoch_of(record) for record, _, _ in self.process.home.rows), default=0)

    async def last_postures(self) -> dict[BotId, Posture]:
        self._look()
        found: dict[BotId, Posture] = {}
        for record, _, _ in self.process.home.rows:
            found.update({BotId(bot): posture for bot, posture in postures_of(record).items()})
        return found

    def _look(self) -> None:
        if self.process.home.disk.is_full:
            raise AuditFullError(self.process.home.name, "cannot be read")


def settle(answer: asyncio.Future[None], error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)
