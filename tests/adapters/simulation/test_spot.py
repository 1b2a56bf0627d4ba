"""Spot prices on loopback, read by unmodified ccxt in three languages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.simulation import DialectName, LoopbackSpot, LoopbackVenue, VenueAccountSpec
from tests.adapters.simulation.steady import SteadySource

EXCHANGES = ("binance", "bybit", "okx")


@asynccontextmanager
async def spot_and_reader(exchange: str, **prices: float) -> AsyncIterator[tuple[LoopbackSpot, Any]]:
    async with LoopbackSpot(exchange, prices) as spot, reading(exchange, spot.ccxt_urls()) as client:
        yield spot, client


@asynccontextmanager
async def reading(exchange: str, urls: dict[str, Any], **settings: Any) -> AsyncIterator[Any]:
    import ccxt.async_support as ccxt  # a second and 110 MB: only where it is used

    client = getattr(ccxt, exchange)({"urls": urls, "enableRateLimit": False, **settings})
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("exchange", EXCHANGES)
async def test_ccxt_reads_prices_as_they_are_set(exchange: str) -> None:
    async with spot_and_reader(exchange, USDE=1.0, USDC=0.9998) as (spot, client):
        before = await client.fetch_tickers(["USDE/USDT", "USDC/USDT"])
        spot.set_price("USDE", 0.7)
        after = await client.fetch_tickers(["USDE/USDT"], {"type": "spot"})
        every = await client.fetch_tickers(None, {"type": "spot"})

    middle = {symbol: (ticker["bid"] + ticker["ask"]) / 2 for symbol, ticker in before.items()}
    assert middle == pytest.approx({"USDE/USDT": 1.0, "USDC/USDT": 0.9998})
    assert after["USDE/USDT"]["bid"] == pytest.approx(0.7 * 0.9999)
    assert after["USDE/USDT"]["ask"] == pytest.approx(0.7 * 1.0001)
    assert after["USDE/USDT"]["bidVolume"] == pytest.approx(250_000 / 0.7, rel=1e-6)
    assert set(every) == {"USDE/USDT", "USDC/USDT"}


@pytest.mark.parametrize("exchange", ["binance", "bybit"])
async def test_ccxt_reads_bids_and_asks(exchange: str) -> None:
    async with spot_and_reader(exchange, USDE=1.0) as (_, client):
        told = await client.fetch_bids_asks(["USDE/USDT"], {"type": "spot"})

    assert told["USDE/USDT"]["bid"] == pytest.approx(0.9999)
    assert told["USDE/USDT"]["ask"] == pytest.approx(1.0001)


@pytest.mark.parametrize("exchange", EXCHANGES)
async def test_out_of_service_is_an_error_and_ends(exchange: str) -> None:
    import ccxt.async_support as ccxt

    async with spot_and_reader(exchange, USDE=1.0) as (spot, client):
        spot.break_down()
        with pytest.raises(ccxt.BaseError):
            await client.fetch_tickers(["USDE/USDT"])
        spot.break_down(False)
        assert "USDE/USDT" in await client.fetch_tickers(["USDE/USDT"])
        spot.delist("USDE")
        assert await client.fetch_tickers(None, {"type": "spot"}) == {}


async def test_the_venue_shows_what_it_values_collateral_at() -> None:
    """Its own spot market and its index are one: what breaks there breaks there alone."""
    account = VenueAccountSpec("carol", "key-carol", "secret-carol", collateral={"USDE": 20_000})
    for dialect, exchange in ((DialectName.BINANCE, "binance"), (DialectName.BYBIT, "bybit")):
        venue = LoopbackVenue(SteadySource(), accounts=[account], hold=True, dialect=dialect)
        async with venue, reading(exchange, venue.ccxt_urls()) as client:
            venue.set_asset_price("USDE", 0.7)
            told = await client.fetch_tickers(["USDE/USDT", "BTC/USDT"])

        middle = {symbol: (ticker["bid"] + ticker["ask"]) / 2 for symbol, ticker in told.items()}
        assert middle == pytest.approx({"USDE/USDT": 0.7, "BTC/USDT": 60_000.0}, rel=1e-5)


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_price_is_refused(price: float) -> None:
    with pytest.raises(ValueError, match="is no price"):
        LoopbackSpot("okx", {"USDE": price})


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="kraken: no spot venue speaks this"):
        LoopbackSpot("kraken", {})
