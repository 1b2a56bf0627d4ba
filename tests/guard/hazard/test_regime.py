"""The state of a market: up at once, down one step at a time after its dwell, staged back, held where unknown."""

from __future__ import annotations

import copy
import math
import pickle
import random
from math import inf, nan
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.forecasts import Regime
from guard.hazard.regime import RegimeInputs, RegimeMachine, RegimeSettings, RegimeState
from guard.units import NS_PER_S
from tests.support.uncompiled import uncompiled

AS_IT_IS = uncompiled("guard.hazard.regime")[0]

CALM = RegimeInputs(
    hazard_15m=0.0,
    depth_z=0.0,
    depth_ratio=1.0,
    round_trip_ratio=1.0,
    reproduction=0.1,
    liquidations_per_min=0.0,
    speed=0.5,
    spread_ratio=1.0,
    refill_ratio=1.0,
)
THIN = replace(CALM, depth_z=-3.5)
LIKELY = replace(CALM, hazard_15m=0.2)
SELLING = replace(CALM, liquidations_per_min=0.5, speed=6.0)
UNKNOWN = RegimeInputs(is_known=False)
STEP_S = 5


class Run:
    """A machine that is asked every five seconds."""

    def __init__(self, regime_settings: RegimeSettings | None = None) -> None:
        self.machine = RegimeMachine(regime_settings)
        self.second = 0

    def step(self, inputs: RegimeInputs, seconds: int = STEP_S) -> Regime:
        regime = self.machine.regime
        for _ in range(0, seconds, STEP_S):
            regime = self.machine.update(self.second * NS_PER_S, inputs)
            self.second += STEP_S
        return regime

    def until(self, regime: Regime, inputs: RegimeInputs, *, most_s: int = 10_000) -> int:
        start = self.second
        while self.machine.regime is not regime:
            self.step(inputs)
            assert self.second - start < most_s
        return self.second - start


@pytest.mark.parametrize(
    ("inputs", "regime", "reason"),
    [
        (replace(CALM, hazard_15m=0.021), Regime.WATCH, "hazard"),
        (replace(CALM, depth_z=-3.0), Regime.WATCH, "depth_z"),
        (replace(CALM, hazard_15m=0.11), Regime.STRESSED, "hazard"),
        (SELLING, Regime.CASCADE, "liquidations"),
    ],
)
def test_a_criterion_enters_its_level_at_once(inputs: RegimeInputs, regime: Regime, reason: str) -> None:
    run = Run()
    assert run.step(CALM) is Regime.NORMAL
    assert run.step(inputs) is regime
    assert run.machine.reasons == (reason,)


@pytest.mark.parametrize(
    "inputs",
    [
        replace(CALM, hazard_15m=0.019, depth_z=-2.9, round_trip_ratio=4.9, reproduction=0.9),
        replace(CALM, liquidations_per_min=5.0, speed=2.9),
        replace(CALM, liquidations_per_min=0.29, speed=20.0),
        replace(CALM, depth_ratio=0.21),
        RegimeInputs(),
    ],
)
def test_below_its_entry_nothing_changes(inputs: RegimeInputs) -> None:
    assert Run().step(inputs, 600) is Regime.NORMAL


def test_a_collapse_of_depth_counts_when_it_lasts() -> None:
    machine = RegimeMachine()
    gone = replace(CALM, depth_ratio=0.1)
    assert machine.update(0, gone) is Regime.NORMAL
    assert machine.update(NS_PER_S, CALM) is Regime.NORMAL
    assert machine.update(2 * NS_PER_S, gone) is Regime.NORMAL
    assert machine.update(4 * NS_PER_S, gone) is Regime.NORMAL
    assert machine.update(5 * NS_PER_S, gone) is Regime.CASCADE
    assert machine.reasons == ("collapse",)


def test_a_dear_round_trip_counts_at_the_second_look_in_a_row() -> None:
    run, dear = Run(), replace(CALM, round_trip_ratio=5.5)
    for between in (CALM, replace(CALM, round_trip_ratio=None), UNKNOWN):
        assert run.step(dear) is Regime.NORMAL
        assert run.step(between) is Regime.NORMAL
    assert run.step(dear, 10) is Regime.STRESSED
    assert run.machine.reasons == ("round_trip",)


