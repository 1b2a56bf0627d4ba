"""Bits of a word: as Python's own integers tell them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.simulation.laboratory import bits as compiled
from tests.support.uncompiled import uncompiled

(SOURCE,) = uncompiled("adapters.simulation.laboratory.bits")


@pytest.mark.parametrize("module", [pytest.param(compiled, id="compiled"), pytest.param(SOURCE, id="source")])
@given(word=st.one_of(st.integers(1, (1 << 32) - 1), st.integers(0, 31).map(lambda place: 1 << place)))
def test_they_are_those_of_the_number(module: Any, word: int) -> None:
    assert module.highest_bit(word) == word.bit_length() - 1
    assert module.lowest_bit(word) == (word & -word).bit_length() - 1
