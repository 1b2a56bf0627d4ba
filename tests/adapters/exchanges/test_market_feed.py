"""The market feed over the real ccxt.pro and a venue on loopback that misbehaves."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from adapters.clock import SystemClock
from adapters.exchanges import venue_feeds
from adapters.simulation import LoopbackVenue, generated_source
from adapters.simulation.source import Frame, FrameKind
from guard.events import (
    BookStatus,
    LiquidationSeen,
    MarketFeatures,
    MarketsWatched,
    MarkPriceSeen,
    OpenInterestSeen,
    Stream,
    StreamActivity,
    StreamFault,
    StreamFaultKind,
)
from guard.units import MarketId, symbol_of
from tests.adapters.simulation.steady import SteadySource
from tests.support.eventually import eventually
from tests.support.exchange_feeds import (
    Events,
    feeds_for,
    running,
    secret_is_its_name,
    settings_for,
    venue_best,
)

BTC = MarketId("binanceusdm:BTC/USDT:USDT")
ETH = MarketId("binanceusdm:ETH/USDT:USDT")


class QuietSource(SteadySource):
    """Ten steps of a book, then only mark prices: nobody trades, nobody moves an order."""

    def frames(self, start_at_ns: int) -> Iterator[Frame]:
        for number, frame in enumerate(super().frames(start_at_ns)):
            if frame.kind is FrameKind.MARK_PRICE or (frame.kind is FrameKind.DEPTH and number < 30):
                yield frame


def a_market(seed: int = 1, duration_s: float = 600.0) -> LoopbackVenue:
    source = generated_source("calm", seed=seed, symbols=("BTCUSDT", "ETHUSDT"), duration_s=duration_s)
    return LoopbackVenue(source)


@pytest.fixture
async def venue() -> AsyncIterator[LoopbackVenue]:
    async with a_market() as started:
        yield started


def is_ok(features: MarketFeatures) -> bool:
    return features.status is BookStatus.OK


async def until_fault(
    events: Events, kind: StreamFaultKind, stream: Stream = Stream.BOOK, subject: str = BTC
) -> StreamFault:
    return await events.until(
        StreamFault, lambda fault: fault.fault is kind and fault.stream is stream and fault.subject == subject
    )


async def until_active(events: Events, stream: Stream) -> StreamActivity:
    return await events.until(StreamActivity, lambda seen: seen.stream is stream and seen.subject == BTC)


async def until_ok(events: Events, market: MarketId) -> MarketFeatures:
    return await events.until(MarketFeatures, lambda seen: seen.market == market and is_ok(seen))


async def until_book_is_right(venue: LoopbackVenue, events: Events) -> None:
    """Wait until a sample shows what the venue's own book shows."""

    def right() -> bool:
        samples = events.of(MarketFeatures, lambda features: features.market == BTC)
        return (
            bool(samples) and is_ok(samples[-1]) and (samples[-1].bid, samples[-1].ask) == venue_best(venue)
        )

    await eventually(right, within_s=15.0, what=events.tail())


async def test_everything_that_a_market_says_becomes_an_event(venue: LoopbackVenue) -> None:
    feed, _ = feeds_for(settings_for(venue.ccxt_urls()))
    async with running([feed]) as events:
        features = await events.until(
            MarketFeatures, lambda seen: is_ok(seen) and seen.buy_usd + seen.sell_usd > 0
        )
        mark = await events.until(MarkPriceSeen)
        interest = await events.until(OpenInterestSeen, lambda seen: seen.open_interest_usd is not None)
        for stream in (Stream.BOOK, Stream.TRADES, Stream.MARK_PRICE, Stream.OPEN_INTEREST):
            await until_active(events, stream)
        await until_book_is_right(venue, events)

    assert features.market == BTC
    assert features.bid is not None
    assert features.ask is not None
    assert features.bid < features.ask
    assert features.exchange_at is not None
    assert mark.funding_rate is not None
    assert mark.index_price is not None
    assert interest.open_interest > 0
    assert events.of(StreamFault) == []