@pytest.mark.parametrize("settings", [RegimeSettings(), RegimeSettings(speed_unseen=2.0)])
def test_depth_that_is_not_seen_counts_only_where_price_moves(settings: RegimeSettings) -> None:
    gone = replace(CALM, depth_z=-6.0, depth_ratio=0.05, is_depth_seen=False)
    still, calm, moving = replace(gone, speed=settings.speed_unseen - 0.1), Run(settings), Run(settings)
    assert calm.step(still, 600) is Regime.NORMAL
    assert calm.machine.unseen == ("depth_z", "collapse")
    assert calm.step(replace(still, speed=None)) is Regime.NORMAL
    assert calm.step(replace(still, liquidations_per_min=0.3), 10) is Regime.CASCADE
    assert not calm.machine.unseen
    assert moving.step(replace(gone, speed=settings.speed_unseen), 10) is Regime.CASCADE
    assert moving.machine.reasons == ("collapse",)
    moving.until(Regime.STRESSED, replace(LIKELY, depth_ratio=0.05, is_depth_seen=False))  # nor does it hold
    assert moving.machine.unseen == ("collapse",)
    moving.step(UNKNOWN)
    assert not moving.machine.unseen


def test_depth_that_is_seen_to_be_gone_counts_where_price_stands() -> None:
    run = Run()
    assert run.step(replace(CALM, depth_z=-6.0, depth_ratio=0.05, speed=0.0), 10) is Regime.CASCADE


def test_a_reproduction_number_counts_when_it_lasts() -> None:
    run, forced = Run(), replace(CALM, reproduction=1.2)
    for _ in range(20):
        assert run.step(forced, 20) is Regime.NORMAL
        assert run.step(CALM) is Regime.NORMAL
    assert run.step(forced, 25) is Regime.STRESSED
    assert run.machine.reasons == ("reproduction",)


def test_a_market_that_is_fragile_for_good_is_not_stressed_for_ever() -> None:
    """What is usual of R is learned within two hours, and forgotten with it; far above that it counts again."""
    run, fragile = Run(), replace(CALM, reproduction=1.3)
    assert run.step(fragile, 60) is Regime.STRESSED
    assert run.step(fragile, 2 * 3600) is Regime.NORMAL
    after = RegimeMachine()
    after.restore(run.machine.state())
    run.machine = after
    assert run.step(fragile, 3600) is Regime.NORMAL
    assert run.step(replace(CALM, reproduction=3.0), 60) is Regime.STRESSED


def test_a_hazard_that_is_high_from_the_first_look_on_is_learned_to_be_usual_where_price_stands() -> None:
    """A model's rate may be another market's; where price moves it is not learned."""
    high = replace(CALM, hazard_15m=0.12, speed=0.3)
    still, moving = Run(), Run()
    assert still.step(high) is Regime.STRESSED
    assert still.step(high, 3 * 3600) is Regime.WATCH
    assert moving.step(replace(high, speed=2.0), 3 * 3600) is Regime.STRESSED


def test_thresholds_of_cost_go_before_those_of_the_settings() -> None:
    cheap = replace(CALM, hazard_15m=0.006, hazard_watch=0.005, hazard_stressed=0.5)
    dear = replace(CALM, hazard_15m=0.3, hazard_watch=0.55, hazard_stressed=0.6)
    assert Run().step(cheap) is Regime.WATCH
    assert Run().step(dear) is Regime.NORMAL


def test_a_hazard_that_is_always_high_here_is_not_alarming_unless_it_rises() -> None:
    run = Run()
    usual = replace(CALM, hazard_15m=0.035)
    run.step(usual, 3_600)
    run.until(Regime.NORMAL, usual)
    assert run.step(usual, 7_200) is Regime.NORMAL
    assert run.step(replace(CALM, hazard_15m=0.13), 5) is Regime.NORMAL
    assert run.step(replace(CALM, hazard_15m=0.18)) is Regime.WATCH
    assert run.step(replace(CALM, hazard_15m=0.60)) is Regime.STRESSED
    crashing = Run()
    assert crashing.step(replace(CALM, hazard_15m=0.7), 3 * 3_600) is Regime.STRESSED


