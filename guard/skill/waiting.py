"""Forecasts of one market that wait for their time: arrays of fixed size, and what they are judged by. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from guard.forecasts import HORIZONS_S, MOVES, QUANTILES, Direction, HazardForecast, ReachForecast
from guard.skill.falls import FallDetector
from guard.skill.outcomes import (
    GAP_S_MAX,
    REACH_WINDOW_S,
    PriceRing,
    alarm_event_detector,
    onset_detector,
)
from guard.skill.sweeps import SweepWindow
from guard.units import NS_PER_S, Nanoseconds

KEEP_S = 60.0
"""Of the probabilities that a market is told every 5 s, one a minute is kept and judged."""

SLOTS = 64
"""They wait for an hour at most: 61 at once."""

REACHES_MAX = 4
"""Onsets of a direction are an hour apart and wait for half of it: no more than 2."""

_NEVER = 2**62
_LENGTHS = tuple(horizon * NS_PER_S for horizon in HORIZONS_S)

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(slots=True)
class WaitingReach:
    """What was said at an onset; rows by estimator, negative: it did not speak."""

    at: Nanoseconds
    price: float
    direction: Direction
    probability: Floats
    quantiles: Floats


@dataclass(slots=True)
class DueReach:
    """One whose time has come, with how far it went."""

    said: WaitingReach
    reach: float


class Waiting:
    """One market: its prices of the last hour, its onsets, and what was said of it and is not due yet.

    Bounded: ``SLOTS`` x estimators x 18 probabilities of 4 bytes (32 KiB with 7 estimators), 49 KiB of prices, a map of
    3 KiB: 17 MiB for 200 markets.
    """

    __slots__ = (
        "_due",
        "_next",
        "_said",
        "events",
        "kept_at",
        "market_class",
        "next_due_at",
        "number",
        "onsets",
        "reaches",
        "ring",
        "sweep",
        "void",
    )

    def __init__(self, number: int, market_class: int, estimators: int, refresh_s: float) -> None:
        self.number = number
        self.market_class = market_class
        longest_s = max(*HORIZONS_S, REACH_WINDOW_S)
        self.ring = PriceRing(int(longest_s / refresh_s * 1.05) + 40)
        self.onsets: tuple[FallDetector, ...] = tuple(map(onset_detector, Direction))
        self.events: tuple[FallDetector, ...] = tuple(map(alarm_event_detector, Direction))
        self.reaches: deque[WaitingReach] = deque(maxlen=REACHES_MAX)
        self.sweep: SweepWindow | None = None
        self.kept_at: Nanoseconds | None = None
        self.void = 0
        self.next_due_at: Nanoseconds = _NEVER
        """Before then nothing comes due."""
        self._said: Singles = np.full(
            (SLOTS, estimators, len(Direction), len(HORIZONS_S), len(MOVES)), -1.0, dtype=np.float32
        )
        self._next = 0
        self._due: tuple[deque[tuple[Nanoseconds, float, int]], ...] = tuple(
            deque(maxlen=SLOTS) for _ in HORIZONS_S
        )

    def wants(self, at: Nanoseconds) -> bool:
        """Whether what is said now is to be kept."""
        # A refresh that comes a little early counts, or the next would be one refresh late each time.
        return self.kept_at is None or at - self.kept_at >= (KEEP_S - 1.0) * NS_PER_S

    def keep(
        self,
        at: Nanoseconds,
        price: float,
        said: Mapping[Direction, Mapping[str, HazardForecast]],
        rows: Mapping[str, int],
    ) -> None:
        """Keep what was said at ``at`` and ``price``; ``rows`` gives each estimator its row."""
        slot, self._next = self._next, (self._next + 1) % SLOTS
        place = self._said[slot]
        place[:] = -1.0
        for side, direction in enumerate(Direction):
            for name, forecast in said.get(direction, {}).items():
                if (row := rows.get(name)) is not None:
                    place[row, side] = forecast.probability
        self.kept_at = at
        self.next_due_at = min(self.next_due_at, at + min(_LENGTHS))
        for due in self._due:
            due.append((at, price, slot))

    def keep_reach(
        self,
        at: Nanoseconds,
        price: float,
        direction: Direction,
        said: Mapping[str, ReachForecast],
        rows: Mapping[str, int],
    ) -> None:
        """Keep what was said of one direction at an onset."""
        probability = np.full((len(rows), len(MOVES)), -1.0)
        quantiles = np.full((len(rows), len(QUANTILES)), -1.0)
        for name, forecast in said.items():
            if (row := rows.get(name)) is not None:
                probability[row], quantiles[row] = forecast.probability, forecast.quantiles
        self.reaches.append(WaitingReach(at, price, direction, probability, quantiles))

    def due(self, now: Nanoseconds) -> list[tuple[int, Singles, float, float]]:
        """What has come due: (horizon, said by estimator, direction and move, farthest down, farthest up)."""
        found: list[tuple[int, Singles, float, float]] = []
        ring = self.ring
        for horizon, waiting in enumerate(self._due):
            length = _LENGTHS[horizon]
            while waiting and (until := waiting[0][0] + length) <= now and self._decided(until, now):
                at, price, slot = waiting.popleft()
                extremes = ring.extremes(at, until)
                if extremes is None:
                    self.void += 1
                    continue
                least, greatest = extremes
                found.append(
                    (
                        horizon,
                        self._said[slot, :, :, horizon],
                        max(0.0, 1.0 - least / price),
                        max(0.0, greatest / price - 1.0),
                    )
                )
        self.next_due_at = min(
            (waiting[0][0] + length for waiting, length in zip(self._due, _LENGTHS, strict=True) if waiting),
            default=_NEVER,
        )
        return found

    def due_reaches(self, now: Nanoseconds) -> list[DueReach]:
        """Onsets after which as long as is waited for has passed."""
        found: list[DueReach] = []
        while self.reaches:
            first = self.reaches[0]
            until = first.at + int(REACH_WINDOW_S * NS_PER_S)
            if until > now or not self._decided(until, now):
                break
            self.reaches.popleft()
            extremes = self.ring.extremes(first.at, until)
            if extremes is None:
                self.void += 1
                continue
            least, greatest = extremes
            far = (
                1.0 - least / first.price
                if first.direction is Direction.DOWN
                else greatest / first.price - 1.0
            )
            found.append(DueReach(first, max(0.0, far)))
        return found

    def _decided(self, until: Nanoseconds, now: Nanoseconds) -> bool:
        """Whether prices were heard up to ``until``, or it is clear that they were not."""
        return self.ring.last_at >= until or now - self.ring.last_at > GAP_S_MAX * NS_PER_S


@dataclass(slots=True)
class Batch:
    """What came due and was not counted yet, many markets together: numpy asks a price for each call, not each case."""

    said: Singles
    farthest: Floats
    horizon: NDArray[np.int64]
    market: NDArray[np.int64]
    market_class: NDArray[np.int64]
    count: int = field(default=0)

    @classmethod
    def of(cls, size: int, estimators: int) -> Batch:
        """Make an empty one."""
        return cls(
            np.empty((size, estimators, len(Direction), len(MOVES)), dtype=np.float32),
            np.empty((size, len(Direction))),
            np.empty(size, dtype=np.int64),
            np.empty(size, dtype=np.int64),
            np.empty(size, dtype=np.int64),
        )

    @property
    def full(self) -> bool:
        """Whether no more fits."""
        return self.count == len(self.horizon)

    def add(self, horizon: int, market: Waiting, said: Singles, down: float, up: float) -> None:
        """Add one case of a market."""
        at = self.count
        self.said[at] = said
        self.farthest[at, 0], self.farthest[at, 1] = down, up
        self.horizon[at] = horizon
        self.market[at], self.market_class[at] = market.number, market.market_class
        self.count = at + 1
