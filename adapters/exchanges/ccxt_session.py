"""What all connections over ccxt share: making a client, its credentials, its errors, its markets."""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from adapters.exchanges.ccxt_client import KEEP_ALIVE_MS, MISSED_PONGS_MAX, Tap, tapped_class
from adapters.exchanges.embargo import Embargo
from adapters.exchanges.parsers import unknown_symbol
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.transport import Transport, installed
from adapters.exchanges.venue import ListedMarket
from guard.errors import MalformedFrameError, UnknownSymbolError, VenueAuthError, VenueError

T = TypeVar("T")

CLOSE_S = 1.0

NEW_S = 5.0
"""At a start, markets that another connection has read so lately are not read again."""

_TLS = re.compile(r"(https|wss)://")
_SECRETS = re.compile(
    r"(sign(?:ature)?|listenKey|api_?key|access_?key|secret|pass(?:word|phrase)|token|private_?key)"
    r"(['\"]?\s*[=:]\s*['\"]?)[^&\s'\",}]+",
    re.IGNORECASE,
)
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signs the requests for one account, or only names it where the venue shows accounts to anyone."""

    key: str | None = None
    secret: str | None = None
    password: str | None = None
    """OKX, KuCoin and Bitget call it passphrase."""
    wallet_address: str | None = None
    """Public; all that Hyperliquid needs for reading."""

    def __repr__(self) -> str:
        return "Credentials(...)"

    @property
    def values(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(value for value in (self.key, self.secret, self.password) if value)


async def import_ccxt(venue_id: str, quirks: type | None = None) -> None:
    """Import a venue's part of ccxt in a thread: 0.3 s, or 2 s the first time, in which heartbeats must go on."""
    await asyncio.to_thread(tapped_class, venue_id, quirks)


def make_client(
    settings: VenueSettings,
    tap: Tap,
    *,
    credentials: Credentials | None = None,
    defaults: Mapping[str, Any] | None = None,
    quirks: type | None = None,
    venue_id: str | None = None,
) -> Any:
    """Make a ccxt client; nothing is connected yet.

    Args:
        settings: the venue: its ``urls`` and ``options`` win over everything else.
        tap: takes what comes over its sockets.
        credentials: of an account, ``None`` for public data.
        defaults: ccxt's configuration where this venue needs another, merged key by key where both are objects.
        quirks: see ``tapped_class``.
        venue_id: ccxt's class, where it is not called by the id of the settings.
    """
    config: dict[str, Any] = {
        "enableRateLimit": settings.rate_limit,
        "newUpdates": True,
        "urls": settings.urls,
        # Twice in what counts as silence, so that a socket on which nothing happens still shows that it lives.
        "streaming": {
            "keepAlive": min(KEEP_ALIVE_MS, int(settings.silence_s_max * 500)),
            "maxPingPongMisses": MISSED_PONGS_MAX,
        },
        "options": {
            # The feeds keep no caches in ccxt and read accounts by themselves.
            "watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False},
            "tradesLimit": 1,
            "ordersLimit": 1,
            "liquidationsLimit": 1,
            "fetchCurrencies": False,
        },
    }
    config = _merged(_merged(config, defaults or {}), {"options": settings.options})
    if credentials is not None:
        given = {
            "apiKey": credentials.key,
            "secret": credentials.secret,
            "password": credentials.password,
            "walletAddress": credentials.wallet_address,
        }
        config |= {name: value for name, value in given.items() if value is not None}
    client = tapped_class(venue_id or settings.id, quirks)(config)
    client.tap = tap
    client.embargo = Embargo(settings.id)
    client.transport = Transport.AIOHTTP if credentials is not None else installed(settings.transport)
    if settings.urls and not _TLS.search(str(settings.urls)):
        # ccxt waits 250 ms at its end for TLS connections; on loopback there are none.
        client.timeout_on_exit = 0
    return client


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**under}
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(below, value) if both and below is not None else value
    return merged


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
    """The markets of one venue, read once for all its connections: 600 of them take 10 MB a copy.

    Besides, its embargo, which all connections share from their first request on.
    """

    def __init__(self) -> None:
        self._source: Any = None
        self._first_read_s: float | None = None
        """When they were read for the first time, until they are asked for anew."""
        self._embargo: Embargo | None = None
        self._lock = asyncio.Lock()
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()

    async def load(self, client: Any) -> None:
        """Give ``client`` the venue's markets as they were last read; ccxt's exceptions pass."""
        self._share_embargo(client)
        self._clients.add(client)
        async with self._lock:
            if self._source is None:
                await client.load_markets()
                self._source = client
                self._first_read_s = asyncio.get_running_loop().time()
            elif client.markets is not self._source.markets:
                client.set_markets_from_exchange(self._source)

    async def reload(self, client: Any) -> None:
        """Read them anew by ``client``, and give them to every other client that has loaded them.

        At a start another connection may just have read them: then they are new enough. 700 markets are 5 MB, and a
        quarter of a second in which ccxt lets nothing else run.
        """
        self._share_embargo(client)
        self._clients.add(client)
        async with self._lock:
            read_s, self._first_read_s = self._first_read_s, None
            if read_s is not None and asyncio.get_running_loop().time() - read_s < NEW_S:
                if client.markets is not self._source.markets:
                    client.set_markets_from_exchange(self._source)
                return
            await client.load_markets(self._source is not None)
            self._source = client
            for other in self._clients:
                if other is not client:
                    other.set_markets_from_exchange(client)

    def _share_embargo(self, client: Any) -> None:
        if self._embargo is None:
            self._embargo = client.embargo
        client.embargo = self._embargo


