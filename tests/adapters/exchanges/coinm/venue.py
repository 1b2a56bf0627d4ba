"""A COIN-M venue that answers every request with its fixture and says what it was subscribed to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from tests.adapters.exchanges.coinm.payloads import fixture

ANSWERS = {
    ("GET", "/dapi/v1/exchangeInfo"): "exchange_info",
    ("GET", "/dapi/v1/depth"): "depth",
    ("GET", "/dapi/v1/premiumIndex"): "premium_index",
    ("GET", "/dapi/v1/openInterest"): "open_interest",
    ("GET", "/dapi/v1/ticker/24hr"): "ticker_24hr",
    ("GET", "/dapi/v1/positionRisk"): "position_risk",
    ("GET", "/dapi/v1/account"): "account",
    ("GET", "/dapi/v1/adlQuantile"): "adl_quantile",
    ("GET", "/dapi/v1/openOrders"): "open_orders",
    ("GET", "/dapi/v2/leverageBracket"): "leverage_bracket",
}
FRAMES = {
    "depth": "depth_update",
    "aggTrade": "agg_trade",
    "markPrice": "mark_price_update",
    "forceOrder": "force_order",
}


@dataclass(slots=True)
class CoinVenue:
    """What was asked of it, in order."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    subscribed: list[str] = field(default_factory=list)
    listen_keys: int = 0
    refused: list[str] = field(default_factory=list)
    """Paths that it does not know: nothing may end there."""

    def ccxt_urls(self) -> dict[str, Any]:
        rest, socket = f"http://127.0.0.1:{self.port}", f"ws://127.0.0.1:{self.port}"
        paths = {"dapiPublic": "/dapi/v1", "dapiPrivate": "/dapi/v1", "dapiPrivateV2": "/dapi/v2"}
        sockets = {"inverse": f"{socket}/inverse", "linear": f"{socket}/linear"}
        return {"api": {name: rest + path for name, path in paths.items()} | {"ws": sockets}}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve(request)
        self.asked.append(request.path)
        name = ANSWERS.get((request.method, request.path))
        if name is not None:
            return _json(fixture(name))
        match request.path:
            case "/dapi/v1/openAlgoOrders":
                return _json([])
            case "/dapi/v1/time":
                return _json({"serverTime": 1_800_000_000_000})
            case "/dapi/v1/listenKey":
                self.listen_keys += 1
                return _json({"listenKey": "a-listen-key"})
        self.refused.append(f"{request.method} {request.path}")
        return _json({"code": -5000, "msg": "no such path"}, 404)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.subscribed.append(request.path_qs)
        if "listenKey" in request.path_qs or "a-listen-key" in request.path_qs:
            await socket.send_str(msgspec.json.encode(_update()).decode())
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            said = msgspec.json.decode(message.data)
            self.subscribed.extend(said.get("params", []))
            await socket.send_str(msgspec.json.encode({"result": None, "id": said["id"]}).decode())
            for stream in said.get("params", []):
                name = FRAMES.get(str(stream).split("@")[1])
                if name is not None:
                    await socket.send_str(msgspec.json.encode(fixture(name)).decode())
        return socket


def _update() -> Any:
    """A private frame that says what ``positionRisk`` says."""
    update = fixture("account_update")
    update["a"]["P"][0] |= {"pa": "1", "mt": "cross", "iw": "0"}
    return update


@asynccontextmanager
async def coin_venue() -> AsyncIterator[CoinVenue]:
    """Listen on a free port."""
    venue = CoinVenue()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", venue.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    venue.port = int(runner.addresses[0][1])
    try:
        yield venue
    finally:
        await runner.cleanup()


def _json(answer: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), status=status, content_type="application/json")
