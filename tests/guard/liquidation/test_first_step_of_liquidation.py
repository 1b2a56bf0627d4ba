"""How much of a position its venue closes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.account.venue_rules import PartialLiquidation, VenueRules, rules_of
from guard.account.venue_rules.partial import StepCause, first_step
from guard.events import MarginMode
from guard.leverage.margin_pool import Leg
from guard.margin_terms import ContractKind, MarginTier, TierUnit
from guard.units import MarketId

TIERS = (
    MarginTier(floor=0.0, maintenance_ratio=0.005),
    MarginTier(floor=1_000.0, maintenance_ratio=0.01, deduction=5.0),
    MarginTier(floor=3_000.0, maintenance_ratio=0.02, deduction=35.0),
    MarginTier(floor=8_000.0, maintenance_ratio=0.05, deduction=275.0),
)


def leg(size: float, *, kind: ContractKind = ContractKind.LINEAR, unit: TierUnit = TierUnit.NOTIONAL) -> Leg:
    return Leg(
        market=MarketId("BTC"),
        size=size,
        entry_price=100.0,
        mark_price=100.0,
        tiers=TIERS,
        kind=kind,
        unit=unit,
    )


@pytest.mark.parametrize(
    ("size", "tiers_down", "left"),
    [
        (9.0, 1, 0.0),
        (20.0, 1, 10.0),
        (-40.0, 1, -30.0),
        (100.0, 1, 80.0),
        (20.0, 2, 0.0),
        (40.0, 2, 10.0),
        (100.0, 2, 30.0),
    ],
)
def test_first_step_of_liquidation_by_tiers_leaves_what_fits_lower(
    size: float, tiers_down: int, left: float
) -> None:
    """Down to the top of the tier so many lower; in the lowest ones nothing is left."""
    rules = VenueRules(venue="v", partial=PartialLiquidation(tiers_down=tiers_down))
    step = first_step(rules, leg(size))
    assert step.size_left == pytest.approx(left)
    assert step.share == pytest.approx(1.0 - left / size)
    assert step.cause is (StepCause.TIERS if left else StepCause.WHOLE)


def test_first_step_of_liquidation_counts_a_position_as_its_tiers_do() -> None:
    """By size where floors are sizes, in coins where the contract is inverse, at the price that is named."""
    rules = VenueRules(venue="v", partial=PartialLiquidation(tiers_down=1))
    assert first_step(rules, leg(2_000.0, unit=TierUnit.SIZE)).size_left == pytest.approx(1_000.0)
    inverse = leg(200_000.0, kind=ContractKind.INVERSE)
    assert first_step(rules, inverse).size_left == pytest.approx(100_000.0)
    assert first_step(rules, inverse, price=50.0).size_left == pytest.approx(150_000.0)


def test_first_step_of_liquidation_by_share_only_of_large_positions() -> None:
    """A fixed share of what is large enough; and it says for how long a second liquidation takes all."""
    partial = PartialLiquidation(share=0.2, notional_usd_min=1_000.0, whole_within_s=30.0)
    rules = VenueRules(venue="v", partial=partial)
    step = first_step(rules, leg(-20.0))
    assert (step.share, step.size_left, step.whole_within_s) == (0.2, -16.0, 30.0)
    small = first_step(rules, leg(9.0))
    assert (small.share, small.size_left, small.cause) == (1.0, 0.0, StepCause.WHOLE)


def test_first_step_of_liquidation_that_nobody_tells_is_all() -> None:
    """Binance begins with a part of unpublished size; an unknown venue with everything."""
    untold = first_step(rules_of("binanceusdm"), leg(100.0))
    assert (untold.share, untold.cause) == (1.0, StepCause.UNTOLD)
    unknown = first_step(rules_of("nowhere"), leg(100.0))
    assert (unknown.share, unknown.cause) == (1.0, StepCause.WHOLE)


@given(
    size=st.floats(),
    price=st.none() | st.floats(),
    share=st.none() | st.just(0.2),
    tiers_down=st.integers(0, 3),
    kind=st.sampled_from(ContractKind),
    unit=st.sampled_from(TierUnit),
)
def test_first_step_of_liquidation_on_odd_numbers_is_between_nothing_and_all(
    size: float, price: float | None, share: float | None, tiers_down: int, kind: ContractKind, unit: TierUnit
) -> None:
    """Never more than the position, never on the other side of it."""
    rules = VenueRules(venue="v", partial=PartialLiquidation(share=share, tiers_down=tiers_down))
    step = first_step(rules, leg(size, kind=kind, unit=unit), price)
    assert 0.0 <= step.share <= 1.0
    assert step.size_left == 0.0 or 0.0 <= step.size_left / size <= 1.0


def test_first_step_of_liquidation_at_bybit_goes_down_a_tier() -> None:
    """The rule is in force for isolated positions; of cross ones it is not told how much goes first."""
    assert first_step(rules_of("bybit"), leg(100.0)).size_left == pytest.approx(80.0)
    cross = first_step(rules_of("bybit"), leg(100.0), mode=MarginMode.CROSS)
    assert (cross.share, cross.cause) == (1.0, StepCause.UNTOLD)
