"""Findings to one desired posture per bot and market: most restrictive wins, tighten at once, loosen slowly.

Order of findings does not matter. Holds the one memory that loosening needs: since when nobody has
asked for what is in force. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from annotated_types import Ge, Le
from msgspec import structs

from guard.account.allocation import Allocation
from guard.desired import Desired, Limits
from guard.findings import Basis, Finding, Severity
from guard.state import BotRecord, GuardState
from guard.units import NS_PER_S, AccountId, BotId, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, StopRule

V = TypeVar("V")

LOOSEN_RATIO_MIN = 0.25
"""A limit is taken back only when what is asked for is larger by more than this share: no answer to jitter."""

STOP_CHANGE_RATIO_MIN = 0.1
"""A stop in force is moved on only when it has to stand farther from the mark price by more than this share."""

NEVER = 2**63
"""Later than any time."""

BASIS_KEPT_S_MIN = 10.0
"""A position that is cut shows for a moment as if nothing were wrong: what it was cut from is not forgotten."""

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArbiterSettings:
    """How slowly restrictions are taken back.

    Attributes:
        hold_down_s: seconds for which nobody may have asked for a restriction before its first step back.
        step_s: seconds between further steps back.
        change_ratio_min: a size or leverage limit in force is tightened further only by more than this share.
    """

    hold_down_s: Annotated[float, Ge(0.0), Le(86_400.0)] = 60.0
    step_s: Annotated[float, Ge(0.0), Le(86_400.0)] = 20.0
    change_ratio_min: Annotated[float, Ge(0.0), Le(0.5)] = 0.05


@dataclass(slots=True)
class Arbiter:
    """Folds findings into limits; see the module."""

    settings: ArbiterSettings
    broken: dict[tuple[BotId, MarketId], Exception] = field(default_factory=dict)
    _latches: dict[tuple[BotId, MarketId], _Latches] = field(default_factory=dict)
    _allocations: dict[tuple[AccountId, MarketId], Allocation] = field(default_factory=dict)
    _bases: dict[tuple[object, ...], _KnownBasis] = field(default_factory=dict)
    _ranked: list[Finding] = field(default_factory=list)
    _round: int = 0
    _former_hold_ns: Nanoseconds = 0
    _former_until: Nanoseconds = 0

    def fold(self, findings: Sequence[Finding], state: GuardState, now: Nanoseconds) -> Desired:
        """Return what every bot may do in every market that it trades, at ``now``.

        Where a market of a bot cannot be folded its last limits stand, without entries; ``broken`` says why
        until it can.
        """
        if self._former_hold_ns and now >= self._former_until:
            self.forget_shortcuts()
            self._former_hold_ns = 0
        ranked = [self._rebased(finding, now) for finding in _ranked(findings)]
        if ranked != self._ranked:
            self._ranked, self._round = ranked, self._round + 1
        desired = {
            bot: {
                market: self._try_market(ranked, bot, record, market, state, now) for market in record.markets
            }
            for bot, record in state.bots.items()
        }
        self._release_allocations(desired, state)
        return desired

    def reconfigure(self, settings: ArbiterSettings, now: Nanoseconds) -> None:
        """Fold by other settings from now on. Whatever is in force holds for a whole hold-down first.

        That is the longer of the former and the new one: no change of settings makes anything looser sooner
        than it would have been had every finding ended now.
        """
        self.forget_shortcuts()
        former_ns = max(int(self.settings.hold_down_s * NS_PER_S), self._former_hold_ns)
        self.settings = settings
        self._former_hold_ns, self._former_until = former_ns, max(now + former_ns, self._former_until)
        for latches in self._latches.values():
            for latch in latches.all():
                latch.loosen_at = max(latch.loosen_at, now + self._hold_ns)

    def forget_shortcuts(self) -> None:
        """Work everything out anew at the next fold; the same must come of it (tests hold it to that)."""
        self._ranked, self._round = [], self._round + 1
        for latches in self._latches.values():
            latches.settle(self._hold_ns)
            latches.steady_until = 0

    @property
    def _hold_ns(self) -> Nanoseconds:
        """A change of settings shortens no hold-down that would have run when it came."""
        return max(int(self.settings.hold_down_s * NS_PER_S), self._former_hold_ns)

    def _try_market(
        self,
        ranked: Sequence[Finding],
        bot: BotId,
        record: BotRecord,
        market: MarketId,
        state: GuardState,
        now: Nanoseconds,
    ) -> Limits:
        latches = self._latches.get((bot, market))
        if latches is None:
            latches = self._latches[bot, market] = _Latches()
        if latches.round != self._round:
            concerning = [finding for finding in ranked if _concerns(finding, bot, record, market)]
            latches.round = self._round
            if latches.concerning != concerning:
                latches.concern(concerning)
        seen = latches.looks_at(state, record, market)
        if now < latches.steady_until and latches.steady == seen:
            latches.steady_at = now
            return latches.last
        try:
            latches.settle(self._hold_ns)
            self._fold_market(latches, latches.concerning, record, market, state, now)
        except Exception as error:  # noqa: BLE001 (whatever one market does, the others still run)
            self.broken[bot, market], latches.steady_until = error, 0
            return latches.last.without_entries()
        if self.broken:
            self.broken.pop((bot, market), None)
        latches.last = latches.limits()
        latches.steady, latches.steady_at = seen, now
        latches.steady_until = min(latch.moves_at for latch in latches.all())
        return latches.last

    def _fold_market(
        self,
        latches: _Latches,
        concerning: Sequence[Finding],
        record: BotRecord,
        market: MarketId,
        state: GuardState,
        now: Nanoseconds,
    ) -> None:
        frozen = any(finding.freezes for finding in concerning)
        hold_ns, step_ns = self._hold_ns, int(self.settings.step_s * NS_PER_S)

        def move(
            latch: _Latch[V], asked: _Asked[V], compare: Callable[[V, V], int], step: Callable[[V, int], V]
        ) -> None:
            latch.move(asked, compare, step, now=now, frozen=frozen, hold_ns=hold_ns, step_ns=step_ns)

        def compare_numbers(first: float | None, second: float | None) -> int:
            return _compare_numbers(first, second, self.settings.change_ratio_min)

        def compare_stops(first: StopRule | None, second: StopRule | None) -> int:
            return _compare_stops(first, second, _mark_price(state, market))

        def part(finding: Finding, size: float) -> float | None:
            # A finding about one bot speaks of that bot's own size, any other of the whole account's.
            if finding.subject.bot is not None:
                return size
            return self._part(state, record, market, size).get(record.config.bot)

        move(latches.entries, _asked_entries(concerning), _compare_entries, _loosen_entries)
        move(latches.max_size, _asked_size(concerning, part), compare_numbers, _loosen_number)
        move(latches.max_leverage, _asked_leverage(concerning), compare_numbers, _loosen_number)
        move(latches.stop, _asked_stop(concerning), compare_stops, _loosen_stop)

    def _part(
        self, state: GuardState, record: BotRecord, market: MarketId, size: float
    ) -> Mapping[BotId, float | None]:
        """Share a limit on the account's whole position among those who own it."""
        account = record.config.account
        allocation = self._allocations.setdefault((account, market), Allocation())
        return allocation.split(state.account(account), market, state.owners(account, market), size)

    def _release_allocations(self, desired: Desired, state: GuardState) -> None:
        """Forget the weights of positions on which no limit stands any more."""
        for (account, market), allocation in self._allocations.items():
            if not allocation.is_held:
                continue
            limits = [desired[bot].get(market) for bot in state.owners(account, market)]
            if all(limit is None or limit.max_size is None for limit in limits):
                allocation.release()

    def _rebased(self, finding: Finding, now: Nanoseconds) -> Finding:
        """Take a share of the size at which it was first asked for, not of what is left after obeying.

        A new reference (the stop has moved), a larger position or a pause of the asking as long as the
        hold-down begins anew.
        """
        basis, asked = finding.limit.basis, finding.limit.max_size
        if basis is None or asked is None or basis.size == 0.0:
            return finding
        key = (finding.key, basis.size > 0.0)
        known = self._bases.get(key)
        kept_ns = int(max(self.settings.hold_down_s, BASIS_KEPT_S_MIN) * NS_PER_S)
        if (
            known is None
            or now - known.asked_at > kept_ns
            or known.basis.reference != basis.reference
            or abs(basis.size) > abs(known.basis.size)
        ):
            known = self._bases[key] = _KnownBasis(basis, now)
        known.asked_at = now
        limit = structs.replace(finding.limit, max_size=asked * abs(known.basis.size / basis.size))
        return structs.replace(finding, limit=limit)


