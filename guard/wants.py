"""What the guard wants of one bot in one market, as values that can be sent and read back. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from guard.desired import Limits
from guard.effects import (
    Effect,
    Reading,
    pause_effect,
    resume_effect,
    size_effect,
    size_of,
    stop_effect,
)
from guard.findings import Finding
from guard.ownership import Hold
from guard.pacing import SIZE_TOLERANCE, price_limit_of, tolerance_of
from guard.state import BotRecord, GuardState
from guard.units import AccountId, MarketId, Nanoseconds
from perpguard_sdk.messages import (
    Command,
    CutLeverage,
    Entries,
    Pause,
    ReportedOrder,
    Resume,
    StopRule,
    Verb,
    WidenStops,
)

STOP_TOLERANCE_BPS = 5.0


class Kind(StrEnum):
    """The three things that a bot can be asked about in a market; one command of each is open at most."""

    ENTRIES = "entries"
    SIZE = "size"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Look:
    """Where and from when on an effect is looked for.

    ``size_at_most`` is what a paused position may be; a bot's own word counts from ``said_since`` on.
    """

    state: GuardState
    record: BotRecord
    market: MarketId
    since: Nanoseconds
    size_at_most: float | None = None
    posture_version: int = 0
    settle_ns: Nanoseconds = 0
    said_since: Nanoseconds = 0


@dataclass(frozen=True, slots=True)
class PauseWant:
    """No more than ``entries``."""

    entries: Entries
    cause: Finding | None
    kind = Kind.ENTRIES
    verb = Verb.PAUSE

    def read(self, look: Look) -> Effect:
        return pause_effect(
            look.state,
            look.record,
            look.market,
            self.entries,
            look.size_at_most,
            SIZE_TOLERANCE,
            look.since,
            look.settle_ns,
            look.said_since,
        )

    def command(self, envelope: dict[str, Any]) -> Command:
        return Pause(entries=self.entries, **envelope)

    def differs(self, other: Want) -> bool:
        return not isinstance(other, PauseWant) or other.entries is not self.entries


@dataclass(frozen=True, slots=True)
class ResumeWant:
    """As much as ``entries`` again."""

    entries: Entries
    cause: Finding | None
    kind = Kind.ENTRIES
    verb = Verb.RESUME

    def read(self, look: Look) -> Effect:
        return resume_effect(look.record, look.market, self.entries, look.posture_version, look.since)

    def command(self, envelope: dict[str, Any]) -> Command:
        return Resume(entries=self.entries, **envelope)

    def differs(self, other: Want) -> bool:
        return not isinstance(other, ResumeWant) or other.entries is not self.entries


@dataclass(frozen=True, slots=True)
class CutWant:
    """A position of at most ``max_size``, within ``tolerance`` (a ratio), at no worse price than ``price_limit``."""

    max_size: float
    max_leverage: float
    cause: Finding | None
    price_limit: float | None = None
    tolerance: float = SIZE_TOLERANCE
    kind = Kind.SIZE
    verb = Verb.CUT_LEVERAGE

    def read(self, look: Look) -> Effect:
        return size_effect(look.state, look.record, look.market, self.max_size, self.tolerance, look.since)

    def command(self, envelope: dict[str, Any]) -> Command:
        return CutLeverage(
            max_size=self.max_size,
            max_leverage=self.max_leverage,
            price_limit=self.price_limit,
            **envelope,
        )

    def differs(self, other: Want) -> bool:
        if not isinstance(other, CutWant):
            return True
        # A price that has moved on is for the next command; that any price will do now is not.
        is_freed = self.price_limit is None and other.price_limit is not None
        tolerance = min(self.tolerance, other.tolerance)
        return is_freed or _is_other_size(self.max_size, other.max_size, tolerance)


@dataclass(frozen=True, slots=True)
class WidenWant:
    """A stop at the rule's price, under a position of at most ``max_size``."""

    max_size: float
    stop: StopRule
    cause: Finding | None
    kind = Kind.STOP
    verb = Verb.WIDEN_STOPS

    def read(self, look: Look) -> Effect:
        size = size_effect(look.state, look.record, look.market, self.max_size, SIZE_TOLERANCE, look.since)
        if size.reading is not Reading.HOLDS:
            return size
        return stop_effect(look.state, look.record, look.market, self.stop, STOP_TOLERANCE_BPS, look.since)

    def command(self, envelope: dict[str, Any]) -> Command:
        return WidenStops(max_size=self.max_size, stop=self.stop, **envelope)

    def differs(self, other: Want) -> bool:
        return (
            not isinstance(other, WidenWant)
            or other.stop.stop_price != self.stop.stop_price
            or _is_other_size(self.max_size, other.max_size, SIZE_TOLERANCE)
        )


Want = PauseWant | ResumeWant | CutWant | WidenWant


