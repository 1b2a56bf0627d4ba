"""Keeps the database that is written small: closes segments, removes what lies in them, retires old ones."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from itertools import count
from pathlib import Path

import structlog

from adapters.storage.audit import SqliteAudit
from adapters.storage.faults import translated
from adapters.storage.segments import Reached, Segment, nobody, open_segment, segments_of, write_segment
from adapters.storage.settings import MB, AuditSettings
from guard.audit import SegmentRetired
from guard.errors import AuditError
from guard.units import NS_PER_S, Nanoseconds

PRUNE_RECORDS = 50
"""Removed in one transaction: under 1 ms, which is what an append that comes meanwhile waits."""
PAUSE_S = 0.005
SHRINK_PAGES = 30
FOLD_TURNS = 10
"""After so many of these, well before the 1,000 pages at which SQLite lets an append fold the log."""
NS_PER_DAY = 86_400 * NS_PER_S

log = structlog.get_logger()


async def is_due(audit: SqliteAudit, settings: AuditSettings, now: Nanoseconds) -> bool:
    """Whether the segment that is written is large or old enough. Raises AuditError."""
    fill = await audit.fill()
    if fill.first_at is None or fill.records <= 1:
        return False
    return (
        fill.used_bytes >= settings.rotate_mb * MB or now - fill.first_at >= settings.rotate_days * NS_PER_DAY
    )


async def rotate(audit: SqliteAudit, now: Nanoseconds, reached: Reached = nobody) -> None:
    """Close the segment that is written, and finish: every step can be the last, ``finish`` goes on from there.

    Raises:
        AuditError: as ``SqliteAudit.append``, or the segment cannot be written; nothing is removed then.
    """
    await finish(audit, reached)
    await audit.cut(now)
    reached("cut")
    await finish(audit, reached)


async def finish(audit: SqliteAudit, reached: Reached = nobody) -> None:
    """Write the segment that was closed, unless it is there, and remove its records from the database.

    Raises:
        AuditError: it cannot be written or read; what is in the database stays there.
    """
    if audit.span.base_number < audit.span.closed_number:
        path = audit.path
        with translated(path):
            segment = await asyncio.to_thread(write_segment, path, reached)
        assert segment is not None, "a record closed it"
        for turn in count():
            more = await audit.prune(PRUNE_RECORDS)
            reached("pruned a little")
            if not more:
                break
            await _pause(audit, turn)
        log.info("a segment of the record is closed", segment=segment.path.name)
    for turn in count():
        if not await audit.shrink(SHRINK_PAGES):
            break
        await _pause(audit, turn)


async def _pause(audit: SqliteAudit, turn: int) -> None:
    """Let appends pass; now and then fold the log into the file from a thread, so that no append has to."""
    if turn % FOLD_TURNS == FOLD_TURNS - 1:
        with translated(audit.path):
            await asyncio.to_thread(_fold, audit.path)
    await asyncio.sleep(PAUSE_S)


def _fold(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA wal_checkpoint(PASSIVE)")


async def retire_old(
    audit: SqliteAudit, settings: AuditSettings, now: Nanoseconds, reached: Reached = nobody
) -> None:
    """Remove segments that are older than ``keep_days``, and the oldest while they take more than ``keep_mb``.

    Raises:
        AuditError: it could not be recorded; then nothing was removed.
    """
    await _forget_retired(audit)
    while True:
        segments = await _kept(audit)
        if not segments:
            return
        oldest, age_ns = segments[0], now - await asyncio.to_thread(last_at, segments[0])
        taken_mb = sum(each.size_bytes for each in segments) / MB
        if age_ns > settings.keep_days * NS_PER_DAY:
            why = f"older than audit.keep_days ({settings.keep_days:g})"
        elif taken_mb > settings.keep_mb and age_ns > settings.keep_days_min * NS_PER_DAY:
            why = f"segments take {taken_mb:.0f} MB, more than audit.keep_mb ({settings.keep_mb:g})"
        else:
            return
        await retire(audit, oldest, now, why, reached)


async def retire_one_for_space(
    audit: SqliteAudit, settings: AuditSettings, now: Nanoseconds, why: str
) -> bool:
    """Remove the oldest segment if the settings allow it; return whether one was removed. Raises AuditError."""
    segments = await _kept(audit)
    if not segments:
        return False
    age_ns = now - await asyncio.to_thread(last_at, segments[0])
    if age_ns <= settings.keep_days_min * NS_PER_DAY:
        return False
    await retire(audit, segments[0], now, why)
    return True


async def retire(
    audit: SqliteAudit, segment: Segment, now: Nanoseconds, why: str, reached: Reached = nobody
) -> None:
    """Record that a segment is removed, durably, and only then remove it. Raises AuditError."""
    last_hash = await asyncio.to_thread(_last_hash, segment)
    record = SegmentRetired(
        at=now,
        first_number=audit.span.retired_number + 1,
        last_number=segment.last,
        last_hash=last_hash,
        why=why,
    )
    await audit.append([record], durable=True)
    reached("retirement recorded")
    await _remove(segment.path)
    reached("retired segment removed")
    log.info("a segment of the record is removed", segment=segment.path.name, why=why)


async def _forget_retired(audit: SqliteAudit) -> None:
    """Remove what was retired by a guard that died before it removed it."""
    for segment in await asyncio.to_thread(segments_of, audit.path):
        if segment.last <= audit.span.retired_number:
            await _remove(segment.path)


async def _kept(audit: SqliteAudit) -> list[Segment]:
    """Those that may be retired: whole, not retired yet, and not in the database any more."""
    span = audit.span
    found = await asyncio.to_thread(segments_of, audit.path)
    return [each for each in found if span.retired_number < each.first and each.last <= span.base_number]


async def _remove(path: Path) -> None:
    with translated(path):
        await asyncio.to_thread(path.unlink, missing_ok=True)


def last_at(segment: Segment) -> Nanoseconds:
    """When the last record of a segment was made. Raises AuditError."""
    return int(_ask(segment, "SELECT at FROM records ORDER BY number DESC LIMIT 1"))


def _last_hash(segment: Segment) -> str:
    return str(_ask(segment, "SELECT last_hash FROM meta"))


def _ask(segment: Segment, sql: str) -> str | int:
    with translated(segment.path):
        file = open_segment(segment.path)
        try:
            row = file.execute(sql).fetchone()
        finally:
            file.close()
    if row is None:
        raise AuditError(str(segment.path), "a segment without records: run `perpguard audit verify`")
    found = row[0]
    assert isinstance(found, str | int)
    return found
