"""What is made of the points that a venue tells of a market's past. No I/O, no clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from guard.readings import HistoryPoint
from guard.units import NS_PER_S


def middle_of(values: list[float]) -> float | None:
    """The upper median; ``None`` of nothing."""
    return sorted(values)[len(values) // 2] if values else None


def volatility_day(points: Sequence[HistoryPoint]) -> float | None:
    """Realised standard deviation of log price over a day; ``None`` where too little was seen."""
    squared, days = 0.0, 0.0
    for before, point in pairwise(points):
        squared += math.log(point.price / before.price) ** 2
        days += (point.at - before.at) / NS_PER_S / 86_400.0
    return math.sqrt(squared / days) if days > 0.05 and squared > 0.0 else None
