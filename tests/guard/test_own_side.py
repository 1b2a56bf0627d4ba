"""The trader's accounts as the guard keeps them assessed: when, from what, and what of it is recorded."""

from __future__ import annotations

import math

import pytest
from msgspec import structs

from guard.account.risk import AccountRisk, LegRisk
from guard.events import (
    AccountSnapshot,
    AssetPrice,
    AssetPricesSeen,
    CollateralHeld,
    MarginMode,
    Pooling,
    Position,
    PositionSource,
)
from guard.leverage.margin_pool import LiquidationKind
from guard.margin_terms import TermsSource
from guard.state import GuardState
from guard.units import AccountId, MarketId
from perpguard_sdk.messages import ReportedPosition
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    ETH,
    MARKET,
    SYMBOL,
    Guard,
    at,
    born,
    flat_terms,
    mark,
    new_state,
    position,
    reported,
    snapshot,
    started,
    tick,
)

MMR = 0.01
USDT = CollateralHeld(asset="USDT", quantity=20.0, venue_price_usd=1.0)


def holding(market: MarketId = MARKET, size: float = 1.0, **fields: object) -> Position:
    told: dict[str, object] = {
        "entry_price": 100.0,
        "mark_price": 100.0,
        "margin_mode": MarginMode.CROSS,
        **fields,
    }
    return position(size, market=market, **told)


def account(
    seconds: float, *positions: Position, collateral: tuple[CollateralHeld, ...] = (USDT,), **fields: object
) -> AccountSnapshot:
    return AccountSnapshot(
        received_at=at(seconds),
        account=ACCOUNT,
        source=PositionSource.VENUE,
        positions=positions,
        collateral=collateral,
        **fields,  # type: ignore[arg-type]
    )


def fresh(*markets: MarketId) -> GuardState:
    state = new_state(ALPHA)
    state.apply(flat_terms(*(markets or (MARKET, ETH)), ratio=MMR))
    return state


def risk(state: GuardState) -> AccountRisk:
    found = state.own.risk(ACCOUNT)
    assert found is not None
    return found


def leg(state: GuardState, market: MarketId = MARKET) -> LegRisk:
    return next(each for each in risk(state).legs if each.market == market)


def test_a_position_is_assessed_the_moment_it_is_told() -> None:
    state = fresh()
    state.apply(account(0.0, holding(liquidation_price=81.0)))

    found = leg(state)
    exact = 80.0 / (1.0 - MMR)
    assert (found.kind, found.pool, found.terms) == (LiquidationKind.PRICE, "cross USDT", TermsSource.VENUE)
    assert found.price == pytest.approx(exact)
    assert found.difference_bps == pytest.approx((exact - 81.0) * 100.0)
    assert (found.venue_price, found.nearest) == (81.0, 81.0)
    assert found.distance_bps == pytest.approx(1_900.0)
    assert risk(state).margin_ratio == pytest.approx(1.0 / 20.0)
    # A fall of everything reaches it as far as its own does.
    down = {each.direction: each.distance_bps for each in risk(state).stress}["common down"]
    assert down == pytest.approx((100.0 - exact) * 100.0)


def test_what_others_hold_behind_it_counts_and_a_common_fall_is_nearer_than_either() -> None:
    state = fresh()
    state.apply(account(0.0, holding(), holding(ETH)))

    alone_bps = (100.0 - (100.0 - 20.0 + 1.0) / (1.0 - MMR)) * 100.0
    assert leg(state).distance_bps == pytest.approx(alone_bps)
    common = {each.direction: each for each in risk(state).stress}["common down"]
    assert common.distance_bps == pytest.approx((100.0 - 90.0 / (1.0 - MMR)) * 100.0)
    assert known(common.distance_bps) < alone_bps
    assert risk(state).gross_usd == risk(state).net_usd == 200.0


def test_a_tick_assesses_anew_at_the_price_as_it_is_and_a_mark_price_alone_does_not() -> None:
    state = fresh()
    state.apply(account(0.0, holding()))
    first = risk(state)
    state.apply(mark(0.5, 90.0))
    state.apply(tick(0.75))
    assert risk(state) is first, "not twice a second"
    state.apply(tick(1.0))
    assert leg(state).mark_price == 90.0
    assert leg(state).distance_bps == pytest.approx((90.0 - 80.0 / 0.99) / 90.0 * 1e4)


