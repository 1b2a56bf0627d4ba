# cython: auto_pickle=True
"""How far the perpetual's mark, and the perpetual itself, are from spot. No I/O, no clock."""

from __future__ import annotations

import math

from guard.forecasts import Direction, SignalValue
from guard.signals.context import Context, Features
from guard.signals.usual import Usual, clip, is_number
from guard.units import BPS_PER_UNIT

HALF_LIFE_S = 3_600.0
FULL_BPS = 50.0
LIMIT_LOG = 3.0


class Basis:
    """Mark against index, and mid against index (spot against perpetual), each less what it usually is.

    Formula: 10^4 log(mark / index) - mean, half-life 1 h, and likewise of the mid. Unit: bps; negative is a discount:
    the perpetual falls first, or alone. Alarm: |value| / 50, at most 1.

    Source: the venue's mark and index, and the book. Cost: 2 us. Assumption: the index is of several spot venues.
    Failure modes: an index that is one venue's breaks with it; marks are smoothed over seconds to minutes, so that a
    fast fall shows a gap to the mid although nothing is wrong.

    >>> from guard.readings import Reading
    >>> from guard.signals.context import Context
    >>> basis = Basis()
    >>> for mark in (100.0, 100.0, 99.75):
    ...     reading = Reading(at=0, market="v:A", elapsed_s=5.0, mark_price=mark, index_price=100.0)
    ...     basis.update(Context(reading, None, None))
    >>> round(basis.mark_bps), basis.spot_bps
    (-25, None)
    """

    def __init__(self) -> None:
        self._mark = Usual(HALF_LIFE_S, warm_s=900.0)
        self._spot = Usual(HALF_LIFE_S, warm_s=900.0)
        self.mark_bps: float | None = None
        self.spot_bps: float | None = None

    def update(self, context: Context) -> None:
        """Take a reading."""
        reading = context.reading
        elapsed = reading.elapsed_s
        elapsed = min(elapsed, 60.0)
        mid = None if reading.book is None else reading.book.mid
        self.mark_bps = _held(self._mark, reading.mark_price, reading.index_price, elapsed)
        self.spot_bps = _held(self._spot, mid, reading.index_price, elapsed)

    def usuals(self) -> dict[str, Usual]:
        """What is learned, by name."""
        return {"mark": self._mark, "spot": self._spot}

    def values(self) -> tuple[SignalValue, ...]:
        """Both gaps."""
        return (
            SignalValue(name="mark_basis", value=self.mark_bps, unit="bps", alarm=_alarm(self.mark_bps)),
            SignalValue(name="spot_basis", value=self.spot_bps, unit="bps", alarm=_alarm(self.spot_bps)),
        )

    def features(self, direction: Direction) -> Features:
        """In units of 50 bps, positive where the perpetual is ahead in the direction."""
        told = (("mark_basis", self.mark_bps), ("spot_basis", self.spot_bps))
        return {name: direction.sign * clip(v / FULL_BPS, -10.0, 10.0) for name, v in told if v is not None}


def _alarm(value: float | None) -> float | None:
    return None if value is None else clip(abs(value) / FULL_BPS)


def _held(usual: Usual, price: float | None, index: float | None, elapsed_s: float) -> float | None:
    """The gap less what it was until now; ``None`` where a price is not known."""
    if price is None or index is None or not (is_number(price) and is_number(index)):
        return None
    one, other = price, index
    if one <= 0.0 or other <= 0.0:
        return None
    gap = math.log(one) - math.log(other)
    if not abs(gap) < LIMIT_LOG:
        return None
    gap *= BPS_PER_UNIT
    before = usual.mean if usual.seconds > 0.0 else gap
    usual.update(gap, elapsed_s)
    return gap - before
