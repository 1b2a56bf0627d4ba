"""What a book gives without being run over: a share of what stands near, as fast as it comes back. Pure."""

from __future__ import annotations

from math import exp2, isfinite

HALF_LIFE_ASSUMED_S = 10.0
"""Until a sweep was seen to be refilled: half of what was taken is not believed to be back sooner."""


def refilled_share(interval_s: float, half_life_s: float | None) -> float:
    """Share of what was taken from a book that is back after ``interval_s``: ``1 - 2 ** (-interval / half-life)``.

    ``half_life_s`` is the measured one; ``HALF_LIFE_ASSUMED_S`` where it is not known.

    >>> refilled_share(10.0, None), refilled_share(0.0, 3.0), refilled_share(6.0, 3.0)
    (0.5, 0.0, 0.75)
    """
    half_life = half_life_s if half_life_s is not None and isfinite(half_life_s) else HALF_LIFE_ASSUMED_S
    if not interval_s > 0.0:
        return 0.0
    return 1.0 if half_life <= 0.0 else 1.0 - exp2(-interval_s / half_life)


def slice_usd_max(depth_usd: float, interval_s: float, half_life_s: float | None, share: float) -> float:
    """The most to take at once, USD, so that never more than ``share`` of what stands near is missing.

    Formula:
        ``share x D x (1 - 2 ** (-interval / half-life))``: slices of n each interval leave a hole that comes to
        ``n / (1 - 2 ** (-interval / half-life))`` in the long run, which this keeps at ``share x D``. The rate is so
        never above ``share`` of the refill rate of a book that is empty, ``D ln 2 / half-life``.

    Args:
        depth_usd: D, what stands near the touch now, USD.
        interval_s: between slices.
        half_life_s: how fast depth comes back, measured; ``None`` where it is not known.
        share: rho, 0..1.

    Assumptions: depth comes back as it did after the sweeps that were measured. Failure modes: makers who leave make
    both D and the half-life a matter of the past; D is asked anew at each slice.

    >>> slice_usd_max(100_000.0, 2.0, 2.0, 0.2)
    10000.0
    """
    if not (depth_usd > 0.0 and isfinite(depth_usd)):
        return 0.0
    return share * depth_usd * refilled_share(interval_s, half_life_s)
