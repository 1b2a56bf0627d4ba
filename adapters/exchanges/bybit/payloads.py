"""Pure parsers of Bybit v5 payloads of linear perpetuals and unified accounts, as ccxt hands them over.

Shapes: bybit-exchange.github.io/docs/v5, "Websocket Stream" and the market, position, account, order and user
endpoints, read with the comments of ccxt 4.5.90. Every function raises MalformedFrameError on a payload that it
cannot read, and on NaN or an infinity. Sizes are base units throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapters.exchanges.inverse import inverse_in_base_units
from adapters.exchanges.margin_ratios import rank_of, value_usd
from adapters.exchanges.parsers import (
    LARGEST,
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
from guard.events import CollateralHeld, LiquidationTold, MarginMode, Pooling
from guard.units import Nanoseconds

USD_LIKE = frozenset({"USDT", "USDC", "USDE", "USD1"})
"""Coins that this version counts as USD."""

MARK_FIELDS = frozenset({"markPrice", "indexPrice", "fundingRate", "nextFundingTime"})
"""What of a ticker becomes a MarkFrame."""

ADL_LAST = 5.0
"""The place in the queue to be deleveraged that goes first; 0 is that of an empty position (".../docs/v5/enum")."""

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


@dataclass(frozen=True, slots=True)
class AccountMode:
    """How a unified account is margined; it has one mode for all of its positions."""

    margin_mode: MarginMode = MarginMode.CROSS
    pooling: Pooling = Pooling.ONE_POOL
    has_inverse: bool = True
    """Whether inverse contracts are of this account; before UTA 2.0 they have a wallet of their own."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Those whose positions share this account's collateral, options left out."""
        return ("linear", "inverse") if self.has_inverse else ("linear",)


def parse_account_mode(response: Any) -> AccountMode:
    """Read GET /v5/account/info.

    Raises:
        MalformedFrameError: also for a classic account, whose positions this version cannot read.
    """
    where = "GET /v5/account/info"
    result = result_of(response, where)
    status = integer(result, "unifiedMarginStatus", where)
    if status < 3:
        raise MalformedFrameError(
            where, "this is a classic account: upgrade it to a unified trading account (UTA) at Bybit"
        )
    has_inverse = status >= 5
    match text(result, "marginMode", where):
        case "ISOLATED_MARGIN":
            return AccountMode(MarginMode.ISOLATED, Pooling.BY_SETTLE_ASSET, has_inverse)
        case "PORTFOLIO_MARGIN":
            return AccountMode(MarginMode.CROSS, Pooling.PORTFOLIO, has_inverse)
        case _:
            return AccountMode(MarginMode.CROSS, Pooling.ONE_POOL, has_inverse)


def parse_positions(response: Any, mode: AccountMode) -> tuple[list[PositionSeen], str]:
    """Read a page of GET /v5/position/list without its empty rows, and the cursor of the next page or ""."""
    where = "GET /v5/position/list"
    result = result_of(response, where)
    inverse = result.get("category") == "inverse"
    listed = [_position(row, mode, where, inverse=inverse) for row in rows_of(result, "list", where)]
    return [position for position in listed if position.size], str(result.get("nextPageCursor") or "")


