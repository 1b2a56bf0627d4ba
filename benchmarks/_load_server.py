"""A Binance USD-M that can shout: frames rendered ahead, on a schedule or as fast as they are read.

A process of its own, told what to do by lines of JSON on its standard input and answering each by one line (see
``_load.LoadServer``). It ends when its input does. REST and SUBSCRIBE are answered as the loopback venue does; the
market itself is played without a matching engine, so that the server costs microseconds a frame.

How far a client is behind is seen from outside: each socket is sent pings that carry the time, in line with its
frames, and a client answers one when it has read all that came before.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import WSMsgType, web

from adapters.simulation.assets import AssetIndex
from adapters.simulation.binance import ClientRequest, binance_urls, parse_stream
from adapters.simulation.errors import Refusal
from adapters.simulation.markets import Market
from adapters.simulation.rest_public import PublicApi
from adapters.simulation.settings import LoopbackSettings
from adapters.simulation.source import FrameKind, OpeningBook, SymbolSpec
from benchmarks._load_market import LoadMarket, make_flickering, make_markets

CHUNK_BYTES = 1 << 18
WAITING_BYTES_MAX = 4 << 20
"""So much of a blast may wait in a socket: enough that the client always finds more."""

PING_NS = 20_000_000
TICK_S = 0.001
PONGS_MAX = 200_000
"""50 a second on twenty sockets for three minutes."""

_decode_request = msgspec.json.Decoder(ClientRequest).decode


class Client:
    """One WebSocket."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.WriteTransport) -> None:
        self.socket = socket
        self.transport = transport
        self.buffer: list[bytes] = []
        self.names: set[str] = set()
        self.pinged: deque[int] = deque()
        self.carries_books = False

    def flush(self) -> None:
        if self.buffer:
            self.transport.write(b"".join(self.buffer))
            self.buffer.clear()

    def ping(self) -> None:
        """Ask for a sign of having read everything so far."""
        now = time.time_ns()
        self.pinged.append(now)
        self.buffer.append(b"\x89\x08" + struct.pack(">Q", now))


@dataclass(slots=True)
class Group:
    """Markets that send one kind of frame, one after the other, at a common rate."""

    kind: FrameKind
    markets: list[LoadMarket]
    rate: float
    burst_rate: float
    began_us: int = 0
    sent: int = 0
    now_rate: float = 0.0

    def emit(self, now_us: int, *, burst: bool) -> int:
        """Render what is due; returns how late the oldest of it is, in microseconds."""
        rate = (self.burst_rate if burst else self.rate) * len(self.markets)
        if rate != self.now_rate:
            self.began_us, self.sent, self.now_rate = now_us, 0, rate
        if not rate:
            return 0
        due = int((now_us - self.began_us) * rate / 1e6)
        late_us = now_us - int(self.began_us + self.sent / rate * 1e6) if due > self.sent else 0
        for number in range(self.sent, due):
            market = self.markets[number % len(self.markets)]
            at_us = int(self.began_us + number / rate * 1e6)
            listeners = market.listeners.get(self.kind)
            frame = render(market, self.kind, at_us)
            if listeners:
                for client in listeners:
                    client.buffer.append(frame)  # type: ignore[attr-defined]
        self.sent = max(due, self.sent)
        return late_us


def render(market: LoadMarket, kind: FrameKind, at_us: int) -> bytes:
    if kind is FrameKind.DEPTH:
        return market.depth(at_us)
    return market.trade(at_us) if kind is FrameKind.AGGREGATE_TRADE else market.mark(at_us)


@dataclass(slots=True)
class Playing:
    """What is going on, and what was noted of it."""

    groups: list[Group] = field(default_factory=list)
    bursts: list[tuple[int, int]] = field(default_factory=list)
    frames: int = 0
    late_us_max: int = 0
    spin: bool = False
    on: bool = False


