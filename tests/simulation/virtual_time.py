"""Virtual time: one ordered list of what happens next, and event loops that live in it.

Each simulated process has a loop of its own, so that one of them can be stopped (SIGSTOP) or die while
the others go on. Nothing here reads a clock or waits.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from guard.units import NS_PER_S

TURNS_MAX = 100_000
"""Callbacks of one loop at one instant; more is a task that never waits."""


class Schedule:
    """What happens when; ties happen in the order in which they were put."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.is_halted = False
        self._due: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._serial = 0

    def at(self, at_ns: int, callback: Callable[..., object], *args: Any) -> None:
        """Call back at ``at_ns``, or now if that has passed."""
        self._serial += 1
        heapq.heappush(self._due, (max(at_ns, self.now_ns), self._serial, callback, args))

    def after(self, seconds: float, callback: Callable[..., object], *args: Any) -> None:
        """Call back in ``seconds``."""
        self.at(self.now_ns + round(seconds * NS_PER_S), callback, *args)

    def run_until(self, at_ns: int) -> None:
        """Let everything happen up to ``at_ns``."""
        while self._due and self._due[0][0] <= at_ns and not self.is_halted:
            self.now_ns, _, callback, args = heapq.heappop(self._due)
            callback(*args)
        if not self.is_halted:
            self.now_ns = at_ns


class ProcessLoop(asyncio.AbstractEventLoop):
    """The event loop of one simulated process: no sockets, no threads, only tasks and timers."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._ready: deque[asyncio.Handle] = deque()
        self._is_woken = False
        self._is_stopped = False
        self.errors: list[str] = []

    def stop_process(self) -> None:
        """As SIGSTOP: nothing runs until ``resume_process``; timers that fall due meanwhile wait."""
        self._is_stopped = True

    def resume_process(self) -> None:
        """As SIGCONT."""
        self._is_stopped = False
        self._wake()

    async def pause(self, seconds: float) -> None:
        """Let a task of this process wait in virtual time."""
        woken = self.create_future()
        self.call_later(seconds, _wake_up, woken)
        await woken

    # What tasks, futures and timeouts need of a loop

    def time(self) -> float:
        return self._schedule.now_ns / NS_PER_S

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        self._wake()
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        # Rounded up: who is woken must find that the time has come.
        self._schedule.at(-int(-when * NS_PER_S // 1), self._fall_due, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing to count: a cancelled timer falls due and does nothing."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    # Running

    def _fall_due(self, handle: asyncio.TimerHandle) -> None:
        if not handle.cancelled():
            self._ready.append(handle)
            self._wake()

    def _wake(self) -> None:
        if not self._is_woken and not self._is_stopped:
            self._is_woken = True
            self._schedule.at(self._schedule.now_ns, self._turn)

    def _turn(self) -> None:
        if self._is_stopped:
            self._is_woken = False
            return
        ready = self._ready
        events._set_running_loop(self)
        try:
            for _ in range(TURNS_MAX):
                if not ready:
                    return
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            self._is_woken = False  # only now: what woke the loop during its turn has had it
            events._set_running_loop(None)
        raise RuntimeError("a task of the simulation never waits")


def _wake_up(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
