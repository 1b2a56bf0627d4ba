"""The ccxt.pro client of Binance USD-M with its payload handlers replaced by taps.

ccxt keeps connection, subscription, requests, signatures, rate limits and errors. What it does with the
frames of the streams (books of Python lists, parsed structures, caches, waking a task for every frame) is
left out: the tap gets the raw payload, in the order of arrival. Futures of ``watch_*`` are therefore never
resolved; they fail when the socket does, which is what the feeds wait for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

Message = dict[str, Any]

DIAL_S_MAX = 5.0
"""ccxt's own pause before it dials again grows to 30 s: too long for a guard once the venue is back."""

KEEP_ALIVE_MS = 10_000
"""How often ccxt pings at least."""

MISSED_PONGS_MAX = 3.0
"""Then ccxt itself closes the socket, also one whose receive loop has stopped; the feed does so earlier."""


class Tap(Protocol):
    """Takes raw payloads. An exception is reported as a malformed frame and ends nothing."""

    def on_alive(self, url: str) -> None:
        """A socket delivered anything, be it a pong."""
        ...

    def on_frame(self, url: str) -> None:
        """A socket delivered a frame."""
        ...

    def on_connected(self, url: str) -> None: ...

    def on_message(self, event: str, message: Message) -> None: ...

    def on_acknowledged(self, subscriptions: list[str]) -> None:
        """A SUBSCRIBE was answered; these are ccxt's names of all that is subscribed on that socket."""
        ...

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None: ...


@functools.cache
def client_class() -> type[Any]:  # noqa: C901 - one class of short methods
    """Return the tapped class. Importing ccxt.pro takes a second and 110 MB, so it waits until now."""
    from ccxt.pro import binanceusdm  # noqa: PLC0415 - see above

    class TappedBinance(binanceusdm):  # type: ignore[misc]  # ccxt is untyped
        tap: Tap

        def client(self, url: str) -> Any:
            known = url in (self.clients or {})
            client = super().client(url)
            if not known:
                _protect(client, self.tap)
            return client

        def on_connected(self, client: Any, message: Any = None) -> None:
            super().on_connected(client, message)
            self.tap.on_connected(client.url)

        def ws_dial_delay(self, url: str) -> float:
            delay = float(super().ws_dial_delay(url))
            # Above 30 s it is the venue's Retry-After, which is obeyed.
            return delay if delay > 30.0 else min(delay, DIAL_S_MAX)

        def handle_message(self, client: Any, message: Any) -> None:
            if not isinstance(message, dict | list):
                raise TypeError("not a JSON object")
            event, data = _event_of(message)
            if event in _TAPPED:
                self.tap.on_message(event, data)
            else:
                super().handle_message(client, message)

        def handle_subscription_status(self, client: Any, message: Any) -> Any:
            self.tap.on_acknowledged(list(client.subscriptions))
            return super().handle_subscription_status(client, message)

        def handle_order_book_subscription(self, client: Any, message: Any, subscription: Message) -> None:
            """Do nothing: the feed fetches the snapshots, one market at a time."""

        async def keep_alive_listen_key(self, params: Any = None) -> None:
            """Do nothing: ccxt starts one such chain at every authentication and never ends it."""

    return TappedBinance


_TAPPED = frozenset(
    {
        "depthUpdate",
        "trade",
        "aggTrade",
        "markPriceUpdate",
        "forceOrder",
        "ACCOUNT_UPDATE",
        "ORDER_TRADE_UPDATE",
        "ALGO_UPDATE",
        "ACCOUNT_CONFIG_UPDATE",
        "MARGIN_CALL",
        # ccxt 4.5.90 ignores this one: the stream stays open and says nothing any more.
        "listenKeyExpired",
    }
)


def _event_of(message: Message | list[Any]) -> tuple[str, Message]:
    """The event's name and body, without the wrapper of combined streams; no name for anything else."""
    data = message.get("data", message) if isinstance(message, dict) else None
    if not isinstance(data, dict):
        return "", {}
    return str(data.get("e", "")), data


def _protect(client: Any, tap: Tap) -> None:
    """Keep ccxt's receive loop going after a frame that cannot be read; without this it stops, silently.

    Besides, tell the tap of every sign of life.
    """
    read: Callable[[str | bytes], None] = client.handle_text_or_binary_message
    take: Callable[[Any], None] = client.handle_message

    def read_or_report(frame: str | bytes) -> None:
        tap.on_frame(client.url)
        try:
            read(frame)
        except Exception as error:  # noqa: BLE001 - whatever a venue's frame makes ccxt or us raise
            tap.on_malformed(client.url, frame, error)

    def note_and_take(message: Any) -> None:
        tap.on_alive(client.url)
        take(message)

    client.handle_text_or_binary_message = read_or_report
    client.handle_message = note_and_take
