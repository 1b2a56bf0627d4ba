"""One command in plain words, from the records that concern it, for someone who did not write any of this.

What the records do not hold is said to be missing and never guessed. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guard.audit import AnyRecord, CommandTraced, Sent
from guard.bill_words import bill_words
from guard.commands import OutcomeKind
from guard.events import AccountSnapshot, BotReported, PositionSource
from guard.explain_hops import way_words
from guard.explain_outlook import changes_words
from guard.explain_reasons import REASONS, reason_name, reason_words
from guard.explain_story import (
    Standing,
    Story,
    ended,
    gather,
    main_finding,
    others,
    place_of,
    restricts,
)
from guard.explain_words import (
    DRY_RUN,
    SEVERITIES,
    VERBS,
    ack_words,
    changed_words,
    counterfactual_words,
    decapitalised,
    detail_words,
    duration_words,
    evidence_words,
    list_words,
    market_words,
    near_words,
    offer_words,
    posture_words,
    request_words,
    size_words,
    utc_words,
    wick_words,
)
from guard.findings import Finding, Reason
from guard.units import Nanoseconds, symbol_of, venue_of
from perpguard_sdk.messages import (
    AckStatus,
    Command,
    CutLeverage,
    Evidence,
    Mode,
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
    """A command explained; ``outcome`` is ``None`` while nothing is known of its effect.

    ``traced`` is where the time of each of its attempts went, as far as it was written down.
    """

    command_id: str
    title: str
    sections: tuple[Section, ...]
    outcome: OutcomeKind | None
    traced: tuple[CommandTraced, ...] = ()

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
    story = gather(records, command_id)
    if story.command is None:
        known = [*_sending(story), *_outcome(story)]
        sentences = (
            "The decision to give this command is not in the audit, so why it was given cannot be told.",
            *known,
        )
        section = Section("What is known", sentences)
        return Explanation(command_id, f"Command {command_id}", (section,), _kind(story), tuple(story.traced))
    command = story.command
    title = f"Command {command_id}: {VERBS[command.verb]}, bot {command.bot}, {market_words(command)}"
    sections = (
        Section("What was asked", tuple(_asked(story, command))),
        Section("Why", tuple(_why(story, command))),
        *_state(story, command),
        Section("What the bot was allowed before and after", tuple(_postures(story, command))),
        Section("How it was sent and answered", tuple(_sending(story))),
        *_way(story),
        Section("What came of it", tuple(_outcome(story))),
        Section("The position and what it cost", tuple(_position(story, command))),
        *_billed(story),
    )
    return Explanation(command_id, title, sections, _kind(story), tuple(story.traced))


def _asked(story: Story, command: Command) -> Iterator[str]:
    main = main_finding(story, command)
    after = "" if main is None or isinstance(command, Resume) else _waited(story, main)
    yield f"At {utc_words(story.issued_at)}{after} the guard asked bot {command.bot} {request_words(command)}."
    if command.dry_run:
        yield "It was given in paper mode: only paper bots act on it."
    if story.session is not None:
        session = story.session
        mode = "live" if session.mode is Mode.LIVE else "paper"
        yield (
            f"The guard was {session.guard}, version {session.software_version}, in {mode} mode since "
            f"{utc_words(session.at)} (epoch {session.epoch}); this was the bot's command number {command.seq} "
            "in that epoch."
        )
    if story.reloaded is not None:
        yield changed_words(story.reloaded, story.issued_at)


def _state(story: Story, command: Command) -> Iterator[Section]:
    """What state the market was in; left out where no outlook of it was recorded before."""
    venue = place_of(story, command).venue
    told = [
        each
        for each in story.outlooks
        if symbol_of(each.market) == command.symbol and venue in {"", venue_of(each.market)}
    ]
    venues = {each.market for each in told}
    for market in sorted(venues):
        words = tuple(changes_words(each for each in told if each.market == market))
        if words:
            where = "the market" if len(venues) == 1 else str(market)
            yield Section(f"What state {where} was in", words)


def _waited(story: Story, main: Standing) -> str:
    since = main.acute_at or main.opened_at
    if since is None:
        return ""
    waited_ns = story.issued_at - since
    happened = "became bad enough to act" if main.acute_at not in {None, main.opened_at} else "opened"
    when = "as soon as" if waited_ns < 1_000_000 else f"{duration_words(waited_ns)} after"
    return f", {when} the finding behind it {happened},"


def _why(story: Story, command: Command) -> Iterator[str]:
    if isinstance(command, Resume):
        yield from _why_resumed(story, command)
        return
    main = main_finding(story, command)
    # What stood in the command is what was known when it was given; the finding may have moved since.
    evidence = command.evidence or (() if main is None else main.finding.evidence)
    yield from list(_chain(command, evidence)) or [reason_words(command.reason)]
    if main is None:
        yield "The finding itself is not among the records."
    else:
        yield f"The policy {main.finding.policy} found this and called it {SEVERITIES[main.finding.severity]}."
        if main.finding.evidence == command.evidence:
            yield from _counterfactual(main.finding.counterfactual)
        yield from (f"A human could do this instead: {offer_words(each)}." for each in main.finding.offers)
    also = (_also(each.finding) for each in others(story, main, command))
    yield from dict.fromkeys(f"At the same time: {decapitalised(words)}" for words in also)
    yield from _evidence(evidence, command.symbol)


def _chain(command: Command, evidence: Sequence[Evidence]) -> Iterator[str]:
    match command.reason:
        case Reason.LIQUIDATION_NEAR:
            yield from near_words(evidence, command.symbol)
        case Reason.STOP_IN_THIN_ZONE:
            yield from wick_words(evidence, command.symbol)
        case _:
            pass


def _also(finding: Finding) -> str:
    whose = "" if finding.subject.account is None else f" (account {finding.subject.account})"
    words = REASONS[finding.reason]
    return f"{words.removesuffix('.')}{whose}." if whose else words


def _counterfactual(text: str) -> Iterator[str]:
    if text:
        yield counterfactual_words(text)


def _why_resumed(story: Story, command: Command) -> Iterator[str]:
    over = ended(story, command)
    before = story.posture_before
    if over:
        yield (
            "What the bot had been restricted for was over, and stayed so for the hold-down "
            "(an end is recorded once it has lasted for 5 s):"
        )
    elif before is not None and before.reasons:
        why = list_words([reason_name(reason) for reason in before.reasons])
        yield f"What the bot had been restricted for was over: {why}. When it ended is not in the records."
    else:
        yield (
            "Nobody asked for the restriction any more. What it was for is not in the records; a guard that has "
            "just started allows no entries until it has seen fresh data."
        )
    yield from dict.fromkeys(f"- {ended_words(each, story.issued_at)}." for each in over)
    still = [REASONS[each.finding.reason] for each in others(story, None, command) if restricts(each.finding)]
    for words in dict.fromkeys(still):
        yield f"Still standing, and asking for no more than this: {decapitalised(words)}"
    yield from _evidence(command.evidence, command.symbol)


def ended_words(standing: Standing, at: Nanoseconds) -> str:
    """What was over, how long it had lasted and how long ago it ended before ``at``."""
    lasted = ""
    if standing.opened_at is not None and standing.closed_at is not None:
        lasted = f" after {duration_words(standing.closed_at - standing.opened_at)}"
    ago = duration_words(at - (standing.closed_at or 0))
    return f"{reason_name(standing.finding.reason)}: ended{lasted}, {ago} before this command"


def _evidence(evidence: Sequence[Evidence], symbol: str) -> Iterator[str]:
    if evidence:
        yield "What was measured:"
    for each in evidence:
        yield f"- {evidence_words(each, symbol)}"


def _postures(story: Story, command: Command) -> Iterator[str]:
    symbol, before, after = command.symbol, story.posture_before, story.posture_after
    if before is not None and (after is None or after.version == before.version):
        yield f"Before and after (posture {before.version}): {posture_words(before, symbol)}."
        return
    if before is None:
        yield "Before: no earlier posture of this bot is in the records."
    else:
        yield f"Before (posture {before.version}): {posture_words(before, symbol)}."
    if after is None:
        yield f"After: the command refers to posture {command.posture_version}; no new one was made with it."
    else:
        yield f"After (posture {after.version}): {posture_words(after, symbol)}."


def _sending(story: Story) -> Iterator[str]:
    again = [at for at, attempt in story.attempts if attempt > 1]
    if again:
        when = list_words([duration_words(at - story.issued_at) for at in again])
        yield f"It was decided to send the same command again {when} after the decision."
    for sent in story.sent:
        if sent.ok:
            yield _taken(story, sent)
        else:
            yield f"It could not be handed to the broker {_after(story, sent.at)}: {sent.detail or 'no detail'}."
    if not story.sent:
        yield "No record says that the broker took it: the guard may have stopped before, or the disk was away."
    for at, ack in story.acks:
        yield ack_words(ack, _after(story, at), "" if story.command is None else story.command.symbol)
    if not story.acks:
        yield "No ack was received from the bot."
    elif all(ack.status is AckStatus.RECEIVED for _, ack in story.acks):
        yield "The bot never said that it had applied it."


def _taken(story: Story, sent: Sent) -> str:
    total_us = sent.hops_us.get("total")
    if total_us is None or len(story.attempts) > 1 or story.traced:
        return f"The broker took it {_after(story, sent.at)}."
    names = {"decide": "deciding", "durable": "writing it down", "publish": "handing it over"}
    hops = [f"{what} {sent.hops_us[hop] / 1000:.1f} ms" for hop, what in names.items() if hop in sent.hops_us]
    of_it = f" ({list_words(hops)})" if hops else ""
    return f"The broker took it {total_us / 1000:.1f} ms after what caused it had arrived{of_it}."


def _way(story: Story) -> Iterator[Section]:
    """Left out where nothing was written down of it, as in records of former versions."""
    if story.traced:
        words = (sentence for record in story.traced for sentence in way_words(record))
        yield Section("Where its time went", tuple(words))


def _outcome(story: Story) -> Iterator[str]:
    outcome = story.outcome
    if outcome is None:
        gap, end = story.left_open, "the command was still open where the records end"
        found = f"its guard ended before, as the next one found at {utc_words(gap.at)}" if gap else end
        yield f"No effect has been judged: {found}."
        return
    symbol = "" if story.command is None else story.command.symbol
    detail = detail_words(outcome.detail, symbol) or "no detail"
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
        case OutcomeKind.UNVERIFIABLE if outcome.detail.startswith(DRY_RUN):
            seen = detail.partition("; ")[2]
            yield (
                "It was a dry run: the bot obeys only a guard in the other mode, so nothing was expected of it"
                + (f". What was seen {when}: {seen}." if seen else ".")
            )
        case OutcomeKind.UNVERIFIABLE:
            yield f"Given up {when}, because whether it took effect could not be seen: {detail}."
            yield "Not seen is not taken for done: it stands as a finding until it is seen."
        case OutcomeKind.SUPERSEDED:
            yield f"Superseded {when}, before its effect was judged: {detail}."


def _billed(story: Story) -> Iterator[Section]:
    """Left out where no bill was kept."""
    if story.billed is not None:
        yield Section("What it saved and what it cost", tuple(bill_words(story.billed)))


def _position(story: Story, command: Command) -> Iterator[str]:
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


def _size_after(story: Story, command: Command) -> tuple[float | None, str]:
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


def _kind(story: Story) -> OutcomeKind | None:
    return None if story.outcome is None else story.outcome.outcome


def _after(story: Story, at: Nanoseconds) -> str:
    if not story.issued_at:
        return f"at {utc_words(at)}"
    return f"{duration_words(at - story.issued_at)} after the decision"
