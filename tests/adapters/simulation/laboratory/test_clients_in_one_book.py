"""Unmodified ccxt.pro clients in a book that reacts: they see what stands, take it, stand in it, and meet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from adapters.simulation import Fault, FaultKind, LoopbackVenue
from adapters.simulation.dialects import DialectName
from adapters.simulation.errors import Refusal
from adapters.simulation.laboratory.owners import ACCOUNTS
from adapters.simulation.laboratory.parameters import LiquidationFeed
from adapters.simulation.laboratory.source import LaboratorySource
from adapters.simulation.laboratory.stage import Forced
from tests.adapters.simulation.bybit import clients as bybit
from tests.adapters.simulation.clients import ALICE, BOB, CODE, SYMBOL, client
from tests.adapters.simulation.laboratory.tiny import VENUE, TinyPlay
from tests.support.eventually import eventually

Level = list[float]


class Restless(TinyPlay):
    """Its price goes down and up again, and somebody sells now and then."""

    def step(self) -> None:
        number = self.now_ms // self.step_ms
        self.book.tick = 12_000 - 3 * min(number % 40, 40 - number % 40)
        if number % 3 == 0:
            self.book.takers.append((-1, 700))
        super().step()


def levels(play: TinyPlay, side: int) -> list[Level]:
    """The play's own book, best first, as clients see it."""
    ticks, lots = play.exchange.book.gather(side, 1_000)
    return [
        [tick * 5.0, round(lot * 0.001, 3)] for tick, lot in zip(ticks.tolist(), lots.tolist(), strict=True)
    ]


def is_the_plays(book: Any, play: TinyPlay) -> bool:
    bids, asks = ([list(level[:2]) for level in book[side]] for side in ("bids", "asks"))
    return bool(bids) and bids == levels(play, 1) and asks == levels(play, -1)


def venue_of(play: TinyPlay, **more: Any) -> LoopbackVenue:
    usual: dict[str, Any] = {"accounts": [ALICE, BOB], "speed": 0, "hold": True}
    return LoopbackVenue(LaboratorySource(play.stage(), VENUE), **(usual | more))


@pytest.fixture
def play() -> TinyPlay:
    return TinyPlay(duration_ms=1_000)


@pytest.fixture
async def venue(play: TinyPlay) -> AsyncIterator[LoopbackVenue]:
    """A market that stands still until it is begun; then it lasts for ten steps."""
    async with venue_of(play) as running:
        yield running


async def test_a_clients_book_is_the_markets_own_level_by_level() -> None:
    play = Restless(duration_ms=20_000)
    async with venue_of(play) as venue, client(venue) as exchange:
        opening = await exchange.watch_order_book(SYMBOL)
        assert is_the_plays(opening, play)

        venue.begin()
        await venue.finished()

        await eventually(lambda: is_the_plays(exchange.orderbooks[SYMBOL], play), what="equal books")
        assert play.now_ms == 20_000


async def test_orders_move_the_book_stand_in_it_are_filled_by_others_and_leave_it(
    play: TinyPlay, venue: LoopbackVenue
) -> None:
    async with client(venue, ALICE) as alice, client(venue) as onlooker:
        book = await onlooker.watch_order_book(SYMBOL)

        bought = await alice.create_order(SYMBOL, "market", "buy", 1.5)
        assert (bought["status"], bought["filled"]) == ("closed", 1.5)
        assert bought["average"] == pytest.approx((60_005 + 60_010 / 2) / 1.5)
        await eventually(lambda: onlooker.orderbooks[SYMBOL]["asks"][0][:2] == [60_010.0, 0.5])

        standing = await alice.create_order(SYMBOL, "limit", "sell", 0.5, 60_000)
        leaving = await alice.create_order(SYMBOL, "limit", "buy", 0.2, 59_998 - 3)
        await eventually(lambda: [60_000.0, 0.5] in [list(each[:2]) for each in book["asks"]])
        await eventually(lambda: [59_995.0, 1.2] in [list(each[:2]) for each in book["bids"]])
        await alice.cancel_order(leaving["id"], SYMBOL)
        await eventually(lambda: [59_995.0, 1.0] in [list(each[:2]) for each in book["bids"]])

        play.book.takers.append((1, 300))
        venue.begin()
        await venue.finished()
        found = await alice.fetch_order(standing["id"], SYMBOL)
        assert (found["status"], found["filled"], found["remaining"]) == ("open", 0.3, 0.2)
        (fill,) = [each for each in await alice.fetch_my_trades(SYMBOL) if each["order"] == standing["id"]]
        assert (fill["price"], fill["amount"], fill["takerOrMaker"]) == (60_000.0, 0.3, "maker")
        assert fill["fee"]["cost"] == pytest.approx(0.3 * 60_000 * 0.0002)
        await eventually(lambda: is_the_plays(onlooker.orderbooks[SYMBOL], play), what="equal books")


