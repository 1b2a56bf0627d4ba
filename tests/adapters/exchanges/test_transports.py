"""Both transports under ccxt's client, against a server that says what a test tells it to."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from adapters.exchanges.ccxt_session import Credentials, close_client, import_ccxt, make_client
from adapters.exchanges.frames import DECLINED, TAKEN
from adapters.exchanges.frames_reference import PythonFrameReader
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.transport import FRAME_BYTES_MAX, TURN_WORK_MAX, Lane, Transport, installed
from guard.units import Nanoseconds
from tests.support.certificates import authority
from tests.support.eventually import eventually
from tests.support.storm import unhandled

BOTH = pytest.mark.parametrize("transport", [Transport.PICOWS, Transport.AIOHTTP])
ATTENTION = 7


class PickyReader(PythonFrameReader):
    """Takes what begins with T, has A looked at, breaks on B, declines the rest."""

    def __init__(self) -> None:
        super().__init__("bybit")
        self.frames: list[str] = []

    def take(self, frame: str | bytes | bytearray | memoryview, received_at: Nanoseconds) -> int:
        assert received_at == 1
        text = frame if isinstance(frame, str) else bytes(frame).decode(errors="replace")
        if text.startswith("B"):
            raise RuntimeError("a reader that breaks")
        if text[:1] not in ("T", "A"):
            return DECLINED
        self.frames.append(text)
        return TAKEN if text.startswith("T") else ATTENTION


@dataclass
class RawTap:
    """Keeps what it hears."""

    reader: PickyReader = field(default_factory=PickyReader)
    attended: list[int] = field(default_factory=list)
    batches: int = 0
    declined: list[Any] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    alive: int = 0
    lost: int = 0

    def lane(self, url: str) -> Lane:
        del url
        return Lane(self.reader, lambda: 1, self.attended.append, self._taken)

    def _taken(self, url: str, at: Nanoseconds) -> None:
        assert url.startswith("ws")
        assert at == 1
        self.batches += 1

    def on_alive(self, url: str) -> None:
        del url
        self.alive += 1

    def on_frame(self, url: str) -> None: ...

    def on_connected(self, url: str) -> None: ...

    def on_lost(self, url: str) -> None:
        del url
        self.lost += 1

    def take(self, url: str, message: Any) -> bool:
        del url
        self.declined.append(message)
        return True

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None:
        del url, frame
        self.malformed.append(str(error))


@dataclass
class Server:
    """Accepts one kind of answer, and keeps the sockets."""

    url: str = ""
    refusal: web.Response | None = None
    deflate: bool = False
    first: Sequence[str] = ()
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    dawdle: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    headers: list[dict[str, str]] = field(default_factory=list)

    async def accept(self, request: web.Request) -> web.StreamResponse:
        if self.dawdle is not None:
            return await self.dawdle(request)
        self.headers.append(dict(request.headers))
        if self.refusal is not None:
            return self.refusal
        socket = web.WebSocketResponse(compress=self.deflate)
        await socket.prepare(request)
        for frame in self.first:
            await socket.send_str(frame)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.heard.append(message.data)
        return socket

    async def say(self, *frames: str) -> None:
        for frame in frames:
            await self.sockets[-1].send_str(frame)

    def say_raw(self, data: bytes) -> None:
        """Write bytes past the server's own framing."""
        writer = self.sockets[-1]._writer
        assert writer is not None
        writer.transport.write(data)


@dataclass
class Stage:
    server: Server
    tap: RawTap
    client: Any

    def watch(self) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.client.watch(self.server.url, "all", {"op": "hello"}, "all")
        return future

    @property
    def socket(self) -> Any:
        return self.client.clients[self.server.url]

    async def connected(self) -> asyncio.Future[Any]:
        before = len(self.server.heard)
        future = self.watch()
        await eventually(lambda: len(self.server.heard) > before)
        return future


@asynccontextmanager
async def staged(
    transport: Transport,
    *,
    credentials: Credentials | None = None,
    tls: ssl.SSLContext | None = None,
    **how: Any,
) -> AsyncIterator[Stage]:
    server, tap = Server(**how), RawTap()
    app = web.Application()
    app.router.add_get("/ws", server.accept)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server.url = f"{'ws' if tls is None else 'wss'}://127.0.0.1:{runner.addresses[0][1]}/ws#a"
    settings = VenueSettings(
        id="binanceusdm", symbols=["BTC/USDT:USDT"], urls={"api": {"ws": server.url}}, transport=transport
    )
    await import_ccxt("binanceusdm")
    client = make_client(settings, tap, credentials=credentials)
    client.enableRateLimit = False
    try:
        yield Stage(server, tap, client)
    finally:
        await close_client(client)
        for socket in server.sockets:
            await socket.close()
        await runner.cleanup()


def framed(payload: bytes, first_byte: int) -> bytes:
    assert len(payload) < 126
    return bytes((first_byte, len(payload))) + payload


