"""The public side of Bybit through the tapped ccxt client: linear perpetuals."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.exchanges.bybit.capabilities import CAPABILITIES, DEPTH_LEVELS
from adapters.exchanges.bybit.client import DEFAULTS
from adapters.exchanges.bybit.payloads import (
    MARK_FIELDS,
    parse_book,
    parse_depth,
    parse_liquidations,
    parse_open_interest,
    parse_ticker,
    parse_tickers,
    parse_trades,
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
from adapters.exchanges.parsers import Payload, at_of, mapping, rows_of, text
from adapters.exchanges.repeats import Repeats
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.stream_sockets import StreamSockets
from adapters.exchanges.sync import DepthDiff
from adapters.exchanges.transport import Lane
from adapters.exchanges.venue import Capabilities, DepthSnapshot, ListedMarket, MarketSink, MarkFrame
from guard.errors import MalformedFrameError, UnknownSymbolError, VenueError
from guard.events import Stream
from guard.ports import Clock
from guard.units import NS_PER_MS, NS_PER_S, Nanoseconds

MARK_PERIOD_NS = 500 * NS_PER_MS
"""Tickers come ten times a second, of which twice as many as Binance's marks are passed on."""

RENEW_NS = NS_PER_S
"""Between two requests to begin one book again."""

RENEWALS_MAX = 1_000
"""Requests to begin a book again whose answers are still waited for; answers that were lost are forgotten."""

REFUSED_NS = 60 * NS_PER_S
"""A topic that the venue refused (a market that is gone) is left out for so long, then asked for again."""

_TOPICS = {
    Stream.BOOK: f"orderbook.{DEPTH_LEVELS}",
    Stream.TRADES: "publicTrade",
    Stream.MARK_PRICE: "tickers",
    Stream.LIQUIDATIONS: "allLiquidation",
}
_STREAMS = {
    "orderbook": Stream.BOOK,
    "publicTrade": Stream.TRADES,
    "tickers": Stream.MARK_PRICE,
    "allLiquidation": Stream.LIQUIDATIONS,
}
_REFUSED = re.compile(r"(?:not found|nvalid symbol)\W+(?:topic:)?([\w.-]+)")
_TOPIC = re.compile(r'"topic"\s*:\s*"(\w+)\.(?:\d+\.)?([A-Z0-9-]+)"')


@dataclass(slots=True)
class _Ticker:
    """The ticker of one market, of which the stream tells only what changed."""

    fields: dict[str, Any] = field(default_factory=dict)
    is_changed: bool = False
    said_at: Nanoseconds = 0


