"""Findings to one desired posture per bot and market: most restrictive wins, tighten at once, loosen slowly.

Order of findings does not matter. Holds the one memory that loosening needs: since when nobody has
asked for what is in force. Folds only where something has changed, or is due to move. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Annotated, TypeVar

from annotated_types import Ge, Le
from msgspec import structs

from guard.account.allocation import Allocation
from guard.closing import Closing
from guard.desired import Desired, Limits
from guard.findings import Finding
from guard.instructions import heeded
from guard.ladder import Rung, flattened
from guard.latches import (
    NEVER,
    Asked,
    Latch,
    Latches,
    Skills,
    asked_entries,
    asked_leverage,
    asked_share,
    asked_size,
    asked_stop,
    compare_entries,
    compare_numbers,
    compare_shares,
    compare_stops,
    loosen_entries,
    loosen_number,
    loosen_share,
    loosen_stop,
    mark_price_of,
)
from guard.ranking import Ranking, concerns_bot, differing, inhibitor, uninhibited, worst_first
from guard.state import BotRecord, GuardState
from guard.units import NS_PER_S, AccountId, BotId, MarketId, Nanoseconds, market_id, venue_of
from perpguard_sdk.messages import Instruction, StopRule

V = TypeVar("V")

Told = Mapping[MarketId | None, Sequence[Finding]]
"""Findings by the market that they are about, ``None`` for those that name no market."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArbiterSettings:
    """How slowly restrictions are taken back.

    Attributes:
        hold_down_s: seconds for which nobody may have asked for a restriction before its first step back.
        step_s: seconds between further steps back.
        damping_max: what is asked for again soon after it was given back is held four times as long each time, up to
            so many hold-downs; 1 for no such damping.
        change_ratio_min: a size or leverage limit in force is tightened further only by more than this share.
        highest_rung: how far the guard may go by itself: advise, no_adds, pause_entries, reduce, reduce_to_safe or
            flatten; what is closed by flatten stays closed until a human releases it.
        reduce_share_max: with reduce as the highest rung, what share of a position is taken off at most.
    """

    hold_down_s: Annotated[float, Ge(0.0), Le(86_400.0)] = 60.0
    step_s: Annotated[float, Ge(0.0), Le(86_400.0)] = 20.0
    damping_max: Annotated[float, Ge(1.0), Le(1_000.0)] = 30.0
    change_ratio_min: Annotated[float, Ge(0.0), Le(0.5)] = 0.05
    highest_rung: Rung = Rung.REDUCE_TO_SAFE
    reduce_share_max: Annotated[float, Ge(0.05), Le(0.95)] = 0.5


