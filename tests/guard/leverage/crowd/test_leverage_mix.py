"""What is learned of others' leverage: from what was swept and told, by all markets for each other, and no further."""

from __future__ import annotations

import math

import numpy as np
import pytest

from guard.forecasts import Direction
from guard.leverage.crowd import LeverageMix, LiquidationMap, MapSettings
from guard.leverage.crowd.evidence import Window, log_likelihood
from guard.leverage.crowd.mix import candidate_shares
from guard.leverage.crowd.settings import LEVERAGES
from guard.leverage.crowd.side import Side
from guard.readings import LiquidationFeed
from guard.units import NS_PER_S, MarketId
from tests.guard.leverage.crowd.readings import MARKET, reading

SAME = MarketId("binanceusdm:BTC/USDT:USDT")
OTHER = MarketId("bybit:ETH/USDT:USDT")
MARK = 100.0


def mass_5(made: LiquidationMap, direction: Direction = Direction.DOWN) -> float:
    side = made.side(direction)
    assert side is not None
    return side.within(0.05)


def swept(mix: LeverageMix, told_ratio: float, feed: LiquidationFeed = LiquidationFeed.COMPLETE) -> None:
    """Let a market fall by 3 % in half an hour; of what the first guess foretells ``told_ratio`` is told."""
    made = LiquidationMap(MARKET, mix)
    made.update(reading(0, MARK))
    guess = LiquidationMap(MARKET, LeverageMix())
    guess.update(reading(0, MARK))
    side = guess._sides[0]
    for step in range(1, 361):
        mark = MARK * math.exp(-0.03 * step / 360)
        lost = side.sweep(mark, mark, mark)
        usd = 0.0 if lost is None else float(side.shares @ lost) * mark
        made.update(
            reading(
                step, mark, liquidated_longs_usd=usd * told_ratio, liquidations=int(told_ratio > 0), feed=feed
            )
        )


def told_by(mix: LeverageMix, market: MarketId = MARKET) -> float:
    made = LiquidationMap(market, mix)
    made.update(reading(0, MARK, market=market))
    return mass_5(made)


def test_more_liquidations_than_foretold_raise_the_map_and_fewer_lower_it() -> None:
    masses = []
    for ratio in (0.0, 0.3, 3.0):
        mix = LeverageMix()
        swept(mix, ratio)
        masses.append(told_by(mix))
    assert masses[0] < masses[1] < masses[2]
    assert masses[0] < 0.7 * told_by(LeverageMix()) < masses[2]


def test_silence_says_nothing_where_nothing_was_swept() -> None:
    mix = LeverageMix()
    made = LiquidationMap(MARKET, mix)
    for step in range(400):
        made.update(reading(step, MARK))
    assert mix.version == 0


def test_what_is_learned_narrows_the_interval() -> None:
    mix = LeverageMix()
    fresh = LiquidationMap(MARKET, LeverageMix())
    fresh.update(reading(0, MARK))
    swept(mix, 1.0)
    learned = LiquidationMap(MARKET, mix)
    learned.update(reading(0, MARK))
    before, after = fresh.side(Direction.DOWN), learned.side(Direction.DOWN)
    assert before is not None
    assert after is not None
    assert after.log_sd < before.log_sd - 0.1
    assert learned.forecast(Direction.DOWN).learned_usd > 0.0  # type: ignore[union-attr]


def test_a_market_is_believed_most_by_itself_then_by_its_symbol_then_by_all() -> None:
    mix = LeverageMix()
    swept(mix, 0.0)
    first = told_by(LeverageMix())
    lowered = [math.log(first / told_by(mix, market)) for market in (MARKET, SAME, OTHER)]
    assert lowered[0] > lowered[1] > lowered[2] > 0.0


def test_a_throttled_feed_counts_less_than_a_complete_one() -> None:
    masses = []
    for feed in (LiquidationFeed.THROTTLED, LiquidationFeed.COMPLETE):
        mix = LeverageMix()
        swept(mix, 0.0, feed)
        masses.append(told_by(mix))
    assert masses[0] > masses[1]


