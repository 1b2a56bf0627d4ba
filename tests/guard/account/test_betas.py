"""How far held markets move when the one that leads them moves."""

from __future__ import annotations

import math

import pytest

from guard.account.betas import BETA_MAX, BETA_MIN, STEP_NS, WARM_STEPS, Betas
from guard.units import MarketId

BTC, ALT, CALM = MarketId("v:BTC"), MarketId("v:ALT"), MarketId("v:CALM")


def follow(betas: Betas, steps: int, *, beta: float = 2.5, every: int = STEP_NS, first: int = 0) -> None:
    """A leader that swings, an alt that moves ``beta`` times as far, and one that hardly moves."""
    for step in range(first, first + steps):
        led = 0.01 * math.sin(step)
        prices = {BTC: 100.0 * math.exp(led), ALT: 7.0 * math.exp(beta * led), CALM: math.exp(0.1 * led)}
        betas.observe(prices, BTC, (step + 1) * every)


def test_a_market_that_moves_further_is_known_once_enough_was_seen() -> None:
    betas = Betas()
    follow(betas, WARM_STEPS)
    assert betas.of(ALT) == BETA_MIN
    follow(betas, 20, first=WARM_STEPS)
    assert betas.of(ALT) == pytest.approx(2.5)
    assert betas.of(BTC) == pytest.approx(1.0)


def test_no_market_is_believed_to_move_less_than_its_leader_or_without_bound() -> None:
    betas = Betas()
    follow(betas, 2 * WARM_STEPS, beta=50.0)
    assert (betas.of(CALM), betas.of(ALT)) == (BETA_MIN, BETA_MAX)


def test_prices_between_two_steps_are_left_out() -> None:
    betas = Betas()
    follow(betas, 4 * WARM_STEPS, every=STEP_NS // 4)
    assert betas.of(ALT) == BETA_MIN


def test_another_leader_begins_anew_and_a_gap_is_no_return() -> None:
    betas = Betas()
    follow(betas, 2 * WARM_STEPS)
    known = betas.of(ALT)
    # Hours later, all prices elsewhere: nothing is learned from the jump.
    later = 10_000 * STEP_NS
    betas.observe({BTC: 50.0, ALT: 7.0, CALM: 1.0}, BTC, later)
    assert betas.of(ALT) == known
    betas.observe({BTC: 50.0, ALT: 7.0}, ALT, later + STEP_NS)
    assert betas.of(ALT) == BETA_MIN


@pytest.mark.parametrize("odd", [0.0, -1.0, math.nan, math.inf])
def test_odd_prices_are_left_out(odd: float) -> None:
    betas = Betas()
    follow(betas, WARM_STEPS + 5)
    betas.observe({BTC: odd, ALT: odd}, BTC, 10 * WARM_STEPS * STEP_NS)
    assert math.isfinite(betas.of(ALT))