def _position(row: Payload, mode: AccountMode, where: str, *, inverse: bool) -> PositionSeen:
    """One position; of a flat one only the size is told.

    ``liqPrice`` is told where it lies between the market's least and largest price; empty it says that there is none
    there, but for portfolio margin, which never names one (".../docs/v5/position"). For cross it is an estimate.
    ``tradeMode`` is meaningless (0) in unified accounts, but 1 still says isolated. ``positionBalance`` is the margin
    of an isolated position, without unrealised profit. Inverse contracts are of one dollar, and their margin and
    profit in the coin.
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
    margin_mode = MarginMode.ISOLATED if row.get("tradeMode") in (1, "1") else mode.margin_mode
    margin = None
    if margin_mode is MarginMode.ISOLATED:
        margin = known(optional_number(row, "positionBalance", where))
        if margin is None:
            margin = known(optional_number(row, "positionIM", where))
    entry = known(optional_number(row, "avgPrice", where)) or known(optional_number(row, "entryPrice", where))
    price, told = _liquidation(row, mode, where)
    seen = PositionSeen(
        market_code=text(row, "symbol", where),
        side=_SIDES[index],
        size=-size if side == "Sell" else size,
        entry_price=entry,
        mark_price=known(optional_number(row, "markPrice", where)),
        leverage=known(optional_number(row, "leverage", where)),
        margin_mode=margin_mode,
        margin_usd=margin,
        liquidation_price=price,
        unrealised_usd=optional_number(row, "unrealisedPnl", where) or 0.0,
        margin=margin,
        settle=settle_of(text(row, "symbol", where), inverse=inverse),
        liquidation_told=told,
        adl_rank=rank_of(row, "adlRankIndicator", ADL_LAST, where),
        is_whole=True,
    )
    return inverse_in_base_units(seen, where) if inverse and size else seen


def _liquidation(row: Payload, mode: AccountMode, where: str) -> tuple[float | None, LiquidationTold]:
    price = optional_number(row, "liqPrice", where)
    if price is not None and price > 0.0:
        return price, LiquidationTold.NOT_TOLD
    if mode.pooling is Pooling.PORTFOLIO:
        return None, LiquidationTold.ACCOUNT_LEVEL
    return None, LiquidationTold.NONE_EXISTS if "liqPrice" in row else LiquidationTold.NOT_TOLD


def settle_of(market_code: str, *, inverse: bool) -> str:
    """The coin in which a contract is margined and paid.

    >>> settle_of("BTCUSD", inverse=True), settle_of("BTCUSDZ26", inverse=True)
    ('BTC', 'BTC')
    >>> [settle_of(code, inverse=False) for code in ("BTCUSDT", "BTCUSDT-27NOV26", "BTCPERP", "BTC-27NOV26")]
    ['USDT', 'USDT', 'USDC', 'USDC']
    """
    if inverse:
        return market_code.rpartition("USD")[0] or market_code
    return "USDT" if market_code.partition("-")[0].endswith("USDT") else "USDC"


def parse_wallet(response: Any, mode: AccountMode) -> AccountTotals:
    """Read GET /v5/account/wallet-balance of a unified account."""
    where = "GET /v5/account/wallet-balance"
    accounts = rows_of(result_of(response, where), "list", where)
    if len(accounts) != 1:
        raise MalformedFrameError(where, f"{len(accounts)} accounts where one was asked for")
    return _totals(accounts[0], mode, where)


def _totals(account: Payload, mode: AccountMode, where: str) -> AccountTotals:
    """Wallets of the coins that count as USD, and what other collateral the venue values.

    ``totalMaintenanceMargin`` and ``accountMMRate`` (maintenance over margin balance, both in USD) are empty where
    there is no account-wide one (isolated margin).
    """
    held = _holdings(account, where)
    return AccountTotals(
        wallets={each.asset: each.quantity for each in held if each.asset in USD_LIKE},
        other_usd=sum(value_usd(each) for each in held if each.asset not in USD_LIKE),
        maintenance_usd=optional_number(account, "totalMaintenanceMargin", where),
        collateral=tuple(each for each in held if each.quantity),
        pooling=mode.pooling,
        margin_ratio=None
        if mode.margin_mode is MarginMode.ISOLATED
        else optional_number(account, "accountMMRate", where),
    )


def _holdings(account: Payload, where: str) -> list[CollateralHeld]:
    return [_held(row, where) for row in rows_of(account, "coin", where)]


def _held(row: Payload, where: str) -> CollateralHeld:
    """One coin. ``walletBalance`` holds what was borrowed to trade spot, which ``spotBorrow`` says is owed.

    A coin is collateral only if both the venue (``marginCollateral``) and the owner (``collateralSwitch``) say so. Its
    price is what the venue values its equity at; what it leaves away of that, it tells elsewhere.
    """
    borrowed = optional_number(row, "spotBorrow", where) or 0.0
    equity, value = (known(optional_number(row, key, where)) for key in ("equity", "usdValue"))
    price = value / equity if equity and value else None
    return CollateralHeld(
        asset=text(row, "coin", where),
        quantity=number(row, "walletBalance", where) - borrowed,
        venue_price_usd=price if price is not None and 0.0 < price < LARGEST else None,
        is_collateral=row.get("marginCollateral") is not False and row.get("collateralSwitch") is not False,
    )


GONE = frozenset({"Filled", "Cancelled", "PartiallyFilledCanceled", "Rejected", "Deactivated", "Triggered"})
"""Order states after which nothing rests any more; a Triggered order goes on under the same id as New."""


def parse_open_orders(response: Any) -> tuple[list[OrderSeen], str]:
    """Read a page of GET /v5/order/realtime, conditional orders too, and the cursor of the next page or ""."""
    where = "GET /v5/order/realtime"
    result = result_of(response, where)
    inverse = result.get("category") == "inverse"
    found = [_order(row, where, inverse=inverse) for row in rows_of(result, "list", where)]
    return [order for order in found if isinstance(order, OrderSeen)], str(result.get("nextPageCursor") or "")


def _order(row: Payload, where: str, *, inverse: bool) -> OrderSeen | OrderGone:
    """One order; an inverse one is of dollars, and becomes base units at its own price."""
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
    if inverse:
        told = (
            known(optional_number(row, key, where)) for key in ("price", "triggerPrice", "lastPriceOnCreated")
        )
        price = next((each for each in told if each is not None), None)
        left = left / price if price is not None and price > 0.0 else 0.0
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


def parse_private(message: Payload, mode: AccountMode) -> list[AccountUpdate]:
    """Read one frame of the private stream: ``position``, ``wallet`` or ``order``; nothing for another."""
    topic = str(message.get("topic", "")).partition(".")[0]
    at = at_of(message, "creationTime")
    match topic:
        case "position":
            positions = tuple(
                _position(row, mode, topic, inverse=row.get("category") == "inverse")
                for row in rows_of(message, "data", topic)
                if row.get("category", "linear") in mode.categories
            )
            # The liquidation price of cross positions moves with each other, and only REST tells all.
            return [AccountUpdate(exchange_at=at, positions=positions, stale=True)] if positions else []
        case "wallet":
            return [
                _balances(account, mode, at)
                for account in rows_of(message, "data", topic)
                if account.get("accountType", "UNIFIED") == "UNIFIED"
            ]
        case "order":
            return [
                AccountUpdate(
                    exchange_at=at, order=_order(row, topic, inverse=row.get("category") == "inverse")
                )
                for row in rows_of(message, "data", topic)
                if row.get("category", "linear") in mode.categories
            ]
        case _:
            return []


def _balances(account: Payload, mode: AccountMode, at: Nanoseconds | None) -> AccountUpdate:
    totals = _totals(account, mode, "wallet")
    return AccountUpdate(
        exchange_at=at,
        balances=tuple(
            BalanceSeen(held.asset, held.quantity, held.asset in USD_LIKE, held)
            for held in _holdings(account, "wallet")
        ),
        maintenance_usd=totals.maintenance_usd,
        margin_ratio=totals.margin_ratio,
    )


def _sign(row: Payload, key: str, where: str) -> float:
    side = row.get(key)
    if side not in ("Buy", "Sell"):
        raise MalformedFrameError(where, f"field {key!r} is neither Buy nor Sell: {side!r:.40}")
    return 1.0 if side == "Buy" else -1.0
