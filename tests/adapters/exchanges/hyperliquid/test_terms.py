"""What Hyperliquid demands, as tiers."""

from __future__ import annotations

import pytest

from adapters.exchanges.hyperliquid import terms
from guard.margin_terms import MarginTier
from tests.adapters.exchanges.hyperliquid.payloads import fixture


def test_maintenance_is_half_of_the_initial_margin_at_the_tiers_leverage() -> None:
    tiers = terms.parse_tiers(fixture("meta_and_asset_ctxs"))

    # 150 million at 1.25 % and at 2.5 % less the deduction are the same: it is continuous.
    assert tiers["BTC"] == (
        MarginTier(floor=0.0, maintenance_ratio=0.0125, leverage_max=40.0),
        MarginTier(
            floor=150_000_000.0, maintenance_ratio=0.025, deduction=150_000_000.0 * 0.0125, leverage_max=20.0
        ),
    )
    assert [tier.maintenance_ratio for tier in tiers["ETH"]] == [0.02, 1 / 30]


@pytest.mark.parametrize(("coin", "leverage"), [("ARK", 3), ("HPOS", 3), ("MATIC", 20)])
def test_a_table_below_fifty_is_its_own_leverage_and_no_table_that_of_the_coin(
    coin: str, leverage: int
) -> None:
    tiers = terms.parse_tiers(fixture("meta_and_asset_ctxs"))

    assert tiers[coin] == (
        MarginTier(floor=0.0, maintenance_ratio=1 / (2 * leverage), leverage_max=float(leverage)),
    )
