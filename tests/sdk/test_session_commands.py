"""What a bot does with commands: verify, de-duplicate, expire, queue, remember, answer."""

from __future__ import annotations

from typing import Any

import pytest

from perpguard_sdk.codec import encode_signed
from perpguard_sdk.messages import (
    ALL_SYMBOLS,
    AckStatus,
    Command,
    CutLeverage,
    Entries,
    Mode,
    Pause,
    Resume,
    Verb,
    WidenStops,
)
from perpguard_sdk.records import CommandResult
from tests.sdk.bench import BOT, KEY, OTHER, SYMBOL, TOPICS, Guard, bench

RECEIVED, APPLIED, FAILED = AckStatus.RECEIVED, AckStatus.APPLIED, AckStatus.FAILED
EXPIRED, SUPERSEDED, REJECTED = AckStatus.EXPIRED, AckStatus.SUPERSEDED, AckStatus.REJECTED


def test_a_command_is_received_executed_and_answered() -> None:
    bot = bench().arm()
    command_id = bot.command(CutLeverage)
    assert [command.id for command in bot.executed] == [command_id]
    assert bot.statuses == [RECEIVED, APPLIED]
    assert bot.acks[-1].effect is not None
    assert bot.acks[-1].effect.size_after == 1.0


def test_a_wrong_key_is_dropped_before_anything_else() -> None:
    bot = bench().arm()
    stranger = Guard(key=b"another key of the same length", epoch=9)
    bot.hear(stranger.command(CutLeverage, bot.guard_ms))
    assert (bot.executed, bot.acks) == ([], [])
    assert bot.session.oversight.epoch == 1
    assert bot.session.dropped["wrong_signature"] == 1


def test_bytes_recorded_on_one_topic_are_worthless_on_another() -> None:
    bot = bench().arm()
    topic, payload = bot.guard.command(Pause, bot.guard_ms)
    bot.hear((topic.replace("pause", "cut_leverage"), payload))
    assert (bot.executed, bot.acks) == ([], [])


def test_a_lower_epoch_is_dropped() -> None:
    bot = bench(guard=Guard(epoch=3)).arm()
    bot.command(Pause, epoch=2)
    assert (bot.executed, bot.acks) == ([], [])
    assert bot.session.dropped["old_epoch"] == 1


def test_a_higher_epoch_fences_off_the_older_guard_at_once() -> None:
    bot = bench().arm()
    newer = bot.guard.restarted()
    bot.hear(newer.command(Pause, bot.guard_ms))
    bot.command(CutLeverage)
    assert bot.executed == []
    assert bot.session.dropped["old_epoch"] == 1


def test_a_seen_id_is_answered_the_same_and_not_executed_again() -> None:
    bot = bench().arm()
    sent = bot.guard.command(CutLeverage, bot.guard_ms)
    for _ in range(3):
        bot.hear(sent)
    assert len(bot.executed) == 1
    assert bot.statuses == [RECEIVED, APPLIED, APPLIED, APPLIED]
    assert bot.acks[2].effect == bot.acks[1].effect


def test_a_seen_id_is_answered_the_same_after_its_expiry_and_after_a_restart() -> None:
    bot = bench().arm()
    sent = bot.guard.command(CutLeverage, bot.guard_ms)
    bot.hear(sent)
    again = bot.restarted()
    again.wait(20_000)
    again.hear(sent)
    assert again.executed == []
    assert again.statuses == [APPLIED]


def test_a_new_id_with_a_lower_seq_is_dropped() -> None:
    bot = bench().arm()
    older = bot.guard.command(Pause, bot.guard_ms)
    bot.command(CutLeverage)
    bot.hear(older)
    assert [command.verb for command in bot.executed] == [Verb.CUT_LEVERAGE]
    assert bot.session.dropped["replayed"] == 1


def test_a_gap_in_seq_asks_for_a_resync_until_a_posture_comes() -> None:
    bot = bench().arm()
    bot.command(Pause)
    assert not bot.reports[-1].resync
    bot.guard.seq += 1
    bot.command(CutLeverage)
    assert bot.reports[-1].resync
    bot.posture()
    assert not bot.reports[-1].resync


def test_expiry_is_judged_on_guard_time() -> None:
    bot = bench().arm()
    bot.command(CutLeverage, expires_at=bot.guard_ms)
    assert bot.executed == []
    assert bot.statuses == [RECEIVED, EXPIRED]


