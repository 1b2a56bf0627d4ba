"""Where a loopback venue takes orders, whichever language it is watched in."""

from __future__ import annotations

from typing import Any

from adapters.simulation.binance import binance_urls


def trading_urls(port: int, host: str = "127.0.0.1") -> dict[str, Any]:
    """URLs for ccxt's binanceusdm: accounts trade in Binance's words on every loopback venue."""
    return binance_urls(host, port)
