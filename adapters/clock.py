"""The only reader of time: Unix nanoseconds that never run backwards, and the ticks that drive the guard."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from guard.events import Tick
from guard.ports import Clock, Emit
from guard.units import NS_PER_MS, NS_PER_S, Nanoseconds

STEP_NS_MIN = 100 * NS_PER_MS
"""A wall clock that departs from the monotonic one by more since the last look was set by somebody."""
SLEW_RATIO = 0.05
"""While our time is ahead of the wall clock it passes slower by this share: every timeout is 5 % late at most."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The wall clock was set: ``step_ns`` forward (positive) or back at ``at``, in the new time."""

    at: Nanoseconds
    step_ns: Nanoseconds


class SystemClock:
    """Fulfils guard.ports.Clock.

    Time passes with the monotonic clock. A wall clock that is ahead is followed at once: after a
    suspend time did pass, and everything is stale. One that is behind, because it was set back, is not:
    our time goes on, 5 % slower until the wall clock has caught up, so that it never runs backwards and
    timeouts stay what they are. Steps of either kind are logged and kept in ``steps``.

    Args:
        wall: Unix nanoseconds.
        monotonic: nanoseconds from any start that nobody can set.
    """

    def __init__(
        self,
        wall: Callable[[], Nanoseconds] = time.time_ns,
        monotonic: Callable[[], Nanoseconds] = time.monotonic_ns,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._wall_seen = wall()
        self._monotonic_seen = monotonic()
        self._told = self._wall_seen
        self.steps: list[ClockStep] = []

    def now(self) -> Nanoseconds:
        """Unix time in nanoseconds, never less than what was told before."""
        wall, monotonic = self._wall(), self._monotonic()
        elapsed = max(monotonic - self._monotonic_seen, 0)
        step = wall - (self._wall_seen + elapsed)
        if abs(step) > STEP_NS_MIN:
            self.steps = [*self.steps[-15:], ClockStep(wall, step)]
            log.warning("the system clock was set or the machine slept", step_s=round(step / NS_PER_S, 3))
        ahead = self._told + elapsed - wall
        self._told += elapsed - min(ahead, int(elapsed * SLEW_RATIO))
        self._wall_seen, self._monotonic_seen = wall, monotonic
        return self._told

    async def sleep_until(self, at: Nanoseconds) -> None:
        """Return at ``at`` or soon after, also if the clock is set meanwhile."""
        while True:
            left = at - self.now()
            if left <= 0:
                return
            await asyncio.sleep(min(left / NS_PER_S, 1.0))


class TickFeed:
    """Fulfils guard.ports.Feed: a Tick every ``tick_ms``.

    A late tick is sent at once and the ones missed meanwhile are left out: one Tick says as much as ten.
    """

    name = "clock"

    def __init__(self, clock: Clock, tick_ms: int) -> None:
        self._clock = clock
        self._tick_ns = tick_ms * NS_PER_MS

    async def run(self, emit: Emit) -> None:
        """Emit until cancelled."""
        due = self._clock.now()
        while True:
            now = self._clock.now()
            emit(Tick(received_at=now))
            due = max(due + self._tick_ns, now - now % self._tick_ns)
            due = due if due > now else now + self._tick_ns
            await self._clock.sleep_until(due)


@dataclass(frozen=True, slots=True)
class NetworkTime:
    """What the kernel says of its own clock: whether it follows another, and by how much it may be off."""

    synchronised: bool
    error_ms: float


_STA_UNSYNC = 0x40
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """The beginning of struct timex of adjtimex(2), with room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


def network_time() -> NetworkTime | None:
    """Ask the kernel how its clock is disciplined, changing nothing; ``None`` where it does not tell.

    chrony, systemd-timesyncd and ntpd tell the kernel that they follow another clock, and how well.
    """
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    told = _Timex()
    state = adjtimex(ctypes.byref(told))
    if state < 0:
        return None
    synchronised = state != _TIME_ERROR and not told.status & _STA_UNSYNC
    return NetworkTime(synchronised, told.maxerror / 1000.0)


def process_age_ns(proc: Path = Path("/proc")) -> Nanoseconds:
    """How long ago this process was started, interpreter included; 0 where the system does not tell."""
    try:
        ticks = int((proc / "self" / "stat").read_text().rpartition(")")[2].split()[19])
        up_s = float((proc / "uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    return max(0, int((up_s - ticks / os.sysconf("SC_CLK_TCK")) * NS_PER_S))
