"""Frames by picows: the socket's own callback offers each frame to the reader, with no task in between.

Only imported where picows is what carries the frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import re
import socket as sockets
import ssl
import time
import zlib
from collections import deque
from typing import Any

import aiohappyeyeballs
import aiohttp
import picows
import structlog
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from adapters.exchanges.frames import DECLINED
from adapters.exchanges.transport import (
    DECLINED_WORK,
    FRAME_BYTES_MAX,
    TURN_WORK_MAX,
    Lane,
    decline,
)

CLOSE_S = 0.5
"""How long a venue may take to answer our farewell."""

END_TURNS_MAX = 10
"""Of the loop, within which it closes a socket that has ended."""

HAPPY_EYEBALLS_S = 0.25
"""Where a name has addresses of both kinds, the next one is tried after so long (RFC 8305)."""

READ_BYTES_MAX = 128 * 1024
"""Read at once: some 200 frames of depth, 1 ms of work. Left alone, picows reads all that the kernel holds."""

BACKLOG_PAUSE = 4_096
"""Frames kept for later turns before the socket is read no further: some 0.5 s of the worst burst, 3 MB."""

_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})")
_DEFLATED_TAIL = b"\x00\x00\xff\xff"
_RSV1, _FIN = 2, 1

log = structlog.get_logger()


class HandshakeUnsupportedError(ConnectionError):
    """The venue accepted the connection in a way that picows does not take; aiohttp may."""


async def dial(socket: Any, session: Any, context: ssl.SSLContext | bool) -> Connection:
    """Connect a socket of ccxt; frames are held until ``Connection.begin``.

    Args:
        socket: ccxt's client of one address, whose proxy and headers are kept to.
        session: ccxt's aiohttp session, for its cookies.
        context: ccxt's TLS context, False to verify nothing.

    Raises:
        aiohttp.WSServerHandshakeError: the venue refused; its status and headers are what is read of it.
        HandshakeUnsupportedError: see there.
        OSError: no connection.
    """
    listener = _Listener(socket)
    opened: list[sockets.socket] = []

    async def connected(parsed: Any) -> sockets.socket:
        opened.append(await _connected(parsed))
        return opened[-1]

    compress = int(socket.options.get("compress", 15))
    # What follows # is ours only; ccxt keys its sockets by it.
    address = str(socket.url).partition("#")[0]
    try:
        transport, _ = await picows.ws_connect(
            listener.accepted,
            address,
            ssl_context=_context(context),
            disconnect_on_exception=False,
            websocket_handshake_timeout=socket.connectionTimeout / 1000 or None,
            enable_auto_pong=False,
            max_frame_size=FRAME_BYTES_MAX,
            extra_headers=_headers(socket, session, address, compress),
            proxy=socket.proxy,
            socket_factory=connected,
            read_buffer_init_size=2 * READ_BYTES_MAX,
        )
    except picows.WSHandshakeError as error:
        raise _refusal(error, address) from error
    except BaseException:
        listener.abandon()
        # picows leaves a connection whose handshake nobody waits for any more to its timeout.
        await _end(opened)
        raise
    _bound_reads(transport.underlying_transport)
    return Connection(transport, listener)


class Connection:
    """What ccxt's client needs of a connected socket, under the names that aiohttp gives it."""

    def __init__(self, transport: picows.WSTransport, listener: _Listener) -> None:
        self._transport = transport
        self._listener = listener
        self._is_closing = False

    @property
    def closed(self) -> bool:
        return self._is_closing or self._transport.is_disconnected

    def begin(self, lane: Lane | None) -> None:
        """Deliver frames from now on, and first those that came meanwhile."""
        self._listener.begin(lane)

    def mute(self) -> None:
        """Deliver nothing any more."""
        self._listener.mute()

    async def send_str(self, message: str) -> None:
        if self.closed:
            raise ConnectionError("the connection is closed")
        self._transport.send(picows.WSMsgType.TEXT, message)

    async def ping(self, message: bytes = b"") -> None:
        if self.closed:
            raise ConnectionError("the connection is closed")
        self._transport.send_ping(message)

    async def pong(self, message: bytes = b"") -> None:
        if not self.closed:
            self._transport.send_pong(message)

    async def close(self) -> None:
        """Say farewell, wait a moment for the answer, and end the connection whatever comes."""
        if self._is_closing:
            return
        self._is_closing = True
        try:
            if not self._transport.is_disconnected:
                self._transport.send_close(picows.WSCloseCode.OK)
                self._listener.resume()
                with contextlib.suppress(TimeoutError, Exception):
                    await asyncio.wait_for(self._transport.wait_disconnected(), CLOSE_S)
        finally:
            self._transport.disconnect(graceful=False)


