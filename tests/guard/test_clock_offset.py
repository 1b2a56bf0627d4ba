"""A clock that is off is said, once, and so is that it is right again; nothing else comes of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from msgspec import structs

from guard.clock_offset import ClockOffset, TimedFeed
from guard.events import AnyEvent, LinkChanged, LinkKind
from guard.findings import Reason, Severity
from guard.ports import Emit
from guard.units import NS_PER_MS, MarketId
from perpguard_sdk.messages import Entries
from policies.distrust_links import DistrustLinks
from tests.support.builders import ALPHA, SYMBOL, Guard, at, born, mark, reported, started, tick

OKX, BYBIT = MarketId("okx:BTC/USDT:USDT"), MarketId("bybit:BTC/USDT:USDT")


@dataclass
class Scene:
    said: list[AnyEvent] = field(default_factory=list)
    watch: ClockOffset = field(init=False)

    def __post_init__(self) -> None:
        self.watch = ClockOffset(self.said.append)

    def hear(self, first: float, last: float, *, lag_ms: float, market: MarketId = OKX) -> None:
        for number in range(round(last - first)):
            seconds = first + number
            jitter_ms = 40.0 * (number % 5)
            sent = at(seconds) - round((lag_ms + jitter_ms) * NS_PER_MS)
            self.watch.see(structs.replace(mark(seconds, market=market), exchange_at=sent))

    @property
    def told(self) -> list[tuple[bool, str]]:
        return [(event.up, event.detail) for event in self.said if isinstance(event, LinkChanged)]


def test_a_usual_way_says_nothing() -> None:
    scene = Scene()
    scene.hear(0, 300, lag_ms=120.0)
    assert scene.said == []


def test_messages_from_the_future_prove_that_our_clock_is_behind() -> None:
    scene = Scene()
    scene.hear(0, 120, lag_ms=-700.0)
    ((up, detail),) = scene.told
    assert not up
    assert detail.startswith("our clock is behind okx's by 700 ms at least")


def test_what_always_comes_late_may_be_our_clock_or_the_venue() -> None:
    scene = Scene()
    scene.hear(0, 120, lag_ms=1_500.0)
    ((up, detail),) = scene.told
    assert not up
    assert "ahead of okx's, or its messages take 1500 ms" in detail


def test_a_storm_that_delays_most_messages_is_not_an_offset() -> None:
    scene = Scene()
    for second in range(120):
        scene.hear(second, second + 1, lag_ms=100.0 if second % 10 == 0 else 5_000.0)
    assert scene.told == []


def test_it_is_said_when_the_clock_is_right_again() -> None:
    scene = Scene()
    scene.hear(0, 60, lag_ms=-700.0)
    scene.hear(60, 200, lag_ms=100.0)
    assert [up for up, _ in scene.told] == [False, True]


def test_one_venue_that_is_right_does_not_excuse_another() -> None:
    scene = Scene()
    for second in range(0, 120, 10):
        scene.hear(second, second + 10, lag_ms=-700.0)
        scene.hear(second, second + 10, lag_ms=50.0, market=BYBIT)
    assert [up for up, _ in scene.told] == [False]
    assert "bybit" not in scene.told[0][1]


def test_a_feed_is_watched_as_it_runs() -> None:
    class Speaks:
        name = "okx"

        async def run(self, emit: Emit) -> None:
            emit(structs.replace(mark(1.0, market=OKX), exchange_at=at(1.0)))

    scene, passed = Scene(), list[AnyEvent]()
    feed = TimedFeed(Speaks(), scene.watch)
    asyncio.run(feed.run(passed.append))
    assert feed.name == "okx"
    assert len(passed) == 1


def test_nothing_but_a_finding_comes_of_it() -> None:
    guard = Guard.of(ALPHA, policies=[DistrustLinks()])
    guard.feed(born(0.0), started(0.0), reported(0.5, epoch=1), tick(1.0))
    guard.feed(LinkChanged(received_at=at(2.0), link=LinkKind.CLOCK, up=False, detail="off"), tick(2.1))
    (found,) = guard.engine.findings
    assert (found.reason, found.severity) == (Reason.CLOCK_OFFSET, Severity.WATCH)
    assert not found.freezes
    assert guard.posture(ALPHA).entries.get(SYMBOL, Entries.ALLOWED) is Entries.ALLOWED


def test_the_least_way_of_a_venue_can_be_asked_for() -> None:
    scene = Scene()
    assert scene.watch.lag_ms("okx") is None
    scene.hear(0, 60, lag_ms=120.0)
    assert scene.watch.lag_ms("okx") == pytest.approx(120.0)
    assert scene.watch.lag_ms("bybit") is None
