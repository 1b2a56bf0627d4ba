"""One generated symbol: a walk of the mid price and the quotes that market makers keep around it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from adapters.simulation.scenarios import Point
from adapters.simulation.wire import Level

STEP_S = 0.1
NEAR_BPS = 20.0
"""Up to here quotes lie close together."""
REACH_BPS = 260.0
NEAR_SPACING_BPS = 0.25
FAR_SPACING_BPS = 1.0
REFRESH_SHARE = 0.12
"""The part of the quotes that makers look at in a step: depth follows its course within about a second."""
PULL_SECONDS = 15.0
"""How fast the walk returns to the course."""


@dataclass(frozen=True, slots=True)
class SymbolShape:
    """What a symbol looks like when it is calm."""

    price_start: float
    tick: Decimal
    step: Decimal
    depth_10bps_usd: float
    spread_bps: float
    volatility_bps: float
    """Standard deviation of the mid's moves in one second."""


class Makers:
    """The walk and the quotes; all randomness comes from the generator that is handed in."""

    def __init__(self, shape: SymbolShape, rng: Random) -> None:
        self.shape = shape
        self._rng = rng
        self._tick = float(shape.tick)
        self._price_digits = max(0, -int(shape.tick.normalize().as_tuple().exponent))
        self._size_digits = max(0, -int(shape.step.normalize().as_tuple().exponent))
        self._noise_log = 0.0
        self._depth_log = 0.0
        self.mid = shape.price_start
        self.bid_ticks = 0
        self.ask_ticks = 0
        # Signed by side: bids and asks never share a price, so one dict a side in whole ticks.
        self.bids: dict[int, str] = {}
        self.asks: dict[int, str] = {}
        self.advance(Point())

    def advance(self, point: Point) -> tuple[list[Level], list[Level]]:
        """Move one step along the course and return what changed on the bid and the ask side."""
        self._walk(point)
        depth = point.depth_ratio * math.exp(self._depth_log)
        return (
            self._requote(self.bids, self.bid_ticks, -1, depth),
            self._requote(self.asks, self.ask_ticks, 1, depth),
        )

    def best(self) -> tuple[Level, Level]:
        """The best bid and ask."""
        return (
            (self.price_text(self.bid_ticks), self.bids[self.bid_ticks]),
            (self.price_text(self.ask_ticks), self.asks[self.ask_ticks]),
        )

    def levels(self) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """All quotes, best first."""
        return (
            tuple((self.price_text(ticks), self.bids[ticks]) for ticks in sorted(self.bids, reverse=True)),
            tuple((self.price_text(ticks), self.asks[ticks]) for ticks in sorted(self.asks)),
        )

    def price_text(self, ticks: int) -> str:
        return f"{ticks * self._tick:.{self._price_digits}f}"

    def size_text(self, size: float) -> str:
        """Round to the lot step, at least one."""
        step = float(self.shape.step)
        return f"{max(1, round(size / step)) * step:.{self._size_digits}f}"

    def _walk(self, point: Point) -> None:
        rng = self._rng
        pull = STEP_S / PULL_SECONDS
        sigma = self.shape.volatility_bps / 10_000.0 * math.sqrt(STEP_S)
        self._noise_log += -self._noise_log * pull + rng.gauss(0.0, sigma)
        self._depth_log += -self._depth_log * 0.05 + rng.gauss(0.0, 0.02)
        self.mid = self.shape.price_start * point.price_ratio * math.exp(self._noise_log)
        spread_bps = self.shape.spread_bps * point.spread_ratio * math.exp(rng.gauss(0.0, 0.2))
        spread_ticks = max(1, round(self.mid * spread_bps / 10_000.0 / self._tick))
        self.bid_ticks = round(self.mid / self._tick - spread_ticks / 2.0)
        self.ask_ticks = self.bid_ticks + spread_ticks

    def _requote(self, quotes: dict[int, str], touch: int, direction: int, depth: float) -> list[Level]:
        """Bring one side to its new touch; direction is -1 for bids, 1 for asks."""
        rng = self._rng
        changes: list[Level] = []
        wanted = dict(self._grid(touch, direction))
        for ticks in [ticks for ticks in quotes if ticks not in wanted]:
            del quotes[ticks]
            changes.append((self.price_text(ticks), self._zero()))
        for ticks, width_bps in wanted.items():
            present = ticks in quotes
            if present and ticks != touch and rng.random() > REFRESH_SHARE:
                continue
            distance_bps = abs(ticks - touch) * self._tick / self.mid * 10_000.0
            usd = self.shape.depth_10bps_usd / 10.0 * width_bps * (1.0 + distance_bps / 100.0) ** -0.3
            size = self.size_text(usd * depth * math.exp(rng.gauss(0.0, 0.35)) / self.mid)
            if quotes.get(ticks) != size:
                quotes[ticks] = size
                changes.append((self.price_text(ticks), size))
        return changes

    def _grid(self, touch: int, direction: int) -> Iterator[tuple[int, float]]:
        """Prices (in ticks) at which there are quotes, with the stretch in bps that each stands for.

        The grid is fixed in price, so that a moving touch walks through standing quotes.
        """
        bps_ticks = self.mid / 10_000.0 / self._tick
        near = max(1, round(NEAR_SPACING_BPS * bps_ticks))
        far = max(1, round(FAR_SPACING_BPS * bps_ticks))
        near_end = touch + direction * round(NEAR_BPS * bps_ticks)
        far_end = touch + direction * round(REACH_BPS * bps_ticks)
        yield touch, near / bps_ticks
        ticks = _next_multiple(touch, near, direction)
        while (near_end - ticks) * direction > 0:
            yield ticks, near / bps_ticks
            ticks += near * direction
        ticks = _next_multiple(ticks - direction, far, direction)
        while (far_end - ticks) * direction > 0:
            yield ticks, far / bps_ticks
            ticks += far * direction

    def _zero(self) -> str:
        return f"{0.0:.{self._size_digits}f}"


def _next_multiple(ticks: int, spacing: int, direction: int) -> int:
    """The first multiple of ``spacing`` strictly beyond ``ticks`` in the direction."""
    if direction > 0:
        return (ticks // spacing + 1) * spacing
    return -((-ticks) // spacing + 1) * spacing
