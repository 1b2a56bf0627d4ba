"""Accounts as Hyperliquid's answers and channels spell them: by address, whole states, USDC."""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal
from typing import Any

from adapters.simulation.account import VenueAccount
from adapters.simulation.hyperliquid.market_payloads import coin_of, leverage_max
from adapters.simulation.ledger import Position
from adapters.simulation.margin import ZERO, BracketTable
from adapters.simulation.markets import Market
from adapters.simulation.orders import AlgoOrder, Fill, Order, OrderType, Side
from adapters.simulation.payloads import plain
from adapters.simulation.settings import VenueAccountSpec

Json = dict[str, Any]
Marks = dict[str, Decimal]

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_TYPES = {
    OrderType.LIMIT: "Limit",
    OrderType.MARKET: "Market",
    OrderType.STOP: "Stop Limit",
    OrderType.STOP_MARKET: "Stop Market",
    OrderType.TAKE_PROFIT: "Take Profit Limit",
    OrderType.TAKE_PROFIT_MARKET: "Take Profit Market",
}
_SLIPPAGE = Decimal("0.1")
"""A trigger that becomes a market order carries a limit so far away."""


def address_of(spec: VenueAccountSpec) -> str:
    """The address of an account: its key, if that is one, else one made from its name.

    >>> address_of(VenueAccountSpec("main", "key", "secret"))
    '0x0d6e4079e36703ebd37c00722f5891d28b0e2811'
    """
    if is_address(spec.api_key):
        return spec.api_key.lower()
    return f"0x{hashlib.sha256(spec.name.encode()).hexdigest()[:40]}"


def is_address(text: str) -> bool:
    """Whether this is an address at all."""
    return _ADDRESS.fullmatch(text) is not None


def empty_state(at_ms: int) -> Json:
    """The state of an address that never deposited."""
    summary = {"accountValue": "0.0", "totalNtlPos": "0.0", "totalRawUsd": "0.0", "totalMarginUsed": "0.0"}
    return {
        "marginSummary": summary,
        "crossMarginSummary": summary,
        "crossMaintenanceMarginUsed": "0.0",
        "withdrawable": "0.0",
        "assetPositions": [],
        "time": at_ms,
    }


def state(account: VenueAccount, markets: dict[str, Market], table: BracketTable, at_ms: int) -> Json:
    """``clearinghouseState``."""
    ledger = account.ledger
    marks = {symbol: market.mark for symbol, market in markets.items()}
    held = [position for position in ledger.positions.values() if position.amount]
    cross = [position for position in held if not position.is_isolated]
    cross_value = ledger.cross_wallet + ledger.unrealised_cross(marks)
    return {
        "marginSummary": _summary(ledger.equity(marks), held, marks),
        "crossMarginSummary": _summary(cross_value, cross, marks),
        "crossMaintenanceMarginUsed": plain(ledger.cross_health(marks, table).maintenance, 6),
        "withdrawable": plain(ledger.available(marks, account.reserved()), 6),
        "assetPositions": [
            {"type": "oneWay", "position": _position(account, position, markets, marks, table)}
            for position in held
        ],
        "time": at_ms,
    }


def _summary(value: Decimal, positions: list[Position], marks: Marks) -> Json:
    notional = sum((abs(each.amount) * marks[each.symbol] for each in positions), ZERO)
    signed = sum((each.amount * marks[each.symbol] for each in positions), ZERO)
    used = sum((each.initial_margin(marks[each.symbol]) for each in positions), ZERO)
    return {
        "accountValue": plain(value, 6),
        "totalNtlPos": plain(notional, 6),
        "totalRawUsd": plain(value - signed, 6),
        "totalMarginUsed": plain(used, 6),
    }


def _position(
    account: VenueAccount,
    position: Position,
    markets: dict[str, Market],
    marks: Marks,
    table: BracketTable,
) -> Json:
    mark = marks[position.symbol]
    unrealised = position.unrealised(mark)
    liquidation_price = account.ledger.liquidation_price(position.symbol, marks, table)
    leverage: Json = {"type": "isolated" if position.is_isolated else "cross", "value": position.leverage}
    margin = position.initial_margin(mark)
    if position.is_isolated:
        margin = position.isolated_wallet + unrealised
        leverage["rawUsd"] = plain(margin - position.amount * mark, 6)
    return {
        "coin": coin_of(markets[position.symbol].spec),
        "szi": plain(position.amount),
        "entryPx": plain(position.entry_price, 8),
        "positionValue": plain(abs(position.amount) * mark, 6),
        "unrealizedPnl": plain(unrealised, 6),
        "returnOnEquity": plain(unrealised / margin if margin else ZERO, 8),
        "leverage": leverage,
        "liquidationPx": plain(liquidation_price, 6) if liquidation_price else None,
        "marginUsed": plain(margin, 6),
        "maxLeverage": leverage_max(table),
        "cumFunding": {"allTime": "0.0", "sinceOpen": "0.0", "sinceChange": "0.0"},
    }


