"""What OKX demands, as tiers by size."""

from __future__ import annotations

from math import inf, nextafter

import pytest

from adapters.exchanges.okx import terms
from guard.margin_terms import MarginTier
from tests.adapters.exchanges.okx.payloads import fixture


def test_tiers_are_bounded_by_size_whatever_the_price() -> None:
    tiers = terms.parse_position_tiers(fixture("position_tiers"), {"BTC-USDT-SWAP": 0.01}.get)

    first, second = tiers["BTC-USDT-SWAP"]
    assert first == MarginTier(floor=0.0, maintenance_ratio=0.004, leverage_max=first.leverage_max)
    assert (second.maintenance_ratio, second.deduction) == (0.005, 0.0)
    # 500 contracts still belong to the first tier, and whatever is more to the second.
    assert second.floor == nextafter(500 * 0.01, inf)
    assert terms.parse_position_tiers(fixture("position_tiers"), lambda code: None) == {}


def test_discounts_leave_the_rest_away_and_beyond_the_last_tier_the_least_rate_holds() -> None:
    found = terms.parse_discount_rates(fixture("discount_rate"))

    assert [(row.floor, row.haircut) for row in found["BTC"]] == [
        (0.0, pytest.approx(0.02)),
        (20.0, pytest.approx(0.0225)),
        (25.0, 1.0),
    ]
    assert [(row.floor, row.haircut) for row in found["USDT"]] == [(0.0, 0.0)]
    assert found["NOBODY"] == []


def test_units_are_priced_by_their_index() -> None:
    assert terms.parse_index_tickers(fixture("index_tickers_rest")) == {"BTC": 43350.0}
