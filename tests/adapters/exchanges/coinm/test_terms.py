"""What Binance demands of COIN-M contracts: brackets of coins stay in coins."""

from __future__ import annotations

from adapters.exchanges.binance import terms
from tests.adapters.exchanges.coinm.payloads import fixture


def test_brackets_of_coins_stay_in_coins() -> None:
    tiers = terms.parse_coin_brackets(fixture("leverage_bracket"))

    btc, eth = tiers["BTCUSD_PERP"], tiers["ETHUSD_PERP"]
    assert [(tier.floor, tier.maintenance_ratio, tier.deduction) for tier in btc] == [
        (0.0, 0.004, 0.0),
        (5.0, 0.005, 0.005),
    ]
    # Without ``cum``, and with the documents' other spelling: 10 ETH, and one percent more.
    assert [(tier.floor, tier.maintenance_ratio, tier.deduction) for tier in eth] == [
        (0.0, 0.01, 0.0),
        (10.0, 0.02, 0.1),
    ]
