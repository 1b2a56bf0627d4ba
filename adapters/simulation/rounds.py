"""Matching in rounds: what arrives between two moments of market time is matched together at the second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class MatchingRounds:
    """Holds new orders until the market reaches the end of the round that they came in.

    Orders that react to the same event within one round meet the same book, whichever connection was
    quicker by milliseconds: only so can two accounts be compared. With ``every_ms`` 0 nothing waits.
    """

    def __init__(self, every_ms: int) -> None:
        self._every_ns = every_ms * 1_000_000
        self._ends_at_ns: int | None = None
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []

    async def run(self, act: Callable[[], Any]) -> Any:
        """Do ``act`` at the end of the round and return what it returns or raise what it raises."""
        if self._every_ns == 0 or self._ends_at_ns is None:
            return act()
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((act, done))
        return await done

    def advance(self, now_ns: int) -> None:
        """The market is about to move to ``now_ns``: end the round first if it is over by then."""
        if self._every_ns == 0:
            return
        if self._ends_at_ns is None:
            self._ends_at_ns = now_ns + self._every_ns
        elif now_ns > self._ends_at_ns:
            self._ends_at_ns += (
                (now_ns - self._ends_at_ns + self._every_ns - 1) // self._every_ns * self._every_ns
            )
            self._match()

    def end(self) -> None:
        """The market is over: match what waits, and let nothing wait any more."""
        self._ends_at_ns = None
        self._match()

    def _match(self) -> None:
        waiting, self._waiting = self._waiting, []
        for act, done in waiting:
            if done.cancelled():
                continue  # its client is gone; an order that nobody waits for was never taken
            try:
                done.set_result(act())
            except Exception as error:  # noqa: BLE001 (a refusal is the answer to its own request alone)
                done.set_exception(error)
