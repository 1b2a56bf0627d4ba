"""What the public and the private connection share: making a ccxt client, its errors, its markets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import Any, TypeVar

from adapters.exchanges.binance.client import KEEP_ALIVE_MS, MISSED_PONGS_MAX, Tap, client_class
from adapters.exchanges.settings import VenueSettings
from guard.errors import MalformedFrameError, VenueAuthError, VenueError

T = TypeVar("T")

REFUSALS = ("-1022", "-2008", "-2014", "-2015", "-4056")
"""Codes of a refused key. ccxt turns -2015 of a key that worked before into a network error."""

CLOSE_S = 1.0

_TLS = re.compile(r"(https|wss)://")
_SECRETS = re.compile(r"(signature|listenKey|apiKey)=[^&\s'\"]+")
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")


async def import_ccxt() -> None:
    """Import ccxt in a thread: 1 s, or 7 s the first time, in which heartbeats must go on."""
    await asyncio.to_thread(client_class)


def make_client(
    settings: VenueSettings, tap: Tap, *, key: str | None = None, secret: str | None = None
) -> Any:
    """Make a ccxt client; nothing is connected yet."""
    config: dict[str, Any] = {
        "enableRateLimit": settings.rate_limit,
        # 1,200 of the venue's 2,400 request weight a minute for each client, in bursts where needed: ccxt's
        # default spreads requests evenly, so that 50 snapshots after a reconnect would take 50 s.
        "rateLimiterAlgorithm": "rollingWindow",
        "rollingWindowSize": 60_000.0,
        "newUpdates": True,
        "urls": settings.urls,
        # Twice in what counts as silence, so that a socket on which nothing happens still shows that it lives.
        "streaming": {
            "keepAlive": min(KEEP_ALIVE_MS, int(settings.silence_s_max * 500)),
            "maxPingPongMisses": MISSED_PONGS_MAX,
        },
        "options": {
            # Documented, and all that book prices need: the venue joins what one taker traded at one price.
            "watchTradesForSymbols": {"name": "aggTrade"},
            # The feeds keep no caches in ccxt and read accounts by themselves.
            "watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False},
            "tradesLimit": 1,
            "ordersLimit": 1,
            "liquidationsLimit": 1,
            "fetchCurrencies": False,
            **settings.options,
        },
    }
    if key is not None:
        config |= {"apiKey": key, "secret": secret}
    client = client_class()(config)
    client.tap = tap
    if settings.urls and not _TLS.search(str(settings.urls)):
        client.timeout_on_exit = (
            0  # ccxt waits 250 ms at its end for TLS connections; on loopback there are none
        )
    return client


async def close_client(client: Any) -> None:
    """Close a client's sockets; a venue that does not answer the farewell is not waited for."""
    closing = asyncio.create_task(client.close(), name="close ccxt")
    try:
        await asyncio.wait([closing], timeout=CLOSE_S)
    finally:
        if not closing.done():
            closing.cancel()
            await asyncio.wait([closing])
            if client.session is not None:
                await client.session.close()


class Markets:
    """The markets of one venue, read once for all its connections: 600 of them take 10 MB a copy."""

    def __init__(self) -> None:
        self._source: Any = None
        self._lock = asyncio.Lock()

    async def load(self, client: Any) -> None:
        """Give ``client`` the venue's markets; ccxt's exceptions pass."""
        async with self._lock:
            if self._source is None:
                await client.load_markets()
                self._source = client
            elif client is not self._source:
                client.set_markets_from_exchange(self._source)


async def asked(venue: str, answer: Awaitable[T]) -> T:
    """Await a call of ccxt; whatever it raises becomes a VenueError, or VenueAuthError for a refused key."""
    try:
        return await answer
    except asyncio.CancelledError:
        # ccxt cancels what waits on a socket that it closes; only our own cancellation may pass.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise VenueError(venue, "the connection was closed") from None
    except MalformedFrameError as error:
        raise VenueError(venue, f"answered what cannot be read: {error}") from error
    except Exception as error:
        raise as_venue_error(venue, error) from error


def as_venue_error(venue: str, error: Exception) -> VenueError:
    """Convert what ccxt raised; queries, signatures and listen keys are taken out of its text."""
    from ccxt.base.errors import AuthenticationError  # noqa: PLC0415 - loaded with the first client

    why = f" ({error.__cause__})" if isinstance(error.__cause__, OSError) else ""
    shown = _QUERY.sub(r"\1", f"{type(error).__name__}: {error}{why}")
    detail = _SECRETS.sub(r"\1=...", shown)[:300]
    if isinstance(error, AuthenticationError) or any(f'"code":{code},' in detail for code in REFUSALS):
        return VenueAuthError(
            venue,
            f"the key is refused ({detail}): make a new read-only key, allow it futures and this machine's "
            "address, and name its files in accounts of the venue",
        )
    return VenueError(venue, detail)


def network_error(reason: str) -> Exception:
    """Make the error by which ccxt's own code recognises a lost connection."""
    from ccxt.base.errors import NetworkError  # noqa: PLC0415 - loaded with the first client

    error: Exception = NetworkError(reason)
    return error
