"""What Bybit gives, and how: known before anything connects."""

from __future__ import annotations

from adapters.exchanges.venue import Capabilities, DepthSource, Way
from guard.events import Stream

DEPTH_LEVELS = 1_000
"""The deepest stream; it speaks every 200 ms. (200 levels speak every 100 ms, 50 every 20 ms.)"""

CAPABILITIES = Capabilities(
    ways={
        Stream.BOOK: Way.STREAMED,
        Stream.TRADES: Way.STREAMED,
        Stream.MARK_PRICE: Way.STREAMED,
        Stream.LIQUIDATIONS: Way.STREAMED,
        Stream.OPEN_INTEREST: Way.STREAMED,
    },
    depth_source=DepthSource.STREAM,
    depth_levels=DEPTH_LEVELS,
    liquidations_are_complete=True,
    notes=(
        "markets: linear perpetuals (USDT and USDC) only; positions in inverse ones are read, without their books",
        "accounts: unified trading accounts only; inverse contracts are part of them from UTA 2.0 on",
        f"books hold {DEPTH_LEVELS} levels a side and change every 200 ms",
        "liquidations: every one is told, within 500 ms, at its bankruptcy price",
        "orders resting without price improvement (RPI) are not part of the books",
    ),
)
