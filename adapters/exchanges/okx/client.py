"""What ccxt.pro's client of OKX is told besides what every venue's client is told."""

from __future__ import annotations

from typing import Any

from adapters.exchanges.okx.account_payloads import Contract
from adapters.exchanges.transport import UNCOMPRESSED

DEFAULTS: dict[str, Any] = {
    # ccxt would ask for currencies whenever it has a key, which one for reading positions need not be allowed.
    "has": {"fetchCurrencies": False},
    "options": {
        **UNCOMPRESSED,
        # Of the six kinds only this one is read: options and dated futures would be thousands of markets more.
        "fetchMarkets": {"types": ["swap"]},
        "defaultType": "swap",
    },
}


def contract_size_of(client: Any, market_code: str) -> float | None:
    """Base units a contract of a linear swap; ``None`` for anything else. The client's markets are loaded."""
    for market in (client.markets_by_id or {}).get(market_code, ()):
        size = market.get("contractSize")
        if market.get("swap") and market.get("linear") and size is not None:
            return float(size)
    return None


def contract_of(client: Any, market_code: str) -> Contract | None:
    """The contract of a swap, linear or inverse; ``None`` for anything else. The client's markets are loaded."""
    for market in (client.markets_by_id or {}).get(market_code, ()):
        size = market.get("contractSize")
        if market.get("swap") and size is not None and (market.get("linear") or market.get("inverse")):
            return Contract(float(size), bool(market.get("inverse")), market.get("settle"))
    return None
