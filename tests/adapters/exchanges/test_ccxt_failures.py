"""Known failures of stock ccxt 4.5.90, each shown where it can be, and that our feed does not suffer from it.

``docs/reference/ccxt.md`` tells them in words. A test of the class ``TestStock`` that fails says that ccxt has
mended something: then the remedy may go, and the document must say so.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ccxt
import ccxt.pro
import pytest

from adapters.exchanges.binance.client import DEFAULTS, BinanceQuirks
from adapters.exchanges.ccxt_client import tapped_class
from adapters.exchanges.sync import BUFFER_MAX, DepthDiff, DepthSync
from adapters.exchanges.transport import Transport
from adapters.simulation import Corruption, Fault, FaultKind, LoopbackVenue, generated_source
from guard.events import BookStatus, MarketFeatures, StreamFault, StreamFaultKind
from tests.adapters.exchanges.test_transports import BOTH
from tests.adapters.simulation.clients import client
from tests.support.eventually import eventually
from tests.support.exchange_feeds import Events, feeds_for, running, settings_for, venue_best
from tests.support.storm import unhandled

CODE = "BTCUSDT"
SYMBOL = "BTC/USDT:USDT"
CODES = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT")
SYMBOLS = tuple(f"{code.removesuffix('USDT')}/USDT:USDT" for code in CODES)
DEPTH_PATH = "/fapi/v1/depth"


def a_venue(*codes: str, speed: float = 1.0, duration_s: float = 600.0, **market: Any) -> LoopbackVenue:
    source = generated_source("calm", seed=3, symbols=codes or (CODE,), duration_s=duration_s, **market)
    return LoopbackVenue(source, speed=speed)


async def stock_caught_up(exchange: Any, venue: LoopbackVenue) -> None:
    """Watch with stock ccxt until its book is of the venue's update."""
    async with asyncio.timeout(15):
        while (await exchange.watch_order_book(SYMBOL))["nonce"] != venue.market(CODE).book.update_id:
            pass


async def diffs_pass(venue: LoopbackVenue, count: int = 12) -> None:
    """Let the venue's book move on by so many diffs."""
    for _ in range(count):
        seen = venue.market(CODE).book.update_id
        await eventually(lambda seen=seen: venue.market(CODE).book.update_id > seen)  # type: ignore[misc]


@asynccontextmanager
async def our_feed(venue: LoopbackVenue, *symbols: str, **changes: Any) -> AsyncIterator[Events]:
    """Our market feed, once every book is believed."""
    symbols = symbols or (SYMBOL,)
    market, _ = feeds_for(settings_for(venue.ccxt_urls(), *symbols, **changes))
    async with running([market]) as events:
        for symbol in symbols:
            await events.until(
                MarketFeatures,
                lambda seen, symbol=symbol: seen.market.endswith(symbol) and is_ok(seen),  # type: ignore[misc]
            )
        yield events


def is_ok(seen: MarketFeatures) -> bool:
    return seen.status is BookStatus.OK


async def until_right(venue: LoopbackVenue, events: Events, *, within_s: float = 10.0) -> None:
    """Wait until our last sample is what the venue shows."""

    def right() -> bool:
        last = events.of(MarketFeatures, lambda seen: seen.market.endswith(SYMBOL))[-1:]
        return any(is_ok(each) and (each.bid, each.ask) == venue_best(venue) for each in last)

    await eventually(right, within_s=within_s, what=events.tail())


async def _watch_all(exchange: Any) -> None:
    """Watch with stock ccxt until it fails."""
    while True:
        await exchange.watch_order_book_for_symbols(list(SYMBOLS))


def our_client() -> Any:
    """The ccxt client inside of the feed that runs in this process."""
    found = [
        each for each in gc.get_objects() if type(each).__name__ == "Tapped_binanceusdm" and each.clients
    ]
    assert len(found) == 1
    return found[0]


