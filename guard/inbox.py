"""The queue in front of the engine: bounded by coalescing, and it never drops what must not be lost.

While the engine keeps up, events come out in the order in which they came in. When it falls behind, what
matters least waits: the markets in which nobody holds anything, then those that a bot may only enter. They
are judged less often (their samples coalesce meanwhile) and are never left out for longer than
``far_wait_ms_max``. Accounts, bots, links, Ticks and the markets of open positions never wait for them.

Samples come out together, one event for all that wait and matter alike, so that judging costs once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Le
from msgspec import structs

from guard.events import (
    AccountSnapshot,
    AnyEvent,
    BotAcked,
    BotReported,
    BotStatusSeen,
    InstructionSeen,
    LiquidationSeen,
    LongShortRatioSeen,
    MarketFeatures,
    MarketsSampled,
    MarkPriceSeen,
    MessageRefused,
    OpenInterestHistorySeen,
    OpenInterestSeen,
    OutsideFactSeen,
    Stream,
    StreamActivity,
    StreamFault,
    StreamsActive,
    Tick,
    TrackedPositionsSeen,
)
from guard.ports import Importance
from guard.units import NS_PER_MS, BotId, MarketId, Nanoseconds, venue_of

LIQUIDATIONS_MAX = 10_000
"""Forced-order prints waiting at once: 200 markets at one a second for 50 s, 2 MB. Then the oldest goes."""

FAULTS_MAX = 10_000
"""Faults of streams waiting at once: 200 markets x 5 streams that break ten times, 3 MB. Then the oldest goes."""

ACKS_MAX = 1_000
"""Acks of one bot waiting at once. The engine asks for a few a second: so many are a flood, not answers."""


BATCH_MAX = 256
"""Samples in one event until it is known what judging one takes; see ``Load`` for then."""

OVERDUE_EVERY = 4
"""Of so many events that are taken while shedding, one may be what is overdue, before what is vital."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadSettings:
    """When the engine counts as fallen behind, and what may wait then.

    Attributes:
        shed_ms: milliseconds that an event may have waited before shedding begins.
        recover_ms: milliseconds without such a wait before shedding ends.
        far_wait_ms_max: milliseconds after which what is shed is judged whatever else waits; and the longest
            that a changed market in which nobody holds anything goes without a sample.
        traded_wait_ms_max: the same for markets that a bot may enter.
        held_wait_ms_max: milliseconds that a sample of a market with a position may wait; every wait beyond one
            of these three is counted and said.
        far_share: share of one core that sampling and judging those markets may take.
    """

    shed_ms: Annotated[int, Ge(10), Le(10_000)] = 250
    recover_ms: Annotated[int, Ge(0), Le(600_000)] = 5_000
    far_wait_ms_max: Annotated[int, Gt(0), Le(60_000)] = 2_000
    traded_wait_ms_max: Annotated[int, Gt(0), Le(60_000)] = 1_000
    held_wait_ms_max: Annotated[int, Gt(0), Le(60_000)] = 250
    far_share: Annotated[float, Gt(0.0), Le(1.0)] = 0.2

    def wait_ns_max(self, importance: Importance) -> Nanoseconds:
        """How long a sample of such a market may wait."""
        waits = (self.held_wait_ms_max, self.traded_wait_ms_max, self.far_wait_ms_max)
        return waits[importance] * NS_PER_MS


@dataclass(slots=True)
class InboxCounts:
    """What became of the events so far, by their kind (and importance where they were overtaken)."""

    taken: Counter[str] = field(default_factory=Counter)
    coalesced: Counter[str] = field(default_factory=Counter)
    """A newer one took the place of one that waited: the rate at which the world is sampled."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Gone for good, because a bound was reached."""
    overtaken: Counter[str] = field(default_factory=Counter)
    """Had to wait for something more important that came later, by importance."""
    sheddings: int = 0
    """How often shedding began."""
    late: Counter[str] = field(default_factory=Counter)
    """Samples that waited longer than the settings allow, by importance."""


@dataclass(slots=True)
class _Waiting:
    event: AnyEvent
    serial: int
    since: Nanoseconds


@dataclass(slots=True)
class _Lane:
    """What matters alike and waits: samples by market apart from all else, each in the order of arrival."""

    events: dict[Hashable, _Waiting] = field(default_factory=dict)
    samples: dict[Hashable, _Waiting] = field(default_factory=dict)

    def head(self) -> _Waiting | None:
        """What came first of all that waits."""
        event = next(iter(self.events.values()), None)
        sample = next(iter(self.samples.values()), None)
        if event is None or (sample is not None and sample.serial < event.serial):
            return sample
        return event

    def __len__(self) -> int:
        return len(self.events) + len(self.samples)


