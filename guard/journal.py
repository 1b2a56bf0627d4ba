"""Records in order and in time: what may be sent before the disk answers, and what must wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

import structlog

from guard.audit import AnyRecord, AuditGap
from guard.errors import AuditError
from guard.events import LinkChanged, LinkKind
from guard.ports import AuditLog, Clock, Emit

PENDING_MAX = 20_000
"""Records that wait for a disk that is away: about 2 KB each, 40 MB. Then the oldest is counted as lost."""

BATCH_MAX = 500
"""Records in one transaction: 500 rows take about 3 ms, so a tightening behind them still makes its 50 ms."""

RETRY_S = 1.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Pending:
    record: AnyRecord
    written: asyncio.Future[None]


@dataclass(slots=True)
class Journal:
    """One writer in front of the audit, so that records keep their order whoever waits for them."""

    audit: AuditLog
    clock: Clock
    emit: Emit
    _pending: deque[_Pending] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _down_since: int | None = None
    _ahead: int = 0
    _lost: int = 0

    def put(self, record: AnyRecord) -> asyncio.Future[None]:
        """Queue a record; the future is done once it is on the disk, or cancelled if it was lost."""
        pending = _Pending(record, asyncio.get_running_loop().create_future())
        self._pending.append(pending)
        if len(self._pending) > PENDING_MAX:
            self._pending.popleft().written.cancel()
            self._lost += 1
        self._arrived.set()
        return pending.written

    async def wait(self, written: asyncio.Future[None], timeout_s: float) -> bool:
        """Return whether the record is on the disk within ``timeout_s``."""
        done, _ = await asyncio.wait([written], timeout=timeout_s)
        return bool(done) and not written.cancelled()

    def note_sent_ahead(self) -> None:
        """Something was sent whose record is not on the disk yet: an ``audit_gap`` will say so."""
        self._ahead += 1
        if self._down_since is None:
            self._down_since = self.clock.now()

    async def run(self) -> None:
        """Write until cancelled; keep everything and try again when the disk refuses."""
        failing = False
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._pending:
                try:
                    await self._write_batch()
                except AuditError as error:
                    if not failing:
                        failing = True
                        log.error("audit cannot be written", error=str(error), kept=len(self._pending))
                    self._tell(up=False, detail=str(error))
                    await asyncio.sleep(RETRY_S)
                else:
                    if failing:
                        failing = False
                        self._tell(up=True, detail="records are written again")

    def unwritten(self) -> list[AnyRecord]:
        """What is still queued, in order, for a last attempt when ``run`` has been cancelled."""
        return [pending.record for pending in self._pending]

    async def _write_batch(self) -> None:
        batch = [self._pending[index] for index in range(min(len(self._pending), BATCH_MAX))]
        gap = self._gap()
        records = [*([gap] if gap is not None else []), *(pending.record for pending in batch)]
        await self.audit.append(records, durable=True)
        if gap is not None:
            self._down_since, self._ahead, self._lost = None, 0, 0
        for pending in batch:
            # Identity holds: put() only ever removes from the left what has not been written.
            if self._pending and self._pending[0] is pending:
                self._pending.popleft()
            if not pending.written.done():
                pending.written.set_result(None)

    def _gap(self) -> AuditGap | None:
        if not self._ahead and not self._lost:
            return None
        now = self.clock.now()
        why = f"{self._ahead} message(s) were sent before their record was on the disk"
        return AuditGap(at=now, from_at=self._down_since or now, records_lost=self._lost, why=why)

    def _tell(self, *, up: bool, detail: str) -> None:
        if not up and self._down_since is None:
            self._down_since = self.clock.now()
        self.emit(LinkChanged(received_at=self.clock.now(), link=LinkKind.AUDIT, up=up, detail=detail))