class BybitMarket:
    """A MarketConnection (see ``venue``): one ccxt client, a socket for each subscription."""

    def __init__(self, settings: VenueSettings, sink: MarketSink, clock: Clock, markets: Markets) -> None:
        self._venue = settings.id
        self._sink = sink
        self._clock = clock
        self._markets = markets
        self._client = make_client(settings, self, defaults=DEFAULTS)
        self._sockets = StreamSockets(self._client, clock)
        self._symbols: dict[str, str] = {}
        self._codes: dict[str, str] = {}
        self._tickers: dict[str, _Ticker] = {}
        self._repeats = Repeats()
        self._fast = FastPath(settings.id, sink, clock, self._on_taken)
        self._renewed_at: dict[str, Nanoseconds] = {}
        self._renewals: dict[str, str] = {}
        """Numbers of the requests by which one book was asked for again, and their market."""
        self._asked_for: dict[str, tuple[str, ...]] = {}
        """Of each socket the markets that were asked for; the rest was refused lately."""
        self._knocks: dict[str, str] = {}
        """Numbers of the requests for one market that had been refused."""
        self._refused_at: dict[str, Nanoseconds] = {}
        self._riders: dict[asyncio.Future[None], frozenset[str]] = {}
        """Those who watch open interest, which tickers bring along: the markets of each."""

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def list_perpetuals(self) -> Sequence[ListedMarket]:
        return await asked(self._venue, self._list())

    async def _list(self) -> Sequence[ListedMarket]:
        await self._markets.reload(self._client)
        response = await self._client.publicGetV5MarketTickers({"category": "linear"})
        return perpetuals_of(self._client, parse_turnovers(response))

    async def load(self, symbols: Sequence[str]) -> tuple[list[str], list[UnknownSymbolError]]:
        await asked(self._venue, self._markets.load(self._client))
        known, errors = find_symbols(self._venue, self._client, symbols)
        for symbol in known:
            code = self._client.markets[symbol]["id"]
            self._symbols[code] = symbol
            self._codes[symbol] = code
        return known, errors

    async def watch(self, stream: Stream, symbols: Sequence[str]) -> None:
        if stream is Stream.OPEN_INTEREST:
            await self._ride(symbols)
            return
        address = self._client.implode_hostname(self._client.urls["api"]["ws"]["public"]["linear"])
        url = self._sockets.open(address, stream, symbols)
        self._fast.take_up(stream, symbols, self._codes.__getitem__)
        knocking = asyncio.create_task(self._knock(url, stream), name=f"{self._venue} {stream} refused")
        try:
            while True:
                await asked(self._venue, self._subscribe(url, stream, symbols))
        except VenueError as error:
            if stream is Stream.MARK_PRICE:
                self._throw_off(symbols, error)
            raise
        finally:
            knocking.cancel()
            await asyncio.gather(knocking, return_exceptions=True)
            self._asked_for.pop(url, None)
            self._sockets.close(url, "it is subscribed anew, or not watched any more")

    async def _subscribe(self, url: str, stream: Stream, symbols: Sequence[str]) -> None:
        """Ask for all topics but those that were refused lately: the venue takes all of a request or none."""
        now = self._clock.now()
        wanted = [
            symbol
            for symbol in symbols
            if now - self._refused_at.get(self._topic(stream, symbol), -REFUSED_NS) >= REFUSED_NS
        ]
        if not wanted:
            raise VenueError(self._venue, f"refuses {stream} of {', '.join(symbols)}")
        self._asked_for[url] = tuple(wanted)
        topics = [self._topic(stream, symbol) for symbol in wanted]
        # The names of ccxt's futures are the topics: none of its own handlers resolves them.
        await self._client.watch_topics(url, topics, topics)

    async def _knock(self, url: str, stream: Stream) -> None:
        """Ask again now and then for the markets that were left out."""
        while True:
            await self._clock.sleep_until(self._clock.now() + REFUSED_NS)
            carried, socket = self._sockets.carried(url), self._sockets.socket(url)
            if carried is None or socket is None or not socket.isConnected:
                continue
            for symbol in set(carried.symbols).difference(self._asked_for.get(url, carried.symbols)):
                number = str(self._client.request_id())
                self._knocks[number] = symbol
                request = {"op": "subscribe", "req_id": number, "args": [self._topic(stream, symbol)]}
                await socket.send(request)

    def _topic(self, stream: Stream, symbol: str) -> str:
        return f"{_TOPICS[stream]}.{self._codes[symbol]}"

    async def _ride(self, symbols: Sequence[str]) -> None:
        """Wait until the tickers of these markets are lost."""
        rider: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._riders[rider] = frozenset(symbols)
        try:
            await rider
        finally:
            del self._riders[rider]

    def _throw_off(self, symbols: Sequence[str], error: VenueError) -> None:
        for rider, carried in self._riders.items():
            if not rider.done() and not carried.isdisjoint(symbols):
                rider.set_exception(VenueError(self._venue, error.detail))

    async def renew_depth(self, symbol: str) -> None:
        """Leave the one topic and subscribe to it again: the venue begins it with the whole book."""
        # Whatever goes wrong with one book, it is not asked for again and again.
        await self._clock.sleep_until(self._renewed_at.get(symbol, 0) + RENEW_NS)
        self._renewed_at[symbol] = self._clock.now()
        url = self._sockets.home(Stream.BOOK, symbol)
        socket = self._sockets.socket(url) if url else None
        if socket is None or not socket.isConnected:
            raise VenueError(self._venue, f"the books of {symbol} are not connected")
        topic = self._topic(Stream.BOOK, symbol)
        for operation in ("unsubscribe", "subscribe"):
            number = str(self._client.request_id())
            self._renewals[number] = symbol
            if len(self._renewals) > RENEWALS_MAX:
                self._renewals.pop(next(iter(self._renewals)))
            request = {"op": operation, "req_id": number, "args": [topic]}
            await asked(self._venue, socket.send(request))

    async def fetch_depth(self, symbol: str) -> DepthSnapshot:
        return await asked(self._venue, self._depth(symbol))

    async def _depth(self, symbol: str) -> DepthSnapshot:
        request = {"category": "linear", "symbol": self._codes[symbol], "limit": 200}
        return parse_depth(await self._client.publicGetV5MarketOrderbook(request))

    async def fetch_open_interest(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        ticker, at = await asked(self._venue, self._ticker(symbol))
        return parse_open_interest(ticker), at

    async def fetch_mark(self, symbol: str) -> MarkFrame:
        ticker, at = await asked(self._venue, self._ticker(symbol))
        return parse_ticker(ticker, at)

    async def _ticker(self, symbol: str) -> tuple[Mapping[str, Any], Nanoseconds | None]:
        request = {"category": "linear", "symbol": self._codes[symbol]}
        response = await self._client.publicGetV5MarketTickers(request)
        rows = parse_tickers(response)
        if len(rows) != 1:
            raise MalformedFrameError("GET /v5/market/tickers", f"{len(rows)} rows where one was asked for")
        parse_ticker(rows[0], None)
        return rows[0], at_of(response, "time")

    def close_silent(self, silence_ns: Nanoseconds) -> list[str]:
        """Tickers come whatever happens; elsewhere a pong is enough (lost books are found over REST)."""
        return self._sockets.close_silent(silence_ns, owing=(Stream.MARK_PRICE,))

    def reopen(self, stream: Stream, reason: str) -> None:
        self._sockets.reopen(Stream.MARK_PRICE if stream is Stream.OPEN_INTEREST else stream, reason)

    async def close(self) -> None:
        await close_client(self._client)

    # The tap: called by the client for every frame.

    def on_alive(self, url: str) -> None:
        self._sockets.on_alive(url)

    def on_frame(self, url: str) -> None:
        """What is data is told by ``take``: pongs are frames here."""

    def lane(self, url: str) -> Lane | None:
        del url
        return self._fast.lane()

    def _on_taken(self, url: str, at: Nanoseconds) -> None:
        self._sockets.on_taken(url, at)

    def on_connected(self, url: str) -> None:
        self._sockets.on_connected(url)
        carried = self._sockets.carried(url)
        if carried is not None and carried.stream is Stream.MARK_PRICE:
            # What changed while nobody listened is told in the whole ticker with which each begins.
            for symbol in carried.symbols:
                self._tickers.pop(symbol, None)

    def take(self, url: str, message: Any) -> bool:
        if not isinstance(message, dict):
            raise MalformedFrameError("frame", f"not a JSON object: {message!r:.40}")
        topic = message.get("topic")
        if isinstance(topic, str):
            name, _, rest = topic.partition(".")
            if name in _STREAMS:
                self._sockets.on_data(url)
                self._deliver(url, name, rest.rpartition(".")[2], message)
            return True
        if message.get("op") in {"subscribe", "unsubscribe"}:
            return self._answered(url, message)
        return False

    def _answered(self, url: str, message: dict[str, Any]) -> bool:
        """Take the answer to a subscription; ccxt learns only of refusals of those that it sent itself."""
        number, refused = str(message.get("req_id")), message.get("success") is False
        if refused and (topic := _REFUSED.search(str(message.get("ret_msg")))):
            self._refused_at[topic.group(1)] = self._clock.now()
        if (symbol := self._renewals.pop(number, None)) is not None:
            socket = self._sockets.socket(url)
            if refused and socket is not None:
                reason = f"the book of {symbol} was refused: {message.get('ret_msg')}"
                socket.on_error(network_error(reason))
        elif (symbol := self._knocks.pop(number, None)) is not None:
            if not refused:
                self._asked_for[url] = (*self._asked_for.get(url, ()), symbol)
                self._tell_subscribed(url, [symbol])
        elif refused:
            return False
        elif message.get("op") == "subscribe":
            self._tell_subscribed(url, self._asked_for.get(url, ()))
        return True

    def _tell_subscribed(self, url: str, symbols: Sequence[str]) -> None:
        carried = self._sockets.carried(url)
        if carried is None:
            return
        self._sockets.on_answered(url)
        self._sink.on_subscribed(carried.stream, symbols)
        if carried.stream is Stream.MARK_PRICE:
            self._sink.on_subscribed(Stream.OPEN_INTEREST, symbols)

    def _deliver(self, url: str, name: str, code: str, message: dict[str, Any]) -> None:
        symbol, carried = self._symbols.get(code), self._sockets.carried(url)
        if symbol is None or carried is None or symbol not in carried.symbols:
            return
        match _STREAMS[name]:
            case Stream.BOOK:
                book = parse_book(message)
                if isinstance(book, DepthDiff):
                    self._sink.on_depth(symbol, book)
                else:
                    self._sink.on_book(symbol, book)
            case Stream.TRADES:
                rows = [row for row in rows_of(message, "data", name) if not self._is_repeat(symbol, row)]
                for trade in parse_trades({**message, "data": rows}):
                    self._sink.on_trade(symbol, trade)
            case Stream.LIQUIDATIONS:
                found = parse_liquidations(message)
                # They have no numbers, and two in one frame may well be equal: whole frames are told apart.
                if not self._repeats.is_repeat(("liquidations", symbol), (message.get("ts"), *found)):
                    for liquidation in found:
                        self._sink.on_liquidation(symbol, liquidation)
            case Stream.MARK_PRICE:
                self._deliver_ticker(symbol, message)

    def _is_repeat(self, symbol: str, trade: Payload) -> bool:
        number = trade.get("i")
        return isinstance(number, str) and self._fast.is_repeat(self._codes[symbol], number)

    def _deliver_ticker(self, symbol: str, message: dict[str, Any]) -> None:
        ticker = self._tickers.setdefault(symbol, _Ticker())
        changed = mapping(message, "data", "tickers")
        whole = text(message, "type", "tickers") == "snapshot"
        merged = dict(changed) if whole else {**ticker.fields, **changed}
        now, at = self._clock.now(), at_of(message, "ts")
        if "markPrice" not in merged:
            return  # a change of a ticker whose beginning was lost: the next whole one comes with the socket
        frame = parse_ticker(merged, at)  # refused before it is kept
        interest = parse_open_interest(merged) if "openInterest" in changed else None
        ticker.fields = merged
        ticker.is_changed |= not MARK_FIELDS.isdisjoint(changed)
        if ticker.is_changed and now - ticker.said_at >= MARK_PERIOD_NS:
            ticker.said_at, ticker.is_changed = now, False
            self._sink.on_mark(symbol, frame)
        if interest is not None:
            self._sink.on_open_interest(symbol, interest, at)

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None:
        shown = frame if isinstance(frame, str) else frame.decode(errors="replace")
        topic, carried = _TOPIC.search(shown), self._sockets.carried(url)
        stream = _STREAMS.get(topic.group(1)) if topic else None
        self._sink.on_malformed(
            self._symbols.get(topic.group(2)) if topic else None,
            stream or (carried.stream if carried else None),
            f"{type(error).__name__}: {error}; frame begins {shown[:80]!r}",
        )
