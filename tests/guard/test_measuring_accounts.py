"""What the metrics page tells of the trader's accounts."""

from __future__ import annotations

from guard.account.risk import AccountRisk, HoldingRisk, LegRisk, StressRisk
from guard.leverage.margin_pool import LiquidationKind
from guard.measuring_accounts import measure_accounts
from guard.meters import MeterKind
from guard.units import AccountId, MarketId

ACCOUNT = AccountId("v:main")
KNOWN = LegRisk(
    market=MarketId("v:BTC/USDT:USDT"),
    pool="cross USDT",
    size=1.0,
    kind=LiquidationKind.PRICE,
    price=81.0,
    venue_price=80.0,
    nearest=81.0,
    difference_bps=100.0,
    distance_bps=1_900.0,
    seconds_stressed=60.0,
)
UNKNOWN = LegRisk(
    market=MarketId("v:ETH/USDT:USDT"), pool="cross USDT", size=1.0, kind=LiquidationKind.MISSING
)
RISK = AccountRisk(
    account=ACCOUNT,
    at=0,
    legs=(KNOWN, UNKNOWN),
    holdings=(
        HoldingRisk(
            asset="USDE",
            quantity=1.0,
            reference_usd=1.0,
            venue_usd=0.7,
            haircut=0.1,
            parts={"venue": 0.1, "depeg": 0.0},
        ),
    ),
    stress=(
        StressRisk(
            pool="cross USDT",
            direction="common down",
            distance_bps=900.0,
            venue_distance_bps=900.0,
            own_distance_bps=None,
        ),
    ),
    margin_ratio=0.2,
    venue_margin_ratio=0.21,
    action_s=30.0,
)


def measured(*risks: AccountRisk) -> dict[str, list[tuple[float, tuple[str, ...]]]]:
    meters = list(measure_accounts({risk.account: risk for risk in risks}))
    assert {meter.kind for meter in meters} == {MeterKind.GAUGE}
    return {
        meter.name: [
            (
                sample.value,
                tuple(value for key, value in sample.labels.items() if key not in ("account", "pool")),
            )
            for sample in meter.samples
        ]
        for meter in meters
    }


def test_every_number_that_is_known_has_a_sample_and_no_other() -> None:
    found = measured(RISK)
    btc = "BTC/USDT:USDT"
    assert found["liquidation_price"] == [
        (81.0, (btc, "own")),
        (80.0, (btc, "venue")),
        (81.0, (btc, "nearest")),
    ]
    assert found["liquidation_kind"] == [(1.0, (btc, "price")), (1.0, ("ETH/USDT:USDT", "missing"))]
    assert found["liquidation_difference_bps"] == [(100.0, (btc,))]
    assert found["liquidation_distance_bps"] == [(1_900.0, (btc,))]
    assert found["liquidation_seconds"] == [(60.0, (btc, "stressed"))]
    assert found["account_stress_distance_bps"] == [(900.0, ("common down", "venue"))]
    assert found["account_margin_ratio"] == [(0.2, ("own",)), (0.21, ("venue",))]
    assert found["collateral_haircut"] == [
        (0.1, ("USDE", "all")),
        (0.1, ("USDE", "venue")),
        (0.0, ("USDE", "depeg")),
    ]
    assert found["account_action_seconds"] == [(30.0, ("true",))]


def test_without_accounts_there_is_nothing_to_tell() -> None:
    assert not any(measured().values())
