"""When a book counts as thin, and when it does not."""

from __future__ import annotations

import pytest

from guard.findings import Reason, Severity
from perpguard_sdk.messages import Entries
from policies.pause_entries import PauseEntries
from tests.policies.scenes import MARKET, WARM_S, judged, thin_out, warm_state
from tests.support.builders import at, features, mark, new_state

POLICY = PauseEntries(confirm_s=2.0)


@pytest.mark.parametrize("side", ["bid_size", "ask_size"])
def test_a_thin_side_pauses_entries_and_says_by_how_much(side: str) -> None:
    state = warm_state()
    now = thin_out(state, seconds=3.0, **{side: 25.0})

    (found,) = judged(POLICY, state, now)

    assert (found.reason, found.severity) == (Reason.DEPTH_THIN, Severity.ACT)
    assert found.limit.entries is Entries.REDUCE_ONLY
    assert found.subject.market == MARKET
    ratio = found.evidence[0]
    assert ratio.name == f"{side.removesuffix('_size')} depth over normal"
    assert ratio.value == pytest.approx(0.25, rel=0.05)
    assert ratio.limit == POLICY.thin_ratio


def test_nothing_but_the_entries_is_limited() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=1.0)

    limit = judged(POLICY, state, now)[0].limit

    assert (limit.max_size, limit.max_leverage, limit.stop) == (None, None, None)


def test_a_collapse_is_critical_within_three_seconds_and_a_bit() -> None:
    state = warm_state()
    found_at = None
    for number in range(1, 20):
        now = thin_out(state, bid_size=10.0, seconds=0.25, start=WARM_S + (number - 1) * 0.25)
        if any(one.reason is Reason.DEPTH_COLLAPSED for one in judged(POLICY, state, now)):
            found_at = now - WARM_S
            break

    assert found_at is not None
    assert found_at <= 3.5


def test_a_dip_of_a_second_is_not_a_thin_book() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=10.0, seconds=1.0)

    assert judged(POLICY, state, now) == []


def test_a_recovered_book_is_nothing() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=10.0, seconds=6.0)
    assert judged(POLICY, state, now)
    now = thin_out(state, seconds=0.5, start=now)

    assert judged(POLICY, state, now) == []


def test_a_small_dip_of_a_very_steady_book_is_nothing() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=70.0, seconds=6.0)

    assert judged(POLICY, state, now) == []


def test_the_other_side_dipping_for_a_moment_does_not_hide_a_thin_one() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=25.0, seconds=6.0)
    now = thin_out(state, bid_size=25.0, ask_size=22.0, seconds=0.25, start=now)

    (found,) = judged(POLICY, state, now)

    assert found.evidence[0].name == "bid depth over normal"


def test_a_wide_spread_pauses() -> None:
    state = warm_state()
    now = WARM_S + 1.0
    moved = features(now)
    wide = features(now).__class__(
        **{name: getattr(moved, name) for name in moved.__struct_fields__ if name not in ("bid", "ask")},
        bid=99.5,
        ask=100.5,
    )
    state.apply(wide)

    found = [one for one in judged(POLICY, state, now) if one.reason is Reason.SPREAD_WIDE]

    assert [one.limit.entries for one in found] == [Entries.REDUCE_ONLY]


def test_a_stale_book_is_not_called_thin() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=10.0, seconds=6.0)

    assert judged(POLICY, state, now + 30.0) == []


def test_a_cold_baseline_is_said_and_limits_nothing() -> None:
    state = new_state()
    for number in range(20):
        state.apply(features(number * 0.25, bid_size=1.0 + number))
        state.apply(mark(number * 0.25))

    (found,) = judged(POLICY, state, 4.75)

    assert (found.reason, found.severity) == (Reason.BASELINE_COLD, Severity.INFO)
    assert found.limit.entries is None
    assert at(4.75) > at(0.0)
