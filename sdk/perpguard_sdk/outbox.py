"""What waits to be published: acks in order, and of each retained topic the latest only."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from perpguard_sdk.actions import Publish

ACKS_MAX = 1_024
"""A bot answers each command twice and at most about ten come a second: a minute offline. Beyond that
the oldest go; the guard asks again with the same id and is answered the same."""


class Outbox:
    """Bounded by itself: at most ``ACKS_MAX`` acks and one message a retained topic (three of them)."""

    def __init__(self) -> None:
        self._acks: deque[Publish] = deque(maxlen=ACKS_MAX)
        self._levels: OrderedDict[str, Publish] = OrderedDict()
        self._filled = asyncio.Event()

    def put(self, publish: Publish) -> None:
        """Queue ``publish``; a retained one replaces an older one of its topic."""
        if publish.retain:
            self._levels[publish.topic] = publish
        else:
            self._acks.append(publish)
        self._filled.set()

    def drop_levels(self) -> None:
        """Forget retained messages of a former connection: the new one begins with the present."""
        self._levels.clear()

    async def next(self) -> Publish:
        """Wait for the next: births and levels as they were put, acks before levels that came later."""
        while not (self._acks or self._levels):
            self._filled.clear()
            await self._filled.wait()
        return self._acks.popleft() if self._acks else self._levels.popitem(last=False)[1]

    def put_back(self, publish: Publish) -> None:
        """Return what could not be published to the front."""
        if not publish.retain:
            self._acks.appendleft(publish)
        else:
            self._levels.setdefault(publish.topic, publish)
            self._levels.move_to_end(publish.topic, last=False)
        self._filled.set()