@BOTH
async def test_frames_are_offered_raw_and_what_is_declined_goes_to_ccxt_in_order(
    transport: Transport,
) -> None:
    async with staged(transport) as stage:
        future = await stage.connected()
        await stage.server.say("T1", '{"n":1}', "A2", '{"n":2}', "T3", "plain")
        await eventually(lambda: len(stage.tap.declined) == 3)
        assert stage.tap.reader.frames == ["T1", "A2", "T3"]
        assert stage.tap.declined == [{"n": 1}, {"n": 2}, "plain"]
        assert stage.tap.attended == [ATTENTION]
        assert 1 <= stage.tap.batches <= 3
        assert not future.done()
        assert stage.server.heard == ['{"op":"hello"}']


@BOTH
async def test_a_frame_that_cannot_be_read_stops_nothing(transport: Transport) -> None:
    async with staged(transport) as stage:
        future = await stage.connected()
        await stage.server.say('{"half":', "B breaks the reader", "T1")
        await stage.server.sockets[-1].send_bytes(b"\xff\xfe\x00")
        await stage.server.say('{"n":1}')
        await eventually(lambda: stage.tap.declined)
        assert len(stage.tap.malformed) == 3
        assert stage.tap.reader.frames == ["T1"]
        assert not future.done()
        assert stage.tap.lost == 0


@BOTH
async def test_frames_in_pieces_are_put_together(transport: Transport) -> None:
    async with staged(transport) as stage:
        await stage.connected()
        stage.server.say_raw(framed(b"T whole ", 0x01) + framed(b"", 0x89) + framed(b"again", 0x80))
        stage.server.say_raw(framed(b'{"n":', 0x01) + framed(b"5}", 0x80))
        await eventually(lambda: stage.tap.declined)
        assert stage.tap.declined == [{"n": 5}]
        assert stage.tap.reader.frames == ["T whole again"]


@BOTH
async def test_compression_is_offered_unless_told_not_to_and_understood(transport: Transport) -> None:
    async with staged(transport, deflate=True) as stage:
        await stage.connected()
        assert "permessage-deflate" in stage.server.headers[0]["Sec-WebSocket-Extensions"]
        for number in range(3):
            await stage.server.say(f'{{"n":{number},"pad":"{"x" * 500}"}}', "T" * 600)
        await eventually(lambda: len(stage.tap.declined) == 3)
        assert [told["n"] for told in stage.tap.declined] == [0, 1, 2]
        assert stage.tap.reader.frames == ["T" * 600] * 3
        stage.server.say_raw(framed(b"\xff" * 8, 0xC1))
        await eventually(lambda: stage.tap.lost)


@BOTH
async def test_none_is_offered_where_it_would_only_cost(transport: Transport) -> None:
    async with staged(transport) as stage:
        stage.client.options["ws"] = {"compress": 0}
        await stage.connected()
        assert "Sec-WebSocket-Extensions" not in stage.server.headers[0]


@BOTH
async def test_a_frame_beyond_all_measure_ends_the_connection_and_nothing_is_left_unheard(
    transport: Transport,
) -> None:
    async with staged(transport) as stage:
        with unhandled() as exceptions:
            future = await stage.connected()
            stage.server.say_raw(b"\x81\x7f" + (FRAME_BYTES_MAX + 1).to_bytes(8, "big") + b"x" * 2_000)
            with pytest.raises(Exception, match=r"1006|exceeds limit"):
                await asyncio.wait_for(future, 10.0)
            assert stage.tap.lost == 1
            await eventually(lambda: stage.server.sockets[0].closed, within_s=10.0)
        assert exceptions == []


@BOTH
async def test_pings_are_answered_and_pongs_are_heard(transport: Transport) -> None:
    async with staged(transport) as stage:
        stage.client.streaming["keepAlive"] = 300
        await stage.connected()
        before = stage.tap.alive
        await eventually(lambda: stage.socket.lastPong is not None and stage.tap.alive > before)
        socket = stage.server.sockets[-1]
        await socket.ping(b"are you there")
        await eventually(lambda: stage.tap.alive > before + 1)
        assert not socket.closed


@BOTH
@pytest.mark.parametrize("abrupt", [True, False])
async def test_an_end_is_told_and_the_next_watch_dials_again(transport: Transport, abrupt: bool) -> None:
    async with staged(transport) as stage:
        future = await stage.connected()
        if abrupt:
            writer = stage.server.sockets[-1]._writer
            assert writer is not None
            writer.transport.abort()
        else:
            await stage.server.say("T last")
            closing = asyncio.create_task(stage.server.sockets[-1].close(code=1001))
        with pytest.raises(Exception, match="closing code"):
            await asyncio.wait_for(future, 5.0)
        if not abrupt:
            await closing
            assert stage.tap.reader.frames == ["T last"]
        assert stage.tap.lost == 1
        again = await stage.connected()
        await stage.server.say('{"n":9}')
        await eventually(lambda: stage.tap.declined)
        assert not again.done()


