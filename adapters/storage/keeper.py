"""An audit that may not be there yet, or not any more: opened at the first chance, put back where it was."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from adapters.storage.audit import SqliteAudit, open_audit
from adapters.storage.connection import absolute
from adapters.storage.faults import translated
from adapters.storage.files import settle
from adapters.storage.set_aside import SIDE_FILES, free_name
from adapters.storage.unfinished import LOOKED_BACK, unfinished
from guard.audit import AnyRecord, AuditGap
from guard.billed import BillMemory
from guard.errors import AuditCorruptError, AuditError
from guard.ports import Clock
from guard.units import BotId
from perpguard_sdk.messages import Instruction, Posture

SWITCH_S = 0.0005
"""How long the loop may keep the interpreter while the thread of the audit asks for it, which it does a dozen times
to commit one record: with Python's own 5 ms a busy loop would hold up each decision's record by 60 ms."""

log = structlog.get_logger()


class AuditKeeper:
    """Fulfils AuditLog and Memory of guard.ports over a database that is opened when first needed.

    A locked file or a full disk makes every call raise AuditError, and the next call tries again: the
    journal keeps the records meanwhile and the engine is told. A damaged file is set aside by
    ``open_audit`` and a new one begins by saying so. A file that was removed or replaced while it is
    written is put back whole, from what is still open, and the record says so.
    """

    def __init__(self, path: Path | str, clock: Clock) -> None:
        self.path = Path(path)
        self._clock = clock
        self._audit: SqliteAudit | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        sys.setswitchinterval(SWITCH_S)
        try:
            await self.opened()
        except AuditError as error:
            log.error(
                "audit cannot be opened, the guard starts without it and keeps trying", error=str(error)
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._audit is not None:
            await self._audit.close()

    async def append(self, records: Sequence[AnyRecord], *, durable: bool) -> None:
        """Append as ``SqliteAudit.append``. Raises AuditError, also while the file cannot be opened."""
        await (await self.opened()).append(records, durable=durable)

    async def last_epoch(self) -> int:
        """The highest epoch in the records. Raises AuditError."""
        return await (await self.opened()).last_epoch()

    async def last_postures(self) -> dict[BotId, Posture]:
        """The last posture that was decided for each bot. Raises AuditError."""
        return await (await self.opened()).last_postures()

    async def last_bill(self) -> BillMemory | None:
        """What the bill of a former guard went on from last. Raises AuditError."""
        return await (await self.opened()).last_bill()

    async def last_instructions(self) -> tuple[Instruction, ...]:
        """What humans told a former guard, the latest word of each id. Raises AuditError."""
        return await (await self.opened()).last_instructions()

    async def opened(self) -> SqliteAudit:
        """The database, which is where it should be. Raises AuditError."""
        # One at a time: a second attempt beside the first would find our own lock and blame another guard.
        async with self._opening:
            if self._audit is not None and not self._audit.is_in_place:
                await self._put_back(self._audit)
            if self._audit is None:
                self._audit, aside = await open_audit(self.path, self._clock)
                if aside is not None:
                    log.error(
                        "the audit was damaged: it is kept aside as evidence, a new one begins",
                        kept=str(aside),
                    )
                await self._say_unfinished(self._audit)
                if self._audit.migrated is not None:
                    log.info(
                        "the audit was brought forward; the old one is kept", kept=str(self._audit.migrated)
                    )
            return self._audit

    async def _say_unfinished(self, audit: SqliteAudit) -> None:
        """Name what a guard that was killed left open. Nothing depends on it: it is tried once."""
        try:
            gap = unfinished(
                [each.record for each in await audit.last_records(LOOKED_BACK)], self._clock.now()
            )
            if gap is not None:
                await audit.append([gap], durable=True)
        except AuditError as error:
            log.error("what the guard before left open cannot be recorded", error=str(error))

    async def _put_back(self, audit: SqliteAudit) -> None:
        """Write what is open into a new file; what lies in its place by now is kept aside.

        Raises:
            AuditError: it cannot be written now; what is open stays so, and the next call tries again.
        """
        path = absolute(self.path)
        was = "replaced" if path.exists() else "removed"
        log.error("the audit was taken away while it is written; it is put back", path=str(path), was=was)
        copy = path.with_name(path.name + ".rescued")
        with translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            copy.unlink(missing_ok=True)
        why = f"the file was {was} while it was written; all of it was written anew from what was open"
        try:
            await audit.copy_to(copy)
        except AuditCorruptError as error:
            why = f"the file was {was} while it was written, and could not be read any more: {error.detail}"
            copy.unlink(missing_ok=True)
        with translated(path):
            audit.forget_log()
            aside = _make_room(path)
            if copy.exists():
                await asyncio.to_thread(settle, copy, path)
        if aside is not None:
            why += f"; what lay in its place is kept as {aside}"
        self._audit = None
        await audit.close()
        self._audit, _ = await open_audit(path, self._clock)
        now = self._clock.now()
        await self._audit.append([AuditGap(at=now, from_at=now, records_lost=0, why=why)], durable=True)


def _make_room(path: Path) -> Path | None:
    """Rename what lies at ``path``, and logs of a database that is gone, to ``NAME.replaced-N``."""
    if not any(path.with_name(path.name + side).exists() for side in SIDE_FILES):
        return None
    aside = free_name(path, "replaced")
    for side in reversed(SIDE_FILES):
        source = path.with_name(path.name + side)
        if source.exists():
            source.rename(aside.with_name(aside.name + side))
    return aside
