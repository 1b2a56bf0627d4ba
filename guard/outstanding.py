"""Commands whose effect has not been read back yet and those that failed, remembered for each bot. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from guard.commands import CommandOutcome, OutcomeKind
from guard.desired import Limits
from guard.effects import Effect, Reading, entries_reported, size_of
from guard.events import LinkKind
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.ownership import Hold, entries_of
from guard.routes import Stubborn
from guard.state import BotRecord, GuardState
from guard.units import NS_PER_MS, BotId, MarketId, Nanoseconds
from guard.wants import CutWant, Kind, ResumeWant, Want, looked_at, still_asked
from perpguard_sdk.messages import Ack, AckStatus, Command, Entries, Evidence, Posture, Verb

POLICY_NAME = "dispatch"

_REFUSALS = (AckStatus.REJECTED, AckStatus.UNSUPPORTED, AckStatus.FAILED, AckStatus.EXPIRED)

CHAIN_MAX = 3
"""Commands that take each other's place get no more time together than this many of their deadlines."""

NEVER = 2**63
"""Later than any time."""

QUIET_MAX = 3
"""So often in a row a bot may answer ``superseded`` to what still stands before that counts as a failure."""


UNFILLED_MAX = 3
"""So often in a row a price limit may leave a reduction unfilled before a human should know."""


