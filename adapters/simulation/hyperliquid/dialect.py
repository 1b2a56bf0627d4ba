"""The venue as Hyperliquid: POST /info, and one WebSocket on which whole states are told.

Nothing is signed here, for nothing is traded here: accounts trade in Binance's words (see ``bilingual``) and are
seen in Hyperliquid's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec

from adapters.simulation import wire
from adapters.simulation.account import VenueAccount
from adapters.simulation.dialects import RestRequest, VenueParts
from adapters.simulation.errors import Refusal
from adapters.simulation.hyperliquid import accounts, market_payloads
from adapters.simulation.hyperliquid.accounts import address_of
from adapters.simulation.markets import Market, MarketStatus
from adapters.simulation.misbehaviour.faults import ACCOUNT_STREAM
from adapters.simulation.orders import OrderStatus
from adapters.simulation.source import FrameKind
from adapters.simulation.streams import Connection

if TYPE_CHECKING:
    from aiohttp import web

Json = dict[str, Any]

SOCKET_PATH = "/hyperliquid/ws"
"""Not /ws, as at the venue: there this port speaks Binance."""

BEAT_S = 0.5
"""The venue sends books with each block that comes at least so long after the last."""

FILLS_SHOWN = 100

_ALGO_WORDS = {
    OrderStatus.NEW: "open",
    OrderStatus.TRIGGERED: "triggered",
    OrderStatus.CANCELED: "canceled",
    OrderStatus.EXPIRED: "canceled",
    OrderStatus.REJECTED: "rejected",
}


class HyperliquidDialect:
    """A Dialect (see ``dialects``)."""

    def __init__(self, parts: VenueParts) -> None:
        self._parts = parts
        self._hub = parts.hub
        self._markets = parts.markets
        self._coins = {market_payloads.coin_of(m.spec): m for m in parts.markets.values()}
        # A connection that ended is forgotten with its subscriptions: nothing else holds it.
        self._subscribed: WeakKeyDictionary[Connection, dict[str, Json]] = WeakKeyDictionary()
        self._answers: dict[str, Callable[[Json], Any]] = {
            "meta": lambda _: self._meta(),
            "metaAndAssetCtxs": lambda _: self._meta_and_contexts(),
            "spotMeta": lambda _: market_payloads.spot_meta(),
            "spotMetaAndAssetCtxs": lambda _: [market_payloads.spot_meta(), []],
            "perpDexs": lambda _: [None],
            "allMids": lambda _: {c: market_payloads.context(m)["midPx"] for c, m in self._coins.items()},
            "exchangeStatus": lambda _: {"specialStatuses": None, "time": parts.clock_ms()},
            "l2Book": self._book,
            "recentTrades": lambda told: market_payloads.recent_trades(self._market(told)),
            "clearinghouseState": lambda told: self._state(self._account(told)),
            "spotClearinghouseState": lambda _: {"balances": []},
            "openOrders": self._open_orders,
            "frontendOpenOrders": self._open_orders,
            "userFills": lambda told: self._fills(self._account(told)),
            "userRole": self._role,
            "userAbstraction": lambda _: "disabled",
            "userFees": lambda _: {"userCrossRate": "0.0005", "userAddRate": "0.0002"},
        }

    def ccxt_urls(self, host: str, port: int) -> Json:
        rest, socket = f"http://{host}:{port}", f"ws://{host}:{port}{SOCKET_PATH}"
        return {"api": {"public": rest, "private": rest, "ws": {"public": socket}}}

    def subscriptions(self, connection: Connection) -> list[Json]:
        """What a client subscribed to, for tests."""
        return list(self._subscribed.get(connection, {}).values())

    # -- REST ----------------------------------------------------------------------------------------

    async def answer(self, request: RestRequest) -> Any:
        if (request.method, request.path) != ("POST", "/info"):
            raise Refusal(0, "Not Found", 404)
        try:
            told = msgspec.json.decode(request.body, type=dict[str, Any])
        except msgspec.MsgspecError:
            raise market_payloads.undeserialisable() from None
        answer = self._answers.get(str(told.get("type")))
        if answer is None:
            raise market_payloads.undeserialisable()
        return answer(told)

    def refused(self, refusal: Refusal) -> tuple[Any, int]:
        return refusal.message, refusal.status

    def _meta(self) -> Json:
        return market_payloads.meta(self._markets.values(), self._parts.engine.table)

    def _meta_and_contexts(self) -> Any:
        return [self._meta(), [market_payloads.context(market) for market in self._markets.values()]]

    def _book(self, told: Json) -> Any:
        market = self._coins.get(str(told.get("coin")))
        if market is None or market.status is MarketStatus.DELISTED:
            return None
        figures, mantissa = market_payloads.aggregation(told)
        return market_payloads.book(market, figures=figures, mantissa=mantissa)

    def _market(self, told: Json) -> Market:
        market = self._coins.get(str(told.get("coin")))
        if market is None or market.status is MarketStatus.DELISTED:
            raise market_payloads.undeserialisable()
        return market

    def _account(self, told: Json) -> VenueAccount | None:
        """The account of an address; everybody else has an empty one."""
        address = told.get("user")
        if not isinstance(address, str) or not accounts.is_address(address):
            raise market_payloads.undeserialisable()
        everyone = self._parts.engine.accounts.values()
        return next((each for each in everyone if address_of(each.spec) == address.lower()), None)

    def _state(self, account: VenueAccount | None) -> Json:
        at_ms = self._parts.clock_ms()
        if account is None:
            return accounts.empty_state(at_ms)
        return accounts.state(account, self._markets, self._parts.engine.table, at_ms)

    def _open_orders(self, told: Json) -> list[Json]:
        account = self._account(told)
        return [] if account is None else accounts.open_orders(account, self._markets)

    def _fills(self, account: VenueAccount | None) -> list[Json]:
        if account is None:
            return []
        newest = list(account.fills)[-FILLS_SHOWN:]
        address = address_of(account.spec)
        return [accounts.fill(account, done, self._markets, address) for done in reversed(newest)]

    def _role(self, told: Json) -> Json:
        return {"role": "missing" if self._account(told) is None else "user"}

    # -- WebSockets ----------------------------------------------------------------------------------

    def admit(self, connection: Connection, request: web.Request) -> bool:
        if request.path != SOCKET_PATH:
            return False
        self._subscribed[connection] = {}
        return True

    def hear(self, connection: Connection, text: str) -> None:
        try:
            said = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.MsgspecError:
            said = {}
        match said:
            case {"method": "ping"}:
                connection.pong(wire.encode({"channel": "pong"}))
            case {"method": "subscribe", "subscription": {"type": str(_)} as subscription}:
                self._subscribe(connection, subscription, text)
            case {"method": "unsubscribe", "subscription": {"type": str(_)} as subscription}:
                self._subscribed[connection].pop(_name(subscription), None)
                self._acknowledge(connection, "unsubscribe", subscription)
            case _:
                self._complain(connection, f"Error parsing JSON into valid websocket request: {text}")

    def _subscribe(self, connection: Connection, subscription: Json, text: str) -> None:
        subscribed = self._subscribed[connection]
        if _name(subscription) in subscribed:
            self._complain(connection, f"Already subscribed: {text}")
            return
        try:
            frames = self._frames(subscription, is_first=True)
        except Refusal:
            self._complain(connection, f"Invalid subscription: {text}")
            return
        subscribed[_name(subscription)] = subscription
        market = self._coins.get(str(subscription.get("coin")))
        stream = _STREAMS.get(subscription["type"], ACCOUNT_STREAM)
        # By these names faults find the sockets that carry a stream or a market.
        symbol = "" if market is None else market.spec.symbol
        self._hub.subscribe(connection, f"{stream} {symbol} {_name(subscription)}", None)
        self._acknowledge(connection, "subscribe", subscription)
        self._send(connection, frames)
        if len(subscribed) == 1:
            asyncio.get_running_loop().call_later(BEAT_S, self._beat, connection)

    def _beat(self, connection: Connection) -> None:
        """Tell everything that was subscribed to anew, as with a block, until the connection ends."""
        if connection not in self._hub.connections:
            return
        for subscription in self._subscribed[connection].values():
            market = self._coins.get(str(subscription.get("coin")))
            if market is not None and market.status is MarketStatus.DELISTED:
                continue
            # What comes with a block is sent out of the market's turn: say what it is of, for faults.
            symbol = "" if market is None else market.spec.symbol
            with self._hub.event(_STREAMS.get(subscription["type"], ACCOUNT_STREAM), symbol):
                self._send(connection, self._frames(subscription, is_first=False))
        if self._subscribed[connection]:
            asyncio.get_running_loop().call_later(BEAT_S, self._beat, connection)

    def _frames(self, subscription: Json, *, is_first: bool) -> list[bytes]:
        """What a subscription tells now: with its first word, or with a block.

        Raises:
            Refusal: there is no such subscription.
        """
        match subscription["type"]:
            case "l2Book":
                market = self._market(subscription)
                figures, mantissa = market_payloads.aggregation(subscription)
                return [_frame("l2Book", market_payloads.book(market, figures=figures, mantissa=mantissa))]
            case "activeAssetCtx":
                market = self._market(subscription)
                told = {"coin": subscription["coin"], "ctx": market_payloads.context(market)}
                return [_frame("activeAssetCtx", told)]
            case "clearinghouseState":
                return [self._state_frame(self._account(subscription), str(subscription["user"]))]
            case "trades":
                trades = market_payloads.recent_trades(self._market(subscription))
                return [_frame("trades", trades)] if is_first and trades else []
            case "userFills":
                fills = self._fills(self._account(subscription))
                told = {"isSnapshot": True, "user": subscription["user"], "fills": fills}
                return [_frame("userFills", told)] if is_first else []
            case "orderUpdates":
                self._account(subscription)
                return []
            case _:
                raise market_payloads.undeserialisable()

    def _state_frame(self, account: VenueAccount | None, user: str) -> bytes:
        told = {"dex": "", "user": user, "clearinghouseState": self._state(account)}
        return _frame("clearinghouseState", told)

    def publish(self, symbol: str, kind: FrameKind, payload: bytes) -> None:
        """Books and contexts come with the next block; trades at once."""
        if kind is FrameKind.TRADE:
            coin = market_payloads.coin_of(self._markets[symbol].spec)
            trade = market_payloads.trade(wire.decode_trade(payload), coin)
            self._tell_subscribers({"type": "trades", "coin": coin}, [_frame("trades", [trade])])

    def has_subscribers(self, symbol: str, kind: FrameKind) -> bool:
        """Books and contexts are told with each block, and trades without being derived."""
        del symbol, kind
        return False

    def tell(self, account: VenueAccount, event: Json) -> None:
        address = address_of(account.spec)
        match event["e"]:
            case "ORDER_TRADE_UPDATE":
                self._tell_order(account, address, event["o"])
            case "ALGO_UPDATE":
                algo = account.book.algos[event["o"]["aid"]]
                word = _ALGO_WORDS.get(algo.status)
                if word is not None:
                    self._tell_update(address, accounts.basic_trigger(algo, self._markets), word)
            case "ACCOUNT_UPDATE" | "ACCOUNT_CONFIG_UPDATE":
                self._tell_user("clearinghouseState", address, self._state_frame(account, address))

    def _tell_order(self, account: VenueAccount, address: str, told: Json) -> None:
        order = account.book.orders[told["i"]]
        if told["x"] == "TRADE":
            done = next(fill for fill in reversed(account.fills) if fill.fill_id == told["t"])
            fills = [accounts.fill(account, done, self._markets, address)]
            self._tell_user("userFills", address, _frame("userFills", {"user": address, "fills": fills}))
        word = "open" if told["x"] in ("NEW", "TRADE") else "canceled"
        if order.status is OrderStatus.FILLED:
            word = "filled"
        self._tell_update(address, accounts.basic_order(order, self._markets), word)

    def _tell_update(self, address: str, order: Json, status: str) -> None:
        update = {"order": order, "status": status, "statusTimestamp": self._parts.clock_ms()}
        self._tell_user("orderUpdates", address, _frame("orderUpdates", [update]))

    def _tell_user(self, kind: str, address: str, frame: bytes) -> None:
        for connection, subscribed in list(self._subscribed.items()):
            if any(
                each["type"] == kind and str(each.get("user")).lower() == address
                for each in subscribed.values()
            ):
                self._send(connection, [frame])

    def _tell_subscribers(self, subscription: Json, frames: list[bytes]) -> None:
        for connection, subscribed in list(self._subscribed.items()):
            if _name(subscription) in subscribed:
                self._send(connection, frames)

    def _send(self, connection: Connection, frames: list[bytes]) -> None:
        for frame in frames:
            self._hub.send(connection, frame)

    def _acknowledge(self, connection: Connection, method: str, subscription: Json) -> None:
        told = {"method": method, "subscription": subscription}
        connection.push(_frame("subscriptionResponse", told))

    def _complain(self, connection: Connection, problem: str) -> None:
        connection.push(_frame("error", problem))


_STREAMS = {
    "l2Book": FrameKind.DEPTH,
    "activeAssetCtx": FrameKind.MARK_PRICE,
    "trades": FrameKind.TRADE,
}
"""What faults call the subscriptions; the others are an account's."""


def _frame(channel: str, data: Any) -> bytes:
    return wire.encode({"channel": channel, "data": data})


def _name(subscription: Json) -> str:
    """What makes two subscriptions the same; the case of addresses does not matter."""
    told = {key: value for key, value in subscription.items() if value is not None}
    return wire.encode(dict(sorted(told.items()))).decode().lower()
