"""What the records tell of one command, gathered for whoever explains it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
from guard.events import AccountSnapshot, AnyEvent, BotAcked, BotBorn
from guard.findings import Finding, Severity
from guard.forecasts import MarketOutlook
from guard.units import NS_PER_S, AccountId, Nanoseconds, account_id, symbol_of, venue_of
from perpguard_sdk.messages import ALL_SYMBOLS, Ack, Command, CutLeverage, Posture, Resume, WidenStops


@dataclass(slots=True)
class Standing:
    """A finding and when it began, since when it is bad enough to act, and, if it did, ended.

    ``index`` is the place, among the records, of the one that told of it last; so are all that are named so.
    """

    finding: Finding
    opened_at: Nanoseconds | None
    acute_at: Nanoseconds | None = None
    closed_at: Nanoseconds | None = None
    index: int = 0


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
    account: AccountId | None = None
    """The bot's, by its birth or the bill of another of its commands."""
    issued_index: int | None = None
    outcome_index: int | None = None
    before_index: int | None = None
    billed_index: int | None = None
    companions: tuple[Command, ...] = ()
    """Other commands that the same decision gave to the same bot."""


def gather(records: Sequence[AnyRecord], command_id: str) -> Story:
    """Gather what ``records``, in order, tell of the command and of what stood when it was given."""
    story = Story(command_id)
    bot = _bot_of(records, command_id)
    for index, record in enumerate(records):
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
                found = next((each for each in told if each.decision == command_id), None)
                story.account = next((each.account for each in told if each.bot == bot), story.account)
                if found is not None:
                    story.billed, story.billed_index = found, index
            case AuditGap(commands=named) if command_id in named:
                story.left_open = record
            case Step():
                _gather_step(story, record, bot, index)
            case _:
                pass
    return story


def _gather_step(story: Story, step: Step, bot: str | None, index: int) -> None:
    led_to_it = story.command is None
    if led_to_it:
        _gather_findings(story, step, index)
        story.outlooks += step.outlooks
    _gather_commands(story, step, index)
    for publish in step.postures if led_to_it else ():
        if publish.posture.bot == bot and story.command is None:
            story.posture_before, story.before_index = publish.posture, index
        elif publish.posture.bot == bot:
            story.posture_after = publish.posture
    if isinstance(step.event, BotBorn) and step.event.birth.bot == bot:
        story.account = account_id(step.event.birth.venue, step.event.birth.account)
    if isinstance(step.event, BotAcked) and step.event.ack.command_id == story.command_id:
        story.acks.append((step.at, step.event.ack))
    for outcome in step.outcomes:
        if outcome.command_id == story.command_id:
            story.outcome, story.outcome_event, story.outcome_index = outcome, step.event, index


def _gather_commands(story: Story, step: Step, index: int) -> None:
    for publish in step.commands:
        if publish.command.id == story.command_id:
            story.attempts.append((step.at, publish.attempt))
            if story.command is None:
                story.command, story.issued_at, story.issued_index = publish.command, step.at, index
                given = (each.command for each in step.commands if each.attempt == 1)
                story.companions = tuple(
                    each for each in given if each.bot == publish.command.bot and each.id != story.command_id
                )


def _gather_findings(story: Story, step: Step, index: int) -> None:
    for finding in step.closed:
        standing = story.findings.setdefault(finding.key, Standing(finding, None))
        standing.closed_at, standing.index = step.at, index
    for finding in step.opened:
        known = story.findings.get(finding.key)
        if known is None or known.closed_at is not None:
            known = Standing(finding, step.at)
        is_acute = finding.severity in ACUTE
        acute_at = (known.acute_at or step.at) if is_acute else None
        story.findings[finding.key] = Standing(finding, known.opened_at, acute_at, index=index)


ACUTE = (Severity.ACT, Severity.CRITICAL)


def _bot_of(records: Iterable[AnyRecord], command_id: str) -> str | None:
    steps = (record for record in records if isinstance(record, Step))
    commands = (publish.command for step in steps for publish in step.commands)
    return next((command.bot for command in commands if command.id == command_id), None)


def others(story: Story, main: Standing | None, command: Command) -> Iterator[Standing]:
    """What else stood and concerned the bot; of other accounts only where the bot's own is not known."""
    place = place_of(story, command)
    for standing in story.findings.values():
        if standing is main or standing.closed_at is not None or not concerns(standing.finding, command):
            continue
        if not is_elsewhere(standing.finding, place):
            yield standing


