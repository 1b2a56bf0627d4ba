"""Pauses double up to their bound, and start over after a calm time."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from adapters.exchanges.backoff import Backoff
from guard.units import NS_PER_S


@given(seed=st.integers(), failures=st.integers(1, 200))
def test_no_pause_is_longer_than_its_bound_or_shorter_than_half_the_first(seed: int, failures: int) -> None:
    backoff = Backoff(longest_s=10.0, random=random.Random(seed))
    now = 0
    for _ in range(failures):
        pause = backoff.pause_ns(now)
        now += pause
        assert 0.1 * NS_PER_S <= pause <= 10.0 * NS_PER_S


def test_pauses_grow_and_start_over_after_a_calm_time() -> None:
    backoff = Backoff(longest_s=10.0, random=random.Random(1))
    now = 0
    for _ in range(8):
        now += backoff.pause_ns(now)

    assert backoff.pause_ns(now) >= 5 * NS_PER_S
    assert backoff.pause_ns(now + 60 * NS_PER_S) <= NS_PER_S // 5
