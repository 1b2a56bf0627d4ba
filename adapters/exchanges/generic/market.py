"""The public side of any venue over ccxt's unified API: streamed where ccxt streams, else polled, else absent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
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
from adapters.exchanges.generic.capabilities import ORDER_SIDE, capabilities_of, mark_sources, without
from adapters.exchanges.generic.native_book import NativeBooks, is_exotic, version_of
from adapters.exchanges.generic.payloads import (
    Contract,
    contract_of,
    read_book,
    read_liquidation,
    read_mark,
    read_open_interest,
    read_trade,
    read_turnovers,
)
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import (
    Capabilities,
    DepthSnapshot,
    ListedMarket,
    MarketSink,
    MarkFrame,
    Way,
)
from guard.errors import MalformedFrameError, UnknownSymbolError, VenueError
from guard.events import Stream
from guard.ports import Clock
from guard.units import NS_PER_MS, NS_PER_S, Nanoseconds

DEFAULTS: Mapping[str, Any] = {
    "options": {
        "defaultType": "swap",
        # What is kept between two looks: 250 ms at 800 trades a second, 0.2 MB a market.
        "tradesLimit": 200,
        "liquidationsLimit": 50,
        # It costs 40 of Binance's 2,400 request weight a minute, and is asked once in ``orders_poll_s``.
        "warnOnFetchOpenOrdersWithoutSymbol": False,
    }
}

MARK_PAUSE_NS = NS_PER_S
"""Between two looks at a streamed mark price, or at trades where nothing else sets the pace."""

OLD_TRADES_NS = 5 * NS_PER_S
"""Some venues begin with trades of the past: those so long before the subscription do not count as flow."""

DOUBTFUL_NS = 60 * NS_PER_S
"""After a frame that ccxt could not read, books may be wrong: they are asked for anew, at most so often."""

OWN_BOOKS = "books are kept by ccxt itself, which takes several times the CPU time"

log = structlog.get_logger()


class GenericMarket:
    """A MarketConnection (see ``venue``): one ccxt client, whose handlers keep the books, and they are looked at."""

    def __init__(self, settings: VenueSettings, sink: MarketSink, clock: Clock, markets: Markets) -> None:
        self._venue = settings.id
        self._settings = settings
        self._sink = sink
        self._clock = clock
        self._markets = markets
        self._client = make_client(settings, self, defaults=DEFAULTS, quirks=NativeBooks)
        self._capabilities = capabilities_of(settings)
        self._absent: dict[Stream, str] = {}
        self._mark_sources = mark_sources(self._client.has)
        self._contracts: dict[str, Contract] = {}
        self._marks: dict[str, float] = {}
        self._alive_at: dict[str, Nanoseconds] = {}
        self._losses = 0
        self._doubted_at: Nanoseconds = 0

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def list_perpetuals(self) -> Sequence[ListedMarket]:
        return await asked(self._venue, self._list())

    async def _list(self) -> Sequence[ListedMarket]:
        await self._markets.reload(self._client)
        turnovers: dict[str, float] = {}
        if self._client.has.get("fetchTickers") is True:
            turnovers = read_turnovers(await self._client.fetch_tickers())
        return perpetuals_of(self._client, turnovers)

    async def load(self, symbols: Sequence[str]) -> tuple[list[str], list[UnknownSymbolError]]:
        await asked(self._venue, self._markets.load(self._client))
        listed, unknown = find_symbols(self._venue, self._client, symbols)
        errors = dict(zip([symbol for symbol in symbols if symbol not in listed], unknown, strict=True))
        for symbol in listed:
            try:
                self._contracts[symbol] = contract_of(self._client.markets[symbol], self._venue)
            except MalformedFrameError as error:
                errors[symbol] = UnknownSymbolError(
                    self._venue, f"{symbol} cannot be watched: {error.detail}; leave it out"
                )
        self._capabilities = capabilities_of(self._settings, len(self._contracts))
        for stream, why in self._absent.items():
            self._capabilities = without(self._capabilities, stream, why)
        self._note_books()
        known = [symbol for symbol in symbols if symbol not in errors]
        return known, [errors[symbol] for symbol in symbols if symbol in errors]

    async def watch(self, stream: Stream, symbols: Sequence[str]) -> None:
        await asked(self._venue, self._watch(stream, list(symbols)))

    def _watch(self, stream: Stream, symbols: list[str]) -> Coroutine[Any, Any, None]:
        way = self._capabilities.way(stream)
        match stream:
            case Stream.BOOK if way is Way.STREAMED:
                return self._watch_book(*symbols)
            case Stream.BOOK:
                return self._poll_book(*symbols)
            case Stream.TRADES:
                return self._watch_trades(*symbols)
            case Stream.MARK_PRICE if way is Way.STREAMED:
                return self._watch_marks(symbols)
            case Stream.MARK_PRICE:
                return self._poll_marks(symbols)
            case Stream.LIQUIDATIONS:
                return self._watch_liquidations(*symbols)
            case _:
                raise NotImplementedError(f"{stream} is not watched here")

    # Books

    async def _watch_book(self, symbol: str) -> None:
        """Look at ccxt's book when it changes, but no more often than it is sampled.

        After each pause it is looked at once more: what changed in it was told to nobody. Neither was a socket
        that failed meanwhile. A book of ours (see ``native_book``) counts its changes; one of ccxt is compared.
        """
        pause_ns, losses = self._settings.sample_ms * NS_PER_MS, self._losses
        while True:
            self._fail_if_lost(losses)
            book = await self._watched(symbol)
            seen = self._take_book(symbol, book)
            await self._pause(pause_ns)
            kept = (self._client.orderbooks or {}).get(symbol)
            if kept is not None and seen != self._seen_of(symbol, kept):
                self._take_book(symbol, kept)

    async def _watched(self, symbol: str) -> Any:
        try:
            return await self._client.watch_order_book(symbol)
        except Exception as error:  # some handlers catch what they meet, and tell it to whoever watches
            if is_exotic(error) and self._client.has_native_books:
                self._leave_native_books(str(error))
            raise

    async def _poll_book(self, symbol: str) -> None:
        while True:
            self._take_book(symbol, await self._client.fetch_order_book(symbol))
            await self._pause(self._capabilities.periods_ms.get(Stream.BOOK, 1_000) * NS_PER_MS)

    def _take_book(self, symbol: str, book: Any) -> object:
        """Hand on a book; return what tells whether it has changed since."""
        seen = self._seen_of(symbol, book)
        snapshot = seen if isinstance(seen, DepthSnapshot) else self._read_book(symbol, book)
        if snapshot is not None:
            self._deliver(symbol, Stream.BOOK, lambda: self._sink.on_book(symbol, snapshot))
        return seen

    def _seen_of(self, symbol: str, book: Any) -> object:
        if (version := version_of(book)) is not None:
            return version
        return self._read_book(symbol, book.limit() if hasattr(book, "limit") else book)

    def _read_book(self, symbol: str, book: Any) -> DepthSnapshot | None:
        try:
            return read_book(book, self._contracts[symbol])
        except MalformedFrameError as error:
            self._sink.on_malformed(symbol, Stream.BOOK, str(error))
            if version_of(book) is not None:
                self._doubt("a book cannot be read")
            return None

    # Everything else that is streamed

    async def _watch_trades(self, symbol: str) -> None:
        since, contract = self._clock.now() - OLD_TRADES_NS, self._contracts[symbol]
        losses = self._losses
        while True:
            self._fail_if_lost(losses)
            for told in await self._client.watch_trades(symbol):

                def deliver(told: Any = told) -> None:
                    trade = read_trade(told, contract)
                    if trade is not None and (trade.exchange_at is None or trade.exchange_at >= since):
                        self._sink.on_trade(symbol, trade)

                self._deliver(symbol, Stream.TRADES, deliver)
            self._sink.on_subscribed(Stream.TRADES, [symbol])
            await self._pause(self._settings.sample_ms * NS_PER_MS)

    async def _watch_liquidations(self, symbol: str) -> None:
        contract, side_is_orders = self._contracts[symbol], self._venue in ORDER_SIDE
        while True:
            for told in await self._client.watch_liquidations(symbol):

                def deliver(told: Any = told) -> None:
                    seen = read_liquidation(told, contract, side_is_orders=side_is_orders)
                    self._sink.on_liquidation(symbol, seen)

                self._deliver(symbol, Stream.LIQUIDATIONS, deliver)
            self._sink.on_subscribed(Stream.LIQUIDATIONS, [symbol])

    async def _watch_marks(self, symbols: list[str]) -> None:
        several, losses = self._client.has.get("watchMarkPrices") is True, self._losses
        while True:
            self._fail_if_lost(losses)
            if several:
                tickers = await self._client.watch_mark_prices(symbols)
            else:
                tickers = {symbols[0]: await self._client.watch_mark_price(symbols[0])}
            for symbol in symbols:
                if symbol in tickers:
                    self._take_mark(symbol, tickers[symbol])
            # With several, each answer tells those that changed: look at all of them.
            await self._pause(0 if several else MARK_PAUSE_NS)

    async def _poll_marks(self, symbols: list[str]) -> None:
        while True:
            for source in self._mark_sources:
                if await self._ask_marks(source, symbols):
                    break
            else:
                self._give_up(Stream.MARK_PRICE, "the venue's answers hold none")
                await asyncio.Event().wait()
            await self._pause(self._capabilities.periods_ms.get(Stream.MARK_PRICE, 3_000) * NS_PER_MS)

    async def _ask_marks(self, source: str, symbols: list[str]) -> bool:
        """Ask for mark prices in one way; return whether it told any."""
        told: Mapping[str, Any]
        match source:
            case "fetchFundingRates":
                told = await self._client.fetch_funding_rates(symbols)
            case "fetchMarkPrices":
                told = await self._client.fetch_mark_prices(symbols)
            case "fetchFundingRate":
                told = {symbol: await self._client.fetch_funding_rate(symbol) for symbol in symbols}
            case _:
                told = {symbol: await self._client.fetch_mark_price(symbol) for symbol in symbols}
        taken = [self._take_mark(symbol, told[symbol]) for symbol in symbols if symbol in told]
        return any(taken)

    def _take_mark(self, symbol: str, told: Any) -> bool:
        found: list[MarkFrame] = []

        def deliver() -> None:
            mark = read_mark(told, symbol)
            if mark is not None:
                found.append(mark)
                self._marks[symbol] = mark.mark_price
                self._sink.on_mark(symbol, mark)

        self._deliver(symbol, Stream.MARK_PRICE, deliver)
        if found:
            self._sink.on_subscribed(Stream.MARK_PRICE, [symbol])
        return bool(found)

    def _fail_if_lost(self, losses: int) -> None:
        if self._losses != losses:
            raise network_error("the connection was lost")

    def _deliver(self, symbol: str, stream: Stream, deliver: Callable[[], None]) -> None:
        try:
            deliver()
        except MalformedFrameError as error:
            self._sink.on_malformed(symbol, stream, str(error))

    def _give_up(self, stream: Stream, why: str) -> None:
        """It turned out that the venue does not give a stream: it is not waited for any more, and it is said."""
        if stream not in self._absent:
            self._absent[stream] = why
            self._capabilities = without(self._capabilities, stream, why)
            log.warning("a stream is not to be had", venue=self._venue, stream=stream, why=why)

    # What is asked

    async def fetch_depth(self, symbol: str) -> DepthSnapshot:
        return await asked(self._venue, self._depth(symbol))

    async def _depth(self, symbol: str) -> DepthSnapshot:
        return read_book(await self._client.fetch_order_book(symbol), self._contracts[symbol])

    async def renew_depth(self, symbol: str) -> None:
        raise NotImplementedError(f"every book of {symbol} is a whole one at this venue")

    async def fetch_open_interest(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        told = await asked(self._venue, self._client.fetch_open_interest(symbol))
        try:
            found = read_open_interest(told, self._contracts[symbol], self._marks.get(symbol))
        except MalformedFrameError as error:
            raise VenueError(self._venue, str(error)) from error
        if found is None:
            why = "it is not certain in what the venue counts it"
            if symbol in self._marks:
                self._give_up(Stream.OPEN_INTEREST, why)
            raise VenueError(self._venue, f"open interest of {symbol}: {why}")
        return found

    async def fetch_mark(self, symbol: str) -> MarkFrame:
        sources = [
            source for source in self._mark_sources if source in {"fetchFundingRate", "fetchMarkPrice"}
        ]
        for source in sources:
            call = (
                self._client.fetch_funding_rate
                if source == "fetchFundingRate"
                else self._client.fetch_mark_price
            )
            told = await asked(self._venue, call(symbol))
            try:
                mark = read_mark(told, symbol)
            except MalformedFrameError as error:
                raise VenueError(self._venue, str(error)) from error
            if mark is not None:
                return mark
        raise VenueError(self._venue, f"tells no mark price of {symbol} over REST")

    # Sockets

    def close_silent(self, silence_ns: Nanoseconds) -> list[str]:
        now, closed = self._clock.now(), []
        for url, socket in list((self._client.clients or {}).items()):
            silent_ns = now - self._alive_at.get(url, now)
            if socket.isConnected and silent_ns > silence_ns:
                socket.on_error(network_error(f"nothing came for {silent_ns / NS_PER_S:.1f} s"))
                closed.append(url)
        return closed

    def reopen(self, stream: Stream, reason: str) -> None:
        """Close all sockets: ccxt does not say which of them carries what."""
        del stream
        for socket in list((self._client.clients or {}).values()):
            if socket.isConnected:
                socket.on_error(network_error(reason))

    async def close(self) -> None:
        await close_client(self._client)

    async def _pause(self, pause_ns: Nanoseconds) -> None:
        await self._clock.sleep_until(self._clock.now() + pause_ns)

    # The tap: called by the client for every frame.

    def on_alive(self, url: str) -> None:
        self._alive_at[url] = self._clock.now()

    def on_frame(self, url: str) -> None:
        """What the frame holds is ccxt's to find out."""

    def on_connected(self, url: str) -> None:
        self._alive_at[url] = self._clock.now()

    def on_lost(self, url: str) -> None:
        """A socket failed: whoever was not waiting on it just then must hear of it too."""
        del url
        self._losses += 1

    def take(self, url: str, message: Any) -> bool:
        del url, message
        return False

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None:
        """Say so; and since it may have been an update of a book that ccxt keeps, have all of them sent anew."""
        shown = frame if isinstance(frame, str) else frame.decode(errors="replace")
        detail = f"{type(error).__name__}: {error}; frame begins {shown[:80]!r}"
        if is_exotic(error) and self._client.has_native_books:
            self._leave_native_books(detail)
            return
        self._sink.on_malformed(None, Stream.BOOK, detail)
        now = self._clock.now()
        socket = (self._client.clients or {}).get(url)
        if socket is not None and now - self._doubted_at >= DOUBTFUL_NS:
            self._doubted_at = now
            socket.on_error(network_error("a frame could not be read: asking for whole books"))

    def _doubt(self, why: str) -> None:
        """Have all books sent anew, unless that was just done."""
        now = self._clock.now()
        if now - self._doubted_at >= DOUBTFUL_NS:
            self._doubted_at = now
            self.reopen(Stream.BOOK, f"{why}: asking for whole books")

    def _note_books(self) -> None:
        notes = self._capabilities.notes
        if not self._client.has_native_books and OWN_BOOKS not in notes:
            self._capabilities = replace(self._capabilities, notes=(*notes, OWN_BOOKS))

    def _leave_native_books(self, why: str) -> None:
        """Have ccxt keep the books of this venue by itself: its handlers do with them what ours do not do."""
        self._client.has_native_books = False
        self._client.orderbooks = {}
        self._note_books()
        log.warning("books are kept by ccxt itself from now on", venue=self._venue, detail=why)
        self.reopen(Stream.BOOK, "the books are begun anew")