@BOTH
async def test_what_failed_is_not_listened_to_any_more(transport: Transport) -> None:
    async with staged(transport) as stage:
        future = await stage.connected()
        old = stage.server.sockets[-1]
        stage.socket.on_error(ConnectionError("enough"))
        with pytest.raises(ConnectionError, match="enough"):
            await future
        await stage.connected()
        if not old.closed:
            await old.send_str("T late")
        await stage.server.say("T1")
        await eventually(lambda: stage.tap.reader.frames)
        assert stage.tap.reader.frames == ["T1"]
        await eventually(lambda: old.closed)
        assert stage.tap.lost == 1


@BOTH
async def test_a_refusal_tells_the_embargo_for_how_long(transport: Transport) -> None:
    async with staged(transport) as stage:
        stage.server.refusal = web.Response(status=429, headers={"Retry-After": "40"}, text="slow down")
        with pytest.raises(Exception, match="429"):
            await asyncio.wait_for(stage.watch(), 5.0)
        assert 35.0 < stage.client.embargo.left_s <= 40.0
        assert stage.client.ws_dial_delay(stage.server.url) > 30.0
        again = stage.watch()
        await asyncio.sleep(0)
        assert len(stage.server.headers) == 1
        again.cancel()


@BOTH
async def test_a_dial_that_is_still_under_way_ends_with_the_client(transport: Transport) -> None:
    """ccxt forgets it: a connection that comes about later is nobody's, and is never closed."""
    asked: list[web.Request] = []
    let_in = asyncio.Event()

    async def dawdle(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        await let_in.wait()
        return web.Response(status=503)

    async with staged(transport) as stage:
        stage.server.dawdle = dawdle
        stage.watch()
        await eventually(lambda: asked)
        told = asked[0].transport
        assert told is not None
        await close_client(stage.client)

        await eventually(told.is_closing, what="the venue sees that nobody waits")
        assert [task for task in asyncio.all_tasks() if "open" in str(task.get_coro())] == []
        let_in.set()
    gc.collect()  # an unclosed transport would be told here


@BOTH
async def test_nobody_there_is_a_network_error(transport: Transport) -> None:
    async with staged(transport) as stage:
        stage.server.url = "ws://127.0.0.1:9/ws"
        with pytest.raises(Exception, match=r"Connect call failed|Cannot connect"):
            await asyncio.wait_for(stage.watch(), 5.0)


@BOTH
async def test_what_comes_with_the_handshake_is_not_lost(transport: Transport) -> None:
    async with staged(transport, first=["T early", '{"n":0}']) as stage:
        await stage.connected()
        await eventually(lambda: stage.tap.declined)
        assert stage.tap.reader.frames == ["T early"]


@BOTH
async def test_a_burst_is_taken_in_turns(transport: Transport) -> None:
    frames = 20 * TURN_WORK_MAX
    async with staged(transport) as stage:
        await stage.connected()
        taken: list[int] = []

        async def look() -> None:
            while len(stage.tap.reader.frames) < frames:
                taken.append(len(stage.tap.reader.frames))
                await asyncio.sleep(0)

        stage.server.say_raw(framed(b"T", 0x81) * frames)
        await asyncio.wait_for(look(), 20.0)
        steps = [after - before for before, after in pairwise(taken)]
        assert max(steps) <= 2 * TURN_WORK_MAX
        assert stage.tap.reader.frames == ["T"] * frames


@BOTH
async def test_over_tls_too_a_burst_is_taken_in_turns_and_a_strangers_certificate_is_refused(
    transport: Transport, tmp_path: Path
) -> None:
    signer, frames = authority(tmp_path), 10 * TURN_WORK_MAX
    pair = signer.issue("venue")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.cert, pair.key)
    async with staged(transport, tls=tls) as stage:
        with pytest.raises(Exception, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
            await asyncio.wait_for(stage.watch(), 5.0)
    async with staged(transport, tls=tls) as stage:
        stage.client.ssl_context = ssl.create_default_context(cafile=str(signer.ca))
        await stage.connected()
        stage.server.say_raw(framed(b"T", 0x81) * frames + framed(b'{"n":1}', 0x81))
        await eventually(lambda: stage.tap.declined, within_s=20.0)
        assert stage.tap.reader.frames == ["T"] * frames
        stage.socket.on_error(ConnectionError("enough"))
        await eventually(lambda: stage.server.sockets[0].closed)


async def test_accounts_keep_to_the_socket_of_ccxt() -> None:
    async with staged(Transport.PICOWS, credentials=Credentials(key="k", secret="s")) as stage:
        assert stage.client.transport is Transport.AIOHTTP


def test_what_is_installed_is_used() -> None:
    assert installed(Transport.AUTO) is Transport.PICOWS
    assert installed(Transport.AIOHTTP) is Transport.AIOHTTP
