"""The venue's private REST endpoints as Bybit v5: a unified account, one-way positions, orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adapters.simulation.account import VenueAccount
from adapters.simulation.bybit.payloads import (
    algo_id,
    algo_row,
    margin_type_of,
    order_id,
    order_row,
    position_row,
    wallet_row,
)
from adapters.simulation.bybit.rest_public import PARAMETER_ERROR, PublicApi
from adapters.simulation.dialects import VenueParts
from adapters.simulation.errors import Refusal, unknown_order
from adapters.simulation.ledger import MarginType
from adapters.simulation.orders import AlgoOrder, Order, read_order

Parameters = Mapping[str, Any]
PrivateHandler = Callable[[VenueAccount, Parameters], Any]

ORDERS_PAGE = 50
_MARGIN_MODES = {"REGULAR_MARGIN": MarginType.CROSSED, "ISOLATED_MARGIN": MarginType.ISOLATED}
_TIMES_IN_FORCE = {"PostOnly": "GTX"}


class PrivateApi:
    """Signed endpoints; ``routes`` maps method and path to a function of account and parameters."""

    def __init__(self, parts: VenueParts, public: PublicApi) -> None:
        self._engine = parts.engine
        self._public = public
        self._clock_ms = parts.clock_ms

    def routes(self) -> dict[tuple[str, str], PrivateHandler]:
        return {
            ("GET", "/v5/user/query-api"): self.query_api,
            ("GET", "/v5/account/info"): self.account_info,
            ("GET", "/v5/account/wallet-balance"): self.wallet_balance,
            ("GET", "/v5/asset/coin/query-info"): lambda _a, _p: {"rows": []},
            ("GET", "/v5/position/list"): self.positions,
            ("GET", "/v5/order/realtime"): self.open_orders,
            ("POST", "/v5/order/create"): self.create_order,
            ("POST", "/v5/order/cancel"): self.cancel_order,
            ("POST", "/v5/order/cancel-all"): self.cancel_all,
            ("POST", "/v5/position/set-leverage"): self.set_leverage,
            ("POST", "/v5/account/set-margin-mode"): self.set_margin_mode,
        }

    def query_api(self, account: VenueAccount, _: Parameters) -> Any:
        return {
            "id": "1",
            "note": account.spec.name,
            "apiKey": account.spec.api_key,
            "readOnly": 0,
            "secret": "",
            "permissions": {
                "ContractTrade": ["Order", "Position"],
                "Spot": ["SpotTrade"],
                "Wallet": ["AccountTransfer"],
                "Options": [],
                "Derivatives": ["DerivativesTrade"],
                "CopyTrading": [],
                "BlockTrade": [],
                "Exchange": [],
                "NFT": [],
                "Affiliate": [],
                "Earn": [],
            },
            "ips": ["*"],
            "type": 1,
            "deadlineDay": 83,
            "expiredAt": "2099-01-01T00:00:00Z",
            "createdAt": "2024-01-01T00:00:00Z",
            "unified": 0,
            "uta": 1,
            "userID": 1,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_DEFAULT",
            "kycRegion": "",
        }

    def account_info(self, account: VenueAccount, _: Parameters) -> Any:
        isolated = margin_type_of(account) is MarginType.ISOLATED
        return {
            "marginMode": "ISOLATED_MARGIN" if isolated else "REGULAR_MARGIN",
            "updatedTime": str(self._clock_ms()),
            "unifiedMarginStatus": 6,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    def wallet_balance(self, account: VenueAccount, parameters: Parameters) -> Any:
        if parameters.get("accountType") != "UNIFIED":
            raise Refusal(PARAMETER_ERROR, "accountType only support UNIFIED.")
        return {"list": [wallet_row(self._engine, account)]}

    def positions(self, account: VenueAccount, parameters: Parameters) -> Any:
        """What is held; of a symbol that is asked for, also that nothing is."""
        if parameters.get("category") == "inverse":
            symbols: list[str] = []
        elif "symbol" in parameters:
            symbols = [self._public.market(parameters).spec.symbol]
        elif "settleCoin" in parameters:
            symbols = [
                symbol
                for symbol, market in self._engine.markets.items()
                if account.ledger.position(symbol).amount
                and market.spec.quote == parameters["settleCoin"]
                and parameters.get("category") == "linear"
            ]
        else:
            raise Refusal(
                PARAMETER_ERROR, "Missing some parameters that must be filled in, symbol or settleCoin"
            )
        rows = [position_row(self._engine, account, symbol) for symbol in symbols]
        return {"category": parameters.get("category", ""), "list": rows, "nextPageCursor": ""}

    def open_orders(self, account: VenueAccount, parameters: Parameters) -> Any:
        """Open orders, newest first, conditional ones too, in pages."""
        if parameters.get("category") != "linear":
            return {"category": parameters.get("category", ""), "list": [], "nextPageCursor": ""}
        symbol = parameters.get("symbol")
        rows = [order_row(order) for order in account.book.open_orders(symbol)]
        rows += [algo_row(algo) for algo in account.book.open_algos(symbol)]
        rows.sort(key=lambda row: str(row["createdTime"]), reverse=True)
        limit = min(int(parameters.get("limit", "20")), ORDERS_PAGE)
        first = int(parameters.get("cursor") or "0")
        cursor = str(first + limit) if first + limit < len(rows) else ""
        return {"category": "linear", "list": rows[first : first + limit], "nextPageCursor": cursor}

    def create_order(self, account: VenueAccount, parameters: Parameters) -> Any:
        spec = self._public.market(parameters).spec
        conditional = bool(parameters.get("triggerPrice"))
        request = read_order(_as_engine_reads(parameters), spec, algo=conditional)
        if conditional:
            algo = self._engine.place_algo(account, request)
            return {"orderId": algo_id(algo), "orderLinkId": request.client_id}
        order = self._engine.place(account, request)
        return {"orderId": order_id(order), "orderLinkId": request.client_id}

    def cancel_order(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol = self._public.market(parameters).spec.symbol
        asked, link = parameters.get("orderId"), parameters.get("orderLinkId")
        found: Order | AlgoOrder | None = account.book.find(symbol, asked, link)
        if found is None and isinstance(asked, str):
            found = account.book.find_algo(asked.removeprefix("c"), link)
        match found:
            case Order():
                self._engine.cancel(account, found)
                return {"orderId": order_id(found), "orderLinkId": found.client_id}
            case AlgoOrder():
                self._engine.cancel_algo(account, found)
                return {"orderId": algo_id(found), "orderLinkId": found.request.client_id}
            case _:
                raise unknown_order()

    def cancel_all(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol = self._public.market(parameters).spec.symbol if "symbol" in parameters else None
        gone = []
        for order in account.book.open_orders(symbol):
            self._engine.cancel(account, order)
            gone.append({"orderId": order_id(order), "orderLinkId": order.client_id})
        for algo in account.book.open_algos(symbol):
            self._engine.cancel_algo(account, algo)
            gone.append({"orderId": algo_id(algo), "orderLinkId": algo.request.client_id})
        return {"list": gone, "success": "1"}

    def set_leverage(self, account: VenueAccount, parameters: Parameters) -> Any:
        symbol = self._public.market(parameters).spec.symbol
        text = str(parameters.get("buyLeverage", ""))
        whole = text.partition(".")[0]
        if not whole.isdigit() or parameters.get("sellLeverage") != parameters.get("buyLeverage"):
            raise Refusal(PARAMETER_ERROR, "params error: leverage invalid")
        if account.ledger.position(symbol).leverage == int(whole):
            raise Refusal(110043, "leverage not modified")
        self._engine.set_leverage(account, symbol, int(whole))
        return {}

    def set_margin_mode(self, account: VenueAccount, parameters: Parameters) -> Any:
        """Set the mode of the whole account: no position and no order may be open, in any market."""
        wanted = _MARGIN_MODES.get(str(parameters.get("setMarginMode")))
        if wanted is None:
            raise Refusal(PARAMETER_ERROR, "params error: setMarginMode invalid")
        ledger, book = account.ledger, account.book
        if any(position.amount for position in ledger.positions.values()):
            raise Refusal(3400045, "Set margin mode failed: positions are open")
        if book.open_orders() or book.open_algos():
            raise Refusal(3400045, "Set margin mode failed: orders are open")
        for symbol in self._engine.markets:
            ledger.position(symbol).margin_type = wanted
        return {"reasons": []}


def _as_engine_reads(parameters: Parameters) -> dict[str, str]:
    """Bybit's parameters of an order under the names by which the engine checks them."""
    side, kind = str(parameters.get("side", "")).upper(), str(parameters.get("orderType", "")).upper()
    read = {
        "symbol": str(parameters.get("symbol", "")),
        "side": side,
        "type": kind,
        "quantity": str(parameters.get("qty", "")),
        "reduceOnly": str(parameters.get("reduceOnly", False)).lower(),
    }
    in_force = str(parameters.get("timeInForce") or "GTC")
    if kind == "LIMIT":
        read["price"] = str(parameters.get("price", ""))
        read["timeInForce"] = _TIMES_IN_FORCE.get(in_force, in_force)
    link = str(parameters.get("orderLinkId") or "")
    read["newClientOrderId"] = read["clientAlgoId"] = link
    trigger = parameters.get("triggerPrice")
    if trigger:
        rises = str(parameters.get("triggerDirection")) == "1"
        stops = rises == (side == "BUY")
        read["type"] = ("STOP" if stops else "TAKE_PROFIT") + ("" if kind == "LIMIT" else "_MARKET")
        read["triggerPrice"] = str(trigger)
        by_mark = parameters.get("triggerBy") == "MarkPrice"
        read["workingType"] = "MARK_PRICE" if by_mark else "CONTRACT_PRICE"
    return read