@pytest.mark.parametrize("wall_offset_ms", [-60_000, 0, 60_000])
def test_the_wall_clock_changes_nothing_but_the_reported_offset(wall_offset_ms: int) -> None:
    bot = bench(wall_offset_ms=wall_offset_ms).arm()
    fresh = bot.command(CutLeverage)
    stale = bot.command(Pause, expires_at=bot.guard_ms - 1)
    assert bot.statuses_of(fresh) == [RECEIVED, APPLIED]
    assert bot.statuses_of(stale) == [RECEIVED, EXPIRED]
    assert [ack.at for ack in bot.acks] == [bot.guard_ms] * 4
    bot.wait(2_000)
    assert bot.reports[-1].clock_offset_ms == -wall_offset_ms


def test_while_guard_time_is_unknown_a_command_is_held_and_a_resync_asked_for() -> None:
    bot = bench()
    bot.posture()
    command_id = bot.command(CutLeverage)
    assert bot.executed == []
    assert bot.statuses_of(command_id) == [RECEIVED]
    assert bot.reports[-1].resync
    bot.wait(2_000)
    assert [command.id for command in bot.executed] == [command_id]
    assert bot.statuses_of(command_id) == [RECEIVED, APPLIED]


def test_a_held_command_asks_for_a_resync_once_however_often_it_is_answered() -> None:
    """Each answer used to lead to the next question: a storm at the speed of the network."""
    bot = bench()
    bot.posture()
    bot.command(CutLeverage)
    asked = sum(report.resync for report in bot.reports)
    for _ in range(5):
        bot.posture()
    assert sum(report.resync for report in bot.reports) == asked


def test_a_held_command_that_has_expired_meanwhile_is_never_executed() -> None:
    bot = bench()
    command_id = bot.command(CutLeverage)
    bot.wait(6_000, beats=False)
    bot.wait(2_000)
    assert bot.executed == []
    assert bot.statuses_of(command_id) == [RECEIVED, EXPIRED]


def test_a_command_of_a_newer_guard_waits_for_that_guards_clock() -> None:
    bot = bench().arm()
    bot.guard = bot.guard.restarted()
    bot.command(CutLeverage)
    assert bot.executed == []
    bot.beat()
    assert len(bot.executed) == 1


def test_an_undeclared_verb_is_unsupported_and_an_unknown_one_too() -> None:
    bot = bench(verbs=(Verb.PAUSE,)).arm()
    bot.command(WidenStops)
    topic = TOPICS.base + f"/command/{BOT}/dance"
    body = Guard(seq=1, ids=99).fields(Pause, bot.guard_ms)
    bot.hear((topic, encode_signed(Pause(**body), topic, KEY)))
    assert bot.executed == []
    assert bot.statuses == [RECEIVED, AckStatus.UNSUPPORTED] * 2


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": "DOGE/USDT:USDT"},
        {"max_size": -1.0},
        {"max_leverage": 0.0},
    ],
)
def test_the_impossible_is_rejected_with_a_reason(changes: dict[str, Any]) -> None:
    bot = bench().arm()
    bot.command(CutLeverage, **changes)
    assert bot.executed == []
    assert bot.statuses == [RECEIVED, REJECTED]
    assert bot.acks[-1].detail


def test_a_signed_command_of_a_broken_schema_is_rejected_and_the_session_goes_on() -> None:
    bot = bench().arm()
    bot.command(CutLeverage, max_size="much")
    bot.command(CutLeverage)
    assert bot.statuses == [RECEIVED, REJECTED, RECEIVED, APPLIED]


def test_garbage_is_dropped_and_counted() -> None:
    bot = bench().arm()
    topic = TOPICS.command(BOT, Verb.PAUSE, Mode.LIVE)
    for payload in (b"", b"{", b"\xff\xfe", b'{"sig":"\\ud800","body":{}}', b"x" * 300_000):
        bot.hear((topic, payload))
    assert bot.session.dropped["malformed"] == 5
    assert (bot.executed, bot.acks) == ([], [])


def test_one_command_at_a_time_for_a_symbol_and_another_symbol_beside_it() -> None:
    bot = bench(auto_execute=False).arm()
    first = bot.command(CutLeverage)
    second = bot.command(Pause)
    other = bot.command(CutLeverage, symbol=OTHER)
    assert [command.id for command in bot.executed] == [first, other]
    bot.finish(first)
    assert [command.id for command in bot.executed] == [first, other, second]