def test_a_level_is_held_down_to_half_its_entry_and_then_for_its_dwell() -> None:
    run = Run()
    run.step(THIN)
    assert run.step(replace(CALM, depth_z=-1.6), 3_600) is Regime.WATCH
    assert 120 <= run.until(Regime.NORMAL, replace(CALM, depth_z=-1.4)) <= 130
    run.step(CALM, 3_600)
    run.step(LIKELY)
    assert 600 <= run.until(Regime.WATCH, CALM) <= 610
    assert 120 <= run.until(Regime.NORMAL, CALM) <= 130


def test_a_look_now_and_then_that_holds_a_level_delays_it_and_one_that_enters_begins_anew() -> None:
    flicker, again = replace(CALM, round_trip_ratio=3.0), replace(CALM, round_trip_ratio=6.0)

    def calm_s(between: RegimeInputs, seconds_of: int, most_s: int) -> int:
        run = Run()
        run.step(again, 10)
        for seconds in range(0, most_s, 60):
            if run.step(CALM, 55) is not Regime.STRESSED:
                return seconds
            run.step(between, seconds_of)
        return most_s

    settings = RegimeSettings()
    assert settings.stressed_dwell_s <= calm_s(flicker, 5, 7200) <= 2 * settings.stressed_dwell_s
    assert calm_s(again, 5, 7200) < 7200  # one look enters nothing
    assert calm_s(again, 10, 7200) == 7200


def test_what_comes_back_is_not_over() -> None:
    run = Run()
    run.step(THIN)
    run.until(Regime.NORMAL, CALM)
    run.step(THIN)
    assert 600 <= run.until(Regime.NORMAL, CALM) <= 610
    run.step(CALM, 3_600)
    run.step(THIN)
    assert 120 <= run.until(Regime.NORMAL, CALM) <= 130


def test_a_stress_that_comes_back_dwells_as_stress_does() -> None:
    run = Run()
    for _ in range(3):
        run.step(LIKELY)
        assert 600 <= run.until(Regime.WATCH, CALM) <= 610


def test_after_a_cascade_it_recovers_in_stages_as_the_book_does() -> None:
    run = Run()
    run.step(SELLING)
    assert run.machine.resume_share == 0.0
    assert 1_800 <= run.until(Regime.RECOVERY, CALM) <= 1_810
    assert run.machine.resume_share == 0.25
    run.step(CALM, 310)
    assert run.machine.resume_share == 0.5
    run.step(CALM, 310)
    assert run.machine.resume_share == 1.0
    assert run.until(Regime.NORMAL, CALM) <= 310
    assert run.machine.resume_share == 1.0


@pytest.mark.parametrize(
    "inputs",
    [
        replace(CALM, depth_ratio=0.5),
        replace(CALM, spread_ratio=2.5),
        replace(CALM, refill_ratio=3.0),
        replace(CALM, depth_ratio=None),
        replace(CALM, spread_ratio=None),
    ],
)
def test_no_time_alone_brings_a_market_back(inputs: RegimeInputs) -> None:
    run = Run()
    run.step(SELLING)
    assert run.step(inputs, 5 * 3_600) is Regime.CASCADE
    run.until(Regime.RECOVERY, CALM)
    run.step(CALM, 310)
    assert run.machine.resume_share == 0.5
    assert run.step(inputs, 3_600) is Regime.RECOVERY
    assert run.machine.resume_share == 0.25


def test_reasons_are_what_enters_else_what_holds_else_nothing() -> None:
    run = Run()
    run.step(replace(THIN, depth_ratio=0.35, round_trip_ratio=3.0))  # the others hold, thinness enters
    assert run.machine.reasons == ("depth_z",)
    run.step(replace(CALM, depth_z=-2.0))
    assert run.machine.reasons == ("depth_z",)
    run.step(CALM)
    assert not run.machine.reasons
    run.step(SELLING)
    run.until(Regime.RECOVERY, CALM)
    run.step(replace(CALM, spread_ratio=5.0))
    assert run.machine.reasons == ("book",)


def test_a_relapse_goes_up_at_once_and_comes_back_through_recovery() -> None:
    run = Run()
    run.step(SELLING)
    run.until(Regime.RECOVERY, CALM)
    assert run.step(THIN) is Regime.RECOVERY  # which restricts more than WATCH
    assert run.step(LIKELY) is Regime.STRESSED
    seen = [run.step(CALM) for _ in range(600)]
    assert Regime.WATCH not in seen
    assert Regime.RECOVERY in seen