@dataclass(slots=True)
class _KnownBasis:
    basis: Basis
    asked_at: Nanoseconds


@dataclass(slots=True)
class _Asked(Generic[V]):
    value: V
    cause: Finding | None = None


@dataclass(slots=True)
class _Latch(Generic[V]):
    """One value that follows ``asked`` at once when that is tighter and step by step when it is looser.

    ``moves_at`` is when it moves again of itself if the same is asked: ``NEVER`` while it is only held.
    """

    value: V
    cause: Finding | None = None
    loosen_at: Nanoseconds = 0
    steps: int = 0
    moves_at: Nanoseconds = 0

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
        self.moves_at = now
        if order > 0:
            self.value, self.cause, self.steps = asked.value, asked.cause, 0
            self.loosen_at = now + hold_ns
        elif order == 0 or frozen:
            self.cause, self.steps = asked.cause or self.cause, 0
            self.loosen_at, self.moves_at = now + hold_ns, NEVER
        elif now >= self.loosen_at:
            self.steps += 1
            stepped = step(self.value, self.steps)
            reached = compare(asked.value, stepped) >= 0
            self.value, self.cause = (asked.value, asked.cause) if reached else (stepped, None)
            self.loosen_at = now + step_ns
        else:
            self.moves_at = self.loosen_at


