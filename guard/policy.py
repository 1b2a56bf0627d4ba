"""The Policy protocol: what a policy is. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from guard.findings import Finding
from guard.state import GuardState
from guard.units import Nanoseconds


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
