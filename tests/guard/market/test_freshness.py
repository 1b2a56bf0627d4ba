"""When a stream is fresh, stale or recovering, by its own habits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.events import Stream, StreamActivity, StreamFault, StreamFaultKind
from guard.market.freshness import StreamClock, StreamState
from guard.units import NS_PER_MS as MS
from guard.units import NS_PER_S as S
from tests.support.market import MARKET


def lively(seconds: int, start: int = 0) -> StreamClock:
    """A stream of ten messages a second that has run for ``seconds``."""
    clock = StreamClock()
    for second in range(start, start + seconds):
        clock.on_activity((second + 1) * S, updates=10, gap_ns_max=150 * MS)
    return clock


def test_a_stream_that_never_spoke_is_neither_fresh_nor_stale() -> None:
    clock = StreamClock()
    clock.on_fault()
    assert clock.state(10**18) is StreamState.NEVER


def test_ten_seconds_of_fresh_data_make_it_fresh() -> None:
    clock = lively(10)
    assert clock.state(10 * S) is StreamState.RECOVERING
    clock.on_activity(11 * S, updates=10, gap_ns_max=150 * MS)
    assert clock.state(11 * S) is StreamState.FRESH


def test_a_lively_stream_is_stale_after_five_seconds() -> None:
    clock = lively(60)
    assert clock.state(60 * S + 5 * S) is StreamState.FRESH
    assert clock.state(60 * S + 5 * S + 1) is StreamState.STALE


def test_silence_needs_ten_seconds_of_data_to_be_forgotten() -> None:
    clock = lively(60)
    clock.on_activity(70 * S)
    assert clock.state(70 * S) is StreamState.RECOVERING
    for second in range(71, 81):
        clock.on_activity(second * S)
    assert clock.state(79 * S) is StreamState.RECOVERING
    assert clock.state(80 * S) is StreamState.FRESH


def test_a_poll_each_minute_is_understood_after_a_few() -> None:
    clock = StreamClock()
    for minute in range(6):
        clock.on_activity(minute * 60 * S)
    now = 5 * 60 * S
    assert clock.state(now + 59 * S) is StreamState.FRESH
    assert clock.limit_ns > 150 * S
    assert clock.state(now + 400 * S) is StreamState.STALE


def test_one_outage_does_not_teach_patience() -> None:
    clock = lively(30)
    for second in range(90, 95):
        clock.on_activity(second * S, updates=10, gap_ns_max=150 * MS)
    assert clock.limit_ns <= 26 * S
    for second in range(95, 300):
        clock.on_activity(second * S, updates=10, gap_ns_max=150 * MS)
    assert clock.limit_ns == 5 * S


def test_without_reports_samples_five_seconds_apart_are_understood() -> None:
    """A file of somebody else's samples holds no reports of activity."""
    clock = StreamClock()
    for sample in range(20):
        clock.hear(sample * (5 * S + 40 * MS))
    assert clock.state(clock.last_at or 0) is StreamState.FRESH
    assert clock.state((clock.last_at or 0) + 60 * S) is StreamState.STALE


def test_once_activity_is_reported_signs_of_life_teach_nothing() -> None:
    clock = lively(20)
    for sample in range(20):
        clock.hear((20 + 4 * sample) * S)
    assert clock.limit_ns == 5 * S


def test_the_pause_between_two_reports_is_seen() -> None:
    """Two messages 100 ms apart, reported each 3 s, mean pauses of almost 3 s."""
    clock = StreamClock()
    for report in range(50):
        clock.on_activity((3 * report + 3) * S, updates=2, gap_ns_max=100 * MS)
    assert 14 * S <= clock.limit_ns <= 16 * S


def test_a_disconnection_is_stale_at_once_and_data_ends_it() -> None:
    clock = lively(60)
    fault = StreamFault(
        received_at=60 * S, subject=MARKET, stream=Stream.BOOK, fault=StreamFaultKind.DISCONNECTED
    )
    clock.apply(fault)
    assert clock.state(60 * S) is StreamState.STALE
    clock.apply(
        StreamActivity(
            received_at=61 * S, subject=MARKET, stream=Stream.BOOK, updates=1, last_at=61 * S, gap_ns_max=0
        )
    )
    assert clock.state(61 * S) is StreamState.RECOVERING


def test_a_malformed_frame_alone_is_not_silence() -> None:
    clock = lively(60)
    clock.apply(
        StreamFault(received_at=60 * S, subject=MARKET, stream=Stream.BOOK, fault=StreamFaultKind.MALFORMED)
    )
    assert clock.state(60 * S) is StreamState.FRESH


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 50)), max_size=60), st.integers(0, 600_000))
def test_it_never_calls_a_longer_silence_fresher(steps: list[tuple[int, int]], later_ms: int) -> None:
    clock, at = StreamClock(), 0
    for step_ms, updates in steps:
        at += step_ms * MS
        clock.on_activity(at, updates=updates, gap_ns_max=step_ms * MS // 2)
    if clock.state(at + later_ms * MS) is StreamState.FRESH and clock.last_at is not None:
        assert at + later_ms * MS - clock.last_at <= clock.limit_ns
    if clock.state(at) is StreamState.STALE:
        assert clock.state(at + later_ms * MS) is StreamState.STALE
