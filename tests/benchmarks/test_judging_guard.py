"""What judging must not cost again: calls of Python an event, whatever else is watched; counts, no clock."""

from __future__ import annotations

import pytest

from benchmarks._engine_markets import T0
from benchmarks.engine import POLICIES
from guard.arbiter import Arbiter, ArbiterSettings
from guard.dispatch import Dispatch, DispatchSettings
from guard.engine import Engine
from guard.events import GuardStarted, MarketFeatures, MarketsSampled, Tick
from guard.market.book import new_book
from guard.market.sampler import features_from
from guard.market.view import BaselineSettings
from guard.state import GuardState
from guard.units import NS_PER_MS, MarketId, market_id
from perpguard_sdk.messages import Mode
from tests.benchmarks.test_regression_guard import counted

FEW, MANY = 20, 200
GROWTH_MAX = 1.3
"""Of calls a market, from a few markets to many."""

MORE_MAX = 2.0
"""Of calls for one changed market, when ten times as many stand beside it."""


class Watched:
    """An engine that watches so many markets, warm and calm."""

    def __init__(self, count: int) -> None:
        self.markets = tuple(market_id("benchmark", f"M{number:03}/USDT:USDT") for number in range(count))
        state = GuardState.of(
            baseline=BaselineSettings(half_life_s=30.0, warm_up_s=10.0), markets=self.markets
        )
        self.engine = Engine(
            state,
            POLICIES,
            Arbiter(ArbiterSettings(hold_down_s=1.0, step_s=0.5)),
            Dispatch(DispatchSettings()),
        )
        self.engine.process(
            GuardStarted(received_at=T0, guard="guard", epoch=1, session="s", mode=Mode.PAPER)
        )
        self._at = T0
        for _ in range(60):
            self.sample(self.markets)
            self.engine.process(Tick(received_at=self._at))

    def sample(self, markets: tuple[MarketId, ...]) -> None:
        self._at += 250 * NS_PER_MS
        samples = tuple(self._features(market) for market in markets)
        self.engine.process(MarketsSampled(received_at=self._at, samples=samples))

    def calls(self, changed: int) -> int:
        """To judge once when so many markets have changed."""
        self._at += 250 * NS_PER_MS
        samples = tuple(self._features(market) for market in self.markets[:changed])
        event = MarketsSampled(received_at=self._at, samples=samples)
        with counted() as calls:
            self.engine.process(event)
        return calls.count

    def _features(self, market: MarketId) -> MarketFeatures:
        book = new_book()
        levels = range(1, 60)
        book.load(
            [[100.0 - 0.01 * level, 50.0 + level] for level in levels],
            [[100.0 + 0.01 * level, 50.0 + level] for level in levels],
        )
        return features_from(book, market=market, received_at=self._at, book_at=self._at, updates=1)


@pytest.fixture(scope="module")
def few() -> Watched:
    return Watched(FEW)


@pytest.fixture(scope="module")
def many() -> Watched:
    return Watched(MANY)


def test_judging_grows_with_the_markets_that_changed(few: Watched, many: Watched) -> None:
    assert many.calls(MANY) / MANY <= GROWTH_MAX * few.calls(FEW) / FEW


def test_one_changed_market_costs_the_same_among_many(few: Watched, many: Watched) -> None:
    assert many.calls(1) <= MORE_MAX * few.calls(1)


def test_judging_everything_for_one_would_be_noticed(few: Watched, many: Watched) -> None:
    alone = few.calls(1)
    many.engine.forget_shortcuts()
    assert many.calls(1) > 2 * MORE_MAX * alone
