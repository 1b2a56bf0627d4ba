"""freqtrade's own liquidation price of Binance futures on dry runs, unchanged; answers lines of JSON.

Its exchange is made without a venue; tiers and mark prices, which it would fetch, are handed to it.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

from freqtrade.enums import MarginMode, TradingMode  # type: ignore[import-not-found,unused-ignore]
from freqtrade.exchange.binance import Binance  # type: ignore[import-not-found,unused-ignore]

LEVERAGE = 20.0


class Offline(Binance):  # type: ignore[misc,unused-ignore]
    """The exchange without its beginning and its end, both of which want a venue."""

    def __init__(self, question: dict[str, Any]) -> None:
        is_cross = question["positions"][question["asked"]]["margin"] is None
        self._config = {"runmode": "dry_run", "dry_run": True}
        self.trading_mode = TradingMode.FUTURES
        self.margin_mode = MarginMode.CROSS if is_cross else MarginMode.ISOLATED
        self._api = self._api_async = SimpleNamespace(has={"fetchLeverageTiers": True})
        self._leverage_tiers = {
            pair: [
                {"minNotional": floor, "maintenanceMarginRate": rate, "maintAmt": amount}
                for floor, rate, amount in rows
            ]
            for pair, rows in question["tiers"].items()
        }
        self._marks = {each["pair"]: {"markPrice": each["mark"]} for each in question["positions"]}

    def __del__(self) -> None:
        pass

    def fetch_funding_rates(self, pairs: Any = None) -> dict[str, Any]:
        return {pair: self._marks[pair] for pair in pairs}


def price_of(question: dict[str, Any]) -> float | None:
    """Where the asked position is liquidated: ``{"tiers": {pair: [[floor, rate, amount]]}, "positions": [{"pair",
    "size", "entry", "mark", "margin"}], "asked", "wallet"}``; margins are null in cross mode."""
    positions, asked = question["positions"], question["positions"][question["asked"]]
    trades = [
        SimpleNamespace(
            pair=each["pair"],
            amount=abs(each["size"]),
            open_rate=each["entry"],
            stake_amount=stake_of(each),
            is_short=each["size"] < 0.0,
        )
        for each in positions
    ]
    found = Offline(question).dry_run_liquidation_price(
        pair=asked["pair"],
        open_rate=asked["entry"],
        is_short=asked["size"] < 0.0,
        amount=abs(asked["size"]),
        stake_amount=stake_of(asked),
        leverage=LEVERAGE,
        wallet_balance=question["wallet"] if asked["margin"] is None else stake_of(asked),
        open_trades=trades,
    )
    return None if found is None else float(found)


def stake_of(position: dict[str, Any]) -> float:
    """What freqtrade calls so: the collateral of a position, which is its value at entry over its leverage."""
    if position["margin"] is not None:
        return float(position["margin"])
    return abs(float(position["size"])) * float(position["entry"]) / LEVERAGE


def main() -> None:
    """Answer each line."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps({"price": price_of(json.loads(line))}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
