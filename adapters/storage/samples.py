"""Keeps what the engine judged by, block by block, off the loop's way; what finds no room is counted."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from adapters.storage.connection import absolute
from adapters.storage.faults import translated
from adapters.storage.files import sha256_of
from adapters.storage.settings import MB, SamplesSettings
from adapters.storage.usage import folder_bytes
from guard import meters
from guard.audit import AnyRecord, SamplesRetired, SamplesSealed
from guard.errors import AuditCorruptError, AuditError, AuditFullError
from guard.events import (
    AccountSnapshot,
    AnyEvent,
    AssetPricesSeen,
    LiquidationSeen,
    LongShortRatioSeen,
    MarginTermsSeen,
    MarketFeatures,
    MarketsSampled,
    MarkPriceSeen,
    OpenInterestHistorySeen,
    OpenInterestSeen,
    OutsideFactSeen,
    StreamFault,
    TrackedPositionsSeen,
)
from guard.ports import Clock
from guard.units import NS_PER_S, Nanoseconds

WAITING_MAX = 60_000
"""500 markets x (4 samples + 1 price) a second are 25,000 in the 10 s of a block, 18 MB as they are encoded; so many
are 24 s of a disk that hangs, 45 MB."""
BLOCK_S = 10.0
"""What a kill -9 can cost: samples, never decisions."""
COMPRESSION = 1
"""Level 6 takes four times as long for 4% less: what is left are the digits of depths, which do not compress."""
SCHEMA_VERSION = 1
NS_PER_DAY = 86_400 * NS_PER_S
OPEN = ".open.sqlite3"
CLOSED = ".sqlite3"
SEALED_MODE = 0o400

Sample = (
    MarketFeatures
    | MarkPriceSeen
    | OpenInterestSeen
    | LiquidationSeen
    | StreamFault
    | AccountSnapshot
    | MarginTermsSeen
    | AssetPricesSeen
    | OpenInterestHistorySeen
    | LongShortRatioSeen
    | TrackedPositionsSeen
    | OutsideFactSeen
)
KINDS = (
    MarketFeatures,
    MarkPriceSeen,
    OpenInterestSeen,
    LiquidationSeen,
    StreamFault,
    AccountSnapshot,
    MarginTermsSeen,
    AssetPricesSeen,
    OpenInterestHistorySeen,
    LongShortRatioSeen,
    TrackedPositionsSeen,
    OutsideFactSeen,
)

_TABLES = """
CREATE TABLE IF NOT EXISTS blocks (
  number INTEGER PRIMARY KEY,
  from_at INTEGER NOT NULL,
  to_at INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  dropped INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT;
"""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Sample])

log = structlog.get_logger()


class Appends(Protocol):
    """Where it is recorded which files there are: an AuditLog of guard.ports."""

    async def append(self, records: list[AnyRecord], *, durable: bool) -> None: ...


@dataclass(slots=True)
class SampleStats:
    """Counts since the start: ``dropped`` found no room, or could not be written."""

    kept: int = 0
    dropped: int = 0
    blocks: int = 0
    bytes: int = 0


class SampleRecorder:
    """Give ``record`` to the loop; ``flush_when_due`` and ``seal_and_retire`` to whoever looks after storage."""

    def __init__(self, settings: SamplesSettings, audit_path: Path, clock: Clock) -> None:
        self.settings = settings
        self.folder = absolute(settings.folder(audit_path))
        self.stats = SampleStats()
        self._clock = clock
        self._waiting: list[bytes] = []
        self._from_at: Nanoseconds = 0
        self._to_at: Nanoseconds = 0
        self._dropped = 0
        self._why_paused = ""
        self._flushed_at: Nanoseconds = 0
        self._failed = ""

    def meters(self) -> tuple[meters.Meter, ...]:
        """What became of the samples since the start, for the metrics."""
        stats = self.stats
        told = {
            "samples_kept": ("Samples written", stats.kept),
            "samples_dropped": (
                "Samples for which there was no room, or that could not be written",
                stats.dropped,
            ),
            "samples_bytes": ("Bytes of samples written", stats.bytes),
        }
        return tuple(
            meters.Meter(name, words, meters.MeterKind.COUNTER, (meters.Sample(value),))
            for name, (words, value) in told.items()
        )

    def record(self, event: AnyEvent) -> None:
        """Keep an event if it is a sample. Never waits, never raises; without room it is counted and dropped."""
        if not self.settings.enabled:
            return
        if isinstance(event, MarketsSampled):
            for sample in event.samples:  # as they would have come alone, so that every reader knows them
                self._keep(sample)
        elif isinstance(event, KINDS):
            self._keep(event)

    def _keep(self, sample: Sample) -> None:
        if self._why_paused or len(self._waiting) >= WAITING_MAX:
            self._drop(1)
            return
        at = sample.received_at
        self._from_at = at if not self._waiting else min(self._from_at, at)
        self._to_at = at if not self._waiting else max(self._to_at, at)
        # Encoded at once: a microsecond, and a third of the memory that the objects would hold for ten seconds.
        self._waiting.append(_encoder.encode(sample))

    def pause(self, why: str) -> None:
        """Keep nothing from now on: the space is for decisions."""
        if not self._why_paused and self.settings.enabled:
            log.warning("no samples are kept for now", why=why)
        self._why_paused = why

    def resume(self) -> None:
        """Keep samples again."""
        if self._why_paused and self.settings.enabled:
            log.info("samples are kept again", dropped=self.stats.dropped)
        self._why_paused = ""

    async def flush_when_due(self) -> None:
        """Write a block if one is due."""
        now = self._clock.now()
        if now - self._flushed_at >= BLOCK_S * NS_PER_S:
            self._flushed_at = now
            await self.flush()

    async def flush(self) -> None:
        """Write what waits, in a thread; what cannot be written is dropped, counted and said."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        dropped, self._dropped = self._dropped, 0
        block = _Block(waiting, self._from_at, self._to_at, dropped)
        try:
            with translated(self.folder):
                size = await asyncio.to_thread(
                    _write_block, self.folder, self.settings, block, self._clock.now()
                )
        except AuditError as error:
            self._dropped += dropped
            self._drop(len(waiting))
            if self._failed != str(error):
                self._failed = str(error)
                log.error("samples cannot be written, they are dropped", error=self._failed)
            return
        self._failed = ""
        self.stats.kept += len(waiting)
        self.stats.blocks += 1
        self.stats.bytes += size

    async def seal_and_retire(self, audit: Appends, now: Nanoseconds) -> None:
        """Record the hash of every file that is complete, and remove those that are old or too many.

        Raises:
            AuditError: it could not be recorded, or a file not be read; tried again with the next call.
        """
        with translated(self.folder):
            await asyncio.to_thread(_close_finished, self.folder, self.settings, now)
            unsealed = await asyncio.to_thread(_unsealed, self.folder)
        for path in unsealed:
            with translated(path):
                record = await asyncio.to_thread(_seal, path, now)
            await audit.append([record], durable=True)
            with translated(path):
                path.chmod(SEALED_MODE)
        oldest_day = _day(now - int(self.settings.keep_days * NS_PER_DAY))
        for path in await asyncio.to_thread(sealed_files, self.folder):
            if path.name[:8] < oldest_day:
                await self._retire(
                    audit, path, now, f"older than samples.keep_days ({self.settings.keep_days:g})"
                )
        while await asyncio.to_thread(folder_bytes, self.folder) > self.settings.keep_mb * MB:
            if not await self.retire_oldest(
                audit, now, f"more than samples.keep_mb ({self.settings.keep_mb:g})"
            ):
                return

    async def retire_oldest(self, audit: Appends, now: Nanoseconds, why: str) -> bool:
        """Remove the oldest complete file; return whether there was one. Raises AuditError."""
        files = await asyncio.to_thread(sealed_files, self.folder)
        if files:
            await self._retire(audit, files[0], now, why)
        return bool(files)

    async def _retire(self, audit: Appends, path: Path, now: Nanoseconds, why: str) -> None:
        with translated(path):
            digest = await asyncio.to_thread(sha256_of, path)
        record = SamplesRetired(at=now, file=path.name, sha256=digest, why=why)
        try:
            await audit.append([record], durable=True)
        except AuditFullError:
            # On a disk without room for that line, the room comes first.
            with translated(path):
                await asyncio.to_thread(path.unlink, missing_ok=True)
            await audit.append([record], durable=True)
        with translated(path):
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def _drop(self, count: int) -> None:
        if not self._dropped and not self._why_paused:
            log.warning("samples are dropped: there is no room for them", waiting=len(self._waiting))
        self._dropped += count
        self.stats.dropped += count


def sealed_files(folder: Path) -> list[Path]:
    """Complete files whose hash is recorded, oldest first."""
    return [path for path in _closed(folder) if path.stat().st_mode & 0o777 == SEALED_MODE]


def read_samples(folder: Path, from_at: Nanoseconds = 0, to_at: Nanoseconds = 2**63 - 1) -> Iterator[Sample]:
    """What was kept between two times, in the order in which it was judged.

    Raises:
        AuditCorruptError: a file or block cannot be read.
        AuditError: a file cannot be opened.
    """
    for path in sorted([*_closed(folder), *folder.glob(f"*{OPEN}")]):
        with translated(path), contextlib.closing(_connect(path, "mode=ro")) as file:
            rows = file.execute(
                "SELECT body FROM blocks WHERE to_at >= ? AND from_at <= ? ORDER BY number", (from_at, to_at)
            )
            for (body,) in rows:
                yield from (
                    sample for sample in _decoded(path, body) if from_at <= sample.received_at <= to_at
                )


def _decoded(path: Path, body: bytes) -> list[Sample]:
    try:
        return _decoder.decode(zlib.decompress(body))
    except (zlib.error, msgspec.MsgspecError) as error:
        raise AuditCorruptError(str(path), f"a block of samples cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class _Block:
    samples: list[bytes]
    from_at: Nanoseconds
    to_at: Nanoseconds
    dropped: int


def _write_block(folder: Path, settings: SamplesSettings, block: _Block, now: Nanoseconds) -> int:
    # A list in MessagePack is its length and what is in it.
    packed = b"".join([b"\xdd", len(block.samples).to_bytes(4, "big"), *block.samples])
    body = zlib.compress(packed, COMPRESSION)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close_finished(folder, settings, now)
    path = _current(folder, now)
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with contextlib.closing(_connect(path, "mode=rw")) as file:
        file.execute("PRAGMA synchronous = NORMAL")
        if not int(file.execute("PRAGMA user_version").fetchone()[0]):
            file.executescript(f"{_TABLES}PRAGMA user_version = {SCHEMA_VERSION};")
        file.execute(
            "INSERT INTO blocks VALUES (NULL, ?, ?, ?, ?, ?)",
            (block.from_at, block.to_at, len(block.samples), block.dropped, body),
        )
    return len(body)


def _current(folder: Path, now: Nanoseconds) -> Path:
    """The file that is written, or the name of the next one of this day."""
    found = sorted(folder.glob(f"*{OPEN}"))
    if found:
        return found[-1]
    day = _day(now)
    used = [int(path.name[9:13]) for path in folder.glob(f"{day}-*{CLOSED}")]
    return folder / f"{day}-{max(used, default=0) + 1:04}{OPEN}"


def _close_finished(folder: Path, settings: SamplesSettings, now: Nanoseconds) -> None:
    """A file ends with its day, or when it is large enough: from then on nothing is added."""
    for path in folder.glob(f"*{OPEN}"):
        if path.name[:8] != _day(now) or path.stat().st_size >= settings.file_mb * MB:
            path.rename(path.with_name(path.name.removesuffix(OPEN) + CLOSED))


def _closed(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{CLOSED}") if not path.name.endswith(OPEN))


def _unsealed(folder: Path) -> list[Path]:
    return [path for path in _closed(folder) if path.stat().st_mode & 0o777 != SEALED_MODE]


def _seal(path: Path, now: Nanoseconds) -> SamplesSealed:
    with contextlib.closing(_connect(path, "mode=ro")) as file:
        row = file.execute(
            "SELECT coalesce(sum(samples), 0), coalesce(sum(dropped), 0), coalesce(min(from_at), 0), "
            "coalesce(max(to_at), 0) FROM blocks"
        ).fetchone()
    return SamplesSealed(
        at=now,
        file=path.name,
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        samples=int(row[0]),
        dropped=int(row[1]),
        from_at=int(row[2]),
        to_at=int(row[3]),
    )


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, isolation_level=None)


def _day(at: Nanoseconds) -> str:
    return dt.datetime.fromtimestamp(at // NS_PER_S, tz=dt.UTC).strftime("%Y%m%d")
