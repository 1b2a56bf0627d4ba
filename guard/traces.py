"""Follows commands from hop to hop: measured for everyone, and written down once the bot has answered.

Nothing waits for it. A trace ends with the bot's first answer, or with the end of the command if that comes first,
or when the command is decided to be sent again.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import structlog

from guard.audit import AnyRecord, CommandTraced, Step, TraceEnd
from guard.commands import PublishCommand
from guard.events import AnyEvent, BotAcked, MarketFeatures, MarketsSampled, Tick
from guard.hops import BUDGETS_NS, Hop, Stations, sample_in
from guard.meters import FINE_S, Latency
from guard.state import GuardState
from guard.units import NS_PER_MS, NS_PER_S, BotId, MarketId, Nanoseconds, market_id, ns_of, venue_of
from perpguard_sdk.messages import ALL_SYMBOLS

OPEN_MAX = 1_000
"""Commands followed at once: ten bots in a hundred markets each. Then the oldest trace ends as it is, half a MB."""

SAMPLED_EVERY = 8
"""Of so many samples' events one is measured: 2 us each, so that a step pays a quarter of one."""

DRAIN_NS = NS_PER_S

PERSISTS = 3
"""So often within ``SAY_NS`` a hop must be over its budget before that is said, and then once in that time."""

SAY_NS = 60 * NS_PER_S

log = structlog.get_logger()


@runtime_checkable
class FrameTimings(Protocol):
    """Who measures some of a venue's frames: see ``adapters.exchanges``."""

    def drain_timings(self) -> tuple[Sequence[int], Sequence[int]]:
        """Nanoseconds that decoding and applying took, of each frame measured since the last time it was asked."""
        ...


@dataclass(frozen=True, slots=True)
class _Over:
    end: TraceEnd
    at: Nanoseconds
    bot_at: Nanoseconds | None = None


@dataclass(slots=True)
class _Trace:
    publish: PublishCommand
    market: MarketId | None
    cause: str
    stations: Stations
    venue_lag_ms: float | None
    sent_ahead: bool = False
    handed: bool = False
    """The broker has taken it, or has not: nothing more will be heard of that."""
    over: _Over | None = None
    """How it ended while the broker had not yet said that it has the command: that is waited for."""

    @property
    def is_under_way(self) -> bool:
        return self.stations.durable_at is not None and not self.handed


def _nothing_known(venue: str) -> float | None:
    del venue
    return None


