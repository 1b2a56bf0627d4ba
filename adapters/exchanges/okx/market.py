"""The public side of OKX through the tapped ccxt client: linear swaps."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

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
from adapters.exchanges.okx.capabilities import CAPABILITIES
from adapters.exchanges.okx.client import DEFAULTS, contract_size_of
from adapters.exchanges.okx.payloads import (
    data_of,
    parse_books,
    parse_depth,
    parse_funding,
    parse_index_price,
    parse_liquidations,
    parse_mark_price,
    parse_open_interest,
    parse_trades,
    parse_turnovers,
)
from adapters.exchanges.parsers import Payload, text
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
"""Marks come five times a second, of which twice as many as Binance's are passed on."""

DIAL_NS = 400 * NS_PER_MS
"""Between two new sockets: the venue takes three a second from one address."""

REFUSED_NS = 60 * NS_PER_S
"""A channel that the venue refused (of a market that is gone) is asked for again after so long."""

HOUR_NS = 3_600 * NS_PER_S
RENEWALS_AN_HOUR = 200
"""Of one socket, two requests each: the venue takes 480 requests to subscribe or leave an hour on one."""

_CHANNELS = {
    Stream.BOOK: ("books",),
    Stream.TRADES: ("trades",),
    Stream.MARK_PRICE: ("mark-price", "funding-rate", "index-tickers"),
    Stream.LIQUIDATIONS: ("liquidation-orders",),
    Stream.OPEN_INTEREST: ("open-interest",),
}
_STREAMS = {channel: stream for stream, channels in _CHANNELS.items() for channel in channels}
_REFUSAL = "60018"
"""The code of an error that is about one channel; the others of the request are given."""
_REFUSED = re.compile(r"channel:([\w-]+),\s*instId:([A-Z0-9_-]+)")
_CHANNEL = re.compile(r'"channel"\s*:\s*"([\w-]+)"')
_CODE = re.compile(r'"instId"\s*:\s*"([A-Z0-9-]+)"')

log = structlog.get_logger()


@dataclass(slots=True)
class _Mark:
    """What three channels say of one market's mark."""

    price: float | None = None
    index_price: float | None = None
    funding_rate: float | None = None
    next_funding_at: Nanoseconds | None = None
    said_at: Nanoseconds = 0


