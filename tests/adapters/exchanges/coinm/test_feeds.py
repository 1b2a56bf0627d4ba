"""The feeds of COIN-M over the real ccxt.pro: which requests it makes, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.exchanges import AccountCredentials, VenueSettings
from adapters.exchanges.binance.coinm import CAPABILITIES
from guard.events import (
    AccountSnapshot,
    BookStatus,
    LiquidationSeen,
    MarketFeatures,
    MarkPriceSeen,
    OpenInterestSeen,
    Pooling,
)
from guard.margin_terms import ContractKind
from guard.units import MarketId
from tests.adapters.exchanges.coinm.venue import CoinVenue, coin_venue
from tests.support.exchange_feeds import feeds_for, running

SYMBOL = "BTC/USD:BTC"
BTC = MarketId(f"binancecoinm:{SYMBOL}")


@pytest.fixture
async def venue() -> AsyncIterator[CoinVenue]:
    async with coin_venue() as started:
        yield started


def settings(venue: CoinVenue, **changes: Any) -> VenueSettings:
    values: dict[str, Any] = {
        "id": "binancecoinm",
        "symbols": [SYMBOL],
        "urls": venue.ccxt_urls(),
        "rate_limit": False,
        "sample_ms": 50,
        "account_poll_s": 0.5,
        "open_interest_poll_s": 0.2,
    }
    return VenueSettings(**{**values, **changes})


async def test_a_market_is_watched_in_dollars_and_base_units(venue: CoinVenue) -> None:
    feed, _ = feeds_for(settings(venue))
    async with running([feed]) as events:
        book = await events.until(MarketFeatures, lambda seen: seen.status is BookStatus.OK)
        mark = await events.until(MarkPriceSeen)
        liquidation = await events.until(LiquidationSeen)
        interest = await events.until(OpenInterestSeen, lambda seen: seen.open_interest_usd is not None)

    # The depth of the fixtures: 10 contracts at 9,517.6 came by the stream, the others by the snapshot.
    assert (book.market, book.bid, book.ask) == (BTC, 9_517.6, 9_518.5)
    assert book.bids is not None
    assert book.bids.visible_usd <= 45_000.0 + 1e-6
    assert mark.mark_price == 10934.62615417
    assert (liquidation.notional_usd, liquidation.price) == (100.0, 9496.5)
    assert interest.open_interest_usd == pytest.approx(15_004 * 100.0)
    assert venue.refused == []
    assert {name for name in venue.subscribed if "@" in name} >= {
        "btcusd_perp@aggTrade",
        "btcusd_perp@forceOrder",
    }


def is_settled(seen: AccountSnapshot) -> bool:
    held = [position for position in seen.positions if position.market == BTC]
    return bool(held and held[0].liquidation_price)


async def test_an_account_of_coins_is_read_in_dollars(venue: CoinVenue) -> None:
    credentials = AccountCredentials(api_key_env="key", api_secret_env="secret", trade_keys_allowed=True)
    _, (feed,) = feeds_for(settings(venue, accounts={"main": credentials}))
    async with running([feed]) as events:
        seen = await events.until(AccountSnapshot, is_settled)

    by_size = {position.market: position for position in seen.positions}
    # A dated contract takes margin from the same coins.
    quarterly = by_size[MarketId("binancecoinm:BTC/USD:BTC-200925")]
    assert set(by_size) == {BTC, quarterly.market, "binancecoinm:ETH/USD:ETH"}
    assert (quarterly.kind, quarterly.contracts_usd, quarterly.settle) == (ContractKind.INVERSE, 100.0, "BTC")
    assert (by_size[BTC].contracts_usd, by_size[BTC].adl_rank) == (100.0, 0.75)
    assert seen.pooling is Pooling.BY_SETTLE_ASSET
    assert [held.asset for held in seen.collateral or ()] == ["BTC", "ETH", "XYZ"]
    price = 11029.69574559
    assert seen.wallet_usd == pytest.approx(0.00241969 * price)
    assert seen.maintenance_usd == pytest.approx(0.00001 * price)
    assert by_size[BTC].liquidation_price == 6170.20509059
    assert seen.orders is not None
    assert seen.orders[0].size * 9_300.0 == pytest.approx(3_800.0)
    assert venue.refused == []
    assert venue.listen_keys >= 1


def test_what_linear_arithmetic_does_not_know_is_said() -> None:
    assert any("collateral is the coin" in note for note in CAPABILITIES.notes)
