"""Markets, orders, positions and wallets as Bybit v5 spells them in REST answers and in streams."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from adapters.simulation.account import VenueAccount
from adapters.simulation.assets import SETTLE
from adapters.simulation.engine import Engine
from adapters.simulation.ledger import MarginType
from adapters.simulation.margin import ZERO
from adapters.simulation.markets import Market
from adapters.simulation.orders import AlgoOrder, Fill, Order, OrderRequest, OrderStatus, OrderType, Side
from adapters.simulation.payloads import plain
from adapters.simulation.wire import TradeEvent

Json = dict[str, Any]

_STATUS = {
    OrderStatus.NEW: "New",
    OrderStatus.PARTIALLY_FILLED: "PartiallyFilled",
    OrderStatus.FILLED: "Filled",
    OrderStatus.CANCELED: "Cancelled",
    OrderStatus.EXPIRED: "Cancelled",
    OrderStatus.REJECTED: "Rejected",
    OrderStatus.TRIGGERED: "Triggered",
    OrderStatus.FINISHED: "Triggered",
}
_TIMES_IN_FORCE = {"GTX": "PostOnly"}


def side_name(side: Side) -> str:
    return "Buy" if side is Side.BUY else "Sell"


def trade_row(symbol: str, event: TradeEvent) -> Json:
    """A trade in ``publicTrade``; ``S`` is the taker's side."""
    return {
        "T": event.T,
        "s": symbol,
        "S": "Sell" if event.m else "Buy",
        "v": event.q,
        "p": event.p,
        "L": "ZeroPlusTick",
        "i": f"{event.t or event.a}",
        "BT": False,
        "RPI": False,
        "seq": event.t or event.a,
    }


def ticker(market: Market, next_funding_ms: int) -> Json:
    """The whole ticker of a market."""
    bid, ask = market.book.bids.best() or ("", ""), market.book.asks.best() or ("", "")
    candles = list(market.candles.values())[-1440:]
    volume = sum((candle.size for candle in candles), ZERO)
    turnover = sum((candle.volume for candle in candles), ZERO)
    return {
        "symbol": market.spec.symbol,
        "tickDirection": "ZeroPlusTick",
        "price24hPcnt": "0",
        "lastPrice": plain(market.last),
        "prevPrice24h": plain(candles[0].open if candles else market.last),
        "highPrice24h": plain(max((candle.high for candle in candles), default=market.last)),
        "lowPrice24h": plain(min((candle.low for candle in candles), default=market.last)),
        "prevPrice1h": plain(market.last),
        "markPrice": plain(market.mark),
        "indexPrice": plain(market.index),
        "openInterest": plain(market.open_interest, 3),
        "openInterestValue": plain(market.open_interest * market.mark, 2),
        "turnover24h": plain(turnover, 4),
        "volume24h": plain(volume, 4),
        "nextFundingTime": str(next_funding_ms),
        "fundingRate": plain(market.funding_rate),
        "bid1Price": bid[0],
        "bid1Size": bid[1],
        "ask1Price": ask[0],
        "ask1Size": ask[1],
    }


def instrument(market: Market, *, leverage_max: int, status: str) -> Json:
    """A row of instruments-info."""
    spec = market.spec
    return {
        "symbol": spec.symbol,
        "contractType": "LinearPerpetual",
        "status": status,
        "baseCoin": spec.base,
        "quoteCoin": spec.quote,
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{leverage_max}.00",
            "leverageStep": "0.01",
        },
        "priceFilter": {"minPrice": plain(spec.tick), "maxPrice": "4529764", "tickSize": plain(spec.tick)},
        "lotSizeFilter": {
            "maxOrderQty": "1000000",
            "minOrderQty": plain(spec.step),
            "qtyStep": plain(spec.step),
            "postOnlyMaxOrderQty": "1000000",
            "maxMktOrderQty": "1000000",
            "minNotionalValue": plain(spec.notional_min),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": spec.quote,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
    }


def order_row(order: Order) -> Json:
    """An ordinary order."""
    trigger = order.origin is not None
    return {
        "category": "linear",
        "symbol": order.symbol,
        "orderId": order_id(order),
        "orderLinkId": "" if order.client_id.startswith("loopback-") else order.client_id,
        "blockTradeId": "",
        "side": side_name(order.side),
        "positionIdx": 0,
        "orderStatus": _status(order),
        "createType": "CreateByLiq" if order.type is OrderType.LIQUIDATION else "CreateByUser",
        "cancelType": "UNKNOWN" if order.status is not OrderStatus.CANCELED else "CancelByUser",
        "rejectReason": "EC_NoError",
        "timeInForce": _TIMES_IN_FORCE.get(order.time_in_force, order.time_in_force),
        "isLeverage": "",
        "price": plain(order.price),
        "qty": plain(order.quantity),
        "avgPrice": plain(order.average_price, 5) if order.filled else "",
        "leavesQty": plain(order.remaining if order.is_open else ZERO),
        "leavesValue": plain(order.remaining * order.price if order.is_open else ZERO),
        "cumExecQty": plain(order.filled),
        "cumExecValue": plain(order.filled_quote, 5),
        "cumExecFee": "0",
        "orderType": "Limit" if order.type is OrderType.LIMIT else "Market",
        "stopOrderType": "Stop" if trigger else "",
        "triggerPrice": plain(order.stop_price) if trigger else "",
        "triggerDirection": 0,
        "triggerBy": _triggered_by(order.working_type) if trigger else "",
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": order.close_position,
        "takeProfit": "",
        "stopLoss": "",
        "tpslMode": "",
        "smpType": "None",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
    }


