"""Venues as events, over ccxt.pro: public markets and private accounts.

Start with ``venue_feeds``. ``market_feed`` and ``account_feed`` hold what is common to all venues, ``venue`` what
they need of one; ``modules`` says which package fulfils that for which venue: ``binance``, ``bybit``, ``okx`` and
``hyperliquid`` read payloads by parsers of their own, ``generic`` all others by what ccxt makes of them. Most frames
never get there: ``frames`` says which are read in C, straight from the socket into a book, and ``_frames`` does it,
by a scanner a venue (``_scan_*``). ``tapped_socket`` and the two ``transport_`` modules carry them there, ``fast_path``
and ``market_books`` say which market takes frames so, and when.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from adapters.exchanges.account_feed import AccountFeed
from adapters.exchanges.ccxt_session import Credentials, Markets
from adapters.exchanges.credentials import SecretResolver, credentials_of
from adapters.exchanges.crowd import CrowdConnection, CrowdFeed
from adapters.exchanges.margin_terms import MarginTermsFeed, TermsConnection, TermsMemory
from adapters.exchanges.market_books import Observer
from adapters.exchanges.market_feed import MarketFeed, nothing_held
from adapters.exchanges.modules import (
    capabilities_of,
    connect_crowd,
    connect_terms,
    crowd_ways_of,
    module_of,
)
from adapters.exchanges.probe import AccountProbe, VenueProbe, probe
from adapters.exchanges.settings import AccountCredentials, VenueSettings
from adapters.exchanges.venue import (
    AccountConnection,
    AccountSink,
    Capabilities,
    MarketConnection,
    MarketSink,
)
from guard.ports import Clock, Feed, Pace

__all__ = [
    "AccountCredentials",
    "AccountFeed",
    "AccountProbe",
    "Capabilities",
    "CrowdFeed",
    "MarginTermsFeed",
    "MarketFeed",
    "SecretResolver",
    "TermsMemory",
    "VenueProbe",
    "VenueSettings",
    "capabilities_of",
    "probe",
    "venue_feeds",
]


def venue_feeds(
    settings: VenueSettings,
    *,
    clock: Clock,
    resolve_secret: SecretResolver,
    path: str = "",
    observer: Observer | None = None,
    held: Callable[[], Collection[str]] = nothing_held,
    pace: Pace | None = None,
    memory: TermsMemory | None = None,
    watched: Callable[[], Collection[str]] = nothing_held,
    assets: Callable[[], Collection[str]] = nothing_held,
) -> list[Feed]:
    """Make one MarketFeed, one AccountFeed for each account, one MarginTermsFeed, and a CrowdFeed where there is one.

    Nothing connects before ``run``.

    Args:
        settings: the venue.
        clock: what time it is.
        resolve_secret: reads a secret; asked for every account before anything is made.
        path: where in the settings the venue is, e.g. ``venues.0``, for errors.
        observer: called after every diff that was applied; for tests.
        held: the symbols of this venue in which there are positions, or that bots trade: watched always.
        pace: how often markets are sampled; left out, all of them as often as ``sample_ms`` says.
        memory: keeps what venues last said of margin over restarts.
        watched: the symbols of all markets that are watched, traded or held: what margin they ask for is told.
        assets: what accounts of this venue hold: what of it counts as collateral is told.

    Raises:
        SettingsError: a secret is missing (from ``resolve_secret``).
    """
    markets, module = Markets(), module_of(settings.id)

    async def connect_market(sink: MarketSink) -> MarketConnection:
        return await module.connect_market(settings, sink, clock, markets)

    feeds: list[Feed] = [
        MarketFeed(settings, clock=clock, connect=connect_market, observer=observer, held=held, pace=pace)
    ]
    signing: dict[str, Credentials] = {}
    for account, named in settings.accounts.items():
        where = ".".join(filter(None, (path, "accounts", account)))
        credentials = signing[account] = credentials_of(named, where, resolve_secret)

        def connect(
            sink: AccountSink, account: str = account, credentials: Credentials = credentials
        ) -> Awaitable[AccountConnection]:
            return module.connect_account(settings, account, credentials, sink, clock, markets)

        feeds.append(AccountFeed(settings, account, clock=clock, connect=connect))

    def connect_margin_terms() -> Awaitable[TermsConnection]:
        return connect_terms(settings, signing, markets)

    terms = MarginTermsFeed(
        settings,
        clock=clock,
        connect=connect_margin_terms,
        memory=memory,
        markets=lambda: {*held(), *watched()},
        assets=assets,
    )
    ways = crowd_ways_of(settings.id)
    if ways is None or not ways.is_asked(settings):
        return [*feeds, terms]

    def connect_to_crowd() -> Awaitable[CrowdConnection]:
        return connect_crowd(settings, markets)

    crowd = CrowdFeed(
        settings,
        ways,
        clock=clock,
        connect=connect_to_crowd,
        markets=lambda: {*settings.symbols, *watched()},
        held=held,
    )
    return [*feeds, terms, crowd]
