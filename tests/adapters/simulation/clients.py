"""Unmodified ccxt.pro clients of a venue on loopback, and accounts for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from adapters.simulation import LoopbackVenue, VenueAccountSpec

SYMBOL = "BTC/USDT:USDT"
CODE = "BTCUSDT"
ALICE = VenueAccountSpec("alice", "key-alice", "secret-alice", 10_000)
BOB = VenueAccountSpec("bob", "key-bob", "secret-bob", 1_000, leverage=50)


@asynccontextmanager
async def client(
    venue: LoopbackVenue, account: VenueAccountSpec | None = None, **settings: Any
) -> AsyncIterator[Any]:
    """A ccxt.pro binanceusdm with nothing but its URLs, and keys if it has any, that wastes no time of a test's.

    That is: it does not hold itself to the request limits of the real venue (two seconds for a list of all open
    orders), nor waits at its end for TLS connections, of which there are none.
    """
    import ccxt.pro as ccxtpro  # a second and 110 MB: only where it is used

    config: dict[str, Any] = {"urls": venue.ccxt_urls(), "enableRateLimit": False, **settings}
    if account is not None:
        config |= {"apiKey": account.api_key, "secret": account.api_secret}
    exchange = ccxtpro.binanceusdm(config)
    exchange.timeout_on_exit = 0
    try:
        yield exchange
    finally:
        await exchange.close()
