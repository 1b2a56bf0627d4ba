"""Pure parsers of Bybit v5 payloads of linear perpetuals and unified accounts, as ccxt hands them over.

Shapes: bybit-exchange.github.io/docs/v5, "Websocket Stream" and the market, position, account, order and user
endpoints, read with the comments of ccxt 4.5.90. Every function raises MalformedFrameError on a payload that it
cannot read, and on NaN or an infinity. Sizes are base units throughout.
"""

from __future__ import annotations

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
from adapters.exchanges.sync import DepthDiff
from adapters.exchanges.venue import (
    AccountTotals,
    AccountUpdate,
    BalanceSeen,
    DepthSnapshot,
    KeyPermissions,
    LiquidationFrame,
    MarkFrame,
    OrderGone,
    OrderKey,
    OrderSeen,
    PositionSeen,
    TradeFrame,
)
from guard.errors import MalformedFrameError
from guard.events import MarginMode
from guard.units import Nanoseconds

USD_LIKE = frozenset({"USDT", "USDC", "USDE", "USD1"})
"""Coins that this version counts as USD."""

MARK_FIELDS = frozenset({"markPrice", "indexPrice", "fundingRate", "nextFundingTime"})
"""What of a ticker becomes a MarkFrame."""

ISOLATED_MODE = "ISOLATED_MARGIN"
"""The ``marginMode`` of an account whose positions are isolated; unified accounts have one mode for all."""

_SIDES = {0: "BOTH", 1: "LONG", 2: "SHORT"}


def result_of(response: Any, where: str) -> Payload:
    """Return the ``result`` of a REST answer."""
    return mapping(as_mapping(response, where), "result", where)


# -- the market -----------------------------------------------------------------------------------


def parse_book(message: Payload) -> DepthSnapshot | DepthDiff:
    """Read ``orderbook.N``: a snapshot, or a diff whose ``u`` follows the one before it by one.

    After a restart of the venue's service ``u`` is 1, and the frame is a whole book whatever it calls itself.
    """
    where = "orderbook"
    data = mapping(message, "data", where)
    update_id = integer(data, "u", where)
    bids, asks = levels(data, "b", where), levels(data, "a", where)
    # ``cts`` is the matching engine's time, ``ts`` that of the service which pushes.
    exchange_at = at_of(message, "cts") or at_of(message, "ts")
    kind = text(message, "type", where)
    if kind == "snapshot" or update_id == 1:
        return DepthSnapshot(update_id, bids, asks, exchange_at)
    if kind != "delta":
        raise MalformedFrameError(where, f"field 'type' is neither snapshot nor delta: {kind!r:.40}")
    return DepthDiff(update_id - 1, update_id, update_id, bids, asks, exchange_at)


def parse_depth(response: Any) -> DepthSnapshot:
    """Read GET /v5/market/orderbook. Its ``u`` is that of the 1,000-level stream: it joins no other."""
    where = "GET /v5/market/orderbook"
    result = result_of(response, where)
    return DepthSnapshot(
        last_id=integer(result, "u", where),
        bids=levels(result, "b", where),
        asks=levels(result, "a", where),
        exchange_at=at_of(result, "cts") or at_of(result, "ts"),
    )


def parse_trades(message: Payload) -> list[TradeFrame]:
    """Read ``publicTrade``: one or several trades; ``S`` is the side of the taker.

    Block trades (``BT``) were agreed outside the book and are left out.
    """
    where = "publicTrade"
    return [
        TradeFrame(
            notional_usd=_sign(row, "S", where) * positive(row, "p", where) * positive(row, "v", where),
            exchange_at=at_of(row, "T"),
        )
        for row in rows_of(message, "data", where)
        if not flag(row, "BT")
    ]


def parse_ticker(ticker: Payload, exchange_at: Nanoseconds | None) -> MarkFrame:
    """Read a whole ``tickers`` state: the stream sends only what changed, which its reader merges.

    ``fundingRate`` is empty for contracts without funding.
    """
    where = "tickers"
    return MarkFrame(
        mark_price=positive(ticker, "markPrice", where),
        index_price=known(optional_number(ticker, "indexPrice", where)),
        funding_rate=optional_number(ticker, "fundingRate", where),
        next_funding_at=at_of(ticker, "nextFundingTime"),
        exchange_at=exchange_at,
    )


def parse_open_interest(ticker: Payload) -> float:
    """Read ``openInterest`` of a ticker: base units."""
    amount = number(ticker, "openInterest", "tickers")
    if amount < 0.0:
        raise MalformedFrameError("tickers", f"open interest is negative: {amount}")
    return amount


def parse_tickers(response: Any) -> list[Payload]:
    """Read GET /v5/market/tickers: one row a market."""
    where = "GET /v5/market/tickers"
    return rows_of(result_of(response, where), "list", where)


