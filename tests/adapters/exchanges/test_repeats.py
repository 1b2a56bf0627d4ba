"""What a stream brings twice counts once."""

from __future__ import annotations

from adapters.exchanges.repeats import KEPT, Repeats
from adapters.simulation import Fault, FaultKind, LoopbackVenue
from guard.events import LiquidationSeen, MarketFeatures
from tests.adapters.simulation.steady import SteadySource
from tests.support.exchange_feeds import feeds_for, running, settings_for


def test_streams_are_told_apart_and_memory_is_bounded() -> None:
    repeats = Repeats()
    assert not repeats.is_repeat("a", 1)
    assert not repeats.is_repeat("b", 1)
    assert repeats.is_repeat("a", 1)
    for number in range(2, KEPT + 2):
        assert not repeats.is_repeat("a", number)
    assert not repeats.is_repeat("a", 1)  # forgotten by now
    assert repeats.is_repeat("b", 1)


async def test_trades_that_come_twice_are_counted_once() -> None:
    steps = 40
    async with LoopbackVenue(SteadySource(prices=(60_000.0,) * steps), hold=True) as venue:
        feed, _ = feeds_for(settings_for(venue.ccxt_urls()))
        async with running([feed]) as events:
            await events.until(MarketFeatures)
            venue.misbehave(
                Fault(kind=FaultKind.DUPLICATE, streams=("aggTrade",)),
                Fault(kind=FaultKind.REORDER, streams=("aggTrade",), rate=0.3),
            )
            venue.begin()
            await venue.finished()
            await events.until(MarketFeatures, lambda _: _sold(events.of(MarketFeatures)) >= steps * 30_000.0)

    assert _sold(events.of(MarketFeatures)) == steps * 30_000.0
    assert events.of(LiquidationSeen) == []


def _sold(samples: list[MarketFeatures]) -> float:
    return sum(sample.sell_usd for sample in samples)
