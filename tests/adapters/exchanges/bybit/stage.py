"""What the tests of Bybit's feeds share: settings for loopback, and what is waited for."""

from __future__ import annotations

from typing import Any

from adapters.exchanges import AccountCredentials, VenueSettings
from adapters.simulation import LoopbackVenue
from guard.events import (
    BookStatus,
    MarketFeatures,
    Stream,
    StreamFault,
    StreamFaultKind,
)
from guard.units import AccountId, MarketId
from tests.adapters.simulation.bybit.clients import OTHER, SYMBOL
from tests.support.exchange_feeds import ACCOUNT, Events, settings_for

BTC, ETH = MarketId(f"bybit:{SYMBOL}"), MarketId(f"bybit:{OTHER}")
MAIN = AccountId("bybit:main")


def settings(venue: LoopbackVenue, *symbols: str, account: bool = False, **changes: Any) -> VenueSettings:
    changes = {"id": "bybit", **changes}
    if account:
        changes["accounts"] = {
            "main": AccountCredentials(
                api_key_env=ACCOUNT.api_key, api_secret_env=ACCOUNT.api_secret, trade_keys_allowed=True
            )
        }
    return settings_for(venue.ccxt_urls(), *symbols, **changes)


def is_ok(features: MarketFeatures) -> bool:
    return features.status is BookStatus.OK


async def until_ok(events: Events, market: MarketId) -> None:
    await events.until(MarketFeatures, lambda seen: seen.market == market and is_ok(seen))


async def until_fault(
    events: Events, kind: StreamFaultKind, stream: Stream = Stream.BOOK, subject: str = BTC
) -> StreamFault:
    return await events.until(
        StreamFault, lambda fault: (fault.fault, fault.stream, fault.subject) == (kind, stream, subject)
    )