def parse_turnovers(response: Any) -> dict[str, float]:
    """Read the 24 h turnover in USD of each market from GET /v5/market/tickers, by the venue's code."""
    where = "GET /v5/market/tickers"
    return {
        text(row, "symbol", where): optional_number(row, "turnover24h", where) or 0.0
        for row in parse_tickers(response)
    }


def parse_liquidations(message: Payload) -> list[LiquidationFrame]:
    """Read ``allLiquidation``: every liquidation of the last 500 ms, often several.

    ``S`` is the side of the *position*: Buy says that a LONG was liquidated (of orders, as Binance tells
    them, it would be a sale). ``p`` is the bankruptcy price, at which nothing need have traded.
    """
    where = "allLiquidation"
    frames = []
    for row in rows_of(message, "data", where):
        size, price = positive(row, "v", where), positive(row, "p", where)
        frames.append(
            LiquidationFrame(
                size=_sign(row, "S", where) * size,
                price=price,
                notional_usd=size * price,
                exchange_at=at_of(row, "T"),
            )
        )
    return frames


# -- the account ----------------------------------------------------------------------------------


def parse_permissions(response: Any) -> KeyPermissions:
    """Read GET /v5/user/query-api. ``readOnly`` of 1 withholds everything that ``permissions`` list."""
    where = "GET /v5/user/query-api"
    result = result_of(response, where)
    read_only = integer(result, "readOnly", where) == 1
    granted = mapping(result, "permissions", where)
    named = {
        str(kind): list(rights) for kind, rights in granted.items() if isinstance(rights, list) and rights
    }
    trading = sorted(kind for kind in named if kind not in {"Wallet", "Affiliate", "Earn"})
    return KeyPermissions(
        can_trade=bool(trading) and not read_only,
        can_withdraw="Withdraw" in named.get("Wallet", []) and not read_only,
        detail=("read-only" if read_only else "read and write")
        + "".join(f"; {kind}: {', '.join(map(str, named[kind]))}" for kind in sorted(named)),
    )


def parse_margin_mode(response: Any) -> MarginMode:
    """Read GET /v5/account/info: the one mode of all positions of a unified account.

    Raises:
        MalformedFrameError: also for a classic account, whose positions this version cannot read.
    """
    where = "GET /v5/account/info"
    result = result_of(response, where)
    if integer(result, "unifiedMarginStatus", where) < 3:
        raise MalformedFrameError(
            where, "this is a classic account: upgrade it to a unified trading account (UTA) at Bybit"
        )
    return MarginMode.ISOLATED if text(result, "marginMode", where) == ISOLATED_MODE else MarginMode.CROSS


def parse_positions(response: Any, mode: MarginMode) -> tuple[list[PositionSeen], str]:
    """Read a page of GET /v5/position/list without its empty rows, and the cursor of the next page or ""."""
    where = "GET /v5/position/list"
    result = result_of(response, where)
    listed = [_position(row, mode, where) for row in rows_of(result, "list", where)]
    return [position for position in listed if position.size], str(result.get("nextPageCursor") or "")


def _position(row: Payload, account_mode: MarginMode, where: str) -> PositionSeen:
    """One position; of a flat one only the size is told.

    ``liqPrice`` is empty where the venue sees none between its least and largest price, and for cross it is
    an estimate: missing is *not known*. ``tradeMode`` is meaningless (0) in unified accounts, but 1 still says
    isolated. ``positionBalance`` is the margin of an isolated position, without unrealised profit.
    """
    size = number(row, "size", where)
    if size < 0.0:
        raise MalformedFrameError(where, f"field 'size' is negative: {size}")
    side = row.get("side")
    if size and side not in ("Buy", "Sell"):
        raise MalformedFrameError(where, f"field 'side' is neither Buy nor Sell: {side!r:.40}")
    index = integer(row, "positionIdx", where) if "positionIdx" in row else 0
    if index not in _SIDES:
        raise MalformedFrameError(where, f"field 'positionIdx' is none of 0, 1, 2: {index}")
    mode = MarginMode.ISOLATED if row.get("tradeMode") in (1, "1") else account_mode
    margin = known(optional_number(row, "positionBalance", where))
    if margin is None:
        margin = known(optional_number(row, "positionIM", where))
    entry = known(optional_number(row, "avgPrice", where))
    return PositionSeen(
        market_code=text(row, "symbol", where),
        side=_SIDES[index],
        size=-size if side == "Sell" else size,
        entry_price=entry or known(optional_number(row, "entryPrice", where)),
        mark_price=known(optional_number(row, "markPrice", where)),
        leverage=known(optional_number(row, "leverage", where)),
        margin_mode=mode,
        margin_usd=margin if mode is MarginMode.ISOLATED else None,
        liquidation_price=known(optional_number(row, "liqPrice", where)),
        unrealised_usd=optional_number(row, "unrealisedPnl", where) or 0.0,
    )


