"""What is not known is said, blocks entries, and cuts nothing; floors hold until a baseline is warm."""

from __future__ import annotations

from guard.events import BookStatus, LinkChanged, LinkKind, MarketFeatures, StreamFault, StreamFaultKind
from guard.events import Stream as StreamKind
from guard.findings import Finding, Reason, Severity
from perpguard_sdk.messages import Entries, StopRule
from policies.distrust_bots import DistrustBots
from policies.distrust_links import DistrustLinks
from policies.distrust_stale_data import DistrustStaleData
from policies.keep_restart_floor import KeepRestartFloor
from tests.policies.scenes import BASELINE, MARKET, WARM_S, judged, thin_out, warm_state
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    SYMBOL,
    at,
    born,
    features,
    mark,
    new_state,
    position,
    posture,
    reported,
    snapshot,
    started,
)

STALE = DistrustStaleData()


def blocks_and_nothing_else(found: Finding) -> bool:
    limit = found.limit
    return (
        limit.entries is Entries.REDUCE_ONLY
        and (limit.max_size, limit.max_leverage, limit.stop) == (None, None, None)
        and found.freezes
    )


def test_a_fresh_book_is_trusted() -> None:
    assert judged(STALE, warm_state(), WARM_S) == []


def test_a_silent_book_and_mark_block_entries_and_cut_nothing() -> None:
    found = judged(STALE, warm_state(), WARM_S + 10.0)

    assert {one.reason for one in found} == {Reason.STALE_DATA}
    assert {one.evidence[0].name for one in found} == {"book", "mark price"}
    assert all(map(blocks_and_nothing_else, found))


def test_it_clears_only_after_the_recovery_time() -> None:
    state = warm_state()
    back = WARM_S + 20.0
    now = thin_out(state, start=back, seconds=BASELINE.recover_ms / 1000 - 0.5)
    assert judged(STALE, state, now)
    now = thin_out(state, start=now, seconds=1.0)

    assert judged(STALE, state, now) == []


def test_a_crossed_book_is_unusable_however_fresh() -> None:
    state = warm_state()
    state.apply(
        MarketFeatures(
            received_at=at(WARM_S + 0.1),
            market=MARKET,
            status=BookStatus.CROSSED,
            book_at=at(WARM_S + 0.1),
            updates=1,
        )
    )
    (found,) = judged(STALE, state, WARM_S + 0.1)

    assert found.reason is Reason.BOOK_UNUSABLE
    assert blocks_and_nothing_else(found)


def test_a_market_that_was_never_heard_of_is_unknown() -> None:
    (found,) = judged(STALE, new_state(), 0.0)
    assert blocks_and_nothing_else(found)


def test_within_its_starting_time_what_was_never_heard_is_only_noted() -> None:
    state = new_state()
    state.apply(started(0.0))
    policy = DistrustStaleData(starting_s=10.0)

    (noted,) = judged(policy, state, 5.0)
    assert (noted.severity, noted.limit.entries) == (Severity.INFO, None)
    (found,) = judged(policy, state, 10.0)
    assert blocks_and_nothing_else(found)


def test_a_keyed_account_that_was_never_seen_or_is_stale_or_faulty_is_unknown() -> None:
    state = warm_state(keyed=True)
    (never,) = judged(STALE, state, WARM_S)
    assert never.reason is Reason.ACCOUNT_UNKNOWN
    assert blocks_and_nothing_else(never)

    for number in range(9):
        state.apply(snapshot(WARM_S + number * 0.25, position(1.0)))
    now = thin_out(state, seconds=2.0)
    assert judged(STALE, state, now) == []

    fault = StreamFaultKind.DISCONNECTED
    state.apply(StreamFault(received_at=at(now), subject=ACCOUNT, stream=StreamKind.ACCOUNT, fault=fault))
    assert [one.reason for one in judged(STALE, state, now)] == [Reason.ACCOUNT_UNKNOWN]


def test_positions_that_only_a_silent_bot_tells_are_unknown() -> None:
    state = warm_state()
    state.apply(reported(WARM_S, size=1.0))
    assert judged(STALE, state, WARM_S) == []
    now = thin_out(state, seconds=20.0)

    assert [one.reason for one in judged(STALE, state, now)] == [Reason.ACCOUNT_UNKNOWN]


def test_a_link_that_is_down_freezes_and_limits_nothing() -> None:
    state = new_state()
    state.apply(LinkChanged(received_at=at(0.0), link=LinkKind.AUDIT, up=False, detail="disk full"))
    (found,) = judged(DistrustLinks(), state, 0.0)

    assert (found.reason, found.freezes, found.limit.entries) == (Reason.AUDIT_DOWN, True, None)
    assert found.evidence[0].value == "disk full"


def test_a_bot_that_never_came_is_said_and_one_that_reports_is_not() -> None:
    state = new_state(ALPHA)
    state.apply(started(0.0))
    assert judged(DistrustBots(), state, 10.0) == []
    assert [one.reason for one in judged(DistrustBots(), state, 20.0)] == [Reason.BOT_SILENT]
    state.apply(born(20.0))
    state.apply(reported(20.0))
    assert judged(DistrustBots(), state, 21.0) == []
    assert [one.evidence[0].value for one in judged(DistrustBots(), state, 40.0)] == ["silent"]


def test_a_clock_that_is_off_either_way_is_said() -> None:
    state = new_state(ALPHA)
    state.apply(started(0.0))
    state.apply(born(0.0))
    for offset, expected in ((499.0, []), (501.0, [501.0]), (-60_000.0, [-60_000.0]), (None, [])):
        state.apply(reported(1.0, clock_offset_ms=offset))
        assert [one.evidence[0].value for one in judged(DistrustBots(), state, 1.0)] == expected


# ---------------------------------------------------------------- floors

FLOOR = posture(
    entries={SYMBOL: Entries.REDUCE_ONLY},
    max_size={SYMBOL: 2.0},
    max_leverage={SYMBOL: 3.0, "*": 2.0},
    stops={SYMBOL: StopRule(stop_price=90.0)},
)


def test_a_floor_holds_all_that_the_former_guard_asked_while_the_baseline_is_cold() -> None:
    state = new_state(ALPHA)
    state.apply(started(0.0, floors=[FLOOR]))
    (found,) = judged(KeepRestartFloor(), state, 1.0)

    assert found.subject.bot == ALPHA
    assert found.freezes
    assert found.limit.entries is Entries.REDUCE_ONLY
    assert (found.limit.max_size, found.limit.max_leverage) == (2.0, 2.0)
    assert found.limit.stop == StopRule(stop_price=90.0)


def test_a_floor_has_done_its_part_once_the_baseline_is_warm_and_does_not_come_back() -> None:
    state = new_state(ALPHA)
    state.apply(started(0.0, floors=[FLOOR]))
    for number in range(100):
        state.apply(features(number * 0.25))
        state.apply(mark(number * 0.25))
    assert judged(KeepRestartFloor(), state, 25.0) == []

    assert judged(KeepRestartFloor(), state, 25.0 + 7 * 3_600.0) == []


def test_a_floor_that_restricts_nothing_is_not_held() -> None:
    state = new_state(ALPHA)
    state.apply(born(0.0))
    state.apply(started(0.0, floors=[posture()]))

    assert judged(KeepRestartFloor(), state, 1.0) == []
