"""One suite over every online estimator: deterministic, pure in its questions, finite, documented, bounded."""

from __future__ import annotations

import doctest
import inspect
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from guard.market import baseline, below, flow, freshness, sampler, view
from guard.market.baseline import Baseline, DecayedQuantile, Seasonal
from guard.market.below import BelowSince
from guard.market.book import new_book
from guard.market.flow import PriceResponse, RefillHalfLife, SlidingSum
from guard.market.freshness import StreamClock
from guard.market.sampler import MarketSampler
from guard.market.view import MarketView
from guard.units import NS_PER_S as S
from tests.support.market import MARKET, even_features, even_levels


@dataclass(frozen=True)
class Conformance:
    """How to make, feed and ask one estimator; ``feed`` gets a time and a positive random number."""

    make: Callable[[], Any]
    feed: Callable[[Any, int, float], object]
    ask: Callable[[Any, int], object]
    interrupt: Callable[[Any], object] | None = None


ESTIMATORS: dict[type, Conformance] = {
    DecayedQuantile: Conformance(
        lambda: DecayedQuantile(low=-20.0, high=20.0, width=0.02, half_life=60.0),
        lambda each, _, x: each.observe(math.log(x), 0.5),
        lambda each, _: (
            each.quantile(0.1),
            each.quantile(0.5),
            each.quantile(0.99),
            each.mad(),
            each.weight,
        ),
        lambda each: each.reset(),
    ),
    Seasonal: Conformance(
        Seasonal,
        lambda each, at, x: each.observe(at * 200, math.log(x), 200.0),
        lambda each, at: (each.value(at * 200), each.slots),
    ),
    Baseline: Conformance(
        lambda: Baseline(half_life_s=300.0, warm_up_s=30.0),
        lambda each, at, x: each.observe(at, x),
        lambda each, _: (each.normal(), each.z(1.0), each.is_warm, each.observed_s, each.slots),
        lambda each: each.relearn(),
    ),
    BelowSince: Conformance(
        BelowSince,
        lambda each, at, x: each.push(at, x),
        lambda each, _: (each.since(0.5), each.since(1.0), each.since(5.0)),
        lambda each: each.clear(),
    ),
    SlidingSum: Conformance(
        SlidingSum,
        lambda each, at, x: each.add(at, x),
        lambda each, at: (each.total(1.0, at), each.total(60.0, at), each.total(1e9, at)),
    ),
    PriceResponse: Conformance(
        PriceResponse,
        lambda each, at, x: each.observe(at, 100.0 + x, (x - 1.0) * 1e6),
        lambda each, _: each.bps_per_musd,
        lambda each: each.interrupt(),
    ),
    RefillHalfLife: Conformance(
        RefillHalfLife,
        lambda each, at, x: each.observe(at, x),
        lambda each, at: each.half_life_ms(at),
        lambda each: each.interrupt(),
    ),
    StreamClock: Conformance(
        StreamClock,
        lambda each, at, x: each.on_activity(at, 1 + int(x), int(x * S)),
        lambda each, at: (each.state(at), each.state(at + 7 * S), each.limit_ns, each.last_at),
        lambda each: each.on_fault(),
    ),
    MarketSampler: Conformance(
        lambda: MarketSampler(MARKET, new_book(64)),
        lambda each, at, x: (
            each.on_snapshot(*even_levels(100.0 * x, levels=20), at),
            each.on_trade(x),
            each.sample(at),
        ),
        lambda each, _: (each.status, each.wants_snapshot),
        lambda each: each.mark_unsynced(),
    ),
    MarketView: Conformance(
        lambda: MarketView(MARKET),
        lambda each, at, x: each.apply(even_features(at, 100.0, bid_size=100.0 * x, levels=30, buy_usd=x)),
        lambda each, at: (
            each.trust(at),
            each.is_warm(at),
            each.spread_z,
            each.cvd_usd(9.0),
            each.refill_half_life_ms,
        ),
    ),
}

EVERY = pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)


def stream(count: int, seed: int = 7) -> list[tuple[int, float]]:
    """Irregular times, one long outage, log-normal values with some extremes."""
    rng = np.random.default_rng(seed)
    at, result = 10**18, []
    for index in range(count):
        at += int(rng.choice([0, S // 10, S, 4 * S])) + (3_600 * S if index == count // 2 else 0)
        result.append((at, float(np.exp(rng.normal(0.0, 0.5) + (8.0 if rng.random() < 0.01 else 0.0)))))
    return result


def numbers(answer: object) -> list[float]:
    if isinstance(answer, tuple):
        return [number for part in answer for number in numbers(part)]
    return [float(answer)] if isinstance(answer, int | float) else []


def test_no_estimator_is_left_out() -> None:
    helpers = {view.BaselineSettings, baseline.BaselineSettings, baseline.Quantile}
    found = {
        kind
        for module in (baseline, below, flow, freshness, sampler, view)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__
        and not kind.__name__.startswith("_")
        and any(hasattr(kind, name) for name in ("observe", "push", "add", "on_activity", "sample", "apply"))
    }
    assert found - helpers == set(ESTIMATORS)


@EVERY
def test_the_same_stream_makes_the_same_answers(kind: type) -> None:
    suite = ESTIMATORS[kind]
    first, second = suite.make(), suite.make()
    for at, x in stream(200):
        suite.feed(first, at, x)
        suite.feed(second, at, x)
        assert suite.ask(first, at) == suite.ask(second, at)


@EVERY
def test_asking_changes_nothing(kind: type) -> None:
    suite = ESTIMATORS[kind]
    asked, quiet = suite.make(), suite.make()
    last = 0
    for at, x in stream(200):
        for later in (0, S, 100 * S):
            suite.ask(asked, at + later)
        suite.feed(asked, at, x)
        suite.feed(quiet, at, x)
        last = at
    assert suite.ask(asked, last) == suite.ask(quiet, last)


@EVERY
def test_answers_are_finite_from_the_first_sample_on(kind: type) -> None:
    suite = ESTIMATORS[kind]
    each = suite.make()
    assert np.isfinite(numbers(suite.ask(each, 10**18))).all(), "before any sample"
    for at, x in stream(500):
        suite.feed(each, at, x)
        assert np.isfinite(numbers(suite.ask(each, at))).all()


@EVERY
def test_memory_is_bounded(kind: type) -> None:
    suite = ESTIMATORS[kind]
    each, sizes = suite.make(), []
    samples = stream(4_000 if kind is not MarketView else 600)
    for index, (at, x) in enumerate(samples, 1):
        suite.feed(each, at, x)
        if index % (len(samples) // 4) == 0:
            sizes.append(len(pickle.dumps(each)))
    assert sizes[-1] <= sizes[1] * 1.2 + 20_000


@pytest.mark.parametrize("kind", [kind for kind, suite in ESTIMATORS.items() if suite.interrupt], ids=str)
def test_it_survives_an_interruption(kind: type) -> None:
    suite = ESTIMATORS[kind]
    assert suite.interrupt is not None
    each = suite.make()
    suite.interrupt(each)
    for index, (at, x) in enumerate(stream(200)):
        if index % 50 == 49:
            suite.interrupt(each)
        suite.feed(each, at, x)
        assert np.isfinite(numbers(suite.ask(each, at))).all()


@EVERY
def test_its_docstring_says_what_may_go_wrong_and_shows_an_example(kind: type) -> None:
    doc = inspect.getdoc(kind) or ""
    assert doctest.DocTestParser().get_examples(doc), "an example that runs"
    for part in ("Assumption", "Failure mode"):
        assert part in doc
