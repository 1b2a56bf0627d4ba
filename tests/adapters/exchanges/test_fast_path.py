"""The short way of frames and the long one keep one book between them: who takes what, and when."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest

from adapters.exchanges.binance.capabilities import CAPABILITIES
from adapters.exchanges.binance.payloads import parse_depth
from adapters.exchanges.fast_path import FastPath
from adapters.exchanges.frames import DECLINED, FrameReader
from adapters.exchanges.market_feed import MarketFeed
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.sync import RawLevels
from adapters.exchanges.transport import Transport
from adapters.exchanges.venue import DepthSource, ListedMarket, TradeFrame
from adapters.simulation import Fault, FaultKind, LoopbackVenue, generated_source
from guard.errors import MalformedFrameError, VenueError
from guard.events import BookStatus, MarketFeatures, Stream, StreamActivity, StreamFault, StreamsActive
from guard.market.book import Book
from guard.units import MarketId
from tests.adapters.exchanges.fakes import VENUE, FakeMarket, snapshot
from tests.adapters.exchanges.test_transports import BOTH
from tests.support.eventually import eventually
from tests.support.exchange_feeds import Events, feeds_for, running, settings_for, venue_best
from tests.support.hand_clock import HandClock

SYMBOL, CODE = "BTC/USDT:USDT", "BTCUSDT"
BTC = MarketId("binanceusdm:BTC/USDT:USDT")


def frame(previous: int, last: int, bids: RawLevels = (), asks: RawLevels = ()) -> str:
    told = {"e": "depthUpdate", "E": 1, "T": 1, "s": CODE, "U": previous + 1, "u": last, "pu": previous}
    return json.dumps(told | {"b": bids, "a": asks}, separators=(",", ":"))


def trade(number: int, size: str = "2", *, sold: bool = False) -> str:
    told = {"e": "aggTrade", "E": 1, "s": CODE, "a": number, "p": "100", "q": size, "T": 1, "m": sold}
    return json.dumps(told, separators=(",", ":"))


class Scene:
    """A feed that is told, and its venue's reader in front of it, as a connection has them."""

    def __init__(self, source: DepthSource = DepthSource.REST) -> None:
        self.clock, self.connection = HandClock(), FakeMarket()
        self.connection.gives = replace(CAPABILITIES, depth_source=source)
        self.seen: list[int] = []
        settings = VenueSettings(id=VENUE, symbols=[SYMBOL])
        self.feed = MarketFeed(
            settings, clock=self.clock, connect=self.connection.connect, observer=self._observe
        )
        self.taken_at: list[str] = []
        self.fast = FastPath(VENUE, self.feed, self.clock, lambda url, _: self.taken_at.append(url))

    def _observe(self, market: MarketId, last_id: int, book: Book) -> None:
        del market, book
        self.seen.append(last_id)

    async def start(self) -> None:
        await self.clock.advance(0.2)
        for stream in (Stream.BOOK, Stream.TRADES, Stream.LIQUIDATIONS):
            self.fast.take_up(stream, [SYMBOL], lambda _: CODE)

    def deliver(self, text: str) -> bool:
        """Do as a socket does; return whether the frame was taken raw."""
        lane = self.fast.lane()
        assert lane is not None
        index = lane.reader.take(text, self.clock.now())
        if index == DECLINED:
            message = json.loads(text)
            if message["e"] == "depthUpdate":
                self.feed.on_depth(SYMBOL, parse_depth(message))
        elif index >= 0:
            lane.on_attention(index)
        return index != DECLINED

    @property
    def status(self) -> BookStatus:
        return self.feed._markets[SYMBOL].sampler.status

    def best_bid(self) -> float | None:
        best = self.feed._markets[SYMBOL].sampler.book.best_bid()
        return None if best is None else best[0]