@dataclass(slots=True)
class Inbox:
    """Takes events from every feed, gives them to the one loop; see the module for the order.

    States of the world coalesce, latest wins, in the place of the one that waits (flow is summed): at
    most one Tick, one sample and price a market, one snapshot an account and source, one report a bot
    wait at once. So 200 markets and 50 bots bound it by about 1,200 entries, whatever the rate. Births,
    links and sendings are as many as there were connections and commands and are never dropped; acks only
    of a bot that floods us.

    Time is that of the latest event, so that it needs no clock: a Tick comes four times a second.

    Attributes:
        settings: when it sheds, and what may wait for how long.
        counts: what became of the events so far.
        shedding: whether the less important waits just now.
        batch_max: how many samples come out together at most, so that a step stays short.
        lag_ns: how long the event that was taken last had waited; of several samples the first.
        waits_ns: of the event that was taken last, how long each of its samples had waited.
        importance_taken: how much the event that was taken last matters.
    """

    settings: OverloadSettings = field(default_factory=OverloadSettings)
    counts: InboxCounts = field(default_factory=InboxCounts)
    shedding: bool = False
    batch_max: int = BATCH_MAX
    lag_ns: Nanoseconds = 0
    waits_ns: list[Nanoseconds] = field(default_factory=list)
    importance_taken: Importance = Importance.VITAL
    _held: AbstractSet[MarketId] = frozenset()
    _traded: AbstractSet[MarketId] = frozenset()
    _lanes: tuple[_Lane, ...] = field(default_factory=lambda: tuple(_Lane() for _ in Importance))
    _lane_of: dict[Hashable, Importance] = field(default_factory=dict)
    _serial: int = 0
    _now: Nanoseconds = 0
    _late_since: Nanoseconds = 0
    _late_at: Nanoseconds = 0
    _patience: int = 0
    _waiting: Counter[Hashable] = field(default_factory=Counter)
    """How many of a bounded kind wait."""
    _faulted: Counter[Hashable] = field(default_factory=Counter)
    """How many faults of a market wait: its samples do not overtake them."""
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, event: AnyEvent) -> None:
        """Queue an event; never blocks, never raises."""
        self._now = max(self._now, event.received_at)
        if type(event) is MarketFeatures:
            self._coalesce(event.market, event)
        else:
            key = _coalescing_key(event)
            if key is None:
                self._append(event)
            else:
                self._coalesce(key, event)
        if not self._arrived.is_set():
            self._arrived.set()

    async def take(self) -> AnyEvent:
        """Return the event that has waited longest, or while shedding the most important one."""
        while (event := self.take_now()) is None:
            self._arrived.clear()
            await self._arrived.wait()
        return event

    def take_now(self) -> AnyEvent | None:
        """As ``take``, ``None`` if nothing waits."""
        chosen = self._choose()
        if chosen is None:
            return None
        importance, head = chosen
        lane = self._lanes[importance]
        self.importance_taken = importance
        self.lag_ns = self._now - head.since
        if type(head.event) is MarketFeatures:
            return self._take_samples(importance, lane)
        self.waits_ns = []
        key = next(iter(lane.events))
        del lane.events[key]
        self._lane_of.pop(key, None)
        self._forget_bound(head.event)
        self.counts.taken[_kind(head.event)] += 1
        return head.event

    def _take_samples(self, importance: Importance, lane: _Lane) -> MarketsSampled:
        """All samples that wait there, in the order of arrival, as far as they make one short step."""
        taken: list[MarketFeatures] = []
        self.waits_ns = waits = []
        for market, waiting in list(lane.samples.items()):
            if len(taken) == self.batch_max:
                break
            if taken and market in self._faulted:
                continue
            assert type(waiting.event) is MarketFeatures
            taken.append(waiting.event)
            waits.append(self._now - waiting.since)
            del lane.samples[market], self._lane_of[market]
        limit_ns = self.settings.wait_ns_max(importance)
        late = sum(wait > limit_ns for wait in waits)
        if late:
            self.counts.late[importance.name.lower()] += late
        self.counts.taken["market_features"] += len(taken)
        return MarketsSampled(received_at=max(sample.received_at for sample in taken), samples=tuple(taken))

    def _forget_bound(self, event: AnyEvent) -> None:
        bounded = _bound_of(event)
        if bounded is None:
            return
        self._waiting[bounded[0]] -= 1
        if isinstance(event, StreamFault):
            self._faulted[event.subject] -= 1
            if not self._faulted[event.subject]:
                del self._faulted[event.subject]

    def prefer(self, held: AbstractSet[MarketId], traded: AbstractSet[MarketId]) -> None:
        """Say in which markets there are positions, and which ones bots may enter."""
        self._held, self._traded = held, traded

    def importance(self, market: MarketId) -> Importance:
        """Who cares about a market."""
        if market in self._held:
            return Importance.VITAL
        return Importance.TRADED if market in self._traded else Importance.FAR

    @property
    def oldest_ns(self) -> Nanoseconds:
        """How long the event has waited that waits longest, at the time of the latest event."""
        heads = [head.since for lane in self._lanes if (head := lane.head()) is not None]
        return self._now - min(heads) if heads else 0

    @property
    def late_ns(self) -> Nanoseconds:
        """For how long events have had to wait too long, 0 while it keeps up; a hiccup does not last."""
        return self._late_at - self._late_since if self.shedding else 0

    def waiting(self) -> dict[str, int]:
        """How many events wait, by importance."""
        return {each.name.lower(): len(self._lanes[each]) for each in Importance}

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def _append(self, event: AnyEvent) -> None:
        bounded = _bound_of(event)
        if bounded is not None:
            kind, bound = bounded
            if self._waiting[kind] >= bound and not self._make_room(event):
                return
            self._waiting[kind] += 1
            if isinstance(event, StreamFault):
                self._faulted[event.subject] += 1
        self._serial += 1
        lane = self._lanes[self._importance(event)]
        lane.events[self._serial] = _Waiting(event, self._serial, event.received_at)

    def _make_room(self, event: AnyEvent) -> bool:
        """Drop the oldest of the event's kind, or the event itself if it is an answer that nobody asked for."""
        self.counts.dropped[_kind(event)] += 1
        if isinstance(event, BotAcked):
            detail = f"more than {ACKS_MAX} acks wait: the bot floods the guard, find out why and restart it"
            refused = MessageRefused(
                received_at=event.received_at, topic="ack", bot=BotId(event.ack.bot), detail=detail
            )
            self._coalesce(_coalescing_key(refused), refused)
            return False
        for lane in reversed(self._lanes):
            for key, waiting in lane.events.items():
                if type(waiting.event) is type(event):
                    del lane.events[key]
                    self._forget_bound(waiting.event)
                    return True
        return True

    def _coalesce(self, key: Hashable, event: AnyEvent) -> None:
        before = self._lane_of.get(key)
        if before is None:
            importance = self._importance(event)
            lane = self._lanes[importance]
            self._serial += 1
            waiting = _Waiting(event, self._serial, event.received_at)
            (lane.samples if type(event) is MarketFeatures else lane.events)[key] = waiting
            self._lane_of[key] = importance
            return
        # It keeps its lane, so that it keeps its place; the next one goes to where it belongs by then.
        lane = self._lanes[before]
        waiting = (lane.samples if type(event) is MarketFeatures else lane.events)[key]
        waiting.event = _merged(waiting.event, event)
        self.counts.coalesced[_kind(event)] += 1

    def _choose(self) -> tuple[Importance, _Waiting] | None:
        """The lane to take from, and what came first there; ``None`` if nothing waits."""
        heads = [
            (importance, head)
            for importance, lane in zip(Importance, self._lanes, strict=True)
            if (head := lane.head()) is not None
        ]
        if not heads:
            return None
        self._judge_load(self._now - min(head.since for _, head in heads))
        first = heads[0] if len(heads) == 1 else min(heads, key=_serial_of)
        if not self.shedding or heads[0] is first:
            return first
        overdue = [each for each in heads[1:] if self._is_overdue(*each)]
        self._patience -= bool(overdue)
        if self._patience < 0:
            self._patience = OVERDUE_EVERY - 1
            return min(overdue, key=_serial_of)
        self.counts.overtaken[first[0].name.lower()] += 1
        return heads[0]

    def _is_overdue(self, importance: Importance, head: _Waiting) -> bool:
        return self._now - head.since >= self.settings.wait_ns_max(importance)

    def _judge_load(self, oldest_ns: Nanoseconds) -> None:
        if oldest_ns > self.settings.shed_ms * NS_PER_MS:
            self._late_at = self._now
            if not self.shedding:
                self.shedding = True
                self._late_since = self._now
                self.counts.sheddings += 1
        elif self.shedding and self._now - self._late_at >= self.settings.recover_ms * NS_PER_MS:
            self.shedding = False

    def _importance(self, event: AnyEvent) -> Importance:
        market = _market_of(event)
        return Importance.VITAL if market is None else self.importance(market)


