"""Everyone's positions over the real ccxt, from venues on loopback that are told what to say of the past."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec import structs

from adapters.clock import SystemClock
from adapters.exchanges import VenueSettings, venue_feeds
from adapters.exchanges.crowd import START_S, CrowdFeed, CrowdWays
from adapters.exchanges.crowd_session import Breathe
from adapters.exchanges.venue import PositionSeen
from adapters.simulation import LoopbackVenue, VenueAccountSpec
from adapters.simulation.hyperliquid import address_of
from adapters.simulation.misbehaviour.faults import Fault, FaultKind
from guard.errors import VenueError
from guard.events import HistoryPoint, LongShortRatioSeen, OpenInterestHistorySeen, TrackedPositionsSeen
from guard.units import NS_PER_S, MarketId, Nanoseconds
from tests.adapters.simulation.hyperliquid.clients import ALICE, TRADED, trader
from tests.support.eventually import eventually
from tests.support.exchange_feeds import Events, running, secret_is_its_name, settings_for
from tests.support.hand_clock import HandClock
from tests.support.hand_market import HandMarket

FIVE_MINUTES_NS = 300 * NS_PER_S
A = TypeVar("A")
BOB = VenueAccountSpec("bob", "key-bob", "secret-bob", 10_000)


def a_past(points: int) -> tuple[HistoryPoint, ...]:
    return tuple(
        HistoryPoint(
            at=number * FIVE_MINUTES_NS,
            price=60_000.0 + number,
            open_interest=80_000.0 - number,
            volume_usd=1e6 + number if number else None,
        )
        for number in range(points)
    )


def until_now(points: tuple[HistoryPoint, ...]) -> tuple[HistoryPoint, ...]:
    """Move them so that the last one is of the latest full five minutes."""
    moved = SystemClock().now() // FIVE_MINUTES_NS * FIVE_MINUTES_NS - points[-1].at
    return tuple(structs.replace(point, at=point.at + moved) for point in points)


@asynccontextmanager
async def telling(venue: LoopbackVenue, venue_id: str, symbol: str, **changes: Any) -> AsyncIterator[Events]:
    """The crowd's feed of a venue alone, of one market."""
    settings = settings_for(venue.ccxt_urls(), symbol, **{"id": venue_id, **changes})
    feeds = venue_feeds(settings, clock=SystemClock(), resolve_secret=secret_is_its_name)
    async with running([feed for feed in feeds if isinstance(feed, CrowdFeed)]) as events:
        yield events


@pytest.mark.parametrize("dialect", ["binance", "bybit"])
async def test_a_markets_past_is_told_whole_in_pages(dialect: str) -> None:
    """More points than any answer holds: Binance's 500, Bybit's 200, and candles beside them."""
    venue_id = {"binance": "binanceusdm"}.get(dialect, dialect)
    async with LoopbackVenue(HandMarket(), dialect=dialect) as venue:
        past = venue.market("BTCUSDT").past = until_now(a_past(1_203))
        async with telling(venue, venue_id, "BTC/USDT:USDT") as events:
            seen = await events.until(OpenInterestHistorySeen)

    assert seen.market == f"{venue_id}:BTC/USDT:USDT"
    assert [point.at for point in seen.points] == [point.at for point in past][-len(seen.points) :]
    # Of the very first point Bybit's price is in a candle before it, which the venue does not remember.
    assert len(seen.points) >= len(past) - 1
    expected = past[-len(seen.points) :]
    for told, point in zip(seen.points[1:], expected[1:], strict=True):
        assert told.price == pytest.approx(point.price, rel=1e-9)
        assert told.open_interest == pytest.approx(point.open_interest)
        assert told.volume_usd == pytest.approx(point.volume_usd)


@pytest.mark.parametrize("dialect", ["binance", "bybit"])
async def test_the_share_of_longs_is_told_when_it_is_new(dialect: str) -> None:
    venue_id = {"binance": "binanceusdm"}.get(dialect, dialect)
    async with LoopbackVenue(HandMarket(), dialect=dialect) as venue:
        venue.market("BTCUSDT").longs_share = Decimal("0.6123")
        async with telling(venue, venue_id, "BTC/USDT:USDT", long_short_ratio_poll_s=0.05) as events:
            seen = await events.until(LongShortRatioSeen)
    assert (seen.market, seen.longs_share) == (f"{venue_id}:BTC/USDT:USDT", 0.6123)
    assert seen.exchange_at is not None
    assert seen.exchange_at % FIVE_MINUTES_NS == 0


