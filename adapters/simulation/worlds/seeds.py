"""Seeds of episodes: what is trained on, what is chosen by, and what is judged by never meet.

Plain seeds, those that people count through, are for training. The others come out of a hash, so that nobody meets
one by counting.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from hashlib import sha256

PLAIN_SEEDS = 2**31
"""Seeds below are plain."""

_HASHED_BIT = 1 << 62
_TEST_BIT = 1 << 61


class Split(StrEnum):
    """What a seed may be used for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


def seed_of(split: Split, number: int) -> int:
    """Give the seed with this number, from 0, of a split; below 2**63. ValueError outside 0 .. 2**31 - 1.

    >>> seed_of(Split.TRAIN, 7), split_of(7), split_of(seed_of(Split.TEST, 7))
    (7, <Split.TRAIN: 'train'>, <Split.TEST: 'test'>)
    """
    if not 0 <= number < PLAIN_SEEDS:
        raise ValueError(f"seeds are numbered 0 to {PLAIN_SEEDS - 1}, not {number}")
    if split is Split.TRAIN:
        return number
    digest = sha256(f"perpguard laboratory seed/{split}/{number}".encode()).digest()
    drawn = int.from_bytes(digest[:8], "big") % _TEST_BIT
    return _HASHED_BIT | drawn | (_TEST_BIT if split is Split.TEST else 0)


def seeds_of(split: Split, count: int, *, first: int = 0) -> Iterator[int]:
    """Give ``count`` seeds of a split, from the one numbered ``first`` on."""
    return (seed_of(split, number) for number in range(first, first + count))


def split_of(seed: int) -> Split:
    """Say what a seed may be used for. ValueError where it is of no split."""
    if 0 <= seed < PLAIN_SEEDS:
        return Split.TRAIN
    if not _HASHED_BIT <= seed < 2 * _HASHED_BIT:
        raise ValueError(f"seed {seed} is of no split: plain seeds are 0 to {PLAIN_SEEDS - 1}")
    return Split.TEST if seed & _TEST_BIT else Split.VALIDATION
