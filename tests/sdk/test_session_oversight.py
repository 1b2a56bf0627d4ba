"""What a bot makes of heartbeats and postures: dead-man, arming, expiry, tightening, start."""

from __future__ import annotations

import pytest

from perpguard_sdk.messages import (
    ALL_SYMBOLS,
    BotState,
    BotStatus,
    CutLeverage,
    Entries,
    Mode,
    Pause,
    StopRule,
    WidenStops,
)
from tests.sdk.bench import BOT, MS, OTHER, SYMBOL, TOPICS, Guard, bench

ALLOWED, REDUCE_ONLY, HALTED = Entries.ALLOWED, Entries.REDUCE_ONLY, Entries.HALTED


def test_a_bot_starts_in_safe_mode_and_is_armed_by_posture_and_five_seconds_of_heartbeats() -> None:
    bot = bench()
    bot.beat()
    bot.posture()
    bot.wait(4_800)
    assert (bot.safe, bot.entries()) == (True, REDUCE_ONLY)
    bot.wait(200)
    assert (bot.safe, bot.entries()) == (False, ALLOWED)


def test_heartbeats_without_a_posture_never_arm() -> None:
    bot = bench()
    bot.wait(60_000)
    assert bot.safe
    assert bot.session.oversight.safe_reason == "there is no posture"


def test_a_posture_without_heartbeats_never_arms() -> None:
    bot = bench()
    bot.posture()
    bot.wait(60_000, beats=False)
    assert bot.safe


def test_of_two_guards_in_one_epoch_only_the_one_heard_first_is_obeyed() -> None:
    """Both may have claimed in the same moment; the one that stays claims anew, and is followed then."""
    bot = bench().arm()
    bot.command(Pause)
    other = bot.command(Pause, session="guard-9", entries=Entries.HALTED)
    assert bot.statuses_of(other) == []
    bot.beat(session="guard-9", seq=99)
    assert bot.session.dropped["other_guard"] == 2


def test_a_posture_of_another_guard_session_never_arms() -> None:
    bot = bench()
    bot.posture(session="guard-0")
    bot.wait(60_000)
    assert bot.safe
    bot.posture()
    assert not bot.safe


def test_three_seconds_of_silence_are_safe_mode_with_stops_kept_and_nothing_sold() -> None:
    bot = bench().arm(stops={SYMBOL: StopRule(stop_price=90.0)})
    bot.wait(2_800, beats=False)
    assert not bot.safe
    bot.wait(200, beats=False)
    assert (bot.safe, bot.entries()) == (True, REDUCE_ONLY)
    assert bot.session.limits.stop(SYMBOL) == StopRule(stop_price=90.0)
    assert bot.session.limits.max_size(SYMBOL) is None
    assert bot.executed == []


def test_a_heartbeat_after_too_long_a_silence_finds_the_dead_man_fired() -> None:
    bot = bench().arm()
    bot.mono_ns += 3_500 * MS
    bot.beat()
    assert bot.safe
    bot.wait(4_800)
    assert bot.safe
    bot.wait(200)
    assert not bot.safe


def test_a_heartbeat_with_another_bot_session_counts_for_nothing() -> None:
    bot = bench().arm()
    bot.wait(4_000, beats=False)
    for _ in range(10):
        bot.beat(bot_session="bot-0")
        bot.wait(1_000, beats=False)
    assert bot.safe
    assert bot.session.dropped["other_bot_session"] == 10


def test_recorded_heartbeats_are_worthless_after_a_restart() -> None:
    bot = bench().arm()
    recorded = [bot.guard.heartbeat(bot.guard_ms + 1_000 * n, bot.session.session) for n in range(10)]
    again = bot.restarted()
    for sent in recorded:
        again.hear(sent)
        again.wait(1_000, beats=False)
    assert again.safe
    assert again.session.clock_offset_ms(*again.clocks) is None


