"""Unmodified ccxt.pro clients of a loopback venue that speaks Hyperliquid, one in each of its languages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from adapters.simulation import LoopbackVenue, VenueAccountSpec
from adapters.simulation.hyperliquid import address_of

SYMBOL = "BTC/USDC:USDC"
TRADED = "BTC/USDT:USDT"
CODE = "BTCUSDT"
ALICE = VenueAccountSpec("alice", "key-alice", "secret-alice", 10_000)


@asynccontextmanager
async def reader(
    venue: LoopbackVenue, account: VenueAccountSpec = ALICE, **settings: Any
) -> AsyncIterator[Any]:
    """A ccxt.pro hyperliquid with nothing but its URLs and an address."""
    import ccxt.pro as ccxtpro  # a second and 110 MB: only where it is used

    config = {
        "urls": venue.ccxt_urls(),
        "walletAddress": address_of(account),
        "enableRateLimit": False,
        **settings,
    }
    async with _open(ccxtpro.hyperliquid(config)) as exchange:
        yield exchange


@asynccontextmanager
async def trader(venue: LoopbackVenue, account: VenueAccountSpec = ALICE) -> AsyncIterator[Any]:
    """A ccxt.pro binanceusdm on the same port, through which accounts trade."""
    import ccxt.pro as ccxtpro

    config = {
        "urls": venue.trading_urls(),
        "apiKey": account.api_key,
        "secret": account.api_secret,
        "enableRateLimit": False,
    }
    async with _open(ccxtpro.binanceusdm(config)) as exchange:
        yield exchange


@asynccontextmanager
async def _open(exchange: Any) -> AsyncIterator[Any]:
    exchange.timeout_on_exit = 0
    try:
        yield exchange
    finally:
        await exchange.close()
