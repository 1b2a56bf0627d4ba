"""Speed of a price: exact for a steady move, deaf to one bad print, and never below what has been seen before."""

from __future__ import annotations

from math import exp, inf, isfinite, nan

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guard.market.speed import PEAK_HALF_LIFE_NS, PriceSpeed, Speeds, stressed_floor
from guard.units import NS_PER_MS, NS_PER_S, MarketId

SOL = MarketId("hyperliquid:SOL/USDC:USDC")
BTC = MarketId("binanceusdm:BTC/USDT:USDT")


def moving(per_s: float, *, seconds: float = 300.0, every_s: float = 1.0, floor: float = 0.0) -> PriceSpeed:
    """A market whose mark price has moved evenly."""
    speed, steps = PriceSpeed(floor=floor), round(seconds / every_s)
    for step in range(steps + 1):
        speed.observe(100.0 * exp(per_s * step * every_s), round(step * every_s * NS_PER_S))
    return speed


@pytest.mark.parametrize("every_s", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("per_s", [2e-4, -2e-4])
def test_a_steady_move_has_its_own_speed_however_often_it_is_told(per_s: float, every_s: float) -> None:
    now = moving(per_s, every_s=every_s).speeds(300 * NS_PER_S)
    hurts, helps = (now.up, now.down) if per_s > 0 else (now.down, now.up)
    assert hurts == pytest.approx(abs(per_s), rel=1e-3)
    assert helps == 0.0


def test_a_fall_that_has_just_begun_shows_within_seconds() -> None:
    speed = moving(0.0)
    for second in range(1, 11):
        speed.observe(100.0 * exp(-1e-3 * second), (300 + second) * NS_PER_S)
    down = speed.speeds(310 * NS_PER_S).down
    assert down is not None
    assert 0.5e-3 < down < 1e-3


def test_one_bad_print_moves_nothing_and_two_do() -> None:
    for prints, moves in ((1, False), (2, True)):
        speed = moving(0.0, floor=1e-9)
        for print_ in range(prints):
            speed.observe(10.0, (301 + print_) * NS_PER_S)
        for second in range(3):
            speed.observe(100.0, (301 + prints + second) * NS_PER_S)
        assert (speed.speeds(305 * NS_PER_S).stressed_down > 1e-6) is moves


def test_mark_and_mid_are_followed_apart_and_the_faster_counts() -> None:
    speed = PriceSpeed(floor=0.0)
    for second in range(120):
        speed.observe(100.0, second * NS_PER_S)
        speed.observe_mid(101.0 * exp(-3e-4 * second), second * NS_PER_S + 500 * NS_PER_MS)
    now = speed.speeds(120 * NS_PER_S)
    assert now.down == pytest.approx(3e-4, rel=1e-3)
    assert now.up == 0.0


def test_nothing_is_known_before_some_seconds_and_after_an_outage() -> None:
    speed = PriceSpeed.of(SOL)
    assert speed.speeds(0) == Speeds(None, None, stressed_floor(SOL), stressed_floor(SOL))
    for second in range(5):
        speed.observe(100.0, second * NS_PER_S)
    assert speed.speeds(5 * NS_PER_S).down is None
    known = moving(-1e-4)
    assert known.speeds(310 * NS_PER_S).down is not None
    assert known.speeds(400 * NS_PER_S).down is None
    assert known.speeds(400 * NS_PER_S).stressed_down == pytest.approx(1e-4, rel=1e-2)


def test_the_fastest_move_is_forgotten_slowly_and_never_below_the_floor() -> None:
    speed = moving(-1e-3, floor=2e-4)
    end = 300 * NS_PER_S
    assert speed.speeds(end).stressed_down == pytest.approx(1e-3, rel=1e-3)
    assert speed.speeds(end + PEAK_HALF_LIFE_NS).stressed_down == pytest.approx(5e-4, rel=1e-2)
    assert speed.speeds(end + 10 * PEAK_HALF_LIFE_NS).stressed_down == 2e-4
    assert speed.speeds(end).stressed_up == 2e-4


def test_the_floor_is_the_day_that_it_was_taken_from() -> None:
    assert 1.0 - exp(-720.0 * stressed_floor(SOL)) == pytest.approx(0.26)
    assert 1.0 - exp(-720.0 * stressed_floor(BTC)) == pytest.approx(0.131)


def test_what_is_no_price_or_older_is_ignored() -> None:
    speed = moving(0.0)
    for second, price in (
        (301, nan),
        (301, inf),
        (301, 0.0),
        (301, -5.0),
        (301, 5e-324),
        (301, 1e300),
        (200, 50.0),
    ):
        speed.observe(price, second * NS_PER_S)
    speed.observe(100.0, 302 * NS_PER_S)
    assert speed.speeds(302 * NS_PER_S).down == 0.0


@example([(10**9, 1e300, True), (10**9, 1e300, True), (10**9, 5e-324, True), (10**9, 5e-324, True)] * 5)
@given(st.lists(st.tuples(st.integers(0, 10**11), st.floats(), st.booleans()), max_size=40))
def test_odd_numbers_never_make_a_speed_that_is_none(steps: list[tuple[int, float, bool]]) -> None:
    speed, at = PriceSpeed.of(BTC), 0
    for step, price, is_mark in steps:
        at += step
        (speed.observe if is_mark else speed.observe_mid)(price, at)
        now = speed.speeds(at)
        for each in (now.down, now.up, now.stressed_down, now.stressed_up):
            assert each is None or (isfinite(each) and each >= 0.0)
        assert min(now.stressed_down, now.stressed_up) >= stressed_floor(BTC)
        assert now.down is None or now.stressed_down >= now.down


def test_a_step_goes_on_for_no_longer_than_it_was_looked_at_and_a_slide_does() -> None:
    step = moving(0.0)
    for number in range(4):
        step.observe(97.0, (301 + number) * NS_PER_S)
    slide = moving(-1e-3)
    stepped, slid = step.speeds(304 * NS_PER_S), slide.speeds(300 * NS_PER_S)

    assert stepped.down is not None
    assert stepped.lasting(5.0, down=True) == stepped.down
    assert 90.0 * stepped.lasting(90.0, down=True) < 1.6 * 0.0305 < 90.0 * stepped.down
    assert stepped.lasting(90.0, down=False) == 0.0
    assert slid.lasting(90.0, down=True) == pytest.approx(1e-3, rel=0.02)
    later = step.speeds(3_600 * NS_PER_S)
    assert later.lasting_stressed(90.0, 0.0, down=True) < later.stressed_down
    assert later.lasting_stressed(90.0, 4e-4, down=True) >= 4e-4
