"""Binance USD-M payloads as its documents show them, one of each kind that is read.

Source: developers.binance.com, derivatives / usds-margined-futures, as quoted in the comments of ccxt 4.5.90
(pro/binance.py, async_support/binance.py), read November 2026; depth, trade and markPrice are lines of
recorded combined streams of 4 April 2023 and 8 August 2024 (MIT, nkaz001/hftbacktest collector), shortened.
"""

from __future__ import annotations

from typing import Any

Sample = dict[str, Any]

DEPTH: Sample = {
    "e": "depthUpdate",
    "E": 1680652700594,
    "T": 1680652700586,
    "s": "BTCUSDT",
    "U": 2710246765373,
    "u": 2710246765597,
    "pu": 2710246765326,
    "b": [["5000.00", "14.368"], ["28018.90", "0.000"]],
    "a": [["28145.20", "6.961"]],
}

SNAPSHOT: Sample = {
    "lastUpdateId": 2710246765483,
    "E": 1680652700590,
    "T": 1680652700580,
    "bids": [["28145.10", "3.818"], ["28145.00", "0.413"]],
    "asks": [["28145.20", "6.887"]],
}

TRADE: Sample = {
    "e": "trade",
    "E": 1680652700455,
    "T": 1680652700452,
    "s": "BTCUSDT",
    "t": 3535186032,
    "p": "28145.10",
    "q": "0.002",
    "X": "MARKET",
    "m": True,
}

AGGREGATED_TRADE: Sample = {
    "e": "aggTrade",
    "E": 123456789,
    "s": "BTCUSDT",
    "a": 5933014,
    "p": "0.001",
    "q": "100",
    "f": 100,
    "l": 105,
    "T": 123456785,
    "m": False,
}

MARK: Sample = {
    "e": "markPriceUpdate",
    "E": 1680652701000,
    "s": "BTCUSDT",
    "p": "28147.27373413",
    "P": "28142.15563565",
    "i": "28159.75642857",
    "r": "0.00002754",
    "T": 1680652800000,
}

PREMIUM_INDEX: Sample = {
    "symbol": "BTCUSDT",
    "markPrice": "11793.63104562",
    "indexPrice": "11781.80495970",
    "estimatedSettlePrice": "11781.16138815",
    "lastFundingRate": "0.00038246",
    "interestRate": "0.00010000",
    "nextFundingTime": 1597392000000,
    "time": 1597370495002,
}

FORCED_ORDER: Sample = {
    "e": "forceOrder",
    "E": 1568014460893,
    "o": {
        "s": "BTCUSDT",
        "S": "SELL",
        "o": "LIMIT",
        "f": "IOC",
        "q": "0.014",
        "p": "9910",
        "ap": "9910",
        "X": "FILLED",
        "l": "0.014",
        "z": "0.014",
        "T": 1568014460893,
    },
}

OPEN_INTEREST: Sample = {"openInterest": "10659.509", "symbol": "BTCUSDT", "time": 1589437530011}

POSITION_V3: Sample = {
    "symbol": "WLDUSDT",
    "positionSide": "BOTH",
    "positionAmt": "5",
    "entryPrice": "2.3483",
    "breakEvenPrice": "2.349356735",
    "markPrice": "2.39560000",
    "unRealizedProfit": "0.23650000",
    "liquidationPrice": "0",
    "isolatedMargin": "0",
    "notional": "11.97800000",
    "isolatedWallet": "0",
    "updateTime": 1722062678998,
    "initialMargin": "2.39560000",
    "maintMargin": "0.07186800",
    "positionInitialMargin": "2.39560000",
    "openOrderInitialMargin": "0",
    "adl": "2",
    "bidNotional": "0",
    "askNotional": "0",
    "marginAsset": "USDT",
}

POSITION_V2_HEDGED: Sample = {
    "entryPrice": "6563.66500",
    "marginType": "isolated",
    "isAutoAddMargin": "false",
    "isolatedMargin": "15517.54150468",
    "leverage": "10",
    "liquidationPrice": "5930.78",
    "markPrice": "6679.50671178",
    "maxNotionalValue": "20000000",
    "positionSide": "LONG",
    "positionAmt": "20.000",
    "symbol": "BTCUSDT",
    "unRealizedProfit": "2316.83423560",
    "updateTime": 1625474304765,
}

