"""Virtual time and a broker whose every message may be given another fate: all of it in memory, nothing waits."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from itertools import count
from typing import Any

from guard.units import NS_PER_MS

HOP_MS = 1
LOG_MAX = 200


class Fate(StrEnum):
    """What becomes of one message on its way."""

    LOST = "lost"
    TWICE = "twice"
    SOON = "soon"
    LATE = "late"
    STALE = "stale"


DELAYS_MS = {Fate.SOON: 300, Fate.LATE: 1_500, Fate.STALE: 6_000}
"""A message that is late is overtaken by those behind it: that is the reordering."""


@dataclass(slots=True)
class Schedule:
    """What is still to happen, in order."""

    now_ns: int = 0
    _heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    @property
    def waiting(self) -> int:
        return len(self._heap)

    def after(self, ms: float, call: Callable[..., None], *arguments: Any) -> None:
        heappush(self._heap, (self.now_ns + int(ms * NS_PER_MS), next(self._numbers), call, arguments))

    def run_until(self, at_ns: int) -> None:
        """Let everything happen that is due by ``at_ns``."""
        while self._heap and self._heap[0][0] <= at_ns:
            self.now_ns, _, call, arguments = heappop(self._heap)
            call(*arguments)
        self.now_ns = at_ns


@dataclass(slots=True, eq=False)
class Link:
    """One connection of one client; ``fates`` are those of the next messages to it, ``sending`` of those from it."""

    client: str
    take: Callable[[str, bytes, bool], None]
    on_end: Callable[[], None]
    will: tuple[str, bytes] | None
    hears: Callable[[str], bool]
    fates: deque[Fate] = field(default_factory=deque)
    sending: deque[Fate] = field(default_factory=deque)
    ended: bool = False


@dataclass(slots=True)
class Broker:
    """Routes; what is retained survives its restart or does not. ``seen`` counts what went wrong on the way."""

    schedule: Schedule
    up: bool = True
    retained: dict[str, bytes] = field(default_factory=dict)
    log: deque[tuple[str, bytes]] = field(default_factory=lambda: deque(maxlen=LOG_MAX))
    seen: Counter[str] = field(default_factory=Counter)
    late_until_ns: int = 0
    _links: dict[str, Link] = field(default_factory=dict)

    def connect(self, link: Link) -> bool:
        """Take a client that then hears what is retained, and all that is published from now on."""
        if not self.up:
            return False
        older = self._links.get(link.client)
        if older is not None:
            self.end(older)
        self._links[link.client] = link
        for topic, payload in list(self.retained.items()):
            if link.hears(topic):
                self._send(link, topic, payload, retain=True)
        return True

    def publish(self, link: Link, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Take a message from a client; one of QoS 1 that gets lost ends the connection, for it is not answered."""
        fate = link.sending.popleft() if link.sending else None
        if fate is not None:
            self.seen[f"from {fate}"] += 1
        if fate is Fate.LOST:
            if qos:
                self.end(link)
            return
        self._later(fate, self._route, topic, payload, retain)

    def replay(self, topic: str, payload: bytes) -> None:
        """Somebody who has recorded it publishes it again, not retained."""
        self.seen["replayed"] += 1
        self._route(topic, payload, False)

    def end(self, link: Link) -> None:
        """A connection breaks: the Will goes out."""
        if link.ended:
            return
        link.ended = True
        if self._links.get(link.client) is link:
            del self._links[link.client]
        if link.will is not None and self.up:
            self._route(*link.will, True)
        link.on_end()

    def crash(self, *, wiped: bool) -> None:
        """Die without a word."""
        self.up = False
        for link in list(self._links.values()):
            self.end(link)
        if wiped:
            self.retained.clear()

    @property
    def is_disturbed(self) -> bool:
        """Whether anything may still go wrong, or come late, by itself."""
        is_late = self.late_until_ns > self.schedule.now_ns
        return is_late or not self.up or any(link.fates or link.sending for link in self._links.values())

    def calm(self) -> None:
        """From now on nothing more gets lost."""
        self.up = True
        for link in self._links.values():
            link.fates.clear()
            link.sending.clear()

    def _route(self, topic: str, payload: bytes, retain: bool) -> None:
        if not self.up:
            return
        if retain:
            self.retained[topic] = payload
        self.log.append((topic, payload))
        for link in list(self._links.values()):
            if link.hears(topic):
                self._send(link, topic, payload, retain=False)

    def _send(self, link: Link, topic: str, payload: bytes, *, retain: bool) -> None:
        fate = link.fates.popleft() if link.fates else None
        if fate is not None:
            self.seen[f"to {fate}"] += 1
        if fate is Fate.LOST:
            return
        self._later(fate, self._arrive, link, topic, payload, retain)

    def _later(self, fate: Fate | None, call: Callable[..., None], *arguments: Any) -> None:
        delay_ms = HOP_MS if fate is None else DELAYS_MS.get(fate, HOP_MS)
        self.schedule.after(delay_ms, call, *arguments)
        if fate is Fate.TWICE:
            delay_ms = DELAYS_MS[Fate.LATE]
            self.schedule.after(delay_ms, call, *arguments)
        if delay_ms > HOP_MS:
            self.late_until_ns = max(self.late_until_ns, self.schedule.now_ns + delay_ms * NS_PER_MS)

    @staticmethod
    def _arrive(link: Link, topic: str, payload: bytes, retain: bool) -> None:
        if not link.ended:
            link.take(topic, payload, retain)
