"""A guard's disk and what is on it: it outlives the process, may be slow, full, hung, old or gone.

In some seeds the records lie in a list, in others also in the real database, through the real writer of the
chain: opened anew by each process as a killed one left it, and full by its own page limit.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.storage.chain import Chain
from adapters.storage.faults import translated
from adapters.storage.schema import decode_posture, epoch_of, postures_of, rows_after
from adapters.storage.verify import verify_file
from guard.audit import GENESIS_HASH, AnyRecord
from guard.errors import AuditError, AuditFullError
from guard.ports import Verdict
from guard.units import BotId
from perpguard_sdk.messages import Instruction, Posture

if TYPE_CHECKING:
    from tests.simulation.guards import GuardProcess

PAGES_MAX = 1_000_000


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
    database: Database | None = None

    def truncate(self, count: int) -> None:
        """Put an older copy of the database in place; 0 deletes it."""
        del self.rows[count:]
        if self.database is not None:
            self.database.replace([record for record, _, _ in self.rows])

    def begin(self) -> None:
        """A process opens what the one before it has left."""
        if self.database is not None:
            self.database.reopen()

    def judge(self) -> str:
        """What is wrong with the real database, empty if nothing."""
        if self.database is None:
            return ""
        verdict = self.database.verify()
        if not verdict.ok:
            return f"the database of {self.name} does not verify: {verdict.detail}"
        if self.database.hashes() != [hash_ for _, _, hash_ in self.rows]:
            return f"the database of {self.name} does not hold what was written"
        return ""


class Database:
    """A real audit database in memory-backed storage, with the real writer of its chain."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        self._folder = Path(tempfile.mkdtemp(prefix="campaign", dir=memory if memory.is_dir() else None))
        self._path = self._folder / "audit.sqlite"
        self._open()

    def reopen(self) -> None:
        self._connection.close()
        self._open()

    def replace(self, records: list[AnyRecord]) -> None:
        self._connection.close()
        for path in self._folder.iterdir():
            path.unlink()
        self._open()
        if records:
            self._chain.append(self._connection, records, durable=True)

    def append(self, records: list[AnyRecord], *, is_full: bool) -> None:
        """Write as the guard's audit does. Raises AuditError."""
        pages = self._connection.execute("PRAGMA page_count").fetchone()[0] if is_full else PAGES_MAX
        self._connection.execute(f"PRAGMA max_page_count = {pages}")
        with translated(self._path):
            self._chain.append(self._connection, records, durable=True)

    def last_epoch(self) -> int:
        row = self._connection.execute("SELECT epoch FROM epoch").fetchone()
        return int(row[0]) if row else 0

    def last_postures(self) -> dict[BotId, Posture]:
        rows = self._connection.execute("SELECT bot, body FROM posture ORDER BY bot")
        return {BotId(bot): decode_posture(body) for bot, body in rows}

    def verify(self) -> Verdict:
        return verify_file(self._connection)

    def hashes(self) -> list[str]:
        return [hash_ for (hash_,) in self._connection.execute("SELECT hash FROM records ORDER BY number")]

    def close(self) -> None:
        self._connection.close()
        shutil.rmtree(self._folder)

    def _open(self) -> None:
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._chain = Chain(self._path, self._connection)


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
        error = self._write_database(records)
        if error is None:
            rows = process.home.rows
            last_hash = rows[-1][2] if rows else GENESIS_HASH
            rows.extend((row.record, row.body, row.hash) for row in rows_after(len(rows), last_hash, records))
            process.world.referee.recorded(process, records)
        # The answer takes a moment: a process that dies now has written without knowing it.
        process.world.schedule.after(0.0003, process.loop.call_soon, settle, answer, error)

    def _write_database(self, records: list[AnyRecord]) -> AuditError | None:
        home = self.process.home
        if home.database is None:
            return AuditFullError(home.name, "the disk is full") if home.disk.is_full else None
        try:
            home.database.append(records, is_full=home.disk.is_full)
        except AuditError as error:
            return error
        return None

    async def last_epoch(self) -> int:
        self._look()
        if self.process.home.database is not None:
            return self.process.home.database.last_epoch()
        return max((epoch_of(record) for record, _, _ in self.process.home.rows), default=0)

    async def last_instructions(self) -> tuple[Instruction, ...]:
        return ()

    async def last_postures(self) -> dict[BotId, Posture]:
        self._look()
        if self.process.home.database is not None:
            return self.process.home.database.last_postures()
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
