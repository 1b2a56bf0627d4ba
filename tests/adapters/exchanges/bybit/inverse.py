"""Bybit with an account in perpetual, dated and inverse contracts: just what is asked for that."""

from __future__ import annotations

from typing import Any

from tests.adapters.exchanges.bybit.payloads import fixture
from tests.support.answer_server import Asked

DATED, INVERSE, INVERSE_DATED = "BTCUSDT-25DEC26", "BTCUSD", "BTCUSDZ26"


def answer(path: str, asked: Asked) -> Any:
    """Answer one request."""
    answers = {
        "/v5/market/time": _time,
        "/v5/market/instruments-info": _instruments,
        "/v5/account/info": _account,
        "/v5/account/wallet-balance": lambda _: fixture("wallet_balance"),
        "/v5/position/list": _positions,
        "/v5/market/risk-limit": _risk_limits,
    }
    return answers[path](asked) if path in answers else None


def _time(asked: Asked) -> Any:
    del asked
    return _result({"timeSecond": "1800000000", "timeNano": "1800000000000000000"})


def _instruments(asked: Asked) -> Any:
    rows = [_instrument("BTCUSDT"), _instrument(DATED)]
    listed = rows if asked.get("status", "Trading") == "Trading" else []
    return _result({"category": "linear", "list": listed, "nextPageCursor": ""})


def _account(asked: Asked) -> Any:
    """Unified, of the version that holds inverse contracts too."""
    del asked
    response = fixture("account_info")
    response["result"]["unifiedMarginStatus"] = 6
    return response


def _result(result: Any) -> Any:
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1_800_000_000_000}


def _instrument(code: str) -> dict[str, Any]:
    dated = "-" in code
    return {
        "symbol": code,
        "contractType": "LinearFutures" if dated else "LinearPerpetual",
        "status": "Trading",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "launchTime": "1585526400000",
        "deliveryTime": "1798185600000" if dated else "0",
        "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
        "lotSizeFilter": {"maxOrderQty": "1190", "minOrderQty": "0.001", "qtyStep": "0.001"},
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
    }


def _positions(asked: Asked) -> Any:
    if asked["category"] == "inverse":
        response = fixture("position_list_inverse")
        (row,) = response["result"]["list"]
        response["result"]["list"] = [row, {**row, "symbol": INVERSE_DATED}]
        return response
    response = fixture("position_list")
    rows = response["result"]["list"][:1] if asked["settleCoin"] == "USDT" else []
    response["result"] |= {
        "category": "linear",
        "list": [*rows, *({**row, "symbol": DATED} for row in rows)],
        "nextPageCursor": "",
    }
    return response


def _risk_limits(asked: Asked) -> Any:
    """Of linear contracts as documented; of inverse ones in coins and, as documented for these, in percent."""
    if asked["category"] == "linear":
        rows = fixture("risk_limit")["result"]["list"]
        listed = [{**row, "symbol": asked["symbol"]} for row in rows]
    else:
        tier = {"initialMargin": "1", "maintenanceMargin": "0.5", "maxLeverage": "100.00", "mmDeduction": ""}
        more = {"initialMargin": "1.5", "maintenanceMargin": "1", "maxLeverage": "66.66", "mmDeduction": ""}
        listed = [
            {"symbol": code, "riskLimitValue": value, **limit}
            for code in (INVERSE, INVERSE_DATED, "XRPUSD")
            for value, limit in (("150", tier), ("300", more))
        ]
    return _result({"category": asked["category"], "list": listed, "nextPageCursor": ""})
