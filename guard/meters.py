"""What is counted and measured of the guard itself, as values. No I/O, no clock."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from guard.units import NS_PER_S, Nanoseconds

LATENCY_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Upper bounds of the latency buckets, three to a decade: from what a quiet loop takes to a dead one."""


FINE_S = tuple(
    round(step * 10.0**decade, 9)
    for decade in range(-5, 2)
    for step in (1.0, 2.0, 5.0)
    if step * 10.0**decade <= 10.0
)
"""Three to a decade from 10 us to 10 s, for what may take no longer than a frame."""


class MeterKind(StrEnum):
    """How a number behaves."""

    COUNTER = "counter"
    """Only rises, from 0 at the start of the process."""
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Sample:
    """One number, and what of."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Meter:
    """Numbers of one name, in base units (seconds, bytes); a counter's name has no ``_total`` yet."""

    name: str
    help: str
    kind: MeterKind
    samples: tuple[Sample, ...]


@dataclass(slots=True)
class Latency:
    """A histogram of durations; ``bounds_s`` are the upper bounds of its buckets, ascending.

    >>> latency = Latency()
    >>> latency.observe(2_000_000)
    >>> latency.count, latency.sum_s, latency.cumulative()[3:5]
    (1, 0.002, [('0.003', 1), ('0.01', 1)])
    """

    count: int = 0
    sum_s: float = 0.0
    max_s: float = 0.0
    bounds_s: tuple[float, ...] = LATENCY_S
    _buckets: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._buckets = [0] * (len(self.bounds_s) + 1)

    def observe(self, duration_ns: Nanoseconds) -> None:
        """Count one duration; a negative one (a clock that was set) counts as none."""
        duration_s = max(duration_ns, 0) / NS_PER_S
        self.count += 1
        self.sum_s += duration_s
        self.max_s = max(self.max_s, duration_s)
        self._buckets[bisect_left(self.bounds_s, duration_s)] += 1

    def cumulative(self) -> list[tuple[str, int]]:
        """How many took no longer than each bound in seconds; the last bound is ``+Inf``."""
        found, total = [], 0
        for bound, count in zip((*map(str, self.bounds_s), "+Inf"), self._buckets, strict=True):
            total += count
            found.append((bound, total))
        return found


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram under a name, in seconds."""

    name: str
    help: str
    latency: Latency


@dataclass(frozen=True, slots=True)
class Distributions:
    """Histograms under one name, told apart by a label, in seconds."""

    name: str
    help: str
    label: str
    latencies: Mapping[str, Latency]


Measured = Meter | Distribution | Distributions