def test_a_cascade_that_calms_to_stress_is_stress_before_it_recovers() -> None:
    run = Run()
    run.step(SELLING)
    assert run.until(Regime.STRESSED, LIKELY) >= 1_800
    assert run.until(Regime.RECOVERY, CALM) >= 600


def test_unknown_data_hold_the_state_and_say_so() -> None:
    run = Run()
    assert run.step(UNKNOWN, 600) is Regime.NORMAL
    assert run.machine.is_held_unknown
    run.step(LIKELY)
    assert not run.machine.is_held_unknown
    run.step(CALM, 300)
    assert run.step(UNKNOWN, 7_200) is Regime.STRESSED
    assert run.machine.is_held_unknown
    assert 270 <= run.until(Regime.WATCH, CALM) <= 340


def test_one_input_that_turns_unknown_holds_as_it_last_was() -> None:
    run = Run()
    run.step(replace(CALM, round_trip_ratio=8.0), 10)
    gone = replace(CALM, round_trip_ratio=None)
    assert run.step(gone, 3_000) is Regime.STRESSED
    assert run.step(gone, 3_600) is not Regime.STRESSED


@pytest.mark.parametrize("odd", [nan, inf, -inf])
def test_odd_numbers_count_as_unknown(odd: float) -> None:
    kept = {"is_known", "hazard_watch", "hazard_stressed"}
    wrong: dict[str, Any] = {name: odd for name in RegimeInputs.__struct_fields__ if name not in kept}
    run = Run()
    assert run.step(replace(CALM, **wrong), 60) is Regime.NORMAL


def test_a_machine_goes_on_in_another_run() -> None:
    first = Run()
    first.step(SELLING)
    first.until(Regime.RECOVERY, CALM)
    first.step(CALM, 310)
    kept = msgspec.json.decode(msgspec.json.encode(first.machine.state()), type=RegimeState)
    second = Run()
    second.second = first.second
    second.machine.restore(kept)
    assert second.machine.regime is Regime.RECOVERY
    assert second.machine.resume_share == 0.5
    assert second.machine.since_at == first.machine.since_at
    assert abs(second.until(Regime.NORMAL, CALM) - first.until(Regime.NORMAL, CALM)) <= STEP_S
    third = Run()
    third.machine.restore(replace(kept, version=2))
    assert third.machine.regime is Regime.NORMAL


