"""Nobody meets a test seed by counting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.simulation.worlds.seeds import PLAIN_SEEDS, Split, seed_of, seeds_of, split_of


def test_splits_are_apart() -> None:
    seeds = {split: set(seeds_of(split, 2_000)) for split in Split}
    assert [len(one) for one in seeds.values()] == [2_000] * 3
    assert not seeds[Split.TRAIN] & (seeds[Split.VALIDATION] | seeds[Split.TEST])
    assert not seeds[Split.VALIDATION] & seeds[Split.TEST]


@given(st.sampled_from(Split), st.integers(0, PLAIN_SEEDS - 1))
def test_a_seed_tells_its_split(split: Split, number: int) -> None:
    seed = seed_of(split, number)
    assert split_of(seed) is split
    assert 0 <= seed < 2**63
    assert (seed < PLAIN_SEEDS) == (split is Split.TRAIN)


def test_what_is_no_seed_is_refused() -> None:
    for number in (-1, PLAIN_SEEDS):
        with pytest.raises(ValueError, match="numbered 0 to"):
            seed_of(Split.TEST, number)
        with pytest.raises(ValueError, match="of no split"):
            split_of(number)
