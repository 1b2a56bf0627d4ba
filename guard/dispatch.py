"""Desired against confirmed: what to publish now, again, or give up; level-triggered, absolute, never deltas.

A command ends only when its effect has been read back: CONFIRMED, FAILED or UNVERIFIABLE. A failure
stands as a finding, which tightens further, and the command is issued anew. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le

from guard.commands import CommandOutcome, OutcomeKind, PublishCommand, PublishPosture
from guard.desired import Desired, Limits
from guard.effects import Effect, Reading, entries_reported, size_of
from guard.events import (
    AnyEvent,
    BotAcked,
    BotBorn,
    BotReported,
    CommandSent,
    GuardStarted,
    LinkChanged,
    LinkKind,
)
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.postures import PostureBook, PostureSettings
from guard.state import BotRecord, GuardState
from guard.units import NS_PER_MS, NS_PER_S, BotId, MarketId, Nanoseconds, ms_of, symbol_of
from guard.wants import Kind, Look, PauseWant, ResumeWant, Want, wants_of
from perpguard_sdk.messages import SCHEMA_VERSION, Ack, AckStatus, Command, Entries, Evidence, Mode, Verb

POLICY_NAME = "dispatch"
_REFUSALS = (
    AckStatus.REJECTED,
    AckStatus.UNSUPPORTED,
    AckStatus.FAILED,
    AckStatus.EXPIRED,
    AckStatus.SUPERSEDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchSettings:
    """How commands are repeated, confirmed and given up.

    Attributes:
        command_ttl_ms: after so long an unexecuted command must not be executed any more.
        retry_ms: waits before the same command is published again while nothing was acknowledged.
        confirm_ms: how long an effect may take where the bot's birth names no deadline of its own.
        settle_ms: how long after its issue a pause must be seen to hold before it counts as confirmed.
        reissue_s: waits before a failed command is issued anew, the last one repeated.
        posture_ttl_s: for how long a posture holds without being refreshed.
        posture_refresh_s: how often an unchanged posture is published again.
    """

    command_ttl_ms: Annotated[int, Ge(500), Le(60_000)] = 10_000
    retry_ms: tuple[int, ...] = (500, 1_000, 2_000)
    confirm_ms: Annotated[int, Ge(100), Le(60_000)] = 3_000
    settle_ms: Annotated[int, Ge(0), Le(10_000)] = 1_000
    reissue_s: tuple[float, ...] = (5.0, 10.0, 30.0)
    posture_ttl_s: Annotated[float, Gt(0.0), Le(86_400.0)] = 60.0
    posture_refresh_s: Annotated[float, Gt(0.0), Le(3_600.0)] = 10.0


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What to publish, and what became of earlier commands."""

    postures: tuple[PublishPosture, ...] = ()
    commands: tuple[PublishCommand, ...] = ()
    outcomes: tuple[CommandOutcome, ...] = ()


@dataclass(slots=True)
class _Open:
    """A command whose effect has not been read back yet."""

    want: Want
    command: Command
    issued_at: Nanoseconds
    deadline_at: Nanoseconds
    attempt: int = 1
    retry_at: Nanoseconds = 0
    heard: bool = False
    refused: Ack | None = None


@dataclass(slots=True)
class _Failure:
    """A command that did not do what it was for; stands until its want is seen to hold or is gone."""

    want: Want
    command_id: str
    outcome: OutcomeKind
    detail: str
    count: int
    reissue_at: Nanoseconds


@dataclass(slots=True)
class _BotMemory:
    seq: int = 0
    open: dict[tuple[MarketId, Kind], _Open] = field(default_factory=dict)
    failures: dict[tuple[MarketId, Kind], _Failure] = field(default_factory=dict)
    size_caps: dict[MarketId, float] = field(default_factory=dict)


