"""Who takes and what it does: signed flow over windows, price response, refill after sweeps. No clock."""

from __future__ import annotations

from array import array
from math import exp, log

import numpy as np

from guard.units import BPS_PER_UNIT, NS_PER_MS, NS_PER_S, Nanoseconds


class SlidingSum:
    """Sums over the last seconds, to one-second resolution, for any window up to ``seconds_max``.

    A ring with one cell a second. A window of w seconds covers the current, partly elapsed second and
    the w - 1 before it. Unit and sign are those of what is added. There are no cells
    before the first amount that is not zero.

    Assumptions: times do not fall. Failure modes: amounts that arrive late count in the current second;
    a window's edge is sharp, so a large amount leaves it all at once.

    >>> bought = SlidingSum(seconds_max=60)
    >>> bought.add(1_000_000_000, 5.0); bought.add(3_000_000_000, 7.0)
    >>> bought.total(1.0, 3_000_000_000), bought.total(3.0, 3_000_000_000), bought.total(60.0, 70_000_000_000)
    (7.0, 12.0, 0.0)
    """

    __slots__ = ("_cells", "_second", "_seconds_max")

    def __init__(self, *, seconds_max: int = 3600) -> None:
        self._seconds_max = seconds_max
        self._cells: array[float] | None = None
        self._second: int | None = None

    def add(self, at: Nanoseconds, amount: float) -> None:
        """Add ``amount`` at ``at``."""
        second = self._roll(at // NS_PER_S)
        if amount == 0.0:
            return
        if self._cells is None:
            self._cells = array("d", bytes(8 * self._seconds_max))
        self._cells[second % self._seconds_max] += amount

    def total(self, window_s: float, now: Nanoseconds) -> float:
        """Sum of the ``window_s`` seconds that end with ``now``; asking changes nothing."""
        if self._second is None or self._cells is None:
            return 0.0
        second = max(now // NS_PER_S, self._second)
        count = min(max(int(-(-window_s // 1)), 0), self._seconds_max) - (second - self._second)
        if count <= 0:
            return 0.0
        cells = np.frombuffer(self._cells)
        return float(cells[(self._second - np.arange(count)) % cells.size].sum())

    def _roll(self, second: int) -> int:
        if self._second is None or second > self._second:
            last = second if self._second is None else self._second
            if self._cells is not None:
                for passed in range(min(second - last, self._seconds_max)):
                    self._cells[(second - passed) % self._seconds_max] = 0.0
            self._second = second
        return self._second


class PriceResponse:
    """How far price moves for a million of signed flow: the slope of mid change on flow.

    Kyle's lambda by exponentially weighted least squares over buckets of at least a second:
    ``lambda = cov(x, y) / var(x)`` with x the taker flow of the bucket (USD millions, buys positive) and
    y the change of mid over it (bps). Weights halve every ``half_life_s`` of bucket time. Buckets longer
    than 10 s (an outage) are dropped.

    Assumptions: impact is linear and arrives within the bucket; trades are not throttled.
    Failure modes: flow follows price as well as leading it, so the slope overstates cause; one block
    trade can dominate; quotes that move without trades (a vacuum) add noise, not slope. Not answered
    before ``buckets_min`` buckets with flow, or if flow never varied.

    >>> response = PriceResponse()
    >>> mid = 100.0
    >>> for second in range(120):
    ...     flow = 1e6 * (1 if second % 3 else -2)
    ...     mid *= 1 + 2e-4 * flow / 1e6
    ...     response.observe(second * 1_000_000_000, mid, flow)
    >>> round(response.bps_per_musd, 3)
    2.0
    """

    __slots__ = (
        "_at",
        "_buckets_min",
        "_flow",
        "_half_life_s",
        "_mid",
        "_seen",
        "_sx",
        "_sxx",
        "_sxy",
        "_sy",
        "_w",
    )

    def __init__(self, *, half_life_s: float = 300.0, buckets_min: int = 30) -> None:
        self._half_life_s, self._buckets_min = half_life_s, buckets_min
        self._at: Nanoseconds | None = None
        self._mid = 0.0
        self._flow = 0.0
        self._seen = 0
        self._w = self._sx = self._sy = self._sxx = self._sxy = 0.0

    @property
    def bps_per_musd(self) -> float | None:
        """The slope, bps of mid for each million USD bought; ``None`` while unknown."""
        if self._seen < self._buckets_min:
            return None
        variance = self._sxx / self._w - (self._sx / self._w) ** 2
        if variance <= 1e-12 * max(self._sxx / self._w, 1e-12):
            return None
        return (self._sxy / self._w - self._sx * self._sy / self._w**2) / variance

    def observe(self, at: Nanoseconds, mid: float, flow_usd: float) -> None:
        """Take the mid at ``at`` and the signed flow since the previous observation."""
        if self._at is None:
            self._at, self._mid = at, mid
            return
        self._flow += flow_usd
        seconds = (at - self._at) / NS_PER_S
        if seconds < 1.0:
            return
        if seconds <= 10.0:
            self._fold(seconds, self._flow / 1e6, BPS_PER_UNIT * log(mid / self._mid))
        self._at, self._mid, self._flow = at, mid, 0.0

    def interrupt(self) -> None:
        """The mid is unknown: start a new bucket at the next observation."""
        self._at = None
        self._flow = 0.0

    def _fold(self, seconds: float, x: float, y: float) -> None:
        keep = 2.0 ** (-seconds / self._half_life_s)
        self._w = self._w * keep + 1.0
        self._sx = self._sx * keep + x
        self._sy = self._sy * keep + y
        self._sxx = self._sxx * keep + x * x
        self._sxy = self._sxy * keep + x * y
        self._seen += x != 0.0


class RefillHalfLife:
    """How fast a side fills up again after it was swept.

    A sweep is a fall of depth to ``sweep_ratio`` of its highest in the last ``sweep_s`` seconds. Its
    half-life is the time from the lowest depth since until half of what was lost is back. Sweeps not
    refilled within ``patience_s`` count as that long (censored). The answer is the geometric mean, each
    new sweep weighing a third; while a sweep stands open longer than that, the time it has been open.

    Assumptions: depth near the touch (10-25 bps), sampled several times a second.
    Failure modes: resolution is the sampling interval; a quote that fades without a trade counts as a
    sweep as well; price moving through a wall looks like one, because the band moves with mid.

    >>> refill = RefillHalfLife()
    >>> depths = [100.0] * 10 + [40.0] + [40.0 + 6.0 * k for k in range(1, 10)]
    >>> for step, depth in enumerate(depths):
    ...     refill.observe(step * 100_000_000, depth)
    >>> round(refill.half_life_ms(2_000_000_000))
    500
    """

    __slots__ = (
        "_before",
        "_log_ms",
        "_low",
        "_low_at",
        "_patience_s",
        "_recent",
        "_sweep_ratio",
        "_sweep_s",
    )

    def __init__(self, *, sweep_ratio: float = 0.7, sweep_s: float = 2.0, patience_s: float = 60.0) -> None:
        self._sweep_ratio, self._sweep_s, self._patience_s = sweep_ratio, sweep_s, patience_s
        self._recent: list[tuple[Nanoseconds, float]] = []
        self._before = 0.0
        self._low = 0.0
        self._low_at: Nanoseconds | None = None
        self._log_ms: float | None = None

    def half_life_ms(self, now: Nanoseconds) -> float | None:
        """Half-life of recent sweeps in milliseconds; ``None`` before the first."""
        learned = None if self._log_ms is None else exp(self._log_ms)
        if self._low_at is None:
            return learned
        open_ms = min((now - self._low_at) / NS_PER_MS, self._patience_s * 1000.0)
        return open_ms if learned is None else max(learned, open_ms)

    def observe(self, at: Nanoseconds, depth_usd: float) -> None:
        """Take the depth at ``at``."""
        if self._low_at is None:
            self._watch(at, depth_usd)
            return
        if depth_usd < self._low:
            self._low, self._low_at = depth_usd, at
            return
        waited_ms = (at - self._low_at) / NS_PER_MS
        if depth_usd >= self._low + (self._before - self._low) / 2.0:
            self._close(at, depth_usd, waited_ms)
        elif waited_ms >= self._patience_s * 1000.0:
            self._close(at, depth_usd, self._patience_s * 1000.0)

    def interrupt(self) -> None:
        """The book is unknown: an open sweep is dropped, since nobody saw how it went on."""
        self._recent.clear()
        self._low_at = None

    def _watch(self, at: Nanoseconds, depth_usd: float) -> None:
        start = at - int(self._sweep_s * NS_PER_S)
        while self._recent and self._recent[0][0] < start:
            self._recent.pop(0)
        # A falling list: its head is the highest of the window.
        while self._recent and self._recent[-1][1] <= depth_usd:
            self._recent.pop()
        self._recent.append((at, depth_usd))
        before = self._recent[0][1]
        if depth_usd <= before * self._sweep_ratio and before > 0.0:
            self._before, self._low, self._low_at = before, depth_usd, at
            self._recent.clear()

    def _close(self, at: Nanoseconds, depth_usd: float, waited_ms: float) -> None:
        sample = log(max(waited_ms, 1.0))
        self._log_ms = sample if self._log_ms is None else self._log_ms + (sample - self._log_ms) / 3.0
        self._low_at = None
        self._recent = [(at, depth_usd)]
