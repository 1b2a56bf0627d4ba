"""Hyperliquid with an account on its own exchange and on builder-deployed ones: just what is asked for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.adapters.exchanges.hyperliquid.payloads import fixture
from tests.support.answer_server import Asked

ADDRESS = "0x" + "ab" * 20
DEXES = {"xyz": ["xyz:TSLA", "xyz:BRK-B"], "flx": ["flx:GOLD"], "away": ["away:ETH"]}
HELD = {"": ["ETH", "BTC"], "xyz": DEXES["xyz"], "flx": DEXES["flx"]}
"""In which coins there are positions, by exchange."""


def answer(path: str, asked: Asked) -> Any:
    """Answer one request."""
    answers: dict[str, Callable[[str], Any]] = {
        "metaAndAssetCtxs": lambda _: fixture("meta_and_asset_ctxs"),
        "meta": _meta,
        "perpDexs": lambda _: [None, *({"name": name} for name in DEXES)],
        "spotMeta": lambda _: {
            "tokens": [{"name": "USDC", "index": 0}, {"name": "USDH", "index": 360}],
        },
        "userRole": lambda _: {"role": "user"},
        "userAbstraction": lambda _: "disabled",
        "clearinghouseState": lambda dex: _state(HELD.get(dex, [])),
    }
    found = answers.get(asked.get("type", "")) if path == "/info" else None
    return found(asked.get("dex", "")) if found is not None else None


def _meta(dex: str) -> Any:
    """As the venue's own ``meta``, with a table of two tiers and one of a leverage."""
    return {
        "universe": [
            {"name": name, "szDecimals": 3, "maxLeverage": 10, "marginTableId": 10 if index else 1_001}
            for index, name in enumerate(DEXES[dex])
        ],
        "marginTables": [
            [
                1_001,
                {
                    "description": "tiered",
                    "marginTiers": [
                        {"lowerBound": "0.0", "maxLeverage": 10},
                        {"lowerBound": "5000000.0", "maxLeverage": 5},
                    ],
                },
            ]
        ],
        "collateralToken": 360 if dex == "xyz" else 0,
    }


def _state(coins: list[str]) -> Any:
    state = fixture("clearinghouse_state")
    told = state["assetPositions"][: len(coins)]
    state["assetPositions"] = [
        {**row, "position": {**row["position"], "coin": coin}} for row, coin in zip(told, coins, strict=True)
    ]
    if not coins:
        nothing = {
            "accountValue": "0.0",
            "totalMarginUsed": "0.0",
            "totalNtlPos": "0.0",
            "totalRawUsd": "0.0",
        }
        state |= {
            "marginSummary": nothing,
            "crossMarginSummary": nothing,
            "crossMaintenanceMarginUsed": "0.0",
        }
    return state
