"""What Hyperliquid gives, and how: known before anything connects; and what ccxt's client of it is told."""

from __future__ import annotations

from typing import Any

from adapters.exchanges.transport import UNCOMPRESSED
from adapters.exchanges.venue import Capabilities, DepthSource, Way
from guard.events import Stream

BOOK_PERIOD_MS = 500
"""A book is sent whole with each block that comes at least so long after the last."""

CAPABILITIES = Capabilities(
    ways={
        Stream.BOOK: Way.STREAMED,
        Stream.TRADES: Way.STREAMED,
        Stream.MARK_PRICE: Way.STREAMED,
        Stream.OPEN_INTEREST: Way.STREAMED,
        Stream.LIQUIDATIONS: Way.ABSENT,
    },
    depth_source=DepthSource.WHOLE,
    periods_ms={Stream.BOOK: BOOK_PERIOD_MS},
    depth_levels=60,
    markets_max=190,
    notes=(
        "books: 20 levels a side twice a second, and steps of 4 and 3 figures behind them, counted at their far ends",
        "liquidations of others are not told; depth, price and open interest have to do without them",
        "open interest and mark price come together, undated",
        "at most 190 markets: each takes five of the venue's 1,000 subscriptions an address",
        "builder-deployed exchanges (HIP-3, such as xyz:TSLA): positions are read; markets and orders are not",
        "spot balances are collateral in unified and portfolio mode alone",
        "accounts are read by their address alone, at most ten of them: no key is needed, and none should be given",
    ),
)

DEFAULTS: dict[str, Any] = {
    # 600 of the venue's 1,200 weight a minute for each client, in bursts where needed.
    "rateLimit": 100,
    "rateLimiterAlgorithm": "rollingWindow",
    "rollingWindowSize": 60_000.0,
    # Documented ("Rate limits"): 20 for all that ccxt 4.5.90 counts as 10, and 60 for this one.
    "api": {"public": {"post": {"info": {"cost": 20, "byType": {"userRole": 60}}}}},
    # Spot pairs are of no use here, and the markets of each HIP-3 exchange cost a request.
    "options": {
        **UNCOMPRESSED,
        "fetchMarkets": {"types": ["swap"]},
        # ccxt copies these from client to client along with the markets, and fails where the first has none.
        "hip3TokensByName": {},
        "cachedCurrenciesById": {},
    },
}
"""What ccxt is told besides what every venue's client is told."""
