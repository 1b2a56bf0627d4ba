"""The fold over steps that keeps twins and bills decisions. No I/O, no clock, no randomness.

The same steps over the same states give the same lines, live and in replay. It decides nothing, and nothing that is
decided rests on it. Positions are looked at where they are told, prices at Ticks only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec import structs

from guard.audit import Billed, Step
from guard.bill import seen, withheld
from guard.bill.books import Books, blocks, is_of
from guard.bill.decision import PAYS_IN_COINS, PRICE_UNKNOWN, Asked, Decision
from guard.bill.settings import BillSettings
from guard.bill.totals import Totals, day_number, day_words
from guard.bill.twin import Twin
from guard.billed import BillDay, BillEnd, BillKind, BillLine, BillMemory
from guard.commands import CommandOutcome, OutcomeKind, PublishCommand
from guard.desired import Desired
from guard.events import AccountSnapshot, BotReported, Tick
from guard.findings import Finding, Severity
from guard.outstanding import only_listens
from guard.state import GuardState
from guard.units import (
    NS_PER_MS,
    NS_PER_S,
    BotId,
    MarketId,
    Nanoseconds,
    market_id,
    symbol_of,
    venue_of,
)
from perpguard_sdk.messages import ALL_SYMBOLS, CutLeverage, Entries, Pause, Posture, WidenStops

DAY_NS = 86_400 * NS_PER_S
OPEN_MAX = 512
"""Decisions counted at once; of more, the oldest end where they stand."""
WRITE_S = 10
"""Records of it are so far apart at least: each holds the whole memory."""
RECORD_S = 600
"""While something is open its memory is recorded so often, so that a guard that is killed goes on from it."""
LATE_S = 10
"""What a command did is still looked for so long after it was judged: no bot may execute it any later."""
PRICE_AWAITED_S = 600
"""A decision that is to end waits so long for a price, as after a restart; then what it came to is unknown."""
OWN_CHANGE = 0.005
"""A position that differs by less of itself is the same one: what is told is rounded."""

_ACTS = (Severity.ACT, Severity.CRITICAL)


@dataclass(slots=True)
class Ledger:
    """``note`` every step after it was processed; ``take`` gives what is to be recorded. See the module."""

    settings: BillSettings = field(default_factory=BillSettings)
    books: Books = field(init=False)
    _since: Nanoseconds = 0
    _day: int = -1
    _restricted: dict[tuple[BotId, str], str] = field(default_factory=dict)
    _funding: dict[MarketId, tuple[Nanoseconds, float]] = field(default_factory=dict)
    """Of each market the next settlement and its rate, as told."""
    _ended_day: BillDay | None = None
    _recorded_at: Nanoseconds = 0

    def __post_init__(self) -> None:
        self.books = Books(self.settings)

    @classmethod
    def of(cls, settings: BillSettings, memory: BillMemory | None) -> Ledger:
        """Go on from what a former guard recorded last; without it, from nothing."""
        ledger = cls(settings)
        if memory is None:
            return ledger
        ledger._since, ledger._day = memory.since, day_number(memory.day)
        ledger.books.run, ledger.books.today = Totals.of(memory.run), Totals.of(memory.today)
        ledger.books.residual_usd = memory.residual_usd
        ledger.books.twins = {each.account: Twin.of(each) for each in memory.twins}
        for each in memory.open:
            ledger.books.decisions[each.line.decision] = Decision.of(each)
            bot = each.line.bot
            if each.line.kind is BillKind.RESTRICTION and bot is not None and each.ends_at is None:
                ledger._restricted[bot, symbol_of(each.line.market)] = each.line.decision
        return ledger

    def reconfigure(self, settings: BillSettings) -> None:
        """From now on count by other settings; what was counted stays."""
        self.settings = self.books.settings = settings

    # ---------------------------------------------------------------- the fold

    def note(self, step: Step, state: GuardState, wanted: Desired) -> None:
        """Take a step that was just processed; ``state`` and ``wanted`` are those after it."""
        if not self.settings.enabled:
            return
        event = step.event
        if step.commands or step.postures:
            self._hear_orders(step, state, wanted)
        if self.books.decisions and isinstance(event, AccountSnapshot | BotReported):
            self._look(event, step.at, state)
        if self._restricted and isinstance(event, BotReported):
            withheld.hear(event.reported, self._restricted, self.books, state, step.at)
        for outcome in step.outcomes:
            self._hear_outcome(outcome, step.at)
        for finding in step.opened:
            self._hear_finding(finding, step.at, state)
        for finding in step.closed:
            self._hear_end(finding, step.at)
        if isinstance(event, Tick):
            self._pass_time(step.at, state, wanted)

    def take(self, state: GuardState, *, last: bool = False) -> Billed | None:
        """What is to be recorded, ``None`` for nothing; ``last`` where the guard ends, so that the next one goes on."""
        if not self.settings.enabled:
            return None
        now = state.now
        waited_ns = now - self._recorded_at
        is_due = bool(self.books.decisions) and waited_ns >= RECORD_S * NS_PER_S
        is_new = self.books.changed and (last or waited_ns >= WRITE_S * NS_PER_S)
        if not (is_new or is_due or self._ended_day is not None or (last and self.books.decisions)):
            return None
        lines, self.books.lines = tuple(self.books.lines), []
        day, self._ended_day = self._ended_day, None
        self.books.changed, self._recorded_at = False, now
        return Billed(at=now, lines=lines, day=day, memory=self.remember(state))

    def remember(self, state: GuardState) -> BillMemory:
        """Everything that a guard that is started anew goes on from."""
        return BillMemory(
            since=self._since,
            day=day_words(max(self._day, 0) * DAY_NS),
            run=self.books.run.rows,
            today=self.books.today.rows,
            open=tuple(
                each.remember(seen.mark_of(state, each.line.market), state.now)
                for each in self.books.decisions.values()
            ),
            twins=tuple(twin.remember() for twin in self.books.twins.values()),
            residual_usd=self.books.residual_usd,
        )

    def open_lines(self, state: GuardState) -> Iterator[BillLine]:
        """What every open decision has come to by now."""
        for decision in self.books.decisions.values():
            yield decision.at(seen.mark_of(state, decision.line.market), state.now)

    # ---------------------------------------------------------------- what opens a decision

    def _hear_orders(self, step: Step, state: GuardState, wanted: Desired) -> None:
        for publish in step.commands:
            self._hear_command(publish, step.at, state, wanted)
        for posture in step.postures:
            if posture.changed:
                self._hear_posture(posture.posture, step.at, state, wanted)

    def _hear_command(
        self, publish: PublishCommand, at: Nanoseconds, state: GuardState, wanted: Desired
    ) -> None:
        command = publish.command
        bot = BotId(command.bot)
        record = state.bots.get(bot)
        if publish.attempt > 1 or record is None or command.id in self.books.decisions:
            return
        account = record.config.account
        market = market_id(venue_of(account), command.symbol)
        limits = wanted.get(bot, {}).get(market)
        if isinstance(command, Pause):
            cause = None if limits is None else limits.entries_cause
            self._restrict(bot, command.symbol, command.id, cause, command.reason, at, state)
            return
        if not isinstance(command, CutLeverage | WidenStops):
            return
        size = seen.size_of_bot(state, bot, market)
        if size is None:
            size = seen.size_held(state, account, market)
        modelled = only_listens(record, state)
        cause = None if limits is None else limits.size_cause
        line = BillLine(
            decision=command.id,
            kind=BillKind.CUT,
            account=account,
            market=market,
            policy="" if cause is None else cause.policy,
            reason=command.reason,
            began_at=at,
            until_at=at,
            bot=bot,
            modelled=modelled,
        )
        decision = self._open(line, state)
        if size is None:
            decision.misses("how large the position was")
            return
        if modelled:
            size -= self.books.left(account, market, modelled=True)
        due_at = at + self.settings.latency_ms * NS_PER_MS if modelled else None
        decision.asked = Asked(size, command.max_size, due_at)

    def _hear_posture(self, posture: Posture, at: Nanoseconds, state: GuardState, wanted: Desired) -> None:
        bot = BotId(posture.bot)
        record = state.bots.get(bot)
        if record is None:
            return
        restricted = {symbol for symbol, level in posture.entries.items() if level is not Entries.ALLOWED}
        restricted |= {symbol for symbol, share in posture.entry_share.items() if share < 1.0}
        for symbol in sorted(restricted):
            market = market_id(venue_of(record.config.account), symbol)
            limits = wanted.get(bot, {}).get(market)
            cause = None if limits is None else limits.entries_cause or limits.share_cause
            self._restrict(bot, symbol, "", cause, "" if cause is None else cause.reason, at, state)
        for key, name in tuple(self._restricted.items()):
            if key[0] != bot or key[1] in restricted:
                continue
            decision = self.books.decisions.get(name)
            del self._restricted[key]
            if decision is not None:
                # Where it kept nobody from anything that is known, nothing is left to be waited for.
                withheld.heard_out(decision, record, at)
                wait_ns = round(self.settings.settle_s * NS_PER_S) if decision.left else 0
                decision.ends_at = at + wait_ns

    def _restrict(
        self,
        bot: BotId,
        symbol: str,
        command_id: str,
        cause: Finding | None,
        reason: str,
        at: Nanoseconds,
        state: GuardState,
    ) -> None:
        """Entries are blocked from now on; a restriction that stands already goes on, whatever is its cause now."""
        if (bot, symbol) in self._restricted:
            return
        record = state.bots[bot]
        account = record.config.account
        market = market_id(venue_of(account), symbol)
        name = command_id or f"entries {bot} {symbol} {at}"
        line = BillLine(
            decision=name,
            kind=BillKind.RESTRICTION,
            account=account,
            market=market,
            policy="" if cause is None else cause.policy,
            reason=reason,
            began_at=at,
            until_at=at,
            bot=bot,
            modelled=only_listens(record, state),
        )
        self._restricted[bot, symbol] = name
        decision = self._open(line, state)
        # Of an account that nobody restricts in truth, its own entries are what would not have been.
        decision.tells_wishes = line.modelled

    def _hear_finding(self, finding: Finding, at: Nanoseconds, state: GuardState) -> None:
        """On an account that no bot trades a finding is all there is: what if somebody had obeyed?"""
        account, market, limit = finding.subject.account, finding.subject.market, finding.limit
        if account is None or market is None or limit.max_size is None or finding.severity not in _ACTS:
            return
        if state.owners(account, market):
            return
        size = seen.size_held(state, account, market)
        if size is None:
            return
        name = _advice_name(finding)
        due_at = at + (finding.confirm_ms + self.settings.latency_ms) * NS_PER_MS
        asked = Asked(size - self.books.left(account, market, modelled=True), limit.max_size, due_at)
        known = self.books.decisions.get(name)
        if known is not None:  # it says another number, or says it again
            known.asked, known.ends_at = asked, None
            return
        line = BillLine(
            decision=name,
            kind=BillKind.ADVICE,
            account=account,
            market=market,
            policy=finding.policy,
            reason=finding.reason,
            began_at=at,
            until_at=at,
            modelled=True,
        )
        self._open(line, state).asked = asked

    def _open(self, line: BillLine, state: GuardState) -> Decision:
        while len(self.books.decisions) >= OPEN_MAX:
            oldest = next(iter(self.books.decisions.values()))
            self.books.settle(oldest, BillEnd.DROPPED, state, line.began_at)
        self._since = self._since or line.began_at
        line = structs.replace(line, equity_usd=seen.equity_of(state, line.account))
        price = seen.liquidation_price_of(state, line.account, line.market)
        decision = self.books.decisions[line.decision] = Decision(line, liquidation_price=price)
        twin = self.books.twins.setdefault(line.account, Twin(line.account))
        if not line.market.endswith(ALL_SYMBOLS):
            size = seen.size_held(state, line.account, line.market)
            if size is not None:
                twin.seen.setdefault(line.market, size)
        if seen.is_inverse(state, line.account, line.market):
            decision.misses(PAYS_IN_COINS)
        return decision

    # ---------------------------------------------------------------- what is seen of positions

    def _look(self, event: AccountSnapshot | BotReported, at: Nanoseconds, state: GuardState) -> None:
        """Positions were told: take what commands took off, and follow what the trader did by himself."""
        if isinstance(event, AccountSnapshot):
            account = event.account
        else:
            record = state.bots.get(BotId(event.reported.bot))
            if record is None:
                return
            account = record.config.account
        twin = self.books.twins.get(account)
        if twin is None:
            return
        markets = {each.line.market for each in self.books.decisions.values() if each.line.account == account}
        for market in sorted(markets):  # sums of money must not depend on a hash
            size = seen.size_held(state, account, market)
            if size is None:
                continue
            before = twin.seen.get(market, size)
            twin.seen[market] = size
            if size == before:
                continue
            mine = [each for each in self.books.decisions.values() if is_of(each, account, market)]
            taken = self._attribute(mine, before, size, state)
            self._follow(mine, before - taken, size, at, state)

    def _attribute(self, mine: list[Decision], before: float, size: float, state: GuardState) -> float:
        """Say which commands took off what a position has lost, as far as they asked for it; signed like it.

        The oldest is served first. What is asked by several commands of one bot is counted once.
        """
        side = 1.0 if before > 0.0 else -1.0
        lost = max(abs(before) - max(size * side, 0.0), 0.0)
        taken = 0.0
        for decision in mine:
            asked = decision.asked
            if asked is None or asked.due_at is not None or asked.side != side:
                continue
            part = min(lost - taken, asked.wanted - decision.attributed)
            if part <= OWN_CHANGE * 0.1 * abs(asked.size):
                continue
            taken += part
            for other in mine:
                if other.line.bot == decision.line.bot:
                    other.attributed += part
            self.books.part(decision, part * side, state)
        return taken * side

    def _follow(
        self, mine: list[Decision], before: float, size: float, at: Nanoseconds, state: GuardState
    ) -> None:
        """The trader himself changed a position from ``before`` to ``size``."""
        change = size - before
        if abs(change) <= OWN_CHANGE * max(abs(before), abs(size)):
            return
        held = [each for each in mine if each.left]
        if size == 0.0 or size * before < 0.0:
            for each in held:
                self.books.meet_own(each, 1.0, BillEnd.CLOSED, state, at)
            return
        if abs(size) < abs(before):
            for each in held:
                if each.left * size > 0.0:
                    self.books.meet_own(each, 1.0 - abs(size) / abs(before), BillEnd.CLOSED, state, at)
            return
        self._grow(mine, change, at, state)

    def _grow(self, mine: list[Decision], change: float, at: Nanoseconds, state: GuardState) -> None:
        """The trader's position grew: first he takes back what was taken off, the oldest first."""
        restriction = next((each for each in mine if blocks(each)), None)
        if restriction is not None and restriction.line.modelled:
            # Nobody obeyed: an entry that obeying would have kept back is known, to the unit.
            self.books.part(restriction, change, state, enters=True)
            return
        for each in mine:
            if each.left * change > 0.0 and abs(change) > 0.0:
                back = min(abs(change), abs(each.left)) * (1.0 if change > 0.0 else -1.0)
                self.books.meet(each, back, state, at, end=BillEnd.RETURNED, pays=1.0)
                change -= back

    # ---------------------------------------------------------------- what becomes of commands

    def _hear_outcome(self, outcome: CommandOutcome, at: Nanoseconds) -> None:
        decision = self.books.decisions.get(outcome.command_id)
        if decision is None or decision.line.kind is not BillKind.CUT or decision.line.modelled:
            return
        if outcome.outcome is OutcomeKind.UNVERIFIABLE and decision.line.size == 0.0:
            decision.misses("whether it took effect")
        asked = decision.asked
        is_done = asked is None or asked.wanted - decision.attributed <= OWN_CHANGE * abs(asked.size)
        # One that a newer command has replaced may have been obeyed before that: what is seen of it comes later.
        decision.watched_until = at if is_done else at + LATE_S * NS_PER_S

    def _hear_end(self, finding: Finding, at: Nanoseconds) -> None:
        decision = self.books.decisions.get(_advice_name(finding))
        if decision is not None and decision.ends_at is None:
            taken = decision.left != 0.0
            decision.asked = None
            decision.ends_at = at + (round(self.settings.settle_s * NS_PER_S) if taken else 0)

    # ---------------------------------------------------------------- time

    def _pass_time(self, at: Nanoseconds, state: GuardState, wanted: Desired) -> None:
        day = at // DAY_NS
        if day != self._day:
            self._turn_day(day, state)
        if not self.books.decisions:
            self._funding.clear()
            return
        for market in sorted({each.line.market for each in self.books.decisions.values() if each.left}):
            self._fund(market, at, state)
        for decision in tuple(self.books.decisions.values()):
            asked = decision.asked
            if asked is not None and asked.due_at is not None and at >= asked.due_at:
                self._obey(decision, asked, state, at)
            self._judge_end(decision, at, state, wanted)
        for account in sorted({each.line.account for each in self.books.decisions.values() if each.left}):
            self.books.judge_twin(account, at, state)

    def _obey(self, decision: Decision, asked: Asked, state: GuardState, at: Nanoseconds) -> None:
        """Nobody obeys: what obeying would have done by now, at this book."""
        decision.asked = None
        size = seen.size_held(state, decision.line.account, decision.line.market)
        if size is None:
            decision.misses("how large the position was")
            return
        guarded = size - self.books.left(decision.line.account, decision.line.market, modelled=True)
        taken = max(guarded * asked.side - asked.max_size, 0.0) * asked.side
        if taken:
            self.books.part(decision, taken, state)
        elif decision.line.size == 0.0 and decision.line.kind is BillKind.CUT:
            self.books.end(decision, BillEnd.NO_EFFECT, at)

    def _judge_end(self, decision: Decision, at: Nanoseconds, state: GuardState, wanted: Desired) -> None:
        line = decision.line
        if line.decision not in self.books.decisions:
            return
        if decision.watched_until is not None and at >= decision.watched_until:
            decision.asked = decision.watched_until = None
            if not decision.left:
                end = BillEnd.RETURNED if line.size else BillEnd.NO_EFFECT
                self.books.end(decision, end, at)
                return
        if line.kind is BillKind.CUT and decision.asked is None:
            bot = line.bot
            limits = None if bot is None else wanted.get(bot, {}).get(line.market)
            if limits is not None and limits.max_size is not None:
                decision.ends_at = None
            elif decision.ends_at is None:
                decision.ends_at = at + round(self.settings.settle_s * NS_PER_S)
        longest_at = line.began_at + round(self.settings.longest_s * NS_PER_S)
        due_at = longest_at if decision.ends_at is None else min(decision.ends_at, longest_at)
        if at < due_at:
            return
        if decision.left and seen.mark_of(state, line.market) is None:
            if at < due_at + PRICE_AWAITED_S * NS_PER_S:
                return
            decision.misses(PRICE_UNKNOWN)
        self.books.settle(decision, BillEnd.LONGEST if due_at == longest_at else BillEnd.SETTLED, state, at)

    def _fund(self, market: MarketId, at: Nanoseconds, state: GuardState) -> None:
        """At each settlement the twin pays or receives funding for what it holds more, at the rate told before it."""
        view = state.markets.get(market)
        mark = None if view is None else view.mark
        if mark is None:
            return
        due_at, rate = self._funding.get(market, (0, 0.0))
        if due_at and at >= due_at:
            del self._funding[market]
            for decision in self.books.decisions.values():
                if decision.line.market == market and decision.left:
                    usd = decision.left * mark.mark_price * rate
                    decision.fund(usd)
                    self.books.twins[decision.line.account].pay(usd)
        if mark.funding_rate is not None and mark.next_funding_at is not None and mark.next_funding_at > at:
            self._funding[market] = (mark.next_funding_at, mark.funding_rate)

    def _turn_day(self, day: int, state: GuardState) -> None:
        if self._day >= 0 and (self.books.run.rows or self.books.decisions):
            lines = list(self.open_lines(state))
            self._ended_day = BillDay(
                day=day_words(self._day * DAY_NS),
                rows=self.books.today.rows,
                open=len(lines),
                open_usd=sum(line.net_usd for line in lines),
            )
        self._day, self.books.today = day, Totals()


def _advice_name(finding: Finding) -> str:
    subject = finding.subject
    return f"advice {finding.policy} {finding.reason} {subject.account} {subject.market}"