def find_symbols(
    venue: str, client: Any, symbols: Sequence[str]
) -> tuple[list[str], list[UnknownSymbolError]]:
    """Return which of ``symbols`` are perpetuals that the loaded markets list, and an error for each other."""
    listed = client.markets
    perpetuals = [name for name, found in listed.items() if found.get("swap")]
    known = [symbol for symbol in symbols if symbol in listed and listed[symbol].get("swap")]
    errors = [unknown_symbol(venue, symbol, perpetuals) for symbol in symbols if symbol not in known]
    return known, errors


def perpetuals_of(client: Any, turnovers: Mapping[str, float]) -> list[ListedMarket]:
    """Return the perpetuals of the loaded markets.

    Args:
        client: a ccxt client whose markets are loaded.
        turnovers: turnover of 24 h in USD, by unified symbol or by the venue's code of the market.
    """
    return [
        ListedMarket(
            symbol=symbol,
            quote=str(market.get("quote")),
            settle=str(market.get("settle")),
            # ccxt leaves it out where a venue lists only what trades.
            active=market.get("active") is not False,
            volume_usd=turnovers.get(symbol, turnovers.get(str(market["id"]))),
        )
        for symbol, market in client.markets.items()
        if market.get("swap")
    ]


async def asked(venue: str, answer: Awaitable[T], refusals: Sequence[str] = ()) -> T:
    """Await a call of ccxt; whatever it raises becomes a VenueError, or VenueAuthError for a refused key.

    Args:
        venue: its id, for the error.
        answer: the call.
        refusals: what the venue's text holds when it refuses the key but ccxt raises no AuthenticationError,
            e.g. ``'"code":-2015,'``.
    """
    try:
        return await answer
    except asyncio.CancelledError:
        # ccxt cancels what waits on a socket that it closes; only our own cancellation may pass.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise VenueError(venue, "the connection was closed") from None
    except VenueError:
        raise
    except MalformedFrameError as error:
        raise VenueError(venue, f"answered what cannot be read: {error}") from error
    except Exception as error:
        raise as_venue_error(venue, error, refusals) from error


def as_venue_error(venue: str, error: Exception, refusals: Sequence[str] = ()) -> VenueError:
    """Convert what ccxt raised; queries, signatures and listen keys are taken out of its text."""
    from ccxt.base.errors import AuthenticationError  # noqa: PLC0415 - loaded with the first client

    why = f" ({error.__cause__})" if isinstance(error.__cause__, OSError) else ""
    shown = _QUERY.sub(r"\1", f"{type(error).__name__}: {error}{why}")
    detail = _SECRETS.sub(r"\1\2...", shown)[:300]
    if isinstance(error, AuthenticationError) or any(refusal in detail for refusal in refusals):
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
