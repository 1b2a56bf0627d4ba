"""An MQTT broker in virtual time: retained messages, QoS 0 and 1, Wills, sessions without persistence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from guard.units import NS_PER_S
from tests.simulation.virtual_time import Schedule

KEEPALIVE_S = 7.5
"""A client that has been stopped for so long is thrown out, and its Will goes out."""

LOG_MAX = 4_000


class Taker(Protocol):
    """Where messages of a connection go; it says whether its process still reads."""

    def __call__(self, topic: str, payload: bytes, retain: bool) -> None: ...


@dataclass(slots=True)
class Network:
    """How messages fare between broker and clients; the defaults are a healthy machine."""

    delay_s_max: float = 0.02
    lost_ratio: float = 0.0
    twice_ratio: float = 0.0
    reordered_ratio: float = 0.0
    answer_lost_ratio: float = 0.0


@dataclass(slots=True, eq=False)
class Link:
    """One connection of one client."""

    client: str
    take: Taker
    on_end: Callable[[str], None]
    will: tuple[str, bytes]
    filters: list[tuple[str, ...]] = field(default_factory=list)
    ended: bool = False
    last_at_ns: int = 0
    is_stopped: bool = False
    stopped_at_ns: int = 0
    held: list[tuple[str, bytes, bool]] = field(default_factory=list)


@dataclass(slots=True)
class Broker:
    """Routes; ``network`` says how badly, ``held_back`` how late what has this in its topic comes, seconds."""

    schedule: Schedule
    random: Random
    network: Network = field(default_factory=Network)
    held_back: tuple[str, float] = ("", 0.0)
    up: bool = True
    is_stalled: bool = False
    backlog: list[tuple[Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)
    retained: dict[str, bytes] = field(default_factory=dict)
    log: list[tuple[str, bytes]] = field(default_factory=list)
    _links: dict[str, Link] = field(default_factory=dict)
    _matches: dict[tuple[tuple[str, ...], str], bool] = field(default_factory=dict)

    def connect(self, link: Link) -> bool:
        """Take a client; an older connection of its name is ended and its Will published."""
        if not self.up or self.is_stalled:
            return False
        older = self._links.get(link.client)
        if older is not None:
            self.end(older, "another client took the name", will=True)
        self._links[link.client] = link
        return True

    def subscribe(self, link: Link, topic_filters: Sequence[str]) -> None:
        """Subscribe, and send what is retained."""
        for topic_filter in topic_filters:
            levels = tuple(topic_filter.split("/"))
            if levels not in link.filters:
                link.filters.append(levels)
            for topic, payload in list(self.retained.items()):
                if self._match(levels, topic):
                    self._send(link, topic, payload, retain=True, qos=1)

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Route a message that has arrived here."""
        if not self.up:
            return
        if retain and payload:
            self.retained[topic] = payload
        elif retain:
            self.retained.pop(topic, None)
        if len(self.log) < LOG_MAX:
            self.log.append((topic, payload))
        for link in list(self._links.values()):
            if any(self._match(levels, topic) for levels in link.filters):
                self._send(link, topic, payload, retain=False, qos=qos)

    def end(self, link: Link, why: str, *, will: bool) -> None:
        """End a connection from the broker's side, or because the client's end is gone."""
        if link.ended:
            return
        link.ended = True
        if self._links.get(link.client) is link:
            del self._links[link.client]
        if will and self.up:
            self.publish(*link.will, qos=1, retain=True)
        link.on_end(why)

    def crash(self, *, wiped: bool) -> None:
        """Die without a word: connections break, no Will is published."""
        self.up = False
        self.is_stalled, self.backlog = False, []
        for link in list(self._links.values()):
            self.end(link, "the broker is gone", will=False)
        if wiped:
            self.retained.clear()

    def restart(self) -> None:
        self.up = True

    def stall(self) -> None:
        """Take nothing for a while; what comes meanwhile waits in sockets."""
        self.is_stalled = True

    def go_on(self) -> None:
        """Take at once all that has waited."""
        self.is_stalled = False
        backlog, self.backlog = self.backlog, []
        for callback, arguments in backlog:
            callback(*arguments)

    def stop_reading(self, link: Link) -> None:
        """The client's process is stopped: messages wait in its socket until the keep-alive is over."""
        link.is_stopped, link.stopped_at_ns = True, self.schedule.now_ns
        self.schedule.after(KEEPALIVE_S, self._throw_out, link, link.stopped_at_ns)

    def read_on(self, link: Link) -> None:
        """The client's process goes on and finds what waited, also of a connection that has ended since."""
        link.is_stopped = False
        held, link.held = link.held, []
        for topic, payload, retain in held:
            link.take(topic, payload, retain)

    def _throw_out(self, link: Link, stopped_at_ns: int) -> None:
        if link.is_stopped and link.stopped_at_ns == stopped_at_ns:
            self.end(link, "no ping for too long", will=True)

    def _send(self, link: Link, topic: str, payload: bytes, *, retain: bool, qos: int) -> None:
        network, chance = self.network, self.random.random
        if network.lost_ratio and chance() < network.lost_ratio:
            if qos:  # what must arrive and does not ends the connection
                self.schedule.after(0.2, self._lose, link)
            return
        delay_s = 0.0005 + chance() * network.delay_s_max
        at_ns = self.schedule.now_ns + int(delay_s * NS_PER_S)
        part, late_s = self.held_back
        if part and part in topic:
            at_ns += int(late_s * NS_PER_S)
        elif not (network.reordered_ratio and chance() < network.reordered_ratio):
            at_ns = link.last_at_ns = max(at_ns, link.last_at_ns)
        self.schedule.at(at_ns, self._arrive, link, topic, payload, retain)
        if qos and network.twice_ratio and chance() < network.twice_ratio:
            again_ns = at_ns + int((0.01 + 2.0 * chance()) * NS_PER_S)
            self.schedule.at(again_ns, self._arrive, link, topic, payload, retain)

    def _lose(self, link: Link) -> None:
        self.end(link, "the connection broke", will=True)

    def _arrive(self, link: Link, topic: str, payload: bytes, retain: bool) -> None:
        if link.ended and not link.is_stopped:
            return
        if link.is_stopped:
            if not link.ended:
                link.held.append((topic, payload, retain))
            return
        link.take(topic, payload, retain)

    def _match(self, levels: tuple[str, ...], topic: str) -> bool:
        key = (levels, topic)
        known = self._matches.get(key)
        if known is None:
            parts = topic.split("/")
            known = len(parts) == len(levels) and all(
                level in ("+", part) for level, part in zip(levels, parts, strict=True)
            )
            self._matches[key] = known
        return known
