"""Whether what a map said would be liquidated was told as liquidated when the mark went there. Arrays, pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, log, log1p, sqrt
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from guard.forecasts import Direction
from guard.readings import LiquidationFeed, Reading
from guard.skill.gate import LEARNED, NO_MAP
from guard.units import NS_PER_S, Nanoseconds

Floats = NDArray[np.float64]

WINDOW_S = 900.0
"""A map is held against what was liquidated within so long; windows of a market follow each other."""

MOVE_LOG_MIN = 0.002
"""Windows in which the mark went less far show nothing."""

MOVE_LOG_FULL = 0.02
"""Ones in which it went as far count in full, nearer ones in proportion: maps are for what lies far away."""

UNIT = 1e-4
"""Share of the open interest that counts as hardly anything: amounts are compared as log(1 + usd / unit)."""

BIN_LOG = 0.001
BINS = 200
"""How a map tells mass, and how much of it is kept: up to 22 % away."""

LUMP_LOG_SD = 0.5
"""Positions are few and large: what is liquidated scatters by this even if the map is right."""

THROTTLE_LOG_SD = 0.8
"""How much a throttled feed lets through varies by this: the more is liquidated, the less of it is told."""

NO_MAP_LOG_SD = 1.5

MOVE_EDGES = (0.005, 0.01, 0.02, 0.05)
NO_MAP_RATES = (0.02, 0.05, 0.1, 0.2, 0.3)
"""Without a map: a move of so much (log, between the edges) liquidates this of the open interest, times the move.

Before anything was seen; near the mark there are fewer than farther away."""

PRIOR_WINDOWS = 5.0
"""That, and what a throttled feed lets through, is believed as so many windows of half a percent are."""

CAPTURE = 0.5
"""Of what was liquidated, a throttled feed is first thought to tell so much."""

ESTIMATORS = (NO_MAP, LEARNED)

# Seven equally likely places of a standard normal distribution, at the middle of each seventh.
_PLACES = np.array([-1.4652, -0.7916, -0.3661, 0.0, 0.3661, 0.7916, 1.4652])


class SideMass(Protocol):
    """A side map: ``usd`` by bin of ``BIN_LOG`` beyond the mark, ``log_sd`` of its scale."""

    @property
    def usd(self) -> Floats:
        """Expected notional by bin."""
        ...

    @property
    def log_sd(self) -> float:
        """Uncertainty of the scale of all of it."""
        ...


@dataclass(frozen=True, slots=True)
class Swept:
    """One window in one direction: how far the mark went, and the losses of those that had said something.

    ``losses`` are continuous ranked probability scores in log units, ``ratios`` log of told over said (both with a
    unit added), ``covered`` whether the 80 % band held it.
    """

    move_log: float
    weight: float
    losses: dict[str, float]
    ratios: dict[str, float]
    covered: dict[str, bool]


class SweepMemory(Struct, frozen=True, kw_only=True):
    """What was learned of rates: told and said, by feed and estimator."""

    told: dict[str, float]
    said: dict[str, float]


@dataclass(slots=True)
class _Side:
    """What maps said of one direction at the start of a window."""

    cumulated: dict[str, Floats] = field(default_factory=dict)
    log_sd: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class SweepWindow:
    """One market's window under way."""

    begun_at: Nanoseconds
    mark: float
    interest_usd: float
    feed: LiquidationFeed
    low: float
    high: float
    longs_usd: float = 0.0
    shorts_usd: float = 0.0
    sides: tuple[_Side, _Side] = field(default_factory=lambda: (_Side(), _Side()))

    def take(self, reading: Reading) -> None:
        """Count what happened since the reading before."""
        if reading.mark_low is not None and reading.mark_low < self.low:
            self.low = reading.mark_low
        if reading.mark_high is not None and reading.mark_high > self.high:
            self.high = reading.mark_high
        self.longs_usd += reading.liquidated_longs_usd
        self.shorts_usd += reading.liquidated_shorts_usd

    def due(self, at: Nanoseconds) -> bool:
        """Whether it is over."""
        return at - self.begun_at >= WINDOW_S * NS_PER_S


