"""Desired against confirmed: what to publish now, again, or give up; level-triggered, absolute, never deltas.

A command ends only when its effect has been read back: CONFIRMED, FAILED or UNVERIFIABLE. A failure
stands as a finding, which tightens further, and the command is issued anew. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le
from msgspec import structs

from guard.commands import CommandOutcome, Dispatched, OutcomeKind, PublishCommand, PublishPosture
from guard.desired import Desired, Limits
from guard.effects import Effect, Reading, size_of
from guard.events import (
    AnyEvent,
    BotAcked,
    BotBorn,
    BotReported,
    GuardStarted,
    LinkChanged,
    LinkKind,
    SettingsChanged,
)
from guard.findings import Finding, Reason
from guard.outstanding import (
    CHAIN_MAX,
    BotMemory,
    Failure,
    Open,
    Unable,
    Verdict,
    dry_run_verdict,
    in_time_verdict,
    is_broker_away,
    only_listens,
    outdated,
    refusal_of,
    superseded,
)
from guard.postures import PostureBook, PostureSettings
from guard.state import BotRecord, GuardState
from guard.units import NS_PER_MS, NS_PER_S, BotId, MarketId, Nanoseconds, ms_of, symbol_of
from guard.wants import AllReports, Kind, Look, PauseWant, Want, shared_of, wants_of
from perpguard_sdk.messages import SCHEMA_VERSION, AckStatus, Command, Mode, Posture, Verb

Changed = Mapping[BotId, AbstractSet[MarketId] | None]

ONCE_S = 1e6
"""A wait that never ends: only another want, or a bot that asks, is a reason to say it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchSettings:
    """How commands are repeated, confirmed and given up.

    Attributes:
        command_ttl_ms: after so long an unexecuted command must not be executed any more.
        retry_ms: when after its issue the same command is published again while nothing was acknowledged,
            ascending; then after each further such time as the last, until it expires.
        confirm_ms: how long an effect may take where the bot's birth names no deadline of its own.
        look_ms: how much longer to wait for a look at the venue, or a report, if none came in that time.
        settle_ms: how long after its issue a pause must be seen to hold before it counts as confirmed.
        reissue_s: waits before a failed command is issued anew, the last one repeated.
        posture_ttl_s: for how long a posture holds without being refreshed.
        posture_refresh_s: how often an unchanged posture is published again.
    """

    command_ttl_ms: Annotated[int, Ge(500), Le(60_000)] = 10_000
    retry_ms: tuple[Annotated[int, Ge(50), Le(60_000)], ...] = (500, 1_000, 2_000)
    confirm_ms: Annotated[int, Ge(100), Le(60_000)] = 3_000
    look_ms: Annotated[int, Ge(0), Le(600_000)] = 10_000
    settle_ms: Annotated[int, Ge(0), Le(10_000)] = 1_000
    reissue_s: tuple[Annotated[float, Ge(0.1), Le(3_600.0)], ...] = (5.0, 10.0, 30.0)
    posture_ttl_s: Annotated[float, Gt(0.0), Le(86_400.0)] = 60.0
    posture_refresh_s: Annotated[float, Gt(0.0), Le(3_600.0)] = 10.0

    @property
    def postures(self) -> PostureSettings:
        return PostureSettings(ttl_s=self.posture_ttl_s, refresh_s=self.posture_refresh_s)


