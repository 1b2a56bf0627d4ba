"""A venue that raises what it demands is said, and stops entries where that brings an own position nearer."""

from __future__ import annotations

import pytest
from msgspec import structs

from guard.events import (
    AccountSnapshot,
    CollateralHeld,
    MarginMode,
    MarginTermsSeen,
    Pooling,
    Position,
    PositionSource,
)
from guard.findings import Finding, Reason, Remedy, Severity
from guard.margin_terms import (
    CollateralTerms,
    HaircutTier,
    MarginTier,
    TermsSource,
    TierTable,
)
from guard.state import GuardState
from guard.units import venue_of
from perpguard_sdk.messages import Entries
from policies.margin_tightening import MarginTightening
from tests.policies.scenes import WARM_S, hold, judged, warm_state
from tests.support.builders import ACCOUNT, ETH, MARKET, at, flat_terms, position, tick

POLICY = MarginTightening()
CHANGED_S = WARM_S + 1.0
JUDGED_S = CHANGED_S + 1.0


def isolated(margin_usd: float = 10.0) -> Position:
    return position(1.0, entry_price=100.0, margin_usd=margin_usd, margin_mode=MarginMode.ISOLATED)


def raise_to(
    state: GuardState, ratio: float, *, seconds: float = CHANGED_S, source: TermsSource = TermsSource.VENUE
) -> None:
    state.apply(structs.replace(flat_terms(MARKET, ratio=ratio, source=source), received_at=at(seconds)))


def values(finding: Finding) -> dict[str, float | str]:
    return {one.name: one.value for one in finding.evidence}


def test_a_raise_that_nobody_holds_anything_in_is_said_and_asks_for_nothing() -> None:
    state = warm_state()
    raise_to(state, 0.02)

    (finding,) = judged(POLICY, state, JUDGED_S)

    assert (finding.reason, finding.severity) == (Reason.MARGIN_RAISED, Severity.WATCH)
    assert (finding.subject.market, finding.subject.account, finding.limit.entries) == (MARKET, None, None)
    assert values(finding)["maintenance margin of 10,000 USD before"] == pytest.approx(1.0)
    assert values(finding)["maintenance margin of 10,000 USD now"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("ratio", "severity", "entries"),
    [(0.015, Severity.WATCH, None), (0.03, Severity.ACT, Entries.REDUCE_ONLY)],
)
def test_what_it_costs_an_own_position_decides(
    ratio: float, severity: Severity, entries: Entries | None
) -> None:
    state = warm_state()
    hold(state, WARM_S, isolated())
    raise_to(state, ratio)
    state.apply(tick(JUDGED_S))

    (finding,) = judged(POLICY, state, JUDGED_S)

    # 1 long at 100 with a margin of 10: liquidated at 90 / (1 - ratio), closing fees aside.
    assert (finding.severity, finding.limit.entries) == (severity, entries)
    assert (finding.subject.market, finding.subject.account) == (MARKET, ACCOUNT)
    told = values(finding)
    before, after = (100.0 - 90.0 / (1.0 - share) for share in (0.01, ratio))
    assert told["distance to liquidation before"] == pytest.approx(before * 100.0, rel=0.02)
    assert told["distance to liquidation now"] == pytest.approx(after * 100.0, rel=0.02)
    assert told["distance that was lost by it"] == pytest.approx((1.0 - after / before) * 100.0, rel=0.05)
    assert told["maintenance margin of 100 USD now"] == pytest.approx(ratio * 100.0)
    assert told["value of the position"] == pytest.approx(100.0)


def test_the_money_that_is_offered_brings_the_distance_back() -> None:
    state = warm_state()
    hold(state, WARM_S, isolated())
    raise_to(state, 0.03)
    (finding,) = judged(POLICY, state, JUDGED_S)
    (offer,) = finding.offers
    assert (offer.remedy, offer.about) == (Remedy.ADD_MARGIN, "BTC/USDT:USDT")

    hold(state, JUDGED_S, isolated(10.0 + offer.amount_usd))
    (risk,) = state.own.risks.values()
    assert risk.legs[0].distance_bps == pytest.approx(values(finding)["distance to liquidation before"])


def test_what_fails_by_it_has_lost_all() -> None:
    state = warm_state()
    hold(state, WARM_S, isolated(margin_usd=5.0))
    raise_to(state, 0.2)

    (finding,) = judged(POLICY, state, JUDGED_S)

    assert finding.severity is Severity.ACT
    assert values(finding)["distance that was lost by it"] == 100.0


def test_what_was_asked_for_decides_not_how_it_is_judged_since() -> None:
    """Between the venue's word and the next assessment, and after it, the same is found."""
    state = warm_state()
    hold(state, WARM_S, isolated())
    raise_to(state, 0.03)
    first = judged(POLICY, state, CHANGED_S)
    for second in range(1, 4):
        state.apply(tick(CHANGED_S + second))

    assert values(judged(POLICY, state, CHANGED_S + 4.0)[0]) == pytest.approx(values(first[0]))


def test_it_stands_for_as_long_as_it_should() -> None:
    state = warm_state()
    raise_to(state, 0.02)
    short = MarginTightening(stand_s=60.0)

    assert judged(short, state, CHANGED_S + 59.0)
    assert judged(short, state, CHANGED_S + 61.0) == []
    assert judged(POLICY, state, CHANGED_S + 3_599.0)