@dataclass(slots=True)
class Traces:
    """Told by the loop of each step and by the outbox of each sending; see the module.

    Attributes:
        latencies: how long each hop took, of every command, and the hops up to the decision also of one event in
            ``SAMPLED_EVERY`` that brings samples, whether or not anything follows from it.
        over_budget: how often each hop took longer than its budget.
        write: takes the records.
        venue_lag_ms: the least that a venue's messages took of late, by both clocks; ``None`` if not known.
        frames: by venue, who measures its frames.
    """

    write: Callable[[AnyRecord], object]
    latencies: dict[Hop, Latency] = field(
        default_factory=lambda: {hop: Latency(bounds_s=FINE_S) for hop in Hop}
    )
    over_budget: Counter[Hop] = field(default_factory=Counter)
    venue_lag_ms: Callable[[str], float | None] = _nothing_known
    frames: Callable[[], Iterable[tuple[str, FrameTimings]]] = tuple
    _open: dict[str, _Trace] = field(default_factory=dict)
    _frame_ns: dict[str, dict[Hop, Nanoseconds]] = field(default_factory=dict)
    _said: dict[Hop, _Said] = field(default_factory=dict)
    _events: int = 0
    _drained_at: Nanoseconds = 0

    def after(self, step: Step, state: GuardState, begun_at: Nanoseconds, decided_at: Nanoseconds) -> None:
        """Note what a step, which the engine took from ``begun_at`` to ``decided_at``, begins and ends."""
        event = step.event
        if isinstance(event, (MarketFeatures, MarketsSampled)):
            self._events += 1
            if self._events % SAMPLED_EVERY == 0:
                self._measure_event(event, begun_at, decided_at)
        elif isinstance(event, BotAcked):
            self._answered(event)
        elif isinstance(event, Tick) and event.received_at - self._drained_at >= DRAIN_NS:
            self._drained_at = event.received_at
            self._drain(event.received_at)
        for outcome in step.outcomes:
            self._finish(outcome.command_id, _Over(TraceEnd.JUDGED, step.at))
        for publish in step.commands:
            self._begin(publish, event, state, begun_at, decided_at)

    def durable(self, publish: PublishCommand, at: Nanoseconds, *, ahead: bool) -> Stations | None:
        """The record of a command is on the disk since ``at``, or (``ahead``) was waited for until then.

        Returns:
            What is known of its way, ``None`` if it is not followed any more.
        """
        trace = self._trace_of(publish)
        if trace is None:
            return None
        trace.stations, trace.sent_ahead = replace(trace.stations, durable_at=at), ahead
        return trace.stations

    def taken(self, publish: PublishCommand, at: Nanoseconds | None) -> None:
        """The broker has taken a command, or (``None``) has not."""
        trace = self._trace_of(publish)
        if trace is None:
            return
        trace.stations, trace.handed = replace(trace.stations, taken_at=at), True
        if trace.over is not None:
            self._end(publish.command.id, trace.over)

    def close(self, at: Nanoseconds) -> list[CommandTraced]:
        """End all that are open, because the guard stops; return what is to be recorded of them."""
        stopped = _Over(TraceEnd.STOPPED, at)
        records = [_record(trace, trace.over or stopped, self._frame_ns) for trace in self._open.values()]
        self._open.clear()
        return records

    def _begin(
        self,
        publish: PublishCommand,
        event: AnyEvent,
        state: GuardState,
        begun_at: Nanoseconds,
        decided_at: Nanoseconds,
    ) -> None:
        command = publish.command
        self._end(command.id, _Over(TraceEnd.REPEATED, decided_at))
        if len(self._open) >= OPEN_MAX:
            self._end(next(iter(self._open)), _Over(TraceEnd.STOPPED, decided_at))
        market = _market_of(publish, state)
        sample = sample_in(event, market)
        stations = Stations(
            caused_at=event.received_at,
            begun_at=begun_at,
            decided_at=decided_at,
            by_sample=sample is not None,
        )
        if sample is None and market is not None and market in state.markets:
            sample = state.markets[market].features
        self._open[command.id] = _Trace(
            publish=publish,
            market=market,
            cause=str(event.__struct_config__.tag),
            stations=stations.after(sample),
            venue_lag_ms=None if market is None else self.venue_lag_ms(venue_of(market)),
        )

    def _trace_of(self, publish: PublishCommand) -> _Trace | None:
        trace = self._open.get(publish.command.id)
        return trace if trace is not None and trace.publish.attempt == publish.attempt else None

    def _answered(self, event: BotAcked) -> None:
        trace = self._open.get(event.ack.command_id)
        if trace is not None and trace.over is None:
            trace.stations = replace(trace.stations, answered_at=event.received_at)
            over = _Over(TraceEnd.ANSWERED, event.received_at, ns_of(event.ack.at))
            self._finish(event.ack.command_id, over)

    def _finish(self, command_id: str, over: _Over) -> None:
        """End a trace, or let it end with the broker's word if that is still to come: then all of it is known."""
        trace = self._open.get(command_id)
        if trace is None or trace.over is not None:
            return
        if trace.is_under_way:
            trace.over = over
        else:
            self._end(command_id, over)

    def _end(self, command_id: str, over: _Over) -> None:
        trace = self._open.pop(command_id, None)
        if trace is None:
            return
        record = _record(trace, trace.over or over, self._frame_ns)
        for hop, took_ns in record.hops_ns.items():
            if hop not in (Hop.DECODE, Hop.BOOK):  # of other frames, and counted when they were measured
                self._observe(hop, took_ns, record.at)
        self.write(record)

    def _measure_event(
        self, event: MarketFeatures | MarketsSampled, begun_at: Nanoseconds, decided_at: Nanoseconds
    ) -> None:
        sample = event
        if isinstance(sample, MarketsSampled):
            # Another one each time, so that none is always the first of its batch.
            sample = sample.samples[self._events // SAMPLED_EVERY % len(sample.samples)]
        received_at, sampled_at = sample.book_at, sample.received_at
        if received_at is not None:
            if sample.exchange_at is not None:
                self._observe(Hop.VENUE, received_at - sample.exchange_at, decided_at)
            self._observe(Hop.SAMPLE, sampled_at - received_at, decided_at)
        self._observe(Hop.FEATURES, begun_at - sampled_at, decided_at)
        self._observe(Hop.DECIDE, decided_at - begun_at, decided_at)

    def _drain(self, at: Nanoseconds) -> None:
        for venue, timings in self.frames():
            for hop, took_ns in zip((Hop.DECODE, Hop.BOOK), timings.drain_timings(), strict=True):
                for each in took_ns:
                    self._observe(hop, each, at)
                if took_ns:
                    self._frame_ns.setdefault(venue, {})[hop] = int(statistics.median(took_ns))

    def _observe(self, hop: Hop, took_ns: Nanoseconds, at: Nanoseconds) -> None:
        self.latencies[hop].observe(took_ns)
        budget_ns = BUDGETS_NS.get(hop)
        if budget_ns is not None and took_ns > budget_ns:
            self.over_budget[hop] += 1
            if self._said.setdefault(hop, _Said(at)).is_due(at):
                log.warning(
                    "a hop on the way to the bots takes longer than it may",
                    hop=str(hop),
                    took_ms=round(took_ns / NS_PER_MS, 3),
                    budget_ms=budget_ns / NS_PER_MS,
                    times=self.over_budget[hop],
                )


@dataclass(slots=True)
class _Said:
    """Whether it is time to say that a hop is over its budget."""

    since: Nanoseconds
    count: int = 0
    said_at: Nanoseconds | None = None

    def is_due(self, at: Nanoseconds) -> bool:
        if at - self.since >= SAY_NS:
            self.since, self.count = at, 0
        self.count += 1
        if self.count < PERSISTS or (self.said_at is not None and at - self.said_at < SAY_NS):
            return False
        self.said_at = at
        return True


def _record(trace: _Trace, over: _Over, frame_ns: dict[str, dict[Hop, Nanoseconds]]) -> CommandTraced:
    known = trace.stations.hops()
    if Hop.SAMPLE in known and trace.market is not None:
        known |= frame_ns.get(venue_of(trace.market), {})
    command = trace.publish.command
    return CommandTraced(
        at=over.at,
        command_id=command.id,
        bot=command.bot,
        attempt=trace.publish.attempt,
        cause=trace.cause,
        end=over.end,
        hops_ns={hop: known[hop] for hop in Hop if hop in known},
        market=trace.market,
        sent_ahead=trace.sent_ahead,
        venue_lag_ms=trace.venue_lag_ms if Hop.VENUE in known else None,
        bot_at=over.bot_at,
    )


def _market_of(publish: PublishCommand, state: GuardState) -> MarketId | None:
    """The market that a command is about, ``None`` if it is about all of a bot's."""
    command = publish.command
    record = state.bots.get(BotId(command.bot))
    if record is None or command.symbol == ALL_SYMBOLS:
        return None
    return market_id(venue_of(record.config.account), command.symbol)
