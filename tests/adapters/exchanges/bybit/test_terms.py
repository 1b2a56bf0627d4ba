"""What Bybit demands, as tiers."""

from __future__ import annotations

import pytest

from adapters.exchanges.bybit import terms
from guard.errors import MalformedFrameError
from tests.adapters.exchanges.bybit.payloads import fixture


def test_risk_limits_become_tiers() -> None:
    limits, cursor = terms.parse_risk_limits(fixture("risk_limit"))

    assert cursor == "page_token=BTCUSDT"
    tiers = terms.parse_tiers(limits["BTCUSDT"])
    assert [(tier.floor, tier.maintenance_ratio, tier.deduction) for tier in tiers] == [
        (0.0, 0.005, 0.0),
        (2_000_000.0, 0.01, 10_000.0),
        (4_000_000.0, 0.015, 30_000.0),
    ]


def test_a_missing_deduction_is_rebuilt_from_the_rates() -> None:
    limits, _ = terms.parse_risk_limits(fixture("risk_limit"))
    rows = [{**row, "mmDeduction": ""} for row in limits["BTCUSDT"]]

    assert [tier.deduction for tier in terms.parse_tiers(rows)] == pytest.approx([0, 10_000, 30_000])


def test_a_rate_that_is_told_in_percent_is_refused() -> None:
    limits, _ = terms.parse_risk_limits(fixture("risk_limit"))

    with pytest.raises(MalformedFrameError, match="not a ratio"):
        terms.parse_tiers([{**limits["BTCUSDT"][0], "maintenanceMargin": "2.5"}])


def test_a_ratio_of_coins_leaves_the_rest_away() -> None:
    found = terms.parse_collateral_ratios(fixture("collateral_ratio"))

    assert [(row.floor, row.haircut) for row in found["BTC"]] == [
        (0.0, pytest.approx(0.15)),
        (1_000_000.0, 1.0),
    ]
    assert [row.floor for row in found["USDC"]] == [0.0, 2_000_000.0, 4_000_000.0]


def test_coins_are_priced_by_the_index_of_their_contracts() -> None:
    assert terms.parse_index_prices(fixture("tickers_rest"))["BTCUSDT"] == 16598.54