def test_other_terms_are_looked_at_at_the_next_tick() -> None:
    state = fresh()
    state.apply(account(0.0, holding()))
    before = leg(state).price
    state.apply(flat_terms(MARKET, ratio=0.05))
    assert leg(state).price == before
    state.apply(tick(0.25))
    assert leg(state).price == pytest.approx(80.0 / 0.95)


def test_what_no_price_liquidates_is_not_what_nobody_knows() -> None:
    state = fresh()
    plenty = CollateralHeld(asset="USDT", quantity=500.0)
    state.apply(account(0.0, holding(), collateral=(plenty,)))
    assert (leg(state).kind, leg(state).nearest) == (LiquidationKind.CANNOT, None)
    state.apply(account(1.0, holding(entry_price=None), collateral=(plenty,)))
    assert leg(state).kind is LiquidationKind.MISSING
    assert "entry price" in leg(state).missing[0]
    state.apply(account(2.0, holding(), collateral=(CollateralHeld(asset="USDT", quantity=0.5),)))
    assert (leg(state).kind, leg(state).distance_bps) == (LiquidationKind.FAILED, 0.0)


def known(value: float | None) -> float:
    assert value is not None
    return value


def prices(seconds: float, venue: str, usd: float) -> AssetPricesSeen:
    price = AssetPrice(asset="USDE", quote="USD", bid=usd, ask=usd)
    return AssetPricesSeen(received_at=at(seconds), venue=venue, prices=(price,))


@pytest.mark.parametrize(("others", "is_real"), [(1.0, False), (0.7, True)])
def test_a_depeg_is_one_only_where_other_venues_see_it(others: float, is_real: bool) -> None:
    state = fresh()
    for seconds, elsewhere, here in ((0.0, 1.0, 1.0), (1.0, others, 0.7)):
        for venue in ("one", "two", "three"):
            state.apply(prices(seconds, venue, elsewhere))
        held = CollateralHeld(asset="USDE", quantity=40.0, venue_price_usd=here, venue_haircut=0.0)
        state.apply(account(seconds, holding(), collateral=(held,), pooling=Pooling.ONE_POOL))
        state.apply(tick(seconds + 0.25))
        if seconds == 0.0:
            calm = {each.direction: each for each in risk(state).stress}["common down"]
    (depegged,) = risk(state).holdings
    now = {each.direction: each for each in risk(state).stress}["common down"]

    assert depegged.venue_usd == 0.7
    assert depegged.reference_usd == pytest.approx(others)
    assert (depegged.parts["depeg"] > 0.29) is is_real
    assert (depegged.haircut > 0.29) is is_real
    # The venue counts 28 instead of 40 either way, and liquidates by that.
    assert now.venue_distance_bps == pytest.approx((100.0 - 72.0 / 0.99) * 100.0)
    assert known(now.venue_distance_bps) < known(calm.venue_distance_bps)
    assert (known(now.own_distance_bps) < 0.8 * known(calm.own_distance_bps)) is is_real
    assert now.distance_bps == min(known(now.venue_distance_bps), known(now.own_distance_bps))


def test_our_own_formula_stands_back_where_the_venue_speaks_or_the_position_stands() -> None:
    state = new_state(ALPHA)
    state.apply(flat_terms(MARKET, ratio=0.3, source=TermsSource.FORMULA))
    state.apply(account(0.0, holding(liquidation_price=81.0)))
    assert (leg(state).kind, leg(state).nearest) == (LiquidationKind.PRICE, 81.0)
    assert risk(state).stress == (), "by the formula it would have failed already"
    state.apply(account(1.0, holding()))
    assert (leg(state).kind, leg(state).distance_bps) == (LiquidationKind.MISSING, None)
    assert any("formula" in words for words in leg(state).missing)
    # Where it leaves room it is what there is.
    state.apply(account(2.0, holding(), collateral=(CollateralHeld(asset="USDT", quantity=50.0),)))
    assert leg(state).price == pytest.approx(50.0 / 0.7)
    assert leg(state).terms is TermsSource.FORMULA


