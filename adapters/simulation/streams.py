"""WebSocket side of the venue: connections, their subscriptions, and delivery in order without loss."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec
import structlog
from aiohttp import WSMsgType, web

from adapters.simulation.source import FrameKind
from adapters.simulation.wire import encode

EVERY_SYMBOL = "!"

_log = structlog.get_logger()

Key = tuple[str, FrameKind]

_KINDS = {
    kind.lower(): kind
    for kind in FrameKind
    if kind is not FrameKind.OPEN_INTEREST  # a feed of the venue's own, not a stream
}


class ClientRequest(msgspec.Struct):
    """SUBSCRIBE and its kin."""

    method: str = ""
    params: list[msgspec.Raw] = msgspec.field(default_factory=list)
    id: int | str | None = None


_decode_request = msgspec.json.Decoder(ClientRequest).decode


def parse_stream(name: str) -> Key | None:
    """What a stream name stands for; None if this venue has no such stream.

    Any rate of depth diffs is the same stream here, for the source has only one.

    >>> parse_stream("btcusdt@depth@0ms")
    ('BTCUSDT', <FrameKind.DEPTH: 'depth'>)
    >>> parse_stream("!forceOrder@arr")
    ('!', <FrameKind.FORCED_ORDER: 'forceOrder'>)
    """
    if name.startswith(EVERY_SYMBOL):
        symbol, channel = EVERY_SYMBOL, name[1:].partition("@")[0]
    else:
        symbol, _, rest = name.partition("@")
        channel = rest.partition("@")[0]
    kind = _KINDS.get(channel.lower())
    return None if kind is None else (symbol.upper(), kind)


class Connection:
    """One client: what it subscribed to and what waits for it."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.BaseTransport | None, *, combined: bool
    ) -> None:
        self.socket = socket
        self._transport = transport
        self._finishing = False
        self.progress_s = _now_s()
        """When a frame last went out, or first had to wait; seconds of the event loop."""
        self.combined = combined
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

    def has_subscribers(self, symbol: str, kind: FrameKind) -> bool:
        return bool(self._subscribers.get((symbol, kind)) or self._subscribers.get((EVERY_SYMBOL, kind)))

    def publish(self, symbol: str, kind: FrameKind, payload: bytes) -> None:
        """Queue a frame for everyone who subscribed to it."""
        if self.silent:
            return
        for key in ((symbol, kind), (EVERY_SYMBOL, kind)):
            for connection, names in self._subscribers.get(key, {}).items():
                for name in names:
                    # Of the all-market streams only the marks come as an array.
                    body = b"[%s]" % payload if "markPrice@arr" in name else payload
                    if connection.combined:
                        body = b'{"stream":"%s","data":%s}' % (name.encode(), body)
                    connection.push(body)

    def tell(self, account: str, event: bytes) -> None:
        """Queue a user-data event for the owner of an account."""
        if self.silent:
            return
        for connection in self.connections:
            if connection.account == account:
                connection.push(event)

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

    def subscribe(self, connection: Connection, name: str) -> None:
        if name in connection.names:
            return
        key = parse_stream(name)
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

    async def serve(self, connection: Connection, request: web.Request) -> None:
        """Carry a connection until it ends."""
        # Known before the client hears that it is connected: it misses nothing from then on.
        self.connections.add(connection)
        try:
            await connection.socket.prepare(request)
            async with asyncio.TaskGroup() as group:
                delivery = group.create_task(_deliver(connection), name="venue-deliver")
                async for message in connection.socket:
                    if message.type is WSMsgType.TEXT:
                        connection.push(self._answer(connection, message.data))
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

    def _answer(self, connection: Connection, text: str) -> bytes:
        try:
            request = _decode_request(text)
            names = [msgspec.json.decode(parameter) for parameter in request.params]
        except msgspec.MsgspecError as error:
            return encode({"error": {"code": 2, "msg": f"Invalid request: {error}"}, "id": None})
        match request.method:
            case "SUBSCRIBE" | "UNSUBSCRIBE" if all(isinstance(name, str) for name in names):
                change = self.subscribe if request.method == "SUBSCRIBE" else self.unsubscribe
                for name in names:
                    change(connection, name)
                result: object = None
            case "LIST_SUBSCRIPTIONS":
                result = list(connection.names)
            case "SET_PROPERTY" if len(names) == 2 and names[0] == "combined":
                connection.combined, result = bool(names[1]), None
            case "GET_PROPERTY":
                result = connection.combined
            case _:
                problem = f"Invalid request: unknown method or parameters {request.method!r}"
                return encode({"error": {"code": 2, "msg": problem}, "id": request.id})
        return encode({"result": result, "id": request.id})


async def _deliver(connection: Connection) -> None:
    try:
        await connection.deliver()
    except ConnectionError:
        connection.abort()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
