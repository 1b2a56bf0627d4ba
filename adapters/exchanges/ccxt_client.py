"""A ccxt.pro client of any venue whose frames can be taken before ccxt's own handlers see them.

ccxt keeps connection, subscription, requests, signatures, rate limits and errors. A tap that takes a frame
leaves out what ccxt would do with it: books of Python lists, parsed structures, caches, waking a task for every
frame. Futures of ``watch_*`` whose frames are all taken are therefore never resolved; they fail when the socket
does, which is what the feeds wait for.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

from adapters.exchanges.ccxt_import import venue_class
from adapters.exchanges.embargo import Embargo
from adapters.exchanges.tapped_socket import socket_class
from adapters.exchanges.transport import Transport

DIAL_S_MAX = 5.0
"""ccxt's own pause before it dials again grows to 30 s: too long for a guard once the venue is back."""

KEEP_ALIVE_MS = 10_000
"""How often ccxt pings at least."""

MISSED_PONGS_MAX = 3.0
"""Then ccxt itself closes the socket, also one whose receive loop has stopped; the feed does so earlier."""


class Tap(Protocol):
    """Takes payloads. An exception is reported as a malformed frame and ends nothing.

    One that fulfils ``LaneTap`` (see ``transport``), too, has them raw before they are decoded; what its reader
    takes is told to ``on_taken`` of its lane, and to none of these.
    """

    def on_alive(self, url: str) -> None:
        """A socket delivered anything, be it a pong."""
        ...

    def on_frame(self, url: str) -> None:
        """A socket delivered a frame."""
        ...

    def on_connected(self, url: str) -> None: ...

    def take(self, url: str, message: Any) -> bool:
        """Take a decoded frame: an object, a list, or bare text. False hands it to ccxt's own handler."""
        ...

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None: ...


@functools.cache
def tapped_class(venue_id: str, quirks: type | None = None) -> type[Any]:
    """Return ccxt's class of a venue with taps; importing it takes some tenths of a second, so it waits until now.

    Args:
        venue_id: ccxt's id. Of a venue without streams the class is that of its REST side.
        quirks: a class whose methods replace those of ccxt's class (and may call them by ``super()``), for what
            is special at a venue. ``self.tap`` is there.
    """
    stock = venue_class(venue_id)
    bases = (quirks, _taps(), stock) if quirks is not None else (_taps(), stock)
    # With a name of its own in tracebacks.
    return type(f"Tapped_{venue_id}", bases, {})


def rate_limit_exceeded(reason: str) -> Exception:
    """Make the error by which ccxt says that a venue wants fewer requests."""
    from ccxt.base.errors import RateLimitExceeded  # noqa: PLC0415 - loaded with the first client

    error: Exception = RateLimitExceeded(reason)
    return error


@functools.cache
def _taps() -> type[Any]:  # noqa: C901 - one class of short methods
    class Taps:
        tap: Tap
        embargo: Embargo
        transport: Transport
        clients: dict[str, Any] | None

        async def fetch(self, *request: Any, **more: Any) -> Any:
            self.check_embargo()
            return await super().fetch(*request, **more)  # type: ignore[misc]  # ccxt is untyped

        def on_rest_response(
            self, code: int, reason: str, url: str, method: str, headers: Any, *bodies: Any
        ) -> Any:
            self.embargo.hear(code, headers)
            return super().on_rest_response(code, reason, url, method, headers, *bodies)  # type: ignore[misc]

        def client(self, url: str) -> Any:
            known = url in (self.clients or {})
            client = super().client(url)  # type: ignore[misc]
            if not known:
                client.__class__ = socket_class()
                client.attach(self)
            return client

        def check_embargo(self) -> None:
            left_s = self.embargo.left_s
            if left_s > 0.0:
                raise rate_limit_exceeded(f"the venue asked for no requests for another {left_s:.1f} s")

        def on_connected(self, client: Any, message: Any = None) -> None:
            super().on_connected(client, message)  # type: ignore[misc]
            self.tap.on_connected(client.url)

        def on_close(self, client: Any, error: Any) -> None:
            super().on_close(client, error)  # type: ignore[misc]
            _tell_lost(self.tap, client.url)

        def ws_dial_delay(self, url: str) -> float:
            delay = float(super().ws_dial_delay(url))  # type: ignore[misc]
            # Above 30 s it is the venue's Retry-After, which is obeyed.
            return max(delay if delay > 30.0 else min(delay, DIAL_S_MAX), self.embargo.left_s)

        def on_error(self, client: Any, error: Any) -> None:
            refused = error.args[0] if error.args else None  # what aiohttp raised, where a dial failed
            status = getattr(refused, "status", None)
            if client.dial_failed and isinstance(status, int):
                self.embargo.hear(status, getattr(refused, "headers", None) or {})
            super().on_error(client, error)  # type: ignore[misc]
            _tell_lost(self.tap, client.url)

        def handle_message(self, client: Any, message: Any) -> None:
            if not self.tap.take(client.url, message):
                super().handle_message(client, message)  # type: ignore[misc]

    return Taps


def _tell_lost(tap: Tap, url: str) -> None:
    """A tap with ``on_lost`` hears of every socket that failed, also while nobody waits on it."""
    on_lost = getattr(tap, "on_lost", None)
    if on_lost is not None:
        on_lost(url)
