"""Frames that went wrong crash no reader, end as the long way ends them, and change nothing if declined."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.exchanges.frames import DECLINED
from tests.adapters.exchanges.frames.corpus import VENUES
from tests.adapters.exchanges.frames.mutations import play
from tests.adapters.exchanges.frames.readers import IMPLEMENTATIONS, make_reader


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_mutated_frames_end_as_the_long_way_does(name: str, venue: str) -> None:
    taken = declined = 0
    for seed in range(60):
        some_taken, some_declined = play(name, venue, seed)
        taken, declined = taken + some_taken, declined + some_declined
    # Both happen, or nothing is shown: some mutations are harmless.
    assert taken > 20
    assert declined > 100


@pytest.mark.parametrize("venue", VENUES)
@given(raw=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_anything_at_all_is_declined(venue: str, raw: bytes) -> None:
    for name in IMPLEMENTATIONS:
        reader = make_reader(name, venue)
        assert reader.take(raw, 1) == DECLINED
        assert reader.take(bytearray(raw), 1) == DECLINED
        assert reader.take(memoryview(raw), 1) == DECLINED
        assert reader.take(raw.decode("latin-1"), 1) == DECLINED
        assert (reader.taken, reader.declined) == (0, 4)