class _Listener(picows.WSListener):
    """Takes the frames of one socket of ccxt."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._lane: Lane | None = None
        self._take = decline
        self._now = time.time_ns
        self._at = 0
        self._left = TURN_WORK_MAX
        self._any_taken = False
        # Frames that came before ``begin``, or beyond what a turn may do: at most what was read when the socket
        # was paused (BACKLOG_PAUSE), and what that read still held.
        self._backlog: deque[tuple[picows.WSMsgType, bytes, int]] = deque()
        self._is_held = True
        self._is_begun = False
        self._is_abandoned = False
        self._is_paused = False
        self._transport: picows.WSTransport | None = None
        self._looking: asyncio.Task[None] | None = None
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._parts_are_deflated = False
        self._parts_are_text = False
        self._inflate: Any = None
        self._keeps_context = True

    def accepted(self, request: Any, response: picows.WSUpgradeResponse) -> _Listener:
        """Stand in for a factory: the handshake is over."""
        del request
        if self._is_abandoned:
            raise ConnectionError("nobody waits for this connection any more")
        extension = response.headers.get("Sec-WebSocket-Extensions", "")
        if "permessage-deflate" in extension:
            self._keeps_context = "server_no_context_takeover" not in extension
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        return self

    def abandon(self) -> None:
        """Refuse a connection that comes about after all."""
        self._is_abandoned = True
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def begin(self, lane: Lane | None) -> None:
        self._lane = lane
        if lane is not None:
            self._take, self._now = lane.reader.take, lane.now
        self._is_begun = True
        self._drain()
        if self._transport is None or self._transport.is_disconnected:
            self._ended()

    def mute(self) -> None:
        self._take = decline
        self._backlog.clear()

    # Called by picows

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        # What ended it is kept by picows in a future, which complains where nobody looks at it.
        self._looking = asyncio.get_running_loop().create_task(
            _look_at_end(transport), name="end of a socket"
        )
        if self._is_begun:
            self._ended()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        del transport
        if self._is_held:
            self._hold(frame)
            return
        left = self._left
        if left == TURN_WORK_MAX:
            self._at = self._now()
        try:
            # A first piece is never offered; a last one, or a compressed frame, is nothing that a reader takes.
            index = self._take(frame.get_payload_as_memoryview(), self._at) if frame.fin else DECLINED
            if index == DECLINED:
                left -= DECLINED_WORK
                flags = frame.rsv1 * _RSV1 + frame.fin
                self._hand_on(frame.msg_type, frame.get_payload_as_bytes(), flags)
            else:
                left -= 1
                self._any_taken = True
                if index >= 0:
                    self._attend(index)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends nothing but this frame
            self._report(frame.get_payload_as_bytes(), error)
        if frame.last_in_buffer:
            self._end_turn()
        else:
            self._left = left
            if left <= 0:
                self._is_held = True
                asyncio.get_running_loop().call_soon(self._drain)

    # One turn's work

    def _hold(self, frame: picows.WSFrame) -> None:
        self._backlog.append((frame.msg_type, frame.get_payload_as_bytes(), frame.rsv1 * _RSV1 + frame.fin))
        if len(self._backlog) == BACKLOG_PAUSE and self._transport is not None:
            self._is_paused = True
            self._transport.underlying_transport.pause_reading()

    def _drain(self) -> None:
        """Take what waits, as much as a turn may, then let others run."""
        self._end_turn()
        if not self._is_begun:
            return
        left, self._at = TURN_WORK_MAX, self._now()
        while self._backlog and left > 0:
            kind, payload, flags = self._backlog.popleft()
            left -= self._take_whole(kind, payload, flags)
        self._end_turn()
        if self._backlog:
            asyncio.get_running_loop().call_soon(self._drain)
            return
        self._is_held = False
        self.resume()

    def _take_whole(self, kind: picows.WSMsgType, payload: bytes, flags: int) -> int:
        try:
            index = self._take(payload, self._at) if flags & _FIN else DECLINED
            if index == DECLINED:
                self._hand_on(kind, payload, flags)
                return DECLINED_WORK
            self._any_taken = True
            if index >= 0:
                self._attend(index)
        except Exception as error:  # noqa: BLE001 - as above
            self._report(payload, error)
        return 1

    def _end_turn(self) -> None:
        self._left = TURN_WORK_MAX
        if self._any_taken and self._lane is not None:
            self._any_taken = False
            self._lane.on_taken(self._socket.url, self._at)

    def _attend(self, index: int) -> None:
        if self._lane is not None:
            self._lane.on_attention(index)

    def _report(self, payload: bytes, error: Exception) -> None:
        self._socket.tap.on_malformed(self._socket.url, payload, error)

    def resume(self) -> None:
        """Read on, if the socket was paused."""
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            with contextlib.suppress(RuntimeError):  # it is closing
                self._transport.underlying_transport.resume_reading()

    # What the reader declined

    def _hand_on(self, kind: picows.WSMsgType, payload: bytes, flags: int) -> None:
        socket = self._socket
        if socket.is_deaf:
            return
        match kind:
            case picows.WSMsgType.TEXT | picows.WSMsgType.BINARY | picows.WSMsgType.CONTINUATION:
                self._hand_on_data(kind, payload, flags)
            case picows.WSMsgType.PING:
                socket.tap.on_alive(socket.url)
                if self._transport is not None and not self._transport.is_disconnected:
                    self._transport.send_pong(payload)
            case picows.WSMsgType.PONG:
                self._hand_message(aiohttp.WSMsgType.PONG, payload)
            case picows.WSMsgType.CLOSE:
                self._hand_message(aiohttp.WSMsgType.CLOSE, int.from_bytes(payload[:2], "big") or 1005)

    def _hand_on_data(self, kind: picows.WSMsgType, payload: bytes, flags: int) -> None:
        if kind is picows.WSMsgType.CONTINUATION:
            if not self._parts:
                self._socket.fail(ConnectionError("a fragment came without a beginning"))
                return
        elif self._parts:
            self._socket.fail(ConnectionError("a frame came within the fragments of another"))
            return
        elif flags == _FIN:
            self._deliver(payload, is_text=kind is picows.WSMsgType.TEXT)
            return
        else:
            self._parts_are_deflated = bool(flags & _RSV1)
            self._parts_are_text = kind is picows.WSMsgType.TEXT
            self._parts_bytes = 0
        self._parts.append(payload)
        self._parts_bytes += len(payload)
        if self._parts_bytes > FRAME_BYTES_MAX:
            self._socket.fail(ConnectionError(f"a message is larger than {FRAME_BYTES_MAX} bytes"))
        elif flags & _FIN:
            self._deliver_parts()

    def _deliver_parts(self) -> None:
        payload = b"".join(self._parts)
        self._parts.clear()
        if self._parts_are_deflated:
            try:
                payload = self._inflated(payload)
            except (zlib.error, ValueError, AttributeError) as error:
                # What follows depends on it: this connection is of no use any more.
                self._socket.fail(ConnectionError(f"a compressed frame cannot be read: {error}"))
                return
        index = self._take(payload, self._at)
        if index == DECLINED:
            self._deliver(payload, is_text=self._parts_are_text)
            return
        self._any_taken = True
        if index >= 0:
            self._attend(index)

    def _inflated(self, payload: bytes) -> bytes:
        inflate = self._inflate
        if inflate is None:
            raise ValueError("compression was not agreed on")
        inflated: bytes = inflate.decompress(payload + _DEFLATED_TAIL, FRAME_BYTES_MAX)
        if inflate.eof:
            raise ValueError("its stream has ended")
        if inflate.unconsumed_tail:
            raise ValueError(f"it is larger than {FRAME_BYTES_MAX} bytes")
        if not self._keeps_context:
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        return inflated

    def _deliver(self, payload: bytes, *, is_text: bool) -> None:
        if not is_text:
            self._hand_message(aiohttp.WSMsgType.BINARY, payload)
            return
        try:
            text = payload.decode()
        except UnicodeDecodeError as error:
            self._report(payload, error)
            return
        self._hand_message(aiohttp.WSMsgType.TEXT, text)

    def _hand_message(self, kind: aiohttp.WSMsgType, data: str | bytes | int) -> None:
        self._socket.handle_message(aiohttp.WSMessage(kind, data, None))

    def _ended(self) -> None:
        """The connection is gone; ccxt hears of it unless it was ccxt that ended it."""
        while self._backlog:
            kind, payload, flags = self._backlog.popleft()
            self._take_whole(kind, payload, flags)
        self._end_turn()
        if not self._socket.is_deaf:
            self._socket.on_close(1006)


async def _look_at_end(transport: picows.WSTransport) -> None:
    with contextlib.suppress(Exception):
        await transport.wait_disconnected()


class _BoundedReads(asyncio.BufferedProtocol):
    """Stands between a transport and picows, and offers less room to read into."""

    def __init__(self, inner: Any) -> None:
        self._get_buffer = inner.get_buffer
        # What needs nothing of this goes straight to picows.
        for name in ("buffer_updated", "eof_received", "connection_lost", "pause_writing", "resume_writing"):
            setattr(self, name, getattr(inner, name))

    def get_buffer(self, sizehint: int) -> Any:
        return self._get_buffer(sizehint)[:READ_BYTES_MAX]


def _bound_reads(transport: asyncio.Transport) -> None:
    transport.set_protocol(_BoundedReads(transport.get_protocol()))


def _headers(socket: Any, session: Any, address: str, compress: int) -> list[tuple[str, str]]:
    headers = [(str(name), str(value)) for name, value in (socket.options.get("headers") or {}).items()]
    cookies = session.cookie_jar.filter_cookies(URL(address.replace("ws", "http", 1)))
    own = socket.options.get("cookies") or {}
    told = [f"{name}={cookie.value}" for name, cookie in cookies.items()]
    told += [f"{name}={value}" for name, value in own.items()]
    if told:
        headers.append(("Cookie", "; ".join(told)))
    named = {name.lower() for name, _ in headers}
    # What aiohttp says besides: some gateways refuse who names no agent.
    headers += [
        (name, value)
        for name, value in (("Accept", "*/*"), ("User-Agent", aiohttp.http.SERVER_SOFTWARE))
        if name.lower() not in named
    ]
    if compress:
        headers.append(("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"))
    return headers


def _context(context: ssl.SSLContext | bool) -> ssl.SSLContext | None:
    if isinstance(context, ssl.SSLContext):
        return context
    if context:
        return None
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    return unverified


async def _connected(parsed: Any) -> sockets.socket:
    """Connect to whichever address of a name answers first, as aiohttp does."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(parsed.host, parsed.port, type=sockets.SOCK_STREAM)
    return await aiohappyeyeballs.start_connection(
        found, happy_eyeballs_delay=HAPPY_EYEBALLS_S, interleave=1, loop=loop
    )


async def _end(opened: list[sockets.socket]) -> None:
    """Make the loop see the end of what was opened, and give it the turns that it needs to close it."""
    for each in opened:
        with contextlib.suppress(OSError):
            each.shutdown(sockets.SHUT_RDWR)
    for _ in range(END_TURNS_MAX):
        if all(each.fileno() == -1 for each in opened):
            return
        await asyncio.sleep(0)


def _refusal(error: picows.WSHandshakeError, address: str) -> Exception:
    """What aiohttp would have raised."""
    told = _STATUS.match(error.raw_header or b"")
    status = int(told.group(1)) if told else 0
    if status == http.HTTPStatus.SWITCHING_PROTOCOLS:
        return HandshakeUnsupportedError(f"{address}: {error}")
    url = URL(address)
    headers = CIMultiDict[str]() if error.response is None else error.response.headers
    return aiohttp.WSServerHandshakeError(
        aiohttp.RequestInfo(url, "GET", CIMultiDictProxy(CIMultiDict[str]()), url),
        (),
        message="Invalid response status",
        status=status,
        headers=headers,
    )
