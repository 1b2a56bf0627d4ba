"""The Policy protocol: what a policy is. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Protocol

from guard.findings import Finding
from guard.state import GuardState
from guard.units import MarketId, Nanoseconds


class Policy(Protocol):
    """A frozen value whose fields are its settings and whose docstring is its manual.

    It says what is wrong and how badly; it never publishes, never changes the state, and gives the
    same findings for the same state and time.
    """

    @property
    def name(self) -> str:
        """What findings, settings and pages call it."""
        ...

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterable[Finding]:
        """Yield every finding that stands at ``now`` (Unix nanoseconds)."""
        ...


class MarketPolicy(Policy, Protocol):
    """A policy that can be asked about some markets only, so that an event costs what it concerns.

    What it finds about a market must hang on nothing but that market, the positions in it and their accounts,
    and the bots that trade it: only then is it asked again when one of these has changed. At each Tick, and
    where it offers nothing of the kind, it is asked about everything.
    """

    def decide_for(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId]
    ) -> Iterable[Finding]:
        """Yield those findings of ``decide`` that are about one of ``markets``, or name no market."""
        ...


def only_at_ticks(policy: Policy) -> bool:
    """Whether a policy asks, by ``at_ticks = True``, to be asked at Ticks alone.

    For those that look over markets or accounts, and for whom a quarter of a second is soon enough; what they found
    stands in between.
    """
    return bool(getattr(policy, "at_ticks", False))


DecideFor = Callable[[GuardState, Nanoseconds, AbstractSet[MarketId]], Iterable[Finding]]
"""``MarketPolicy.decide_for``, as the engine looks for it."""
