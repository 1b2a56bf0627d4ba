"""A position is come down with in slices: posture and command say the same size, and the next waits for the last."""

from __future__ import annotations

import pytest
from msgspec import structs

from guard.arbiter import ArbiterSettings
from guard.commands import OutcomeKind
from guard.findings import Finding, Limit, Pace, Reason
from guard.units import BotId
from perpguard_sdk.messages import AckStatus, CutLeverage, Effect, StopRule
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    BETA,
    SYMBOL,
    acked,
    born,
    finding,
    mark,
    position,
    reported,
    snapshot,
    started,
    tick,
)
from tests.support.scene import Scene

PACE = Pace(slice_size=3.0, interval_ms=4_000, price_limit=99.0)


def paced(max_size: float = 2.0, *, imminent: bool = False, pace: Pace = PACE, **more: object) -> Finding:
    limit = Limit(max_size=max_size, pace=pace, **more)  # type: ignore[arg-type]
    return structs.replace(finding(account=ACCOUNT, limit=limit), imminent=imminent)


def holding(size: float) -> Scene:
    scene = Scene()
    scene.guard.feed(snapshot(0.5, position(size)), reported(0.5, size=size, version=1, epoch=1))
    return scene


def cuts(scene: Scene, bot: BotId = ALPHA) -> list[CutLeverage]:
    said = [one.command for one in scene.guard.commands if one.command.bot == bot and one.attempt == 1]
    return [one for one in said if isinstance(one, CutLeverage)]


def sizes(scene: Scene, bot: BotId = ALPHA) -> list[float]:
    return [one.max_size for one in cuts(scene, bot)]


def shows(scene: Scene, seconds: float, size: float) -> None:
    scene.guard.feed(snapshot(seconds, position(size)), reported(seconds, size=size, version=1, epoch=1))


def test_each_slice_waits_for_the_last_ones_effect_and_for_the_interval() -> None:
    scene = holding(10.0)
    scene.say(paced())
    scene.guard.feed(tick(1.0))
    assert sizes(scene) == [7.0]
    assert scene.guard.posture().max_size == {SYMBOL: 7.0}
    assert cuts(scene)[0].price_limit == 99.0

    scene.guard.feed(acked(1.1, cuts(scene)[0]), tick(2.0))
    shows(scene, 3.0, 7.0)
    scene.guard.feed(tick(4.9))
    assert sizes(scene) == [7.0], "the interval is not over"

    scene.guard.feed(tick(5.0))
    assert sizes(scene) == [7.0, 4.0]
    assert scene.guard.posture().max_size == {SYMBOL: 4.0}
    scene.guard.feed(acked(5.1, cuts(scene)[1]))
    shows(scene, 7.0, 5.0)
    assert scene.guard.posture().max_size == {SYMBOL: 4.0}
    shows(scene, 7.5, 4.0)
    assert sizes(scene) == [7.0, 4.0]
    scene.guard.feed(tick(9.0))
    assert sizes(scene) == [7.0, 4.0, 2.0]
    scene.guard.feed(acked(9.9, cuts(scene)[2]))
    shows(scene, 11.0, 2.0)
    scene.guard.ticks(11.0, 30.0)
    assert sizes(scene) == [7.0, 4.0, 2.0]
    assert scene.guard.posture().max_size == {SYMBOL: 2.0}
    assert set(scene.kinds()) == {OutcomeKind.CONFIRMED}


def test_the_next_slice_waits_for_an_effect_that_is_late() -> None:
    scene = holding(10.0)
    scene.say(paced(pace=Pace(slice_size=3.0, interval_ms=500)))
    scene.guard.feed(tick(1.0))
    scene.guard.feed(acked(1.1, cuts(scene)[0]), tick(1.6), tick(2.0))
    shows(scene, 2.5, 10.0)
    assert sizes(scene) == [7.0]

    shows(scene, 3.0, 7.0)
    assert sizes(scene) == [7.0, 4.0]