async def test_published_positions_come_with_their_liquidation_price_and_go(tmp_path: Path) -> None:
    """Alice is named, Bob stands in a file; somebody who never traded answers too."""
    file = tmp_path / "addresses.txt"
    file.write_text(f"{address_of(BOB)}\n")
    async with (
        LoopbackVenue(HandMarket(), accounts=[ALICE, BOB], dialect="hyperliquid") as venue,
        trader(venue) as alice,
        trader(venue, BOB) as bob,
    ):
        await alice.set_leverage(20, TRADED)
        await alice.create_order(TRADED, "market", "buy", 1.0)
        await bob.create_order(TRADED, "market", "sell", 0.5)
        async with telling(
            venue,
            "hyperliquid",
            "BTC/USDC:USDC",
            tracked_addresses=[address_of(ALICE), f"0x{'9' * 40}"],
            tracked_addresses_file=str(file),
            tracked_poll_s=0.2,
            tracked_hot_poll_s=0.2,
        ) as events:
            of_alice = await events.until(
                TrackedPositionsSeen, lambda seen: seen.accounts == (address_of(ALICE),)
            )
            of_bob = await events.until(
                TrackedPositionsSeen, lambda seen: seen.accounts == (address_of(BOB),) and seen.is_complete
            )
            await alice.create_order(TRADED, "market", "sell", 1.0)
            gone = await events.until(
                TrackedPositionsSeen,
                lambda seen: seen.accounts == (address_of(ALICE),) and not seen.positions,
            )

    assert of_alice.market == MarketId("hyperliquid:BTC/USDC:USDC")
    (held,) = of_alice.positions
    assert (held.account, held.size, held.leverage) == (address_of(ALICE), 1.0, 20.0)
    assert held.liquidation_price is not None
    assert 48_000.0 < held.liquidation_price < 60_000.0
    assert of_bob.positions[0].size == -0.5
    assert of_bob.asked_accounts == gone.asked_accounts == 3


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.STATUS, status=503, paths=("/openInterestHist",), count=1),
        Fault(kind=FaultKind.HTML, status=200, paths=("/klines",), count=1),
    ],
    ids=["refused at once", "nonsense in the middle"],
)
async def test_history_that_fails_anywhere_is_asked_for_anew_and_told_whole(fault: Fault) -> None:
    async with LoopbackVenue(HandMarket(), dialect="binance") as venue:
        venue.market("BTCUSDT").past = until_now(a_past(10))
        venue.misbehave(fault)
        async with telling(venue, "binanceusdm", "BTC/USDT:USDT") as events:
            seen = await events.until(OpenInterestHistorySeen)
    assert len(seen.points) == 10
    assert len(events.of(OpenInterestHistorySeen)) == 1


# ---------------------------------------------------------------- without a venue