ACCOUNT: Sample = {
    "totalInitialMargin": "0.00000000",
    "totalMaintMargin": "3.10000000",
    "totalWalletBalance": "126.72469206",
    "totalUnrealizedProfit": "0.00000000",
    "totalMarginBalance": "126.72469206",
    "assets": [
        {
            "asset": "USDT",
            "walletBalance": "23.72469206",
            "unrealizedProfit": "0.00000000",
            "marginBalance": "20.00000000",
            "maintMargin": "3.10000000",
            "crossWalletBalance": "13.72469206",
            "crossUnPnl": "-3.72469206",
        },
        {"asset": "USDC", "walletBalance": "103.00000000", "unrealizedProfit": "0.00000000"},
        {"asset": "BNB", "walletBalance": "0.01000000", "unrealizedProfit": "0.00000000"},
    ],
    "positions": [],
}

MULTI_ASSETS_ACCOUNT: Sample = {
    # developers.binance.com, "Account Information V2" (which tells the mode), multi-assets mode; a debt and positions
    # added. Totals: 1,000 USDT at 0.99 less 1 %, 0.1 BTC at 60,000 less 5 %, 300 USDC owed at 1.
    "multiAssetsMargin": True,
    "totalMaintMargin": "63.80000000",
    "totalWalletBalance": "6380.10000000",
    "totalUnrealizedProfit": "0.00000000",
    "totalMarginBalance": "6380.00000000",
    "assets": [
        {"asset": "USDT", "walletBalance": "1000.00000000", "marginAvailable": True, "maintMargin": "63.8"},
        {"asset": "USDC", "walletBalance": "-300.00000000", "marginAvailable": True, "maintMargin": "0"},
        {"asset": "BTC", "walletBalance": "0.10000000", "marginAvailable": True, "maintMargin": "0"},
        {"asset": "XYZ", "walletBalance": "7.00000000", "marginAvailable": False, "maintMargin": "0"},
        {"asset": "ETH", "walletBalance": "0.00000000", "marginAvailable": True, "maintMargin": "0"},
    ],
    "positions": [],
}


def _index(asset: str, index: str, bid: str, ask: str, ask_rate: str) -> Sample:
    return {
        "symbol": f"{asset}USD",
        "time": 1635740268004,
        "index": index,
        "bidBuffer": bid,
        "askBuffer": ask,
        "bidRate": "0",
        "askRate": ask_rate,
        "autoExchangeBidBuffer": "0.05000000",
    }


ASSET_INDEXES: list[Sample] = [
    # USDT as in binance.com, "How to Calculate Margin in Multi-Assets Mode", 2022-07-06.
    _index("USDT", "0.99000000", "0.01000000", "0.00500000", "0.99495000"),
    _index("USDC", "1.00000000", "0.00000000", "0.00000000", "1.00000000"),
    _index("BTC", "60000.00000000", "0.05000000", "0.05000000", "63000.00000000"),
]

OPEN_ORDER: Sample = {
    "orderId": 3697213934,
    "symbol": "BTCUSDT",
    "status": "PARTIALLY_FILLED",
    "clientOrderId": "x-xcKtGhcufb20c5a7761a4aa09aa156",
    "price": "33000.00",
    "avgPrice": "0.00000",
    "origQty": "0.010",
    "executedQty": "0.004",
    "cumQuote": "0.00000",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "reduceOnly": True,
    "closePosition": False,
    "side": "SELL",
    "positionSide": "BOTH",
    "stopPrice": "0.00",
    "workingType": "CONTRACT_PRICE",
    "origType": "LIMIT",
    "time": 1707892893502,
    "updateTime": 1707892893515,
}

OPEN_ALGO_ORDER: Sample = {
    "algoId": 3358,
    "clientAlgoId": "yT58zmV3DSzMBQxc5tAJXU",
    "algoType": "CONDITIONAL",
    "orderType": "STOP_MARKET",
    "symbol": "BTCUSDT",
    "side": "SELL",
    "positionSide": "BOTH",
    "timeInForce": "GTC",
    "quantity": "0.002",
    "algoStatus": "NEW",
    "triggerPrice": "30000.00",
    "price": "0.00",
    "icebergQuantity": None,
    "workingType": "CONTRACT_PRICE",
    "closePosition": False,
    "reduceOnly": True,
    "createTime": 1763458576201,
    "updateTime": 1763458576201,
    "triggerTime": 0,
}

