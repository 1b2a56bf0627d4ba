"""What collateral costs, asked of six venues by real ccxt against servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import ccxt
import pytest
from pydantic import ValidationError

from adapters.clock import SystemClock
from adapters.exchanges.asset_price_settings import DEFAULT_VENUES, SPOT_VENUES, AssetPriceSettings
from adapters.exchanges.asset_prices import PAIRS_MAX, AssetPriceFeed, asset_price_feeds
from adapters.simulation.spot_venue import LoopbackSpot
from guard.account.pegs import PegBook
from guard.events import AnyEvent, AssetPricesSeen
from tests.support.eventually import eventually
from tests.support.hand_clock import HandClock
from tests.support.spot_servers import SpotServer

CASH = ("USD", "USDT", "USDC")
Urls = dict[str, dict[str, Any]]


class Heard:
    """What the feed emitted, folded as the guard does."""

    def __init__(self) -> None:
        self.pegs = PegBook()
        self.events: list[AssetPricesSeen] = []

    def take(self, event: AnyEvent) -> None:
        assert isinstance(event, AssetPricesSeen)
        self.events.append(event)
        self.pegs.apply(event)

    def price(self, asset: str, own: str | None = None) -> float | None:
        now = SystemClock().now()
        seen = self.pegs.usd_price(asset, now, leaving_out=own)
        return None if seen is None else round(seen.price_usd, 3)

    def venues(self, asset: str) -> tuple[str, ...]:
        seen = self.pegs.usd_price(asset, SystemClock().now())
        return () if seen is None else seen.venues


@asynccontextmanager
async def running(
    urls: Urls, wanted: Callable[[], Collection[str]], claims: dict[str, str] | None = None
) -> AsyncIterator[Heard]:
    settings = AssetPriceSettings(venues=tuple(urls), urls=urls, poll_s=0.5, rate_limit=False)
    feed = AssetPriceFeed(settings, clock=SystemClock(), wanted=wanted, cash=CASH, claims=claims)
    heard = Heard()
    task = asyncio.create_task(feed.run(heard.take), name="feed")
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_prices_of_six_venues_in_their_own_words_become_one_reference() -> None:
    async with (
        LoopbackSpot("binance", {"USDE": 0.66, "ETH": 2_000.0, "USDC": 1.0}) as binance,
        LoopbackSpot("bybit", {"USDE": 0.999, "USDC": 1.0}) as bybit,
        LoopbackSpot("okx", {"USDE": 0.998, "USDC": 1.0, "FOO": 3.0}) as okx,
        SpotServer("kraken", {"USDT/USD": 0.95, "USDC/USD": 0.95}) as kraken,
        SpotServer("bitstamp", {"USDT/USD": 0.951}) as bitstamp,
        SpotServer("bitfinex", {"USDT/USD": 0.949}) as bitfinex,
    ):
        urls = {
            "binance": binance.ccxt_urls(),
            "bybit": bybit.ccxt_urls(),
            "okx": okx.ccxt_urls(),
            "kraken": kraken.urls,
            "bitstamp": bitstamp.urls,
            "bitfinex": bitfinex.urls,
        }
        async with running(urls, lambda: {"USDE", "ETH", "USDT", "USDC"}) as heard:
            await eventually(lambda: {event.venue for event in heard.events} == set(urls), within_s=20)

            assert heard.venues("USDT") == ("bitfinex", "bitstamp", "kraken")
            assert heard.venues("USDE") == ("binance", "bybit", "okx")
            assert heard.price("USDT") == 0.95
            assert heard.price("USDE", own="binance") == pytest.approx(0.998 * 0.95, abs=0.002)
            assert heard.price("FOO") is None

            bybit.set_price("USDE", 0.7)
            okx.set_price("USDE", 0.7)
            await eventually(
                lambda: heard.price("USDE", own="binance") == pytest.approx(0.7 * 0.95, abs=0.002)
            )


async def test_a_venue_that_fails_hurts_no_other_and_comes_back() -> None:
    async with (
        LoopbackSpot("bybit", {"USDE": 0.9}) as bybit,
        SpotServer("kraken", {"USDE/USD": 1.0}) as kraken,
    ):
        kraken.is_down = True
        urls = {"bybit": bybit.ccxt_urls(), "kraken": kraken.urls}
        async with running(urls, lambda: {"USDE"}) as heard:
            await eventually(lambda: len(heard.events) >= 2 and len(kraken.paths) >= 2, within_s=20)
            assert heard.venues("USDE") == ("bybit",)

            kraken.is_down = False
            await eventually(lambda: heard.venues("USDE") == ("bybit", "kraken"), within_s=20)


async def test_a_venue_that_asks_to_wait_is_not_asked() -> None:
    async with (
        SpotServer("bitfinex", {"USDE/USD": 1.0}) as bitfinex,
        SpotServer("kraken", {"USDE/USD": 1.0}) as kraken,
    ):
        bitfinex.wait_s = 3_600
        async with running({"bitfinex": bitfinex.urls, "kraken": kraken.urls}, lambda: {"USDE"}) as heard:
            await eventually(lambda: len(bitfinex.paths) >= 1 and len(heard.events) >= 4, within_s=20)
            assert len(bitfinex.paths) == 1


async def test_an_asset_that_is_held_later_is_looked_up_then() -> None:
    wanted: set[str] = set()
    async with (
        SpotServer("kraken", {"USDE/USD": 1.0, "ETH/USD": 2_000.0}) as kraken,
        running({"kraken": kraken.urls}, lambda: wanted) as heard,
    ):
        wanted.add("USDE")
        await eventually(lambda: heard.price("USDE"), within_s=20)
        assert heard.price("ETH") is None

        wanted.add("ETH")
        assert await eventually(lambda: heard.price("ETH"), within_s=20) == 2_000.0
        assert sum(path.endswith("AssetPairs") for path in kraken.paths) == 2


async def test_a_claim_is_asked_in_what_it_is_a_claim_on_too() -> None:
    async with (
        SpotServer("bitstamp", {"WBETH/ETH": 1.08, "ETH/USD": 1_000.0, "WBETH/DAI": 9.0}) as bitstamp,
        running({"bitstamp": bitstamp.urls}, lambda: {"WBETH", "ETH"}, {"WBETH": "ETH"}) as heard,
    ):
        assert await eventually(lambda: heard.price("WBETH"), within_s=20) == 1_080.0
        pairs = {(each.asset, each.quote) for each in heard.events[0].prices}
        assert pairs == {("WBETH", "ETH"), ("ETH", "USD")}


async def test_nothing_is_asked_while_nothing_matters() -> None:
    async with SpotServer("kraken", {"USDE/USD": 1.0}) as kraken:
        settings = AssetPriceSettings(venues=("kraken",), urls={"kraken": kraken.urls})
        clock = HandClock()
        feed = AssetPriceFeed(settings, clock=clock, wanted=set)
        task = asyncio.create_task(feed.run(lambda _: None), name="feed")
        await clock.advance(60.0, step_s=1.0)
        task.cancel()
        await asyncio.wait([task])
        assert kraken.paths == []


async def test_no_more_than_a_bounded_number_of_pairs_is_asked() -> None:
    prices = {f"A{number:03}/USD": 1.0 + number for number in range(PAIRS_MAX + 5)}
    wanted = {pair[:4] for pair in prices}
    async with (
        SpotServer("kraken", prices) as kraken,
        running({"kraken": kraken.urls}, lambda: wanted) as heard,
    ):
        await eventually(lambda: heard.events, within_s=20)
        assert len(heard.events[0].prices) == PAIRS_MAX


def test_there_is_no_feed_where_it_is_turned_off() -> None:
    made = {"clock": HandClock(), "wanted": set, "cash": CASH, "claims": {}}
    assert asset_price_feeds(AssetPriceSettings(enabled=False), **made) == []  # type: ignore[arg-type]
    assert len(asset_price_feeds(AssetPriceSettings(), **made)) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"venues": ("krakken",)}, "did you mean kraken"),
        ({"venues": ("okx", "okx")}, "named twice"),
        ({"venues": ()}, "name venues"),
        ({"urls": {"gate": {}}}, "gate is not among the venues"),
        ({"poll_s": 0.0}, "greater than or equal"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_what_to_do(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        AssetPriceSettings(**values)


def test_every_spot_venue_is_one_of_ccxts() -> None:
    assert set(DEFAULT_VENUES) <= set(SPOT_VENUES) <= set(ccxt.exchanges)
