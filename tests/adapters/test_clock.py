"""The clock never runs backwards, and the tick keeps its rhythm."""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.clock import SystemClock, TickFeed, process_age_ns
from guard.events import AnyEvent
from guard.ports import Clock
from guard.units import NS_PER_MS, NS_PER_S
from tests.support.eventually import eventually

START = 1_754_000_000 * NS_PER_S


@dataclass
class Hands:
    """A wall and a monotonic clock that the test moves."""

    wall: int = START
    monotonic: int = 500
    clock: SystemClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = SystemClock(wall=lambda: self.wall, monotonic=lambda: self.monotonic)

    def passes(self, duration_ns: int) -> None:
        self.wall += duration_ns
        self.monotonic += duration_ns


def test_tells_unix_time_as_it_passes() -> None:
    hands = Hands()
    assert hands.clock.now() == START
    hands.passes(3 * NS_PER_S)
    assert hands.clock.now() == START + 3 * NS_PER_S
    assert hands.clock.steps == []


def test_a_suspend_is_followed_at_once_and_told() -> None:
    hands = Hands()
    hands.wall += 3600 * NS_PER_S
    assert hands.clock.now() == START + 3600 * NS_PER_S
    assert [each.step_ns for each in hands.clock.steps] == [3600 * NS_PER_S]


def test_a_clock_set_back_neither_turns_time_back_nor_stops_it() -> None:
    hands = Hands()
    hands.wall -= 3600 * NS_PER_S
    assert hands.clock.now() == START
    hands.passes(10 * NS_PER_S)
    told = hands.clock.now()
    assert START + 9 * NS_PER_S < told < START + 10 * NS_PER_S
    assert [each.step_ns for each in hands.clock.steps] == [-3600 * NS_PER_S]


def test_a_small_step_back_is_caught_up_with() -> None:
    hands = Hands()
    hands.wall -= NS_PER_S
    for _ in range(30):
        hands.passes(NS_PER_S)
        hands.clock.now()
    assert hands.clock.now() == hands.wall


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**10),
            st.integers(-(10**12), 10**12),
        ),
        max_size=40,
    )
)
def test_time_never_runs_backwards_nor_much_slower_than_it_passes(moves: list[tuple[int, int]]) -> None:
    hands = Hands(wall=10**18)
    told = hands.clock.now()
    for elapsed, step in moves:
        hands.passes(elapsed)
        hands.wall += step
        before, told = told, hands.clock.now()
        assert told - before >= int(elapsed * 0.95)


async def test_sleeps_until_a_time() -> None:
    clock: Clock = SystemClock()
    until = clock.now() + 20 * NS_PER_MS
    await clock.sleep_until(until)
    assert until <= clock.now() < until + 2 * NS_PER_S
    await clock.sleep_until(until)


class StubbornClock:
    """Each sleep takes as long as the test says."""

    def __init__(self, *lateness_ms: int) -> None:
        self.time = START
        self.lateness_ms = itertools.chain(lateness_ms, itertools.repeat(0))
        self.asked: list[int] = []

    def now(self) -> int:
        return self.time

    async def sleep_until(self, at: int) -> None:
        self.asked.append((at - START) // NS_PER_MS)
        self.time = at + next(self.lateness_ms) * NS_PER_MS
        await asyncio.sleep(0)


async def test_ticks_at_its_rhythm_and_leaves_out_what_was_missed() -> None:
    clock = StubbornClock(0, 30, 1_000)
    events: list[AnyEvent] = []
    feed = asyncio.create_task(TickFeed(clock, 250).run(events.append), name="ticks")
    await eventually(lambda: len(events) >= 6)
    feed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feed
    offsets = [(each.received_at - START) // NS_PER_MS for each in events[:6]]
    assert offsets == [0, 250, 530, 1_750, 2_000, 2_250]


def test_the_age_of_the_process_is_told_by_the_system_and_0_where_it_does_not_tell(tmp_path: Path) -> None:
    assert 0 < process_age_ns() < 24 * 3_600 * NS_PER_S
    (tmp_path / "self").mkdir()
    ticks = os.sysconf("SC_CLK_TCK")
    fields = " ".join(str(100 * ticks if number == 22 else number) for number in range(3, 53))
    (tmp_path / "self" / "stat").write_text(f"17 (a (b) c) {fields}")
    (tmp_path / "uptime").write_text("107.5 200.0\n")
    assert process_age_ns(tmp_path) == 7.5 * NS_PER_S
    assert process_age_ns(tmp_path / "nowhere") == 0
