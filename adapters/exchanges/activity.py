"""Keeps account of the streams: what each delivered, which are down, and says so in events and in the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from adapters.exchanges.outages import Outages
from guard.events import Stream, StreamActivity, StreamFault, StreamFaultKind, StreamsActive
from guard.market.live import Heard
from guard.ports import Clock, Emit
from guard.units import NS_PER_S, AccountId, MarketId, Nanoseconds

Subject = MarketId | AccountId


@dataclass(slots=True)
class _Counted:
    updates: int = 0
    last_at: Nanoseconds | None = None
    gap_ns_max: Nanoseconds = 0
    down: StreamFaultKind | None = None
    malformed: int = 0
    malformed_said_at: Nanoseconds | None = None


@dataclass(slots=True)
class Ledger:
    """One line for each subject and stream.

    A lost stream is said once, and its return once; a flood of malformed frames once a second, counted.

    Args:
        emit: takes the events.
        clock: what time it is.
        gather: called before activity is told, to add by ``heard`` what was counted elsewhere. With it the activity
            of all streams is one event.
    """

    emit: Emit
    clock: Clock
    gather: Callable[[], None] | None = None
    _lines: dict[tuple[Subject, Stream], _Counted] = field(default_factory=dict)
    _outages: Outages = field(init=False)

    def __post_init__(self) -> None:
        self._outages = Outages(self.clock)

    def delivered(self, subject: Subject, stream: Stream, now: Nanoseconds, *, proof: bool = False) -> None:
        """Count one message; as ``proof`` it says that a stream is back, whether or not its answer came."""
        line = self._line(subject, stream)
        if proof and line.down is not None:
            self.back(subject, stream, "it delivers again")
        line.updates += 1
        if line.last_at is not None:
            line.gap_ns_max = max(line.gap_ns_max, now - line.last_at)
        line.last_at = now

    def heard(self, subject: Subject, stream: Stream, brought: Heard, *, proof: bool = False) -> None:
        """Count what was counted elsewhere; the arguments are those of ``delivered``."""
        if not brought.updates:
            return
        line = self._line(subject, stream)
        if proof and line.down is not None:
            self.back(subject, stream, "it delivers again")
        line.updates += brought.updates
        line.last_at = brought.last_at
        line.gap_ns_max = max(line.gap_ns_max, brought.gap_ns_max)

    def lost(self, subject: Subject, stream: Stream, kind: StreamFaultKind, detail: str) -> None:
        """Say that a stream is away, unless that was said of the same ``kind``."""
        line = self._line(subject, stream)
        self._outages.lost((subject, stream), kind, detail)
        if line.down is not kind:
            line.down = kind
            self.fault(subject, stream, kind, detail)

    def back(self, subject: Subject, stream: Stream, detail: str = "") -> None:
        """Say that a stream is back, if it was away."""
        line = self._line(subject, stream)
        self._outages.back((subject, stream))
        if line.down is not None:
            line.down = None
            self.fault(subject, stream, StreamFaultKind.RECONNECTED, detail)

    def malformed(self, subject: Subject, stream: Stream, detail: str) -> None:
        """Say that a frame could not be read, at most once a second."""
        line, now = self._line(subject, stream), self.clock.now()
        line.malformed += 1
        if line.malformed_said_at is None or now - line.malformed_said_at >= NS_PER_S:
            count = f"{line.malformed} frames could not be read, the last one: " if line.malformed > 1 else ""
            line.malformed, line.malformed_said_at = 0, now
            self.fault(subject, stream, StreamFaultKind.MALFORMED, count + detail)

    def fault(self, subject: Subject, stream: Stream, kind: StreamFaultKind, detail: str) -> None:
        """Emit one fault."""
        now = self.clock.now()
        self.emit(StreamFault(received_at=now, subject=subject, stream=stream, fault=kind, detail=detail))

    def forget(self, subject: Subject) -> None:
        """Keep no account of a subject any more: it is not expected to say anything."""
        for key in [key for key in self._lines if key[0] == subject]:
            del self._lines[key]
            self._outages.forget(key)

    def flush(self) -> None:
        """Emit what every stream delivered since the last call; log what is away or back."""
        if self.gather is not None:
            self.gather()
        self._outages.flush()
        now = self.clock.now()
        activities = self._activities(now)
        if self.gather is None:
            for activity in activities:
                self.emit(activity)
        elif activities:
            self.emit(StreamsActive(received_at=now, activities=tuple(activities)))

    async def run(self) -> None:
        """Flush once a second until cancelled."""
        while True:
            await self.clock.sleep_until(self.clock.now() + NS_PER_S)
            self.flush()

    def last_at(self, subject: Subject, stream: Stream) -> Nanoseconds | None:
        """When a stream delivered last."""
        return self._line(subject, stream).last_at

    def _activities(self, now: Nanoseconds) -> list[StreamActivity]:
        activities = []
        for (subject, stream), line in self._lines.items():
            if line.updates and line.last_at is not None:
                activity = StreamActivity(
                    received_at=now,
                    subject=subject,
                    stream=stream,
                    updates=line.updates,
                    last_at=line.last_at,
                    gap_ns_max=line.gap_ns_max,
                )
                activities.append(activity)
                line.updates, line.gap_ns_max = 0, 0
        return activities

    def _line(self, subject: Subject, stream: Stream) -> _Counted:
        return self._lines.setdefault((subject, stream), _Counted())
