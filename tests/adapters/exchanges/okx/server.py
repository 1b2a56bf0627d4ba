"""A local server that speaks OKX's documented frames, acknowledgements and refusals, for the real ccxt.pro."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web

from tests.adapters.exchanges.okx.payloads import fixture

KEY, SECRET, PASSPHRASE = "key-of-okx", "secret-of-okx", "passphrase-of-okx"
BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"

Topic = tuple[str, str]
"""A channel and its instrument, or "" where the channel has none."""

_ANSWERS = {
    "/api/v5/public/instruments": "instruments",
    "/api/v5/market/tickers": "tickers_rest",
    "/api/v5/market/books": "books_rest",
    "/api/v5/public/mark-price": "mark_price",
    "/api/v5/public/funding-rate": "funding_rate",
    "/api/v5/public/open-interest": "open_interest",
    "/api/v5/public/position-tiers": "position_tiers",
    "/api/v5/public/discount-rate-interest-free-quota": "discount_rate",
    "/api/v5/market/index-tickers": "index_tickers_rest",
    "/api/v5/account/config": "account_config",
    "/api/v5/account/balance": "balance",
    "/api/v5/account/positions": "positions",
    "/api/v5/trade/orders-pending": "orders_pending",
    "/api/v5/trade/orders-algo-pending": "orders_algo_pending",
}


class Socket:
    """One WebSocket of a client."""

    def __init__(self, socket: web.WebSocketResponse, path: str, opened_s: float) -> None:
        self.socket = socket
        self.path = path
        self.opened_s = opened_s
        self.topics: dict[Topic, dict[str, str]] = {}
        self.heard: list[tuple[str, list[Topic]]] = []
        """Operations and what they were about, in order."""

    @property
    def channels(self) -> set[str]:
        return {channel for channel, _ in self.topics}


class OkxServer:
    """Use as an async context manager. ``answers`` and ``begins`` may be changed before clients come."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {path: fixture(name) for path, name in _ANSWERS.items()}
        self.answers["/api/v5/public/time"] = {"code": "0", "msg": "", "data": [{"ts": ""}]}
        self.begins: dict[str, Any] = {}
        """The frame with which a channel begins, by channel; its ``arg`` and ``instId`` are filled in."""
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.sockets: list[Socket] = []
        self.closed: list[Socket] = []
        self.opened: list[Socket] = []
        self.refuse_channel: str | None = None
        self.refuse_code: str | None = None
        self._app = web.Application()
        self._app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(self._app, shutdown_timeout=0.5)
        self.port = 0

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in list(self.sockets):
            await each.socket.close()
        await self._runner.cleanup()

    def urls(self) -> dict[str, Any]:
        return {
            "api": {
                "rest": f"http://127.0.0.1:{self.port}",
                "ws": f"ws://127.0.0.1:{self.port}/ws/v5",
            }
        }

    def socket_of(self, channel: str) -> Socket | None:
        return next((each for each in self.sockets if channel in each.channels), None)

    async def say(self, message: Any) -> None:
        """Send a frame to everyone who subscribed to its ``arg``."""
        argument = message["arg"]
        topic = (argument["channel"], argument.get("instId", ""))
        for each in list(self.sockets):
            if topic in each.topics:
                await each.socket.send_json(message)

    async def say_text(self, channel: str, text: str) -> None:
        """Send anything on the socket that carries a channel."""
        socket = self.socket_of(channel)
        assert socket is not None
        await socket.socket.send_str(text)

    # -- inside --------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve(request)
        self.asked.append((request.path, dict(request.query)))
        answer = self.answers.get(request.path)
        if answer is None:
            return web.json_response({"code": "404", "msg": "no such path", "data": []}, status=404)
        private = request.path.startswith(("/api/v5/account", "/api/v5/trade"))
        if private and not _is_signed(request):
            return web.json_response({"msg": "Invalid Sign", "code": "50113"}, status=401)
        return web.json_response(_answered(request, answer))

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        each = Socket(socket, request.path, _now_s())
        self.sockets.append(each)
        self.opened.append(each)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._hear(each, message.data)
        finally:
            self.sockets.remove(each)
            self.closed.append(each)
        return socket

    async def _hear(self, each: Socket, text: str) -> None:
        if text == "ping":
            await each.socket.send_str("pong")
            return
        request = json.loads(text)
        operation, arguments = request["op"], request["args"]
        if operation == "login":
            await self._log_in(each, arguments[0])
            return
        topics = [(argument["channel"], argument.get("instId", "")) for argument in arguments]
        each.heard.append((operation, topics))
        for topic, argument in zip(topics, arguments, strict=True):
            if topic[0] == self.refuse_channel or (self.refuse_code and topic[1] == self.refuse_code):
                msg = f"Wrong URL or channel:{topic[0]},instId:{topic[1]} doesn't exist."
                await each.socket.send_json({"event": "error", "code": "60018", "msg": msg, "connId": "a4d3"})
                continue
            if operation == "subscribe":
                each.topics[topic] = argument
            else:
                each.topics.pop(topic, None)
            await each.socket.send_json({"event": operation, "arg": argument, "connId": "a4d3ae55"})
            if operation == "subscribe" and topic[0] in self.begins:
                await each.socket.send_json(_addressed(self.begins[topic[0]], argument))

    async def _log_in(self, each: Socket, argument: Mapping[str, str]) -> None:
        signed = f"{argument['timestamp']}GET/users/self/verify"
        good = (argument["apiKey"], argument["passphrase"]) == (KEY, PASSPHRASE)
        if good and argument["sign"] == _signature(signed):
            await each.socket.send_json({"event": "login", "code": "0", "msg": "", "connId": "a4d3ae55"})
        else:
            await each.socket.send_json({"event": "error", "code": "60009", "msg": "Login failed."})


def _addressed(message: Any, argument: Mapping[str, str]) -> Any:
    """A documented frame as if it were about another instrument."""
    code = argument.get("instId")
    rows = [{**row, "instId": code} if code and "instId" in row else row for row in message["data"]]
    return {**message, "arg": dict(argument), "data": rows}


def _answered(request: web.Request, answer: Any) -> Any:
    rows = answer["data"]
    if request.path == "/api/v5/public/time":
        rows = [{"ts": str(time.time_ns() // 1_000_000)}]
    kinds = request.query.get("ordType", "")
    if kinds:
        rows = [row for row in rows if row["ordType"] in kinds.split(",")]
    return {"code": "0", "msg": "", "data": rows}


def _is_signed(request: web.Request) -> bool:
    stamp = request.headers.get("OK-ACCESS-TIMESTAMP", "")
    signed = stamp + request.method + request.raw_path
    return (
        request.headers.get("OK-ACCESS-KEY"),
        request.headers.get("OK-ACCESS-PASSPHRASE"),
        request.headers.get("OK-ACCESS-SIGN"),
    ) == (KEY, PASSPHRASE, _signature(signed))


def _signature(signed: str) -> str:
    return base64.b64encode(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()).decode()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
