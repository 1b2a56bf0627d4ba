"""Whose a pause is: ours is taken back and told again, a human's is left alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec import structs

from guard.arbiter import ArbiterSettings
from guard.commands import OutcomeKind
from guard.events import BotReported
from perpguard_sdk.messages import BotStatus, CutLeverage, Entries, Pause, Resume
from tests.support.builders import (
    ACCOUNT,
    SYMBOL,
    Guard,
    born,
    bot_state,
    finding,
    position,
    reported,
    seconds_of,
    snapshot,
    tick,
)
from tests.support.scene import Scene

NO_WAIT = ArbiterSettings(hold_down_s=0.0, step_s=0.0)
PAUSE = finding(entries=Entries.REDUCE_ONLY)


def says(seconds: float, guard: Guard, entries: Entries, own: Entries | None = None) -> BotReported:
    """A report of a bot that has read its last posture; ``own`` where it tells that apart."""
    version = guard.posture().version if guard.postures else 0
    event = reported(seconds, size=1.0, entries=entries, version=version, epoch=1)
    told = None if own is None else {} if own is Entries.ALLOWED else {SYMBOL: own}
    return structs.replace(event, reported=structs.replace(event.reported, own_entries=told))


def resumes(scene: Scene) -> list[Resume]:
    return [one.command for one in scene.guard.commands if isinstance(one.command, Resume)]


def pauses(scene: Scene) -> list[Pause]:
    return [
        one.command for one in scene.guard.commands if isinstance(one.command, Pause) and one.attempt == 1
    ]


def live(scene: Scene, first: float, last: float, entries: Entries, own: Entries | None = None) -> None:
    for number in range(round((last - first) / 0.5)):
        seconds = first + number * 0.5
        scene.guard.feed(tick(seconds), says(seconds + 0.1, scene.guard, entries, own))


def test_what_a_human_paused_before_anything_was_asked_stays() -> None:
    scene = Scene(arbiter=NO_WAIT)
    live(scene, 1.0, 20.0, Entries.REDUCE_ONLY)

    assert scene.guard.commands == []


def test_what_a_human_paused_before_us_stays_when_ours_is_over() -> None:
    scene = Scene(arbiter=NO_WAIT)
    live(scene, 1.0, 3.0, Entries.REDUCE_ONLY)
    scene.say(PAUSE)
    live(scene, 3.0, 6.0, Entries.REDUCE_ONLY)
    scene.say()
    live(scene, 6.0, 20.0, Entries.REDUCE_ONLY)

    assert resumes(scene) == []
    assert scene.guard.posture().entries == {}


def test_a_humans_halt_beyond_our_pause_stays() -> None:
    scene = Scene(arbiter=NO_WAIT)
    scene.say(PAUSE)
    live(scene, 1.0, 4.0, Entries.REDUCE_ONLY)
    live(scene, 4.0, 6.0, Entries.HALTED)
    scene.say()
    live(scene, 6.0, 20.0, Entries.HALTED)

    assert resumes(scene) == []


def test_what_is_ours_beyond_a_humans_pause_is_taken_back_as_far_as_that() -> None:
    scene = Scene(arbiter=NO_WAIT)
    live(scene, 1.0, 3.0, Entries.REDUCE_ONLY)
    scene.say(finding(entries=Entries.HALTED))
    live(scene, 3.0, 6.0, Entries.HALTED)
    scene.say()
    live(scene, 6.0, 8.0, Entries.HALTED)

    assert {one.entries for one in resumes(scene)} == {Entries.REDUCE_ONLY}
    told = {one.id for one in resumes(scene)}
    live(scene, 8.0, 20.0, Entries.REDUCE_ONLY)
    assert scene.guard.outcomes[-1].outcome is OutcomeKind.CONFIRMED
    assert {one.id for one in resumes(scene)} == told


def test_ours_is_taken_back_where_the_bot_tells_that_a_humans_stays() -> None:
    scene = Scene(arbiter=NO_WAIT)
    scene.say(PAUSE)
    live(scene, 1.0, 4.0, Entries.REDUCE_ONLY, Entries.HALTED)
    scene.say()
    live(scene, 4.0, 4.6, Entries.REDUCE_ONLY, Entries.HALTED)
    assert resumes(scene)

    live(scene, 5.0, 10.0, Entries.ALLOWED, Entries.HALTED)
    assert scene.guard.outcomes[-1].outcome is OutcomeKind.CONFIRMED


def test_a_pause_of_a_humans_after_ours_was_taken_back_stays() -> None:
    scene = Scene(arbiter=NO_WAIT)
    scene.say(PAUSE)
    live(scene, 1.0, 4.0, Entries.REDUCE_ONLY)
    scene.say()
    live(scene, 4.0, 4.6, Entries.REDUCE_ONLY)
    live(scene, 5.0, 7.0, Entries.ALLOWED)
    told = len({one.id for one in resumes(scene)})
    live(scene, 7.0, 20.0, Entries.REDUCE_ONLY)

    assert told
    assert len({one.id for one in resumes(scene)}) == told


def test_a_bot_that_lets_itself_in_again_is_paused_again_within_ten_seconds() -> None:
    scene = Scene(arbiter=NO_WAIT)
    scene.say(PAUSE)
    live(scene, 1.0, 4.0, Entries.REDUCE_ONLY)
    assert len(pauses(scene)) == 1
    live(scene, 30.0, 60.0, Entries.ALLOWED)

    again = [one.ts / 1e3 - seconds_of(0) / 1 for one in pauses(scene)[1:]]
    waits = [later - earlier for earlier, later in pairwise(again)]
    assert len(again) >= 3
    assert max(waits) <= 10.0


@pytest.mark.parametrize("failed_before", [False, True])
def test_a_bot_that_starts_again_is_told_at_once(failed_before: bool) -> None:
    scene = Scene(arbiter=NO_WAIT)
    scene.say(PAUSE)
    live(
        scene, 1.0, 25.0 if failed_before else 4.0, Entries.ALLOWED if failed_before else Entries.REDUCE_ONLY
    )
    scene.guard.feed(bot_state(30.0, state=BotStatus.OFFLINE))
    told = len(pauses(scene))
    again = born(31.0, session="b2")
    fresh = says(31.1, scene.guard, Entries.ALLOWED)
    fresh = structs.replace(fresh, reported=structs.replace(fresh.reported, session="b2"))
    steps = scene.guard.feed(again, fresh, tick(31.3))

    assert len(pauses(scene)) == told + 1
    assert any(step.postures for step in steps), "and its posture is published again"


def test_a_cut_is_not_doubled_by_a_bot_that_starts_again_in_the_middle() -> None:
    scene = Scene(arbiter=NO_WAIT)
    scene.guard.feed(snapshot(0.5, position(2.0)), reported(0.5, size=2.0))
    scene.say(finding(account=ACCOUNT, max_size=1.0))
    scene.guard.feed(tick(1.0))
    scene.guard.feed(bot_state(1.2, state=BotStatus.OFFLINE), born(1.5, session="b2"))
    scene.guard.feed(tick(1.6), snapshot(1.8, position(2.0)), tick(2.0), snapshot(2.5, position(1.0)))
    scene.guard.ticks(3.0, 20.0)

    sent = [one.command for one in scene.guard.commands if isinstance(one.command, CutLeverage)]
    assert len(sent) > 1
    assert {(one.id, one.max_size) for one in sent} == {(sent[0].id, 1.0)}
    assert scene.kinds() == [OutcomeKind.CONFIRMED]
