"""The venue as Binance USD-M: its addresses, listen keys, stream names and SUBSCRIBE."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from weakref import WeakSet

import msgspec
import structlog

from adapters.simulation.account import VenueAccount
from adapters.simulation.dialects import RestRequest, VenueParts
from adapters.simulation.errors import Refusal
from adapters.simulation.rest_private import PrivateApi
from adapters.simulation.rest_public import PublicApi
from adapters.simulation.source import FrameKind
from adapters.simulation.spot import BinanceSpot, markets_of
from adapters.simulation.streams import Connection
from adapters.simulation.wire import encode

if TYPE_CHECKING:
    from aiohttp import web

EVERY_SYMBOL = "!"

_log = structlog.get_logger()

Key = tuple[str, FrameKind]

_KINDS = {
    kind.lower(): kind
    for kind in FrameKind
    if kind is not FrameKind.OPEN_INTEREST  # a feed of the venue's own, not a stream
}

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


def binance_urls(host: str, port: int) -> dict[str, Any]:
    """The value for ccxt's ``urls`` at a venue that speaks Binance, be it beside another language."""
    rest, socket = f"http://{host}:{port}", f"ws://{host}:{port}"
    sockets: dict[str, Any] = {name: socket + path for name, path in _SOCKET_PATHS.items()}
    sockets["ws-api"] = {name: f"{socket}/ws-api/{name}" for name in ("spot", "linear", "inverse")}
    return {"api": {name: rest + path for name, path in _REST_PATHS.items()} | {"ws": sockets}}


class BinanceDialect:
    """A Dialect (see ``dialects``)."""

    def __init__(self, parts: VenueParts) -> None:
        self._gate = parts.gate
        self._hub = parts.hub
        self._rounds = parts.rounds
        assets = parts.engine.assets
        self._public = PublicApi(parts.markets, assets, parts.settings, parts.clock_ms).routes()
        self._spot = BinanceSpot(partial(markets_of, assets), parts.clock_ms)
        self._own: WeakSet[Connection] = WeakSet()
        """Clients of this dialect: the venue may speak another one besides."""
        self._private = PrivateApi(parts.engine, parts.settings, parts.clock_ms).routes()

    def ccxt_urls(self, host: str, port: int) -> dict[str, Any]:
        return binance_urls(host, port)

    # -- REST ----------------------------------------------------------------------------------------

    async def answer(self, request: RestRequest) -> Any:
        route = (request.method, request.path)
        if route in self._public:
            return self._public[route](dict(parse_qsl(request.query)))
        if request.method == "GET" and request.path.startswith(BinanceSpot.PREFIX):
            return self._spot.answer(request.path, dict(parse_qsl(request.query)))
        if request.path == "/fapi/v1/listenKey":
            return self._listen_key(request)
        if route in self._private:
            account, parameters = self._gate.signed(request.headers, request.query, request.body)
            act = partial(self._private[route], account, parameters)
            return await self._rounds.run(act) if route == _NEW_ORDER else act()
        raise _no_such_path(request)

    def refused(self, refusal: Refusal) -> tuple[Any, int]:
        return {"code": refusal.code, "msg": refusal.message}, refusal.status

    def _listen_key(self, request: RestRequest) -> Any:
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
                raise _no_such_path(request)

    # -- WebSockets ----------------------------------------------------------------------------------

    def admit(self, connection: Connection, request: web.Request) -> bool:
        """Take /ws, /ws/NAME, /stream?streams=A/B and the same under a category such as /public."""
        parts = [part for part in request.path.split("/") if part]
        kind = next((part for part in parts if part in ("ws", "stream")), None)
        if kind is None:
            return False
        self._own.add(connection)
        connection.combined = kind == "stream"
        tail = parts[parts.index(kind) + 1 :]
        listen_keys = [request.query.get("listenKey", ""), *tail]
        connection.account = next(filter(None, map(self._gate.owner, listen_keys)), None)
        if connection.account is None and "listenKey" in request.query:
            # Binance takes the connection of an unknown listen key and never says anything on it.
            _log.warning("unknown listen key")
        for name in (*tail, *request.query.get("streams", "").split("/")):
            if "@" in name or name.startswith("!"):
                self._subscribe(connection, name)
        return True

    def hear(self, connection: Connection, text: str) -> None:
        connection.push(self._reply(connection, text))

    def publish(self, symbol: str, kind: FrameKind, payload: bytes) -> None:
        for key in ((symbol, kind), (EVERY_SYMBOL, kind)):
            for connection, names in self._hub.listeners(key).items():
                for name in names:
                    # Of the all-market streams only the marks come as an array.
                    body = b"[%s]" % payload if "markPrice@arr" in name else payload
                    if connection.combined:
                        body = b'{"stream":"%s","data":%s}' % (name.encode(), body)
                    self._hub.send(connection, body)

    def has_subscribers(self, symbol: str, kind: FrameKind) -> bool:
        return bool(self._hub.listeners((symbol, kind)) or self._hub.listeners((EVERY_SYMBOL, kind)))

    def tell(self, account: VenueAccount, event: dict[str, Any]) -> None:
        frame = encode(event)
        for connection in list(self._own):
            if connection.account == account.spec.name:
                self._hub.send(connection, frame)

    def _subscribe(self, connection: Connection, name: str) -> None:
        self._hub.subscribe(connection, name, parse_stream(name))

    def _reply(self, connection: Connection, text: str) -> bytes:
        try:
            request = _decode_request(text)
            names = [msgspec.json.decode(parameter) for parameter in request.params]
        except msgspec.MsgspecError as error:
            return encode({"error": {"code": 2, "msg": f"Invalid request: {error}"}, "id": None})
        match request.method:
            case "SUBSCRIBE" | "UNSUBSCRIBE" if all(isinstance(name, str) for name in names):
                for name in names:
                    if request.method == "SUBSCRIBE":
                        self._subscribe(connection, name)
                    else:
                        self._hub.unsubscribe(connection, name)
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


def _no_such_path(request: RestRequest) -> Refusal:
    return Refusal(-5000, f"Path {request.path}, Method {request.method} is invalid", 404)