def test_a_command_for_all_symbols_waits_for_all_and_is_not_overtaken() -> None:
    bot = bench(auto_execute=False).arm()
    first = bot.command(CutLeverage)
    everything = bot.command(Pause, symbol=ALL_SYMBOLS)
    later = bot.command(CutLeverage, symbol=OTHER)
    assert [command.id for command in bot.executed] == [first]
    bot.finish(first)
    assert [command.id for command in bot.executed] == [first, everything]
    bot.finish(everything)
    assert [command.id for command in bot.executed] == [first, everything, later]


def test_a_newer_command_supersedes_the_queued_one_of_its_verb_and_symbol() -> None:
    bot = bench(auto_execute=False).arm()
    running, queued, newest = (bot.command(CutLeverage, max_size=size) for size in (3.0, 2.0, 1.0))
    assert bot.statuses_of(queued) == [RECEIVED, SUPERSEDED]
    bot.finish(running)
    bot.finish(newest)
    assert [command.id for command in bot.executed] == [running, newest]
    assert bot.statuses_of(newest) == [RECEIVED, APPLIED]


def test_a_queued_command_expires_in_the_queue() -> None:
    bot = bench(auto_execute=False).arm()
    running = bot.command(CutLeverage)
    queued = bot.command(Pause)
    bot.wait(6_000)
    bot.finish(running)
    assert [command.id for command in bot.executed] == [running]
    assert bot.statuses_of(queued) == [RECEIVED, EXPIRED]


def test_the_intent_is_saved_before_and_the_result_before_the_answer() -> None:
    bot = bench().arm()
    bot.auto_save = bot.auto_execute = False
    command_id = bot.command(CutLeverage)
    assert bot.executed == []
    assert command_id in bot.unsaved[-1].state.started
    bot.save()
    assert [command.id for command in bot.executed] == [command_id]
    bot.finish(command_id)
    assert bot.statuses_of(command_id) == [RECEIVED]
    assert bot.unsaved[-1].state.seen[command_id].result.status is APPLIED
    bot.save()
    assert bot.statuses_of(command_id) == [RECEIVED, APPLIED]


def test_a_command_whose_guard_is_replaced_while_its_intent_is_saved_is_not_executed() -> None:
    """The new guard is known by its posture alone: no heartbeat has told its time yet."""
    bot = bench().arm()
    bot.auto_save = False
    command_id = bot.command(Pause)
    bot.posture(epoch=bot.guard.epoch + 1, session="guard-2")
    bot.save()
    assert bot.executed == []
    assert bot.statuses_of(command_id) == [RECEIVED, SUPERSEDED]


def test_a_command_that_expires_while_its_intent_is_saved_is_not_executed() -> None:
    bot = bench().arm()
    bot.auto_save = False
    command_id = bot.command(CutLeverage)
    bot.wait(6_000)
    bot.save()
    assert bot.executed == []
    assert bot.statuses_of(command_id) == [RECEIVED, EXPIRED]


def test_a_crash_in_the_middle_is_looked_into_and_never_executed_blindly() -> None:
    bot = bench(auto_execute=False).arm()
    sent = bot.guard.command(CutLeverage, bot.guard_ms)
    bot.hear(sent)
    again = bot.restarted()
    assert [command.id for command in again.reconciled] == [bot.executed[0].id]
    again.hear(sent)
    assert again.statuses == [RECEIVED]
    interrupted = CommandResult(status=FAILED, detail="interrupted")
    again.do(again.session.on_executed(bot.executed[0].id, interrupted, *again.clocks))
    again.hear(sent)
    assert again.executed == []
    assert again.statuses == [RECEIVED, FAILED, FAILED]
    assert again.acks[-1].detail == "interrupted"


def test_a_crash_before_the_intent_was_saved_lets_the_retry_run_once() -> None:
    bot = bench(auto_save=True).arm()
    bot.auto_save = False
    sent = bot.guard.command(CutLeverage, bot.guard_ms)
    bot.hear(sent)
    again = bot.restarted()
    again.wait(2_000)
    again.hear(sent)
    assert (bot.executed, len(again.executed)) == ([], 1)


def test_a_full_disk_refuses_to_execute_and_still_tightens() -> None:
    bot = bench().arm()
    bot.auto_save = False
    command_id = bot.command(CutLeverage)
    bot.save(ok=False)
    assert bot.executed == []
    assert bot.statuses_of(command_id) == [RECEIVED, FAILED]
    assert "no space left" in bot.acks[-1].detail
    assert bot.safe
    assert bot.session.limits.max_size(SYMBOL) == 1.0
    assert bot.entries() is Entries.REDUCE_ONLY
    second = bot.command(Pause)
    assert bot.statuses_of(second) == [RECEIVED, FAILED]


