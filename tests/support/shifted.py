"""A clock beside the real one."""

from __future__ import annotations

from dataclasses import dataclass, field

from adapters.clock import SystemClock
from guard.units import NS_PER_MS, Nanoseconds


@dataclass
class Shifted:
    """The real time and so many milliseconds more."""

    offset_ms: int
    real: SystemClock = field(default_factory=SystemClock)

    def now(self) -> Nanoseconds:
        return self.real.now() + self.offset_ms * NS_PER_MS

    async def sleep_until(self, at: Nanoseconds) -> None:
        await self.real.sleep_until(at - self.offset_ms * NS_PER_MS)
