"""Which reader of raw frames runs: the compiled one where it was built."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from adapters.exchanges.frames import READ, new_reader
from tests.adapters.exchanges.frames.corpus import VENUES
from tests.adapters.exchanges.frames.readers import IS_COMPILED, make_live, make_reader


@pytest.mark.parametrize("venue", VENUES)
def test_the_fastest_reader_is_chosen(venue: str) -> None:
    reader = new_reader(venue)
    assert reader is not None
    assert reader.implementation == ("compiled" if IS_COMPILED else "python")
    assert new_reader("gate") is None
    assert set(VENUES) == READ


def test_the_slow_one_runs_where_the_compiled_part_is_switched_off() -> None:
    program = "from adapters.exchanges.frames import new_reader; print(new_reader('okx').implementation)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PERPGUARD_NO_COMPILED": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "python"


def test_a_compiled_reader_wants_compiled_books() -> None:
    reader = make_reader("compiled", "okx")
    with pytest.raises(TypeError, match="CompiledLive"):
        reader.add_book("X", 0, make_live("python")())
