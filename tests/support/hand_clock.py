"""A clock that a test turns by hand."""

from __future__ import annotations

import asyncio

from guard.units import NS_PER_S, Nanoseconds


class HandClock:
    """Fulfils guard.ports.Clock; time passes only in ``advance``."""

    def __init__(self, now: Nanoseconds = 1_700_000_000 * NS_PER_S) -> None:
        self._now = now
        self._sleepers: list[tuple[Nanoseconds, asyncio.Future[None]]] = []

    def now(self) -> Nanoseconds:
        return self._now

    async def sleep_until(self, at: Nanoseconds) -> None:
        if at <= self._now:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((at, woken))
        await woken

    async def advance(self, seconds: float, step_s: float = 0.05) -> None:
        """Let time pass in steps, and let whoever wakes up run."""
        end = self._now + int(seconds * NS_PER_S)
        await _settle()
        while self._now < end:
            self._now = min(end, self._now + int(step_s * NS_PER_S))
            due = [woken for at, woken in self._sleepers if at <= self._now]
            self._sleepers = [(at, woken) for at, woken in self._sleepers if at > self._now]
            for woken in due:
                if not woken.done():
                    woken.set_result(None)
            await _settle()


async def _settle() -> None:
    """Give every task that can run a few turns."""
    for _ in range(20):
        await asyncio.sleep(0)
