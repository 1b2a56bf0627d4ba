"""The laboratory's random numbers: by name, the same compiled and not, and of the law that they say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from adapters.simulation.laboratory import draws as compiled
from tests.support.uncompiled import is_compiled, uncompiled

(SOURCE,) = uncompiled("adapters.simulation.laboratory.draws")
MANY = 60_000
KINDS = ("uniform", "normal", "exponential", "student")


@pytest.mark.skipif(
    not is_compiled(compiled), reason="nothing is compiled here, so there is nothing to compare"
)
def test_they_are_the_same_compiled_and_not() -> None:
    """Over the ends of blocks, and for every mean of a Poisson number."""
    ours, source = compiled.Draws("7:binanceusdm:BTCUSDT:noise"), SOURCE.Draws("7:binanceusdm:BTCUSDT:noise")
    for number in range(9_000):
        for kind in KINDS:
            assert getattr(ours, kind)() == getattr(source, kind)()
        assert ours.below(number + 1) == source.below(number + 1)
        assert ours.poisson(number / 90) == source.poisson(number / 90)


def test_a_name_is_a_stream() -> None:
    one, again, other = compiled.Draws("1:a"), compiled.Draws("1:a"), compiled.Draws("1:b")
    drawn = [one.uniform() for _ in range(100)]
    assert drawn == [again.uniform() for _ in range(100)]
    assert drawn != [other.uniform() for _ in range(100)]


def test_how_often_one_kind_is_asked_for_does_not_change_another() -> None:
    one, other = compiled.Draws("1:a"), compiled.Draws("1:a")
    for _ in range(5_000):
        one.normal()
    assert [one.uniform() for _ in range(10)] == [other.uniform() for _ in range(10)]


@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_variance_are_those_of_the_law(kind: str) -> None:
    draws = compiled.Draws("law", 6.0)
    drawn = np.array([getattr(draws, kind)() for _ in range(MANY)])
    mean, sd = {"uniform": (0.5, math.sqrt(1 / 12)), "exponential": (1.0, 1.0)}.get(kind, (0.0, 1.0))
    assert drawn.mean() == pytest.approx(mean, abs=5 * sd / math.sqrt(MANY))
    assert drawn.std() == pytest.approx(sd, rel=0.03)
    if kind == "student":
        assert np.mean(drawn**4) > 4.0, "fatter tails than a normal number's, whose fourth moment is 3"


@pytest.mark.parametrize("mean", [0.05, 1.0, 7.5, 63.0, 200.0])
def test_poisson_numbers_have_their_mean_as_variance(mean: float) -> None:
    draws = compiled.Draws("counts")
    drawn = np.array([draws.poisson(mean) for _ in range(MANY)])
    assert drawn.mean() == pytest.approx(mean, abs=5 * math.sqrt(mean / MANY))
    assert drawn.var() == pytest.approx(mean, rel=0.05)
    assert drawn.min() >= 0


@pytest.mark.parametrize("module", [pytest.param(compiled, id="compiled"), pytest.param(SOURCE, id="source")])
def test_odd_questions(module: Any) -> None:
    draws = module.Draws("odd")
    assert [draws.poisson(mean) for mean in (0.0, -1.0)] == [0, 0]
    assert {draws.below(1) for _ in range(100)} == {0}
    assert {draws.below(3) for _ in range(200)} == {0, 1, 2}
    with pytest.raises(ValueError, match=r"odd: 2\.0 degrees of freedom have no variance"):
        module.Draws("odd", 2.0)