@dataclass(slots=True)
class Arbiter:
    """Folds findings into limits; see the module."""

    settings: ArbiterSettings
    broken: dict[tuple[BotId, MarketId], Exception] = field(default_factory=dict)
    changed: dict[BotId, set[MarketId] | None] = field(default_factory=dict)
    """Where the last fold has changed limits or their causes; ``None`` for a bot whose markets are others."""
    _latches: dict[tuple[BotId, MarketId], Latches] = field(default_factory=dict)
    _allocations: dict[tuple[AccountId, MarketId], Allocation] = field(default_factory=dict)
    _ranking: Ranking = field(default_factory=Ranking)
    _closing: Closing = field(init=False)
    _ranked: dict[MarketId | None, list[Finding]] = field(default_factory=dict)
    _desired: dict[BotId, dict[MarketId, Limits]] = field(default_factory=dict)
    _markets: dict[BotId, tuple[MarketId, ...]] = field(default_factory=dict)
    _skills: dict[BotId, Skills] = field(default_factory=dict)
    _due: list[tuple[Nanoseconds, BotId, MarketId]] = field(default_factory=list)
    _looking: dict[AccountId, set[tuple[BotId, MarketId]]] = field(default_factory=dict)
    _versions: dict[AccountId, int] = field(default_factory=dict)
    _left: set[tuple[AccountId, MarketId]] = field(default_factory=set)
    _in_force: tuple[Instruction, ...] = ()
    _floors: dict[BotId, tuple[int, int]] = field(default_factory=dict)
    _is_anew: bool = True
    _folded_at: Nanoseconds = 0
    _former_hold_ns: Nanoseconds = 0
    _former_until: Nanoseconds = 0

    def __post_init__(self) -> None:
        self._closing = Closing(self.settings.highest_rung, self.settings.reduce_share_max)

    @property
    def waiting(self) -> Iterable[Finding]:
        """What people have to decide: where something was closed, or should have been."""
        return self._closing.waiting.values()

    def marked(self, finding: Finding) -> Finding:
        """A finding as it is recorded: with the name of the wider one that asks for as much, if there is one."""
        wider = inhibitor(finding, self._ranked.get(None, ()))
        return (
            finding
            if wider is None
            else structs.replace(finding, inhibited_by=f"{wider.policy}:{wider.reason}")
        )

    def fold(self, findings: Sequence[Finding], state: GuardState, now: Nanoseconds) -> Desired:
        """Return what every bot may do in every market that it trades, at ``now``: all worked out anew.

        Where a market of a bot cannot be folded its last limits stand, without entries; ``broken`` says why
        until it can.
        """
        told: dict[MarketId | None, list[Finding]] = {}
        for finding in findings:
            told.setdefault(finding.subject.market, []).append(finding)
        self._is_anew = True
        return self.fold_changed(told, state, now)

    @property
    def is_anew(self) -> bool:
        """Whether the next ``fold_changed`` must be told everything."""
        return self._is_anew

    def fold_changed(
        self, told: Told, state: GuardState, now: Nanoseconds, *, touched: AbstractSet[MarketId] | None = None
    ) -> Desired:
        """As ``fold``, of what has changed since the last one; the same comes of it.

        Args:
            told: all findings about each market about which they may be others than before.
            state: who trades what, and what else is looked at.
            now: Unix nanoseconds.
            touched: markets whose prices may be others, ``None`` for all.
        """
        everything, self._is_anew = self._is_anew, True  # whatever raises below, the next one begins anew
        if everything:
            told = {**dict.fromkeys(self._ranked, ()), **told}
        if self._former_hold_ns and now >= self._former_until:
            self._forget()
            self._former_hold_ns = 0
            everything = True
        self._hear(state, now)
        others: set[MarketId | None] = set()
        concerned: list[Finding] = []
        for market, found in told.items():
            ranked = self._ranking.rank(
                market,
                self._closing.within(found),
                now,
                folded_at=self._folded_at,
                hold_down_s=self.settings.hold_down_s,
            )
            former = self._ranked.get(market, [])
            if ranked != former:
                self._ranked[market] = ranked
                others.add(market)
                if market is None:
                    concerned = differing(former, ranked)
        self.changed = {}
        todo = self._todo(others, concerned, state, now, touched, everything=everything)
        for bot, markets in todo.items():
            self._fold_bot(bot, markets, others, state, now)
        self._release_allocations(todo, state)
        self._folded_at = now
        self._is_anew = False
        return self._desired

    def _todo(
        self,
        others: AbstractSet[MarketId | None],
        concerned: Sequence[Finding],
        state: GuardState,
        now: Nanoseconds,
        touched: AbstractSet[MarketId] | None,
        *,
        everything: bool,
    ) -> dict[BotId, set[MarketId] | None]:
        """Which markets of which bots have to be folded, ``None`` for all of a bot's."""
        if everything:
            self._desired = {bot: self._desired.get(bot, {}) for bot in state.bots}
            self._markets.clear()
            self._looking.clear()
        todo: dict[BotId, set[MarketId] | None] = {}
        markets = {market for market in others if market is not None}
        looked = self._looked_at(state, touched)
        due = self._take_due(now)
        for bot, record in state.bots.items():
            is_concerned = any(concerns_bot(finding, bot, record) for finding in concerned)
            skills = Skills.of(record)
            if self._skills.get(bot, skills) != skills:
                is_concerned = True
                self._unsettle(bot)
            self._skills[bot] = skills
            if is_concerned or self._markets.get(bot) != record.markets:
                todo[bot] = None
                continue
            limits = self._desired[bot]
            wanted = {market for market in markets if market in limits}
            wanted |= looked.get(bot, set()) | due.get(bot, set())
            if wanted:
                todo[bot] = wanted
        return todo

    def _looked_at(
        self, state: GuardState, touched: AbstractSet[MarketId] | None
    ) -> dict[BotId, set[MarketId]]:
        """Where a fold looked at prices, positions or owners that may be others now."""
        found: dict[BotId, set[MarketId]] = {}
        if not self._looking:
            return found
        moved = any(self._markets.get(bot) != record.markets for bot, record in state.bots.items())
        for account, looking in self._looking.items():
            version = state.account(account).version
            is_other = moved or self._versions.get(account) != version
            self._versions[account] = version
            for bot, market in looking:
                if is_other or touched is None or market in touched:
                    found.setdefault(bot, set()).add(market)
        return found

    def _take_due(self, now: Nanoseconds) -> dict[BotId, set[MarketId]]:
        """Where something moves of itself by now."""
        found: dict[BotId, set[MarketId]] = {}
        while self._due and self._due[0][0] <= now:
            at, bot, market = heappop(self._due)
            latches = self._latches.get((bot, market))
            if latches is not None and latches.queued_at == at:
                latches.queued_at = NEVER
            if latches is not None and latches.steady_until == at and market in self._desired.get(bot, {}):
                found.setdefault(bot, set()).add(market)
        return found

    def _fold_bot(
        self,
        bot: BotId,
        markets: AbstractSet[MarketId] | None,
        others: AbstractSet[MarketId | None],
        state: GuardState,
        now: Nanoseconds,
    ) -> None:
        record, former = state.bots[bot], self._desired[bot]
        if self._markets.get(bot) != record.markets:
            self._markets[bot] = record.markets
            limits = {market: self._try_market(bot, record, market, state, now) for market in record.markets}
            for gone in former.keys() - limits.keys():
                self._looks(record, bot, gone, looks=False)
                self._left.add((record.config.account, gone))
                self._closing.waiting.pop((bot, gone), None)
            self._desired[bot] = limits
            self.changed[bot] = None
            return
        changed: set[MarketId] = set()
        is_general = None in others
        for market in record.markets if markets is None else markets:
            limits_now = self._try_market(
                bot, record, market, state, now, is_told=is_general or market in others
            )
            if limits_now is not former[market]:
                former[market] = limits_now
                changed.add(market)
        if changed:
            self.changed[bot] = changed

    def reconfigure(self, settings: ArbiterSettings, now: Nanoseconds) -> None:
        """Fold by other settings from now on. Whatever is in force holds for a whole hold-down first.

        That is the longer of the former and the new one: no change of settings makes anything looser sooner
        than it would have been had every finding ended now.
        """
        self.forget_shortcuts()
        former_ns = max(int(self.settings.hold_down_s * NS_PER_S), self._former_hold_ns)
        self.settings = settings
        self._closing.highest, self._closing.share_max = settings.highest_rung, settings.reduce_share_max
        self._former_hold_ns, self._former_until = former_ns, max(now + former_ns, self._former_until)
        for latches in self._latches.values():
            for latch in latches.all():
                latch.loosen_at = max(latch.loosen_at, now + self._hold_ns)

    def forget_shortcuts(self) -> None:
        """Work everything out anew at the next fold; the same must come of it (tests hold it to that)."""
        self._is_anew = True
        self._forget()

    def _forget(self) -> None:
        for latches in self._latches.values():
            latches.settle(self._hold_ns, self._folded_at)
            latches.steady_until = 0

    @property
    def _hold_ns(self) -> Nanoseconds:
        """A change of settings shortens no hold-down that would have run when it came."""
        return max(int(self.settings.hold_down_s * NS_PER_S), self._former_hold_ns)

    def _try_market(
        self,
        bot: BotId,
        record: BotRecord,
        market: MarketId,
        state: GuardState,
        now: Nanoseconds,
        *,
        is_told: bool = True,
    ) -> Limits:
        latches = self._latches.get((bot, market))
        if latches is None:
            latches = self._latches[bot, market] = Latches()
        if is_told:
            concerning = self._concerning(bot, record, market)
            if latches.concerning != concerning:
                latches.concern(concerning)
                self._looks(record, bot, market, looks=latches.looks)
            elif latches.looks:
                self._looks(record, bot, market, looks=True)
        seen = latches.looks_at(state, record, market)
        if now < latches.steady_until and latches.steady == seen:
            latches.steady_at = now
            return latches.last
        try:
            latches.settle(self._hold_ns, self._folded_at)
            self._fold_market(latches, latches.concerning, record, market, state, now)
        except Exception as error:  # noqa: BLE001 (whatever one market does, the others still run)
            self.broken[bot, market], latches.steady_until = error, 0
            self._queue(latches, bot, market)
            return latches.last.without_entries()
        if self.broken:
            self.broken.pop((bot, market), None)
        limits = latches.limits(Skills.of(record))
        if limits != latches.last:
            latches.last = limits
        latches.steady, latches.steady_at = seen, now
        latches.steady_until = min(latch.moves_at for latch in latches.all())
        self._queue(latches, bot, market)
        return latches.last

    def _queue(self, latches: Latches, bot: BotId, market: MarketId) -> None:
        """Have it folded when something in it moves of itself."""
        at = latches.steady_until
        if at not in (NEVER, latches.queued_at):
            latches.queued_at = at
            heappush(self._due, (at, bot, market))

    def _concerning(self, bot: BotId, record: BotRecord, market: MarketId) -> list[Finding]:
        """The findings about one market of one bot, worst first."""
        own, general = self._ranked.get(market), self._ranked.get(None)
        if not general:
            found = own or []
        elif not own:
            found = general
        else:
            found = worst_first([*general, *own])
        concerning = [finding for finding in found if concerns_bot(finding, bot, record)]
        if self._in_force:
            account = record.config.account
            concerning = heeded(concerning, self._in_force, bot=bot, account=account, market=market)
        return uninhibited(concerning) if general and own else concerning

    def _unsettle(self, bot: BotId | None = None) -> None:
        """Fold all of a bot, or of all, at the next chance, as if anything looked at were another."""
        for (owner, _), latches in self._latches.items():
            if bot in (None, owner):
                latches.steady = ()

    def _hear(self, state: GuardState, now: Nanoseconds) -> None:
        """Begin anew where humans told something else, and keep closed what a former guard had closed."""
        in_force = state.instructions.in_force(now)
        if in_force != self._in_force:
            self._in_force = in_force
            self._markets.clear()
            self._looking.clear()
            self._unsettle()
        for bot, floor in state.floors.items():
            if self._floors.get(bot) == (floor.epoch, floor.version):
                continue
            self._floors[bot] = (floor.epoch, floor.version)
            venue = venue_of(state.bots[bot].config.account)
            for symbol in floor.flattened:
                market = market_id(venue, symbol)
                latches = self._latches.setdefault((bot, market), Latches())
                latches.flattened = latches.flattened or flattened(bot, market, None)
                latches.steady = ()
                self._markets.pop(bot, None)

    def _looks(self, record: BotRecord, bot: BotId, market: MarketId, *, looks: bool) -> None:
        """Remember where prices, positions or owners are looked at, so that a change of them is noticed."""
        looking = self._looking.setdefault(record.config.account, set())
        if looks:
            looking.add((bot, market))
        else:
            looking.discard((bot, market))

    def _fold_market(
        self,
        latches: Latches,
        concerning: Sequence[Finding],
        record: BotRecord,
        market: MarketId,
        state: GuardState,
        now: Nanoseconds,
    ) -> None:
        concerning = self._closing.keep(latches, concerning, self._in_force, record, market)
        frozen = any(finding.freezes for finding in concerning)
        hold_ns, step_ns = self._hold_ns, int(self.settings.step_s * NS_PER_S)
        held_max_ns = int(self._hold_ns * self.settings.damping_max)

        def move(
            latch: Latch[V], asked: Asked[V], compare: Callable[[V, V], int], step: Callable[[V, int], V]
        ) -> None:
            latch.move(
                asked,
                compare,
                step,
                now=now,
                frozen=frozen,
                hold_ns=hold_ns,
                step_ns=step_ns,
                held_max_ns=held_max_ns,
            )

        def compare_here(first: float | None, second: float | None) -> int:
            return compare_numbers(first, second, self.settings.change_ratio_min)

        def compare_parts(first: float, second: float) -> int:
            return compare_shares(first, second, self.settings.change_ratio_min)

        def compare_rules(first: StopRule | None, second: StopRule | None) -> int:
            return compare_stops(first, second, mark_price_of(state, market))

        def part(finding: Finding, size: float) -> float | None:
            # A finding about one bot speaks of that bot's own size, any other of the whole account's.
            if finding.subject.bot is not None:
                return size
            return self._part(state, record, market, size).get(record.config.bot)

        size = self._closing.capped(latches, asked_size(concerning, part), record, market, state)
        before = latches.sizes
        stop = asked_stop(concerning)
        move(latches.stop, stop, compare_rules, loosen_stop)
        if (
            latches.stop.value == stop.value
        ):  # else another one stays in force, at the size that it was asked with
            latches.note_stop_size(stop.cause, part)
        latches.hold_size_under_stop()
        move(latches.max_size, size, compare_here, loosen_number)
        latches.note_at_once(concerning, part)
        move(latches.max_leverage, asked_leverage(concerning), compare_here, loosen_number)
        latches.give_back_in_order(before, step_ns)
        move(latches.entries, asked_entries(concerning), compare_entries, loosen_entries)
        move(latches.entry_share, asked_share(concerning), compare_parts, loosen_share)

    def _part(
        self, state: GuardState, record: BotRecord, market: MarketId, size: float
    ) -> Mapping[BotId, float | None]:
        """Share a limit on the account's whole position among those who own it."""
        account = record.config.account
        allocation = self._allocations.setdefault((account, market), Allocation())
        return allocation.split(state.account(account), market, state.owners(account, market), size)

    def _release_allocations(
        self, folded: Mapping[BotId, AbstractSet[MarketId] | None], state: GuardState
    ) -> None:
        """Forget the weights of positions on which no limit stands any more."""
        left, self._left = self._left, set()
        if not self._allocations:
            return
        for bot, markets in folded.items():
            account = state.bots[bot].config.account
            left |= {(account, market) for market in (self._desired[bot] if markets is None else markets)}
        for account, market in left:
            allocation = self._allocations.get((account, market))
            if allocation is None or not allocation.is_held:
                continue
            limits = [self._desired[owner].get(market) for owner in state.owners(account, market)]
            if all(limit is None or limit.max_size is None for limit in limits):
                allocation.release()
