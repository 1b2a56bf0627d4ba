"""Findings to one desired posture per bot and market: most restrictive wins, tighten at once, loosen slowly.

Order of findings does not matter. Holds the one memory that loosening needs: since when nobody has
asked for what is in force. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeVar

from annotated_types import Ge, Le

from guard.desired import Desired, Limits
from guard.findings import Finding, Severity
from guard.state import BotRecord, GuardState
from guard.units import NS_PER_S, BotId, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, StopRule

V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArbiterSettings:
    """How slowly restrictions are taken back.

    Attributes:
        hold_down_s: seconds for which nobody may have asked for a restriction before its first step back.
        step_s: seconds between further steps back.
        change_ratio_min: a size or leverage limit is tightened again only by more than this share.
    """

    hold_down_s: Annotated[float, Ge(0.0), Le(86_400.0)] = 60.0
    step_s: Annotated[float, Ge(0.0), Le(86_400.0)] = 20.0
    change_ratio_min: Annotated[float, Ge(0.0), Le(0.5)] = 0.05


@dataclass(slots=True)
class Arbiter:
    """Folds findings into limits; see the module."""

    settings: ArbiterSettings
    _latches: dict[tuple[BotId, MarketId], _Latches] = field(default_factory=dict)

    def fold(self, findings: Sequence[Finding], state: GuardState, now: Nanoseconds) -> Desired:
        """Return what every bot may do in every market that it trades, at ``now``."""
        return {
            bot: {
                market: self._fold_market(findings, bot, record, market, state, now)
                for market in record.markets
            }
            for bot, record in state.bots.items()
        }

    def _fold_market(
        self,
        findings: Sequence[Finding],
        bot: BotId,
        record: BotRecord,
        market: MarketId,
        state: GuardState,
        now: Nanoseconds,
    ) -> Limits:
        concerning = [finding for finding in findings if _concerns(finding, bot, record, market)]
        share = _share(state, bot, record, market)
        frozen = any(finding.freezes for finding in concerning)
        latches = self._latches.setdefault((bot, market), _Latches())
        hold_ns, step_ns = int(self.settings.hold_down_s * NS_PER_S), int(self.settings.step_s * NS_PER_S)

        def move(
            latch: _Latch[V], asked: _Asked[V], compare: Callable[[V, V], int], step: Callable[[V, int], V]
        ) -> None:
            latch.move(asked, compare, step, now=now, frozen=frozen, hold_ns=hold_ns, step_ns=step_ns)

        def compare_numbers(first: float | None, second: float | None) -> int:
            return _compare_numbers(first, second, self.settings.change_ratio_min)

        move(latches.entries, _asked_entries(concerning), _compare_entries, _loosen_entries)
        move(latches.max_size, _asked_size(concerning, share), compare_numbers, _loosen_number)
        move(latches.max_leverage, _asked_leverage(concerning), compare_numbers, _loosen_number)
        move(latches.stop, _asked_stop(concerning), _compare_stops, _loosen_stop)
        return latches.limits()


@dataclass(slots=True)
class _Asked(Generic[V]):
    value: V
    cause: Finding | None = None


@dataclass(slots=True)
class _Latch(Generic[V]):
    """One value that follows ``asked`` at once when that is tighter and step by step when it is looser."""

    value: V
    cause: Finding | None = None
    loosen_at: Nanoseconds = 0
    steps: int = 0

    def move(
        self,
        asked: _Asked[V],
        compare: Callable[[V, V], int],
        step: Callable[[V, int], V],
        *,
        now: Nanoseconds,
        frozen: bool,
        hold_ns: int,
        step_ns: int,
    ) -> None:
        order = compare(asked.value, self.value)
        if order > 0:
            self.value, self.cause, self.steps = asked.value, asked.cause, 0
            self.loosen_at = now + hold_ns
        elif order == 0 or frozen:
            self.cause = asked.cause or self.cause
            self.loosen_at = now + hold_ns
        elif now >= self.loosen_at:
            self.steps += 1
            stepped = step(self.value, self.steps)
            reached = compare(asked.value, stepped) >= 0
            self.value, self.cause = (asked.value, asked.cause) if reached else (stepped, None)
            self.loosen_at = now + step_ns


@dataclass(slots=True)
class _Latches:
    entries: _Latch[Entries] = field(default_factory=lambda: _Latch(Entries.ALLOWED))
    max_size: _Latch[float | None] = field(default_factory=lambda: _Latch(None))
    max_leverage: _Latch[float | None] = field(default_factory=lambda: _Latch(None))
    stop: _Latch[StopRule | None] = field(default_factory=lambda: _Latch(None))

    def limits(self) -> Limits:
        return Limits(
            entries=self.entries.value,
            max_leverage=self.max_leverage.value,
            max_size=self.max_size.value,
            stop=self.stop.value,
            entries_cause=self.entries.cause,
            size_cause=self.max_size.cause or self.max_leverage.cause,
            stop_cause=self.stop.cause,
        )


def _concerns(finding: Finding, bot: BotId, record: BotRecord, market: MarketId) -> bool:
    subject = finding.subject
    return (
        subject.market in (None, market)
        and subject.account in (None, record.config.account)
        and subject.bot in (None, bot)
    )


def _share(state: GuardState, bot: BotId, record: BotRecord, market: MarketId) -> float:
    account = state.accounts.get(record.config.account)
    owners = state.owners(record.config.account, market)
    return 1.0 if account is None else account.share(bot, market, owners)


def _asked_entries(findings: Iterable[Finding]) -> _Asked[Entries]:
    asked = _Asked(Entries.ALLOWED)
    for finding in sorted(findings, key=_rank):
        entries = finding.limit.entries
        if entries is not None and entries.tightness > asked.value.tightness:
            asked = _Asked(entries, finding)
    return asked


def _asked_size(findings: Iterable[Finding], share: float) -> _Asked[float | None]:
    asked: _Asked[float | None] = _Asked(None)
    for finding in sorted(findings, key=_rank):
        if finding.limit.max_size is None:
            continue
        # A finding about one bot speaks of that bot's own size, any other of the whole account's.
        size = finding.limit.max_size * (1.0 if finding.subject.bot is not None else share)
        if asked.value is None or size < asked.value:
            asked = _Asked(size, finding)
    return asked


def _asked_leverage(findings: Iterable[Finding]) -> _Asked[float | None]:
    asked: _Asked[float | None] = _Asked(None)
    for finding in sorted(findings, key=_rank):
        leverage = finding.limit.max_leverage
        if leverage is not None and (asked.value is None or leverage < asked.value):
            asked = _Asked(leverage, finding)
    return asked


def _asked_stop(findings: Iterable[Finding]) -> _Asked[StopRule | None]:
    with_stop = [finding for finding in findings if finding.limit.stop is not None]
    if not with_stop:
        return _Asked(None)
    # The rule that comes with the smallest size carries the least risk.
    chosen = min(with_stop, key=lambda finding: (_size_or_infinity(finding), _rank(finding)))
    return _Asked(chosen.limit.stop, chosen)


def _size_or_infinity(finding: Finding) -> float:
    return float("inf") if finding.limit.max_size is None else finding.limit.max_size


def _rank(finding: Finding) -> tuple[int, str]:
    """Worst first, then by name, so that the order in which policies ran does not matter."""
    return (-list(Severity).index(finding.severity), repr(finding.key))


def _compare_entries(first: Entries, second: Entries) -> int:
    """Positive if ``first`` is tighter."""
    return first.tightness - second.tightness


def _compare_numbers(first: float | None, second: float | None, change_ratio_min: float) -> int:
    if first is None or second is None:
        return (first is not None) - (second is not None)
    if first < second * (1.0 - change_ratio_min):
        return 1
    return -1 if first > second * (1.0 + change_ratio_min) else 0


def _compare_stops(first: StopRule | None, second: StopRule | None) -> int:
    """A stop rule in force is followed to where it moves; only its end is a loosening."""
    if first is None:
        return 0 if second is None else -1
    return 0 if first == second else 1


def _loosen_entries(value: Entries, _steps: int) -> Entries:
    return list(Entries)[max(value.tightness - 1, 0)]


def _loosen_number(value: float | None, steps: int) -> float | None:
    """Twice as much at each of two steps, then free."""
    return None if value is None or steps > 2 else value * 2.0


def _loosen_stop(_value: StopRule | None, _steps: int) -> StopRule | None:
    return None
