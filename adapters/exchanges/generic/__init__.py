"""Every venue that has no parsers of its own here, by what ccxt's unified API makes of its payloads.

Nothing is guessed: what ccxt does not have for a venue is absent, liquidations are read only where it is known
whose side is told, and sizes only where it is known what a contract is worth.
"""

from __future__ import annotations

from adapters.exchanges.ccxt_session import Credentials, Markets, import_ccxt
from adapters.exchanges.generic.account import GenericAccount
from adapters.exchanges.generic.capabilities import capabilities_of
from adapters.exchanges.generic.market import GenericMarket
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import AccountConnection, AccountSink, MarketConnection, MarketSink
from guard.ports import Clock

__all__ = ["capabilities_of", "connect_account", "connect_market"]


async def connect_market(
    settings: VenueSettings, sink: MarketSink, clock: Clock, markets: Markets
) -> MarketConnection:
    """Make the connection for public data; nothing is connected before its ``load``."""
    await import_ccxt(settings.id)
    return GenericMarket(settings, sink, clock, markets)


async def connect_account(
    settings: VenueSettings,
    account: str,
    credentials: Credentials,
    sink: AccountSink,
    clock: Clock,
    markets: Markets,
) -> AccountConnection:
    """Make the connection for one account; nothing is connected before its ``load``."""
    del account
    await import_ccxt(settings.id)
    return GenericAccount(settings, sink, clock, markets, credentials)
