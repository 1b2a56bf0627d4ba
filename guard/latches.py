"""What is in force for one bot in one market: tightens at once, loosens step by step. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from guard.desired import Limits
from guard.findings import Finding, Limit
from guard.state import BotRecord, GuardState
from guard.units import MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, StopRule

V = TypeVar("V")

LOOSEN_RATIO_MIN = 0.25
"""A limit is taken back only when what is asked for is larger by more than this share: no answer to jitter."""

STOP_CHANGE_RATIO_MIN = 0.1
"""A stop in force is moved on only when it has to stand farther from the mark price by more than this share."""

NEVER = 2**63
"""Later than any time."""

DAMPING, RETURNS_MAX = 4, 10
"""How many times longer what comes back is held each time, and how many times that counts."""

REMEMBERED = 2
"""What comes back is new again after so many of the longest hold-downs."""


@dataclass(slots=True)
class Asked(Generic[V]):
    """What findings ask for, and the one that asks most."""

    value: V
    cause: Finding | None = None


@dataclass(slots=True)
class Lesser(Generic[V]):
    """What was asked for until less than a hold-down before ``until``, and nothing since."""

    value: V
    until: Nanoseconds


@dataclass(slots=True)
class Latch(Generic[V]):
    """One value that follows ``asked`` at once when that is tighter and step by step when it is looser.

    ``moves_at`` is when it moves again of itself if the same is asked: ``NEVER`` while it is only held. ``lesser`` is
    what was asked for lately, the tightest first: while something tighter is given back, each holds for its own time.

    What is tightened again not long after it was given back has come and gone: each time (``returns``) it is held
    ``DAMPING`` times as long, up to ``held_max_ns``, so that what flickers is held and not told anew with each flicker.
    """

    value: V
    cause: Finding | None = None
    loosen_at: Nanoseconds = 0
    steps: int = 0
    moves_at: Nanoseconds = 0
    lesser: list[Lesser[V]] = field(default_factory=list)
    is_asking: bool = False
    returns: int = 0
    eased_at: Nanoseconds | None = None
    held_max_ns: Nanoseconds = 0

    def move(
        self,
        asked: Asked[V],
        compare: Callable[[V, V], int],
        step: Callable[[V, int], V],
        *,
        now: Nanoseconds,
        frozen: bool,
        hold_ns: int,
        step_ns: int,
        held_max_ns: int = 0,
    ) -> None:
        order = compare(asked.value, self.value)
        self.moves_at, self.held_max_ns = now, held_max_ns
        self._note(asked, compare, now, hold_ns)
        if order > 0:
            self._count_return(now)
        hold_ns = self._damped(hold_ns)
        if order > 0:
            self.value, self.cause, self.steps = asked.value, asked.cause, 0
            self.loosen_at = now + hold_ns
        elif order == 0 or frozen:
            self.cause, self.steps = asked.cause or self.cause, 0
            self.loosen_at, self.moves_at = now + hold_ns, NEVER
        elif now >= self.loosen_at and self._is_held(asked, compare):
            self.loosen_at = self.moves_at = self.lesser[0].until
        elif now >= self.loosen_at:
            self.steps += 1
            stepped = step(self.value, self.steps)
            if self.lesser and compare(self.lesser[0].value, stepped) > 0:
                stepped = self.lesser[0].value
            reached = compare(asked.value, stepped) >= 0
            self.value, self.cause = (asked.value, asked.cause) if reached else (stepped, None)
            self.loosen_at, self.eased_at = now + step_ns, now
        else:
            self.moves_at = self.loosen_at

    def settle(self, at: Nanoseconds, hold_ns: Nanoseconds) -> None:
        """Make up for moves that were left out until ``at``: the same was asked in all of them."""
        if self.moves_at == NEVER:
            self.loosen_at = max(self.loosen_at, at + self._damped(hold_ns))
        if self.is_asking and self.lesser:
            self.lesser[-1].until = max(self.lesser[-1].until, at + hold_ns)

    def _count_return(self, now: Nanoseconds) -> None:
        if self.eased_at is not None:
            is_return = now - self.eased_at < REMEMBERED * self.held_max_ns
            self.returns, self.eased_at = self.returns + 1 if is_return else 0, None

    def _damped(self, hold_ns: Nanoseconds) -> Nanoseconds:
        """The hold-down of what has come and gone so often; never shorter than without."""
        times: int = DAMPING ** min(self.returns, RETURNS_MAX)
        return max(hold_ns, min(hold_ns * times, self.held_max_ns))

    def _note(
        self, asked: Asked[V], compare: Callable[[V, V], int], now: Nanoseconds, hold_ns: Nanoseconds
    ) -> None:
        self.is_asking = asked.cause is not None
        if self.lesser:
            self.lesser = [
                each for each in self.lesser if each.until > now and compare(each.value, asked.value) > 0
            ]
        if self.is_asking:
            self.lesser.append(Lesser(asked.value, now + hold_ns))

    def _is_held(self, asked: Asked[V], compare: Callable[[V, V], int]) -> bool:
        """Whether what is in force was asked for so lately, beside something tighter, that it has to stay."""
        if not self.lesser or self.lesser[0].value == asked.value:
            return False
        return compare(self.lesser[0].value, self.value) >= 0


@dataclass(frozen=True, slots=True)
class Skills:
    """Which of the finer restrictions a bot declares at its birth that it keeps to."""

    no_adds: bool = False
    scales_entries: bool = False

    @classmethod
    def of(cls, record: BotRecord) -> Skills:
        birth = record.birth
        return NO_SKILLS if birth is None else cls(birth.no_adds, birth.scales_entries)


NO_SKILLS = Skills()


@dataclass(slots=True)
class Latches:
    """What is in force for one bot in one market.

    ``flattened`` is what keeps it closed until a human releases it. ``held`` is the size, in base units, from which a
    reduction that may not be more than a share began. ``size_at_once`` and ``stop_at_once`` are what findings that no
    pace holds up ask for beside a paced one; ``is_urgent`` whether any of them is imminent. ``stop_size`` is the size
    that the stop in force was asked for with.

    ``steady`` is what the last fold of ``concerning`` looked at beside them; it need not be repeated before
    ``steady_until`` while both are the same, and ``steady_at`` is when they last were.
    """

    entries: Latch[Entries] = field(default_factory=lambda: Latch(Entries.ALLOWED))
    max_size: Latch[float | None] = field(default_factory=lambda: Latch(None))
    max_leverage: Latch[float | None] = field(default_factory=lambda: Latch(None))
    stop: Latch[StopRule | None] = field(default_factory=lambda: Latch(None))
    entry_share: Latch[float] = field(default_factory=lambda: Latch(1.0))
    flattened: Finding | None = None
    held: float | None = None
    size_at_once: float | None = None
    stop_at_once: StopRule | None = None
    stop_size: float | None = None
    is_urgent: bool = False
    last: Limits = field(default_factory=Limits)
    concerning: list[Finding] = field(default_factory=list)
    _asks_stop: bool = False
    _asks_share: bool = False
    steady: tuple[object, ...] = ()
    steady_at: Nanoseconds = 0
    steady_until: Nanoseconds = 0
    queued_at: Nanoseconds = NEVER

    @property
    def sizes(self) -> tuple[float | None, float | None]:
        """The limits on size and leverage that are in force."""
        return self.max_size.value, self.max_leverage.value

    def give_back_in_order(self, before: tuple[float | None, float | None], step_ns: Nanoseconds) -> None:
        """Entries are let grow only a step after a size that is given back is free: one rung after the other."""
        if self.entries.value not in (Entries.REDUCE_ONLY, Entries.NO_ADDS):
            return
        for latch, was in zip((self.max_size, self.max_leverage), before, strict=True):
            if was is not None and latch.cause is None:
                wait_ns = 0 if latch.value is None else step_ns
                self.entries.loosen_at = max(self.entries.loosen_at, latch.loosen_at + wait_ns)

    def hold_size_under_stop(self) -> None:
        """A size is given back no sooner than the stop that was asked for with it."""
        if self.stop.value is not None and self.stop_size is not None:
            self.max_size.loosen_at = max(self.max_size.loosen_at, self.stop.loosen_at)

    def note_at_once(
        self, concerning: Sequence[Finding], part: Callable[[Finding, float], float | None]
    ) -> None:
        """Note what of ``concerning`` no pace may hold up, and whether any of it is imminent."""
        self.size_at_once, self.stop_at_once, cause = None, None, self.max_size.cause
        if self.max_size.value is not None and (cause is None or cause.limit.pace is not None):
            others = [each for each in concerning if each.limit.pace is None or each.imminent]
            self.size_at_once, self.stop_at_once = asked_size(others, part).value, asked_stop(others).value
        self.is_urgent = any(each.imminent and each.limit != Limit() for each in concerning)

    def note_stop_size(self, cause: Finding | None, part: Callable[[Finding, float], float | None]) -> None:
        """Note for what size the stop is asked; ``cause`` asks for it, ``None`` where it is only held."""
        if cause is not None:
            size = cause.limit.max_size
            self.stop_size = None if size is None else part(cause, size) or 0.0

    def all(self) -> tuple[Latch[Any], ...]:
        return self.entries, self.max_size, self.max_leverage, self.stop, self.entry_share

    def concern(self, findings: list[Finding]) -> None:
        """Take other findings than the last time."""
        self.concerning = findings
        self.steady_until = 0
        self._asks_stop = any(finding.limit.stop is not None for finding in findings)
        self._asks_share = any(finding.limit.max_size is not None for finding in findings)

    def looks_at(self, state: GuardState, record: BotRecord, market: MarketId) -> tuple[object, ...]:
        """Return all that a fold of the findings looks at beside them."""
        account = record.config.account
        return (
            mark_price_of(state, market) if self._asks_stop else None,
            state.account(account).version if self._asks_share else 0,
            state.owners(account, market) if self._asks_share else (),
        )

    @property
    def looks(self) -> bool:
        """Whether a fold looks at anything beside the findings."""
        return self._asks_stop or self._asks_share

    def settle(self, hold_ns: Nanoseconds, folded_at: Nanoseconds) -> None:
        """Make up for folds that were left out, the last at ``folded_at``: they would have held what is held."""
        steady_at = max(self.steady_at, folded_at)
        for latch in self.all():
            latch.settle(steady_at, hold_ns)

    def limits(self, skills: Skills) -> Limits:
        """What is in force, in such words as the bot knows: of those that it does not, the next tighter one."""
        entries, entries_cause = self.entries.value, self.entries.cause
        if entries is Entries.NO_ADDS and not skills.no_adds:
            entries = Entries.REDUCE_ONLY
        if self._is_shut(skills) and entries.tightness < Entries.REDUCE_ONLY.tightness:
            entries, entries_cause = Entries.REDUCE_ONLY, self.entry_share.cause or entries_cause
        return Limits(
            entries=entries,
            max_leverage=self.max_leverage.value,
            max_size=self.max_size.value,
            stop=self.stop.value,
            entry_share=self.entry_share.value,
            entries_cause=entries_cause,
            size_cause=self.max_size.cause or self.max_leverage.cause,
            stop_cause=self.stop.cause,
            share_cause=self.entry_share.cause,
            flattened=self.flattened is not None,
            size_at_once=self.size_at_once,
            stop_size=self.stop_size,
            stop_at_once=self.stop_at_once,
            is_urgent=self.is_urgent,
        )

    def _is_shut(self, skills: Skills) -> bool:
        """Whether no entry of a size that the bot can take is small enough."""
        share = self.entry_share.value
        return share <= 0.0 or (share < 1.0 and not skills.scales_entries)


def asked_entries(findings: Iterable[Finding]) -> Asked[Entries]:
    """Return the tightest entries that are asked for."""
    asked = Asked(Entries.ALLOWED)
    for finding in findings:
        entries = finding.limit.entries
        if entries is not None and entries.tightness > asked.value.tightness:
            asked = Asked(entries, finding)
    return asked


def asked_size(
    findings: Iterable[Finding], part: Callable[[Finding, float], float | None]
) -> Asked[float | None]:
    """Return the smallest size that is asked for, in base units; ``None`` for no limit."""
    asked: Asked[float | None] = Asked(None)
    for finding in findings:
        whole = finding.limit.max_size
        size = None if whole is None else part(finding, whole)
        if size is not None and (asked.value is None or size < asked.value):
            asked = Asked(size, finding)
    return asked


def asked_leverage(findings: Iterable[Finding]) -> Asked[float | None]:
    """Return the lowest leverage that is asked for; ``None`` for no limit."""
    asked: Asked[float | None] = Asked(None)
    for finding in findings:
        leverage = finding.limit.max_leverage
        if leverage is not None and (asked.value is None or leverage < asked.value):
            asked = Asked(leverage, finding)
    return asked


def asked_share(findings: Iterable[Finding]) -> Asked[float]:
    """Return the smallest part of its usual size that a new entry may have, 0..1."""
    asked = Asked(1.0)
    for finding in findings:
        share = finding.limit.entry_share
        if share is not None and share < asked.value:
            asked = Asked(max(share, 0.0), finding)
    return asked


def asked_stop(findings: Iterable[Finding]) -> Asked[StopRule | None]:
    """Return the stop rule that comes with the smallest size."""
    with_stop = [finding for finding in findings if finding.limit.stop is not None]
    if not with_stop:
        return Asked(None)
    # The rule that comes with the smallest size carries the least risk; the first of several is the worst.
    chosen = min(with_stop, key=_size_or_infinity)
    return Asked(chosen.limit.stop, chosen)


def _size_or_infinity(finding: Finding) -> float:
    return float("inf") if finding.limit.max_size is None else finding.limit.max_size


def mark_price_of(state: GuardState, market: MarketId) -> float | None:
    """Return the market's mark price; ``None`` where it is not known."""
    view = state.markets.get(market)
    return None if view is None else view.mark_price