class Sweeps:
    """Judges windows, and learns what is liquidated without any map and what a throttled feed lets through.

    Formula:
        Said mass M is lognormal with ``log_sd`` and the scatter of lumps; both it and what was told, L, are put on
        ``y = log(1 + usd / (UNIT * open interest))``; loss = CRPS of y. Without a map
        ``M = rate * open interest * move``, ``rate`` = told over open interest x move so far, by how far the mark went
        (``MOVE_EDGES``): all that is common to all markets is known without a map. On throttled feeds M is
        what the map says times what that feed has let through of what that estimator said, 1 at most: such a feed
        judges where mass lies and how much at least, not its scale.

    Assumes:
        What comes into the map within 15 minutes matters little; the mark is what liquidates.

    Fails:
        Where a venue tells nothing; there nothing is judged. Lower bounds do not punish a map that says too much.
    """

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._said: dict[str, float] = {}
        for feed in (LiquidationFeed.COMPLETE, LiquidationFeed.THROTTLED):
            # A unit of either: the open interest x half a percent.
            for number, rate in enumerate(NO_MAP_RATES):
                self._told[f"{feed} {NO_MAP} {number}"] = PRIOR_WINDOWS * rate
                self._said[f"{feed} {NO_MAP} {number}"] = PRIOR_WINDOWS
        self._told[f"{LiquidationFeed.THROTTLED} {LEARNED}"] = PRIOR_WINDOWS * CAPTURE * NO_MAP_RATES[0]
        self._said[f"{LiquidationFeed.THROTTLED} {LEARNED}"] = PRIOR_WINDOWS * NO_MAP_RATES[0]

    def begin(self, reading: Reading, maps: Mapping[Direction, Mapping[str, SideMass]]) -> SweepWindow | None:
        """Begin a window of a market at this reading; ``None`` where nothing could be judged."""
        mark, interest = reading.mark_price, reading.open_interest
        if not mark or not interest or reading.feed is LiquidationFeed.ABSENT or not maps:
            return None
        window = SweepWindow(reading.at, mark, interest * mark, reading.feed, mark, mark)
        for side, direction in zip(window.sides, Direction, strict=True):
            for name, mass in maps.get(direction, {}).items():
                side.cumulated[name] = np.cumsum(mass.usd[:BINS])
                side.log_sd[name] = float(mass.log_sd)
        return window

    def judge(self, window: SweepWindow) -> list[Swept]:
        """Hold each direction of a window that is over against what was told."""
        moves = (log(window.mark / window.low), log(window.high / window.mark))
        told = (float(window.longs_usd), float(window.shorts_usd))
        return [
            self._judge(window, side, move, usd)
            for side, move, usd in zip(window.sides, moves, told, strict=True)
            if move >= MOVE_LOG_MIN and side.cumulated
        ]

    def _judge(self, window: SweepWindow, side: _Side, move: float, told_usd: float) -> Swept:
        unit = UNIT * window.interest_usd
        swept = Swept(move, min(1.0, move / MOVE_LOG_FULL), {}, {}, {})
        happened = log1p(told_usd / unit)
        masses = {NO_MAP: move * window.interest_usd} | {
            name: _mass_within(cumulated, move) for name, cumulated in side.cumulated.items()
        }
        for name, mass in masses.items():
            key = f"{window.feed} {name}"
            if name == NO_MAP:
                key = f"{key} {bisect_right(MOVE_EDGES, move)}"
            scale = self._told[key] / self._said[key] if key in self._said else 1.0
            if name != NO_MAP:
                scale = min(scale, 1.0)
            log_sd = self._log_sd(window.feed, side.log_sd.get(name))
            places = np.log1p(mass * scale / unit * np.exp(log_sd * _PLACES))
            swept.losses[name] = _crps(places, happened)
            swept.ratios[name] = happened - log1p(mass * scale / unit)
            # An 80 % band reaches 1.2816 standard deviations to each side.
            low, high = (log1p(mass * scale / unit * exp(log_sd * z)) for z in (-1.2816, 1.2816))
            # Hardly anything is the same as nothing: positions are closed one by one.
            swept.covered[name] = (low <= happened or low < log(2.0)) and happened <= high
            if key in self._said:
                self._told[key] += told_usd / window.interest_usd / 0.005
                self._said[key] += mass / window.interest_usd / 0.005
        return swept

    @staticmethod
    def _log_sd(feed: LiquidationFeed, of_map: float | None) -> float:
        if of_map is None:
            return NO_MAP_LOG_SD
        throttle = THROTTLE_LOG_SD if feed is LiquidationFeed.THROTTLED else 0.0
        return sqrt(of_map**2 + LUMP_LOG_SD**2 + throttle**2)

    def age(self, keep: float) -> None:
        """Let everything counted so far count ``keep`` of what it did; ratios stay."""
        for key in self._told:
            # What is left never counts less than the prior did: a ratio is kept until another is seen.
            part = max(keep, min(1.0, PRIOR_WINDOWS * NO_MAP_RATES[0] / max(self._said[key], 1e-12)))
            self._told[key] *= part
            self._said[key] *= part

    def state(self) -> SweepMemory:
        """All that was learned."""
        return SweepMemory(told=dict(self._told), said=dict(self._said))

    def restore(self, memory: SweepMemory) -> None:
        """Go on from a former state; what is new since then starts at its prior."""
        for key in self._told:
            if key in memory.told and memory.said.get(key, 0.0) > 0.0:
                self._told[key], self._said[key] = memory.told[key], memory.said[key]


def _mass_within(cumulated: Floats, move_log: float) -> float:
    whole, part = divmod(move_log / BIN_LOG, 1.0)
    at = int(whole)
    if at >= len(cumulated):
        return float(cumulated[-1])
    before = float(cumulated[at - 1]) if at else 0.0
    return before + part * (float(cumulated[at]) - before)


def _crps(places: Floats, happened: float) -> float:
    """Continuous ranked probability score of equally likely places: mean distance less half their own."""
    order = np.arange(1, len(places) + 1)
    own = float((places * (2 * order - len(places) - 1)).sum()) / len(places) ** 2
    return float(np.abs(places - happened).mean()) - own
