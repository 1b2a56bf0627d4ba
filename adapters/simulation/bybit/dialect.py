"""Takes Bybit's requests and sockets apart, and tells in its words what the market and the accounts did."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

import msgspec

from adapters.simulation import wire
from adapters.simulation.account import VenueAccount
from adapters.simulation.bybit.payloads import (
    algo_row,
    execution_row,
    order_row,
    position_row,
    side_name,
    ticker,
    trade_row,
    wallet_row,
)
from adapters.simulation.bybit.rest_private import PrivateApi
from adapters.simulation.bybit.rest_public import PARAMETER_ERROR, PublicApi
from adapters.simulation.bybit.signing import INVALID_KEY, BybitGate
from adapters.simulation.bybit.windows import DEPTHS, Window
from adapters.simulation.dialects import RestRequest, VenueParts
from adapters.simulation.errors import Refusal
from adapters.simulation.markets import Market, MarketStatus
from adapters.simulation.orders import Side
from adapters.simulation.source import FrameKind
from adapters.simulation.spot import BybitSpot, markets_of
from adapters.simulation.streams import Connection
from adapters.simulation.wire import encode

if TYPE_CHECKING:
    from aiohttp import web

PUBLIC, PRIVATE = "/v5/public/linear", "/v5/private"
_OTHER_SOCKETS = ("/v5/public/spot", "/v5/public/inverse", "/v5/public/option", "/v5/trade")

PRIVATE_TOPICS = frozenset({"position", "wallet", "order", "execution"})

_OF_SPOT = ("/v5/market/instruments-info", "/v5/market/tickers")
"""What is told of spot markets too."""

_NEW_ORDER = "/v5/order/create"

_CODES = {
    -2019: 110007,
    -1121: PARAMETER_ERROR,
    -2011: 110001,
    -2013: 110001,
    -2022: 110017,
    -2027: 110090,
    -4028: 110013,
    -2015: INVALID_KEY,
    -2014: INVALID_KEY,
}
"""Bybit's codes for the engine's refusals, which are Binance's."""


class ClientRequest(msgspec.Struct):
    """``subscribe`` and its kin."""

    op: str = ""
    args: list[Any] = msgspec.field(default_factory=list)
    req_id: str | int | None = None


_decode_request = msgspec.json.Decoder(ClientRequest).decode
_decode_body = msgspec.json.Decoder(dict[str, Any]).decode


