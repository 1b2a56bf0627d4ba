"""Unmodified ccxt.pro clients of a loopback venue that speaks Bybit, and an account for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from adapters.simulation import LoopbackVenue, VenueAccountSpec

SYMBOL, CODE = "BTC/USDT:USDT", "BTCUSDT"
OTHER, OTHER_CODE = "ETH/USDT:USDT", "ETHUSDT"


@asynccontextmanager
async def client(
    venue: LoopbackVenue, account: VenueAccountSpec | None = None, **settings: Any
) -> AsyncIterator[Any]:
    """A ccxt.pro bybit with nothing but its URLs, and keys if it has any, that wastes no time of a test's."""
    import ccxt.pro as ccxtpro  # a second and 110 MB: only where it is used

    config: dict[str, Any] = {"urls": venue.ccxt_urls(), "enableRateLimit": False, **settings}
    if account is not None:
        config |= {"apiKey": account.api_key, "secret": account.api_secret}
    exchange = ccxtpro.bybit(config)
    exchange.timeout_on_exit = 0
    try:
        yield exchange
    finally:
        await exchange.close()
