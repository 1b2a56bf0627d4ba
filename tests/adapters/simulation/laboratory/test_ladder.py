"""Positions by price: what is reached, in which order, against a naive one."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.simulation.laboratory.ladder import Ladder


@pytest.mark.parametrize("is_falling", [True, False])
def test_what_is_reached_is_that_of_a_dictionary(is_falling: bool) -> None:
    rng = np.random.default_rng(3)
    ladder = Ladder(300, is_falling)
    held: dict[int, int] = {}
    reached_ever = 0
    for _ in range(4_000):
        position, tick = int(rng.integers(0, 200)), int(rng.integers(-5, 310))
        if rng.random() < 0.3:
            ladder.drop(position)
            held.pop(position, None)
        else:
            ladder.put(position, tick)
            held.pop(position, None)
            if 0 < tick < 300:
                held[position] = tick
        market = int(rng.integers(1, 300))
        count = ladder.gather(market)
        found = list(ladder.found[:count])
        expected = {p for p, at in held.items() if (market <= at if is_falling else market >= at)}
        assert set(found) == expected
        assert len(found) == len(expected)
        assert [ladder.tick_of(p) for p in found] == sorted(
            (held[p] for p in expected), reverse=is_falling
        )  # those reached first come first
        assert not expected or ladder.is_reached(market)
        reached_ever += len(expected)
        if rng.random() < 0.5:
            for each in found:
                ladder.drop(each)
                held.pop(each)
    assert reached_ever > 1_000


def test_the_edge_comes_back_to_where_positions_are() -> None:
    ladder = Ladder(1_000, True)
    ladder.put(0, 900)
    ladder.put(1, 500)
    assert ladder.gather(900) == 1
    ladder.drop(0)
    assert ladder.is_reached(800)  # not known yet that nothing is there
    assert ladder.gather(800) == 0
    assert not ladder.is_reached(800)
    ladder.put(2, 850)
    assert ladder.is_reached(800)
