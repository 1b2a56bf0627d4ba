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
from guard.units import Nanoseconds

PENDING_MAX = 20_000
"""Records that wait for a disk that is away: about 2 KB each, 40 MB. Then the oldest is counted as lost."""

BATCH_MAX = 500
"""Records in one transaction: 500 rows take about 3 ms, so a tightening behind them still makes its 50 ms."""

RETRY_S = 1.0

HANG_S = 2.0
"""A disk that has not answered for so long is as good as away, and is said to be."""

LATER_S = 1.0
"""What nobody waits for, and tells of what is over, goes with the next record, or by itself after this time."""

LATER_MAX = 1_000
"""Such records at most wait for that: half a MB, a thousand commands in a second."""

CLOSE_S = 2.0
"""How long a batch on its way is waited for when the journal is told to stop."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Pending:
    record: AnyRecord
    written: asyncio.Future[Nanoseconds]


@dataclass(slots=True)
class Journal:
    """One writer in front of the audit, so that records keep their order whoever waits for them."""

    audit: AuditLog
    clock: Clock
    emit: Emit
    _pending: deque[_Pending] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _down: str = ""
    _gap_since: Nanoseconds | None = None
    lost: int = 0
    """Records that found no room, since the start."""
    _ahead: int = 0
    _lost: int = 0
    _later: list[AnyRecord] = field(default_factory=list)
    _appending: asyncio.Future[None] | None = None
    """Done once the batch that is on its way is on the disk, or refused."""
    _closing: bool = False
    _waiters: dict[asyncio.Future[Nanoseconds], asyncio.Future[None]] = field(default_factory=dict)
    """Who waits for a record, to be woken in the same turn of the loop in which it is known to be written."""

    def put(self, record: AnyRecord) -> asyncio.Future[Nanoseconds]:
        """Queue a record; the future tells when it was on the disk, or is cancelled if it was lost."""
        pending = _Pending(record, asyncio.get_running_loop().create_future())
        self._pending.append(pending)
        if len(self._pending) > PENDING_MAX:
            lost = self._pending.popleft().written
            lost.cancel()
            self._wake(lost)
            self._lost += 1
            self.lost += 1
            self._gap_since = self._gap_since or self.clock.now()
        self._arrived.set()
        return pending.written

    def put_later(self, record: AnyRecord) -> None:
        """Queue a record that is in no hurry: nothing that must be sent ever waits for the disk because of it."""
        self._later.append(record)
        if len(self._later) == 1:
            asyncio.get_running_loop().call_later(LATER_S, self._arrived.set)
        elif len(self._later) >= LATER_MAX:
            self._admit_later()

    @property
    def waiting(self) -> int:
        """How many records wait for the disk."""
        return len(self._pending) + len(self._later)

    async def wait(self, written: asyncio.Future[Nanoseconds], timeout_s: float) -> bool:
        """Return whether the record is on the disk within ``timeout_s``; one may wait for it."""
        if not written.done():
            loop = asyncio.get_running_loop()
            waiter = self._waiters[written] = loop.create_future()
            # Turns of a busy loop are what costs here: asyncio.wait would take two more of them.
            timer = loop.call_later(timeout_s, self._wake, written)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiters.pop(written, None)
        return written.done() and not written.cancelled()

    def _wake(self, written: asyncio.Future[Nanoseconds]) -> None:
        waiter = self._waiters.pop(written, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def note_sent_ahead(self) -> None:
        """Something was sent whose record is not on the disk yet: an ``audit_gap`` will say so."""
        self._ahead += 1
        self._gap_since = self._gap_since or self.clock.now()

    async def run(self) -> None:
        """Write until cancelled; keep everything and try again when the disk refuses."""
        self._closing = False
        working = asyncio.create_task(self._work(), name="journal writer")
        try:
            await asyncio.shield(working)
        finally:
            # What is on its way to the disk must not be written again by whoever asks for the unwritten.
            self._closing = True
            if self._appending is not None:
                await asyncio.wait([self._appending], timeout=CLOSE_S)
            working.cancel()
            await asyncio.wait([working])

    async def _work(self) -> None:
        while not self._closing:
            await self._arrived.wait()
            self._arrived.clear()
            self._admit_later()
            while self._pending and not self._closing:
                try:
                    await self._write_batch()
                except AuditError as error:
                    self._tell_down(str(error))
                    await asyncio.sleep(RETRY_S)
                else:
                    self._tell_up()

    def unwritten(self) -> list[AnyRecord]:
        """What is still queued, in order, for a last attempt when ``run`` has been cancelled; a gap comes first."""
        gap = self._gap()
        return [
            *([gap] if gap is not None else []),
            *(pending.record for pending in self._pending),
            *self._later,
        ]

    def _admit_later(self) -> None:
        later, self._later = self._later, []
        for record in later:
            self.put(record)

    async def _write_batch(self) -> None:
        batch = [self._pending[index] for index in range(min(len(self._pending), BATCH_MAX))]
        gap, ahead, lost = self._gap(), self._ahead, self._lost
        records = [*([gap] if gap is not None else []), *(pending.record for pending in batch)]
        loop = asyncio.get_running_loop()
        self._appending = loop.create_future()
        slow = loop.call_later(HANG_S, self._tell_down, f"the disk has not answered for {HANG_S:g} s")
        try:
            # Awaited here and marked at once: each task in between would cost a turn of a loop that may be busy.
            await self.audit.append(records, durable=True)
            self._written(batch, ahead, lost)
        finally:
            slow.cancel()
            self._appending.set_result(None)
            self._appending = None

    def _written(self, batch: list[_Pending], ahead: int, lost: int) -> None:
        now = self.clock.now()
        self._ahead, self._lost = self._ahead - ahead, self._lost - lost
        self._gap_since = self._gap_since if self._ahead or self._lost else None
        for pending in batch:
            # Identity holds: put() only ever removes from the left what has not been written.
            if self._pending and self._pending[0] is pending:
                self._pending.popleft()
            if not pending.written.done():
                pending.written.set_result(now)
            self._wake(pending.written)

    def _gap(self) -> AuditGap | None:
        if not self._ahead and not self._lost:
            return None
        now = self.clock.now()
        why = f"{self._ahead} message(s) were sent before their record was on the disk"
        if self._lost:
            why += f"; {self._lost} record(s) found no room while the disk was away"
        return AuditGap(at=now, from_at=self._gap_since or now, records_lost=self._lost, why=why)

    def _tell_down(self, detail: str) -> None:
        if detail == self._down:
            return
        self._down = detail
        log.error("audit cannot be written", error=detail, kept=len(self._pending))
        self._tell(up=False, detail=detail)

    def _tell_up(self) -> None:
        if self._down:
            self._down = ""
            self._tell(up=True, detail="records are written again")

    def _tell(self, *, up: bool, detail: str) -> None:
        self.emit(LinkChanged(received_at=self.clock.now(), link=LinkKind.AUDIT, up=up, detail=detail))
