"""Desired against confirmed: what to publish now, again, or give up; level-triggered, absolute, never deltas.

A command ends only when its effect has been read back: CONFIRMED, FAILED or UNVERIFIABLE. A failure
stands as a finding, which tightens further, and the command is issued anew. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from msgspec import structs

from guard.budget import Budget
from guard.commands import CommandOutcome, Dispatched, OutcomeKind, PublishCommand, PublishPosture
from guard.conversation import Conversation
from guard.desired import Desired, Limits
from guard.dispatch_settings import DispatchSettings
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
from guard.instructions import concerns
from guard.outstanding import BotMemory, is_broker_away, superseded
from guard.pacing import Changed, Pacing
from guard.postures import PostureBook
from guard.routes import Routes, Stubborn
from guard.state import BotRecord, GuardState
from guard.units import NS_PER_MS, BotId, MarketId, Nanoseconds, ms_of, symbol_of
from guard.wants import AllReports, Kind, shared_of, wants_of
from perpguard_sdk.messages import Command, InstructionKind, Posture, StopRule

__all__ = ["Dispatch", "DispatchSettings"]


@dataclass(slots=True)
class Dispatch:
    """Keeps, for every bot, what was published, what is open and what failed; see the module.

    ``broken`` says what the last attempt raised for a bot (market ``None``) or for one of its markets.
    """

    settings: DispatchSettings
    postures: PostureBook = field(init=False)
    broken: dict[tuple[BotId, MarketId | None], Exception] = field(default_factory=dict)
    _talk: Conversation = field(init=False)
    _routes: Routes = field(default_factory=Routes)
    _budget: Budget = field(default_factory=Budget)
    _pacing: Pacing = field(default_factory=Pacing)
    _bots: dict[BotId, BotMemory] = field(default_factory=dict)
    _told: dict[BotId, Posture] = field(default_factory=dict)
    _is_anew: bool = True
    _reports: AllReports = field(default_factory=AllReports)

    def __post_init__(self) -> None:
        self.postures = PostureBook(self.settings.postures)
        self._talk = Conversation(self.settings, self.postures)

    def reconfigure(self, settings: DispatchSettings, floors: Mapping[BotId, Posture]) -> None:
        """Publish by other settings from now on, above what new bots were told by a former guard.

        What is open keeps its deadlines; what concerns a bot that is gone ends with the next event.
        """
        self.settings = self._talk.settings = settings
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
            self._is_anew = True
            return Dispatched()  # until the fence is passed nothing may be said
        commands: list[PublishCommand] = []
        outcomes: list[CommandOutcome] = []
        self._note(event, state, now, outcomes)
        desired, changed = self._paced(desired, changed, state, now)
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
        self.broken.update(self._pacing.broken)
        return Dispatched(tuple(postures), tuple(commands), tuple(outcomes))

    def _paced(
        self, desired: Desired, changed: Changed | None, state: GuardState, now: Nanoseconds
    ) -> tuple[Desired, Changed | None]:
        """What bots may be told by now of what is wanted in the end."""
        changed, self._is_anew = (None if self._is_anew else changed), True
        desired, changed = self._routes.follow(
            desired,
            changed,
            state,
            now,
            stubborn=self._stubborn(state, now),
            routes=self.settings.routes_for,
        )
        waiting = self._routes.waiting
        for bot, memory in self._bots.items():
            memory.waiting = frozenset(market for each, market in waiting if each == bot)
        desired, changed = self._budget.follow(
            desired,
            changed,
            state,
            now,
            allowance=self.settings.allowance,
            stop_told=self._stop_told,
            is_granted=lambda bot, market: _is_granted(bot, market, state, now),
        )
        paced = self._pacing.follow(
            desired, changed, state, now, has_failed=self._has_failed, stop_told=self._stop_told
        )
        self._is_anew = False
        return paced

    def _stubborn(self, state: GuardState, now: Nanoseconds) -> dict[tuple[BotId, MarketId], Stubborn]:
        """Who has not reduced what it was asked to, or cannot be asked."""
        wait_ns = self.settings.command_ttl_ms * NS_PER_MS
        found: dict[tuple[BotId, MarketId], Stubborn] = {}
        if is_broker_away(state):
            return found
        for bot, memory in self._bots.items():
            if not (memory.failures or memory.unable or memory.unreached):
                continue
            keys = memory.failures.keys() | memory.unable.keys() | memory.unreached.keys()
            for market in sorted({market for market, kind in keys if kind is not Kind.ENTRIES}):
                stubborn = memory.stubborn(market, now, wait_ns)
                if stubborn is not None and bot in state.bots:
                    found[bot, market] = stubborn
        return found

    def _stop_told(self, bot: BotId, market: MarketId) -> StopRule | None:
        """The stop rule of the posture that a bot was told last."""
        told = self._told.get(bot)
        return None if told is None else told.stops.get(symbol_of(market))

    def _has_failed(self, bot: BotId, market: MarketId) -> bool:
        """Whether the last reduction of a bot has ended without its effect, and none is on its way."""
        memory = self._memory(bot)
        kinds = (Kind.SIZE, Kind.STOP)
        return any((market, kind) in memory.failures for kind in kinds) and not any(
            (market, kind) in memory.open for kind in kinds
        )

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
                posture = structs.replace(publish.posture, reductions=self._budget.told(bot, now))
                postures.append(structs.replace(publish, posture=posture))
                self._told[bot] = posture
        return postures

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with the obedience of each bot in each market, as long as the want stands."""
        for bot, memory in self._bots.items():
            yield from memory.findings(bot)
        yield from self._routes.findings()
        yield from self._budget.findings()

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
                self._routes.restart()
                self._budget.restart(state)
                self._pacing.restart()
                self._told.clear()
                self._is_anew = True
                self.postures.restart(state)
            case BotAcked(ack=ack):
                self._memory(BotId(ack.bot)).idle.clear()
                for open_ in self._memory(BotId(ack.bot)).open.values():
                    if open_.command.id == ack.command_id:
                        open_.heard, open_.ack = True, ack
            case BotBorn(birth=birth):
                self._say_again(BotId(birth.bot), now, is_new_life=True)
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

    def _say_again(self, bot: BotId, now: Nanoseconds, *, is_new_life: bool = False) -> None:
        """A bot that may have missed something gets its posture and open commands again, same ids.

        In a new life it may obey where it has failed before: that is not waited for.
        """
        self.postures.refresh_now(bot)
        memory = self._memory(bot)
        memory.idle.clear()
        for open_ in memory.open.values():
            open_.retry_at = now
            open_.heard = False
        for failure in memory.failures.values():
            if is_new_life or failure.outcome is OutcomeKind.UNVERIFIABLE:
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
        hold = memory.hold(record, market, limits.entries, version, state.floors.get(record.config.bot))
        hangs_on = memory.look(state, record, market, limits, version, now)
        if hangs_on is None:
            return  # nothing to do, and all that this hangs on is as it was
        said = len(commands) + len(outcomes)
        memory.is_loud(market, limits)
        was_open = any((market, kind) in memory.open for kind in Kind)
        memory.follow_size(state, record, market, limits, self.settings.settle_ms * NS_PER_MS)
        cap = memory.size_caps.get(market)
        said_since = memory.said_since(market, limits.entries)
        wants = wants_of(limits, state, record, market, cap, said_since, hold)
        wanted = {want.kind: want for want in wants}
        memory.note_quiet(market, hangs_on, is_quiet=not wanted and not was_open)
        for kind in Kind:
            want, open_, since = wanted.get(kind), memory.open.get((market, kind)), now
            if open_ is not None:
                outcome = self._talk.judge(record, memory, market, open_, want, limits, state, now)
                if outcome is None:
                    commands.extend(self._talk.retry(record, memory, open_, state, now))
                    continue
                outcomes.append(outcome)
                del memory.open[market, kind]
                if outcome.outcome is OutcomeKind.CONFIRMED and not (want and want.differs(open_.want)):
                    continue  # whether it still holds is looked at anew with the next event
                if outcome.outcome is OutcomeKind.SUPERSEDED and want is not None:
                    since = open_.since if want.verb is open_.want.verb else now
            if want is None:
                memory.forget((market, kind))
            elif not is_broker_away(state) and self._talk.may_issue(
                record, memory, (market, kind), want, now
            ):
                commands.append(self._talk.issue(record, memory, market, want, state, now, since))

        if said == len(commands) + len(outcomes):
            memory.rest(
                market, hangs_on, now, self.settings, lambda verb: self._talk.confirm_ms(record, verb)
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


def _is_granted(bot: BotId, market: MarketId, state: GuardState, now: Nanoseconds) -> bool:
    """Whether a human has told the guard to ignore that its budget of reductions is spent."""
    account = state.bots[bot].config.account
    return any(
        each.kind is InstructionKind.IGNORE
        and Reason.BUDGET_SPENT in each.reasons
        and concerns(each, bot=bot, account=account, market=market)
        for each in state.instructions.in_force(now)
    )
