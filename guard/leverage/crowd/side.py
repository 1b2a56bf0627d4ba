"""The filter of one side of one market: what is liquidated where, by class; entries, sweeps, exits. Mirrored."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from guard.forecasts import Direction
from guard.leverage.crowd.kernels import (
    MAINTENANCE_OF_MARGIN,
    Kernels,
    distance_of,
    kernels,
    settled,
)
from guard.leverage.crowd.settings import BINS_KEPT, LEVERAGES, MapSettings
from guard.leverage.crowd.side_map import BIN_LOG, BINS, Floats

CLASSES = len(LEVERAGES)
_ROOM = BINS_KEPT - BINS
_BACK = _ROOM // 2
"""The mark is about so many bins from the near end."""

_BLOCK = 8

_COARSE = 6
"""What was entered while the mark went farther than so many bins is put down at bins so far apart."""

_EDGE_BINS = 3.0
"""When price has come back so far, what lay behind the farthest it got may have been entered since."""


@lru_cache(maxsize=64)
def _begun(direction: Direction, settings: MapSettings) -> Floats:
    """Bins from entry to liquidation of an isolated position, by class."""
    return np.asarray(distance_of(direction, 1.0 / np.asarray(LEVERAGES), _rates(settings)) / BIN_LOG)


def _rates(settings: MapSettings) -> Floats:
    """Maintenance by class: no position is opened where it is liquidated."""
    return np.minimum(settings.maintenance, MAINTENANCE_OF_MARGIN / np.asarray(LEVERAGES))


@lru_cache(maxsize=64)
def _settled_rows(direction: Direction, settings: MapSettings, volatility_day: float) -> Floats:
    near = kernels(direction, settings).near
    return np.stack([settled(row, volatility_day, settings.holding_half_life_h) for row in near])


@dataclass(slots=True)
class Side:
    """Open interest of one side, in base units, as if all of it were in each class of leverage.

    ``mass[k, j]`` times the share of class k is liquidated when the mark is in bin ``base + j`` of the adverse
    coordinate, ``-log(price)`` of longs and ``log(price)`` of shorts, so that one code serves both. ``totals[k]``,
    with what was ``added`` since, is all of class k, near and far; ``rest`` as if all were hedged. All are times
    ``scale``: when people leave in proportion that alone changes.
    """

    direction: Direction
    settings: MapSettings
    mass: Floats = field(default_factory=lambda: np.zeros((CLASSES, BINS_KEPT)))
    totals: Floats = field(default_factory=lambda: np.zeros(CLASSES))
    added: float = 0.0
    rest: float = 0.0
    scale: float = 1.0
    shares: Floats = field(default_factory=lambda: np.zeros(CLASSES))
    leveraged: float = 0.0
    """Sum of shares; what they leave of 1 is hedged."""
    held: float = 0.0
    """Sum of shares times totals."""
    base: int = 0
    place: float = 0.0
    """Of the mark, in bins of the adverse coordinate."""
    edge: float = -math.inf
    """The most adverse mark of late."""
    pending: dict[int, float] = field(default_factory=dict)
    pending_s: float = 0.0
    _mixed: Floats | None = None
    """All classes by their shares, until one of the two changes: the whole of ``mass`` is too much for a cache."""

    def adverse(self, price: float) -> float:
        """Where a price is, in bins; more is worse for this side."""
        return (1 if self.direction is Direction.UP else -1) * math.log(price) / BIN_LOG

    def start(self, price: float, size: float, volatility_day: float) -> None:
        """Begin with positions that were entered over a long time."""
        self.place = self.edge = self.adverse(price)
        self.base = math.floor(self.place) - _BACK
        self.pending.clear()
        self.pending_s = 0.0
        self._mixed = None
        self.mass[:] = 0.0
        at = math.floor(self.place) - self.base
        rows = _settled_rows(self.direction, self.settings, volatility_day)
        self.mass[:, at:] = rows[:, : BINS_KEPT - at] * size
        self.totals[:] = size
        self.rest, self.scale, self.added = size, 1.0, 0.0
        self.held = float(self.shares @ self.totals)

    def require(self, settings: MapSettings) -> None:
        """Put down by other settings whoever enters from now on."""
        self.flush()
        self.settings = settings

    def weigh(self, shares: Floats) -> None:
        """Take other shares of the classes; open interest stays what it was."""
        before = self.total()
        self._mixed = None
        self.shares, self.leveraged = shares, float(shares.sum())
        self.held = float(shares @ self.totals)
        after = self.total()
        if before > 0.0 and after > 0.0:
            self.leave(before / after)

    def sweep(self, low: float, high: float, mark: float) -> Floats | None:
        """Take out what marks between two liquidated: by class, times its share; ``None`` for nothing."""
        worst = self.adverse(low if self.direction is Direction.DOWN else high)
        self.place = self.adverse(mark)
        swept = None
        if worst > self.edge:
            if worst - self.base >= _BACK + _ROOM // 2 - 1:
                self._shift(worst)
            swept = self._take(self.edge, worst)
            self.edge = worst
        if self.edge - self.place > _EDGE_BINS:
            self.edge = self.place
        if self.place - self.base < 8:
            self._shift(self.place)
        return swept

    def enter(self, size: float, low: float, high: float, unhedged: float = 1.0) -> None:
        """Note entries between two prices; they are put down by ``flush``. Totals count them at once.

        Only ``unhedged`` of what classes would get is theirs; what makes it whole is the hedged ones'.
        """
        if size <= 0.0:
            return
        size /= self.scale
        self.rest += size * (1.0 - self.leveraged * unhedged) / max(1.0 - self.leveraged, 0.01)
        size *= unhedged
        if size <= 0.0:
            return
        self.added += size
        sign = (1 if self.direction is Direction.UP else -1) / BIN_LOG
        first = math.floor(sign * math.log(low))
        last = first if low == high else math.floor(sign * math.log(high))
        if abs(last - first) > _COARSE:
            first, last = first - first % _COARSE, last - last % _COARSE
        if first == last:
            self.pending[first] = self.pending.get(first, 0.0) + size
            return
        self.pending[first] = self.pending.get(first, 0.0) + 0.5 * size
        self.pending[last] = self.pending.get(last, 0.0) + 0.5 * size

    def leave(self, ratio: float) -> None:
        """Let everybody leave alike until ``ratio`` of all is left."""
        self.scale *= ratio
        if self.scale < 1e-6 or self.scale > 1e6:
            self._settle_scale()

    def close_winners(self, size: float) -> None:
        """Let so much leave of those who have gained most on what they put in, as who is deleveraged or takes profit.

        A position of class k that is x from its liquidation and began at d has gained about (x - d) / d on its
        margin; the part of it that leaves is ``1 - exp(-c * gain)`` with the c that makes it ``size`` in all.
        """
        self.flush()
        self._mixed = None
        at = max(math.floor(self.place) - self.base, 0)
        held = self.mass[:, at:]
        blocks = held.shape[1] // _BLOCK
        coarse = held[:, : blocks * _BLOCK].reshape(CLASSES, blocks, _BLOCK).sum(axis=2)
        begun = _begun(self.direction, self.settings)[:, None]
        distance = ((np.arange(blocks) + 0.5) * _BLOCK)[None, :]
        gain = np.maximum(distance / begun - 1.0, 0.0) ** 2
        owned = coarse * (self.shares[:, None] * self.scale)
        low, high = 0.0, 1e3
        if float((owned * -np.expm1(-high * gain)).sum()) <= size:
            low = high
        for _ in range(24):
            middle = 0.5 * (low + high) if high < 2.0 else math.sqrt(max(low, 1e-3) * high)
            if float((owned * -np.expm1(-middle * gain)).sum()) < size:
                low = middle
            else:
                high = middle
        kept = np.repeat(np.exp(-low * gain), _BLOCK, axis=1)
        held[:, : blocks * _BLOCK] *= kept
        self.totals -= (coarse * -np.expm1(-low * gain)).sum(axis=1)
        self.held = float(self.shares @ self.totals)

    def flush(self) -> None:
        """Put down what was entered. What is beyond the last bin counts in the totals alone."""
        kernel: Kernels = kernels(self.direction, self.settings)
        if self.pending:
            self._mixed = None
        for at, size in self.pending.items():
            first = at - self.base
            skip = max(-first, 0)
            first = max(first, 0)
            width = BINS_KEPT - first - skip
            if width > 0:
                self.mass[:, first : first + width] += size * kernel.near[:, skip : skip + width]
        self.pending.clear()
        self.pending_s = 0.0
        self.totals += self.added
        self.held += self.added * self.leveraged
        self.added = 0.0

    def window(self) -> tuple[Floats, float]:
        """What each class has in the bins from the mark's own on, ``(K, BINS + 1)``, a view; times ``scale``.

        Besides, which part of its own bin the mark has gone through: distances j to j + 1 bins beyond the mark hold
        that part of bin j + 1 and the rest of bin j.
        """
        at, part = self.begun()
        return self.mass[:, at : at + BINS + 1], part

    def mixed(self) -> Floats:
        """All classes by their shares, by bin as ``mass``, ``(BINS_KEPT,)``; times ``scale``."""
        if self._mixed is None:
            self._mixed = self.shares @ self.mass
        return self._mixed

    def begun(self) -> tuple[int, float]:
        """Which bin the mark is in, and which part of it the mark has gone through."""
        start = self.place - self.base
        at = math.floor(start)
        return at, start - at

    def ahead(self) -> Floats:
        """What each class has at each of ``BINS`` distances beyond the mark, ``(K, BINS)``, base units."""
        window, part = self.window()
        return np.asarray((window[:, :BINS] * (1.0 - part) + window[:, 1:] * part) * self.scale)

    def total(self) -> float:
        """Open interest of this side: all classes by their shares, and the hedged."""
        return self.scale * (self.held + self.added * self.leveraged + (1.0 - self.leveraged) * self.rest)

    def even_out(self, size: float) -> None:
        """Give every class as much as if it had kept its share: shares are of what there is, not of what was opened."""
        self.flush()
        ratio = np.where(self.totals > 0.0, size / np.maximum(self.totals, 1e-300), 0.0)
        self.mass *= ratio[:, None]
        self._mixed = None
        self.totals[:] = size
        self.rest, self.scale = size, 1.0
        self.held = float(self.shares @ self.totals)

    def _take(self, start: float, end: float) -> Floats | None:
        first, last = start - self.base, end - self.base
        low, high = max(math.floor(first), 0), min(math.floor(last), BINS_KEPT - 1)
        if high < 0 or last < 0.0:
            return None
        taken: Floats = self.mass[:, low:high].sum(axis=1)
        mixed = self._mixed
        if low < high:
            self.mass[:, low:high] = 0.0
            if mixed is not None:
                mixed[low:high] = 0.0
        begun = max(first, float(high))
        part = (last - begun) / max(high + 1.0 - begun, 1e-9)
        if 0.0 < part <= 1.0:
            taken += self.mass[:, high] * part
            self.mass[:, high] *= 1.0 - part
            if mixed is not None:
                mixed[high] *= 1.0 - part
        self.totals -= taken
        self.held -= float(self.shares @ taken)
        taken *= self.scale
        return taken

    def _shift(self, place: float) -> None:
        """Move the bins along so that a place is where the mark should be."""
        by = math.floor(place) - _BACK - self.base
        if by == 0:
            return
        moved = np.zeros_like(self.mass)
        if 0 < by < BINS_KEPT:
            moved[:, : BINS_KEPT - by] = self.mass[:, by:]
        elif -BINS_KEPT < by < 0:
            moved[:, -by:] = self.mass[:, :by]
        self.mass = moved
        self._mixed = None
        self.base += by

    def _settle_scale(self) -> None:
        self.mass *= self.scale
        self._mixed = None
        self.totals *= self.scale
        self.held *= self.scale
        self.added *= self.scale
        self.rest *= self.scale
        self.pending = {at: size * self.scale for at, size in self.pending.items()}
        self.scale = 1.0
