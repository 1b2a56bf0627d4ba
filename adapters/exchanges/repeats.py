"""Tells what a stream brings twice: a trade or a liquidation that is counted twice is one that never was. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

KEPT = 256
"""Names remembered of each stream of a market: what a venue repeats, it repeats within seconds."""


@dataclass(slots=True)
class _Last:
    order: deque[Hashable] = field(default_factory=deque)
    names: set[Hashable] = field(default_factory=set)


@dataclass(slots=True)
class Repeats:
    """The last names that each stream brought; what comes late but for the first time is no repeat.

    >>> repeats = Repeats()
    >>> [repeats.is_repeat("BTC trades", number) for number in (7, 9, 8, 9)]
    [False, False, False, True]
    """

    _streams: dict[Hashable, _Last] = field(default_factory=dict)

    def is_repeat(self, stream: Hashable, name: Hashable) -> bool:
        """Whether ``stream`` has brought ``name`` before, as far as is remembered; it is remembered now."""
        last = self._streams.setdefault(stream, _Last())
        if name in last.names:
            return True
        last.names.add(name)
        last.order.append(name)
        if len(last.order) > KEPT:
            last.names.discard(last.order.popleft())
        return False
