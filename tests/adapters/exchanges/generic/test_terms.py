"""What of ccxt's unified leverage tiers is believed."""

from __future__ import annotations

from adapters.exchanges.generic.terms import read_tiers

LINEAR = "BTC/USDT:USDT"


def test_tiers_are_taken_over_only_in_the_markets_own_currency() -> None:
    rows = [
        {"minNotional": 0.0, "maintenanceMarginRate": 0.004, "currency": "USDT"},
        {"minNotional": 50_000.0, "maintenanceMarginRate": 0.005, "currency": "USDT"},
    ]
    in_contracts = [{**row, "currency": "BTC"} for row in rows]
    quotes = {LINEAR: "USDT", "ETH/USDT:USDT": "USDT"}

    ((symbol, tiers),) = read_tiers({LINEAR: rows, "ETH/USDT:USDT": in_contracts}, quotes).items()

    assert symbol == LINEAR
    assert [(tier.floor, tier.maintenance_ratio, tier.deduction) for tier in tiers] == [
        (0.0, 0.004, 0.0),
        (50_000.0, 0.005, 50.0),
    ]