def test_a_bound_that_was_told_holds_nothing_against_those_who_foretold_more() -> None:
    shares = candidate_shares()
    window = Window(swept=np.full(len(LEVERAGES), 1e6), told_usd=5e4)
    free = log_likelihood(window, shares, 1e4, 1e8, 0.7)
    window.is_bound = True
    bound = log_likelihood(window, shares, 1e4, 1e8, 0.7)
    assert free is not None
    assert bound is not None
    more = bound[1] > 5e4 / 0.7 / 1e4
    assert more.any()
    assert np.ptp(bound[0][more]) == pytest.approx(0.0, abs=1e-12)
    assert np.ptp(free[0][more]) > 0.1


def test_nothing_told_and_nothing_swept_is_no_evidence() -> None:
    assert log_likelihood(Window(), candidate_shares(), 1e4, 1e8, None) is None


def test_a_throttled_feed_is_measured_by_what_a_complete_one_taught() -> None:
    mix = LeverageMix()
    assert mix.capture(SAME) == pytest.approx(0.7)
    mix.compare(SAME, Direction.DOWN, 1.0, 10.0)
    assert mix.capture(SAME) == pytest.approx(0.7)
    mix.learn(MARKET, Direction.DOWN, 0, np.zeros(len(candidate_shares())), 1e6, 50.0)
    for _ in range(20):
        mix.compare(SAME, Direction.DOWN, 2.0, 10.0)
    assert 0.15 < mix.capture(SAME) < 0.3
    assert mix.capture(MARKET) == pytest.approx(0.7)


def test_what_was_learned_fades() -> None:
    mix = LeverageMix(evidence_half_life_h=24.0)
    swept(mix, 0.0)
    before = math.log(told_by(LeverageMix()) / told_by(mix))
    later = reading(0, MARK).at + 240 * 3600 * NS_PER_S
    mix.learn(OTHER, Direction.UP, later, np.zeros(len(candidate_shares())), 0.0)
    assert math.log(told_by(LeverageMix()) / told_by(mix)) < 0.1 * before


def test_the_true_mix_is_found_among_candidates() -> None:
    """What a planted crowd gives, told in full: its candidate becomes likelier than the first guess made it."""
    shares = candidate_shares()
    truth = 9
    mix = LeverageMix()
    side = Side(Direction.DOWN, MapSettings())
    side.weigh(shares[truth])
    side.start(MARK, 1_000.0, 0.035)
    made = LiquidationMap(MARKET, mix)
    made.update(reading(0, MARK))
    before = mix.weights(MARKET, Direction.DOWN)[truth]
    for step in range(1, 721):
        mark = MARK * math.exp(-0.08 * step / 720)
        lost = side.sweep(mark, mark, mark)
        usd = 0.0 if lost is None else float(shares[truth] @ lost) * mark
        made.update(reading(step, mark, liquidated_longs_usd=usd))
    weights = mix.weights(MARKET, Direction.DOWN)
    assert weights[truth] > 5.0 * before
    guessed = float((weights @ shares) @ np.asarray(LEVERAGES))
    assert guessed == pytest.approx(float(shares[truth] @ np.asarray(LEVERAGES)), rel=0.5)


def test_accounts_and_funding_lean_a_little_and_no_more() -> None:
    mix = LeverageMix()
    means = {
        (direction, lean): float((mix.weights(MARKET, direction, lean) @ candidate_shares()).sum())
        for direction in Direction
        for lean in (-1.0, 0.0, 1.0)
    }
    assert means[Direction.DOWN, -1.0] < means[Direction.DOWN, 0.0] < means[Direction.DOWN, 1.0]
    assert means[Direction.UP, -1.0] > means[Direction.UP, 0.0] > means[Direction.UP, 1.0]
    for direction in Direction:
        assert means[direction, 1.0] == pytest.approx(means[direction, -1.0], rel=0.3)
