"""Follows whether the loop keeps up: whose events matter most, what to say when it does not, what it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from guard.audit import Step
from guard.events import (
    AccountSnapshot,
    AnyEvent,
    BotBorn,
    BotReported,
    GuardStarted,
    LinkChanged,
    LinkKind,
    MarketsSampled,
    MarketsWatched,
    Tick,
)
from guard.inbox import Inbox
from guard.meters import Latency
from guard.ports import Importance
from guard.state import GuardState
from guard.units import NS_PER_S, Nanoseconds

_WHO_MATTERS = (AccountSnapshot, BotBorn, BotReported, GuardStarted, MarketsWatched)
"""Events after which other markets may hold a position, or be open to a bot."""

NS_PER_US = 1_000
SMOOTH = 0.05
"""Weight of the newest step in ``judge_us``: the last twenty or so."""

STEP_US = 20_000.0
"""What judging the samples of one event may take together: for so long nothing else in the process runs."""

BATCH_MIN = 8

SAY_LATE_EVERY_NS = 10 * NS_PER_S
NAMED_MAX = 5

SAY_NS = NS_PER_S
"""A hiccup of the machine is over before it; what lasts longer is said, and freezes what stands."""

log = structlog.get_logger()


@dataclass(slots=True)
class Load:
    """What the loop went through so far; the inbox decides what waits, this says so.

    Attributes:
        waited: from an event's arrival to its turn.
        processed: what the engine took for one event.
        tick_late: how late Ticks came: for so long nothing else in the process ran either.
        steps: decisions recorded, commands by verb, outcomes by what they were.
        ages: how old the oldest word of a market's book was once it had been judged, by importance.
        judge_us: what judging one market's sample takes, microseconds, smoothed.
    """

    inbox: Inbox
    emit: Callable[[AnyEvent], None]
    tick_ns: Nanoseconds
    waited: Latency = field(default_factory=Latency)
    processed: Latency = field(default_factory=Latency)
    tick_late: Latency = field(default_factory=Latency)
    steps: Counter[tuple[str, str]] = field(default_factory=Counter)
    ages: dict[Importance, Latency] = field(default_factory=lambda: {each: Latency() for each in Importance})
    judge_us: float = 0.0
    _late_said_at: Nanoseconds | None = None
    _ticked_at: Nanoseconds | None = None
    _said: bool = False

    def after(self, step: Step, state: GuardState, took_ns: Nanoseconds) -> None:
        """Note one processed event, and say so when shedding has lasted, and when it has ended."""
        event = step.event
        if isinstance(event, MarketsSampled):
            self._note_samples(event, took_ns)
        self.waited.observe(self.inbox.lag_ns)
        self.processed.observe(took_ns)
        if isinstance(event, Tick):
            if self._ticked_at is not None:
                self.tick_late.observe(event.received_at - self._ticked_at - self.tick_ns)
            self._ticked_at = event.received_at
        elif isinstance(event, _WHO_MATTERS):
            self._prefer(state)
        if step.is_decision:
            self._count(step)
        if self.inbox.late_ns >= SAY_NS if not self._said else not self.inbox.shedding:
            self._say(event.received_at)

    def noted(self) -> None:
        """Note one event that only waits for the next judgement."""
        self.waited.observe(self.inbox.lag_ns)

    def _note_samples(self, event: MarketsSampled, took_ns: Nanoseconds) -> None:
        """Learn how many samples make one short step, and say it when one of a held market has waited too long."""
        self.judge_us += (took_ns / NS_PER_US / len(event.samples) - self.judge_us) * SMOOTH
        if self.judge_us > 0.0:
            self.inbox.batch_max = max(int(STEP_US / self.judge_us), BATCH_MIN)
        inbox, importance = self.inbox, self.inbox.importance_taken
        ages = self.ages[importance]
        for wait_ns in inbox.waits_ns:
            ages.observe(wait_ns + took_ns)
        is_late = inbox.lag_ns > inbox.settings.wait_ns_max(importance)
        if not is_late or importance is Importance.FAR:
            return
        at = event.received_at
        if self._late_said_at is None or at - self._late_said_at >= SAY_LATE_EVERY_NS:
            self._late_said_at = at
            log.warning(
                "markets were judged later than they may be",
                waited_s=round(inbox.lag_ns / NS_PER_S, 3),
                markets=[sample.market for sample in event.samples[:NAMED_MAX]],
                importance=importance.name.lower(),
                late=dict(inbox.counts.late),
            )

    def _prefer(self, state: GuardState) -> None:
        held = {position.market for account in state.accounts.values() for position in account.positions}
        traded = {market for record in state.bots.values() for market in record.markets}
        self.inbox.prefer(held, traded)

    def _count(self, step: Step) -> None:
        self.steps["decisions", ""] += 1
        for publish in step.commands:
            self.steps["commands", publish.command.verb] += 1
        for outcome in step.outcomes:
            self.steps["outcomes", outcome.outcome] += 1

    def _say(self, now: Nanoseconds) -> None:
        self._said = not self._said
        if self._said:
            detail = (
                f"events wait {self.inbox.oldest_ns / NS_PER_S:.2f} s: markets in which nobody holds anything are "
                "judged less often; watch fewer of them, or give the guard a faster core"
            )
            log.warning("the engine does not keep up", detail=detail, waiting=self.inbox.waiting())
        else:
            detail = "the engine keeps up again"
            log.info(detail)
        self.emit(LinkChanged(received_at=now, link=LinkKind.ENGINE, up=not self._said, detail=detail))
