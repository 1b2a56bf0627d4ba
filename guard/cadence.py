"""How often each market is sampled: who matters at its venue's own pace, the rest as often as there is time for.

The deadline is stated: a changed market in which somebody holds or trades is sampled once in ``sample_ms`` (one that
turns at once), every other once in ``far_wait_ms_max`` at the latest. In between, what judging one market costs
decides, measured as it runs: so few markets are all judged at the full pace, and five hundred share a fixed part of
one core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from guard.inbox import Inbox
from guard.ports import Importance
from guard.units import NS_PER_MS, MarketId, Nanoseconds

NS_PER_US = 1_000
WEIGHT = 0.1
"""Of the newest round in what a sample is taken to cost: one slow round does not slow all down."""


@dataclass(slots=True)
class Cadence:
    """One for the whole guard, asked by the feed of every venue before each round of samples.

    Args:
        inbox: knows who matters, whether the engine keeps up, and what far markets may take.
        judge_us: microseconds that the engine takes for one market's sample, as measured; 0 while unknown.
    """

    inbox: Inbox
    judge_us: Callable[[], float]
    _sample_us: float = 0.0
    _far: dict[str, int] = field(default_factory=dict)

    def importance(self, market: MarketId) -> Importance:
        """Who cares about a market."""
        return self.inbox.importance(market)

    def watch(self, venue: str, far: int) -> None:
        """Say how many markets of a venue are only watched; 0 once it is watched no more."""
        self._far[venue] = far

    def took(self, samples: int, duration_ns: Nanoseconds) -> None:
        """Note what taking so many samples cost, before the engine has seen them."""
        if samples:
            self._sample_us += WEIGHT * (duration_ns / NS_PER_US / samples - self._sample_us)

    def period_ns(self, importance: Importance, base_ns: Nanoseconds) -> Nanoseconds:
        """How long after a sample of a market the next one is due.

        Args:
            importance: who cares about it.
            base_ns: the venue's own pace, ``sample_ms``.
        """
        # What is due waits for its round, and then for its turn: one ``base_ns`` is kept for both.
        longest_ns = self.inbox.settings.far_wait_ms_max * NS_PER_MS - base_ns
        if importance is not Importance.FAR or base_ns >= longest_ns:
            return base_ns
        if self.inbox.shedding:
            return longest_ns
        cost_us = self._sample_us + self.judge_us()
        round_ns = int(sum(self._far.values()) * cost_us / self.inbox.settings.far_share * NS_PER_US)
        return min(max(base_ns, round_ns), longest_ns)
