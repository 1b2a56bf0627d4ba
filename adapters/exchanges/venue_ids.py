"""The venues of ccxt 4.5.90 that have perpetuals, so that settings are checked without importing ccxt.

A test holds these lists against the ccxt that is installed.
"""

from __future__ import annotations

VENUE_IDS = frozenset(
    {
        "apex",
        "aster",
        "backpack",
        "bigone",
        "binance",
        "binancecoinm",
        "binanceusdm",
        "bingx",
        "bitfinex",
        "bitget",
        "bitrue",
        "bitstamp",
        "blofin",
        "btse",
        "bullish",
        "bybit",
        "bybitid",
        "bydfi",
        "coinbase",
        "coinbaseinternational",
        "cryptocom",
        "deepcoin",
        "delta",
        "deribit",
        "derive",
        "digifinex",
        "dydx",
        "extended",
        "fmfwio",
        "gate",
        "gemini",
        "grvt",
        "hashkey",
        "hibachi",
        "hitbtc",
        "htx",
        "hyperliquid",
        "krakenfutures",
        "kucoin",
        "kucoinfutures",
        "lighter",
        "mexc",
        "modetrade",
        "mudrex",
        "nado",
        "okx",
        "okxus",
        "onetrading",
        "pacifica",
        "paradex",
        "phemex",
        "poloniex",
        "polymarket",
        "toobit",
        "weex",
        "whitebit",
        "woo",
        "woofipro",
        "xt",
        "zebpay",
    }
)
"""ccxt's ids."""

WITH_PASSWORD = frozenset(
    {
        "apex",
        "bitget",
        "blofin",
        "deepcoin",
        "kucoin",
        "kucoinfutures",
        "okx",
        "okxus",
        "weex",
    }
)
"""Their keys come with a password, which some of them call passphrase."""

BY_ADDRESS = frozenset({"hyperliquid"})
"""Whoever knows a wallet's address may read its account: no key is needed, and none is asked for."""

UNREADABLE = frozenset(
    {
        "aster",
        "derive",
        "extended",
        "grvt",
        "hibachi",
        "lighter",
        "modetrade",
        "nado",
        "pacifica",
        "paradex",
        "polymarket",
        "woo",
        "woofipro",
    }
)
"""Their accounts can be read only with what can also trade, or with what this version has no settings for."""
