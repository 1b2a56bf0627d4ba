"""The arithmetic as it is and compiled: the same numbers, and those that sums by hand give."""

from __future__ import annotations

from itertools import accumulate, pairwise
from types import ModuleType

import numpy as np
import pytest

from guard.leverage.cascade import kernel as installed
from tests.support.uncompiled import uncompiled

GRID = [0.001 * at for at in range(301)]
SAMPLED = [10, 20, 50, 100, 300]
KNOTS = (0.0005, 0.001, 0.005, 0.01, 0.02, 0.05)
RUNGS = (5e4, 1e5, 4e5, 1e6, 2.2e6, 5e6)
SHARES = tuple(x / 0.01 for x in KNOTS)


AS_IT_IS = uncompiled("guard.leverage.cascade.kernel")[0]


def forced_usd() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    usd = np.zeros(700)
    usd[15:40] = 2e5
    usd[120:123] = 3e6
    return usd


def numbers_of(module: ModuleType) -> list[float]:
    """Everything that a kernel tells of one market."""
    made = module.Kernel(GRID, SAMPLED, [GRID[at] for at in SAMPLED])
    made.clear()
    made.lay_out(KNOTS, RUNGS, SHARES, 5e4, 1.2)
    made.stand(1.0, 0.7, 30.0, 2.4, 2.2, 0.1, 25.0, 1.0)
    made.force(forced_usd(), 0.001, -0.0015, 0.9)
    told: list[float] = []
    for phi, crash_usd in ((0.0, 1e9), (0.62, 1e6)):
        made.survive(phi, 0.7, -1e4, 2e5, 1.3)
        told += [*made.chances(), made.chance(2), made.mean(), made.quantile(0.5), made.quantile(0.05)]
        told += [made.crash(crash_usd, 2e4), made.total(forced_usd()), made.total(forced_usd()[:-1])]
    told += [made.whole_at(x) for x in (0.0, 0.0123, 0.05, 0.2, 9.0)]
    told += [made.left_at(1, x) for x in (0.0123, 0.2)] + [made.forced_at(x) for x in (0.0123, 0.03, 0.2)]
    told += [made.barrier(1, 0.62, x) for x in (0.01, 0.05, 0.2)]
    told += [made.reproduction(1, 0.62, 0.005, 0.2), made.reproduction_at]
    told += [edge for stretch in made.jumps(1, 0.62, 0.002, 0.3) for edge in stretch]
    return [*told, module.clipped(0.0), module.clipped(2.0), module.clipped(1e9)]


def test_compiled_and_as_it_is_are_the_same() -> None:
    assert numbers_of(installed) == pytest.approx(numbers_of(AS_IT_IS), rel=1e-12)


@pytest.mark.parametrize("module", [installed, AS_IT_IS], ids=["installed", "as it is"])
def test_a_curve_is_straight_between_its_points_and_a_power_law_behind(module: ModuleType) -> None:
    made = module.Kernel(GRID, SAMPLED, [GRID[at] for at in SAMPLED])
    made.clear()
    made.lay_out(KNOTS, RUNGS, SHARES, 0.0, 1.2)
    made.stand(1.0, 0.0, 0.0, 1.0, 2.2, 0.0, 0.0, 0.0)
    assert made.whole_at(0.015) == pytest.approx(1.6e6)
    assert made.whole_at(0.2) == pytest.approx(5e6 * 4.0**1.2)
    assert made.left_at(1, 0.2) == pytest.approx(made.whole_at(0.2))
    made.force(forced_usd(), 0.001, 0.0, 1.0)
    assert made.forced_at(0.02) == pytest.approx(1e6)
    assert made.forced_at(0.13) == pytest.approx(25 * 2e5 + 9e6)


def test_a_crash_is_the_mean_of_its_shocks() -> None:
    made = installed.Kernel(GRID, SAMPLED, [GRID[at] for at in SAMPLED])
    made.clear()
    made.lay_out(KNOTS, RUNGS, SHARES, 0.0, 1.2)
    made.stand(1.0, 0.0, 0.0, 1.0, 2.2, 0.0, 0.0, 0.0)
    made.force(forced_usd(), 0.001, 0.0, 1.0)
    shocks = zip((0.5, 1.0, 2.0, 4.0), (0.4, 0.3, 0.2, 0.1), strict=True)
    needed = [made.left_at(1, x) - 0.5 * made.forced_at(x) for x in GRID]
    greatest = list(accumulate(needed, max))
    by_hand = 0.0
    for shock, weight in shocks:
        wanted = 1e6 * shock + 3e4
        at = next(place for place, usd in enumerate(greatest) if usd >= wanted)
        share = (wanted - needed[at - 1]) / (needed[at] - needed[at - 1])
        by_hand += weight * (GRID[at - 1] + share * (GRID[at] - GRID[at - 1]))
    made.survive(0.5, 0.0, 0.0, 1e6, 1.0)
    assert made.crash(1e6, 3e4) == pytest.approx(by_hand)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.2, 3.0, 4.7])
@pytest.mark.parametrize("gone", [0.0, 1e-6, 0.7, 2.5])
def test_makers_withdraw_by_the_power_that_is_asked_for(power: float, gone: float) -> None:
    """The table of powers against powers themselves, over moves from 1e-12 to 1e4 scales."""
    made = installed.Kernel(GRID, SAMPLED, [GRID[at] for at in SAMPLED])
    middles = [0.5 * (near + far) for near, far in pairwise(GRID)]
    for per_scale in (1e-9, 0.3, 30.0, 1e4):
        made.clear()
        made.lay_out(KNOTS, RUNGS, SHARES, 0.0, 1.2)
        made.stand(1.0, gone, per_scale, 1.0, power, 0.0, 0.0, 0.0)
        books = [made.whole_at(x) for x in GRID]
        by_hand = sum(
            (after - before) * (1.0 + gone**power) / (1.0 + (gone + per_scale * x) ** power)
            for (before, after), x in zip(pairwise(books), middles, strict=True)
        )
        assert made.left_at(1, GRID[-1]) == pytest.approx(by_hand, rel=1e-13)
