"""One line for each audit record, for lists. No I/O."""

from __future__ import annotations

from guard.account.risk import AccountRisk
from guard.audit import (
    AnyRecord,
    AuditGap,
    Billed,
    CommandTraced,
    RecordRestored,
    SamplesRetired,
    SamplesSealed,
    SegmentClosed,
    SegmentOpened,
    SegmentRetired,
    Sent,
    SessionClosed,
    SessionOpened,
    SettingsReloaded,
    Step,
)
from guard.bill_words import billed_words
from guard.events import AnyEvent, BotAcked, BotBorn, LinkChanged, LinkKind, SettingsChanged, StreamFault
from guard.explain_hops import traced_words
from guard.explain_outlook import outlook_line
from guard.explain_words import utc_words
from guard.findings import Finding
from guard.leverage.margin_pool import LiquidationKind
from guard.units import symbol_of

__all__ = ["record_words", "utc_words"]

OUTLOOKS_TOLD = 3
"""In one line."""

Keeping = (
    AuditGap
    | SegmentClosed
    | SegmentOpened
    | SegmentRetired
    | SamplesSealed
    | SamplesRetired
    | RecordRestored
)
"""Records about the record itself."""


def record_words(record: AnyRecord) -> str:
    """What a record says, in one line."""
    match record:
        case SessionOpened():
            return f"{record.guard} began to decide, {record.mode} mode, epoch {record.epoch}"
        case SessionClosed(why=why):
            return f"the guard stopped: {why}"
        case SettingsReloaded():
            return reload_words(record)
        case Sent(subject=subject, bot=bot, ok=ok, detail=detail):
            return f"{subject} to {bot}: {'taken by the broker' if ok else f'not sent, {detail}'}"
        case Step():
            return _step_words(record)
        case _:
            return _other_words(record)


def _other_words(record: CommandTraced | Billed | Keeping) -> str:
    if isinstance(record, Billed):
        return billed_words(record)
    return traced_words(record) if isinstance(record, CommandTraced) else _keeping_words(record)


def _keeping_words(record: Keeping) -> str:
    match record:
        case AuditGap(records_lost=missing, why=why):
            said = f"gap: {why}" + (f", {missing} record(s) lost" if missing else "")
        case SegmentClosed(segment=segment, first_number=first, last_number=last):
            said = f"segment {segment} ends here: records {first} to {last + 1}"
        case SegmentOpened(segment=segment, former_number=former):
            said = f"segment {segment} begins, after record {former}"
        case SegmentRetired(first_number=first, last_number=last, why=why):
            said = f"records {first} to {last} are removed: {why}"
        case SamplesSealed(file=file, samples=samples, dropped=dropped):
            said = f"samples {file} are complete: {samples}" + (f", {dropped} dropped" if dropped else "")
        case SamplesRetired(file=file, why=why):
            said = f"samples {file} are removed: {why}"
        case RecordRestored(source=source, records=records, epoch=epoch):
            said = f"put back from {source} with {records} records; epochs up to {epoch} are taken"
    return said


def reload_words(record: SettingsReloaded) -> str:
    """What a reload changed, or why it changed nothing."""
    changes = [
        f"{each.path} {each.old} -> {each.new}" + (f" ({each.effect})" if each.effect != "neutral" else "")
        for each in record.changes
    ]
    if not record.applied:
        why = "; ".join(record.problems)
        return f"settings refused, the former ones go on ({record.cause}): {why}"
    if not changes:
        return f"settings read again ({record.cause}): nothing differs from those that hold"
    return f"settings changed ({record.cause}): {'; '.join(changes)}"


def _step_words(step: Step) -> str:
    parts = [f"found {_finding_words(finding)}" for finding in step.opened]
    parts += [f"over: {_finding_words(finding)}" for finding in step.closed]
    parts += [
        f"posture {each.posture.version} of {each.posture.bot} {'tightened' if each.tightens else 'set'}"
        for each in step.postures
        if each.changed
    ]
    for publish in step.commands:
        again = "" if publish.attempt == 1 else f", attempt {publish.attempt}"
        command = publish.command
        parts.append(f"{command.verb} {command.symbol} to {command.bot} ({command.id}{again})")
    parts += [f"{each.command_id} {each.outcome}: {each.detail}" for each in step.outcomes]
    parts += [_assessed_words(risk) for risk in step.assessed]
    parts += [outlook_line(outlook) for outlook in step.outlooks[:OUTLOOKS_TOLD]]
    if len(step.outlooks) > OUTLOOKS_TOLD:
        parts.append(f"outlooks of {len(step.outlooks) - OUTLOOKS_TOLD} more")
    event = _event_words(step.event)
    return f"{event}: {'; '.join(parts)}" if parts else event


def _assessed_words(risk: AccountRisk) -> str:
    """An account in a few words: what is nearest, and by how far a common move it fails."""
    nearest = min(
        (leg for leg in risk.legs if leg.distance_bps is not None),
        key=lambda leg: leg.distance_bps or 0.0,
        default=None,
    )
    stress = min((each.distance_bps for each in risk.stress if each.distance_bps is not None), default=None)
    unknown = sum(leg.kind is LiquidationKind.MISSING for leg in risk.legs)
    parts = (
        []
        if nearest is None
        else [f"{symbol_of(nearest.market)} {nearest.distance_bps:.0f} bps from liquidation"]
    )
    if stress is not None:
        parts.append(f"fails at a move of {stress:.0f} bps")
    if unknown:
        parts.append(f"{unknown} liquidation price(s) not known")
    return f"assessed {risk.account}" + (f" ({', '.join(parts)})" if parts else "")


def _event_words(event: AnyEvent) -> str:  # noqa: PLR0911 (one case a line is the table)
    """What caused a step: its kind, and for what is recorded for its own sake also what it says."""
    kind = str(event.__struct_config__.tag).replace("_", " ")
    match event:
        case BotAcked(ack=ack):
            return f"{ack.bot} answered {ack.status} to {ack.command_id}" + (
                f" ({ack.detail})" if ack.detail else ""
            )
        case BotBorn(birth=birth):
            return f"{birth.bot} was born ({birth.software} {birth.software_version}, {birth.mode})"
        case LinkChanged(link=LinkKind.SETTINGS | LinkKind.CLOCK, detail=detail):
            return detail
        case LinkChanged(link=link, up=up, detail=detail):
            return f"{link} {'is there' if up else 'is away'} ({detail})"
        case SettingsChanged(settings_digest=digest):
            return f"the settings are now {digest}"
        case StreamFault(subject=subject, stream=stream, fault=fault, detail=detail):
            return f"{stream} of {subject} {fault}" + (f" ({detail})" if detail else "")
        case _:
            return kind


def _finding_words(finding: Finding) -> str:
    subject = finding.subject
    named = (subject.market, subject.account, subject.bot, subject.venue)
    about = [str(each) for each in named if each is not None]
    return f"{finding.reason} ({finding.severity}{', ' if about else ''}{', '.join(about)})"