ACCOUNT_UPDATE: Sample = {
    "e": "ACCOUNT_UPDATE",
    "T": 1667881353112,
    "E": 1667881353115,
    "a": {
        "B": [
            {"a": "USDT", "wb": "1127.95750089", "cw": "1040.82091149", "bc": "0"},
            {"a": "BNB", "wb": "1.00000000", "cw": "0.00000000", "bc": "0"},
        ],
        "P": [
            {
                "s": "BTCUSDT",
                "pa": "-0.089",
                "ep": "19700.03933",
                "cr": "-1260.24809979",
                "up": "1.53058860",
                "mt": "isolated",
                "iw": "87.13658940",
                "ps": "BOTH",
                "ma": "USDT",
            }
        ],
        "m": "ORDER",
    },
}

ORDER_UPDATE: Sample = {
    "e": "ORDER_TRADE_UPDATE",
    "E": 1568879465651,
    "T": 1568879465650,
    "o": {
        "s": "BTCUSDT",
        "c": "TEST",
        "S": "SELL",
        "o": "STOP_MARKET",
        "f": "GTC",
        "q": "0.001",
        "p": "0",
        "ap": "0",
        "sp": "7103.04",
        "x": "NEW",
        "X": "NEW",
        "i": 8886774,
        "l": "0",
        "z": "0",
        "L": "0",
        "T": 1568879465650,
        "R": True,
        "wt": "CONTRACT_PRICE",
        "ot": "STOP_MARKET",
        "ps": "BOTH",
        "cp": False,
    },
}

ALGO_UPDATE: Sample = {
    "e": "ALGO_UPDATE",
    "T": 1750515742297,
    "E": 1750515742303,
    "o": {
        "caid": "Q5xaq5EGKgXXa0fD7fs0Ip",
        "aid": 2148719,
        "at": "CONDITIONAL",
        "o": "TAKE_PROFIT",
        "s": "BNBUSDT",
        "S": "SELL",
        "ps": "BOTH",
        "f": "GTC",
        "q": "0.01",
        "X": "CANCELED",
        "ai": "",
        "tp": "750",
        "p": "750",
        "wt": "CONTRACT_PRICE",
        "cp": False,
        "R": False,
        "tt": 0,
    },
}

CONFIG_UPDATE: Sample = {
    "e": "ACCOUNT_CONFIG_UPDATE",
    "E": 1611646737479,
    "T": 1611646737476,
    "ac": {"s": "BTCUSDT", "l": 25},
}


def _bracket(number: int, leverage: int, floor: int, cap: int, rate: float, deduction: float) -> Sample:
    return {
        "bracket": number,
        "initialLeverage": leverage,
        "notionalCap": cap,
        "notionalFloor": floor,
        "maintMarginRatio": rate,
        "cum": deduction,
    }


ASSET_INDICES: list[Sample] = [
    # developers.binance.com, USD-M, "Multi-Assets Mode Asset Index"; the second as its stream tells it.
    {
        "symbol": "ADAUSD",
        "time": 1635740268004,
        "index": "1.92957370",
        "bidBuffer": "0.10000000",
        "askBuffer": "0.10000000",
        "bidRate": "1.73661633",
        "askRate": "2.12253107",
        "autoExchangeBidBuffer": "0.05000000",
        "autoExchangeAskBuffer": "0.05000000",
        "autoExchangeBidRate": "1.83309501",
        "autoExchangeAskRate": "2.02605238",
    },
    {
        "symbol": "USDTUSD",
        "time": 1686749230000,
        "index": "0.99987691",
        "bidBuffer": "0.00010000",
        "askBuffer": "0.00010000",
        "bidRate": "0.99977692",
        "askRate": "0.99997689",
        "autoExchangeBidBuffer": "0.00010000",
        "autoExchangeAskBuffer": "0.00010000",
        "autoExchangeBidRate": "0.99977692",
        "autoExchangeAskRate": "0.99997689",
    },
]


BRACKETS: list[Sample] = [
    {
        "symbol": "ETHUSDT",
        "brackets": [
            _bracket(1, 75, 0, 10_000, 0.0065, 0.0),
            _bracket(2, 50, 10_000, 50_000, 0.01, 35.0),
            _bracket(3, 25, 50_000, 250_000, 0.02, 535.0),
        ],
    }
]
