"""Markets that halt, vanish, cross or change their tick: what REST, streams and accounts say of it agrees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import ccxt
import msgspec
import pytest

from adapters.simulation import Fault, FaultKind, LoopbackVenue, generated_source
from adapters.simulation.book import VenueBook
from adapters.simulation.source import OpeningBook
from adapters.simulation.wire import decode_depth
from tests.adapters.simulation.clients import ALICE, CODE, SYMBOL, client
from tests.support.eventually import eventually


class Mirror:
    """A book kept from one stream of diffs alone; fails at a gap."""

    def __init__(self, venue: LoopbackVenue) -> None:
        book = venue.market(CODE).book
        levels = book.bids.levels.values(), book.asks.levels.values()
        self.book = VenueBook(OpeningBook(book.update_id, 0, tuple(levels[0]), tuple(levels[1])))
        self.diffs = 0

    def take(self, payload: bytes) -> None:
        update = decode_depth(payload)
        if self.diffs:
            assert update.pu == self.book.update_id, "a gap"
        self.book.apply(update)
        self.diffs += 1

    def equals(self, other: VenueBook) -> bool:
        return self.book.update_id == other.update_id and all(
            getattr(self.book, side).levels == getattr(other, side).levels for side in ("bids", "asks")
        )


@asynccontextmanager
async def mirrored(**settings: Any) -> AsyncIterator[tuple[LoopbackVenue, Mirror]]:
    """A running market, and a mirror of its book that is fed by a socket."""
    source = generated_source("calm", seed=4, duration_s=120.0)
    async with (
        LoopbackVenue(source, accounts=[ALICE], speed=4.0, hold=True, **settings) as venue,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{venue.port}/ws/btcusdt@depth") as socket,
    ):
        mirror = Mirror(venue)

        async def follow() -> None:
            async for message in socket:
                mirror.take(message.data)

        following = asyncio.create_task(follow())
        venue.begin()
        try:
            yield venue, mirror
        finally:
            following.cancel()
            await asyncio.wait([following])
            if not following.cancelled():
                following.result()


async def until_equal(venue: LoopbackVenue, mirror: Mirror) -> None:
    """Wait for some more diffs, then until mirror and venue stand at the same update and are the same."""
    seen = mirror.diffs
    await eventually(lambda: mirror.diffs > seen + 3)
    await eventually(lambda: mirror.book.update_id == venue.market(CODE).book.update_id)
    assert mirror.equals(venue.market(CODE).book)


def bid_depth(venue: LoopbackVenue) -> float:
    """Everything that is bid, in coins."""
    return sum(float(size) for _, size in venue.market(CODE).book.bids.levels.values())


async def info(venue: LoopbackVenue) -> dict[str, Any]:
    """The symbols of exchangeInfo by their names."""
    url = f"http://127.0.0.1:{venue.port}/fapi/v1/exchangeInfo"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return {row["symbol"]: row for row in msgspec.json.decode(await answer.read())["symbols"]}


async def test_a_new_tick_puts_the_whole_book_on_its_grid_and_back() -> None:
    async with mirrored() as (venue, mirror):
        await until_equal(venue, mirror)
        depth = bid_depth(venue)
        venue.misbehave(Fault(kind=FaultKind.TICK_SIZE, symbols=(CODE,), tick_ratio=100))
        await until_equal(venue, mirror)
        assert (await info(venue))[CODE]["filters"][0]["tickSize"] == "10"
        book = venue.market(CODE).book
        prices = [Decimal(price) for side in (book.bids, book.asks) for price, _ in side.levels.values()]
        assert all(price % 10 == 0 for price in prices)
        assert len(prices) < 400
        assert abs(bid_depth(venue) - depth) < depth / 3  # sizes add up, whatever the grid
        venue.behave()
        await until_equal(venue, mirror)
        assert (await info(venue))[CODE]["filters"][0]["tickSize"] == "0.1"
        assert len(venue.market(CODE).book.bids.levels) > 300


@pytest.mark.parametrize("emptied", [False, True])
async def test_a_halt_takes_no_orders_and_the_book_stands_still_or_is_empty(emptied: bool) -> None:
    async with mirrored() as (venue, mirror), client(venue, ALICE) as exchange:
        await exchange.create_order(SYMBOL, "market", "buy", 0.01)
        venue.misbehave(Fault(kind=FaultKind.HALT, symbols=(CODE,), emptied=emptied))
        market = venue.market(CODE)
        stood_at = market.book.update_id
        with pytest.raises(ccxt.BaseError, match="-4140"):
            await exchange.create_order(SYMBOL, "market", "sell", 0.01)
        assert (await info(venue))[CODE]["status"] == "BREAK"
        now_ns = market.now_ns
        await eventually(lambda: market.now_ns > now_ns + 2 * 10**9)
        assert (market.book.update_id > stood_at) is emptied
        assert bool(market.book.bids.levels) is not emptied
        venue.behave()
        await until_equal(venue, mirror)
        assert len(market.book.bids.levels) > 300
        await exchange.create_order(SYMBOL, "market", "sell", 0.01)
        assert venue.account_state("alice").positions == ()


async def test_a_delisted_symbol_is_gone_and_its_positions_are_settled_at_the_mark() -> None:
    async with mirrored() as (venue, mirror), client(venue, ALICE) as exchange:
        await exchange.create_order(SYMBOL, "market", "buy", 0.01)
        await exchange.create_order(SYMBOL, "limit", "buy", 0.01, 50_000)
        entry = venue.account_state("alice").positions[0].entry_price
        venue.misbehave(Fault(kind=FaultKind.DELIST, symbols=(CODE,)))
        after = venue.account_state("alice")
        assert (after.positions, after.open_orders) == ((), ())
        assert after.realised_usdt == (venue.market(CODE).mark - entry) * Decimal("0.01")
        assert CODE not in await info(venue)
        seen, now_ns = mirror.diffs, venue.market(CODE).now_ns
        with pytest.raises(ccxt.BadSymbol):
            await exchange.fetch_order_book(SYMBOL)
        with pytest.raises(ccxt.BadSymbol):
            await exchange.create_order(SYMBOL, "market", "buy", 0.01)
        await eventually(lambda: venue.market(CODE).now_ns > now_ns + 2 * 10**9)
        assert mirror.diffs <= seen + 2  # what was under way
        venue.behave()
        await until_equal(venue, mirror)
        assert CODE in await info(venue)


async def test_a_crossed_book_is_crossed_for_everyone_until_it_ends() -> None:
    async with mirrored() as (venue, mirror):
        venue.misbehave(Fault(kind=FaultKind.CROSS, symbols=(CODE,)))
        await until_equal(venue, mirror)
        book = venue.market(CODE).book
        bid, ask = book.bids.best_price(), book.asks.best_price()
        assert bid is not None
        assert ask is not None
        assert bid > ask
        venue.behave()
        await until_equal(venue, mirror)
        bid, ask = book.bids.best_price(), book.asks.best_price()
        assert bid is not None
        assert ask is not None
        assert bid < ask


async def test_conditions_that_overlap_end_one_by_one() -> None:
    async with mirrored() as (venue, mirror):
        tick = Fault(kind=FaultKind.TICK_SIZE, symbols=(CODE,), tick_ratio=10)
        venue.misbehave(tick, tick, Fault(kind=FaultKind.HALT, symbols=(CODE,), for_s=0.2))
        assert venue.market(CODE).spec.tick == Decimal(10)
        await eventually(lambda: venue.market(CODE).status == "trading")
        await until_equal(venue, mirror)
        venue.behave()
        assert venue.market(CODE).spec.tick == Decimal("0.1")
        await until_equal(venue, mirror)
