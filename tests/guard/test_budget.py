"""Reductions of a day are counted; beyond so many a human is asked, entries wait, and what is imminent never does."""

from __future__ import annotations

import pytest
from msgspec import structs

from guard.arbiter import ArbiterSettings
from guard.dispatch import DispatchSettings
from guard.events import InstructionSeen
from guard.findings import Finding, Limit, Pace, Reason
from guard.units import BotId
from perpguard_sdk.messages import CutLeverage, Entries, Instruction, InstructionKind, StopRule, WidenStops
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    BETA,
    MARKET,
    SYMBOL,
    at,
    born,
    finding,
    mark,
    position,
    posture,
    reported,
    snapshot,
    started,
    tick,
)
from tests.support.scene import Scene

NO_WAIT = ArbiterSettings(hold_down_s=0.0, step_s=0.0)
DAY_S = 86_400.0


def scene_of(of_bot: int = 2, of_account: int = 99, *bots: BotId, **more: int) -> Scene:
    scene = Scene(*bots, arbiter=NO_WAIT)
    settings = DispatchSettings(
        reductions_a_day=of_bot, account_reductions_a_day=of_account, reductions_a_day_of=more
    )
    scene.guard.engine.dispatch.reconfigure(settings, {})
    return scene


def wants(size: float, *, imminent: bool = False, **limit: object) -> Finding:
    asked = finding(account=ACCOUNT, limit=Limit(max_size=size, **limit))  # type: ignore[arg-type]
    return structs.replace(asked, imminent=imminent)


def cuts(scene: Scene, bot: BotId = ALPHA) -> list[float]:
    said = [one.command for one in scene.guard.commands if one.command.bot == bot and one.attempt == 1]
    return [one.max_size for one in said if isinstance(one, CutLeverage | WidenStops)]


def holds(scene: Scene, seconds: float, size: float) -> None:
    version = scene.guard.posture().version if scene.guard.postures else 0
    scene.guard.feed(
        snapshot(seconds, position(size)), reported(seconds, size=size, version=version, epoch=1)
    )


def cut_and_grow(scene: Scene, seconds: float, size: float = 5.0, *, imminent: bool = False) -> None:
    """One reduction from 10 that is asked for, obeyed and over, and the bot grows again."""
    holds(scene, seconds, 10.0)
    scene.say(wants(size, imminent=imminent))
    scene.guard.feed(tick(seconds + 0.5))
    holds(scene, seconds + 1.0, min(size, 10.0))
    scene.say()
    scene.guard.ticks(seconds + 2.0, seconds + 6.0)


def test_beyond_the_budget_a_human_is_asked_and_entries_wait() -> None:
    scene = scene_of(2)
    cut_and_grow(scene, 10.0)
    cut_and_grow(scene, 30.0)
    holds(scene, 50.0, 10.0)
    scene.say(wants(5.0))
    scene.guard.ticks(50.5, 55.0)

    assert cuts(scene) == [5.0, 5.0]
    assert Reason.BUDGET_SPENT in scene.reasons()
    asked = next(one for one in scene.guard.engine.findings if one.reason is Reason.BUDGET_SPENT)
    told = {each.name: each.value for each in asked.evidence}
    assert told["would_ask_for_a_size_of"] == 5.0
    assert told["position"] == 10.0
    assert (scene.guard.posture().max_size, scene.guard.posture().entries) == (
        {},
        {SYMBOL: Entries.REDUCE_ONLY},
    )


