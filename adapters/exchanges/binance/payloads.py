"""Pure parsers of Binance USD-M futures payloads, as ccxt hands them over undigested.

Shapes: developers.binance.com, USDS-margined futures, "Websocket Market Streams", "User Data Streams" and
"Market Data" / "Account" / "Trade" REST endpoints, read with the comments of ccxt 4.5.90. Every function
raises MalformedFrameError on a payload that it cannot read, and on NaN or an infinity.
"""

from __future__ import annotations

from typing import Any

from adapters.exchanges.margin_ratios import rank_of
from adapters.exchanges.parsers import (
    Payload,
    at_of,
    flag,
    integer,
    known,
    mapping,
    number,
    optional_number,
    positive,
    rows,
    text,
)
from adapters.exchanges.sync import DepthDiff, RawLevels
from adapters.exchanges.venue import (
    AccountUpdate,
    AlgoKey,
    BalanceSeen,
    DepthSnapshot,
    KeyPermissions,
    LiquidationFrame,
    MarkFrame,
    OrderGone,
    OrderSeen,
    PositionSeen,
    TradeFrame,
)
from guard.errors import MalformedFrameError
from guard.events import LiquidationTold, MarginMode
from guard.units import Nanoseconds

USD_LIKE = frozenset({"USDT", "USDC", "BUSD", "FDUSD", "BFUSD", "USD1"})
"""Margin assets that this version counts as USD."""

ADL_LAST = 4.0
"""The place in the queue to be deleveraged that goes first; 0 is last ("Position ADL Quantile Estimation")."""


def parse_depth(message: Payload) -> DepthDiff:
    """Read ``depthUpdate``; levels stay as text for the book, which reads and refuses them as a whole."""
    where = "depthUpdate"
    return DepthDiff(
        previous_id=integer(message, "pu", where),
        first_id=integer(message, "U", where),
        last_id=integer(message, "u", where),
        bids=_levels(message, "b", where),
        asks=_levels(message, "a", where),
        exchange_at=at_of(message, "T"),
    )


def parse_snapshot(response: Any) -> DepthSnapshot:
    """Read GET /fapi/v1/depth."""
    where = "GET /fapi/v1/depth"
    if not isinstance(response, dict):
        raise MalformedFrameError(where, f"not an object: {response!r:.40}")
    return DepthSnapshot(
        last_id=integer(response, "lastUpdateId", where),
        bids=_levels(response, "bids", where),
        asks=_levels(response, "asks", where),
        exchange_at=at_of(response, "T"),
    )


def parse_trade(message: Payload) -> TradeFrame | None:
    """Read ``aggTrade`` or ``trade``; ``None`` for what did not trade on the book (insurance fund, ADL).

    ``m`` says that the buyer was the maker, so the taker sold.
    """
    where = str(message.get("e"))
    if message.get("X", "MARKET") != "MARKET":
        return None
    notional = positive(message, "p", where) * positive(message, "q", where)
    return TradeFrame(
        notional_usd=-notional if flag(message, "m") else notional, exchange_at=at_of(message, "T")
    )


def parse_mark(message: Payload) -> MarkFrame:
    """Read ``markPriceUpdate``; ``r`` is empty and ``T`` zero for contracts without funding."""
    where = "markPriceUpdate"
    return MarkFrame(
        mark_price=positive(message, "p", where),
        index_price=known(optional_number(message, "i", where)),
        funding_rate=optional_number(message, "r", where),
        next_funding_at=at_of(message, "T"),
        exchange_at=at_of(message, "E"),
    )


def parse_premium_index(response: Any) -> MarkFrame:
    """Read GET /fapi/v1/premiumIndex of one symbol."""
    where = "GET /fapi/v1/premiumIndex"
    if not isinstance(response, dict):
        raise MalformedFrameError(where, f"not an object: {response!r:.40}")
    return MarkFrame(
        mark_price=positive(response, "markPrice", where),
        index_price=known(optional_number(response, "indexPrice", where)),
        funding_rate=optional_number(response, "lastFundingRate", where),
        next_funding_at=at_of(response, "nextFundingTime"),
        exchange_at=at_of(response, "time"),
    )


def parse_liquidation(message: Payload) -> LiquidationFrame:
    """Read ``forceOrder``: ``S`` is the side of the *order*, so SELL closed a long.

    The stream pushes the latest liquidation of a symbol within a second only: a lower bound. Size is what
    was filled (``z``), or the whole order where the push came before a fill.
    """
    where = "forceOrder"
    order = mapping(message, "o", where)
    side = text(order, "S", where)
    if side not in {"BUY", "SELL"}:
        raise MalformedFrameError(where, f"field 'S' is neither BUY nor SELL: {side!r:.40}")
    size = known(optional_number(order, "z", where)) or positive(order, "q", where)
    price = known(optional_number(order, "ap", where)) or positive(order, "p", where)
    return LiquidationFrame(
        size=size if side == "SELL" else -size,
        price=price,
        notional_usd=size * price,
        exchange_at=at_of(order, "T"),
    )


