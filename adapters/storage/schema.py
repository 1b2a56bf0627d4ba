"""The tables of the audit, and what of each record goes into them besides its bytes. No I/O.

``records`` is the chain. ``record_command``, ``record_posture`` and ``record_finding`` say which records
concern what; ``epoch`` and ``posture`` are what a restarted guard starts from; all five follow from the
records and verify compares them. ``meta`` holds how many records there are and the last hash, so that
records cut off at the end show. ``span`` holds which part of the chain is in this file: the records up to
``base_number`` went to segments (see ``segments``), those up to ``retired_number`` are gone for good.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace

import msgspec

from guard.audit import (
    GENESIS_HASH,
    AnyRecord,
    AuditGap,
    CommandTraced,
    RecordRestored,
    SegmentOpened,
    SegmentRetired,
    Sent,
    SessionOpened,
    Step,
    chain_hash,
    encode_record,
)
from guard.events import BotAcked, CommandSent, GuardStarted, InstructionSeen
from guard.findings import Reason
from perpguard_sdk.messages import Posture

SCHEMA_VERSION = 3

TABLES = """
CREATE TABLE IF NOT EXISTS meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  schema_version INTEGER NOT NULL,
  records INTEGER NOT NULL,
  last_hash TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS records (
  number INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  body TEXT NOT NULL CHECK (json_valid(body)),
  hash TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS record_command (
  command_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (command_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS record_command_number ON record_command (number);
CREATE TABLE IF NOT EXISTS record_posture (
  bot TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (bot, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS record_posture_number ON record_posture (number);
CREATE TABLE IF NOT EXISTS record_finding (
  reason TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (reason, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS record_finding_number ON record_finding (number);
CREATE TABLE IF NOT EXISTS epoch (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  epoch INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS posture (
  bot TEXT PRIMARY KEY,
  body TEXT NOT NULL CHECK (json_valid(body))
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS span (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  segment INTEGER NOT NULL,
  opened_number INTEGER NOT NULL,
  base_number INTEGER NOT NULL,
  base_hash TEXT NOT NULL,
  retired_number INTEGER NOT NULL,
  retired_hash TEXT NOT NULL
) STRICT;
"""

INDEX_TABLES = {"record_command": "command_id", "record_finding": "reason", "record_posture": "bot"}
"""Which records concern what: the tables with a row for each, and what they are looked up by."""

_posture_encoder = msgspec.json.Encoder()
_posture_decoder = msgspec.json.Decoder(Posture)


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of the chain a file holds.

    Attributes:
        segment: the number of the segment that is written, or that this file is; the first is 1.
        opened_number: its first record, 0 for the first segment.
        base_number: records up to this one are not in the file, and the hash of that one.
        retired_number: records up to this one were removed by retention, and the hash of that one.
    """

    segment: int = 1
    opened_number: int = 0
    base_number: int = 0
    base_hash: str = GENESIS_HASH
    retired_number: int = 0
    retired_hash: str = GENESIS_HASH

    @property
    def closed_number(self) -> int:
        """The last record of the last closed segment, 0 if there is none."""
        return max(self.opened_number - 1, 0)

    def after(self, number: int, record: AnyRecord) -> Span:
        """What it is once this record was written."""
        match record:
            case SegmentOpened():
                return replace(
                    self,
                    segment=record.segment,
                    opened_number=number,
                    retired_number=record.retired_number,
                    retired_hash=record.retired_hash,
                )
            case SegmentRetired():
                return replace(self, retired_number=record.last_number, retired_hash=record.last_hash)
            case _:
                return self


def read_span(database: sqlite3.Connection) -> Span:
    """The span of a file, also of one of schema 1, which had none. Raises sqlite3.Error."""
    if int(database.execute("PRAGMA user_version").fetchone()[0]) < 2:
        return Span()
    row = database.execute(
        "SELECT segment, opened_number, base_number, base_hash, retired_number, retired_hash FROM span"
    ).fetchone()
    return Span(*row) if row is not None else Span()


def write_span(database: sqlite3.Connection, span: Span) -> None:
    """Replace it, in the transaction that is open."""
    database.execute("INSERT OR REPLACE INTO span VALUES (1, ?, ?, ?, ?, ?, ?)", astuple(span))


@dataclass(frozen=True, slots=True)
class Row:
    """A record ready to be stored: its link of the chain and what it is indexed under."""

    number: int
    record: AnyRecord
    body: bytes
    hash: str

    @property
    def columns(self) -> tuple[int, int, str, str, str]:
        return (self.number, self.record.at, kind_of(self.record), self.body.decode(), self.hash)


def rows_after(number: int, last_hash: str, records: list[AnyRecord]) -> Iterator[Row]:
    """Number and chain ``records`` behind record ``number``."""
    for record in records:
        body = encode_record(record)
        number += 1
        last_hash = chain_hash(last_hash, body)
        yield Row(number, record, body, last_hash)


def kind_of(record: AnyRecord) -> str:
    return str(record.__struct_config__.tag)


def commands_of(record: AnyRecord) -> set[str]:
    """Ids of the commands that a record concerns."""
    match record:
        case Sent(subject=subject) if not subject.startswith("posture:"):
            return {subject}
        case CommandTraced(command_id=command_id):
            return {command_id}
        case AuditGap(commands=named):
            return set(named)
        case Step(event=event, commands=commands, outcomes=outcomes):
            ids = {published.command.id for published in commands}
            ids |= {outcome.command_id for outcome in outcomes}
            match event:
                case BotAcked(ack=ack):
                    ids.add(ack.command_id)
                case CommandSent(command_id=command_id):
                    ids.add(command_id)
                case _:
                    pass
            return ids
        case _:
            return set()


def remembered_of(record: AnyRecord) -> dict[str, Posture]:
    """The last posture of each bot that a record decides, or carries over from the former segment."""
    if isinstance(record, SegmentOpened):
        return {posture.bot: posture for posture in record.postures}
    return postures_of(record)


def postures_of(record: AnyRecord) -> dict[str, Posture]:
    """The last posture of each bot that a record decides."""
    if not isinstance(record, Step):
        return {}
    return {published.posture.bot: published.posture for published in record.postures}


def reasons_of(record: AnyRecord) -> set[str]:
    """Reasons of the findings that a record opens or closes; what a human tells counts as one, whatever it opens."""
    if not isinstance(record, Step):
        return set()
    reasons = {finding.reason.value for finding in (*record.opened, *record.closed)}
    if isinstance(record.event, InstructionSeen):
        reasons.add(Reason.INSTRUCTED.value)
    return reasons


def epoch_of(record: AnyRecord) -> int:
    """The highest epoch that a record speaks of, 0 for none."""
    match record:
        case SessionOpened(epoch=epoch) | SegmentOpened(epoch=epoch) | RecordRestored(epoch=epoch):
            return epoch
        case Step(event=GuardStarted(epoch=epoch)):
            return epoch
        case Step(postures=postures, commands=commands):
            epochs = [published.posture.epoch for published in postures]
            epochs += [published.command.epoch for published in commands]
            return max(epochs, default=0)
        case _:
            return 0


def encode_posture(posture: Posture) -> str:
    return _posture_encoder.encode(posture).decode()


def decode_posture(body: str) -> Posture:
    """Read a stored posture. Raises msgspec.DecodeError."""
    return _posture_decoder.decode(body)