def test_what_is_imminent_is_never_held_back_and_spends_nothing() -> None:
    scene = scene_of(1)
    for number in range(4):
        cut_and_grow(scene, 10.0 + number * 20.0, imminent=True)
    cut_and_grow(scene, 100.0)
    assert cuts(scene) == [5.0] * 5
    assert scene.guard.posture().reductions[SYMBOL] == (at(100.5) // 1_000_000,)

    holds(scene, 120.0, 10.0)
    scene.say(wants(5.0))
    scene.guard.feed(tick(120.5))
    assert Reason.BUDGET_SPENT in {one.reason for one in scene.guard.engine.dispatch.findings()}
    scene.say(wants(5.0, imminent=True))
    scene.guard.feed(tick(121.0))
    assert cuts(scene) == [5.0] * 6
    assert list(scene.guard.engine.dispatch.findings()) == []


def test_slices_repetitions_and_tighter_targets_on_the_way_are_one_reduction() -> None:
    scene = scene_of(1)
    holds(scene, 1.0, 10.0)
    pace = Pace(slice_size=1.0, interval_ms=500)
    size = 10.0
    for second in range(2, 6):
        scene.say(wants(6.0 - 0.1 * second, pace=pace))
        scene.guard.feed(tick(second))
        size = cuts(scene)[-1]
        holds(scene, second + 0.6, size)

    assert len(cuts(scene)) == 5
    assert len(scene.guard.posture().reductions[SYMBOL]) == 1
    assert Reason.BUDGET_SPENT not in scene.reasons()


def test_a_tighter_target_once_the_former_was_reached_is_another_reduction() -> None:
    scene = scene_of(1)
    holds(scene, 1.0, 10.0)
    scene.say(wants(6.0))
    scene.guard.feed(tick(2.0))
    holds(scene, 3.0, 6.0)
    scene.say(wants(4.0))
    scene.guard.ticks(4.0, 6.0)

    assert cuts(scene) == [6.0]
    assert scene.guard.posture().max_size == {SYMBOL: 6.0}, "what was granted goes on holding"
    assert Reason.BUDGET_SPENT in scene.reasons()


def test_a_moved_stop_is_counted() -> None:
    scene = scene_of(0)
    scene.guard.feed(mark(0.6))
    holds(scene, 1.0, 10.0)
    scene.say(wants(10.0, stop=StopRule(stop_price=90.0)))
    scene.guard.ticks(2.0, 4.0)

    assert cuts(scene) == []
    assert scene.guard.posture().stops == {}
    assert Reason.BUDGET_SPENT in scene.reasons()


def test_it_is_free_again_a_day_later() -> None:
    scene = scene_of(1)
    cut_and_grow(scene, 10.0)
    holds(scene, 50.0, 10.0)
    scene.say(wants(5.0))
    scene.guard.ticks(50.5, 55.0)
    assert cuts(scene) == [5.0]

    holds(scene, DAY_S + 10.0, 10.0)
    scene.guard.ticks(DAY_S + 11.0, DAY_S + 12.0)
    assert cuts(scene) == [5.0, 5.0]
    assert Reason.BUDGET_SPENT not in scene.reasons()


def test_a_guard_that_starts_again_remembers_what_was_spent() -> None:
    scene = scene_of(1)
    cut_and_grow(scene, 10.0)
    floor = scene.guard.posture()

    other = scene_of(1)
    other.guard.feed(started(50.0, epoch=2, floors=[floor]), born(50.1), tick(50.2))
    holds(other, 51.0, 10.0)
    other.say(wants(5.0))
    other.guard.ticks(52.0, 55.0)
    assert cuts(other) == []
    assert Reason.BUDGET_SPENT in other.reasons()


def test_what_a_former_guard_had_asked_for_already_is_not_another_reduction() -> None:
    other = scene_of(0)
    floor = posture(max_size={SYMBOL: 5.0})
    holds(other, 49.0, 10.0)
    other.say(wants(5.0))
    other.guard.feed(started(50.0, epoch=4, floors=[floor]), born(50.1), tick(50.2))
    other.guard.ticks(52.0, 53.0)
    assert set(cuts(other)) == {5.0}


@pytest.mark.parametrize(("named", "asked"), [("budget_spent", 2), ("depth_thin", 1)])
def test_a_human_who_says_so_lets_it_go_on(named: str, asked: int) -> None:
    scene = scene_of(1)
    cut_and_grow(scene, 10.0)
    told = Instruction(
        id="go-on",
        kind=InstructionKind.IGNORE,
        author="ops",
        reason="I am watching",
        ts=at(40.0) // 1_000_000,
        expires_at=at(400.0) // 1_000_000,
        bot=ALPHA,
        market=MARKET,
        reasons=(named,),
    )
    scene.guard.feed(InstructionSeen(received_at=at(40.0), instruction=told))
    holds(scene, 50.0, 10.0)
    scene.say(structs.replace(wants(5.0), reason=Reason.SPREAD_WIDE))
    scene.guard.ticks(50.5, 55.0)

    assert len(cuts(scene)) == asked


def test_bots_may_have_budgets_of_their_own_and_the_account_has_one() -> None:
    allowance = DispatchSettings(reductions_a_day=2, reductions_a_day_of={BETA: 7}).allowance
    assert (allowance(ALPHA).of_bot, allowance(BETA).of_bot) == (2, 7)

    scene = scene_of(9, 1, ALPHA, BETA)
    for seconds in (1.0, 1.5):
        scene.guard.feed(snapshot(seconds, position(10.0)))
        scene.guard.feed(*(reported(seconds + 0.1, bot, size=5.0) for bot in (ALPHA, BETA)))
    scene.say(finding(account=ACCOUNT, max_size=4.0))
    scene.guard.feed(tick(2.0), tick(2.5))
    assert (cuts(scene, ALPHA), cuts(scene, BETA)) == ([2.0], [])


def test_working_it_all_out_anew_each_time_comes_to_the_same() -> None:
    scenes = [scene_of(1), scene_of(1)]
    for number in range(40):
        for index, scene in enumerate(scenes):
            if index:
                scene.guard.engine.forget_shortcuts()
            if number % 10 == 0:
                holds(scene, number + 0.1, 10.0)
                scene.say(wants(5.0 - number / 20))
            if number % 10 == 4:
                holds(scene, number + 0.1, 5.0)
            if number % 10 == 6:
                scene.say()
            scene.guard.feed(tick(number + 0.5))

    one, other = scenes
    assert [each.command for each in one.guard.commands] == [each.command for each in other.guard.commands]
    assert [each.posture for each in one.guard.postures] == [each.posture for each in other.guard.postures]
    assert len(cuts(one)) == 1


def test_what_is_imminent_goes_through_though_others_ask_for_more() -> None:
    scene = scene_of(1)
    cut_and_grow(scene, 10.0)
    holds(scene, 50.0, 10.0)
    more = structs.replace(wants(3.0, entries=Entries.REDUCE_ONLY), policy="asks_more")
    late = structs.replace(
        wants(5.0, entries=Entries.REDUCE_ONLY, imminent=True),
        policy="sees_it_come",
        reason=Reason.ACTION_TOO_SLOW,
    )
    scene.say(more)
    scene.guard.ticks(50.5, 52.0)
    assert cuts(scene) == [5.0], "the budget holds it back as long as there is time"
    scene.say(more, late)
    scene.guard.ticks(52.5, 53.0)
    assert cuts(scene) == [5.0, 3.0]
