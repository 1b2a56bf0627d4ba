"""The one writer of the audit: each append is one transaction, chained, all or none."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from adapters.storage.chain import Chain
from adapters.storage.connection import WorkerConnection, absolute, close_quietly, connect
from adapters.storage.faults import translated
from adapters.storage.lock import WriterLock
from adapters.storage.reader import SqliteAuditReader
from adapters.storage.schema import Span
from adapters.storage.set_aside import set_aside, set_orphans_aside
from guard.audit import AnyRecord, AuditGap
from guard.billed import BillMemory
from guard.errors import AuditCorruptError, AuditError
from guard.ports import Clock, StoredRecord, Verdict
from guard.units import BotId, Nanoseconds
from perpguard_sdk.messages import Instruction, Posture

BUSY_MS = 1000
"""How long a write waits for somebody else's transaction before it says that the database is locked."""


class SqliteAudit:
    """Fulfils AuditLog, AuditReader and Memory of guard.ports.

    Attributes:
        path: the database.
        orphaned: where segments were put whose database was gone when this one was opened.

    >>> async def keep(path: Path, records: list[AnyRecord]) -> None:
    ...     async with await SqliteAudit.open(path) as audit:
    ...         await audit.append(records, durable=True)
    """

    def __init__(self, path: Path, connection: WorkerConnection, lock: WriterLock, chain: Chain) -> None:
        """Use ``open`` instead."""
        self.path = path
        self.orphaned: Path | None = None
        self._connection = connection
        self._lock = lock
        self._chain = chain
        self._reader: SqliteAuditReader | None = None
        self._closed = False
        self._place = _place_of(path)
        self._log_place = _place_of(_log_of(path))

    @classmethod
    async def open(cls, path: Path | str, *, busy_ms: int = BUSY_MS) -> Self:
        """Open or create the audit at ``path``, readable by its owner only, and check its last records.

        Raises:
            AuditLockedError: another guard writes it.
            AuditCorruptError: it is not a database, or its chain is broken near the end.
            AuditFullError: there is no space to create it.
            AuditError: it cannot be opened or written, or a newer perpguard wrote it.
        """
        path = absolute(path)
        lock = _claim(path)
        connection: WorkerConnection | None = None
        try:
            with translated(path):
                orphaned = set_orphans_aside(path)
            connection = await connect(path, uri=path.as_uri(), busy_ms=busy_ms)
            with translated(path):
                chain = await connection.call(lambda database: Chain(path, database))
        except BaseException:
            if connection is not None:
                await close_quietly(connection)
            lock.release()
            raise
        audit = cls(path, connection, lock, chain)
        audit.orphaned = orphaned
        return audit

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish what is being written and free the file. Twice is harmless."""
        if self._closed:
            return
        self._closed = True
        if self._reader is not None:
            await self._reader.close()
            self._reader = None
        try:
            await close_quietly(self._connection)
        finally:
            self._lock.release()

    @property
    def head(self) -> tuple[int, str]:
        """How many records there are and the last one's hash; noted elsewhere, it proves the whole chain."""
        return self._chain.number, self._chain.hash

    async def append(self, records: Sequence[AnyRecord], *, durable: bool) -> None:
        """Append in order, all or none; with ``durable`` return only once they are on the disk.

        Without ``durable`` they survive the death of the process but not of the machine, until the next
        durable append. A caller that is cancelled leaves the append to complete in its place.

        Raises:
            AuditFullError: the disk is full. The next append works once there is space again.
            AuditLockedError: somebody else held the database for longer than ``busy_ms``.
            AuditCorruptError: the database is damaged.
            AuditError: anything else; in every case nothing of ``records`` was kept.
        """
        batch = list(records)
        if not batch:
            return
        if self._closed:
            raise AuditError(str(self.path), "it is closed already; nothing was written")
        with translated(self.path):
            await self._connection.call(lambda database: self._chain.append(database, batch, durable=durable))

    @property
    def span(self) -> Span:
        """Which part of the chain is in the database; the rest is in segments."""
        return self._chain.span

    @property
    def migrated(self) -> Path | None:
        """Where the database of an older schema is kept, if opening this one brought it forward."""
        return self._chain.migrated

    @property
    def is_in_place(self) -> bool:
        """Whether the file at ``path`` is still the one that is written: it may have been removed or replaced."""
        return _place_of(self.path) == self._place

    def forget_log(self) -> None:
        """Remove our log where the database beside it was taken away: it belongs to no other. Raises OSError."""
        log = _log_of(self.path)
        if self._log_place is not None and _place_of(log) == self._log_place:
            log.unlink()
            self.path.with_name(self.path.name + "-shm").unlink(missing_ok=True)

    async def fill(self) -> Fill:
        """How much there is in the segment that is written."""
        with translated(self.path):
            return await self._connection.call(lambda database: _fill_of(database, self._chain.span))

    async def cut(self, at: Nanoseconds) -> None:
        """End the segment that is written and begin the next. Raises AuditError as ``append`` does."""
        with translated(self.path):
            await self._connection.call(lambda database: self._chain.cut(database, at))

    async def prune(self, records_max: int) -> bool:
        """Remove records that lie in a segment, the oldest first; return whether there are more to remove.

        Raises:
            AuditError: as ``append`` does.
        """
        with translated(self.path):
            return await self._connection.call(lambda database: self._chain.prune(database, records_max))

    async def shrink(self, pages_max: int) -> bool:
        """Give free pages back to the disk; return whether there are more. Raises AuditError."""
        with translated(self.path):
            return await self._connection.call(lambda database: self._chain.shrink(database, pages_max))

    async def copy_to(self, place: Path) -> None:
        """Write the database as it is now into a new file at ``place``, also if its own file is gone.

        Raises:
            AuditError: it cannot be read or written.
        """
        with translated(place):
            await self._connection.call(lambda database: _copy(database, place))

    async def records(self, *, command_id: str | None = None) -> AsyncIterator[StoredRecord]:
        """All records in order, or those that concern one command (full id or a unique start of it)."""
        reader = await self._reading()
        async for stored in reader.records(command_id=command_id):
            yield stored

    async def last_records(self, count: int) -> list[StoredRecord]:
        """The last ``count`` records, oldest first."""
        return await (await self._reading()).last_records(count)

    async def verify(self) -> Verdict:
        """Recompute the whole chain and everything that follows from it."""
        return await (await self._reading()).verify()

    async def last_epoch(self) -> int:
        """The highest epoch in the records, 0 if there is none."""
        return await (await self._reading()).last_epoch()

    async def last_postures(self) -> dict[BotId, Posture]:
        """The last posture that was decided for each bot."""
        return await (await self._reading()).last_postures()

    async def last_bill(self) -> BillMemory | None:
        """What the bill of a former guard went on from last."""
        return await (await self._reading()).last_bill()

    async def last_instructions(self) -> tuple[Instruction, ...]:
        """What humans told a former guard, the latest word of each id."""
        return await (await self._reading()).last_instructions()

    async def _reading(self) -> SqliteAuditReader:
        if self._reader is None:
            self._reader = await SqliteAuditReader.open(self.path)
        return self._reader