def open_orders(account: VenueAccount, markets: dict[str, Market]) -> list[Json]:
    """``frontendOpenOrders``: resting orders, then triggers."""
    resting = [_order(order, markets) for order in account.book.open_orders()]
    return [*resting, *(_trigger(algo, markets) for algo in account.book.open_algos())]


def _order(order: Order, markets: dict[str, Market]) -> Json:
    return {
        **basic_order(order, markets),
        "triggerCondition": "N/A",
        "isTrigger": False,
        "triggerPx": "0.0",
        "children": [],
        "isPositionTpsl": False,
        "reduceOnly": order.reduce_only,
        "orderType": _TYPES.get(order.type, "Limit"),
        "tif": "Gtc",
    }


def _trigger(algo: AlgoOrder, markets: dict[str, Market]) -> Json:
    request = algo.request
    rises = (request.side is Side.BUY) == request.type.is_stop
    price = request.price or request.trigger_price * (1 + _SLIPPAGE * request.side.sign)
    return {
        **basic_trigger(algo, markets),
        "limitPx": plain(price),
        "triggerCondition": f"Price {'above' if rises else 'below'} {plain(request.trigger_price)}",
        "isTrigger": True,
        "triggerPx": plain(request.trigger_price),
        "children": [],
        "isPositionTpsl": request.close_position,
        "reduceOnly": request.reduce_only or request.close_position,
        "orderType": _TYPES[request.type],
        "tif": None,
    }


def basic_order(order: Order, markets: dict[str, Market]) -> Json:
    """An order as ``orderUpdates`` tells it."""
    return {
        "coin": coin_of(markets[order.symbol].spec),
        "side": _side(order.side),
        "limitPx": plain(order.price or order.average_price),
        "sz": plain(order.remaining),
        "oid": order.order_id,
        "timestamp": order.created_ms,
        "origSz": plain(order.quantity),
        "cloid": None,
    }


def basic_trigger(algo: AlgoOrder, markets: dict[str, Market]) -> Json:
    """A trigger as ``orderUpdates`` tells it: nothing in it says that it is one."""
    request = algo.request
    return {
        "coin": coin_of(markets[request.symbol].spec),
        "side": _side(request.side),
        "limitPx": plain(request.price or request.trigger_price),
        "sz": plain(request.quantity),
        "oid": algo.algo_id,
        "timestamp": algo.created_ms,
        "origSz": plain(request.quantity),
        "cloid": None,
    }


def fill(account: VenueAccount, done: Fill, markets: dict[str, Market], address: str) -> Json:
    """A fill as ``userFills`` tells it; one of the venue's own orders says whom it liquidated."""
    order = account.book.orders.get(done.order_id)
    amount = account.ledger.position(done.symbol).amount
    start = amount - done.size * done.side.sign
    opens = start * done.side.sign >= ZERO
    long = (done.side is Side.BUY) == opens
    answer: Json = {
        "coin": coin_of(markets[done.symbol].spec),
        "px": plain(done.price),
        "sz": plain(done.size),
        "side": _side(done.side),
        "time": done.at_ms,
        "startPosition": plain(start),
        "dir": f"{'Open' if opens else 'Close'} {'Long' if long else 'Short'}",
        "closedPnl": plain(done.realised, 6),
        "hash": f"0x{done.fill_id:064x}",
        "oid": done.order_id,
        "crossed": not done.is_maker,
        "fee": plain(done.fee, 6),
        "tid": done.fill_id,
        "feeToken": "USDC",
    }
    if order is not None and order.type is OrderType.LIQUIDATION:
        mark = plain(markets[done.symbol].mark)
        answer["liquidation"] = {"liquidatedUser": address, "markPx": mark, "method": "market"}
    return answer


def _side(side: Side) -> str:
    return "B" if side is Side.BUY else "A"
