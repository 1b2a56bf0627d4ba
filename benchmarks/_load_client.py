"""Who reads the load server: stock ccxt.pro or ours, each in a process of its own, told what to do by lines of JSON.

The first line says which variant, and where the server is; the answer comes when all books stand. ``read`` answers
what was done so far, and ``books`` with the books and features of some markets, to be held against the server's.
All variants of one round read the same frames.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from benchmarks._load_market import lag_us
from benchmarks.peers.plain_features import side_of

BANDS_BPS = (5.0, 10.0, 25.0, 50.0, 100.0)
NOTIONALS_USD = (10_000.0, 100_000.0, 1_000_000.0)
"""With the spread and both sides: seventeen features."""

LEVELS_COMPARED = 300
SUBSCRIBED_AT_ONCE = 50


class Notes:
    """How often features were worked out, and how late; shared by all variants."""

    def __init__(self) -> None:
        self.updates = 0
        self.lags_us: array[int] = array("q")
        self.timing = False

    def note(self, last_id: int) -> None:
        self.updates += 1
        if self.timing:
            self.lags_us.append(lag_us(last_id, time.time_ns() // 1_000))


class Variant(Protocol):
    """One way to read a venue."""

    async def run(self) -> None: ...

    def ready(self) -> bool: ...

    def book(self, symbol: str) -> dict[str, Any]:
        """Last id, levels of both sides (best first) and the features."""
        ...

    def time(self, *, on: bool) -> None:
        """Begin or end to note every update and how late it is; what notes them anyhow need do nothing."""


class Stock:
    """ccxt.pro as it comes. With features, they are worked out after every update, without waking anybody for it."""

    def __init__(self, urls: dict[str, Any], symbols: list[str], notes: Notes, *, features: bool) -> None:
        import ccxt.pro  # noqa: PLC0415 - only in the variants that use it

        class Featured(ccxt.pro.binanceusdm):  # type: ignore[misc]  # ccxt is untyped
            latest: dict[str, list[float]] = {}  # noqa: RUF012 - one client a process

            def handle_order_book_message(self, client: Any, message: Any, orderbook: Any) -> Any:
                answer = super().handle_order_book_message(client, message, orderbook)
                if features:
                    self.latest[orderbook["symbol"]] = features_of(orderbook["bids"], orderbook["asks"])
                notes.note(orderbook["nonce"])
                return answer

        settings = {"urls": urls, "enableRateLimit": False, "options": {"fetchCurrencies": False}}
        self._client = Featured(settings)
        self._symbols = symbols

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for first in range(0, len(self._symbols), SUBSCRIBED_AT_ONCE):
                    group.create_task(self._consume(self._symbols[first : first + SUBSCRIBED_AT_ONCE]))
        finally:
            await self._client.close()

    async def _consume(self, symbols: list[str]) -> None:
        """What a program does that wants to hear of every change."""
        while True:
            await self._client.watch_order_book_for_symbols(symbols)

    def ready(self) -> bool:
        books = self._client.orderbooks
        return all(symbol in books and books[symbol].get("nonce") for symbol in self._symbols)

    def book(self, symbol: str) -> dict[str, Any]:
        book = self._client.orderbooks[symbol]
        bids, asks = list(map(list, book["bids"])), list(map(list, book["asks"]))
        return {
            "last_id": book["nonce"],
            "bids": bids[:LEVELS_COMPARED],
            "asks": asks[:LEVELS_COMPARED],
            "features": self._client.latest.get(symbol) or features_of(bids, asks),
        }

    def time(self, *, on: bool) -> None:
        """It notes them all."""


class Ours:
    """The market feed of the daemon, with features after every update, or sampled as it is shipped."""

    def __init__(
        self, urls: dict[str, Any], symbols: list[str], notes: Notes, *, every: bool, settings: dict[str, Any]
    ) -> None:
        import structlog  # noqa: PLC0415

        from adapters.clock import SystemClock  # noqa: PLC0415 - only in the variants that use it
        from adapters.exchanges import VenueSettings, venue_feeds  # noqa: PLC0415
        from benchmarks._measured_feed import MeasuredFeed  # noqa: PLC0415

        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),  # answers go to stdout
        )
        self._notes = notes
        venue = VenueSettings.model_validate(
            {
                "id": "binanceusdm",
                "symbols": symbols,
                "urls": urls,
                "rate_limit": False,
                "silence_s_max": 600.0,  # between rounds nothing comes, not even marks
            }
            | settings
        )
        self._feed: Any
        if every:
            self._feed = MeasuredFeed(venue, notes.note)
        else:
            self._feed, *_ = venue_feeds(venue, clock=SystemClock(), resolve_secret=_no_secret)
        self._symbols = symbols
        self._every = every

    async def run(self) -> None:
        await self._feed.run(self._take)

    def _take(self, event: Any) -> None:
        """Stands in for the engine."""
        if not self._every:
            self._notes.updates += getattr(event, "updates", 0)

    def ready(self) -> bool:
        from benchmarks._measured_feed import book_of  # noqa: PLC0415

        markets = self._feed._markets  # noqa: SLF001 - nothing else tells
        return len(markets) == len(self._symbols) and all(
            book_of(market) is not None for market in markets.values()
        )

    def book(self, symbol: str) -> dict[str, Any]:
        from benchmarks._measured_feed import told  # noqa: PLC0415

        row = self._feed.row(symbol) if self._every else None
        return told(self._feed._markets[symbol], LEVELS_COMPARED, row)  # noqa: SLF001

    def time(self, *, on: bool) -> None:
        if self._every:
            self._feed.time(on=on)


class Floor:
    """The least that any reader does: frames are found in the bytes of the socket, and looked through or not.

    It keeps no books and reads no numbers: below it is only the kernel.
    """

    def __init__(self, urls: dict[str, Any], symbols: list[str], notes: Notes, *, scan: bool) -> None:
        self._url = urls["api"]["ws"]["linear"] + "/floor"
        self._codes = [symbol.partition("/")[0].lower() + "usdt" for symbol in symbols]
        self._notes = notes
        self._scan = msgspec.json.Decoder(_Scanned).decode if scan else None
        self._acknowledged = False

    async def run(self) -> None:
        from picows import WSListener, WSMsgType, ws_connect  # noqa: PLC0415 - only in this variant

        floor = self
        scan = self._scan

        class Listener(WSListener):  # type: ignore[misc,unused-ignore]  # compiled, without types
            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                del transport
                if frame.msg_type == WSMsgType.TEXT:
                    floor._notes.updates += 1
                    if scan is not None:
                        scan(frame.get_payload_as_memoryview())
                    floor._acknowledged = True

        transport, _ = await ws_connect(Listener, self._url, websocket_handshake_timeout=10)
        names = [f"{code}@depth@100ms" for code in self._codes]
        transport.send(WSMsgType.TEXT, json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}).encode())
        await transport.wait_disconnected()

    def ready(self) -> bool:
        return self._acknowledged

    def book(self, symbol: str) -> dict[str, Any]:
        raise LookupError(f"the floor keeps no book of {symbol}")

    def time(self, *, on: bool) -> None:
        """It keeps no numbers of updates."""


class _Scanned(msgspec.Struct):
    """Looks through all of a frame and reads what a router needs."""

    s: str = ""
    u: int = 0
    pu: int = 0
    b: msgspec.Raw = msgspec.Raw(b"[]")
    a: msgspec.Raw = msgspec.Raw(b"[]")


def features_of(bids: Any, asks: Any) -> list[float]:
    """The seventeen, as a loop over levels."""
    bid, ask = bids[0][0], asks[0][0]
    mid = (bid + ask) / 2.0
    return [
        (ask - bid) / mid * 1e4,
        *side_of(bids, mid, BANDS_BPS, NOTIONALS_USD),
        *side_of(asks, mid, BANDS_BPS, NOTIONALS_USD),
    ]


def _no_secret(*, what: str, file: Any, env: Any) -> bytes:
    raise AssertionError(f"public data needs no {what} ({file}, {env})")


VARIANTS: dict[str, Callable[..., Variant]] = {
    "stock": lambda urls, symbols, notes, **_: Stock(urls, symbols, notes, features=False),
    "stock+features": lambda urls, symbols, notes, **_: Stock(urls, symbols, notes, features=True),
    "floor": lambda urls, symbols, notes, **_: Floor(urls, symbols, notes, scan=False),
    "floor+scan": lambda urls, symbols, notes, **_: Floor(urls, symbols, notes, scan=True),
    "ours": lambda urls, symbols, notes, **more: Ours(urls, symbols, notes, every=True, settings=more),
    "ours sampled": lambda urls, symbols, notes, **more: Ours(
        urls, symbols, notes, every=False, settings=more
    ),
}


async def main() -> None:
    """Connect as told, then answer until there are no more questions."""
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    asked = json.loads(await reader.readline())
    notes = Notes()
    started = time.perf_counter()
    variant = VARIANTS[asked["variant"]](asked["urls"], asked["symbols"], notes, **asked.get("settings", {}))
    running = asyncio.create_task(variant.run(), name="variant")
    try:
        while not variant.ready():
            await asyncio.wait({running}, timeout=0.02)
            if running.done():
                running.result()
        _answer({"ready_s": time.perf_counter() - started})
        while line := await reader.readline():
            asked = json.loads(line)
            match asked["do"]:
                case "time":
                    notes.timing = asked["on"]
                    variant.time(on=asked["on"])
                    notes.lags_us = array("q")
                    _answer({})
                case "read":
                    _answer({"updates": notes.updates, "lags_us": _quantiles(notes.lags_us)})
                case "books":
                    _answer({symbol: variant.book(symbol) for symbol in asked["symbols"]})
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _quantiles(lags_us: array[int]) -> dict[str, float]:
    ordered = sorted(lags_us)
    if not ordered:
        return {}
    return {
        name: float(ordered[min(int(share * len(ordered)), len(ordered) - 1)])
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