async def test_a_lost_diff_is_told_and_repaired_for_that_market_alone(venue: LoopbackVenue) -> None:
    feed, _ = feeds_for(settings_for(venue.ccxt_urls(), "BTC/USDT:USDT", "ETH/USDT:USDT"))
    async with running([feed]) as events:
        for market in (BTC, ETH):
            await until_ok(events, market)
        venue.skip_update("BTCUSDT")
        gap = await until_fault(events, StreamFaultKind.SEQUENCE_GAP)
        gapped = await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.GAPPED)
        await until_fault(events, StreamFaultKind.RECONNECTED)
        await until_book_is_right(venue, events)

    assert "snapshot" in gap.detail
    assert (gapped.market, gapped.bid, gapped.bids) == (BTC, None, None)
    assert feed.counters[BTC].gaps == 1
    assert feed.counters[ETH].gaps == 0
    assert {fault.subject for fault in events.of(StreamFault)} == {BTC}
    assert all(is_ok(seen) for seen in events.of(MarketFeatures, lambda seen: seen.market == ETH))


async def test_a_frame_that_cannot_be_read_stops_nothing(venue: LoopbackVenue) -> None:
    feed, _ = feeds_for(settings_for(venue.ccxt_urls()))
    async with running([feed]) as events:
        await events.until(MarketFeatures, is_ok)
        venue.corrupt_next_frame("BTCUSDT")
        malformed = await until_fault(events, StreamFaultKind.MALFORMED)
        await until_fault(events, StreamFaultKind.SEQUENCE_GAP)
        await until_fault(events, StreamFaultKind.RECONNECTED)
        await until_book_is_right(venue, events)

    assert "frame begins" in malformed.detail
    assert events.faults(StreamFaultKind.DISCONNECTED) == []


async def test_cut_connections_are_told_and_everything_is_subscribed_again(venue: LoopbackVenue) -> None:
    feed, _ = feeds_for(settings_for(venue.ccxt_urls()))
    async with running([feed]) as events:
        await events.until(MarketFeatures, is_ok)
        await events.until(MarkPriceSeen)
        events.forget()
        venue.drop_connections()
        for stream in (Stream.BOOK, Stream.TRADES, Stream.MARK_PRICE, Stream.LIQUIDATIONS):
            await until_fault(events, StreamFaultKind.DISCONNECTED, stream)
            await until_fault(events, StreamFaultKind.RECONNECTED, stream)
        await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.UNSYNCED)
        await events.until(MarkPriceSeen)
        await until_book_is_right(venue, events)


async def test_a_venue_that_falls_silent_is_left_and_found_again(venue: LoopbackVenue) -> None:
    feed, _ = feeds_for(settings_for(venue.ccxt_urls(), silence_s_max=1.5))
    async with running([feed]) as events:
        await events.until(MarketFeatures, is_ok)
        venue.go_silent()
        lost = await until_fault(events, StreamFaultKind.DISCONNECTED)
        unsynced = await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.UNSYNCED)
        venue.go_silent(silent=False)
        await until_fault(events, StreamFaultKind.RECONNECTED)
        await until_book_is_right(venue, events)

    assert "nothing came for" in lost.detail
    assert unsynced.bid is None


async def test_a_market_in_which_nothing_happens_is_not_taken_for_a_dead_socket() -> None:
    async with LoopbackVenue(QuietSource(prices=(60_000.0,) * 600)) as venue:
        feed, _ = feeds_for(settings_for(venue.ccxt_urls(), silence_s_max=0.8))
        async with running([feed]) as events:
            await events.until(MarketFeatures, is_ok)
            heard = len(events.of(MarkPriceSeen))
            # Three times what counts as silence, in which only marks come.
            await eventually(lambda: len(events.of(MarkPriceSeen)) >= heard + 25, within_s=15.0)

    assert events.of(StreamFault) == []


async def test_a_venue_that_lives_but_lost_its_streams_is_found_over_rest(venue: LoopbackVenue) -> None:
    feed, _ = feeds_for(settings_for(venue.ccxt_urls(), silence_s_max=0.8))
    async with running([feed]) as events:
        await events.until(MarketFeatures, is_ok)
        await events.until(MarkPriceSeen)
        venue.go_silent(pongs=True)
        book = await until_fault(events, StreamFaultKind.DISCONNECTED)
        marks = await until_fault(events, StreamFaultKind.DISCONNECTED, Stream.MARK_PRICE)
        trades = events.faults(StreamFaultKind.DISCONNECTED)
        venue.go_silent(silent=False)
        await until_fault(events, StreamFaultKind.RECONNECTED)
        await until_book_is_right(venue, events)

    assert "moves on at the venue" in book.detail
    assert "nothing came for" in marks.detail
    assert {fault.stream for fault in trades} == {Stream.BOOK, Stream.MARK_PRICE}


