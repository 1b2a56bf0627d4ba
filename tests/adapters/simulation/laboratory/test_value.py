"""Value and the world's price: the same statistics with any step, tails as said, and prices that trading moves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.simulation.laboratory.draws import Draws
from adapters.simulation.laboratory.parameters import Impulse, ImpulseKind, ValueParameters
from adapters.simulation.laboratory.value import Diffusion, Values, history_minutes, past_prices
from tests.adapters.simulation.laboratory.episodes import ALT, BTC, small_episode
from tests.support.uncompiled import uncompiled

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
PACKAGE = "adapters.simulation.laboratory"


def moves(step_ms: int, every_ms: int, count: int, **changed: Any) -> NDArray[np.float64]:
    """Moves of a diffusion over ``every_ms``, made with steps of ``step_ms``."""
    told: dict[str, Any] = {
        "volatility_day": 0.02,
        "volatility_log_sd": 0.0,
        "volatility_half_life_s": 3_600.0,
        "tail_degrees": 4.0,
    }
    made = Diffusion(Draws(f"test:{step_ms}"), **(told | changed))
    levels = [0.0]
    for _ in range(count):
        for _ in range(every_ms // step_ms):
            made.step(step_ms)
        levels.append(made.level)
    return np.diff(levels)


@pytest.mark.parametrize("step_ms", [500, 5_000, MINUTE_MS])
def test_an_hour_moves_as_much_with_any_step(step_ms: int) -> None:
    hours = moves(step_ms, HOUR_MS, 400, tail_degrees=30.0)
    assert hours.std() * math.sqrt(24.0) == pytest.approx(0.02, rel=0.12)


@pytest.mark.parametrize("step_ms", [5_000, MINUTE_MS])
def test_minutes_have_the_tails_of_student_however_many_steps_they_have(step_ms: int) -> None:
    minutes = moves(step_ms, MINUTE_MS, 40_000) / (0.02 / math.sqrt(1_440.0))
    # Student's t with 4 degrees of freedom, of variance 1, is beyond 4 with p = 0.0048, a normal one with 0.00006.
    assert np.mean(np.abs(minutes) > 4.0) == pytest.approx(0.0048, rel=0.25)
    assert np.mean(np.abs(minutes) > 1.0) == pytest.approx(0.2302, rel=0.04)


def test_a_minute_is_no_staircase() -> None:
    steps = moves(100, 100, 600)
    assert np.count_nonzero(steps) == 600
    assert np.abs(steps).max() < 6.0 * steps.std()


def test_jumps_come_as_often_as_said_and_are_part_of_the_variance() -> None:
    days = moves(MINUTE_MS, 86_400_000, 1_500, tail_degrees=30.0, jumps_per_day=2.0, jump_sd=0.008)
    assert days.std() == pytest.approx(0.02, rel=0.08)
    minutes = moves(MINUTE_MS, MINUTE_MS, 100 * 1_440, tail_degrees=30.0, jumps_per_day=2.0, jump_sd=0.008)
    diffused = math.sqrt((0.02**2 - 2.0 * 0.008**2) / 1_440.0)
    # Of jumps of 0.8 % two in three are larger than 8 of the minute's deviations, which nothing else ever is.
    expected = 200.0 * math.erfc(8.0 * diffused / 0.008 / math.sqrt(2.0))
    assert np.count_nonzero(np.abs(minutes) > 8.0 * diffused) == pytest.approx(expected, rel=0.25)


def test_volatility_clusters() -> None:
    minutes = moves(MINUTE_MS, MINUTE_MS, 40_000, volatility_log_sd=0.7, volatility_half_life_s=6 * 3_600.0)
    size = np.abs(minutes)
    together = np.corrcoef(size[:-30], size[30:])[0, 1]
    shuffled = np.random.default_rng(1).permutation(size)
    assert together > 0.1
    assert abs(np.corrcoef(shuffled[:-30], shuffled[30:])[0, 1]) < 0.03


def test_the_past_ends_where_the_episode_begins_and_is_of_the_same_kind() -> None:
    episode = small_episode()
    past = past_prices(episode, "ALTUSDT")
    assert len(past) == history_minutes(episode) + 1 == 1_441
    assert past[-1] == ALT.price_start
    assert np.array_equal(past, past_prices(episode, "ALTUSDT"))
    both = [np.diff(np.log(past_prices(small_episode(seed=seed), "ALTUSDT"))) for seed in range(40)]
    usual = math.hypot(ALT.beta * episode.value.volatility_day, ALT.volatility_day)
    assert np.concatenate(both).std() * math.sqrt(1_440.0) == pytest.approx(usual, rel=0.15)


def test_volatility_goes_on_from_the_past_into_the_episode() -> None:
    """Nothing begins anew with the episode: a past that was wild is followed by wild hours."""
    value = ValueParameters(volatility_log_sd=1.0, jumps_per_day=0.0, tail_degrees=30.0)
    before, after = [], []
    for seed in range(60):
        episode = small_episode(seed=seed, value=value)
        before.append(np.diff(np.log(past_prices(episode, "BTCUSDT")))[-120:].std())
        values = Values(episode)
        prices = []
        for minute in range(1, 121):
            values.step(minute * MINUTE_MS)
            prices.append(values.value_price(0))
        after.append(np.diff(np.log(prices)).std())
    assert np.corrcoef(np.log(before), np.log(after))[0, 1] > 0.5


def test_an_impulse_on_the_factor_moves_every_symbol_by_its_beta_and_one_on_a_symbol_that() -> None:
    impulses = (
        Impulse(kind=ImpulseKind.VALUE, at_s=10.0, duration_s=20.0, size=-0.1),
        Impulse(kind=ImpulseKind.VALUE, at_s=40.0, duration_s=0.0, size=0.05, symbol="ALTUSDT"),
    )
    plain, driven = Values(small_episode()), Values(small_episode(impulses=impulses))
    moved = {}
    for now_ms in (5_000, 20_000, 30_000, 50_000, 60_000):
        plain.step(now_ms)
        driven.step(now_ms)
        moved[now_ms] = [math.log(driven.value_price(at) / plain.value_price(at)) for at in range(2)]
    assert moved[5_000] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert moved[20_000] == pytest.approx([-0.05 * BTC.beta, -0.05 * ALT.beta])
    assert moved[30_000] == pytest.approx([-0.1 * BTC.beta, -0.1 * ALT.beta])
    assert moved[50_000] == pytest.approx([-0.1 * BTC.beta, -0.1 * ALT.beta + 0.05])
    assert moved[60_000] == pytest.approx(moved[50_000])
    assert driven.factor_z > plain.factor_z + 10.0


@pytest.mark.parametrize("step_ms", [100, 5_000, 20_000])
def test_trading_moves_the_worlds_price_and_half_of_it_comes_back_in_each_half_life(step_ms: int) -> None:
    value = ValueParameters(pull_half_life_s=60.0, spot_depth_ratio=2.0)
    episode = small_episode(value=value)
    values = Values(episode)
    # 1.5 venues of 150,000 USD within 1 %; twice that moves the price by 1 %.
    values.trade(1, -2.0 * 1.5 * 150e3)
    assert values.displaced(1) == pytest.approx(-0.01)
    assert values.world_price(1) == pytest.approx(ALT.price_start * math.exp(-0.01))
    assert values.world_price(0) == BTC.price_start
    for now_ms in range(step_ms, 60_001, step_ms):
        values.step(now_ms)
    assert values.displaced(1) == pytest.approx(-0.005)
    assert values.world_price(1) == pytest.approx(values.value_price(1) * math.exp(-0.005))


def test_no_trade_moves_the_worlds_price_out_of_the_world() -> None:
    values = Values(small_episode())
    values.trade(1, -1e15)
    assert values.world_price(1) == pytest.approx(ALT.price_start * math.exp(-0.7))


def test_the_factors_z_is_of_its_own_size_when_calm() -> None:
    value = ValueParameters(volatility_log_sd=0.0, jumps_per_day=0.0, tail_degrees=30.0)
    values = Values(small_episode(value=value))
    seen = []
    for now_ms in range(10_000, 10_000 * 20_000, 10_000):
        values.step(now_ms)
        seen.append(values.factor_z)
    assert math.sqrt(np.mean(np.square(seen))) == pytest.approx(1.0, rel=0.1)


def test_compiled_and_plain_say_the_same_to_the_last_bit() -> None:
    names = (f"{PACKAGE}.draws", f"{PACKAGE}.value")
    _, plain = uncompiled(*names)
    impulses = (Impulse(kind=ImpulseKind.VALUE, at_s=30.0, duration_s=60.0, size=-0.1),)
    episode = small_episode(impulses=impulses)
    one, other = Values(episode), plain.Values(episode)
    for step in range(1, 3_000):
        one.step(step * 100)
        other.step(step * 100)
        if step % 50 == 0:
            one.trade(1, -20_000.0)
            other.trade(1, -20_000.0)
    told = [(each.factor, each.factor_z, each.world_price(0), each.world_price(1)) for each in (one, other)]
    assert told[0] == told[1]
    assert np.array_equal(past_prices(episode, "BTCUSDT"), plain.past_prices(episode, "BTCUSDT"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"venue": "bybit"}, "names the venue bybit"),
        ({"symbol": "DOGEUSDT"}, "DOGEUSDT"),
        ({"at_s": -1.0}, "times must be 0 or more"),
        ({"size": math.nan}, "finite"),
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, Any], words: str) -> None:
    told: dict[str, Any] = {"kind": ImpulseKind.VALUE, "at_s": 1.0, "duration_s": 1.0, "size": -0.1}
    with pytest.raises(ValueError, match=words):
        Values(small_episode(impulses=(Impulse(**(told | changed)),)))


def test_a_symbol_that_there_is_not_has_no_past() -> None:
    with pytest.raises(ValueError, match="DOGEUSDT is none"):
        past_prices(small_episode(), "DOGEUSDT")