def test_what_cannot_wait_is_done_at_once_and_at_any_price() -> None:
    scene = holding(10.0)
    scene.say(paced())
    scene.guard.feed(tick(1.0))
    scene.say(paced(imminent=True))
    scene.guard.feed(tick(1.5))

    assert sizes(scene) == [7.0, 2.0]
    assert [one.price_limit for one in cuts(scene)] == [99.0, None]
    assert scene.guard.posture().max_size == {SYMBOL: 2.0}


def test_a_slice_smaller_than_a_tolerance_is_still_asked_for() -> None:
    scene = holding(1000.0)
    scene.say(paced(10.0, pace=Pace(slice_size=5.0, interval_ms=0)))
    size = 1000.0
    for second in range(1, 6):
        scene.guard.feed(tick(second))
        size = sizes(scene)[-1]
        shows(scene, second + 0.5, size)

    assert sizes(scene)[:5] == [995.0, 990.0, 985.0, 980.0, 975.0]


def test_what_a_price_limit_leaves_is_no_disobedience_and_counts_for_the_next_slice() -> None:
    scene = holding(10.0)
    scene.say(paced())
    scene.guard.feed(tick(1.0))
    left = acked(1.2, cuts(scene)[0])
    ack = structs.replace(left.ack, effect=Effect(size_before=10.0, size_after=9.0))
    scene.guard.feed(structs.replace(left, ack=ack))
    shows(scene, 2.0, 9.0)

    assert scene.kinds() == [OutcomeKind.FAILED]
    assert "price limit 99" in scene.guard.outcomes[0].detail
    scene.guard.feed(tick(4.0))
    assert Reason.COMMAND_FAILED not in scene.reasons()
    scene.guard.feed(tick(5.0))
    assert sizes(scene) == [7.0, 6.0]


def test_a_bot_that_says_it_is_done_and_is_not_has_failed_whatever_the_price() -> None:
    scene = holding(10.0)
    scene.say(paced())
    scene.guard.feed(tick(1.0))
    scene.guard.feed(acked(1.2, cuts(scene)[0]))
    for second in range(2, 8):
        shows(scene, second, 10.0)
        scene.guard.feed(tick(second + 0.5))

    kinds = {one.command_id: one.outcome for one in scene.guard.outcomes}
    assert kinds[cuts(scene)[0].id] is OutcomeKind.FAILED
    assert Reason.COMMAND_FAILED in scene.reasons()
    assert set(sizes(scene)) == {7.0}, "nobody is asked for the next slice before the last one is done"


def test_a_stop_that_fires_between_two_slices_is_not_bought_back() -> None:
    scene = holding(10.0)
    scene.say(paced())
    scene.guard.feed(tick(1.0), acked(1.1, cuts_first(scene)))
    shows(scene, 2.0, 5.0)
    scene.guard.feed(tick(2.1))

    assert scene.guard.posture().max_size == {SYMBOL: 5.0}


def cuts_first(scene: Scene) -> CutLeverage:
    scene.guard.feed(tick(1.0))
    return cuts(scene)[0]


def test_a_guard_that_starts_again_goes_on_from_what_is_held() -> None:
    scene = holding(10.0)
    scene.say(paced())
    scene.guard.feed(tick(1.0))
    shows(scene, 2.0, 7.0)
    scene.guard.feed(started(3.0, epoch=2), tick(3.1))

    assert sizes(scene) == [7.0, 4.0]
    assert scene.guard.posture().max_size == {SYMBOL: 4.0}


def test_nothing_more_is_taken_off_while_a_limit_is_taken_back() -> None:
    scene = Scene(arbiter=ArbiterSettings(hold_down_s=0.0, step_s=2.0))
    scene.guard.feed(snapshot(0.5, position(10.0)), reported(0.5, size=10.0, version=1, epoch=1))
    scene.say(paced(3.0))
    scene.guard.feed(tick(1.0), acked(1.1, cuts_first(scene)))
    shows(scene, 2.0, 7.0)
    scene.say()
    for second in range(3, 12):
        scene.guard.feed(tick(second))
        shows(scene, second + 0.5, 7.0)

    assert sizes(scene) == [7.0]
    assert scene.guard.posture().max_size == {}