@dataclass(slots=True)
class Dispatch:
    """Keeps, for every bot, what was published, what is open and what failed; see the module.

    ``broken`` says what the last attempt raised for a bot (market ``None``) or for one of its markets.
    """

    settings: DispatchSettings
    postures: PostureBook = field(init=False)
    broken: dict[tuple[BotId, MarketId | None], Exception] = field(default_factory=dict)
    _bots: dict[BotId, BotMemory] = field(default_factory=dict)
    _reports: AllReports = field(default_factory=AllReports)

    def __post_init__(self) -> None:
        self.postures = PostureBook(self.settings.postures)

    def reconfigure(self, settings: DispatchSettings, floors: Mapping[BotId, Posture]) -> None:
        """Publish by other settings from now on, above what new bots were told by a former guard.

        What is open keeps its deadlines; what concerns a bot that is gone ends with the next event.
        """
        self.settings = settings
        self.postures.settings = settings.postures
        for bot, floor in floors.items():
            self.postures.raise_to(bot, floor.version)

    def step(
        self,
        event: AnyEvent,
        desired: Desired,
        state: GuardState,
        now: Nanoseconds,
        *,
        changed: Changed | None = None,
        touched: AbstractSet[MarketId] | None = None,
    ) -> Dispatched:
        """Take what ``event`` says of open commands, then publish what ``desired`` needs at ``now``.

        Args:
            event: what has just been folded into ``state``.
            desired: what every bot may do.
            state: who trades what, and what they say and hold.
            now: Unix nanoseconds.
            changed: where ``desired`` is not what it was at the last step (a bot with ``None``: which markets
                there are, too); without it all is compared.
            touched: markets whose prices may be others, ``None`` for all.
        """
        if state.epoch == 0:
            return Dispatched()  # until the fence is passed nothing may be said
        commands: list[PublishCommand] = []
        outcomes: list[CommandOutcome] = []
        self._note(event, state, now, outcomes)
        postures = self._postures(desired, changed, state, now)
        self._reports.look(state)
        for bot, limits_by_market in desired.items():
            record, memory = state.bots[bot], self._memory(bot)
            shared = shared_of(state, record, self._reports.of(state, record.config.account))
            others = None if changed is None else changed.get(bot, frozenset())
            todo = memory.todo(record, shared, others, touched)
            if not todo and todo is not None:
                continue
            for market, limits in limits_by_market.items():
                if todo is not None and market not in todo:
                    continue
                try:
                    self._step_market(record, memory, market, limits, state, now, commands, outcomes)
                except Exception as error:  # noqa: BLE001 (whatever one market is, the others are looked after)
                    self.broken[bot, market] = error
                    memory.loud.add(market)
                else:
                    self._is_well(bot, market)
            if todo is None:
                self._drop_foreign(memory, limits_by_market, bot, now, outcomes)
        return Dispatched(tuple(postures), tuple(commands), tuple(outcomes))

    def _postures(
        self, desired: Desired, changed: Changed | None, state: GuardState, now: Nanoseconds
    ) -> list[PublishPosture]:
        postures: list[PublishPosture] = []
        for bot, limits in desired.items():
            is_other = changed is None or bot in changed
            try:
                publish = self.postures.publish(state.bots[bot], limits, state, now, is_other=is_other)
            except Exception as error:  # noqa: BLE001 (whatever one bot's is, the others hear theirs)
                self.broken[bot, None] = error
                continue
            self._is_well(bot, None)
            if publish is not None:
                postures.append(publish)
        return postures

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with the obedience of each bot in each market, as long as the want stands."""
        for bot, memory in self._bots.items():
            yield from memory.findings(bot)

    def open_commands(self) -> Mapping[BotId, Sequence[Command]]:
        """What is published and not yet ended, for status and tests."""
        return {bot: [open_.command for open_ in memory.open.values()] for bot, memory in self._bots.items()}

    def _is_well(self, bot: BotId, market: MarketId | None) -> None:
        if self.broken:
            self.broken.pop((bot, market), None)

    def forget_shortcuts(self) -> None:
        """Work everything out anew at the next step; the same must come of it (tests hold it to that)."""
        self.postures.forget_shortcuts()
        for memory in self._bots.values():
            memory.forget_quiet()

    def _memory(self, bot: BotId) -> BotMemory:
        return self._bots.setdefault(bot, BotMemory())

    def _note(
        self, event: AnyEvent, state: GuardState, now: Nanoseconds, outcomes: list[CommandOutcome]
    ) -> None:
        match event:
            case GuardStarted():
                # A new epoch begins with nothing open: bots drop what an older one said.
                outcomes.extend(
                    superseded(open_, bot, "the guard began a new epoch", now)
                    for bot, memory in self._bots.items()
                    for open_ in memory.open.values()
                )
                self._bots.clear()
                self.postures.restart(state)
            case BotAcked(ack=ack):
                self._memory(BotId(ack.bot)).idle.clear()
                for open_ in self._memory(BotId(ack.bot)).open.values():
                    if open_.command.id == ack.command_id:
                        open_.heard, open_.ack = True, ack
            case BotBorn(birth=birth):
                self._say_again(BotId(birth.bot), now)
            case BotReported(reported=reported) if reported.resync:
                self._say_again(BotId(reported.bot), now)
            case SettingsChanged():
                self._drop_removed(state, now, outcomes)
            case LinkChanged(link=LinkKind.BROKER, up=True):
                for bot in state.bots:
                    self._renew(bot, now, outcomes)
                    self._say_again(bot, now)
            case _:
                pass  # a command that could not be handed over (CommandSent) is sent again as one unheard

    def _renew(self, bot: BotId, now: Nanoseconds, outcomes: list[CommandOutcome]) -> None:
        """The broker is back: no deadline has run meanwhile, and what has expired is wanted by a new command."""
        memory = self._memory(bot)
        memory.idle.clear()
        for key, open_ in list(memory.open.items()):
            if ms_of(now) >= open_.command.expires_at:
                outcomes.append(superseded(memory.open.pop(key), bot, "the broker was away", now))
            else:
                confirm_ns = open_.deadline_at - open_.issued_at
                open_.deadline_at, open_.since = now + confirm_ns, now

    def _say_again(self, bot: BotId, now: Nanoseconds) -> None:
        """A bot that may have missed something gets its posture and open commands again, same ids."""
        self.postures.refresh_now(bot)
        memory = self._memory(bot)
        memory.idle.clear()
        for open_ in memory.open.values():
            open_.retry_at = now
            open_.heard = False
        for failure in memory.failures.values():
            if failure.outcome is OutcomeKind.UNVERIFIABLE:
                failure.reissue_at = min(failure.reissue_at, now)

    def _step_market(
        self,
        record: BotRecord,
        memory: BotMemory,
        market: MarketId,
        limits: Limits,
        state: GuardState,
        now: Nanoseconds,
        commands: list[PublishCommand],
        outcomes: list[CommandOutcome],
    ) -> None:
        version = self.postures.version(record.config.bot)
        hangs_on = memory.look(state, record, market, limits, version, now)
        if hangs_on is None:
            return  # nothing to do, and all that this hangs on is as it was
        said = len(commands) + len(outcomes)
        memory.is_loud(market, limits)
        was_open = any((market, kind) in memory.open for kind in Kind)
        memory.follow_size(state, record, market, limits, self.settings.settle_ms * NS_PER_MS)
        cap = memory.size_caps.get(market)
        said_since = memory.said_since(market, limits.entries)
        wanted = {want.kind: want for want in wants_of(limits, state, record, market, cap, said_since)}
        memory.note_quiet(market, hangs_on, is_quiet=not wanted and not was_open)
        for kind in Kind:
            want, open_, since = wanted.get(kind), memory.open.get((market, kind)), now
            if open_ is not None:
                outcome = self._judge(record, memory, market, open_, want, limits, state, now)
                if outcome is None:
                    commands.extend(self._retry(record, memory, open_, state, now))
                    continue
                outcomes.append(outcome)
                del memory.open[market, kind]
                if outcome.outcome is OutcomeKind.CONFIRMED and not (want and want.differs(open_.want)):
                    continue  # whether it still holds is looked at anew with the next event
                if outcome.outcome is OutcomeKind.SUPERSEDED and want is not None:
                    since = open_.since if want.verb is open_.want.verb else now
            if want is None:
                memory.forget((market, kind))
            elif not is_broker_away(state) and self._may_issue(record, memory, (market, kind), want, now):
                commands.append(self._issue(record, memory, market, want, state, now, since))

        if said == len(commands) + len(outcomes):
            memory.rest(market, hangs_on, now, self.settings, lambda verb: self._confirm_ms(record, verb))

    def _judge(
        self,
        record: BotRecord,
        memory: BotMemory,
        market: MarketId,
        open_: Open,
        want: Want | None,
        limits: Limits,
        state: GuardState,
        now: Nanoseconds,
    ) -> CommandOutcome | None:
        """Return the end of an open command, ``None`` while it may still take effect."""
        look = Look(
            state,
            record,
            market,
            since=open_.issued_at,
            size_at_most=memory.size_caps.get(market),
            posture_version=open_.command.posture_version,
            settle_ns=self.settings.settle_ms * NS_PER_MS,
        )
        effect = open_.want.read(look)

        if only_listens(record, state):
            verdict = dry_run_verdict(record, open_, now)
        elif effect.reading is Reading.HOLDS:
            verdict = Verdict(OutcomeKind.CONFIRMED)
        elif self._is_put_off(record, open_, want, effect, now) and not is_broker_away(state):
            verdict = Verdict(OutcomeKind.FAILED, "each newer limit found the former one not kept")
        elif (
            why := outdated(record, open_, want, limits, self.postures.version(record.config.bot))
        ) is not None:
            verdict = Verdict(OutcomeKind.SUPERSEDED, why)
        elif (answer := refusal_of(open_, memory.failures.get((market, open_.want.kind)))) is not None:
            verdict = answer
        elif is_broker_away(state):
            verdict = None
        else:
            looks = record.reported is not None or size_of(state, record, market) is not None
            verdict = in_time_verdict(open_, effect, now, self.settings.look_ms * NS_PER_MS if looks else 0)
        return None if verdict is None else self._end(memory, record, market, open_, verdict, effect, now)

    def _is_put_off(
        self, record: BotRecord, open_: Open, want: Want | None, effect: Effect, now: Nanoseconds
    ) -> bool:
        """Whether commands have taken each other's place for long enough without any effect."""
        if want is None or want.verb is not open_.want.verb or effect.reading is not Reading.FAILS:
            return False
        return now >= open_.since + CHAIN_MAX * self._confirm_ms(record, want.verb) * NS_PER_MS

    def _end(
        self,
        memory: BotMemory,
        record: BotRecord,
        market: MarketId,
        open_: Open,
        verdict: Verdict,
        effect: Effect,
        now: Nanoseconds,
    ) -> CommandOutcome:
        key, kind, quiet = (market, open_.want.kind), verdict.kind, verdict.quiet
        detail = "; ".join(part for part in (verdict.detail, effect.detail) if part)
        if kind in (OutcomeKind.FAILED, OutcomeKind.UNVERIFIABLE) or quiet:
            count = memory.failures[key].count + 1 if key in memory.failures else 1
            waits = self.settings.reissue_s
            wait_s = waits[min(count, len(waits)) - 1] if waits else 1.0
            applied = open_.ack is not None and open_.ack.status is AckStatus.APPLIED
            if kind is OutcomeKind.UNVERIFIABLE and (applied or quiet):
                wait_s = ONCE_S  # it was heard: saying it again would not let anyone see more
            memory.failures[key] = Failure(
                open_.want, open_.command.id, kind, detail, count, now + int(wait_s * NS_PER_S), quiet
            )
        elif kind is OutcomeKind.CONFIRMED:
            memory.forget(key)
            if isinstance(open_.want, PauseWant):
                memory.paused[market] = (open_.want.entries, open_.issued_at)
        if kind is OutcomeKind.FAILED and open_.want.kind is Kind.ENTRIES:
            memory.size_caps.pop(market, None)  # the next pause is held against the size of its own time
        return CommandOutcome(
            command_id=open_.command.id,
            bot=record.config.bot,
            outcome=kind,
            source=effect.source,
            detail=detail,
            judged_at=now,
        )

    def _retry(
        self, record: BotRecord, memory: BotMemory, open_: Open, state: GuardState, now: Nanoseconds
    ) -> Iterator[PublishCommand]:
        """Publish the same id again while nothing was heard, until it expires."""
        waits = self.settings.retry_ms
        if open_.heard or not waits or now < open_.retry_at or ms_of(now) >= open_.command.expires_at:
            return
        if not record.is_online or only_listens(record, state) or is_broker_away(state):
            return
        wait_ms = waits[-1]
        if open_.attempt < len(waits):
            wait_ms = max(waits[open_.attempt] - waits[open_.attempt - 1], 0)
        open_.retry_at = now + wait_ms * NS_PER_MS
        open_.attempt += 1
        if open_.command.seq < memory.seq:
            # The bot may have heard a later one and would take this for a replay; the id tells it apart.
            memory.seq += 1
            open_.command = structs.replace(open_.command, seq=memory.seq)
        yield PublishCommand(command=open_.command, attempt=open_.attempt)

    def _may_issue(
        self,
        record: BotRecord,
        memory: BotMemory,
        key: tuple[MarketId, Kind],
        want: Want,
        now: Nanoseconds,
    ) -> bool:
        if not record.is_online or record.birth is None:
            return False  # the retained posture waits for it; a command would be lost
        if want.verb not in record.birth.verbs:
            unable = memory.unable.setdefault(key, Unable(want.verb, now))
            unable.is_due = now - unable.since >= self._confirm_ms(record, want.verb) * NS_PER_MS
            return False  # the posture carries the limit; if that does not help, a finding says so
        memory.unable.pop(key, None)
        failure = memory.failures.get(key)
        return failure is None or now >= failure.reissue_at or want.differs(failure.want)

    def _issue(
        self,
        record: BotRecord,
        memory: BotMemory,
        market: MarketId,
        want: Want,
        state: GuardState,
        now: Nanoseconds,
        since: Nanoseconds,
    ) -> PublishCommand:
        memory.seq += 1
        bot = record.config.bot
        cause = want.cause
        envelope: dict[str, Any] = {
            "v": SCHEMA_VERSION,
            "id": f"{state.session}.{state.epoch}-{bot}-{memory.seq}",
            "bot": bot,
            "epoch": state.epoch,
            "session": state.session,
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
        confirm_ns = self._confirm_ms(record, want.verb) * NS_PER_MS
        memory.open[market, want.kind] = Open(
            want=want,
            command=command,
            issued_at=now,
            since=since,
            deadline_at=now + confirm_ns,
            retry_at=now + (self.settings.retry_ms[0] if self.settings.retry_ms else 0) * NS_PER_MS,
        )
        return PublishCommand(command=command, attempt=1)

    def _confirm_ms(self, record: BotRecord, verb: Verb) -> int:
        declared = record.birth.verbs.get(verb) if record.birth is not None else None
        return self.settings.settle_ms + (
            self.settings.confirm_ms if declared is None else declared.deadline_ms
        )

    def _drop_removed(self, state: GuardState, now: Nanoseconds, outcomes: list[CommandOutcome]) -> None:
        """End what is open with bots that the settings name no more; they go to their safe mode by themselves.

        Numbers go on where they were, should one come back in this epoch.
        """
        why = "the settings name the bot no more"
        for bot in self._bots.keys() - state.bots.keys():
            memory = self._bots[bot]
            outcomes.extend(superseded(open_, bot, why, now) for open_ in memory.open.values())
            self._bots[bot] = BotMemory(seq=memory.seq)

    def _drop_foreign(
        self,
        memory: BotMemory,
        limits: Mapping[MarketId, Limits],
        bot: BotId,
        now: Nanoseconds,
        outcomes: list[CommandOutcome],
    ) -> None:
        """End what is open in a market that the bot does not trade any more."""
        memory.drop_but(limits)
        for key in [key for key in memory.open if key[0] not in limits]:
            why = "the bot does not trade this market any more"
            outcomes.append(superseded(memory.open.pop(key), bot, why, now))
        for key in [key for key in (*memory.failures, *memory.unable) if key[0] not in limits]:
            memory.forget(key)