class Server:
    """Everything."""

    def __init__(self) -> None:
        self.markets: list[LoadMarket] = []
        self.by_code: dict[str, LoadMarket] = {}
        self.clients: set[Client] = set()
        self.playing = Playing()
        self.pongs: deque[tuple[int, int]] = deque(maxlen=PONGS_MAX)
        self.levels = 1_000
        self.snapshots = 0
        self.answers: dict[tuple[str, str], Any] = {}
        self.runner: web.AppRunner | None = None

    # -- what it is told ---------------------------------------------------------------------------------

    async def do_open(
        self, markets: int, levels: int = 1_000, seed: int = 1, flicker: int = 0
    ) -> dict[str, Any]:
        """Listen with so many markets; the first ``flicker`` of them lose their depth and get it back."""
        self.levels = levels
        self.markets = make_markets(markets, seed, levels)
        for market in self.markets[:flicker]:
            market.template, market.step, market.flips_us = make_flickering(), 0, []
        self.by_code = {market.code.decode(): market for market in self.markets}
        self._answer_as(self._shells())
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        port = int(self.runner.addresses[0][1])
        gc.collect()
        gc.freeze()
        symbols = [f"{code.removesuffix('USDT')}/USDT:USDT" for code in self.by_code]
        return {"urls": binance_urls("127.0.0.1", port), "symbols": symbols, "pid": os.getpid()}

    async def do_play(
        self,
        rate: float,
        trades_rate: float = 0.0,
        marks_rate: float = 0.0,
        top: int = 0,
        burst_factor: float = 10.0,
        burst_after_s: float = 0.0,
        burst_for_s: float = 0.0,
        spin: bool = False,
        flicker: int = 0,
        flicker_rate: float = 20.0,
    ) -> dict[str, Any]:
        """Play on a schedule until ``stop``; the ``top`` markets after those that flicker have the burst.

        The pongs that were noted so far are forgotten.
        """
        self.pongs.clear()
        held, first, rest = (
            self.markets[:flicker],
            self.markets[flicker : flicker + top],
            self.markets[flicker + top :],
        )
        groups = []
        for kind, each in (
            (FrameKind.DEPTH, rate),
            (FrameKind.AGGREGATE_TRADE, trades_rate),
            (FrameKind.MARK_PRICE, marks_rate),
        ):
            is_bursting = kind is not FrameKind.MARK_PRICE
            for markets, has_burst in ((held, False), (first, True), (rest, False)):
                steady = flicker_rate if markets is held and kind is FrameKind.DEPTH else each
                if markets and steady:
                    factor = burst_factor if has_burst and is_bursting else 1.0
                    groups.append(Group(kind, markets, steady, steady * factor))
        now = time.time_ns()
        bursts = []
        if burst_for_s:
            begin = now + int(burst_after_s * 1e9)
            bursts.append((begin, begin + int(burst_for_s * 1e9)))
        self.playing = Playing(groups, bursts, spin=spin, on=True)
        return {"began_ns": now, "bursts_ns": bursts}

    async def do_stop(self) -> dict[str, Any]:
        """Stop playing, and wait until every client has read everything."""
        self.playing.on = False
        caught_up_s = await self._settled()
        return {
            "frames": self.playing.frames,
            "late_ms_max": self.playing.late_us_max / 1e3,
            "caught_up_s": caught_up_s,
        }

    async def do_blast(self, frames: int) -> dict[str, Any]:
        """Send so many diffs, one market after the other, as fast as they are read."""
        chunks: dict[Client, list[bytes]] = {}
        waiting: dict[Client, list[bytes]] = {}
        now_us = time.time_ns() // 1_000
        spent: dict[Client, int] = {}
        for number in range(frames):
            market = self.markets[number % len(self.markets)]
            frame = market.depth(now_us)
            for client in market.listeners.get(FrameKind.DEPTH, ()):
                assert isinstance(client, Client)
                waiting.setdefault(client, []).append(frame)
                spent[client] = spent.get(client, 0) + len(frame)
                if spent[client] >= CHUNK_BYTES:
                    chunks.setdefault(client, []).append(b"".join(waiting.pop(client)))
                    spent[client] = 0
        for client, rest in waiting.items():
            chunks.setdefault(client, []).append(b"".join(rest))
        started = time.perf_counter()
        await asyncio.gather(*(self._pour(client, parts) for client, parts in chunks.items()))
        await self._settled()
        return {"frames": frames, "seconds": time.perf_counter() - started}

    async def do_stats(self) -> dict[str, Any]:
        """Say what was sent and how far the clients are behind: (time of the ping, ms until it was answered)."""
        now = time.time_ns()
        owed = [
            (client.pinged[0], (now - client.pinged[0]) / 1e6) for client in self.clients if client.pinged
        ]
        playing = self.playing
        return {
            "now_ns": now,
            "frames": playing.frames,
            "late_ms_max": playing.late_us_max / 1e3,
            "pongs": [(sent, (back - sent) / 1e6) for sent, back in self.pongs],
            "owed": owed,
            "flips_us": {m.code.decode(): m.flips_us for m in self.markets if m.flips_us is not None},
            "clients": len(self.clients),
            "subscribed": sum(1 for market in self.markets if market.listeners.get(FrameKind.DEPTH)),
            "snapshots": self.snapshots,
        }

    async def do_truth(self, codes: list[str]) -> dict[str, Any]:
        """The books as they are now: [last id, bids, asks]."""
        return {code: [self.by_code[code].last_id, *self._book(self.by_code[code])] for code in codes}

    # -- playing -----------------------------------------------------------------------------------------

    async def play(self) -> None:
        """For ever."""
        pinged_at = 0
        while True:
            playing = self.playing
            if not playing.on:
                await asyncio.sleep(0.01)
                continue
            now = time.time_ns()
            burst = any(begin <= now < end for begin, end in playing.bursts)
            for group in playing.groups:
                before = group.sent
                late_us = group.emit(now // 1_000, burst=burst)
                playing.frames += max(group.sent - before, 0)
                playing.late_us_max = max(playing.late_us_max, late_us)
            if now - pinged_at >= PING_NS:
                pinged_at = now
                for client in self.clients:
                    if client.carries_books:
                        client.ping()
            for client in self.clients:
                client.flush()
            await asyncio.sleep(0.0 if playing.spin else TICK_S)

    async def _pour(self, client: Client, parts: list[bytes]) -> None:
        for part in parts:
            client.transport.write(part)
            while client.transport.get_write_buffer_size() > WAITING_BYTES_MAX:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.0005)

    async def _settled(self) -> float:
        """Wait until each client has answered a last ping. Seconds."""
        started = time.perf_counter()
        for client in list(self.clients):
            if client.carries_books:
                client.ping()
                client.flush()
        while any(client.pinged for client in self.clients):  # noqa: ASYNC110 - of several clients
            await asyncio.sleep(0.0005)
        return time.perf_counter() - started

    # -- what a client asks ------------------------------------------------------------------------------

    def _shells(self) -> dict[str, Market]:
        """Markets for all that REST says of them but the depth."""
        specs = [
            SymbolSpec(
                symbol=code,
                base=code.removesuffix("USDT"),
                tick=Decimal(1).scaleb(-len(market.template.touch.partition(b".")[2])),
                step=Decimal("0.001"),
            )
            for code, market in self.by_code.items()
        ]
        shells = {}
        for spec in specs:
            touch = self.by_code[spec.symbol].template.touch.decode()
            shells[spec.symbol] = Market.opened(
                spec, OpeningBook(1, 0, ((touch, "1"),), ((touch, "1"),)), time.time_ns()
            )
        return shells

    def _answer_as(self, shells: dict[str, Market]) -> None:
        api = PublicApi(shells, AssetIndex(), LoopbackSettings(), lambda: time.time_ns() // 1_000_000)
        self.answers = dict(api.routes())
        self.answers["GET", "/fapi/v1/depth"] = self._depth

    def _book(self, market: LoadMarket) -> tuple[list[Any], list[Any]]:
        return market.template.book_at(market.step)

    def _depth(self, asked: dict[str, str]) -> dict[str, Any]:
        market = self.by_code[asked["symbol"]]
        limit = min(int(asked.get("limit", "500")), self.levels)
        bids, asks = self._book(market)
        self.snapshots += 1
        at_ms = market.at_us // 1_000 or time.time_ns() // 1_000_000
        return {
            "lastUpdateId": market.last_id,
            "E": at_ms,
            "T": at_ms,
            "bids": bids[:limit],
            "asks": asks[:limit],
        }

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve(request)
        answer = self.answers.get((request.method, request.path))
        if answer is None:
            return web.json_response({"code": -5000, "msg": f"no {request.path}"}, status=404)
        try:
            body = msgspec.json.encode(answer(dict(parse_qsl(request.query_string))))
        except Refusal as refusal:
            return web.json_response({"code": refusal.code, "msg": refusal.message}, status=refusal.status)
        return web.Response(body=body, content_type="application/json")

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        assert isinstance(request.transport, asyncio.WriteTransport)
        client = Client(socket, request.transport)
        self.clients.add(client)
        try:
            async for message in socket:
                match message.type:
                    case WSMsgType.TEXT:
                        client.transport.write(_short(b"\x81", self._heard(client, message.data)))
                    case WSMsgType.PING:
                        client.transport.write(_short(b"\x8a", bytes(message.data)))
                    case WSMsgType.PONG if len(message.data) == 8 and client.pinged:
                        self._ponged(client, struct.unpack(">Q", message.data)[0])
        finally:
            self.clients.discard(client)
            for market in self.markets:
                for listeners in market.listeners.values():
                    if client in listeners:
                        listeners.remove(client)
        return socket

    def _ponged(self, client: Client, sent: int) -> None:
        now = time.time_ns()
        while client.pinged and client.pinged[0] <= sent:
            self.pongs.append((client.pinged.popleft(), now))

    def _heard(self, client: Client, text: str) -> bytes:
        request = _decode_request(text)
        for raw in request.params:
            name = msgspec.json.decode(raw)
            key = parse_stream(name)
            market = self.by_code.get(key[0]) if key is not None else None
            if key is None or market is None:
                continue
            listeners = market.listeners.setdefault(key[1], [])
            if request.method == "SUBSCRIBE" and client not in listeners:
                listeners.append(client)
                client.carries_books |= key[1] is FrameKind.DEPTH
            elif request.method == "UNSUBSCRIBE" and client in listeners:
                listeners.remove(client)
        return msgspec.json.encode({"result": None, "id": request.id})


def _short(opcode: bytes, payload: bytes) -> bytes:
    assert len(payload) < 126
    return opcode + bytes((len(payload),)) + payload


async def main() -> None:
    """Do as told, line by line, until there are no more."""
    server = Server()
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    playing = asyncio.create_task(server.play(), name="play")
    try:
        while line := await reader.readline():
            asked = json.loads(line)
            answer = await getattr(server, f"do_{asked.pop('do')}")(**asked)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        playing.cancel()
        if server.runner is not None:
            await server.runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
