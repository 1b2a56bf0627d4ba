"""An audit that may not be there yet: opened at the first chance, so that a daemon can start without it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from adapters.storage.audit import SqliteAudit, open_audit
from guard.audit import AnyRecord
from guard.errors import AuditError
from guard.ports import Clock
from guard.units import BotId
from perpguard_sdk.messages import Posture

log = structlog.get_logger()


class AuditKeeper:
    """Fulfils AuditLog and Memory of guard.ports over a database that is opened when first needed.

    A locked file or a full disk makes every call raise AuditError, and the next call tries again: the
    journal keeps the records meanwhile and the engine is told. A damaged file is set aside by
    ``open_audit`` and a new one begins by saying so.
    """

    def __init__(self, path: Path | str, clock: Clock) -> None:
        self.path = Path(path)
        self._clock = clock
        self._audit: SqliteAudit | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        try:
            await self._opened()
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
        await (await self._opened()).append(records, durable=durable)

    async def last_epoch(self) -> int:
        """The highest epoch in the records. Raises AuditError."""
        return await (await self._opened()).last_epoch()

    async def last_postures(self) -> dict[BotId, Posture]:
        """The last posture that was decided for each bot. Raises AuditError."""
        return await (await self._opened()).last_postures()

    async def _opened(self) -> SqliteAudit:
        # One at a time: a second attempt beside the first would find our own lock and blame another guard.
        async with self._opening:
            if self._audit is None:
                self._audit, aside = await open_audit(self.path, self._clock)
                if aside is not None:
                    log.error(
                        "the audit was damaged: it is kept aside as evidence, a new one begins",
                        kept=str(aside),
                    )
            return self._audit
