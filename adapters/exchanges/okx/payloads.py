"""Pure parsers of OKX v5 payloads of linear swaps and their accounts, as ccxt hands them over.

Shapes: www.okx.com/docs-v5, "Order Book Trading", "Public Data" and "Trading Account", read with the comments of
ccxt 4.5.90. OKX counts in contracts: every function that reads a size takes ``contract_size``, base units a
contract (``ctVal``), and returns base units. Every function raises MalformedFrameError on a payload that it
cannot read, and on NaN or an infinity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from adapters.exchanges.parsers import (
    Payload,
    as_mapping,
    at_of,
    flag,
    integer,
    known,
    levels,
    mapping,
    number,
    optional_number,
    positive,
    rows_of,
    text,
)
from adapters.exchanges.sync import DepthDiff, RawLevels
from adapters.exchanges.venue import (
    AccountTotals,
    AccountUpdate,
    AlgoKey,
    BalanceSeen,
    DepthSnapshot,
    KeyPermissions,
    LiquidationFrame,
    OrderGone,
    OrderKey,
    OrderSeen,
    PositionSeen,
    TradeFrame,
)
from guard.errors import MalformedFrameError
from guard.events import MarginMode
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
            notional_usd=_sign(row, where)
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
    return _sign(detail, where) < 0.0


# -- the account ----------------------------------------------------------------------------------


def parse_permissions(response: Any) -> KeyPermissions:
    """Read GET /api/v5/account/config: ``perm`` is of read_only, trade and withdraw, joined by commas."""
    where = "GET /api/v5/account/config"
    rows = data_of(response, where)
    if len(rows) != 1:
        raise MalformedFrameError(where, f"{len(rows)} accounts where one was asked for")
    told = text(rows[0], "perm", where)
    granted = {right.strip() for right in told.split(",")}
    return KeyPermissions("trade" in granted, "withdraw" in granted, told)


def parse_positions(rows: Iterable[Payload], contract_size: ContractSize) -> list[PositionSeen]:
    """Read positions, of GET /api/v5/account/positions or of the ``positions`` channel; a size of 0 is closed.

    In one-way mode (``net``) ``pos`` is signed; in hedge mode it is not, and ``posSide`` tells the side.
    ``liqPx`` is empty where the venue sees none: *not known*. ``margin`` is that of an isolated position alone.
    Markets without a contract size are left out.
    """
    where = "positions"
    found = []
    for row in rows:
        code = text(row, "instId", where)
        unit = contract_size(code)
        if unit is None:
            continue
        side, mode = text(row, "posSide", where), text(row, "mgnMode", where)
        if side not in {"net", "long", "short"}:
            raise MalformedFrameError(where, f"field 'posSide' is none of net, long, short: {side!r:.40}")
        if mode not in {"cross", "isolated"}:
            raise MalformedFrameError(where, f"field 'mgnMode' is neither cross nor isolated: {mode!r:.40}")
        size = (optional_number(row, "pos", where) or 0.0) * unit
        found.append(
            PositionSeen(
                market_code=code,
                side="BOTH" if side == "net" else side.upper(),
                size=-abs(size) if side == "short" else size,
                entry_price=known(optional_number(row, "avgPx", where)),
                mark_price=known(optional_number(row, "markPx", where)),
                leverage=known(optional_number(row, "lever", where)),
                margin_mode=MarginMode(mode),
                margin_usd=known(optional_number(row, "margin", where)) if mode == "isolated" else None,
                liquidation_price=known(optional_number(row, "liqPx", where)),
                unrealised_usd=optional_number(row, "upl", where) or 0.0,
            )
        )
    return found


def parse_account(response: Any) -> AccountTotals:
    """Read GET /api/v5/account/balance, or the ``account`` channel.

    The wallet of a currency is its equity less all unrealised profit, which positions tell themselves.
    ``mmr`` is told for the whole account in multi-currency and portfolio margin; in futures mode each currency
    has its own.
    """
    where = "GET /api/v5/account/balance"
    rows = data_of(response, where)
    if len(rows) != 1:
        raise MalformedFrameError(where, f"{len(rows)} accounts where one was asked for")
    wallets: dict[str, float] = {}
    other, maintenance = 0.0, optional_number(rows[0], "mmr", where)
    by_currency: list[float] = []
    for row in rows_of(rows[0], "details", where):
        currency = text(row, "ccy", where)
        if currency in USD_LIKE:
            wallets[currency] = number(row, "eq", where) - (optional_number(row, "upl", where) or 0.0)
            by_currency.append(optional_number(row, "mmr", where) or 0.0)
        elif row.get("collateralEnabled") is not False:
            # Discounted as the venue counts it towards margin, where it tells that.
            discounted = optional_number(row, "disEq", where)
            other += max(0.0, discounted or optional_number(row, "eqUsd", where) or 0.0)
    if maintenance is None and any(by_currency):
        maintenance = sum(by_currency)
    return AccountTotals(wallets=wallets, other_usd=other, maintenance_usd=maintenance)


GONE = frozenset(
    {
        "filled",
        "canceled",
        "mmp_canceled",
        "effective",
        "order_failed",
        "partially_failed",
        "partially_effective",
    }
)
"""Order states after which nothing rests any more; an algo order in effect goes on as an ordinary one."""


def parse_orders(rows: Iterable[Payload], contract_size: ContractSize) -> list[OrderSeen | OrderGone]:
    """Read ordinary and conditional orders, of REST (pending) or of the ``orders`` and ``orders-algo`` channels."""
    found: list[OrderSeen | OrderGone] = []
    for row in rows:
        unit = contract_size(text(row, "instId", "orders"))
        if unit is not None:
            found.append(_order(row, unit))
    return found


def _order(row: Payload, unit: float) -> OrderSeen | OrderGone:
    where = "orders-algo" if row.get("algoId") and not row.get("ordId") else "orders"
    algo = where == "orders-algo"
    key: OrderKey = AlgoKey(text(row, "algoId", where)) if algo else text(row, "ordId", where)
    if text(row, "state", where) in GONE:
        return OrderGone(key)
    sign = _sign(row, where)
    size = optional_number(row, "sz", where) or 0.0
    left = max(0.0, size - (optional_number(row, "accFillSz", where) or 0.0)) * unit
    # A conditional order sized as a part of the position: 1 closes all of it.
    whole = algo and (optional_number(row, "closeFraction", where) or 0.0) > 0.0
    side = str(row.get("posSide") or "net")
    closes = (side == "long" and sign < 0.0) or (side == "short" and sign > 0.0)
    return OrderSeen(
        key=key,
        market_code=text(row, "instId", where),
        size=sign * left,
        buys=sign > 0.0,
        position_side="BOTH" if side == "net" else side.upper(),
        price=_price(row, algo=algo),
        stop_price=_trigger(row) if algo else None,
        reduce_only=flag(row, "reduceOnly") or whole or closes,
        whole_position=whole,
    )


def _price(row: Payload, *, algo: bool) -> float | None:
    """The limit; -1 says that a conditional order becomes a market order."""
    keys = ("ordPx", "slOrdPx", "tpOrdPx") if algo else ("px",)
    for key in keys:
        price = known(optional_number(row, key, "orders"))
        if price is not None:
            return price if price > 0.0 else None
    return None


def _trigger(row: Payload) -> float | None:
    """Where a conditional order triggers: of a pair of stop and take profit the stop; a trailing one moves."""
    if row.get("ordType") == "move_order_stop":
        return None
    for key in ("triggerPx", "slTriggerPx", "tpTriggerPx"):
        price = known(optional_number(row, key, "orders-algo"))
        if price is not None:
            return price
    return None


def parse_private(message: Payload, contract_size: ContractSize) -> list[AccountUpdate]:
    """Read one frame of the private streams: ``positions``, ``account``, ``orders`` or ``orders-algo``."""
    channel = str(mapping(message, "arg", "frame").get("channel", ""))
    rows = data_of(message, channel)
    match channel:
        case "positions":
            positions = tuple(parse_positions((row for row in rows if _is_swap(row)), contract_size))
            if not positions:
                return []
            at = max((at_of(row, "pTime") or at_of(row, "uTime") or 0 for row in rows), default=0)
            # Pushed every few seconds, whole, and at once where the size changes: REST need not be asked for it.
            return [AccountUpdate(exchange_at=at or None, positions=positions)]
        case "account":
            if not rows:
                return []
            totals = parse_account(message)
            balances = tuple(BalanceSeen(asset, amount) for asset, amount in totals.wallets.items())
            return [AccountUpdate(exchange_at=at_of(rows[0], "uTime"), balances=balances)]
        case "orders" | "orders-algo":
            swaps = [row for row in rows if _is_swap(row)]
            return [
                AccountUpdate(exchange_at=at_of(row, "uTime"), order=order)
                for row in swaps
                for order in parse_orders([row], contract_size)
            ]
        case _:
            return []


def _is_swap(row: Payload) -> bool:
    return row.get("instType") == "SWAP"


def _sign(row: Payload, where: str) -> float:
    side = row.get("side")
    if side not in ("buy", "sell"):
        raise MalformedFrameError(where, f"field 'side' is neither buy nor sell: {side!r:.40}")
    return 1.0 if side == "buy" else -1.0
