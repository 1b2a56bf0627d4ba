"""What people are told: findings grouped, held back until the group has settled, said once, repeated, resolved. No I/O.

    steps -> by account, venue or guard -> silenced and covered ones left out -> settled -> changed? -> Notice

A crash makes hundreds of findings in a second; whoever is woken by it gets one message an account, with the worst
first, another when it gets worse, and one when it is over. Everything is in the record all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from annotated_types import Ge, Le
from msgspec import structs

from guard.audit import Step
from guard.commands import CommandOutcome, OutcomeKind
from guard.explain_reasons import reason_name
from guard.explain_words import evidence_words, request_words
from guard.findings import Finding, Reason, Severity, Subject
from guard.state import GuardState
from guard.units import NS_PER_S, BotId, Nanoseconds, ms_of, symbol_of, venue_of
from perpguard_sdk.messages import Command, Notice, NoticeKind

GUARD = "guard"
"""The group of what concerns the guard itself."""
LINES_MAX = 8
COMMANDS_MAX = 32
FAILED = frozenset({OutcomeKind.FAILED, OutcomeKind.UNVERIFIABLE})
ASKS_PEOPLE = frozenset({Reason.BUDGET_SPENT, Reason.FLATTEN_WAITS, Reason.ROUTES_ENDED})
"""What waits for a human is always worth a message."""

_RANK = {severity: rank for rank, severity in enumerate(Severity)}

Key = tuple[str, str, str | None, str | None, str | None, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSettings:
    """When people are told, and of what.

    Attributes:
        severity_min: what is milder is not told to people: info, watch, act or critical.
        settle_s: seconds for which a group is let grow before it is told of.
        change_s: seconds between notices of a group that only grows; what gets worse is told after ``settle_s``.
        repeat_s: seconds after which what still stands is told again; 0 for never.
        resolve_s: seconds for which nothing must have stood before it is said to be over.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    severity_min: Severity = Severity.ACT
    settle_s: Annotated[float, Ge(0.0), Le(600.0)] = 3.0
    change_s: Annotated[float, Ge(1.0), Le(86_400.0)] = 120.0
    repeat_s: Annotated[float, Ge(0.0), Le(604_800.0)] = 14_400.0
    resolve_s: Annotated[float, Ge(0.0), Le(86_400.0)] = 120.0


@dataclass(slots=True)
class _Group:
    """One group; ``told`` is what the last notice said of it, ``number`` which notice that was."""

    standing: dict[Key, Finding] = field(default_factory=dict)
    told: dict[Key, Severity] = field(default_factory=dict)
    asked: list[Command] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    changed_at: Nanoseconds | None = None
    empty_since: Nanoseconds | None = None
    told_at: Nanoseconds | None = None
    worst: Severity = Severity.INFO