@dataclass(slots=True)
class _Latches:
    """What is in force for one bot in one market.

    ``steady`` is what the last fold of ``concerning`` looked at beside them; it need not be repeated before
    ``steady_until`` while both are the same, and ``steady_at`` is when they last were.
    """

    entries: _Latch[Entries] = field(default_factory=lambda: _Latch(Entries.ALLOWED))
    max_size: _Latch[float | None] = field(default_factory=lambda: _Latch(None))
    max_leverage: _Latch[float | None] = field(default_factory=lambda: _Latch(None))
    stop: _Latch[StopRule | None] = field(default_factory=lambda: _Latch(None))
    last: Limits = field(default_factory=Limits)
    concerning: list[Finding] = field(default_factory=list)
    round: int = 0
    _asks_stop: bool = False
    _asks_share: bool = False
    steady: tuple[object, ...] = ()
    steady_at: Nanoseconds = 0
    steady_until: Nanoseconds = 0

    def all(self) -> tuple[_Latch[Any], ...]:
        return self.entries, self.max_size, self.max_leverage, self.stop

    def concern(self, findings: list[Finding]) -> None:
        """Take other findings than the last time."""
        self.concerning = findings
        self.steady_until = 0
        self._asks_stop = any(finding.limit.stop is not None for finding in findings)
        self._asks_share = any(
            finding.limit.max_size is not None and finding.subject.bot is None for finding in findings
        )

    def looks_at(self, state: GuardState, record: BotRecord, market: MarketId) -> tuple[object, ...]:
        """Return all that a fold of the findings looks at beside them."""
        account = record.config.account
        return (
            _mark_price(state, market) if self._asks_stop else None,
            state.account(account).version if self._asks_share else 0,
            state.owners(account, market) if self._asks_share else (),
        )

    def settle(self, hold_ns: Nanoseconds) -> None:
        """Make up for folds that were left out: they would have gone on holding what is held."""
        for latch in self.all():
            if latch.moves_at == NEVER:
                latch.loosen_at = max(latch.loosen_at, self.steady_at + hold_ns)

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
        (subject.market is None or subject.market == market)
        and (subject.bot is None or subject.bot == bot)
        and (subject.account is None or subject.account == record.config.account)
    )


def _asked_entries(findings: Iterable[Finding]) -> _Asked[Entries]:
    asked = _Asked(Entries.ALLOWED)
    for finding in findings:
        entries = finding.limit.entries
        if entries is not None and entries.tightness > asked.value.tightness:
            asked = _Asked(entries, finding)
    return asked


