"""The public side of Hyperliquid through the tapped ccxt client."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from adapters.exchanges.hyperliquid.capabilities import CAPABILITIES, DEFAULTS
from adapters.exchanges.hyperliquid.deep_book import COARSE_FIGURES, DeepBook
from adapters.exchanges.hyperliquid.payloads import (
    Context,
    parse_book,
    parse_context,
    parse_contexts,
    parse_trades,
)
from adapters.exchanges.hyperliquid.waiting import first_of
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.transport import Lane
from adapters.exchanges.venue import Capabilities, DepthSnapshot, ListedMarket, MarketSink, MarkFrame
from guard.errors import UnknownSymbolError, VenueError
from guard.events import Stream
from guard.ports import Clock
from guard.units import NS_PER_S, Nanoseconds

COARSE_RETRY_S = 2.0
CONTEXTS_AGE_NS_MAX = NS_PER_S
"""One answer tells the context of every market: asked for one after another, they cost one request."""

_STREAMS = {
    "l2Book": (Stream.BOOK,),
    "trades": (Stream.TRADES,),
    "activeAssetCtx": (Stream.MARK_PRICE, Stream.OPEN_INTEREST),
}
_CHANNEL = re.compile(r'"channel"\s*:\s*"(\w+)"')
_KIND = re.compile(r'"type"\s*:\s*"(\w+)"')
_COIN = re.compile(r'"coin"\s*:\s*"([^"]+)"')


Key = tuple[str, str, int | None]
"""What a subscription is of: its type and coin, and how coarse its books are."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription of one market."""

    stream: Stream
    symbol: str
    coin: str
    figures: int | None = None

    @property
    def request(self) -> dict[str, object]:
        """What the venue is asked for."""
        asked_for: dict[str, object] = {"type": self.key[0], "coin": self.coin}
        return asked_for if self.figures is None else asked_for | {"nSigFigs": self.figures}

    @property
    def key(self) -> Key:
        kind = next(kind for kind, streams in _STREAMS.items() if self.stream in streams)
        return kind, self.coin, self.figures

    @property
    def name(self) -> str:
        """What ccxt keys it by."""
        name = f"{_PREFIXES[self.stream]}:{self.symbol}"
        return name if self.figures is None else f"{name}#{self.figures}"


