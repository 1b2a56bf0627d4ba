"""What ccxt.pro's client of Bybit is told besides what every venue's client is told."""

from __future__ import annotations

from typing import Any

DEFAULTS: dict[str, Any] = {
    "options": {
        # Of the four categories only this one is read: spot, inverse and options would be 3,000 markets more.
        "fetchMarkets": {"types": ["linear"]},
        "defaultType": "swap",
        "defaultSubType": "linear",
    },
}
