"""The fast median equals the exact weighted one, seasons are learned, and a change of use never jumps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.market.baseline import (
    SLOT_S,
    Baseline,
    BaselineSettings,
    DecayedQuantile,
    Seasonal,
)
from guard.units import NS_PER_S as S

WIDTH = 0.02


def exact_quantile(
    values: list[float], weights: list[float], half_life: float, q: float
) -> tuple[float, float]:
    """The least and the greatest value that has at least the share ``q`` of decayed weight at or below it."""
    weight = np.array(weights)
    ages = weight.sum() - np.cumsum(weight)
    decayed = weight * 2.0 ** (-ages / half_life)
    order = np.argsort(values)
    below = np.cumsum(decayed[order]) / decayed.sum()
    ranked = np.array(values)[order]
    low = ranked[np.searchsorted(below, q - 1e-9)]
    high = ranked[min(int(np.searchsorted(below, q + 1e-9)), ranked.size - 1)]
    return float(low), float(high)


@given(
    st.lists(st.tuples(st.floats(-9.0, 9.0), st.floats(0.1, 10.0)), min_size=1, max_size=120),
    st.sampled_from([0.1, 0.5, 0.99]),
    st.sampled_from([5.0, 60.0, 2_000.0]),
)
def test_a_quantile_is_exact_to_the_width_of_a_bin(
    stream: list[tuple[float, float]], q: float, half_life: float
) -> None:
    estimator = DecayedQuantile(low=-10.0, high=10.0, width=WIDTH, half_life=half_life)
    for value, weight in stream:
        estimator.observe(value, weight)
    low, high = exact_quantile([v for v, _ in stream], [w for _, w in stream], half_life, q)
    assert low - WIDTH <= estimator.quantile(q) <= high + WIDTH


@given(st.lists(st.floats(-9.0, 9.0), min_size=1, max_size=101).filter(lambda values: len(values) % 2))
def test_the_mad_is_exact_to_two_bins(values: list[float]) -> None:
    estimator = DecayedQuantile(low=-10.0, high=10.0, width=WIDTH, half_life=1e9)
    for value in values:
        estimator.observe(value, 1.0)
    expected = float(np.median(np.abs(np.array(values) - np.median(values))))
    assert estimator.mad() == pytest.approx(expected, abs=2.5 * WIDTH)


def test_a_jump_is_the_median_after_one_half_life() -> None:
    estimator = DecayedQuantile(low=-10.0, high=10.0, width=WIDTH, half_life=100.0)
    for _ in range(5_000):
        estimator.observe(0.0, 1.0)
    for _ in range(98):
        estimator.observe(5.0, 1.0)
    assert estimator.quantile(0.5) < 1.0
    for _ in range(4):
        estimator.observe(5.0, 1.0)
    assert estimator.quantile(0.5) > 4.9


def test_it_runs_for_years_without_overflow() -> None:
    estimator = DecayedQuantile(low=-10.0, high=10.0, width=WIDTH, half_life=1.0)
    for step in range(2_000):
        estimator.observe(math.sin(step), 100.0)
    assert -1.1 <= estimator.quantile(0.5) <= 1.1


def test_values_beyond_the_range_count_at_its_edge() -> None:
    estimator = DecayedQuantile(low=-1.0, high=1.0, width=WIDTH, half_life=10.0)
    estimator.observe(1e9, 1.0)
    assert estimator.quantile(0.5) == pytest.approx(1.0, abs=2 * WIDTH)


def log_noise(rng: np.random.Generator, sigma: float) -> float:
    return math.exp(sigma * float(rng.standard_normal()))


def test_normal_and_z_are_those_of_the_stream() -> None:
    rng = np.random.default_rng(1)
    baseline = Baseline(half_life_s=1800.0, warm_up_s=120.0)
    for second in range(3 * 3600):
        baseline.observe(second * S, 2e6 * log_noise(rng, 0.2))
    assert baseline.normal() == pytest.approx(2e6, rel=0.03)
    assert baseline.z(2e6 * math.exp(-0.6)) == pytest.approx(-0.6 / (0.2 * 0.75 + 0.3 * 0.25), abs=0.2)
    assert baseline.z(0.0) == -1e6


def test_after_two_minutes_it_does_not_claim_to_know_how_steady_a_market_is() -> None:
    """Two quiet minutes must not make a dip of a third an alarm, nor freeze what has been learned so far."""
    baseline = Baseline(half_life_s=1800.0, warm_up_s=120.0)
    for second in range(121):
        baseline.observe(second * S, 1e6)
    z = baseline.z(0.66e6)
    assert z is not None
    assert -2.5 < z < -1.0


def test_it_is_warm_by_observed_time_not_by_elapsed_time() -> None:
    baseline = Baseline(half_life_s=1800.0, warm_up_s=120.0)
    baseline.observe(0, 1e6)
    baseline.observe(3600 * S, 1e6)
    assert not baseline.is_warm
    for second in range(120):
        baseline.observe((3601 + second) * S, 1e6)
    assert baseline.is_warm


def test_one_sample_after_an_outage_is_not_the_whole_memory() -> None:
    baseline = Baseline(half_life_s=60.0, warm_up_s=60.0)
    for second in range(600):
        baseline.observe(second * S, 1e6)
    baseline.observe(5 * 3600 * S, 1e3)
    assert baseline.normal() == pytest.approx(1e6, rel=0.05)


def test_an_outage_longer_than_memory_starts_anew() -> None:
    baseline = Baseline(half_life_s=1800.0, warm_up_s=60.0, forget_s=3600.0)
    for second in range(600):
        baseline.observe(second * S, 1e6)
    baseline.observe(3 * 3600 * S, 1e3)
    assert not baseline.is_warm
    assert baseline.normal() == pytest.approx(1e3, rel=0.05)


def test_frozen_it_learns_nothing() -> None:
    baseline = Baseline(half_life_s=60.0, warm_up_s=60.0)
    for second in range(600):
        baseline.observe(second * S, 1e6)
    before = baseline.normal()
    for second in range(600, 1200):
        baseline.touch(second * S)
    assert baseline.normal() == before


def daily(at_s: float) -> float:
    return math.exp(0.7 * math.sin(2 * math.pi * at_s / 86_400))


def test_the_season_of_the_day_is_learned_and_normal_follows_it_without_a_jump() -> None:
    baseline = Baseline(half_life_s=1800.0, warm_up_s=120.0)
    errors: dict[int, list[float]] = {0: [], 48: []}
    last: float | None = None
    for half_minute in range(3 * 2880):
        at_s = half_minute * 30
        baseline.observe(at_s * S, 1e6 * daily(at_s))
        normal = baseline.normal()
        assert normal is not None
        errors[baseline.slots].append(abs(math.log(normal / (1e6 * daily(at_s)))))
        if last is not None and at_s > 3600:
            assert abs(math.log(normal / last)) < 0.05
        last = normal
    assert baseline.slots == 48
    half = len(errors[48]) // 2
    assert np.mean(errors[48][half:]) < np.mean(errors[0]) / 2


def test_the_weekly_season_takes_over_after_two_weeks() -> None:
    season = Seasonal()
    for slot in range(15 * 48 + 1):
        weekend = (slot // 48) % 7 >= 5
        for minute in range(0, 30, 5):
            season.observe((slot * SLOT_S + minute * 60) * S, -1.0 if weekend else 0.0, 300.0)
    assert season.slots == 336
    noon = 12 * 3600
    assert season.value((5 * 86_400 + noon) * S) < season.value((2 * 86_400 + noon) * S) - 0.9


def test_a_slot_seen_for_less_than_half_does_not_count() -> None:
    season = Seasonal()
    for slot in range(2 * 48):
        season.observe(slot * SLOT_S * S, 1.0, 60.0)
    assert season.slots == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"half_life_s": 0.0},
        {"warm_up_s": -1.0},
        {"band_bps": math.inf},
        {"freeze_z": 1.0},
        {"freeze_z": math.nan},
        {"freeze_ratio": 1.0},
        {"stale_ms_min": 0},
    ],
)
def test_impossible_settings_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BaselineSettings(**wrong)  # type: ignore[arg-type]