async def test_what_follows_the_joined_book_is_taken_raw_and_nothing_before_it() -> None:
    scene = Scene()
    async with running([scene.feed]) as events:
        await scene.start()
        # The snapshot is of update 10. The first diff spans it, and only the long way knows that this is right.
        assert not scene.deliver(frame(8, 12, [["99.995", "1"]]))
        assert scene.deliver(frame(12, 14, [["99.996", "1"]]))
        assert scene.deliver(frame(14, 15, [["99.997", "1"]]))
        assert not scene.deliver(frame(12, 14, [["99.996", "0"]]))  # old: stale, and nothing else happens
        assert scene.deliver(frame(15, 16, [["99.998", "1"]]))
        assert scene.best_bid() == 99.998
        counters = scene.feed.counters[BTC]
        await scene.clock.advance(1.2)

    assert scene.seen == [12, 14, 15, 16]
    assert (counters.applied, counters.stale, counters.gaps) == (4, 1, 0)
    told = events.of(StreamActivity, lambda seen: seen.stream is Stream.BOOK)
    assert sum(activity.updates for activity in told) == 5
    assert events.of(MarketFeatures)[-1].bid == 99.998


async def test_a_gap_after_raw_frames_is_found_and_the_book_made_whole_goes_on_raw() -> None:
    scene = Scene()
    async with running([scene.feed]) as events:
        await scene.start()
        scene.deliver(frame(8, 12))
        assert scene.deliver(frame(12, 14))
        scene.connection.snapshots = [snapshot(30)]
        assert not scene.deliver(frame(20, 22))
        gapped = scene.status
        assert not scene.deliver(frame(22, 31))  # follows, but a gapped book takes nothing raw
        await scene.clock.advance(1.0)
        assert (gapped, scene.status) == (BookStatus.GAPPED, BookStatus.OK)
        assert scene.deliver(frame(31, 33))

    assert [fault.fault.value for fault in events.of(StreamFault)] == ["sequence_gap", "reconnected"]


async def test_a_book_whose_stream_is_lost_takes_nothing_until_it_is_whole_again() -> None:
    """Rule 1: unsynced before it is subscribed anew, so that no frame of before meets the new book."""
    scene = Scene()
    async with running([scene.feed]):
        await scene.start()
        scene.deliver(frame(8, 12))
        assert scene.deliver(frame(12, 14))
        scene.connection.lose(Stream.BOOK)
        await scene.clock.advance(0.01, step_s=0.01)
        assert scene.status is BookStatus.UNSYNCED
        assert not scene.deliver(frame(14, 15))
        assert scene.status is BookStatus.UNSYNCED


async def test_a_frame_that_cannot_be_read_disarms_and_is_said() -> None:
    scene = Scene()
    async with running([scene.feed]):
        await scene.start()
        scene.deliver(frame(8, 12))
        with pytest.raises(MalformedFrameError):
            scene.deliver(frame(12, 14, [["1e999", "1"]]))
        assert scene.status is BookStatus.GAPPED
        assert not scene.deliver(frame(14, 15))


async def test_while_a_wider_snapshot_is_on_its_way_diffs_are_kept_and_none_is_lost() -> None:
    scene = Scene()
    scene.connection.snapshots = [snapshot(10, levels=20)]
    falls = [[f"{100 - 0.01 * (number + 1):.2f}", "0"] for number in range(18)]
    async with running([scene.feed]):
        await scene.start()
        scene.deliver(frame(8, 12))
        scene.connection.snapshots = [snapshot(14, mid=99.85)]
        await scene.clock.advance(31.0)
        assert scene.deliver(frame(12, 13, falls, [["99.90", "1.0"]]))
        books, market = scene.feed._books, scene.feed._markets[SYMBOL]
        books.refresh_if_narrow(market, scene.clock.now())
        assert not scene.deliver(frame(13, 15, [["99.845", "1"]]))
        await scene.clock.advance(1.0)
        assert scene.deliver(frame(15, 16))
        assert scene.best_bid() == 99.845
        assert scene.feed.counters[BTC].gaps == 0


async def test_a_halted_market_is_not_believed_however_well_its_diffs_follow() -> None:
    scene = Scene()
    async with running([scene.feed]):
        await scene.start()
        scene.deliver(frame(8, 12))
        assert scene.deliver(frame(12, 13))
        scene.connection.perpetuals = [ListedMarket(SYMBOL, "USDT", "USDT", active=False, volume_usd=1.0)]
        await scene.clock.advance(3_601.0, step_s=10.0)
        assert scene.status is BookStatus.UNSYNCED
        assert not scene.deliver(frame(13, 14))


