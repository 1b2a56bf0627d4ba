"""What is remembered of one side of a market's book: depth, what is normal of it, refill, density. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import expm1, log1p

import numpy as np

from guard.events import BookSide
from guard.market import liquidity
from guard.market.baseline import Baseline
from guard.market.below import BelowSince
from guard.market.book import Floats
from guard.market.flow import RefillHalfLife
from guard.units import NS_PER_S, Nanoseconds


@dataclass(slots=True)
class SideMemory:
    """What is remembered of one side of the book."""

    depth: Baseline
    refill: RefillHalfLife = field(default_factory=RefillHalfLife)
    below: BelowSince = field(default_factory=BelowSince)
    depth_usd: float | None = None
    """Depth within the band in the latest sample."""
    ratio: float | None = None
    """That over its normal."""
    _log_density: list[float] | None = None
    _density_at: Nanoseconds = 0

    def look_again(self) -> None:
        """Depth or what is normal has changed."""
        normal = self.depth.normal()
        self.ratio = self.depth_usd / normal if self.depth_usd is not None and normal else None

    @property
    def z(self) -> float:
        """The z-score of the latest depth, which must be known, like its normal."""
        z = None if self.depth_usd is None else self.depth.z(self.depth_usd)
        return 0.0 if z is None else z

    def density(self) -> Floats | None:
        """Long-run geometric mean of the density of each cell, USD a bp."""
        return None if self._log_density is None else np.array([expm1(each) for each in self._log_density])

    def learn_density(self, at: Nanoseconds, book: BookSide, half_life_s: float) -> None:
        """Take the density of ``book`` into the long-run mean."""
        if self._log_density is not None and at - self._density_at < NS_PER_S:
            return  # once a second is plenty for a long-run mean
        seen = [log1p(max(each, 0.0)) for each in liquidity.cell_densities(book).tolist()]
        if self._log_density is None:
            self._log_density = seen
        else:
            seconds = min((at - self._density_at) / NS_PER_S, 10.0)
            share = 1.0 - 2.0 ** (-seconds / half_life_s)
            self._log_density = [
                known + (new - known) * share for known, new in zip(self._log_density, seen, strict=True)
            ]
        self._density_at = at

    def relearn(self) -> None:
        """Begin anew: what was usual is not any more."""
        self.depth.relearn()
        self._log_density = None
        self.below.clear()