@dataclass(slots=True)
class Notices:
    """Give it every step by ``note``; ``due`` at Ticks returns what is to be said now. The same steps, the same words.

    ``number`` counts notices, so that each has a name of its own.
    """

    settings: NoticeSettings = field(default_factory=NoticeSettings)
    number: int = 0
    _groups: dict[str, _Group] = field(default_factory=dict)
    _bots: dict[str, tuple[str, Command]] = field(default_factory=dict)

    def note(self, step: Step, state: GuardState) -> None:
        """Take what a step opened, closed, asked and found out."""
        now = step.at
        for finding in step.opened:
            if not self._is_told(finding):
                self._drop(finding, state)
                continue
            group = self._group(about(finding.subject, state))
            group.standing[finding.key] = finding
            if group.changed_at is None and self._is_news(group, finding):
                group.changed_at = now
        for finding in step.closed:
            self._drop(finding, state)
        for publish in step.commands:
            command = publish.command
            name = _account_of(command.bot, state)
            self._bots[command.id] = (name, command)
            self._group(name).asked.append(command)
            while len(self._bots) > COMMANDS_MAX * max(len(self._groups), 1):
                del self._bots[next(iter(self._bots))]
        for outcome in step.outcomes:
            self._fail(outcome, now)

    def due(
        self,
        now: Nanoseconds,
        guard: str = GUARD,
        is_held_back: Callable[[Finding], bool] = lambda _: False,
    ) -> tuple[Notice, ...]:
        """Return what is to be said at ``now``.

        Args:
            now: Unix nanoseconds.
            guard: who says it.
            is_held_back: whether a silence, or a wider finding, covers one.
        """
        said = []
        for name in sorted(self._groups):
            notice = self._due(name, self._groups[name], now, guard, is_held_back)
            if notice is not None:
                said.append(notice)
        for name in [each for each, group in self._groups.items() if _is_over(group)]:
            del self._groups[name]
        return tuple(said)

    def standing(self) -> Iterator[tuple[str, tuple[Finding, ...]]]:
        """What each group holds now, worst first."""
        for name, group in sorted(self._groups.items()):
            yield name, tuple(_worst_first(group.standing.values()))

    def _due(
        self,
        name: str,
        group: _Group,
        now: Nanoseconds,
        guard: str,
        is_held_back: Callable[[Finding], bool],
    ) -> Notice | None:
        shown = [finding for finding in group.standing.values() if not is_held_back(finding)]
        kind = self._kind_due(group, shown, now)
        if kind is None:
            return None
        said = self._say(kind, name, group, shown, now)
        return structs.replace(said, guard=guard)

    def _kind_due(self, group: _Group, shown: list[Finding], now: Nanoseconds) -> NoticeKind | None:
        """Why something is to be said of a group now; ``None`` while nothing is."""
        settings, told_at = self.settings, group.told_at
        if not shown and not group.failed:
            if told_at is None:
                return None
            group.empty_since = now if group.empty_since is None else group.empty_since
            return NoticeKind.RESOLVED if _is_past(group.empty_since, settings.resolve_s, now) else None
        group.empty_since = None
        if self._has_news(group, shown):
            since = group.changed_at = now if group.changed_at is None else group.changed_at
            is_settled = _is_past(since, settings.settle_s, now)
            if told_at is None:
                return NoticeKind.OPENED if is_settled else None
            if is_settled and (_is_worse(group, shown) or _is_past(told_at, settings.change_s, now)):
                return NoticeKind.CHANGED
        elif told_at is not None and settings.repeat_s and _is_past(told_at, settings.repeat_s, now):
            return NoticeKind.REPEATED
        return None

    def _say(
        self, kind: NoticeKind, name: str, group: _Group, shown: list[Finding], now: Nanoseconds
    ) -> Notice:
        worst = max((finding.severity for finding in shown), key=_RANK.__getitem__, default=group.worst)
        ordered = _worst_first(shown)
        self.number += 1
        notice = Notice(
            id=f"n{self.number}-{ms_of(now)}",
            guard=GUARD,
            ts=ms_of(now),
            kind=kind,
            about=name,
            severity=worst.value,
            title=_title(kind, name, ordered, group.failed),
            lines=tuple(_lines(ordered, group)),
            commands=tuple(command.id for command in group.asked[:COMMANDS_MAX]),
            findings=len(shown),
            held_back=len(group.standing) - len(shown),
        )
        group.told = {finding.key: finding.severity for finding in shown}
        group.told_at, group.changed_at, group.worst = now, None, worst
        group.asked.clear()
        group.failed.clear()
        if kind is NoticeKind.RESOLVED:
            group.told_at = None
        return notice

    def _is_told(self, finding: Finding) -> bool:
        return finding.reason in ASKS_PEOPLE or _RANK[finding.severity] >= _RANK[self.settings.severity_min]

    @staticmethod
    def _is_news(group: _Group, finding: Finding) -> bool:
        told = group.told.get(finding.key)
        return told is None or _RANK[finding.severity] > _RANK[told]

    def _has_news(self, group: _Group, shown: Iterable[Finding]) -> bool:
        return bool(group.failed) or any(self._is_news(group, finding) for finding in shown)

    def _drop(self, finding: Finding, state: GuardState) -> None:
        group = self._groups.get(about(finding.subject, state))
        if group is None or group.standing.pop(finding.key, None) is None:
            return
        if not group.standing and group.told_at is None and not group.failed:
            group.changed_at = None  # gone before anybody was told

    def _fail(self, outcome: CommandOutcome, now: Nanoseconds) -> None:
        name, command = self._bots.pop(outcome.command_id, (None, None))
        if name is None or command is None or outcome.outcome not in FAILED:
            return
        group = self._group(name)
        why = outcome.detail or str(outcome.outcome)
        group.failed.append(f"{command.bot} was asked: {request_words(command)}; {outcome.outcome}: {why}")
        group.changed_at = now if group.changed_at is None else group.changed_at

    def _group(self, name: str) -> _Group:
        return self._groups.setdefault(name, _Group())


def about(subject: Subject, state: GuardState) -> str:
    """Name the group of a subject: whose account it is, else which venue's, else the guard's own.

    >>> from guard.market.view import BaselineSettings
    >>> about(Subject(venue="okx"), GuardState(baseline=BaselineSettings()))
    'okx'
    """
    if subject.account is not None:
        return subject.account
    if subject.bot is not None:
        return _account_of(subject.bot, state)
    if subject.market is not None:
        return venue_of(subject.market)
    return subject.venue or GUARD


def _account_of(bot: str, state: GuardState) -> str:
    record = state.bots.get(BotId(bot))
    return GUARD if record is None else record.config.account


def _is_past(since: Nanoseconds, wait_s: float, now: Nanoseconds) -> bool:
    return now - since >= wait_s * NS_PER_S


def _is_over(group: _Group) -> bool:
    return group.told_at is None and not group.standing and not group.failed


def _is_worse(group: _Group, shown: Iterable[Finding]) -> bool:
    now = max((_RANK[finding.severity] for finding in shown), default=0)
    return bool(group.failed) or now > _RANK[group.worst]


def _worst_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (-_RANK[finding.severity], *map(str, finding.key)))


def _title(kind: NoticeKind, name: str, ordered: list[Finding], failed: list[str]) -> str:
    if kind is NoticeKind.RESOLVED:
        return f"{name}: over"
    names = list(dict.fromkeys(reason_name(finding.reason) for finding in ordered))
    if failed:
        names.insert(0, "a command without effect")
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    again = "still " if kind is NoticeKind.REPEATED else ""
    return f"{name}: {again}{', '.join(names[:2])}{more}"


def _lines(ordered: list[Finding], group: _Group) -> Iterator[str]:
    yield from group.failed[:LINES_MAX]
    for finding in ordered[:LINES_MAX]:
        yield _line(finding)
    if len(ordered) > LINES_MAX:
        yield f"and {len(ordered) - LINES_MAX} more"
    for command in group.asked[:LINES_MAX]:
        yield f"asked of {command.bot}: {request_words(command)} ({command.id})"
    if len(group.asked) > LINES_MAX:
        yield f"and {len(group.asked) - LINES_MAX} more commands"


def _line(finding: Finding) -> str:
    subject = finding.subject
    where = subject.market or subject.bot or subject.account or subject.venue or GUARD
    symbol = "" if subject.market is None else symbol_of(subject.market)
    shown = f": {evidence_words(finding.evidence[0], symbol)}" if finding.evidence else ""
    return f"{finding.severity}: {where}: {reason_name(finding.reason)}{shown}"