def parse_wallet(response: Any) -> AccountTotals:
    """Read GET /v5/account/wallet-balance of a unified account."""
    where = "GET /v5/account/wallet-balance"
    accounts = rows_of(result_of(response, where), "list", where)
    if len(accounts) != 1:
        raise MalformedFrameError(where, f"{len(accounts)} accounts where one was asked for")
    return _totals(accounts[0], where)


def _totals(account: Payload, where: str) -> AccountTotals:
    """Wallets of the coins that count as USD, and what other collateral the venue values.

    ``totalMaintenanceMargin`` is empty where there is no account-wide one (isolated margin). A coin is
    collateral only if both the venue and the owner say so.
    """
    wallets: dict[str, float] = {}
    other = 0.0
    for row in rows_of(account, "coin", where):
        coin = text(row, "coin", where)
        if coin in USD_LIKE:
            wallets[coin] = number(row, "walletBalance", where)
        elif row.get("marginCollateral") is not False and row.get("collateralSwitch") is not False:
            other += optional_number(row, "usdValue", where) or 0.0
    return AccountTotals(
        wallets=wallets,
        other_usd=max(0.0, other),
        maintenance_usd=optional_number(account, "totalMaintenanceMargin", where),
    )


GONE = frozenset({"Filled", "Cancelled", "PartiallyFilledCanceled", "Rejected", "Deactivated", "Triggered"})
"""Order states after which nothing rests any more; a Triggered order goes on under the same id as New."""


def parse_open_orders(response: Any) -> tuple[list[OrderSeen], str]:
    """Read a page of GET /v5/order/realtime, conditional orders too, and the cursor of the next page or ""."""
    where = "GET /v5/order/realtime"
    result = result_of(response, where)
    found = [_order(row, where) for row in rows_of(result, "list", where)]
    return [order for order in found if isinstance(order, OrderSeen)], str(result.get("nextPageCursor") or "")


def _order(row: Payload, where: str) -> OrderSeen | OrderGone:
    key: OrderKey = text(row, "orderId", where)
    if text(row, "orderStatus", where) in GONE:
        return OrderGone(key)
    sign = _sign(row, "side", where)
    left = optional_number(row, "leavesQty", where)
    if not left:
        done = optional_number(row, "cumExecQty", where) or 0.0
        left = max(0.0, number(row, "qty", where) - done)
    kind = row.get("stopOrderType")
    # Take profit and stop loss of a whole position; they have its size, whatever it is by then.
    whole = kind in ("TakeProfit", "StopLoss", "TrailingStop") and row.get("tpslMode") != "Partial"
    index = integer(row, "positionIdx", where) if "positionIdx" in row else 0
    return OrderSeen(
        key=key,
        market_code=text(row, "symbol", where),
        size=sign * left,
        buys=sign > 0.0,
        position_side=_SIDES.get(index, "BOTH"),
        price=known(optional_number(row, "price", where)),
        # The trigger of a trailing stop moves with the market.
        stop_price=None if kind == "TrailingStop" else known(optional_number(row, "triggerPrice", where)),
        reduce_only=flag(row, "reduceOnly") or flag(row, "closeOnTrigger") or whole,
        whole_position=whole,
    )


def parse_private(message: Payload, mode: MarginMode) -> list[AccountUpdate]:
    """Read one frame of the private stream: ``position``, ``wallet`` or ``order``; nothing for another."""
    topic = str(message.get("topic", "")).partition(".")[0]
    at = at_of(message, "creationTime")
    match topic:
        case "position":
            linear = [row for row in rows_of(message, "data", topic) if row.get("category") != "inverse"]
            positions = tuple(_position(row, mode, topic) for row in linear)
            # The liquidation price of cross positions moves with each other, and only REST tells all.
            return [AccountUpdate(exchange_at=at, positions=positions, stale=True)] if positions else []
        case "wallet":
            wallets: dict[str, float] = {}
            for account in rows_of(message, "data", topic):
                if account.get("accountType", "UNIFIED") == "UNIFIED":
                    wallets |= _totals(account, topic).wallets
            balances = tuple(BalanceSeen(coin, amount) for coin, amount in wallets.items())
            return [AccountUpdate(exchange_at=at, balances=balances)]
        case "order":
            return [
                AccountUpdate(exchange_at=at, order=_order(row, topic))
                for row in rows_of(message, "data", topic)
                if row.get("category", "linear") == "linear"
            ]
        case _:
            return []


def _sign(row: Payload, key: str, where: str) -> float:
    side = row.get(key)
    if side not in ("Buy", "Sell"):
        raise MalformedFrameError(where, f"field {key!r} is neither Buy nor Sell: {side!r:.40}")
    return 1.0 if side == "Buy" else -1.0
