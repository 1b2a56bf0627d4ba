"""Pause, resume and widened stops: what counts as done, and what is not held against a bot."""

from __future__ import annotations

import pytest

from guard.arbiter import ArbiterSettings
from guard.commands import OutcomeKind
from guard.findings import Reason
from perpguard_sdk.messages import (
    AckStatus,
    Entries,
    Mode,
    Pause,
    ReportedOrder,
    Resume,
    StopRule,
    WidenStops,
)
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    BETA,
    SYMBOL,
    acked,
    born,
    finding,
    mark,
    order,
    position,
    reported,
    snapshot,
    tick,
)
from tests.support.scene import Scene

PAUSE = finding(entries=Entries.REDUCE_ONLY)
NO_WAIT = ArbiterSettings(hold_down_s=0.0, step_s=0.0)


@pytest.fixture
def scene() -> Scene:
    return Scene()


# ---------------------------------------------------------------- pause and resume


def paused_at_1s(scene: Scene, *resting: object) -> None:
    scene.guard.feed(snapshot(0.5, position(2.0)))
    scene.say(PAUSE)
    scene.guard.feed(tick(1.0), reported(1.2, size=2.0, entries=Entries.REDUCE_ONLY, version=2))


def test_a_pause_is_confirmed_when_the_venue_shows_no_entry_after_it_has_settled(scene: Scene) -> None:
    paused_at_1s(scene)
    scene.guard.feed(snapshot(1.5, position(2.0)))
    assert scene.guard.outcomes == []

    scene.guard.feed(snapshot(2.5, position(2.0)))

    assert [(one.outcome, one.source) for one in scene.guard.outcomes] == [(OutcomeKind.CONFIRMED, "venue")]


def test_a_hung_bot_whose_venue_shows_no_entry_is_paused_once_and_anew_when_it_speaks(scene: Scene) -> None:
    scene.guard.feed(snapshot(0.5, position(2.0)))
    scene.say(PAUSE)
    for half_second in range(2, 60):
        scene.guard.feed(tick(half_second / 2), snapshot(half_second / 2 + 0.1, position(2.0)))
    pauses = {publish.command.id for publish in scene.guard.commands}
    assert len(pauses) == 1

    scene.guard.feed(reported(31.0, size=2.0, entries=Entries.ALLOWED, version=1), tick(31.1))
    assert len({publish.command.id for publish in scene.guard.commands}) == 2


def test_a_hung_bot_is_told_when_a_pause_becomes_a_halt(scene: Scene) -> None:
    scene.guard.feed(snapshot(0.5, position(2.0)))
    scene.say(PAUSE)
    scene.guard.feed(tick(1.0), snapshot(3.0, position(2.0)))
    assert scene.kinds() == [OutcomeKind.CONFIRMED]
    scene.say(finding(entries=Entries.HALTED))
    scene.guard.feed(tick(4.0))

    last = scene.guard.commands[-1].command
    assert isinstance(last, Pause)
    assert last.entries is Entries.HALTED


def test_a_pause_of_a_bot_without_a_visible_account_is_confirmed_by_its_word(scene: Scene) -> None:
    scene.say(PAUSE)
    scene.guard.feed(tick(1.0), reported(1.2, entries=Entries.REDUCE_ONLY, version=2))

    assert [(one.outcome, one.source) for one in scene.guard.outcomes] == [(OutcomeKind.CONFIRMED, "bot")]


def test_a_pause_that_the_bot_claims_while_the_venue_shows_growth_has_failed(scene: Scene) -> None:
    paused_at_1s(scene)
    for second in range(3, 8):
        scene.guard.feed(snapshot(second, position(3.0)), tick(second + 0.5))

    assert scene.kinds()[0] is OutcomeKind.FAILED
    assert "grew from 2 to 3" in scene.guard.outcomes[0].detail
    assert scene.guard.posture().entries == {SYMBOL: Entries.HALTED}


def test_a_pause_that_the_bot_claims_while_entry_orders_rest_has_failed(scene: Scene) -> None:
    paused_at_1s(scene)
    for second in range(3, 8):
        scene.guard.feed(snapshot(second, position(2.0), orders=[order("o1", 1.0, price=99.0)]))

    assert scene.kinds()[0] is OutcomeKind.FAILED
    assert "o1" in scene.guard.outcomes[0].detail


