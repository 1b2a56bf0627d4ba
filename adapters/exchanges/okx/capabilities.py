"""What OKX gives, and how: known before anything connects."""

from __future__ import annotations

from adapters.exchanges.venue import Capabilities, DepthSource, Way
from guard.events import Stream

CAPABILITIES = Capabilities(
    ways={
        Stream.BOOK: Way.STREAMED,
        Stream.TRADES: Way.STREAMED,
        Stream.MARK_PRICE: Way.STREAMED,
        Stream.LIQUIDATIONS: Way.STREAMED,
        Stream.OPEN_INTEREST: Way.STREAMED,
    },
    depth_source=DepthSource.STREAM,
    depth_ids_may_fall=True,
    # A mark that does not move is told every 10 s.
    periods_ms={Stream.MARK_PRICE: 10_000, Stream.OPEN_INTEREST: 3_000},
    depth_levels=400,
    notes=(
        "markets: linear swaps (USDT, USDC) only; positions in coin-margined ones are read, without their books",
        "accounts: swaps only; what dated futures, options and margin trading demand is within the account's totals",
        "books hold 400 levels a side and change every 100 ms",
        "liquidations: at most one a second and market is told, so what is seen is a lower bound",
        "maintenance tiers are told in contracts: their bounds in USD are those at the mark when they were read",
    ),
)
