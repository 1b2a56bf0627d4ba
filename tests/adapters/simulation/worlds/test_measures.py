"""What is measured of episodes written by hand is what was written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.truth import ClosedBy
from adapters.simulation.worlds.anchors import Figure
from adapters.simulation.worlds.drawing import draw_episode
from adapters.simulation.worlds.measured_market import UNSEEN_BPS
from adapters.simulation.worlds.measures import CASCADE, Measures, market_of
from tests.adapters.simulation.worlds.made_up import MARKET, empty, liquidated, opened, sample, valued

ONSET = 3_600.0
DURATION = 9_000.0


def an_episode(scenario: str = "october-2025", symbol: str = "WIFUSDT") -> Episode:
    drawn = draw_episode("volatility", scenario, 1, symbols=[symbol], venues=["binanceusdm"])
    return replace(drawn, onset_s=ONSET, duration_s=DURATION)


def measured(episode: Episode, mid: Callable[[float], float], **shape: Callable[[float], float]) -> Measures:
    """One sample in five seconds, each property a function of the time."""
    measures = Measures(episode)
    for step in range(int(DURATION / 5)):
        seconds = step * 5.0 + 1.0
        given = {name: value(seconds) for name, value in shape.items()}
        measures.take(sample(episode, seconds, mid(seconds), **given))  # type: ignore[arg-type]
    return measures


def within(first_s: float, last_s: float, inside: float, outside: float) -> Callable[[float], float]:
    return lambda seconds: inside if ONSET + first_s <= seconds < ONSET + last_s else outside


def test_the_worst_ten_minutes_are_found_and_averaged() -> None:
    figures = measured(
        an_episode(),
        lambda _: 1.0,
        spread_bps=within(600, 1_200, 200.0, 8.0),
        cost_bps=within(600, 1_200, 250.0, 9.0),
        depth_usd=within(600, 1_200, 5_000.0, 100_000.0),
    ).figures()
    assert figures[Figure.SPREAD_BPS_SMALL] == pytest.approx(200.0)
    assert figures[Figure.ROUND_TRIP_BPS_SMALL] == pytest.approx(500.0)
    assert figures[Figure.DEPTH_LOSS_1PCT] == pytest.approx(0.95)
    assert figures[Figure.DEPTH_LOSS_5PCT] == pytest.approx(0.95)
    assert figures[Figure.REFILL_MIN] == pytest.approx(10.0)


def test_five_worst_minutes_count_for_half_of_ten() -> None:
    figures = measured(an_episode(), lambda _: 1.0, cost_bps=within(600, 900, 250.0, 10.0)).figures()
    assert figures[Figure.ROUND_TRIP_BPS_SMALL] == pytest.approx((500.0 + 20.0) / 2, rel=0.01)


def test_what_was_thin_before_the_onset_does_not_count() -> None:
    figures = measured(an_episode(), lambda _: 1.0, cost_bps=within(-900, 0, 400.0, 10.0)).figures()
    assert figures[Figure.ROUND_TRIP_BPS_SMALL] == pytest.approx(20.0)


def test_a_side_that_does_not_hold_the_amount_costs_a_tenth() -> None:
    episode = an_episode()
    measures = Measures(episode)
    for step in range(int(DURATION / 5)):
        seconds = step * 5.0 + 1.0
        cost = None if ONSET <= seconds < ONSET + 600 else 10.0
        measures.take(sample(episode, seconds, 1.0, cost_bps=cost))
    assert measures.figures()[Figure.ROUND_TRIP_BPS_SMALL] == pytest.approx(2 * UNSEEN_BPS)


def test_an_empty_book_rests_nothing() -> None:
    episode = an_episode()
    measures = Measures(episode)
    for step in range(int(DURATION / 5)):
        seconds = step * 5.0 + 1.0
        is_empty = ONSET <= seconds < ONSET + 600 and step % 2
        measures.take(
            empty(episode, seconds)
            if is_empty
            else sample(episode, seconds, 1.0, cost_bps=10.0 + (ONSET <= seconds < ONSET + 600))
        )
    figures = measures.figures()
    assert figures[Figure.DEPTH_LOSS_1PCT] == pytest.approx(0.5, abs=0.01)


def test_falls_and_rises_are_told_from_the_onset() -> None:
    crash = measured(an_episode(), within(300, 900, 0.5, 1.0)).figures()
    assert crash[Figure.FALL_SMALL] == pytest.approx(0.5)
    assert crash[Figure.RISE_SMALL] == pytest.approx(0.0)
    assert crash[Figure.TROUGH_MIN] == pytest.approx(0.0)
    squeeze = measured(an_episode("squeeze"), within(300, 900, 1.3, 1.0)).figures()
    assert squeeze[Figure.RISE_SMALL] == pytest.approx(0.3)
    assert squeeze[Figure.FALL_SMALL] == pytest.approx(0.0)


def test_a_fall_within_twelve_minutes_is_less_than_all_of_a_slow_one() -> None:
    def sinking(seconds: float) -> float:
        return 200.0 * (1.0 - 0.4 * min(1.0, max(0.0, seconds - ONSET) / 2_400.0))

    episode = an_episode(symbol="SOLUSDT")
    measures = Measures(episode)
    market = next(iter(measures.markets))
    for step in range(int(DURATION / 5)):
        seconds = step * 5.0 + 1.0
        measures.take(sample(episode, seconds, sinking(seconds), market=market))
    figures = measures.figures()
    # The last 12 of the 40 minutes: from 72 to 60 % of the price.
    assert figures[Figure.FALL_SOL_12MIN] == pytest.approx(1.0 - 0.6 / 0.72, abs=0.005)


def test_open_interest_is_compared_forty_minutes_on() -> None:
    episode = an_episode()
    measures = measured(episode, lambda seconds: 1.0 if seconds < ONSET else 0.5)
    for step in range(int(DURATION / 10)):
        seconds = step * 10.0
        size = 1e6 if seconds < ONSET + 2_000 else 4e5
        measures.take(opened(episode, seconds, size))
    figures = measures.figures()
    assert figures[Figure.OPEN_INTEREST_LOSS_SMALL] == pytest.approx(0.6)
    assert figures[Figure.OPEN_INTEREST_LOSS_USD] == pytest.approx(0.6)


def test_liquidations_are_counted_and_shared_out() -> None:
    episode = an_episode()
    measures = measured(episode, lambda _: 1.0)
    measures.take(opened(episode, 0.0, 10_000.0))
    measures.liquidation(liquidated(episode, 100.0, 100.0, 1.0))
    for number in range(60):
        measures.liquidation(liquidated(episode, ONSET + 300 + number * 0.5, 10.0, 1.0, position=number))
    measures.liquidation(liquidated(episode, ONSET + 360.0, 200.0, 1.0, ClosedBy.DELEVERAGE))
    measures.liquidation(liquidated(episode, ONSET + 400.0, -100.0, 1.0))
    figures = measures.figures()
    assert figures[Figure.LIQUIDATIONS_MINUTE] == 60
    assert figures[Figure.LONGS_SHARE] == pytest.approx(800 / 900)
    assert figures[Figure.BOOK_SHARE] == pytest.approx(700 / 900)
    assert figures[Figure.LIQUIDATED_SHARE_40MIN] == pytest.approx(900 / 1_000)
    assert figures[Figure.FIRST_DELEVERAGE_S] == pytest.approx(60.0)
    assert figures[Figure.LIQUIDATED_OI_SHARE_MAX] == pytest.approx(0.09)


def test_a_position_that_is_closed_in_parts_counts_once_in_a_minute() -> None:
    episode = an_episode()
    measures = measured(episode, lambda _: 1.0)
    for number in range(400):  # three positions, and the first one's number at another market, in 80 s
        market = market_of("bybit", "WIFUSDT") if number % 4 == 3 else MARKET
        told = liquidated(
            episode, ONSET + 292.0 + number * 0.2, 1.0, 1.0, market=market, position=number % 4 % 3
        )
        measures.liquidation(told)
    assert measures.figures()[Figure.LIQUIDATIONS_MINUTE] == 4


@pytest.mark.parametrize("shift_s", range(0, 60, 5))
def test_two_of_a_minute_are_counted_wherever_it_begins(shift_s: float) -> None:
    episode = an_episode()
    for apart_s, most in ((50.0, 2), (60.0, 1)):
        measures = measured(episode, lambda _: 1.0)
        for at_s, position in ((0.0, 1), (apart_s, 2), (apart_s + 60.0, 2), (apart_s + 300.0, 1)):
            measures.liquidation(
                liquidated(episode, ONSET + 300.0 + shift_s + at_s, 1.0, 1.0, position=position)
            )
        assert measures.figures()[Figure.LIQUIDATIONS_MINUTE] == most


def test_a_single_early_liquidation_is_no_wave() -> None:
    episode = an_episode()
    measures = measured(episode, lambda _: 1.0)
    measures.liquidation(liquidated(episode, ONSET + 10.0, 1.0, 1.0))
    for number in range(50):
        measures.liquidation(liquidated(episode, ONSET + 600 + number * 0.1, 1.0, 1.0, position=number))
    measures.liquidation(liquidated(episode, ONSET + 700.0, 1.0, 1.0, ClosedBy.DELEVERAGE))
    assert measures.figures()[Figure.FIRST_DELEVERAGE_S] == pytest.approx(100.0)


@pytest.mark.parametrize(("value", "cascades"), [(0.9, False), (0.95, True)])
def test_a_fall_cascades_where_price_goes_beyond_value(value: float, cascades: bool) -> None:
    episode = an_episode()
    measures = measured(episode, within(300, 900, 0.88, 1.0))
    for minute in range(int(DURATION / 60)):
        seconds = minute * 60.0
        measures.book(valued(episode, seconds, within(300, 900, value, 1.0)(seconds)))
    assert measures.cascades is cascades
    assert (measures.figures()[Figure.OVERSHOOT_MAX] >= CASCADE) is cascades


def test_departures_from_value_are_counted_before_the_onset() -> None:
    away = (within(-900, -800, 1.06, 1.0), within(-600, -540, 0.93, 1.0), within(-540, -480, 0.96, 1.0))

    def mid(seconds: float) -> float:
        # Twice far from value; in between and after the second time it does not come back by half at once.
        return away[0](seconds) * away[1](seconds) * away[2](seconds) * within(-480, -420, 0.94, 1.0)(seconds)

    episode = an_episode()
    measures = measured(episode, lambda seconds: mid(seconds) * within(300, 900, 0.8, 1.0)(seconds))
    for at in range(int(DURATION / 10)):
        measures.book(valued(episode, at * 10.0, 1.0))
    assert measures.departures == 2
    assert measured(episode, mid).departures == 0


def test_depth_ratio_is_told_by_half_minutes() -> None:
    episode = an_episode(symbol="SOLUSDT")
    measures = Measures(episode)
    market = next(iter(measures.markets))
    for step in range(int(DURATION / 5)):
        seconds = step * 5.0 + 1.0
        depth = within(600, 630, 1_000.0, 500_000.0)(seconds)
        measures.take(sample(episode, seconds, 200.0, depth_usd=depth, market=market))
    assert measures.figures()[Figure.DEPTH_RATIO_SOL] == pytest.approx(500.0)


def test_an_episode_without_an_onset_has_no_figures() -> None:
    episode = replace(an_episode(), onset_s=None)
    assert measured(episode, lambda _: 1.0).figures() == {}


def test_an_episode_that_told_nothing_has_no_figures_of_it() -> None:
    figures = Measures(an_episode()).figures()
    assert Figure.FALL_SMALL not in figures
    assert Figure.DEPTH_LOSS_1PCT not in figures
    assert figures[Figure.OVERSHOOT_MAX] == 0.0
