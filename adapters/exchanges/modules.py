"""Which package speaks to which venue. A package is what ``VenueModule`` says; the rest is found by its id."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Protocol, cast

from adapters.exchanges.ccxt_session import Credentials, Markets, import_ccxt
from adapters.exchanges.crowd import CrowdConnection, CrowdWays
from adapters.exchanges.crowd_session import CrowdClient
from adapters.exchanges.margin_terms import TermsConnection
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.terms_session import TermsClient
from adapters.exchanges.venue import (
    AccountConnection,
    AccountSink,
    Capabilities,
    MarketConnection,
    MarketSink,
)
from guard.ports import Clock

IN_DEPTH = {
    "binanceusdm": "adapters.exchanges.binance",
    "binancecoinm": "adapters.exchanges.binance.coinm",
    "bybit": "adapters.exchanges.bybit",
    "okx": "adapters.exchanges.okx",
    "hyperliquid": "adapters.exchanges.hyperliquid",
}
"""The package of each venue whose payloads are read by parsers of our own; each also exports ``CAPABILITIES``."""

GENERIC = "adapters.exchanges.generic"
"""The package for all others, over ccxt's unified API."""


class VenueModule(Protocol):
    """What a venue's package exports. Nothing connects, nor imports ccxt, before a ``connect_`` is awaited."""

    async def connect_market(
        self, settings: VenueSettings, sink: MarketSink, clock: Clock, markets: Markets
    ) -> MarketConnection:
        """Make the connection for public data."""
        ...

    async def connect_account(
        self,
        settings: VenueSettings,
        account: str,
        credentials: Credentials,
        sink: AccountSink,
        clock: Clock,
        markets: Markets,
    ) -> AccountConnection:
        """Make the connection for one account."""
        ...


TERMS = {
    "binanceusdm": "adapters.exchanges.binance.terms_source:BinanceTerms",
    "binancecoinm": "adapters.exchanges.binance.terms_source:CoinTerms",
    "bybit": "adapters.exchanges.bybit.terms_source:BybitTerms",
    "okx": "adapters.exchanges.okx.terms_source:OkxTerms",
    "hyperliquid": "adapters.exchanges.hyperliquid.terms_source:HyperliquidTerms",
}
"""What reads the margin terms of each venue; of all others by ccxt's unified API."""
GENERIC_TERMS = "adapters.exchanges.generic.terms_source:GenericTerms"


async def connect_terms(
    settings: VenueSettings, credentials: Mapping[str, Credentials], markets: Markets
) -> TermsConnection:
    """Make the connection that reads a venue's margin terms; nothing is connected before its ``load``."""
    module, _, name = TERMS.get(settings.id, GENERIC_TERMS).partition(":")
    reader: type[TermsClient] = getattr(importlib.import_module(module), name)
    await import_ccxt(settings.id, reader.QUIRKS)
    return reader(settings, credentials, markets)


CROWD = {
    "binanceusdm": "adapters.exchanges.binance.crowd_source:BinanceCrowd",
    "bybit": "adapters.exchanges.bybit.crowd_source:BybitCrowd",
    "okx": "adapters.exchanges.okx.crowd_source:OkxCrowd",
    "hyperliquid": "adapters.exchanges.hyperliquid.crowd_source:HyperliquidCrowd",
}
"""What reads everyone's positions, of the venues that tell something of them."""


def crowd_ways_of(venue_id: str) -> CrowdWays | None:
    """Return what a venue tells of everyone's positions, without connecting; ``None`` for nothing."""
    reader = _crowd_reader(venue_id)
    if reader is None:
        return None
    return CrowdWays(
        history_days=reader.HISTORY_DAYS,
        ratio=reader.TELLS_RATIO,
        positions=reader.PUBLISHES_POSITIONS,
        pause_s=reader.PAUSE_S,
    )


async def connect_crowd(settings: VenueSettings, markets: Markets) -> CrowdConnection:
    """Make the connection that reads everyone's positions; nothing is connected before its ``load``."""
    reader = _crowd_reader(settings.id)
    assert reader is not None, "crowd_ways_of said that there is one"
    await import_ccxt(settings.id, reader.QUIRKS)
    return reader(settings, markets)


def _crowd_reader(venue_id: str) -> type[CrowdClient] | None:
    if venue_id not in CROWD:
        return None
    module, _, name = CROWD[venue_id].partition(":")
    return cast("type[CrowdClient]", getattr(importlib.import_module(module), name))


def module_of(venue_id: str) -> VenueModule:
    """Return the package that speaks to a venue."""
    return cast("VenueModule", importlib.import_module(IN_DEPTH.get(venue_id, GENERIC)))


def capabilities_of(settings: VenueSettings) -> Capabilities:
    """Return what a venue gives, and how, without connecting; may take a second to import ccxt."""
    module = importlib.import_module(IN_DEPTH.get(settings.id, GENERIC))
    if settings.id in IN_DEPTH:
        return cast("Capabilities", module.CAPABILITIES)
    return cast("Capabilities", module.capabilities_of(settings))
