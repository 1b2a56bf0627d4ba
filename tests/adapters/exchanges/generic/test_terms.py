"""What of ccxt's unified leverage tiers is believed, by ccxt's own parsers of each venue's documented answers."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.exchanges.ccxt_session import Markets
from adapters.exchanges.generic.terms import COUNTING, Counting, read_tiers
from adapters.exchanges.generic.terms_source import GenericTerms
from adapters.exchanges.settings import VenueSettings
from guard.margin_terms import MarginTier, TierUnit

BTC = "BTC/USDT:USDT"


def rows_of(*floors_and_ratios: tuple[float, float], **more: Any) -> list[dict[str, Any]]:
    return [
        {"minNotional": floor, "maintenanceMarginRate": ratio, "currency": "USDT", **more}
        for floor, ratio in floors_and_ratios
    ]


def floors(tiers: tuple[MarginTier, ...]) -> list[tuple[float, float, float]]:
    return [(tier.floor, tier.maintenance_ratio, tier.deduction) for tier in tiers]


def test_what_is_known_to_be_continuous_has_its_deduction_rebuilt() -> None:
    told = {BTC: rows_of((0.0, 0.004), (50_000.0, 0.005))}

    assert floors(read_tiers(told, Counting(deducts=True))[BTC]) == [
        (0.0, 0.004, 0.0),
        (50_000.0, 0.005, 50.0),
    ]


def test_the_venues_own_deduction_is_taken_where_it_tells_one() -> None:
    told = {BTC: [*rows_of((0.0, 0.004)), *rows_of((50_000.0, 0.005), info={"deduction": "49.5"})]}

    assert read_tiers(told, Counting(deducts=True))[BTC][1].deduction == 49.5


def test_where_nothing_is_documented_nothing_is_deducted() -> None:
    told = {BTC: rows_of((0.0, 0.004), (50_000.0, 0.005))}

    assert [tier.deduction for tier in read_tiers(told, Counting())[BTC]] == [0.0, 0.0]


def test_contracts_become_base_units_and_without_their_size_nothing() -> None:
    told = {BTC: rows_of((0.0, 0.004), (200_000.0, 0.008))}

    assert floors(read_tiers(told, Counting(in_contracts=True), {BTC: 0.0001})[BTC]) == [
        (0.0, 0.004, 0.0),
        (20.0, 0.008, 0.0),
    ]
    assert read_tiers(told, Counting(in_contracts=True)) == {}


def test_a_market_without_rates_is_one_that_is_not_told() -> None:
    told = {
        BTC: [{"minNotional": None, "maintenanceMarginRate": None}],
        "ETH/USDT:USDT": rows_of((0.0, 0.01)),
    }

    assert set(read_tiers(told, Counting())) == {"ETH/USDT:USDT"}


MARKET = {"symbol": BTC, "base": "BTC", "quote": "USDT", "settle": "USDT", "swap": True, "linear": True}
ANSWERS: dict[str, list[dict[str, Any]]] = {
    # As the comments of ccxt 4.5.90 show them; the second tier of each in the same shape.
    "gate": [
        {"maintenance_rate": "0.004", "tier": 1, "leverage_max": "125", "risk_limit": "1000000"},
        {"maintenance_rate": "0.008", "tier": 2, "leverage_max": "75", "risk_limit": "2000000"},
    ],
    "kucoinfutures": [
        {"level": 1, "maxRiskLimit": 300000, "minRiskLimit": 0, "maxLeverage": 100, "maintainMargin": 0.005},
        {
            "level": 2,
            "maxRiskLimit": 500000,
            "minRiskLimit": 300000,
            "maxLeverage": 50,
            "maintainMargin": 0.01,
        },
    ],
    "bitget": [
        {"level": "1", "startUnit": "0", "endUnit": "150000", "leverage": "125", "keepMarginRate": "0.004"},
        {
            "level": "2",
            "startUnit": "150000",
            "endUnit": "900000",
            "leverage": "100",
            "keepMarginRate": "0.005",
        },
    ],
}
EXPECTED = {
    "gate": [(0.0, 0.004, 0.0), (1e6, 0.008, 4_000.0)],
    "kucoinfutures": [(0.0, 0.005, 0.0), (3e5, 0.01, 0.0)],
    "bitget": [(0.0, 0.004, 0.0), (1.5e5, 0.005, 0.0)],
    "mexc": [(0.0, 0.004, 0.0), (20.0, 0.008, 0.0), (40.0, 0.012, 0.0)],
}
MEXC = {
    "symbol": "BTC_USDT",
    "quoteCoin": "USDT",
    "contractSize": 0.0001,
    "maxVol": 500000,
    "maintenanceMarginRate": 0.004,
    "initialMarginRate": 0.008,
    "riskIncrVol": 200000,
    "riskIncrMmr": 0.004,
    "riskIncrImr": 0.004,
}


@pytest.mark.parametrize("venue", EXPECTED)
def test_ccxts_own_reading_of_each_venue_comes_out_in_what_the_venue_counts(venue: str) -> None:
    import ccxt

    client = getattr(ccxt, venue)()
    told = client.parse_market_leverage_tiers(MEXC if venue == "mexc" else ANSWERS[venue], MARKET)

    assert floors(read_tiers({BTC: told}, COUNTING[venue], {BTC: 0.0001})[BTC]) == [
        pytest.approx(row) for row in EXPECTED[venue]
    ]


async def test_a_venue_of_which_nobody_knows_what_it_counts_tells_nothing() -> None:
    for venue, unit in (("htx", TierUnit.NOTIONAL), ("mexc", TierUnit.SIZE)):
        source = GenericTerms(VenueSettings(id=venue, symbols=[BTC]), {}, Markets())
        try:
            assert source.UNIT is unit
            # It asks nothing: no network is needed for that.
            assert await source.read_tiers([BTC]) == {}
        finally:
            await source.close()