def test_a_hedged_pair_shares_what_liquidates_it() -> None:
    state = fresh()
    state.apply(account(0.0, holding(size=3.0), holding(size=-1.0)))
    (found,) = risk(state).legs
    assert found.size == 2.0
    # Both sides are charged for: F(p) = 20 + 2 (p - 100) - 4 x 1 % p.
    assert found.price == pytest.approx(180.0 / (2.0 - 4 * MMR))
    long, short = state.accounts[ACCOUNT].positions
    assert state.own.leg(ACCOUNT, long) is state.own.leg(ACCOUNT, short) is found


def test_time_is_distance_over_speed_and_under_stress_never_unknown() -> None:
    state = fresh()
    state.apply(account(0.0, holding()))
    assert leg(state).seconds_now is None, "nothing was seen of its speed yet"
    assert leg(state).seconds_stressed is not None
    for second in range(1, 40):
        state.apply(mark(float(second), 100.0 - 0.1 * second))
        state.apply(tick(float(second)))
    assert leg(state).seconds_now == pytest.approx((96.1 - 80.0 / 0.99) / 0.1, rel=0.3)
    assert risk(state).action_s == 30.0
    assert risk(state).action_is_assumed


def test_an_assessment_is_recorded_when_it_is_new_and_not_again_while_it_stays() -> None:
    guard = Guard.of()
    guard.feed(flat_terms(MARKET, ETH, ratio=MMR), started())
    (first,) = guard.feed(account(0.0, holding()))
    assert [each.account for each in first.assessed] == [ACCOUNT]
    assert first.is_decision
    quiet = guard.ticks(0.25, 5.0)
    assert (
        sum(len(each.legs) > 0 for step in quiet for each in step.assessed) <= 1
    )  # what would help came after it
    guard.feed(mark(5.5, 85.0))
    again = [each for step in guard.ticks(6.0, 8.0) for each in step.assessed]
    assert len(again) == 1
    assert again[0].legs[0].mark_price == 85.0
    (gone,) = guard.feed(account(9.0))
    assert [each.legs for each in gone.assessed] == [()]
    assert guard.engine.state.own.risk(ACCOUNT) is None


def test_an_account_that_is_seen_no_more_keeps_the_time_at_which_it_was() -> None:
    state = fresh()
    state.apply(account(3.0, holding()))
    state.apply(tick(90.0))
    assert (risk(state).at, risk(state).told_at) == (at(90.0), at(3.0))


def test_a_bot_alone_is_assessed_too_by_its_leverage() -> None:
    state = fresh()
    state.apply(born(0.0))
    said = reported(1.0, ALPHA, size=2.0)
    held = ReportedPosition(symbol=SYMBOL, size=2.0, entry_price=100.0, mark_price=100.0, leverage=10.0)
    state.apply(structs.replace(said, reported=structs.replace(said.reported, positions=(held,))))
    found = leg(state)
    assert found.kind is LiquidationKind.PRICE
    assert found.price == pytest.approx(90.0 / 0.99)
    assert any("leverage" in words for words in found.missing)


def test_positions_asked_about_are_assessed_like_held_ones() -> None:
    state = fresh()
    asked = position(1.0, entry_price=100.0, mark_price=100.0, leverage=5.0, margin_usd=20.0)
    state.apply(snapshot(0.0, asked, equity_usd=20.0, source=PositionSource.SETTINGS))
    assert leg(state).price == pytest.approx(80.0 / 0.99)


def test_each_account_learns_how_its_own_markets_follow_the_leader() -> None:
    state = fresh()
    other = AccountId("loopback:other")
    for step in range(200):
        seconds, led = 5.0 * step, 0.01 * math.sin(step)
        for market, beta in ((MARKET, 1.0), (ETH, 3.0)):
            state.apply(mark(seconds, 100.0 * math.exp(beta * led), market))
        state.apply(account(seconds, holding()))
        state.apply(structs.replace(account(seconds, holding(ETH)), account=other))
        state.apply(tick(seconds + 0.25))
    found = state.own.risk(other)
    assert found is not None
    falls = {each.direction: each.distance_bps for each in found.stress}
    assert known(falls["betas down"]) < 0.5 * known(falls["common down"])
    own = {each.direction: each.distance_bps for each in risk(state).stress}
    assert own["betas down"] == pytest.approx(own["common down"])
