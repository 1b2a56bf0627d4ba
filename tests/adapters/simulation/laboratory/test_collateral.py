"""The collateral asset: at its peg, but for the venue and the time that a scenario says."""

from __future__ import annotations

import math

import pytest

from adapters.simulation.laboratory.collateral import Collateral
from adapters.simulation.laboratory.parameters import Impulse, ImpulseKind
from tests.adapters.simulation.laboratory.episodes import small_episode


def depeg(size: float = -0.4, venue: str | None = None, at_s: float = 10.0) -> Impulse:
    return Impulse(kind=ImpulseKind.DEPEG, at_s=at_s, duration_s=100.0, size=size, venue=venue)


def test_it_falls_within_a_tenth_of_the_time_and_is_back_at_the_end() -> None:
    collateral = Collateral(small_episode(impulses=(depeg(),)))
    seen = [
        collateral.ratio("bybit", now_ms) for now_ms in (0, 10_000, 15_000, 20_000, 65_000, 110_000, 10**9)
    ]
    assert seen == pytest.approx([1.0, 1.0, math.exp(-0.2), math.exp(-0.4), math.exp(-0.2), 1.0, 1.0])


def test_it_falls_at_the_venue_that_is_named_only() -> None:
    collateral = Collateral(small_episode(impulses=(depeg(venue="binanceusdm"),)))
    assert collateral.ratio("binanceusdm", 20_000) == pytest.approx(math.exp(-0.4))
    assert collateral.ratio("bybit", 20_000) == 1.0


def test_several_at_once_add_up_and_the_spread_widens() -> None:
    collateral = Collateral(small_episode(impulses=(depeg(-0.1), depeg(-0.2))))
    assert collateral.ratio("bybit", 20_000) == pytest.approx(math.exp(-0.3))
    calm, fallen = (collateral.touch("bybit", now_ms) for now_ms in (0, 20_000))
    assert calm[0] < 1.0 < calm[1]
    assert fallen[0] < math.exp(-0.3) < fallen[1]
    assert fallen[1] - fallen[0] > 50.0 * (calm[1] - calm[0])
