"""Books and maps of which tests know what should come out."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from guard.events import CURVE_BPS
from guard.forecasts import Direction
from guard.leverage.cascade import CascadeSettings
from guard.readings import BookReading

BOTH = (Direction.DOWN, Direction.UP)
BINS = 700

STILL = CascadeSettings(withdrawal_z=1e9, refilled_max=0.0, phi=1.0, map_log_sd_min=0.0)
"""Nobody withdraws, nothing comes back, everything that is liquidated meets the book."""


@dataclass
class PlainMap:
    """A map that is as it was made."""

    usd: NDArray[np.float64] = field(default_factory=lambda: np.zeros(BINS))
    log_sd: float = 0.0
    mark_price: float = 100.0


def at_logs(direction: Direction, slope: float, kappa: float = 1.0) -> tuple[float, ...]:
    """A curve of ``slope * x ** kappa`` USD in log distance x."""
    sign = direction.sign
    return tuple(slope * (sign * log(1.0 + sign * bps / 1e4)) ** kappa for bps in CURVE_BPS)


def book(
    depth_usd: float = 1e6,
    kappa: float = 1.0,
    *,
    mid: float = 100.0,
    normal_usd: float | None = None,
    visible_bps: float = 500.0,
    refill_half_life_s: float | None = None,
) -> BookReading:
    """A book of ``depth_usd`` within a log distance of 1 % on either side, by a power law."""
    slope = depth_usd / 0.01**kappa
    return BookReading(
        bid=mid * (1.0 - 1e-5),
        ask=mid * (1.0 + 1e-5),
        bid_curve_usd=at_logs(Direction.DOWN, slope, kappa),
        ask_curve_usd=at_logs(Direction.UP, slope, kappa),
        bid_visible_bps=visible_bps,
        ask_visible_bps=visible_bps,
        bid_kappa=kappa,
        ask_kappa=kappa,
        bid_normal_usd=normal_usd,
        ask_normal_usd=normal_usd,
        refill_half_life_s=refill_half_life_s,
    )


def log_of(direction: Direction, share: float) -> float:
    """Fraction of the price to log distance."""
    return direction.sign * log(1.0 + direction.sign * share)


def share_of(direction: Direction, distance: float) -> float:
    """Log distance to fraction of the price."""
    return direction.sign * (exp(direction.sign * distance) - 1.0)