class HyperliquidMarket:
    """A MarketConnection (see ``venue``): one socket, and one for the books of each coarser precision."""

    def __init__(self, settings: VenueSettings, sink: MarketSink, clock: Clock, markets: Markets) -> None:
        self._venue = settings.id
        self._sink = sink
        self._clock = clock
        self._markets = markets
        self._client = make_client(settings, self, defaults=DEFAULTS)
        self._symbols: dict[str, str] = {}
        self._coins: dict[str, str] = {}
        self._deep: dict[str, DeepBook] = {}
        self._alive_at: dict[str, Nanoseconds] = {}
        self._told_at: dict[str, Nanoseconds] = {}
        self._history_due: set[str] = set()
        """Coins whose next trades are those from before the subscription."""
        self._silence_s = settings.silence_s_max
        self._owed: dict[Key, Nanoseconds] = {}
        """Since when each subscription owes an answer or, where something comes with every block, that."""
        self._fast = FastPath(settings.id, sink, clock, self._on_taken)
        self._contexts: Mapping[str, Context] = {}
        self._contexts_at: Nanoseconds = 0
        self._asking = asyncio.Lock()

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def list_perpetuals(self) -> Sequence[ListedMarket]:
        return await asked(self._venue, self._list())

    async def _list(self) -> Sequence[ListedMarket]:
        await self._markets.reload(self._client)
        contexts = await self._read_contexts()
        turnovers = {
            symbol: volume_usd
            for symbol, market in self._client.markets.items()
            if (context := contexts.get(str(market.get("baseName")))) is not None
            and (volume_usd := context.volume_usd) is not None
        }
        return perpetuals_of(self._client, turnovers)

    async def load(self, symbols: Sequence[str]) -> tuple[list[str], list[UnknownSymbolError]]:
        await asked(self._venue, self._markets.load(self._client))
        known, errors = find_symbols(self._venue, self._client, symbols)
        for symbol in known:
            coin = str(self._client.markets[symbol]["baseName"])
            self._symbols[coin] = symbol
            self._coins[symbol] = coin
            self._deep.setdefault(coin, DeepBook())
        return known, errors

    # Subscribing

    async def watch(self, stream: Stream, symbols: Sequence[str]) -> None:
        coarse = COARSE_FIGURES if stream is Stream.BOOK else ()
        keeping = [
            asyncio.create_task(
                self._keep_coarse(figures, symbols), name=f"{self._venue} books of {figures} figures"
            )
            for figures in coarse
        ]
        subscriptions = [self._subscription(stream, symbol) for symbol in symbols]
        try:
            await asked(self._venue, first_of([self._subscribe(each) for each in subscriptions]))
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
            self._forget(subscriptions)

    async def _keep_coarse(self, figures: int, symbols: Sequence[str]) -> None:
        """Keep the books of one coarser precision; without them the fine ones go on, and reach less far."""
        subscriptions = [self._subscription(Stream.BOOK, symbol, figures) for symbol in symbols]
        while True:
            try:
                await asked(self._venue, first_of([self._subscribe(each) for each in subscriptions]))
            except VenueError:
                self._forget_coarse(figures, symbols)
                await self._clock.sleep_until(self._clock.now() + int(COARSE_RETRY_S * NS_PER_S))
            finally:
                self._forget_coarse(figures, symbols)
                self._forget(subscriptions)

    def _forget_coarse(self, figures: int, symbols: Sequence[str]) -> None:
        for symbol in symbols:
            self._deep[self._coins[symbol]].forget(figures)

    async def _subscribe(self, subscription: Subscription) -> None:
        """Keep one subscription until its socket is lost; ask again where nothing came of it.

        To ask twice is harmless: the venue says that we are subscribed, and goes on.
        """
        request = {"method": "subscribe", "subscription": subscription.request}
        self._owed.setdefault(subscription.key, self._clock.now())
        while True:
            future = self._client.watch(
                self._url(subscription.figures), subscription.name, request, subscription.name
            )
            future.add_done_callback(_retrieved)
            # Not awaited itself: mark price and open interest wait for the same one, and none may cancel it.
            await asyncio.wait({future}, timeout=self._silence_s)
            if future.done():
                future.result()
            if self._is_silent(subscription):
                self._forget([subscription])
                self._owed[subscription.key] = self._clock.now()

    def _is_silent(self, subscription: Subscription) -> bool:
        """Whether it was asked for and not answered, or owes what comes with every block."""
        since = self._owed.get(subscription.key)
        return since is not None and self._clock.now() - since >= self._silence_s * NS_PER_S

    def _subscription(self, stream: Stream, symbol: str, figures: int | None = None) -> Subscription:
        return Subscription(stream, symbol, self._coins[symbol], figures)

    def _url(self, figures: int | None) -> str:
        # A frame does not say how coarse it is, so each precision has a socket. What follows # is not sent.
        address = str(self._client.urls["api"]["ws"]["public"])
        return address if figures is None else f"{address}#{figures}"

    def _forget(self, subscriptions: Sequence[Subscription]) -> None:
        """Make ccxt subscribe anew: it remembers a subscription that the venue refused as made."""
        for subscription in subscriptions:
            self._owed.pop(subscription.key, None)
            if subscription.stream is Stream.TRADES:
                self._fast.leave_trades(subscription.coin)
            for socket in (self._client.clients or {}).values():
                socket.subscriptions.pop(subscription.name, None)

    # Asking

    async def fetch_depth(self, symbol: str) -> DepthSnapshot:
        return await asked(self._venue, self._depth(symbol))

    async def _depth(self, symbol: str) -> DepthSnapshot:
        request = {"type": "l2Book", "coin": self._coins[symbol]}
        _, book = parse_book(await self._client.publicPostInfo(request))
        return book

    async def renew_depth(self, symbol: str) -> None:
        raise NotImplementedError(f"the book of {symbol} comes whole each time at this venue")

    async def fetch_open_interest(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        interest = (await self._context_of(symbol)).open_interest
        if interest is None:
            raise VenueError(self._venue, f"tells no open interest of {symbol}")
        return interest, None

    async def fetch_mark(self, symbol: str) -> MarkFrame:
        return (await self._context_of(symbol)).mark

    async def _context_of(self, symbol: str) -> Context:
        async with self._asking:
            if self._clock.now() - self._contexts_at > CONTEXTS_AGE_NS_MAX:
                await asked(self._venue, self._read_contexts())
        context = self._contexts.get(self._coins[symbol])
        if context is None:
            raise VenueError(self._venue, f"says nothing of {symbol} any more: it may be delisted")
        return context

    async def _read_contexts(self) -> Mapping[str, Context]:
        response = await self._client.publicPostInfo({"type": "metaAndAssetCtxs"})
        now = self._clock.now()
        self._contexts = {context.coin: context for context in parse_contexts(response, now)}
        self._contexts_at = now
        return self._contexts

    # Watching over the sockets

    def close_silent(self, silence_ns: Nanoseconds) -> list[str]:
        """Close the sockets that show no sign of life, and those that owe books or prices."""
        now, closed = self._clock.now(), []
        for url, socket in list((self._client.clients or {}).items()):
            carried = self._carried(socket)
            heard_at = self._alive_at if carried <= {Stream.TRADES} else self._told_at
            silent_ns = now - heard_at.get(url, now)
            if socket.isConnected and silent_ns > silence_ns:
                socket.on_error(network_error(f"nothing came for {silent_ns / NS_PER_S:.1f} s"))
                closed.append("+".join(sorted(carried)) or url)
        return closed

    def _carried(self, socket: Any) -> set[Stream]:
        carried: set[Stream] = set()
        for name in socket.subscriptions:
            kind = str(name).partition(":")[0]
            carried |= {stream for stream, prefix in _PREFIXES.items() if prefix == kind}
        return carried

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
        """Pongs are frames too at this venue: ``take`` counts those that tell something."""

    def lane(self, url: str) -> Lane | None:
        # Of coarse books, which have sockets of their own, nothing is taken raw.
        return self._fast.lane() if _figures_of(url) is None else None

    def _on_taken(self, url: str, at: Nanoseconds) -> None:
        self._alive_at[url] = self._told_at[url] = at

    def on_connected(self, url: str) -> None:
        self._alive_at[url] = self._told_at[url] = self._clock.now()

    def take(self, url: str, message: Any) -> bool:
        if not isinstance(message, dict):
            raise TypeError("not a JSON object")
        channel = message.get("channel")
        if channel == "subscriptionResponse":
            self._acknowledged(url, message.get("data"))
            return False
        if channel == "error":
            return self._was_refused(url, str(message.get("data")))
        if channel not in _STREAMS:
            return False
        self._told_at[url] = self._clock.now()
        match channel:
            case "l2Book":
                self._take_book(url, message.get("data"))
            case "trades":
                self._take_trades(message.get("data"))
            case _:
                self._take_context(message.get("data"))
        return True

    def _acknowledged(self, url: str, data: Any) -> None:
        match data:
            case {"method": "subscribe", "subscription": {"type": str(kind), "coin": str(coin)}}:
                symbol = self._symbols.get(coin)
                self._heard(kind, coin, _figures_of(url))
                if symbol is None or _figures_of(url) is not None:
                    return
                if kind == "trades":
                    self._history_due.add(coin)
                    self._fast.leave_trades(coin)
                for stream in _STREAMS.get(kind, ()):
                    self._sink.on_subscribed(stream, [symbol])

    def _heard(self, kind: str, coin: str, figures: int | None) -> None:
        """Something came of a subscription; but for trades, more is owed with the next block."""
        key = (kind, coin, figures)
        if kind == "trades":
            self._owed.pop(key, None)
        elif key in self._owed:
            self._owed[key] = self._clock.now()

    def _was_refused(self, url: str, problem: str) -> bool:
        """Take the refusal of one market's subscription, for which ccxt would give up all others too."""
        coin, streams = _subject_of(problem.replace("\\", ""), _KIND)
        symbol = self._symbols.get(coin or "")
        if "Already subscribed" in problem:
            if coin is not None and streams[0] is Stream.TRADES:
                self._heard("trades", coin, _figures_of(url))
            return False
        if symbol is None:
            return False
        self._sink.on_malformed(symbol, streams[0], f"the venue refused a subscription: {problem[:200]}")
        return True

    def _take_book(self, url: str, data: Any) -> None:
        coin, book = parse_book(data)
        symbol = self._symbols.get(coin)
        if symbol is None:
            return
        deep, figures = self._deep[coin], _figures_of(url)
        self._heard("l2Book", coin, figures)
        if figures is not None:
            deep.keep(figures, book)
        elif deep.is_newest(book):
            self._sink.on_book(symbol, deep.joined(book))

    def _take_trades(self, data: Any) -> None:
        trades = parse_trades(data)
        # After subscribing the venue repeats the newest trades from before: they are no flow of now.
        history = self._history_due & {trade.coin for trade in trades}
        self._history_due -= history
        for trade in trades:
            symbol = self._symbols.get(trade.coin)
            repeats = trade.number is not None and self._fast.is_repeat(trade.coin, trade.number)
            if symbol is not None and trade.coin not in history and not repeats:
                self._sink.on_trade(symbol, trade.frame)
        # What comes after those from before the subscription needs no asking.
        begun = [self._symbols[coin] for coin in history if coin in self._symbols]
        self._fast.take_up(Stream.TRADES, begun, self._coins.__getitem__)

    def _take_context(self, data: Any) -> None:
        context = parse_context(data, self._clock.now())
        symbol = self._symbols.get(context.coin)
        if symbol is None:
            return
        self._heard("activeAssetCtx", context.coin, None)
        self._sink.on_mark(symbol, context.mark)
        if context.open_interest is not None:
            self._sink.on_open_interest(symbol, context.open_interest, None)

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None:
        del url
        shown = frame if isinstance(frame, str) else frame.decode(errors="replace")
        coin, streams = _subject_of(shown, _CHANNEL)
        self._sink.on_malformed(
            self._symbols.get(coin or ""),
            streams[0],
            f"{type(error).__name__}: {error}; frame begins {shown[:80]!r}",
        )


_PREFIXES = {
    Stream.BOOK: "orderbook",
    Stream.TRADES: "trade",
    Stream.MARK_PRICE: "ticker",
    Stream.OPEN_INTEREST: "ticker",
}
"""What ccxt 4.5.90 keys subscriptions by, in ``Client.subscriptions``: the prefix, a colon and the symbol."""


def _subject_of(frame: str, kind: re.Pattern[str]) -> tuple[str | None, Sequence[Stream | None]]:
    """Which coin and streams a frame is about that cannot be read as a whole."""
    told, coin = kind.search(frame), _COIN.search(frame)
    streams = _STREAMS.get(told.group(1), (None,)) if told else (None,)
    return coin.group(1) if coin else None, streams


def _retrieved(future: asyncio.Future[Any]) -> None:
    """Look at what a future failed with, also where nobody waits for it any more."""
    if not future.cancelled():
        future.exception()


def _figures_of(url: str) -> int | None:
    """How coarse the books of a socket are, ``None`` for full precision.

    >>> _figures_of("wss://api.hyperliquid.xyz/ws#4"), _figures_of("wss://api.hyperliquid.xyz/ws")
    (4, None)
    """
    _, _, figures = url.partition("#")
    return int(figures) if figures else None
