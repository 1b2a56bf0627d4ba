"""What is written down: one record for each decision, sending, ack, effect and gap, chained by hashes.

Records are values; adapters/storage keeps them. The chain is SHA-256 over the previous record's hash,
a newline, and the record's exact JSON bytes, so that a changed, removed, reordered or inserted record
shows. This module does no I/O.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec
from msgspec import Struct, structs

from guard.account.risk import AccountRisk
from guard.billed import BillDay, BillLine, BillMemory
from guard.commands import CommandOutcome, PublishCommand, PublishPosture
from guard.events import (
    AnyEvent,
    BotAcked,
    BotBorn,
    EpochContested,
    GuardStarted,
    LinkChanged,
    MarketsSampled,
    OutlookRestored,
    SettingsChanged,
    StreamFault,
)
from guard.findings import Finding
from guard.forecasts import MarketOutlook
from guard.hops import Hop
from guard.units import MarketId, Nanoseconds, symbol_of
from perpguard_sdk.messages import Mode, Posture

GENESIS_HASH = "0" * 64


class Record(Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """Base of all records; ``at`` is our clock, Unix nanoseconds."""

    at: Nanoseconds


class SessionOpened(Record, frozen=True, kw_only=True, tag="session_opened"):
    """The daemon started to decide."""

    guard: str
    epoch: int
    session: str
    mode: Mode
    software_version: str
    settings_digest: str


class SessionClosed(Record, frozen=True, kw_only=True, tag="session_closed"):
    """The daemon stopped in order."""

    session: str
    why: str


class SettingChange(Struct, frozen=True, kw_only=True):
    """One setting that differs; lists are told by name, as in ``bots.alpha.symbols``. Never holds a secret.

    ``effect`` says in words what it does to protection: ``loosens: ...``, ``tightens`` or ``neutral``.
    """

    path: str
    old: str
    new: str
    effect: str


class SettingsReloaded(Record, frozen=True, kw_only=True, tag="settings_reloaded"):
    """The settings were read again while the guard ran: all of ``changes`` hold from here on, or none.

    ``problems`` says why none, where that is so.
    """

    cause: str
    applied: bool
    former_digest: str
    settings_digest: str
    changes: tuple[SettingChange, ...] = ()
    problems: tuple[str, ...] = ()


_ALWAYS_RECORDED = (
    BotAcked,
    BotBorn,
    EpochContested,
    GuardStarted,
    LinkChanged,
    OutlookRestored,
    StreamFault,
    SettingsChanged,
)
"""Events that are recorded even when nothing follows from them."""


class Step(Record, frozen=True, kw_only=True, tag="step"):
    """What the engine made of one event; ``at`` is the event's ``received_at``.

    ``opened`` are findings that are new or whose severity, limit or freeze changed, ``closed`` those
    that no policy says any more. ``assessed`` are the trader's accounts, where something about them is new.
    ``outlooks`` are what is estimated of markets: where the regime is another, and of each now and then.
    """

    event: AnyEvent
    opened: tuple[Finding, ...] = ()
    closed: tuple[Finding, ...] = ()
    postures: tuple[PublishPosture, ...] = ()
    commands: tuple[PublishCommand, ...] = ()
    outcomes: tuple[CommandOutcome, ...] = ()
    assessed: tuple[AccountRisk, ...] = ()
    outlooks: tuple[MarketOutlook, ...] = ()

    @property
    def is_decision(self) -> bool:
        """Whether there is anything to record: most events change nothing, and a refresh says nothing new."""
        return (
            bool(
                self.opened or self.closed or self.commands or self.outcomes or self.assessed or self.outlooks
            )
            or any(posture.changed for posture in self.postures)
            or isinstance(self.event, _ALWAYS_RECORDED)
        )

    @property
    def tightens(self) -> bool:
        """Whether anything in it must not wait long for the disk."""
        return bool(self.commands) or any(posture.tightens for posture in self.postures)


SAMPLES_RECORDED_MAX = 16
"""Samples of one event in its record, of the markets that the decision concerns, commands' first: 30 KB."""


def abridged(step: Step) -> Step:
    """The step as it is recorded: of many samples only those of the markets that something was decided about.

    What a finding was based on is its own evidence; all samples are kept apart, where settings ask for it, and what
    was learned in a former run lies in a file beside the record.
    """
    event = step.event
    if isinstance(event, OutlookRestored):
        return structs.replace(step, event=structs.replace(event, memory=b""))
    if not isinstance(event, MarketsSampled):
        return step
    symbols = {publish.command.symbol for publish in step.commands}
    concerned = {finding.subject.market for finding in (*step.opened, *step.closed)}
    chosen = [sample for sample in event.samples if symbol_of(sample.market) in symbols]
    chosen += [
        sample
        for sample in event.samples
        if sample.market in concerned and symbol_of(sample.market) not in symbols
    ]
    kept = tuple(chosen[:SAMPLES_RECORDED_MAX])
    left_out = event.left_out + len(event.samples) - len(kept)
    return structs.replace(step, event=structs.replace(event, samples=kept, left_out=left_out))