def _asked_size(
    findings: Iterable[Finding], part: Callable[[Finding, float], float | None]
) -> _Asked[float | None]:
    asked: _Asked[float | None] = _Asked(None)
    for finding in findings:
        whole = finding.limit.max_size
        size = None if whole is None else part(finding, whole)
        if size is not None and (asked.value is None or size < asked.value):
            asked = _Asked(size, finding)
    return asked


def _asked_leverage(findings: Iterable[Finding]) -> _Asked[float | None]:
    asked: _Asked[float | None] = _Asked(None)
    for finding in findings:
        leverage = finding.limit.max_leverage
        if leverage is not None and (asked.value is None or leverage < asked.value):
            asked = _Asked(leverage, finding)
    return asked


def _asked_stop(findings: Iterable[Finding]) -> _Asked[StopRule | None]:
    with_stop = [finding for finding in findings if finding.limit.stop is not None]
    if not with_stop:
        return _Asked(None)
    # The rule that comes with the smallest size carries the least risk; the first of several is the worst.
    chosen = min(with_stop, key=_size_or_infinity)
    return _Asked(chosen.limit.stop, chosen)


def _size_or_infinity(finding: Finding) -> float:
    return float("inf") if finding.limit.max_size is None else finding.limit.max_size


def _mark_price(state: GuardState, market: MarketId) -> float | None:
    view = state.markets.get(market)
    return None if view is None else view.mark_price


_SEVERITY_RANK = {severity: -rank for rank, severity in enumerate(Severity)}


def _ranked(findings: Sequence[Finding]) -> list[Finding]:
    """Worst first, then by name, so that the order in which policies ran does not matter."""
    ranks = [_rank(finding) for finding in findings]
    if len(set(ranks)) < len(ranks):  # of two with one name the bytes decide, which cost more
        return sorted(findings, key=lambda finding: (*_rank(finding), _encoder.encode(finding)))
    return [findings[place] for place in sorted(range(len(ranks)), key=ranks.__getitem__)]


def _rank(finding: Finding) -> tuple[int, str, str, str, str, str]:
    subject = finding.subject
    return (
        _SEVERITY_RANK[finding.severity],
        finding.policy,
        finding.reason,
        subject.market or "",
        subject.account or "",
        subject.bot or "",
    )


def _compare_entries(first: Entries, second: Entries) -> int:
    """Positive if ``first`` is tighter."""
    return first.tightness - second.tightness


def _compare_numbers(first: float | None, second: float | None, change_ratio_min: float) -> int:
    if first is None or second is None:
        return (first is not None) - (second is not None)
    if first < second * (1.0 - change_ratio_min):
        return 1
    return -1 if first > second * (1.0 + LOOSEN_RATIO_MIN) and first > second else 0


def _compare_stops(first: StopRule | None, second: StopRule | None, mark: float | None) -> int:
    """A stop rule in force gives way only to one that wants the stop farther away, or elsewhere; never nearer."""
    if first is None:
        return 0 if second is None else -1
    if second is None:
        return 1
    if first.stop_price is None or second.stop_price is None or mark is None:
        return int((first.stop_price, first.distance_bps_min) != (second.stop_price, second.distance_bps_min))
    away, stands = first.stop_price - mark, second.stop_price - mark
    other_side = away * stands < 0.0
    farther = abs(away) > abs(stands) * (1.0 + STOP_CHANGE_RATIO_MIN)
    avoided = _is_avoided(second.stop_price, first) and not _is_avoided(first.stop_price, first)
    return int(other_side or farther or avoided)


def _is_avoided(price: float, rule: StopRule) -> bool:
    return any(low <= price <= high for low, high in rule.avoid)


def _loosen_entries(value: Entries, _steps: int) -> Entries:
    return list(Entries)[max(value.tightness - 1, 0)]


def _loosen_number(value: float | None, steps: int) -> float | None:
    """Twice as much at each of two steps, then free."""
    return None if value is None or steps > 2 else value * 2.0


def _loosen_stop(_value: StopRule | None, _steps: int) -> StopRule | None:
    return None