def test_a_stop_moves_once_the_size_is_down() -> None:
    scene = holding(10.0)
    scene.guard.feed(mark(0.6, 100.0))
    scene.say(paced(6.0, stop=StopRule(stop_price=90.0)))
    scene.guard.feed(tick(1.0))
    assert scene.guard.posture().stops == {}
    scene.guard.feed(acked(1.1, cuts(scene)[0]))
    shows(scene, 2.0, 7.0)
    scene.guard.feed(tick(5.1))
    assert sizes(scene) == [7.0, 6.0]
    shows(scene, 6.0, 6.0)
    scene.guard.feed(tick(6.1))

    assert scene.guard.posture().stops == {SYMBOL: StopRule(stop_price=90.0)}


def stopping(max_size: float, stop_price: float) -> Finding:
    return finding(
        policy="widen_stops",
        account=ACCOUNT,
        limit=Limit(max_size=max_size, stop=StopRule(stop_price=stop_price)),
    )


def test_a_stop_that_nobody_paces_is_told_at_once_with_its_size_beside_a_paced_one() -> None:
    scene = holding(10.0)
    scene.guard.feed(mark(0.6, 100.0))
    scene.say(paced())
    scene.guard.feed(tick(1.0))
    scene.say(paced(), stopping(5.0, 90.0))
    scene.guard.feed(tick(1.5))

    assert scene.guard.posture().max_size == {SYMBOL: 5.0}
    assert scene.guard.posture().stops == {SYMBOL: StopRule(stop_price=90.0)}


def test_a_stop_is_told_at_once_too_where_the_paced_finding_has_just_ended() -> None:
    scene = holding(10.0)
    scene.guard.feed(mark(0.6, 100.0))
    scene.say(paced())
    scene.guard.feed(tick(1.0))
    scene.say(stopping(5.0, 90.0))
    scene.guard.feed(tick(1.5))

    assert scene.guard.posture().max_size == {SYMBOL: 5.0}
    assert scene.guard.posture().stops == {SYMBOL: StopRule(stop_price=90.0)}


def test_on_the_way_the_stop_of_the_size_that_is_reached_is_told_and_none_for_a_smaller_one() -> None:
    scene = holding(10.0)
    scene.guard.feed(mark(0.6, 100.0))
    told = []
    for size in (10.0, 5.0, 4.0):
        scene.say(paced(1.0, stop=StopRule(stop_price=80.0)), stopping(5.0, 90.0))
        scene.guard.feed(tick(10.0 * (11.0 - size)))
        posture = scene.guard.posture()
        told.append((posture.max_size[SYMBOL], posture.stops[SYMBOL].stop_price))
        shows(scene, 10.0 * (11.0 - size) + 1.0, posture.max_size[SYMBOL])

    assert told == [(5.0, 90.0), (2.0, 90.0), (1.0, 80.0)]


def test_a_slice_with_a_worst_price_is_no_widening_which_would_pass_it() -> None:
    scene = holding(10.0)
    scene.guard.feed(mark(0.6, 100.0))
    scene.say(paced(7.0, stop=StopRule(stop_price=90.0)))
    scene.guard.feed(tick(1.0))

    assert scene.guard.posture().stops == {SYMBOL: StopRule(stop_price=90.0)}
    assert [(one.max_size, one.price_limit) for one in cuts(scene)] == [(7.0, 99.0)]


def test_a_stop_told_with_one_size_does_not_stand_over_a_larger_stage() -> None:
    """What is held has grown past a size that was told with its stop: the way down begins without it."""
    scene = holding(0.0)
    scene.guard.feed(mark(0.6, 100.0))
    scene.say(paced(2.0, stop=StopRule(stop_price=90.0)))
    scene.guard.feed(tick(1.0))
    assert scene.guard.posture().stops == {SYMBOL: StopRule(stop_price=90.0)}
    shows(scene, 2.0, 10.0)
    scene.guard.feed(tick(2.5))

    assert scene.guard.posture().max_size == {SYMBOL: 7.0}
    assert scene.guard.posture().stops == {}


