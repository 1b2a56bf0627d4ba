"""The venue's private REST endpoints: what an account's owner may see and do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from adapters.simulation.account import VenueAccount
from adapters.simulation.account_answers import AccountAnswers
from adapters.simulation.engine import Engine
from adapters.simulation.errors import Refusal, illegal, missing, no_such_order
from adapters.simulation.ledger import MarginType, PositionSide
from adapters.simulation.orders import read_order
from adapters.simulation.payloads import algo_answer, fill_answer, order_answer, plain
from adapters.simulation.settings import LoopbackSettings

Parameters = Mapping[str, str]
PrivateHandler = Callable[[VenueAccount, Parameters], Any]

_DONE = {"code": 200, "msg": "The operation of cancel all open order is done."}
_MARGIN_TYPES = {
    "CROSSED": MarginType.CROSSED,
    "CROSS": MarginType.CROSSED,
    "ISOLATED": MarginType.ISOLATED,
}


class PrivateApi:
    """Signed endpoints; ``routes`` maps method and path to a function of account and parameters."""

    def __init__(self, engine: Engine, settings: LoopbackSettings, clock_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._settings = settings
        self._answers = AccountAnswers(engine.table, engine.assets, clock_ms)

    def routes(self) -> dict[tuple[str, str], PrivateHandler]:
        routes: dict[tuple[str, str], PrivateHandler] = {
            ("GET", "/fapi/v1/leverageBracket"): self.leverage_bracket,
            ("POST", "/fapi/v1/leverage"): self.leverage,
            ("POST", "/fapi/v1/marginType"): self.margin_type,
            ("POST", "/fapi/v1/positionMargin"): self.position_margin,
            ("GET", "/fapi/v1/positionSide/dual"): lambda account, _p: {
                "dualSidePosition": account.ledger.hedged
            },
            ("POST", "/fapi/v1/positionSide/dual"): self.position_side,
            ("GET", "/fapi/v1/multiAssetsMargin"): lambda account, _p: {
                "multiAssetsMargin": account.ledger.multi_assets
            },
            ("POST", "/fapi/v1/multiAssetsMargin"): self.multi_assets,
            ("GET", "/fapi/v1/adlQuantile"): self.adl_quantile,
            ("GET", "/fapi/v1/symbolConfig"): self.symbol_config,
            ("GET", "/fapi/v1/accountConfig"): self.account_config,
            ("GET", "/fapi/v1/commissionRate"): self.commission_rate,
            ("POST", "/fapi/v1/order"): self.post_order,
            ("GET", "/fapi/v1/order"): self.get_order,
            ("DELETE", "/fapi/v1/order"): self.delete_order,
            ("GET", "/fapi/v1/openOrder"): self.get_open_order,
            ("GET", "/fapi/v1/openOrders"): self.open_orders,
            ("GET", "/fapi/v1/allOrders"): self.all_orders,
            ("DELETE", "/fapi/v1/allOpenOrders"): self.delete_open_orders,
            ("POST", "/fapi/v1/algoOrder"): self.post_algo,
            ("GET", "/fapi/v1/algoOrder"): self.get_algo,
            ("DELETE", "/fapi/v1/algoOrder"): self.delete_algo,
            ("GET", "/fapi/v1/openAlgoOrders"): self.open_algos,
            ("GET", "/fapi/v1/allAlgoOrders"): self.all_algos,
            ("DELETE", "/fapi/v1/algoOpenOrders"): self.delete_open_algos,
            ("GET", "/fapi/v1/userTrades"): self.user_trades,
            ("GET", "/fapi/v1/income"): self.income,
            # What ccxt asks for when it loads markets with a key; nothing of it concerns perpetuals.
            ("GET", "/sapi/v1/capital/config/getall"): lambda _a, _p: [_USDT],
            ("GET", "/sapi/v1/margin/allPairs"): lambda _a, _p: [],
            ("GET", "/sapi/v1/margin/isolated/allPairs"): lambda _a, _p: [],
            ("GET", "/sapi/v1/account/apiRestrictions"): lambda account, _p: {
                "ipRestrict": True,
                "enableReading": True,
                "enableFutures": account.spec.key_may_trade,
                "enableSpotAndMarginTrading": False,
                "enableWithdrawals": False,
                "enableInternalTransfer": False,
                "permitsUniversalTransfer": False,
            },
        }
        for version in (1, 2, 3):
            routes["GET", f"/fapi/v{version}/positionRisk"] = self._versioned(self.position_risk, version)
            routes["GET", f"/fapi/v{version}/account"] = self._versioned(self.account, version)
            routes["GET", f"/fapi/v{version}/balance"] = self._versioned(self.balance, version)
        return routes

    # -- what there is -------------------------------------------------------------------------------

    def position_risk(self, account: VenueAccount, parameters: Parameters, version: int) -> Any:
        symbols = self._symbols(parameters)
        if version >= 3 and "symbol" not in parameters:
            # From version 3 on, the venue lists only what is held or ordered.
            symbols = [
                symbol
                for symbol in symbols
                if account.ledger.holds(symbol) or account.book.open_orders(symbol)
            ]
        marks = self._engine.marks
        legs = [leg for symbol in symbols for leg in account.ledger.legs(symbol)]
        return [self._answers.position_risk(account, leg, marks, version) for leg in legs]

    def account(self, account: VenueAccount, _: Parameters, version: int) -> Any:
        engine = self._engine
        return self._answers.account(account, list(engine.markets), engine.marks, version)

    def balance(self, account: VenueAccount, _: Parameters, version: int) -> Any:  # noqa: ARG002 - all alike
        return self._answers.balance(account, self._engine.marks)

    def leverage_bracket(self, _: VenueAccount, parameters: Parameters) -> Any:
        brackets = [
            {
                "bracket": bracket.number,
                "initialLeverage": bracket.tier.leverage_max,
                "notionalCap": int(bracket.tier.notional_cap),
                "notionalFloor": int(bracket.tier.notional_floor),
                "maintMarginRatio": float(bracket.tier.maintenance_rate),
                "cum": float(bracket.cum),
            }
            for bracket in self._engine.table.brackets
        ]
        return [{"symbol": symbol, "brackets": brackets} for symbol in self._symbols(parameters)]

    def symbol_config(self, account: VenueAccount, parameters: Parameters) -> Any:
        answers = []
        for symbol in self._symbols(parameters):
            position = account.ledger.position(symbol)
            answers.append(
                {
                    "symbol": symbol,
                    "marginType": "ISOLATED" if position.is_isolated else "CROSSED",
                    "isAutoAddMargin": False,
                    "leverage": position.leverage,
                    "maxNotionalValue": plain(self._engine.table.notional_max(position.leverage)),
                }
            )
        return answers

    def adl_quantile(self, account: VenueAccount, parameters: Parameters) -> Any:
        rows = []
        for symbol in self._symbols(parameters):
            if account.ledger.holds(symbol):
                ranks = {"LONG": 0, "SHORT": 0, ("HEDGE" if account.ledger.hedged else "BOTH"): 0}
                ranks |= {
                    leg.side.value: account.adl_rank(symbol)
                    for leg in account.ledger.legs(symbol)
                    if leg.amount
                }
                rows.append({"symbol": symbol, "adlQuantile": ranks})
        return rows

    def account_config(self, account: VenueAccount, _: Parameters) -> Any:
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "dualSidePosition": account.ledger.hedged,
            "updateTime": 0,
            "multiAssetsMargin": account.ledger.multi_assets,
            "tradeGroupId": -1,
        }

    def commission_rate(self, _: VenueAccount, parameters: Parameters) -> Any:
        return {
            "symbol": self._engine.market(parameters.get("symbol")).spec.symbol,
            "makerCommissionRate": plain(self._settings.maker_fee_ratio),
            "takerCommissionRate": plain(self._settings.taker_fee_ratio),
        }

    def user_trades(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol, order_id = parameters.get("symbol"), parameters.get("orderId")
        fills = [
            fill_answer(fill)
            for fill in account.fills
            if symbol in (None, fill.symbol) and order_id in (None, str(fill.order_id))
        ]
        return fills[-_limit(parameters) :]

    def income(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol, kind = parameters.get("symbol"), parameters.get("incomeType")
        rows = [
            {
                "symbol": income.symbol,
                "incomeType": income.kind,
                "income": plain(income.amount, 8),
                "asset": "USDT",
                "info": income.kind,
                "time": income.at_ms,
                "tranId": income.number,
                "tradeId": "",
            }
            for income in account.income
            if symbol in (None, income.symbol) and kind in (None, income.kind)
        ]
        return rows[-_limit(parameters) :]

    # -- settings of the account ---------------------------------------------------------------------

    def leverage(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol = self._engine.market(parameters.get("symbol")).spec.symbol
        text = parameters.get("leverage")
        if not text:
            raise missing("leverage")
        if not text.isdigit():
            raise Refusal(-4028, f"Leverage {text} is not valid")
        position = self._engine.set_leverage(account, symbol, int(text))
        limit = self._engine.table.notional_max(position.leverage)
        return {"leverage": position.leverage, "maxNotionalValue": plain(limit), "symbol": symbol}

    def margin_type(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol = self._engine.market(parameters.get("symbol")).spec.symbol
        wanted = _MARGIN_TYPES.get(parameters.get("marginType", "").upper())
        if wanted is None:
            raise illegal("marginType") if "marginType" in parameters else missing("marginType")
        self._engine.set_margin_type(account, symbol, wanted)
        return {"code": 200, "msg": "success"}

    def multi_assets(self, account: VenueAccount, parameters: Parameters) -> Any:
        wanted = parameters.get("multiAssetsMargin", "").lower()
        if wanted not in ("true", "false"):
            raise illegal("multiAssetsMargin") if wanted else missing("multiAssetsMargin")
        self._engine.set_multi_assets(account, wanted=wanted == "true")
        return {"code": 200, "msg": "success"}

    def position_margin(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol = self._engine.market(parameters.get("symbol")).spec.symbol
        try:
            amount = Decimal(parameters.get("amount", ""))
        except InvalidOperation as error:
            raise missing("amount") from error
        if not amount.is_finite() or amount <= 0 or parameters.get("type") not in ("1", "2"):
            raise illegal("amount" if parameters.get("type") in ("1", "2") else "type")
        kind = int(parameters["type"])
        side = parameters.get("positionSide", PositionSide.BOTH)
        if side not in list(PositionSide):
            raise illegal("positionSide")
        self._engine.move_margin(account, symbol, amount if kind == 1 else -amount, PositionSide(side))
        return {
            "amount": float(amount),
            "code": 200,
            "msg": "Successfully modify position margin.",
            "type": kind,
        }

    def position_side(self, account: VenueAccount, parameters: Parameters) -> Any:
        wanted = parameters.get("dualSidePosition", "").lower()
        if wanted not in ("true", "false"):
            raise illegal("dualSidePosition") if wanted else missing("dualSidePosition")
        self._engine.set_hedged(account, wanted=wanted == "true")
        return {"code": 200, "msg": "success"}

    # -- orders --------------------------------------------------------------------------------------

    def post_order(self, account: VenueAccount, parameters: Parameters) -> Any:
        spec = self._engine.market(parameters.get("symbol")).spec
        return order_answer(self._engine.place(account, read_order(parameters, spec, algo=False)))

    def get_order(self, account: VenueAccount, parameters: Parameters) -> Any:
        order = self._find(account, parameters)
        if order is None:
            raise no_such_order()
        return order_answer(order)

    def get_open_order(self, account: VenueAccount, parameters: Parameters) -> Any:
        order = self._find(account, parameters)
        if order is None or not order.is_open:
            raise no_such_order()
        return order_answer(order)

    def delete_order(self, account: VenueAccount, parameters: Parameters) -> Any:
        return order_answer(self._engine.cancel(account, self._find(account, parameters)))

    def open_orders(self, account: VenueAccount, parameters: Parameters) -> Any:
        return [order_answer(order) for order in account.book.open_orders(parameters.get("symbol"))]

    def all_orders(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol = self._engine.market(parameters.get("symbol")).spec.symbol
        orders = [order_answer(order) for order in account.book.orders.values() if order.symbol == symbol]
        return orders[-_limit(parameters) :]

    def delete_open_orders(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol = self._engine.market(parameters.get("symbol")).spec.symbol
        for order in account.book.open_orders(symbol):
            self._engine.cancel(account, order)
        return _DONE

    def post_algo(self, account: VenueAccount, parameters: Parameters) -> Any:
        if parameters.get("algoType") != "CONDITIONAL":
            raise illegal("algoType") if "algoType" in parameters else missing("algoType")
        spec = self._engine.market(parameters.get("symbol")).spec
        return algo_answer(self._engine.place_algo(account, read_order(parameters, spec, algo=True)))

    def get_algo(self, account: VenueAccount, parameters: Parameters) -> Any:
        algo = account.book.find_algo(parameters.get("algoId"), parameters.get("clientAlgoId"))
        if algo is None:
            raise no_such_order()
        return algo_answer(algo)

    def delete_algo(self, account: VenueAccount, parameters: Parameters) -> Any:
        found = account.book.find_algo(parameters.get("algoId"), parameters.get("clientAlgoId"))
        algo = self._engine.cancel_algo(account, found)
        return {
            "algoId": algo.algo_id,
            "clientAlgoId": algo.request.client_id,
            "code": "200",
            "msg": "success",
        }

    def open_algos(self, account: VenueAccount, parameters: Parameters) -> Any:
        return [algo_answer(algo) for algo in account.book.open_algos(parameters.get("symbol"))]

    def all_algos(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol = self._engine.market(parameters.get("symbol")).spec.symbol
        algos = [algo_answer(a) for a in account.book.algos.values() if a.request.symbol == symbol]
        return algos[-_limit(parameters) :]

    def delete_open_algos(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol = self._engine.market(parameters.get("symbol")).spec.symbol
        for algo in account.book.open_algos(symbol):
            self._engine.cancel_algo(account, algo)
        return _DONE

    # -- inside --------------------------------------------------------------------------------------

    def _find(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol = self._engine.market(parameters.get("symbol")).spec.symbol
        order_id, client_id = parameters.get("orderId"), parameters.get("origClientOrderId")
        if order_id is None and client_id is None:
            raise missing("orderId")
        return account.book.find(symbol, order_id, client_id)

    def _symbols(self, parameters: Parameters) -> list[str]:
        if "symbol" in parameters:
            return [self._engine.market(parameters["symbol"]).spec.symbol]
        return list(self._engine.markets)

    @staticmethod
    def _versioned(handler: Callable[[VenueAccount, Parameters, int], Any], version: int) -> PrivateHandler:
        return lambda account, parameters: handler(account, parameters, version)


_USDT = {
    "coin": "USDT",
    "depositAllEnable": True,
    "withdrawAllEnable": True,
    "name": "TetherUS",
    "free": "0",
    "locked": "0",
    "freeze": "0",
    "withdrawing": "0",
    "ipoing": "0",
    "ipoable": "0",
    "storage": "0",
    "isLegalMoney": False,
    "trading": True,
    "networkList": [],
}


def _limit(parameters: Parameters) -> int:
    text = parameters.get("limit", "500")
    if not text.isdigit() or not 0 < int(text) <= 1000:
        raise illegal("limit")
    return int(text)