class TestOneUndecodableFrameStopsTheReceiveLoop:
    """Hazard 1: the exception ends ccxt's loop, nobody hears of it, and the book stands still for ever."""

    BAD = Fault(kind=FaultKind.CORRUPT, streams=("depth",), count=1, form=Corruption.HALF)

    async def test_stock(self) -> None:
        async with a_venue() as venue, client(venue) as exchange:
            await stock_caught_up(exchange, venue)
            with unhandled() as exceptions:
                venue.misbehave(self.BAD)
                await eventually(lambda: exceptions)
                held = exchange.orderbooks[SYMBOL]["nonce"]
                watching = asyncio.ensure_future(exchange.watch_order_book(SYMBOL))
                await diffs_pass(venue)
                assert exchange.orderbooks[SYMBOL]["nonce"] == held, "ccxt has mended this"
                assert not watching.done(), "ccxt has mended this"
                watching.cancel()
                await asyncio.wait([watching])

    @BOTH
    async def test_ours(self, transport: Transport) -> None:
        async with a_venue() as venue, our_feed(venue, transport=transport) as events:
            with unhandled() as exceptions:
                venue.misbehave(self.BAD)
                await events.until(StreamFault, lambda seen: seen.fault is StreamFaultKind.MALFORMED)
                await until_right(venue, events)
            assert exceptions == []


class TestAGapOnOneSymbolTakesNewSnapshotsOfAll:
    """Hazard 2: the requests that a storm of gaps costs are multiplied by the number of markets."""

    GAP = Fault(kind=FaultKind.DROP, streams=("depth",), symbols=(CODE,), count=1)

    async def test_stock(self) -> None:
        async with a_venue(*CODES) as venue, client(venue) as exchange:
            asked = venue.misbehaviour.requests
            async with asyncio.timeout(15):
                while len([each for each in exchange.orderbooks.values() if each["nonce"]]) < len(CODES):
                    await exchange.watch_order_book_for_symbols(list(SYMBOLS))
            before = asked[DEPTH_PATH]
            venue.misbehave(self.GAP)
            with pytest.raises(ccxt.ChecksumError):
                await asyncio.wait_for(_watch_all(exchange), 15.0)
            await exchange.watch_order_book_for_symbols(list(SYMBOLS))
            await eventually(lambda: asked[DEPTH_PATH] - before >= len(CODES), what="ccxt has mended this")

    async def test_ours(self) -> None:
        async with a_venue(*CODES) as venue, our_feed(venue, *SYMBOLS) as events:
            asked = venue.misbehaviour.requests
            before = asked[DEPTH_PATH]
            venue.misbehave(self.GAP)
            await events.until(StreamFault, lambda seen: seen.fault is StreamFaultKind.SEQUENCE_GAP)
            await until_right(venue, events)
            # One snapshot, or a second one where the first was older than the gap.
            assert asked[DEPTH_PATH] - before <= 2
            gaps = events.faults(StreamFaultKind.SEQUENCE_GAP)
            assert [gap.subject.partition(":")[2] for gap in gaps] == [SYMBOL]


class TestAConsumerOfManySymbolsIsWokenForEachFrame:
    """Hazard 3: each wake-up makes a future for every symbol and races them: a millisecond for 200."""

    async def test_stock(self) -> None:
        async with a_venue(*CODES) as venue, client(venue) as exchange:
            async with asyncio.timeout(15):
                while len([each for each in exchange.orderbooks.values() if each["nonce"]]) < len(CODES):
                    await exchange.watch_order_book_for_symbols(list(SYMBOLS))
            (socket,) = exchange.clients.values()
            make, made = socket.future, []

            def counted(name: str) -> Any:
                made.append(name)
                return make(name)

            socket.future = counted
            async with asyncio.timeout(15):
                for _ in range(10):
                    await exchange.watch_order_book_for_symbols(list(SYMBOLS))
            assert len(made) == 10 * len(SYMBOLS), "ccxt has mended this"

    async def test_ours(self) -> None:
        async with a_venue(*CODES) as venue, our_feed(venue, *SYMBOLS):
            books = [
                socket
                for socket in our_client().clients.values()
                if any(name.startswith("orderbook") for name in socket.subscriptions)
            ]
            before = [dict(socket.futures) for socket in books]
            await diffs_pass(venue)
            # Nobody was woken: the futures that the subscription made are those that wait still.
            assert [dict(socket.futures) for socket in books] == before
            assert all(before)