def both(scene: Scene, seconds: float, alpha: float, beta: float) -> None:
    scene.guard.feed(
        snapshot(seconds, position(alpha + beta)),
        reported(seconds, ALPHA, size=alpha, version=1, epoch=1),
        reported(seconds, BETA, size=beta, version=1, epoch=1),
        snapshot(seconds + 0.01, position(alpha + beta)),
    )


def test_the_bots_of_one_position_share_a_slice_and_wait_for_each_other() -> None:
    scene = Scene(ALPHA, BETA)
    both(scene, 0.5, 6.0, 4.0)
    scene.say(paced())
    scene.guard.feed(tick(1.0))
    assert sizes(scene) == [pytest.approx(6.0 - 1.8)]
    assert sizes(scene, BETA) == [pytest.approx(4.0 - 1.2)]
    for bot in (ALPHA, BETA):
        scene.guard.feed(acked(1.1, cuts(scene, bot)[0]))

    both(scene, 3.0, 4.2, 4.0)
    scene.guard.feed(tick(3.5))
    both(scene, 3.6, 4.2, 4.0)
    assert len(sizes(scene)) == 1, "beta has not done its part"
    both(scene, 3.9, 4.2, 2.8)
    scene.guard.feed(tick(5.0))
    assert sizes(scene)[1:] == [pytest.approx(4.2 - 1.8)]
    assert sizes(scene, BETA)[1:] == [pytest.approx(2.8 - 1.2)]


def test_a_pace_for_one_bot_alone_is_its_own() -> None:
    scene = Scene(ALPHA, BETA)
    both(scene, 0.5, 6.0, 4.0)
    scene.say(finding(bot=ALPHA, limit=Limit(max_size=0.0, pace=Pace(slice_size=2.0, interval_ms=0))))
    alpha = 6.0
    for second in range(1, 8):
        scene.guard.feed(tick(second))
        alpha = sizes(scene)[-1]
        both(scene, second + 0.5, alpha, 4.0)

    assert sizes(scene) == [4.0, 2.0, 0.0]


def test_who_does_not_obey_does_not_keep_the_others_from_it() -> None:
    scene = Scene(ALPHA, BETA)
    both(scene, 0.5, 6.0, 4.0)
    scene.say(paced())
    scene.guard.feed(
        tick(1.0), acked(1.1, first(scene, ALPHA), AckStatus.REJECTED), acked(1.1, first(scene, BETA))
    )
    for second in range(2, 8):
        both(scene, second, 6.0, 2.8)

    assert len(sizes(scene, BETA)) > 1
    assert scene.guard.posture(ALPHA).max_size[SYMBOL] == pytest.approx(4.2)


def first(scene: Scene, bot: BotId) -> CutLeverage:
    scene.guard.feed(tick(1.0))
    return cuts(scene, bot)[0]


def test_working_it_all_out_anew_each_time_comes_to_the_same() -> None:
    scenes = [holding(10.0), holding(10.0)]
    for second in range(1, 14):
        for index, scene in enumerate(scenes):
            scene.say(paced())
            if index:
                scene.guard.engine.forget_shortcuts()
            scene.guard.feed(born(second) if second == 7 else tick(second))
            if index:
                scene.guard.engine.forget_shortcuts()
            shows(scene, second + 0.5, sizes(scene)[-1] if second % 3 == 0 else 10.0)

    one, other = scenes
    assert len(sizes(one)) > 2
    assert [each.command for each in one.guard.commands] == [each.command for each in other.guard.commands]
    assert [each.posture for each in one.guard.postures] == [each.posture for each in other.guard.postures]


def test_of_a_bot_that_does_not_say_what_it_holds_a_slice_is_taken_of_what_the_others_leave() -> None:
    scene = Scene(ALPHA, BETA)
    scene.guard.feed(reported(0.5, BETA, size=4.0, version=1, epoch=1), snapshot(0.6, position(10.0)))
    scene.say(finding(bot=ALPHA, limit=Limit(max_size=0.0, pace=Pace(slice_size=2.0, interval_ms=0))))
    scene.guard.feed(tick(1.0))

    assert scene.guard.posture(ALPHA).max_size == {SYMBOL: 4.0}