class FakeCrowd:
    """A CrowdConnection whose answers a test sets; an error in the place of one is raised."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.history: list[tuple[HistoryPoint, ...] | VenueError] = []
        self.shares: list[tuple[float, Nanoseconds | None] | VenueError] = []
        self.spans: list[tuple[Nanoseconds, Nanoseconds]] = []

    async def connect(self) -> FakeCrowd:
        return self

    async def load(self) -> None:
        self.asked.append(("load", ""))

    def lists(self, symbol: str) -> bool:
        return symbol.endswith(":USDT")

    async def read_history(
        self, symbol: str, since: Nanoseconds, until: Nanoseconds, breathe: Breathe
    ) -> tuple[HistoryPoint, ...]:
        self.asked.append(("history", symbol))
        self.spans.append((since, until))
        await breathe()
        return next_of(self.history)

    async def read_longs_share(self, symbol: str) -> tuple[float, Nanoseconds | None]:
        self.asked.append(("share", symbol))
        return next_of(self.shares)

    async def read_positions(self, address: str) -> Sequence[PositionSeen]:
        raise NotImplementedError(address)

    async def close(self) -> None:
        self.asked.append(("close", ""))


def next_of(answers: list[A | VenueError]) -> A:
    answer = answers.pop(0) if len(answers) > 1 else answers[0]
    if isinstance(answer, VenueError):
        raise answer
    return answer


WAYS = CrowdWays(history_days=10.0, ratio=True, positions=False, pause_s=0.5)


def a_feed(connection: FakeCrowd, clock: HandClock, held: set[str], **changes: Any) -> CrowdFeed:
    settings = VenueSettings.model_validate(
        {"id": "binanceusdm", "symbols": ["A/USDT:USDT"], "long_short_ratio_poll_s": 0, **changes}
    )
    return CrowdFeed(
        settings,
        WAYS,
        clock=clock,
        connect=connection.connect,
        markets=lambda: {"A/USDT:USDT", "B/USDT:USDT", "C/USDT:USDT", "spot/USDT"},
        held=lambda: held,
    )


async def test_what_somebody_holds_is_asked_about_first_and_each_market_once() -> None:
    connection, clock = FakeCrowd(), HandClock()
    connection.history = [a_past(2)]
    held = {"C/USDT:USDT"}
    async with running([a_feed(connection, clock, held)]) as events:
        await clock.advance(30.0, step_s=0.25)
        assert [symbol for what, symbol in connection.asked if what == "history"] == [
            "C/USDT:USDT",
            "A/USDT:USDT",
            "B/USDT:USDT",
        ]
        held.add("D/USDT:USDT")
        await clock.advance(5.0, step_s=0.25)
    assert connection.asked[-2:] == [("history", "D/USDT:USDT"), ("close", "")]
    assert len(events.of(OpenInterestHistorySeen)) == 4
    since, until = connection.spans[0]
    assert until - since == 10 * 86_400 * NS_PER_S, "no more than the venue keeps, though 30 are wanted"


async def test_after_a_failure_it_waits_ever_longer_and_then_tells_the_whole() -> None:
    connection, clock = FakeCrowd(), HandClock()
    connection.history = [VenueError("binanceusdm", "busy")] * 4 + [a_past(3)]
    async with running([a_feed(connection, clock, set())]) as events:
        await clock.advance(START_S - 0.5, step_s=0.25)
        assert not connection.asked, "books and accounts go first"
        await clock.advance(1.5, step_s=0.25)
        assert len(connection.spans) == 1
        await clock.advance(6.0, step_s=0.25)
        assert 2 <= len(connection.spans) <= 4
        assert not events.of(OpenInterestHistorySeen)
        await clock.advance(40.0, step_s=0.5)
    assert len(events.of(OpenInterestHistorySeen)) == 3


async def test_an_equal_share_is_not_told_twice_and_a_failure_skips_one_market() -> None:
    connection, clock = FakeCrowd(), HandClock()
    connection.shares = [
        VenueError("binanceusdm", "busy"),
        *[(0.5, 7)] * 2,
        *[(0.5, 7)] * 3,
        *[(0.6, 8)] * 3,
    ]
    feed = a_feed(connection, clock, set(), long_short_ratio_poll_s=60, open_interest_history_days=0)
    async with running([feed]) as events:
        await clock.advance(170.0, step_s=0.5)
    told = [(seen.market[-11:], seen.exchange_at) for seen in events.of(LongShortRatioSeen)]
    assert told == [
        ("B/USDT:USDT", 7),
        ("C/USDT:USDT", 7),
        ("A/USDT:USDT", 7),
        ("A/USDT:USDT", 8),
        ("B/USDT:USDT", 8),
        ("C/USDT:USDT", 8),
    ]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"open_interest_history_days": 0, "long_short_ratio_poll_s": 0}, False),
        ({"id": "hyperliquid", "symbols": ["BTC/USDC:USDC"]}, False),
        (
            {"id": "hyperliquid", "symbols": ["BTC/USDC:USDC"], "tracked_addresses": [f"0x{'a' * 40}"]},
            True,
        ),
        ({"id": "kraken" + "futures", "symbols": ["BTC/USD:USD"]}, False),
    ],
)
def test_nobody_is_asked_where_nothing_is_to_be_told(changed: dict[str, Any], expected: bool) -> None:
    settings = VenueSettings.model_validate({"id": "bybit", "symbols": ["BTC/USDT:USDT"], **changed})
    feeds = venue_feeds(settings, clock=SystemClock(), resolve_secret=secret_is_its_name)
    assert any(isinstance(feed, CrowdFeed) for feed in feeds) is expected


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tracked_addresses": ["0x12"]}, "is no address"),
        ({"id": "bybit", "tracked_addresses": [f"0x{'a' * 40}"]}, "only hyperliquid publishes positions"),
        ({"id": "bybit", "tracked_addresses_file": "a"}, "only hyperliquid publishes positions"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        VenueSettings.model_validate({"id": "hyperliquid", "symbols": ["BTC/USDC:USDC"], **changed})


async def test_a_feed_that_is_stopped_closes_its_connection() -> None:
    connection, clock = FakeCrowd(), HandClock()
    connection.history = [()]
    feed = a_feed(connection, clock, set(), rate_limit=False)
    task = asyncio.create_task(feed.run(lambda _: None))
    await eventually(lambda: bool(connection.spans))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert connection.asked[-1] == ("close", "")
