"""The guard's pulse: which heartbeats count, how long they have lasted, and what time they say it is.

Guard time is estimated from heartbeats and this machine's monotonic clock, never from its wall clock.
Times in: monotonic nanoseconds. Times out: guard time in Unix milliseconds. No I/O, no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from perpguard_sdk.messages import Heartbeat

NS_PER_MS = 1_000_000
WINDOW_NS = 30_000 * NS_PER_MS
"""Delays are compared within this time; a guard whose clock steps back is believed after it."""
KNOWN_FOR_NS = 300_000 * NS_PER_MS
"""Without a heartbeat the estimate is kept this long: quartz drifts below 100 ppm, 30 ms in this time."""
SETTLE_NS = 500 * NS_PER_MS
"""A burst of held-up heartbeats takes less; the next one, a second later, came without waiting."""
AGREES_MS = 250
SAMPLES_MAX = 256
"""One heartbeat a second makes 30 samples in the window; the bound holds against a guard gone mad."""


@dataclass(slots=True)
class GuardClock:
    """Guard time, as a minimum-delay filter over heartbeats.

    A heartbeat sent at guard time ``ts`` and heard at monotonic ``m`` after an unknown delay
    ``d >= 0`` gives the offset ``ts - m = true offset - d``; the largest offset of the window has the
    least delay. The estimate is therefore never ahead of the guard by more than the drift within the
    window. Heartbeats that were held up come in a burst and say a time long past, so the time is known
    only after ``SETTLE_NS`` of them. Another epoch or session is another clock: the window starts
    anew, and settles at once if it agrees with the former clock.

    >>> clock = GuardClock()
    >>> clock.hear((1, "s"), guard_ms=1_000, mono_ns=0)
    >>> clock.now_ms(0) is None
    True
    >>> clock.hear((1, "s"), guard_ms=2_000, mono_ns=1_300 * NS_PER_MS)
    >>> clock.now_ms(2_000 * NS_PER_MS)
    3000
    """

    source: tuple[int, str] | None = None
    settled: bool = False
    first_ns: int = 0
    heard_ns: int = 0
    _offsets: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))

    def hear(self, source: tuple[int, str], guard_ms: int, mono_ns: int) -> None:
        """Take a sample from the guard ``source`` (epoch, session)."""
        offset_ns = guard_ms * NS_PER_MS - mono_ns
        if source != self.source:
            former_ms = self.now_ms(mono_ns)
            self.settled = former_ms is not None and abs(guard_ms - former_ms) <= AGREES_MS
            self._offsets.clear()
            self.source, self.first_ns = source, mono_ns
        while self._offsets and self._offsets[0][0] < mono_ns - WINDOW_NS:
            self._offsets.popleft()
        while self._offsets and self._offsets[-1][1] <= offset_ns:
            self._offsets.pop()
        self._offsets.append((mono_ns, offset_ns))
        self.heard_ns = mono_ns
        self.settled |= mono_ns - self.first_ns >= SETTLE_NS

    def now_ms(self, mono_ns: int, epoch: int | None = None) -> int | None:
        """Guard time in ms, ``None`` while unknown; with ``epoch``, only as that epoch's guard keeps it."""
        if self.source is None or not self.settled or mono_ns - self.heard_ns > KNOWN_FOR_NS:
            return None
        if epoch is not None and epoch != self.source[0]:
            return None
        return (mono_ns + self._offsets[0][1]) // NS_PER_MS


@dataclass(slots=True)
class Pulse:
    """An unbroken run of heartbeats of one guard; ``silence_ns_max`` without one breaks it."""

    silence_ns_max: int
    heard: bool = False
    epoch: int = 0
    session: str = ""
    seq: int = 0
    posture_version: int = 0
    since_ns: int = 0
    last_ns: int | None = None

    def rises(self, heartbeat: Heartbeat) -> bool:
        """Whether it is later than all heard before: of a higher epoch, or the same guard's next."""
        if not self.heard or heartbeat.epoch > self.epoch:
            return True
        return (
            heartbeat.epoch == self.epoch and heartbeat.session == self.session and heartbeat.seq > self.seq
        )

    def note(self, heartbeat: Heartbeat) -> None:
        """Remember it as the latest, so that it counts only once."""
        if (heartbeat.epoch, heartbeat.session) != (self.epoch, self.session):
            self.last_ns = None
        self.heard = True
        self.epoch, self.session, self.seq = heartbeat.epoch, heartbeat.session, heartbeat.seq
        self.posture_version = heartbeat.posture_version

    def beat(self, mono_ns: int) -> None:
        """Count a heartbeat that was fresh."""
        if not self.alive(mono_ns):
            self.since_ns = mono_ns
        self.last_ns = mono_ns

    def alive(self, mono_ns: int) -> bool:
        return self.last_ns is not None and mono_ns - self.last_ns < self.silence_ns_max

    def lasted_ns(self, mono_ns: int) -> int:
        """How long the present run has lasted, 0 if there is none."""
        return mono_ns - self.since_ns if self.alive(mono_ns) else 0
