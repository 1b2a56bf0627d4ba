"""Pauses between attempts: doubling, bounded, with jitter, so that many clients do not return at once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from guard.units import NS_PER_S, Nanoseconds


@dataclass(slots=True)
class Backoff:
    """Pauses of one loop that reconnects.

    Attributes:
        first_s: pause after the first failure.
        longest_s: bound of the pause, jitter included.
        calm_s: a failure that comes so long after the last one starts over with ``first_s``.
    """

    longest_s: float
    first_s: float = 0.2
    calm_s: float = 30.0
    random: random.Random = field(default_factory=random.Random)
    _failures: int = 0
    _failed_at: Nanoseconds | None = None

    def pause_ns(self, now: Nanoseconds) -> Nanoseconds:
        """Return how long to wait after a failure at ``now``: half to all of the doubled pause."""
        if self._failed_at is not None and now - self._failed_at > self.calm_s * NS_PER_S:
            self._failures = 0
        # 2**20 pauses are past any bound; the exponent must not grow without end.
        whole_s = min(self.longest_s, self.first_s * 2.0 ** min(self._failures, 20))
        self._failures += 1
        pause_ns = int(whole_s * (0.5 + 0.5 * self.random.random()) * NS_PER_S)
        self._failed_at = now + pause_ns
        return pause_ns
