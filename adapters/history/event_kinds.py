"""Which kinds of events have columns of their own in an event file, and which column holds what of them."""

from __future__ import annotations

from typing import get_args

import msgspec

from guard.events import (
    CURVE_BPS,
    NOTIONALS_USD,
    AnyEvent,
    BookSide,
    LiquidationSeen,
    MarketFeatures,
    MarketsSampled,
    MarkPriceSeen,
    OpenInterestSeen,
    StreamActivity,
    Tick,
)

Attributes = tuple[tuple[str, str], ...]


def _same(*names: str) -> Attributes:
    return tuple((name, name) for name in names)


SIDE = ("visible_bps", "visible_usd", "slope_usd", "slope_kappa")
"""Attributes of a BookSide with a column each, named ``bid_`` or ``ask_`` and this; those of the curves apart."""

ATTRIBUTES: dict[type, Attributes] = {
    Tick: (),
    MarketFeatures: _same(
        "market", "status", "book_at", "bid", "ask", "imbalance", "buy_usd", "sell_usd", "updates", "gaps"
    ),
    MarketsSampled: _same("left_out"),
    MarkPriceSeen: _same("market", "mark_price", "index_price", "funding_rate", "next_funding_at"),
    OpenInterestSeen: _same("market", "open_interest", "open_interest_usd"),
    LiquidationSeen: (
        ("market", "market"),
        ("liquidation_size", "size"),
        ("liquidation_price", "price"),
        ("liquidation_usd", "notional_usd"),
    ),
    StreamActivity: (("market", "subject"), *_same("stream", "updates", "last_at", "gap_ns_max")),
}
"""Column and attribute, without the two times; the two sides of a book apart."""

TAGS: dict[type, str] = {kind: str(kind.__struct_config__.tag) for kind in get_args(AnyEvent)}

encode_body = msgspec.json.Encoder().encode
decode_body = msgspec.json.Decoder(AnyEvent).decode


def parts_of(event: AnyEvent) -> tuple[MarketFeatures, ...] | None:
    """The samples that one is made of, which have rows of their own; ``None`` of all others."""
    return event.samples if type(event) is MarketsSampled else None


def has_columns(event: AnyEvent) -> bool:
    """Whether the columns can hold it; a book that was sampled at other distances is kept whole."""
    if type(event) is MarketFeatures:
        return _fits(event.bids) and _fits(event.asks)
    if type(event) is MarketsSampled:
        return all(has_columns(sample) for sample in event.samples)
    return type(event) in ATTRIBUTES


def _fits(side: BookSide | None) -> bool:
    return side is None or (
        len(side.curve_usd) == len(CURVE_BPS) and len(side.slippage_bps) == len(NOTIONALS_USD)
    )
