"""What venues answer when asked of everyone's positions, after their documentation and the comments of ccxt 4.5.90.

developers.binance.com (USDS-margined futures, Market Data), bybit-exchange.github.io/docs/v5/market and
www.okx.com/docs-v5 (Trading Statistics); 2026-11-22. Numbers of candles and times are shortened to what is asked for.
"""

from __future__ import annotations

from typing import Any

BINANCE_INTEREST: Any = [
    {
        "symbol": "BTCUSDT",
        "sumOpenInterest": "20403.12345678",
        "sumOpenInterestValue": "176196512.12345678",
        "CMCCirculatingSupply": "165880.538",
        "timestamp": "1583127900000",
    },
    {
        "symbol": "BTCUSDT",
        "sumOpenInterest": "20401.36700000",
        "sumOpenInterestValue": "149940752.14464448",
        "CMCCirculatingSupply": "165900.14853",
        "timestamp": 1583128200000,
    },
]
BINANCE_RATIO: Any = [
    {
        "symbol": "BTCUSDT",
        "longShortRatio": "0.1960",
        "longAccount": "0.6622",
        "shortAccount": "0.3378",
        "timestamp": "1583139600000",
    },
    {
        "symbol": "BTCUSDT",
        "longShortRatio": "1.9559",
        "longAccount": "0.6617",
        "shortAccount": "0.3382",
        "timestamp": "1583139900000",
    },
]
BINANCE_CANDLES: Any = [
    [
        1583127600000,
        "8635.1",
        "8640.0",
        "8630.2",
        "8636.5",
        "148976.114",
        1583127899999,
        "2434190.05",
        308,
        "1756.87",
        "28.46",
        "0",
    ]
]
BYBIT_INTEREST: Any = {
    "retCode": 0,
    "retMsg": "OK",
    "result": {
        "symbol": "BTCUSDT",
        "category": "linear",
        "list": [
            {"openInterest": "461134.8", "timestamp": "1669571700000"},
            {"openInterest": "461134.1", "timestamp": "1669571400000"},
        ],
        "nextPageCursor": "",
    },
    "time": 1672053548579,
}
BYBIT_RATIO: Any = {
    "retCode": 0,
    "retMsg": "OK",
    "result": {
        "list": [
            {"symbol": "BTCUSDT", "buyRatio": "0.5777", "sellRatio": "0.4223", "timestamp": "1695772800000"}
        ],
        "nextPageCursor": "",
    },
    "time": 1695772900000,
}
BYBIT_CANDLES: Any = {
    "retCode": 0,
    "retMsg": "OK",
    "result": {
        "symbol": "BTCUSDT",
        "category": "linear",
        "list": [["1669571400000", "17071", "17073", "17027", "17055.5", "268611", "15740462"]],
    },
    "time": 1672025956592,
}
OKX_INTEREST: Any = {
    "code": "0",
    "data": [
        ["1701417600000", "731377.57500501", "111", "8888888"],
        ["1701417300000", "731376.5", "110", ""],
    ],
    "msg": "",
}
OKX_RATIO: Any = {"code": "0", "data": [["1701417600000", "1.1739"], ["1701417300000", "0.1236"]], "msg": ""}