@pytest.mark.parametrize("ratio", [0.01, 0.005])
def test_the_same_or_less_is_nothing(ratio: float) -> None:
    state = warm_state()
    raise_to(state, ratio)

    assert judged(POLICY, state, JUDGED_S) == []


def test_one_that_is_undone_is_nothing() -> None:
    state = warm_state()
    raise_to(state, 0.03)
    raise_to(state, 0.01, seconds=CHANGED_S + 10.0)

    assert judged(POLICY, state, CHANGED_S + 11.0) == []


def test_the_first_word_after_our_formula_is_nothing() -> None:
    state = warm_state()
    state.own.terms.clear()
    raise_to(state, 0.001, source=TermsSource.FORMULA)
    raise_to(state, 0.03)

    assert judged(POLICY, state, JUDGED_S) == []


def test_what_was_stored_at_the_last_run_is_compared_with_and_its_age_told() -> None:
    state = warm_state()
    state.own.terms.clear()
    stored = flat_terms(MARKET, ratio=0.01, source=TermsSource.STORED)
    aged = structs.replace(stored.tiers[0], as_of=at(CHANGED_S - 86_400.0))
    state.apply(structs.replace(stored, tiers=(aged,)))
    raise_to(state, 0.02)

    (finding,) = judged(POLICY, state, JUDGED_S)

    assert values(finding)["age of the words that it is compared with"] == pytest.approx(86_400.0)


def test_less_leverage_is_a_raise_too() -> None:
    state = warm_state()
    for seconds, leverage_max in ((WARM_S, 100.0), (CHANGED_S, 20.0)):
        tier = MarginTier(floor=0.0, maintenance_ratio=0.01, leverage_max=leverage_max)
        table = TierTable(market=MARKET, tiers=(tier,))
        state.apply(MarginTermsSeen(received_at=at(seconds), venue=venue_of(MARKET), tiers=(table,)))

    # The first word about leverage is news as well, but the last hour is told as one.
    told = values(judged(POLICY, state, JUDGED_S)[0])
    assert told["maximum leverage of 10,000 USD now"] == 20.0
    assert told["maintenance margin of 10,000 USD now"] == told["maintenance margin of 10,000 USD before"]


def test_asked_about_another_market_it_says_nothing_of_this_one() -> None:
    state = warm_state()
    raise_to(state, 0.02)

    assert list(POLICY.decide_for(state, at(JUDGED_S), {ETH})) == []
    assert len(list(POLICY.decide_for(state, at(JUDGED_S), {MARKET}))) == 1


# Haircuts


def backed(state: GuardState, usde: float) -> None:
    """1 long of 100 in one pool with 100 USDT and some USDE."""
    held = position(1.0, entry_price=100.0, margin_mode=MarginMode.CROSS)
    state.apply(
        AccountSnapshot(
            received_at=at(WARM_S),
            account=ACCOUNT,
            source=PositionSource.VENUE,
            equity_usd=100.0 + usde,
            wallet_usd=100.0 + usde,
            positions=(held,),
            pooling=Pooling.ONE_POOL,
            collateral=(
                CollateralHeld(asset="USDT", quantity=100.0, venue_price_usd=1.0),
                CollateralHeld(asset="USDE", quantity=usde, venue_price_usd=1.0),
            ),
        )
    )


def count(state: GuardState, seconds: float, haircut: float) -> None:
    terms = CollateralTerms(asset="USDE", tiers=(HaircutTier(floor_usd=0.0, haircut=haircut),))
    state.apply(MarginTermsSeen(received_at=at(seconds), venue=venue_of(MARKET), collateral=(terms,)))


@pytest.mark.parametrize(
    ("usde", "severity", "entries"),
    [(10.0, Severity.WATCH, None), (1_000.0, Severity.ACT, Entries.REDUCE_ONLY)],
)
def test_a_larger_haircut_is_said_to_whoever_holds_the_asset(
    usde: float, severity: Severity, entries: Entries | None
) -> None:
    state = warm_state()
    count(state, WARM_S, 0.1)
    backed(state, usde)
    count(state, CHANGED_S, 0.5)

    (finding,) = judged(POLICY, state, JUDGED_S)

    assert (finding.reason, finding.severity, finding.limit.entries) == (
        Reason.HAIRCUT_RAISED,
        severity,
        entries,
    )
    assert (finding.subject.account, finding.subject.market) == (ACCOUNT, None)
    told = values(finding)
    assert told["haircut of USDE before"] == pytest.approx(10.0)
    assert told["haircut of USDE now"] == pytest.approx(50.0)
    # Of what is free before: 100 of USDT and nine tenths of the USDE, less 1 of maintenance and some fee.
    free = 100.0 + 0.9 * usde - 1.0
    assert told["free margin that was lost by it"] == pytest.approx(0.4 * usde / free * 100.0, rel=0.01)


def test_a_haircut_of_what_nobody_holds_is_nothing() -> None:
    state = warm_state()
    hold(state, WARM_S, isolated())
    count(state, WARM_S, 0.1)
    count(state, CHANGED_S, 0.5)

    assert judged(POLICY, state, JUDGED_S) == []