async def test_two_accounts_meet_and_both_hear_of_it(play: TinyPlay, venue: LoopbackVenue) -> None:
    async with client(venue, ALICE) as alice, client(venue, BOB) as bob:
        heard = asyncio.create_task(alice.watch_my_trades(SYMBOL))
        await eventually(lambda: venue.connections)
        await alice.create_order(SYMBOL, "limit", "sell", 0.3, 60_000)

        order = await bob.create_order(SYMBOL, "limit", "buy", 0.1, 60_000)

        assert (order["status"], order["average"]) == ("closed", 60_000.0)
        (trade,) = await asyncio.wait_for(heard, 5)
        assert (trade["side"], trade["amount"], trade["takerOrMaker"]) == ("sell", 0.1, "maker")
        assert [
            float(sum(position.amount for position in venue.account_state(name).positions))
            for name in ("alice", "bob")
        ] == [-0.1, 0.1]
        assert play.exchange.longs_of_others() == play.exchange.shorts_of_others() == 100


async def test_forced_orders_come_as_the_venue_tells_them(play: TinyPlay) -> None:
    """Ten liquidations within a second: Binance tells of two at most, of the latest of them each time."""
    forced = [Forced(-1, 100 + number, 11_900.0, 11_950.0) for number in range(10)]
    told: dict[LiquidationFeed, list[str]] = {}
    for feed in LiquidationFeed:
        play = TinyPlay(venues={VENUE: feed}, duration_ms=2_000)
        source = LaboratorySource(play.stage(), VENUE)
        frames = source.frames(10**18)
        waiting = list(forced)
        told[feed] = []
        for frame in frames:
            if frame.kind == "markPrice" and waiting:
                play.book.forced.extend(waiting)
                waiting.clear()
            if frame.kind == "forceOrder":
                told[feed].append(frame.payload.decode())
    assert len(told[LiquidationFeed.COMPLETE]) == 10
    assert len(told[LiquidationFeed.THROTTLED]) == 1
    assert '"q":"0.109"' in told[LiquidationFeed.THROTTLED][0]
    assert '"ap":"59750"' in told[LiquidationFeed.THROTTLED][0]


async def test_bybit_speaks_of_the_same_book() -> None:
    play = Restless(duration_ms=5_000)
    async with (
        venue_of(play, dialect=DialectName.BYBIT) as venue,
        bybit.client(venue, ALICE) as alice,
    ):
        await alice.watch_order_book(SYMBOL, 1_000)
        order = await alice.create_order(SYMBOL, "limit", "buy", 0.3, 60_000)
        await eventually(lambda: is_the_plays(alice.orderbooks[SYMBOL], play), what="equal books")

        venue.begin()
        await venue.finished()

        await eventually(lambda: is_the_plays(alice.orderbooks[SYMBOL], play), what="equal books")
        (position,) = await alice.fetch_positions([SYMBOL])
        assert (position["side"], position["contracts"]) == ("long", 0.3)
        assert order["id"] not in [each["id"] for each in await alice.fetch_open_orders(SYMBOL)]


async def test_hyperliquid_speaks_of_the_same_book() -> None:
    import aiohttp

    play = Restless(duration_ms=1_000)
    async with venue_of(play, dialect=DialectName.HYPERLIQUID, accounts=()) as venue:
        venue.begin()
        await venue.finished()
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"http://127.0.0.1:{venue.port}/info", json={"type": "l2Book", "coin": "BTC"}
            ) as answer,
        ):
            bids, asks = (await answer.json())["levels"]

    shown = [[[float(each["px"]), float(each["sz"])] for each in side] for side in (bids, asks)]
    assert shown == [levels(play, 1)[:20], levels(play, -1)[:20]]
    assert CODE in venue.symbols()


async def test_after_a_halt_and_a_coarser_tick_the_book_is_the_markets_again() -> None:
    """Accounts trade on meanwhile where they may, and are booked as the market has it."""
    play = Restless(duration_ms=15_000)
    async with venue_of(play, speed=10.0) as venue, client(venue, ALICE) as alice:
        await alice.watch_order_book(SYMBOL)
        venue.misbehave(
            Fault(kind=FaultKind.TICK_SIZE, symbols=(CODE,), tick_ratio=10, at_s=0.1, for_s=0.3),
            Fault(kind=FaultKind.HALT, symbols=(CODE,), emptied=True, at_s=0.5, for_s=0.3),
            Fault(kind=FaultKind.CROSS, symbols=(CODE,), at_s=0.9, for_s=0.3),
        )
        resting = await alice.create_order(SYMBOL, "limit", "buy", 0.5, 59_950)
        venue.begin()

        def bought_until_late() -> bool:
            with contextlib.suppress(Refusal):  # while it is halted
                venue.trade("alice", CODE, 0.05)
            return play.now_ms >= 14_000

        await eventually(bought_until_late, within_s=20, every_s=0.1)
        await venue.finished()

        await eventually(lambda: is_the_plays(alice.orderbooks[SYMBOL], play), what="equal books")
        (position,) = venue.account_state("alice").positions
        assert (await alice.fetch_order(resting["id"], SYMBOL))["status"] == "closed"
        assert position.amount * 1_000 == play.exchange.lots_of(ACCOUNTS)
        assert position.amount > Decimal("0.6")
        assert venue.misbehaviour.hits