@dataclass(slots=True)
class Dispatch:
    """Keeps, for every bot, what was published, what is open and what failed; see the module."""

    settings: DispatchSettings
    postures: PostureBook = field(init=False)
    _bots: dict[BotId, _BotMemory] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.postures = PostureBook(
            PostureSettings(ttl_s=self.settings.posture_ttl_s, refresh_s=self.settings.posture_refresh_s)
        )

    def step(self, event: AnyEvent, desired: Desired, state: GuardState, now: Nanoseconds) -> Dispatched:
        """Take what ``event`` says of open commands, then publish what ``desired`` needs at ``now``."""
        if state.epoch == 0:
            return Dispatched()  # until the fence is passed nothing may be said
        self._note(event, state, now)
        postures = tuple(
            publish
            for bot, limits in desired.items()
            if (publish := self.postures.publish(state.bots[bot], limits, state, now)) is not None
        )
        commands: list[PublishCommand] = []
        outcomes: list[CommandOutcome] = []
        for bot, limits_by_market in desired.items():
            record, memory = state.bots[bot], self._memory(bot)
            for market, limits in limits_by_market.items():
                self._step_market(record, memory, market, limits, state, now, commands, outcomes)
            self._drop_foreign(memory, limits_by_market, bot, now, outcomes)
        return Dispatched(postures, tuple(commands), tuple(outcomes))

    def findings(self) -> Iterator[Finding]:
        """Yield one finding for every bot and market in which a command failed and the want still stands."""
        for bot, memory in self._bots.items():
            for (market, kind), failure in memory.failures.items():
                yield _failure_finding(bot, market, kind, failure)

    def open_commands(self) -> Mapping[BotId, Sequence[Command]]:
        """What is published and not yet ended, for status and tests."""
        return {bot: [open_.command for open_ in memory.open.values()] for bot, memory in self._bots.items()}

    def _memory(self, bot: BotId) -> _BotMemory:
        return self._bots.setdefault(bot, _BotMemory())

    def _note(self, event: AnyEvent, state: GuardState, now: Nanoseconds) -> None:
        match event:
            case GuardStarted():
                self._bots.clear()  # a new epoch begins with nothing open: bots drop what an older one said
                self.postures.restart(state)
            case BotAcked(ack=ack):
                for open_ in self._memory(BotId(ack.bot)).open.values():
                    if open_.command.id == ack.command_id:
                        open_.heard = True
                        open_.refused = ack if ack.status in _REFUSALS else open_.refused
            case BotBorn(birth=birth):
                self._say_again(BotId(birth.bot), now)
            case BotReported(reported=reported) if reported.resync:
                self._say_again(BotId(reported.bot), now)
            case LinkChanged(link=LinkKind.BROKER, up=True):
                for bot in state.bots:
                    self._say_again(bot, now)
            case CommandSent(ok=False):
                pass  # not handed over: the retry schedule sends it again

    def _say_again(self, bot: BotId, now: Nanoseconds) -> None:
        """A bot that may have missed something gets its posture and open commands again, same ids."""
        self.postures.refresh_now(bot)
        for open_ in self._memory(bot).open.values():
            open_.retry_at = now
            open_.heard = False

    def _step_market(
        self,
        record: BotRecord,
        memory: _BotMemory,
        market: MarketId,
        limits: Limits,
        state: GuardState,
        now: Nanoseconds,
        commands: list[PublishCommand],
        outcomes: list[CommandOutcome],
    ) -> None:
        self._follow_size(record, memory, market, limits, state)
        cap = memory.size_caps.get(market)
        wanted = {want.kind: want for want in wants_of(limits, state, record, market, cap)}
        for kind in Kind:
            want, open_ = wanted.get(kind), memory.open.get((market, kind))
            if open_ is not None:
                outcome = self._judge(record, memory, market, open_, want, limits, state, now)
                if outcome is None:
                    commands.extend(self._retry(open_, now))
                    continue
                outcomes.append(outcome)
                del memory.open[market, kind]
            failure = memory.failures.get((market, kind))
            if want is None:
                memory.failures.pop((market, kind), None)
            elif self._may_issue(record, want, failure, now):
                commands.append(self._issue(record, memory, market, want, state, now))

    def _follow_size(
        self, record: BotRecord, memory: _BotMemory, market: MarketId, limits: Limits, state: GuardState
    ) -> None:
        """Keep the size that a paused position must not outgrow.

        Orders in flight may still fill until the bot says that it is paused, or its time to settle is over.
        """
        size = size_of(state, record, market)
        if limits.entries is Entries.ALLOWED:
            memory.size_caps.pop(market, None)
        elif size is not None:
            open_ = memory.open.get((market, Kind.ENTRIES))
            known = memory.size_caps.get(market, abs(size.value))
            settling = open_ is not None and self._is_settling(record, market, open_, state.now)
            follow = max if settling else min
            memory.size_caps[market] = follow(known, abs(size.value))

    def _is_settling(self, record: BotRecord, market: MarketId, open_: _Open, now: Nanoseconds) -> bool:
        said = entries_reported(record, market, since=open_.issued_at)
        says_paused = said is not None and said is not Entries.ALLOWED
        return not says_paused and now < open_.issued_at + self.settings.settle_ms * NS_PER_MS

    def _judge(
        self,
        record: BotRecord,
        memory: _BotMemory,
        market: MarketId,
        open_: _Open,
        want: Want | None,
        limits: Limits,
        state: GuardState,
        now: Nanoseconds,
    ) -> CommandOutcome | None:
        """Return the end of an open command, ``None`` while it may still take effect."""
        settle = self.settings.settle_ms * NS_PER_MS if isinstance(open_.want, PauseWant) else 0
        look = Look(
            state,
            record,
            market,
            since=open_.issued_at + settle,
            size_at_most=memory.size_caps.get(market),
            posture_version=open_.command.posture_version,
        )
        effect = open_.want.read(look)

        def end(kind: OutcomeKind, detail: str = "") -> CommandOutcome:
            return self._end(memory, record, market, open_, kind, effect, detail, now)

        if effect.reading is Reading.HOLDS:
            return end(OutcomeKind.CONFIRMED)
        if want is not None and want.differs(open_.want):
            return end(OutcomeKind.SUPERSEDED, f"a newer {want.verb} takes its place")
        if want is None and not _still_asked(open_.want, limits):
            return end(OutcomeKind.SUPERSEDED, "it is not wanted any more")
        if open_.refused is not None:
            refused = open_.refused
            return end(
                OutcomeKind.FAILED,
                f"the bot answered {refused.status}: {refused.detail or 'no reason given'}",
            )
        if now >= open_.deadline_at:
            unseen = effect.reading is Reading.UNSEEN
            return end(OutcomeKind.UNVERIFIABLE if unseen else OutcomeKind.FAILED)
        return None

    def _end(
        self,
        memory: _BotMemory,
        record: BotRecord,
        market: MarketId,
        open_: _Open,
        kind: OutcomeKind,
        effect: Effect,
        detail: str,
        now: Nanoseconds,
    ) -> CommandOutcome:
        key = (market, open_.want.kind)
        detail = "; ".join(part for part in (detail, effect.detail) if part)
        if kind in (OutcomeKind.FAILED, OutcomeKind.UNVERIFIABLE):
            count = memory.failures[key].count + 1 if key in memory.failures else 1
            waits = self.settings.reissue_s
            wait_s = waits[min(count, len(waits)) - 1] if waits else 0.0
            memory.failures[key] = _Failure(
                open_.want, open_.command.id, kind, detail, count, now + int(wait_s * NS_PER_S)
            )
        elif kind is OutcomeKind.CONFIRMED:
            memory.failures.pop(key, None)
        return CommandOutcome(
            command_id=open_.command.id,
            bot=record.config.bot,
            outcome=kind,
            source=effect.source,
            detail=detail,
            judged_at=now,
        )

    def _retry(self, open_: _Open, now: Nanoseconds) -> Iterator[PublishCommand]:
        """Publish the same id again while nothing was heard, until it expires."""
        if open_.heard or now < open_.retry_at or ms_of(now) >= open_.command.expires_at:
            return
        waits = self.settings.retry_ms
        if open_.attempt > len(waits):
            return
        open_.retry_at = now + waits[open_.attempt - 1] * NS_PER_MS
        open_.attempt += 1
        yield PublishCommand(command=open_.command, attempt=open_.attempt)

    def _may_issue(self, record: BotRecord, want: Want, failure: _Failure | None, now: Nanoseconds) -> bool:
        if not record.is_online or record.birth is None or want.verb not in record.birth.verbs:
            return False  # the retained posture waits for it; a command would be lost or cannot be done
        return failure is None or now >= failure.reissue_at or want.differs(failure.want)

    def _issue(
        self,
        record: BotRecord,
        memory: _BotMemory,
        market: MarketId,
        want: Want,
        state: GuardState,
        now: Nanoseconds,
    ) -> PublishCommand:
        memory.seq += 1
        bot = record.config.bot
        cause = want.cause
        envelope: dict[str, Any] = {
            "v": SCHEMA_VERSION,
            "id": f"{state.session}-{bot}-{memory.seq}",
            "bot": bot,
            "epoch": state.epoch,
            "seq": memory.seq,
            "ts": ms_of(now),
            "expires_at": ms_of(now) + self.settings.command_ttl_ms,
            "posture_version": self.postures.version(bot),
            "symbol": symbol_of(market),
            "reason": cause.reason if cause is not None else Reason.RECOVERED,
            "evidence": cause.evidence if cause is not None else (),
            "dry_run": state.mode is Mode.PAPER,
        }
        command = want.command(envelope)
        memory.open[market, want.kind] = _Open(
            want=want,
            command=command,
            issued_at=now,
            deadline_at=now + self._confirm_ms(record, want.verb) * NS_PER_MS,
            retry_at=now + (self.settings.retry_ms[0] if self.settings.retry_ms else 0) * NS_PER_MS,
        )
        return PublishCommand(command=command, attempt=1)

    def _confirm_ms(self, record: BotRecord, verb: Verb) -> int:
        declared = record.birth.verbs.get(verb) if record.birth is not None else None
        return self.settings.settle_ms + (
            self.settings.confirm_ms if declared is None else declared.deadline_ms
        )

    def _drop_foreign(
        self,
        memory: _BotMemory,
        limits: Mapping[MarketId, Limits],
        bot: BotId,
        now: Nanoseconds,
        outcomes: list[CommandOutcome],
    ) -> None:
        """End what is open in a market that the bot does not trade any more."""
        for key in [key for key in memory.open if key[0] not in limits]:
            open_ = memory.open.pop(key)
            outcomes.append(
                CommandOutcome(
                    command_id=open_.command.id,
                    bot=bot,
                    outcome=OutcomeKind.SUPERSEDED,
                    source="nobody",
                    detail="the bot does not trade this market any more",
                    judged_at=now,
                )
            )
        for key in [key for key in memory.failures if key[0] not in limits]:
            del memory.failures[key]