def _serial_of(head: tuple[Importance, _Waiting]) -> int:
    return head[1].serial


def _kind(event: AnyEvent) -> str:
    return str(event.__struct_config__.tag)


def _market_of(event: AnyEvent) -> MarketId | None:
    """The market that an event is about, ``None`` for everything that never waits for others."""
    match event:
        case MarketFeatures() | MarkPriceSeen() | OpenInterestSeen() | LiquidationSeen():
            return event.market
        case OpenInterestHistorySeen() | LongShortRatioSeen() | TrackedPositionsSeen():
            return event.market
        case StreamActivity() | StreamFault() if event.stream is not Stream.ACCOUNT:
            return MarketId(event.subject)
        case _:
            return None


def _bound_of(event: AnyEvent) -> tuple[Hashable, int] | None:
    """What an event that does not coalesce counts under, and how many of that may wait."""
    match event:
        case LiquidationSeen():
            return LiquidationSeen, LIQUIDATIONS_MAX
        case StreamFault():
            return StreamFault, FAULTS_MAX
        case BotAcked(ack=ack):
            return (BotAcked, ack.bot), ACKS_MAX
        case _:
            return None


def _coalescing_key(event: AnyEvent) -> Hashable | None:  # noqa: C901, PLR0911 (one case a line is the table)
    match event:
        case MarkPriceSeen(market=market) | OpenInterestSeen(market=market):
            return (type(event), market)
        case OpenInterestHistorySeen() | LongShortRatioSeen() | TrackedPositionsSeen():
            return (type(event), event.market)
        case OutsideFactSeen(name=name):
            return (OutsideFactSeen, name)
        case InstructionSeen(instruction=instruction):
            return (InstructionSeen, instruction.id)
        case Tick():
            return Tick
        case StreamsActive(activities=activities) if activities:
            return (StreamsActive, venue_of(MarketId(activities[0].subject)))
        case StreamActivity(subject=subject, stream=stream):
            return (StreamActivity, subject, stream)
        case AccountSnapshot(account=account, source=source):
            return (AccountSnapshot, account, source)
        case BotReported(reported=reported):
            return (BotReported, reported.bot, reported.resync)
        case BotStatusSeen(state=state):
            return (BotStatusSeen, state.bot)
        case MessageRefused(bot=bot):
            return (MessageRefused, bot)
        case _:
            return None


