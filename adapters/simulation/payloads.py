"""Orders, positions and accounts as Binance's REST answers and user-data events spell them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from adapters.simulation.account import VenueAccount
from adapters.simulation.assets import SETTLE
from adapters.simulation.ledger import Position
from adapters.simulation.margin import ZERO, BracketTable
from adapters.simulation.orders import AlgoOrder, Fill, Order

Json = dict[str, Any]


def plain(value: Decimal, digits: int | None = None) -> str:
    """A decimal without exponent; with ``digits`` rounded to so many."""
    if digits is not None:
        return f"{value:.{digits}f}"
    if value == ZERO:
        return "0"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def order_answer(order: Order) -> Json:
    """An order in a REST answer."""
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": plain(order.price),
        "avgPrice": plain(order.average_price, 5),
        "origQty": plain(order.quantity),
        "executedQty": plain(order.filled),
        "cumQty": plain(order.filled),
        "cumQuote": plain(order.filled_quote, 5),
        "timeInForce": order.time_in_force,
        "type": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": order.side,
        "positionSide": order.position_side,
        "stopPrice": plain(order.stop_price),
        "workingType": order.working_type,
        "priceProtect": False,
        "origType": order.origin or order.type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "time": order.created_ms,
        "updateTime": order.updated_ms,
    }


def order_event(order: Order, execution: str, at_ms: int, fill: Fill | None = None) -> Json:
    """ORDER_TRADE_UPDATE; ``execution`` is NEW, TRADE, CANCELED or EXPIRED."""
    body: Json = {
        "s": order.symbol,
        "c": order.client_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": plain(order.quantity),
        "p": plain(order.price),
        "ap": plain(order.average_price, 5),
        "sp": plain(order.stop_price),
        "x": execution,
        "X": order.status,
        "i": order.order_id,
        "l": plain(fill.size) if fill else "0",
        "z": plain(order.filled),
        "L": plain(fill.price) if fill else "0",
        "T": at_ms,
        "t": fill.fill_id if fill else 0,
        "b": "0",
        "a": "0",
        "m": fill.is_maker if fill else False,
        "R": order.reduce_only,
        "wt": order.working_type,
        "ot": order.origin or order.type,
        "ps": order.position_side,
        "cp": order.close_position,
        "rp": plain(fill.realised, 8) if fill else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
    }
    if fill is not None:
        body |= {"N": "USDT", "n": plain(fill.fee, 8)}
    return {"e": "ORDER_TRADE_UPDATE", "E": at_ms, "T": at_ms, "o": body}


def algo_answer(algo: AlgoOrder) -> Json:
    """A conditional order in a REST answer."""
    request = algo.request
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": request.client_id,
        "algoType": "CONDITIONAL",
        "orderType": request.type,
        "symbol": request.symbol,
        "side": request.side,
        "positionSide": request.position_side,
        "timeInForce": request.time_in_force,
        "quantity": plain(request.quantity),
        "algoStatus": algo.status,
        "actualOrderId": str(algo.order_id or ""),
        "triggerPrice": plain(request.trigger_price),
        "price": plain(request.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": request.working_type,
        "priceMatch": "NONE",
        "closePosition": request.close_position,
        "priceProtect": False,
        "reduceOnly": request.reduce_only,
        "createTime": algo.created_ms,
        "updateTime": algo.updated_ms,
        "triggerTime": algo.triggered_ms,
        "goodTillDate": 0,
    }


def algo_event(algo: AlgoOrder, at_ms: int, became: Order | None = None) -> Json:
    """ALGO_UPDATE."""
    request = algo.request
    body = {
        "caid": request.client_id,
        "aid": algo.algo_id,
        "at": "CONDITIONAL",
        "o": request.type,
        "s": request.symbol,
        "S": request.side,
        "ps": request.position_side,
        "f": request.time_in_force,
        "q": plain(request.quantity),
        "X": algo.status,
        "ai": str(algo.order_id or ""),
        "ap": plain(became.average_price, 5) if became else "0",
        "aq": plain(became.filled) if became else "0",
        "act": became.type if became else "0",
        "tp": plain(request.trigger_price),
        "p": plain(request.price),
        "V": "EXPIRE_MAKER",
        "wt": request.working_type,
        "pm": "NONE",
        "cp": request.close_position,
        "pP": False,
        "R": request.reduce_only,
        "tt": algo.triggered_ms,
        "gtd": 0,
        "rm": algo.reason,
    }
    return {"e": "ALGO_UPDATE", "E": at_ms, "T": at_ms, "o": body}


def account_event(
    account: VenueAccount,
    reason: str,
    symbols: list[str],
    marks: dict[str, Decimal],
    at_ms: int,
    changes: Mapping[str, Decimal],
) -> Json:
    """ACCOUNT_UPDATE; ``changes`` are those of each balance that are neither profit nor commission."""
    ledger = account.ledger
    balances = []
    for asset, change in changes.items():
        settles = asset == SETTLE
        wallet = ledger.wallet if settles else ledger.collateral.get(asset, ZERO)
        cross = ledger.cross_wallet if settles else wallet
        balances.append({"a": asset, "wb": plain(wallet, 8), "cw": plain(cross, 8), "bc": plain(change, 8)})
    positions = [
        {
            "s": position.symbol,
            "pa": plain(position.amount),
            "ep": plain(position.entry_price, 8),
            "bep": plain(break_even(position), 8),
            "cr": plain(position.realised, 8),
            "up": plain(position.unrealised(marks[position.symbol]), 8),
            "mt": position.margin_type,
            "iw": plain(position.isolated_wallet, 8),
            "ps": position.side,
        }
        for symbol in symbols
        for position in ledger.legs(symbol)
    ]
    return {"e": "ACCOUNT_UPDATE", "E": at_ms, "T": at_ms, "a": {"m": reason, "B": balances, "P": positions}}


def margin_call_event(
    account: VenueAccount,
    positions: list[Position],
    marks: dict[str, Decimal],
    table: BracketTable,
    at_ms: int,
) -> Json:
    """MARGIN_CALL for these positions."""
    return {
        "e": "MARGIN_CALL",
        "E": at_ms,
        "cw": plain(account.ledger.cross_wallet, 8),
        "p": [
            {
                "s": position.symbol,
                "ps": position.side,
                "pa": plain(position.amount),
                "mt": "ISOLATED" if position.is_isolated else "CROSSED",
                "iw": plain(position.isolated_wallet, 8),
                "mp": plain(marks[position.symbol]),
                "up": plain(position.unrealised(marks[position.symbol]), 8),
                "mm": plain(table.maintenance(abs(position.amount) * marks[position.symbol]), 8),
            }
            for position in positions
        ],
    }


def config_event(symbol: str, leverage: int, at_ms: int) -> Json:
    """ACCOUNT_CONFIG_UPDATE: the leverage of a symbol was changed."""
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": at_ms, "T": at_ms, "ac": {"s": symbol, "l": leverage}}


def break_even(position: Position) -> Decimal:
    """The price at which closing would pay for the commission of opening."""
    if not position.amount:
        return ZERO
    return (position.cost + position.fees) / position.amount


def fill_answer(fill: Fill) -> Json:
    """An execution, as userTrades lists it."""
    return {
        "symbol": fill.symbol,
        "id": fill.fill_id,
        "orderId": fill.order_id,
        "side": fill.side,
        "price": plain(fill.price),
        "qty": plain(fill.size),
        "quoteQty": plain(fill.price * fill.size),
        "realizedPnl": plain(fill.realised, 8),
        "commission": plain(fill.fee, 8),
        "commissionAsset": "USDT",
        "positionSide": fill.position_side,
        "buyer": fill.side == "BUY",
        "maker": fill.is_maker,
        "time": fill.at_ms,
    }