def parse_open_interest(response: Any) -> tuple[float, Nanoseconds | None]:
    """Read GET /fapi/v1/openInterest: base units, both sides counted once, and the venue's time."""
    where = "GET /fapi/v1/openInterest"
    if not isinstance(response, dict):
        raise MalformedFrameError(where, f"not an object: {response!r:.40}")
    amount = number(response, "openInterest", where)
    if amount < 0.0:
        raise MalformedFrameError(where, f"open interest is negative: {amount}")
    return amount, at_of(response, "time")


def parse_turnovers(response: Any) -> dict[str, float]:
    """Read GET /fapi/v1/ticker/24hr: the venue's code of a market -> its turnover of 24 h in quote currency."""
    where = "GET /fapi/v1/ticker/24hr"
    return {text(row, "symbol", where): number(row, "quoteVolume", where) for row in rows(response, where)}


def parse_permissions(response: Any) -> KeyPermissions:
    """Read GET /sapi/v1/account/apiRestrictions: what the key itself may do."""
    where = "GET /sapi/v1/account/apiRestrictions"
    if not isinstance(response, dict):
        raise MalformedFrameError(where, f"not an object: {response!r:.40}")
    trades = ("enableFutures", "enableSpotAndMarginTrading", "enableMargin", "enableVanillaOptions")
    moves = ("enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer")
    granted = [name for name in (*trades, *moves, "enablePortfolioMarginTrading") if flag(response, name)]
    return KeyPermissions(
        can_trade=any(name in granted for name in (*trades, "enablePortfolioMarginTrading")),
        can_withdraw=any(name in granted for name in moves),
        detail=", ".join(granted),
    )


def parse_positions(response: Any) -> list[PositionSeen]:
    """Read GET /fapi/v3/positionRisk (or v2), without the empty rows of v2.

    ``liquidationPrice`` of 0 says that no price above 0 liquidates the position, for a COIN-M short that none does
    (seen at dev.binance.vision, "Position risk API returns 0 for liquidation price", topic 7049). v3 tells no
    leverage and no margin type: leverage is notional over the position's initial margin, and a position with a
    wallet of its own is isolated. The isolated margin is that wallet (``isolatedWallet``), without unrealised
    profit. ``adl`` (v3) and ``adlQuantile`` (v2) are fifths of the queue, 4 goes first.
    """
    where = "GET /fapi/v3/positionRisk"
    return [
        _position(row, size, where)
        for row in rows(response, where)
        if (size := number(row, "positionAmt", where)) != 0.0
    ]


def _position(row: Payload, size: float, where: str) -> PositionSeen:
    margin = known(optional_number(row, "isolatedWallet", where))
    if margin is None:
        margin = known(optional_number(row, "isolatedMargin", where))
    mode = _mode(row.get("marginType"), isolated=margin is not None)
    if mode is not MarginMode.ISOLATED:
        margin = None
    price = optional_number(row, "liquidationPrice", where)
    none_exists = price is not None and price <= 0.0
    return PositionSeen(
        market_code=text(row, "symbol", where),
        side=str(row.get("positionSide", "BOTH")),
        size=size,
        entry_price=known(optional_number(row, "entryPrice", where)),
        mark_price=known(optional_number(row, "markPrice", where)),
        leverage=_leverage(row, where),
        margin_mode=mode,
        margin_usd=margin,
        liquidation_price=None if none_exists else price,
        unrealised_usd=optional_number(row, "unRealizedProfit", where) or 0.0,
        margin=margin,
        settle=_name(row, "marginAsset"),
        liquidation_told=LiquidationTold.NONE_EXISTS if none_exists else LiquidationTold.NOT_TOLD,
        adl_rank=rank_of(row, "adl" if "adl" in row else "adlQuantile", ADL_LAST, where),
    )


def _name(row: Payload, key: str) -> str | None:
    told = row.get(key)
    return told if isinstance(told, str) and told else None


def _leverage(row: Payload, where: str) -> float | None:
    told = known(optional_number(row, "leverage", where))
    if told is not None:
        return told
    notional = known(optional_number(row, "notional", where))
    margin = known(optional_number(row, "positionInitialMargin", where))
    if notional is None or margin is None:
        return None
    leverage = abs(notional) / margin
    # Binance's leverage is a whole number; the margin that it is derived from is rounded.
    whole = round(leverage)
    return float(whole) if whole and abs(leverage - whole) < 0.02 * whole else leverage


def _mode(told: object, *, isolated: bool) -> MarginMode:
    if isinstance(told, str) and told:
        return MarginMode.ISOLATED if told.lower() == "isolated" else MarginMode.CROSS
    return MarginMode.ISOLATED if isolated else MarginMode.CROSS


def parse_open_orders(response: Any) -> list[OrderSeen]:
    """Read GET /fapi/v1/openOrders."""
    where = "GET /fapi/v1/openOrders"
    return [
        _order(
            row,
            where,
            key=str(integer(row, "orderId", where)),
            quantity=_left(row, "origQty", "executedQty", where),
            trigger="stopPrice",
        )
        for row in rows(response, where)
    ]