@pytest.mark.parametrize("changes", [{"seq": 3}, {"epoch": 0}, {"session": "guard-x"}])
def test_a_heartbeat_that_does_not_rise_is_dropped(changes: dict[str, object]) -> None:
    bot = bench().arm()
    for _ in range(4):
        bot.wait(1_000, beats=False)
        bot.beat(**changes)
    assert bot.safe


def test_a_wrongly_signed_heartbeat_counts_for_nothing() -> None:
    bot = bench().arm()
    bot.guard.key = b"another key of some length"
    bot.wait(4_000)
    assert bot.safe


def test_heartbeats_that_were_held_up_are_no_proof_of_life() -> None:
    bot = bench().arm()
    held_up = [bot.guard.heartbeat(bot.guard_ms + 1_000 * n, bot.session.session) for n in range(8)]
    bot.wait(8_000, beats=False)
    bot.mono_ns += 4_000 * MS
    for sent in held_up:
        bot.hear(sent)
    assert bot.safe
    assert bot.session.dropped["late_heartbeat"] == 8


def test_guard_time_keeps_the_least_delay() -> None:
    bot = bench()
    for delay_ms in (700, 10, 900):
        bot.beat(ts=bot.guard_ms - delay_ms)
        bot.wait(1_000, beats=False)
    assert bot.session.clock_offset_ms(*bot.clocks) == -10


def test_a_restarted_guard_with_the_same_clock_is_believed_at_once() -> None:
    bot = bench().arm()
    bot.guard = bot.guard.restarted()
    bot.beat(ts=bot.guard_ms - 40)
    assert bot.session.clock_offset_ms(*bot.clocks) == -40


def test_a_restarted_guard_with_another_clock_is_believed_after_its_second_heartbeat() -> None:
    bot = bench().arm()
    bot.guard = bot.guard.restarted()
    bot.beat(ts=bot.guard_ms - 5_000)
    assert bot.session.clock_offset_ms(*bot.clocks) is None
    bot.wait(1_000, beats=False)
    bot.beat(ts=bot.guard_ms - 5_000)
    assert bot.session.clock_offset_ms(*bot.clocks) == -5_000


def test_a_guard_whose_clock_steps_back_is_believed_after_the_window() -> None:
    bot = bench().arm()
    for _ in range(40):
        bot.wait(1_000, beats=False)
        bot.beat(ts=bot.guard_ms - 10_000)
    assert bot.session.clock_offset_ms(*bot.clocks) == -10_000
    assert not bot.safe


def test_a_burst_of_held_up_heartbeats_does_not_make_stale_commands_look_fresh() -> None:
    bot = bench()
    held_up = [bot.guard.heartbeat(bot.guard_ms + 1_000 * n, "bot-1") for n in range(5)]
    command = bot.guard.command(CutLeverage, bot.guard_ms, expires_at=bot.guard_ms + 4_500)
    bot.mono_ns += 5_000 * MS
    for sent in (*held_up, command):
        bot.hear(sent)
    bot.wait(1_000)
    assert bot.executed == []
    assert bot.statuses == ["received", "expired"]


def test_guard_time_is_unknown_after_five_minutes_of_silence() -> None:
    bot = bench().arm()
    bot.mono_ns += 301_000 * MS
    assert bot.session.clock_offset_ms(*bot.clocks) is None


def test_an_older_posture_is_ignored() -> None:
    bot = bench().arm(entries={SYMBOL: HALTED})
    bot.posture(version=0, entries={})
    assert bot.entries() is HALTED


def test_the_same_version_later_refreshes_the_expiry() -> None:
    bot = bench().arm(expires_at=bench().guard_ms + 20_000)
    bot.wait(10_000)
    bot.posture(version=1, expires_at=bot.guard_ms + 60_000)
    bot.wait(20_000)
    assert not bot.safe
    assert bot.session.oversight.posture_version == 1


