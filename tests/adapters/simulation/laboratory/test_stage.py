"""Several loopback venues of one play: one clock for all of them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

import pytest

from adapters.simulation import LoopbackVenue, VenueAccountSpec
from adapters.simulation.dialects import DialectName
from adapters.simulation.laboratory.parameters import LiquidationFeed
from adapters.simulation.laboratory.source import LaboratorySource
from tests.adapters.simulation.clients import ALICE, CODE
from tests.adapters.simulation.laboratory.tiny import TinyPlay
from tests.support.eventually import eventually

FEEDS = {"binanceusdm": LiquidationFeed.THROTTLED, "bybit": LiquidationFeed.COMPLETE}


class Watched(TinyPlay):
    """Notes how far apart its venues are whenever it is stepped."""

    seats: tuple[LaboratorySource, ...] = ()
    apart: tuple[int, ...] = ()

    def step(self) -> None:
        super().step()
        turns = [seat.turns for seat in self.seats]
        self.apart += (max(turns) - min(turns),)


async def test_no_venue_runs_ahead_of_another() -> None:
    play = Watched(FEEDS, duration_ms=3_000)
    stage = play.stage()
    play.seats = tuple(LaboratorySource(stage, venue) for venue in FEEDS)
    venues = [
        LoopbackVenue(seat, speed=0, hold=True, dialect=dialect)
        for seat, dialect in zip(play.seats, (DialectName.BINANCE, DialectName.BYBIT), strict=True)
    ]
    async with AsyncExitStack() as stack:
        for venue in venues:
            await stack.enter_async_context(venue)
        venues[0].begin()
        await eventually(lambda: play.seats[0].turns == 0)
        assert play.now_ms == 0  # it waits for the other
        venues[1].begin()
        for venue in venues:
            await venue.finished()

    assert play.now_ms == 3_000
    assert len(play.apart) == 30
    assert max(play.apart) == 1


async def test_a_venue_that_is_stopped_is_waited_for_no_longer() -> None:
    play = TinyPlay(FEEDS, duration_ms=3_000)
    stage = play.stage()
    first, second = (LoopbackVenue(LaboratorySource(stage, each), speed=0, hold=True) for each in FEEDS)
    async with first, second:
        second.begin()
        await second.stop()
        first.begin()
        await first.finished()

    assert play.now_ms == 3_000


async def test_fills_at_one_venue_are_booked_when_another_one_made_the_step() -> None:
    play = TinyPlay(FEEDS, duration_ms=100)
    stage = play.stage()
    seats = [LaboratorySource(stage, venue) for venue in FEEDS]
    spec = VenueAccountSpec("alice", ALICE.api_key, ALICE.api_secret, 10_000)
    venue = LoopbackVenue(seats[1], accounts=[spec], speed=0, hold=True)
    venue.trade("alice", CODE, 0.1)
    told: list[object] = []
    seats[0].begin(10**18)
    seats[1].begin(10**18 + 5, told.append, lambda: told.append("moved"))

    seats[0].advance()

    assert told == [10**18 + 10**8, "moved"]
    assert play.book_of["bybit"].exchange.lots_of(seats[1].owner("alice")) == 100


def test_every_venue_ends_its_round_before_the_step_and_tells_after_it() -> None:
    said: list[str] = []

    class Telling(TinyPlay):
        def step(self) -> None:
            super().step()
            said.append("step")

    stage = Telling(FEEDS).stage()
    seats = {venue: LaboratorySource(stage, venue) for venue in FEEDS}
    for name, seat in seats.items():

        def before(at_ns: int, name: str = name) -> None:
            said.append(f"{name} before {at_ns}")

        seat.begin(0, before, partial(said.append, f"{name} after"))

    for seat in seats.values():
        seat.advance()

    assert said == [
        "binanceusdm before 100000000",
        "bybit before 100000000",
        "step",
        "binanceusdm after",
        "bybit after",
    ]


def test_a_shared_market_cannot_be_recorded_by_one_venue() -> None:
    stage = TinyPlay(FEEDS).stage()
    seat, _ = (LaboratorySource(stage, venue) for venue in FEEDS)
    with pytest.raises(RuntimeError, match="several venues"):
        next(seat.frames(0))
