"""Commands, from the want to the effect that was read back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.arbiter import ArbiterSettings
from guard.commands import OutcomeKind
from guard.events import CommandSent, LinkChanged, LinkKind
from guard.findings import Finding, Reason, Severity
from perpguard_sdk.messages import (
    AckStatus,
    BotStatus,
    CutLeverage,
    Entries,
    Pause,
    Verb,
)
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    BETA,
    SYMBOL,
    Guard,
    SaysWhatItIsTold,
    acked,
    at,
    born,
    bot_state,
    finding,
    position,
    reported,
    seconds_of,
    snapshot,
    started,
    tick,
)
from tests.support.scene import Scene

PAUSE = finding(entries=Entries.REDUCE_ONLY)
NO_WAIT = ArbiterSettings(hold_down_s=0.0, step_s=0.0)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_without_an_epoch_nothing_is_said() -> None:
    guard = Guard.of(policies=[SaysWhatItIsTold([PAUSE])])
    guard.feed(born(0.0), reported(0.0, size=1.0))
    guard.ticks(0.0, 30.0)

    assert (guard.postures, guard.commands, guard.outcomes) == ([], [], [])


def test_nothing_asked_and_nothing_reported_is_no_command(scene: Scene) -> None:
    scene.guard.ticks(0.0, 120.0)

    assert scene.guard.commands == []
    assert {publish.posture.version for publish in scene.guard.postures} == {1}


def test_a_pause_is_the_fast_edge_of_a_posture_of_the_same_step(scene: Scene) -> None:
    scene.say(PAUSE)
    (step,) = scene.guard.feed(tick(1.0))

    (publish,), (sent,) = step.postures, step.commands
    assert publish.tightens
    assert publish.posture.entries == {SYMBOL: Entries.REDUCE_ONLY}
    assert publish.posture.reasons == (Reason.DEPTH_THIN,)
    assert isinstance(sent.command, Pause)
    assert sent.command.posture_version == publish.posture.version
    assert (sent.command.epoch, sent.command.seq, sent.command.dry_run) == (1, 1, True)
    assert sent.command.evidence == PAUSE.evidence


def test_the_same_id_is_published_again_until_it_is_heard_or_expires(scene: Scene) -> None:
    scene.say(finding(max_size=1.0, bot=ALPHA))
    scene.guard.feed(born(0.5, deadline_ms=30_000), reported(0.5, size=2.0))
    steps = scene.guard.ticks(1.0, 30.0)

    tries = [(seconds_of(step.at) - 0.5, one.command.id) for step in steps for one in step.commands]
    assert [after_s for after_s, _ in tries] == [0.5, 1.0, 2.0, 4.0, 6.0, 8.0]
    assert len({command_id for _, command_id in tries}) == 1


@pytest.mark.parametrize("status", [AckStatus.RECEIVED, AckStatus.APPLIED])
def test_an_ack_ends_the_repeating_and_never_the_command(scene: Scene, status: AckStatus) -> None:
    scene.say(PAUSE)
    scene.guard.feed(tick(1.0))
    scene.guard.feed(acked(1.1, scene.guard.commands[0].command, status))
    scene.guard.ticks(1.2, 3.5)

    assert len(scene.guard.commands) == 1
    assert scene.guard.outcomes == []


def test_a_cut_is_confirmed_by_a_look_later_than_its_issue(scene: Scene) -> None:
    scene.guard.feed(snapshot(0.5, position(2.0)))
    scene.say(finding(account=ACCOUNT, max_size=1.0))
    scene.guard.feed(tick(1.0))
    scene.guard.feed(acked(1.2, scene.guard.commands[0].command))
    assert scene.guard.outcomes == []

    scene.guard.feed(snapshot(1.5, position(1.0)))

    (outcome,) = scene.guard.outcomes
    assert (outcome.outcome, outcome.source) == (OutcomeKind.CONFIRMED, "venue")
    assert outcome.command_id == scene.guard.commands[0].command.id
    assert "position 1" in outcome.detail


def test_where_the_account_cannot_be_seen_the_bots_own_report_confirms(scene: Scene) -> None:
    scene.guard.feed(reported(0.5, size=2.0))
    scene.say(finding(account=ACCOUNT, max_size=1.0))
    scene.guard.feed(tick(1.0), reported(1.5, size=1.0))

    (outcome,) = scene.guard.outcomes
    assert (outcome.outcome, outcome.source) == (OutcomeKind.CONFIRMED, "bot")


def test_a_bot_that_answers_applied_and_does_nothing_has_failed(scene: Scene) -> None:
    scene.guard.feed(snapshot(0.5, position(2.0)), reported(0.6, size=2.0))
    scene.say(finding(account=ACCOUNT, max_size=1.0))
    scene.guard.feed(tick(1.0))
    cut = scene.guard.commands[0].command
    scene.guard.feed(acked(1.2, cut))
    for second in range(2, 12):  # it lies about its size, too
        scene.guard.feed(snapshot(second, position(2.0)), reported(second + 0.1, size=1.0))

    failed = scene.guard.outcomes[0]
    assert (failed.command_id, failed.outcome, failed.source) == (cut.id, OutcomeKind.FAILED, "venue")
    assert Reason.COMMAND_FAILED in scene.reasons()
    assert scene.guard.posture().entries == {SYMBOL: Entries.HALTED}
    cuts = [one.command for one in scene.guard.commands if isinstance(one.command, CutLeverage)]
    again = next(one for one in cuts if one.id != cut.id)
    waited_s = again.ts / 1e3 - failed.judged_at / 1e9
    assert 5.0 <= waited_s <= 7.0, "issued anew after reissue_s"


def test_what_nobody_can_see_is_unverifiable_and_not_repeated_to_a_bot_that_heard() -> None:
    scene = Scene()
    scene.guard.feed(reported(0.5, positions_known=False))
    scene.say(finding(account=ACCOUNT, max_size=1.0, bot=ALPHA))
    scene.guard.feed(tick(1.0))
    scene.guard.feed(acked(1.2, scene.guard.commands[0].command))
    scene.guard.ticks(1.5, 300.0)

    assert set(scene.kinds()) == {OutcomeKind.UNVERIFIABLE}
    assert scene.guard.posture().entries == {SYMBOL: Entries.REDUCE_ONLY}, "unknown blocks entries"
    cuts = {one.command.id for one in scene.guard.commands if isinstance(one.command, CutLeverage)}
    pauses = {one.command.id for one in scene.guard.commands if isinstance(one.command, Pause)}
    assert len(cuts) == 1
    assert len(pauses) > 1, "the pause was never heard"


def test_a_look_that_comes_late_is_waited_for(scene: Scene) -> None:
    """Accounts are read every few seconds: no look within the deadline is not yet no effect."""
    scene.guard.feed(snapshot(0.9, position(2.0)))
    scene.say(finding(account=ACCOUNT, max_size=1.0))
    scene.guard.ticks(1.0, 5.5)
    assert scene.guard.outcomes == []

    scene.guard.feed(snapshot(5.9, position(1.0)))

    assert scene.kinds() == [OutcomeKind.CONFIRMED]


@pytest.mark.parametrize(
    "status", [AckStatus.REJECTED, AckStatus.UNSUPPORTED, AckStatus.FAILED, AckStatus.EXPIRED]
)
def test_a_refusal_fails_at_once(scene: Scene, status: AckStatus) -> None:
    scene.say(PAUSE)
    scene.guard.feed(tick(1.0))
    scene.guard.feed(acked(1.2, scene.guard.commands[0].command, status))

    assert scene.kinds() == [OutcomeKind.FAILED]
    assert str(status) in scene.guard.outcomes[0].detail


def test_a_bot_that_calls_a_resume_superseded_has_not_failed() -> None:
    scene = Scene(arbiter=NO_WAIT, asked=Entries.HALTED)
    scene.guard.feed(reported(0.5, entries=Entries.HALTED))
    scene.guard.feed(tick(1.0))
    scene.guard.feed(acked(1.2, scene.guard.commands[0].command, AckStatus.SUPERSEDED))
    scene.guard.ticks(1.5, 4.0)

    assert scene.kinds() == [OutcomeKind.SUPERSEDED]
    assert Reason.COMMAND_FAILED not in scene.reasons()
    assert scene.guard.posture().entries == {}


def test_an_unsupported_verb_is_never_sent_the_posture_carries_it_and_the_problem_is_said() -> None:
    scene = Scene()
    scene.guard.feed(born(0.1, verbs=[Verb.PAUSE, Verb.RESUME]), snapshot(0.5, position(2.0)))
    scene.say(finding(account=ACCOUNT, max_size=1.0))
    scene.guard.ticks(1.0, 20.0)

    assert scene.guard.commands == []
    assert scene.guard.posture().max_size == {SYMBOL: 1.0}
    assert Reason.COMMAND_FAILED in scene.reasons()
    scene.guard.feed(snapshot(21.0, position(1.0)))
    scene.guard.feed(tick(21.5))
    assert Reason.COMMAND_FAILED not in scene.reasons()


@pytest.mark.parametrize(
    "again",
    [
        reported(2.0, resync=True, size=2.0),
        born(2.0, deadline_ms=30_000, session="b2"),
        LinkChanged(received_at=at(2.0), link=LinkKind.BROKER, up=True),
    ],
    ids=["resync", "birth", "broker"],
)
def test_who_may_have_missed_something_gets_posture_and_open_commands_again(again: object) -> None:
    scene = Scene()
    scene.guard.feed(born(0.2, deadline_ms=30_000), reported(0.5, size=2.0))
    scene.say(finding(max_size=1.0, bot=ALPHA))
    scene.guard.feed(tick(1.0))
    first = scene.guard.commands[0].command
    scene.guard.feed(acked(1.1, first, AckStatus.RECEIVED), tick(1.9))

    (step,) = scene.guard.feed(again)  # type: ignore[arg-type]

    assert [one.command.id for one in step.commands] == [first.id]
    assert [one.posture.version for one in step.postures] == [scene.guard.posture().version]
    assert not step.postures[0].changed


def test_while_the_broker_is_away_postures_are_decided_and_commands_wait_for_its_return() -> None:
    """Nothing can be said, so nobody has disobeyed: no command is issued, repeated, expired or failed."""
    scene = Scene()
    scene.guard.feed(born(0.2, deadline_ms=1_000), reported(0.5, size=4.0))
    scene.say(finding(max_size=3.0, bot=ALPHA))
    scene.guard.feed(tick(1.0))
    before = scene.guard.commands[-1].command
    scene.guard.feed(_broker(1.5, up=False))
    scene.say(finding(max_size=2.0, bot=ALPHA), PAUSE)
    decided = scene.guard.feed(*(tick(2.0 + step) for step in range(30)))

    assert [one.command.id for step in decided for one in step.commands] == []
    assert [one.posture.max_size for step in decided for one in step.postures if one.changed] == [
        {SYMBOL: 2.0}
    ]
    assert Reason.COMMAND_FAILED not in scene.reasons()

    (back,) = scene.guard.feed(_broker(40.0, up=True))

    assert [one.posture.max_size for one in back.postures] == [{SYMBOL: 2.0}]
    assert {one.command.verb for one in back.commands} == {Verb.PAUSE, Verb.CUT_LEVERAGE}
    assert before.id not in {one.command.id for one in back.commands}
    assert all(one.command.ts == at(40.0) // 1_000_000 for one in back.commands)


def test_a_command_that_has_not_expired_while_the_broker_was_away_keeps_its_id_and_gets_its_time_again() -> (
    None
):
    scene = Scene()
    scene.guard.feed(born(0.2, deadline_ms=1_000), reported(0.5, size=4.0))
    scene.say(finding(max_size=3.0, bot=ALPHA))
    scene.guard.feed(tick(1.0))
    first = scene.guard.commands[-1].command
    scene.guard.feed(_broker(1.2, up=False), reported(4.0, size=4.0))
    (back,) = scene.guard.feed(_broker(5.0, up=True))
    assert [one.command.id for one in back.commands] == [first.id]
    scene.guard.feed(reported(6.0, size=4.0))
    assert Reason.COMMAND_FAILED not in scene.reasons()
    scene.guard.feed(tick(7.5), reported(7.6, size=4.0), tick(7.8))
    assert Reason.COMMAND_FAILED in scene.reasons()


def _broker(seconds: float, *, up: bool) -> LinkChanged:
    return LinkChanged(received_at=at(seconds), link=LinkKind.BROKER, up=up)


def test_a_repeated_command_gets_a_seq_that_the_bot_does_not_take_for_a_replay(scene: Scene) -> None:
    scene.guard.feed(snapshot(0.5, position(2.0)))
    scene.say(PAUSE, finding(policy="cut", account=ACCOUNT, max_size=1.0))
    scene.guard.feed(tick(1.0))
    pause, cut = (one.command for one in scene.guard.commands)
    scene.guard.feed(acked(1.1, cut, AckStatus.RECEIVED), tick(1.5))

    repeated = scene.guard.commands[-1].command
    assert repeated.id == pause.id
    assert repeated.seq > cut.seq


def test_a_newer_limit_supersedes_an_open_command(scene: Scene) -> None:
    scene.guard.feed(snapshot(0.5, position(8.0)))
    scene.say(finding(account=ACCOUNT, max_size=4.0))
    scene.guard.feed(tick(1.0))
    scene.say(finding(account=ACCOUNT, max_size=2.0))
    scene.guard.feed(tick(1.5))

    assert scene.kinds() == [OutcomeKind.SUPERSEDED]
    sizes = [one.command.max_size for one in scene.guard.commands if isinstance(one.command, CutLeverage)]
    assert sizes == [4.0, 2.0]


def test_limits_that_tighten_all_the_time_do_not_put_off_the_failure_for_ever(scene: Scene) -> None:
    """A crash in which each second asks for less must not hide a bot that does nothing at all."""
    for second in range(1, 40):
        scene.say(finding(account=ACCOUNT, max_size=8.0 * 0.9**second))
        scene.guard.feed(snapshot(second, position(8.0)), reported(second + 0.1, size=8.0))

    assert OutcomeKind.FAILED in scene.kinds()
    failed = next(one for one in scene.guard.outcomes if one.outcome is OutcomeKind.FAILED)
    assert "position 8" in failed.detail
    assert seconds_of(failed.judged_at) <= 12.0


def test_a_new_epoch_ends_what_is_open_and_never_repeats_an_id(scene: Scene) -> None:
    scene.say(PAUSE)
    scene.guard.feed(tick(1.0), started(2.0, epoch=5))
    scene.guard.ticks(2.0, 3.0)

    ids = {one.command.id for one in scene.guard.commands}
    assert len(ids) == 2
    assert scene.kinds() == [OutcomeKind.SUPERSEDED]
    assert {one.command.epoch for one in scene.guard.commands} == {1, 5}


def test_an_offline_bot_gets_no_commands_and_its_posture_all_the_same(scene: Scene) -> None:
    scene.guard.feed(bot_state(0.5, state=BotStatus.OFFLINE))
    scene.say(PAUSE)
    scene.guard.ticks(1.0, 20.0)

    assert scene.guard.commands == []
    assert scene.guard.posture().entries == {SYMBOL: Entries.REDUCE_ONLY}


def test_a_bot_that_goes_offline_is_not_repeated_to(scene: Scene) -> None:
    scene.say(PAUSE)
    scene.guard.feed(tick(1.0), bot_state(1.1, state=BotStatus.OFFLINE))
    scene.guard.ticks(1.2, 9.0)

    assert len(scene.guard.commands) == 1


def test_a_command_that_could_not_be_handed_over_is_sent_by_the_schedule(scene: Scene) -> None:
    scene.say(PAUSE)
    scene.guard.feed(tick(1.0))
    command = scene.guard.commands[0].command
    lost = CommandSent(received_at=at(1.1), command_id=command.id, bot=ALPHA, ok=False, detail="away")
    scene.guard.feed(lost, tick(1.25), tick(1.5))

    assert [one.command.id for one in scene.guard.commands] == [command.id] * 2


# ---------------------------------------------------------------- a constant world


_asked = st.lists(
    st.builds(
        finding,
        policy=st.sampled_from(["one", "two"]),
        severity=st.sampled_from(Severity),
        bot=st.sampled_from([None, ALPHA, BETA]),
        entries=st.sampled_from([None, *Entries]),
        max_size=st.none() | st.floats(0.0, 10.0),
        max_leverage=st.none() | st.floats(1.0, 10.0),
        freezes=st.booleans(),
    ),
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(findings=_asked, sizes=st.tuples(st.floats(-8.0, 8.0), st.floats(-8.0, 8.0)), venue=st.booleans())
def test_a_constant_world_leads_to_a_constant_posture(
    findings: list[Finding], sizes: tuple[float, float], venue: bool
) -> None:
    """Bots that obey, findings that stand: after a while nothing more is decided, said or recorded."""
    scene = Scene(ALPHA, BETA)
    scene.say(*findings)
    held = dict(zip((ALPHA, BETA), sizes, strict=True))
    late: list[object] = []
    for second in range(1, 240):
        for bot, size in list(held.items()):
            posture = scene.guard.posture(bot)
            limit = posture.max_size.get(SYMBOL)
            if limit is not None and abs(size) > limit:
                held[bot] = limit if size > 0 else -limit
            scene.guard.feed(
                reported(
                    second,
                    bot,
                    size=held[bot],
                    entries=posture.entries.get(SYMBOL, Entries.ALLOWED),
                    version=posture.version,
                    epoch=1,
                )
            )
        if venue:
            scene.guard.feed(snapshot(second + 0.1, position(sum(held.values()))))
        steps = scene.guard.ticks(second + 0.25, second + 0.75)
        if second > 200:
            late += [step for step in steps if step.is_decision]

    assert late == []