def test_orders_of_another_bot_of_the_account_are_not_held_against_it() -> None:
    scene = Scene(ALPHA, BETA)
    theirs = ReportedOrder(order_id="o2", symbol=SYMBOL, size=1.0, price=99.0)
    scene.guard.feed(reported(0.5, ALPHA, size=1.0), reported(0.5, BETA, size=1.0, orders=[theirs]))
    scene.say(finding(entries=Entries.REDUCE_ONLY, bot=ALPHA))
    scene.guard.feed(tick(1.0), reported(1.2, ALPHA, size=1.0, entries=Entries.REDUCE_ONLY))
    scene.guard.feed(reported(2.3, ALPHA, size=1.0, entries=Entries.REDUCE_ONLY))
    scene.guard.feed(snapshot(2.5, position(2.0), orders=[order("o2", 1.0, price=99.0)]))

    assert scene.kinds() == [OutcomeKind.CONFIRMED]


def test_a_resume_is_confirmed_by_a_report_under_its_posture() -> None:
    scene = Scene(arbiter=NO_WAIT, asked=Entries.REDUCE_ONLY)
    scene.guard.feed(reported(0.9, entries=Entries.REDUCE_ONLY))
    (sent,) = scene.guard.commands
    assert isinstance(sent.command, Resume)
    scene.guard.feed(reported(1.3, entries=Entries.ALLOWED, version=0))
    assert scene.guard.outcomes == []

    scene.guard.feed(reported(1.5, entries=Entries.ALLOWED, version=sent.command.posture_version))

    assert scene.kinds() == [OutcomeKind.CONFIRMED]


def test_a_bot_that_does_not_resume_is_not_punished() -> None:
    scene = Scene(asked=Entries.REDUCE_ONLY)
    scene.guard.feed(reported(0.5, entries=Entries.REDUCE_ONLY))
    for second in range(1, 200):
        scene.guard.feed(reported(second, entries=Entries.REDUCE_ONLY, version=1), tick(second + 0.5))

    assert set(scene.kinds()) == {OutcomeKind.FAILED}
    assert scene.guard.posture().entries == {}
    assert len({one.command.id for one in scene.guard.commands}) < 10, "twice a minute is often enough"


def test_safe_mode_is_not_fought(scene: Scene) -> None:
    scene.guard.feed(reported(0.5, entries=Entries.REDUCE_ONLY, safe_mode=True))
    scene.guard.ticks(1.0, 60.0)

    assert scene.guard.commands == []


def test_a_bot_of_a_live_guard_is_only_told_and_never_blamed() -> None:
    scene = Scene()
    scene.guard.feed(born(0.1, mode=Mode.LIVE), snapshot(0.5, position(2.0)))
    scene.say(finding(account=ACCOUNT, max_size=1.0))
    for second in range(1, 120):
        scene.guard.feed(snapshot(second, position(2.0)), tick(second + 0.5))

    assert scene.kinds() == [OutcomeKind.UNVERIFIABLE]
    assert "dry run" in scene.guard.outcomes[0].detail
    assert Reason.COMMAND_FAILED not in scene.reasons()
    assert len(scene.guard.commands) == 1


# ---------------------------------------------------------------- stops


def test_a_stop_is_widened_in_one_command_with_its_cut(scene: Scene) -> None:
    stop = order("s1", -4.0, stop_price=98.0, reduce_only=True)
    scene.guard.feed(mark(0.4, 100.0), snapshot(0.5, position(4.0), orders=[stop]))
    scene.say(finding(account=ACCOUNT, max_size=2.0, stop=StopRule(stop_price=96.0)))
    scene.guard.feed(tick(1.0))

    (sent,) = scene.guard.commands
    assert isinstance(sent.command, WidenStops)
    assert (sent.command.max_size, sent.command.stop.stop_price) == (2.0, 96.0)

    scene.guard.feed(acked(1.1, sent.command, AckStatus.RECEIVED))
    scene.guard.feed(snapshot(1.5, position(2.0), orders=[stop]))
    assert scene.guard.outcomes == [], "the cut alone is not it"
    moved = order("s2", -2.0, stop_price=96.0, reduce_only=True)
    scene.guard.feed(snapshot(1.8, position(2.0), orders=[moved]))
    assert scene.kinds() == [OutcomeKind.CONFIRMED]
    assert len(scene.guard.commands) == 1


def test_a_stop_that_the_price_has_come_through_is_never_asked_for(scene: Scene) -> None:
    stop = order("s1", -4.0, stop_price=90.0, reduce_only=True)
    scene.guard.feed(mark(0.4, 95.0), snapshot(0.5, position(2.0), orders=[stop]))
    scene.say(finding(account=ACCOUNT, max_size=2.0, stop=StopRule(stop_price=96.0)))
    scene.guard.ticks(1.0, 5.0)

    assert scene.guard.commands == []
