"""Binance USD-M futures: what its API says, and how ccxt.pro's client of it is used."""

from __future__ import annotations

from adapters.exchanges.binance.account import BinanceAccount
from adapters.exchanges.binance.capabilities import CAPABILITIES
from adapters.exchanges.binance.client import BinanceQuirks
from adapters.exchanges.binance.market import BinanceMarket
from adapters.exchanges.ccxt_session import Credentials, Markets, import_ccxt
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import AccountConnection, AccountSink, MarketConnection, MarketSink
from guard.ports import Clock

__all__ = ["CAPABILITIES", "connect_account", "connect_market"]


async def connect_market(
    settings: VenueSettings, sink: MarketSink, clock: Clock, markets: Markets
) -> MarketConnection:
    """Make the connection for public data; nothing is connected before its ``load``."""
    await import_ccxt(settings.id, BinanceQuirks)
    return BinanceMarket(settings, sink, clock, markets)


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
    await import_ccxt(settings.id, BinanceQuirks)
    return BinanceAccount(settings, sink, clock, markets, credentials)
