"""Pure parsers of OKX v5 payloads of linear swaps and their accounts, as ccxt hands them over.

Shapes: www.okx.com/docs-v5, "Order Book Trading", "Public Data" and "Trading Account", read with the comments of
ccxt 4.5.90. OKX counts in contracts: every function that reads a size takes ``contract_size``, base units a
contract (``ctVal``), and returns base units. Every function raises MalformedFrameError on a payload that it
cannot read, and on NaN or an infinity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from adapters.exchanges.parsers import (
    Payload,
    as_mapping,
    at_of,
    integer,
    levels,
    number,
    optional_number,
    positive,
    rows_of,
    text,
)
from adapters.exchanges.sync import DepthDiff, RawLevels
from adapters.exchanges.venue import (
    DepthSnapshot,
    LiquidationFrame,
    TradeFrame,
)
from guard.errors import MalformedFrameError
from guard.units import Nanoseconds

USD_LIKE = frozenset({"USDT", "USDC", "USD", "USDG"})
"""Currencies that this version counts as USD."""

ContractSize = Callable[[str], float | None]
"""Base units a contract of an instrument; ``None`` for one that this version does not watch (inverse, spot)."""


def data_of(response: Any, where: str) -> list[Payload]:
    """Return the ``data`` of a REST answer or of a frame."""
    return rows_of(as_mapping(response, where), "data", where)


# -- the market -----------------------------------------------------------------------------------


def parse_books(message: Payload, contract_size: float) -> list[DepthSnapshot | DepthDiff]:
    """Read ``books``: a snapshot (``prevSeqId`` is -1), or diffs that each name the one before it.

    Where nothing changes for a minute a diff comes whose ``seqId`` is its ``prevSeqId``. After maintenance
    ``seqId`` may be smaller than ``prevSeqId``; the chain goes on from there. ``checksum`` is not looked at:
    the venue has stopped filling it.
    """
    where = "books"
    action = text(message, "action", where)
    if action not in {"snapshot", "update"}:
        raise MalformedFrameError(where, f"field 'action' is neither snapshot nor update: {action!r:.40}")
    found: list[DepthSnapshot | DepthDiff] = []
    for row in data_of(message, where):
        bids, asks = _levels(row, "bids", where, contract_size), _levels(row, "asks", where, contract_size)
        update_id, exchange_at = integer(row, "seqId", where), at_of(row, "ts")
        if action == "snapshot":
            found.append(DepthSnapshot(update_id, bids, asks, exchange_at))
        else:
            previous = integer(row, "prevSeqId", where)
            found.append(DepthDiff(previous, update_id, update_id, bids, asks, exchange_at))
    return found


def parse_depth(response: Any, contract_size: float) -> DepthSnapshot:
    """Read GET /api/v5/market/books; ``seqId`` is that of the stream where it is told, else 0."""
    where = "GET /api/v5/market/books"
    rows = data_of(response, where)
    if len(rows) != 1:
        raise MalformedFrameError(where, f"{len(rows)} books where one was asked for")
    return DepthSnapshot(
        last_id=integer(rows[0], "seqId", where) if "seqId" in rows[0] else 0,
        bids=_levels(rows[0], "bids", where, contract_size),
        asks=_levels(rows[0], "asks", where, contract_size),
        exchange_at=at_of(rows[0], "ts"),
    )


def _levels(payload: Payload, key: str, where: str, contract_size: float) -> RawLevels:
    """Price and size; a level has two more fields, of which the first is always 0."""
    found = []
    for level in levels(payload, key, where):
        if not isinstance(level, list):
            raise MalformedFrameError(where, f"a level of {key!r} is not a list: {level!r:.40}")
        try:
            price, told = level[0], level[1]
            size = float(told) if type(told) is str else number({"size": told}, "size", where)
        except (LookupError, TypeError, ValueError) as error:
            raise MalformedFrameError(
                where, f"a level of {key!r} is not a price and a size: {level!r:.40}"
            ) from error
        if not math.isfinite(size):
            raise MalformedFrameError(where, f"a size of {key!r} is not finite: {told!r:.40}")
        found.append([price if type(price) is str else str(price), repr(size * contract_size)])
    return found


def parse_trades(message: Payload, contract_size: float) -> list[TradeFrame]:
    """Read ``trades``: ``side`` is the taker's, ``sz`` contracts; trades of one taker at one price are joined."""
    where = "trades"
    return [
        TradeFrame(
            notional_usd=sign_of(row, where)
            * positive(row, "px", where)
            * positive(row, "sz", where)
            * contract_size,
            exchange_at=at_of(row, "ts"),
        )
        for row in data_of(message, where)
    ]


def parse_mark_price(row: Payload) -> tuple[float, Nanoseconds | None]:
    """Read a row of ``mark-price``."""
    return positive(row, "markPx", "mark-price"), at_of(row, "ts")


def parse_index_price(row: Payload) -> float:
    """Read a row of ``index-tickers``."""
    return positive(row, "idxPx", "index-tickers")


def parse_funding(row: Payload) -> tuple[float | None, Nanoseconds | None]:
    """Read a row of ``funding-rate``: the rate that will be paid at ``fundingTime``, the next one due.

    ``nextFundingTime`` is the one after it.
    """
    where = "funding-rate"
    return optional_number(row, "fundingRate", where), at_of(row, "fundingTime")


def parse_open_interest(row: Payload, contract_size: float) -> tuple[float, Nanoseconds | None]:
    """Read a row of ``open-interest``: ``oi`` is contracts; ``oiCcy`` is coins, but empty for some."""
    where = "open-interest"
    amount = number(row, "oi", where)
    if amount < 0.0:
        raise MalformedFrameError(where, f"open interest is negative: {amount}")
    return amount * contract_size, at_of(row, "ts")


def parse_turnovers(response: Any) -> dict[str, float]:
    """Read the turnover of 24 h of each swap out of GET /api/v5/market/tickers, by its code.

    ``volCcy24h`` is base currency for linear swaps, and the turnover is in their quote.
    """
    where = "GET /api/v5/market/tickers"
    return {
        text(row, "instId", where): (optional_number(row, "volCcy24h", where) or 0.0)
        * (optional_number(row, "last", where) or 0.0)
        for row in data_of(response, where)
    }


def parse_liquidations(message: Payload, contract_size: ContractSize) -> list[tuple[str, LiquidationFrame]]:
    """Read ``liquidation-orders``: the market's code and the liquidation, for *every* one of ``details``.

    ``posSide`` says which side was liquidated; ``net`` in one-way mode, where the order's ``side`` does: sell
    closed a long. ``bkPx`` is the bankruptcy price. Instruments without a contract size are left out.
    """
    where = "liquidation-orders"
    found = []
    for row in data_of(message, where):
        code = text(row, "instId", where)
        unit = contract_size(code)
        if unit is None:
            continue
        for detail in rows_of(row, "details", where):
            size, price = positive(detail, "sz", where) * unit, positive(detail, "bkPx", where)
            frame = LiquidationFrame(
                size=size if _was_long(detail, where) else -size,
                price=price,
                notional_usd=size * price,
                exchange_at=at_of(detail, "ts"),
            )
            found.append((code, frame))
    return found


def _was_long(detail: Payload, where: str) -> bool:
    position = detail.get("posSide")
    if position in ("long", "short"):
        return bool(position == "long")
    return sign_of(detail, where) < 0.0


def sign_of(row: Payload, where: str) -> float:
    side = row.get("side")
    if side not in ("buy", "sell"):
        raise MalformedFrameError(where, f"field 'side' is neither buy nor sell: {side!r:.40}")
    return 1.0 if side == "buy" else -1.0