async def test_a_market_that_is_left_takes_nothing_and_the_next_one_of_its_name_is_another() -> None:
    scene = Scene()
    async with running([scene.feed]):
        await scene.start()
        scene.deliver(frame(8, 12))
        old = scene.feed.live(SYMBOL)
        assert old is not None
        scene.connection.perpetuals = []
        await scene.clock.advance(3_601.0, step_s=10.0)
        again = scene.feed.live(SYMBOL)  # its name is watched again
        assert again is not None
        assert again[0] != old[0]
        assert not scene.deliver(frame(12, 13))
        scene.feed.on_attention(old[0])  # late: of nobody

    assert not old[1].armed


async def test_whole_books_of_a_stream_arm_at_once() -> None:
    scene = Scene(DepthSource.STREAM)
    async with running([scene.feed]):
        await scene.start()
        scene.feed.on_book(SYMBOL, snapshot(10))
        assert scene.deliver(frame(10, 11))
        assert not scene.deliver(frame(12, 13))
        assert scene.status is BookStatus.GAPPED


async def test_trades_of_both_ways_are_summed_once_each() -> None:
    scene = Scene()
    async with running([scene.feed]) as events:
        await scene.start()
        scene.deliver(frame(8, 12))
        await scene.clock.advance(0.3)
        events.forget()
        assert scene.deliver(trade(1))
        assert scene.deliver(trade(1))
        assert scene.deliver(trade(2, sold=True))
        assert scene.fast.is_repeat(CODE, 2, "aggTrade")
        assert not scene.fast.is_repeat(CODE, 3, "aggTrade")
        scene.feed.on_trade(SYMBOL, TradeFrame(50.0, None))  # what the long way does with what is none
        assert scene.deliver(trade(3))
        await scene.clock.advance(1.2)

    seen = events.of(MarketFeatures)
    assert (sum(each.buy_usd for each in seen), sum(each.sell_usd for each in seen)) == (250.0, 200.0)
    assert len(events.of(StreamsActive)) >= 1


async def test_a_lost_stream_of_trades_is_back_with_the_first_trade_and_not_by_those_of_before() -> None:
    scene = Scene()
    async with running([scene.feed]) as events:
        await scene.start()
        assert scene.deliver(trade(1))
        # A connection that would tell it is back only after a while.
        scene.feed._lost(Stream.TRADES, [SYMBOL], VenueError(VENUE, "gone"))
        await scene.clock.advance(1.1)
        before = len(events.of(StreamFault))
        assert scene.deliver(trade(2))
        await scene.clock.advance(1.1)

    assert before == 1
    assert [fault.fault.value for fault in events.of(StreamFault)] == ["disconnected", "reconnected"]


def a_venue() -> LoopbackVenue:
    return LoopbackVenue(generated_source("calm", seed=5, symbols=(CODE,), duration_s=600.0), speed=4.0)


def is_right(venue: LoopbackVenue, events: Events) -> bool:
    last = events.of(MarketFeatures)[-1:]
    return any((each.bid, each.ask) == venue_best(venue) for each in last)


@BOTH
async def test_over_the_real_ccxt_frames_are_taken_raw_through_losses_too(transport: Transport) -> None:
    """Rules 2 and 3: declined frames reach ccxt at once, and its ``on_close`` makes the feed subscribe anew."""
    async with a_venue() as venue:
        market, _ = feeds_for(settings_for(venue.ccxt_urls(), SYMBOL, transport=transport))
        connected: list[FastPath] = []
        make = market._connect

        async def connect(sink: MarketFeed) -> object:
            connection = await make(sink)
            connected.append(connection._fast)  # type: ignore[attr-defined]
            return connection

        market._connect = connect  # type: ignore[assignment]
        async with running([market]) as events:
            reader = (await eventually(lambda: connected))[0].reader
            assert reader is not None
            taken = 0
            for _ in range(2):
                taken += 40
                await eventually(partial(_has_taken, reader, taken), within_s=20.0)
                await eventually(lambda: is_right(venue, events), within_s=10.0)
                venue.misbehave(Fault(kind=FaultKind.RESET))
                await events.until(StreamFault, lambda seen: seen.stream is Stream.BOOK)
                venue.behave()
                events.forget()
            # Diffs before each snapshot, answers to SUBSCRIBE and marks: what else there is goes the long way.
            assert reader.declined > 0
            assert market.counters[BTC].gaps == 0


def _has_taken(reader: FrameReader, count: int) -> bool:
    return reader.taken > count
