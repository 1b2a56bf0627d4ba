"""Reads the audit and its segments back beside the daemon that writes it, through connections that cannot write."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from adapters.storage.connection import WorkerConnection, absolute, close_quietly, connect
from adapters.storage.faults import corrupt, translated
from adapters.storage.pile import Pile
from adapters.storage.schema import SCHEMA_VERSION, Span, decode_posture
from adapters.storage.segments import is_segment, verify_series
from adapters.storage.verify import one_state, verify_file
from guard.audit import AnyRecord, Billed, Step, decode_record
from guard.billed import BillMemory
from guard.errors import AuditError, CommandNotFoundError
from guard.events import InstructionSeen
from guard.findings import Finding, Reason, Severity
from guard.ports import StoredRecord, Verdict
from guard.units import NS_PER_S, BotId, symbol_of
from perpguard_sdk.messages import ALL_SYMBOLS, Command, Instruction, Posture

T = TypeVar("T")

PAGE_RECORDS = 500
"""Records read at once; between pages no read transaction is open, which would keep the log large."""
STORY_RECORDS_MAX = 50
"""How many changes of each reason are looked through for one that touches a command."""
ASSESSED_WITHIN_S = 900
"""Accounts that hold something are recorded at least every five minutes: what was not for so long is over."""
OUTLOOKS_WITHIN_S = 3_600
"""Of hundreds of markets each is recorded every half hour at the least."""
OUTLOOKS_TOLD, OUTLOOKS_LOOKED_AT = 60, 20_000
"""How many outlooks lead to a command at most, among so many records before it."""
SETTINGS_LOOKED_AT = 5
"""The last changes of settings before a command: some may have been refused, or have changed nothing."""
INSTRUCTED_LOOKED_AT = 1_000
"""What humans told holds for days at most: among so many records about it is all that still does."""

BILL_LOOKED_AT = 200_000
"""The bill is recorded each day at the least: among so many records the last one is."""

LAST_COMMAND = "last"
BUSY_MS = 2000


class SqliteAuditReader:
    """Fulfils AuditReader and Memory of guard.ports, for explain, verify and the panel."""

    def __init__(self, path: Path, connection: WorkerConnection) -> None:
        """Use ``open`` instead."""
        self.path = path
        self._connection = connection

    @classmethod
    async def open(cls, path: Path | str, *, busy_ms: int = BUSY_MS) -> Self:
        """Open an existing audit for reading; a daemon may be writing it.

        Raises:
            AuditCorruptError: it is not a database.
            AuditError: it is not there, or is not an audit.
        """
        path = absolute(path)
        with translated(path):
            if not path.stat().st_size:
                raise AuditError(str(path), "is an empty file, not an audit")
        try:
            return cls(path, await _connect(path, "?mode=ro", busy_ms))
        except AuditError:
            # A file on a read-only disk or in somebody else's folder: with nothing in the log beside it, and
            # so nobody writing it, it can be read as it lies.
            if _has_log(path):
                raise
            return cls(path, await _connect(path, "?immutable=1", busy_ms))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Free the connection. Twice is harmless."""
        await close_quietly(self._connection)

    async def records(
        self, *, command_id: str | None = None, from_number: int = 1
    ) -> AsyncIterator[StoredRecord]:
        """All records in order, or those that concern one command (full id or a unique start of it).

        Raises:
            CommandNotFoundError: no command, or more than one, begins so.
            AuditCorruptError: a record cannot be read.
        """
        if command_id is not None:
            found = await self.find_command(command_id)
            for stored in await self._read(await self._numbers("record_command", "command_id", found)):
                yield stored
            return
        number = from_number - 1
        while True:
            page = await self._call(lambda pile, after=number: pile.page(after, PAGE_RECORDS))  # type: ignore[misc]
            for row in page:
                yield self._decode(row)
            if not page:
                return
            number = page[-1][0]

    async def last_records(self, count: int) -> list[StoredRecord]:
        """The last ``count`` records, oldest first."""
        sql = "SELECT number, body, hash FROM records WHERE {span} ORDER BY number DESC LIMIT {left}"
        rows = await self._newest(sql, (), count)
        return [self._decode(row) for row in reversed(rows)]

    async def last_assessments(self, within_s: int = ASSESSED_WITHIN_S) -> list[StoredRecord]:
        """The steps that assess accounts, newest first, from ``within_s`` before the newest of them on.

        Raises:
            AuditCorruptError: a record cannot be read.
        """
        return await self._last_telling("assessed", within_s)

    async def last_outlooks(self, within_s: int = OUTLOOKS_WITHIN_S) -> list[StoredRecord]:
        """The steps that tell outlooks of markets, as ``last_assessments`` those that assess accounts."""
        return await self._last_telling("outlooks", within_s)

    async def bills(self) -> list[StoredRecord]:
        """The records of the bill, oldest first. Raises AuditCorruptError."""
        sql = "SELECT number, body, hash FROM records WHERE kind = 'billed' AND {span} ORDER BY number DESC"
        return [self._decode(row) for row in reversed(await self._newest(sql, ()))]

    async def last_bill(self) -> BillMemory | None:
        """What the bill of a former guard went on from last; ``None`` for none among the latest records.

        Raises:
            AuditCorruptError: a record cannot be read.
        """
        last = await self.last_records(1)
        if not last:
            return None
        sql = (
            "SELECT number, body, hash FROM records WHERE kind = 'billed' AND number > ? AND {span} "
            "ORDER BY number DESC LIMIT {left}"
        )
        for row in await self._newest(sql, (last[-1].number - BILL_LOOKED_AT,), 1):
            record = self._decode(row).record
            return record.memory if isinstance(record, Billed) else None
        return None

    async def _last_telling(self, field: str, within_s: int) -> list[StoredRecord]:
        sql = (
            "SELECT number, body, hash FROM records WHERE kind = 'step' AND {span} "  # noqa: S608 (two names of ours)
            f"AND instr(body, '\"{field}\":[') ORDER BY number DESC LIMIT {{left}}"
        )
        count = (
            16  # Neither times nor what is told are indexed: ask for more only where those are all recent.
        )
        while True:
            found = [self._decode(row) for row in await self._newest(sql, (), count)]
            if not found:
                return []
            since = found[0].record.at - within_s * NS_PER_S
            if len(found) < count or found[-1].record.at < since:
                return [stored for stored in found if stored.record.at >= since]
            count *= 4

    async def find_command(self, start: str) -> str:
        """The full id of the one command that ``start`` begins, or of the newest for ``last``.

        Raises:
            CommandNotFoundError: none, or more than one.
        """
        if start == LAST_COMMAND:
            rows = await self._newest(
                "SELECT command_id FROM record_command WHERE {span} ORDER BY number DESC LIMIT {left}", (), 1
            )
            if not rows:
                raise CommandNotFoundError(str(self.path), "no command has been recorded yet")
            return str(rows[0][0])
        rows = await self._newest(
            "SELECT DISTINCT command_id FROM record_command "
            "WHERE command_id >= ? AND command_id < ? AND {span} ORDER BY command_id LIMIT 4",
            (start, start + chr(0x10FFFF)),
        )
        ids = sorted({str(row[0]) for row in rows})[:4]
        if start in ids or len(ids) == 1:
            return start if start in ids else ids[0]
        if not ids:
            raise CommandNotFoundError(
                str(self.path),
                f"no command begins with {start!r}; `perpguard audit show` lists what there is",
            )
        raise CommandNotFoundError(
            str(self.path), f"{start!r} begins several commands ({', '.join(ids)} ...): give more of the id"
        )

    async def story(self, command_id: str) -> list[StoredRecord]:
        """What explains one command: the records that concern it and those that led to it, in order.

        The latter are the opening of its session, the last changes of settings, the posture of its
        bot before it, and of each reason how a finding that touches it last ended, how that one had begun, and
        how it stood since.

        Raises:
            CommandNotFoundError: no command, or more than one, begins so.
            AuditCorruptError: a record cannot be read.
        """
        found = await self.find_command(command_id)
        numbers = set(await self._numbers("record_command", "command_id", found))
        issued = _issued(await self._read(sorted(numbers)), found)
        if issued is not None:
            stored, command = issued
            before = await self._newest(
                "SELECT number FROM record_posture WHERE bot = ? AND number < ? AND {span} "
                "ORDER BY number DESC LIMIT {left}",
                (command.bot, stored.number),
                1,
            )
            session = await self._newest(
                "SELECT number FROM records WHERE kind = 'session_opened' AND number < ? AND {span} "
                "ORDER BY number DESC LIMIT {left}",
                (stored.number,),
                1,
            )
            changed = await self._newest(
                "SELECT number FROM records WHERE kind = 'settings_reloaded' AND number < ? AND {span} "
                "ORDER BY number DESC LIMIT {left}",
                (stored.number,),
                SETTINGS_LOOKED_AT,
            )
            outlooks = await self._newest(
                "SELECT number FROM records WHERE kind = 'step' AND number < ? AND number > ? "
                "AND instr(body, '\"outlooks\":[') AND instr(body, ?) AND {span} "
                "ORDER BY number DESC LIMIT {left}",
                (stored.number, stored.number - OUTLOOKS_LOOKED_AT, f':{command.symbol}"'),
                OUTLOOKS_TOLD,
            )
            billed = await self._newest(
                "SELECT number FROM records WHERE kind = 'billed' AND number > ? AND instr(body, ?) AND {span} "
                "ORDER BY number DESC LIMIT {left}",
                (stored.number, f'"decision":"{found}"'),
                1,
            )
            whose = await self._newest(  # a bill of the same bot says whose it is, where nothing else does
                "SELECT number FROM records WHERE kind = 'billed' AND instr(body, ?) AND {span} "
                "ORDER BY number DESC LIMIT {left}",
                (f'"bot":"{command.bot}"',),
                1,
            )
            numbers |= {int(row[0]) for row in (*before, *session, *changed, *outlooks, *billed, *whose)}
            for reason in Reason:
                numbers |= await self._last_changes(reason, stored.number, command)
        return await self._read(sorted(numbers))

    async def _last_changes(self, reason: Reason, until: int, command: Command) -> set[int]:
        """Where a finding of ``reason`` that touches ``command`` last ended and how it began; how it stood since."""
        changes = await self._changes(reason, until, command)
        last = next((at for at in range(len(changes) - 1, -1, -1) if changes[at].closes), None)
        if last is None:
            return _telling(changes)
        former = await self._changes(reason, changes[last].number - 1, command)
        begun = next((at + 1 for at in range(len(former) - 1, -1, -1) if former[at].closes), 0)
        return {changes[last].number, *_telling(former[begun:]), *_telling(changes[last + 1 :])}

    async def _changes(self, reason: Reason, until: int, command: Command) -> list[_Change]:
        """The latest records, at most ``STORY_RECORDS_MAX``, that tell of such findings, oldest first."""
        rows = await self._newest(
            "SELECT number FROM record_finding WHERE reason = ? AND number <= ? AND {span} "
            "ORDER BY number DESC LIMIT {left}",
            (reason.value, until),
            STORY_RECORDS_MAX,
        )
        changes = []
        for stored in await self._read([int(row[0]) for row in reversed(rows)]):
            if not isinstance(stored.record, Step):
                continue
            opened = [each for each in stored.record.opened if touches(each, reason, command)]
            closes = any(touches(each, reason, command) for each in stored.record.closed)
            if opened or closes:
                acute = any(each.severity in {Severity.ACT, Severity.CRITICAL} for each in opened)
                changes.append(_Change(stored.number, bool(opened), acute, closes))
        return changes

    async def verify(self) -> Verdict:
        """Recompute the whole chain, its segments too, and everything that follows from it, as of one moment."""
        if is_segment(self.path):
            return await self._connection.call(verify_file)
        with translated(self.path):
            return await self._connection.call(lambda database: verify_series(self.path, database))

    async def span(self) -> Span:
        """Which part of the chain is in the database itself."""
        return await self._call(lambda pile: pile.span)

    async def about_samples(self) -> list[AnyRecord]:
        """The records of files of samples, in order."""
        return await self._call(lambda pile: pile.about_samples())

    async def last_epoch(self) -> int:
        """The highest epoch in the records, 0 if there is none."""
        rows = await self._query("SELECT epoch FROM epoch", ())
        return int(rows[0][0]) if rows else 0

    async def last_postures(self) -> dict[BotId, Posture]:
        """The last posture that was decided for each bot.

        Raises:
            AuditCorruptError: one cannot be read.
        """
        rows = await self._query("SELECT bot, body FROM posture ORDER BY bot", ())
        try:
            return {BotId(bot): decode_posture(body) for bot, body in rows}
        except msgspec.DecodeError as error:
            raise corrupt(self.path, f"a stored posture cannot be read: {error}") from error

    async def last_instructions(self) -> tuple[Instruction, ...]:
        """What humans told a former guard, the latest word of each id, of the latest records about it.

        Raises:
            AuditCorruptError: a record cannot be read.
        """
        sql = (
            "SELECT number FROM record_finding WHERE reason = ? AND {span} ORDER BY number DESC LIMIT {left}"
        )
        rows = await self._newest(sql, (Reason.INSTRUCTED.value,), INSTRUCTED_LOOKED_AT)
        told: dict[str, Instruction] = {}
        for stored in await self._read(sorted(int(row[0]) for row in rows)):
            if isinstance(stored.record, Step) and isinstance(stored.record.event, InstructionSeen):
                told[stored.record.event.instruction.id] = stored.record.event.instruction
        return tuple(told.values())

    async def _numbers(self, table: str, column: str, value: str) -> list[int]:
        sql = f"SELECT number FROM {table} WHERE {column} = ? AND {{span}} ORDER BY number DESC"  # noqa: S608
        return [int(row[0]) for row in reversed(await self._newest(sql, (value,)))]

    async def _read(self, numbers: list[int]) -> list[StoredRecord]:
        """The records of these numbers, in their order; those that retention removed are left out."""
        return [self._decode(row) for row in await self._call(lambda pile: pile.rows(numbers))]

    def _decode(self, row: tuple[int, str, str]) -> StoredRecord:
        number, body, stored_hash = row
        try:
            return StoredRecord(number=number, record=decode_record(body), hash=stored_hash)
        except msgspec.DecodeError as error:
            raise corrupt(self.path, f"record {number} cannot be read: {error}") from error

    async def _newest(
        self, sql: str, parameters: tuple[object, ...], count: int | None = None
    ) -> list[tuple[Any, ...]]:
        return await self._call(lambda pile: pile.newest(sql, parameters, count))

    async def _query(self, sql: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with translated(self.path):
            return await self._connection.call(lambda database: database.execute(sql, parameters).fetchall())

    async def _call(self, function: Callable[[Pile], T]) -> T:
        def run(database: sqlite3.Connection) -> T:
            with one_state(database), Pile(self.path, database) as pile:
                return function(pile)

        with translated(self.path):
            return await self._connection.call(run)


async def _connect(path: Path, query: str, busy_ms: int) -> WorkerConnection:
    connection = await connect(path, uri=path.as_uri() + query, busy_ms=busy_ms)
    try:
        with translated(path):
            await connection.call(lambda database: _check_schema(path, database))
    except BaseException:
        await close_quietly(connection)
        raise
    return connection


def _has_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _check_schema(path: Path, database: sqlite3.Connection) -> None:
    database.execute("PRAGMA query_only = ON")
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if not 1 <= version <= SCHEMA_VERSION:
        raise AuditError(
            str(path),
            f"is not an audit that this perpguard can read (schema {version}, it knows {SCHEMA_VERSION}): "
            "check the path, or use the perpguard that wrote it",
        )


def _issued(direct: list[StoredRecord], command_id: str) -> tuple[StoredRecord, Command] | None:
    for stored in direct:
        if isinstance(stored.record, Step):
            for published in stored.record.commands:
                if published.command.id == command_id:
                    return stored, published.command
    return None


@dataclass(frozen=True, slots=True)
class _Change:
    """One record's word on findings of one reason: whether it opens any, bad enough to act, or ends one."""

    number: int
    opens: bool
    acute: bool
    closes: bool


def _telling(changes: Sequence[_Change]) -> set[int]:
    """The first and the last opening, and those at which it became, or ceased to be, bad enough to act."""
    openings = [each for each in changes if each.opens]
    turns = {later.number for earlier, later in pairwise(openings) if earlier.acute is not later.acute}
    return turns | {each.number for each in (*openings[:1], *openings[-1:])}


def touches(finding: Finding, reason: Reason, command: Command) -> bool:
    """Whether a finding of ``reason`` can have been why ``command`` was given."""
    subject = finding.subject
    return (
        finding.reason is reason
        and subject.bot in {None, command.bot}
        and (
            subject.market is None
            or command.symbol == ALL_SYMBOLS
            or symbol_of(subject.market) == command.symbol
        )
    )
