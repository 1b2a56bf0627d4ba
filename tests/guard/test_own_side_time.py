"""Time to liquidation as the whole guard tells it: how fast a held market moves, and how long a cut has taken."""

from __future__ import annotations

from math import exp, log

import pytest

from guard.account.risk import LegRisk
from guard.account.time_to_liquidation import NOT_FORESEEN_S
from guard.events import AnyEvent, MarginMode
from guard.market.speed import stressed_floor
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    MARKET,
    Guard,
    SaysWhatItIsTold,
    at,
    born,
    features,
    finding,
    flat_terms,
    mark,
    position,
    reported,
    snapshot,
    started,
    tick,
)

FALL_PER_S = 2e-4


def held(seconds: float, mark_price: float) -> AnyEvent:
    """A long that is liquidated at 90 / 0.99 of what it was opened at."""
    leg = position(
        1.0, entry_price=100.0, mark_price=mark_price, margin_mode=MarginMode.ISOLATED, margin_usd=10.0
    )
    return snapshot(seconds, leg)


def after_a_minute(price_seen: str) -> LegRisk:
    """A market that falls evenly, seen by its mark price or only by its book."""
    guard = Guard.of()
    guard.feed(flat_terms(MARKET), held(0.0, 100.0))
    for step in range(240):
        seconds = step / 4
        price = 100.0 * exp(-FALL_PER_S * seconds)
        seen = features(seconds, price) if price_seen == "book" else mark(seconds, price)
        guard.feed(seen, tick(seconds))
        if step % 40 == 0:
            guard.feed(held(seconds, price))
    risk = guard.engine.state.own.risk(ACCOUNT)
    assert risk is not None
    [leg] = risk.legs
    return leg


@pytest.mark.parametrize("price_seen", ["mark", "book"])
def test_the_time_that_is_left_is_the_way_over_the_speed(price_seen: str) -> None:
    leg = after_a_minute(price_seen)
    assert leg.price == pytest.approx(90.0 / 0.99)
    assert leg.distance_bps is not None
    way = -log(1.0 - leg.distance_bps / 10_000.0)
    # The median of three prices lags by one of them; the minute is not over for the slower horizon.
    assert leg.seconds_now == pytest.approx(way / FALL_PER_S, rel=0.02)
    assert leg.seconds_stressed == pytest.approx(way / max(FALL_PER_S, stressed_floor(MARKET)), rel=0.02)


def test_a_market_that_stands_still_is_weeks_away_and_still_near_under_stress() -> None:
    guard = Guard.of()
    guard.feed(flat_terms(MARKET), held(0.0, 100.0))
    for step in range(80):
        guard.feed(mark(step / 4), tick(step / 4))
    risk = guard.engine.state.own.risk(ACCOUNT)
    assert risk is not None
    assert risk.legs[0].seconds_now == NOT_FORESEEN_S
    assert risk.legs[0].seconds_stressed == pytest.approx(log(0.99 / 0.9) / stressed_floor(MARKET), rel=1e-6)


def test_a_cut_is_timed_from_its_cause_until_the_position_is_seen_to_be_smaller() -> None:
    guard = Guard.of(policies=[SaysWhatItIsTold([finding(max_size=1.0, bot=ALPHA)])])
    guard.feed(started(0.0), born(0.0), reported(0.5, size=2.0))
    guard.ticks(0.75, 1.5)
    begun_at = next(step.at for step in guard.steps if step.commands)
    assert begun_at == at(0.0), "a limit is said before anyone knows of a position"
    guard.feed(reported(2.0, size=1.0))
    guard.ticks(2.0, 2.5)
    measured = guard.engine.state.own.action_times.action_time((ALPHA,))
    assert (measured.is_assumed, measured.count) == (True, 1)
    known = guard.engine.state.own.action_times
    known.confirmed_min = 1
    assert 2.0 <= known.action_time((ALPHA,)).seconds <= 2.0 * 1.11
