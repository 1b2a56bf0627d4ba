"""How both modes are compared: quartiles, distances of distributions, ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adapters.simulation.worlds.anchors import Figure
from benchmarks.simulator_coarse import Compared, figure_of, ranks, spearman


def compared(order: list[float], coarse: list[float]) -> Compared:
    return Compared("fall", Figure.FALL_BTC, np.array(order), np.array(coarse))


def test_a_median_is_inside_the_quartiles_or_so_many_of_them_away() -> None:
    order = [float(value) for value in range(9)]
    inside, outside = compared(order, [5.0] * 9), compared(order, [10.0] * 9)
    assert (inside.is_inside, inside.missed) == (True, 0.0)
    assert not outside.is_inside
    assert outside.missed == pytest.approx(1.0)
    assert figure_of(outside).met is False
    assert compared([1.0] * 9, [2.0] * 9).missed == math.inf


def test_distributions_are_apart_where_they_do_not_overlap() -> None:
    drawn = np.random.default_rng(3).normal(size=(2, 300))
    alike, apart = (compared(drawn[0].tolist(), (drawn[1] + shift).tolist()) for shift in (0.0, 3.0))
    assert alike.distance < 0.2
    assert not alike.is_apart
    assert apart.distance > 0.8
    assert apart.is_apart
    low, high = apart.interval(1)
    assert 2.5 < low < high < 3.5
    low, high = alike.interval(1)
    assert low < 0.0 < high


def test_ranks_agree_or_not() -> None:
    rising = np.array([(value, value**3) for value in range(10)], dtype=np.float64)
    assert spearman(rising) == pytest.approx(1.0)
    assert spearman(rising * np.array([1.0, -1.0])) == pytest.approx(-1.0)
    assert spearman(np.array([(1.0, 1.0), (1.0, 2.0)])) == 0.0
    (told,) = ranks([(float(value), float(value)) for value in range(12)], 1)
    assert told.value == pytest.approx(1.0)
    assert ranks([(1.0, 1.0)], 1) == []
