"""One command in plain words, from the records that concern it, for someone who did not write any of this.

What the records do not hold is said to be missing and never guessed. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from guard.audit import AnyRecord, Sent, SessionOpened, Step
from guard.commands import CommandOutcome, OutcomeKind
from guard.events import AccountSnapshot, AnyEvent, BotAcked, BotReported, PositionSource
from guard.explain_words import (
    REASONS,
    SEVERITIES,
    VERBS,
    evidence_words,
    list_words,
    number_words,
    posture_words,
    price_words,
    size_words,
)
from guard.findings import Finding, Reason
from guard.units import NS_PER_S, Nanoseconds, symbol_of
from perpguard_sdk.messages import (
    ALL_SYMBOLS,
    Ack,
    AckStatus,
    Command,
    CutLeverage,
    Evidence,
    Mode,
    Posture,
    Resume,
    WidenStops,
)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its sentences."""

    heading: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A command explained; ``outcome`` is ``None`` while nothing is known of its effect."""

    command_id: str
    title: str
    sections: tuple[Section, ...]
    outcome: OutcomeKind | None

    @property
    def text(self) -> str:
        """The whole of it, a paragraph a section, without line breaks inside sentences."""
        parts = [self.title]
        for section in self.sections:
            parts += ["", section.heading, *(f"  {sentence}" for sentence in section.sentences)]
        return "\n".join(parts)


def explain(records: Sequence[AnyRecord], command_id: str) -> Explanation:
    """Explain the command ``command_id`` (its full id) from ``records``, which are in order.

    Records that concern other commands may be among them; the more of what led to it, the better.
    """
    story = _gather(records, command_id)
    if story.command is None:
        known = [*_sending(story), *_outcome(story)]
        sentences = (
            "The decision to give this command is not in the audit, so why it was given cannot be told.",
            *known,
        )
        section = Section("What is known", sentences)
        return Explanation(command_id, f"Command {command_id}", (section,), _kind(story))
    command = story.command
    title = f"Command {command_id}: {VERBS[command.verb]}, bot {command.bot}, {_symbol(command)}"
    sections = (
        Section("What was asked", tuple(_asked(story, command))),
        Section("Why", tuple(_why(story, command))),
        Section("What the bot was allowed before and after", tuple(_postures(story, command))),
        Section("How it was sent and answered", tuple(_sending(story))),
        Section("What came of it", tuple(_outcome(story))),
        Section("The position and what it cost", tuple(_position(story, command))),
    )
    return Explanation(command_id, title, sections, _kind(story))


@dataclass(slots=True)
class _Standing:
    """A finding and when it began and, if it did, ended."""

    finding: Finding
    opened_at: Nanoseconds | None
    closed_at: Nanoseconds | None = None


@dataclass(slots=True)
class _Story:
    command_id: str
    session: SessionOpened | None = None
    command: Command | None = None
    issued_at: Nanoseconds = 0
    attempts: list[tuple[Nanoseconds, int]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    acks: list[tuple[Nanoseconds, Ack]] = field(default_factory=list)
    outcome: CommandOutcome | None = None
    outcome_event: AnyEvent | None = None
    findings: dict[object, _Standing] = field(default_factory=dict)
    posture_before: Posture | None = None
    posture_after: Posture | None = None


def _gather(records: Sequence[AnyRecord], command_id: str) -> _Story:
    story = _Story(command_id)
    bot = _bot_of(records, command_id)
    for record in records:
        match record:
            case SessionOpened() if story.command is None:
                story.session = record
            case Sent(subject=subject) if subject == command_id:
                story.sent.append(record)
            case Step():
                _gather_step(story, record, bot)
            case _:
                pass
    return story


def _gather_step(story: _Story, step: Step, bot: str | None) -> None:
    led_to_it = story.command is None
    if led_to_it:
        _gather_findings(story, step)
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


def _gather_commands(story: _Story, step: Step) -> None:
    for publish in step.commands:
        if publish.command.id == story.command_id:
            story.attempts.append((step.at, publish.attempt))
            if story.command is None:
                story.command, story.issued_at = publish.command, step.at


def _gather_findings(story: _Story, step: Step) -> None:
    for finding in step.closed:
        standing = story.findings.setdefault(finding.key, _Standing(finding, None))
        standing.closed_at = step.at
    for finding in step.opened:
        known = story.findings.get(finding.key)
        since = known.opened_at if known is not None and known.closed_at is None else step.at
        story.findings[finding.key] = _Standing(finding, since)


def _bot_of(records: Iterable[AnyRecord], command_id: str) -> str | None:
    steps = (record for record in records if isinstance(record, Step))
    commands = (publish.command for step in steps for publish in step.commands)
    return next((command.bot for command in commands if command.id == command_id), None)


def _asked(story: _Story, command: Command) -> Iterator[str]:
    since = _main_finding(story, command)
    after = ""
    if since is not None and since.opened_at is not None and not isinstance(command, Resume):
        waited_s = (story.issued_at - since.opened_at) / NS_PER_S
        waited = f"{waited_s:.3g} s after" if waited_s >= 0.001 else "as soon as"
        after = f", {waited} the finding behind it opened,"
    yield f"At {_utc(story.issued_at)}{after} the guard asked bot {command.bot} {_request(command)}."
    if command.dry_run:
        yield "It was given in paper mode: only paper bots act on it."
    if story.session is not None:
        session = story.session
        mode = "live" if session.mode is Mode.LIVE else "paper"
        yield (
            f"The guard was {session.guard}, version {session.software_version}, in {mode} mode since "
            f"{_utc(session.at)} (epoch {session.epoch}); this was the bot's command number {command.seq} "
            "in that epoch."
        )


def _request(command: Command) -> str:
    on = _symbol(command)
    match command:
        case CutLeverage(max_leverage=leverage, max_size=size):
            return (
                f"to reduce its position in {on} to at most {size_words(size, on)} and to use no more than "
                f"{number_words(leverage)} times leverage from then on"
            )
        case WidenStops(max_size=size, stop=stop):
            to = "where the posture says" if stop.stop_price is None else f"to {price_words(stop.stop_price)}"
            return (
                f"to reduce its position in {on} to at most {size_words(size, on)} first, and only then to move "
                f"its protective stop {to}"
            )
        case Resume(entries=entries):
            return f"to loosen again on {on}: entries {posture_entries(entries)}"
        case _:
            return (
                f"to enter nothing new on {on} (entries {posture_entries(command.entries)}) and to cancel "
                "the resting orders that could enter"
            )


def posture_entries(entries: str) -> str:
    """An entries level in words."""
    return entries.replace("_", "-")


def _why(story: _Story, command: Command) -> Iterator[str]:
    if isinstance(command, Resume):
        yield from _why_resumed(story, command)
        return
    main = _main_finding(story, command)
    if main is None:
        yield f"{_reason_words(command.reason)} The finding itself is not among the records."
        yield from _evidence(command.evidence)
        return
    yield REASONS[main.finding.reason]
    yield f"The policy {main.finding.policy} found this and called it {SEVERITIES[main.finding.severity]}."
    # What stood in the command is what was known when it was given; the finding may have moved since.
    yield from _evidence(command.evidence or main.finding.evidence)
    yield from _counterfactual(main.finding.counterfactual)
    others = [
        standing
        for standing in story.findings.values()
        if standing is not main and standing.closed_at is None and _concerns(standing.finding, command)
    ]
    for standing in others:
        yield f"At the same time: {_decapitalised(REASONS[standing.finding.reason])}"


def _counterfactual(text: str) -> Iterator[str]:
    rest = text.removeprefix("would not stand")
    if rest != text:
        yield f"The finding would not have stood{rest}."
    elif text:
        yield f"What would have had to be different: {text}."


def _why_resumed(story: _Story, command: Command) -> Iterator[str]:
    ended = sorted(
        (
            standing
            for standing in story.findings.values()
            if standing.closed_at is not None and _concerns(standing.finding, command)
        ),
        key=lambda standing: standing.closed_at or 0,
    )
    if not ended:
        yield "What it was restricted for had ended; the records do not hold what that was."
    else:
        yield "What the bot had been restricted for was over, and stayed so for the hold-down:"
    for standing in ended:
        lasted = ""
        if standing.opened_at is not None and standing.closed_at is not None:
            lasted = f" after {_duration(standing.closed_at - standing.opened_at)}"
        ago = _duration(story.issued_at - (standing.closed_at or 0))
        reason = standing.finding.reason.value.replace("_", " ")
        yield f"- {reason} ended{lasted}, {ago} before this command ({_utc(standing.closed_at or 0)})."
    standing_still = [
        standing
        for standing in story.findings.values()
        if standing.closed_at is None and _concerns(standing.finding, command)
    ]
    for standing in standing_still:
        yield f"Still standing, and asking for no more than this: {_decapitalised(REASONS[standing.finding.reason])}"
    yield from _evidence(command.evidence)


def _evidence(evidence: Sequence[Evidence]) -> Iterator[str]:
    if evidence:
        yield f"What was measured: {'; '.join(evidence_words(each) for each in evidence)}."


def _postures(story: _Story, command: Command) -> Iterator[str]:
    symbol = command.symbol
    if story.posture_before is None:
        yield "Before: no earlier posture of this bot is in the records."
    else:
        yield f"Before (posture {story.posture_before.version}): {posture_words(story.posture_before, symbol)}."
    if story.posture_after is None:
        yield f"After: the command refers to posture {command.posture_version}; no new one was made with it."
    else:
        yield f"After (posture {story.posture_after.version}): {posture_words(story.posture_after, symbol)}."


def _sending(story: _Story) -> Iterator[str]:
    again = [at for at, attempt in story.attempts if attempt > 1]
    if again:
        when = list_words([_duration(at - story.issued_at) for at in again])
        yield f"It was decided to send the same command again {when} after the decision."
    for sent in story.sent:
        if sent.ok:
            total_us = sent.hops_us.get("total")
            took = "" if total_us is None else f", {total_us / 1000:.1f} ms after what caused it had arrived"
            yield f"The broker took it {_after(story, sent.at)}{took}."
        else:
            yield f"It could not be handed to the broker {_after(story, sent.at)}: {sent.detail or 'no detail'}."
    if not story.sent:
        yield "No record says that the broker took it: the guard may have stopped before, or the disk was away."
    for at, ack in story.acks:
        yield _ack_words(story, at, ack)
    if not story.acks:
        yield "No ack was received from the bot."
    elif all(ack.status is AckStatus.RECEIVED for _, ack in story.acks):
        yield "The bot never said that it had applied it."


def _ack_words(story: _Story, at: Nanoseconds, ack: Ack) -> str:
    words = f"The bot answered {ack.status!s} {_after(story, at)}"
    if ack.detail:
        words += f": {ack.detail}"
    effect = ack.effect
    if effect is None:
        return words + "."
    said = []
    if effect.size_before is not None and effect.size_after is not None:
        moved = effect.size_before != effect.size_after
        before, after = number_words(effect.size_before), number_words(effect.size_after)
        said.append(
            f"its position went from {before} to {after}" if moved else f"its position stayed {after}"
        )
    if effect.stop_price_after is not None:
        said.append(f"its stop is at {price_words(effect.stop_price_after)}")
    if effect.orders_cancelled:
        said.append(f"it cancelled {_orders(effect.orders_cancelled)}")
    if effect.orders_placed:
        said.append(f"it placed {_orders(effect.orders_placed)}")
    return f"{words} and says that {list_words(said)}." if said else words + "."


def _outcome(story: _Story) -> Iterator[str]:
    outcome = story.outcome
    if outcome is None:
        yield "No effect has been judged: the command was still open where the records end."
        return
    detail = outcome.detail or "no detail"
    when = _after(story, outcome.judged_at)
    source = {
        "venue": "the venue's own positions and orders",
        "bot": "the bot's own report",
        "nobody": "nothing, because nobody can tell",
    }.get(outcome.source, outcome.source)
    match outcome.outcome:
        case OutcomeKind.CONFIRMED:
            yield f"Confirmed {when}, judged from {source}: {detail}."
        case OutcomeKind.FAILED:
            yield f"Failed {when}, judged from {source}: {detail}."
            if any(ack.status is AckStatus.APPLIED for _, ack in story.acks):
                yield "The bot's answer that it had applied it is not believed: an ack proves nothing by itself."
            yield "The guard takes a failed command as a finding of its own, tightens further and asks again."
        case OutcomeKind.UNVERIFIABLE:
            yield f"Given up {when}, because whether it took effect could not be seen: {detail}."
            yield "Not seen is not taken for done: it stands as a finding until it is seen."
        case OutcomeKind.SUPERSEDED:
            yield f"Superseded {when}, before its effect was judged: {detail}."


def _position(story: _Story, command: Command) -> Iterator[str]:
    measured = {each.name: each.value for each in command.evidence if isinstance(each.value, float | int)}
    said = [ack.effect for _, ack in story.acks if ack.effect is not None]
    before = next(
        (each.size_before for each in said if each.size_before is not None), measured.get("position")
    )
    after, whose = _size_after(story, command)
    if before is None and after is None:
        yield "What position the bot held is not in the records."
    else:
        shown = "" if after is None else f", as {whose} shows it"
        yield f"Before: {_known_size(before, command)}."
        yield f"After: {_known_size(after, command)}{shown}."
    if not isinstance(command, CutLeverage | WidenStops):
        yield (
            "It traded nothing by itself, so it cost nothing but the trades that were not made; those are unknown."
        )
        return
    exit_bps, mark = measured.get("exit cost of the position"), measured.get("mark price")
    if before is None or after is None or exit_bps is None or mark is None:
        yield "What the reduction cost is not in the records; the venue's trade history has it."
        return
    traded_usd = max(abs(before) - abs(after), 0.0) * mark
    yield (
        f"By the book at that time, reducing {traded_usd:,.0f} USD cost about {traded_usd * exit_bps / 10_000:,.0f} "
        f"USD or less ({exit_bps:.1f} bps for the whole position), fees not counted. That is an estimate; what the "
        "trades really cost stands in the venue's trade history."
    )


def _known_size(size: float | None, command: Command) -> str:
    return "not in the records" if size is None else size_words(size, command.symbol)


def _size_after(story: _Story, command: Command) -> tuple[float | None, str]:
    match story.outcome_event:
        case AccountSnapshot(source=source, positions=positions) if source is not PositionSource.SETTINGS:
            sizes = [each.size for each in positions if symbol_of(each.market) == command.symbol]
            whose = "the venue's account" if source is PositionSource.VENUE else "the bot's report"
            return sum(sizes), whose
        case BotReported(reported=reported) if reported.bot == command.bot and reported.positions_known:
            return sum(
                each.size for each in reported.positions if each.symbol == command.symbol
            ), "the bot's report"
        case _:
            sizes_said = [ack.effect.size_after for _, ack in story.acks if ack.effect is not None]
            return next((each for each in reversed(sizes_said) if each is not None), None), "the bot's answer"


def _main_finding(story: _Story, command: Command) -> _Standing | None:
    """The standing finding that the command names; the worst-placed one is not guessed."""
    found = [
        standing
        for standing in story.findings.values()
        if standing.finding.reason == command.reason
        and standing.closed_at is None
        and _concerns(standing.finding, command)
    ]
    exact = [standing for standing in found if standing.finding.evidence == command.evidence]
    candidates = exact or found
    return candidates[-1] if candidates else None


def _concerns(finding: Finding, command: Command) -> bool:
    subject = finding.subject
    if subject.bot not in {None, command.bot}:
        return False
    return subject.market is None or command.symbol in {ALL_SYMBOLS, symbol_of(subject.market)}


def _reason_words(reason: str) -> str:
    return REASONS[Reason(reason)] if reason in set(Reason) else f"The reason given is {reason}."


def _kind(story: _Story) -> OutcomeKind | None:
    return None if story.outcome is None else story.outcome.outcome


def _symbol(command: Command) -> str:
    return "every market" if command.symbol == ALL_SYMBOLS else command.symbol


def _orders(ids: Sequence[str]) -> str:
    return f"the order {ids[0]}" if len(ids) == 1 else f"the orders {list_words(list(ids))}"


def _after(story: _Story, at: Nanoseconds) -> str:
    if not story.issued_at:
        return f"at {_utc(at)}"
    return f"{_duration(at - story.issued_at)} after the decision"


def _duration(duration_ns: Nanoseconds) -> str:
    seconds = duration_ns / NS_PER_S
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _utc(at: Nanoseconds) -> str:
    moment = datetime.fromtimestamp(at // NS_PER_S, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{at % NS_PER_S // 1_000_000:03d} UTC"


def _decapitalised(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