async def test_a_symbol_that_the_venue_does_not_list_is_named_and_the_others_go_on(
    venue: LoopbackVenue,
) -> None:
    feed, _ = feeds_for(settings_for(venue.ccxt_urls(), "BTCUSDT", "ETH/USDT:USDT"))
    async with running([feed]) as events:
        refused = await until_fault(events, StreamFaultKind.REFUSED, subject="binanceusdm:BTCUSDT")
        await events.until(MarketFeatures, lambda seen: seen.market == ETH and is_ok(seen))

    assert "'BTCUSDT'" in refused.detail
    assert "did you mean BTC/USDT:USDT" in refused.detail


async def test_the_busiest_market_is_chosen_and_one_that_is_held_comes_and_goes(venue: LoopbackVenue) -> None:
    """Over the real ccxt: a second subscription beside the first, left and made again, counts nothing twice."""
    held = {symbol_of(BTC), symbol_of(ETH)}  # both in one subscription at first
    settings = settings_for(venue.ccxt_urls(), top=1, listing_poll_s=1.0).model_copy(update={"symbols": []})
    feed, *_ = venue_feeds(
        settings, clock=SystemClock(), resolve_secret=secret_is_its_name, held=lambda: held
    )
    async with running([feed]) as events:
        for market in (BTC, ETH):
            await until_ok(events, market)
        held.clear()
        (busiest,) = (await events.until(MarketsWatched, lambda seen: len(seen.markets) == 1)).markets
        other = ETH if busiest == BTC else BTC
        events.forget()
        held.add(symbol_of(other))  # a second subscription, while the first socket still carries it
        await events.until(MarketsWatched, lambda seen: set(seen.markets) == {busiest, other})
        await until_ok(events, other)
        trades = await events.until(
            StreamActivity, lambda seen: (seen.subject, seen.stream) == (other, Stream.TRADES)
        )
        faults = events.of(StreamFault)
        counted = feed.counters[other]  # type: ignore[attr-defined]

    assert trades.updates > 0
    assert faults == []
    # Of two sockets that bring a diff, the reader takes the first; the other's is stale, and changes nothing.
    assert counted.gaps == 0
    assert counted.applied > 0


async def test_a_venue_that_is_away_at_the_start_is_waited_for() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    venue = LoopbackVenue(generated_source("calm", seed=1, duration_s=600.0), port=port)
    await venue.start()
    urls = venue.ccxt_urls()
    await venue.stop()

    feed, _ = feeds_for(settings_for(urls))
    async with running([feed]) as events:
        lost = await until_fault(events, StreamFaultKind.DISCONNECTED)
        async with LoopbackVenue(generated_source("calm", seed=1, duration_s=600.0), port=port):
            await until_fault(events, StreamFaultKind.RECONNECTED)
            await events.until(MarketFeatures, is_ok)
            told = len(events.faults(StreamFaultKind.DISCONNECTED))

    assert "trying again" in lost.detail
    assert told == 1


async def test_a_venue_that_restarts_is_found_again() -> None:
    async with a_market(seed=1) as first:
        port, urls = first.port, first.ccxt_urls()
        feed, _ = feeds_for(settings_for(urls))
        async with running([feed]) as events:
            await events.until(MarketFeatures, is_ok)
            await first.stop()
            await until_fault(events, StreamFaultKind.DISCONNECTED)
            source = generated_source("calm", seed=2, duration_s=600.0)
            async with LoopbackVenue(source, port=port) as second:
                await until_fault(events, StreamFaultKind.RECONNECTED)
                await until_book_is_right(second, events)


async def test_forced_orders_tell_whose_position_was_closed() -> None:
    source = generated_source("fall", seed=3, duration_s=20.0, calm_share=0.1)
    async with LoopbackVenue(source, speed=4.0) as venue:
        feed, _ = feeds_for(settings_for(venue.ccxt_urls()))
        async with running([feed]) as events:
            seen = await events.until(LiquidationSeen, within_s=20.0)

    assert seen.size > 0  # the market fell: longs were closed
    assert seen.notional_usd == pytest.approx(seen.size * seen.price)
