"""The one writer of the audit: each append is one transaction, chained, all or none."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from adapters.storage.chain import Chain
from adapters.storage.connection import WorkerConnection, absolute, close_quietly, connect
from adapters.storage.faults import translated
from adapters.storage.lock import WriterLock
from adapters.storage.reader import SqliteAuditReader
from adapters.storage.set_aside import set_aside
from guard.audit import AnyRecord, AuditGap
from guard.errors import AuditCorruptError, AuditError
from guard.ports import Clock, StoredRecord, Verdict
from guard.units import BotId
from perpguard_sdk.messages import Posture

BUSY_MS = 1000
"""How long a write waits for somebody else's transaction before it says that the database is locked."""


class SqliteAudit:
    """Fulfils AuditLog, AuditReader and Memory of guard.ports.

    >>> async def keep(path: Path, records: list[AnyRecord]) -> None:
    ...     async with await SqliteAudit.open(path) as audit:
    ...         await audit.append(records, durable=True)
    """

    def __init__(self, path: Path, connection: WorkerConnection, lock: WriterLock, chain: Chain) -> None:
        """Use ``open`` instead."""
        self.path = path
        self._connection = connection
        self._lock = lock
        self._chain = chain
        self._reader: SqliteAuditReader | None = None
        self._closed = False

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
            connection = await connect(path, uri=path.as_uri(), busy_ms=busy_ms)
            with translated(path):
                chain = await connection.call(lambda database: Chain(path, database))
        except BaseException:
            if connection is not None:
                await close_quietly(connection)
            lock.release()
            raise
        return cls(path, connection, lock, chain)

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

    async def records(self, *, command_id: str | None = None) -> AsyncIterator[StoredRecord]:
        """All records in order, or those that concern one command (full id or a unique start of it)."""
        reader = await self._reading()
        async for stored in reader.records(command_id=command_id):
            yield stored

    async def verify(self) -> Verdict:
        """Recompute the whole chain and everything that follows from it."""
        return await (await self._reading()).verify()

    async def last_epoch(self) -> int:
        """The highest epoch in the records, 0 if there is none."""
        return await (await self._reading()).last_epoch()

    async def last_postures(self) -> dict[BotId, Posture]:
        """The last posture that was decided for each bot."""
        return await (await self._reading()).last_postures()

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
    try:
        return await SqliteAudit.open(path), None
    except AuditCorruptError as error:
        aside = set_aside(absolute(path))
        now = clock.now()
        why = f"the audit before this one was damaged and is kept as {aside}: {error.detail}"
        audit = await SqliteAudit.open(path)
        try:
            await audit.append([AuditGap(at=now, from_at=now, records_lost=0, why=why)], durable=True)
        except BaseException:
            await audit.close()
            raise
        return audit, aside


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
