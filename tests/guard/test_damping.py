"""What comes and goes is held longer each time, so that it is not told anew with each flicker."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.arbiter import Arbiter, ArbiterSettings
from guard.findings import Finding, Limit
from guard.state import GuardState
from perpguard_sdk.messages import Entries, StopRule
from tests.support.builders import ALPHA, MARKET, at, born, finding, new_state

HOLD_S, STEP_S, TIMES = 60.0, 20.0, 30.0
DAY_S = 86_400.0


class Flickering:
    """One bot, asked each second that matters whether its adds are halted."""

    def __init__(self, damping_max: float = TIMES) -> None:
        self.state: GuardState = new_state(ALPHA)
        self.state.apply(born(0.0, ALPHA))
        self.arbiter = Arbiter(ArbiterSettings(hold_down_s=HOLD_S, step_s=STEP_S, damping_max=damping_max))
        self.changes = 0
        self.entries = Entries.ALLOWED

    def at(self, seconds: float, *findings: Finding) -> Entries:
        limits = self.arbiter.fold(findings, self.state, at(seconds))[ALPHA][MARKET]
        self.changes += limits.entries is not self.entries
        self.entries = limits.entries
        return self.entries


def no_adds() -> Finding:
    return finding(limit=Limit(entries=Entries.NO_ADDS))


def given_back_after(scene: Flickering, asked_at_s: float) -> float:
    """How long it is held that was asked for once."""
    scene.at(asked_at_s, no_adds())
    held_s = 0.0
    while scene.at(asked_at_s + held_s) is not Entries.ALLOWED:
        held_s += 5.0
    return held_s


def test_what_comes_back_is_held_four_times_as_long_each_time_up_to_a_longest() -> None:
    scene, now_s, held = Flickering(), 10.0, []
    for _ in range(5):
        held.append(given_back_after(scene, now_s))
        now_s += held[-1] + 30.0
    assert held == [60.0, 240.0, 960.0, 1_800.0, 1_800.0]


def test_what_comes_back_much_later_is_new() -> None:
    scene = Flickering()
    assert given_back_after(scene, 0.0) == 60.0
    assert given_back_after(scene, 100.0) == 240.0
    assert given_back_after(scene, 340.0 + 2 * TIMES * HOLD_S) == 60.0


def test_asking_on_while_it_is_held_is_no_coming_back() -> None:
    scene = Flickering()
    for seconds in range(0, 600, 50):
        scene.at(float(seconds), no_adds())
        scene.at(float(seconds) + 1.0)
    assert scene.at(550.0 + 59.0) is Entries.NO_ADDS
    assert scene.at(550.0 + 61.0) is Entries.ALLOWED


@settings(max_examples=20, deadline=None)
@given(gaps_s=st.lists(st.floats(61.0, 900.0), min_size=20, max_size=60))
def test_whatever_flickers_changes_hardly_more_than_twice_in_the_longest_hold_down(
    gaps_s: list[float],
) -> None:
    """Coming back is what costs; the first three times are quick, and what was away for long begins anew."""
    damped, plain = Flickering(), Flickering(damping_max=1.0)
    now_s = 0.0
    for gap_s in gaps_s:
        for scene in (damped, plain):
            scene.at(now_s, no_adds())
            for share in (0.25, 0.5, 0.75):
                scene.at(now_s + share * gap_s)
        now_s += gap_s
    assert damped.changes <= plain.changes
    longest_s = TIMES * HOLD_S
    assert damped.changes <= 2 * (4 + now_s / longest_s)


def test_a_size_is_not_given_back_before_the_stop_that_came_with_it() -> None:
    """The stop has come and gone and is held longer than the size, which was asked for all along."""
    scene, both = Flickering(), 0
    size = finding(bot=ALPHA, max_size=4.0)
    stop = finding(policy="stops", bot=ALPHA, limit=Limit(max_size=4.0, stop=StopRule(stop_price=90.0)))
    for second in range(0, 500, 5):
        asked = [size] * (second < 100) + [stop] * (second in (0, 70))
        scene.at(float(second), *asked)
        limits = scene.arbiter.fold(asked, scene.state, at(float(second)))[ALPHA][MARKET]
        assert limits.stop is None or limits.max_size == 4.0
        both += limits.stop is not None and second > 160

    assert both > 20, "the size alone would have been free after 160 s"
    assert limits.max_size is None