def test_the_same_posture_again_changes_nothing_and_undoes_no_command_ahead_of_it() -> None:
    bot = bench()
    posture = bot.guard.posture(bot.guard_ms, max_leverage={SYMBOL: 5.0})
    bot.beat()
    bot.hear(posture)
    bot.wait(5_000)
    bot.command(CutLeverage)
    limits, saved, said = bot.session.limits, bot.saved, len(bot.published)
    bot.log.clear()
    bot.hear(posture)
    assert (bot.session.limits, bot.saved, bot.log) == (limits, saved, [])
    assert len(bot.published) == said
    assert not bot.safe


def test_an_expired_posture_tightens_and_a_fresh_one_rearms() -> None:
    bot = bench().arm(max_size={SYMBOL: 2.0}, expires_at=bench().guard_ms + 10_000)
    bot.wait(5_200)
    assert bot.session.oversight.safe_reason == "the posture has expired"
    assert (bot.entries(), bot.session.limits.max_size(SYMBOL)) == (REDUCE_ONLY, 2.0)
    bot.posture(entries={})
    assert (bot.safe, bot.entries()) == (False, ALLOWED)


def test_an_expired_posture_never_loosens_what_was_tighter_than_safe_mode() -> None:
    bot = bench().arm(entries={SYMBOL: HALTED}, expires_at=bench().guard_ms + 10_000)
    bot.wait(30_000, beats=False)
    assert (bot.entries(SYMBOL), bot.entries(OTHER)) == (HALTED, REDUCE_ONLY)


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"sig":"00","body":{}}'])
def test_an_unverifiable_posture_is_no_posture(payload: bytes) -> None:
    bot = bench().arm()
    bot.hear((TOPICS.posture(BOT, Mode.LIVE), payload))
    assert bot.session.oversight.safe_reason == "the posture cannot be verified"
    assert bot.entries() is REDUCE_ONLY
    assert bot.reports[-1].resync
    bot.posture()
    assert not bot.safe


def test_a_posture_tightens_at_once_even_without_a_clock() -> None:
    bot = bench()
    bot.posture(entries={SYMBOL: HALTED}, max_size={ALL_SYMBOLS: 1.0})
    assert bot.entries() is HALTED
    assert bot.session.limits.max_size(OTHER) == 1.0


def test_an_already_expired_posture_tightens_and_does_not_loosen() -> None:
    bot = bench().arm(entries={SYMBOL: HALTED})
    bot.posture(entries={OTHER: HALTED}, expires_at=bot.guard_ms - 1)
    assert (bot.entries(SYMBOL), bot.entries(OTHER)) == (HALTED, HALTED)


def test_a_posture_of_another_session_binds_beside_the_old_one_until_a_fresh_one_comes() -> None:
    bot = bench().arm(max_size={SYMBOL: 1.0})
    bot.posture(session="guard-0", max_size={OTHER: 1.0})
    assert (bot.session.limits.max_size(SYMBOL), bot.session.limits.max_size(OTHER)) == (1.0, 1.0)
    bot.posture(max_size={OTHER: 1.0})
    assert (bot.session.limits.max_size(SYMBOL), bot.session.limits.max_size(OTHER)) == (None, 1.0)


def test_a_fresh_posture_loosens() -> None:
    bot = bench().arm(entries={ALL_SYMBOLS: HALTED})
    bot.posture(entries={ALL_SYMBOLS: REDUCE_ONLY})
    assert bot.entries() is REDUCE_ONLY
    bot.posture(entries={})
    assert bot.entries() is ALLOWED


def test_where_symbol_and_all_both_match_the_tighter_holds() -> None:
    bot = bench().arm(entries={SYMBOL: ALLOWED, ALL_SYMBOLS: REDUCE_ONLY}, max_leverage={SYMBOL: 2.0, "*": 5})
    assert (bot.entries(SYMBOL), bot.session.limits.max_leverage(SYMBOL)) == (REDUCE_ONLY, 2.0)


