"""How fresh a stream is, judged by its own habits and a time passed in. No clock."""

from __future__ import annotations

from enum import StrEnum
from math import exp, log

from guard.events import StreamActivity, StreamFault, StreamFaultKind
from guard.market.baseline import new_quantile
from guard.units import NS_PER_MS, Nanoseconds


class StreamState(StrEnum):
    """Whether what a stream last said still holds."""

    FRESH = "fresh"
    STALE = "stale"
    RECOVERING = "recovering"
    NEVER = "never"


class StreamClock:
    """Whether one stream is fresh: not silent longer than ``max(5 s, 5 x its own p99 gap)``.

    The p99 is of the longest pause in each report of activity, forgetting by half every 1,000 reports;
    it errs to the long side, since it is the p99 of maxima. A pause counts for no more than the limit
    that it broke, so that an outage does not teach the clock patience, while a slow stream (a poll each
    minute) is understood after three messages.

    After silence, a disconnection or the very first message, ``recover_ms`` of fresh data are needed.

    Where nobody reports activity, as in files that hold nothing but samples, the pauses between signs of life are
    learned instead, until the first report.

    Assumptions: reports come about once a second while anything is delivered.
    Failure modes: a stream whose silence is normal (trades, liquidations) is stale without being
    broken; who asks must know which streams speak all the time.

    >>> clock = StreamClock()
    >>> clock.state(0)
    <StreamState.NEVER: 'never'>
    >>> for second in range(1, 13):
    ...     clock.on_activity(second * 1_000_000_000, updates=10, gap_ns_max=150_000_000)
    >>> clock.state(2_000_000_000 + 10 * 1_000_000_000).value, clock.state(18_000_000_000).value
    ('fresh', 'stale')
    """

    __slots__ = (
        "_broken",
        "_factor",
        "_fresh_since",
        "_gaps",
        "_heard_at",
        "_limit",
        "_limit_min",
        "_limit_min_base",
        "_recover",
        "_reported_at",
        "last_at",
    )

    def __init__(self, *, limit_ms_min: int = 5_000, recover_ms: int = 10_000, factor: float = 5.0) -> None:
        self._limit_min_base = self._limit_min = limit_ms_min * NS_PER_MS
        self._recover = recover_ms * NS_PER_MS
        self._factor = factor
        # Milliseconds from 1 ms to 3 h, in log units; 5 % is finer than a limit needs.
        self._gaps = new_quantile(low=0.0, high=16.3, width=0.05, half_life=1000.0)
        self._limit: Nanoseconds = self._limit_min
        self._broken = False
        self._fresh_since: Nanoseconds = 0
        self._reported_at: Nanoseconds | None = None
        self._heard_at: Nanoseconds | None = None
        self.last_at: Nanoseconds | None = None
        """When the stream last said anything."""

    @property
    def limit_ns(self) -> Nanoseconds:
        """Silence longer than this is stale."""
        return self._limit

    def reconfigure(self, *, limit_ms_min: int, recover_ms: int) -> None:
        """Judge by other settings from now on; what was learned of the stream is kept."""
        self._limit_min, self._recover = limit_ms_min * NS_PER_MS, recover_ms * NS_PER_MS
        self._limit = self._learned_limit() if self._gaps.weight > 0.0 else self._limit_min

    def expect(self, period_ms: int) -> None:
        """Let a stream that is known to speak every ``period_ms`` miss a few times; 0 for nothing known."""
        self._limit_min = max(self._limit_min_base, int(self._factor * period_ms * NS_PER_MS))
        self._limit = self._learned_limit()

    def apply(self, event: StreamActivity | StreamFault) -> None:
        """Fold what an adapter says of this stream; only a disconnection or a refusal makes it stale."""
        match event:
            case StreamActivity():
                self.on_activity(event.last_at, event.updates, event.gap_ns_max)
            case StreamFault(fault=StreamFaultKind.DISCONNECTED | StreamFaultKind.REFUSED):
                self.on_fault()
            case _:
                pass

    def on_activity(self, last_at: Nanoseconds, updates: int = 1, gap_ns_max: Nanoseconds = 0) -> None:
        """Take a report: ``updates`` messages, the last at ``last_at``, ``gap_ns_max`` apart at most."""
        if updates <= 0:
            return
        limit = self.limit_ns
        self.touch(last_at)
        if self._reported_at is not None and last_at > self._reported_at:
            # The pause before the first message of this report is in no report: it is what remains.
            before = last_at - self._reported_at - (updates - 1) * gap_ns_max
            gap = min(max(before, gap_ns_max), limit)
            self._learn(gap)
        self._reported_at = last_at if self._reported_at is None else max(last_at, self._reported_at)

    def hear(self, at: Nanoseconds) -> None:
        """Note a sign of life; as long as nobody reports activity the stream is learned by these alone."""
        if self._reported_at is None and self._heard_at is not None and at > self._heard_at:
            limit, gap = self._limit, at - self._heard_at
            self.touch(at)
            self._learn(min(gap, limit))
        else:
            self.touch(at)
        self._heard_at = at

    def touch(self, at: Nanoseconds) -> None:
        """Note a sign of life without learning from it."""
        if self.last_at is not None and at <= self.last_at:
            return
        if self.last_at is None or self._broken or at - self.last_at > self._limit:
            self._fresh_since = at
        self._broken = False
        self.last_at = at

    def on_fault(self) -> None:
        """The stream broke: stale until it speaks again."""
        self._broken = self.last_at is not None

    def state(self, now: Nanoseconds) -> StreamState:
        """Judge at ``now``."""
        last_at = self.last_at
        if last_at is None:
            return StreamState.NEVER
        if self._broken or now - last_at > self._limit:
            return StreamState.STALE
        return StreamState.RECOVERING if now - self._fresh_since < self._recover else StreamState.FRESH

    def _learn(self, gap: Nanoseconds) -> None:
        self._gaps.observe(log(max(gap / NS_PER_MS, 1.0)), 1.0)
        self._limit = self._learned_limit()

    def _learned_limit(self) -> Nanoseconds:
        p99 = int(exp(self._gaps.quantile(0.99)) * NS_PER_MS)
        return max(self._limit_min, int(self._factor * p99))
