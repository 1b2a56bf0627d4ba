"""A venue far from the others, or silent while they move: what is paused, which stops move, and what is not known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.events import AssetPrice, AssetPricesSeen
from guard.findings import Finding, Remedy, Severity
from guard.state import GuardState
from guard.units import MarketId, venue_of
from perpguard_sdk.messages import Entries
from policies.venue_failure import VenueFailure
from tests.policies.scenes import MARKET, WARM_S, hold, judged, warm_state
from tests.support.builders import ETH, at, features, mark, order, position, tick

POLICY = VenueFailure()
BYBIT, OKX, KRAKEN = (MarketId(f"{venue}:BTC/USDT:USDT") for venue in ("bybit", "okx", "kraken"))
NOW = WARM_S + 5.0


def tell(
    state: GuardState, prices: dict[MarketId, float], *, seconds: float = 5.0, start: float = WARM_S
) -> None:
    """Books and marks at these prices for a while; who is not named says nothing."""
    for number in range(1, round(seconds / 0.5) + 1):
        now = start + number * 0.5
        for market, price in prices.items():
            state.apply(features(now, price, market=market))
            state.apply(mark(now, price, market=market))


def told(prices: dict[MarketId, float]) -> GuardState:
    state = warm_state()
    tell(state, prices)
    return state


def held(
    state: GuardState, size: float, *, stop: float, liquidation: float = 60.0, seconds: float = NOW
) -> None:
    sign = 1.0 if size > 0 else -1.0
    shown = position(size, liquidation_price=100.0 + sign * (liquidation - 100.0))
    hold(state, seconds, shown, orders=(order("s1", -size, stop_price=stop, reduce_only=True),))


def by_subject(found: list[Finding]) -> dict[tuple[str | None, str | None, str | None], Finding]:
    return {(one.subject.venue, one.subject.market, one.subject.account): one for one in found}


@pytest.mark.parametrize("here", [97.0, 103.0])
def test_a_market_far_from_two_others_is_paused(here: float) -> None:
    state = told({MARKET: here, BYBIT: 100.0, OKX: 100.1})

    (found,) = judged(POLICY, state, NOW)

    assert (found.subject.market, found.severity, found.freezes) == (MARKET, Severity.ACT, True)
    assert found.limit.entries is Entries.REDUCE_ONLY
    assert found.confirm_ms == 3_000
    apart = found.evidence[0]
    assert apart.value == pytest.approx((here / 100.05 - 1.0) * 10_000.0, abs=1.0)
    assert apart.limit == 100.0


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_what_the_counterfactual_names_is_true(factor: float) -> None:
    (found,) = judged(POLICY, told({MARKET: 97.0, BYBIT: 100.0, OKX: 100.0}), NOW)
    assert "from 99 to 101" in found.counterfactual

    there = told({MARKET: 100.0 - factor, BYBIT: 100.0, OKX: 100.0})
    assert bool(judged(POLICY, there, NOW)) is (factor > 1.0)


def test_with_one_other_venue_it_is_told_that_nobody_knows() -> None:
    found = judged(POLICY, told({MARKET: 97.0, BYBIT: 100.0}), NOW)

    assert {one.subject.market for one in found} == {MARKET, BYBIT}
    assert all(one.severity is Severity.WATCH and one.limit.entries is None and one.freezes for one in found)
    assert all(one.evidence[-1].value == "unknown" for one in found)


def test_alone_or_in_step_nothing_is_found() -> None:
    assert judged(POLICY, told({MARKET: 90.0}), NOW) == []
    assert judged(POLICY, told({MARKET: 90.0, BYBIT: 90.2, OKX: 90.0}), NOW) == []


def test_where_the_others_disagree_nobody_is_far_from_them() -> None:
    state = told({MARKET: 97.0, BYBIT: 100.0, OKX: 98.5, KRAKEN: 96.5})

    assert MARKET not in {one.subject.market for one in judged(POLICY, state, NOW)}


def test_other_quotes_count_where_it_is_known_what_they_are_worth() -> None:
    usdc = [MarketId(f"{venue}:BTC/USDC:USDC") for venue in ("bybit", "okx")]
    prices = {MARKET: 103.0, **dict.fromkeys(usdc, 100.0)}
    state = told(prices)
    assert judged(POLICY, state, NOW) == [], "nobody knows what USDC is worth in USDT"

    def worth(usdt: float, seconds: float) -> GuardState:
        for venue in ("bybit", "okx", "kraken"):
            pairs = (
                AssetPrice(asset="USDC", quote="USD", bid=1.0, ask=1.0001),
                AssetPrice(asset="USDT", quote="USD", bid=usdt, ask=usdt * 1.0001),
            )
            state.apply(AssetPricesSeen(received_at=at(seconds), venue=venue, prices=pairs))
        state.apply(tick(seconds))
        return state

    assert {one.subject.market for one in judged(POLICY, worth(1.0, NOW), NOW)} == {MARKET}
    tell(state, prices, start=NOW)
    assert judged(POLICY, worth(0.971, NOW + 5.0), NOW + 5.0) == [], "it is USDT that fell"


def test_a_silent_venue_is_judged_by_its_last_price() -> None:
    state = told({MARKET: 100.0, BYBIT: 100.0, OKX: 100.0})
    tell(state, {BYBIT: 99.2, OKX: 99.2}, start=NOW, seconds=10.0)

    (found,) = judged(POLICY, state, NOW + 10.0)

    assert found.subject.market == MARKET
    silent = next(one for one in found.evidence if one.name == "silent for")
    assert float(silent.value) == pytest.approx(10.0, abs=0.1)

    still = told({MARKET: 100.0, BYBIT: 100.0, OKX: 100.0})
    tell(still, {BYBIT: 99.7, OKX: 99.7}, start=NOW, seconds=10.0)
    assert judged(POLICY, still, NOW + 10.0) == []


def test_a_venue_far_off_in_most_of_its_coins_is_paused_as_a_whole() -> None:
    eths = [MarketId(f"{venue}:ETH/USDT:USDT") for venue in ("bybit", "okx")]
    prices = {BYBIT: 100.0, OKX: 100.0, **dict.fromkeys(eths, 100.0)}

    one = told({MARKET: 95.0, ETH: 100.0, **prices})
    both = told({MARKET: 95.0, ETH: 95.0, **prices})

    assert [found.subject.venue for found in judged(POLICY, one, NOW)] == [None]
    whole = by_subject(judged(POLICY, both, NOW))[venue_of(MARKET), None, None]
    assert (whole.severity, whole.limit.entries) == (Severity.CRITICAL, Entries.REDUCE_ONLY)


# ---------------------------------------------------------------- stops


def stop_finding(state: GuardState, seconds: float = NOW) -> Finding | None:
    return next((one for one in judged(POLICY, state, seconds) if one.subject.account is not None), None)


@pytest.mark.parametrize(("size", "here", "stop"), [(10.0, 97.0, 96.0), (-10.0, 103.0, 104.0)])
def test_a_stop_that_the_price_can_reach_moves_beyond_it_with_a_smaller_position(
    size: float, here: float, stop: float
) -> None:
    state = told({MARKET: here, BYBIT: 100.0, OKX: 100.0})
    held(state, size, stop=stop)

    found = stop_finding(state)

    assert found is not None
    rule, left = found.limit.stop, found.limit.max_size
    assert rule is not None
    assert rule.stop_price is not None
    assert left is not None
    assert abs(rule.stop_price / here - 1.0) == pytest.approx(1.5 * abs(here / 100.0 - 1.0), rel=1e-6)
    assert 0.0 < left < 10.0
    assert [offer.remedy for offer in found.offers] == [Remedy.MOVE_STOP_ELSEWHERE, Remedy.HEDGE_ELSEWHERE]
    assert all(
        offer.about in (BYBIT, OKX) and offer.amount_usd == pytest.approx(1_000.0) for offer in found.offers
    )


@pytest.mark.parametrize(("stop", "stands"), [(94.10, True), (94.08, False)])
def test_what_the_counterfactual_of_a_stop_names_is_true(stop: float, stands: bool) -> None:
    state = told({MARKET: 97.0, BYBIT: 100.0, OKX: 100.0})
    held(state, 10.0, stop=96.0)
    found = stop_finding(state)
    assert found is not None
    assert "more than 300 bps" in found.counterfactual

    held(state, 10.0, stop=stop)
    assert (stop_finding(state) is not None) is stands


def test_the_stop_of_a_position_that_the_price_favours_is_left_alone() -> None:
    state = told({MARKET: 97.0, BYBIT: 100.0, OKX: 100.0})
    held(state, -10.0, stop=98.0)

    assert stop_finding(state) is None


def test_without_room_the_stop_stays_and_a_human_is_told() -> None:
    state = told({MARKET: 97.0, BYBIT: 100.0, OKX: 100.0})
    held(state, 10.0, stop=96.0, liquidation=95.0)

    found = stop_finding(state)

    assert found is not None
    assert (found.limit.stop, found.limit.max_size) == (None, None)
    assert found.offers


@given(
    here=st.floats(92.0, 99.0),
    depth=st.floats(0.1, 8.0),
    room=st.floats(0.2, 40.0),
    side=st.sampled_from([1.0, -1.0]),
)
def test_a_moved_stop_is_within_its_room_and_never_a_greater_risk(
    here: float, depth: float, room: float, side: float
) -> None:
    price = 100.0 + side * (here - 100.0)
    if side not in _STATES:
        _STATES[side] = told({MARKET: 100.0, BYBIT: 100.0, OKX: 100.0})
    state = _STATES[side]
    # Times may not fall: prices are told anew, as if at once.
    state.apply(features(NOW, price))
    state.apply(mark(NOW, price))
    stop, liquidation = price * (1.0 - side * depth / 100.0), price * (1.0 - side * (depth + room) / 100.0)
    shown = position(side * 10.0, liquidation_price=liquidation)
    hold(state, NOW, shown, orders=(order("s1", -side * 10.0, stop_price=stop, reduce_only=True),))

    found = stop_finding(state)

    if found is None or found.limit.stop is None or found.limit.stop.stop_price is None:
        return
    left = found.limit.max_size
    assert left is not None
    wanted = side * (price - found.limit.stop.stop_price) / price * 100.0
    assert depth < wanted <= (depth + room) * 0.75 + 1e-9
    leaving = (
        next(float(one.value) for one in found.evidence if one.name == "exit cost of the position") / 100.0
    )
    assert left * (wanted + leaving) <= 10.0 * (depth + leaving) * (1.0 + 1e-9)
    assert left <= 10.0


_STATES: dict[float, GuardState] = {}