class OkxMarket:
    """A MarketConnection (see ``venue``): one ccxt client, a socket for each subscription."""

    def __init__(self, settings: VenueSettings, sink: MarketSink, clock: Clock, markets: Markets) -> None:
        self._venue = settings.id
        self._sink = sink
        self._clock = clock
        self._markets = markets
        self._client = make_client(settings, self, defaults=DEFAULTS)
        self._sockets = StreamSockets(self._client, clock)
        self._dialing = asyncio.Lock()
        self._dialled_at: Nanoseconds = 0
        self._symbols: dict[str, str] = {}
        self._codes: dict[str, str] = {}
        self._sizes: dict[str, float] = {}
        self._indexes: dict[str, str] = {}
        """The index that each market follows."""
        self._marks: dict[str, _Mark] = {}
        self._repeats = Repeats()
        self._fast = FastPath(settings.id, sink, clock, self._on_taken)
        self._renewed_at: dict[str, deque[Nanoseconds]] = {}
        self._refused: dict[str, set[tuple[str, str]]] = {}
        """Of each socket the channels and codes that the venue refused lately."""
        self._renewing: dict[str, int] = {}
        """Of each market how many answers are owed for a book that was asked for again."""

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def list_perpetuals(self) -> Sequence[ListedMarket]:
        return await asked(self._venue, self._list())

    async def _list(self) -> Sequence[ListedMarket]:
        await self._markets.reload(self._client)
        response = await self._client.publicGetMarketTickers({"instType": "SWAP"})
        listed = perpetuals_of(self._client, parse_turnovers(response))
        return [market for market in listed if self._is_linear(market.symbol)]

    def _is_linear(self, symbol: str) -> bool:
        return contract_size_of(self._client, str(self._client.markets[symbol]["id"])) is not None

    async def load(self, symbols: Sequence[str]) -> tuple[list[str], list[UnknownSymbolError]]:
        await asked(self._venue, self._markets.load(self._client))
        found, errors = find_symbols(self._venue, self._client, symbols)
        known = [symbol for symbol in found if self._is_linear(symbol)]
        by_symbol = dict(zip(_rest(symbols, found), errors, strict=True))
        by_symbol |= {
            symbol: UnknownSymbolError(
                self._venue, f"{symbol!r} is margined in coin, and only linear swaps are read at this venue"
            )
            for symbol in found
            if symbol not in known
        }
        for symbol in known:
            code = str(self._client.markets[symbol]["id"])
            size = contract_size_of(self._client, code)
            if size is not None:
                self._symbols[code], self._codes[symbol], self._sizes[symbol] = symbol, code, size
                market = self._client.markets[symbol]
                self._indexes[symbol] = f"{market['baseId']}-{market['quoteId']}"
        return known, [by_symbol[symbol] for symbol in _rest(symbols, known)]

    async def watch(self, stream: Stream, symbols: Sequence[str]) -> None:
        await self._wait_to_dial()
        url = self._sockets.open(self._client.get_url("books", "public"), stream, symbols)
        self._fast.take_up(stream, symbols, self._codes.__getitem__, self._sizes.__getitem__)
        names = [f"{stream}:{symbol}" for symbol in symbols]
        request = {"op": "subscribe", "args": self._arguments(stream, symbols)}
        knocking = asyncio.create_task(self._knock(url), name=f"{self._venue} {stream} refused")
        try:
            while True:
                # The names of ccxt's futures are its own no more: none of its handlers resolves them.
                await asked(self._venue, self._client.watch_multiple(url, names, request, names))
        finally:
            knocking.cancel()
            await asyncio.gather(knocking, return_exceptions=True)
            self._renewed_at.pop(url, None)
            self._refused.pop(url, None)
            self._sockets.close(url, "it is subscribed anew, or not watched any more")

    async def _knock(self, url: str) -> None:
        """Ask again now and then for what the venue refused."""
        while True:
            await self._clock.sleep_until(self._clock.now() + REFUSED_NS)
            socket, refused = self._sockets.socket(url), self._refused.pop(url, None)
            if refused and socket is not None and socket.isConnected:
                arguments = [{"channel": channel, "instId": code} for channel, code in sorted(refused)]
                await socket.send({"op": "subscribe", "args": arguments})

    async def _wait_to_dial(self) -> None:
        async with self._dialing:
            await self._clock.sleep_until(self._dialled_at + DIAL_NS)
            self._dialled_at = self._clock.now()

    def _arguments(self, stream: Stream, symbols: Sequence[str]) -> list[dict[str, str]]:
        if stream is Stream.LIQUIDATIONS:
            return [{"channel": "liquidation-orders", "instType": "SWAP"}]
        arguments = []
        for channel in _CHANNELS[stream]:
            named = self._indexes if channel == "index-tickers" else self._codes
            codes = dict.fromkeys(named[symbol] for symbol in symbols)
            arguments += [{"channel": channel, "instId": code} for code in codes]
        return arguments

    async def renew_depth(self, symbol: str) -> None:
        """Leave the one channel and subscribe to it again: the venue begins it with the whole book.

        Too many of these in an hour on one socket, and the socket is opened anew instead.
        """
        url = self._sockets.home(Stream.BOOK, symbol)
        socket = self._sockets.socket(url) if url else None
        if url is None or socket is None or not socket.isConnected:
            raise VenueError(self._venue, f"the books of {symbol} are not connected")
        renewed, now = self._renewed_at.setdefault(url, deque()), self._clock.now()
        while renewed and now - renewed[0] >= HOUR_NS:
            renewed.popleft()
        if len(renewed) >= RENEWALS_AN_HOUR:
            socket.on_error(network_error("its hourly requests are used up: it is opened anew"))
            return
        renewed.append(now)
        self._renewing[symbol] = 2
        argument = {"channel": "books", "instId": self._codes[symbol]}
        for operation in ("unsubscribe", "subscribe"):
            await asked(self._venue, socket.send({"op": operation, "args": [argument]}))

    async def fetch_depth(self, symbol: str) -> DepthSnapshot:
        return await asked(self._venue, self._depth(symbol))

    async def _depth(self, symbol: str) -> DepthSnapshot:
        request = {"instId": self._codes[symbol], "sz": "400"}
        return parse_depth(await self._client.publicGetMarketBooks(request), self._sizes[symbol])

    async def fetch_open_interest(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        return await asked(self._venue, self._open_interest(symbol))

    async def _open_interest(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        request = {"instType": "SWAP", "instId": self._codes[symbol]}
        response = await self._client.publicGetPublicOpenInterest(request)
        return parse_open_interest(_one(response, "open-interest"), self._sizes[symbol])

    async def fetch_mark(self, symbol: str) -> MarkFrame:
        return await asked(self._venue, self._mark(symbol))

    async def _mark(self, symbol: str) -> MarkFrame:
        code = self._codes[symbol]
        request = {"instType": "SWAP", "instId": code}
        told = _one(await self._client.publicGetPublicMarkPrice(request), "mark-price")
        funded = _one(await self._client.publicGetPublicFundingRate({"instId": code}), "funding-rate")
        price, at = parse_mark_price(told)
        rate, next_at = parse_funding(funded)
        mark = self._marks.setdefault(symbol, _Mark())
        mark.price, mark.funding_rate, mark.next_funding_at = price, rate, next_at
        return MarkFrame(price, mark.index_price, rate, next_at, at)

    def close_silent(self, silence_ns: Nanoseconds) -> list[str]:
        """Marks come at least every 10 s; elsewhere a pong is enough (lost books are found over REST)."""
        owing = (Stream.MARK_PRICE,) if silence_ns > 10 * NS_PER_S else ()
        return self._sockets.close_silent(silence_ns, owing)

    def reopen(self, stream: Stream, reason: str) -> None:
        self._sockets.reopen(stream, reason)

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
        if carried is not None and carried.stream is Stream.BOOK:
            for symbol in carried.symbols:
                self._renewing.pop(symbol, None)  # answers that the socket before this one owed

    def take(self, url: str, message: Any) -> bool:
        if not isinstance(message, dict):
            if message == "pong":
                return False
            raise MalformedFrameError("frame", f"not a JSON object: {message!r:.40}")
        argument = message.get("arg")
        if not isinstance(argument, dict):
            return self._is_one_refusal(url, message)  # other errors are ccxt's: it fails the whole socket
        match message.get("event"):
            case None:
                self._sockets.on_data(url)
                self._deliver(url, message, argument)
            case "subscribe" | "unsubscribe" as event:
                self._answered(url, str(event), argument)
            case _:
                return False
        return True

    def _is_one_refusal(self, url: str, message: dict[str, Any]) -> bool:
        """Take a refusal of one channel, as long as others are left on the socket."""
        found = _REFUSED.search(str(message.get("msg"))) if message.get("code") == _REFUSAL else None
        carried = self._sockets.carried(url)
        if found is None or carried is None:
            return False
        refused = self._refused.setdefault(url, set())
        refused.add((found.group(1), found.group(2)))
        wanted = {(_CHANNELS[carried.stream][0], self._codes[symbol]) for symbol in carried.symbols}
        if wanted <= refused:
            return False
        log.warning("refused by the venue", venue=self._venue, channel=found.group(1), market=found.group(2))
        return True

    def _answered(self, url: str, event: str, argument: Payload) -> None:
        """Take the answer to a subscription: one for each channel, or none for one that failed."""
        carried, channel = self._sockets.carried(url), str(argument.get("channel"))
        symbol = self._symbols.get(str(argument.get("instId")))
        self._sockets.on_answered(url)
        if channel == "books" and symbol is not None and self._renewing.get(symbol):
            self._renewing[symbol] -= 1
        elif carried is None or event != "subscribe":
            return
        elif channel == "liquidation-orders":
            self._sink.on_subscribed(carried.stream, carried.symbols)
        elif symbol is not None and channel == _CHANNELS[carried.stream][0]:
            self._sink.on_subscribed(carried.stream, [symbol])

    def _deliver(self, url: str, message: dict[str, Any], argument: Payload) -> None:
        carried, channel = self._sockets.carried(url), text(argument, "channel", "frame")
        if carried is None:
            return
        code = str(argument.get("instId", ""))
        if channel == "liquidation-orders":
            found = parse_liquidations(message, self._size_of)
            # They have no numbers, and two in one frame may well be equal: whole frames are told apart.
            if self._repeats.is_repeat((url, channel), tuple(found)):
                return
            for liquidated, liquidation in found:
                if self._symbols[liquidated] in carried.symbols:
                    self._sink.on_liquidation(self._symbols[liquidated], liquidation)
        elif channel == "index-tickers":
            for row in data_of(message, channel):
                self._take_index(code, parse_index_price(row))
        elif (symbol := self._symbols.get(code)) in carried.symbols:
            self._deliver_of(str(symbol), channel, message)

    def _deliver_of(self, symbol: str, channel: str, message: dict[str, Any]) -> None:
        size = self._sizes[symbol]
        match channel:
            case "books":
                self._deliver_books(symbol, message)
            case "trades":
                rows = [row for row in data_of(message, channel) if not self._is_repeat(symbol, row)]
                for trade in parse_trades({**message, "data": rows}, size):
                    self._sink.on_trade(symbol, trade)
            case "open-interest":
                for row in data_of(message, channel):
                    self._sink.on_open_interest(symbol, *parse_open_interest(row, size))
            case "mark-price" | "funding-rate":
                for row in data_of(message, channel):
                    self._take_mark(symbol, channel, row)

    def _is_repeat(self, symbol: str, trade: Payload) -> bool:
        number = trade.get("tradeId")
        return isinstance(number, str) and self._fast.is_repeat(self._codes[symbol], number)

    def _size_of(self, code: str) -> float | None:
        symbol = self._symbols.get(code)
        return self._sizes[symbol] if symbol is not None else None

    def _deliver_books(self, symbol: str, message: dict[str, Any]) -> None:
        for found in parse_books(message, self._sizes[symbol]):
            if isinstance(found, DepthDiff):
                self._sink.on_depth(symbol, found)
            else:
                self._sink.on_book(symbol, found)

    def _take_index(self, index: str, price: float) -> None:
        for symbol, followed in self._indexes.items():
            if followed == index:
                self._marks.setdefault(symbol, _Mark()).index_price = price

    def _take_mark(self, symbol: str, channel: str, row: Payload) -> None:
        mark, now, at = self._marks.setdefault(symbol, _Mark()), self._clock.now(), None
        if channel == "mark-price":
            mark.price, at = parse_mark_price(row)
        else:
            mark.funding_rate, mark.next_funding_at = parse_funding(row)
        if mark.price is None or (channel == "mark-price" and now - mark.said_at < MARK_PERIOD_NS):
            return
        mark.said_at = now
        frame = MarkFrame(mark.price, mark.index_price, mark.funding_rate, mark.next_funding_at, at)
        self._sink.on_mark(symbol, frame)

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None:
        shown = frame if isinstance(frame, str) else frame.decode(errors="replace")
        channel, code, carried = _CHANNEL.search(shown), _CODE.search(shown), self._sockets.carried(url)
        stream = _STREAMS.get(channel.group(1)) if channel else None
        self._sink.on_malformed(
            self._symbols.get(code.group(1)) if code else None,
            stream or (carried.stream if carried else None),
            f"{type(error).__name__}: {error}; frame begins {shown[:80]!r}",
        )


def _rest(symbols: Sequence[str], known: Sequence[str]) -> list[str]:
    return [symbol for symbol in symbols if symbol not in known]


def _one(response: Any, where: str) -> Payload:
    rows = data_of(response, where)
    if len(rows) != 1:
        raise MalformedFrameError(where, f"{len(rows)} rows where one was asked for")
    return rows[0]
