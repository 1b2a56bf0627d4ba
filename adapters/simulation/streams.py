"""WebSocket side of the venue: connections, their subscriptions, and delivery in order without loss."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable

import structlog
from aiohttp import WSMsgType, web

_log = structlog.get_logger()

Key = Hashable
"""What a dialect files a subscription under."""


class Connection:
    """One client: what it subscribed to and what waits for it."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.BaseTransport | None) -> None:
        self.socket = socket
        self._transport = transport
        self._finishing = False
        self.progress_s = _now_s()
        """When a frame last went out, or first had to wait; seconds of the event loop."""
        self.combined = False
        """Whether frames go out in Binance's envelope that names their stream."""
        self.names: dict[str, Key | None] = {}
        self.account: str | None = None
        # Bounded by the market loop, which waits when client_frames_max (4,000) are here: at 500 bytes a
        # frame that is 2 MB for each client, 10 to 60 s of a busy market. Account events are few and never wait.
        self._waiting: deque[bytes] = deque()
        self._work = asyncio.Event()
        self.drained = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, text: bytes) -> None:
        if not self._waiting:
            self.progress_s = _now_s()
        self._waiting.append(text)
        self._work.set()

    def finish(self) -> None:
        """Close once everything that waits is sent."""
        self._finishing = True
        self._work.set()

    async def deliver(self) -> None:
        """Send what waits, in order, until cancelled or the client is gone."""
        while True:
            while self._waiting:
                # Awaits while the client's TCP window is full: this is the backpressure.
                await self.socket.send_frame(self._waiting.popleft(), WSMsgType.TEXT)
                self.progress_s = _now_s()
            self.drained.set()
            if self._finishing:
                await self.socket.close()
                return
            self._work.clear()
            await self._work.wait()

    def abort(self) -> None:
        """Cut the line without a word."""
        self._waiting.clear()
        self.drained.set()
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()


class Hub:
    """All connections, and who gets what."""

    def __init__(self, *, frames_max: int, slow_client_s: float) -> None:
        self.connections: set[Connection] = set()
        self.silent = False
        self.pongs = True
        self._frames_max = frames_max
        self._slow_client_s = slow_client_s
        self._subscribers: dict[Key, dict[Connection, list[str]]] = {}

    def listeners(self, key: Key) -> dict[Connection, list[str]]:
        """Who subscribed to this, and under which names."""
        return self._subscribers.get(key, {})

    def send(self, connection: Connection, frame: bytes) -> None:
        """Queue a frame of the market or of an account for one client: the way of everything but answers."""
        if not self.silent:
            connection.push(frame)

    def tell(self, account: str, event: bytes) -> None:
        """Queue a user-data event for the owner of an account."""
        for connection in self.connections:
            if connection.account == account:
                self.send(connection, event)

    async def room(self) -> None:
        """Wait until no client has too much waiting; drop one that reads nothing for too long."""
        for connection in [c for c in self.connections if len(c) >= self._frames_max]:
            await self._drain(connection)

    async def drained(self) -> None:
        """Wait until every client was sent everything."""
        for connection in [c for c in self.connections if len(c)]:
            await self._drain(connection)

    async def _drain(self, connection: Connection) -> None:
        """Wait for one client as long as it takes anything at all.

        One that stands still (a stopped process) has usually stood for long by the time its queue is
        full: it is dropped at once then, and does not stop the market for the others.
        """
        connection.drained.clear()
        while not connection.drained.is_set():
            patience_s = connection.progress_s + self._slow_client_s - _now_s()
            if patience_s <= 0.0:
                _log.warning("client reads nothing: dropped", frames_waiting=len(connection))
                connection.abort()
                return
            try:
                async with asyncio.timeout(patience_s):
                    await connection.drained.wait()
            except TimeoutError:
                continue

    @property
    def is_crowded(self) -> bool:
        return any(len(connection) >= self._frames_max for connection in self.connections)

    def subscribe(self, connection: Connection, name: str, key: Key | None) -> None:
        """File a subscription; one with no key is taken note of, and nothing ever comes of it."""
        if name in connection.names:
            return
        connection.names[name] = key
        if key is not None:
            self._subscribers.setdefault(key, {}).setdefault(connection, []).append(name)

    def unsubscribe(self, connection: Connection, name: str) -> None:
        key = connection.names.pop(name, None)
        if key is None:
            return
        names = self._subscribers[key][connection]
        names.remove(name)
        if not names:
            del self._subscribers[key][connection]

    async def serve(
        self, connection: Connection, request: web.Request, hear: Callable[[Connection, str], None]
    ) -> None:
        """Carry a connection until it ends; ``hear`` takes what the client says."""
        # Known before the client hears that it is connected: it misses nothing from then on.
        self.connections.add(connection)
        try:
            await connection.socket.prepare(request)
            async with asyncio.TaskGroup() as group:
                delivery = group.create_task(_deliver(connection), name="venue-deliver")
                async for message in connection.socket:
                    if message.type is WSMsgType.TEXT:
                        hear(connection, message.data)
                    elif message.type is WSMsgType.PING and self.pongs:
                        await connection.socket.pong(message.data)
                delivery.cancel()
        except* ConnectionError:
            pass  # the client went away while we wrote: the usual end of a connection
        finally:
            self.connections.discard(connection)
            for name in list(connection.names):
                self.unsubscribe(connection, name)
            connection.drained.set()


async def _deliver(connection: Connection) -> None:
    try:
        await connection.deliver()
    except ConnectionError:
        connection.abort()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