def test_a_command_tightens_before_its_posture_and_hands_over_to_it() -> None:
    bot = bench(auto_execute=False).arm()
    bot.command(Pause, posture_version=2, entries=HALTED)
    bot.command(CutLeverage, posture_version=2)
    bot.command(WidenStops, posture_version=3, max_size=0.5)
    assert (bot.entries(), bot.session.limits.max_size(SYMBOL)) == (HALTED, 0.5)
    bot.posture(version=2, max_size={SYMBOL: 1.0})
    assert (bot.entries(), bot.session.limits.max_size(SYMBOL)) == (ALLOWED, 0.5)
    bot.posture(version=3)
    assert bot.session.limits.max_size(SYMBOL) is None


def test_what_a_former_guard_commanded_ends_with_a_fresh_posture_of_the_next_whatever_its_version() -> None:
    """The former one died with its disk full: nobody else knows of the posture that was to follow."""
    bot = bench().arm()
    bot.command(Pause, posture_version=7, entries=HALTED)
    bot.guard = bot.guard.restarted()
    bot.wait(1_000)
    assert bot.entries() is HALTED
    bot.posture(version=2)
    assert bot.entries() is ALLOWED


def test_a_command_of_the_next_guard_binds_even_if_its_posture_is_of_a_lower_version() -> None:
    bot = bench().arm()
    bot.posture(version=9)
    bot.guard = bot.guard.restarted()
    bot.wait(1_000)
    bot.command(Pause, posture_version=1, entries=HALTED)
    assert bot.entries() is HALTED
    bot.posture(version=10)
    assert bot.entries() is ALLOWED


def test_a_guard_that_beats_and_tells_no_posture_of_its_own_is_obeyed_for_three_seconds() -> None:
    """What it decides may wait for its disk: until it comes the last guard's word is not enough."""
    bot = bench().arm(max_size={SYMBOL: 1.0})
    bot.guard = bot.guard.restarted()
    bot.wait(3_000)
    assert not bot.safe
    bot.wait(1_100)
    assert (bot.safe, bot.session.limits.max_size(SYMBOL)) == (True, 1.0)
    bot.wait(3_000)
    bot.posture()
    assert not bot.safe


def test_a_command_older_than_the_posture_restricts_nothing() -> None:
    bot = bench().arm()
    bot.command(Pause, posture_version=1, entries=HALTED)
    assert bot.entries() is ALLOWED


def test_a_guard_that_restarts_within_the_dead_man_changes_nothing_until_it_speaks() -> None:
    bot = bench().arm(max_size={SYMBOL: 1.0})
    bot.guard = bot.guard.restarted()
    bot.wait(2_000)
    assert (bot.safe, bot.session.limits.max_size(SYMBOL)) == (False, 1.0)
    bot.posture()
    assert bot.session.limits.max_size(SYMBOL) is None


def test_after_a_guard_restart_safe_mode_is_left_only_by_a_posture_of_the_new_session() -> None:
    bot = bench().arm()
    bot.wait(4_000, beats=False)
    bot.guard = bot.guard.restarted()
    bot.wait(10_000)
    assert bot.safe
    bot.posture()
    assert not bot.safe


def test_a_bot_that_missed_a_posture_asks_for_it_and_is_not_armed_without_it() -> None:
    bot = bench()
    bot.beat()
    bot.posture()
    for _ in range(7):
        bot.wait(1_000, beats=False)
        bot.beat(posture_version=2)
    assert bot.safe
    assert bot.reports[-1].resync
    bot.posture()
    assert not bot.safe


def test_a_restarted_bot_keeps_its_limits_and_starts_in_safe_mode() -> None:
    bot = bench().arm(max_size={SYMBOL: 2.0})
    bot.command(CutLeverage, max_size=1.0)
    again = bot.restarted()
    assert (again.safe, again.session.limits.max_size(SYMBOL)) == (True, 1.0)
    assert (again.reports[-1].epoch, again.reports[-1].seq, again.reports[-1].posture_version) == (1, 1, 1)