class TestCachesGrow:
    """Hazard 4: a thousand trades a symbol are kept, which nobody asked for."""

    async def test_stock(self) -> None:
        async with a_venue(speed=20.0, trades_per_s=60.0) as venue, client(venue) as exchange:
            async with asyncio.timeout(15):
                while len(exchange.trades.get(SYMBOL, ())) < 1_000:
                    await exchange.watch_trades_for_symbols([SYMBOL])

    async def test_ours(self) -> None:
        async with a_venue(speed=20.0) as venue, our_feed(venue) as events:
            await eventually(
                lambda: sum(seen.buy_usd + seen.sell_usd for seen in events.of(MarketFeatures)) > 1e6,
                within_s=20.0,
            )
            ours = our_client()
            assert not any(len(kept) for kept in ours.trades.values())
            assert not ours.orderbooks
            assert not ours.liquidations
            assert sum(len(socket.futures) for socket in ours.clients.values()) <= 8
            assert sum(len(socket.rejections) for socket in ours.clients.values()) == 0


class TestABookThatWaitsForItsSnapshotGrows:
    """Issue 26753: diffs are kept without bound while no snapshot fits; kept for a connection that is gone."""

    async def test_stock(self) -> None:
        async with a_venue(speed=0.0, duration_s=600.0) as venue, client(venue) as exchange:
            await exchange.load_markets()
            venue.misbehave(Fault(kind=FaultKind.STATUS, status=503, paths=("/depth",)))
            with pytest.raises(ccxt.BaseError, match="-1008"):
                await exchange.watch_order_book(SYMBOL)
            # Nobody watches any more; the subscription goes on, and all that it brings is kept.
            await eventually(
                lambda: len(exchange.orderbooks[SYMBOL].cache) > BUFFER_MAX,
                within_s=15.0,
                what="ccxt has mended this",
            )

    def test_ours(self) -> None:
        sync = DepthSync()
        for number in range(10 * BUFFER_MAX):
            sync.accept(
                DepthDiff(previous_id=number, first_id=number + 1, last_id=number + 1, bids=[], asks=[])
            )
        assert sync.join(9 * BUFFER_MAX - 1) is None  # what it would need was let go: another snapshot
        following = sync.join(9 * BUFFER_MAX + 10)
        assert following is not None
        assert len(following) <= BUFFER_MAX


class TestASnapshotOlderThanTheStreamIsTakenForTheBook:
    """Found here: what is kept does not follow the snapshot, is left out, and the old book is handed on as good."""

    FAULTS = (
        Fault(kind=FaultKind.STALE, paths=("/depth",)),
        Fault(kind=FaultKind.DROP, at_s=1.0, streams=("depth",), count=1),
    )

    async def test_stock(self) -> None:
        async with a_venue() as venue, client(venue) as exchange:
            await stock_caught_up(exchange, venue)
            venue.misbehave(*self.FAULTS)
            with pytest.raises(ccxt.ChecksumError):
                await self._watch(exchange)
            newest = venue.market(CODE).book.update_id
            book = await asyncio.wait_for(exchange.watch_order_book(SYMBOL), 10.0)
            assert book["nonce"] < newest, "ccxt has mended this"

    async def _watch(self, exchange: Any) -> None:
        async with asyncio.timeout(10):
            while True:
                await exchange.watch_order_book(SYMBOL)

    async def test_ours(self) -> None:
        async with a_venue() as venue, our_feed(venue) as events:
            asked = venue.misbehaviour.requests
            venue.misbehave(*self.FAULTS)
            gap = await events.until(StreamFault, lambda seen: seen.fault is StreamFaultKind.SEQUENCE_GAP)
            before = asked[DEPTH_PATH]
            await diffs_pass(venue)
            believed = events.of(
                MarketFeatures, lambda seen: seen.received_at > gap.received_at and is_ok(seen)
            )
            assert believed == []
            assert asked[DEPTH_PATH] - before < 20  # with pauses between
            venue.behave()
            await until_right(venue, events)


