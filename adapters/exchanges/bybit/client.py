"""What ccxt.pro's client of Bybit is told besides what every venue's client is told."""

from __future__ import annotations

from typing import Any

from adapters.exchanges.transport import UNCOMPRESSED

DEFAULTS: dict[str, Any] = {
    # ccxt would ask for currencies whenever it has a key, which one for reading positions need not be allowed.
    "has": {"fetchCurrencies": False},
    "options": {
        **UNCOMPRESSED,
        # Of the four categories only this one is read: spot, inverse and options would be 3,000 markets more.
        "fetchMarkets": {"types": ["linear"]},
        "defaultType": "swap",
        "defaultSubType": "linear",
    },
}
