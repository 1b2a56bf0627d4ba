"""The laboratory itself behind loopback venues: unmodified clients of two exchanges, and accounts among everybody."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from adapters.simulation import LoopbackVenue, VenueAccountSpec
from adapters.simulation.laboratory.exchange import Exchange
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.parameters import FundingParameters, Impulse, ImpulseKind
from adapters.simulation.laboratory.playing import LaboratoryPlay
from adapters.simulation.laboratory.source import LaboratorySource, laboratory_source, twin_sources
from adapters.simulation.laboratory.stage import Stage
from adapters.simulation.laboratory.venues import LaboratoryVenues, laboratory_settings
from adapters.simulation.orders import Side
from adapters.simulation.recorded import write_recording
from adapters.simulation.source import Frame, FrameKind
from tests.adapters.simulation.bybit import clients as bybit
from tests.adapters.simulation.clients import ALICE, BOB, CODE, SYMBOL, client
from tests.adapters.simulation.laboratory.crashes import crash
from tests.adapters.simulation.laboratory.episodes import BTC, START_AT_NS, small_episode
from tests.support.eventually import eventually

CAROL = VenueAccountSpec("carol", "key-carol", "secret-carol", 15_000, leverage=50)
HOLDER = VenueAccountSpec("holder", "key-h", "secret-h", 1_000, collateral={"USDE": 1_000})
TICK, LOT = float(BTC.tick), float(BTC.lot)


def levels(exchange: Exchange, side: int) -> list[list[float]]:
    ticks, lots = exchange.book.gather(side, 1_000)
    return [
        [tick * TICK, round(lot * LOT, 3)] for tick, lot in zip(ticks.tolist(), lots.tolist(), strict=True)
    ]


def is_the_laboratorys(book: Any, exchange: Exchange) -> bool:
    bids, asks = ([list(level[:2]) for level in book[side][:1_000]] for side in ("bids", "asks"))
    return bool(bids) and bids == levels(exchange, 1) and asks == levels(exchange, -1)


def staged(**changed: Any) -> tuple[Laboratory, LaboratorySource]:
    """A laboratory of which a test sees the inside, and its market at Binance."""
    laboratory = Laboratory(small_episode(**changed))
    return laboratory, LaboratorySource(Stage(lambda: LaboratoryPlay(laboratory)), "binanceusdm")


def holds_together(laboratory: Laboratory) -> bool:
    """Whether at every book longs are shorts, and all money is somewhere."""
    for listing in laboratory.listings.values():
        exchange, crowd = listing.exchange, listing.crowd
        owners = range(exchange.owners_count)
        if crowd.long_lots + exchange.longs_of_others() != crowd.short_lots + exchange.shorts_of_others():
            return False
        if sum(exchange.cash_of(each) for each in owners) + exchange.fees_micros + exchange.funding_micros:
            return False
    return True


async def test_two_exchanges_clients_see_the_laboratorys_books_and_trade_in_them() -> None:
    venues = LaboratoryVenues(
        small_episode(duration_s=8.0, symbols=(BTC,)),
        accounts={"binanceusdm": [ALICE], "bybit": [BOB]},
        speed=0,
        hold=True,
    )
    laboratory = venues.laboratory
    binance_book, bybit_book = (laboratory.listings[venue, CODE].exchange for venue in venues.venues)
    async with (
        venues,
        client(venues.venues["binanceusdm"], ALICE) as alice,
        bybit.client(venues.venues["bybit"], BOB) as bob,
    ):
        assert is_the_laboratorys(await alice.watch_order_book(SYMBOL), binance_book)
        await bob.watch_order_book(SYMBOL, 1_000)
        await alice.create_order(SYMBOL, "market", "buy", 0.5)
        await bob.create_order(SYMBOL, "market", "sell", 0.25)
        resting = await alice.create_order(SYMBOL, "limit", "sell", 0.1, TICK * binance_book.book.best_ask)

        venues.begin()
        await venues.finished()

        await eventually(
            lambda: is_the_laboratorys(alice.orderbooks[SYMBOL], binance_book), what="equal books"
        )
        await eventually(lambda: is_the_laboratorys(bob.orderbooks[SYMBOL], bybit_book), what="equal books")
        assert laboratory.now_ms == 8_000
        (position,) = await bob.fetch_positions([SYMBOL])
        assert (position["side"], position["contracts"]) == ("short", 0.25)
        (at_binance,) = venues.venues["binanceusdm"].account_state("alice").positions
        filled = (await alice.fetch_order(resting["id"], SYMBOL))["filled"]
        assert float(at_binance.amount) == pytest.approx(0.5 - filled)
        assert (
            binance_book.lots_of(venues.sources["binanceusdm"].owner("alice")) == at_binance.amount / BTC.lot
        )
        assert holds_together(laboratory)


async def test_funding_is_paid_and_a_fall_liquidates_with_everybody_else() -> None:
    """Value falls by a tenth; an account at leverage 50 goes the way of the crowd's, and the venue tells of it."""
    fall = Impulse(kind=ImpulseKind.VALUE, at_s=12.0, duration_s=10.0, size=-0.1)
    laboratory, source = staged(
        duration_s=40.0, symbols=(BTC,), impulses=(fall,), funding=FundingParameters(interval_s=5.0)
    )
    settings = laboratory_settings(laboratory.episode)
    async with LoopbackVenue(source, accounts=[CAROL, ALICE], speed=0, hold=True, settings=settings) as venue:
        venue.trade("carol", CODE, 4.5)
        venue.trade("alice", CODE, -0.5)
        venue.begin()
        await venue.finished()
        carol, alice = venue.account_state("carol"), venue.account_state("alice")

    assert carol.liquidations
    assert carol.positions == ()
    assert carol.wallet_usdt >= 0
    exchange = laboratory.listings["binanceusdm", CODE].exchange
    assert exchange.lots_of(source.owner("carol")) == 0
    # The laboratory keeps a count of its own, by the rates at which everybody pays.
    (short,) = alice.positions
    others = float(-short.amount * short.entry_price - alice.fees_usdt)
    paid = exchange.cash_of(source.owner("alice")) / 1e6 - others
    assert abs(paid) > 1.0
    assert float(alice.funding_usdt) == pytest.approx(paid, rel=0.05)
    assert holds_together(laboratory)