def compare_entries(first: Entries, second: Entries) -> int:
    """Positive if ``first`` is tighter."""
    return first.tightness - second.tightness


def compare_numbers(first: float | None, second: float | None, change_ratio_min: float) -> int:
    """Tell whether the first limit is tighter (1), about the same (0) or looser (-1)."""
    if first is None or second is None:
        return (first is not None) - (second is not None)
    if first < second * (1.0 - change_ratio_min):
        return 1
    return -1 if first > second * (1.0 + LOOSEN_RATIO_MIN) and first > second else 0


def compare_shares(first: float, second: float, change_ratio_min: float) -> int:
    """As ``compare_numbers``; the whole is always looser than any part."""
    if first >= 1.0 or second >= 1.0:
        return (first < 1.0) - (second < 1.0)
    return compare_numbers(first, second, change_ratio_min)


def compare_stops(first: StopRule | None, second: StopRule | None, mark: float | None) -> int:
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


def loosen_entries(value: Entries, _steps: int) -> Entries:
    """Return the next looser entries: first orders, then opening, then growing."""
    return _LOOSER[value]


_LOOSER = {
    Entries.HALTED: Entries.REDUCE_ONLY,
    Entries.REDUCE_ONLY: Entries.NO_ADDS,
    Entries.NO_ADDS: Entries.ALLOWED,
    Entries.ALLOWED: Entries.ALLOWED,
}

SHARE_STEPS = (0.25, 0.5, 1.0)
"""What part of its usual size a new entry may have again, step by step."""


def loosen_share(value: float, _steps: int) -> float:
    """Return the next larger part.

    >>> loosen_share(0.1, 1), loosen_share(0.25, 2), loosen_share(0.7, 3)
    (0.25, 0.5, 1.0)
    """
    return next((step for step in SHARE_STEPS if step > value), 1.0)


def loosen_number(value: float | None, steps: int) -> float | None:
    """Twice as much at each of two steps, then free."""
    return None if value is None or steps > 2 else value * 2.0


def loosen_stop(_value: StopRule | None, _steps: int) -> StopRule | None:
    """Return what is left of a stop rule that is not asked for: nothing."""
    return None