def test_the_disk_is_tried_again_and_then_the_bot_is_armed_again() -> None:
    bot = bench().arm()
    bot.auto_save = False
    bot.command(CutLeverage)
    bot.save(ok=False)
    assert bot.unsaved == []
    bot.wait(1_200)
    bot.save()
    bot.wait(200)
    assert not bot.safe


def test_a_resume_alone_does_nothing() -> None:
    bot = bench().arm(entries={SYMBOL: Entries.HALTED})
    resume = bot.command(Resume, posture_version=bot.guard.version + 1)
    assert bot.executed == []
    assert bot.entries() is Entries.HALTED
    bot.posture(entries={})
    assert [command.id for command in bot.executed] == [resume]
    assert bot.entries() is Entries.ALLOWED


def test_a_resume_without_its_posture_expires() -> None:
    bot = bench().arm(entries={SYMBOL: Entries.HALTED})
    resume = bot.command(Resume, posture_version=bot.guard.version + 1)
    bot.wait(6_000)
    assert bot.statuses_of(resume) == [RECEIVED, EXPIRED]
    assert bot.entries() is Entries.HALTED


def test_a_resume_of_an_older_posture_is_superseded() -> None:
    bot = bench().arm()
    bot.posture(entries={SYMBOL: Entries.HALTED})
    resume = bot.command(Resume, posture_version=1)
    assert bot.statuses_of(resume) == [RECEIVED, SUPERSEDED]


def test_a_waiting_resume_is_superseded_by_a_newer_pause() -> None:
    bot = bench().arm(entries={SYMBOL: Entries.REDUCE_ONLY})
    resume = bot.command(Resume, posture_version=2)
    bot.command(Pause, posture_version=3, entries=Entries.HALTED)
    bot.guard.version = 1
    bot.posture(entries={})
    assert bot.statuses_of(resume) == [RECEIVED, SUPERSEDED]
    assert bot.entries() is Entries.HALTED


def test_a_resume_that_waits_for_its_posture_is_over_once_a_later_pause_of_the_same_posture_is_heard() -> (
    None
):
    bot = bench().arm(entries={SYMBOL: Entries.HALTED})
    resume = bot.command(Resume, posture_version=bot.guard.version + 1)
    pause = bot.command(Pause, posture_version=bot.guard.version + 1, entries=Entries.REDUCE_ONLY)
    bot.posture(entries={SYMBOL: Entries.REDUCE_ONLY})
    assert [command.id for command in bot.executed] == [pause]
    assert bot.statuses_of(resume) == [RECEIVED, SUPERSEDED]


def test_a_live_bot_never_acts_on_dry_run_or_shadow() -> None:
    bot = bench().arm()
    paper = Guard(mode=Mode.PAPER, seq=10)
    bot.hear(paper.command(CutLeverage, bot.guard_ms))
    bot.command(CutLeverage, dry_run=True)
    assert (bot.executed, bot.acks) == ([], [])
    assert bot.session.limits.max_size(SYMBOL) is None


def test_a_paper_bot_obeys_shadow_and_dry_run_and_nothing_else() -> None:
    bot = bench(Mode.PAPER).arm()
    obeyed = bot.command(CutLeverage)
    bot.command(CutLeverage, dry_run=False)
    bot.hear(Guard(seq=20).command(CutLeverage, bot.guard_ms))
    assert [command.id for command in bot.executed] == [obeyed]


def test_commands_are_obeyed_in_safe_mode_because_they_tighten() -> None:
    bot = bench().arm()
    bot.wait(4_000, beats=False)
    assert bot.safe
    bot.command(CutLeverage)
    assert len(bot.executed) == 1


def test_what_is_kept_of_finished_commands_is_bounded() -> None:
    bot = bench().arm()
    for _ in range(600):
        bot.command(CutLeverage)
    assert bot.saved is not None
    assert len(bot.saved.seen) == 512
    assert len(bot.saved.edges) == 1


@pytest.mark.parametrize("kind", [Pause, Resume, CutLeverage, WidenStops])
def test_every_verb_is_executed(kind: type[Command]) -> None:
    bot = bench().arm()
    bot.command(kind)
    assert [type(command) for command in bot.executed] == [kind]