def ended(story: Story, command: Command) -> list[Standing]:
    """What had restricted the bot and was over, first ended first.

    The posture before says what it was for. What ended after that began to stand prolonged it.
    """
    place = place_of(story, command)
    over = [
        each
        for each in story.findings.values()
        if each.closed_at is not None
        and restricts(each.finding)
        and concerns(each.finding, command)
        and not is_elsewhere(each.finding, place)
    ]
    named = () if story.posture_before is None else story.posture_before.reasons
    since = min((each.opened_at or 0 for each in over if each.finding.reason in named), default=0)
    found = sorted((each for each in over if (each.closed_at or 0) >= since), key=_closed_at)
    return found if named else _unbroken(found)


def _unbroken(found: list[Standing]) -> list[Standing]:
    """Those that followed on one another up to the last: what ended long before the next began is another story."""
    kept: list[Standing] = []
    began: Nanoseconds | None = None
    for standing in reversed(found):
        if began is not None and (standing.closed_at or 0) < began - GAP_NS:
            break
        kept.append(standing)
        opened = standing.opened_at if standing.opened_at is not None else standing.closed_at or 0
        began = opened if began is None else min(began, opened)
    return kept[::-1]


GAP_NS = 180 * NS_PER_S
"""What is restricted stays so at least about as long after its end, for the hold-down and its steps."""


def _closed_at(standing: Standing) -> Nanoseconds:
    return standing.closed_at or 0


def restricts(finding: Finding) -> bool:
    """Whether entries were blocked, or kept blocked, because of it."""
    return finding.limit.entries is not None or finding.freezes


def main_finding(story: Story, command: Command) -> Standing | None:
    """The standing finding that the command names: the one of its evidence, else one that asks for as much."""
    place = _place_told(story, command)
    found = [
        standing
        for standing in story.findings.values()
        if standing.finding.reason == command.reason
        and standing.closed_at is None
        and concerns(standing.finding, command)
        and not is_elsewhere(standing.finding, place)
    ]
    exact = [standing for standing in found if standing.finding.evidence == command.evidence]
    asking = [standing for standing in found if asks_for(standing.finding, command)]
    candidates = exact or asking or found
    return max(candidates, key=_closeness) if candidates else None


def _closeness(standing: Standing) -> tuple[bool, bool, int]:
    """Of findings that may be meant: what is about the very market, what is acute, what was told of last."""
    finding = standing.finding
    return finding.subject.market is not None, finding.severity in ACUTE, standing.index


def asks_for(finding: Finding, command: Command) -> bool:
    """Whether a finding's limit asks for the kind of thing that a command does."""
    limit = finding.limit
    match command:
        case CutLeverage():
            return limit.max_size is not None or limit.max_leverage is not None
        case WidenStops():
            return limit.stop is not None
        case _:
            return limit.entries is not None or limit.entry_share is not None


def concerns(finding: Finding, command: Command) -> bool:
    """Whether a finding touches the bot and the market of a command."""
    subject = finding.subject
    if subject.bot not in {None, command.bot}:
        return False
    return subject.market is None or command.symbol in {ALL_SYMBOLS, symbol_of(subject.market)}


@dataclass(frozen=True, slots=True)
class Place:
    """Whose bot a command was for, as far as the records tell: empty where they do not."""

    account: str = ""
    venue: str = ""


def place_of(story: Story, command: Command) -> Place:
    """From what names the bot's account, or else from the finding behind the command."""
    told = _place_told(story, command)
    if told.account or isinstance(command, Resume):
        return told
    main = main_finding(story, command)
    subject = None if main is None else main.finding.subject
    if subject is not None and subject.account is not None:
        return Place(subject.account, venue_of(subject.account))
    return (
        Place(venue=venue_of(subject.market)) if subject is not None and subject.market is not None else told
    )


def _place_told(story: Story, command: Command) -> Place:
    """From its bill, the account that it was judged by, what was found of the bot, the market it was followed in."""
    event = story.outcome_event
    named = [] if story.billed is None else [story.billed.account]
    if isinstance(event, AccountSnapshot):
        named.append(event.account)
    if story.account is not None:
        named.append(story.account)
    subjects = [each.finding.subject for each in story.findings.values()]
    named += [each.account for each in subjects if each.account is not None and each.bot == command.bot]
    if named:
        return Place(named[0], venue_of(named[0]))
    markets = [each.market for each in story.traced if each.market is not None]
    return Place(venue=venue_of(markets[0])) if markets else Place()


def is_elsewhere(finding: Finding, place: Place) -> bool:
    """Whether a finding is about another account, or a market of another venue, than a command."""
    subject = finding.subject
    if place.account and subject.account not in {None, place.account}:
        return True
    venue = subject.venue if subject.market is None else venue_of(subject.market)
    return bool(place.venue) and venue not in {None, place.venue}
