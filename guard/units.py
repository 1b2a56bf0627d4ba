"""Names for scalars that must not be mixed, and the few conversions between them. No I/O."""

from __future__ import annotations

from typing import NewType

Nanoseconds = int
"""Unix time or a duration, integer nanoseconds; which one is in the field's name (``_at``, ``_ns``)."""

MarketId = NewType("MarketId", str)
"""``venue:symbol`` with ccxt's names, e.g. ``binanceusdm:BTC/USDT:USDT``."""

AccountId = NewType("AccountId", str)
"""``venue:account``, where account is the name in the settings, e.g. ``binanceusdm:main``."""

BotId = NewType("BotId", str)

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
BPS_PER_UNIT = 10_000.0


def market_id(venue: str, symbol: str) -> MarketId:
    """Name a market.

    >>> market_id("binanceusdm", "BTC/USDT:USDT")
    'binanceusdm:BTC/USDT:USDT'
    """
    return MarketId(f"{venue}:{symbol}")


def account_id(venue: str, account: str) -> AccountId:
    """Name an account of a venue."""
    return AccountId(f"{venue}:{account}")


def venue_of(name: MarketId | AccountId) -> str:
    """The venue's ccxt id, which never holds a colon."""
    return name.partition(":")[0]


def symbol_of(market: MarketId) -> str:
    """The unified symbol of a market.

    >>> symbol_of(MarketId("binanceusdm:BTC/USDT:USDT"))
    'BTC/USDT:USDT'
    """
    return market.partition(":")[2]


def ms_of(at_ns: Nanoseconds) -> int:
    """Nanoseconds inside to milliseconds on the wire, rounded down."""
    return at_ns // NS_PER_MS


def ns_of(at_ms: int) -> Nanoseconds:
    """Milliseconds on the wire to nanoseconds inside."""
    return at_ms * NS_PER_MS
