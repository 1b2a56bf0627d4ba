"""Which assessments are worth recording."""

from __future__ import annotations

import pytest
from msgspec import structs

from guard.account.risk import (
    LEGS_RECORDED_MAX,
    RECORDED_S,
    AccountRisk,
    HoldingRisk,
    LegRisk,
    StressRisk,
    abridged,
    is_worth_recording,
)
from guard.leverage.margin_pool import LiquidationKind
from guard.margin_terms import TermsSource
from guard.units import NS_PER_S, AccountId, MarketId

LEG = LegRisk(
    market=MarketId("v:BTC/USDT:USDT"),
    pool="cross USDT",
    size=2.0,
    kind=LiquidationKind.PRICE,
    distance_bps=1_000.0,
    terms=TermsSource.VENUE,
)
HELD = HoldingRisk(asset="USDE", quantity=5.0, reference_usd=1.0, venue_usd=1.0, haircut=0.05)
STRESS = StressRisk(
    pool="cross USDT",
    direction="common down",
    distance_bps=900.0,
    venue_distance_bps=900.0,
    own_distance_bps=950.0,
)
RISK = AccountRisk(
    account=AccountId("v:main"), at=10 * NS_PER_S, legs=(LEG,), holdings=(HELD,), stress=(STRESS,)
)


def later(seconds: float = 1.0, **changes: object) -> AccountRisk:
    return structs.replace(RISK, at=RISK.at + int(seconds * NS_PER_S), **changes)


def test_the_first_one_is_and_the_same_again_is_not_until_long_after() -> None:
    assert is_worth_recording(None, RISK)
    assert not is_worth_recording(RISK, later())
    assert not is_worth_recording(RISK, later(RECORDED_S - 1))
    assert is_worth_recording(RISK, later(RECORDED_S))


@pytest.mark.parametrize(
    ("changed", "is_worth"),
    [
        ({"distance_bps": 1_150.0}, False),
        ({"distance_bps": 1_250.0}, True),
        ({"distance_bps": None}, True),
        ({"kind": LiquidationKind.MISSING}, True),
        ({"terms": TermsSource.FORMULA}, True),
        ({"size": 2.1}, True),
        ({"mark_price": 1.0}, False),
    ],
)
def test_a_leg_that_is_another(changed: dict[str, object], is_worth: bool) -> None:
    assert is_worth_recording(RISK, later(legs=(structs.replace(LEG, **changed),))) is is_worth


def test_a_short_distance_is_another_only_by_enough_basis_points() -> None:
    near = structs.replace(RISK, legs=(structs.replace(LEG, distance_bps=40.0),))
    less = later(legs=(structs.replace(LEG, distance_bps=20.0),))
    assert not is_worth_recording(near, less)
    assert is_worth_recording(near, later(legs=(structs.replace(LEG, distance_bps=10.0),)))


@pytest.mark.parametrize(
    ("changed", "is_worth"),
    [
        ({"haircut": 0.055}, False),
        ({"haircut": 0.3}, True),
        ({"venue_usd": 0.7}, True),
        ({"reference_usd": None}, True),
    ],
)
def test_collateral_that_is_worth_something_else(changed: dict[str, object], is_worth: bool) -> None:
    assert is_worth_recording(RISK, later(holdings=(structs.replace(HELD, **changed),))) is is_worth


def test_the_account_fails_at_another_move_or_holds_something_else() -> None:
    nearer = structs.replace(STRESS, own_distance_bps=500.0)
    assert is_worth_recording(RISK, later(stress=(nearer,)))
    assert is_worth_recording(RISK, later(legs=()))
    assert is_worth_recording(RISK, later(missing=("no price of BTC",)))


def test_of_a_large_account_the_nearest_and_the_unknown_are_recorded() -> None:
    many = tuple(
        structs.replace(LEG, market=MarketId(f"v:C{number}/USDT:USDT"), distance_bps=100.0 * (number + 1))
        for number in range(LEGS_RECORDED_MAX + 10)
    )
    unknown = structs.replace(
        LEG, market=MarketId("v:DARK/USDT:USDT"), kind=LiquidationKind.MISSING, distance_bps=None
    )
    told = abridged(structs.replace(RISK, legs=(*many, unknown)))
    assert told.legs == (*many[: LEGS_RECORDED_MAX - 1], unknown)
    assert told.legs_left_out == 11
    assert abridged(RISK) is RISK
