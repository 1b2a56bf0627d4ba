"""Keeps feeds running: each failure starts one again, and some can be ended and others begun while the loop runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from guard.errors import FatalError
from guard.ports import Emit, Feed

FEED_RETRY_S = 5.0

END_S = 5.0
"""A feed closes its sockets when it is cancelled: a venue that hangs is not waited for longer."""

log = structlog.get_logger()


@dataclass(slots=True)
class Feeding:
    """Runs feeds in the loop's TaskGroup; what they emit goes to ``emit``."""

    emit: Emit
    _group: asyncio.TaskGroup | None = None
    _kept: list[_Kept] = field(default_factory=list)

    def begin(self, group: asyncio.TaskGroup, feeds: Iterable[Feed]) -> None:
        """Run ``feeds``, and later ones, in ``group``."""
        self._group = group
        for feed in feeds:
            self._keep(feed)

    async def swap(self, old: Sequence[Feed], new: Sequence[Feed]) -> None:
        """End ``old`` and run ``new``. What has not ended in time may go on emitting: it is said in the log."""
        ending = [kept for kept in self._kept if any(kept.feed is feed for feed in old)]
        tasks = [task for kept in ending for task in kept.cancel()]
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=END_S)
            if pending:
                names = sorted(kept.feed.name for kept in ending)
                log.error("a feed does not end, the new one begins beside it", feeds=names, waited_s=END_S)
        self._kept = [kept for kept in self._kept if kept not in ending]
        for feed in new:
            self._keep(feed)

    def _keep(self, feed: Feed) -> None:
        assert self._group is not None, "feeds run in the loop"
        kept = _Kept(feed)
        kept.keeper = self._group.create_task(
            self._keep_running(kept, self._group), name=f"keeper of feed {feed.name}"
        )
        self._kept.append(kept)

    async def _keep_running(self, kept: _Kept, group: asyncio.TaskGroup) -> None:
        """A feed that fails leaves its streams silent, which the engine sees; the others go on.

        Each attempt is a task of its own: before Python 3.13 one that lost a TaskGroup stays marked as
        cancelled, and what asks for that mark (our adapters, asyncio.timeout before 3.11.3) is misled.
        """
        feed = kept.feed
        while True:
            attempt = kept.attempt = group.create_task(self._attempt(feed), name=f"feed {feed.name}")
            await asyncio.wait([attempt])
            if attempt.cancelled():
                log.error(
                    "a feed cancelled itself and is started again", feed=feed.name, pause_s=FEED_RETRY_S
                )
            elif attempt.result():
                return
            await asyncio.sleep(FEED_RETRY_S)

    async def _attempt(self, feed: Feed) -> bool:
        """Run a feed; return whether it came to its end, which is not when it failed."""
        try:
            await feed.run(self.emit)
        except FatalError:
            raise
        except Exception:
            log.exception("a feed failed and is started again", feed=feed.name, pause_s=FEED_RETRY_S)
            return False
        return True


@dataclass(slots=True, eq=False)
class _Kept:
    feed: Feed
    keeper: asyncio.Task[None] | None = None
    attempt: asyncio.Task[bool] | None = None

    def cancel(self) -> list[asyncio.Task[None] | asyncio.Task[bool]]:
        """Ask both tasks to end; return them."""
        tasks: list[asyncio.Task[None] | asyncio.Task[bool]] = []
        if self.keeper is not None:
            tasks.append(self.keeper)
        if self.attempt is not None:
            tasks.append(self.attempt)
        for task in tasks:
            task.cancel()
        return tasks
