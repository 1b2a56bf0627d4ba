"""What humans have told the guard: tighter limits, exceptions, silences, releases; each by somebody, until a time.

They are told from outside (``perpguard override``, or any program with the key), kept by id in the state, and judged by
time alone: before it begins and once it has expired an instruction is as if it had never been. No I/O, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Final

from msgspec import structs

from guard.events import GuardStarted, InstructionSeen
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.units import AccountId, BotId, MarketId, Nanoseconds, ms_of, venue_of
from perpguard_sdk.messages import Entries, Evidence, Instruction, InstructionKind

POLICY_NAME = "instruction"

ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
TEXT_MAX: Final = 200
NAME_MAX: Final = 128
NAMES_MAX: Final = 64
AHEAD_MS_MAX: Final = 60_000
"""So far may the clock of whoever tells be ahead of ours."""
PLANNED_DAYS_MAX: Final = 60
"""So far ahead may what is planned begin."""
TOLD_MAX: Final = 256
"""So many that have not expired; more of them are somebody's mistake."""

UNKNOWN_REASONS: Final = frozenset(
    {
        Reason.STALE_DATA,
        Reason.BOOK_UNUSABLE,
        Reason.BASELINE_COLD,
        Reason.ACCOUNT_UNKNOWN,
        Reason.LIQUIDATION_UNKNOWN,
        Reason.VENUE_SLOW,
        Reason.BOT_SILENT,
    }
)
"""What a planned maintenance of a venue causes: a silence that names no reasons is about these."""

LOOSENS: Final = frozenset({InstructionKind.IGNORE, InstructionKind.RELEASE, InstructionKind.SILENCE})
_MS_PER_HOUR = 3_600_000