@dataclass(slots=True)
class Open:
    """A published command. ``since`` is when the first of those that it took the place of was issued."""

    want: Want
    command: Command
    issued_at: Nanoseconds
    since: Nanoseconds
    deadline_at: Nanoseconds
    retry_at: Nanoseconds
    attempt: int = 1
    heard: bool = False
    ack: Ack | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a command; a ``quiet`` one only paces the next."""

    kind: OutcomeKind
    detail: str = ""
    quiet: bool = False


@dataclass(slots=True)
class Failure:
    """A command that did not do what it was for; stands until its want is seen to hold or is gone.

    Nothing of it can be done any more from ``over_at`` on. A ``quiet`` one concerns a bot that only listens to a guard
    in another mode, or a price limit that was kept: it is no finding, nor one of those that ``disobeyed`` counts.
    """

    want: Want
    command_id: str
    outcome: OutcomeKind
    detail: str
    count: int
    reissue_at: Nanoseconds
    over_at: Nanoseconds
    quiet: bool = False
    disobeyed: int = 1


@dataclass(slots=True)
class Unable:
    """A want for which the bot has no verb, and since when it has not come about by the posture alone."""

    verb: Verb
    since: Nanoseconds
    is_due: bool = False


class Paces(Protocol):
    """See ``guard.dispatch.DispatchSettings``."""

    @property
    def look_ms(self) -> int: ...

    @property
    def settle_ms(self) -> int: ...


@dataclass(slots=True)
class BotMemory:
    """What is outstanding with one bot.

    ``size_caps`` are sizes that a paused position must not outgrow, ``paused`` the last pause that was
    confirmed and when it was issued, ``quiet`` what was seen of markets where nothing was wanted, ``loud`` all
    other markets, ``stopped`` those under a stop rule, ``idle`` what was seen of loud markets in which there was
    nothing to do, and until when there is not, ``shared`` what was seen of all of them alike, ``holds`` whose the
    pauses are, ``unreached`` since when a bot that is away is wanted to do something, and ``waiting`` where others will
    reduce instead of it.
    """

    seq: int = 0
    open: dict[tuple[MarketId, Kind], Open] = field(default_factory=dict)
    failures: dict[tuple[MarketId, Kind], Failure] = field(default_factory=dict)
    unable: dict[tuple[MarketId, Kind], Unable] = field(default_factory=dict)
    size_caps: dict[MarketId, float] = field(default_factory=dict)
    paused: dict[MarketId, tuple[Entries, Nanoseconds]] = field(default_factory=dict)
    quiet: dict[MarketId, tuple[object, ...]] = field(default_factory=dict)
    loud: set[MarketId] = field(default_factory=set)
    stopped: set[MarketId] = field(default_factory=set)
    idle: dict[MarketId, tuple[tuple[object, ...], Nanoseconds]] = field(default_factory=dict)
    shared: tuple[object, ...] | None = None
    holds: dict[MarketId, Hold] = field(default_factory=dict)
    unreached: dict[tuple[MarketId, Kind], Nanoseconds] = field(default_factory=dict)
    waiting: frozenset[MarketId] = frozenset()
    heard_at: Nanoseconds | None = None

    def todo(
        self,
        record: BotRecord,
        shared: tuple[object, ...],
        changed: AbstractSet[MarketId] | None,
        touched: AbstractSet[MarketId] | None,
    ) -> AbstractSet[MarketId] | None:
        """The markets to look at now, ``None`` for all: elsewhere nothing that is looked at has changed.

        Args:
            record: the bot.
            shared: what is looked at alike in all of its markets.
            changed: where limits are others, ``None`` for everywhere.
            touched: where prices may be others, ``None`` for everywhere.
        """
        is_same = shared == self.shared
        if not is_same:
            self.shared = shared
        is_heard, self.heard_at = record.reported_at != self.heard_at, record.reported_at
        if not is_same or changed is None:
            return None
        todo = self.loud | changed
        if self.stopped:
            todo |= self.stopped if touched is None else self.stopped & touched
        if is_heard:
            todo |= self.paused.keys()  # its word may count again there, see said_since
        return todo

    def look(
        self,
        state: GuardState,
        record: BotRecord,
        market: MarketId,
        limits: Limits,
        posture_version: int,
        now: Nanoseconds,
    ) -> tuple[object, ...] | None:
        """Return all that decides, beside time, about what is wanted and open in a market.

        ``None`` if it is what it was when there was nothing to do, and nothing moves of itself by now.
        """
        said_since = self.said_since(market, limits.entries)
        seen = looked_at(limits, state, record, market, self.shared, said_since, self.holds[market])
        if self.quiet.get(market) == seen:
            return None
        account = state.accounts.get(record.config.account)
        seen_at = None if account is None else account.seen_at
        said = record.reported_at, record.status, record.session
        hangs_on = (seen, seen_at, said, posture_version, is_broker_away(state))
        known = self.idle.get(market)
        return None if known is not None and now < known[1] and known[0] == hangs_on else hangs_on

    def note_quiet(self, market: MarketId, hangs_on: tuple[object, ...], *, is_quiet: bool) -> None:
        """Remember a market in which nothing is wanted and nothing open."""
        if not is_quiet:
            return
        seen = hangs_on[0]
        assert isinstance(seen, tuple)
        self.quiet[market] = seen
        self.loud.discard(market)

    def is_loud(self, market: MarketId, limits: Limits) -> None:
        """Something may be wanted in a market: it is looked at with every event until it is quiet."""
        self.quiet.pop(market, None)
        self.loud.add(market)
        if limits.stop is None:
            self.stopped.discard(market)
        else:
            self.stopped.add(market)

    def rest(
        self,
        market: MarketId,
        hangs_on: tuple[object, ...],
        now: Nanoseconds,
        paces: Paces,
        confirm_ms: Callable[[Verb], int],
    ) -> None:
        """Nothing was done in a market: until something moves of itself, or is other than ``hangs_on``."""
        times: list[Nanoseconds] = []
        for kind in Kind:
            open_, failure = self.open.get((market, kind)), self.failures.get((market, kind))
            unable = self.unable.get((market, kind))
            if open_ is not None:
                late_ns = paces.look_ms * NS_PER_MS
                chain_ns = CHAIN_MAX * confirm_ms(open_.want.verb) * NS_PER_MS
                times += [open_.retry_at, open_.deadline_at, open_.deadline_at + late_ns]
                times += [open_.since + chain_ns, open_.issued_at + paces.settle_ms * NS_PER_MS]
            if failure is not None:
                times.append(failure.reissue_at)
            if unable is not None:
                times.append(unable.since + confirm_ms(unable.verb) * NS_PER_MS)
        self.idle[market] = hangs_on, min((at for at in times if at > now), default=NEVER)

    def forget_quiet(self) -> None:
        """Look at everything anew."""
        self.quiet.clear()
        self.idle.clear()
        self.shared = None

    def drop_but(self, markets: Container[MarketId]) -> None:
        """Look no more at markets that the bot does not trade."""
        for known in (self.quiet, self.idle, self.holds):
            for market in [market for market in known if market not in markets]:
                del known[market]
        self.loud = {market for market in self.loud if market in markets}
        self.stopped = {market for market in self.stopped if market in markets}

    def findings(self, bot: BotId) -> Iterator[Finding]:
        """Yield one finding for every want in which a command failed, or for which there is no verb."""
        for (market, kind), failure in self.failures.items():
            if not failure.quiet:
                yield _failure_finding(bot, market, kind, failure)
        for (market, _), unable in self.unable.items():
            if unable.is_due:
                yield _unable_finding(bot, market, unable)

    def hold(
        self, record: BotRecord, market: MarketId, entries: Entries, version: int, floor: Posture | None
    ) -> Hold:
        """Follow whose a pause is; ``floor`` is what a former guard asked for."""
        hold = self.holds.get(market)
        if hold is None:
            asked = Entries.ALLOWED if floor is None else entries_of(floor.entries, market)
            hold = self.holds[market] = Hold(asked)
        hold.follow(record, market, entries, version)
        return hold

    def said_since(self, market: MarketId, entries: Entries) -> Nanoseconds:
        """From when on the bot's word counts against a pause that was already seen to hold.

        A bot that hangs goes on saying what it said before: the venue shows that it enters no more, and
        it would be paused anew each second.
        """
        paused, issued_at = self.paused.get(market, (Entries.ALLOWED, 0))
        return issued_at if paused.tightness >= entries.tightness else 0

    def follow_size(
        self,
        state: GuardState,
        record: BotRecord,
        market: MarketId,
        limits: Limits,
        settle_ns: Nanoseconds,
    ) -> None:
        """Keep the size that a paused position must not outgrow.

        Orders in flight may still fill until the bot says that it is paused, or its time to settle is over.
        """
        size = size_of(state, record, market)
        if limits.entries is Entries.ALLOWED:
            self.size_caps.pop(market, None)
            self.paused.pop(market, None)
        elif size is not None:
            known = self.size_caps.get(market, abs(size.value))
            follow = max if self._is_settling(record, market, state.now, settle_ns) else min
            self.size_caps[market] = follow(known, abs(size.value))

    def _is_settling(
        self, record: BotRecord, market: MarketId, now: Nanoseconds, settle_ns: Nanoseconds
    ) -> bool:
        open_ = self.open.get((market, Kind.ENTRIES))
        if open_ is None:
            return False
        said = entries_reported(record, market, since=open_.issued_at)
        says_paused = said is not None and said is not Entries.ALLOWED
        return not says_paused and now < open_.issued_at + settle_ns

    def forget(self, key: tuple[MarketId, Kind]) -> None:
        """What was wanted is so, or is not wanted any more."""
        self.failures.pop(key, None)
        self.unable.pop(key, None)
        self.unreached.pop(key, None)

    def stubborn(self, market: MarketId, now: Nanoseconds, wait_ns: Nanoseconds) -> Stubborn | None:
        """How often in a row a bot has not reduced; where no command reaches it each ``wait_ns`` counts as one."""
        found: list[Stubborn] = []
        for kind in (Kind.SIZE, Kind.STOP):
            key = (market, kind)
            failure, unable = self.failures.get(key), self.unable.get(key)
            if failure is not None and not failure.quiet and key not in self.open:
                found.append(Stubborn(failure.disobeyed, failure.over_at))
            since = self.unreached.get(key, unable.since if unable is not None and unable.is_due else None)
            if since is not None and now >= since + wait_ns:
                found.append(Stubborn((now - since) // wait_ns, since + wait_ns))
        return max(found, key=lambda each: each.times, default=None)


def refusal_of(open_: Open, failure: Failure | None) -> Verdict | None:
    """What a bot's answer alone ends; that it has applied something ends nothing."""
    ack = open_.ack
    if ack is None:
        return None
    answer = f"the bot answered {ack.status}: {ack.detail or 'no reason given'}"
    if ack.status is AckStatus.SUPERSEDED and (failure is None or failure.count < QUIET_MAX):
        return Verdict(OutcomeKind.SUPERSEDED, answer, quiet=True)
    if ack.status in (*_REFUSALS, AckStatus.SUPERSEDED):
        return Verdict(OutcomeKind.FAILED, answer)
    return None


