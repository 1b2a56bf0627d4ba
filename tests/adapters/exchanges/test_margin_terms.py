"""Margin terms over the real ccxt: from what a venue on loopback answers to what the guard knows, while it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from math import inf, nextafter
from pathlib import Path
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.exchanges import AccountCredentials, TermsMemory, VenueSettings, venue_feeds
from adapters.exchanges.ccxt_session import Credentials
from adapters.exchanges.margin_terms import MarginTermsFeed
from adapters.exchanges.terms_session import first_usable
from adapters.exchanges.venue import KeyPermissions
from adapters.simulation import LoopbackVenue
from adapters.simulation.settings import DEFAULT_TIERS, MarginTier
from adapters.storage.margin_terms import MarginTermsFiles
from guard.account.terms import VenueTerms, leverage_max_of, maintenance_ratio_of
from guard.errors import VenueAuthError
from guard.events import MarginTermsSeen
from guard.margin_terms import ContractKind, TermsSource, TierTable, TierUnit
from guard.units import MarketId, market_id
from tests.adapters.exchanges.coinm.venue import coin_venue
from tests.adapters.exchanges.okx.server import OkxServer
from tests.support.eventually import eventually
from tests.support.exchange_feeds import (
    ACCOUNT,
    Events,
    running,
    secret_is_its_name,
    settings_for,
)
from tests.support.hand_market import HandMarket

BTC = "BTC/USDT:USDT"
DEARER = tuple(
    tier.model_copy(update={"maintenance_rate": tier.maintenance_rate * 2}) for tier in DEFAULT_TIERS
)
KEYED = AccountCredentials(api_key_env="key", api_secret_env="secret", trade_keys_allowed=True)


def folded(events: Events, venue: str) -> VenueTerms:
    """What the guard knows after these events."""
    terms = VenueTerms(venue)
    for event in events.of(MarginTermsSeen):
        terms.apply(event)
    return terms


@asynccontextmanager
async def told(
    settings: VenueSettings, assets: Collection[str] = (), memory: TermsMemory | None = None
) -> AsyncIterator[Events]:
    """Run nothing of a venue but its margin terms."""
    feeds = venue_feeds(
        settings,
        clock=SystemClock(),
        resolve_secret=secret_is_its_name,
        assets=lambda: assets,
        memory=memory,
    )
    async with running([feed for feed in feeds if isinstance(feed, MarginTermsFeed)]) as events:
        yield events


async def until_told(events: Events, venue: str, symbol: str) -> TierTable:
    market = market_id(venue, symbol)
    seen = await events.until(
        MarginTermsSeen, lambda seen: any(table.market == market for table in seen.tiers)
    )
    return next(table for table in seen.tiers if table.market == market)


def is_dearer(events: Events, venue: str, symbol: str) -> bool:
    change = folded(events, venue).changes.get(market_id(venue, symbol))
    return change is not None and change.is_dearer


@pytest.mark.parametrize("dialect", ["binance", "bybit", "hyperliquid"])
async def test_a_venue_that_raises_its_brackets_is_found_out_while_it_runs(dialect: Any) -> None:
    venue_id = "binanceusdm" if dialect == "binance" else dialect
    symbol = "BTC/USDC:USDC" if dialect == "hyperliquid" else BTC
    async with LoopbackVenue(HandMarket(), accounts=[ACCOUNT], dialect=dialect) as venue:
        settings = settings_for(
            venue.ccxt_urls(), symbol, account=dialect == "binance", id=venue_id, margin_terms_poll_s=0.5
        )
        async with told(settings, assets={"USDC"}) as events:
            calm = await until_told(events, venue_id, symbol)
            assert (calm.kind, calm.unit, calm.source) == (
                ContractKind.LINEAR,
                TierUnit.NOTIONAL,
                TermsSource.VENUE,
            )
            assert calm.as_of is not None
            for notional, ratio in ((1e5, 0.004), (2e6, 0.007375)):
                expected = _venues_ratio(DEFAULT_TIERS, notional)
                assert maintenance_ratio_of(calm, notional, 60_000.0) == pytest.approx(expected)
                assert expected == pytest.approx(ratio, rel=0.2)
            assert folded(events, venue_id).changes == {}

            venue.set_brackets(DEARER)
            await eventually(lambda: is_dearer(events, venue_id, symbol), what="a dearer table")
            terms = folded(events, venue_id)
            raised = terms.table(market_id(venue_id, symbol))
            # Hyperliquid tells whole leverages, and maintenance follows from these.
            assert maintenance_ratio_of(raised, 1e5, 60_000.0) == pytest.approx(0.008, rel=0.01)
            if dialect == "binance":
                assert leverage_max_of(raised, 1e5, 60_000.0) == 125.0
                usdc = terms.collateral("USDC")
                assert usdc is not None
                assert usdc.tiers[0].haircut == 0.0001


def _venues_ratio(tiers: tuple[MarginTier, ...], notional: float) -> float:
    """Tier by tier, each part at its own rate: what continuous brackets come to."""
    total = 0.0
    for tier in tiers:
        part = min(notional, float(tier.notional_cap)) - float(tier.notional_floor)
        total += max(part, 0.0) * float(tier.maintenance_rate)
    return total / notional


async def test_a_haircut_that_the_venue_raises_is_found_out() -> None:
    async with LoopbackVenue(HandMarket(), accounts=[ACCOUNT]) as venue:
        settings = settings_for(venue.ccxt_urls(), BTC, margin_terms_poll_s=0.5)
        async with told(settings, assets={"USDE"}) as events:
            await eventually(
                lambda: folded(events, "binanceusdm").collateral("USDE") is not None, what="USDE"
            )
            venue.set_haircut("USDE", 0.2)
            await eventually(lambda: "USDE" in folded(events, "binanceusdm").changes, what="its haircut")
            change = folded(events, "binanceusdm").changes["USDE"]
            assert (change.asset, change.is_dearer, change.is_cheaper) == ("USDE", True, False)
        # Without a key Binance tells no brackets: nothing is made up for it, and nothing fails.
        assert all(not event.tiers for event in events.of(MarginTermsSeen))


async def test_a_key_that_may_trade_or_is_refused_is_not_used_for_brackets_either() -> None:
    settings = VenueSettings(
        id="binanceusdm",
        symbols=[BTC],
        accounts={name: AccountCredentials(api_key_env=name, api_secret_env=name) for name in "abcd"},
    )
    keys = {name: Credentials(name, name) for name in "abcd"}

    async def permissions(credentials: Credentials) -> KeyPermissions:
        if credentials.key == "a":
            raise VenueAuthError("binanceusdm", "no such key")
        return KeyPermissions(can_trade=credentials.key == "b", can_withdraw=False)

    assert await first_usable(settings, keys, permissions) == keys["c"]
    assert await first_usable(settings, {"b": keys["b"]}, permissions) is None


async def test_okx_tells_tiers_by_size_and_discounts_by_amount() -> None:
    async with OkxServer() as server:
        settings = settings_for(server.urls(), BTC, id="okx", margin_terms_poll_s=60.0)
        async with told(settings, assets={"BTC", "USDT", "NOBODY"}) as events:
            table = await until_told(events, "okx", BTC)
            await eventually(lambda: folded(events, "okx").collateral("NOBODY") is not None, what="assets")
            terms = folded(events, "okx")

    assert (table.unit, table.kind) == (TierUnit.SIZE, ContractKind.LINEAR)
    assert [tier.floor for tier in table.tiers] == [0.0, nextafter(5.0, inf)]
    # 5 coins belong to the first tier whatever they are worth.
    assert maintenance_ratio_of(table, 5.0 * 40_000.0, 40_000.0) == 0.004
    assert maintenance_ratio_of(table, 5.0 * 90_000.0, 90_000.0) == 0.004
    btc, usdt, nobody = (terms.collateral(asset) for asset in ("BTC", "USDT", "NOBODY"))
    assert btc is not None
    assert usdt is not None
    assert nobody is not None
    assert [tier.floor_usd for tier in btc.tiers] == [0.0, 20 * 43_350.0, 25 * 43_350.0]
    assert btc.unit_usd == 43_350.0
    assert [tier.haircut for tier in usdt.tiers] == [0.0]
    assert nobody.tiers == ()


async def test_brackets_of_coins_are_told_in_coins() -> None:
    symbol = "BTC/USD:BTC"
    async with coin_venue() as venue:
        settings = VenueSettings(
            id="binancecoinm",
            symbols=[symbol],
            urls=venue.ccxt_urls(),
            rate_limit=False,
            accounts={"main": KEYED},
        )
        async with told(settings) as events:
            table = await until_told(events, "binancecoinm", symbol)

    assert (table.market, table.kind, table.unit) == (
        MarketId(f"binancecoinm:{symbol}"),
        ContractKind.INVERSE,
        TierUnit.NOTIONAL,
    )
    assert [tier.floor for tier in table.tiers] == [0.0, 5.0]
    # 10 coins at any price: half a percent less what the first five pay less.
    assert maintenance_ratio_of(table, 10 * 30_000.0, 30_000.0) == pytest.approx(0.005 - 0.0005)


async def test_a_guard_that_starts_while_the_venue_is_away_knows_its_last_word(tmp_path: Path) -> None:
    async with LoopbackVenue(HandMarket(), accounts=[ACCOUNT], dialect="bybit") as venue:
        settings = settings_for(venue.ccxt_urls(), BTC, id="bybit", margin_terms_poll_s=0.5)
        async with told(settings, memory=MarginTermsFiles(tmp_path, SystemClock())) as events:
            calm = await until_told(events, "bybit", BTC)
            await eventually((tmp_path / "bybit.json").exists, what="the file")

    async with told(settings, memory=MarginTermsFiles(tmp_path, SystemClock())) as events:
        stored = await until_told(events, "bybit", BTC)

    assert (stored.source, stored.as_of) == (TermsSource.STORED, calm.as_of)
    assert stored.tiers == calm.tiers