class Sent(Record, frozen=True, kw_only=True, tag="sent"):
    """The broker took a message, or did not. ``subject`` is a command id or ``posture:BOT:VERSION``.

    ``hops_us`` holds what was known of its way by then, in microseconds (see ``guard.hops``), and as ``total`` the
    time from the causing event's receipt.
    """

    subject: str
    bot: str
    ok: bool
    detail: str = ""
    hops_us: dict[str, float] = {}


class TraceEnd(StrEnum):
    """Why no more was waited for before a command's hops were written down."""

    ANSWERED = "answered"
    """The bot's first answer to it arrived."""
    JUDGED = "judged"
    """What became of it was known before any answer."""
    REPEATED = "repeated"
    """The same command was decided to be sent again: a later answer is counted for that attempt."""
    STOPPED = "stopped"
    """The guard stopped, or too many others were open."""


class CommandTraced(Record, frozen=True, kw_only=True, tag="command_traced"):
    """How long one attempt of a command took from station to station, written after the fact.

    ``hops_ns`` holds what is known, in nanoseconds (see ``guard.hops``); ``cause`` is the kind of event that was
    decided upon. ``sent_ahead``: the record was not on the disk yet when it was sent. ``venue_lag_ms`` is the least
    that any of the venue's messages took of late by its clock and ours, which bounds how much of the hop ``venue``
    is their difference. ``bot_at`` is when the bot answered by its own idea of our clock, to the millisecond.
    """

    command_id: str
    bot: str
    attempt: int
    cause: str
    end: TraceEnd
    hops_ns: dict[Hop, Nanoseconds]
    market: MarketId | None = None
    sent_ahead: bool = False
    venue_lag_ms: float | None = None
    bot_at: Nanoseconds | None = None


class AuditGap(Record, frozen=True, kw_only=True, tag="audit_gap"):
    """Something was sent before it could be recorded, or could not be recorded at all.

    ``commands`` are ids of commands whose outcome nobody recorded, because their guard ended before it knew.
    """

    from_at: Nanoseconds
    records_lost: int
    why: str
    commands: tuple[str, ...] = ()


class SegmentClosed(Record, frozen=True, kw_only=True, tag="segment_closed"):
    """The last record of a segment: what the records before it in this segment were.

    ``last_number`` and ``last_hash`` are of the record before this one; ``first_at`` is the time of the
    segment's first record.
    """

    segment: int
    first_number: int
    last_number: int
    last_hash: str
    first_at: Nanoseconds


class SegmentOpened(Record, frozen=True, kw_only=True, tag="segment_opened"):
    """The first record of a segment: where the former one ended, and what a guard would start from.

    Records up to ``retired_number`` (with its hash) were removed in order, as ``SegmentRetired`` said.
    """

    segment: int
    former_number: int
    former_hash: str
    epoch: int
    postures: tuple[Posture, ...] = ()
    retired_number: int = 0
    retired_hash: str = GENESIS_HASH


class SegmentRetired(Record, frozen=True, kw_only=True, tag="segment_retired"):
    """A segment is removed by retention, the oldest first: not a gap in the chain, but its new beginning."""

    first_number: int
    last_number: int
    last_hash: str
    why: str


class SamplesSealed(Record, frozen=True, kw_only=True, tag="samples_sealed"):
    """A file of samples is complete; ``sha256`` is of its bytes, ``dropped`` counts those there was no room for."""

    file: str
    sha256: str
    size_bytes: int
    samples: int
    dropped: int
    from_at: Nanoseconds
    to_at: Nanoseconds


class SamplesRetired(Record, frozen=True, kw_only=True, tag="samples_retired"):
    """A sealed file of samples is removed by retention."""

    file: str
    sha256: str
    why: str


class Billed(Record, frozen=True, kw_only=True, tag="billed"):
    """What decisions saved and cost: those that ended since the record before, and a UTC day that is over.

    ``memory`` is all that a guard that is started anew goes on from; the sums of the whole run are in it.
    """

    memory: BillMemory
    lines: tuple[BillLine, ...] = ()
    day: BillDay | None = None


class RecordRestored(Record, frozen=True, kw_only=True, tag="record_restored"):
    """The record was put back from a backup: what was decided after ``made_at`` is not in it.

    ``epoch`` is the highest that was known when it was put back; the next claim goes above it.
    """

    source: str
    made_at: Nanoseconds
    records: int
    last_hash: str
    epoch: int


AnyRecord = (
    SessionOpened
    | SessionClosed
    | SettingsReloaded
    | Step
    | Sent
    | CommandTraced
    | Billed
    | AuditGap
    | SegmentClosed
    | SegmentOpened
    | SegmentRetired
    | SamplesSealed
    | SamplesRetired
    | RecordRestored
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)


def encode_record(record: Record) -> bytes:
    """The exact bytes that are stored and hashed."""
    return _encoder.encode(record)


def decode_record(body: bytes | str) -> AnyRecord:
    """Read a stored record.

    Raises:
        msgspec.DecodeError: the bytes are not a record of this version.
    """
    return _decoder.decode(body)


def chain_hash(previous_hash: str, body: bytes) -> str:
    """Hash of a record that follows ``previous_hash``.

    >>> chain_hash(GENESIS_HASH, b"{}")[:12]
    '5649d09ed68c'
    """
    return hashlib.sha256(previous_hash.encode() + b"\n" + body).hexdigest()
