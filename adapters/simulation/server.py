"""The venue's HTTP server: REST by path, WebSockets under /ws and /stream, and the URLs that ccxt needs."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import structlog
from aiohttp import web

from adapters.simulation.errors import Refusal
from adapters.simulation.rest_private import PrivateHandler
from adapters.simulation.rest_public import Handler
from adapters.simulation.rounds import MatchingRounds
from adapters.simulation.signing import Gate
from adapters.simulation.streams import Connection, Hub
from adapters.simulation.wire import encode

SHUTDOWN_S = 1.0

_log = structlog.get_logger()

Route = tuple[str, str]

_REST_PATHS = {
    "fapiPublic": "/fapi/v1",
    "fapiPublicV2": "/fapi/v2",
    "fapiPublicV3": "/fapi/v3",
    "fapiPrivate": "/fapi/v1",
    "fapiPrivateV2": "/fapi/v2",
    "fapiPrivateV3": "/fapi/v3",
    "fapiData": "/futures/data",
    "dapiPublic": "/dapi/v1",
    "dapiPrivate": "/dapi/v1",
    "dapiPrivateV2": "/dapi/v2",
    "dapiData": "/dapi/data",
    "eapiPublic": "/eapi/v1",
    "eapiPrivate": "/eapi/v1",
    "papi": "/papi/v1",
    "papiV2": "/papi/v2",
    "public": "/api/v3",
    "private": "/api/v3",
    "v1": "/api/v1",
    "sapi": "/sapi/v1",
    "sapiV2": "/sapi/v2",
    "sapiV3": "/sapi/v3",
    "sapiV4": "/sapi/v4",
}
"""Every REST family of ccxt's binance, so that no request of a client can leave this machine."""

_SOCKET_PATHS = {
    "spot": "/spot/ws",
    "margin": "/spot/ws",
    "linear": "/ws",
    "inverse": "/inverse/ws",
    "stock": "/stock/ws",
    "option": "/option/ws",
    "optionMarket": "/option/ws",
    "optionPrivate": "/option/ws",
    "papi": "/pm/ws",
}


_NEW_ORDER = ("POST", "/fapi/v1/order")


class VenueServer:
    """Listens, takes requests apart, and turns refusals into Binance's error answers."""

    def __init__(
        self,
        public: dict[Route, Handler],
        private: dict[Route, PrivateHandler],
        gate: Gate,
        hub: Hub,
        rounds: MatchingRounds,
        host: str,
        port: int,
    ) -> None:
        self._public = public
        self._private = private
        self._gate = gate
        self._hub = hub
        self._rounds = rounds
        self._host = host
        self.port = port
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)

    async def start(self) -> None:
        """Listen; with port 0, ``port`` is the one that was free.

        Raises:
            OSError: the port is taken.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    def ccxt_urls(self) -> dict[str, Any]:
        """The value for ccxt's ``urls``."""
        rest, socket = f"http://{self._host}:{self.port}", f"ws://{self._host}:{self.port}"
        sockets: dict[str, Any] = {name: socket + path for name, path in _SOCKET_PATHS.items()}
        sockets["ws-api"] = {name: f"{socket}/ws-api/{name}" for name in ("spot", "linear", "inverse")}
        return {"api": {name: rest + path for name, path in _REST_PATHS.items()} | {"ws": sockets}}

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._handle_socket(request)
        try:
            answer = await self._answer(request)
        except Refusal as refusal:
            return _json({"code": refusal.code, "msg": refusal.message}, refusal.status)
        return _json(answer, 200)

    async def _answer(self, request: web.Request) -> Any:
        # The raw target: aiohttp's parsed URL is already unquoted, and a signature covers what was sent.
        path, _, query = request.raw_path.partition("?")
        route = (request.method, path)
        if route in self._public:
            return self._public[route](dict(parse_qsl(query)))
        body = (await request.read()).decode(errors="replace")
        if path == "/fapi/v1/listenKey":
            return self._listen_key(request)
        if route in self._private:
            account, parameters = self._gate.signed(request.headers, query, body)
            act = partial(self._private[route], account, parameters)
            return await self._rounds.run(act) if route == _NEW_ORDER else act()
        raise Refusal(-5000, f"Path {path}, Method {request.method} is invalid", 404)

    def _listen_key(self, request: web.Request) -> Any:
        account = self._gate.keyed(request.headers)
        match request.method:
            case "POST":
                return {"listenKey": self._gate.open_listen_key(account)}
            case "PUT":
                return {"listenKey": self._gate.renew_listen_key(account)}
            case "DELETE":
                self._gate.close_listen_key(account)
                for connection in list(self._hub.connections):
                    if connection.account == account.spec.name:
                        connection.finish()
                return {}
            case _:
                raise Refusal(-5000, f"Path {request.path}, Method {request.method} is invalid", 404)

    async def _handle_socket(self, request: web.Request) -> web.StreamResponse:
        """Take /ws, /ws/NAME, /stream?streams=A/B and the same under a category such as /public."""
        parts = [part for part in request.path.split("/") if part]
        kind = next((part for part in parts if part in ("ws", "stream")), None)
        if kind is None:
            raise web.HTTPNotFound
        socket = web.WebSocketResponse(autoping=False, compress=False)
        connection = Connection(socket, request.transport, combined=kind == "stream")
        tail = parts[parts.index(kind) + 1 :]
        listen_keys = [request.query.get("listenKey", ""), *tail]
        connection.account = next(filter(None, map(self._gate.owner, listen_keys)), None)
        if connection.account is None and "listenKey" in request.query:
            # Binance takes the connection of an unknown listen key and never says anything on it.
            _log.warning("unknown listen key")
        for name in (*tail, *request.query.get("streams", "").split("/")):
            if "@" in name or name.startswith("!"):
                self._hub.subscribe(connection, name)
        await self._hub.serve(connection, request)
        return socket


def _json(answer: Any, status: int) -> web.Response:
    return web.Response(body=encode(answer), status=status, content_type="application/json")