@pytest.mark.parametrize(
    "wrong",
    [
        {"hazard_watch": 0.2},
        {"hazard_watch": nan},
        {"depth_z_watch": 3.0},
        {"exit_share": 1.0},
        {"stages": ()},
        {"stages": (0.5, 0.25, 1.0)},
        {"stages": (0.0, 1.0)},
        {"stages": (0.25, 0.5)},
        {"watch_dwell_s": 0.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        RegimeSettings(**wrong)


# ---------------------------------------------------------------- whatever comes

NUMBERS = st.one_of(st.none(), st.floats(0.0, 3.0), st.floats(0.0, 0.05))
INPUTS = st.builds(
    RegimeInputs,
    is_known=st.sampled_from((True, True, True, False)),
    hazard_15m=st.one_of(st.none(), st.floats(0.0, 0.3)),
    depth_z=st.one_of(st.none(), st.floats(-6.0, 2.0)),
    depth_ratio=NUMBERS,
    is_depth_seen=st.booleans(),
    round_trip_ratio=st.one_of(st.none(), st.floats(0.5, 8.0)),
    reproduction=st.one_of(st.none(), st.floats(0.0, 1.5)),
    liquidations_per_min=st.one_of(st.none(), st.floats(0.0, 0.6)),
    speed=st.one_of(st.none(), st.floats(0.0, 6.0)),
    spread_ratio=NUMBERS,
    refill_ratio=NUMBERS,
)
LEGS = st.lists(
    st.tuples(st.one_of(INPUTS, st.just(CALM), st.just(UNKNOWN)), st.integers(1, 500)), max_size=12
)
DOWN = {
    Regime.CASCADE: {Regime.STRESSED, Regime.RECOVERY},
    Regime.STRESSED: {Regime.WATCH, Regime.RECOVERY},
    Regime.RECOVERY: {Regime.NORMAL},
    Regime.WATCH: {Regime.NORMAL},
    Regime.NORMAL: set[Regime](),
}
RANK = {Regime.NORMAL: 0, Regime.WATCH: 1, Regime.RECOVERY: 1, Regime.STRESSED: 2, Regime.CASCADE: 3}
DWELL_S = {Regime.WATCH: 120, Regime.STRESSED: 600, Regime.CASCADE: 1_800, Regime.RECOVERY: 900}


@settings(max_examples=20, deadline=None)
@given(LEGS)
def test_down_goes_one_step_after_its_dwell_and_never_on_unknown_data(
    legs: list[tuple[RegimeInputs, int]],
) -> None:
    run, since, share = Run(), 0, 1.0
    for inputs, steps in legs:
        for _ in range(steps):
            before = run.machine.regime
            share_before = run.machine.resume_share
            at = run.second
            after = run.step(inputs)
            share = run.machine.resume_share
            assert 0.0 <= share <= 1.0
            if not inputs.is_known:
                assert after is before
                assert share == share_before
            if after is not before:
                if RANK[after] <= RANK[before]:
                    assert after in DOWN[before]
                    assert at - since >= DWELL_S[before]
                since = at


@settings(max_examples=8, deadline=None)
@given(st.lists(st.booleans(), min_size=100, max_size=400), st.integers(1, 40))
def test_watch_flaps_a_few_times_an_hour_at_the_very_most(thin: list[bool], steps: int) -> None:
    run, changes = Run(), []
    for is_thin in thin:
        for _ in range(steps):
            before = run.machine.regime
            if run.step(THIN if is_thin else CALM) is not before:
                changes.append(run.second)
    hours = [sum(1 for other in changes if at <= other < at + 3_600) for at in changes]
    assert max(hours, default=0) <= 13


def drawn_inputs(seed: int, count: int) -> list[RegimeInputs]:
    """Draw a market that is calm and wild by turns, of which now and then something is not known."""
    drawn = random.Random(seed)
    found, strain = [], 0.0
    for step in range(count):
        strain += 0.1 * (drawn.choice((0.5, 1.5, 3.0)) * (step // 500 % 2) - strain) + drawn.gauss(0.0, 0.05)
        strain = max(strain, 0.0)
        numbers: dict[str, Any] = {
            "hazard_15m": 0.01 * math.exp(strain * 1.5),
            "hazard_watch": drawn.choice((None, 0.03)),
            "hazard_stressed": drawn.choice((None, 0.2)),
            "depth_z": -1.5 * strain,
            "depth_ratio": math.exp(-0.8 * strain),
            "round_trip_ratio": math.exp(strain),
            "reproduction": 0.5 * strain,
            "liquidations_per_min": 0.15 * strain * strain,
            "speed": 1.4 * strain,
            "spread_ratio": math.exp(0.4 * strain),
            "refill_ratio": drawn.choice((None, 1.0 + 0.5 * strain)),
        }
        for name in numbers:
            if drawn.random() < 0.05:
                numbers[name] = drawn.choice((None, nan, inf))
        known = {"is_known": drawn.random() > 0.02, "is_depth_seen": drawn.random() > 0.3}
        found.append(RegimeInputs(**known, **numbers))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_states_are_the_same_compiled_or_not(seed: int) -> None:
    """What is judged, why, since when, and what is kept for another run."""
    fast, slow = RegimeMachine(), AS_IT_IS.RegimeMachine()
    regimes, at = set(), 0
    for step, inputs in enumerate(drawn_inputs(seed, 4_000)):
        at += (5 if step % 50 else 90) * NS_PER_S
        if step % 700 == 650:
            fast, slow = pickle.loads(pickle.dumps(fast)), copy.deepcopy(slow)
        regimes.add(fast.update(at, inputs))
        assert slow.update(at, inputs) is fast.regime
        assert (fast.reasons, fast.unseen, fast.since_at, fast.resume_share, fast.is_held_unknown) == (
            slow.reasons,
            slow.unseen,
            slow.since_at,
            slow.resume_share,
            slow.is_held_unknown,
        )
    assert regimes == set(Regime)
    assert msgspec.json.encode(fast.state()) == msgspec.json.encode(slow.state())
    later = RegimeMachine(), AS_IT_IS.RegimeMachine()
    for machine in later:
        machine.restore(fast.state())
        machine.update(at, CALM)
    assert later[0].state() == msgspec.convert(msgspec.to_builtins(later[1].state()), RegimeState)
