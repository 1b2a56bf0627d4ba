"""What the records tell of one command, gathered for whoever explains it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from guard.audit import (
    AnyRecord,
    AuditGap,
    Billed,
    CommandTraced,
    Sent,
    SessionOpened,
    SettingsReloaded,
    Step,
)
from guard.billed import BillLine
from guard.commands import CommandOutcome
from guard.events import AnyEvent, BotAcked
from guard.findings import Finding, Severity
from guard.forecasts import MarketOutlook
from guard.units import Nanoseconds
from perpguard_sdk.messages import Ack, Command, Posture


@dataclass(slots=True)
class Standing:
    """A finding and when it began, since when it is bad enough to act, and, if it did, ended."""

    finding: Finding
    opened_at: Nanoseconds | None
    acute_at: Nanoseconds | None = None
    closed_at: Nanoseconds | None = None


@dataclass(slots=True)
class Story:
    """One command, what led to it, and what became of it."""

    command_id: str
    session: SessionOpened | None = None
    reloaded: SettingsReloaded | None = None
    command: Command | None = None
    issued_at: Nanoseconds = 0
    attempts: list[tuple[Nanoseconds, int]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    traced: list[CommandTraced] = field(default_factory=list)
    acks: list[tuple[Nanoseconds, Ack]] = field(default_factory=list)
    outcome: CommandOutcome | None = None
    outcome_event: AnyEvent | None = None
    left_open: AuditGap | None = None
    findings: dict[object, Standing] = field(default_factory=dict)
    outlooks: list[MarketOutlook] = field(default_factory=list)
    posture_before: Posture | None = None
    posture_after: Posture | None = None
    billed: BillLine | None = None


def gather(records: Sequence[AnyRecord], command_id: str) -> Story:
    """Gather what ``records``, in order, tell of the command and of what stood when it was given."""
    story = Story(command_id)
    bot = _bot_of(records, command_id)
    for record in records:
        match record:
            case SessionOpened() if story.command is None:
                story.session, story.reloaded = record, None
                # What ended under a former guard is not what this one gives back.
                story.findings = {key: each for key, each in story.findings.items() if each.closed_at is None}
            case SettingsReloaded(applied=True) if record.changes and story.command is None:
                story.reloaded = record
            case Sent(subject=subject) if subject == command_id:
                story.sent.append(record)
            case CommandTraced(command_id=traced) if traced == command_id:
                story.traced.append(record)
            case Billed():
                told = [*(each.told for each in record.memory.open), *record.lines]
                story.billed = next((each for each in told if each.decision == command_id), story.billed)
            case AuditGap(commands=named) if command_id in named:
                story.left_open = record
            case Step():
                _gather_step(story, record, bot)
            case _:
                pass
    return story


def _gather_step(story: Story, step: Step, bot: str | None) -> None:
    led_to_it = story.command is None
    if led_to_it:
        _gather_findings(story, step)
        story.outlooks += step.outlooks
    _gather_commands(story, step)
    for publish in step.postures if led_to_it else ():
        if publish.posture.bot == bot and story.command is None:
            story.posture_before = publish.posture
        elif publish.posture.bot == bot:
            story.posture_after = publish.posture
    if isinstance(step.event, BotAcked) and step.event.ack.command_id == story.command_id:
        story.acks.append((step.at, step.event.ack))
    for outcome in step.outcomes:
        if outcome.command_id == story.command_id:
            story.outcome, story.outcome_event = outcome, step.event


def _gather_commands(story: Story, step: Step) -> None:
    for publish in step.commands:
        if publish.command.id == story.command_id:
            story.attempts.append((step.at, publish.attempt))
            if story.command is None:
                story.command, story.issued_at = publish.command, step.at


def _gather_findings(story: Story, step: Step) -> None:
    for finding in step.closed:
        standing = story.findings.setdefault(finding.key, Standing(finding, None))
        standing.closed_at = step.at
    for finding in step.opened:
        known = story.findings.get(finding.key)
        if known is None or known.closed_at is not None:
            known = Standing(finding, step.at)
        is_acute = finding.severity in ACUTE
        acute_at = (known.acute_at or step.at) if is_acute else None
        story.findings[finding.key] = Standing(finding, known.opened_at, acute_at)


ACUTE = (Severity.ACT, Severity.CRITICAL)


def _bot_of(records: Iterable[AnyRecord], command_id: str) -> str | None:
    steps = (record for record in records if isinstance(record, Step))
    commands = (publish.command for step in steps for publish in step.commands)
    return next((command.bot for command in commands if command.id == command_id), None)