def wants_of(
    limits: Limits,
    state: GuardState,
    record: BotRecord,
    market: MarketId,
    size_at_most: float | None,
    said_since: Nanoseconds = 0,
    hold: Hold | None = None,
) -> Iterator[Want]:
    """Yield what is wanted and, as far as anyone can see, not so now. Restrictions come first.

    Of a pause only what ``hold`` knows as the guard's is taken back.
    """
    look = Look(state, record, market, since=0, size_at_most=size_at_most, said_since=said_since)
    entries = _entries_want(limits, look, hold or Hold())
    if entries is not None:
        yield entries
    widen = _widen_want(limits, look)
    if limits.max_size is not None and _is_positioned(look):
        leverage = limits.max_leverage if limits.max_leverage is not None else _leverage_now(look)
        price_limit, tolerance = price_limit_of(limits), tolerance_of(limits)
        cut = CutWant(limits.max_size, leverage, limits.size_cause, price_limit, tolerance)
        if cut.read(look).reading is not Reading.HOLDS:
            # A widening cuts by itself before it moves the stop, at any price; a bot that cannot is asked to cut.
            same_cause = limits.size_cause is not None and limits.size_cause.limit.stop is not None
            if widen is None or not same_cause or price_limit is not None or not _can(record, widen.verb):
                yield cut
                return  # a stop moves only once the size is down
    if widen is not None:
        yield widen


Reports = tuple[tuple[tuple[ReportedOrder, ...] | None, tuple[MarketId, ...]], ...]
"""The orders that each bot of one account last reported, and what it trades."""


def reports_of(state: GuardState, account: AccountId) -> Reports:
    """Gather them once for all that is asked of the account's bots."""
    return tuple(
        (None if bot.reported is None else bot.reported.orders, bot.markets)
        for bot in state.bots.values()
        if bot.config.account == account
    )


@dataclass(slots=True)
class AllReports:
    """The reports of every account's bots, gathered again once any bot has said something else."""

    _known: dict[AccountId, Reports] = field(default_factory=dict)
    _said: list[object] = field(default_factory=list)

    def look(self, state: GuardState) -> None:
        """Notice what bots have said since the last look."""
        said: list[object] = []
        for bot in state.bots.values():
            said += (bot.reported, bot.markets, bot.config)
        known = self._said
        if len(said) != len(known) or any(one is not other for one, other in zip(said, known, strict=True)):
            self._said = said
            self._known.clear()

    def of(self, state: GuardState, account: AccountId) -> Reports:
        """Those of one account's bots."""
        reports = self._known.get(account)
        if reports is None:
            reports = self._known[account] = reports_of(state, account)
        return reports


def shared_of(state: GuardState, record: BotRecord, reports: Reports) -> tuple[object, ...]:
    """Return what ``wants_of`` looks at alike in every market of a bot."""
    account, reported = state.accounts.get(record.config.account), record.reported
    said = None
    if reported is not None and record.reported_at is not None:
        said = (
            reported.entries,
            reported.own_entries,
            reported.posture_version,
            reported.safe_mode,
            reported.positions_known,
        )
    return said, record.birth, None if account is None else account.version, reports


def looked_at(
    limits: Limits,
    state: GuardState,
    record: BotRecord,
    market: MarketId,
    shared: tuple[object, ...] | None,
    said_since: Nanoseconds,
    hold: Hold,
) -> tuple[object, ...]:
    """Return all that ``wants_of`` looks at: as long as it stays, so do the wants."""
    view, cause = state.markets.get(market), limits.size_cause
    return (
        limits.parts,
        price_limit_of(limits) is None,
        hold.asked,
        hold.theirs,
        cause is not None and cause.limit.stop is not None,
        record.reported_at is not None and record.reported_at > said_since,
        None if limits.stop is None or view is None else view.mark_price,
        shared,
    )


def still_asked(want: Want, limits: Limits) -> bool:
    """Whether the limits still ask for what an open command asked, even if it seems to hold already."""
    match want:
        case PauseWant():
            return limits.entries.tightness >= want.entries.tightness
        case ResumeWant():
            return limits.entries.tightness <= want.entries.tightness
        case CutWant():
            return limits.max_size is not None and limits.max_size <= want.max_size * (1.0 + SIZE_TOLERANCE)
        case WidenWant():
            return limits.stop is not None and limits.stop.stop_price == want.stop.stop_price


def _widen_want(limits: Limits, look: Look) -> WidenWant | None:
    rule = limits.stop
    size = size_of(look.state, look.record, look.market)
    if rule is None or rule.stop_price is None or size is None or size.value == 0.0:
        return None
    view = look.state.markets.get(look.market)
    mark = None if view is None else view.mark_price
    if mark is None or (rule.stop_price - mark) * size.value >= 0.0:
        return None  # the price has come through it, or the position has turned: it would fire at once
    at_most = limits.max_size if limits.max_size is not None else abs(size.value)
    widen = WidenWant(at_most, rule, limits.stop_cause)
    return widen if widen.read(look).reading is Reading.FAILS else None


def _can(record: BotRecord, verb: Verb) -> bool:
    return record.birth is not None and verb in record.birth.verbs


def _is_other_size(first: float, second: float, tolerance: float) -> bool:
    return abs(first - second) > tolerance * max(first, second)


def _entries_want(limits: Limits, look: Look, hold: Hold) -> Want | None:
    if limits.entries is not Entries.ALLOWED:
        pause = PauseWant(limits.entries, limits.entries_cause)
        if pause.read(look).reading is not Reading.HOLDS:
            return pause
    loosened = hold.to_take_back(look.record, look.market, limits.entries)
    return None if loosened is None else ResumeWant(loosened, limits.entries_cause)


def _is_positioned(look: Look) -> bool:
    """Whether there is, or may be, a position."""
    size = size_of(look.state, look.record, look.market)
    return size is None or size.value != 0.0


def _leverage_now(look: Look) -> float:
    account = look.state.accounts.get(look.record.config.account)
    legs = () if account is None else account.legs(look.market)
    return max((leg.leverage for leg in legs if leg.leverage), default=1.0)
