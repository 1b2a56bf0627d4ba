"""Runs the real engine over an episode, all guarded accounts beside each other, each with its own bot.

Policies, arbiter and dispatch are those of the settings. What is heard is folded as it comes and judged at the next
Tick: each second while a price moves, else each 5 s. A live guard judges each sample at once, so that it is up to a
second quicker; that makes one judgement of some ten, without which this could not be afforded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks._policies_accounts import Ran, Slot, Watched
from benchmarks._policies_outlooks import without_estimating
from guard.audit import Step
from guard.building import build_engine, engine_parts
from guard.configuration import Settings
from guard.engine import Engine
from guard.events import (
    AnyEvent,
    BotAcked,
    GuardStarted,
    MarginTermsSeen,
    MarketFeatures,
    MarkPriceSeen,
    Tick,
)
from guard.forecasts import MarketOutlook
from guard.margin_terms import TierTable
from guard.reload.swap import Parts
from guard.state import BotConfig
from guard.units import NS_PER_MS, NS_PER_S, BotId, MarketId, Nanoseconds, symbol_of, venue_of
from perpguard_sdk.messages import ALL_SYMBOLS, CutLeverage, Mode, Pause, Posture, WidenStops

TICK_NS, QUIET_NS = NS_PER_S, 4_900 * NS_PER_MS
"""A Tick comes each second where a mark has moved since the last one or a bot has done something, else each 5 s."""

MOVED = 0.002
"""A mark has moved if it is so far from where it was, as a ratio."""

STARTS_S = 60.0
"""The guard is switched on so long after the episode began, beside bots that hold something by then."""


@dataclass(slots=True)
class Spoken:
    """One thing that the guard said to a bot, for whoever asks why."""

    at_s: float
    bot: str
    what: str
    reason: str
    held: float
    size: float | None
    mark: float | None


@dataclass(slots=True)
class Guarded:
    """One engine over one episode; ``run`` it once. What its markets look like (``outlooks``) is estimated before."""

    settings: Settings
    slots: tuple[Slot, ...]
    tiers: dict[MarketId, TierTable]
    start_at: Nanoseconds
    end_at: Nanoseconds
    outlooks: Sequence[MarketOutlook]
    engine: Engine = field(init=False)
    watched: dict[BotId, Watched] = field(init=False)
    spoken: list[Spoken] = field(default_factory=list)
    regimes: Counter[MarketId] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    _of_market: dict[MarketId, list[Watched]] = field(init=False)
    _books: dict[MarketId, MarketFeatures] = field(default_factory=dict)
    _marks: dict[MarketId, float] = field(default_factory=dict)
    _may: dict[BotId, object] = field(default_factory=dict)
    _ticked_at: Nanoseconds = 0
    _judged: dict[MarketId, float] = field(default_factory=dict)
    _judged_at: Nanoseconds = 0
    _has_moved: bool = False
    _has_acted: bool = False
    _supposed: int = 0
    ticks: int = 0
    _has_begun: bool = False
    _paid: dict[MarketId, tuple[Nanoseconds, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watched = {}
        self._of_market = {}
        for slot in self.slots:
            watched = Watched(slot, slot.bot(self.tiers), self.start_at)
            self.watched[watched.bot.bot] = watched
            self._of_market.setdefault(slot.market, []).append(watched)
        settings = without_estimating(self.settings)
        parts = engine_parts(settings)
        self.engine = build_engine(
            settings,
            Parts(
                markets=tuple(self.tiers),
                bots=tuple(
                    BotConfig(bot=each.bot.bot, account=each.bot.account_id, markets=(each.slot.market,))
                    for each in self.watched.values()
                ),
                keyed_accounts=(),  # nobody's stream can fall silent
                policies=parts.policies,
            ),
            choosing=False,
        )

    def run(self, events: Iterable[AnyEvent]) -> list[Ran]:
        """Go through the episode; what became of each account."""
        self._ticked_at = self._judged_at = self.start_at
        for event in events:
            self._pass_time(event.received_at)
            self._look(event)
            self.engine.state.apply(event)
        self._pass_time(self.end_at)
        return [each.end(self.end_at) for each in self.watched.values()]

    def _begin(self, at: Nanoseconds) -> None:
        self._has_begun = True
        self._process(
            GuardStarted(received_at=at, guard="bench", epoch=1, session="bench-1", mode=Mode.PAPER)
        )
        for venue in dict.fromkeys(venue_of(market) for market in self.tiers):
            tables = tuple(table for market, table in self.tiers.items() if venue_of(market) == venue)
            self._process(MarginTermsSeen(received_at=at, venue=venue, tiers=tables))
        for each in self.watched.values():
            self._process(each.bot.birth(at))
            for event in each.bot.events(at):
                self._process(event)

    def _pass_time(self, until: Nanoseconds) -> None:
        """Bots act each second while they have something to do; it is judged where anything has changed, or is due."""
        while until - self._ticked_at >= TICK_NS:
            is_busy = any(each.bot.is_busy for each in self.watched.values())
            is_late = until - self._judged_at >= QUIET_NS
            if not (is_busy or is_late or self._has_moved):
                return
            self._ticked_at = self._ticked_at + TICK_NS if is_busy else until
            self._act(self._ticked_at)
            if is_late or self._has_moved or self._has_acted:
                self._judge(self._ticked_at)

    def _act(self, at: Nanoseconds) -> None:
        for each in self.watched.values():
            mark = self._marks.get(each.slot.market)
            if mark is None or each.is_over:
                continue
            version = each.bot.version
            each.bot.step(at, mark, self._books.get(each.slot.market))
            each.note(at)
            self._has_acted = self._has_acted or each.bot.version != version

    def _judge(self, at: Nanoseconds) -> None:
        self._judged_at, self._has_moved, self._has_acted = at, False, False
        self._judged.update(self._marks)
        if not self._has_begun:
            if at < self.start_at + STARTS_S * NS_PER_S:
                return
            self._begin(at)
        while self._supposed < len(self.outlooks) and self.outlooks[self._supposed].at <= at:
            self._suppose(self.outlooks[self._supposed])
            self._supposed += 1
        for each in self.watched.values():
            for event in each.bot.events(at):
                if isinstance(event, BotAcked):
                    self._process(event)
                else:
                    self.engine.state.apply(event)
        self.ticks += 1
        self._process(Tick(received_at=at))

    def _suppose(self, outlook: MarketOutlook) -> None:
        before = self.engine.state.outlook.of(outlook.market)
        self.regimes[outlook.market] += before is not None and before.regime is not outlook.regime
        self.engine.state.outlook.suppose(outlook)

    def _look(self, event: AnyEvent) -> None:
        """What the accounts and bots see of an event."""
        match event:
            case MarketFeatures(market=market):
                self._books[market] = event
            case MarkPriceSeen(market=market, mark_price=mark):
                self._marks[market] = mark
                before = self._judged.setdefault(market, mark)
                self._has_moved = self._has_moved or abs(mark - before) > MOVED * before
                due = funding_due(self._paid, event)
                for each in self._of_market.get(market, ()):
                    if each.is_over:
                        continue
                    each.bot.account.mark(market, mark)
                    if due is not None:
                        each.bot.account.fund(market, due)
                    each.venue(event.received_at)
            case _:
                pass

    def _process(self, event: AnyEvent) -> None:
        step = self.engine.process(event)
        if step.postures or step.commands:
            self._tell(step)
        for finding in step.opened:
            self.reasons[f"{finding.policy}/{finding.reason}"] += 1

    def _tell(self, step: Step) -> None:
        for publish in step.postures:
            each = self.watched[BotId(publish.posture.bot)]
            each.bot.hear(step.at, postures=(publish,))
            may = may_of(publish.posture, symbol_of(each.slot.market))
            if self._may.setdefault(each.bot.bot, may) != may:
                self._may[each.bot.bot] = may
                each.ran.changes += 1
                self._say(step.at, each, f"posture {may}", "; ".join(publish.posture.reasons[:3]), None)
        for sent in step.commands:
            command = sent.command
            each = self.watched[BotId(command.bot)]
            each.bot.hear(step.at, commands=(sent,))
            if sent.attempt > 1:
                continue
            each.ran.commands += 1
            each.ran.pauses += isinstance(command, Pause)
            size = None
            if isinstance(command, CutLeverage | WidenStops):
                size = command.max_size
                each.ran.cuts += size < abs(each.bot.account.size(each.slot.market))
            self._say(step.at, each, command.verb.value, command.reason, size)

    def _say(self, at: Nanoseconds, each: Watched, what: str, reason: str, size: float | None) -> None:
        self.spoken.append(
            Spoken(
                (at - self.start_at) / NS_PER_S,
                each.bot.bot,
                what,
                reason,
                each.bot.account.size(each.slot.market),
                size,
                self._marks.get(each.slot.market),
            )
        )


def may_of(posture: Posture, symbol: str) -> tuple[str, bool, float]:
    """What a bot may do, without the figures that follow price: entries, whether a size is set, its entry share."""
    entries = [str(posture.entries[key]) for key in (symbol, ALL_SYMBOLS) if key in posture.entries]
    shares = [posture.entry_share[key] for key in (symbol, ALL_SYMBOLS) if key in posture.entry_share]
    is_capped = symbol in posture.max_size or ALL_SYMBOLS in posture.max_size
    return (max(entries, default=""), is_capped, min(shares, default=1.0))


def funding_due(paid: dict[MarketId, tuple[Nanoseconds, float]], event: MarkPriceSeen) -> float | None:
    """The rate that is paid now: that told last before its time came."""
    before = paid.get(event.market)
    if event.next_funding_at is not None:
        paid[event.market] = (event.next_funding_at, event.funding_rate or 0.0)
    if before is None or event.received_at < before[0] or event.next_funding_at == before[0]:
        return None
    return before[1]