class TestAStaleBookLooksLikeACalmOne:
    """Issues 15130, 19717, 23214: nothing comes any more, nothing is raised, and the old book stays there."""

    QUIET = Fault(kind=FaultKind.SILENCE)

    async def test_stock(self) -> None:
        async with a_venue() as venue, client(venue, streaming={"keepAlive": 300}) as exchange:
            await stock_caught_up(exchange, venue)
            venue.misbehave(self.QUIET)
            held = exchange.orderbooks[SYMBOL]["nonce"]
            watching = asyncio.ensure_future(exchange.watch_order_book(SYMBOL))
            await diffs_pass(venue)  # 1.2 s: four of its pings were answered
            assert not watching.done(), "ccxt has mended this"
            assert exchange.orderbooks[SYMBOL]["nonce"] <= held + 3_000
            assert exchange.orderbooks[SYMBOL]["bids"], "ccxt has mended this"
            watching.cancel()
            await asyncio.wait([watching])

    @BOTH
    async def test_ours(self, transport: Transport) -> None:
        async with a_venue() as venue, our_feed(venue, silence_s_max=1.0, transport=transport) as events:
            events.forget()
            venue.misbehave(self.QUIET)
            begun_s = time.monotonic()
            await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.UNSYNCED)
            assert time.monotonic() - begun_s < 6.0
            venue.behave()
            await until_right(venue, events)


class TestALostConnectionEndsEveryWatcher:
    """Issue 20911: ``watch_multiple`` went on waiting after its connection was lost. Mended by 4.5.90."""

    async def test_stock(self) -> None:
        async with a_venue(*CODES) as venue, client(venue) as exchange:
            await exchange.watch_order_book_for_symbols(list(SYMBOLS))
            for kind in (FaultKind.RESET, FaultKind.DISCONNECT):
                watching = asyncio.ensure_future(_watch_all(exchange))
                await diffs_pass(venue, 2)
                venue.misbehave(Fault(kind=kind))
                with pytest.raises(ccxt.NetworkError):
                    await asyncio.wait_for(watching, 5.0)

    async def test_stock_hangs_where_the_answer_to_a_subscription_is_lost(self) -> None:
        async with a_venue() as venue, client(venue) as exchange:
            await exchange.load_markets()
            venue.misbehave(Fault(kind=FaultKind.DROP, streams=("answer",), count=1))
            watching = asyncio.ensure_future(exchange.watch_order_book(SYMBOL))
            await eventually(lambda: venue.misbehaviour.hits[FaultKind.DROP] == 1)
            await diffs_pass(venue)
            assert not watching.done(), "ccxt has mended this"
            watching.cancel()
            await asyncio.wait([watching])

    @BOTH
    async def test_ours(self, transport: Transport) -> None:
        async with a_venue() as venue, our_feed(venue, transport=transport) as events:
            events.forget()
            venue.misbehave(
                Fault(kind=FaultKind.DROP, streams=("answer",)), Fault(kind=FaultKind.RESET, at_s=0.01)
            )
            await events.until(StreamFault, lambda seen: seen.fault is StreamFaultKind.DISCONNECTED)
            await until_right(venue, events)


class TestSubscriptionsAreCountedForEver:
    """Found here: batches that change from day to day use up a count that never falls, and then none is taken."""

    BATCHES = 200
    """Of 100 markets each: twenty a day make ten days."""

    def subscribe(self, exchange: Any) -> list[str]:
        return [exchange.stream("linear", f"batch {number}", 100) for number in range(self.BATCHES)]

    def test_stock(self) -> None:
        with pytest.raises(ccxt.BadRequest):
            self.subscribe(ccxt.pro.binanceusdm())

    def test_ours(self) -> None:
        exchange = tapped_class("binanceusdm", BinanceQuirks)(DEFAULTS)
        assert len(set(self.subscribe(exchange))) == self.BATCHES, "each has a socket of its own"


class TestABurstIsDrainedInOneTurnOfTheLoop:
    """Hazard 5: what waits is handled before any other task runs, some 600 frames at a time."""

    @BOTH
    async def test_ours_lets_others_run_within_a_heartbeat(self, transport: Transport) -> None:
        async with a_venue(speed=15.0) as venue, our_feed(venue, transport=transport) as events:
            events.forget()
            venue.misbehave(Fault(kind=FaultKind.DELAY, delay_s=1.5, streams=("depth",), count=1))
            longest_s = await _longest_pause_s(2.0)
            await events.until(MarketFeatures, is_ok)
        assert longest_s < 0.5
        assert events.faults(*StreamFaultKind) == []


async def _longest_pause_s(for_s: float) -> float:
    """How long the loop kept a task waiting that wanted to run all the time."""
    loop = asyncio.get_running_loop()
    at_s, longest_s = loop.time(), 0.0
    until_s = at_s + for_s
    while at_s < until_s:
        await asyncio.sleep(0)
        now_s = loop.time()
        longest_s, at_s = max(longest_s, now_s - at_s), now_s
    return longest_s