def test_what_an_account_sells_sets_off_stops_and_liquidations_of_others() -> None:
    """Two worlds alike, in one of which an account sells three depths: there others must follow."""
    quiet, _ = staged(symbols=(BTC,))
    hit, source = staged(symbols=(BTC,))
    for number in range(300):
        if 20 <= number < 50:
            source.take("whale", CODE, Side.SELL, Decimal(10), Decimal(0))
            source.take_fills()
        for laboratory in (quiet, hit):
            laboratory.step()

    calm, moved = (each.listings["binanceusdm", CODE].crowd for each in (quiet, hit))
    assert calm.engine.liquidations == 0
    assert moved.stopped_lots > calm.stopped_lots
    assert moved.engine.liquidations > 0
    assert moved.engine.book_lots > 0
    assert holds_together(hit)


def test_an_episode_is_recorded_equal_frame_by_frame(tmp_path: Any) -> None:
    episode = small_episode(duration_s=3.0)
    first, second = (list(laboratory_source(episode).frames(START_AT_NS)) for _ in range(2))
    assert first == second
    source = laboratory_source(episode)
    assert write_recording(source, tmp_path / "laboratory.gz") == len(first)
    assert list(source.frames(START_AT_NS)) == first  # anew on every call


def test_twins_differ_by_nothing_but_what_accounts_do() -> None:
    episode = small_episode(duration_s=4.0)
    twins = twin_sources({name: Laboratory(episode) for name in ("one", "other")})
    frames: dict[str, list[Any]] = {name: [] for name in twins}
    for source in twins.values():
        source.begin(START_AT_NS)
    for number in range(40):
        if number == 20:
            twins["other"].take("alice", CODE, Side.SELL, Decimal(5), Decimal(0))
        for name, source in twins.items():
            source.advance()
            frames[name].append(source.react(START_AT_NS + source.turns * 10**8))

    assert frames["one"][:20] == frames["other"][:20]
    assert frames["one"][20] != frames["other"][20]


def test_a_venue_that_the_episode_has_not_is_named() -> None:
    with pytest.raises(ValueError, match="no venue 'okx'; it has binanceusdm, bybit"):
        laboratory_source(small_episode(), "okx")
    with pytest.raises(ValueError, match="no venue okx"):
        LaboratoryVenues(small_episode(), accounts={"okx": [ALICE]})


def test_the_crowds_liquidations_are_told_by_each_venues_law() -> None:
    """In a crash: at Bybit every one but those of its outage, at Binance one a second and symbol."""
    for venue in ("binanceusdm", "bybit"):
        laboratory = Laboratory(crash(3))
        source = LaboratorySource(Stage(lambda made=laboratory: LaboratoryPlay(made)), venue)  # type: ignore[misc]
        closed, told = Counter[str](), defaultdict[str, list[Frame]](list)
        source.begin(START_AT_NS)
        while (at_ns := source.next_at_ns) is not None:
            source.advance()
            for spec in source.specs:
                listing = laboratory.listings[venue, spec.symbol]
                closed[spec.symbol] += 0 if listing.is_out else len(listing.closed)
            for frame in source.react(at_ns):
                if frame.kind is FrameKind.FORCED_ORDER:
                    told[frame.symbol].append(frame)
        assert told
        for symbol, frames in told.items():
            sold = sum(b'"S":"SELL"' in frame.payload for frame in frames)
            assert sold > len(frames) / 2  # it fell: longs were liquidated, that is sold
            if venue == "binanceusdm":
                gaps = [after.at_ns - before.at_ns for before, after in pairwise(frames)]
                assert min(gaps) >= 10**9
                assert len(frames) < closed[symbol]
            else:
                # Those of the last half second before the outage, and before the end, are told no more.
                assert closed[symbol] * 0.8 < len(frames) <= closed[symbol]


def test_collateral_is_worth_at_each_venue_what_it_is_worth_there() -> None:
    venues = LaboratoryVenues(crash(3), accounts={"binanceusdm": [HOLDER], "bybit": [HOLDER]})
    for _ in range(61):
        venues.laboratory.step()
    prices = {name: float(source.asset_prices["USDE"]) for name, source in venues.sources.items()}

    assert prices["bybit"] == 1.0
    assert prices["binanceusdm"] == pytest.approx(0.74, abs=0.02)
