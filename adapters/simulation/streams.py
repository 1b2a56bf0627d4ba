"""WebSocket side of the venue: connections, their subscriptions, and delivery in order without loss."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from itertools import count

import structlog
from aiohttp import WSMsgType, web

from adapters.simulation.misbehaviour.switchboard import ANSWER, PONG, Mark, Misbehaviour, Outgoing

HELD_S = 0.5
"""A frame that is to come after its successor waits for one so long."""

_log = structlog.get_logger()

Key = Hashable
"""What a dialect files a subscription under."""


class Connection:
    """One client: what it subscribed to and what waits for it. Every frame to it goes through ``push``."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.BaseTransport | None,
        faults: Misbehaviour,
        number: int = 0,
    ) -> None:
        self.socket = socket
        self.number = number
        """In the order of their opening."""
        self._transport = transport
        self._faults = faults
        self._finishing = False
        self.progress_s = _now_s()
        """When a frame last went out, or first had to wait; seconds of the event loop."""
        self.combined = False
        """Whether frames go out in Binance's envelope that names their stream."""
        self.names: dict[str, Key | None] = {}
        self.account: str | None = None
        # Bounded by the market loop, which waits when client_frames_max (4,000) are here: at 500 bytes a
        # frame that is 2 MB for each client, 10 to 60 s of a busy market. Account events are few and never wait.
        self._waiting: deque[Outgoing] = deque()
        self._ready_at_s = 0.0
        # One for each stream of each symbol at most.
        self._held: dict[tuple[str, str], tuple[bytes, asyncio.TimerHandle]] = {}
        self._work = asyncio.Event()
        self.drained = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, text: bytes, mark: Mark = ANSWER) -> None:
        """Queue a frame, or what the faults of the venue make of it."""
        if not self._faults.touches_frames:
            self._queue(Outgoing(text, self._ready_at_s))
        else:
            treated = self._faults.treated(text, mark, self._ready_at_s)
            if treated is None:
                self._hold(text, mark)
                return
            for outgoing in treated:
                self._queue(outgoing)
        if self._held:
            self._release((mark.stream, mark.symbol))

    def pong(self, text: bytes) -> None:
        """Answer a ping that was a text: faults treat it as the protocol's own pongs."""
        self.push(text, PONG)

    def _queue(self, outgoing: Outgoing) -> None:
        if not self._waiting:
            self.progress_s = _now_s()
        self._ready_at_s = outgoing.ready_at_s
        self._waiting.append(outgoing)
        self._work.set()

    def _hold(self, text: bytes, mark: Mark) -> None:
        """Keep a frame back until the next of its kind has gone; one that is kept already goes after this one."""
        key = (mark.stream, mark.symbol)
        if key in self._held:
            self._queue(Outgoing(text, self._ready_at_s))
            self._release(key)
            return
        self._held[key] = (text, asyncio.get_running_loop().call_later(HELD_S, self._release, key))

    def _release(self, key: tuple[str, str]) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            held[1].cancel()
            self._queue(Outgoing(held[0], self._ready_at_s))

    def finish(self) -> None:
        """Close once everything that waits is sent."""
        for key in list(self._held):
            self._release(key)
        self._finishing = True
        self._work.set()

    async def deliver(self) -> None:
        """Send what waits, in order, until cancelled or the client is gone."""
        while True:
            while self._waiting:
                payload, ready_at_s, binary = self._waiting[0]
                if ready_at_s > (now_s := _now_s()):
                    self.progress_s = ready_at_s
                    await asyncio.sleep(ready_at_s - now_s)
                    continue
                self._waiting.popleft()
                # Awaits while the client's TCP window is full: this is the backpressure.
                await self.socket.send_frame(payload, WSMsgType.BINARY if binary else WSMsgType.TEXT)
                self.progress_s = _now_s()
            self.drained.set()
            if self._finishing:
                await self.socket.close()
                return
            self._work.clear()
            await self._work.wait()

    def abort(self) -> None:
        """Cut the line without a word."""
        for _, timer in self._held.values():
            timer.cancel()
        self._held.clear()
        self._waiting.clear()
        self.drained.set()
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()


class Hub:
    """All connections, and who gets what."""

    def __init__(self, *, frames_max: int, slow_client_s: float) -> None:
        self.connections: set[Connection] = set()
        self._faults: Misbehaviour | None = None
        self._mark = ANSWER
        self._serials = count(1)
        self._numbers = count(1)
        self._frames_max = frames_max
        self._slow_client_s = slow_client_s
        self._subscribers: dict[Key, dict[Connection, list[str]]] = {}

    def misbehaves(self, faults: Misbehaviour) -> None:
        """Send everything from now on as these faults have it."""
        self._faults = faults

    def connection(
        self, socket: web.WebSocketResponse, transport: asyncio.BaseTransport | None
    ) -> Connection:
        """Make a connection of a socket that is about to open."""
        if self._faults is None:
            raise RuntimeError("call misbehaves first")
        return Connection(socket, transport, self._faults, next(self._numbers))

    @contextmanager
    def event(self, stream: str, symbol: str = "", account: str | None = None) -> Iterator[None]:
        """Say what is sent within: one event of the market or of an account, whoever it goes to."""
        before, self._mark = self._mark, Mark(stream, symbol, account, next(self._serials))
        try:
            yield
        finally:
            self._mark = before

    def listeners(self, key: Key) -> dict[Connection, list[str]]:
        """Who subscribed to this, and under which names."""
        return self._subscribers.get(key, {})

    def send(self, connection: Connection, frame: bytes) -> None:
        """Queue a frame of the market or of an account for one client: the way of everything but answers."""
        connection.push(frame, self._mark)

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
        if not len(connection):
            return  # it was sent everything while another one was waited for
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
                        if self._faults is None or self._faults.hears(connection.account):
                            hear(connection, message.data)
                    elif message.type is WSMsgType.PING and self._answers(connection):
                        await connection.socket.pong(message.data)
                delivery.cancel()
        except* ConnectionError:
            pass  # the client went away while we wrote: the usual end of a connection
        finally:
            self.connections.discard(connection)
            for name in list(connection.names):
                self.unsubscribe(connection, name)
            connection.drained.set()

    def _answers(self, connection: Connection) -> bool:
        return self._faults is None or self._faults.answers_pings(connection.account)


async def _deliver(connection: Connection) -> None:
    try:
        await connection.deliver()
    except ConnectionError:
        connection.abort()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