def algo_row(algo: AlgoOrder) -> Json:
    """A conditional order that waits for its trigger, or has stopped to wait."""
    request = algo.request
    return {
        "category": "linear",
        "symbol": request.symbol,
        "orderId": algo_id(algo),
        "orderLinkId": request.client_id,
        "blockTradeId": "",
        "side": side_name(request.side),
        "positionIdx": 0,
        "orderStatus": _algo_status(algo),
        "createType": "CreateByUser",
        "cancelType": "UNKNOWN",
        "rejectReason": "EC_NoError",
        "timeInForce": _TIMES_IN_FORCE.get(request.time_in_force, request.time_in_force)
        if request.type.is_priced
        else "IOC",
        "price": plain(request.price),
        "qty": plain(request.quantity),
        "avgPrice": "",
        "leavesQty": plain(request.quantity if algo.is_open else ZERO),
        "leavesValue": "0",
        "cumExecQty": "0",
        "cumExecValue": "0",
        "cumExecFee": "0",
        "orderType": "Limit" if request.type.is_priced else "Market",
        # One that closes whatever is open then is what a position's own stop loss or take profit is at Bybit.
        "stopOrderType": _stop_kind(request),
        "triggerPrice": plain(request.trigger_price),
        "triggerDirection": 1 if _rises(request) else 2,
        "triggerBy": _triggered_by(request.working_type),
        "reduceOnly": request.reduce_only,
        "closeOnTrigger": request.close_position,
        "takeProfit": "",
        "stopLoss": "",
        "tpslMode": "Full" if request.close_position else "",
        "smpType": "None",
        "createdTime": str(algo.created_ms),
        "updatedTime": str(algo.updated_ms),
    }


def order_id(order: Order) -> str:
    return str(order.order_id)


def algo_id(algo: AlgoOrder) -> str:
    """Ids of conditional orders share one space with those of others; the engine numbers them apart."""
    return f"c{algo.algo_id}"


def execution_row(order: Order, fill: Fill) -> Json:
    """A row of the ``execution`` stream."""
    return {
        "category": "linear",
        "symbol": fill.symbol,
        "execId": str(fill.fill_id),
        "orderId": order_id(order),
        "orderLinkId": order.client_id,
        "side": side_name(fill.side),
        "execPrice": plain(fill.price),
        "execQty": plain(fill.size),
        "execValue": plain(fill.price * fill.size),
        "execFee": plain(fill.fee, 8),
        "execType": "BustTrade" if order.type is OrderType.LIQUIDATION else "Trade",
        "execTime": str(fill.at_ms),
        "isMaker": fill.is_maker,
        "orderPrice": plain(order.price),
        "orderQty": plain(order.quantity),
        "leavesQty": plain(order.remaining),
        "orderType": "Limit" if order.type is OrderType.LIMIT else "Market",
        "stopOrderType": "UNKNOWN",
        "closedSize": "0",
        "feeRate": "",
        "seq": fill.fill_id,
    }


def position_row(engine: Engine, account: VenueAccount, symbol: str) -> Json:
    """A position; a flat one has an empty side. The liquidation price is empty where there is none."""
    ledger, marks, table = account.ledger, engine.marks, engine.table
    position, mark = ledger.position(symbol), marks[symbol]
    size, notional = abs(position.amount), abs(position.amount) * mark
    liquidation = ledger.liquidation_price(symbol, marks, table)
    side = "" if not position.amount else "Buy" if position.amount > ZERO else "Sell"
    entry = plain(position.entry_price, 8) if position.amount else "0"
    return {
        "positionIdx": 0,
        "riskId": 1,
        "riskLimitValue": plain(table.notional_max(position.leverage)),
        "symbol": symbol,
        "side": side,
        "size": plain(size),
        "avgPrice": entry,
        "entryPrice": entry,
        "positionValue": plain(abs(position.cost), 8),
        "tradeMode": 0,
        "autoAddMargin": 0,
        "positionStatus": "Normal",
        "leverage": str(position.leverage),
        "markPrice": plain(mark),
        "liqPrice": plain(liquidation, 8) if liquidation else "",
        "bustPrice": "",
        "positionIM": plain(position.initial_margin(mark), 8),
        "positionMM": plain(table.maintenance(notional), 8) if position.amount else "0",
        "positionBalance": plain(position.isolated_wallet, 8) if position.is_isolated else "",
        "tpslMode": "Full",
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "0",
        "unrealisedPnl": plain(position.unrealised(mark), 8) if position.amount else "",
        "curRealisedPnl": plain(position.realised, 8),
        "cumRealisedPnl": plain(position.realised, 8),
        "adlRankIndicator": 1 if position.amount else 0,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": str(position.updated_ms),
        "updatedTime": str(position.updated_ms),
        "seq": position.updated_ms,
    }


