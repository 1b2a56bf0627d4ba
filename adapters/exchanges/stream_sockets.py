"""The public WebSockets of a venue whose streams share one address: a socket for each subscription of a feed.

ccxt keeps one socket an address. A fragment, which never leaves this machine, makes addresses of one, so that
losing, renewing or leaving one subscription touches no other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.exchanges.ccxt_session import network_error
from guard.events import Stream
from guard.ports import Clock
from guard.units import NS_PER_S, Nanoseconds


@dataclass(slots=True)
class Carried:
    """What a socket is for, and when it last showed what; ``data_at`` is of frames that are data."""

    stream: Stream
    symbols: tuple[str, ...]
    alive_at: Nanoseconds
    data_at: Nanoseconds
    opened_at: Nanoseconds
    is_answered: bool = False
    """Whether the venue has taken the subscription, or delivers what was asked for."""


class StreamSockets:
    """The sockets of one ccxt client."""

    def __init__(self, client: Any, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._carried: dict[str, Carried] = {}

    def open(self, address: str, stream: Stream, symbols: Sequence[str]) -> str:
        """Return an address of its own for a subscription; nothing is connected yet."""
        number = 0
        while (url := f"{address}#{stream}-{number}") in self._carried:
            number += 1
        now = self._clock.now()
        self._carried[url] = Carried(stream, tuple(symbols), now, now, now)
        return url

    def close(self, url: str, reason: str) -> None:
        """End a subscription and its socket."""
        self._carried.pop(url, None)
        socket = self.socket(url)
        if socket is not None:
            socket.on_error(network_error(reason))

    def socket(self, url: str) -> Any | None:
        """The socket that ccxt has at an address, if there is one."""
        return (self._client.clients or {}).get(url)

    def carried(self, url: str) -> Carried | None:
        """What a socket is for; ``None`` once it is not wanted any more."""
        return self._carried.get(url)

    def home(self, stream: Stream, symbol: str) -> str | None:
        """The address on which a market's stream is subscribed."""
        for url, carried in self._carried.items():
            if carried.stream is stream and symbol in carried.symbols:
                return url
        return None

    def on_alive(self, url: str) -> None:
        """A socket delivered anything, be it a pong."""
        if (carried := self._carried.get(url)) is not None:
            carried.alive_at = self._clock.now()

    def on_data(self, url: str) -> None:
        """A socket delivered what it is for."""
        if (carried := self._carried.get(url)) is not None:
            carried.data_at = self._clock.now()
            carried.is_answered = True

    def on_taken(self, url: str, at: Nanoseconds) -> None:
        """A socket delivered what it is for, at ``at``, and a reader of raw frames took it."""
        if (carried := self._carried.get(url)) is not None:
            carried.alive_at = carried.data_at = at
            carried.is_answered = True

    def on_answered(self, url: str) -> None:
        """The venue took a subscription."""
        if (carried := self._carried.get(url)) is not None:
            carried.is_answered = True

    def on_connected(self, url: str) -> None:
        """A socket opened: its silence begins to count."""
        if (carried := self._carried.get(url)) is not None:
            carried.alive_at = carried.data_at = carried.opened_at = self._clock.now()
            carried.is_answered = False

    def close_silent(self, silence_ns: Nanoseconds, owing: Collection[Stream]) -> list[str]:
        """Fail the sockets that show no sign of life, or whose subscription is not answered.

        Of those that carry one of the ``owing`` streams, a sign of life is data.
        """
        closed = []
        for url, carried in list(self._carried.items()):
            socket, since = self.socket(url), carried.alive_at
            if carried.stream in owing:
                since = carried.data_at
            elif not carried.is_answered:
                since = min(since, carried.opened_at)
            silent_ns = self._clock.now() - since
            if socket is not None and socket.isConnected and silent_ns > silence_ns:
                socket.on_error(network_error(f"nothing came for {silent_ns / NS_PER_S:.1f} s"))
                closed.append(str(carried.stream))
        return closed

    def reopen(self, stream: Stream, reason: str) -> None:
        """Fail the sockets that carry ``stream``."""
        for url, carried in list(self._carried.items()):
            socket = self.socket(url)
            if carried.stream is stream and socket is not None:
                socket.on_error(network_error(reason))