def parse_open_algo_orders(response: Any) -> list[OrderSeen]:
    """Read GET /fapi/v1/openAlgoOrders: conditional orders live there since December 2025."""
    where = "GET /fapi/v1/openAlgoOrders"
    if isinstance(response, dict):  # the venue's documents show both forms
        response = response.get("orders", [])
    return [
        _order(
            row,
            where,
            key=AlgoKey(str(integer(row, "algoId", where))),
            quantity=optional_number(row, "quantity", where) or 0.0,
            trigger="triggerPrice",
        )
        for row in rows(response, where)
    ]


def _order(row: Payload, where: str, *, key: str | AlgoKey, quantity: float, trigger: str) -> OrderSeen:
    whole = flag(row, "closePosition")
    return OrderSeen(
        key=key,
        market_code=text(row, "symbol", where),
        size=_signed(quantity, text(row, "side", where), where),
        buys=text(row, "side", where) == "BUY",
        position_side=str(row.get("positionSide", "BOTH")),
        price=known(optional_number(row, "price", where)),
        stop_price=_stop(row, "type" if "type" in row else "orderType", trigger, where),
        reduce_only=flag(row, "reduceOnly") or whole,
        whole_position=whole,
    )


def _stop(order: Payload, kind: str, trigger: str, where: str) -> float | None:
    """A trailing stop's trigger moves with the market and is not told: the field must be ignored."""
    if order.get(kind) == "TRAILING_STOP_MARKET":
        return None
    return known(optional_number(order, trigger, where))


def _left(row: Payload, whole: str, done: str, where: str) -> float:
    return max(0.0, number(row, whole, where) - (optional_number(row, done, where) or 0.0))


def _signed(quantity: float, side: str, where: str) -> float:
    if side not in {"BUY", "SELL"}:
        raise MalformedFrameError(where, f"side is neither BUY nor SELL: {side!r:.40}")
    return quantity if side == "BUY" else -quantity


GONE = frozenset({"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED", "FINISHED", "TRIGGERED"})
"""Order states after which nothing rests any more; a TRIGGERED algo order goes on as an ordinary one."""


def parse_user_event(message: Payload) -> AccountUpdate | None:
    """Read one frame of the user-data stream; ``None`` for those that say nothing of the account's state."""
    kind = message.get("e")
    at = at_of(message, "T") or at_of(message, "E")
    if kind == "ACCOUNT_UPDATE":
        return _account_update(mapping(message, "a", kind), at)
    # Tuples, because whatever stands there instead of a name need not be hashable.
    if kind in ("ORDER_TRADE_UPDATE", "ALGO_UPDATE"):
        return AccountUpdate(exchange_at=at, order=_order_event(mapping(message, "o", kind), kind))
    if kind in ("ACCOUNT_CONFIG_UPDATE", "MARGIN_CALL"):
        return AccountUpdate(exchange_at=at, stale=True)
    return None


def _account_update(data: Payload, at: Nanoseconds | None) -> AccountUpdate:
    where = "ACCOUNT_UPDATE"
    balances = [
        BalanceSeen(asset=asset, wallet=number(row, "wb", where), counts_as_usd=asset in USD_LIKE)
        for row in rows(data.get("B", []), where)
        if (asset := text(row, "a", where))
    ]
    positions = []
    for row in rows(data.get("P", []), where):
        mode = _mode(row.get("mt"), isolated=False)
        margin = known(optional_number(row, "iw", where)) if mode is MarginMode.ISOLATED else None
        positions.append(
            PositionSeen(
                market_code=text(row, "s", where),
                side=str(row.get("ps", "BOTH")),
                size=number(row, "pa", where),
                entry_price=known(optional_number(row, "ep", where)),
                margin_mode=mode,
                margin_usd=margin,
                unrealised_usd=optional_number(row, "up", where) or 0.0,
                margin=margin,
                settle=_name(row, "ma"),
            )
        )
    return AccountUpdate(
        exchange_at=at,
        balances=tuple(balances),
        positions=tuple(positions),
        # A new size has a new liquidation price, which this stream does not tell.
        stale=bool(positions),
    )


def _order_event(order: Payload, where: str) -> OrderSeen | OrderGone:
    algo = where == "ALGO_UPDATE"
    key: str | AlgoKey
    key = AlgoKey(str(integer(order, "aid", where))) if algo else str(integer(order, "i", where))
    if text(order, "X", where) in GONE:
        return OrderGone(key=key)
    whole = flag(order, "cp")
    side = text(order, "S", where)
    quantity = max(0.0, number(order, "q", where) - (optional_number(order, "z", where) or 0.0))
    return OrderSeen(
        key=key,
        market_code=text(order, "s", where),
        size=_signed(quantity, side, where),
        buys=side == "BUY",
        position_side=str(order.get("ps", "BOTH")),
        price=known(optional_number(order, "p", where)),
        stop_price=_stop(order, "o", "tp" if algo else "sp", where),
        reduce_only=flag(order, "R") or whole,
        whole_position=whole,
    )


def _levels(payload: Payload, key: str, where: str) -> RawLevels:
    raw = payload.get(key)
    if not isinstance(raw, list):
        raise MalformedFrameError(where, f"field {key!r} is not a list of levels: {raw!r:.40}")
    return raw