def test_old_bytes_at_a_restarted_bot_whose_state_was_lost_arm_nothing_and_execute_nothing() -> None:
    bot = bench().arm()
    tape = [
        bot.guard.posture(bot.guard_ms),
        *(bot.guard.heartbeat(bot.guard_ms + 1_000 * n, "bot-1") for n in range(20)),
        bot.guard.command(CutLeverage, bot.guard_ms),
    ]
    lost = bench(session="bot-2", mono_ns=bot.mono_ns)
    for sent in tape:
        lost.wait(1_000, beats=False)
        lost.hear(sent)
    assert (lost.safe, lost.executed) == (True, [])
    lost.guard = bot.guard.restarted()
    lost.wait(10_000)
    assert lost.executed == []


def test_a_damaged_state_counts_as_once_armed_live() -> None:
    bot = bench(stored_problem="state.json: is damaged")
    paper = Guard(mode=Mode.PAPER)
    bot.hear(paper.heartbeat(bot.guard_ms, "bot-1"))
    assert (bot.safe, bot.session.limits.advisory) == (True, False)
    states = [sent.message for sent in bot.published if isinstance(sent.message, BotState)]
    assert "damaged" in states[0].detail


def test_a_live_bot_that_no_live_guard_ever_armed_is_advisory_under_a_paper_guard() -> None:
    bot = bench(guard=Guard(mode=Mode.PAPER))
    assert bot.safe
    bot.beat()
    assert (bot.safe, bot.entries(), bot.session.limits.advisory) == (False, ALLOWED, True)
    assert bot.reports[-1].advisory
    bot.posture(entries={ALL_SYMBOLS: HALTED})
    bot.command(CutLeverage)
    assert (bot.entries(), bot.executed) == (ALLOWED, [])


def test_an_advisory_bot_that_hears_nothing_any_more_goes_to_safe_mode() -> None:
    bot = bench(guard=Guard(mode=Mode.PAPER))
    bot.beat()
    bot.wait(3_000, beats=False)
    assert (bot.safe, bot.entries()) == (True, REDUCE_ONLY)


def test_once_armed_live_paper_heartbeats_count_as_none() -> None:
    bot = bench().arm()
    bot.guard = Guard(mode=Mode.PAPER, epoch=2)
    bot.wait(10_000)
    assert (bot.safe, bot.session.limits.advisory) == (True, False)
    again = bot.restarted()
    again.wait(10_000)
    assert (again.safe, again.session.limits.advisory) == (True, False)


def test_an_advisory_bot_that_hears_a_live_guard_waits_to_be_armed() -> None:
    bot = bench(guard=Guard(mode=Mode.PAPER))
    bot.beat()
    bot.guard = Guard(epoch=2)
    bot.beat()
    assert bot.safe
    bot.posture()
    bot.wait(5_000)
    assert not bot.safe


def test_a_paper_bot_does_not_count_a_live_guards_heartbeats() -> None:
    bot = bench(Mode.PAPER, guard=Guard())
    bot.wait(10_000)
    assert bot.safe


def test_a_lost_connection_changes_nothing_before_the_dead_man() -> None:
    bot = bench().arm()
    bot.do(bot.session.on_disconnected(*bot.clocks))
    bot.wait(2_800, beats=False)
    assert not bot.safe
    bot.wait(200, beats=False)
    assert bot.safe


def test_state_and_reports_are_retained_and_say_what_is_so() -> None:
    bot = bench().arm(entries={SYMBOL: HALTED})
    assert all(sent.retain for sent in bot.published)
    states = [sent.message.state for sent in bot.published if isinstance(sent.message, BotState)]
    assert (states[0], states[-1]) == (BotStatus.SAFE_MODE, BotStatus.ONLINE)
    assert (bot.reports[0].safe_mode, bot.reports[-1].safe_mode) == (True, False)
    assert bot.reports[-1].entries == {SYMBOL: HALTED}
    assert isinstance(bot.session.offline(*bot.clocks).message, BotState)
