"""Who is deleveraged first: by profit and leverage, and the first few are those of the whole order."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.simulation.laboratory.deleverage import ranked, scored


def test_who_gained_most_on_the_most_leverage_is_first() -> None:
    """Longs: 10 % on 10x, 10 % on 2x, a loss, one who has nothing left, and a short."""
    worth = np.array([110.0, 110.0, 90.0, 50.0, -110.0])
    cost = np.array([100.0, 100.0, 100.0, 100.0, -100.0])
    margin = np.array([50.0, 10.0, 50.0, 10.0, 50.0])
    among, scores = scored(1, worth, cost, margin)
    assert ranked(among, scores, 10).tolist() == [1, 0, 2]
    among, scores = scored(-1, worth, cost, margin)
    assert ranked(among, scores, 10).tolist() == [4]


@pytest.mark.parametrize("seed", range(20))
def test_a_part_is_the_begin_of_the_whole(seed: int) -> None:
    """Also where many are equal: those at the edge are all in it."""
    drawn = np.random.default_rng(seed)
    scores = drawn.integers(0, 12, 500).astype(np.float64)
    among = np.sort(drawn.choice(5_000, 500, replace=False))
    whole = ranked(among, scores, 500)
    part = ranked(among, scores, 40)
    assert 40 <= len(part) < 500
    assert part.tolist() == whole[: len(part)].tolist()
    assert sorted(whole.tolist()) == among.tolist()