def _still_asked(want: Want, limits: Limits) -> bool:
    """Whether the limits still ask for what an open command asked, even if it seems to hold already."""
    match want:
        case PauseWant():
            return limits.entries.tightness >= want.entries.tightness
        case ResumeWant():
            return limits.entries.tightness <= want.entries.tightness
        case _ if want.kind is Kind.SIZE:
            return limits.max_size is not None
        case _:
            return limits.stop is not None


def _failure_finding(bot: BotId, market: MarketId, kind: Kind, failure: _Failure) -> Finding:
    unseen = failure.outcome is OutcomeKind.UNVERIFIABLE
    return Finding(
        policy=POLICY_NAME,
        reason=Reason.COMMAND_FAILED,
        severity=Severity.ACT if unseen else Severity.CRITICAL,
        subject=Subject(market=market, bot=bot),
        limit=Limit(entries=Entries.HALTED),
        evidence=(
            Evidence(name="command", value=failure.command_id, unit="id"),
            Evidence(name="asked", value=f"{failure.want.verb} ({kind})", unit="verb"),
            Evidence(name="outcome", value=failure.outcome, unit="outcome"),
            Evidence(name="seen", value=failure.detail, unit="text"),
            Evidence(name="times_failed", value=float(failure.count), unit="commands"),
        ),
        counterfactual="would not stand if the asked effect had been seen on the venue in time",
        freezes=True,
    )