def _merged(waiting: AnyEvent, event: AnyEvent) -> AnyEvent:
    match waiting, event:
        case MarketFeatures(), MarketFeatures():
            return structs.replace(
                event,
                buy_usd=waiting.buy_usd + event.buy_usd,
                sell_usd=waiting.sell_usd + event.sell_usd,
                updates=waiting.updates + event.updates,
                gaps=waiting.gaps + event.gaps,
            )
        case MessageRefused(), MessageRefused():
            return structs.replace(event, count=waiting.count + event.count)
        case StreamActivity(), StreamActivity():
            return _added(waiting, event)
        case TrackedPositionsSeen(), TrackedPositionsSeen():
            again = frozenset(event.accounts)
            return structs.replace(
                event,
                accounts=(*(each for each in waiting.accounts if each not in again), *event.accounts),
                positions=(
                    *(each for each in waiting.positions if each.account not in again),
                    *event.positions,
                ),
            )
        case StreamsActive(), StreamsActive():
            known = {(each.subject, each.stream): each for each in waiting.activities}
            for each in event.activities:
                before = known.get((each.subject, each.stream))
                known[each.subject, each.stream] = each if before is None else _added(before, each)
            return structs.replace(event, activities=tuple(known.values()))
        case _:
            return event


def _added(waiting: StreamActivity, later: StreamActivity) -> StreamActivity:
    return structs.replace(
        later,
        updates=waiting.updates + later.updates,
        gap_ns_max=max(waiting.gap_ns_max, later.gap_ns_max),
    )