def unfilled_verdict(open_: Open, effect: Effect, failure: Failure | None) -> Verdict | None:
    """The end of a reduction that its price limit has kept from being whole, as the bot itself says.

    That is no disobedience, unless it happens again and again: the next command asks from what is left.
    """
    ack, want = open_.ack, open_.want
    if not isinstance(want, CutWant) or want.price_limit is None or effect.reading is not Reading.FAILS:
        return None
    if ack is None or ack.status is not AckStatus.APPLIED or ack.effect is None:
        return None
    left = ack.effect.size_after
    if left is None or abs(left) <= want.max_size * (1.0 + want.tolerance):
        return None
    why = f"the price limit {want.price_limit:g} was kept and left {abs(left):g}"
    return Verdict(OutcomeKind.FAILED, why, quiet=failure is None or failure.count < UNFILLED_MAX)


def dry_run_verdict(record: BotRecord, open_: Open, now: Nanoseconds) -> Verdict | None:
    """The end of a command to a bot that only listens, ``None`` until its time is over."""
    if now < open_.deadline_at or record.birth is None:
        return None
    why = f"a dry run for this bot: it obeys a {record.birth.mode} guard"
    return Verdict(OutcomeKind.UNVERIFIABLE, why, quiet=True)


def in_time_verdict(open_: Open, effect: Effect, now: Nanoseconds, look_ns: Nanoseconds) -> Verdict | None:
    """The end that time alone makes, ``look_ns`` later where nothing was seen; ``None`` until then."""
    if now < open_.deadline_at:
        return None
    if effect.reading is Reading.FAILS:
        return Verdict(OutcomeKind.FAILED)
    return Verdict(OutcomeKind.UNVERIFIABLE) if now >= open_.deadline_at + look_ns else None


