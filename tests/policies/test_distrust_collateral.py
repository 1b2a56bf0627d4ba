"""Collateral that fell here or everywhere stops entries; what falls together is said."""

from __future__ import annotations

import pytest

from guard.events import (
    AccountSnapshot,
    AssetPrice,
    AssetPricesSeen,
    CollateralHeld,
    MarginMode,
    Pooling,
    PositionSource,
)
from guard.findings import Finding, Reason, Remedy, Severity
from guard.state import GuardState
from perpguard_sdk.messages import Entries
from policies.distrust_collateral import DistrustCollateral
from tests.policies.scenes import WARM_S, judged, warm_state
from tests.support.builders import ACCOUNT, at, position, tick

POLICY = DistrustCollateral()
NOW_S = WARM_S + 1.0


def state_of(
    *collateral: CollateralHeld,
    pooling: Pooling = Pooling.ONE_POOL,
    elsewhere: float = 1.0,
    asset: str = "USDE",
) -> GuardState:
    state = warm_state()
    for venue in ("bybit", "okx", "kraken"):
        price = AssetPrice(asset=asset, quote="USD", bid=elsewhere, ask=elsewhere)
        state.apply(AssetPricesSeen(received_at=at(NOW_S), venue=venue, prices=(price,)))
    held = position(10.0, entry_price=100.0, mark_price=100.0, margin_mode=MarginMode.CROSS)
    state.apply(
        AccountSnapshot(
            received_at=at(NOW_S),
            account=ACCOUNT,
            source=PositionSource.VENUE,
            positions=(held,),
            pooling=pooling,
            collateral=collateral,
        )
    )
    return state


def held(asset: str, quantity: float, price: float) -> CollateralHeld:
    return CollateralHeld(asset=asset, quantity=quantity, venue_price_usd=price, venue_haircut=0.01)


def found(state: GuardState, policy: DistrustCollateral = POLICY) -> list[Finding]:
    state.apply(tick(NOW_S + 0.5))
    return judged(policy, state, NOW_S + 0.5)


def values(finding: Finding) -> dict[str, float | str]:
    return {one.name: one.value for one in finding.evidence}


def test_collateral_at_its_peg_is_nothing() -> None:
    assert found(state_of(held("USDE", 5_000.0, 1.0), held("USDT", 1_000.0, 1.0))) == []


def test_a_depeg_everywhere_stops_entries() -> None:
    (finding,) = found(state_of(held("USDE", 5_000.0, 1.0), held("USDT", 1_000.0, 1.0), elsewhere=0.7))

    assert (finding.reason, finding.severity) == (Reason.COLLATERAL_FALLEN, Severity.WATCH)
    assert (finding.subject.account, finding.subject.market) == (ACCOUNT, None)
    assert finding.limit.entries is Entries.REDUCE_ONLY
    assert values(finding)["USDE below its peg over venues"] == pytest.approx(30.0)
    assert values(finding)["USDE valued here below others"] == 0.0
    (offer,) = finding.offers
    assert (offer.remedy, offer.about) == (Remedy.SWAP_COLLATERAL, "USDE")
    assert offer.amount_usd == pytest.approx(5_000.0 * 0.7)


def test_a_fall_at_the_own_venue_alone_stops_them_too_and_is_told_apart() -> None:
    (finding,) = found(state_of(held("USDE", 5_000.0, 0.7), held("USDT", 1_000.0, 1.0)))

    assert finding.reason is Reason.COLLATERAL_FALLEN
    assert values(finding)["USDE below its peg over venues"] == pytest.approx(0.0, abs=1e-6)
    assert values(finding)["USDE valued here below others"] == pytest.approx(30.0)


def test_what_is_a_small_part_of_the_collateral_stops_nothing() -> None:
    small = state_of(held("USDE", 30.0, 1.0), held("USDT", 10_000.0, 1.0), elsewhere=0.7)

    assert found(small) == []
    assert len(found(small, DistrustCollateral(share_min=0.0))) == 1


def test_collateral_that_backs_only_what_is_paid_in_it_is_left_alone() -> None:
    settled = state_of(
        held("USDT", 5_000.0, 0.7), pooling=Pooling.BY_SETTLE_ASSET, elsewhere=0.7, asset="USDT"
    )
    assert found(settled) == []


def test_collateral_in_the_coin_of_a_long_is_said_and_asks_for_nothing() -> None:
    (finding,) = found(
        state_of(held("BTC", 50.0, 100.0), held("USDT", 1_000.0, 1.0), elsewhere=100.0, asset="BTC")
    )

    assert (finding.reason, finding.severity) == (Reason.COLLATERAL_CORRELATED, Severity.INFO)
    assert finding.limit.entries is None
    assert values(finding)["BTC falls with"] == "BTC"


def test_turned_off_it_finds_nothing() -> None:
    fallen = state_of(held("USDE", 5_000.0, 1.0), elsewhere=0.7)
    assert found(fallen, DistrustCollateral(enabled=False)) == []
