"""Margin tiers of a real venue: the cumulative amounts that unified tiers drop are rebuilt exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.leverage.tiers import maintenance, margin_tiers, tier_at

TIERS = margin_tiers(
    [(0.0, 0.015, 50.0), (5_000.0, 0.02, 25.0), (10_000.0, 0.025, 20.0), (25_000.0, 0.05, 10.0)]
)


@pytest.mark.parametrize(
    ("notional", "ratio"), [(0.0, 0.015), (4_999.0, 0.015), (5_000.0, 0.02), (10_000.0, 0.025), (1e9, 0.05)]
)
def test_a_position_is_in_the_tier_that_its_notional_reached(notional: float, ratio: float) -> None:
    assert tier_at(TIERS, notional).maintenance_ratio == ratio


@pytest.mark.parametrize("edge", [5_000.0, 10_000.0, 25_000.0])
def test_maintenance_margin_does_not_jump_at_an_edge(edge: float) -> None:
    assert maintenance(TIERS, edge) == pytest.approx(maintenance(TIERS, edge * (1 - 1e-12)))


def test_every_amount_of_binance_is_rebuilt(shared_data: Path) -> None:
    markets = json.loads((shared_data / "leverage_tiers" / "binance_usdm_2026-09.json").read_text())
    compared = 0
    for symbol, rows in markets.items():
        tiers = margin_tiers(
            [(row["minNotional"], row["maintenanceMarginRate"], row["maxLeverage"]) for row in rows]
        )
        for tier, row in zip(tiers, rows, strict=True):
            assert tier.deduction == pytest.approx(float(row["info"]["cum"]), rel=1e-6, abs=0.5), symbol
            compared += 1
    assert compared > 5_000