class BybitDialect:
    """A Dialect (see ``dialects``)."""

    def __init__(self, parts: VenueParts) -> None:
        self._markets = parts.markets
        self._engine = parts.engine
        self._hub = parts.hub
        self._rounds = parts.rounds
        self._clock_ms = parts.clock_ms
        self._gate = BybitGate(parts.gate, parts.clock_ms)
        self._api = PublicApi(parts)
        self._public = self._api.routes()
        self._private = PrivateApi(parts, self._api).routes()
        self._spot = BybitSpot(partial(markets_of, parts.engine.assets), parts.clock_ms)
        self._paths: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()
        self._windows: dict[tuple[str, int], Window] = {}
        self._tickers: dict[str, dict[str, Any]] = {}
        """Of each market the ticker that was published last: the stream tells only what changed since."""

    def ccxt_urls(self, host: str, port: int) -> dict[str, Any]:
        rest, socket = f"http://{host}:{port}", f"ws://{host}:{port}"
        public = {kind: f"{socket}/v5/public/{kind}" for kind in ("spot", "inverse", "option", "linear")}
        private = {
            "spot": {"unified": socket + PRIVATE, "nonUnified": f"{socket}/spot/private/v3"},
            "contract": socket + PRIVATE,
            "usdc": f"{socket}/trade/option/usdc/private/v1",
            "trade": f"{socket}/v5/trade",
        }
        families = dict.fromkeys(("spot", "futures", "v2", "public", "private"), rest)
        return {"api": families | {"ws": {"public": public, "private": private}}}

    # -- REST ----------------------------------------------------------------------------------------

    async def answer(self, request: RestRequest) -> Any:
        if request.method == "GET" and request.path in self._public:
            parameters = dict(parse_qsl(request.query))
            if request.path in _OF_SPOT and parameters.get("category") == "spot":
                return self._answered(self._spot.answer(request.path, parameters))
            return self._answered(self._public[request.path](parameters))
        route = (request.method, request.path)
        if route not in self._private:
            raise Refusal(404, f"no such path: {request.method} {request.path}", 404)
        account = self._gate.signed(request)
        act = partial(self._private[route], account, _parameters(request))
        return self._answered(await self._rounds.run(act) if request.path == _NEW_ORDER else act())

    def refused(self, refusal: Refusal) -> tuple[Any, int]:
        """Bybit refuses with HTTP status 200; only what is not there at all has another."""
        code = _CODES.get(refusal.code, refusal.code if refusal.code > 0 else PARAMETER_ERROR)
        status = 404 if refusal.code == 404 else 200
        return {
            "retCode": code,
            "retMsg": refusal.message,
            "result": {},
            "retExtInfo": {},
            "time": self._clock_ms(),
        }, status

    def _answered(self, result: Any) -> Any:
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self._clock_ms()}

    # -- WebSockets ----------------------------------------------------------------------------------

    def admit(self, connection: Connection, request: web.Request) -> bool:
        self._paths[connection] = request.path
        return request.path in (PUBLIC, PRIVATE, *_OTHER_SOCKETS)

    def hear(self, connection: Connection, text: str) -> None:
        try:
            request = _decode_request(text)
        except msgspec.MsgspecError as error:
            connection.push(_reply(None, "", problem=f"error:invalid request: {error}"))
            return
        match request.op:
            case "ping":
                connection.pong(self._pong(connection, request))
            case "auth" if self._paths[connection] == PRIVATE:
                connection.push(self._login(connection, request))
            case "subscribe":
                self._subscribe(connection, request)
            case "unsubscribe":
                for topic in request.args:
                    self._hub.unsubscribe(connection, str(topic))
                connection.push(_reply(request.req_id, "unsubscribe"))
            case _:
                connection.push(_reply(request.req_id, request.op, problem="error:invalid op"))

    def has_subscribers(self, symbol: str, kind: FrameKind) -> bool:
        """Nothing needs to be derived: the book's best prices are part of the ticker here."""
        del symbol
        return kind not in (FrameKind.AGGREGATE_TRADE, FrameKind.BOOK_TICKER)

    def publish(self, symbol: str, kind: FrameKind, payload: bytes) -> None:
        market = self._markets[symbol]
        try:
            match kind:
                case FrameKind.DEPTH:
                    self._publish_depth(market)
                    self._publish_ticker(market, "bid1", "ask1")
                case FrameKind.TRADE:
                    row = trade_row(symbol, wire.decode_trade(payload))
                    self._say(f"publicTrade.{symbol}", "snapshot", row["T"], [row])
                case FrameKind.MARK_PRICE:
                    self._publish_ticker(market, "")
                case FrameKind.FORCED_ORDER:
                    self._publish_liquidation(symbol, payload)
        except msgspec.MsgspecError:
            return  # a recording may hold a frame that nobody can read, in Binance's words: nothing to tell

    def tell(self, account: VenueAccount, event: dict[str, Any]) -> None:
        match event.get("e"):
            case "ORDER_TRADE_UPDATE":
                self._tell_order(account, event["o"])
            case "ALGO_UPDATE":
                algo = account.book.algos.get(event["o"]["aid"])
                if algo is not None:
                    self._inform(account, "order", [algo_row(algo)])
            case "ACCOUNT_UPDATE":
                symbols = [row["s"] for row in event["a"]["P"]]
                rows = [position_row(self._engine, account, symbol) for symbol in symbols]
                self._inform(account, "position", [{**row, "category": "linear"} for row in rows])
                self._inform(account, "wallet", [wallet_row(self._engine, account)])
            case "ACCOUNT_CONFIG_UPDATE":
                row = position_row(self._engine, account, event["ac"]["s"])
                self._inform(account, "position", [{**row, "category": "linear"}])

    def _subscribe(self, connection: Connection, request: ClientRequest) -> None:
        """Take all the topics of a request or none, as Bybit does; begin books and tickers with all of them."""
        topics = [str(topic) for topic in request.args]
        for topic in topics:
            problem = self._problem_of(connection, topic)
            if problem:
                connection.push(_reply(request.req_id, "subscribe", problem=f"error:{problem},topic:{topic}"))
                return
        connection.push(_reply(request.req_id, "subscribe"))
        for topic in topics:
            name, *rest = topic.split(".")
            if self._paths[connection] == PRIVATE:
                self._hub.subscribe(connection, topic, (name, connection.account))
                continue
            if name == "orderbook":
                self._begin_book(connection, topic, self._markets[rest[1]], int(rest[0]))
            elif name == "tickers":
                self._begin_ticker(connection, topic, self._markets[rest[0]])
            self._hub.subscribe(connection, topic, topic)

    def _problem_of(self, connection: Connection, topic: str) -> str | None:
        if topic in connection.names:
            return "already subscribed"
        name, *rest = topic.split(".")
        if self._paths[connection] == PRIVATE:
            if connection.account is None:
                return "request not authorized"
            known = name in PRIVATE_TOPICS
        elif self._paths[connection] == PUBLIC and name == "orderbook":
            known = len(rest) == 2 and rest[0] in map(str, DEPTHS) and self._is_listed(rest[1])
        else:
            named = name in ("publicTrade", "tickers", "allLiquidation")
            known = (
                self._paths[connection] == PUBLIC and named and len(rest) == 1 and self._is_listed(rest[0])
            )
        return None if known else "handler not found"

    def _is_listed(self, code: str) -> bool:
        market = self._markets.get(code)
        return market is not None and market.status is not MarketStatus.DELISTED

    def _begin_book(self, connection: Connection, topic: str, market: Market, depth: int) -> None:
        window = self._windows.setdefault((market.spec.symbol, depth), Window(depth))
        if not self._hub.listeners(topic):
            window.look(market.book)  # nobody was told of what happened meanwhile
        self._hub.send(connection, self._book_frame(topic, "snapshot", market, window, window.levels))

    def _begin_ticker(self, connection: Connection, topic: str, market: Market) -> None:
        symbol = market.spec.symbol
        if symbol not in self._tickers or not self._hub.listeners(topic):
            self._tickers[symbol] = ticker(market, self._api.next_funding_ms(market))
        frame = _frame(topic, "snapshot", self._clock_ms(), self._tickers[symbol], cs=market.book.update_id)
        self._hub.send(connection, frame)

    def _publish_depth(self, market: Market) -> None:
        for depth in DEPTHS:
            topic = f"orderbook.{depth}.{market.spec.symbol}"
            listeners = self._hub.listeners(topic)
            if not listeners:
                continue
            window = self._windows[market.spec.symbol, depth]
            changes = window.look(market.book)
            if not any(changes):
                continue
            kind = "snapshot" if depth == 1 else "delta"
            shown = window.levels if depth == 1 else changes
            frame = self._book_frame(topic, kind, market, window, shown)
            for connection in listeners:
                self._hub.send(connection, frame)

    def _book_frame(
        self, topic: str, kind: str, market: Market, window: Window, sides: tuple[Any, Any]
    ) -> bytes:
        data = {
            "s": market.spec.symbol,
            "b": sides[0],
            "a": sides[1],
            "u": window.update_id,
            "seq": market.book.update_id,
        }
        return _frame(topic, kind, self._clock_ms(), data, cts=market.book.at_ms)

    def _publish_ticker(self, market: Market, *prefixes: str) -> None:
        """Tell what changed of the ticker, of the fields with these prefixes."""
        symbol = market.spec.symbol
        topic = f"tickers.{symbol}"
        if not self._hub.listeners(topic):
            return
        before, now = self._tickers.get(symbol, {}), ticker(market, self._api.next_funding_ms(market))
        changed = {
            name: value
            for name, value in now.items()
            if name.startswith(prefixes) and before.get(name) != value
        }
        if not changed:
            return
        self._tickers[symbol] = before | changed
        data = {"symbol": symbol, **changed}
        self._say(topic, "delta", self._clock_ms(), data, cs=market.book.update_id)

    def _publish_liquidation(self, symbol: str, payload: bytes) -> None:
        order = _decode_body(payload)["o"]
        # Bybit names the side of the position, and the price at which nothing was left of its margin.
        liquidated = Side.SELL if order["S"] == Side.BUY else Side.BUY
        row = {"T": order["T"], "s": symbol, "S": side_name(liquidated), "v": order["q"], "p": order["p"]}
        self._say(f"allLiquidation.{symbol}", "snapshot", order["T"], [row])

    def _say(self, topic: str, kind: str, at_ms: int, data: Any, **extra: Any) -> None:
        listeners = self._hub.listeners(topic)
        if not listeners:
            return
        frame = _frame(topic, kind, at_ms, data, **extra)
        for connection in listeners:
            self._hub.send(connection, frame)

    def _tell_order(self, account: VenueAccount, event: dict[str, Any]) -> None:
        order = account.book.orders.get(event["i"])
        if order is None:
            return
        if event["x"] == "TRADE":
            fill = next((each for each in reversed(account.fills) if each.fill_id == event["t"]), None)
            if fill is not None:
                self._inform(account, "execution", [execution_row(order, fill)])
        self._inform(account, "order", [order_row(order)])

    def _inform(self, account: VenueAccount, topic: str, rows: list[Any]) -> None:
        listeners = self._hub.listeners((topic, account.spec.name))
        if not listeners:
            return
        frame = encode(
            {"id": secrets.token_hex(8), "topic": topic, "creationTime": self._clock_ms(), "data": rows}
        )
        for connection in listeners:
            self._hub.send(connection, frame)

    def _login(self, connection: Connection, request: ClientRequest) -> bytes:
        try:
            connection.account = self._gate.login(request.args).spec.name
        except Refusal as refusal:
            return _reply(request.req_id, "auth", problem=refusal.message)
        return _reply(request.req_id, "auth")

    def _pong(self, connection: Connection, request: ClientRequest) -> bytes:
        if self._paths[connection] == PRIVATE:
            answer = {"op": "pong", "args": [str(self._clock_ms())], "conn_id": "loopback"}
            return encode({"req_id": str(request.req_id or ""), **answer})
        return encode({**_reply_body(request.req_id, "ping"), "ret_msg": "pong"})


def _parameters(request: RestRequest) -> dict[str, Any]:
    if request.method != "POST":
        return dict(parse_qsl(request.query))
    try:
        return _decode_body(request.body or "{}")
    except msgspec.MsgspecError as error:
        raise Refusal(PARAMETER_ERROR, f"Request parameter error: {error}") from error


def _frame(topic: str, kind: str, at_ms: int, data: Any, **extra: Any) -> bytes:
    return encode({"topic": topic, "type": kind, "ts": at_ms, "data": data, **extra})


def _reply(number: str | int | None, op: str, *, problem: str = "") -> bytes:
    return encode(_reply_body(number, op, problem=problem))


def _reply_body(number: str | int | None, op: str, *, problem: str = "") -> dict[str, Any]:
    body = {"success": not problem, "ret_msg": problem, "conn_id": "loopback", "op": op}
    return body | ({} if number is None else {"req_id": str(number)})
