"""What Binance demands, as tiers, and what tables are made of what venues leave out."""

from __future__ import annotations

from math import inf

import pytest

from adapters.exchanges.binance import terms
from adapters.exchanges.haircut_rows import HaircutRow, collateral_of
from adapters.exchanges.tier_rows import TierRow, tiers_of
from guard.errors import MalformedFrameError
from guard.margin_terms import MarginTier
from tests.adapters.exchanges import samples


def test_brackets_become_tiers() -> None:
    ((code, tiers),) = terms.parse_brackets(samples.BRACKETS).items()

    assert code == "ETHUSDT"
    assert [(tier.floor, tier.maintenance_ratio, tier.deduction) for tier in tiers] == [
        (0.0, 0.0065, 0.0),
        (10_000.0, 0.01, 35.0),
        (50_000.0, 0.02, 535.0),
    ]
    assert [tier.leverage_max for tier in tiers] == [
        bracket["initialLeverage"] for bracket in samples.BRACKETS[0]["brackets"]
    ]


def test_a_missing_deduction_is_rebuilt_from_the_rates() -> None:
    rows = [dict(bracket) for bracket in samples.BRACKETS[0]["brackets"]]
    for row in rows:
        del row["cum"]

    (tiers,) = terms.parse_brackets([{"symbol": "ETHUSDT", "brackets": rows}]).values()

    assert [tier.deduction for tier in tiers] == pytest.approx([0.0, 35.0, 535.0])


def test_the_lowest_tier_begins_at_nothing() -> None:
    assert tiers_of([TierRow(1.0, 0.01)], "x") == (
        MarginTier(floor=0.0, maintenance_ratio=0.01, leverage_max=inf),
    )


@pytest.mark.parametrize(
    "told",
    [
        [],
        [TierRow(0.0, 1.5)],
        [TierRow(0.0, 0.01), TierRow(5.0, 0.02), TierRow(5.0, 0.03)],
        [TierRow(0.0, 0.01), TierRow(inf, 0.02)],
        # 60 of 1000 at 2 % would be a maintenance below nothing.
        [TierRow(0.0, 0.01), TierRow(1_000.0, 0.02, deduction=60.0)],
    ],
)
def test_a_table_that_cannot_be_is_refused(told: list[TierRow]) -> None:
    with pytest.raises(MalformedFrameError, match="x"):
        tiers_of(told, "x")


def test_the_buffer_of_a_margin_asset_is_its_haircut() -> None:
    found = terms.parse_asset_indices(samples.ASSET_INDICES)

    assert {
        asset: [(tier.floor_usd, tier.haircut) for tier in told.tiers] for asset, told in found.items()
    } == {
        "ADA": [(0.0, 0.1)],
        "USDT": [(0.0, 0.0001)],
    }


def test_a_buffer_of_more_than_all_is_refused() -> None:
    with pytest.raises(MalformedFrameError, match="bidBuffer"):
        terms.parse_asset_indices([{**samples.ASSET_INDICES[0], "bidBuffer": "10"}])


def test_ranges_of_units_are_valued_at_the_price_and_left_out_without_one() -> None:
    told = [HaircutRow(0.0, 0.15), HaircutRow(1_000.0, 1.0)]

    btc = collateral_of("BTC", told, 60_000.0, "x")

    assert btc is not None
    assert [(tier.floor_usd, tier.haircut) for tier in btc.tiers] == [(0.0, 0.15), (6e7, 1.0)]
    assert btc.unit_usd == 60_000.0
    assert collateral_of("BTC", told, None, "x") is None
    flat = collateral_of("BTC", told[:1], None, "x")
    assert flat is not None
    assert (len(flat.tiers), flat.unit_usd) == (1, None)
    dollars = collateral_of("USDC", told, None, "x")
    assert dollars is not None
    assert dollars.tiers[1].floor_usd == 1_000.0


@pytest.mark.parametrize("told", [[HaircutRow(0.0, 1.2)], [HaircutRow(0.0, 0.1), HaircutRow(0.0, 0.2)]])
def test_ranges_that_cannot_be_are_refused(told: list[HaircutRow]) -> None:
    with pytest.raises(MalformedFrameError):
        collateral_of("BTC", told, 1.0, "x")
