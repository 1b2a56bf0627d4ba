"""What must not become slow again, held by counts: calls of Python a message, calls a market, blocks of memory.

Counts are the same on every machine and under any load. Only the last ratio is of CPU time, of two things in one run,
with room for noise. Each guard is shown to catch what it is there for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.exchanges import MarketFeed, VenueSettings, venue_feeds
from adapters.exchanges import frames as frames_module
from adapters.exchanges.frames import DECLINED, FrameReader, new_reader
from benchmarks._load import LoadServer
from benchmarks._load_market import FIRST_ID, LoadMarket, make_markets
from benchmarks._measured_feed import book_of
from guard.market.book import new_book
from guard.market.implementation import COMPILED, implementation
from guard.market.live import new_live_book
from tests.support.eventually import eventually

CALLS_A_MESSAGE_MAX = 4.0
"""From the socket to the book, sampling included: 1.2 when this was written; step by step there are more than 50."""

BLOCKS_A_FRAME_MAX = 0.02
MESSAGES = 4_000
MARKETS = 8
HEADER = 4

needs_compiled = pytest.mark.skipif(
    implementation() != COMPILED, reason="the extensions are not built: there is nothing fast to guard"
)


@dataclass(slots=True)
class Calls:
    """How many functions of Python were entered."""

    count: int = 0


@contextlib.contextmanager
def counted() -> Iterator[Calls]:
    """Count within the block, in this thread."""
    calls = Calls()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        del frame, argument
        if event == "call":
            calls.count += 1

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


@pytest.fixture(scope="module")
def server() -> Iterator[LoadServer]:
    with LoadServer(markets=MARKETS) as running:
        yield running


async def calls_a_message(server: LoadServer, transport: str) -> float:
    """Read a burst by the feed of the daemon over a real socket."""
    settings = VenueSettings.model_validate(
        {
            "id": "binanceusdm",
            "symbols": server.symbols,
            "urls": server.urls,
            "rate_limit": False,
            "silence_s_max": 600.0,
            "transport": transport,
        }
    )
    feed, *_ = venue_feeds(settings, clock=SystemClock(), resolve_secret=_no_secret)
    assert isinstance(feed, MarketFeed)
    running = asyncio.create_task(feed.run(lambda event: None))
    try:
        async with asyncio.timeout(30.0):
            await eventually(lambda: _all_stand(feed), within_s=20.0, every_s=0.02, what="books that stand")
            await asyncio.to_thread(server.ask, "blast", frames=MESSAGES)
            with counted() as calls:
                done = await asyncio.to_thread(server.ask, "blast", frames=MESSAGES)
        assert done["frames"] == MESSAGES
        truth = await asyncio.to_thread(server.ask, "truth", codes=["M0003USDT"])
        _, bids, _ = truth["M0003USDT"]
        book = book_of(feed._markets["M0003/USDT:USDT"])
        assert book is not None
        assert book.best_bid() == (float(bids[0][0]), float(bids[0][1]))
        return calls.count / MESSAGES
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@needs_compiled
@pytest.mark.parametrize("transport", ["picows", "aiohttp"])
async def test_a_message_costs_few_calls(server: LoadServer, transport: str) -> None:
    assert await calls_a_message(server, transport) <= CALLS_A_MESSAGE_MAX


@needs_compiled
async def test_the_long_way_round_would_be_noticed(
    server: LoadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "new_reader", lambda venue_id: None)
    for name, module in list(sys.modules.items()):
        if name.startswith("adapters.exchanges") and getattr(module, "new_reader", None) is new_reader:
            monkeypatch.setattr(module, "new_reader", lambda venue_id: None)
    assert await calls_a_message(server, "aiohttp") > 5 * CALLS_A_MESSAGE_MAX


def _all_stand(feed: MarketFeed) -> bool:
    markets = feed._markets
    return len(markets) == MARKETS and all(book_of(market) is not None for market in markets.values())


def _no_secret(*, what: str, file: Any, env: Any) -> bytes:
    raise AssertionError(f"no {what} is needed: {file}, {env}")


# One frame


@dataclass(slots=True)
class Prepared:
    """A reader with a book, and frames that follow it."""

    reader: FrameReader
    frames: list[bytes]

    @classmethod
    def of(cls, reader: FrameReader, count: int) -> Prepared:
        market = make_markets(1, seed=1)[0]
        bids, asks = market.template.book_at(market.step)
        live = new_live_book(new_book())
        live.book.load(bids, asks)
        live.arm(FIRST_ID)
        reader.add_book(market.code.decode(), 0, live)
        return cls(reader, rendered(market, count))

    def take_all(self) -> None:
        take = self.reader.take
        for frame in self.frames:
            if take(frame, 1) == DECLINED:
                raise AssertionError("declined")


def rendered(market: LoadMarket, count: int) -> list[bytes]:
    return [market.depth(number)[HEADER:] for number in range(count)]


def reader_of_binance() -> FrameReader:
    reader = new_reader("binanceusdm")
    assert reader is not None
    return reader


@needs_compiled
def test_a_frame_is_read_without_a_call_and_leaves_nothing_behind() -> None:
    prepared = Prepared.of(reader_of_binance(), 2_000)
    first, prepared.frames = prepared.frames[:1_000], prepared.frames[1_000:]
    Prepared(prepared.reader, first).take_all()
    prepared.reader.drain_timings()
    before = sys.getallocatedblocks()
    with counted() as calls:
        prepared.take_all()
    blocks = sys.getallocatedblocks() - before
    assert calls.count <= 4  # take_all itself, and the end of the counting
    assert blocks / len(prepared.frames) <= BLOCKS_A_FRAME_MAX


@needs_compiled
def test_a_frame_is_read_faster_than_json_alone_reads_it() -> None:
    """All of it, book included: half as long as ``json`` needs, when this was written."""

    def spent(work: Callable[[], object]) -> int:
        began = time.process_time_ns()
        work()
        return time.process_time_ns() - began

    ours, parsed = [], []
    frames = Prepared.of(reader_of_binance(), 400).frames
    for _ in range(7):
        ours.append(spent(Prepared.of(reader_of_binance(), 400).take_all))
        parsed.append(spent(lambda: deque(map(json.loads, frames), maxlen=0)))
    assert min(ours) < min(parsed)
