"""Weights follow who did better: within a week at rates of life, not by luck, and not without evidence."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.skill.evidence import Evidence
from guard.skill.gate import FLOW, FULL, LEARNED, NO_MAP, PRIORS, USUAL, Gate, GateSettings, Target
from tests.support.skill_weeks import PRIOR as PRIOR_OF_WEEKS
from tests.support.skill_weeks import Floats, exaggerates, guesses, knows, live

MARKETS = 15
RATE = 0.004
"""Of falls of 2 % in 15 minutes: smaller coins of ordinary months."""
PRIOR = PRIOR_OF_WEEKS[FULL]
SEEDS = (1, 2, 3)


def switching(hour: int, known: Floats, noise: Floats) -> Floats:
    """Two weeks it knows, ten days it guesses, then it knows again."""
    return guesses(hour, known, noise) if 14 <= hour / 24 < 24 else knows(hour, known, noise)


def test_what_stops_being_better_loses_its_weight_within_a_week_and_earns_it_back() -> None:
    runs = [live(seed, 35, markets=MARKETS, rate=RATE, says=switching).weights for seed in SEEDS]
    known, lost, back = (np.median([run[24 * day - 1] for run in runs]) for day in (14, 21, 35))
    assert known > 0.85
    assert lost < 0.5 * PRIOR
    assert back > 0.8
    # While it knew, it was never taken for one that guesses.
    assert min(run[: 24 * 14].min() for run in runs) > 0.5 * PRIOR


def test_what_says_far_too_much_is_out_within_days() -> None:
    for seed in SEEDS:
        assert live(seed, 3, markets=MARKETS, rate=RATE, says=exaggerates).weights[-1] < 0.15


def test_luck_does_not_make_a_guess_trusted() -> None:
    runs = [live(seed, 14, markets=MARKETS, rate=RATE, says=guesses).weights for seed in SEEDS]
    assert max(run.max() for run in runs) < 0.9
    assert np.median([run[-1] for run in runs]) < 0.5 * PRIOR


def test_one_hour_of_all_markets_at_once_is_no_proof() -> None:
    gate, evidence = Gate(), Evidence()
    for market in range(200):
        evidence.add(Target.REACH, market, {FULL: -2.0, FLOW: 2.0})
    before = gate.weight(Target.REACH, FULL)
    gate.learn(evidence.take())
    after = gate.weight(Target.REACH, FULL)
    assert after / before > np.exp(-2.0 * gate.settings.nats_max)
    assert evidence.design_effect(Target.REACH, 200) > 60.0


def test_markets_that_have_nothing_in_common_count_each_for_itself() -> None:
    evidence, chance = Evidence(), np.random.default_rng(1)
    for _ in range(300):
        for market in range(20):
            evidence.add(
                Target.REACH, market, {FULL: chance.standard_normal(), FLOW: chance.standard_normal()}
            )
        evidence.take()
    assert evidence.design_effect(Target.REACH, 20) < 1.5


def test_without_evidence_the_prior_holds_and_comes_back() -> None:
    gate = Gate()
    for _ in range(1000):
        gate.learn({})
    assert gate.weights(Target.REACH) == pytest.approx(PRIORS[Target.REACH])
    for _ in range(20):
        gate.learn({Target.MAP: {NO_MAP: 0.5, LEARNED: -0.5}})
    low = gate.map_share
    assert low < 0.1
    gate.learn({}, hours=24.0 * 100)
    assert gate.weights(Target.MAP) == pytest.approx(PRIORS[Target.MAP], rel=0.01)
    assert gate.map_share == pytest.approx(1.0, rel=0.01)


def test_reach_also_counts_what_hazards_have_shown() -> None:
    gate = Gate()
    gate.learn({Target.HAZARD_60: {FULL: -0.5, FLOW: 0.5}})
    assert gate.weight(Target.REACH, FULL) < PRIORS[Target.REACH][FULL]
    assert gate.weight(Target.HAZARD_5, FULL) == pytest.approx(PRIORS[Target.HAZARD_5][FULL])


gains = st.lists(
    st.tuples(*[st.floats(-1.0, 1.0, allow_nan=False) for _ in range(4)]), min_size=1, max_size=60
)


@given(gains=gains, switch=st.integers(0, 60), first=st.integers(0, 3), then=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_the_mixture_loses_little_against_the_best_sequence_of_estimators(
    gains: list[tuple[float, ...]], switch: int, first: int, then: int
) -> None:
    """Herbster and Warmuth's bound, for one change of mind at most: log of priors, and of staying each hour."""
    gate = Gate({Target.HAZARD_15: PRIOR_OF_WEEKS}, GateSettings(switch_days=1.0))
    prior = gate.priors[Target.HAZARD_15]
    names = list(prior)
    back = 1.0 - np.exp(-1.0 / 24.0)
    mixture = best = 0.0
    for hour, row in enumerate(gains):
        told = dict(zip(names, row, strict=True))
        weights = gate.weights(Target.HAZARD_15)
        mixture += log(sum(weights[name] * np.exp(told[name]) for name in names))
        best += told[names[first if hour < switch else then]]
        gate.learn({Target.HAZARD_15: told})
    allowed = -log(prior[names[first]]) - len(gains) * log(1.0 - back)
    if 0 < switch < len(gains) and first != then:
        allowed += -log(back * prior[names[then]])
    if switch == 0:
        allowed = -log(prior[names[then]]) - len(gains) * log(1.0 - back)
    assert best - mixture <= allowed + 1e-9


def test_weights_are_shared_among_those_that_speak() -> None:
    gate = Gate()
    assert gate.shares(Target.HAZARD_5, {FULL: 0.2}) == {FULL: pytest.approx(1.0)}
    shares = gate.shares(Target.HAZARD_5, {FULL: 0.2, USUAL: 0.0, "unheard of": 1.0})
    full, usual = PRIORS[Target.HAZARD_5][FULL], PRIORS[Target.HAZARD_5][USUAL]
    assert shares == {
        FULL: pytest.approx(full / (full + usual)),
        USUAL: pytest.approx(usual / (full + usual)),
    }
    assert gate.shares(Target.HAZARD_5, {"unheard of": 1.0}) == {}
    assert gate.weight(Target.HAZARD_5, "unheard of") == 0.0


def test_a_state_of_other_estimators_is_taken_as_far_as_it_goes() -> None:
    gate = Gate()
    gate.learn({Target.HAZARD_15: {FULL: -1.0}})
    other = Gate()
    other.restore(gate.state())
    assert other.state() == gate.state()
    more = Gate({**PRIORS, Target.HAZARD_15: {FULL: 0.5, "new": 0.5}})
    more.restore(gate.state())
    assert sum(more.weights(Target.HAZARD_15).values()) == pytest.approx(1.0)
    assert more.weight(Target.HAZARD_15, "new") > 0.5
