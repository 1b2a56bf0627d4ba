"""The public side of Binance USD-M through the tapped ccxt client."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Any

from adapters.exchanges.binance.budget import CLIENT_WEIGHT, WINDOW_NS, SnapshotBudget
from adapters.exchanges.binance.capabilities import CAPABILITIES
from adapters.exchanges.binance.client import DEFAULTS, BinanceQuirks, Message, event_of
from adapters.exchanges.binance.payloads import (
    parse_depth,
    parse_liquidation,
    parse_mark,
    parse_open_interest,
    parse_premium_index,
    parse_snapshot,
    parse_trade,
    parse_turnovers,
)
from adapters.exchanges.ccxt_session import (
    Markets,
    asked,
    close_client,
    find_symbols,
    make_client,
    network_error,
    perpetuals_of,
)
from adapters.exchanges.fast_path import FastPath
from adapters.exchanges.repeats import Repeats
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.transport import Lane
from adapters.exchanges.venue import Capabilities, DepthSnapshot, ListedMarket, MarketSink, MarkFrame
from guard.errors import UnknownSymbolError
from guard.events import Stream
from guard.ports import Clock
from guard.units import NS_PER_MS, NS_PER_S, Nanoseconds

SNAPSHOT_LEVELS = 1_000
"""The most that the venue gives."""

_STREAMS = {
    "depthUpdate": Stream.BOOK,
    "trade": Stream.TRADES,
    "aggTrade": Stream.TRADES,
    "markPriceUpdate": Stream.MARK_PRICE,
    "forceOrder": Stream.LIQUIDATIONS,
}
_EVENT = re.compile(r'"e"\s*:\s*"(\w+)"')
_CODE = re.compile(r'"s"\s*:\s*"([A-Z0-9_]+)"')


class BinanceMarket:
    """A MarketConnection (see ``venue``): one ccxt client, a socket for each kind of stream."""

    def __init__(self, settings: VenueSettings, sink: MarketSink, clock: Clock, markets: Markets) -> None:
        self._venue = settings.id
        self._sink = sink
        self._clock = clock
        self._markets = markets
        limit = {"rateLimit": WINDOW_NS / NS_PER_MS / CLIENT_WEIGHT}
        self._client = make_client(settings, self, defaults={**DEFAULTS, **limit}, quirks=BinanceQuirks)
        self._symbols: dict[str, str] = {}
        self._codes: dict[str, str] = {}
        self._subscriptions: dict[str, tuple[Stream, str]] = {}
        self._budget = SnapshotBudget()
        self._is_limited = settings.rate_limit
        self._owners: dict[tuple[Stream, str], str] = {}
        """The socket that was last subscribed to each stream: another may still bring a market that was left."""
        self._asked_at: dict[tuple[Stream, str], Nanoseconds] = {}
        """When each subscription was asked for that was neither answered yet nor brought anything."""
        self._alive_at: dict[str, Nanoseconds] = {}
        self._connected_at: dict[str, Nanoseconds] = {}
        self._repeats = Repeats()
        self._fast = FastPath(settings.id, sink, clock, self._on_taken)
        self._frame_at: dict[str, Nanoseconds] = {}

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def list_perpetuals(self) -> Sequence[ListedMarket]:
        return await asked(self._venue, self._list())

    async def _list(self) -> Sequence[ListedMarket]:
        await self._markets.reload(self._client)
        turnovers = parse_turnovers(await self._client.fapiPublicGetTicker24hr())
        return perpetuals_of(self._client, turnovers)

    async def load(self, symbols: Sequence[str]) -> tuple[list[str], list[UnknownSymbolError]]:
        await asked(self._venue, self._markets.load(self._client))
        known, errors = find_symbols(self._venue, self._client, symbols)
        for symbol in known:
            code = self._client.markets[symbol]["id"]
            self._symbols[code] = symbol
            self._codes[symbol] = code
            self._budget.expect([symbol], self._clock.now())
            for stream in _STREAMS.values():
                self._subscriptions[_name_at_ccxt(stream, symbol, code)] = (stream, symbol)
        return known, errors

    async def watch(self, stream: Stream, symbols: Sequence[str]) -> None:
        self._fast.take_up(stream, symbols, self._codes.__getitem__, self._size_of)
        self._asked_at |= dict.fromkeys(((stream, symbol) for symbol in symbols), self._clock.now())
        try:
            while True:
                await asked(self._venue, self._subscribe(stream, list(symbols)))
        finally:
            self._forget(stream, symbols)

    async def _subscribe(self, stream: Stream, symbols: list[str]) -> None:
        match stream:
            case Stream.BOOK:
                await self._client.watch_order_book_for_symbols(symbols, SNAPSHOT_LEVELS)
            case Stream.TRADES:
                await self._client.watch_trades_for_symbols(symbols)
            case Stream.MARK_PRICE:
                await self._client.watch_mark_prices(symbols)
            case Stream.LIQUIDATIONS:
                await self._client.watch_liquidations_for_symbols(symbols)
            case _:
                raise NotImplementedError(f"{stream} is not a public stream")

    def _forget(self, stream: Stream, symbols: Sequence[str]) -> None:
        """Make ccxt subscribe anew: it remembers a subscription that the venue refused as made."""
        if stream is Stream.BOOK:
            self._budget.forget(symbols)
        for symbol in symbols:
            self._asked_at.pop((stream, symbol), None)
            if stream is Stream.TRADES:
                self._fast.leave_trades(self._codes[symbol])
            name = _name_at_ccxt(stream, symbol, self._codes[symbol])
            for socket in (self._client.clients or {}).values():
                socket.subscriptions.pop(name, None)
        for socket in list((self._client.clients or {}).values()):
            if socket.isConnected and not self._carried(socket):
                socket.on_error(network_error("nothing of it is watched any more"))

    async def fetch_depth(self, symbol: str) -> DepthSnapshot:
        return await asked(self._venue, self._depth(symbol))

    async def _depth(self, symbol: str) -> DepthSnapshot:
        levels = self._budget.levels(symbol, self._clock.now()) if self._is_limited else SNAPSHOT_LEVELS
        request = {"symbol": self._codes[symbol], "limit": levels}
        return parse_snapshot(await self._client.fapiPublicGetDepth(request))

    async def renew_depth(self, symbol: str) -> None:
        raise NotImplementedError(f"the book of {symbol} comes over REST at this venue")

    async def fetch_open_interest(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        return await asked(self._venue, self._open_interest(symbol))

    async def _open_interest(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        request = {"symbol": self._codes[symbol]}
        return parse_open_interest(await self._client.fapiPublicGetOpenInterest(request))

    async def fetch_mark(self, symbol: str) -> MarkFrame:
        return await asked(self._venue, self._mark(symbol))

    async def _mark(self, symbol: str) -> MarkFrame:
        request = {"symbol": self._codes[symbol]}
        return parse_premium_index(await self._client.fapiPublicGetPremiumIndex(request))

    def close_silent(self, silence_ns: Nanoseconds) -> list[str]:
        """Close the sockets that show no sign of life, and those that owe a frame every second.

        Nobody may trade, be liquidated or move an order for long: a pong is enough there. Mark prices come
        every second whatever happens. A book whose stream was lost while its socket lives is found over REST.
        """
        now, closed = self._clock.now(), []
        for url, socket in list((self._client.clients or {}).items()):
            carried = self._carried(socket)
            heard_at = self._frame_at if carried == {Stream.MARK_PRICE} else self._alive_at
            silent_ns = now - heard_at.get(url, now)
            if not socket.isConnected:
                continue
            if silent_ns > silence_ns:
                socket.on_error(network_error(f"nothing came for {silent_ns / NS_PER_S:.1f} s"))
            elif now - self._owed_since(url, socket, now) > silence_ns:
                socket.on_error(network_error("a subscription was not answered"))
            else:
                continue
            closed.append("+".join(sorted(carried)) or url)
        return closed

    def _owed_since(self, url: str, socket: Any, now: Nanoseconds) -> Nanoseconds:
        """Since when a socket owes the answer to a subscription; ``now`` if it owes none."""
        asked_at = (
            self._asked_at.get(self._subscriptions[name])
            for name in socket.subscriptions
            if name in self._subscriptions
        )
        oldest = min((at for at in asked_at if at is not None), default=now)
        return max(oldest, self._connected_at.get(url, now))

    def _carried(self, socket: Any) -> set[Stream]:
        return {self._subscriptions[name][0] for name in socket.subscriptions if name in self._subscriptions}

    def reopen(self, stream: Stream, reason: str) -> None:
        for socket in list((self._client.clients or {}).values()):
            if stream in self._carried(socket):
                socket.on_error(network_error(reason))

    async def close(self) -> None:
        await close_client(self._client)

    # The tap: called by the client for every frame.

    def on_alive(self, url: str) -> None:
        self._alive_at[url] = self._clock.now()

    def on_frame(self, url: str) -> None:
        self._frame_at[url] = self._clock.now()

    def lane(self, url: str) -> Lane | None:
        del url
        return self._fast.lane()

    def _on_taken(self, url: str, at: Nanoseconds) -> None:
        self._alive_at[url] = self._frame_at[url] = at

    def on_connected(self, url: str) -> None:
        self._connected_at[url] = self._alive_at[url] = self._frame_at[url] = self._clock.now()

    def on_acknowledged(self, url: str, subscriptions: list[str]) -> None:
        for name in subscriptions:
            if name in self._subscriptions:
                self._owners[self._subscriptions[name]] = url
                self._asked_at.pop(self._subscriptions[name], None)
        for stream in dict.fromkeys(_STREAMS.values()):
            named = [self._subscriptions[name] for name in subscriptions if name in self._subscriptions]
            symbols = [symbol for kind, symbol in named if kind is stream]
            if stream is Stream.BOOK:
                self._budget.expect(symbols, self._clock.now())
            if symbols:
                self._sink.on_subscribed(stream, symbols)

    def take(self, url: str, message: Any) -> bool:
        event, body = event_of(message)
        if event in _STREAMS:
            self._deliver(url, event, body)
        return bool(event)

    def _deliver(self, url: str, event: str, message: Message) -> None:
        code: Any = message["o"]["s"] if event == "forceOrder" else message["s"]
        symbol = self._symbols.get(code)
        if symbol is not None and self._owners.get((_STREAMS[event], symbol), url) == url:
            self._tell(event, symbol, message)

    def _tell(self, event: str, symbol: str, message: Message) -> None:
        match event:
            case "depthUpdate":
                self._sink.on_depth(symbol, parse_depth(message))
            case "trade" | "aggTrade":
                number = message.get("a" if event == "aggTrade" else "t")
                if (trade := parse_trade(message)) is not None and not self._is_counted(
                    event, symbol, number
                ):
                    self._sink.on_trade(symbol, trade)
            case "markPriceUpdate":
                self._sink.on_mark(symbol, parse_mark(message))
            case "forceOrder":
                # It has no number; of two in one millisecond that are equal, one is taken for a repeat.
                liquidation = parse_liquidation(message)
                if not self._is_repeat(event, symbol, liquidation):
                    self._sink.on_liquidation(symbol, liquidation)

    def _size_of(self, symbol: str) -> float:
        """What a size of 1 counts in base units."""
        del symbol
        return 1.0

    def _is_counted(self, event: str, symbol: str, number: object) -> bool:
        """Whether a trade was counted before, whichever way it came."""
        return isinstance(number, int) and self._fast.is_repeat(self._codes[symbol], number, event)

    def _is_repeat(self, event: str, symbol: str, name: Hashable) -> bool:
        return name is not None and self._repeats.is_repeat((event, symbol), name)

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None:
        del url
        shown = frame if isinstance(frame, str) else frame.decode(errors="replace")
        event, code = _EVENT.search(shown), _CODE.search(shown)
        self._sink.on_malformed(
            self._symbols.get(code.group(1)) if code else None,
            _STREAMS.get(event.group(1)) if event else None,
            f"{type(error).__name__}: {error}; frame begins {shown[:80]!r}",
        )


def _name_at_ccxt(stream: Stream, symbol: str, code: str) -> str:
    """What ccxt 4.5.90 keys a subscription by, in ``Client.subscriptions``."""
    match stream:
        case Stream.BOOK:
            return f"orderbook::{symbol}"
        case Stream.TRADES:
            return f"trade::{symbol}"
        case Stream.MARK_PRICE:
            return f"markPrice:markPrice@{symbol}"
        case _:
            return f"{code.lower()}@forceOrder"
