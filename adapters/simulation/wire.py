"""The JSON of Binance's market streams: structs to read frames with and functions that write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

Level = tuple[str, str]
Number = Annotated[int, msgspec.Meta(ge=0)]


class Envelope(msgspec.Struct):
    """A line of a recording: a combined-stream frame, or (without ``stream``) a REST depth snapshot."""

    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    lastUpdateId: int | None = None  # noqa: N815 - the venue's spelling
    E: int = 0
    s: str | None = None
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()


class DepthUpdate(msgspec.Struct):
    """A depth diff: sizes are absolute, 0 removes the level; ``pu`` is the former diff's ``u``."""

    s: str
    E: int
    U: int
    u: int
    b: list[Level]
    a: list[Level]
    pu: int | None = None
    T: int = 0


class TradeEvent(msgspec.Struct):
    """A trade; ``m`` says that the buyer was the maker, so a seller took."""

    s: str
    E: int
    T: int
    p: str
    q: str
    m: bool
    t: int = 0
    a: int = 0


class MarkPriceEvent(msgspec.Struct):
    """Mark price ``p``, index ``i``, funding rate ``r`` for the interval that ends at ``T``."""

    s: str
    E: int
    p: str
    i: str = "0"
    r: str = "0"
    T: int = 0


class OpenInterestEvent(msgspec.Struct):
    """Open interest in base units; an event of our own recordings only."""

    s: str
    E: int
    o: str


decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_depth = msgspec.json.Decoder(DepthUpdate).decode
decode_trade = msgspec.json.Decoder(TradeEvent).decode
decode_mark_price = msgspec.json.Decoder(MarkPriceEvent).decode
decode_open_interest = msgspec.json.Decoder(OpenInterestEvent).decode
encode = msgspec.json.encode


def depth_update(
    symbol: str,
    at_ms: int,
    ids: tuple[int, int, int],
    bids: Sequence[Level],
    asks: Sequence[Level],
) -> bytes:
    """Write a depth diff; ``ids`` are U, u and pu."""
    first, last, previous = ids
    return encode(
        {
            "e": "depthUpdate",
            "E": at_ms,
            "T": at_ms,
            "s": symbol,
            "U": first,
            "u": last,
            "pu": previous,
            "b": bids,
            "a": asks,
        }
    )


def trade(symbol: str, at_ms: int, number: int, price: str, size: str, *, buyer_is_maker: bool) -> bytes:
    """Write a trade."""
    return encode(
        {
            "e": "trade",
            "E": at_ms,
            "T": at_ms,
            "s": symbol,
            "t": number,
            "p": price,
            "q": size,
            "X": "MARKET",
            "m": buyer_is_maker,
        }
    )


def aggregate_trade(event: TradeEvent) -> bytes:
    """Write the aggregate trade that holds just this one trade."""
    return encode(
        {
            "e": "aggTrade",
            "E": event.E,
            "s": event.s,
            "a": event.t,
            "p": event.p,
            "q": event.q,
            "f": event.t,
            "l": event.t,
            "T": event.T,
            "m": event.m,
        }
    )


def book_ticker(symbol: str, at_ms: int, update_id: int, bid: Level, ask: Level) -> bytes:
    """Write the best bid and ask as of ``update_id``."""
    return encode(
        {
            "e": "bookTicker",
            "u": update_id,
            "s": symbol,
            "b": bid[0],
            "B": bid[1],
            "a": ask[0],
            "A": ask[1],
            "T": at_ms,
            "E": at_ms,
        }
    )


def mark_price(
    symbol: str, at_ms: int, mark: str, index: str, funding_rate: str, next_funding_ms: int
) -> bytes:
    """Write a mark price."""
    return encode(
        {
            "e": "markPriceUpdate",
            "E": at_ms,
            "s": symbol,
            "p": mark,
            "P": mark,
            "i": index,
            "r": funding_rate,
            "T": next_funding_ms,
        }
    )


def forced_order(symbol: str, at_ms: int, side: str, size: str, price: str, average: str) -> bytes:
    """Write a liquidation; ``side`` is the order's: SELL when a long was liquidated."""
    order = {
        "s": symbol,
        "S": side,
        "o": "LIMIT",
        "f": "IOC",
        "q": size,
        "p": price,
        "ap": average,
        "X": "FILLED",
        "l": size,
        "z": size,
        "T": at_ms,
    }
    return encode({"e": "forceOrder", "E": at_ms, "o": order})


def open_interest(symbol: str, at_ms: int, amount: str) -> bytes:
    """Write open interest, base units."""
    return encode({"e": "openInterest", "E": at_ms, "s": symbol, "o": amount})
