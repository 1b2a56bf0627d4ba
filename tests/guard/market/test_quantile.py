"""The compiled quantiles say what the reference says, bit for bit, whatever they are given."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.market.baseline import DecayedQuantile, Quantile, new_quantile
from guard.market.implementation import compiled

needs_compiled = pytest.mark.skipif(compiled() is None, reason="nothing is compiled here")

VALUES = st.one_of(
    st.floats(-1.5, 1.5), st.floats(-20.0, 20.0), st.sampled_from((0.0, -2.0, 2.0, 0.02, 1e-9, -1e300, 1e300))
)
WEIGHTS = st.one_of(st.floats(0.0, 2.0), st.sampled_from((0.25, 1.0, 60.0, 250.0)))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("observe"), VALUES, WEIGHTS),
        st.tuples(st.just("shift"), st.floats(-3.0, 3.0), st.just(0.0)),
        st.tuples(st.just("forget_by"), st.floats(1.0, 100.0), st.just(0.0)),
        st.tuples(st.sampled_from(("reset", "copy")), st.just(0.0), st.just(0.0)),
    ),
    max_size=60,
)


def said(quantile: Quantile) -> tuple[float, ...]:
    asked = (0.0, 0.05, 0.5, 0.95, 0.99, 1.0)
    return (*map(quantile.quantile, asked), quantile.mad(), quantile.weight)


@needs_compiled
@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_both_say_the_same_after_the_same(steps: list[tuple[str, float, float]]) -> None:
    shape = {"low": -2.0, "high": 2.0, "width": 0.02, "half_life": 10.0}
    reference, ours = DecayedQuantile(**shape), new_quantile(**shape)
    assert type(ours) is not type(reference)
    for kind, value, weight in steps:
        match kind:
            case "observe":
                reference.observe(value, weight)
                ours.observe(value, weight)
            case "shift":
                reference.shift(value)
                ours.shift(value)
            case "forget_by":
                reference.forget_by(value)
                ours.forget_by(value)
            case "reset":
                reference.reset()
                ours.reset()
            case _:
                ours = copy.deepcopy(ours)
        assert said(ours) == said(reference)


@needs_compiled
def test_it_is_kept_and_shown_with_all_that_it_observed() -> None:
    ours = new_quantile(low=0.0, high=10.0, width=0.01, half_life=60.0)
    for value in (1.0, 2.0, 3.0, 4.0, 100.0):
        ours.observe(value, 1.0)
    again: Quantile = pickle.loads(pickle.dumps(ours))

    assert said(again) == said(ours)
    assert repr(again) == repr(ours)
    again.observe(5.0, 1.0)
    assert repr(again) != repr(ours)


@needs_compiled
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_refused(value: float) -> None:
    ours = new_quantile(low=0.0, high=10.0, width=0.01, half_life=60.0)
    with pytest.raises(ValueError, match="finite"):
        ours.observe(value, 1.0)
    assert ours.weight == 0.0