def wallet_row(engine: Engine, account: VenueAccount) -> Json:
    """A unified account, USD over all coins. In isolated mode the venue tells no account-wide margin."""
    ledger, marks, assets = account.ledger, engine.marks, engine.assets
    usdt = assets.price(SETTLE)
    held = [position for position in ledger.positions.values() if position.amount]
    reserved = account.reserved()
    initial = sum((p.initial_margin(marks[p.symbol]) for p in held), ZERO)
    maintenance = sum((engine.table.maintenance(abs(p.amount) * marks[p.symbol]) for p in held), ZERO)
    whole = sum((assets.price(coin) * amount for coin, amount in ledger.collateral.items()), ZERO)
    margin = ledger.equity(marks)
    isolated = margin_type_of(account) is MarginType.ISOLATED

    def account_wide(value: Decimal) -> str:
        return "" if isolated else plain(value * usdt, 8)

    def rate(value: Decimal) -> str:
        return "" if isolated else plain(value / margin if margin > ZERO else ZERO, 8)

    contracts = {
        "totalOrderIM": plain(reserved, 8),
        "totalPositionIM": plain(initial, 8),
        "totalPositionMM": plain(maintenance, 8),
        "unrealisedPnl": plain(ledger.unrealised(marks), 8),
        "cumRealisedPnl": plain(ledger.realised, 8),
    }
    others = (_coin(coin, amount, amount * assets.price(coin)) for coin, amount in ledger.collateral.items())
    equity = ledger.wallet + ledger.unrealised(marks)
    return {
        "accountType": "UNIFIED",
        "accountLTV": "",
        "accountIMRate": rate(initial + reserved),
        "accountMMRate": rate(maintenance),
        "totalEquity": plain(equity * usdt + whole, 8),
        "totalWalletBalance": plain(ledger.wallet * usdt + whole, 8),
        "totalMarginBalance": account_wide(margin),
        "totalAvailableBalance": account_wide(ledger.available(marks, reserved)),
        "totalPerpUPL": plain(ledger.unrealised(marks) * usdt, 8),
        "totalInitialMargin": account_wide(initial + reserved),
        "totalMaintenanceMargin": account_wide(maintenance),
        "coin": [
            _coin(SETTLE, equity, equity * usdt) | contracts | {"walletBalance": plain(ledger.wallet, 8)},
            *others,
        ],
    }


def _coin(coin: str, equity: Decimal, value_usd: Decimal) -> Json:
    """A coin of a wallet in which contracts are not settled."""
    return {
        "coin": coin,
        "equity": plain(equity, 8),
        "usdValue": plain(value_usd, 8),
        "walletBalance": plain(equity, 8),
        "locked": "0",
        "borrowAmount": "0",
        "accruedInterest": "0",
        "totalOrderIM": "0",
        "totalPositionIM": "0",
        "totalPositionMM": "0",
        "unrealisedPnl": "0",
        "cumRealisedPnl": "0",
        "bonus": "0",
        "spotHedgingQty": "0",
        "marginCollateral": True,
        "collateralSwitch": True,
        "availableToWithdraw": "",
        "availableToBorrow": "",
    }


def margin_type_of(account: VenueAccount) -> MarginType:
    """The account's one margin mode: a unified account has no mode of single positions."""
    positions = account.ledger.positions.values()
    return MarginType.ISOLATED if any(position.is_isolated for position in positions) else MarginType.CROSSED


def _status(order: Order) -> str:
    if order.status is OrderStatus.CANCELED and order.filled:
        return "PartiallyFilledCanceled"
    return _STATUS[order.status]


def _algo_status(algo: AlgoOrder) -> str:
    if algo.is_open:
        return "Untriggered"
    return "Deactivated" if algo.status is OrderStatus.CANCELED else _STATUS[algo.status]


def _stop_kind(request: OrderRequest) -> str:
    if not request.close_position:
        return "Stop"
    return "StopLoss" if request.type.is_stop else "TakeProfit"


def _rises(request: OrderRequest) -> bool:
    return (request.side is Side.BUY) == request.type.is_stop


def _triggered_by(working_type: str) -> str:
    return "MarkPrice" if working_type == "MARK_PRICE" else "LastPrice"