def outdated(
    record: BotRecord, open_: Open, want: Want | None, limits: Limits, posture_version: int
) -> str | None:
    """Why an open command need not come true any more, ``None`` if it must."""
    if want is not None and want.differs(open_.want):
        return f"a newer {want.verb} takes its place"
    if want is None and not still_asked(open_.want, limits):
        return "it is not wanted any more"
    if isinstance(open_.want, ResumeWant):
        if want is None and record.reported is not None and record.reported.safe_mode:
            return "the bot is in its safe mode"
        if posture_version > open_.command.posture_version:
            return "a newer posture takes its place"
    return None


def superseded(open_: Open, bot: BotId, why: str, now: Nanoseconds) -> CommandOutcome:
    """The end of a command that need not come true any more."""
    return CommandOutcome(
        command_id=open_.command.id,
        bot=bot,
        outcome=OutcomeKind.SUPERSEDED,
        source="nobody",
        detail=why,
        judged_at=now,
    )


def _failure_finding(bot: BotId, market: MarketId, kind: Kind, failure: Failure) -> Finding:
    """A disobedience halts entries, an effect that nobody can see blocks them; a failed resume does neither."""
    unseen = failure.outcome is OutcomeKind.UNVERIFIABLE
    loosens = isinstance(failure.want, ResumeWant)
    entries = None if loosens else Entries.REDUCE_ONLY if unseen else Entries.HALTED
    return Finding(
        policy=POLICY_NAME,
        reason=Reason.COMMAND_FAILED,
        severity=Severity.WATCH if loosens else Severity.ACT if unseen else Severity.CRITICAL,
        subject=Subject(market=market, bot=bot),
        limit=Limit(entries=entries),
        evidence=(
            Evidence(name="command", value=failure.command_id, unit="id"),
            Evidence(name="asked", value=f"{failure.want.verb} ({kind})", unit="verb"),
            Evidence(name="outcome", value=failure.outcome, unit="outcome"),
            Evidence(name="seen", value=failure.detail, unit="text"),
            Evidence(name="times_failed", value=float(failure.count), unit="commands"),
        ),
        counterfactual="would not stand if the asked effect had been seen on the venue in time",
        freezes=not loosens,
    )


def _unable_finding(bot: BotId, market: MarketId, unable: Unable) -> Finding:
    return Finding(
        policy=POLICY_NAME,
        reason=Reason.COMMAND_FAILED,
        severity=Severity.ACT,
        subject=Subject(market=market, bot=bot),
        evidence=(
            Evidence(name="not among the bot's verbs", value=unable.verb, unit="verb"),
            Evidence(name="seen", value="the posture asks for it and it is not so", unit="text"),
        ),
        counterfactual=f"would not stand with a bot that can do {unable.verb}, or that follows its posture",
    )


def is_broker_away(state: GuardState) -> bool:
    """Then nothing can be said, and that nobody has obeyed says nothing of anyone: postures wait for its return."""
    return LinkKind.BROKER in state.links_down


def only_listens(record: BotRecord, state: GuardState) -> bool:
    """Whether the bot obeys guards of the other mode, so that all we tell it is a dry run."""
    return record.birth is not None and record.birth.mode is not state.mode
