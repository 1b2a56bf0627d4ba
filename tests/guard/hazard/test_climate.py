"""Which kind of market it is: what ordinary shocks, quiet and a crash make of it, over markets and restarts."""

from __future__ import annotations

import pytest

from guard.forecasts import Direction
from guard.hazard.climate import (
    FITTED_AT_FIRST,
    FITTED_LEAST,
    FITTED_MOST,
    FITTED_REACH,
    LIFE_REACH,
    Climate,
    ClimateState,
)
from guard.hazard.features import REACH_DISTANCES
from guard.units import NS_PER_S, MarketId, Nanoseconds

BTC, WIF = MarketId("bybit:BTC/USDT:USDT"), MarketId("bybit:WIF/USDT:USDT")
HOUR_S = 3600


def at(seconds: float) -> Nanoseconds:
    return round(seconds * NS_PER_S)


def shock(
    climate: Climate, begins_s: float, reach: float, market: MarketId = WIF, way: Direction = Direction.DOWN
) -> float:
    """A shock that goes as far within ten minutes and stays there, to its end; what is thought then."""
    climate.begin(market, way, at(begins_s), 100.0)
    for step in range(1, 62):
        gone = reach * min(step / 20, 1.0)
        climate.follow(market, at(begins_s + 30 * step), 100.0 * (1.0 + way.sign * gone))
    return climate.weight(at(begins_s + 1830))


def lived(shocks: int, every_s: float = 2 * HOUR_S) -> tuple[Climate, float]:
    """A guard that has seen so many ordinary shocks, and when the next would come."""
    climate = Climate()
    for number in range(shocks):
        shock(climate, number * every_s, 0.012)
    return climate, shocks * every_s


def test_a_guard_begins_with_ignorance_and_learns_life_from_ordinary_shocks() -> None:
    """Before anything the fitted kind is thought likely; five shocks that die away are enough to think otherwise."""
    weights = [lived(number)[0].weight(at(number * 2 * HOUR_S)) for number in range(9)]
    assert weights[0] == pytest.approx(FITTED_AT_FIRST)
    assert weights == sorted(weights, reverse=True)
    assert weights[5] < 0.05
    assert weights[8] == pytest.approx(FITTED_LEAST)


def test_hours_without_shocks_say_the_same_slowly_and_what_nobody_saw_does_not() -> None:
    """A day of quiet tells life; a day without readings tells nothing."""
    watched, blind = Climate(), Climate()
    for minute in range(24 * 60 + 1):
        watched.follow(BTC, at(minute * 60), 100.0)
    for hour in range(25):
        blind.follow(BTC, at(hour * HOUR_S), 100.0)
    for climate, price in ((blind, None), (blind, 0.0)):
        climate.follow(BTC, at(24 * HOUR_S + 5), price)
    assert watched.weight(at(24 * HOUR_S)) < 0.1
    assert blind.weight(at(24 * HOUR_S)) == pytest.approx(FITTED_AT_FIRST)


@pytest.mark.parametrize("way", list(Direction))
def test_one_price_alone_turns_no_market(way: Direction) -> None:
    """A wick, or a price that was wrong; two in a row are a fall."""
    climate, now_s = lived(10)
    climate.begin(BTC, way, at(now_s), 100.0)
    for step, gone in enumerate((0.0, 0.002, 0.2, 0.001, 0.0, 0.5), 1):
        climate.follow(BTC, at(now_s + 5 * step), 100.0 * (1.0 + way.sign * gone))
        assert climate.weight(at(now_s + 5 * step)) < 0.02
    climate.follow(BTC, at(now_s + 35), 100.0 * (1.0 + way.sign * 0.2))
    assert climate.weight(at(now_s + 35)) > 0.5


@pytest.mark.parametrize("way", list(Direction))
def test_one_shock_that_goes_on_turns_all_markets_within_minutes(way: Direction) -> None:
    """In a guard that lived in life 5 % of the first market raise it fifty times, 20 % of the second make it sure."""
    climate, now_s = lived(10)
    climate.begin(BTC, way, at(now_s), 100.0)
    told = []
    for step in range(1, 25):
        climate.follow(BTC, at(now_s + 5 * step), 100.0 * (1.0 + way.sign * 0.0025 * step))
        told.append(climate.weight(at(now_s + 5 * step)))
    assert told[3] < told[7] < told[11] < told[19] <= told[23] * 1.01, "the farther, the likelier"
    assert told[0] < 0.01
    assert told[20] > 0.4, "5 % after 100 s, and not less at the next price"
    shock(climate, now_s + 200, 0.2)
    assert climate.weight(at(now_s + 2100)) > 0.85


def test_shocks_of_one_hour_are_one_happening() -> None:
    """Ten markets that shake together and calm down say no more than one of them."""
    together, alone = Climate(), Climate()
    markets = [MarketId(f"bybit:{name}/USDT:USDT") for name in "ABCDEFGHIJ"]
    for market in markets:
        together.begin(market, Direction.DOWN, at(0), 100.0)
    for step in range(62):
        for market in markets:
            together.follow(market, at(30 * step), 100.0)
    assert together.weight(at(1860)) == pytest.approx(shock(alone, 0, 0.0), rel=1e-6)


def test_an_hour_after_a_crash_it_is_remembered_and_ordinary_shocks_take_it_down_again() -> None:
    """What was learned holds without readings; six ordinary shocks later it is life again."""
    climate, now_s = lived(10)
    shock(climate, now_s, 0.15)
    shock(climate, now_s + 2 * HOUR_S, 0.15)
    assert climate.weight(at(now_s + 4 * HOUR_S)) == pytest.approx(FITTED_MOST)
    for number in range(8):
        shock(climate, now_s + (4 + 2 * number) * HOUR_S, 0.012)
    assert climate.weight(at(now_s + 20 * HOUR_S)) < 0.02


def test_a_shock_that_nobody_saw_end_says_only_what_was_seen_of_it() -> None:
    """Prices after a gap, and of a market that is watched no more, are not held for what a shock did."""
    gap, forgotten = Climate(), Climate()
    for climate in (gap, forgotten):
        climate.begin(WIF, Direction.DOWN, at(0), 100.0)
        climate.follow(WIF, at(30), 99.9)
    before = gap.weight(at(30))
    forgotten.forget(WIF)
    for climate in (gap, forgotten):
        climate.follow(WIF, at(120), 50.0)
        assert climate.weight(at(120)) == pytest.approx(before)


def test_what_was_learned_outlives_a_restart_and_odd_numbers_do_not() -> None:
    """A cluster that is open counts as what it is by now."""
    climate, now_s = lived(10)
    climate.begin(BTC, Direction.UP, at(now_s), 100.0)
    climate.follow(BTC, at(now_s + 30), 107.0)
    after = Climate()
    after.restore(climate.state())
    assert after.weight(at(now_s + 40)) == pytest.approx(climate.weight(at(now_s + 40)))
    for odd in (0.0, 1.0, -1.0, float("nan"), float("inf")):
        after.restore(ClimateState(fitted=odd))
    assert after.weight(at(now_s + 40)) == pytest.approx(climate.weight(at(now_s + 40)))


def test_tables_fall_and_lie_apart_everywhere() -> None:
    """Each farther distance is rarer in both kinds, and rarer in life."""
    assert len(LIFE_REACH) == len(FITTED_REACH) == len(REACH_DISTANCES)
    for table in (LIFE_REACH, FITTED_REACH):
        assert list(table) == sorted(set(table), reverse=True)
    assert all(life < fitted for life, fitted in zip(LIFE_REACH, FITTED_REACH, strict=True))
