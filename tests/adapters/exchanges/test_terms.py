"""What Binance demands, as tiers, and what tables are made of what venues leave out."""

from __future__ import annotations

from math import inf

import pytest

from adapters.exchanges.binance import terms
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
