"""What Binance USD-M gives, and how: known before anything connects."""

from __future__ import annotations

from adapters.exchanges.venue import Capabilities, DepthSource, Way
from guard.events import Stream

CAPABILITIES = Capabilities(
    ways={
        Stream.BOOK: Way.STREAMED,
        Stream.TRADES: Way.STREAMED,
        Stream.MARK_PRICE: Way.STREAMED,
        Stream.LIQUIDATIONS: Way.STREAMED,
        Stream.OPEN_INTEREST: Way.POLLED,
    },
    depth_source=DepthSource.REST,
    periods_ms={Stream.MARK_PRICE: 1_000},
    notes=(
        "liquidations: at most one a second and market is told, so what is seen is a lower bound",
        "open interest is asked over REST",
    ),
)