@dataclass(slots=True)
class Instructions:
    """All that were told and have not expired, by id; of one id the one that was told last.

    One that was withdrawn is kept for as long as it would have held, so that it cannot be played back.
    """

    told: dict[str, Instruction] = field(default_factory=dict)
    _heard: dict[str, tuple[int, int]] = field(default_factory=dict)
    """When each was told last, and until when any word of it would have held: one made shorter is not played back."""
    _in_force: tuple[Instruction, ...] = ()
    _from: Nanoseconds = 0
    _until: Nanoseconds = 0

    def hear(self, event: GuardStarted | InstructionSeen) -> None:
        """Note what is told now, or was told to a former guard."""
        told = (event.instruction,) if isinstance(event, InstructionSeen) else event.instructions
        for each in told:
            self.take(each, event.received_at)

    def take(self, instruction: Instruction, now: Nanoseconds) -> bool:
        """Note one; return whether it says anything new."""
        for name in [name for name, each in self.told.items() if each.expires_at <= ms_of(now)]:
            del self.told[name]
        for name in [name for name, (_, until) in self._heard.items() if until <= ms_of(now)]:
            del self._heard[name]
        known = self.told.get(instruction.id)
        said_at, until = self._heard.get(instruction.id, (0, 0))
        if instruction.expires_at <= ms_of(now) or instruction.ts <= said_at:
            return False
        if not said_at and len(self._heard) >= TOLD_MAX:
            return False
        self._heard[instruction.id] = instruction.ts, max(until, instruction.expires_at)
        expires_at = instruction.expires_at
        if known is not None and instruction.withdrawn:
            expires_at = max(expires_at, known.expires_at)
        self.told[instruction.id] = structs.replace(instruction, expires_at=expires_at)
        self._until = 0
        return True

    def in_force(self, now: Nanoseconds) -> tuple[Instruction, ...]:
        """Those that hold at ``now``, by id; the same tuple as before while they are the same."""
        if not self._from <= now < self._until:
            self._look(now)
        return self._in_force

    def _look(self, now: Nanoseconds) -> None:
        now_ms = ms_of(now)
        held = tuple(self.told[name] for name in sorted(self.told) if is_in_force(self.told[name], now_ms))
        if held != self._in_force:
            self._in_force = held
        ends = [each.expires_at for each in self.told.values() if each.expires_at > now_ms]
        begins = [each.starts_at for each in self.told.values() if each.starts_at > now_ms]
        next_ms = min((*ends, *begins), default=2**62 // 1_000_000)
        self._from, self._until = now, next_ms * 1_000_000

    def findings(self, now: Nanoseconds) -> Iterator[Finding]:
        """Yield one for each that is in force: those that tighten ask for it, all are seen while they hold."""
        for each in self.in_force(now):
            yield finding_of(each)


def is_in_force(instruction: Instruction, now_ms: int) -> bool:
    """Whether it has begun, has not expired and was not withdrawn."""
    return not instruction.withdrawn and instruction.starts_at <= now_ms < instruction.expires_at


def concerns(
    instruction: Instruction, *, bot: BotId | None, account: AccountId | None, market: MarketId | None
) -> bool:
    """Whether it is about a bot in a market; a field that it does not name stands for every one."""
    venue = None if market is None else venue_of(market)
    pairs = (
        (instruction.venue, venue),
        (instruction.market, market),
        (instruction.account, account),
        (instruction.bot, bot),
    )
    return all(named is None or named == each for named, each in pairs)


def names(instruction: Instruction, finding: Finding) -> bool:
    """Whether it is about what a finding says: its reason or its policy; a silence of none is about the unknown."""
    if finding.reason is Reason.INSTRUCTED:
        return False
    if instruction.kind is InstructionKind.SILENCE and not instruction.reasons and not instruction.policies:
        return finding.reason in UNKNOWN_REASONS
    return finding.reason.value in instruction.reasons or finding.policy in instruction.policies


def is_excepted(finding: Finding, instruction: Instruction) -> bool:
    """Whether an exception that names a finding is for it: one of what is imminent only where that is forced."""
    return names(instruction, finding) and (not finding.imminent or instruction.forced)


def heeded(
    findings: Sequence[Finding],
    instructions: Sequence[Instruction],
    *,
    bot: BotId,
    account: AccountId,
    market: MarketId,
) -> list[Finding]:
    """What is asked of one bot in one market once exceptions and silences are taken off, in the same order.

    What is excepted is asked for no more. What is silenced still keeps entries as it asks, and cuts nothing and moves
    no stop; nothing that is imminent is silenced.
    """
    about = [each for each in instructions if concerns(each, bot=bot, account=account, market=market)]
    ignored = [each for each in about if each.kind is InstructionKind.IGNORE]
    silent = [each for each in about if each.kind is InstructionKind.SILENCE]
    if not ignored and not silent:
        return list(findings)
    kept = []
    for finding in findings:
        if any(is_excepted(finding, each) for each in ignored):
            continue
        if not finding.imminent and any(names(each, finding) for each in silent):
            limit = Limit(entries=finding.limit.entries, entry_share=finding.limit.entry_share)
            kept.append(finding if limit == finding.limit else structs.replace(finding, limit=limit))
            continue
        kept.append(finding)
    return kept


def is_silenced(finding: Finding, instructions: Sequence[Instruction]) -> bool:
    """Whether nobody should be told of a finding now because of a silence that covers all it is about."""
    subject = finding.subject
    market, account, bot = subject.market, subject.account, subject.bot
    return not finding.imminent and any(
        each.kind is InstructionKind.SILENCE
        and names(each, finding)
        and (
            concerns(each, bot=bot, account=account, market=market)
            or (market is None and subject.venue is not None and _is_of_venue(each, subject.venue))
        )
        for each in instructions
    )


def _is_of_venue(instruction: Instruction, venue: str) -> bool:
    others = (instruction.market, instruction.account, instruction.bot)
    return instruction.venue == venue and others == (None, None, None)


def is_released(
    instructions: Sequence[Instruction], *, bot: BotId, account: AccountId, market: MarketId
) -> bool:
    """Whether a human has said that what was closed may be opened again."""
    return any(
        each.kind is InstructionKind.RELEASE and concerns(each, bot=bot, account=account, market=market)
        for each in instructions
    )


def finding_of(instruction: Instruction) -> Finding:
    """What is seen of an instruction while it is in force, and what it asks for."""
    until = datetime.fromtimestamp(instruction.expires_at / 1000.0, UTC)
    tightens = instruction.kind not in LOOSENS
    told = [
        Evidence(name="told by", value=instruction.author, unit="person"),
        Evidence(name="because", value=instruction.reason, unit="text"),
        Evidence(name="kind", value=instruction.kind.value, unit="kind"),
    ]
    about = (*instruction.reasons, *instruction.policies)
    if about:
        told.append(Evidence(name="about", value=", ".join(about), unit="reasons"))
    return Finding(
        policy=f"{POLICY_NAME}:{instruction.id}",
        reason=Reason.INSTRUCTED,
        severity=Severity.ACT if tightens else Severity.WATCH,
        subject=Subject(
            venue=instruction.venue,
            market=None if instruction.market is None else MarketId(instruction.market),
            account=None if instruction.account is None else AccountId(instruction.account),
            bot=None if instruction.bot is None else BotId(instruction.bot),
        ),
        limit=_limit_of(instruction),
        evidence=tuple(told),
        counterfactual=f"would not stand once it is withdrawn, or after {until:%Y-%m-%d %H:%M:%S} UTC",
    )


def _limit_of(instruction: Instruction) -> Limit:
    match instruction.kind:
        case InstructionKind.PAUSE:
            return Limit(entries=instruction.entries or Entries.REDUCE_ONLY)
        case InstructionKind.HALT:
            return Limit(entries=Entries.HALTED)
        case InstructionKind.CAP:
            return Limit(
                max_size=instruction.max_size,
                max_leverage=instruction.max_leverage,
                entry_share=instruction.entry_share,
            )
        case _:
            return Limit()


def problem_of(instruction: Instruction, name: str, now_ms: int, hours_max: int) -> str:
    """Say what cannot be about an instruction, empty for nothing; whoever tells one asks this too.

    Args:
        instruction: what is told.
        name: the id in its topic.
        now_ms: Unix milliseconds.
        hours_max: the longest that any may hold.
    """
    if instruction.id != name or ID.fullmatch(name) is None:
        return f"id {instruction.id[:64]!r}: as in its topic, small letters, digits and -, 48 at most"
    for what, text in (("author", instruction.author), ("reason", instruction.reason)):
        if not 0 < len(text.strip()) <= TEXT_MAX or not text.isprintable():
            return f"{what}: say in 1 to {TEXT_MAX} printable characters who it is, and why"
    return (
        _problem_of_times(instruction, now_ms, hours_max)
        or _problem_of_subject(instruction)
        or _problem_of_kind(instruction)
    )


def _problem_of_times(instruction: Instruction, now_ms: int, hours_max: int) -> str:
    begins = max(instruction.starts_at, now_ms)
    if not 0 < instruction.ts <= now_ms + AHEAD_MS_MAX:
        return f"ts {instruction.ts} lies in the future: set the clock"
    if not 0 <= instruction.starts_at <= now_ms + PLANNED_DAYS_MAX * 24 * _MS_PER_HOUR:
        return f"starts_at lies more than {PLANNED_DAYS_MAX} days ahead"
    if instruction.expires_at <= begins:
        return "expires_at: it must end after it has begun, and later than now"
    if instruction.expires_at - begins > hours_max * _MS_PER_HOUR:
        return f"expires_at: {hours_max} hours at most (broker.instruction_hours_max); tell it anew then"
    return ""


def _problem_of_subject(instruction: Instruction) -> str:
    named = (instruction.venue, instruction.market, instruction.account, instruction.bot)
    if any(each is not None and not 0 < len(each) <= NAME_MAX for each in named):
        return f"a name of 1 to {NAME_MAX} characters says what it is about"
    for what, each in (("market", instruction.market), ("account", instruction.account)):
        if each is not None and ":" not in each:
            return f"{what} {each!r}: write venue:{what}"
    market, venue = instruction.market, instruction.venue
    if market is not None and venue is not None and venue_of(MarketId(market)) != venue:
        return f"market {market!r} is not of venue {venue!r}"
    return ""


def _problem_of_kind(instruction: Instruction) -> str:  # noqa: PLR0911 (one case a line is the table)
    known = {reason.value for reason in Reason} - {Reason.INSTRUCTED.value}
    if len(instruction.reasons) + len(instruction.policies) > NAMES_MAX:
        return f"{NAMES_MAX} reasons and policies at most"
    if unknown := [each for each in instruction.reasons if each not in known]:
        return f"reason {unknown[0][:64]!r} is none; `perpguard override reasons` lists them"
    if instruction.kind is InstructionKind.IGNORE and not (instruction.reasons or instruction.policies):
        return "say which reasons or policies are to be ignored"
    numbers = (instruction.max_size, instruction.max_leverage, instruction.entry_share)
    if instruction.kind is not InstructionKind.CAP:
        return "" if numbers == (None, None, None) else "only a cap has numbers"
    if numbers == (None, None, None):
        return "a cap names max_size, max_leverage or entry_share"
    if any(each is not None and not (isfinite(each) and each >= 0.0) for each in numbers):
        return "a cap's numbers are 0 or more"
    if instruction.max_size is not None and instruction.market is None:
        return "max_size is in base units of a market: name the market"
    if instruction.entry_share is not None and instruction.entry_share > 1.0:
        return "entry_share is 0 to 1"
    return ""
