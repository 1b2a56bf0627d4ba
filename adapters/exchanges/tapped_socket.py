"""ccxt's client of one WebSocket address, with another way in for frames; all else of it is ccxt's own.

Loaded with ccxt, which takes its time: see ``socket_class``.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import structlog

from adapters.exchanges.transport import Transport, lane_of

log = structlog.get_logger()


@functools.cache
def socket_class() -> type[Any]:
    """Return the class; ccxt is imported already."""
    from ccxt.async_support.base.ws import client  # noqa: PLC0415 - see above

    # Earlier versions, and those of aiohttp, know of none.
    overhead = getattr(client, "MSG_SIZE_OVERHEAD", 0)
    return type("TappedSocket", (_TappedSocket, client.Client), {"FRAME_OVERHEAD": overhead})


class _TappedSocket:
    """Goes before ccxt's class, whose methods it calls by ``super()``."""

    FRAME_OVERHEAD: int
    """What aiohttp counts for a frame that waits besides its size."""
    url: str
    connection: Any
    asyncio_loop: Any
    closed: Callable[[], bool]
    tap: Any
    exchange: Any
    is_deaf: bool
    """Whether what still comes is not listened to any more: it failed, or was closed."""
    receiving: asyncio.Task[None] | None
    dialing: asyncio.Task[Any] | None
    """What ccxt starts and forgets: a connection that came about after the end would be nobody's."""

    def attach(self, exchange: Any) -> None:
        """Stand in for a constructor: ccxt has made it."""
        self.exchange, self.tap = exchange, exchange.tap
        self.is_deaf = False
        self.receiving = self.dialing = None

    async def open(self, session: Any, backoff_delay: float = 0) -> None:
        self.dialing = asyncio.current_task()
        try:
            if not self.is_deaf:
                await super().open(session, backoff_delay)  # type: ignore[misc]  # ccxt is untyped
        finally:
            self.dialing = None

    def create_connection(self, session: Any) -> Any:
        # No dial is let through that was waiting when the venue asked for no requests.
        self.exchange.check_embargo()
        if self._transport() is Transport.AIOHTTP:
            return super().create_connection(session)  # type: ignore[misc]  # ccxt is untyped
        return self._dial_by_picows(session)

    def _transport(self) -> Transport:
        exchange = self.exchange
        _, _, socks = exchange.check_ws_proxy_settings()
        # What aiohttp does by a session of its own, or reads from the environment, is left to it.
        if socks or exchange.aiohttp_trust_env:
            return Transport.AIOHTTP
        transport: Transport = exchange.transport
        return transport

    async def _dial_by_picows(self, session: Any) -> Any:
        from adapters.exchanges import transport_picows  # noqa: PLC0415 - it need not be installed

        try:
            return await transport_picows.dial(self, session, self.exchange.ssl_context)
        except transport_picows.HandshakeUnsupportedError as error:
            log.warning("connecting by aiohttp from now on", venue=self.exchange.id, detail=str(error))
            self.exchange.transport = Transport.AIOHTTP
            raise

    def receive_loop(self) -> None:
        """Called by ccxt once, when the socket has opened."""
        if self.is_deaf:
            return
        if self.closed():
            self.on_close(1006)
            return
        lane = lane_of(self.tap, self.url)
        if hasattr(self.connection, "begin"):
            self.connection.begin(lane)
        else:
            from adapters.exchanges import transport_aiohttp  # noqa: PLC0415 - imports aiohttp, as ccxt does later

            self.receiving = self.asyncio_loop.create_task(
                transport_aiohttp.receive(self, lane), name=f"frames of {self.url}"
            )

    # What is declined raw; ccxt hears of it here

    def handle_text_or_binary_message(self, frame: str | bytes) -> None:
        self.tap.on_frame(self.url)
        try:
            super().handle_text_or_binary_message(frame)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - whatever a venue's frame makes ccxt or us raise
            self.tap.on_malformed(self.url, frame, error)

    def handle_message(self, message: Any) -> None:
        self.tap.on_alive(self.url)
        try:
            super().handle_message(message)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - a frame that cannot even be unpacked
            self.tap.on_malformed(self.url, "", error)

    # How it ends

    def on_error(self, error: Any) -> None:
        self._mute()
        super().on_error(error)  # type: ignore[misc]

    def on_close(self, code: int) -> None:
        self._mute()
        super().on_close(code)  # type: ignore[misc]

    async def close(self, code: int = 1000) -> None:
        self._mute()
        dialing = self.dialing
        if dialing is not None and dialing is not asyncio.current_task():
            dialing.cancel()
            await asyncio.wait([dialing])
        await super().close(code)  # type: ignore[misc]

    def fail(self, error: Exception) -> None:
        """Call it lost, as ccxt does."""
        from ccxt.base.errors import NetworkError  # noqa: PLC0415 - loaded with the first client

        failure: Exception = NetworkError(f"{type(error).__name__}: {error}")
        self.on_error(failure)

    def _mute(self) -> None:
        self.is_deaf = True
        if hasattr(self.connection, "mute"):
            self.connection.mute()