async def open_audit(path: Path | str, clock: Clock) -> tuple[SqliteAudit, Path | None]:
    """Open the audit; a damaged one is set aside, and the new one begins by saying so.

    Returns:
        The audit, and the new name of the damaged one if there was one.

    Raises:
        AuditError: as ``SqliteAudit.open``, but for damage.
    """
    aside, why = None, ""
    try:
        audit = await SqliteAudit.open(path)
    except AuditCorruptError as error:
        aside = set_aside(absolute(path))
        why = f"the audit before this one was damaged and is kept as {aside}: {error.detail}"
        audit = await SqliteAudit.open(path)
    if audit.orphaned is not None:
        why = f"the audit before this one is gone; its segments are kept in {audit.orphaned}"
    if why:
        now = clock.now()
        try:
            await audit.append([AuditGap(at=now, from_at=now, records_lost=0, why=why)], durable=True)
        except BaseException:
            await audit.close()
            raise
    return audit, aside


@dataclass(frozen=True, slots=True)
class Fill:
    """How full the database is; ``first_at`` is the time of the first record of the segment, ``None`` without one."""

    used_bytes: int
    records: int
    first_at: Nanoseconds | None


def _fill_of(database: sqlite3.Connection, span: Span) -> Fill:
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    (last,) = database.execute("SELECT records FROM meta").fetchone()
    first = max(span.opened_number, 1)
    at = database.execute("SELECT at FROM records WHERE number = ?", (first,)).fetchone()
    return Fill((pages - free) * size, last - first + 1, int(at[0]) if at else None)


def _copy(database: sqlite3.Connection, place: Path) -> None:
    os.close(os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as copy:
            database.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
    except BaseException:
        place.unlink(missing_ok=True)
        raise


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _place_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _claim(path: Path) -> WriterLock:
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(path)
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except BaseException:
            lock.release()
            raise
    return lock
