"""Outcomes over arrays are what a plain reading of the definitions gives, and the online ones say the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.forecasts import Direction
from guard.skill.outcomes import (
    ALARM_REFRACTORY_S,
    ALARM_VALID_S,
    GAP_S_MAX,
    Floats,
    PriceRing,
    Times,
    alarm_event_detector,
    alarm_events,
    farthest,
    hazard_truth,
    judge_alarms,
    onset_detector,
    onsets,
    reach_truth,
)
from guard.units import NS_PER_S

BOTH = pytest.mark.parametrize("direction", list(Direction))


def walk(seed: int, count: int, *, gaps: bool = False) -> tuple[Times, Floats]:
    """A path that falls and rises by percents, at 5 to 15 s, with silences if wanted."""
    chance = np.random.default_rng(seed)
    step_s = chance.choice([5, 10, 15], count)
    if gaps:
        step_s[chance.random(count) < 0.01] = 400
    at = np.cumsum(step_s).astype(np.int64) * NS_PER_S + 1_700_000_000 * NS_PER_S
    return at, 100.0 * np.exp(np.cumsum(chance.standard_t(3, count) * 0.002))


def mirrored(prices: Floats, direction: Direction) -> Floats:
    return prices if direction is Direction.DOWN else 200.0 - prices


def plain_farthest(at: Times, prices: Floats, direction: Direction, horizon_s: float) -> list[float | None]:
    found: list[float | None] = []
    for now, price in zip(at, prices, strict=True):
        window = (at > now) & (at <= now + horizon_s * NS_PER_S)
        upto = at[(at >= now) & (at <= at[at >= min(at[-1], now + horizon_s * NS_PER_S)][0])]
        if at[-1] < now + horizon_s * NS_PER_S or np.any(np.diff(upto) > GAP_S_MAX * NS_PER_S):
            found.append(None)
            continue
        moves = (prices[window] - price) * direction.sign / price
        found.append(max(0.0, float(moves.max())) if len(moves) else 0.0)
    return found


@BOTH
@given(seed=st.integers(0, 10_000), horizon_s=st.sampled_from([7, 60, 300, 900]))
@settings(max_examples=15, deadline=None)
def test_farthest_is_what_the_definition_says(direction: Direction, seed: int, horizon_s: int) -> None:
    at, prices = walk(seed, 200, gaps=True)
    truth = farthest(at, prices, direction, horizon_s)
    expected = plain_farthest(at, prices, direction, horizon_s)
    assert [value is not None for value in expected] == truth.known.tolist()
    for value, said in zip(expected, truth.value, strict=True):
        assert value is None or said == pytest.approx(value, abs=1e-12)


@BOTH
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_a_ring_says_what_the_arrays_say(direction: Direction, seed: int) -> None:
    at, prices = walk(seed, 300, gaps=True)
    truth = farthest(at, prices, direction, 300)
    ring, said = PriceRing(100), np.full(len(at), -1.0)
    due: list[int] = []
    for index, (now, price) in enumerate(zip(at.tolist(), prices.tolist(), strict=True)):
        ring.update(now, price)
        while due and at[due[0]] + 300 * NS_PER_S <= now:
            start = due.pop(0)
            extremes = ring.extremes(int(at[start]), int(at[start]) + 300 * NS_PER_S)
            if extremes is not None:
                least, greatest = extremes
                far = (prices[start] - least) if direction is Direction.DOWN else greatest - prices[start]
                said[start] = max(0.0, far / prices[start])
        due.append(index)
    assert (said >= 0).tolist() == truth.known.tolist()
    assert said[truth.known] == pytest.approx(truth.value[truth.known], abs=1e-12)


def test_a_ring_that_is_too_short_says_that_it_does_not_know() -> None:
    ring = PriceRing(10)
    for second in range(0, 100, 5):
        ring.update(second * NS_PER_S, 100.0)
    assert ring.extremes(0, 50 * NS_PER_S) is None
    assert ring.extremes(60 * NS_PER_S, 90 * NS_PER_S) == (100.0, 100.0)
    assert ring.extremes(60 * NS_PER_S, 96 * NS_PER_S) is None


@BOTH
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_detectors_say_what_the_arrays_say(direction: Direction, seed: int) -> None:
    at, prices = walk(seed, 2000)
    onset, event = onset_detector(direction), alarm_event_detector(direction)
    told = list(enumerate(zip(at.tolist(), prices.tolist(), strict=True)))
    assert onsets(at, prices, direction).tolist() == [i for i, (now, p) in told if onset.update(now, p)]
    assert alarm_events(at, prices, direction).tolist() == [i for i, (now, p) in told if event.update(now, p)]


@BOTH
def test_an_onset_is_a_shock_that_no_other_came_an_hour_before(direction: Direction) -> None:
    at = np.arange(0, 7300, 5, dtype=np.int64) * NS_PER_S
    prices = np.full(len(at), 100.0)
    prices[at >= 600 * NS_PER_S] = 98.5
    prices[at >= 1200 * NS_PER_S] = 96.0
    prices[at >= 4500 * NS_PER_S] = 94.0
    found, reach = reach_truth(at, mirrored(prices, direction), direction)
    assert (at[found] // NS_PER_S).tolist() == [600, 4500]
    start = mirrored(np.array([98.5]), direction)[0]
    assert reach.value[0] == pytest.approx(2.5 / start)
    assert reach.known.tolist() == [True, True]


def test_what_falls_slowly_is_no_onset() -> None:
    at = np.arange(0, 7200, 5, dtype=np.int64) * NS_PER_S
    prices = 100.0 * np.exp(-np.arange(len(at)) * 0.014 / 60)
    assert onsets(at, prices, Direction.DOWN).tolist() == []
    assert alarm_events(at, prices, Direction.DOWN)[0] == np.argmax(prices <= 95.0)


def test_unknown_prices_are_passed_over() -> None:
    at = np.arange(0, 1000, 5, dtype=np.int64) * NS_PER_S
    prices = np.full(len(at), 100.0)
    prices[50:100] = np.nan
    prices[100:] = 98.0
    assert onsets(at, prices, Direction.DOWN).tolist() == [100]
    truth = farthest(at, prices, Direction.DOWN, 300)
    assert truth.known[:100].sum() == 0
    assert truth.known[100:140].all()
    assert not truth.known[141:].any()


def test_hazard_counts_a_fall_of_exactly_as_much() -> None:
    at = np.arange(0, 605, 5, dtype=np.int64) * NS_PER_S
    prices = np.full(len(at), 100.0)
    prices[60] = 98.0
    truth = hazard_truth(at, prices, Direction.DOWN, 0.02, 300)
    assert truth.value[:60].tolist() == [1.0] * 60
    assert truth.known.sum() == 61
    assert hazard_truth(at, prices, Direction.DOWN, 0.021, 300).value.sum() == 0
    assert hazard_truth(at, prices, Direction.UP, 0.02, 300).value[60] == 1.0


def scored(highs_s: list[tuple[int, int]]) -> tuple[Times, Floats]:
    at = np.arange(0, 20_000, 5, dtype=np.int64)
    scores = np.zeros(len(at))
    for low, high in highs_s:
        scores[(at >= low) & (at < high)] = 1.0
    return at * NS_PER_S, scores


def test_an_alarm_is_true_if_its_event_comes_while_it_stands() -> None:
    event_at = np.array([6000 * NS_PER_S])
    at, scores = scored([(5000, 5100), (5500, 6200)])
    judged = judge_alarms(at, scores, 0.5, event_at)
    assert (judged.alarm_at // NS_PER_S).tolist() == [5000]
    assert judged.true.tolist() == [True]
    assert judged.lead_s.tolist() == [1000.0]
    assert judged.false == 0


def test_an_alarm_without_event_is_false_and_one_at_the_end_undecided() -> None:
    at, scores = scored([(1000, 1005), (19_900, 19_990)])
    judged = judge_alarms(at, scores, 0.5, np.zeros(0, dtype=np.int64))
    assert judged.false == 1
    assert judged.undecided.tolist() == [False, True]


def test_scores_while_an_event_is_under_way_raise_nothing_and_after_it_do() -> None:
    event_at = np.array([1000 * NS_PER_S])
    end_s = 1000 + int(ALARM_REFRACTORY_S)
    at, scores = scored([(1000, end_s + 100)])
    judged = judge_alarms(at, scores, 0.5, event_at)
    assert (judged.alarm_at // NS_PER_S).tolist() == [end_s]
    assert judged.false == 1
    assert np.isnan(judged.lead_s[0])


def test_a_score_that_stays_up_is_another_alarm_when_the_first_has_run_out() -> None:
    at, scores = scored([(1000, 1000 + 2 * int(ALARM_VALID_S))])
    judged = judge_alarms(at, scores, 0.5, np.zeros(0, dtype=np.int64))
    assert (judged.alarm_at // NS_PER_S).tolist() == [1000, 1000 + int(ALARM_VALID_S) + 5]


def test_nothing_in_nothing_out() -> None:
    nothing, none = np.zeros(0, dtype=np.int64), np.zeros(0)
    assert onsets(nothing, none, Direction.DOWN).tolist() == []
    assert farthest(nothing, none, Direction.DOWN, 300).known.tolist() == []
    assert judge_alarms(nothing, none, 0.5, nothing).false == 0
