"""What is said is kept, judged by what came, and void where nobody saw it."""

from __future__ import annotations

import numpy as np
import pytest

from guard.forecasts import Direction
from guard.readings import LiquidationFeed
from guard.skill.gate import FULL, LEARNED, OI_DEPTH, USUAL, Target
from guard.skill.ledger import Ledger
from guard.units import NS_PER_S, MarketId
from tests.support.skill_readings import START_AT, hazard, hazards, reach, reading, refreshes


def falling(at: int, from_s: int, percent: float) -> float:
    """100 until ``from_s`` after the start, then ``percent`` less."""
    return 100.0 if at < START_AT + from_s * NS_PER_S else 100.0 - percent


def test_a_fall_is_counted_for_those_who_said_it_and_a_quiet_hour_for_those_who_did_not() -> None:
    ledger = Ledger()
    for at in refreshes(7300):
        now = reading(at, falling(at, 1800, 3.0))
        ledger.observe(now)
        soon = START_AT + 1500 * NS_PER_S <= at < START_AT + 1800 * NS_PER_S
        said = hazards(full=0.001, oi_depth=0.05)
        if soon:
            said[Direction.DOWN]["full"] = hazard(Direction.DOWN, 0.9)
        ledger.keep(now, hazards=said)
    scores = {(each.target, each.estimator): each for each in ledger.scores()}
    five = scores[str(Target.HAZARD_5), FULL]
    assert five.skill is not None
    assert five.skill > 0.5
    assert five.weight > 0.5
    assert 220 <= five.count <= 240
    worse = scores[str(Target.HAZARD_5), OI_DEPTH]
    assert worse.skill is not None
    assert worse.skill < five.skill
    assert ledger.void == 0


@pytest.mark.parametrize("hole_s", [70, 600])
def test_what_nobody_saw_to_its_end_is_void(hole_s: int) -> None:
    ledger = Ledger()
    for at in refreshes(1200):
        hidden = START_AT + 300 * NS_PER_S <= at < START_AT + (300 + hole_s) * NS_PER_S
        now = reading(at, None if hidden else 100.0)
        ledger.observe(now)
        ledger.keep(now, hazards=hazards(full=0.1))
    # Those of the 5 minutes before the hole, and of 15 minutes before it.
    assert ledger.void >= 5
    quiet = Ledger()
    for at in refreshes(1200):
        quiet.observe(reading(at, 100.0))
        quiet.keep(reading(at, 100.0), hazards=hazards(full=0.1))
    assert quiet.void == 0


def test_onsets_are_answered_and_their_reach_is_scored() -> None:
    ledger = Ledger()
    seen = []
    for at in refreshes(9000):
        price = falling(at, 600, 2.0) - (3.0 if at >= START_AT + 1200 * NS_PER_S else 0.0)
        now = reading(at, price)
        onsets = ledger.observe(now)
        seen += [(each, (at - START_AT) // NS_PER_S) for each in onsets]
        ledger.keep(
            now,
            reaches={each: {"full": reach(each, 0.03), "flow": reach(each, 0.3)} for each in Direction},
            onsets=onsets,
        )
    assert seen == [(Direction.DOWN, 600)]
    assert ledger.under_way(now.market) == ()
    scores = {each.estimator: each for each in ledger.scores() if each.target == str(Target.REACH)}
    assert set(scores) == {USUAL, "full", "flow"}
    full, flow = scores["full"].skill, scores["flow"].skill
    assert full is not None
    assert flow is not None
    assert full > 0 > flow
    assert scores["full"].reliability_error == pytest.approx(0.2)
    assert ledger.gate.weight(Target.REACH, "full") > 0.6


class Mass:
    """A map that says the same in each bin."""

    def __init__(self, usd: float, log_sd: float = 0.3) -> None:
        self.usd = np.full(700, usd)
        self.log_sd = log_sd


def sweep(ledger: Ledger, usd_per_bin: float, feed: LiquidationFeed, hours: int, share: float = 1.0) -> None:
    """Let price go down 1 % in each quarter and up again; what the world liquidates is 20,000 a bin."""
    for number, at in enumerate(refreshes(hours * 3600)):
        phase = number % 180
        falls = 10 <= phase < 110
        price = 100.0 * np.exp(-0.0001 * max(0, min(phase - 10, 100)))
        now = reading(at, price, feed=feed, longs_usd=2000.0 * share if falls else 0.0)
        ledger.observe(now)
        ledger.keep(now, maps={Direction.DOWN: {LEARNED: Mass(usd_per_bin)}})


def test_a_map_that_says_what_is_liquidated_gains_weight_and_one_that_exaggerates_loses_it() -> None:
    good, bad = Ledger(), Ledger()
    sweep(good, 20_000.0, LiquidationFeed.COMPLETE, 12)
    sweep(bad, 2_000_000.0, LiquidationFeed.COMPLETE, 12)
    assert good.gate.weight(Target.MAP, LEARNED) > 0.7
    assert bad.gate.weight(Target.MAP, LEARNED) < 0.3
    assert good.gate.map_share == 1.0
    assert bad.gate.map_share < 0.5


def test_a_throttled_feed_does_not_punish_a_map_for_what_it_hides() -> None:
    ledger = Ledger()
    sweep(ledger, 20_000.0, LiquidationFeed.THROTTLED, 12, share=0.05)
    assert ledger.gate.weight(Target.MAP, LEARNED) > 0.6


def test_where_nothing_is_told_the_prior_holds() -> None:
    ledger = Ledger()
    sweep(ledger, 2_000_000.0, LiquidationFeed.ABSENT, 6)
    assert ledger.gate.weight(Target.MAP, LEARNED) == pytest.approx(0.7)


def test_markets_that_are_forgotten_take_no_memory() -> None:
    ledger = Ledger()
    for number in range(50):
        market = MarketId(f"bybit:X{number}/USDT:USDT")
        ledger.observe(reading(START_AT, 100.0, market=market))
        ledger.forget(market)
    assert ledger.waiting == 0


def test_a_state_restored_says_the_same() -> None:
    ledger = Ledger()
    sweep(ledger, 20_000.0, LiquidationFeed.COMPLETE, 3)
    for at in refreshes(3 * 3600):
        now = reading(at + 3 * 3600 * NS_PER_S, falling(at, 1800, 3.0))
        onsets = ledger.observe(now)
        ledger.keep(
            now,
            hazards=hazards(full=0.01, flow=0.02),
            reaches={each: {"full": reach(each, 0.03)} for each in onsets},
            onsets=onsets,
        )
    other = Ledger()
    other.restore(ledger.state())
    assert other.state() == ledger.state()
    assert other.scores() == ledger.scores()
    assert other.climatology.hazard(now.market, Direction.DOWN) == ledger.climatology.hazard(
        now.market, Direction.DOWN
    )
