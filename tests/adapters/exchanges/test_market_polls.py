"""Who is asked about how often, where a venue tells one market a request."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from adapters.exchanges.binance.capabilities import CAPABILITIES
from adapters.exchanges.market_feed import FullPace, MarketFeed
from adapters.exchanges.market_polls import OPEN_INTEREST_PAUSE_S, interest_round_s
from adapters.exchanges.settings import VenueSettings
from guard.events import MarketsWatched, OpenInterestSeen, Stream
from guard.ports import Importance
from guard.units import NS_PER_MS, MarketId, Nanoseconds, symbol_of
from tests.adapters.exchanges.fakes import VENUE, FakeMarket
from tests.support.exchange_feeds import Events, running
from tests.support.hand_clock import HandClock

SYMBOLS = [f"M{number:03d}/USDT:USDT" for number in range(120)]


class Held(FullPace):
    """Somebody holds these; they may become more."""

    def __init__(self, *symbols: str) -> None:
        self.symbols = set(symbols)

    def importance(self, market: MarketId) -> Importance:
        return Importance.VITAL if symbol_of(market) in self.symbols else Importance.FAR


def a_feed(clock: HandClock, held: Held) -> MarketFeed:
    settings = VenueSettings(id=VENUE, symbols=SYMBOLS, open_interest_poll_s=10.0)
    connection = FakeMarket(*SYMBOLS)
    return MarketFeed(settings, clock=clock, connect=connection.connect, pace=held, held=lambda: held.symbols)


def asked(events: Events) -> Counter[str]:
    return Counter(symbol_of(seen.market) for seen in events.of(OpenInterestSeen))


def longest_wait_ns(events: Events) -> Nanoseconds:
    """The longest time between two answers about the same market."""
    times: dict[str, list[Nanoseconds]] = {}
    for seen in events.of(OpenInterestSeen):
        times.setdefault(seen.market, []).append(seen.received_at)
    return max(b - a for each in times.values() for a, b in pairwise(each))


async def test_markets_that_somebody_holds_are_asked_about_in_their_period_and_the_rest_in_turn() -> None:
    clock, held = HandClock(), Held(SYMBOLS[-1], SYMBOLS[-2])
    async with running([a_feed(clock, held)]) as events:
        await clock.advance(65.0, step_s=0.25)
        counts, wait_ns = asked(events), longest_wait_ns(events)
        (watched,) = events.of(MarketsWatched)

    assert counts[SYMBOLS[-1]] in (6, 7)
    assert counts[SYMBOLS[-2]] in (6, 7)
    assert {counts[symbol] for symbol in SYMBOLS[:-2]} == {2, 3}
    assert wait_ns <= 1.1 * watched.periods_ms[Stream.OPEN_INTEREST] * NS_PER_MS, "it is as slow as was said"
    assert sum(counts.values()) <= 65.0 / OPEN_INTEREST_PAUSE_S + 1, "and no faster than may be"


async def test_however_many_are_held_the_others_get_their_turn_and_it_is_said_how_often() -> None:
    clock, held = HandClock(), Held()
    async with running([a_feed(clock, held)]) as events:
        await clock.advance(2.0, step_s=0.25)
        held.symbols = set(SYMBOLS[:100])
        await clock.advance(80.0, step_s=0.25)
        counts, watched = asked(events), events.of(MarketsWatched)

    assert [each.periods_ms[Stream.OPEN_INTEREST] for each in watched] == [30_000, 50_000]
    assert min(counts[symbol] for symbol in SYMBOLS[100:]) >= 6


@pytest.mark.parametrize(
    ("near", "far", "round_s"),
    [(0, 500, 125.0), (500, 0, 125.0), (0, 10, 15.0), (5, 5, 15.0), (20, 480, 180.0), (100, 400, 200.0)],
)
def test_a_round_takes_as_long_as_the_pauses_and_shares_make_it(near: int, far: int, round_s: float) -> None:
    settings = VenueSettings(id=VENUE, symbols=["BTC/USDT:USDT"])
    assert interest_round_s(settings, CAPABILITIES, near=near, far=far) == pytest.approx(round_s)
